"""The object that ``whodrew votes influence`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.ranking.columns import Doubles

SCHEMA: Final = "whodrew.influence/1"
UNIT: Final = "log odds, mean 0"


@dataclass(frozen=True)
class Kind:
    """Battles that are alike: two models, and the votes in one battle.

    Attributes:
        models: the two, by name.
        votes: for the first, for the second, ties, in one battle.
        battles: how many of them the log holds.
    """

    models: tuple[str, str]
    votes: tuple[float, float, float]
    battles: int

    @property
    def said(self) -> str:
        """What happened, in words."""
        a, b = self.models
        words = {(1.0, 0.0, 0.0): f"{a} over {b}", (0.0, 1.0, 0.0): f"{b} over {a}"}
        words[0.0, 0.0, 1.0] = f"tie of {a} and {b}"
        first, second, ties = self.votes
        rest = f", {ties:g} ties" if ties else ""
        return words.get(self.votes, f"{a} {first:g} : {second:g} {b}{rest}")

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        first, second, ties = self.votes
        return {
            "model_a": self.models[0],
            "model_b": self.models[1],
            "votes_a": first,
            "votes_b": second,
            "ties": ties,
            "battles": self.battles,
        }


@dataclass(frozen=True)
class Moved:
    """What the gap does without one battle of a kind, or without one voter.

    Attributes:
        what: the kind, or the name of the voter.
        battles: that are removed: 1, or all of the voter.
        change: of the gap; below 0 where it shrinks. ``None`` where some model has no score
            then.
    """

    what: Kind | str
    battles: int
    change: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any]
        if isinstance(self.what, Kind):
            values = self.what.to_dict()
        else:
            values = {"voter": self.what, "battles": self.battles}
        values["change"] = self.change
        if self.change is None:
            values["change_reason"] = "without it some model has no score"
        return values


@dataclass(frozen=True)
class Removal:
    """The fewest battles, or voters, that were found whose removal turns an order.

    Attributes:
        count: how many; ``None`` where none were found.
        share: of those in the log.
        battles: that go with them.
        at_least: fewer can not turn it, whichever they are; ``None`` where no bound is known.
        gap: between the two scores without them; below 0.
        kinds: kinds of battle and how many of each; empty for voters.
        rows: the first of the rows of the log, counted from 0; empty for voters.
        voters: the first of their names; empty for battles.
        reason: why ``count`` is missing.
        at_least_reason: why ``at_least`` is missing.
    """

    count: int | None
    share: float | None = None
    battles: int | None = None
    at_least: int | None = None
    gap: float | None = None
    kinds: tuple[tuple[Kind, int], ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    voters: tuple[str, ...] = ()
    reason: str | None = None
    at_least_reason: str | None = None

    @property
    def exact(self) -> bool:
        """Whether the bounds meet: no fewer turn the order."""
        return self.count is not None and self.count == self.at_least

    def to_dict(self, *, of: str) -> dict[str, Any]:
        """Returns JSON-ready values of ``battles`` or ``voters``."""
        values: dict[str, Any] = {"count": self.count, "share": self.share}
        values |= {"battles": self.battles, "at_least": self.at_least, "gap_after": self.gap}
        for name in ("count", "share", "battles", "gap_after"):
            if values[name] is None:
                values[f"{name}_reason"] = self.reason or "nothing was found"
        if self.at_least is None:
            values["at_least_reason"] = self.at_least_reason or self.reason or "no bound is known"
        values["exact"] = self.exact
        if of == "voters":
            return values | {"voters": list(self.voters)}
        values["kinds"] = [one.to_dict() | {"removed": number} for one, number in self.kinds]
        return values | {"rows": [dict(one) for one in self.rows]}


@dataclass(frozen=True)
class Order:
    """Two models of the leaderboard, and what keeps the one above the other.

    Attributes:
        rank: of the one above, from 1.
        upper: its name.
        lower: the name of the other.
        gap: between their scores.
        removal: the fewest battles.
        voter_removal: the fewest voters, or ``None``.
        kinds: kinds of battle that move the gap most, by size.
        voters: voters that move the gap most, by size.
    """

    rank: int
    upper: str
    lower: str
    gap: float
    removal: Removal
    voter_removal: Removal | None
    kinds: tuple[Moved, ...]
    voters: tuple[Moved, ...]

    def to_dict(self, voters_reason: str | None) -> dict[str, Any]:
        """Returns JSON-ready values; ``voters_reason`` says why there are no voters."""
        values: dict[str, Any] = {
            "rank": self.rank,
            "upper": self.upper,
            "lower": self.lower,
            "gap": self.gap,
            "fewest_battles": self.removal.to_dict(of="battles"),
            "fewest_voters": None,
        }
        if self.voter_removal is None:
            values["fewest_voters_reason"] = voters_reason or "no voter is known"
        else:
            values["fewest_voters"] = self.voter_removal.to_dict(of="voters")
        values["kinds"] = [one.to_dict() for one in self.kinds]
        values["voters"] = [one.to_dict() for one in self.voters]
        return values


@dataclass(frozen=True)
class Influence:
    """The result of ``whodrew votes influence``.

    Attributes:
        source: the vote log.
        format: how it was read.
        votes: votes used; a battle may hold several.
        battles: battles used, between models that have a score.
        skipped: reason to number of rows left out.
        bad: the first of them, by name.
        ties: how ties are modelled.
        ridge: what was taken off the likelihood.
        models: those with a score, the best first.
        unscored: the others.
        first: the order whose turning puts another model first at the least cost; ``None``
            where one rank was asked for.
        orders: neighbours of the leaderboard.
        kinds_by: how the influence of kinds was had, in words.
        voters_by: the same of voters; ``None`` without them.
        voters: known voters, or ``None``.
        voters_reason: why there are none.
        seed: which of the rows that are alike are named.
        notes: for people.
        kinds: all kinds of battle.
        changes: (kinds, models) what each score does without one battle of the kind; NaN
            where some model has none then, no rows where kinds are too many.
    """

    source: str
    format: str
    votes: float
    battles: int
    skipped: Mapping[str, int]
    bad: tuple[BadItem, ...]
    ties: str
    ridge: float
    models: tuple[str, ...]
    unscored: tuple[str, ...]
    first: Order | None
    orders: tuple[Order, ...]
    kinds_by: str
    voters_by: str | None
    voters: int | None
    voters_reason: str | None
    seed: int
    notes: tuple[str, ...]
    kinds: tuple[Kind, ...] = field(repr=False)
    changes: Doubles = field(repr=False)

    @property
    def exit_code(self) -> int:
        """0, or 1 where some rows were bad."""
        return 1 if self.skipped else 0

    @property
    def sentence(self) -> str:
        """The result in one line."""
        one = self.first or self.orders[0]
        place = "who is first" if one.rank == 1 else f"who is number {one.rank}"
        found = one.removal
        if found.count is None:
            return f"No removal of votes was found that changes {place}: {found.reason}."
        noun = "vote" if self.votes == self.battles else "battle"
        verb = "decides" if found.count == 1 else "decide"
        text = (
            f"{found.count:,} {noun}{'' if found.count == 1 else 's'} of {self.battles:,} "
            f"({percent(found.share or 0.0)}) {verb} {place}: without "
            f"{'it' if found.count == 1 else 'them'} {one.lower} stands above {one.upper}."
        )
        by_voter = one.voter_removal
        if by_voter is not None and by_voter.count is not None:
            number = by_voter.count
            what = "voter does" if number == 1 else "voters do"
            text += f" {number:,} {what} of {self.voters or 0:,}."
        return text

    def to_dict(self) -> dict[str, Any]:
        """Returns ``whodrew.influence/1``."""
        why = self.voters_reason
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "format": self.format,
            "votes": int(self.votes) if float(self.votes).is_integer() else self.votes,
            "battles": self.battles,
            "skipped": dict(self.skipped),
            "bad": [one.to_dict() for one in self.bad],
            "ties": self.ties,
            "ridge": self.ridge,
            "unit": UNIT,
            "models": list(self.models),
            "unscored": list(self.unscored),
            "sentence": self.sentence,
            "first": None if self.first is None else self.first.to_dict(why),
            "orders": [one.to_dict(why) for one in self.orders],
            "kinds_by": self.kinds_by,
            "voters": self.voters,
            "voters_by": self.voters_by,
        }
        if self.first is None:
            values["first_reason"] = "another rank was asked for"
        for name in ("voters", "voters_by"):
            if values[name] is None:
                values[f"{name}_reason"] = why or "no voter is known"
        return values | {"seed": self.seed, "notes": list(self.notes)}

    def to_table(self) -> pa.Table:
        """Returns one row a kind of battle: its battles, and what each score does without one."""
        rows = []
        for one, change in zip(self.kinds, self.changes.tolist(), strict=False):
            row = one.to_dict()
            scores = zip(self.models, change, strict=True)
            row |= {f"change_{name}": None if at != at else at for name, at in scores}  # noqa: PLR0124 - NaN
            rows.append(row)
        return pa.Table.from_pylist(rows)


def percent(share: float) -> str:
    """Returns a share for people, two digits of it."""
    return f"{100 * share:.2g} %"
