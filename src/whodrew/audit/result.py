"""The object that CLI, API, report and server show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from whodrew.audit.votes import VotesResult
from whodrew.identify.knowledge import Knowledge
from whodrew.leaks import Leaks
from whodrew.machine import versions
from whodrew.measure.container import ContainerFigure
from whodrew.measure.intervals import Rate

SCHEMA = "whodrew.audit/1"
LONGEST = 120
_SOFTWARE = ("whodrew", "numpy", "scipy", "scikit-learn", "pyarrow", "pillow", "numba", "daft")


def file_name(*parts: str) -> str:
    """Returns a name for a file that cannot leave its folder, whatever the parts hold.

    Names of encoders come from cards and file names that strangers wrote. Where one had to
    be changed a hash of it is appended, so that different names stay different.
    """
    given = "-".join(part for part in parts if part)
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", given)[:LONGEST].lstrip(".-")
    if plain and plain == given:
        return plain
    return f"{plain or 'unnamed'}-{hashlib.blake2b(given.encode(), digest_size=4).hexdigest()}"


def figure(values: dict[str, Any], name: str, rate: Rate | None, reason: str | None = None) -> None:
    """Puts a rate under ``name``, or null with the reason beside it."""
    if rate is None or rate.value is None:
        values[name] = None
        values[f"{name}_reason"] = reason or (rate.reason if rate else None) or "nothing to measure"
    else:
        values[name] = rate.to_dict()


@dataclass(frozen=True)
class AttackResult:
    """The figures of one attack.

    Attributes:
        canonical: side of the canonical form its images had, or ``None``.
        encoder: name of the encoder.
        identifier: name of the identifier.
        knowledge: what the attacker had.
        references_from: another arena that references came from, or ``None``.
        queries: images asked about.
        not_queried: images with a model that could not be asked about.
        top1: share named rightly.
        values: the other figures of the contract, JSON-ready.
        tables: tables to write, by file name.
    """

    canonical: int | None
    encoder: str
    identifier: str
    knowledge: Knowledge
    references_from: str | None
    queries: int
    not_queried: int
    top1: Rate
    values: Mapping[str, Any]
    tables: Mapping[str, pa.Table | Path] = field(repr=False, default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values, as the contract names them."""
        values: dict[str, Any] = {
            "canonical": self.canonical,
            "encoder": self.encoder,
            "identifier": self.identifier,
            "knowledge": self.knowledge.to_dict(),
            "references_from": self.references_from,
            "queries": self.queries,
            "not_queried": self.not_queried,
        }
        figure(values, "top1", self.top1)
        return {**values, **self.values}


@dataclass(frozen=True)
class Audit:
    """The result of ``whodrew audit``.

    Attributes:
        created: ISO time.
        seed: what everything was seeded with.
        arena: counts of the arena, JSON-ready.
        canonical: side of the canonical form that is shown first, or ``None``.
        encoders: cards and speed, JSON-ready.
        attacks: the strongest first.
        prompts: the contract's ``prompts_from`` and ``prompts``.
        variation: the contract's ``variation``, or why there is none.
        similarity: the contract's ``similarity``, or why there is none.
        container: what size and format give away; ``None`` where they are not known.
        leaks: what the files give away besides their pixels; ``None`` without files.
        leaks_reason: why there are none.
        votes: what votes say, or why there are none.
        headline: sentence and figures.
        tables: Arrow tables by file name, or the files that hold those of a large arena
            until they are written.
        exit_code: 1 where some items were bad, or votes beside the images could not be used.
    """

    created: str
    seed: int
    arena: Mapping[str, Any]
    canonical: int | None
    encoders: tuple[Mapping[str, Any], ...]
    attacks: tuple[AttackResult, ...]
    prompts: Mapping[str, Any]
    variation: Mapping[str, Any]
    similarity: Mapping[str, Any]
    container: ContainerFigure | None
    leaks: Leaks | None
    leaks_reason: str | None
    votes: VotesResult
    headline: Mapping[str, Any]
    tables: Mapping[str, pa.Table | Path] = field(repr=False)

    @property
    def exit_code(self) -> int:
        """0, or 1 where some items were bad, or votes that are there could not be used."""
        return 1 if self.arena["bad"] or self.votes.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Returns ``audit.json``."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "created": self.created,
            "seed": self.seed,
            "software": software(),
            "arena": dict(self.arena),
            "canonical": self.canonical,
            "encoders": [dict(one) for one in self.encoders],
            "attacks": [one.to_dict() for one in self.attacks],
            **self.prompts,
            **self.variation,
            **self.similarity,
            "container": None if self.container is None else self.container.to_dict(),
            "leaks": None if self.leaks is None else self.leaks.to_dict(),
            "headline": dict(self.headline),
        }
        self.votes.into(values)
        if self.leaks is None:
            values["leaks_reason"] = self.leaks_reason or "not measured"
        if self.container is None:
            values["container_reason"] = "size and format of the images are not known"
        return values

    def to_table(self) -> pa.Table:
        """Returns one row an attack: encoder, identifier, knowledge, top-1 and its interval."""
        rows = []
        for one in self.attacks:
            knowledge = one.knowledge.to_dict()
            knowledge["models"] = str(knowledge["models"])
            knowledge["references"] = str(knowledge["references"])
            rows.append(
                {
                    "canonical": one.canonical,
                    "encoder": one.encoder,
                    "identifier": one.identifier,
                    **knowledge,
                    "references_from": one.references_from,
                    "queries": one.queries,
                    "top1": one.top1.value,
                    "low": one.top1.low,
                    "high": one.top1.high,
                    "chance": one.top1.chance,
                }
            )
        return pa.Table.from_pylist(rows)


def software() -> dict[str, str | None]:
    """Returns the versions that figures depend on."""
    found = versions(_SOFTWARE)
    return {name: found.get(name) for name in ("python", *_SOFTWARE)}
