"""How long ``embed`` takes, against decoding the same files alone.

The yardstick is Pillow decoding every file in two processes, in the same run; the command
``whodrew embed`` is timed whole, imports included, with the kernels of ``fingerprint``
compiled beforehand (which happens once a machine). The aim is a ratio of 4, the limit 6.
With fewer images than the corpus has, it is the function instead of the command.

``--processes`` also times the same work given to two Daft processes instead of threads,
which is how the choice of threads was made.

    python benchmarks/encoding.py [--images N] [--repeats N] [--processes]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "corpora" / "modern24"
WORKERS = 2

EMBED = """
import json, sys
from whodrew.arena import read_arena
from whodrew.embed import embed
arena = read_arena(sys.argv[1])
result = embed(arena.take(range(min(len(arena), int(sys.argv[3])))), "fingerprint", sys.argv[2])
print(json.dumps(result.to_dict()))
"""
PROCESSES = """
import sys
import daft
from daft import DataType
from whodrew.arena import read_arena
from whodrew.embed.plan import Known, make_plan
from whodrew.embed.worker import Worker
import pyarrow as pa
from pathlib import Path

class Op:
    def __init__(self, source, folder, count):
        from whodrew.encoders.registry import get_encoder
        arena = read_arena(source)
        arena = arena.take(range(min(len(arena), count)))
        known = Known([], pa.table({"image_id": pa.array([], pa.string())}), frozenset(), 1)
        encoder = get_encoder("fingerprint")
        self.worker = Worker(arena.images, make_plan(arena, known), frozenset(), encoder,
            encoder.card, canonical=None, folder=Path(folder), run=1, told=lambda i, b: None)
    @daft.method.batch(return_dtype=DataType.bool(), batch_size=17)
    def encode(self, index):
        self.worker.work(index.to_pylist())
        assert self.worker.error is None
        return pa.nulls(len(index), pa.bool_())

source, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
Path(folder).mkdir()
count = min(count, len(read_arena(source)))
operator = daft.cls(Op, use_process=True, max_concurrency=2)(source, folder, count)
frame = daft.from_arrow(pa.table({"index": list(range(count))}))
for _ in frame.select(operator.encode(frame["index"])).to_arrow_iter(results_buffer_size=None):
    pass
print("{}")
"""


def _decode(path: str) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.convert("RGB").load()


def _processor_seconds() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def _timed(work: Any) -> tuple[float, float]:
    began, used = time.perf_counter(), _processor_seconds()
    work()
    return time.perf_counter() - began, _processor_seconds() - used


def _decode_alone(files: list[str]) -> None:
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(_decode, files, chunksize=8)
        pool.close()
        pool.join()


def _script(code: str, corpus: Path, count: int | None) -> dict[str, Any]:
    """Runs a script on the first images, or ``whodrew embed`` on all; returns its JSON."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "DO_NOT_TRACK": "true"}
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        command = [sys.executable, "-c", code, str(corpus), store, str(count)]
        if count is None:
            command = [sys.executable, "-m", "whodrew", "embed", str(corpus), "--store", store]
            command += ["--json", "-"]
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(out.stdout[out.stdout.index("{") :])
    return found


def _corpus(folder: str) -> Path:
    if CORPUS.is_dir():
        return CORPUS
    from whodrew.arena.sample import draw_sample

    draw_sample(Path(folder) / "sample")
    return Path(folder) / "sample"


def run(images: int = 528, repeats: int = 3, processes: bool = False) -> dict[str, Any]:
    """Times embedding against decoding alone.

    Args:
        images: most images to take.
        repeats: how often each is timed, in turns; medians are given.
        processes: also time Daft processes instead of threads.

    Returns:
        Seconds of wall and of processor time of each, and the ratios of embedding to
        decoding.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpus = _corpus(folder)
        from whodrew.arena import read_arena

        every = read_arena(corpus).images["path"].to_pylist()
        files = every[:images]
        count = None if len(files) == len(every) else len(files)
        _script(EMBED, corpus, 1)  # compiles the kernels, warms the files' cache
        rows: dict[str, list[tuple[float, float]]] = {"decode": [], "embed": [], "processes": []}
        inside = []
        for _ in range(repeats):
            rows["decode"].append(_timed(lambda: _decode_alone(files)))
            rows["embed"].append(
                _timed(lambda: inside.append(_script(EMBED, corpus, count)["seconds"]))
            )
            if processes:
                rows["processes"].append(_timed(lambda: _script(PROCESSES, corpus, len(files))))
    result: dict[str, Any] = {"corpus": corpus.name, "images": len(files), "workers": WORKERS}
    for name, times in rows.items():
        if times:
            result[name] = {
                "seconds": round(statistics.median(wall for wall, _ in times), 2),
                "processor_seconds": round(statistics.median(cpu for _, cpu in times), 2),
            }
    result["embed"]["seconds_without_imports"] = round(statistics.median(inside), 2)
    for kind in ("seconds", "processor_seconds"):
        result[f"ratio_{kind}"] = round(result["embed"][kind] / result["decode"][kind], 2)
    return result


def table(result: dict[str, Any]) -> str:
    """Returns the result of ``run`` as a Markdown table."""
    what = f"{result['images']} images of {result['corpus']}, {result['workers']} workers"
    lines = [f"| {what} | wall, s | processor, s |", "|---|---|---|"]
    names = {
        "decode": "Pillow decodes them in two processes",
        "embed": "`whodrew embed` with `fingerprint`, from a fresh interpreter",
        "processes": "the same, in two Daft processes instead of threads",
    }
    lines += [
        f"| {text} | {result[name]['seconds']} | {result[name]['processor_seconds']} |"
        for name, text in names.items()
        if name in result
    ]
    ratios = f"| ratio | {result['ratio_seconds']} | {result['ratio_processor_seconds']} |"
    return "\n".join([*lines, ratios])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=528)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", action="store_true")
    chosen = parser.parse_args()
    print(table(run(chosen.images, chosen.repeats, chosen.processes)))
