"""``embed`` beside Daft's own ``embed_image`` and beside the convention of clip-retrieval.

All three embed the same image files with the same CLIP ViT-B/32 (random weights take as long
as trained ones) in float32, to files, with both processors:

- ``embed`` of whodrew, its store written;
- Daft's ``embed_image`` (provider ``transformers``, of whose families only CLIP works), as its
  documentation shows: download, decode, convert to RGB, embed; written as Parquet. Where
  torchvision is not installed, which it asks for but does not use, its embedder is given to it
  without that question;
- the convention of clip-retrieval: a torch ``DataLoader`` whose processes open and prepare the
  images, the network on each batch, unit length, float16, ``img_emb/img_emb_0.npy`` beside
  ``metadata/metadata_0.parquet``. It is written out here, naively, with the network and the
  processor of transformers: the package itself asks for other versions of its libraries than
  those here, and could not load these weights.

Each is a process of its own, in turns. A run on one image (start of the engine, loading of the
weights) is timed before the run on all; images/s are those of the rest, (n - 1) / (t(n) - t(1)),
medians of the repeats. Imports are not timed. ``cosine`` is the least, of all images, between a
way's vector and whodrew's: where the same work was done it is 1, but for another decoder of
JPEG and for float16. A way that fails is told with its reason.

    python benchmarks/daft_embed.py [--images N] [--repeats N] [--batch N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.encoders import _corpus, _random_clip  # noqa: E402 - found by the line above

PROCESSORS = 2
LIMIT = 3600
Floats = npt.NDArray[np.floating[Any]]
#: Embeds files with the network of a folder to another folder, in batches of some images.
Way = Callable[[Sequence[str], Path, Path, int], None]
#: Reads what a way wrote there, in the order of the files.
Read = Callable[[Sequence[str], Path], Floats]


def _arena(paths: Sequence[str], folder: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from whodrew.arena import read_arena

    columns = {"path": paths, "model": ["m"] * len(paths), "prompt_id": [*map(str, paths)]}
    pq.write_table(pa.table(columns), folder / "manifest.parquet")
    return read_arena(folder / "manifest.parquet")


def _embed(paths: Sequence[str], network: Path, out: Path, _batch: int) -> None:
    from whodrew.embed import embed

    done = embed(_arena(paths, out), f"clip:{network}", out / "store", workers=PROCESSORS)
    if done.bad:
        raise RuntimeError(f"{len(done.bad)} bad images, the first: {done.bad[0]}")


def _read_store(paths: Sequence[str], out: Path) -> Floats:
    from whodrew.embed import embedding_matrix, open_store

    table = open_store(out / "store").of_arena(_arena(paths, out))
    found = dict(zip(table["path"].to_pylist(), embedding_matrix(table), strict=True))
    return np.array([found[path] for path in paths], np.float32)


def _provider() -> Any:
    """Daft's provider, without its question for torchvision where there is none."""
    from importlib.util import find_spec

    if find_spec("torchvision"):
        return "transformers"
    from daft.ai.transformers.protocols.image_embedder import TransformersImageEmbedderDescriptor
    from daft.ai.transformers.provider import TransformersProvider

    class Provider(TransformersProvider):
        def get_image_embedder(self, model: str | None = None, **options: Any) -> Any:
            assert model is not None
            return TransformersImageEmbedderDescriptor(model, {"batch_size": 16, **options})

    return Provider()


def _daft(paths: Sequence[str], network: Path, out: Path, batch: int) -> None:
    import daft
    from daft.functions import convert_image, decode_image, download, embed_image

    picture = convert_image(decode_image(download(daft.col("path"))), "RGB")
    vector = embed_image(picture, provider=_provider(), model=str(network), batch_size=batch)
    frame = daft.from_pydict({"path": list(paths)})
    frame.select(daft.col("path"), vector.alias("embedding")).write_parquet(str(out / "parquet"))


def _read_parquet(paths: Sequence[str], out: Path) -> Floats:
    import pyarrow.parquet as pq

    table = pq.read_table(out / "parquet")
    found = dict(zip(table["path"].to_pylist(), table["embedding"].to_pylist(), strict=True))
    return np.array([found[path] for path in paths], np.float32)


class _Files:
    """A data set of torch: opens an image and prepares it, in a process of the loader."""

    def __init__(self, paths: Sequence[str], processor: Any) -> None:
        self.paths, self.processor = paths, processor

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        from PIL import Image

        with Image.open(self.paths[index]) as image:
            pixels = self.processor(images=image.convert("RGB"), return_tensors="pt")
        return {"name": self.paths[index], "pixels": pixels["pixel_values"][0]}


