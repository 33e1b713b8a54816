"""Tables of votes on disk: Parquet, CSV, TSV, JSON Lines and JSON, only the columns needed."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.arena import BadItem
from whodrew.errors import InputError

_PARQUET: Final = (".parquet", ".pq")
_LINES: Final = (".jsonl", ".ndjson")
_COMMAS: Final = (".csv", ".tsv", ".txt")
_PEEK: Final = 64


@dataclass(frozen=True)
class VoteFile:
    """A table of votes that was opened, not read.

    Attributes:
        path: what the user gave.
        names: of its columns.
        read: reads the columns named, strings as dictionaries where the file has them so.
        row_name: names a row, counted from 0, for people.
        malformed: filled by ``read`` with the rows that are none.
    """

    path: Path
    names: tuple[str, ...]
    read: Callable[[Sequence[str]], pa.Table]
    row_name: Callable[[int], str]
    malformed: list[BadItem]


def open_votes(path: str | Path) -> VoteFile:
    """Opens a vote log by the ending of its name.

    Args:
        path: Parquet, CSV, TSV, JSON Lines, or JSON with a list of objects; or a folder
            of Parquet parts, taken in the order of their names.

    Raises:
        InputError: it is missing, empty, of another kind, or cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        parts = sorted(part for end in _PARQUET for part in path.glob(f"*{end}"))
        if not parts:
            raise InputError(f"{path} is a folder without Parquet files: give the vote log itself")
        return _parquet(path, parts)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a vote log (Parquet, CSV, TSV, JSON Lines)")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: a vote log needs columns and rows")
    ending = path.suffix.lower()
    if ending in _PARQUET:
        return _parquet(path, [path])
    if ending in _LINES:
        return _json_lines(path)
    if ending == ".json":
        return _json(path)
    if ending in _COMMAS:
        return _csv(path)
    raise InputError(
        f"{path} is no vote log by its name: give .parquet, .csv, .tsv, .jsonl or .json"
    )


def line_of(error: Exception) -> str:
    """Returns what an error says, in one line."""
    return " ".join(str(error).split())[:200]


# ---------------------------------------------------------------- Parquet
def _parquet(path: Path, parts: list[Path]) -> VoteFile:
    try:
        schemas = [pq.read_schema(part) for part in parts]
        starts = [0, *accumulate(pq.read_metadata(part).num_rows for part in parts)]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is not readable as Parquet: {line_of(error)}") from error

    def read(columns: Sequence[str]) -> pa.Table:
        tables = []
        for part, schema in zip(parts, schemas, strict=True):
            lacking = [name for name in columns if name not in schema.names]
            if lacking:
                raise InputError(f"{part} has no column {lacking[0]!r}, which {parts[0].name} has")
            texts = [name for name in columns if _is_text(schema.field(name).type)]
            try:
                # not read_table, which loads all that data sets need
                with pq.ParquetFile(part, read_dictionary=texts) as opened:
                    tables.append(opened.read(columns=list(columns)))
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"cannot read {part}: {line_of(error)}") from error
        try:
            return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
        except pa.ArrowException as error:
            raise InputError(f"the parts of {path} differ: {line_of(error)}") from error

    def row_name(at: int) -> str:
        part = bisect.bisect_right(starts, at) - 1
        return f"{parts[part].name}, row {at - starts[part]}"

    return VoteFile(path, tuple(schemas[0].names), read, row_name, [])


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


# ---------------------------------------------------------------- CSV
def _csv(path: Path) -> VoteFile:
    from pyarrow import csv

    try:
        with path.open("rb") as file:
            header = file.readline(1 << 20)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    text = header.decode("utf-8-sig", "replace")
    if path.suffix.lower() == ".tsv":
        delimiter = "\t"
    else:
        delimiter = "," if "," in text else max(",;\t", key=text.count)
    malformed: list[BadItem] = []

    def refuse(row: Any) -> str:
        where = f"row {row.number}" if row.number is not None else "a row"
        reason = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        malformed.append(BadItem(f"{path.name}, {where}", reason))
        return "skip"

    def load(columns: Sequence[str] | None, read_names: Any) -> pa.Table:
        del malformed[:]
        convert = csv.ConvertOptions(
            include_columns=None if columns is None else list(columns),
            column_types=dict.fromkeys(columns or (), pa.dictionary(pa.int32(), pa.string())),
            null_values=[""],
            strings_can_be_null=True,
        )
        parse = csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
        )
        try:
            return csv.read_csv(path, read_names, parse, convert)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not readable as CSV: {line_of(error)}") from error

    import csv as standard

    names = next(standard.reader([text], delimiter=delimiter), [])
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} has two columns called {twice[0]!r}: rename one")

    def read(columns: Sequence[str]) -> pa.Table:
        options = csv.ReadOptions(
            use_threads=False, block_size=1 << 24, column_names=names, skip_rows=1
        )
        return load(columns, options)

    def row_name(at: int) -> str:
        # below a one-line header, rows without line breaks in them
        return f"{path.name}, line {at + 2}"

    return VoteFile(path, tuple(names), read, row_name, malformed)


# ---------------------------------------------------------------- JSON
def _json_lines(path: Path) -> VoteFile:
    malformed: list[BadItem] = []
    names: dict[str, None] = {}
    try:
        with path.open("rb") as file:
            for _, line in zip(range(_PEEK), file, strict=False):
                row = _object(line)
                names.update(dict.fromkeys(row or ()))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    lines: list[int] = []

    def read(columns: Sequence[str]) -> pa.Table:
        del malformed[:], lines[:]
        rows: dict[str, list[Any]] = {name: [] for name in columns}
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = _object(line)
                if row is None:
                    malformed.append(BadItem(f"{path.name}, line {number}", "not a JSON object"))
                    continue
                lines.append(number)
                for name in columns:
                    rows[name].append(row.get(name))
        return _table(rows)

    def row_name(at: int) -> str:
        return f"{path.name}, line {lines[at]}"

    return VoteFile(path, tuple(names), read, row_name, malformed)


def _json(path: Path) -> VoteFile:
    try:
        held = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable as JSON: {line_of(error)}") from error
    if not isinstance(held, list):
        raise InputError(f"{path} holds no list: a vote log in JSON is a list of objects")
    malformed = [
        BadItem(f"{path.name}, entry {at}", "not a JSON object")
        for at, row in enumerate(held)
        if not isinstance(row, dict)
    ]
    places = [at for at, row in enumerate(held) if isinstance(row, dict)]
    names = dict.fromkeys(name for at in places[:_PEEK] for name in held[at])

    def read(columns: Sequence[str]) -> pa.Table:
        return _table({name: [held[at].get(name) for at in places] for name in columns})

    def row_name(at: int) -> str:
        return f"{path.name}, entry {places[at]}"

    return VoteFile(path, tuple(names), read, row_name, malformed)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _table(rows: dict[str, list[Any]]) -> pa.Table:
    """Returns columns as Arrow has them; mixed ones as text, nested ones as JSON."""
    columns = {}
    for name, cells in rows.items():
        try:
            columns[name] = pa.array(cells)
        except (pa.ArrowException, TypeError, OverflowError):
            columns[name] = pa.array(
                [
                    cell if cell is None or isinstance(cell, str) else json.dumps(cell)
                    for cell in cells
                ],
                pa.string(),
            )
    return pa.table(columns)
