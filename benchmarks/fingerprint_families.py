"""What each family of ``fingerprint`` is worth, and what it costs.

    python benchmarks/fingerprint_families.py CORPUS... [--jpeg QUALITY] [--workers N]

A corpus is a folder ``<model>/<prompt_id>/<seed>.<ext>``. For each, a Markdown table: top-1 of a
family alone and of the rest without it. The scoring is a plain re-statement of the whitened
centroids, independent of ``whodrew.identify``: whole prompts are left out; columns are z-scored
on the other prompts; each prompt's mean is removed; the covariance within models is pooled over
the other prompts and shrunk toward a multiple of the identity by a fixed weight, chosen on
nothing. Where cells hold several generations, references of the same prompt are used too: one
generation of every cell is the query, and a cell's centroid is drawn toward its model's.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.optimize import linear_sum_assignment

from whodrew.encoders.fingerprint import FAMILIES, Fingerprint

Reals = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

GRID = (0.05, 0.1, 0.2, 0.35, 0.5)
SHRINKAGE = 0.2
PULL = 8  # references a model's centroid counts for, against those of the cell


@dataclass(frozen=True)
class Corpus:
    vectors: Reals
    model: Labels
    prompt: Labels
    generation: Labels


def pixels(path: Path, jpeg: int | None) -> npt.NDArray[np.uint8]:
    with Image.open(path) as stored:
        image = stored.convert("RGB")
    if jpeg is not None:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=jpeg)
        image = Image.open(file).convert("RGB")
    return np.asarray(image)


def load(folder: Path, jpeg: int | None, workers: int) -> Corpus:
    files = sorted(p for p in folder.glob("*/*/*") if p.is_file())
    encoder = Fingerprint()
    with ThreadPoolExecutor(workers) as pool:
        rows = list(pool.map(lambda p: encoder.encode([pixels(p, jpeg)])[0], files))
    model = np.unique([p.parts[-3] for p in files], return_inverse=True)[1]
    prompt = np.unique([p.parts[-2] for p in files], return_inverse=True)[1]
    seen: dict[tuple[int, int], int] = {}
    generation = []
    for cell in zip(model.tolist(), prompt.tolist(), strict=True):
        generation.append(seen.get(cell, 0))
        seen[cell] = seen.get(cell, 0) + 1
    return Corpus(np.stack(rows).astype(np.float64), model, prompt, np.array(generation))


class Whitening:
    """Squared Mahalanobis distances under (1 - w) W + w tr(W) / D I, through the few residuals."""

    def __init__(self, residuals: Reals, freedom: int) -> None:
        values, vectors = np.linalg.eigh(residuals @ residuals.T)
        kept = values > values[-1] * 1e-10
        self.axes = residuals.T @ (vectors[:, kept] / np.sqrt(values[kept]))
        self.variance = values[kept] / freedom
        self.level = self.variance.sum() / residuals.shape[1]

    def distances(self, queries: Reals, centroids: Reals) -> dict[float, Reals]:
        """Shrinkage w → (queries, centroids)."""
        difference = queries[:, None] - centroids
        square = (difference**2).sum(axis=2)
        inside = (queries @ self.axes)[:, None] - centroids @ self.axes
        inside **= 2
        out = {}
        for w in GRID:
            floor = w * self.level
            gain = 1 / ((1 - w) * self.variance + floor) - 1 / floor
            out[w] = square / floor + inside @ gain
        return out


def centred(values: Reals, groups: Labels) -> Reals:
    out = values.copy()
    for group in np.unique(groups):
        out[groups == group] -= out[groups == group].mean(axis=0)
    return out


def fold(corpus: Corpus, columns: npt.NDArray[np.intp], prompt: int) -> tuple[Reals, ...]:
    """z-scores with the other prompts; centres each of those. Returns theirs, ours, centroids."""
    rest = corpus.prompt != prompt
    theirs = corpus.vectors[np.ix_(rest, columns)]
    ours = corpus.vectors[np.ix_(~rest, columns)]
    mean, deviation = theirs.mean(axis=0), theirs.std(axis=0)
    kept = deviation > 1e-9 * (1 + np.abs(mean))
    theirs = centred((theirs[:, kept] - mean[kept]) / deviation[kept], corpus.prompt[rest])
    ours = (ours[:, kept] - mean[kept]) / deviation[kept]
    model = corpus.model[rest]
    centroids = np.stack([theirs[model == m].mean(axis=0) for m in range(model.max() + 1)])
    return theirs, ours, centroids


def other(corpus: Corpus, columns: npt.NDArray[np.intp]) -> dict[float, tuple[float, float]]:
    """References from other prompts only. Returns shrinkage → (top-1, joint assignment)."""
    right = {w: [0, 0] for w in GRID}
    for prompt in np.unique(corpus.prompt):
        theirs, ours, centroids = fold(corpus, columns, prompt)
        model = corpus.model[corpus.prompt != prompt]
        truth = corpus.model[corpus.prompt == prompt]
        whitening = Whitening(theirs - centroids[model], len(theirs) - len(centroids))
        for w, distances in whitening.distances(ours - ours.mean(axis=0), centroids).items():
            rows, named = linear_sum_assignment(distances)
            right[w][0] += int((distances.argmin(axis=1) == truth).sum())
            right[w][1] += int((named == truth[rows]).sum())
    n = len(corpus.model)
    return {w: (a / n, b / n) for w, (a, b) in right.items()}


def matched(corpus: Corpus, columns: npt.NDArray[np.intp]) -> dict[float, tuple[float, float]]:
    """References of the same prompt too. Returns shrinkage → (top-1, nan)."""
    right = dict.fromkeys(GRID, 0)
    for prompt in np.unique(corpus.prompt):
        theirs, ours, centroids = fold(corpus, columns, prompt)
        rest, here = corpus.prompt != prompt, corpus.prompt == prompt
        cells = corpus.model[rest] * (corpus.prompt.max() + 1) + corpus.prompt[rest]
        residuals = centred(theirs, cells)
        whitening = Whitening(residuals, len(theirs) - len(np.unique(cells)))
        for generation in np.unique(corpus.generation[here]):
            asked = corpus.generation[here] == generation
            labels = corpus.model[here][~asked]
            means = np.stack([ours[~asked][labels == m].mean(axis=0) for m in np.unique(labels)])
            trust = np.bincount(labels)[:, None] / (np.bincount(labels)[:, None] + PULL)
            centre = means.mean(axis=0)
            mixed = trust * (means - centre) + (1 - trust) * centroids
            for w, distances in whitening.distances(ours[asked] - centre, mixed).items():
                named = distances.argmin(axis=1)
                right[w] += int((named == corpus.model[here][asked]).sum())
    return {w: (hits / len(corpus.model), float("nan")) for w, hits in right.items()}


def milliseconds(path: Path) -> dict[str, float]:
    """Best of 15 for each part, on one image, scaled to 1024² pixels."""
    from whodrew.encoders.fingerprint import families, planes

    image = pixels(path, None)
    split = planes.planes(image)
    parts = {
        "decoding": lambda: pixels(path, None),
        "encode": lambda: Fingerprint().encode([image]),
        "planes": lambda: planes.planes(image),
        "colour": lambda: families.colour(split),
        **{name: lambda part=part: part(split) for name, part in families.PARTS.items()},
    }
    out = {}
    for name, part in parts.items():
        part()
        times = []
        for _ in range(15):
            start = time.perf_counter()
            part()
            times.append(time.perf_counter() - start)
        best = statistics.median(times) if name in {"decoding", "encode"} else min(times)
        out[name] = best * 1000 * 1024**2 / (image.shape[0] * image.shape[1])
    return out


def report(folder: Path, jpeg: int | None, workers: int) -> None:
    corpus = load(folder, jpeg, workers)
    several = corpus.generation.max() > 0
    score = matched if several else other
    every = np.arange(corpus.vectors.shape[1])
    cost = milliseconds(next(p for p in sorted(folder.glob("*/*/*")) if p.is_file()))
    print(f"\n## {folder.name}{f', all at JPEG {jpeg}' if jpeg else ''}\n")
    knowledge = "same prompt" if several else "other prompts"
    print(f"{len(corpus.model)} images, {corpus.model.max() + 1} models, references: {knowledge}.")
    print(f"Families at shrinkage {SHRINKAGE}.\n")
    print("| family | numbers | ms per 1024² | top-1 alone | top-1 left out |")
    print("|---|---:|---:|---:|---:|")
    for name, part in FAMILIES.items():
        inside = every[part]
        alone = score(corpus, inside)[SHRINKAGE][0]
        left_out = score(corpus, np.setdiff1d(every, inside))[SHRINKAGE][0]
        shown = f"{cost[name]:.1f}" if cost.get(name, 0) >= 0.05 else "shared"
        print(f"| {name} | {len(inside)} | {shown} | {alone:.3f} | {left_out:.3f} |", flush=True)
    print(f"| *planes* | | {cost['planes']:.1f} | | |")
    full = score(corpus, every)
    print(f"| **all** | {len(every)} | {cost['encode']:.1f} | {full[SHRINKAGE][0]:.3f} | |")
    print("\n| shrinkage | " + " | ".join(str(w) for w in GRID) + " |")
    print("|---|" + "---:|" * len(GRID))
    print("| top-1 | " + " | ".join(f"{full[w][0]:.3f}" for w in GRID) + " |")
    if not several:
        print("| jointly | " + " | ".join(f"{full[w][1]:.3f}" for w in GRID) + " |")
    ratio = cost["encode"] / cost["decoding"]
    print(
        f"\nencode {cost['encode']:.1f} ms, Pillow decode {cost['decoding']:.1f} ms per 1024²: "
        f"{ratio:.1f} times; with the decoding {ratio + 1:.1f} times."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("corpora", nargs="+", type=Path, metavar="CORPUS")
    parser.add_argument("--jpeg", type=int, help="re-encode every image at this quality first")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    for folder in options.corpora:
        report(folder, options.jpeg, options.workers)


if __name__ == "__main__":
    main()