def _convention(paths: Sequence[str], network: Path, out: Path, batch: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from torch.utils.data import DataLoader
    from transformers import CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(network).eval()
    files: Any = _Files(paths, CLIPImageProcessorPil.from_pretrained(network))
    vectors, names = [], []
    for given in DataLoader(files, batch_size=batch, num_workers=PROCESSORS, prefetch_factor=2):
        with torch.no_grad():
            found = model.get_image_features(given["pixels"]).pooler_output
            found /= found.norm(dim=-1, keepdim=True)
        vectors.append(found.to(torch.float16).numpy())
        names += given["name"]
    for part in ("img_emb", "metadata"):
        (out / part).mkdir(exist_ok=True)
    np.save(out / "img_emb" / "img_emb_0.npy", np.concatenate(vectors))
    pq.write_table(pa.table({"image_path": names}), out / "metadata" / "metadata_0.parquet")


def _read_npy(_paths: Sequence[str], out: Path) -> Floats:
    return np.load(out / "img_emb" / "img_emb_0.npy").astype(np.float32)


WAYS: dict[str, tuple[str, Way, Read]] = {
    "embed": ("`embed`", _embed, _read_store),
    "daft": ("Daft's `embed_image`", _daft, _read_parquet),
    "convention": ("clip-retrieval's convention", _convention, _read_npy),
}


def _timed(name: str, folder: Path, batch: int) -> None:
    """Runs one way on one image twice, then on all, and prints the seconds as JSON."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(PROCESSORS)
    _, work, read = WAYS[name]
    paths = json.loads((folder / "paths.json").read_text())
    seconds = []
    for some in (paths[:1], paths[:1], paths):  # the first run pays for the imports
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            work(some, folder / "clip", Path(place), batch)
            seconds.append(time.perf_counter() - began)
            vectors = read(some, Path(place))
    np.save(folder / f"{name}.npy", vectors)
    print(f"\n{json.dumps({'one': seconds[1], 'all': seconds[2]})}", flush=True)


def _process(name: str, folder: Path, batch: int) -> dict[str, float] | str:
    """Returns seconds of a way in a process of its own, or why there are none."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "WHODREW_DTYPE": "float32",
        "DAFT_ANALYTICS_ENABLED": "0",
        "DAFT_PROGRESS_BAR": "0",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, __file__, "--way", name, "--at", str(folder)]
    try:
        done = subprocess.run(
            [*command, "--batch", str(batch)],
            env=environment, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT} s"
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return said[-1].strip() if said else f"ended with {done.returncode}"
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _least_cosine(ours: Floats, theirs: Floats) -> float:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / lengths).min())


def run(images: int = 128, repeats: int = 3, batch: int = 16) -> dict[str, Any]:
    """Times every way, in turns.

    Args:
        images: most images to take, spread over the corpus; at least 2.
        repeats: how often each is timed.
        batch: images a batch of the two that ask for a number.

    Returns:
        By way, seconds of one image, images a second of the rest and the least cosine to
        whodrew's vectors; or why it failed.
    """
    from whodrew.arena import read_arena

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        corpus = _corpus(folder)
        everything = read_arena(corpus).images["path"].to_pylist()
        count = min(max(images, 2), len(everything))
        chosen = np.linspace(0, len(everything) - 1, count).astype(int).tolist()
        (folder / "paths.json").write_text(json.dumps([everything[at] for at in chosen]))
        _random_clip(folder / "clip")
        times: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
        for _ in range(repeats):
            for name in WAYS:
                if name in found:
                    continue
                result = _process(name, folder, batch)
                if isinstance(result, str):
                    found[name] = {"failed": result}
                else:
                    times[name].append(result)
        for name, seconds in times.items():
            if name in found:
                continue
            vectors = folder / f"{name}.npy"
            rates = [(count - 1) / max(one["all"] - one["one"], 1e-9) for one in seconds]
            found[name] = {
                "start": statistics.median(one["one"] for one in seconds),
                "rate": statistics.median(rates),
                "cosine": _least_cosine(np.load(folder / "embed.npy"), np.load(vectors))
                if "failed" not in found.get("embed", {})
                else None,
            }
    return {"corpus": corpus.name, "images": count, "batch": batch, "ways": found}


def table(result: dict[str, Any]) -> str:
    """Returns the result of ``run`` as a Markdown table."""
    head = (
        f"| {result['images']} images of {result['corpus']}, CLIP ViT-B/32, float32, "
        f"batches of {result['batch']}, {os.cpu_count()} cores "
        "| one image, s | images/s after it | `embed` is | cosine |"
    )
    lines = [head, "|---|---:|---:|---:|---:|"]
    failed = []
    ours = result["ways"]["embed"].get("rate")
    for name, (title, _, _) in WAYS.items():
        values = result["ways"][name]
        if "failed" in values:
            failed.append(f"{title} failed: {values['failed']}")
            lines.append(f"| {title} | failed | | | |")
            continue
        times = f"{ours / values['rate']:.2f} times as quick" if ours and name != "embed" else ""
        cosine = "" if values["cosine"] is None or name == "embed" else f"{values['cosine']:.5f}"
        cells = [f"{values['start']:.2f}", f"{values['rate']:.2f}", times, cosine]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, *([""] if failed else []), *failed])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        _timed(options.way, options.at, options.batch)
    else:
        print(table(run(options.images, options.repeats, options.batch)))
