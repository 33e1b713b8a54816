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
from whodrew.identify.cells import matched_centre, other_centre, round_cells
from whodrew.identify.covariance import Covariance
from whodrew.identify.library import Frame, Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Ints

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

    @cached_property
    def _white_effects(self) -> dict[tuple[float, float], Floats]:
        return {}

    def _covariance(self, mix: float) -> Covariance:
        if mix not in self._covariances:
            self._covariances[mix] = self.library.covariance(self.frame, self.without, mix)
        return self._covariances[mix]

    def _effects(self, mix: float, strength: float) -> Floats:
        """Returns (M, k) white model effects, the same for every block."""
        key = mix, strength
        if key not in self._white_effects:
            self._white_effects[key] = self._covariance(mix).whitener(self.frame.effects)(strength)
        return self._white_effects[key]

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
            white_at = self._covariance(1.0).whitener(queries)
            for index, option in enumerate(options):
                means = self._effects(1.0, option.strength)
                found = -half_squared_distances(white_at(option.strength), means)
                scores[index] = np.where(self.frame.known, found, NEVER)
            return scores
        rounds = self._rounds(block)
        lines = np.concatenate([*(one.queries for one in rounds), *(one.means for one in rounds)])
        for mix in sorted({option.mix for option in options}):
            white_at = self._covariance(mix).whitener(lines)
            for strength in sorted({o.strength for o in options if o.mix == mix}):
                white, effects = white_at(strength), self._effects(mix, strength)
                queries, means = np.split(white, [len(block.rows)])
                means = means.reshape(len(rounds), models, -1)
                for index, option in enumerate(options):
                    if option.mix == mix and option.strength == strength:
                        scores[index] = self._matched(rounds, queries, means, effects, option)
        return scores

    def _rounds(self, block: Block) -> list[Round]:
        points = self.frame.scaled(block.points)
        rounds = []
        for number, asked in rounds_of(block):
            cells = round_cells(points, self.frame.effects, block, number)
            centre = matched_centre(self.frame, points, block, cells, asked)
            means = (cells.means - cells.middle).astype(np.float32)
            queries = (points[block.query[asked]] - centre).astype(np.float32)
            rounds.append(Round(asked, queries, means, cells.counts))
        return rounds

    def _matched(
        self, rounds: list[Round], queries: Floats, means: Floats, effects: Floats, option: Option
    ) -> Floats:
        """Returns (n, M) scores of (n, k) white queries, round after round, in block order."""
        scores = np.empty((len(queries), len(effects)), dtype=np.float32)
        start = 0
        for one, own in zip(rounds, means, strict=True):
            trust = one.counts / np.maximum(one.counts + option.weight, 1e-9)
            trust = np.where(self.frame.known, trust, one.counts > 0)[:, None].astype(np.float32)
            able = self.frame.known | (one.counts > 0)
            drawn = trust * own + (1 - trust) * effects
            end = start + len(one.asked)
            found = -half_squared_distances(queries[start:end], drawn)
            scores[one.asked] = np.where(able, found, NEVER)
            start = end
        return scores


@dataclass(frozen=True)
class Round:
    """One round's queries and cells, scaled and centred but not yet whitened.

    Attributes:
        asked: (q,) places among the block's queries.
        queries: (q, D') queries less the prompt's effect.
        means: (M, D') centroids of the cells less the prompt's effect.
        counts: (M,) references behind each.
    """

    asked: Ints
    queries: Floats
    means: Floats
    counts: Floats


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
