"""Votes of one voter under the honest ranking against a voter who favours a model.

A favouring voter, in a battle with its target T, votes for it (or against it) with
probability λ + (1 - λ) honest, and honestly with the rest; elsewhere it is honest. The
log-likelihood ratio of its n_T battles with T is, with p the honest probability of a vote:
Σ over votes for T of log(1 - λ + λ / p), plus (n_T - votes for T) log(1 - λ). The statistic
of a voter is the maximum over T, direction and a grid of λ: whodrew's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from whodrew.ranking.columns import Doubles
from whodrew.ranking.screen_model import (
    Codes,
    Flags,
    Honest,
    Log,
    Outcomes,
    fit_honest,
    leave_out,
    totals_of,
    vote_chances,
)
from whodrew.ranking.screen_tastes import Tastes, draw_votes

#: Shares of favouring votes that are looked at.
SHARES: Final = (0.1, 0.3, 0.6, 0.95)
#: Simulated voters that the null distribution rests on, where voters are few.
_NULL: Final = 20_000
_LEAST_ROUNDS, _MOST_ROUNDS = 40, 200
#: Classes of voters by number of votes, each with a null distribution of its own.
_STRATA: Final = 5
_STRATUM: Final = 4_000
_PASSES: Final = 5
#: Share of voters that may still change sides when a fit has settled.
_SETTLED: Final = 5e-4
#: The largest simulated ratios, which give the tail.
_TAIL: Final = 50


@dataclass(frozen=True)
class Ratios:
    """What each of V voters comes to.

    Attributes:
        ratio: (V,) the log-likelihood ratio, at its maximum.
        target: (V,) the model at the maximum.
        up: (V,) whether votes are for it there; else against it.
        share: (V,) λ there.
    """

    ratio: Doubles
    target: Codes
    up: Flags
    share: Doubles


def ratios(log: Log, outcome: Outcomes, chance: Doubles) -> Ratios:
    """Returns the greatest log-likelihood ratio of each voter.

    Args:
        log: the battles.
        outcome: (n,) what was voted.
        chance: (n judged,) honest probability of each vote. Cost: the votes times the grid,
            and voters times models.
    """
    M, V, n = log.models, log.voters, log.judged
    voter, said = log.voter[:n] * M, outcome[:n]
    first, second = log.first[:n], log.second[:n]
    met = np.bincount(voter + first, minlength=V * M) + np.bincount(voter + second, minlength=V * M)
    clear = np.flatnonzero(said < 2)
    inverse = 1.0 / chance[clear]
    won = np.where(said == 0, first, second)[clear] + voter[clear]
    lost = np.where(said == 0, second, first)[clear] + voter[clear]
    best = Ratios(np.zeros(V), np.zeros(V, np.int64), np.ones(V, bool), np.zeros(V))
    rows = np.arange(V)
    for share in SHARES:
        gain = np.log1p(share / (1 - share) * inverse)
        rest = met * np.log1p(-share)
        for up, whose in ((True, won), (False, lost)):
            total = (np.bincount(whose, weights=gain, minlength=V * M) + rest).reshape(V, M)
            at = total.argmax(axis=1)
            value = total[rows, at]
            better = value > best.ratio
            best.ratio[better], best.target[better] = value[better], at[better]
            best.up[better], best.share[better] = up, share
    return best


def judge(
    log: Log, outcome: Outcomes, trusted: Flags, start: Honest | None = None
) -> tuple[Ratios, Honest]:
    """Fits trusted voters' votes, and looks at each voter under the fit without it."""
    fitted = fit_trusted(log, outcome, trusted, start)
    change = leave_out(log, outcome, fitted, trusted)
    return ratios(log, outcome, vote_chances(log, outcome, fitted, change)), fitted


def fit_trusted(log: Log, outcome: Outcomes, trusted: Flags, start: Honest | None = None) -> Honest:
    """Fits the votes of trusted voters; of others only where ``log.rest`` says so."""
    return fit_honest(totals_of(log, outcome, log.inside(trusted)), start)


