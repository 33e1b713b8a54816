"""Speed of the audit on a store of the paper's size, against scikit-learn written naturally.

Usage: python benchmarks/audit_speed.py [--models 22 --prompts 280 --generations 24]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Shape = tuple[int, int, int, int]


def make_store(file: Path, shape: Shape, seed: int = 0) -> None:
    """Writes unit vectors with model, prompt and interaction effects, as CLIP's have.

    Args:
        file: Parquet file to write.
        shape: models, prompts, generations a cell, dimension.
        seed: seeds the vectors.
    """
    models, prompts, generations, dimension = shape
    rng = np.random.default_rng(seed)
    model_effect = rng.normal(size=(models, dimension)).astype(np.float32) * 0.25
    schema = pa.schema(
        [
            ("image_id", pa.string()),
            ("path", pa.string()),
            ("model", pa.string()),
            ("prompt_id", pa.string()),
            ("seed", pa.string()),
            ("embedding", pa.list_(pa.float32(), dimension)),
        ]
    )
    with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False) as writer:
        for prompt in range(prompts):
            base = rng.normal(size=dimension).astype(np.float32) * 0.8
            cell = rng.normal(size=(models, dimension)).astype(np.float32) * 0.3
            noise = rng.normal(size=(models, generations, dimension)).astype(np.float32)
            vectors = (base + model_effect + cell)[:, None] + noise
            vectors = vectors.reshape(-1, dimension)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            names = [
                (f"m{model:02d}", f"p{prompt:03d}", str(number))
                for model in range(models)
                for number in range(generations)
            ]
            ids = [f"{prompt:08x}{index:024x}" for index in range(len(names))]
            flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimension)
            writer.write_table(
                pa.table(
                    [
                        pa.array(ids),
                        pa.array([f"{m}/{p}/{s}.png" for m, p, s in names]),
                        pa.array([m for m, _, _ in names]),
                        pa.array([p for _, p, _ in names]),
                        pa.array([s for _, _, s in names]),
                        flat,
                    ],
                    schema=schema,
                )
            )


def run_audit(file: Path, out: Path) -> dict[str, Any]:
    """Runs the command on the store; returns its seconds, peak memory and strongest figures."""
    command = [sys.executable, "-m", "whodrew", "audit", str(file), "--out", str(out)]
    command += ["--knowledge", "matched", "--quiet"]
    began = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    result = json.loads((out / "audit.json").read_text("utf-8"))
    figures = {
        f"{one['identifier']}, {'centred' if one['knowledge']['centred'] else 'plain'}, "
        f"{one['knowledge']['shown']}": one["top1"]["value"]
        for one in result["attacks"]
    }
    return {"seconds": seconds, "peak_gib": peak, "figures": figures}


def naturally(file: Path, some_prompts: int) -> dict[str, Any]:
    """The same figures by scikit-learn as one would write them, on some prompts.

    For each prompt: leave-one-out nearest centroid (``NearestCentroid`` refitted for every
    image), shrunk linear discriminant refitted on all other prompts
    (``LinearDiscriminantAnalysis``), silhouette, nearest neighbours for purity, pairwise
    cosine distances for variation, and a bootstrap of 2,000 resamples.

    Returns:
        Seconds for ``some_prompts`` prompts, and scaled to all.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import silhouette_score
    from sklearn.metrics.pairwise import cosine_distances
    from sklearn.neighbors import NearestCentroid, NearestNeighbors

    table = pq.read_table(file)
    vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    model = np.asarray(table["model"].to_pylist())
    prompt = np.asarray(table["prompt_id"].to_pylist())
    names = np.unique(prompt)
    began = time.monotonic()
    right: list[float] = []
    for name in names[:some_prompts]:
        own = prompt == name
        inside, labels = vectors[own], model[own]
        for left in range(len(inside)):
            rest = np.arange(len(inside)) != left
            fitted = NearestCentroid().fit(inside[rest], labels[rest])
            right.append(float(fitted.predict(inside[left : left + 1])[0] == labels[left]))
        discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        discriminant.fit(vectors[~own], model[~own]).predict(inside)
        silhouette_score(inside, labels, metric="cosine")
        near = NearestNeighbors(n_neighbors=24, metric="cosine").fit(inside)
        near.kneighbors(inside)
        distances = cosine_distances(inside)
        same = labels[:, None] == labels[None, :]
        distances[same].mean(), distances[~same].mean()
    seconds = time.monotonic() - began
    return {
        "prompts": some_prompts,
        "seconds": seconds,
        "seconds_for_all": seconds / some_prompts * len(names),
    }


def main() -> None:
    """Prints the figures as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=22)
    parser.add_argument("--prompts", type=int, default=280)
    parser.add_argument("--generations", type=int, default=24)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--natural-prompts", type=int, default=1)
    given = parser.parse_args()
    shape = (given.models, given.prompts, given.generations, given.dimension)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embeddings.parquet"
        make_store(file, shape)
        ours = run_audit(file, Path(folder) / "out")
        print(f"| vectors | {given.models * given.prompts * given.generations:,} x {shape[3]} |")
        print("|---|---|")
        print(f"| `whodrew audit --knowledge matched` | {ours['seconds']:.1f} s |")
        print(f"| peak memory | {ours['peak_gib']:.2f} GiB |")
        for name, value in ours["figures"].items():
            print(f"| {name}, top-1 | {100 * value:.1f} % |")
        if given.natural_prompts:
            peer = naturally(file, given.natural_prompts)
            print(
                f"| scikit-learn written naturally, {peer['prompts']} prompts | "
                f"{peer['seconds']:.0f} s |"
            )
            print(f"| the same for all prompts (scaled) | {peer['seconds_for_all']:.0f} s |")
            print(f"| ratio | {peer['seconds_for_all'] / ours['seconds']:.0f} |")
    print(f"\n{os.cpu_count()} cores, numpy {np.__version__}")


if __name__ == "__main__":
    main()
