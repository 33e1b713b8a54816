"""Tastes of honest voters: how far each differs from the ranking, and votes drawn with it.

Each voter v has, for each model m, a taste t_vm, normal of mean 0 and standard deviation τ,
which is added to the score: the log odds of a battle are s_i - s_j + t_vi - t_vj + b. With
y = 1, -1, 0 for a vote for the model, for its rival, a tie, S_vm the sum of y less its
expectation over v's battles with m, and A_vm the sum of its variances, to first order

    E[S_vm²] = A_vm + τ²/4 (A_vm² + Σ over rivals o of A_vmo²),

as dE[y]/dd is half of the variance of y. The moments of a log are compared with those of
simulated ones (``screen_decide``). Whodrew's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from whodrew.ranking.columns import Doubles
from whodrew.ranking.screen_model import Codes, Honest, Log, Outcomes, draw_outcomes

#: Variance at which a voter's weight is half-way between that of few votes and of many.
_USUAL: Final = 1 / 16
#: A logistic curve under normal noise of variance v is one of scores less by √(1 + v times
#: this): 16² 3 / (15² π²), Johnson, Kotz and Balakrishnan 1995, section 23.2.
_FLATTER: Final = 0.346


@dataclass(frozen=True)
class Tastes:
    """How much voters differ.

    Attributes:
        sd: τ, log odds.
        low: lower end of its 95 % interval.
        high: upper end.
        first: (n,) place of the person's taste for the model shown first.
        second: (n,) the same of the other.
        slots: number of tastes.
    """

    sd: float
    low: float
    high: float
    first: Codes = field(repr=False)
    second: Codes = field(repr=False)
    slots: int

    def of(self, sd: float) -> Tastes:
        """Returns tastes of another standard deviation."""
        return replace(self, sd=sd)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {"value": self.sd, "low": self.low, "high": self.high}


def tastes_of(log: Log, sd: float = 0.0) -> Tastes:
    """Returns tastes of the people of a log; those of too few votes have theirs as well."""
    whose = log.voter if log.whose is None else log.whose
    both = np.concatenate([whose * log.models + log.first, whose * log.models + log.second])
    known, place = np.unique(both, return_inverse=True)
    n = len(whose)
    return Tastes(sd, sd, sd, place[:n], place[n:], len(known))


def draw_votes(
    log: Log, fitted: Honest, rng: np.random.Generator, tastes: Tastes | None = None
) -> Outcomes:
    """Returns (n,) honest votes on the log's very battles, of voters with tastes."""
    if tastes is None or tastes.sd == 0:
        return draw_outcomes(log, fitted, rng)
    own = rng.normal(0.0, tastes.sd, tastes.slots)
    wide = np.sqrt(1 + _FLATTER * 2 * tastes.sd**2)
    d = wide * (fitted.scores[log.first] - fitted.scores[log.second] + fitted.position)
    d += own[tastes.first] - own[tastes.second]
    weight = np.exp(d / 2)
    nu = np.exp(min(fitted.tie, 30.0))
    u = rng.random(len(d)) * (weight + 1 / weight + nu)
    said = (u >= weight).astype(np.int8) + (u >= weight + 1 / weight)
    return np.asarray(said, dtype=np.int8)


@dataclass(frozen=True)
class Spread:
    """Weights of voters in the moment, (V,), and what a unit of τ² adds to it."""

    weight: Doubles
    slope: Doubles

    def of(self, log: Log, outcome: Outcomes, fitted: Honest) -> Doubles:
        """Returns (V,) the weighted sums over models of S² - A."""
        residual, variance = _parts(log, outcome, fitted)
        own, spread = _by_model(log, residual, -1), _by_model(log, variance, 1)
        return np.asarray(self.weight * (own**2 - spread).sum(axis=1))


def spread_of(log: Log, fitted: Honest) -> Spread:
    """Returns weights by the variance at a usual τ, so that the busiest do not decide alone."""
    M, n = log.models, log.judged
    _, variance = _parts(log, log.outcome, fitted)
    A = _by_model(log, variance, 1)
    first, second = log.first[:n], log.second[:n]
    code = (log.voter[:n] * M + np.minimum(first, second)) * M + np.maximum(first, second)
    known, place = np.unique(code, return_inverse=True)
    pairs = np.bincount(place, weights=variance, minlength=len(known)) ** 2
    square = (A**2).sum(axis=1)
    rivals = 2 * np.bincount(known // (M * M), weights=pairs, minlength=log.voters)
    typical = square / np.maximum(A.sum(axis=1), 1e-300)
    weight = 1 / (1 + _USUAL * typical) ** 2
    return Spread(weight, weight * (square + rivals) / 4)


def _parts(log: Log, outcome: Outcomes, fitted: Honest) -> tuple[Doubles, Doubles]:
    """Returns (n judged,) y less its expectation, for the first model, and its variance."""
    n = log.judged
    win, loss, _ = np.moveaxis(fitted.chances(), -1, 0)
    mean, cell = (win - loss).reshape(-1), log.cell[:n]
    spread = (win + loss).reshape(-1) - mean**2
    return np.array([1.0, -1.0, 0.0])[outcome[:n]] - mean[cell], spread[cell]


def _by_model(log: Log, value: Doubles, sign: int) -> Doubles:
    """Returns (V, M) sums over a voter's battles; ``sign`` for the model shown second."""
    n, size = log.judged, log.voters * log.models
    voter = log.voter[:n] * log.models
    total = np.bincount(voter + log.first[:n], weights=value, minlength=size)
    total = total + sign * np.bincount(voter + log.second[:n], weights=value, minlength=size)
    return np.asarray(total.reshape(log.voters, log.models), dtype=np.float64)
