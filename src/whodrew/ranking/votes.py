"""Votes as arrays: who met whom, who won, and what is known of each vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.arena.labels import count, odd_labels
from whodrew.errors import InputError
from whodrew.ranking.columns import (
    Doubles,
    Ints,
    codes_of,
    models_of,
    numbers_of,
    outcomes_of,
    times_of,
    truth_of,
)
from whodrew.ranking.files import VoteFile, open_votes
from whodrew.ranking.formats import (
    BOTH_BAD,
    FIRST,
    MISSING,
    OUTCOMES,
    SECOND,
    TIE,
    UNKNOWN,
    Plan,
    check_vote_columns,
    plan_of,
)
from whodrew.ranking.raw import from_raw

NAMED_BAD: Final = 100
#: Votes in one row; others are bad: sums of them, squares of sums and quotients stay finite.
LEAST_WEIGHT: Final = 1e-12
MOST_WEIGHT: Final = 1e12
#: What may be wrong with a row; the first that holds is its reason.
REASONS: Final = (
    "missing model",
    "self-battle",
    "missing label",
    "unknown label",
    "bad weight",
    "no votes",
)


@dataclass(frozen=True)
class Votes:
    """Battles of named models, n of them, as they were voted on.

    Attributes:
        models: their names, sorted; codes are places in it.
        first: (n,) code of the model shown first (``model_a``, left).
        second: (n,) code of the other.
        outcome: (n,) place in ``OUTCOMES``; where one battle holds several votes
            (``amounts``), that of the greater share.
        amounts: (n, 3) votes for the first, for the second, and ties; ``None`` where each
            battle is one vote.
        voter: (n,) codes of voters, -1 where unknown; ``None`` where no column names them.
        voters: names of voters.
        prompt: (n,) codes of prompts, -1 where unknown; or ``None``.
        prompts: prompt ids, or texts where the log has no ids.
        time: (n,) seconds, NaN where unknown; or ``None``.
        row: (n,) row of the log, counted from 0.
        covariates: name to (n,) numbers.
        source: what the user gave.
        format: how it was read.
        skipped: reason to number of rows left out as bad.
        bad: the first hundred of them, by name.
        notes: what was taken for granted, for people.
    """

    models: tuple[str, ...]
    first: Ints
    second: Ints
    outcome: npt.NDArray[np.int8]
    amounts: Doubles | None = None
    voter: Ints | None = None
    voters: tuple[str, ...] = ()
    prompt: Ints | None = None
    prompts: tuple[str, ...] = ()
    time: Doubles | None = None
    row: npt.NDArray[np.int64] | None = None
    covariates: Mapping[str, Doubles] = field(default_factory=dict)
    source: str = ""
    format: str = "arrays"
    skipped: Mapping[str, int] = field(default_factory=dict)
    bad: tuple[BadItem, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Returns the number of battles."""
        return len(self.first)

    @property
    def total(self) -> float:
        """The number of votes, or their weight."""
        return float(len(self) if self.amounts is None else self.amounts.sum())

    def each(self) -> Doubles:
        """Returns (n, 3) votes for the first, for the second, and ties."""
        if self.amounts is not None:
            return self.amounts
        found = np.zeros((len(self), 3))
        found[np.arange(len(self)), np.minimum(self.outcome, 2)] = 1.0
        return found

    def take(self, keep: npt.NDArray[Any]) -> Votes:
        """Returns the battles at ``keep`` (indices or booleans), the same models."""

        def some(values: Any) -> Any:
            return None if values is None else values[keep]

        from dataclasses import replace

        return replace(
            self,
            first=self.first[keep],
            second=self.second[keep],
            outcome=self.outcome[keep],
            amounts=some(self.amounts),
            voter=some(self.voter),
            prompt=some(self.prompt),
            time=some(self.time),
            row=some(self.row),
            covariates={name: values[keep] for name, values in self.covariates.items()},
        )


def read_votes(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    covariates: Sequence[str] = (),
) -> Votes:
    """Reads a vote log, whatever its format.

    Args:
        source: Parquet, CSV, TSV, JSON Lines or JSON, or a folder of Parquet parts.
        columns: our names to the log's columns: model_a, model_b, winner, votes_a, votes_b,
            weight, voter, timestamp, prompt_id, prompt, anonymous.
        skip_bad: count bad rows by reason instead of refusing the log.
        covariates: names of numbers of a battle: the column itself, or ``NAME_a`` less
            ``NAME_b`` where the log has these.

    Raises:
        InputError: it cannot be read, lacks columns, or (without ``skip_bad``) a row is
            bad: a model or label missing, a label unknown, a model against itself, a weight
            that is no number from 1e-12 to 1e12.
        UsageError: ``columns`` names what there is not.
    """
    check_vote_columns(columns or {})
    file = open_votes(source)
    plan = plan_of(file.names, columns or {}, str(source))
    wanted = {name: _covariate_columns(name, file) for name in covariates}
    # a text is no identity where the log has ids
    dropped = {"prompt"} if "prompt_id" in plan.columns else set()
    used = {ours: theirs for ours, theirs in plan.columns.items() if ours not in dropped}
    names = [*used.values(), *(name for some in wanted.values() for name in some)]
    table = file.read(list(dict.fromkeys(names)))
    return _votes(table, used, wanted, file, plan, skip_bad)


