"""When voters vote: how many in an hour, and how long between votes, against the crowd.

Each figure of a voter is taken as a logarithm, its distance from the crowd's median is
divided by 1.4826 times the crowd's median absolute deviation, and the p-value is that of a
normal distribution, one-sided. There is no honest model of times to simulate from, so these
p-values say how far out a voter lies and exclude nobody unless asked to. Whodrew's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from whodrew.ranking.columns import Doubles
from whodrew.ranking.screen_model import Codes, Flags, Log

KINDS: Final = ("rate", "dwell", "regular")
HOUR: Final = 3600.0
#: Seconds; longer pauses part sittings and are no gaps.
_PAUSE: Final = 1800.0
_LEAST_GAPS: Final = 10
_CROWD: Final = 20
_MAD: Final = 1.4826
#: Shortest gap told apart, seconds.
_TICK: Final = 0.05


@dataclass(frozen=True)
class Times:
    """What is known of when V voters vote.

    Attributes:
        known: votes with a time.
        judged: (V,) voters with gaps enough.
        hour: (V,) most votes in any hour; NaN where not judged.
        gap: (V,) median seconds between votes of a sitting.
        spread: (V,) standard deviation of the logarithm of these gaps.
        p_values: kind to (V,) one-sided p-values, NaN where not judged; empty where the crowd
            is too small.
        reason: why there are no p-values.
    """

    known: int
    judged: Flags
    hour: Doubles
    gap: Doubles
    spread: Doubles
    p_values: dict[str, Doubles]
    reason: str | None


def far_out(p: Doubles, level: float) -> Flags:
    """Returns the voters beyond ``level``, corrected for all of them (Holm 1979).

    Args:
        p: (V,) p-values, NaN for who is not judged.
        level: probability of any, among honest voters.
    """
    order = np.argsort(np.where(np.isnan(p), np.inf, p), kind="stable")
    left = int((~np.isnan(p)).sum())
    flags = np.zeros(len(p), dtype=bool)
    for at in order.tolist():
        if not p[at] * left <= level:
            break
        flags[at] = True
        left -= 1
    return flags


def times_of_voters(log: Log, time: Doubles | None) -> Times:
    """Looks at the times of the voters that are judged.

    Args:
        log: the battles.
        time: (n,) seconds in the order of the log, NaN where unknown; or ``None``.
    """
    V, n = log.voters, log.judged
    nothing = np.full(V, np.nan)
    none = np.zeros(V, dtype=bool)
    if time is None or not np.isfinite(time[:n]).any():
        why = "the log has no times" if time is None else "no judged voter's vote has a time"
        return Times(0, none, nothing, nothing, nothing, {}, why)
    known = np.flatnonzero(np.isfinite(time[:n]))
    order = known[np.lexsort((time[known], log.voter[known]))]
    voter, at = log.voter[order], time[order]
    hour = np.where(np.bincount(voter, minlength=V) > 0, _busiest(voter, at, V), np.nan)
    same = voter[1:] == voter[:-1]
    gap = np.diff(at)
    short = same & (gap <= _PAUSE)
    whose, values = voter[1:][short], np.maximum(gap[short], _TICK)
    count = np.bincount(whose, minlength=V)
    judged = count >= _LEAST_GAPS
    if judged.sum() < _CROWD:
        why = (
            f"only {int(judged.sum())} voters have {_LEAST_GAPS} gaps between votes or more: "
            f"a crowd to compare with needs {_CROWD}"
        )
        return Times(len(known), judged, hour, nothing, nothing, {}, why)
    middle, spread = _gaps(whose, np.log(values), count, judged)
    figures = {
        "rate": np.log(np.where(judged, hour, np.nan)),
        "dwell": -middle,
        "regular": -np.log(np.maximum(spread, 1e-3)),
    }
    p_values = {kind: _p_values(values) for kind, values in figures.items()}
    blank = np.where(judged, 1.0, np.nan)
    return Times(len(known), judged, hour * blank, np.exp(middle), spread, p_values, None)


def _busiest(voter: Codes, at: Doubles, voters: int) -> Doubles:
    """Returns (V,) most votes within an hour, from votes ordered by voter and time."""
    # one axis for all: voters lie further apart than any hour
    span = float(at.max() - at.min()) + 2 * HOUR
    line = voter * span + (at - at.min())
    end = np.searchsorted(line, line + HOUR, side="left")
    found = np.zeros(voters)
    np.maximum.at(found, voter, (end - np.arange(len(line))).astype(np.float64))
    return found


def _gaps(whose: Codes, values: Doubles, count: Codes, judged: Flags) -> tuple[Doubles, Doubles]:
    """Returns (V,) median and standard deviation of log gaps, NaN where not judged."""
    V = len(count)
    order = np.lexsort((values, whose))
    ordered = values[order]
    start = np.cumsum(count) - count
    middle = np.full(V, np.nan)
    low, high = start + (count - 1) // 2, start + count // 2
    middle[judged] = (ordered[low[judged]] + ordered[high[judged]]) / 2
    total = np.bincount(whose, weights=values, minlength=V)
    mean = total / np.maximum(count, 1)
    square = np.bincount(whose, weights=(values - mean[whose]) ** 2, minlength=V)
    spread = np.where(judged, np.sqrt(square / np.maximum(count - 1, 1)), np.nan)
    return middle, spread


def _p_values(values: Doubles) -> Doubles:
    """Returns one-sided p-values, high being odd; all 1 where the crowd does not vary."""
    middle = np.nanmedian(values)
    scale = _MAD * np.nanmedian(np.abs(values - middle))
    if scale <= 0:
        return np.where(np.isnan(values), np.nan, 1.0)
    return np.asarray(ndtr(-(values - middle) / scale))
