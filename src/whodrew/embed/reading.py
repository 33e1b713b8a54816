"""One store in passes: its labels in batches, then its vectors to their places.

``Store.scan`` holds all that a store holds. Here nothing is held but a batch, so that a
store of any size is read in the memory of what is kept of each row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.embed import foreign
from whodrew.embed.parts import LABELS, checked, iter_batches, opened
from whodrew.embed.places import Place, each
from whodrew.embed.shelf import Shelf, single
from whodrew.embed.store import Store, store_files
from whodrew.embed.vectors import is_vector_type, list_matrix
from whodrew.errors import InputError

Ints = npt.NDArray[np.integer[Any]]

#: Places of rows that have none: looked at all the same, or not even that.
LOOK: Final = -1
SKIP: Final = -2
NULL: Final = "the embedding is null"
NOT_FINITE: Final = "the embedding is not finite"
_ROWS: Final = 1 << 16
T = TypeVar("T")
_MADE_UP: Final = ("path", "seed", "image_id")


class Sink(Protocol):
    """Takes rows of vectors to their places."""

    def write(self, places: Ints, matrix: npt.NDArray[Any], /) -> None:
        """Takes (n, D) rows to places (n,); those whose place is negative are left out."""


class Held:
    """Vectors in memory as float32, filled like a shelf.

    Args:
        shape: N and D.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.vectors = np.empty(shape, np.float32)

    def write(self, places: Ints, matrix: npt.NDArray[Any]) -> None:
        """Takes (n, D) rows to places (n,); those whose place is negative are left out."""
        if not len(places):
            return
        if places[0] >= 0 and bool((np.diff(places) == 1).all()):
            single(matrix, self.vectors[places[0] : places[-1] + 1])
            return
        chosen = places >= 0
        if not chosen.all():
            places, matrix = places[chosen], matrix[chosen]
        self.vectors[places] = single(matrix)


@dataclass(frozen=True)
class Unusable:
    """Rows whose vectors cannot be used, by number.

    Attributes:
        reason: row to what is wrong: the vector is null or not finite.
        large: row to its largest number by size, where that is over the limit.
    """

    reason: dict[int, str] = field(default_factory=dict)
    large: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.reason) + len(self.large)

    def __or__(self, other: Unusable) -> Unusable:
        return Unusable(self.reason | other.reason, self.large | other.large)


