"""Time and peak memory of opening stores of many sizes and orders.

Usage: python benchmarks/reading.py [--vectors 100000 1000000] [--dimension 768]
       [--order shuffled model-major] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MODELS, PROMPTS = 22, 280
AT_ONCE = 16_384

#: Opens a store as an audit does, in a process of its own, and reads it once by prompts.
OPEN = """
import json, sys, time
from pathlib import Path
import numpy as np
import pyarrow as pa
from whodrew.audit.passes import gather_store
from whodrew.embed import open_store
def peak():
    # not ru_maxrss: it begins with that of the process that started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
pa.array([""]), np.zeros(1)  # whatever they import
before, began, used = peak(), time.monotonic(), time.process_time()
gathered, _ = gather_store(open_store(sys.argv[1]), Path(sys.argv[1]).parent)
samples = gathered.samples()
assert len(samples) == int(sys.argv[2]) and not gathered.bad and samples.is_reference.all()
assert samples.cell_sizes.sum() == len(samples)
opened, worked = time.monotonic() - began, time.process_time() - used
opened_peak, began = peak(), time.monotonic()
for prompt in range(len(samples.prompts)):
    samples.vectors[samples.rows(prompt)].sum()
print(json.dumps({
    "before": before, "opened": opened, "worked": worked, "opened_peak": opened_peak,
    "pass": time.monotonic() - began, "peak": peak(),
}))
"""


def make_store(file: Path, count: int, dimension: int, order: str, seed: int = 0) -> None:
    """Writes unit vectors of float16 with model, prompt and cell effects, a piece at a time.

    Args:
        file: Parquet file to write, in row groups of 16,384.
        count: number of vectors, spread evenly over the cells of 22 models and 280 prompts.
        dimension: their length.
        order: ``shuffled``, or ``model-major`` as those write who draw model by model.
        seed: seeds everything.
    """
    rng = np.random.default_rng(seed)
    cell = np.arange(count, dtype=np.int64) * MODELS * PROMPTS // count
    rows = rng.permutation(count) if order == "shuffled" else np.arange(count)
    effects = [
        rng.normal(size=(size, dimension)).astype(np.float32) * scale
        for size, scale in ((MODELS, 0.25), (PROMPTS, 0.8), (MODELS * PROMPTS, 0.3))
    ]
    schema = pa.schema(
        [(name, pa.string()) for name in ("image_id", "path", "model", "prompt_id", "seed")]
        + [("embedding", pa.list_(pa.float16(), dimension))]
    )
    with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, count, AT_ONCE):
            part = rows[start : start + AT_ONCE]
            model, prompt = np.divmod(cell[part], PROMPTS)
            vectors = rng.standard_normal((len(part), dimension), dtype=np.float32)
            for effect, code in zip(effects, (model, prompt, cell[part]), strict=True):
                vectors += effect[code]
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            names = zip(model.tolist(), prompt.tolist(), part.tolist(), strict=True)
            paths = [f"m{m:02d}/p{p:03d}/{n}.png" for m, p, n in names]
            ids = np.frombuffer(rng.bytes(16 * len(part)), dtype="V16")
            flat = pa.array(vectors.astype(np.float16).ravel())
            columns = [
                pa.array([one.tobytes().hex() for one in ids]),
                pa.array(paths),
                pa.array([path[:3] for path in paths]),
                pa.array([path[4:8] for path in paths]),
                pa.array([str(number) for number in part.tolist()]),
                pa.FixedSizeListArray.from_arrays(flat, dimension),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def open_store(file: Path, count: int) -> dict[str, Any]:
    """Opens a store in a process of its own; returns seconds and MiB."""
    command = [sys.executable, "-c", OPEN, str(file), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Prints the figures as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--order", nargs="+", default=["shuffled", "model-major"])
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    print("| vectors | order | opened | of it processor | memory above start | read once |")
    print("|---|---|---|---|---|---|")
    for count in given.vectors:
        for order in given.order:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                file = Path(folder) / "vectors.parquet"
                make_store(file, count, given.dimension, order)
                found = open_store(file, count)
            more = found["opened_peak"] - found["before"]
            print(
                f"| {count:,} x {given.dimension} | {order} | {found['opened']:.1f} s | "
                f"{found['worked']:.1f} s | {more:.0f} MiB | {found['pass']:.2f} s |",
                flush=True,
            )
    print(f"\n{os.cpu_count()} cores, numpy {np.__version__}, pyarrow {pa.__version__}")


if __name__ == "__main__":
    main()
