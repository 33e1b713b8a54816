"""Whether two rankings agree: Kendall's tau-b with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from whodrew.errors import InputError
from whodrew.ranking.columns import Doubles

if TYPE_CHECKING:
    from whodrew.ranking.result import Ranking

RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between two rankings of the same models.

    Attributes:
        value: -1 (reversed) to 1 (the same order); ``None`` where one ranks nothing.
        low: lower end of the 95 % interval, or ``None``.
        high: upper end.
        models: number of models in both.
        resampled: what the interval rests on: ``votes``, ``prompts`` or ``models``.
        reason: why a part is missing.
    """

    value: float | None
    low: float | None
    high: float | None
    models: int
    resampled: str
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values, a missing part with its reason beside it."""
        values: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "models": self.models,
            "resampled": self.resampled,
        }
        for name in ("value", "low", "high"):
            if values[name] is None:
                values[f"{name}_reason"] = self.reason or "no interval"
        return values


def tau_b(first: Doubles, second: Doubles) -> Doubles:
    """Returns Kendall's tau-b (Kendall 1945) of (..., M) scores, NaN where all are equal."""
    up, across = (
        np.sign(np.nan_to_num(x)[..., :, None] - np.nan_to_num(x)[..., None, :])
        for x in (first, second)
    )
    up, across = np.broadcast_arrays(up, across)
    agree = (up * across).sum(axis=(-1, -2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            agree / np.sqrt((up != 0).sum(axis=(-1, -2)) * (across != 0).sum(axis=(-1, -2)))
        )


def kendall(
    first: Mapping[str, float] | Ranking,
    second: Mapping[str, float] | Ranking,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Compares two rankings of models.

    The interval is a percentile one. Where a ranking comes from votes it rests on its
    resamples (those of both, independent, where both do); of mere scores it rests on
    resampled models, pairs of a model with itself left out: it then speaks of models like
    these, and is wide for few.

    Args:
        first: scores by model, or a ranking by votes.
        second: the same; models of only one side take no part.
        resamples: draws of models.
        seed: seeds them.

    Raises:
        InputError: fewer than two models are in both.
    """
    sides = [_scores(side) for side in (first, second)]
    names = sorted(set(sides[0][0]) & set(sides[1][0]))
    if len(names) < 2:
        raise InputError(f"{len(names)} models are in both rankings: Kendall's tau needs 2 or more")
    points = [np.array([scores[name] for name in names]) for scores, _, _ in sides]
    value = float(tau_b(*points))
    if not np.isfinite(value):
        return Agreement(None, None, None, len(names), "models", "a ranking ranks nothing")
    draws = [
        None if drawn is None else drawn[:, [column[name] for name in names]]
        for _, drawn, column in sides
    ]
    if any(one is not None for one in draws):
        number = min(len(one) for one in draws if one is not None)
        pair = [
            point[None, :] if one is None else one[:number]
            for one, point in zip(draws, points, strict=True)
        ]
        return _agreement(value, tau_b(*pair), len(names), "votes")
    if len(names) < 5:
        reason = f"{len(names)} models are too few for an interval, 5 are needed"
        return Agreement(value, None, None, len(names), "models", reason)
    rng = np.random.default_rng([seed, 9])
    picks = rng.integers(len(names), size=(resamples, len(names)))
    pairs = [np.sign(point[picks][:, :, None] - point[picks][:, None, :]) for point in points]
    other = picks[:, :, None] != picks[:, None, :]
    agree = (pairs[0] * pairs[1] * other).sum(axis=(1, 2))
    counts = [((one != 0) & other).sum(axis=(1, 2)) for one in pairs]
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = agree / np.sqrt(counts[0] * counts[1])
    return _agreement(value, drawn, len(names), "models")


def kendall_by_prompt(
    first: Doubles, second: Doubles, *, resamples: int = RESAMPLES, seed: int = 0
) -> Agreement:
    """Compares the rankings of mean scores, the same prompts resampled on both sides.

    Args:
        first: (P, M) scores of models by prompt, as any scorer gives them; NaN where absent.
        second: (P, M) the same models and prompts, as of defended images.
        resamples: draws of prompts.
        seed: seeds them.

    Raises:
        InputError: the shapes differ, or there are fewer than two models.
    """
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] < 2:
        raise InputError(
            f"scores of shape {first.shape} and {second.shape}: give (prompts, models) twice, "
            "two models or more"
        )
    P, M = first.shape
    value = float(tau_b(np.nanmean(first, axis=0), np.nanmean(second, axis=0)))
    if not np.isfinite(value):
        return Agreement(None, None, None, M, "prompts", "a ranking ranks nothing")
    if P < 5:
        reason = f"{P} prompts are too few for an interval, 5 are needed"
        return Agreement(value, None, None, M, "prompts", reason)
    rng = np.random.default_rng([seed, 10])
    counts = rng.multinomial(P, np.full(P, 1 / P), size=resamples).astype(np.float64)
    means = []
    for scores in (first, second):
        there = np.isfinite(scores)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append((counts @ np.where(there, scores, 0.0)) / (counts @ there))
    return _agreement(value, tau_b(*means), M, "prompts")


def _agreement(value: float, drawn: Doubles, models: int, resampled: str) -> Agreement:
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Agreement(value, float(min(low, value)), float(max(high, value)), models, resampled)


def _scores(
    side: Mapping[str, float] | Ranking,
) -> tuple[dict[str, float], Doubles | None, dict[str, int]]:
    """Returns scores, resampled scores where there are any, and their columns."""
    if isinstance(side, Mapping):
        return {name: float(score) for name, score in side.items()}, None, {}
    scores = {one.model: one.score.value for one in side.leaderboard if one.score.value is not None}
    return scores, side.draws, {name: at for at, name in enumerate(side.drawn_models)}
