"""Gaussian log-likelihoods about shrunken centroids, whitened within models.

``x - b[q]`` of model m is taken as normal about ``a[m]`` with one covariance S for all
models. With matched references the mean is drawn from the cell's own centroid toward
``a[m]`` by n / (n + τ). Strength of the shrinkage of S, its make-up and τ are chosen by
likelihood on held-out prompts. These definitions are whodrew's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option
from whodrew.identify.cells import Assembled, assemble, other_centre
from whodrew.identify.covariance import Covariance
from whodrew.identify.library import Frame, Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Mask

STRENGTHS = (0.1, 0.003, 0.01, 0.03, 0.3, 1.0, 3.0)
MIXES = (0.5, 0.0, 1.0)
WEIGHTS = (4.0, 0.0, 1.0, 2.0, 8.0, 16.0, 64.0, 1e6)


def half_squared_distances(queries: Floats, means: Floats) -> Floats:
    """Returns (n, M) half the squared Euclidean distances."""
    cross = queries @ means.T
    left = np.einsum("ij,ij->i", queries, queries)[:, None]
    right = np.einsum("ij,ij->i", means, means)
    return np.asarray(0.5 * (left + right) - cross)


def drawn_scores(
    drawn: Assembled, effects: Floats, known: Mask, weights: Sequence[float]
) -> Floats:
    """Returns (W, n, M) scores of a matched block; centroids are drawn toward the model's effect.

    Products are taken once for all weights: a centroid drawn by t has the square
    (1 - t)² e·e + 2 t (1 - t) e·m + t² m·m.

    Args:
        drawn: queries and cells, mapped.
        effects: (M, k) model effects, mapped alike.
        known: (M,) models that have one.
        weights: references at which a cell's own centroid is trusted by half, W values.
    """
    counts, which = drawn.counts, drawn.which
    given = np.asarray(weights, dtype=np.float32)[:, None, None]
    trust = counts / np.maximum(counts + given, np.float32(1e-9))
    trust = np.where(known, trust, counts > 0).astype(np.float32)
    less = 1 - trust
    own = np.einsum("gmk,gmk->gm", drawn.means, drawn.means)
    across = np.einsum("gmk,mk->gm", drawn.means, effects)
    alone = np.einsum("mk,mk->m", effects, effects)
    levels = 0.5 * less**2 * alone + less * trust * across + 0.5 * trust**2 * own
    to_cell = np.empty((len(which), len(known)), dtype=np.float32)
    for number, means in enumerate(drawn.means):
        asked = np.flatnonzero(which == number)
        to_cell[asked] = drawn.queries[asked] @ means.T
    scores = less[:, which] * (drawn.queries @ effects.T) + trust[:, which] * to_cell
    scores -= levels[:, which]
    scores -= 0.5 * np.einsum("ij,ij->i", drawn.queries, drawn.queries)[:, None]
    return np.where(known | (counts > 0)[which], scores, NEVER)


@dataclass
class FittedWhitened:
    """Frame and covariances without some prompts."""

    library: Library
    frame: Frame
    without: frozenset[int]

    @cached_property
    def _covariances(self) -> dict[float, Covariance]:
        return {}

    def _covariance(self, mix: float) -> Covariance:
        if mix not in self._covariances:
            self._covariances[mix] = self.library.covariance(self.frame, self.without, mix)
        return self._covariances[mix]

    def _whitened(self, mix: float, lines: Floats) -> Callable[[float], tuple[Floats, Floats]]:
        """Returns what maps a strength to white lines and white model effects, in the same axes."""
        at = self._covariance(mix).whitener(np.concatenate([lines, self.frame.effects]))

        def both(strength: float) -> tuple[Floats, Floats]:
            white = at(strength)
            return white[: len(lines)], white[len(lines) :]

        return both

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (options, n, M) log-likelihoods up to a constant of the query.

        Cost: for each (strength, mix) one whitening of the queries and of the cells'
        centroids in each round, k M each query. Centroids are linear in the references, so
        whitening them is whitening less.
        """
        models = len(self.frame.known)
        scores = np.empty((len(options), len(block.rows), models), dtype=np.float32)
        if block.rounds is None:
            queries = self.frame.scaled(block.points[block.query])
            queries = queries - other_centre(self.frame, block)
            white_at = self._whitened(1.0, queries)
            for index, option in enumerate(options):
                found = -half_squared_distances(*white_at(option.strength))
                scores[index] = np.where(self.frame.known, found, NEVER)
            return scores
        lines, finish = self._lines(block)
        for mix in sorted({option.mix for option in options}):
            white_at = self._whitened(mix, lines)
            for strength in sorted({o.strength for o in options if o.mix == mix}):
                white, effects = white_at(strength)
                drawn = finish(white, effects)
                alike = [
                    index
                    for index, option in enumerate(options)
                    if option.mix == mix and option.strength == strength
                ]
                weights = [options[index].weight for index in alike]
                scores[alike] = drawn_scores(drawn, effects, self.frame.known, weights)
        return scores

    def _lines(self, block: Block) -> tuple[Floats, Callable[[Floats, Floats], Assembled]]:
        """Returns what to whiten, and what makes queries and centroids of it.

        Both are linear in the points, so that the shorter of the two lists is whitened:
        every point, or the queries and centroids of the rounds that are asked.
        """
        points = self.frame.scaled(block.points)
        rounds = len(np.unique(block.round))
        models = len(self.frame.known)
        if len(points) <= len(block.rows) + rounds * models:
            return points, lambda white, effects: assemble(self.frame, white, effects, block)
        drawn = assemble(self.frame, points, self.frame.effects, block)
        lines = np.concatenate([drawn.queries, drawn.means.reshape(rounds * models, -1)])

        def split(white: Floats, _effects: Floats) -> Assembled:
            queries, means = np.split(white, [len(block.rows)])
            return replace(drawn, queries=queries, means=means.reshape(rounds, models, -1))

        return lines, split


class WhitenedCentroid:
    """The default identifier."""

    name = "whitened-centroid"
    scatter = True
    by_fold = False

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Returns every strength, and under matched knowledge every mix and weight."""
        if not matched:
            return tuple(Option(strength=strength) for strength in STRENGTHS)
        return tuple(
            Option(strength, mix, weight)
            for mix in MIXES
            for strength in STRENGTHS
            for weight in WEIGHTS
        )

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits frame and scatter; covariances follow when they are asked for."""
        return FittedWhitened(library, library.frame(without, scatter=True), without)
