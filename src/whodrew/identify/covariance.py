"""The pooled covariance of what a model draws, shrunk, and the whitening it gives.

Two routes to the same numbers: through the (D, D) scatter when references outnumber
dimensions, through the (n, n) Gram matrix of residuals when they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import linalg

from whodrew.identify.moments import Doubles
from whodrew.identify.samples import Floats

FLOOR = 1e-12
SPREAD = 0.03
#: Share of the mean squared length that is added to each row's, for points that repeat.
_APART: Final = 1e-6
#: Strengths from which on one eigendecomposition costs less than a factor for each.
_SEVERAL: Final = 3


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
        under S(s), and the map is linear in ``vectors``. Another call may answer in other
        axes: whiten together what is to be compared.
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
    """Covariance of n ≤ D residuals, S = residualsᵀ residuals, by their products alone.

    With L the weight left to S and r the ridge λ t, the inverse of S(s) is
    (I - Rᵀ (r/L I + R Rᵀ)⁻¹ R) / r (Woodbury), so that a whitening needs no (D, D) matrix.
    Cost: n² D once; n³ / 3 a strength, or some 9 n³ once where there are several.

    Attributes:
        residuals: (n, D) R, weighted so that S is their scatter.
        freedom: degrees of freedom behind them.
    """

    residuals: Floats
    freedom: int
    _factors: dict[float, Doubles] = field(default_factory=dict, repr=False)

    @cached_property
    def _gram(self) -> Doubles:
        return np.asarray(self.residuals @ self.residuals.T, dtype=np.float64)

    @cached_property
    def _eigen(self) -> tuple[Doubles, Doubles]:
        values, vectors = np.linalg.eigh(self._gram)
        return np.maximum(values, 0.0), vectors

    @cached_property
    def _full(self) -> FullCovariance:
        return FullCovariance(self.residuals.T @ self.residuals, self.freedom)

    def _weights(self, strength: float) -> tuple[float, float]:
        """Returns (r / L, r)."""
        dimension = self.residuals.shape[1]
        weight = shrunk_weight(strength, dimension, self.freedom)
        ridge = weight * max(float(np.trace(self._gram)) / dimension, FLOOR)
        return ridge / max(1.0 - weight, FLOOR), ridge

    def whitener(self, vectors: Floats) -> Whitener:
        """Returns what gives (n, n): coordinates with the products of ``vectors`` under S(s)⁻¹.

        More vectors than dimensions are whitened by the matrix itself.
        """
        if len(vectors) > vectors.shape[1]:
            return self._full.whitener(vectors)
        cross = np.asarray(vectors @ self.residuals.T, dtype=np.float64)
        own = np.asarray(vectors @ vectors.T, dtype=np.float64)
        turned: list[Doubles] = []

        def explained(floor: float, strength: float) -> Doubles:
            if "_eigen" not in self.__dict__ and len({*self._factors, strength}) < _SEVERAL:
                half = self._half(floor, strength, cross)
                return np.asarray(half.T @ half)
            values, axes = self._eigen
            if not turned:
                turned.append(cross @ axes)
            return np.asarray((turned[0] / (values + floor)) @ turned[0].T)

        def at(strength: float) -> Floats:
            floor, ridge = self._weights(strength)
            return coordinates((own - explained(floor, strength)) / ridge)

        return at

    def _half(self, floor: float, strength: float, cross: Doubles) -> Doubles:
        if strength not in self._factors:
            matrix = self._gram.copy()
            matrix[np.diag_indices(len(matrix))] += floor
            self._factors[strength] = linalg.cholesky(matrix, lower=True, check_finite=False)
        lower = self._factors[strength]
        return np.asarray(linalg.solve_triangular(lower, cross.T, lower=True, check_finite=False))


def coordinates(products: Doubles) -> Floats:
    """Returns (n, n) points whose products are ``products`` (n, n), but for rounding.

    Each squared length is lengthened by ``_APART`` of their mean, which moves all distances
    alike. Cost: n³ / 3; more where rounding made the products of no points at all.
    """
    spread = products.copy()
    spread[np.diag_indices(len(spread))] += _APART * max(
        float(np.trace(spread)) / len(spread), FLOOR
    )
    try:
        lower = linalg.cholesky(spread, lower=True, check_finite=False)
    except linalg.LinAlgError:
        values, axes = np.linalg.eigh(products)
        lower = axes * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(lower, dtype=np.float32)
