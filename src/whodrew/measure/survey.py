"""One pass over the prompts: distinguishability, silhouette, variation, similarity.

All of it on unit vectors (columns of ``standardise`` encoders z-scored on the other
prompts first), uncentred, from the distinct images of each prompt. Definitions are
whodrew's own, written where the paper is silent. Memory: one prompt's images and sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whodrew.identify.base import directions
from whodrew.identify.library import Library
from whodrew.identify.parallel import in_partitions, side_by_side
from whodrew.identify.samples import Floats, Ints, Mask
from whodrew.measure.intervals import Doubles

MOST_GENERATIONS = 32


@dataclass(frozen=True)
class Survey:
    """Figures of P prompts and M models; NaN where a figure cannot be had.

    Attributes:
        images: (P,) distinct images of each prompt.
        distinguishability: (P,) purity of nearest neighbours above chance, 1 at most.
        top1: (P,) share named by the nearest leave-one-out centroid of the prompt.
        margin: (P,) mean of cosine to the own centroid less the best other's.
        silhouette: (P,) mean cosine silhouette by model.
        asked: (P,) images of cells of two or more, which top1 and margin rest on.
        intra: (P, M) mean cosine distance within each cell.
        inter: (P,) mean cosine distance between images of different models.
        distance: (M, M) mean over prompts of the mean cosine distance between two models.
        together: (M, M) prompts that distance rests on.
        sampled: whether cells above 32 generations were represented by 32.
    """

    images: Ints
    distinguishability: Doubles
    top1: Doubles
    margin: Doubles
    silhouette: Doubles
    asked: Ints
    intra: Doubles
    inter: Doubles
    distance: Doubles
    together: Ints
    sampled: bool


def prompt_vectors(library: Library, prompt: int) -> tuple[Floats, Ints, Ints]:
    """Returns (n, D) unit vectors, (n,) models and (n,) rows of a prompt's distinct images.

    Rows come in the order of image ids, by which ties of neighbours are broken.
    """
    samples = library.samples
    rows = np.arange(len(samples))[samples.rows(prompt)]
    rows = rows[samples.is_reference[rows]]
    rows = rows[np.argsort(samples.image_id[rows], kind="stable")]
    vectors = samples.vectors[rows]
    if samples.scale == "standardise" and len(rows):
        vectors = library.frame(frozenset([prompt]), scatter=False).scaled(vectors)
    return directions(vectors), samples.model[rows], rows


@dataclass(frozen=True)
class _Seen:
    """What one prompt shows; names as in ``Survey``."""

    images: int
    asked: int
    figures: dict[str, float]
    intra: Doubles
    distance: Doubles
    together: Mask
    sampled: bool


def survey(library: Library, seed: int) -> Survey:
    """Measures every prompt. Cost: n² D a prompt for neighbours, n M D for the rest.

    Args:
        library: the arena's labelled images.
        seed: seeds the choice of 32 generations of larger cells.
    """
    prompts = len(library.samples.prompts)
    library.prepare(scatter=False)

    def see(some: list[int]) -> list[_Seen]:
        return side_by_side(lambda prompt: _see(library, prompt, seed), some)

    # partitions come back in the order of their prompts
    seen = [one for part in in_partitions(see, range(prompts)) for one in part]
    together = np.sum([one.together for one in seen], axis=0)
    with np.errstate(invalid="ignore"):
        distance = np.sum([one.distance for one in seen], axis=0) / together
    np.fill_diagonal(distance, 0.0)
    columns = {
        name: np.array([one.figures.get(name, np.nan) for one in seen]) for name in _BY_PROMPT
    }
    return Survey(
        images=np.array([one.images for one in seen]),
        asked=np.array([one.asked for one in seen]),
        intra=np.stack([one.intra for one in seen]),
        distance=distance,
        together=together,
        sampled=any(one.sampled for one in seen),
        **columns,
    )


_BY_PROMPT = ("distinguishability", "top1", "margin", "silhouette", "inter")


def _see(library: Library, prompt: int, seed: int) -> _Seen:
    vectors, model, _ = prompt_vectors(library, prompt)
    models = len(library.samples.models)
    member = np.zeros((models, len(model)), dtype=np.float32)
    member[model, np.arange(len(model))] = 1.0
    count = member.sum(axis=1).astype(np.float64)
    sums = member @ vectors
    cross = (sums @ sums.T).astype(np.float64)
    own = np.diag(cross)
    several = count > 1
    figures: dict[str, float] = {}
    intra = np.full(models, np.nan)
    intra[several] = 1 - (own[several] - count[several]) / (count[several] * (count[several] - 1))
    pairs = count.sum() ** 2 - (count**2).sum()
    if pairs > 0:
        figures["inter"] = 1 - (cross.sum() - own.sum()) / pairs
    both = np.outer(count, count)
    np.fill_diagonal(both, 0)
    distance = np.where(both > 0, 1 - cross / np.maximum(both, 1), 0.0)
    if several.any() and (count > 0).sum() > 1:
        similarity = vectors @ sums.T
        figures["silhouette"] = silhouette(similarity, model, count)
        right, margin = leave_one_out(similarity, model, count, own)
        figures["top1"], figures["margin"] = float(right.mean()), float(margin.mean())
    sampled = bool(count.max(initial=0) > MOST_GENERATIONS)
    if several.any():
        keep = _represent(prompt, model, seed) if sampled else np.arange(len(model))
        figures["distinguishability"] = distinguishability(vectors[keep], model[keep])
    return _Seen(len(model), int(count[several].sum()), figures, intra, distance, both > 0, sampled)


def _represent(prompt: int, model: Ints, seed: int) -> Ints:
    keys = np.random.default_rng([seed, 5, prompt]).random(len(model))
    order = np.lexsort((keys, model))
    ranked = model[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.sort(order[place < MOST_GENERATIONS])


def distinguishability(vectors: Floats, model: Ints) -> float:
    """Returns how much purer nearest neighbours are than chance, 1 if wholly.

    For an image of a model with n generations among N images, purity is the share of its
    n - 1 nearest neighbours that the model drew; chance is (n - 1) / (N - 1). The figure
    is the mean over models with n ≥ 2 of (purity - chance) / (1 - chance), not clipped;
    NaN where no cell holds two or all images are of one model.

    Args:
        vectors: (N, D) unit vectors; ties go to the earlier row.
        model: (N,) model codes.
    """
    total = len(model)
    codes, cell, count = np.unique(model, return_inverse=True, return_counts=True)
    if total < 3 or len(codes) < 2 or count.max() < 2:
        return float("nan")
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    purity = np.zeros(total)
    for size in np.unique(count[count > 1]).tolist():
        rows = np.flatnonzero(count[cell] == size)
        near = nearest(similar[rows], size - 1)
        purity[rows] = (near & (cell[rows][:, None] == cell[None, :])).sum(axis=1) / (size - 1)
    several = count > 1
    mean = np.bincount(cell, weights=purity)[several] / count[several]
    chance = (count[several] - 1) / (total - 1)
    return float(((mean - chance) / (1 - chance)).mean())


def nearest(similar: Floats, number: int) -> np.ndarray:
    """Returns (n, N) true for the ``number`` most similar of each row, ties to the left."""
    least = -np.partition(-similar, number - 1, axis=1)[:, number - 1 : number]
    above = similar > least
    tied = similar == least
    room = number - above.sum(axis=1, keepdims=True)
    return np.asarray(above | (tied & (np.cumsum(tied, axis=1) <= room)))


def silhouette(similarity: Floats, model: Ints, count: Doubles) -> float:
    """Returns the mean cosine silhouette from sums; images alone in their cell count 0.

    Args:
        similarity: (n, M) dot products of unit images with the sums of the cells.
        model: (n,) model codes.
        count: (M,) images of each cell.
    """
    rows = np.arange(len(model))
    size = count[model]
    own = 1 - (similarity[rows, model] - 1) / np.maximum(size - 1, 1)
    other = 1 - similarity / np.maximum(count, 1)
    other[:, count == 0] = np.inf
    other[rows, model] = np.inf
    nearest_other = other.min(axis=1)
    larger = np.maximum(own, nearest_other)
    value = np.where(larger > 0, (nearest_other - own) / np.where(larger > 0, larger, 1.0), 0.0)
    return float(np.where(size > 1, value, 0.0).mean())


def leave_one_out(
    similarity: Floats, model: Ints, count: Doubles, own: Doubles
) -> tuple[np.ndarray, Doubles]:
    """Returns whether the nearest centroid is right, and the margin, for images of cells of two.

    The own centroid is ``normalise(S - x)``; |S - x|² = |S|² - 2 x·S + 1 for unit x.

    Args:
        similarity: (n, M) dot products of unit images with the sums of the cells.
        model: (n,) model codes.
        count: (M,) images of each cell.
        own: (M,) squared lengths of the sums.
    """
    asked = np.flatnonzero(count[model] > 1)
    code = model[asked]
    dots = similarity[asked].astype(np.float64)
    rows = np.arange(len(asked))
    true = dots[rows, code]
    length = np.sqrt(np.maximum(own[code] - 2 * true + 1, 1e-12))
    score = dots / np.sqrt(np.where(own > 0, own, np.inf))
    score[:, count == 0] = -np.inf
    score[rows, code] = -np.inf
    mine = (true - 1) / length
    rival = score.max(axis=1)
    return mine > rival, mine - rival
