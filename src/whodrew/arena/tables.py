"""Parquet arenas: image structs ``{bytes, path}``, binary columns, or columns of paths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.arena.beside import read_beside
from whodrew.arena.containers import null_cells, open_parquet
from whodrew.arena.labels import COLUMN_NAMES, find_columns
from whodrew.arena.manifests import Listing, resolve, take_columns
from whodrew.arena.model import Arena, BadItem
from whodrew.arena.paths import absolute, item_name
from whodrew.errors import InputError


@dataclass(frozen=True)
class _Place:
    """Where a Parquet file keeps its images.

    Attributes:
        bytes: leaf column with the bytes, ``None`` where there are only paths.
        path: leaf column with paths or names, ``None`` where there is none.
        top: the top-level column(s) these belong to.
    """

    bytes: str | None
    path: str | None
    top: frozenset[str]


def has_images(path: Path) -> bool:
    """Whether a Parquet file has a column of images or of paths to images."""
    try:
        with open_parquet(path) as file:
            return _place(file.schema_arrow) is not None
    except InputError:
        return False


def read_parquet(
    paths: Sequence[Path],
    source: str,
    *,
    layout: str = "parquet",
    root: Path | None = None,
    seen: set[str] | None = None,
) -> Arena:
    """Reads Parquet files as one arena; the images in them are located, not read.

    Args:
        paths: the parts, in order.
        source: what the user gave.
        layout: how the arena calls itself.
        root: the folder that items are named from; default: that of the first part.
        seen: filled with the absolute paths of all files named.

    Raises:
        InputError: unreadable, without the columns it needs, or without a usable row.
    """
    root = root or paths[0].parent
    listing = Listing(absolute(root), read_beside(root))
    found: dict[str, str] = {}
    for path in paths:
        with open_parquet(path) as file:
            place = _place(file.schema_arrow)
            columns = file.schema_arrow.names
            if place is None:
                if "embedding" in columns:
                    raise InputError(
                        f"{path} holds embeddings, not images: it is an embedding store"
                    )
                take_columns(columns, str(path))
                raise InputError(f"{path}: its column of images holds neither bytes nor paths")
            labels = [name for name in columns if name not in place.top]
            found = take_columns(labels, str(path), image=False)
            found.pop("image", None)
            listing.folder = absolute(path.parent)
            where = item_name(path, root)
            _list_file(listing, file, absolute(path), where, place, found)
    if seen is not None:
        seen |= listing.seen
    return listing.arena(found, source, layout, paths[0].name)


def _list_file(
    listing: Listing,
    file: pq.ParquetFile,
    container: str,
    where: str,
    place: _Place,
    found: dict[str, str],
) -> None:
    if file.metadata.num_rows == 0:
        return
    try:
        nulls = null_cells(file, place.bytes) if place.bytes else None
        names = _class_names(file.schema_arrow)
        for at, path, cells in _cells(file, place, found, names):
            try:
                if nulls is not None and not nulls[at]:
                    stem = PurePosixPath(str(path).replace("\\", "/")).stem if path else str(at)
                    row = listing.labels(cells, stem)
                    row |= {"container": container, "row": at, "column": place.bytes}
                else:
                    resolved = resolve(path, listing.folder)
                    listing.seen.add(resolved)
                    row = listing.labels(cells, Path(resolved).stem)
                    row |= {"path": resolved}
                listing.rows.add(f"{where}#{at}", **row)
            except ValueError as error:
                listing.bad.append(BadItem(f"{where}, row {at}", str(error)))
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"cannot read {container}: {' '.join(str(error).split())[:200]}"
        ) from error


def _cells(
    file: pq.ParquetFile, place: _Place, found: dict[str, str], names: dict[str, list[str]]
) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """Yields (row, path or name, our label names to values), in small batches."""
    columns = [*found.values(), *([place.path] if place.path else [])]
    start = 0
    for batch in file.iter_batches(4096, columns=columns):
        values: dict[str, list[Any]] = {}
        for ours, theirs in found.items():
            cells = batch.column(theirs).to_pylist()
            if theirs in names:
                cells = [_class_name(names[theirs], cell) for cell in cells]
            values[ours] = cells
        paths: list[Any] = [None] * batch.num_rows
        if place.path:
            column = batch.column(place.path.split(".")[0] if _nested(place) else place.path)
            while pa.types.is_struct(column.type):
                column = column.flatten()[0]
            paths = column.to_pylist()
        for offset in range(batch.num_rows):
            row = {ours: cells[offset] for ours, cells in values.items()}
            yield start + offset, paths[offset], row
        start += batch.num_rows


def _nested(place: _Place) -> bool:
    return place.path is not None and place.path not in place.top


def _place(schema: pa.Schema) -> _Place | None:
    """Finds the column of images: structs first, then binary, then paths."""
    known = {name.casefold() for name in COLUMN_NAMES["image"]}
    structs = [field for field in schema if _is_image_struct(field.type)]
    structs.sort(key=lambda field: field.name.casefold() not in known)
    if structs:
        field = structs[0]
        children = {field.type.field(at).name for at in range(field.type.num_fields)}
        path = f"{field.name}.path" if "path" in children else None
        return _Place(f"{field.name}.bytes", path, frozenset({field.name}))
    texts = [field.name for field in schema if _is_text(field.type)]
    path = find_columns(texts, {"image": COLUMN_NAMES["image"]}).get("image")
    binaries = [field.name for field in schema if _is_binary(field.type)]
    data = find_columns(binaries, {"image": COLUMN_NAMES["image"]}).get("image")
    if data is None and path is None:
        return None
    return _Place(data, path, frozenset(name for name in (data, path) if name is not None))


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


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
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


def _class_name(names: list[str], cell: Any) -> Any:
    return names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None
