"""Careful access to parts of a result object and to columns of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa


def as_list(raw: Any) -> list[Any]:
    """The list itself, or an empty one for null and for anything that is no list."""
    return list(raw) if isinstance(raw, (list, tuple)) else []


def as_map(raw: Any) -> Mapping[str, Any]:
    """The mapping itself, or an empty one for null and for anything else."""
    return raw if isinstance(raw, Mapping) else {}


def column(table: pa.Table, name: str) -> Sequence[Any]:
    """A column as Python values; all ``None`` where the table lacks it."""
    if name not in table.column_names:
        return [None] * table.num_rows
    values: list[Any] = table.column(name).to_pylist()
    return values
