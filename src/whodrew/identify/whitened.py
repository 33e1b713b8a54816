"""Gaussian log-likelihoods about shrunken centroids, whitened within models.

``x - b[q]`` of model m is taken as normal about ``a[m]`` with one covariance S for all
models. With matched references the mean is drawn from the cell's own centroid toward
``a[m]`` by n / (n + τ). Strength of the shrinkage of S, its make-up and τ are chosen by
likelihood on held-out prompts. These definitions are whodrew's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option, rounds_of
from whodrew.identify.cells import Cells, matched_centre, other_centre, round_cells
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

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (options, n, M) log-likelihoods up to a constant of the query.

        Cost: one whitening of the block's points for each (strength, mix), k M each query.
        """
        models = len(self.frame.known)
        scores = np.empty((len(options), len(block.rows), models), dtype=np.float32)
        if block.rounds is None:
            queries = self.frame.scaled(block.points[block.query])
            queries = queries - other_centre(self.frame, block)
            covariance = self._covariance(1.0)
            means_at = covariance.whitener(self.frame.effects)
            white_at = covariance.whitener(queries)
            for index, option in enumerate(options):
                strength = option.strength
                found = -half_squared_distances(white_at(strength), means_at(strength))
                scores[index] = np.where(self.frame.known, found, NEVER)
            return scores
        points = self.frame.scaled(block.points)
        for mix in sorted({option.mix for option in options}):
            covariance = self._covariance(mix)
            effects_at = covariance.whitener(self.frame.effects)
            white_at = covariance.whitener(points)
            for strength in sorted({option.strength for option in options}):
                chosen = [
                    index
                    for index, option in enumerate(options)
                    if option.mix == mix and option.strength == strength
                ]
                if chosen:
                    white, effects = white_at(strength), effects_at(strength)
                    weights = [options[index].weight for index in chosen]
                    scores[chosen] = self._matched(block, white, effects, weights)
        return scores

    def _matched(
        self, block: Block, white: Floats, effects: Floats, weights: list[float]
    ) -> Floats:
        scores = np.empty((len(weights), len(block.rows), len(effects)), dtype=np.float32)
        for number, asked in rounds_of(block):
            cells = round_cells(white, effects, block, number)
            centre = matched_centre(self.frame, white, block, cells, asked)
            queries = white[block.query[asked]] - centre
            for index, weight in enumerate(weights):
                means, able = self._means(cells, effects, weight)
                found = -half_squared_distances(queries, means)
                scores[index, asked] = np.where(able, found, NEVER)
        return scores

    def _means(self, cells: Cells, effects: Floats, weight: float) -> tuple[Floats, Mask]:
        trust = cells.counts / np.maximum(cells.counts + weight, 1e-9)
        trust = np.where(self.frame.known, trust, cells.counts > 0)[:, None].astype(np.float32)
        means = trust * (cells.means - cells.middle) + (1 - trust) * effects
        return means, self.frame.known | (cells.counts > 0)


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
