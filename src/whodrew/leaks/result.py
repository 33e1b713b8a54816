"""What the files of an arena give away, as one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.measure.intervals import Rate

SCHEMA = "whodrew.leaks/1"


@dataclass(frozen=True)
class Leak:
    """A field that tells models apart.

    Attributes:
        field: its name.
        what: the same in words.
        information: bits about the model, corrected, with interval.
        p_value: of the permutation test.
        example: the most frequent value of each model that has the field.
        mend: what an operator does about it.
        in_container: whether it is of the container; constant regions are pixels.
    """

    field: str
    what: str
    information: Rate
    p_value: float
    example: Mapping[str, str]
    mend: str
    in_container: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "field": self.field,
            "what": self.what,
            "information_bits": bits(self.information),
            "p_value": self.p_value,
            "example": dict(self.example),
            "mend": self.mend,
        }


@dataclass(frozen=True)
class ByteSize:
    """What the size of files in bytes tells.

    Attributes:
        information: bits about the model, corrected, of the size in bins.
        p_value: of the permutation test.
        note: how to read it.
    """

    information: Rate
    p_value: float | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "information_bits": bits(self.information),
            "p_value": self.p_value,
            "note": self.note,
        }


def bits(rate: Rate) -> dict[str, Any]:
    """Returns an information as the contract has it: a rate without chance."""
    values = rate.to_dict()
    del values["chance"]
    return values


@dataclass(frozen=True)
class Leaks:
    """The result of ``whodrew leaks``.

    Attributes:
        source: what the user gave.
        images: that were read and have a model.
        anonymous: that were read and have none; they take no part.
        models: names, sorted.
        prompts: how many.
        accuracy: how often the container alone names the model, by prompts held out.
        fields: what is significant, most telling first.
        byte_size: apart, since it depends on the pixels, too.
        tested: names of the fields that were looked at.
        looked_at: images whose pixels were compared for constant regions.
        permutations: how many at most.
        bad: what could not be read.
        notes: what was taken for granted or could not be had.
        seed: what everything was seeded with.
    """

    source: str
    images: int
    anonymous: int
    models: tuple[str, ...]
    prompts: int
    accuracy: Rate
    fields: tuple[Leak, ...]
    byte_size: ByteSize
    tested: tuple[str, ...]
    looked_at: int
    permutations: int
    bad: tuple[BadItem, ...]
    notes: tuple[str, ...]
    seed: int

    @property
    def identifies(self) -> bool:
        """Whether the container, without a pixel, tells models apart."""
        low, chance = self.accuracy.low, self.accuracy.chance
        told = low is not None and chance is not None and low > chance + 1e-9
        return told or any(one.in_container for one in self.fields)

    @property
    def exit_code(self) -> int:
        """0, or 1 where some items were bad."""
        return 1 if self.bad else 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the contract's object."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "seed": self.seed,
            "images": self.images,
            "anonymous": self.anonymous,
            "models": len(self.models),
            "prompts": self.prompts,
            "identifies": self.identifies,
        }
        if self.accuracy.value is None:
            values["accuracy_from_container"] = None
            values["accuracy_from_container_reason"] = self.accuracy.reason
        else:
            values["accuracy_from_container"] = self.accuracy.to_dict()
        return values | {
            "fields": [one.to_dict() for one in self.fields],
            "byte_size": self.byte_size.to_dict(),
            "tested": list(self.tested),
            "looked_at": self.looked_at,
            "permutations": self.permutations,
            "bad": [one.to_dict() for one in self.bad],
            "notes": list(self.notes),
        }

    def to_table(self) -> pa.Table:
        """Returns one row a leak and model: field, information, p-value, value, mend."""
        schema = pa.schema(
            [
                ("field", pa.string()),
                ("information_bits", pa.float64()),
                ("low", pa.float64()),
                ("high", pa.float64()),
                ("p_value", pa.float64()),
                ("model", pa.string()),
                ("value", pa.string()),
                ("mend", pa.string()),
            ]
        )
        rows = [
            {
                "field": one.field,
                "information_bits": one.information.value,
                "low": one.information.low,
                "high": one.information.high,
                "p_value": one.p_value,
                "model": model,
                "value": value,
                "mend": one.mend,
            }
            for one in self.fields
            for model, value in one.example.items()
        ]
        return pa.Table.from_pylist(rows, schema=schema)
