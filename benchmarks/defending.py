"""Serving speed of defences on one core, against Pillow doing the same by hand.

Usage: python benchmarks/defending.py [--images 24] [--rounds 5] [--side 1024] [--size 768]
       [--arena DIR]
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# One core: before the libraries that read these are imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image

from whodrew.arena import decode, read_arena, read_image_bytes
from whodrew.defend import DEFENCES, Defence, Example, Picture
from whodrew.errors import WhodrewError

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpora" / "modern24"
#: What may be composed with canonical, and how many times Pillow's time it may take.
TARGETS = {"": 1.3, "crowd": 3.0, "jitter": 3.0, "colour-match": 3.0, "noise": None, "blur": None}
MODELS = 4  # for stages that learn


def by_hand(data: bytes, size: int) -> bytes:
    """What an operator would write: open, crop the middle, resize, save."""
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
        short = min(image.size)
        left, top = (image.width - short) / 2, (image.height - short) / 2
        box = (left, top, left + short, top + short)
        small = image.resize((size, size), Image.Resampling.LANCZOS, box=box)
        out = io.BytesIO()
        small.save(out, "JPEG", quality=85, subsampling="4:2:0")
        return out.getvalue()


def drawn(count: int, side: int) -> list[tuple[bytes, str, str]]:
    """Returns JPEG files of pictures with something in them at every scale."""
    rng = np.random.default_rng(0)
    files = []
    for at in range(count):
        pixels = np.zeros((side, side, 3))
        for cells in (4, 16, 64, side):
            small = rng.normal(0, 40 / np.sqrt(cells / 4), (cells, cells, 3))
            scaled = [
                Image.fromarray(small[..., c].astype(np.float32)).resize((side, side))
                for c in range(3)
            ]
            pixels += np.stack([np.asarray(one) for one in scaled], -1)
        out = io.BytesIO()
        image = Image.fromarray(np.clip(pixels + 128, 0, 255).astype(np.uint8))
        image.save(out, "JPEG", quality=92)
        files.append((out.getvalue(), f"model-{at % MODELS}", f"prompt-{at // MODELS}"))
    return files


def taken(arena: Path, count: int, side: int) -> list[tuple[bytes, str, str]]:
    """Returns the first images of an arena that have this side."""
    files = []
    for row in read_arena(arena).rows():
        data = read_image_bytes(row)
        with Image.open(io.BytesIO(data)) as image:
            if image.size == (side, side) and image.format == "JPEG":
                files.append((data, str(row["model"]), str(row["prompt_id"])))
        if len(files) == count:
            break
    return files


def seconds(work: Callable[[int], object], count: int) -> float:
    """Returns the processor time of one round."""
    began = time.process_time()
    for at in range(count):
        work(at)
    return time.process_time() - began


def fitted(spec: str, files: list[tuple[bytes, str, str]]) -> Defence:
    """Returns a defence that has learnt from the files, where it learns."""
    defence = Defence.parse(spec, "benchmark")
    if not defence.unfitted:
        return defence
    seen = [Example(Picture.of(decode(data).image), *labels) for data, *labels in files]
    return defence.fit(lambda: seen)


def main() -> None:
    """Prints milliseconds an image and the ratio to Pillow, as Markdown; fails above a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--arena", type=Path, default=CORPUS if CORPUS.is_dir() else None)
    given = parser.parse_args()
    files = taken(given.arena, given.images, given.side) if given.arena else []
    what = str(given.arena.name) if files else "synthetic"
    files = files or drawn(given.images, given.side)
    base = f"canonical(size={given.size})"
    known = {entry.name for entry in DEFENCES.entries() if not entry.missing}
    works: dict[str, Callable[[int], object]] = {
        "Pillow by hand": lambda at: by_hand(files[at][0], given.size)
    }
    for name in TARGETS:
        if name and name not in known:
            continue
        spec = f"{base}+{name}" if name else base
        try:
            defence = fitted(spec, files)
        except WhodrewError as error:
            print(f"{spec}: {error}", file=sys.stderr)
            continue

        def serve(at: int, defence: Defence = defence) -> object:
            data, model, prompt_id = files[at]
            return defence.serve(data, model=model, prompt_id=prompt_id)

        works[spec] = serve
    for work in works.values():  # warm
        work(0)
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(given.rounds):  # in turn, so that other work on the machine hits all alike
        for name, work in works.items():
            times[name].append(seconds(work, len(files)))
    print(f"{len(files)} JPEG files of {given.side}² ({what}), one thread, best of ", end="")
    print(f"{given.rounds} rounds in turn, processor time\n")
    print("| defence | ms an image | times Pillow | at most |")
    print("|---|---|---|---|")
    first = min(times["Pillow by hand"])
    over = []
    for name, found in times.items():
        ratio = min(found) / first
        stage = name.removeprefix(base).removeprefix("+")
        target = TARGETS.get(stage) if name != "Pillow by hand" else None
        print(f"| `{name}` | {1000 * min(found) / len(files):.1f} | {ratio:.2f} | {target or ''} |")
        if target is not None and ratio > target:
            over.append(name)
    if over:
        sys.exit(f"over the target: {', '.join(over)}")


if __name__ == "__main__":
    main()
