"""The object that ``whodrew prompts`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.audit.policy_choose import Point
from whodrew.audit.policy_predict import Predictor
from whodrew.audit.result import software
from whodrew.measure.intervals import Rate

SCHEMA: Final = "whodrew.prompts/1"


@dataclass(frozen=True)
class Choice:
    """The chosen prompts.

    Attributes:
        point: the set.
        keep: share of the greatest power that was to be kept.
        leak_expected: what it will leak on fresh images, or ``None``.
        reason: why ``leak_expected`` is missing.
    """

    point: Point
    keep: float
    leak_expected: float | None
    reason: str | None

    def to_dict(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values = {**self.point.to_dict(names), "keep": self.keep}
        values["leak_expected"] = self.leak_expected
        if self.leak_expected is None:
            values["leak_expected_reason"] = self.reason
        return values


@dataclass(frozen=True)
class Prompts:
    """The result of ``whodrew prompts``.

    Attributes:
        created: ISO time.
        seed: what everything was seeded with.
        arena: counts of the arena.
        names: (P,) ids of the prompts that could be measured.
        prompts_from: what the figures of the prompts are of.
        entries: the prompts, the most revealing first.
        leak_by: ``distinguishability`` or ``top1``.
        leak: its mean over prompts.
        predictors: what predicts it, the most significant first.
        power: kind and meaning, and that of all prompts; of votes also their number.
        choice: the chosen set, or ``None`` where none was asked.
        frontier: sets by size and weight.
        random: size to what random sets of that size give.
        bad: items that could not be used.
        notes: for people.
    """

    created: str
    seed: int
    arena: Mapping[str, Any]
    names: tuple[str, ...]
    prompts_from: Mapping[str, Any]
    entries: tuple[Mapping[str, Any], ...]
    leak_by: str
    leak: Rate
    predictors: tuple[Predictor, ...]
    power: Mapping[str, Any]
    choice: Choice | None
    frontier: tuple[Point, ...]
    random: Mapping[int, Mapping[str, Any]]
    bad: tuple[BadItem, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0, or 1 where some items were bad."""
        return 1 if self.bad else 0

    def to_dict(self) -> dict[str, Any]:
        """Returns ``whodrew.prompts/1``."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "created": self.created,
            "seed": self.seed,
            "software": software(),
            "arena": dict(self.arena),
            "prompts_from": dict(self.prompts_from),
            "leak_by": self.leak_by,
            "leak": self.leak.to_dict(),
            "prompts": [dict(one) for one in self.entries],
            "predictors": [one.to_dict() for one in self.predictors],
            "power": dict(self.power),
            "choice": None if self.choice is None else self.choice.to_dict(self.names),
            "frontier": [one.to_dict(self.names) for one in self.frontier],
            "random": [{"prompts": size, **found} for size, found in self.random.items()],
            "bad": [one.to_dict() for one in self.bad],
            "notes": list(self.notes),
        }
        if self.choice is None:
            values["choice_reason"] = "not asked for: give --choose N"
        return values

    def to_table(self) -> pa.Table:
        """Returns one row a prompt: its figures, and whether it was chosen."""
        chosen = set() if self.choice is None else set(self.choice.point.chosen)
        picked = {self.names[code] for code in chosen}
        rows = []
        for one in self.entries:
            named, measured = one["top1"], one["distinguishability"]
            rows.append(
                {
                    "prompt_id": one["prompt_id"],
                    "prompt": one["prompt"],
                    "leak": one["leak"],
                    "distinguishability": measured["value"] if measured else None,
                    "top1": named["value"] if named else None,
                    "margin": one["margin"],
                    "images": one["images"],
                    "chosen": one["prompt_id"] in picked if self.choice else None,
                }
            )
        return pa.Table.from_pylist(rows)
