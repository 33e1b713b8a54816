"""A whitening whose ridge differs by column: the projection that ``contrastive`` trains.

A free linear map of 1,632 columns learns 300 references by heart and names held-out prompts
worse than the whitening it began with. So the map stays a whitening, of

    S(c) = R + mean over forms of Δ + s D t / f · diag(exp c),

R the covariance of images about what is expected of their model, Δ the mean outer product
of what a form of copies moves (its common shift included), t the mean of R's diagonal (at
least a thousandth of that of R and Δ), f its degrees of freedom; only the D numbers c are
trained. At c = 0 it is the whitening of ``whitened-centroid`` with the copies' movements
counted as noise. These definitions are whodrew's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from whodrew.identify.covariance import FLOOR, FullCovariance, ThinCovariance, cholesky
from whodrew.identify.library import Frame, Library
from whodrew.identify.samples import Floats, Ints

Matrix = npt.NDArray[np.float32]
#: References whose copies' movements are averaged, at most.
MOST_MOVED = 2000
#: Least t, of the mean diagonal with the movements in it: for references too few to vary.
_LEAST = 1e-3


@dataclass(frozen=True)
class Metric:
    """S(c) and the whitening it gives.

    Attributes:
        base: (D', D') R plus the mean of the forms' Δ.
        ridge: s D t / f.
        logs: (D',) c.
    """

    base: Matrix
    ridge: float
    logs: Floats

    @cached_property
    def _factor(self) -> npt.NDArray[Any]:
        matrix = self.base.copy()
        matrix[np.diag_indices(len(matrix))] += self.weights
        return cholesky(matrix)

    @property
    def weights(self) -> Floats:
        """(D',) what is added to the diagonal."""
        return np.asarray(self.ridge * np.exp(self.logs), dtype=np.float32)

    def project(self, vectors: Floats) -> Floats:
        """Returns (n, D') scaled vectors, projected. Cost: n D²."""
        factor = self._factor
        white = linalg.solve_triangular(
            factor, vectors.T.astype(factor.dtype), lower=True, check_finite=False
        )
        return np.ascontiguousarray(white.T, dtype=np.float32)

    def solve(self, vectors: Floats) -> Floats:
        """Returns (D', n) S(c)⁻¹ vectorsᵀ."""
        factor = self._factor
        found = linalg.cho_solve((factor, True), vectors.T.astype(factor.dtype), check_finite=False)
        return np.asarray(found, dtype=np.float32)

    def slope(self, solved: Floats, pull: Floats) -> Floats:
        """Returns (D',) the derivative of a loss in c.

        Args:
            solved: (D', n) ``solve`` of n vectors.
            pull: (n, n) derivative of the loss in the vectors' products under S(c)⁻¹.
        """
        both = 0.5 * (pull + pull.T)
        return np.asarray(-((solved @ both) * solved).sum(axis=1) * self.weights)


def movements(library: Library, without: frozenset[int], seed: int) -> Matrix:
    """Returns (D, D) the mean outer product of what copies of references move, not scaled.

    All forms weigh alike. Without copies it is (0, 0).

    Args:
        library: references.
        without: prompts left out.
        seed: seeds which references are looked at, where there are many.
    """
    samples = library.samples
    rows = some(library.rows_without(without), MOST_MOVED, np.random.default_rng([seed, 5]))
    if not samples.copies or len(rows) == 0:
        return np.zeros((0, 0), dtype=np.float32)
    native = samples.vectors[rows]
    total = np.zeros((samples.dimension, samples.dimension), dtype=np.float32)
    for copy in samples.copies:
        moved = copy[rows] - native
        total += moved.T @ moved
    return total / np.float32(len(rows) * len(samples.copies))


def untrained(
    library: Library,
    frame: Frame,
    without: frozenset[int],
    moved: Matrix,
    strength: float,
) -> Metric:
    """Returns the metric at c = 0.

    Args:
        library: references.
        frame: fitted without the same prompts.
        without: prompts left out.
        moved: ``movements`` without the same prompts, or more.
        strength: s, references a dimension that the ridge is worth.
    """
    covariance = library.covariance(frame, without, 1.0)
    if isinstance(covariance, ThinCovariance):
        base = covariance.residuals.T @ covariance.residuals
    else:
        assert isinstance(covariance, FullCovariance)
        base = np.array(covariance.matrix, dtype=np.float32)
    dimension = len(base)
    target = max(_mean_diagonal(base), FLOOR)
    if len(moved):
        scale = (1.0 / frame.deviation[frame.kept]).astype(np.float32)
        base += moved[np.ix_(frame.kept, frame.kept)] * np.outer(scale, scale)
        target = max(target, _LEAST * _mean_diagonal(base))
    ridge = strength * dimension * target / covariance.freedom
    return Metric(base, ridge, np.zeros(dimension, dtype=np.float32))


def _mean_diagonal(matrix: Matrix) -> float:
    return float(np.trace(matrix)) / max(len(matrix), 1)


def some(rows: Ints, most: int, rng: np.random.Generator) -> Ints:
    """Returns the rows, or a random few of them in order where there are more than ``most``."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
