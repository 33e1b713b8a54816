"""Small tables of text: CSV, TSV, JSON Lines; every value as it is written."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from whodrew.arena.model import BadItem
from whodrew.errors import InputError

TEXT_TABLES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})


@dataclass
class TextTable:
    """A table in memory, by columns.

    Attributes:
        columns: name to values; all lists are of one length.
        lines: the line of the file on which each row ends.
        bad: rows that could not be read.
        notes: what was guessed on reading.
    """

    columns: dict[str, list[Any]]
    lines: list[int]
    bad: list[BadItem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_text_table(path: Path) -> TextTable:
    """Reads a CSV, TSV or JSON Lines file.

    CSV values are strings, empty ones ``None``; JSON values are as JSON has them.

    Raises:
        InputError: unreadable, empty, not a table, or two columns of one name.
    """
    text, notes = _text(path)
    if not text.strip():
        raise InputError(f"{path} is empty: a table needs a header line and rows")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        table = _json_lines(path, text)
    else:
        table = _csv(path, text)
    table.notes[:0] = notes
    return table


def _text(path: Path) -> tuple[str, list[str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding), []
    except UnicodeDecodeError as error:
        if b"\x00" in data[:4096]:
            raise InputError(f"{path} is not a text file: save it as CSV in UTF-8") from error
        text = data.decode("cp1252", "replace")
        return text, [f"{path.name} is not UTF-8: read as Windows-1252"]


def _csv(path: Path, text: str) -> TextTable:
    delimiter = _delimiter(path, text)
    # newline="" leaves line breaks inside quotes alone
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    bad: list[BadItem] = []
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if header is None:
                header = [name.strip() for name in row]
                continue
            if len(row) != len(header):
                bad.append(
                    BadItem(
                        f"{path.name}, line {reader.line_num}",
                        f"{len(row)} fields where the header has {len(header)}",
                    )
                )
                continue
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from error
    header = header or []
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path} has two columns called {twice[0]!r}: rename one")
    columns: dict[str, list[Any]] = {
        name: [row[at] or None for row in rows] for at, name in enumerate(header)
    }
    return TextTable(columns, lines, bad)


def _delimiter(path: Path, text: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    header = text.lstrip().split("\n", 1)[0]
    if "," in header:
        return ","
    return max(";\t", key=header.count) if ";" in header or "\t" in header else ","


def _json_lines(path: Path, text: str) -> TextTable:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    bad: list[BadItem] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad.append(BadItem(f"{path.name}, line {number}", f"not JSON: {error}"))
            continue
        if not isinstance(row, dict):
            bad.append(BadItem(f"{path.name}, line {number}", "not a JSON object"))
            continue
        rows.append(row)
        lines.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return TextTable({name: [row.get(name) for row in rows] for name in names}, lines, bad)
