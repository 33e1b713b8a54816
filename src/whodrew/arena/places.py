"""Where a Parquet file keeps its images, by its schema alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from whodrew.arena.labels import COLUMN_NAMES, find_columns


@dataclass(frozen=True)
class Place:
    """Where a Parquet file keeps its images.

    Attributes:
        bytes: leaf column with the bytes, ``None`` where there are only paths.
        path: leaf column with paths or names, ``None`` where there is none.
        top: the top-level column(s) these belong to.
    """

    bytes: str | None
    path: str | None
    top: frozenset[str]


def find_place(schema: pa.Schema, given: str | None = None) -> Place | None:
    """Finds the column of images: structs first, then binary, then paths.

    Args:
        schema: of the file.
        given: the column that the user says it is.
    """
    if given is not None:
        return column_place(schema, given)
    known = {name.casefold() for name in COLUMN_NAMES["image"]}
    structs = [field for field in schema if _is_image_struct(field.type)]
    structs.sort(key=lambda field: field.name.casefold() not in known)
    if structs:
        return column_place(schema, structs[0].name)
    texts = [field.name for field in schema if _is_text(field.type)]
    path = find_columns(texts, {"image": COLUMN_NAMES["image"]}).get("image")
    binaries = [field.name for field in schema if _is_binary(field.type)]
    data = find_columns(binaries, {"image": COLUMN_NAMES["image"]}).get("image")
    if data is None and path is None:
        return None
    return Place(data, path, frozenset(name for name in (data, path) if name is not None))


def column_place(schema: pa.Schema, name: str) -> Place | None:
    """Says how one column keeps images, ``None`` where it keeps none."""
    if name not in schema.names:
        return None
    kind = schema.field(name).type
    top = frozenset({name})
    if _is_image_struct(kind):
        children = {kind.field(at).name for at in range(kind.num_fields)}
        return Place(f"{name}.bytes", f"{name}.path" if "path" in children else None, top)
    if _is_binary(kind):
        return Place(name, None, top)
    return Place(None, name, top) if _is_text(kind) else None


def cells_of(batch: pa.RecordBatch, leaf: str) -> list[Any]:
    """Returns the values of a column, or of a leaf in a struct, as Python has them."""
    top = leaf if leaf in batch.schema.names else leaf.split(".", 1)[0]
    column = batch.column(top)
    while pa.types.is_struct(column.type):
        column = column.flatten()[0]
    values: list[Any] = column.to_pylist()
    return values


def _is_image_struct(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    return any(
        kind.field(at).name == "bytes" and _is_binary(kind.field(at).type)
        for at in range(kind.num_fields)
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Returns the names behind Hugging Face ``ClassLabel`` columns, which hold integers."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return {}
    try:
        features = json.loads(raw)["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def labelled(cells: list[Any], column: str, names: Mapping[str, list[str]]) -> list[Any]:
    """Returns the cells of a column with the integers of a ``ClassLabel`` replaced by names."""
    if column not in names:
        return cells
    return [_class_name(names[column], cell) for cell in cells]


def _class_name(names: list[str], cell: Any) -> Any:
    return names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None