def _covariate_columns(name: str, file: VoteFile) -> tuple[str, ...]:
    if name in file.names:
        return (name,)
    pair = (f"{name}_a", f"{name}_b")
    if all(one in file.names for one in pair):
        return pair
    raise InputError(
        f"{file.path} has neither a column {name!r} nor both {pair[0]!r} and {pair[1]!r}"
    )


def _votes(
    table: pa.Table,
    used: dict[str, str],
    wanted: Mapping[str, tuple[str, ...]],
    file: VoteFile,
    plan: Plan,
    skip_bad: bool,
) -> Votes:
    notes: list[str] = []
    row = None
    kept = table
    if plan.name == "fastchat-raw":
        table, places, others = from_raw(table, used)
        row = np.array(places, dtype=np.int64)
        kept = kept.take(pa.array(places, pa.int64()))
        used = {name: name for name in table.column_names}
        if others:
            kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(others.items()))
            notes.append(f"rows of the log that are no votes: {kinds}")
    row = np.arange(table.num_rows, dtype=np.int64) if row is None else row
    models, first, second = models_of(table, used)
    outcome, amounts, raw = outcomes_of(table, used, models, first, second)
    reason = _reasons(first, second, outcome, amounts)
    bad = reason >= 0
    skipped: Counter[str] = Counter()
    named: list[BadItem] = []
    if file.malformed:
        skipped["malformed row"] = len(file.malformed)
        named += file.malformed[:NAMED_BAD]
    for code, text in enumerate(REASONS):
        if number := int((reason == code).sum()):
            skipped[text] = number
    for at in np.flatnonzero(bad)[:NAMED_BAD].tolist():
        text = _say(REASONS[reason[at]], at, models, first, raw)
        named.append(BadItem(file.row_name(int(row[at])), text))
    named = named[:NAMED_BAD]
    if skipped and not skip_bad:
        more = sum(skipped.values()) - 1
        rest = f" ({more:,} more bad rows)" if more else ""
        raise InputError(f"{named[0].item}: {named[0].reason}{rest}; --skip-bad leaves them out")
    keep = ~bad
    if not keep.any():
        raise InputError(f"{file.path} holds no vote that can be used")
    notes += _notes(table, used, plan, keep, models)
    voter, voters = codes_of(table, used.get("voter"))
    prompt, prompts = codes_of(table, used.get("prompt_id") or used.get("prompt"))
    found = Votes(
        models=models,
        first=first,
        second=second,
        outcome=outcome,
        amounts=amounts,
        voter=voter,
        voters=voters,
        prompt=prompt,
        prompts=prompts,
        time=times_of(table, used.get("timestamp"), notes),
        row=row,
        covariates={name: _covariate(kept, some, file) for name, some in wanted.items()},
        source=str(file.path),
        format=plan.name,
        skipped=dict(skipped),
        bad=tuple(named),
        notes=tuple(notes),
    )
    return found if keep.all() else found.take(keep)


def _covariate(table: pa.Table, names: tuple[str, ...], file: VoteFile) -> Doubles:
    values = numbers_of(table[names[0]])
    if len(names) == 2:
        values = values - numbers_of(table[names[1]])
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"{file.row_name(at)}: {names[0]!r} is no number")
    return values


# ---------------------------------------------------------------- what is wrong with a row
def _reasons(
    first: Ints, second: Ints, outcome: npt.NDArray[np.int8], amounts: Doubles | None
) -> npt.NDArray[np.int8]:
    """Returns (n,) places in ``REASONS``, -1 for a good row."""
    reason = np.full(len(first), -1, dtype=np.int8)
    if amounts is not None:
        with np.errstate(invalid="ignore"):
            weight = amounts.sum(axis=1)
            wrong = ~(weight >= LEAST_WEIGHT) | (weight > MOST_WEIGHT)
            wrong |= (amounts < 0).any(axis=1)
        reason[wrong] = 4
        reason[(amounts == 0).all(axis=1)] = 5
    reason[outcome == UNKNOWN] = 3
    reason[outcome == MISSING] = 2
    reason[first == second] = 1
    reason[(first < 0) | (second < 0)] = 0
    return reason


def _say(
    reason: str,
    at: int,
    models: tuple[str, ...],
    first: Ints,
    raw: pa.ChunkedArray | None,
) -> str:
    if reason == "missing model":
        side = "model_a" if first[at] < 0 else "model_b"
        return f"no {side}"
    if reason == "self-battle":
        return f"{models[first[at]]!r} against itself"
    if reason == "missing label":
        return "no winner is given"
    if reason == "unknown label":
        value = None if raw is None else raw[at].as_py()
        return f"unknown winner {value!r}: known are {', '.join(OUTCOMES)}, left, right"
    if reason == "no votes":
        return "a battle without votes"
    return f"a weight that is negative, or no number from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}"


def _notes(
    table: pa.Table,
    used: Mapping[str, str],
    plan: Plan,
    keep: npt.NDArray[np.bool_],
    models: tuple[str, ...],
) -> list[str]:
    notes = [f"read as {plan.name}: {count(int(keep.sum()), 'battle')}"]
    if "preference" in used:
        notes.append("preference: 0 is a vote for model_a, 1 for model_b, 0.5 and 2 are ties")
    if "anonymous" in used:
        named = ~truth_of(table[used["anonymous"]]) & keep
        if named.any():
            notes.append(
                f"{count(int(named.sum()), 'vote')} by voters who saw the models' names are in it"
            )
    return notes + odd_labels("model", models)


__all__ = ["BOTH_BAD", "FIRST", "OUTCOMES", "SECOND", "TIE", "Votes", "read_votes"]