@dataclass(frozen=True)
class Null:
    """What honest voters come to in these very battles.

    The mean of each voter is simulated; what is left has one distribution for voters of
    about as many votes, from all their simulations together.

    Attributes:
        mean: (V,) of the ratio of a voter.
        stratum: (V,) its class by number of votes.
        pools: for each class, sorted ratios less their voter's mean.
        rounds: simulated logs.
    """

    mean: Doubles
    stratum: Codes
    pools: tuple[Doubles, ...]
    rounds: int

    def p_values(self, ratio: Doubles) -> Doubles:
        """Returns (V,) the probability that an honest voter comes to as much or more.

        Beyond the largest simulated the tail is exponential, of the rate of the largest, and
        at most 1: no likelihood ratio's tail is longer.
        """
        found = np.ones(len(ratio))
        excess = ratio - self.mean
        for at, pool in enumerate(self.pools):
            some = self.stratum == at
            x = excess[some]
            # a hair, so that equal sums in another order are equal
            above = len(pool) - np.searchsorted(pool, x - 1e-9)
            p = (1 + above) / (1 + len(pool))
            tail = min(_TAIL, len(pool) // 20)
            if tail > 1:
                edge = pool[-tail]
                rate = 1 / max(float(pool[-tail:].mean() - edge), 1.0)
                far = (tail / len(pool)) * np.exp(-rate * np.maximum(x - edge, 0.0))
                p = np.where(above < _TAIL // 5, np.minimum(p, far), p)
            found[some] = p
        return found


def simulated(
    log: Log,
    fitted: Honest,
    trusted: Flags,
    rounds: int,
    seed: tuple[int, ...],
    tastes: Tastes | None = None,
) -> Iterator[tuple[Outcomes, Ratios, Honest]]:
    """Yields honest logs of the same battles, what voters come to, and the fit of each."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        outcome = draw_votes(log, fitted, rng, tastes)
        yield outcome, *judge(log, outcome, trusted, fitted)


def null_of(drawn: Doubles, sizes: Codes) -> Null:
    """Returns the null distribution from (R, V) ratios of honest voters, R above 1."""
    R, V = drawn.shape
    mean = drawn.mean(axis=0)
    # as far from the mean of the other rounds as a new round would be from the mean of all
    rest = (drawn - mean) * np.sqrt(R / (R - 1)) * np.sqrt((R + 1) / R)
    count = int(np.clip(R * V // _STRATUM, 1, _STRATA))
    edges = np.quantile(sizes, np.arange(1, count) / count) if V else np.zeros(0)
    stratum = np.searchsorted(np.unique(edges), sizes, side="left")
    _, stratum = np.unique(stratum, return_inverse=True)
    pools = tuple(
        np.sort(rest[:, stratum == at].reshape(-1)) for at in range(stratum.max(initial=-1) + 1)
    )
    return Null(mean, stratum.astype(np.int64), pools, R)


def rounds_for(voters: int) -> int:
    """Returns how many logs are simulated so that honest voters are enough."""
    return int(np.clip(-(-_NULL // max(voters, 1)), _LEAST_ROUNDS, _MOST_ROUNDS))


def settle(
    log: Log, outcome: Outcomes, null: Null, level: float, start: Honest
) -> tuple[Ratios, Honest, Flags]:
    """Fits again without those beyond ``level`` until they are the same: attackers bend the fit.

    Returns:
        what voters come to under the last fit, the fit, and (V,) whose votes are in it.
    """
    trusted = np.ones(log.voters, dtype=bool)
    found, fitted = judge(log, outcome, trusted, start)
    for _ in range(_PASSES):
        now = null.p_values(found.ratio) > level
        if (now != trusted).sum() <= _SETTLED * log.voters:
            break
        trusted = now
        found, fitted = judge(log, outcome, trusted, fitted)
    return found, fitted, trusted
