"""No fewer battles than this can turn an order: a lower bound that holds for any removal.

Whodrew's own, for ties as halves. Let θ̂ be the scores of all battles and θ those of what is
left after R battles are removed, δ = θ̂ − θ, and e_ij = δ_i − δ_j. At both optima the
derivatives vanish, so what was removed adds up to the derivative of all battles at θ:

    Σ_removed s(θ)·δ = N(δ) = Σ_pairs n_ij (p̂_ij − p_ij) e_ij + ridge |δ|²

No battle won by i over j has more on the left than f_ij(e_ij) = e_ij (A (1 − p_ij) − B p_ij),
A its votes for i and B those for j, so R ≥ N(δ) / T with T = max f. Every f ≤ T gives a cap
on each e_ij, alone and by way of others (shortest paths). Within the caps the terms of N are
at least m_ij e_ij², m_ij being n_ij times the least mean slope of the logistic function over
the ways allowed: a network of conductances, in which e_ul is at least the gap, for the order
turns, and e_ij is at its cap for the pair that attains T. The least N is then a quadratic form
under two linear constraints, by effective resistances. The least quotient is taken over
intervals of T; beyond the last, N grows at least as fast along a ray as T can.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whodrew.ranking.cells import Codes
from whodrew.ranking.columns import Doubles
from whodrew.ranking.influence_refit import Log
from whodrew.ranking.models import expit

#: T grows by this factor from step to step, and about so much of the bound is lost.
_FACTOR: Final = 1.02
#: Steps that are looked at together at first.
_COARSE: Final = 16
#: T that is looked at first, in gaps, where the two never met.
_LEAST_T: Final = 0.05
_TRIALS: Final = 32
_HALVINGS: Final = 26


@dataclass(frozen=True)
class _Caps:
    """What T allows: (D,) by directed pair alone, (M, M) by way of others too."""

    alone: Doubles
    all: Doubles


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
        if gap <= 1e-9:  # equal but for rounding
            return 0.0
        own = np.flatnonzero(self._code == upper * self._log.cells.models + lower)
        # T is at least that of the pair itself at the gap, where one beat the other
        met = float(self._f(np.full(1, gap), own)[0]) if len(own) else 0.0
        first = int(np.floor(np.log(max(met, _LEAST_T * gap)) / np.log(_FACTOR)))
        # bounds with their first and last step of T; two alike are all beyond
        heap = [(0.0, first, first)]
        if met < _LEAST_T * gap:
            least, _ = self._value((first - 1, first), True, gap, (upper, lower))
            heap.append((least, first - 1, first))
        for _ in range(_TRIALS):
            value, start, end = heapq.heappop(heap)
            if start == end:
                parts = [(start, start + _COARSE)]
            elif end - start == 1:
                return value
            else:
                parts = [(start, (start + end) // 2), ((start + end) // 2, end)]
            for part in parts:
                least, tail = self._value(part, False, gap, (upper, lower))
                heapq.heappush(heap, (max(least, value if start < end else 0.0), *part))
            if start == end:
                heapq.heappush(heap, (tail, parts[0][1], parts[0][1]))
        return heap[0][0]

    def _value(
        self, steps: tuple[int, int], from_nothing: bool, gap: float, ends: tuple[int, int]
    ) -> tuple[float, float]:
        """Returns the least quotient for T within steps of the grid, and for all beyond."""
        caps = self._caps(steps[1])
        if from_nothing:
            before = np.zeros(len(self._code))
        else:
            before = self._caps(steps[0]).alone * (1 - 1e-6)
        inverse, resistance, loss = self._network(caps, gap, ends)
        beyond = caps.alone**2 / (resistance[self._i, self._j] * loss)
        tail = float(beyond.min() / (caps.alone * self._A).max())
        if caps.all[ends] < gap:  # T is larger yet
            return np.inf, tail
        least = self._quadratic(inverse, resistance, gap, ends, (before, caps.alone))
        return least / _FACTOR ** steps[1], tail

    def _f(self, e: Doubles, rows: Any) -> Doubles:
        p = expit(self._d[rows] - e)
        return np.asarray(e * (self._A[rows] * (1 - p) - self._B[rows] * p))

    def _ends(self, T: float) -> Doubles:
        """Returns (D,) the e at which f of each directed pair is T, from below."""
        rows = np.arange(len(self._code))
        high = np.full(len(rows), T)
        for _ in range(200):
            short = self._f(high, rows) < T
            if not short.any():
                break
            high[short] *= 2
        low = np.zeros(len(rows))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = self._f(middle, rows) >= T
            high = np.where(above, middle, high)
            low = np.where(above, low, middle)
        return low

    def _caps(self, step: int) -> _Caps:
        if step not in self._held:
            from scipy.sparse import csr_matrix
            from scipy.sparse.csgraph import shortest_path

            alone = self._ends(_FACTOR**step) * (1 + 1e-6)
            M = self._log.cells.models
            ways = shortest_path(csr_matrix((alone, (self._i, self._j)), shape=(M, M)))
            self._held[step] = _Caps(alone, ways)
        return self._held[step]

    def _network(
        self, caps: _Caps, gap: float, ends: tuple[int, int]
    ) -> tuple[Doubles, Doubles, float]:
        """Returns the inverse of the Laplacian, all resistances, and what the tail loses."""
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
                p = expit(d[own])
                loss = max(1.0, float((m[own] / np.minimum(p * (1 - p), m[own]))[0]))
        L = np.zeros((M, M))
        L[pairs.first, pairs.second] = L[pairs.second, pairs.first] = -m * self._total
        L -= np.diag(L.sum(axis=1))
        scale = max(float(np.trace(L)) / M, 1e-300)
        inverse: Doubles = np.asarray(np.linalg.inv(L + scale / M), dtype=np.float64)
        diagonal = np.diag(inverse)
        return inverse, diagonal[:, None] + diagonal[None] - 2 * inverse, loss

    def _quadratic(
        self,
        inverse: Doubles,
        resistance: Doubles,
        gap: float,
        ends: tuple[int, int],
        between: tuple[Doubles, Doubles],
    ) -> float:
        """Returns the least N where e_ul >= gap and some pair's e is between its two ends."""
        u, v = ends
        i, j = self._i, self._j
        r, r_k = float(resistance[u, v]), resistance[i, j]
        rho = inverse[u, i] - inverse[u, j] - inverse[v, i] + inverse[v, j]
        # where e_ul is the gap and nothing else is asked, e_k is this
        free = gap * rho / r
        e = np.clip(free, *between)
        determinant = np.maximum(r * r_k - rho**2, 1e-12 * r * r_k)
        both = (gap**2 * r_k - 2 * gap * e * rho + e**2 * r) / determinant
        # the gap may be more than met by what e_k brings
        alone = e**2 / r_k
        least = np.where(e * rho / r_k >= gap, alone, np.maximum(both, gap**2 / r))
        least = np.where(e == free, gap**2 / r, least)
        return float(least.min())


def _mean_slope(d: Doubles, way: Codes | Doubles) -> Doubles:
    """Returns the mean slope of the logistic function from d - way to d."""
    way = np.where(np.abs(way) < 1e-7, 1e-7, way)
    return np.asarray((expit(d) - expit(d - way)) / way)
