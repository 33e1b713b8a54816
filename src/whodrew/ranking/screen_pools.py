"""Votes that no voter can be judged by, each kind looked at as if it were one voter's.

Voters of too few votes (throwaway accounts are such) and votes of nobody are not in the
honest fit, and would else be looked at by nobody. A pool's statistic is that of a voter
(``screen_votes``), under the fit of the judged; its distribution is that of the same pool in
the simulated honest logs. Whodrew's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whodrew.ranking.columns import Doubles
from whodrew.ranking.screen_model import Codes, Flags, Honest, Log, Outcomes, vote_chances
from whodrew.ranking.screen_result import Leaning
from whodrew.ranking.screen_votes import Ratios, ratios

FEW: Final = "too_few_votes"
NOBODY: Final = "nobody"
#: Probability that any pool of an honest log is said to differ.
POOL_LEVEL: Final = 0.01
_LEAST_P: Final = 1e-300
_TOLD_P: Final = 1e-12


@dataclass(frozen=True)
class Pools:
    """The pools of a log, k of them.

    Attributes:
        names: of each.
        log: their votes, a pool a voter.
        start: the place of the first of them in the log.
    """

    names: tuple[str, ...]
    log: Log
    start: int

    def look(self, outcome: Outcomes, fitted: Honest) -> Ratios:
        """Returns what the pools come to.

        Args:
            outcome: (n,) of the whole log.
            fitted: the honest ranking; they are not in it.
        """
        said = outcome[self.start :]
        still = np.zeros((len(self.names), self.log.models + 2))
        return ratios(self.log, said, vote_chances(self.log, said, fitted, still))


def pools_of(log: Log) -> Pools | None:
    """Returns the votes of those who are not judged, or ``None`` where all are."""
    at = log.judged
    kinds = np.unique(log.voter[at:])
    if not len(kinds):
        return None
    names = tuple((FEW, NOBODY)[kind - log.voters] for kind in kinds.tolist())
    voter = np.searchsorted(kinds, log.voter[at:])
    rest = Log(
        log.models, log.first[at:], log.second[at:], log.outcome[at:], voter, len(kinds),
        log.place[at:],
    )  # fmt: skip
    return Pools(names, rest, at)


def pool_p_values(pools: Pools, drawn: Doubles, ratio: Doubles) -> tuple[Doubles, Flags]:
    """Returns (k,) p-values, and which pools differ from the judged voters (Bonferroni).

    Args:
        pools: the pools.
        drawn: (R, k) ratios in simulated honest logs.
        ratio: (k,) those of the log.
    """
    p = np.array([_p_value(drawn[:, at], ratio[at]) for at in range(len(pools.names))])
    return p, p * len(p) <= POOL_LEVEL


def _p_value(drawn: Doubles, x: float) -> float:
    """Returns the share of draws as high, or their exponential tail: few logs are simulated.

    The tail is of the highest fifth's mean excess, at least 1, as a likelihood ratio's.
    """
    R = len(drawn)
    top = np.sort(drawn)[-max(2, R // 5) :]
    scale = max(float(top.mean() - top[0]), 1.0)
    far = len(top) / R * np.exp(-max(x - top[0], 0.0) / scale)
    above = int((drawn >= x - 1e-9).sum())
    share = (1 + above) / (1 + R)
    return max(float(min(share, far) if above < len(top) else share), _LEAST_P)


@dataclass(frozen=True)
class Pool(Leaning):
    """What is known of a pool, and which way its votes lean.

    Attributes:
        kind: ``too_few_votes`` or ``nobody``.
        voters: named in it.
        votes: in it.
        p_value: of its votes, as if one voter had cast them.
        differs: whether it is beyond 1 %, of all pools together.
        excluded: whether its votes are left out, or would be.
        changes: ranks that change where its votes alone are left out; ``None`` unless it
            differs and models are ranked.
    """

    kind: str
    voters: int
    votes: int
    p_value: float
    differs: bool
    excluded: bool
    changes: list[dict[str, Any]] | None

    def words(self) -> str:
        """Returns whose votes they are."""
        if self.kind == NOBODY:
            return f"{self.votes:,} votes of nobody"
        return f"{self.votes:,} votes of {self.voters:,} voters who have too few to be judged"

    def note(self) -> str:
        """Returns what an operator must know of a pool that differs."""
        way = "favour" if self.up else "work against"
        p = f"p {self.p_value:.1g}" if self.p_value >= _TOLD_P else f"p below {_TOLD_P:g}"
        told = (
            f"{self.words()} {way} {self.target} ({p}; "
            f"{self.favoured:,} of {self.battles:,} votes, {self.expected:,.0f} expected): "
        )
        moved = [one for one in self.changes or () if one["before"] and one["after"]]
        if moved:
            some = ", ".join(f"{m['model']} {m['before']} to {m['after']}" for m in moved[:3])
            told += f"without them ranks change ({some}{', ...' if len(moved) > 3 else ''}); "
        kept = "they are left out" if self.excluded else "they are kept: --by pools leaves them out"
        return told + kept

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {
            "of": self.kind,
            "voters": self.voters,
            "votes": self.votes,
            "p_value": self.p_value,
            **self.leaning(),
            "differs": self.differs,
            "excluded": self.excluded,
            "changes_without": self.changes,
        }
        if self.changes is None:
            why = "models are not ranked" if self.differs else "it does not differ"
            values["changes_without_reason"] = why
        return values


def members(log: Log, pools: Pools, at: int) -> Codes:
    """Returns the places in the votes of the pool's."""
    return np.asarray(log.place[pools.start :][pools.log.voter == at])
