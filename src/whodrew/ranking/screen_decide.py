"""The decision on each voter, and how often it is wrong about honest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whodrew.ranking.columns import Doubles
from whodrew.ranking.result import Bounded
from whodrew.ranking.screen_model import Flags, Honest, Log, Outcomes, draw_outcomes
from whodrew.ranking.screen_result import share_of
from whodrew.ranking.screen_rings import Layout, Ring, RingNull, find_rings, ring_null, strongest
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


@dataclass(frozen=True)
class Verdict:
    """What came out for V voters."""

    found: Ratios
    fitted: Honest
    p_values: Doubles
    rings: tuple[Ring, ...]
    by_votes: Flags
    by_rings: Flags


def judged(
    log: Log,
    layout: Layout,
    level: float,
    rings: bool,
    simulations: int | None,
    seed: int,
    told: Told | None,
) -> tuple[Verdict, Rules]:
    """Judges the votes as they are, under a null that attackers did not bend."""
    everyone = np.ones(log.voters, dtype=bool)
    sizes = log.sizes()
    rounds = rounds_for(log.voters) if simulations is None else simulations
    few = min(_FIRST_LOGS // (2 if log.voters >= _MANY else 1), rounds)
    bent = fit_trusted(log, log.outcome, everyone)
    first = [one.ratio for _, one in simulated(log, bent, everyone, few, (seed, 31))]
    _, fitted, trusted = settle(log, log.outcome, null_of(np.array(first), sizes), level, bent)
    drawn, maxima = [], []
    for at, (outcome, one) in enumerate(simulated(log, fitted, trusted, rounds, (seed, 32))):
        drawn.append(one.ratio)
        if rings and at < _RING_LOGS:
            refit = fit_trusted(log, outcome, trusted, fitted)
            maxima.append(strongest(log, layout, outcome, refit))
        if told is not None:
            told("simulating honest votes", at + 1, rounds)
    null = null_of(np.array(drawn), sizes)
    rules = Rules(level, rings, null, ring_null(maxima) if rings else None, layout)
    return _verdict(log, log.outcome, rules, fitted), rules


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
    """Returns the share of honest voters excluded, in logs that set nothing."""
    logs = max(_LEAST_FRESH, rules.null.rounds // (4 if log.voters >= _MANY else 2))
    hits = []
    rng = np.random.default_rng((seed, 33))
    for at in range(logs):
        outcome = draw_outcomes(log, fitted, rng)
        found = _verdict(log, outcome, rules, fitted, rings=at < _FRESH_RING_LOGS)
        out = np.zeros(log.voters, dtype=bool)
        if "votes" in by:
            out |= found.by_votes
        if "rings" in by:
            out |= found.by_rings
        hits.append(int(out.sum()))
        if told is not None:
            told("counting honest voters excluded", at + 1, logs)
    return share_of(np.array(hits), log.voters), logs
