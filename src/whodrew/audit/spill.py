"""Label texts: held while they are few, on disk where they are many."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.identify.samples import Ints

_BATCH: Final = 1 << 14


class Texts(Protocol):
    """N rows of text columns that can be asked for by row."""

    def __len__(self) -> int: ...

    def take(self, rows: Ints) -> pa.Table:
        """Returns some rows, in the order asked for."""

    def batches(self) -> Iterator[pa.Table]:
        """Yields all rows in order, some thousands at a time."""


class HeldTexts:
    """Texts in memory.

    Args:
        table: the rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def take(self, rows: Ints) -> pa.Table:
        """Returns some rows, in the order asked for."""
        return self._table.take(pa.array(rows))

    def batches(self) -> Iterator[pa.Table]:
        """Yields all rows in order, some thousands at a time."""
        for start in range(0, len(self._table), _BATCH):
            yield self._table.slice(start, _BATCH)


class SpilledTexts:
    """Texts in a file without a name, which goes with the process.

    Args:
        folder: where the file is to lie.
        schema: of the rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this is
        self._writer = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), schema)
        self._schema = schema
        self._starts = [0]
        self._reader: Any = None
        self._lock = threading.Lock()
        self._latest: tuple[int, pa.RecordBatch] | None = None

    def __len__(self) -> int:
        return self._starts[-1]

    def append(self, table: pa.Table) -> None:
        """Adds rows at the end; none can be added once some were read."""
        for start in range(0, len(table), _BATCH):
            piece = table.slice(start, _BATCH).combine_chunks()
            for batch in piece.to_batches():
                self._writer.write_batch(batch)
                self._starts.append(self._starts[-1] + len(batch))

    def take(self, rows: Ints) -> pa.Table:
        """Returns some rows, in the order asked for."""
        order = np.argsort(rows, kind="stable")
        wanted = np.asarray(rows)[order]
        numbers = np.searchsorted(self._starts, wanted, side="right") - 1
        found = [self._schema.empty_table()]
        for number in np.unique(numbers).tolist():
            here = wanted[numbers == number] - self._starts[number]
            found.append(pa.Table.from_batches([self._batch(number)]).take(pa.array(here)))
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_tables(found).take(pa.array(back))

    def batches(self) -> Iterator[pa.Table]:
        """Yields all rows in order, some thousands at a time."""
        for number in range(len(self._starts) - 1):
            yield pa.Table.from_batches([self._batch(number)])

    def _batch(self, number: int) -> pa.RecordBatch:
        with self._lock:  # the reader seeks
            if self._reader is None:
                self._writer.close()
                self._reader = pa.ipc.open_file(pa.PythonFile(self._file, mode="r"))
            if self._latest is None or self._latest[0] != number:
                self._latest = number, self._reader.get_batch(number)
            return self._latest[1]


class Buckets:
    """Rows dealt out to files without a name, each to be read by itself.

    Args:
        folder: where the files are to lie; ``None`` holds the one bucket in memory.
        count: number of buckets.
        schema: of the rows.
    """

    def __init__(self, folder: Path | None, count: int, schema: pa.Schema) -> None:
        self._schema = schema
        self._held: list[pa.Table] | None = [schema.empty_table()] if folder is None else None
        self._files = []
        self._writers = []
        for _ in range(0 if folder is None else count):
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this is
            self._files.append(file)
            self._writers.append(pa.ipc.new_stream(pa.PythonFile(file, mode="w"), schema))

    def __len__(self) -> int:
        return len(self._files) if self._held is None else 1

    def add(self, table: pa.Table, bucket: npt.NDArray[np.integer[Any]]) -> None:
        """Deals out rows, keeping their order.

        Args:
            table: n rows.
            bucket: (n,) where each goes.
        """
        if self._held is not None:
            self._held.append(table)
            return
        order = np.argsort(bucket, kind="stable")
        numbers, starts = np.unique(bucket[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        sorted_table = table.take(pa.array(order))
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            self._writers[number].write_table(sorted_table.slice(start, end - start))

    def read(self, number: int) -> pa.Table:
        """Returns the rows of a bucket; no more can be added to it."""
        if self._held is not None:
            return pa.concat_tables(self._held).combine_chunks()
        self._writers[number].close()
        file = self._files[number]
        file.seek(0)
        with pa.ipc.open_stream(file) as reader:
            return reader.read_all().combine_chunks()

    def close(self) -> None:
        """Gives memory and disk back."""
        self._held = None
        for file in self._files:
            file.close()
        self._files, self._writers = [], []
