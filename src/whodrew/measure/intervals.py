"""Rates with 95 % intervals: seeded bootstrap over prompts, the unit that varies.

Ours, where the paper is silent: 2,000 resamples of sum / sum; below 40 prompts the
percentile interval is widened about the estimate by t(0.975, P-1) / 1.96 · √(P / (P-1))
(plain percentiles covered 80 % at 4 prompts and 91 % at 22); below 5 prompts there is
none; at 0 or 1 it is Wilson's bound at P prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
LEAST_PROMPTS = 5
FEW_PROMPTS = 40
NORMAL = 1.959963984540054

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """A figure between bounds, with its 95 % interval and what guessing would give.

    Attributes:
        value: the estimate, or ``None`` where it cannot be had.
        low: lower end of the interval, or ``None``.
        high: upper end.
        chance: what guessing gives, or ``None`` where that says nothing.
        reason: why a part is missing.
    """

    value: float | None
    low: float | None
    high: float | None
    chance: float | None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values, a missing part with its reason beside it."""
        values: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "chance": self.chance,
        }
        if self.value is None:
            values["value_reason"] = self.reason or "nothing to measure"
        elif self.low is None:
            values["low_reason"] = values["high_reason"] = self.reason or "no interval"
        return values


def missing(reason: str) -> Rate:
    """Returns a rate that cannot be had."""
    return Rate(None, None, None, None, reason)


@lru_cache(maxsize=32)
def resample_counts(prompts: int, seed: int) -> Doubles:
    """Returns (RESAMPLES, P) how often each prompt is drawn, with replacement."""
    rng = np.random.default_rng([seed, prompts, 4])
    counts = rng.multinomial(prompts, np.full(prompts, 1.0 / prompts), size=RESAMPLES)
    return counts.astype(np.float64)


@lru_cache(maxsize=256)
def widening(prompts: int) -> float:
    """Returns the factor by which intervals of few prompts are widened."""
    if prompts >= FEW_PROMPTS:
        return 1.0
    from scipy.stats import t

    return float(t.ppf(0.975, prompts - 1) / NORMAL * np.sqrt(prompts / (prompts - 1)))


def interval(
    estimate: float,
    resampled: Doubles,
    prompts: int,
    *,
    chance: float | None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Rate:
    """Returns an estimate with the interval that its resamples give.

    Args:
        estimate: the figure over all prompts.
        resampled: (RESAMPLES,) the figure in each resample; NaN where it has none.
        prompts: P, the number of prompts resampled.
        chance: what guessing gives.
        bounds: least and greatest possible value; infinite where there is none.
    """
    if not np.isfinite(estimate):
        return missing("nothing to measure")
    if prompts < LEAST_PROMPTS:
        reason = f"{prompts} prompts are too few for an interval, {LEAST_PROMPTS} are needed"
        return Rate(float(estimate), None, None, chance, reason)
    lower, upper = bounds
    finite = resampled[np.isfinite(resampled)]
    if bounds == (0.0, 1.0) and estimate in (0.0, 1.0):
        bound = NORMAL**2 / (prompts + NORMAL**2)
        low, high = (0.0, bound) if estimate == 0.0 else (1.0 - bound, 1.0)
        return Rate(float(estimate), low, high, chance)
    low, high = np.quantile(finite, [0.025, 0.975])
    wide = widening(prompts)
    low = max(estimate + wide * (low - estimate), lower)
    high = min(estimate + wide * (high - estimate), upper)
    return Rate(float(estimate), float(min(low, estimate)), float(max(high, estimate)), chance)


def ratio(
    numerator: Doubles,
    denominator: Doubles,
    *,
    seed: int,
    chance: float | None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Rate:
    """Returns sum(numerator) / sum(denominator) with its interval.

    Args:
        numerator: (P,) sums by prompt.
        denominator: (P,) sums by prompt; prompts of 0 take no part.
        seed: seeds the resamples.
        chance: what guessing gives.
        bounds: least and greatest possible value.
    """
    used = denominator > 0
    numerator, denominator = numerator[used], denominator[used]
    prompts = len(denominator)
    if prompts == 0:
        return missing("nothing was asked")
    estimate = float(numerator.sum() / denominator.sum())
    counts = resample_counts(prompts, seed)
    resampled = (counts @ numerator) / (counts @ denominator)
    return interval(estimate, resampled, prompts, chance=chance, bounds=bounds)


def mean_of_ratios(
    numerator: Doubles, denominator: Doubles, *, seed: int, chance: float | None
) -> Rate:
    """Returns the mean over columns of sum / sum, with its interval.

    Args:
        numerator: (P, C) sums by prompt and column.
        denominator: (P, C) the same; columns that are 0 throughout take no part, and
            one that a resample leaves empty is left out of that resample's mean.
        seed: seeds the resamples.
        chance: what guessing gives.
    """
    rows = denominator.sum(axis=1) > 0
    columns = denominator.sum(axis=0) > 0
    numerator, denominator = numerator[rows][:, columns], denominator[rows][:, columns]
    prompts = len(numerator)
    if prompts == 0:
        return missing("nothing was asked")
    estimate = float((numerator.sum(axis=0) / denominator.sum(axis=0)).mean())
    counts = resample_counts(prompts, seed)
    below = counts @ denominator
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = np.nanmean((counts @ numerator) / below, axis=1)
    return interval(estimate, resampled, prompts, chance=chance)


def by_prompt(values: npt.NDArray[Any], prompt: npt.NDArray[np.int64], prompts: int) -> Doubles:
    """Returns (P,) sums of values (n,) by prompt code."""
    return np.bincount(prompt, weights=values, minlength=prompts).astype(np.float64)
