"""The pooled covariance of what a model draws, shrunk, and the whitening it gives.

Two routes to the same numbers: through the (D, D) scatter when references outnumber
dimensions, through the (n, n) Gram matrix of residuals when they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import linalg

from whodrew.identify.moments import Doubles
from whodrew.identify.samples import Floats

FLOOR = 1e-12
SPREAD = 0.03


Whitener = Callable[[float], Floats]


class Covariance(Protocol):
    """A covariance S that can be shrunk toward a multiple of the identity.

    With prior strength s, S(s) = (f S + s D t I) / (f + s D), where f is the degrees of
    freedom and t the mean of S's diagonal: the posterior mean under an inverse Wishart
    prior worth s references a dimension.
    """

    def whitener(self, vectors: Floats) -> Whitener:
        """Returns what maps a strength s to vectors (n, k).

        Euclidean distances of those are Mahalanobis distances of ``vectors`` (n, D)
        under S(s), and the map is linear in ``vectors``.
        """
        ...


def shrunk_weight(strength: float, dimension: int, freedom: int) -> float:
    """Returns λ, the weight of the identity, for prior ``strength``."""
    prior = strength * dimension
    return prior / (freedom + prior)


@dataclass(frozen=True)
class FullCovariance:
    """Covariance held as a (D, D) matrix. Cost: D³/3 a strength, n D² to whiten.

    Statistics that sum to a constant leave directions of no variance, and with many
    references hardly any shrinkage lifts them: see ``cholesky`` for the precision.
    """

    matrix: npt.NDArray[Any]
    freedom: int
    _factors: dict[float, npt.NDArray[np.floating]] = field(default_factory=dict, repr=False)

    def whitener(self, vectors: Floats) -> Whitener:
        """Returns what multiplies ``vectors`` by the inverse Cholesky factor of S(s)."""

        def at(strength: float) -> Floats:
            factor = self._factor(strength)
            white = linalg.solve_triangular(
                factor, vectors.T.astype(factor.dtype), lower=True, check_finite=False
            )
            return np.ascontiguousarray(white.T, dtype=np.float32)

        return at

    def _factor(self, strength: float) -> npt.NDArray[np.floating]:
        if strength not in self._factors:
            dimension = len(self.matrix)
            weight = shrunk_weight(strength, dimension, self.freedom)
            target = max(float(np.trace(self.matrix)) / dimension, FLOOR)
            shrunk = self.matrix * self.matrix.dtype.type(1.0 - weight)
            shrunk[np.diag_indices(dimension)] += weight * target
            self._factors[strength] = cholesky(shrunk)
        return self._factors[strength]


def cholesky(matrix: npt.NDArray[Any]) -> npt.NDArray[np.floating]:
    """Returns the lower Cholesky factor, in single precision where that is enough.

    Single precision halves the time; its pivots tell how badly conditioned the matrix is
    (their squared ratio bounds the condition from below), and where they spread by more
    than ``SPREAD`` the factor is computed in double precision.
    """
    try:
        lower = linalg.cholesky(np.asarray(matrix, np.float32), lower=True, check_finite=False)
        pivots = np.diag(lower)
        if pivots.min() > SPREAD * pivots.max():
            return np.asarray(lower)
    except linalg.LinAlgError:
        pass
    return np.asarray(linalg.cholesky(matrix.astype(np.float64), lower=True, check_finite=False))


@dataclass(frozen=True)
class ThinCovariance:
    """Covariance of n ≤ D residuals, held by its n axes. Cost: n² D + n³, once.

    Attributes:
        axes: (D, r) orthonormal directions in which residuals vary.
        variances: (r,) variance along each.
        freedom: degrees of freedom of the residuals.
        target: mean variance over all D dimensions.
    """

    axes: Floats
    variances: Doubles
    freedom: int
    target: float

    @classmethod
    def of_residuals(cls, residuals: Floats, freedom: int) -> ThinCovariance:
        """Builds it from rows already divided so that S = residualsᵀ residuals.

        Args:
            residuals: (n, D) weighted residuals.
            freedom: degrees of freedom behind them.
        """
        gram = (residuals @ residuals.T).astype(np.float64)
        values, vectors = linalg.eigh(gram, check_finite=False, overwrite_a=True)
        kept = values > max(values[-1], FLOOR) * 1e-9
        values, vectors = values[kept], vectors[:, kept]
        axes = residuals.T @ (vectors / np.sqrt(values)).astype(np.float32)
        dimension = residuals.shape[1]
        target = max(float(values.sum()) / dimension, FLOOR)
        return cls(np.ascontiguousarray(axes), values, freedom, target)

    def whitener(self, vectors: Floats) -> Whitener:
        """Returns what gives (n, r + D): along the axes, then what is orthogonal to them."""
        along = vectors @ self.axes
        across = vectors - along @ self.axes.T

        def at(strength: float) -> Floats:
            weight = shrunk_weight(strength, len(self.axes), self.freedom)
            scale = 1.0 / np.sqrt((1.0 - weight) * self.variances + weight * self.target)
            rest = np.float32(1.0 / np.sqrt(weight * self.target))
            return np.concatenate([along * scale.astype(np.float32), across * rest], axis=1)

        return at
