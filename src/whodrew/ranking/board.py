"""The leaderboard: from scores and their resamples to one entry a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.ranking.cells import Cells, Codes
from whodrew.ranking.columns import Doubles
from whodrew.ranking.covariates import Adjusted
from whodrew.ranking.intervals import NORMAL
from whodrew.ranking.ranks import quantiles, rank_shares, ranks_of
from whodrew.ranking.result import Bounded, Place

_ENDLESS: Final = (
    "beside the side shown first and the covariates the votes set it no limit (separation)"
)


@dataclass(frozen=True)
class Estimates:
    """What is known of the m of M models that have a score.

    Attributes:
        scored: (M,) which these are.
        scores: (m,) log odds.
        errors: (m,) standard errors by the sandwich.
        draws: (B, m) resampled scores.
        resampled: whether the intervals are percentiles of ``draws``; else the sandwich's.
        beside: scores beside side and covariates, or ``None``.
    """

    scored: npt.NDArray[np.bool_]
    scores: Doubles
    errors: Doubles
    draws: Doubles
    resampled: bool
    beside: Adjusted | None


@dataclass(frozen=True)
class _Tallies:
    """(M,) battles, and the share of votes won, ties as halves."""

    battles: Doubles
    win_rate: Doubles


def places_of(
    models: tuple[str, ...],
    cells: Cells,
    known: Estimates,
    order: Codes,
    reasons: list[str | None],
) -> tuple[Place, ...]:
    """Returns the leaderboard.

    Args:
        models: (M,) their names.
        cells: merged kinds of battle, of all models.
        known: the estimates.
        order: (m,) the scored models, the best first.
        reasons: (M,) why a model has no score.
    """
    tallies = _tallies(cells)
    codes = np.flatnonzero(known.scored)
    ranks, here = ranks_of(known.draws), ranks_of(known.scores)
    low, high = quantiles(known.draws)
    rank_low, rank_high = quantiles(ranks.astype(np.float64))
    shares = rank_shares(ranks)
    places = []
    for at in order.tolist():
        code = int(codes[at])
        value, place = float(known.scores[at]), float(here[at])
        sandwich = error_bound(value, known.errors[at])
        assert sandwich.low is not None
        assert sandwich.high is not None
        score = _bounded(value, float(low[at]), float(high[at])) if known.resampled else sandwich
        beside = known.beside
        places.append(
            Place(
                model=models[code],
                score=score,
                rank=Bounded(
                    place, float(min(rank_low[at], place)), float(max(rank_high[at], place))
                ),
                p_first=float(shares[at, 0]),
                battles=int(tallies.battles[code]),
                win_rate=float(tallies.win_rate[code]),
                ranks=tuple(shares[at].tolist()),
                sandwich=(sandwich.low, sandwich.high),
                adjusted=None
                if beside is None
                else error_bound(beside.scores[at], beside.score_errors[at], _ENDLESS),
            )
        )
    for code in np.flatnonzero(~known.scored).tolist():
        nothing = Bounded(None, None, None, reasons[code])
        battles, rate = int(tallies.battles[code]), float(tallies.win_rate[code])
        places.append(Place(models[code], nothing, nothing, None, battles, rate))
    return tuple(places)


def error_bound(value: float, error: float, endless: str = "it has no limit") -> Bounded:
    """Returns a figure with the interval of a normal distribution; null where infinite."""
    if not np.isfinite(value):
        return Bounded(None, None, None, endless)
    return Bounded(float(value), float(value - NORMAL * error), float(value + NORMAL * error))


def _tallies(cells: Cells) -> _Tallies:
    M, amount = cells.models, cells.amounts * cells.count[:, None]
    battles, won, total = np.zeros((3, M))
    for end, own in ((cells.first, 0), (cells.second, 1)):
        battles += np.bincount(end, weights=cells.count, minlength=M)
        won += np.bincount(end, weights=amount[:, own] + amount[:, 2] / 2, minlength=M)
        total += np.bincount(end, weights=amount.sum(axis=1), minlength=M)
    return _Tallies(battles, won / np.maximum(total, 1e-300))


def _bounded(value: float, low: float, high: float) -> Bounded:
    """Returns a score whose interval may have no end: then that end is null, and says why."""
    ends = [end if np.isfinite(end) else None for end in (min(low, value), max(high, value))]
    reason = "in more than 2.5 % of resamples it only won or only lost" if None in ends else None
    return Bounded(value, ends[0], ends[1], reason)