class Reading:
    """A store that is read in passes; its rows are numbered through all files.

    Args:
        store: the store.

    Attributes:
        store: the same.
        files: its files, in order.
        first: (files + 1,) number of each file's first row; the last is the number of rows.
        label_bytes: about what the labels take.
        made_up: name of a label to how many rows had none, in the last pass that asked.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.files = store_files(store.path)
        counts, self.label_bytes = [0], 0
        self._names: list[frozenset[str]] = []
        footers = each(self.files, lambda file: checked(file, lambda: _footer(file)))
        for rows, size, names in footers:
            counts.append(rows)
            self.label_bytes += size
            self._names.append(names)
        self.first: npt.NDArray[np.int64] = np.cumsum(counts, dtype=np.int64)
        self.made_up: Counter[str] = Counter()

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def notes(self) -> list[str]:
        """One line for each label that was made up, for people."""
        return [
            f"{self.made_up[name]} rows have no {name}: made up"
            for name in _MADE_UP
            if self.made_up[name]
        ]

    def place(self, row: int) -> tuple[Place, int]:
        """Returns the file of a row, and its number within it."""
        part = int(np.searchsorted(self.first, row, side="right")) - 1
        return self.files[part], row - int(self.first[part])

    def parts(self, rows: Ints) -> npt.NDArray[np.int64]:
        """Returns the file (as an index) of each row."""
        return np.searchsorted(self.first, rows, side="right").astype(np.int64) - 1

    def labels(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yields label columns in batches of about 65,536 rows, in the order of the rows.

        In files that others wrote, what is missing of ``path``, ``seed`` and ``image_id`` is
        made up as ``read_foreign`` does, and counted in ``made_up``.

        Args:
            columns: names of ``LABELS``.

        Yields:
            The number of the first row, and a table: one chunk a column, types of
            ``LABELS``.

        Raises:
            InputError: a file is damaged, or a label is no text.
        """
        self.made_up = Counter()
        pending: list[pa.Table] = []
        first, count = 0, 0
        for number in range(len(self.files)):
            for table in self._of_file(number, columns):
                pending.append(table)
                count += len(table)
                if count >= _ROWS:
                    yield first, pa.concat_tables(pending).combine_chunks()
                    first, count, pending = first + count, 0, []
        if pending:
            yield first, pa.concat_tables(pending).combine_chunks()

    def _of_file(self, number: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        file, ours = self.files[number], self.store.ours
        needed = set(columns)
        if not ours and needed & {"seed", "image_id"}:
            needed.add("path")  # which a seed is made up from
        there = [name for name in LABELS.names if name in self._names[number] & needed]
        if not there:
            rows = int(self.first[number + 1] - self.first[number])
            tables = _without_columns(rows)
        else:
            tables = _batches(file, there)
        at = 0
        for table in tables:
            if ours:
                yield _ours(table, columns)
            else:
                yield self._foreign(table, columns, needed, file, at)
            at += len(table)

    def _foreign(
        self, table: pa.Table, columns: Sequence[str], needed: set[str], file: Place, at: int
    ) -> pa.Table:
        found = {
            name: foreign.label_column(table, name, file) for name in LABELS.names if name in needed
        }
        names: list[str] | None = None
        for name in _MADE_UP:
            if name in found and (absent := found[name].null_count):
                names = names or [f"{file.name}[{at + row}]" for row in range(len(table))]
                found[name] = foreign.filled_column(name, found, names)
                self.made_up[name] += absent
        return pa.table({name: found[name] for name in columns})

    def vectors(self, place: Ints, sink: Sink, *, limit: float) -> Unusable:
        """Brings every vector to its place, and tells which cannot be used.

        Args:
            place: (rows,) where each row goes; ``LOOK`` for rows whose vector is only
                checked, ``SKIP`` for those that are not even that. Rows found unusable
                are written too.
            sink: takes them.
            limit: largest number by size that can be used.

        Raises:
            InputError: a file is damaged, or a vector has another length than the others.
        """
        bad, dtype = Unusable(), np.dtype(self.store.card.dtype)
        for number, file in enumerate(self.files):
            base = int(self.first[number])
            if (place[base : int(self.first[number + 1])] == SKIP).all():
                continue
            for start, chunk in _ahead(iter_batches(file)):
                matrix, absent = list_matrix(chunk, str(file), self.store.card.dimension, start)
                if matrix.dtype != dtype:
                    with np.errstate(over="ignore"):
                        matrix = matrix.astype(dtype)
                here = place[base + start : base + start + len(chunk)]
                if absent.any() or not surely_usable(matrix, limit):
                    bad |= _unusable(matrix, absent, here != SKIP, base + start, limit)
                sink.write(here, matrix)
        return bad


def _ahead(pieces: Iterator[T]) -> Iterator[T]:
    """Yields what an iterator does, making the next while the last is worked on."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, pieces, None)
        while (piece := pending.result()) is not None:
            pending = pool.submit(next, pieces, None)
            yield piece


def sink_of(
    held: int, shape: tuple[int, int], dtype: Any, folder: Path, *, shared: bool
) -> Held | Shelf:
    """Returns memory for vectors that take at most ``held`` bytes as float32, else a shelf."""
    if shape[0] * shape[1] * np.dtype(np.float32).itemsize <= held:
        return Held(shape)
    return Shelf.create(folder, shape, dtype, shared=shared)


def _footer(file: Place) -> tuple[int, int, frozenset[str]]:
    with opened(file) as parquet:
        schema, footer = parquet.schema_arrow, parquet.metadata
        names = frozenset(schema.names)
        if "embedding" not in names:
            listed = ", ".join(schema.names[:12])
            raise InputError(f"{file} has no column 'embedding': it has {listed}")
        kind = schema.field("embedding").type
        if not is_vector_type(kind):
            raise InputError(
                f"{file}: the embedding is {kind}, must be a list of float16, float32 or float64"
            )
        size = 0
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                if column.path_in_schema in LABELS.names:
                    size += column.total_uncompressed_size
        return footer.num_rows, size, names


def _without_columns(rows: int) -> Iterator[pa.Table]:
    for start in range(0, rows, _ROWS):
        yield pa.table({"image_id": pa.nulls(min(_ROWS, rows - start), pa.string())})


def _batches(file: Place, columns: Sequence[str]) -> Iterator[pa.Table]:
    with checked(file, lambda: opened(file, rows=True)) as parquet:
        batches = parquet.iter_batches(_ROWS, columns=list(columns), use_threads=False)
        while (batch := checked(file, lambda: next(batches, None))) is not None:
            yield pa.Table.from_batches([batch])


def _ours(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    there = set(table.column_names)
    return pa.table(
        {
            name: table[name].cast(LABELS.field(name).type)
            if name in there
            else pa.nulls(len(table), LABELS.field(name).type)
            for name in columns
        }
    )


def surely_usable(matrix: npt.NDArray[Any], limit: float) -> bool:
    """Tells in one pass whether no number is too large or not finite; may doubt in vain."""
    if matrix.dtype == np.float16:
        return not bool((matrix.view(np.int16) & 0x7C00 == 0x7C00).any())
    flat = matrix.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.vdot(flat, flat) < min(limit, 1e15) ** 2)


def largest_of(matrix: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns (n,) the largest number of each row, by size."""
    with np.errstate(invalid="ignore"):
        largest = np.maximum(matrix.max(axis=1), -matrix.min(axis=1))
    return np.asarray(largest, dtype=np.float32)


def _unusable(
    matrix: npt.NDArray[Any], absent: npt.NDArray[np.bool_], looked: npt.NDArray[np.bool_],
    first: int, limit: float,
) -> Unusable:  # fmt: skip
    finite = np.isfinite(matrix).all(axis=1)
    largest = largest_of(matrix)
    bad = Unusable()
    for row in np.flatnonzero(looked & absent).tolist():
        bad.reason[first + row] = NULL
    for row in np.flatnonzero(looked & ~absent & ~finite).tolist():
        bad.reason[first + row] = NOT_FINITE
    for row in np.flatnonzero(looked & ~absent & finite & (largest > limit)).tolist():
        bad.large[first + row] = float(largest[row])
    return bad
