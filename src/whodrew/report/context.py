"""What every section sees: the result, its tables, the order of models, the thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from whodrew.errors import InputError
from whodrew.report.answers import Confusion
from whodrew.report.dendrogram import leaf_order
from whodrew.report.thumbs import Picture
from whodrew.report.values import as_list, as_map

Tables = Callable[[str], pa.Table]

#: Attacks that get details of their own; weaker ones stay in ``audit.json``.
MAX_ATTACKS = 60


@dataclass
class Context:
    """A result object with what the report derives from it once.

    Attributes:
        result: the ``audit.json`` object.
        tables: reads a table by the name that the result gives it.
        thumbs: number of a thumbnail in the page by image id; filled before rendering.
        embedded: how many of the shown attacks carry details, strongest first.
        notes: footnotes of the section being rendered, in order, without repeats.
        confusions: the matrix of each detailed attack, empty where its table is missing.
        strips: pictures by position in ``result.prompts``.
    """

    result: Mapping[str, Any]
    tables: Tables
    thumbs: Mapping[str, int] = field(default_factory=dict)
    embedded: int = MAX_ATTACKS
    notes: list[str] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    strips: Mapping[int, list[Picture]] = field(default_factory=dict)

    def table(self, name: Any) -> pa.Table | None:
        """The table of that name, or ``None`` where it is not there."""
        if not isinstance(name, str) or not name:
            return None
        try:
            return self.tables(name)
        except (KeyError, FileNotFoundError):
            return None

    def note(self, text: str) -> int:
        """Number of a footnote with this text, counted from 1."""
        if text not in self.notes:
            self.notes.append(text)
        return self.notes.index(text) + 1

    @cached_property
    def arena(self) -> Mapping[str, Any]:
        """The ``arena`` object."""
        return as_map(self.result.get("arena"))

    @cached_property
    def all_attacks(self) -> list[Mapping[str, Any]]:
        """Every attack, in the order of the result: the strongest first."""
        return [as_map(attack) for attack in as_list(self.result.get("attacks"))]

    @property
    def attacks(self) -> list[Mapping[str, Any]]:
        """The attacks that the table lists."""
        return self.all_attacks[:MAX_ATTACKS]

    @property
    def detailed(self) -> list[Mapping[str, Any]]:
        """The attacks that carry details of their own."""
        return self.attacks[: self.embedded]

    @cached_property
    def families(self) -> Mapping[str, str]:
        """Family by model, where the arena knows any."""
        known = as_map(self.arena.get("families"))
        return {str(model): str(family) for model, family in known.items() if family}

    @cached_property
    def images(self) -> pa.Table | None:
        """``tables/images.parquet``, or ``None``."""
        return self.table("tables/images.parquet")

    @cached_property
    def similarity_models(self) -> list[str]:
        """Models in the order that the rows of ``similarity.merges`` count them."""
        similarity = as_map(self.result.get("similarity"))
        return [str(model) for model in as_list(similarity.get("models"))]

    @cached_property
    def models(self) -> list[str]:
        """Every model, nearest relatives side by side; those without a place at the end."""
        named = self.similarity_models
        merges = as_list(as_map(self.result.get("similarity")).get("merges"))
        ordered = [named[i] for i in leaf_order(merges, len(named))]
        placed = set(ordered)
        others = {
            str(row["model"])
            for attack in self.all_attacks
            for row in as_list(attack.get("per_model"))
            if isinstance(row, Mapping) and row.get("model") is not None
        }
        return ordered + sorted(others - placed)


def check_result(result: Mapping[str, Any]) -> None:
    """Refuses what is no audit.

    Raises:
        InputError: the object's ``schema`` is not an audit's.
    """
    schema = result.get("schema")
    if not (isinstance(schema, str) and schema.startswith("whodrew.audit/1")):
        raise InputError(
            f"the report reads results of schema whodrew.audit/1, but this one says {schema!r}: "
            "make it with 'whodrew audit' of this version"
        )
