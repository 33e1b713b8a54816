"""Rings: voters who agree with each other more than the honest ranking explains.

A residual is a vote (1, -1, a tie 0) less what the honest ranking expects. Three views sum
the residuals of a voter: by model (a target up or down), by pair of models, and by prompt
and pair. In a direction (a target, or the residuals of another voter, a seed) every voter
has a z: its residuals along it over their standard deviation, given the direction. Honest
voters' z are normal, and independent given the seed; of a ring, many are high at once. The
scan compares the k-th highest of V with its expectation, as Berk and Jones 1979 do, k log(k /
Vp) - k + Vp; its maximum over k and directions is compared with the same search on simulated
honest logs. Directions and search are whodrew's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import log_ndtr

from whodrew.ranking.columns import Doubles
from whodrew.ranking.screen_model import Codes, Flags, Honest, Log, Outcomes

VIEWS: Final = ("target", "pairs", "prompts")
#: Members from which honest ones are at most this share, as expected.
_IMPURE: Final = 0.05
_SEEDS: Final = 200
_LARGEST: Final = 200
_RINGS: Final = 10
_GROWTHS: Final = 4
#: Variance of a voter's residuals along a direction below which z is not normal.
_LEAST: Final = 1.5
_DENSE: Final = 1 << 25
_EULER: Final = 0.5772156649015329


@dataclass(frozen=True)
class Ring:
    """A group that agrees too well.

    Attributes:
        view: what they agree on: ``target``, ``pairs`` or ``prompts``.
        statistic: of the scan.
        p_value: probability of such a ring in an honest log, all views and directions seen.
        target: the model, where the view is ``target``.
        up: whether votes are for it.
        group: voters whose agreement is in it.
        members: (k,) those of whom at most a twentieth is expected to be honest; may be none.
    """

    view: str
    statistic: float
    p_value: float
    target: int | None
    up: bool | None
    group: int
    members: Codes


@dataclass(frozen=True)
class Layout:
    """The columns that residuals are summed in; the same for all outcomes of a log.

    Attributes:
        views: which there are.
        pair: (n judged,) unordered pair, compact.
        pairs: their number.
        turned: (n judged,) -1 where the second model has the smaller code, else 1.
        item: (n judged,) prompt and pair, compact; ``None`` without prompts.
        items: their number.
    """

    views: tuple[str, ...]
    pair: Codes
    pairs: int
    turned: Doubles
    item: Codes | None
    items: int


def layout_of(log: Log, prompt: Codes | None) -> Layout:
    """Returns the columns; ``prompt`` is (n,) codes in the order of the log, -1 unknown."""
    n, M = log.judged, log.models
    first, second = log.first[:n], log.second[:n]
    code = np.minimum(first, second) * M + np.maximum(first, second)
    pairs, pair = np.unique(code, return_inverse=True)
    turned = np.where(first < second, 1.0, -1.0)
    views = ["target"]
    if log.voters * len(pairs) <= _DENSE:
        views.append("pairs")
    item, items = None, 0
    if prompt is not None and (prompt[:n] >= 0).any():
        both = np.where(prompt[:n] >= 0, prompt[:n] * len(pairs) + pair, -1)
        known, item, count = np.unique(both, return_inverse=True, return_counts=True)
        alone = (count < 2) | (known < 0)  # no one to agree with
        if not alone.all():
            place = np.where(alone, -1, np.cumsum(~alone) - 1)
            item, items = place[item].astype(np.int64), int((~alone).sum())
            views.append("prompts")
        else:
            item = None
    return Layout(tuple(views), pair.astype(np.int64), len(pairs), turned, item, items)


@dataclass(frozen=True)
class _Sums:
    """(V, C) residuals and their variances, dense or sparse."""

    residual: Any
    variance: Any


def _residuals(log: Log, outcome: Outcomes, fitted: Honest) -> tuple[Doubles, Doubles]:
    """Returns (n judged,) residuals, positive for the first model, and their variances."""
    n = log.judged
    win, loss, _ = np.moveaxis(fitted.chances(), -1, 0)
    mean = (win - loss).reshape(-1)
    spread = (win + loss - (win - loss) ** 2).reshape(-1)
    cell = log.cell[:n]
    vote = np.array([1.0, -1.0, 0.0])[outcome[:n]]
    return vote - mean[cell], spread[cell]


def _sums(log: Log, layout: Layout, view: str, residual: Doubles, variance: Doubles) -> _Sums:
    n, M, V = log.judged, log.models, log.voters
    voter = log.voter[:n]
    if view == "target":
        first, second = voter * M + log.first[:n], voter * M + log.second[:n]
        plus = np.bincount(first, weights=residual, minlength=V * M)
        plus -= np.bincount(second, weights=residual, minlength=V * M)
        spread = np.bincount(first, weights=variance, minlength=V * M)
        spread += np.bincount(second, weights=variance, minlength=V * M)
        return _Sums(plus.reshape(V, M), spread.reshape(V, M))
    turned = residual * layout.turned
    if view == "pairs":
        code = voter * layout.pairs + layout.pair
        size, shape = V * layout.pairs, (V, layout.pairs)
        return _Sums(
            np.bincount(code, weights=turned, minlength=size).reshape(shape),
            np.bincount(code, weights=variance, minlength=size).reshape(shape),
        )
    from scipy.sparse import csr_matrix

    assert layout.item is not None
    some = layout.item >= 0
    at = (voter[some], layout.item[some])
    shape = (V, layout.items)
    return _Sums(
        csr_matrix((turned[some], at), shape=shape), csr_matrix((variance[some], at), shape=shape)
    )


def _seeds(sums: _Sums, out: Flags) -> Codes:
    """Returns voters whose residuals serve as directions: the oddest, and the busiest."""
    V = sums.residual.shape[0]
    if isinstance(sums.residual, np.ndarray):
        square, spread = (sums.residual**2).sum(axis=1), sums.variance.sum(axis=1)
    else:
        square = np.asarray(sums.residual.power(2).sum(axis=1)).ravel()
        spread = np.asarray(sums.variance.sum(axis=1)).ravel()
    left = np.flatnonzero(~out)
    if len(left) <= _SEEDS:
        return left
    odd = np.where(out, -np.inf, (square - spread) / np.sqrt(spread + 1))
    busy = np.where(out, -np.inf, spread)
    half = _SEEDS // 2
    oddest = np.argpartition(-odd, half)[:half]
    busiest = np.argpartition(-busy, half)[:half] if half < V else left
    return np.union1d(oddest, busiest).astype(np.int64)


def _scores(sums: _Sums, view: str, out: Flags) -> tuple[Doubles, Codes]:
    """Returns (V, directions) z of each voter, and the seed of each direction, -1 for none."""
    if view == "target":
        fair = sums.variance >= _LEAST
        z = np.where(fair, sums.residual / np.sqrt(np.where(fair, sums.variance, 1.0)), -np.inf)
        turned = np.where(fair, -z, -np.inf)
        z = np.concatenate([z, turned], axis=1)
        seeds = np.full(z.shape[1], -1, dtype=np.int64)
    else:
        seeds = _seeds(sums, out)
        there = sums.residual[seeds]
        if isinstance(there, np.ndarray):
            along = sums.residual @ there.T
            spread = sums.variance @ (there**2).T
            shared = spread / np.maximum((there**2).max(axis=1), 1e-300)
        else:
            along = (sums.residual @ there.T).toarray()
            spread = (sums.variance @ there.power(2).T).toarray()
            most = there.power(2).max(axis=1).toarray().ravel()
            shared = spread / np.maximum(most, 1e-300)
        fair = shared >= _LEAST
        z = np.where(fair, along / np.sqrt(np.where(fair, spread, 1.0)), -np.inf)
        z[seeds, np.arange(len(seeds))] = -np.inf
    z[out] = -np.inf
    return z, seeds


@dataclass(frozen=True)
class _Scan:
    """The best direction of a view: its statistic, z of all voters, seed, and size."""

    statistic: float
    direction: int
    seed: int
    size: int
    order: Codes
    expected: Doubles


def _scan(z: Doubles, seeds: Codes) -> _Scan | None:
    V = np.maximum(np.isfinite(z).sum(axis=0), 1)  # voters that can be high, by direction
    most = min(_LARGEST, max(len(z) // 4, 2), len(z))
    if most < 2 or not z.shape[1]:
        return None
    top = -np.sort(np.partition(-z, most - 1, axis=0)[:most], axis=0)
    k = np.arange(1, most + 1)[:, None]
    log_p = log_ndtr(-np.maximum(top, 0.0))
    expected = np.where(np.isfinite(top), V * np.exp(log_p), np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        value = k * (np.log(k / V) - log_p) - k + expected
    value = np.where((expected < k) & np.isfinite(top), value, -np.inf)
    # one high voter is no ring; a seed and one other are
    value[0, seeds < 0] = -np.inf
    at = int(value.argmax())
    row, column = divmod(at, value.shape[1])
    if not np.isfinite(value[row, column]):
        return None
    order = np.argsort(-z[:, column], kind="stable")[: row + 1]
    return _Scan(
        float(value[row, column]),
        column,
        int(seeds[column]),
        row + 1,
        order.astype(np.int64),
        expected[: row + 1, column],
    )


def strongest(log: Log, layout: Layout, outcome: Outcomes, fitted: Honest) -> dict[str, float]:
    """Returns the greatest statistic of each view, 0 where there is none."""
    out = np.zeros(log.voters, dtype=bool)
    residual, variance = _residuals(log, outcome, fitted)
    found = {}
    for view in layout.views:
        sums = _sums(log, layout, view, residual, variance)
        scan = _scan(*_scores(sums, view, out))
        found[view] = 0.0 if scan is None else scan.statistic
    return found


@dataclass(frozen=True)
class RingNull:
    """What the search comes to in honest logs: a Gumbel distribution for each view.

    Attributes:
        place: view to its place, fitted by moments to simulated maxima.
        scale: view to its scale.
        rounds: simulated logs.
    """

    place: dict[str, float]
    scale: dict[str, float]
    rounds: int

    def p_value(self, view: str, statistic: float) -> float:
        """Returns the probability in an honest log, of any view (Bonferroni)."""
        x = (statistic - self.place[view]) / self.scale[view]
        alone = -np.expm1(-np.exp(-max(x, -30.0)))
        return float(min(1.0, alone * len(self.place)))


def ring_null(maxima: list[dict[str, float]]) -> RingNull:
    """Returns the null distribution from the maxima of simulated honest logs."""
    place, scale = {}, {}
    for view in maxima[0]:
        values = np.array([one[view] for one in maxima])
        scale[view] = max(float(values.std(ddof=1)) * np.sqrt(6) / np.pi, 1e-3)
        place[view] = float(values.mean()) - _EULER * scale[view]
    return RingNull(place, scale, len(maxima))


def _pure(scan: _Scan) -> Codes:
    """Returns the highest voters of a scan of whom few are expected to be honest."""
    pure = np.flatnonzero(scan.expected <= _IMPURE * np.arange(1, scan.size + 1))
    return scan.order[: pure[-1] + 1] if len(pure) else scan.order[:0]


def _grown(sums: _Sums, members: Codes, out: Flags) -> Codes:
    """Returns the members along the direction of them all, each left out of its own.

    One seed's residuals are few; those of all its like say more, and find those it missed.
    """
    for _ in range(_GROWTHS):
        rows, spread = sums.residual[members], sums.variance[members]
        if not isinstance(rows, np.ndarray):
            rows, spread = rows.toarray(), spread.toarray()
        along = rows.sum(axis=0)
        value, variance = sums.residual @ along, sums.variance @ along**2
        rest = along - rows
        value[members] = (rows * rest).sum(axis=1)
        variance[members] = (spread * rest**2).sum(axis=1)
        shared = variance >= _LEAST * (along**2).max()
        z = np.where(shared & ~out, value / np.sqrt(np.maximum(variance, 1e-300)), -np.inf)
        scan = _scan(z[:, None], np.array([-1]))
        now = members[:0] if scan is None else np.sort(_pure(scan))
        if len(now) < 2:
            return members
        if np.array_equal(now, np.sort(members)):
            break
        members = now
    return members


def find_rings(
    log: Log, layout: Layout, outcome: Outcomes, fitted: Honest, null: RingNull, level: float
) -> tuple[Ring, ...]:
    """Returns the rings, the most certain first; each is taken out before the next is sought.

    Args:
        log: the battles.
        layout: the columns.
        outcome: (n,) what was voted.
        fitted: the honest ranking.
        null: what honest logs come to.
        level: probability that an honest log has a ring.
    """
    residual, variance = _residuals(log, outcome, fitted)
    sums = {view: _sums(log, layout, view, residual, variance) for view in layout.views}
    out = np.zeros(log.voters, dtype=bool)
    rings: list[Ring] = []
    blind: set[str] = set()
    for _ in range(_RINGS):
        best: tuple[float, str, _Scan] | None = None
        for view in layout.views:
            if view in blind:
                continue
            scan = _scan(*_scores(sums[view], view, out))
            if scan is None:
                continue
            p = null.p_value(view, scan.statistic)
            # p is 0 for the strongest: then the statistic decides
            if best is None or (p, -scan.statistic) < (best[0], -best[2].statistic):
                best = (p, view, scan)
        if best is None or best[0] > level:
            break
        p, view, scan = best
        members = _pure(scan)
        if scan.seed >= 0 and len(members):
            members = _grown(sums[view], np.r_[scan.seed, members], out)
        if len(members) < 2:
            members = members[:0]
        target = None if view != "target" else scan.direction % log.models
        rings.append(
            Ring(
                view,
                scan.statistic,
                p,
                target,
                None if target is None else scan.direction < log.models,
                scan.size + (scan.seed >= 0),
                members,
            )
        )
        if len(members):
            out[members] = True
        else:  # it would be found again
            blind.add(view)
    return tuple(rings)
