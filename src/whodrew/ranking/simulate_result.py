"""The object that ``whodrew votes simulate`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.ranking.confusion import Identification
from whodrew.ranking.result import Bounded

SCHEMA: Final = "whodrew.manipulation/1"
NO_COST: Final = "no price of a vote is given"


@dataclass(frozen=True)
class Needed:
    """What a number of ranks takes.

    Attributes:
        ranks: how many.
        to_rank: the rank that this is.
        votes: attacking votes cast: the median over repetitions, and 95 % of them.
        battles: those seen until then, also those without a vote.
        reached: share of repetitions that got there within the budget; ``None`` where the
            rank does not exist.
        at_start: share of repetitions that were there without a vote, no ranks being left.
        expected: votes where totals are what they are in the mean, the log as it is; may lie
            beyond the budget.
        expected_reason: why there are none.
    """

    ranks: int
    to_rank: int
    votes: Bounded
    battles: Bounded
    reached: float | None
    at_start: float | None
    expected: float | None
    expected_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {"ranks": self.ranks, "to_rank": self.to_rank}
        self.votes.into(values, "votes")
        self.battles.into(values, "battles")
        values["reached"] = self.reached
        if self.reached is None:
            values["reached_reason"] = self.votes.reason
        values["at_start"] = self.at_start
        if self.at_start is None:
            values["at_start_reason"] = self.votes.reason
        values["expected"] = self.expected
        if self.expected is None:
            values["expected_reason"] = self.expected_reason or "no number of votes gets there"
        return values


@dataclass(frozen=True)
class Curve:
    """One strategy with one identification.

    Attributes:
        strategy: its SPEC.
        identification: how well it names images.
        voted: share of the battles it sees that it votes on.
        needed: one for each number of ranks.
        honest_votes: in the log that it is added to.
    """

    strategy: str
    identification: Identification
    voted: float
    needed: tuple[Needed, ...]
    honest_votes: float

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "strategy": self.strategy,
            "identification": self.identification.to_dict(),
            "honest_votes": self.honest_votes,
            "share_of_battles_voted_on": self.voted,
            "ranks": [one.to_dict() for one in self.needed],
        }


@dataclass(frozen=True)
class Shared:
    """The rank where a share of all votes are attackers'.

    Attributes:
        share: of all votes.
        votes: how many that is.
        strategy: of the attackers.
        identification: theirs.
        rank: the model's rank then: median, and 95 % of repetitions.
        gained: ranks won (or lost, for a rival) against the same repetition without attack.
    """

    share: float
    votes: int
    strategy: str
    identification: Identification
    rank: Bounded
    gained: Bounded

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {
            "share": self.share,
            "votes": self.votes,
            "strategy": self.strategy,
            "identification": self.identification.to_dict(),
        }
        self.rank.into(values, "rank")
        self.gained.into(values, "gained")
        return values


@dataclass(frozen=True)
class Defended:
    """What a defence costs the attacker.

    Attributes:
        defence: its SPEC.
        top1: how often the strongest attacker names an image then.
        ranks: how many are wanted.
        times: votes needed with the defence, over those without.
        votes: votes needed with it, in the mean.
        without: votes needed without it, in the mean.
    """

    defence: str
    top1: float | None
    ranks: int
    times: Bounded
    votes: float | None
    without: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {"defence": self.defence, "top1": self.top1, "ranks": self.ranks}
        reason = self.times.reason or "no number of votes gets there"
        if self.top1 is None:
            values["top1_reason"] = reason
        self.times.into(values, "times")
        for name, value in (("votes", self.votes), ("votes_without", self.without)):
            values[name] = value
            if value is None:
                values[f"{name}_reason"] = reason
        return values


@dataclass(frozen=True)
class Manipulation:
    """The result of ``whodrew votes simulate``.

    Attributes:
        source: the vote log, or the model of one.
        honest_votes: in it.
        models: names of the M ranked, the best first.
        ties: how ties are modelled.
        ridge: as for the ranking.
        sampling: which battles voters are shown.
        aim: model, direction (``up`` or ``down``), rank, and whether it was given.
        budget: votes an attacker may cast.
        repetitions: how often each attack was simulated.
        intervals: what they are, in words.
        curves: by strategy and identification.
        by_honest_votes: the first strategy on logs of other sizes.
        by_share: the first strategy where a share of all votes are attackers'.
        defended: what defences cost the attacker, where a frontier was given.
        seed: of everything.
        headline: one sentence.
        notes: for people.
        skipped: reason to number of rows left out of the log.
        bad: the first of them, by name.
    """

    source: str
    honest_votes: float
    models: tuple[str, ...]
    ties: str
    ridge: float
    sampling: str
    aim: Mapping[str, Any]
    budget: int
    repetitions: int
    intervals: str
    curves: tuple[Curve, ...]
    by_honest_votes: tuple[Curve, ...]
    by_share: tuple[Shared, ...]
    defended: tuple[Defended, ...] | None
    seed: int
    headline: str
    notes: tuple[str, ...]
    skipped: Mapping[str, int]
    bad: tuple[BadItem, ...]

    @property
    def exit_code(self) -> int:
        """0, or 1 where some rows of the log were bad."""
        return 1 if self.skipped else 0

    def to_dict(self) -> dict[str, Any]:
        """Returns ``whodrew.manipulation/1``."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "honest_votes": self.honest_votes,
            "models": list(self.models),
            "model": "bradley-terry",
            "ties": self.ties,
            "ridge": self.ridge,
            "sampling": self.sampling,
            "aim": dict(self.aim),
            "budget": self.budget,
            "repetitions": self.repetitions,
            "intervals": self.intervals,
            "curves": [one.to_dict() for one in self.curves],
            "by_honest_votes": [one.to_dict() for one in self.by_honest_votes],
            "by_share": [one.to_dict() for one in self.by_share],
            "defended": None if self.defended is None else [one.to_dict() for one in self.defended],
        }
        if self.defended is None:
            values["defended_reason"] = "no frontier is given"
        return values | {
            "cost": None,
            "cost_reason": NO_COST,
            "skipped": dict(self.skipped),
            "bad": [one.to_dict() for one in self.bad],
            "seed": self.seed,
            "headline": self.headline,
            "notes": list(self.notes),
        }

    def to_table(self) -> pa.Table:
        """Returns one row a curve and number of ranks."""
        rows = []
        for curve in (*self.curves, *self.by_honest_votes):
            for one in curve.needed:
                rows.append(  # noqa: PERF401 - clearer
                    {
                        "strategy": curve.strategy,
                        "identification": curve.identification.label,
                        "accuracy": curve.identification.accuracy,
                        "honest_votes": curve.honest_votes,
                        "ranks": one.ranks,
                        "votes": one.votes.value,
                        "low": one.votes.low,
                        "high": one.votes.high,
                        "battles": one.battles.value,
                        "reached": one.reached,
                        "at_start": one.at_start,
                        "expected": one.expected,
                    }
                )
        return pa.Table.from_pylist(rows)
