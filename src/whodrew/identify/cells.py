"""Centroids of one prompt's cells, round by round, and the centre of what is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whodrew.identify.library import Frame
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Ints


@dataclass(frozen=True)
class Cells:
    """Centroids of the M cells of one prompt in one round.

    Attributes:
        counts: (M,) references left in each cell.
        means: (M, k) their means, zero where none is left.
        middle: (k,) the prompt's effect, estimated from these cells.
    """

    counts: Floats
    means: Floats
    middle: Floats


def round_cells(points: Floats, effects: Floats, block: Block, number: int) -> Cells:
    """Returns the cells of one round.

    The prompt's effect is the mean over present cells of (cell mean - model effect),
    the least-squares estimate; with every cell present it is the mean of their means.

    Args:
        points: (p, k) the block's points after any linear map.
        effects: (M, k) model effects after the same map.
        block: matched block.
        number: the round.
    """
    models = len(effects)
    mask = block.kept[number]
    weights = np.zeros((models, len(mask)), dtype=np.float32)
    weights[block.model, np.arange(len(mask))] = mask
    counts = weights.sum(axis=1)
    means = (weights @ points[block.reference]) / np.maximum(counts, 1.0)[:, None]
    present = counts > 0
    middle = (means[present] - effects[present]).mean(axis=0) if present.any() else 0 * means[0]
    return Cells(counts, means, middle)


def other_centre(frame: Frame, block: Block) -> Floats:
    """Returns the (n, D') or (1, D') centre of queries whose prompt has no references.

    The mean over the images shown, drawn toward the global mean by n / (n + κ).
    """
    if block.lone:
        share = 1.0 / (1.0 + frame.kappa)
        asked = frame.scaled(block.points[block.query])
        return np.asarray(frame.grand + np.float32(share) * (asked - frame.grand))
    shown = block.points[block.shown].mean(axis=0, dtype=np.float64)
    count = len(block.shown)
    share = count / (count + frame.kappa)
    return np.asarray(frame.grand + np.float32(share) * (frame.scaled(shown[None]) - frame.grand))


@dataclass(frozen=True)
class Assembled:
    """A matched block's queries and centroids, each less its prompt's effect.

    Attributes:
        which: (n,) for each query, the place of its round among the G rounds asked.
        queries: (n, k).
        counts: (G, M) references left in each cell of each round.
        means: (G, M, k) their means; arbitrary where none is left.
    """

    which: Ints
    queries: Floats
    counts: Floats
    means: Floats


def assemble(frame: Frame, points: Floats, effects: Floats, block: Block) -> Assembled:
    """Returns queries and cells of all rounds at once, after any linear map.

    Within one arena the centre is the prompt's effect as the references of the round show
    it. From another arena, whose images may differ in all (size, format), the mean of the
    other images shown is added with weight n / (n + κ).

    Args:
        frame: gives κ.
        points: (p, k) the block's points, mapped.
        effects: (M, k) model effects, mapped alike.
        block: matched block.
    """
    numbers, which = np.unique(block.round, return_inverse=True)
    counts, sums = cell_sums(points, len(effects), block, numbers)
    means = sums / np.maximum(counts, 1.0)[:, :, None]
    present = counts > 0
    weights = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    middles = np.einsum("gm,gmk->gk", weights.astype(np.float32), means - effects)
    centre = middles[which]
    if block.separate and not block.lone and len(block.shown) > 1:
        shown = points[block.shown]
        others = len(shown) - 1
        rest = (shown.sum(axis=0) - points[block.query]) / others
        share = np.float32(others / (others + frame.kappa))
        centre = centre + share * (rest - centre)
    means -= middles[:, None, :]
    queries = points[block.query] - centre
    return Assembled(which, queries, counts, means.astype(np.float32, copy=False))


def cell_sums(points: Floats, models: int, block: Block, numbers: Ints) -> tuple[Floats, Floats]:
    """Returns (G, M) counts and (G, M, k) sums of the references each round leaves."""
    assert block.rounds is not None
    references = points[block.reference]
    places = np.arange(len(block.model))
    if block.limit is None and block.usable.all():
        weights = np.zeros((models, len(places)), dtype=np.float32)
        weights[block.model, places] = 1.0
        taken = block.rounds.removed[numbers]
        gone = (taken >= 0).astype(np.float32)
        return (
            weights.sum(axis=1) - gone,
            (weights @ references)[None] - references[taken] * gone[:, :, None],
        )
    masks = np.zeros((len(numbers), models, len(places)), dtype=np.float32)
    masks[:, block.model, places] = block.kept[numbers]
    return masks.sum(axis=2), masks @ references


def matched_centre(frame: Frame, points: Floats, block: Block, cells: Cells, asked: Ints) -> Floats:
    """Returns the centre of queries whose prompt has references, after a linear map.

    Within one arena it is the prompt's effect as the references of the round show it.
    From another arena, whose images may differ in all (size, format), the mean of the
    other images shown is added with weight n / (n + κ).

    Args:
        frame: gives κ.
        points: (p, k) mapped points.
        block: matched block.
        cells: the round's cells.
        asked: (q,) places among the block's queries.
    """
    if not block.separate or block.lone or len(block.shown) < 2:
        return cells.middle[None]
    shown = points[block.shown]
    others = len(shown) - 1
    rest = (shown.sum(axis=0) - points[block.query[asked]]) / others
    share = np.float32(others / (others + frame.kappa))
    return np.asarray(cells.middle + share * (rest - cells.middle))
