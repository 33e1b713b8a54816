"""The object that ``whodrew votes screen`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from whodrew.ranking.intervals import NORMAL
from whodrew.ranking.result import Bounded, Ranking
from whodrew.ranking.screen_model import Codes, Flags

if TYPE_CHECKING:
    from whodrew.ranking.screen_pools import Pool
    from whodrew.ranking.screen_roc import Power

SCHEMA: Final = "whodrew.screen/1"


def share_of(hits: Codes, trials: int) -> Bounded:
    """Returns a share with its 95 % interval: Wilson 1927, widened where logs differ more.

    Args:
        hits: (F,) hits in each of F simulated logs.
        trials: in each.
    """
    total, count = int(hits.sum()), len(hits) * trials
    if not count:
        return Bounded(None, None, None, "nobody was simulated")
    p = total / count
    extra = 1.0
    if len(hits) > 1 and 0 < p < 1:
        extra = max(1.0, float(hits.var(ddof=1)) / (trials * p * (1 - p)))
    n, z = count / extra, NORMAL
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Bounded(p, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


@dataclass(frozen=True)
class Leaning:
    """Which way votes lean most, against the honest ranking.

    Attributes:
        ratio: log-likelihood ratio at its maximum.
        target: the model there.
        up: whether votes are for it; else against it.
        share: λ there, the share of favouring votes.
        battles: with the target.
        favoured: votes for the target (or for its rivals, where against).
        expected: of such votes, honestly.
    """

    ratio: float
    target: str
    up: bool
    share: float
    battles: int
    favoured: int
    expected: float

    def leaning(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "log_likelihood_ratio": self.ratio,
            "target": self.target,
            "direction": "for" if self.up else "against",
            "share": self.share,
            "battles_with_target": self.battles,
            "favouring_votes": self.favoured,
            "favouring_votes_expected": self.expected,
        }


@dataclass(frozen=True)
class Suspect(Leaning):
    """A voter that something speaks against, and which way its votes lean.

    Attributes:
        voter: its name.
        votes: it cast.
        p_value: of its votes, corrected for all targets, directions and shares.
        reasons: ``votes``, ``ring``, ``battles``, ``rate``, ``dwell``, ``regular``.
        ring: place in ``rings``, or ``None``.
        excluded: whether the screen leaves its votes out, or would.
        certain: whether its votes alone are beyond 1 % for the whole crowd (Holm 1979).
        beside: p-values of its battles and times, those that could be had.
    """

    voter: str
    votes: int
    p_value: float
    reasons: tuple[str, ...]
    ring: int | None
    excluded: bool
    certain: bool
    beside: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {
            "voter": self.voter,
            "votes": self.votes,
            "excluded": self.excluded,
            "reasons": list(self.reasons),
            "p_value": self.p_value,
            "beyond_holm": self.certain,
            **self.leaning(),
            "ring": self.ring,
        }
        if self.ring is None:
            values["ring_reason"] = "in no ring"
        values["beside"] = dict(self.beside)
        return values


@dataclass(frozen=True)
class NamedRing:
    """A ring, its members by name; see ``screen_rings``."""

    view: str
    statistic: float
    p_value: float
    target: str | None
    up: bool | None
    group: int
    members: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {
            "agrees_on": self.view,
            "p_value": self.p_value,
            "statistic": self.statistic,
            "target": self.target,
            "direction": None if self.up is None else "for" if self.up else "against",
            "group": self.group,
            "members": list(self.members),
        }
        if self.target is None:
            values["target_reason"] = "it agrees on pairs of models, not on one model"
            values["direction_reason"] = "it has no one target"
        if not self.members:
            values["members_reason"] = "who of the group is honest cannot be told"
        return values


@dataclass(frozen=True)
class Screen:
    """The result of ``whodrew votes screen``.

    Attributes:
        source: the vote log.
        format: how it was read.
        votes: in it.
        voters: named in it.
        judged: of these, with votes enough.
        least_votes: that a voter needs to be judged.
        unnamed: votes without a voter: kept, judged by nobody.
        by: what excludes: ``votes``, ``rings``, ``battles``, ``times``, ``pools``.
        asked: the false-exclusion rate asked for, the p-value at which votes exclude.
        rounds: simulated logs that set p-values.
        false_exclusion: share of honest judged voters excluded, in simulated logs that set
            nothing.
        fresh_logs: their number.
        most_excluded: share of voters, or of votes, above which nothing is excluded.
        refused: why nobody is excluded though some would be; ``None`` where it acts.
        excluded_voters: excluded, or that would be.
        excluded_votes: theirs.
        suspects: the most certain first.
        pools: votes that no voter can be judged by.
        rings: the most certain first; empty where none were looked for.
        odd_battles: voters whose battles are far out.
        times: what was seen of times, or ``None``.
        times_reason: why there is none.
        crowd: whether voters vary as the model says: observed and expected shares.
        before: the ranking by all votes, or ``None``.
        after: the ranking by the kept ones.
        after_reason: why there is none.
        without_found: where it refused, the ranks that would change without those found.
        power: share of simulated attackers caught, where asked.
        skipped: reason to number of rows that could not be read.
        bad: the first of them.
        seed: what everything was seeded with.
        notes: for people.
        keep: (n,) which battles of the votes are kept.
        table: one row a judged voter.
    """

    source: str
    format: str
    votes: int
    voters: int
    judged: int
    least_votes: int
    unnamed: int
    by: tuple[str, ...]
    asked: float
    rounds: int
    false_exclusion: Bounded
    fresh_logs: int
    most_excluded: float
    refused: str | None
    excluded_voters: int
    excluded_votes: int
    suspects: tuple[Suspect, ...]
    pools: tuple[Pool, ...]
    rings: tuple[NamedRing, ...]
    odd_battles: int
    times: Mapping[str, Any] | None
    times_reason: str | None
    crowd: Mapping[str, Any] | None
    before: Ranking | None
    after: Ranking | None
    after_reason: str | None
    without_found: list[dict[str, Any]] | None
    power: Power | None
    skipped: Mapping[str, int]
    bad: tuple[Any, ...]
    seed: int
    notes: tuple[str, ...]
    keep: Flags = field(repr=False)
    table: pa.Table = field(repr=False)

    @property
    def exit_code(self) -> int:
        """3 where it refused, 1 where rows were bad, else 0."""
        return 3 if self.refused else 1 if self.skipped else 0

    def excluded(self) -> tuple[str, ...]:
        """Returns the names of the voters that are excluded; none where it refused."""
        return () if self.refused else tuple(s.voter for s in self.suspects if s.excluded)

    def changes(self) -> list[dict[str, Any]]:
        """Returns the models whose rank changes, in the order of the ranking before."""
        if self.before is None or self.after is None:
            return []
        return changes_of(self.before, self.after)

    def to_table(self) -> pa.Table:
        """Returns one row a judged voter: votes, p-value, target, times, and the decision."""
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Returns ``whodrew.screen/1``."""
        rate: dict[str, Any] = {"asked": self.asked}
        rate |= {"value": None, "low": None, "high": None, **(self.false_exclusion.to_dict() or {})}
        if self.false_exclusion.value is None:
            rate["value_reason"] = self.false_exclusion.reason or "nobody was judged"
            rate["low_reason"] = rate["high_reason"] = rate["value_reason"]
        rate |= {
            "simulated_logs": self.fresh_logs,
            "simulated_voters": self.fresh_logs * self.judged,
        }
        looked = "rings" in self.by and self.judged > 0
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "format": self.format,
            "votes": self.votes,
            "voters": {
                "named": self.voters,
                "judged": self.judged,
                "too_few_votes": self.voters - self.judged,
                "least_votes": self.least_votes,
            },
            "unnamed_votes": self.unnamed,
            "skipped": dict(self.skipped),
            "bad": [one.to_dict() for one in self.bad],
            "by": list(self.by),
            "false_exclusion": rate,
            "threshold": {"p_value": self.asked, "simulated_logs": self.rounds},
            "most_excluded": self.most_excluded,
            "acted": self.refused is None,
            "found": {
                "voters": self.excluded_voters,
                "voters_share": self.excluded_voters / max(self.voters, 1),
                "votes": self.excluded_votes,
                "votes_share": self.excluded_votes / max(self.votes, 1),
            },
            "suspects": [one.to_dict() for one in self.suspects],
            "pools": [one.to_dict() for one in self.pools],
            "rings": [one.to_dict() for one in self.rings] if looked else None,
            "odd_battles": self.odd_battles,
            "times": None if self.times is None else dict(self.times),
            "crowd": None if self.crowd is None else dict(self.crowd),
            "before": _board(self.before),
            "after": _board(self.after),
            "changes": self.changes(),
            "without_found": self.without_found,
            "power": None if self.power is None else self.power.to_dict(),
        }
        if self.refused:
            values["acted_reason"] = self.refused
        if not looked:
            sought = "nobody is judged" if "rings" in self.by else "not looked for: --by rings"
            values["rings_reason"] = sought
        if self.times is None:
            values["times_reason"] = self.times_reason or "no times"
        if self.crowd is None:
            values["crowd_reason"] = "too few voters are judged"
        if self.before is None:
            values["before_reason"] = "not asked for"
        if self.after is None:
            values["after_reason"] = self.after_reason or "not asked for"
        if self.without_found is None:
            why = "it acted: see changes" if self.refused is None else "no ranking without them"
            values["without_found_reason"] = why
        if self.power is None:
            values["power_reason"] = "not asked for: --power"
        return values | {"seed": self.seed, "notes": list(self.notes)}


def changes_of(before: Ranking, after: Ranking) -> list[dict[str, Any]]:
    """Returns the models whose rank changes, JSON-ready, in the order of the ranking before."""
    later = {one.model: one.rank.value for one in after.leaderboard}
    found = []
    for one in before.leaderboard:
        now, then = one.rank.value, later.get(one.model)
        if now != then:
            entry: dict[str, Any] = {"model": one.model}
            for name, rank in (("before", now), ("after", then)):
                entry[name] = None if rank is None else int(rank)
                if rank is None:
                    entry[f"{name}_reason"] = "no score there"
            found.append(entry)
    return found


def _board(ranking: Ranking | None) -> list[dict[str, Any]] | None:
    if ranking is None:
        return None
    found = []
    for one in ranking.leaderboard:
        values = one.to_dict()
        names = ("model", "score", "score_reason", "rank", "rank_reason", "battles")
        found.append({name: values[name] for name in names if name in values})
    return found
