"""The decision on each voter, and how often it is wrong about honest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whodrew.ranking.columns import Doubles
from whodrew.ranking.intervals import NORMAL
from whodrew.ranking.result import Bounded
from whodrew.ranking.screen_model import Flags, Honest, Log, Outcomes
from whodrew.ranking.screen_pools import Pools, pool_p_values
from whodrew.ranking.screen_result import share_of
from whodrew.ranking.screen_rings import Layout, Ring, RingNull, find_rings, ring_null, strongest
from whodrew.ranking.screen_tastes import Tastes, draw_votes, spread_of, tastes_of
from whodrew.ranking.screen_votes import (
    Null,
    Ratios,
    fit_trusted,
    judge,
    null_of,
    rounds_for,
    settle,
    simulated,
)

#: Probability that an honest log is said to have a ring.
RING_LEVEL: Final = 0.01
_RING_LOGS, _FRESH_RING_LOGS = 40, 20
_FIRST_LOGS: Final = 20
_LEAST_FRESH: Final = 10
#: Steps towards τ, voters that it needs, standard errors that are near enough, and its limit.
_TASTE_STEPS: Final = 9
_LEAST_TASTES: Final = 20
_CLOSE: Final = 0.25
_MOST_TASTE: Final = 4.0
#: Voters from which few logs hold enough of them.
_MANY: Final = 2_000

Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rules:
    """What a voter is judged by."""

    level: float
    rings: bool
    null: Null
    ring_null: RingNull | None
    layout: Layout
    tastes: Tastes


@dataclass(frozen=True)
class Verdict:
    """What came out for V voters."""

    found: Ratios
    fitted: Honest
    p_values: Doubles
    rings: tuple[Ring, ...]
    by_votes: Flags
    by_rings: Flags
    pools: PoolsFound | None = None


@dataclass(frozen=True)
class PoolsFound:
    """What the pools came to: ratios, (k,) p-values, and which differ."""

    found: Ratios
    p_values: Doubles
    differs: Flags


def judged(  # noqa: PLR0917
    log: Log,
    layout: Layout,
    level: float,
    rings: bool,
    simulations: int | None,
    seed: int,
    told: Told | None,
    pools: Pools | None = None,
) -> tuple[Verdict, Rules]:
    """Judges the votes as they are, under a null that attackers did not bend."""
    everyone = np.ones(log.voters, dtype=bool)
    sizes = log.sizes()
    rounds = rounds_for(log.voters) if simulations is None else simulations
    few = min(_FIRST_LOGS // (2 if log.voters >= _MANY else 1), rounds)
    bent = fit_trusted(log, log.outcome, everyone)
    tastes, fitted, trusted = settled_tastes(log, bent, level, few, seed)
    drawn, maxima, pooled = [], [], []
    draws = simulated(log, fitted, trusted, rounds, (seed, 32), tastes)
    for at, (outcome, one, refit) in enumerate(draws):
        drawn.append(one.ratio)
        if rings and at < _RING_LOGS:
            maxima.append(strongest(log, layout, outcome, refit))
        if pools is not None:
            pooled.append(pools.look(outcome, refit).ratio)
        if told is not None:
            told("simulating honest votes", at + 1, rounds)
    null = null_of(np.array(drawn), sizes)
    rules = Rules(level, rings, null, ring_null(maxima) if rings else None, layout, tastes)
    verdict = _verdict(log, log.outcome, rules, fitted)
    if pools is not None:
        found = pools.look(log.outcome, verdict.fitted)
        p, differs = pool_p_values(pools, np.array(pooled), found.ratio)
        verdict = replace(verdict, pools=PoolsFound(found, p, differs))
    return verdict, rules


def settled_tastes(
    log: Log, bent: Honest, level: float, few: int, seed: int
) -> tuple[Tastes, Honest, Flags]:
    """Returns the spread of tastes, the honest fit, and whose votes are in it.

    The moment of voters within the threshold (``screen_tastes``) is compared with that of
    simulated voters within theirs, and τ² raised until both agree; the threshold grows with
    it. Where tastes of 0 are within two standard errors, they are 0. Whodrew's own.
    """
    everyone = np.ones(log.voters, dtype=bool)
    spread = spread_of(log, bent)
    tastes, fitted, trusted = tastes_of(log), bent, everyone
    seen: list[tuple[float, float]] = []
    for step in range(_TASTE_STEPS):
        draws = list(simulated(log, fitted, trusted, few, (seed, 31), tastes))
        null = null_of(np.array([one.ratio for _, one, _ in draws]), log.sizes())
        means = []
        for outcome, one, refit in draws:
            stays = null.p_values(one.ratio) > level
            means.append(spread.of(log, outcome, refit)[stays].mean() if stays.any() else 0.0)
        found, fitted, trusted = settle(log, log.outcome, null, level, fitted)
        stays = null.p_values(found.ratio) > level
        if stays.sum() < _LEAST_TASTES:
            return tastes, fitted, trusted
        mine = spread.of(log, log.outcome, fitted)[stays]
        error = float(np.sqrt(mine.var(ddof=1) / len(mine) + np.var(means, ddof=1) / len(means)))
        gap = float(mine.mean() - np.mean(means))
        slope = max(float(spread.slope[stays].mean()), 1e-300)
        if not step and gap <= 2 * error:
            high = np.sqrt(max(0.0, gap + NORMAL * error) / slope)
            return replace(tastes, high=float(high)), fitted, trusted
        square = tastes.sd**2
        if seen and square != seen[-1][0]:  # large tastes add less than to first order
            now = (seen[-1][1] - gap) / (square - seen[-1][0])
            slope = float(np.clip(now, slope / 10, slope))
        seen.append((square, gap))
        square = float(np.clip(square + gap / slope, 0.0, _MOST_TASTE**2))
        half = NORMAL * error / slope
        low, high = np.sqrt(max(0.0, square - half)), np.sqrt(square + half)
        tastes = replace(tastes, sd=float(np.sqrt(square)), low=float(low), high=float(high))
        if abs(gap) < _CLOSE * error:
            break
    return tastes, fitted, trusted


def _verdict(
    log: Log, outcome: Outcomes, rules: Rules, start: Honest, rings: bool = True
) -> Verdict:
    found, fitted, trusted = settle(log, outcome, rules.null, rules.level, start)
    got: tuple[Ring, ...] = ()
    members = np.zeros(log.voters, dtype=bool)
    if rings and rules.ring_null is not None:
        # a ring bends the fit as well: take it out and look again
        for _ in range(3):
            got = find_rings(log, rules.layout, outcome, fitted, rules.ring_null, RING_LEVEL)
            now = np.zeros(log.voters, dtype=bool)
            for ring in got:
                now[ring.members] = True
            if (now == members).all() or not (now & trusted).any():
                members = now
                break
            members = now
            found, fitted = judge(log, outcome, trusted & ~members, fitted)
    p = rules.null.p_values(found.ratio)
    return Verdict(found, fitted, p, got, p <= rules.level, members)


def fresh_rate(
    log: Log, fitted: Honest, rules: Rules, by: Sequence[str], seed: int, told: Told | None
) -> tuple[Bounded, int]:
    """Returns the share of honest voters excluded, in logs that set nothing.

    Where they have tastes, the interval also has what the ends of that of τ change.
    """
    logs = max(_LEAST_FRESH, rules.null.rounds // (4 if log.voters >= _MANY else 2))
    rate = _excluded(log, fitted, rules, by, logs, rules.tastes, seed, told)
    if not rules.tastes.sd or rate.value is None:
        return rate, logs
    alone = tuple(name for name in by if name == "votes")
    few = max(_LEAST_FRESH, logs // 2)

    def at(sd: float) -> float:
        tastes = rules.tastes.of(sd)
        return _excluded(log, fitted, rules, alone, few, tastes, seed, None).value or 0.0

    less, middle, more = (at(sd) for sd in (rules.tastes.low, rules.tastes.sd, rules.tastes.high))
    below = np.hypot(rate.value - (rate.low or 0.0), max(0.0, middle - less))
    above = np.hypot((rate.high or 1.0) - rate.value, max(0.0, more - middle))
    low, high = max(0.0, rate.value - below), min(1.0, rate.value + above)
    return Bounded(rate.value, float(low), float(high)), logs


def _excluded(  # noqa: PLR0917
    log: Log,
    fitted: Honest,
    rules: Rules,
    by: Sequence[str],
    logs: int,
    tastes: Tastes,
    seed: int,
    told: Told | None,
) -> Bounded:
    """Returns the share of voters of simulated honest logs that are excluded."""
    hits = []
    rng = np.random.default_rng((seed, 33))
    for at in range(logs):
        outcome = draw_votes(log, fitted, rng, tastes)
        rings = "rings" in by and at < _FRESH_RING_LOGS
        found = _verdict(log, outcome, rules, fitted, rings=rings)
        out = np.zeros(log.voters, dtype=bool)
        if "votes" in by:
            out |= found.by_votes
        if "rings" in by:
            out |= found.by_rings
        hits.append(int(out.sum()))
        if told is not None:
            told("counting honest voters excluded", at + 1, logs)
    return share_of(np.array(hits), log.voters)
