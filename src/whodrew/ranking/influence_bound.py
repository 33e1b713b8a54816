"""No fewer battles than this can turn an order: a lower bound that holds for any removal.

Whodrew's own, for ties as halves. Let θ̂ be the scores of all battles and θ those of what is
left after R battles are removed, δ = θ̂ − θ, and e_ij = δ_i − δ_j. At both optima the
derivatives vanish, so what was removed adds up to the derivative of all battles at θ:

    Σ_removed s(θ)·δ = N(δ) = Σ_pairs n_ij (p̂_ij − p_ij) e_ij + ridge |δ|²

No battle of i and j with e_ij > 0 has more on the left than f_ij(e_ij) = e_ij (A (1 − p_ij) −
B p_ij), A the most votes for i in one of them and B the fewest for j beside any for i, so
R ≥ N(δ) / T with T = max f. Once f is above 0 it grows with e, so every f ≤ T gives a cap on
each e_ij, alone and by way of others (shortest paths). Within the caps the terms of N are
at least m_ij e_ij², m_ij being n_ij times the least mean slope of the logistic function over
the ways allowed: a network of conductances, in which e_ul is at least the gap, for the order
turns, and e_ij is at its cap for the pair that attains T. The least N is then a quadratic form
under two linear constraints, by effective resistances. The least quotient is taken over
intervals of T. Beyond the last, N grows at least as fast along a ray as T can: for t < 1
N(tδ) ≤ t N(δ), and f_ij(e_ij) ≤ A e_ij.

Computed figures err to the safe side: caps are upper ends of a bisection and what T takes at
least is a lower end, resistances are raised by what the inverse may be wrong by.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whodrew.ranking.cells import Codes
from whodrew.ranking.columns import Doubles
from whodrew.ranking.influence_refit import Log

#: T grows by this factor from step to step, and about so much of the bound is lost.
_FACTOR: Final = 1.02
#: Steps that are looked at together at first.
_COARSE: Final = 16
#: T that is looked at first, in gaps times votes of a battle, where the two never met.
_LEAST_T: Final = 0.05
_TRIALS: Final = 32
#: Halvings of an interval as long as its lower end, and what rounding may do besides.
_HALVINGS: Final = 34
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class _Caps:
    """What T allows, and takes.

    Attributes:
        least: (D,) no directed pair attains T at a smaller e.
        alone: (D,) nor has it a larger one.
        all: (M, M) the largest e by way of others too.
    """

    least: Doubles
    alone: Doubles
    all: Doubles


@dataclass(frozen=True)
class _Network:
    """The terms of N as conductances.

    Attributes:
        inverse: (M, M) of the Laplacian.
        resistance: (M, M) effective, no less than they are.
        error: what a difference of two potentials may be wrong by.
        loss: by how much conductances are less along a ray.
    """

    inverse: Doubles
    resistance: Doubles
    error: float
    loss: float


class Bound:
    """Lower bounds of one log; what they share is kept.

    Args:
        log: the log; ties must be halves.
    """

    def __init__(self, log: Log) -> None:
        cells, M = log.cells, log.cells.models
        self._log = log
        won = cells.amounts[:, 0] + cells.amounts[:, 2] / 2
        lost = cells.amounts[:, 1] + cells.amounts[:, 2] / 2
        code = np.r_[cells.first * M + cells.second, cells.second * M + cells.first]
        own, other = np.r_[won, lost], np.r_[lost, won]
        there = own > 0
        self._code, place = np.unique(code[there], return_inverse=True)
        self._i, self._j = np.divmod(self._code, M)
        # the most for and the least against: no battle of the pair has more
        self._A = np.zeros(len(self._code))
        np.maximum.at(self._A, place, own[there])
        self._B = np.full(len(self._code), np.inf)
        np.minimum.at(self._B, place, other[there])
        scores = log.point.scores
        self._d = scores[self._i] - scores[self._j]
        self._total = log.pairs.wins + log.pairs.losses + log.pairs.ties
        self._pair_d = scores[log.pairs.first] - scores[log.pairs.second]
        self._held: dict[int, _Caps] = {}

    def least(self, upper: int, lower: int) -> float:
        """Returns a number of battles below which no removal turns an order, not rounded.

        Best first: the interval of T with the lowest bound is halved until it is one step of
        the grid. Cost: an inverse of M × M an interval, some tens of them.

        Args:
            upper: code of the model above.
            lower: code of the model below.
        """
        scores = self._log.point.scores
        gap = float(scores[upper] - scores[lower])
        if gap <= 1e-9 or not self._log.point.converged:  # equal but for rounding; no optimum
            return 0.0
        own = np.flatnonzero(self._code == upper * self._log.cells.models + lower)
        # T is at least that of the pair itself at the gap, where one beat the other
        met = float(self._f(np.full(1, gap), own)[0]) if len(own) else 0.0
        little = _LEAST_T * gap * float(np.median(self._A))
        first = int(np.floor(np.log(max(met, little)) / np.log(_FACTOR)))
        # bounds with their first and last step of T; two alike are all beyond
        heap = [(0.0, first, first)]
        if met < little:
            least, _ = self._value((first - 1, first), True, gap, (upper, lower))
            heap.append((least, first - 1, first))
        for _ in range(_TRIALS):
            value, start, end = heapq.heappop(heap)
            if start == end:
                parts = [(start, start + _COARSE)]
            elif end - start == 1:
                return value if np.isfinite(value) else 0.0
            else:
                parts = [(start, (start + end) // 2), ((start + end) // 2, end)]
            for part in parts:
                least, tail = self._value(part, False, gap, (upper, lower))
                heapq.heappush(heap, (max(least, value if start < end else 0.0), *part))
            if start == end:
                heapq.heappush(heap, (tail, parts[0][1], parts[0][1]))
        return heap[0][0] if np.isfinite(heap[0][0]) else 0.0

    def _value(
        self, steps: tuple[int, int], from_nothing: bool, gap: float, ends: tuple[int, int]
    ) -> tuple[float, float]:
        """Returns the least quotient for T within steps of the grid, and for all beyond."""
        caps = self._caps(steps[1])
        if from_nothing:
            before = np.zeros(len(self._code))
        else:
            before = self._caps(steps[0]).least
        network = self._network(caps, gap, ends)
        beyond = caps.least**2 / (network.resistance[self._i, self._j] * network.loss)
        tail = float(beyond.min() / (caps.alone * self._A).max())
        if caps.all[ends] < gap:  # T is larger yet
            return np.inf, tail
        least = self._quadratic(network, gap, ends, (before, caps.alone))
        return least / _FACTOR ** steps[1], tail

    def _f(self, e: Doubles, rows: Any) -> Doubles:
        from scipy.special import expit  # to the last digit in both tails

        way = self._d[rows] - e
        return np.asarray(e * (self._A[rows] * expit(-way) - self._B[rows] * expit(way)))

    def _ends(self, T: float) -> tuple[Doubles, Doubles]:
        """Returns (D,) below and above the e at which f of each directed pair is T."""
        rows = np.arange(len(self._code))
        low = T / self._A  # f(e) is at most A e
        high = low.copy()
        while True:  # for large e f is A e, less what vanishes
            short = self._f(high, rows) < T
            if not short.any():
                break
            low = np.where(short, high, low)
            high = np.where(short, 2 * high, high)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = self._f(middle, rows) >= T
            high = np.where(above, middle, high)
            low = np.where(above, low, middle)
        return low * (1 - _ROUNDING), high * (1 + _ROUNDING)

    def _caps(self, step: int) -> _Caps:
        if step not in self._held:
            from scipy.sparse import csr_matrix
            from scipy.sparse.csgraph import shortest_path

            least, alone = self._ends(_FACTOR**step)
            M = self._log.cells.models
            ways = shortest_path(csr_matrix((alone, (self._i, self._j)), shape=(M, M)))
            self._held[step] = _Caps(least, alone, ways * (1 + _ROUNDING))
        return self._held[step]

    def _network(self, caps: _Caps, gap: float, ends: tuple[int, int]) -> _Network:
        """Returns the network of conductances within the caps."""
        pairs, M, d = self._log.pairs, self._log.cells.models, self._pair_d
        up = caps.all[pairs.first, pairs.second]
        down = caps.all[pairs.second, pairs.first]
        # the mean slope is unimodal in where the way ends: least at one end
        m = np.minimum(_mean_slope(d, up), _mean_slope(d, -down))
        loss = 1.0
        for first, second, sign, most in ((*ends, 1.0, up), (ends[1], ends[0], -1.0, down)):
            own = np.flatnonzero((pairs.first == first) & (pairs.second == second))
            if len(own):  # this pair moves one way, by the gap at least
                there, far = np.full(1, sign * gap), sign * most[own]
                m[own] = np.minimum(_mean_slope(d[own], there), _mean_slope(d[own], far))
                # along a ray, less than the gap
                slope = _mean_slope(d[own], np.zeros(1))
                loss = max(1.0, float((m[own] / np.minimum(slope, m[own]))[0]))
        L = np.zeros((M, M))
        L[pairs.first, pairs.second] = L[pairs.second, pairs.first] = -m * self._total
        L -= np.diag(L.sum(axis=1))
        scale = max(float(np.trace(L)) / M, 1e-300)
        L += scale / M
        inverse: Doubles = np.asarray(np.linalg.inv(L), dtype=np.float64)
        diagonal = np.diag(inverse)
        # L itself is rounded, and the inverse is wrong by its residual, about
        long = float(np.abs(inverse).sum(axis=1).max())
        wrong = float(np.abs(L @ inverse - np.eye(M)).sum(axis=1).max())
        wrong += M * np.finfo(np.float64).eps * float(np.abs(L).sum(axis=1).max()) * long
        error = 4 * long * wrong
        resistance = diagonal[:, None] + diagonal[None] - 2 * inverse + error
        return _Network(inverse, resistance, error, loss)

    def _quadratic(
        self, network: _Network, gap: float, ends: tuple[int, int], between: tuple[Doubles, Doubles]
    ) -> float:
        """Returns the least N where e_ul >= gap and some pair's e is between its two ends."""
        u, v = ends
        i, j = self._i, self._j
        inverse, error = network.inverse, network.error
        r, r_k = float(network.resistance[u, v]), network.resistance[i, j]
        rho = inverse[u, i] - inverse[u, j] - inverse[v, i] + inverse[v, j]
        # where e_ul is the gap and nothing else is asked, e_k is this
        free = gap * rho / r
        e = np.clip(free, *between)
        # the gap may be more than met by what e_k brings: then that alone counts, which is less
        far = np.maximum(np.abs(e - free) - 4 * gap * error / r, 0.0)
        rest = np.maximum(r_k - rho**2 / r, 1e-12 * r_k) + 4 * error
        both = gap**2 / r + far**2 / rest
        least = np.where(e * rho >= gap * r_k, e**2 / r_k, both)
        return float(np.maximum(least, gap**2 / r).min())


def _mean_slope(d: Doubles, way: Codes | Doubles) -> Doubles:
    """Returns the mean slope of the logistic function from d - way to d."""
    from scipy.special import expit

    low, high = np.minimum(d, d - way), np.maximum(d, d - way)
    width = np.maximum(high - low, 1e-12)
    # σ(high) - σ(low) = σ(high) σ(-low) (1 - exp(-width)), without a difference of likes
    return np.asarray(expit(high) * expit(-low) * -np.expm1(-width) / width)
