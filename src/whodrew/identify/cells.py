"""Centroids of one prompt's cells, round by round, and the centre of what is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whodrew.identify.library import Frame
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Ints


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
        middles: (G, k) the prompt's effect in each round, which was taken off.
    """

    which: Ints
    queries: Floats
    counts: Floats
    means: Floats
    middles: Floats


def assemble(frame: Frame, points: Floats, effects: Floats, block: Block) -> Assembled:
    """Returns queries and cells of all rounds at once, after any linear map.

    The prompt's effect is the mean over present cells of (cell mean - model effect), the
    least-squares estimate; with every cell present it is the mean of their means.

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
    return Assembled(which, queries, counts, means.astype(np.float32, copy=False), middles)


def cell_sums(points: Floats, models: int, block: Block, numbers: Ints) -> tuple[Floats, Floats]:
    """Returns (G, M) counts and (G, M, k) sums of the references each round leaves."""
    assert block.rounds is not None
    references = points[block.reference]
    places = np.arange(len(block.model))
    if block.limit is None and block.usable.all() and block.rounds.first is None:
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
