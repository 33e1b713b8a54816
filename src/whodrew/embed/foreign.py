"""Parquet files of embeddings made by others: their labels as ours, the rest made up."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from whodrew.embed.parts import LABELS, checked, opened
from whodrew.embed.places import Place
from whodrew.embed.vectors import is_vector_type
from whodrew.errors import InputError

_OURS: Final = [name for name in LABELS.names if name not in ("size", "mtime_ns", "run")]
_TEXTS: Final = [name for name in _OURS if name not in ("width", "height")]


def read_foreign(files: Sequence[Place]) -> tuple[pa.Table, list[str]]:
    """Reads the labels of embedding files that whodrew did not write.

    Only ``embedding`` must be there. A missing ``path`` becomes ``<file>[<row>]``, a
    missing ``seed`` the stem of the path or else that name, and a missing ``image_id`` a
    hash of that name: the same on every reading.

    Args:
        files: Parquet files.

    Returns:
        A table of all rows in order, columns of ``LABELS`` but for size, mtime_ns and run,
        with ``part`` (index into ``files``) and ``at`` (row within the file); and one line
        for each thing made up.

    Raises:
        InputError: a file is damaged, has no column ``embedding``, or a label is no text.
    """
    tables: list[pa.Table] = []
    made_up: dict[str, int] = {}
    for number, file in enumerate(files):
        table = checked(file, lambda file=file: _read(file))  # type: ignore[misc]
        columns = {name: label_column(table, name, file) for name in _OURS}
        names = [f"{file.name}[{row}]" for row in range(len(table))]
        for name in ("path", "seed", "image_id"):
            absent = columns[name].null_count
            if absent:
                made_up[name] = made_up.get(name, 0) + absent
                columns[name] = filled_column(name, columns, names)
        columns["part"] = pa.array([number] * len(table), pa.int64())
        columns["at"] = pa.array(range(len(table)), pa.int64())
        tables.append(pa.table(columns))
    notes = [f"{count} rows have no {name}: made up" for name, count in made_up.items()]
    return pa.concat_tables(tables), notes


def _read(file: Place) -> pa.Table:
    with opened(file) as parquet:
        schema = parquet.schema_arrow
        if "embedding" not in schema.names:
            raise InputError(
                f"{file} has no column 'embedding': it has {', '.join(schema.names[:12])}"
            )
        kind = schema.field("embedding").type
        if not is_vector_type(kind):
            raise InputError(
                f"{file}: the embedding is {kind}, must be a list of float16, float32 or float64"
            )
        if not (there := [name for name in _OURS if name in schema.names]):
            rows = parquet.metadata.num_rows
            return pa.table({"image_id": pa.nulls(rows, pa.string())})
        return parquet.read(there)


def label_column(table: pa.Table, name: str, file: Place) -> pa.Array:
    """Returns a label column as one array of our type, nulls where it is missing."""
    kind = LABELS.field(name).type
    if name not in table.column_names:
        return pa.nulls(len(table), kind)
    column = table[name].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    source = column.type
    plain = (
        pa.types.is_string(source)
        or pa.types.is_large_string(source)
        or pa.types.is_string_view(source)
        or pa.types.is_integer(source)
        or pa.types.is_null(source)
    )
    if not plain:
        raise InputError(f"{file}: column {name!r} is {source}, must be text")
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise InputError(f"{file}: column {name!r} is {source}, must be {kind}") from error


def filled_column(name: str, columns: dict[str, pa.Array], names: list[str]) -> pa.Array:
    """Returns a label column with its nulls made up."""
    given = columns[name]
    if name == "path":
        fill = names
    elif name == "seed":
        # a path that was made up holds no seed: its stem would be the file's for every row
        fill = [
            own if path == own else PurePosixPath(path.replace("\\", "/")).stem
            for path, own in zip(columns["path"].to_pylist(), names, strict=True)
        ]
    else:
        fill = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in names]
    return pc.coalesce(given, pa.array(fill, pa.string()))
