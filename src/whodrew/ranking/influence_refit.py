"""Refits of a log without some of its battles, many at once, and the first order of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.ranking.cells import Cells, Codes, Pairs, components, pairs_of
from whodrew.ranking.columns import Doubles
from whodrew.ranking.fit import Fit, fit, incidence
from whodrew.ranking.models import SLOPES, Slopes

#: Numbers that a batch of refits may hold in one of its arrays.
_BATCH: Final = 1 << 20
_STEPS: Final = 40
_CLOSE: Final = 1e-11
#: Below this share of a vote a pair counts as empty: what is left of sums of fractions; of
#: large weights, so much of their sum.
_NOTHING: Final = 1e-9
_ROUNDING: Final = 1e-14


@dataclass(frozen=True)
class Log:
    """A log as influence sees it: K kinds of battle between the M models that have a score.

    Attributes:
        cells: merged kinds of battle.
        pairs: their totals by pair, P of them.
        place: (K,) pair of each kind.
        point: the fit of all of it.
        ties: how ties are modelled.
        ridge: what is taken off the likelihood.
    """

    cells: Cells
    pairs: Pairs
    place: Codes
    point: Fit
    ties: str
    ridge: float


def log_of(cells: Cells, *, ties: str, ridge: float) -> Log:
    """Fits merged kinds of battle whose models are all joined."""
    pairs, place = pairs_of(cells)
    return Log(cells, pairs, place, fit(pairs, ties=ties, ridge=ridge), ties, ridge)


@dataclass(frozen=True)
class Units:
    """What can be removed as a whole, U of them: battles of a kind, or voters.

    Attributes:
        count: (U,) how many there are alike: battles of the kind, or 1 voter.
        battles: sparse (U, K): battles of each kind in one of them.
    """

    count: Doubles
    battles: Any

    def totals(self, log: Log, rows: npt.NDArray[Any]) -> tuple[Doubles, Doubles, Doubles]:
        """Returns (len(rows), P) wins, losses and ties in one of each of the units ``rows``."""
        from scipy.sparse import csr_matrix

        some = self.battles[rows].tocoo()
        shape = (len(rows), len(log.pairs.first))
        won, lost, tied = (
            csr_matrix(
                (some.data * log.cells.amounts[some.col, what], (some.row, log.place[some.col])),
                shape=shape,
            ).toarray()
            for what in range(3)
        )
        return won, lost, tied


def less(pairs: Pairs, won: Doubles, lost: Doubles, tied: Doubles) -> Pairs:
    """Returns totals with some taken off, none below 0 by rounding."""

    def rest(there: Doubles, gone: Doubles) -> Doubles:
        left = there - gone
        nothing = np.maximum(_NOTHING, _ROUNDING * there)
        return np.asarray(np.where(left < nothing, 0.0, left))

    return Pairs(
        pairs.models,
        pairs.first,
        pairs.second,
        rest(pairs.wins, won),
        rest(pairs.losses, lost),
        rest(pairs.ties, tied),
    )


def joined(base: Pairs, rest: Pairs) -> npt.NDArray[np.bool_]:
    """Returns (B,) whether all models still have a score in each of B logs.

    Only logs are looked at that lost a pair's last win or loss; cost M³ log M each.

    Args:
        base: all totals; its models are joined.
        rest: (B, P) what is left.
    """
    wins, losses = (
        one.reshape(-1, one.shape[-1]) for one in (rest.wins + rest.ties, rest.losses + rest.ties)
    )
    gone = (wins <= 0) & (base.wins + base.ties > 0)
    gone |= (losses <= 0) & (base.losses + base.ties > 0)
    found = np.ones(len(wins), dtype=bool)
    for at in np.flatnonzero(gone.any(axis=1)).tolist():
        matrix = np.zeros((base.models, base.models))
        matrix[base.first, base.second] = wins[at]
        matrix[base.second, base.first] = losses[at]
        found[at] = not components(matrix).any()
    return found


def slopes_at(log: Log, scores: Doubles, tie: Any, kinds: Codes | None = None) -> Slopes:
    """Returns the derivatives of one battle of each kind, at one point.

    Args:
        log: the log.
        scores: (M,) log odds.
        tie: log ν or log κ; not used where ties are halves.
        kinds: which kinds; all if not given.
    """
    place = log.place if kinds is None else log.place[kinds]
    amounts = log.cells.amounts if kinds is None else log.cells.amounts[kinds]
    d = scores[log.pairs.first[place]] - scores[log.pairs.second[place]]
    t = np.full(len(d), 0.0 if log.ties == "half" else float(tie))
    return SLOPES[log.ties](d, t, *amounts.T)


def directions(hessian: Doubles, ends: Codes, models: int) -> Doubles:
    """Returns (B, Q) a = H⁻¹ c, where c takes one score from another.

    Removing battles whose derivatives add up to s lowers the gap c·θ by a·s, to first
    order (Cook 1977; Koh and Liang 2017).

    Args:
        hessian: (B, Q, Q) or (Q, Q) minus the second derivatives.
        ends: (B, 2) the model above, and the one below.
        models: M.
    """
    rows = np.arange(len(ends))
    c = np.zeros((len(ends), hessian.shape[-1]))
    c[rows, ends[:, 0]], c[rows, ends[:, 1]] = 1.0, -1.0
    fixed = firm(hessian, models)
    return np.asarray(np.linalg.solve(fixed, c[..., None])[..., 0])


def firm(hessian: Doubles, models: int) -> Doubles:
    """Returns minus the second derivatives with the direction of all ones made solvable."""
    fixed = np.array(hessian, dtype=np.float64)
    block = fixed[..., :models, :models]
    scale = np.maximum(np.trace(block, axis1=-2, axis2=-1) / models, 1e-12)
    block += np.asarray(scale / models)[..., None, None]
    return fixed


def first_order(log: Log, ends: Codes) -> Doubles:
    """Returns (K, B) by how much one battle of each kind holds up each gap, to first order.

    Times the battles of a kind they add up to the slope of the ridge, 0 without one: at the
    optimum all votes together pull nowhere.
    """
    a = directions(log.point.hessian, ends, log.cells.models)
    slopes = slopes_at(log, log.point.scores, log.point.tie)
    first, second = log.pairs.first[log.place], log.pairs.second[log.place]
    pull = (a[:, first] - a[:, second]) * slopes.score
    if log.ties != "half":
        pull = pull + a[:, log.cells.models :] * slopes.tie
    return np.asarray(pull.T)


def without(log: Log, units: Units, rows: npt.NDArray[np.int64]) -> Doubles:
    """Returns (len(rows), M) the scores without one of each unit; NaN where some have none.

    Exact: steps with the second derivative of the whole log until none is above 1e-11, and
    Newton's method from there for the few that such steps do not bring home. A step costs
    P M numbers a unit, and a unit with a share h of the information of its pairs brings the
    error down to h of it, so that one vote of thousands takes three.
    """
    M, P = log.cells.models, len(log.pairs.first)
    found = np.empty((len(rows), M))
    at_once = max(1, _BATCH // P)
    X = incidence(log.pairs)
    inverse = np.asarray(np.linalg.inv(firm(log.point.hessian, M)), dtype=np.float64)
    for start in range(0, len(rows), at_once):
        some = slice(start, start + at_once)
        rest = less(log.pairs, *units.totals(log, rows[some]))
        found[some] = _refit(log, rest, X, inverse)
        found[some][~joined(log.pairs, rest)] = np.nan
    return found


def _refit(log: Log, rest: Pairs, X: Doubles, inverse: Doubles) -> Doubles:
    M, B = log.cells.models, len(rest.wins)
    extra = log.ties != "half"
    start = np.r_[log.point.scores, float(log.point.tie)][: M + extra]
    point = np.tile(start, (B, 1))
    rows, last = np.arange(B), np.full(B, np.inf)
    astray = np.zeros(B, dtype=bool)
    for _ in range(_STEPS):
        here = point[rows]
        d = here[:, :M] @ X.T
        t = np.broadcast_to(here[:, M:] if extra else np.zeros((len(rows), 1)), d.shape)
        slopes = SLOPES[log.ties](d, t, rest.wins[rows], rest.losses[rows], rest.ties[rows])
        gradient = slopes.score @ X
        if extra:
            gradient = np.column_stack([gradient, slopes.tie.sum(axis=1)])
        step = (gradient - log.ridge * here) @ inverse
        step[:, :M] -= step[:, :M].mean(axis=1, keepdims=True)
        far = np.abs(step).max(axis=1)
        slow = (far > last / 2) & (far > _CLOSE)
        astray[rows[slow]] = True
        good = ~slow
        point[rows[good]] += step[good]
        going = good & (far > _CLOSE)
        rows, last = rows[going], far[going]
        if not len(rows):
            break
    astray[rows] = True
    if astray.any():
        few = Pairs(
            M,
            rest.first,
            rest.second,
            rest.wins[astray],
            rest.losses[astray],
            rest.ties[astray],
        )
        point[astray, :M] = fit(few, ties=log.ties, ridge=log.ridge).scores
    return np.asarray(point[:, :M] - point[:, :M].mean(axis=1, keepdims=True))
