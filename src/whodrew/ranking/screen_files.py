"""Writes the votes that a screen keeps, and beside them the rows that it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.errors import InputError, UsageError
from whodrew.ranking.files import line_of, open_votes
from whodrew.ranking.screen_result import Screen
from whodrew.ranking.votes import Votes

#: Columns of ours that the table of excluded rows begins with.
ROW, VOTER, REASONS = "whodrew_row", "whodrew_voter", "whodrew_reasons"
_ENDINGS = (".parquet", ".csv")


def check_out(out: str | Path, source: str | Path) -> Path:
    """Returns where the kept votes go.

    Raises:
        UsageError: it is neither Parquet nor CSV by its name, or the log itself.
    """
    out = Path(out)
    if out.suffix.lower() not in _ENDINGS:
        raise UsageError(f"--out is {str(out)!r}: give a name that ends in {' or '.join(_ENDINGS)}")
    for one in (out, beside(out)):
        if one.exists() and Path(source).exists() and one.samefile(source):
            raise UsageError(f"--out would write {one} over the log itself: give another name")
    return out


def beside(out: Path) -> Path:
    """Returns where the excluded rows go: ``kept.parquet`` has ``kept.excluded.parquet``."""
    return out.with_name(f"{out.stem}.excluded{out.suffix}")


def write_kept(found: Screen, votes: Votes, out: str | Path) -> tuple[Path, Path]:
    """Writes all rows of the log but those of excluded voters, with all of their columns.

    Rows that could not be read as votes stay; lines that are no rows are in neither table.
    The excluded rows have the log's columns too, after the row (from 0), the voter and the
    reasons.

    Args:
        found: the screen.
        votes: what it judged, read from a file.
        out: where the kept rows go, Parquet or CSV.

    Returns:
        the two files.

    Raises:
        UsageError: ``out`` will not do, or the votes are of no file.
        InputError: a file cannot be written, or the log has changed.
    """
    if votes.row is None or not votes.source:
        raise UsageError("only votes that were read from a file can be written back")
    out = check_out(out, votes.source)
    file = open_votes(votes.source)
    table = file.read(list(dict.fromkeys(file.names)))
    gone = votes.row[~found.keep]
    if len(gone) and gone.max() >= table.num_rows:
        raise InputError(f"{votes.source} has changed since it was read: screen it again")
    stays = np.ones(table.num_rows, dtype=bool)
    stays[gone] = False
    names = np.asarray(votes.voters, dtype=object)
    assert votes.voter is not None
    reasons: dict[Any, str] = {
        one.voter: " ".join(one.reasons) for one in found.suspects if one.excluded
    }
    code = votes.voter[~found.keep]
    whose = [names[one] if one >= 0 else None for one in code.tolist()]
    told: dict[str, Any] = {
        ROW: pa.array(gone, pa.int64()),
        VOTER: pa.array(whose, pa.string()),
        REASONS: pa.array([reasons.get(one, "pool") for one in whose], pa.string()),
    }
    lost = table.take(pa.array(gone, pa.int64()))
    told |= dict(zip(lost.column_names, lost.columns, strict=True))
    _write(table.filter(pa.array(stays)), out)
    _write(pa.table(told), beside(out))
    return out, beside(out)


def _write(table: pa.Table, out: Path) -> None:
    for at, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            text = table[column.name].cast(column.type.value_type)
            table = table.set_column(at, column.name, text)
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".csv":
            from pyarrow import csv

            csv.write_csv(table, part)
        else:
            pq.write_table(table, part)
        part.replace(out)
    except (OSError, pa.ArrowException) as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {out}: {line_of(error)}") from error
