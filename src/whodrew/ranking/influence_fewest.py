"""The fewest battles, or voters, whose removal turns an order round: an upper bound.

Whodrew's own: greedy by first-order influence with a refit after each step. A step takes an
eighth of what seems still needed, so that the steps grow with the logarithm of the number
removed. Then the units are ordered by their influence at the fit where the order turns, and
bisection finds the fewest from the front of that order which turn it too, as long as this
gains; last, what need not be removed is put back. All orders advance together, so that one
batch of refits serves them all. Broderick, Giordano and Meager 2020 and Huang et al. 2025
drop votes by first-order influence at the full log only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from whodrew.ranking.cells import Codes, Pairs
from whodrew.ranking.columns import Doubles
from whodrew.ranking.fit import Fit, fit
from whodrew.ranking.influence_refit import (
    Log,
    Units,
    directions,
    first_order,
    joined,
    less,
    slopes_at,
)

#: By how much the lower score must be above the other: more than rounding.
TURNED: Final = 1e-9
#: Units that are looked at for one order: those that hold it up most.
_POOL: Final = 1 << 15
#: Units up to which all are added up, whether removed or not.
_FEW: Final = 4096
_PART: Final = 8
_ROUNDS: Final = 400
_REFINED: Final = 4
_PUT_BACK: Final = 12
_TRIED: Final = 8


@dataclass(frozen=True)
class Fewest:
    """Units whose removal turns one order.

    Attributes:
        units: (R,) codes of the units of which some are removed.
        taken: (R,) how many of each.
        gap: between the two scores without them; below 0.
    """

    units: Codes
    taken: Doubles
    gap: float

    @property
    def count(self) -> int:
        """How many are removed."""
        return int(self.taken.sum())


@dataclass
class _Search:
    """One order that is to be turned; changed in place as the search goes on."""

    ends: Codes
    pool: Codes
    count: Doubles
    battles: Any
    totals: Any
    across: Any
    kinds: Codes
    place: Codes
    taken: Doubles
    locked: Any
    best: Doubles | None = None
    gap: float = np.inf
    influence: Doubles = field(default_factory=lambda: np.zeros(0))
    open: bool = True

    def removed(self, taken: Doubles, pairs: int) -> Doubles:
        """Returns (3, P) wins, losses and ties in what is removed."""
        some = np.flatnonzero(taken)
        if len(taken) <= _FEW or 4 * len(some) > len(taken):
            found = self.across @ taken
        else:  # a few of many: the rest need not be read
            found = taken[some] @ self.totals[some]
        return np.asarray(found).reshape(3, pairs)


def fewest(log: Log, units: Units, ends: Codes) -> list[Fewest | None]:
    """Searches for the fewest units whose removal turns each order.

    Args:
        log: the log.
        units: what can be removed.
        ends: (B, 2) the model above, and the one below.

    Returns:
        What was found for each, confirmed by a refit from nothing; ``None`` where no removal
        was found that turns the order and leaves every model its score.
    """
    searches = _searches(log, units, ends)
    _greedy(log, searches)
    _refine(log, searches)
    _put_back(log, searches)
    return _confirmed(log, searches)


def _searches(log: Log, units: Units, ends: Codes) -> list[_Search]:
    pull = units.battles @ first_order(log, ends)
    found: list[_Search] = []
    for at, (upper, lower) in enumerate(ends.tolist()):
        if len(units.count) > _POOL or not found:  # else the same for all
            pool = np.arange(len(units.count))
            if len(pool) > _POOL:
                pool = np.sort(np.argpartition(-pull[:, at], _POOL)[:_POOL])
            some = units.battles[pool]
            kinds = np.unique(some.indices).astype(np.int64)
            totals, battles = _totals(log, some), some[:, kinds]
            across = totals.T.tocsr()
        found.append(
            _Search(
                ends=np.array([upper, lower]),
                pool=pool,
                count=units.count[pool],
                battles=battles,
                totals=totals,
                across=across,
                kinds=kinds,
                place=log.place[kinds],
                taken=np.zeros(len(pool)),
                locked=np.zeros(len(pool), dtype=bool),
            )
        )
    return found


def _totals(log: Log, battles: Any) -> Any:
    """Returns sparse (pool, 3 P): wins, losses and ties of each pair in one of each unit."""
    from scipy.sparse import csr_matrix, vstack

    P, K = len(log.pairs.first), len(log.place)
    each = [
        csr_matrix((log.cells.amounts[:, what], (log.place, np.arange(K))), shape=(P, K))
        for what in range(3)
    ]
    return (battles @ vstack(each).T).tocsr()


def _rest(log: Log, some: Iterable[tuple[_Search, Doubles]]) -> Pairs:
    gone = np.stack([one.removed(taken, len(log.pairs.first)) for one, taken in some], axis=1)
    return less(log.pairs, *gone)


def _fits(log: Log, rest: Pairs, start: Fit | None = None) -> Fit:
    return fit(rest, ties=log.ties, ridge=log.ridge, start=start)


def _gaps(fitted: Fit, searches: list[_Search]) -> Doubles:
    rows = np.arange(len(searches))
    ends = np.stack([one.ends for one in searches])
    return np.asarray(fitted.scores[rows, ends[:, 0]] - fitted.scores[rows, ends[:, 1]])


def _repeat(fitted: Fit, times: int) -> Fit:
    return _some(fitted, np.zeros(times, dtype=np.int64), single=True)


def _some(fitted: Fit, rows: Any, *, single: bool = False) -> Fit:
    held = [fitted.scores, fitted.tie, fitted.converged, fitted.hessian]
    if single:
        held = [np.asarray(one)[None] for one in held]
    return Fit(*(one[rows] for one in held))


def _weigh(log: Log, one: _Search, fitted: Fit, at: int, a: Doubles) -> Doubles:
    """Returns by how much each unit of the pool holds up the gap, at the fit ``at``."""
    tie = None if log.ties == "half" else fitted.tie[at]
    slopes = slopes_at(log, fitted.scores[at], tie, one.kinds)
    first, second = log.pairs.first[one.place], log.pairs.second[one.place]
    pull = (a[first] - a[second]) * slopes.score
    if log.ties != "half":
        pull = pull + a[log.cells.models] * slopes.tie
    return np.asarray(one.battles @ pull)


def _front(order: Codes, left: Doubles, number: float) -> Doubles:
    """Returns how many of each unit are taken where ``number`` are, from the front of ``order``."""
    before = np.cumsum(left[order]) - left[order]
    taken = np.zeros(len(left))
    taken[order] = np.clip(number - before, 0, left[order])
    return taken


# ---------------------------------------------------------------- greedy
def _greedy(log: Log, searches: list[_Search]) -> None:
    """Removes what holds up each gap most, step by step, until the order turns."""
    going = list(searches)
    fitted = _repeat(log.point, len(going))
    for _ in range(_ROUNDS):
        gaps = _gaps(fitted, going)
        for one, gap in zip(going, gaps.tolist(), strict=True):
            one.gap = gap
            if gap < -TURNED:
                one.best, one.open = one.taken.copy(), False
        a = directions(fitted.hessian, np.stack([one.ends for one in going]), log.cells.models)
        for at, one in enumerate(going):
            one.influence = _weigh(log, one, fitted, at, a[at])
            if one.open:
                one.open = _step(log, one)
        keep = [at for at, one in enumerate(going) if one.open]
        if not keep:
            return
        going, start = [going[at] for at in keep], _some(fitted, keep)
        fitted = _fits(log, _rest(log, ((one, one.taken) for one in going)), start)


def _step(log: Log, one: _Search) -> bool:
    """Removes some more; returns whether there was anything to remove."""
    while True:
        left = np.where(one.locked, 0.0, one.count - one.taken)
        useful = (left > 0) & (one.influence > 1e-14)
        if not useful.any():
            return False
        here = np.flatnonzero(useful)
        most = int(here[np.argmax(one.influence[here])])
        need = max(one.gap, 0.0) / one.influence[most]
        number = max(1.0, np.floor(min(need, 1e15) / _PART))
        order = np.array([most])
        if number > left[most]:
            order = _foremost(here, one.influence, number)
        while True:
            taken = one.taken + _front(order, left, number)
            if joined(log.pairs, _rest(log, [(one, taken)]))[0]:
                one.taken = taken
                return True
            if number <= 1:
                break
            number = np.floor(number / 2)
        one.locked[most] = True  # without this one some model has no score


def _foremost(here: Codes, influence: Doubles, number: float) -> Codes:
    """Returns the units of which ``number`` can be taken at most, the most influential first."""
    if number < len(here) / 4:
        here = here[np.argpartition(-influence[here], int(number))[: int(number)]]
    return here[np.argsort(-influence[here], kind="stable")]


# ---------------------------------------------------------------- what is not needed
def _turns(log: Log, some: list[tuple[_Search, Doubles]]) -> tuple[Any, Fit]:
    """Returns which removals turn their order and leave every model its score, and the fits."""
    rest = _rest(log, some)
    fitted = _fits(log, rest, _repeat(log.point, len(some)))
    gaps = _gaps(fitted, [one for one, _ in some])
    return (gaps < -TURNED) & joined(log.pairs, rest), fitted


def _refine(log: Log, searches: list[_Search]) -> None:
    """Orders units by their influence where the order turns, and bisects their number."""
    going = [one for one in searches if one.best is not None]
    for _ in range(_REFINED):
        going = [one for one in going if _best(one).sum() > 1]
        if not going:
            return
        _, fitted = _turns(log, [(one, _best(one)) for one in going])
        a = directions(fitted.hessian, np.stack([one.ends for one in going]), log.cells.models)
        cuts = []
        for at, one in enumerate(going):
            influence = _weigh(log, one, fitted, at, a[at])
            useful = np.flatnonzero(influence > 0)
            order = useful[np.argsort(-influence[useful], kind="stable")]
            cuts.append(_Cut(one, order, 0.0, _best(one).sum()))
        _bisect(log, cuts)
        going = [cut.search for cut in cuts if cut.better]


@dataclass
class _Cut:
    """How many are taken from the front of ``order``: at least ``low``, and ``high`` turn it."""

    search: _Search
    order: Codes
    low: float
    high: float
    better: bool = False


def _bisect(log: Log, cuts: list[_Cut]) -> None:
    going = list(cuts)
    while going:
        # one less than now first: mostly there is nothing to gain
        tried = [np.floor((c.low + c.high) / 2) if c.better else c.high - 1 for c in going]
        some = [
            (cut.search, _front(cut.order, cut.search.count, number))
            for cut, number in zip(going, tried, strict=True)
        ]
        good, _ = _turns(log, some)
        for cut, (one, taken), number, turns in zip(going, some, tried, good, strict=True):
            if turns:
                one.best, cut.high, cut.better = taken, number, True
            else:
                cut.low = number + 1
        going = [cut for cut in going if cut.low < cut.high and cut.better]


def _best(one: _Search) -> Doubles:
    assert one.best is not None
    return one.best


def _put_back(log: Log, searches: list[_Search]) -> None:
    """Puts back one unit after the other, the least influential first, while the order stays."""
    going = [one for one in searches if one.best is not None and one.best.sum() > 1]
    for _ in range(_PUT_BACK):
        some = []
        for one in going:
            there = np.flatnonzero(_best(one))
            for at in there[np.argsort(one.influence[there], kind="stable")][:_TRIED].tolist():
                fewer = _best(one).copy()
                fewer[at] -= 1
                some.append((one, fewer))
        if not some:
            return
        good, _ = _turns(log, some)
        gained = {
            id(one): (one, fewer) for (one, fewer), turns in zip(some, good, strict=True) if turns
        }
        for one, fewer in gained.values():
            one.best = fewer
        going = [one for one, _ in gained.values() if _best(one).sum() > 1]


def _confirmed(log: Log, searches: list[_Search]) -> list[Fewest | None]:
    """Refits from nothing what was found; what does not turn then is not found."""
    found: list[Fewest | None] = [None] * len(searches)
    there = [at for at, one in enumerate(searches) if one.best is not None]
    if not there:
        return found
    rest = _rest(log, ((searches[at], _best(searches[at])) for at in there))
    gaps = _gaps(_fits(log, rest), [searches[at] for at in there])
    sound = (gaps < -TURNED) & joined(log.pairs, rest)
    for at, gap, good in zip(there, gaps.tolist(), sound.tolist(), strict=True):
        if good:
            one = searches[at]
            which = np.flatnonzero(_best(one))
            found[at] = Fewest(one.pool[which], _best(one)[which], gap)
    return found
