"""Parts of a store: the rows they hold, written whole, indexed, read."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whodrew.embed.files import write_atomically
from whodrew.embed.places import ObjectPath, Place, StorageError, each, explanation
from whodrew.embed.vectors import Matrix, embedding_array
from whodrew.errors import InputError

#: Most images, and most seconds of work, that a crash can cost one worker.
PART_IMAGES: Final = 64
PART_SECONDS: Final = 5.0

#: Columns of a part but for ``embedding``. ``size`` (bytes) and ``mtime_ns`` are those of
#: the file when it was listed, so that an unchanged file is known again without being
#: read; ``mtime_ns`` is null where there is no file. ``run`` counts the runs of a store.
LABELS: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("prompt_id", pa.string()),
        pa.field("seed", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("thumbnail", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("run", pa.int32()),
    ]
)
_READ_ROWS: Final = 4096
_BUFFER: Final = 1 << 20
_BUFFER_REMOTE: Final = 8 << 20
_STORAGE: Final = ("AWS Error", "google::cloud", "Azure", "HTTP", "curl")
_NULL_LIST: Final = re.compile(r"lists to be of size=\d+ but index (\d+) had size=0")
T = TypeVar("T")


def list_parts(folder: Place, run: int | None = None) -> list[Place]:
    """Returns the parts of a store, or those of one run, oldest run first."""
    pattern = "part-*.parquet" if run is None else f"part-{run:06d}-*.parquet"
    found: list[Any] = list(folder.glob(pattern))
    return sorted(found)


def write_part(
    folder: Place, labels: pa.Table, matrix: Matrix, *, run: int, name: str | None = None
) -> Place:
    """Writes one part: there whole or not at all.

    Args:
        folder: the store.
        labels: n rows, columns as in ``LABELS``.
        matrix: array (n, d) of float16 or float32.
        run: number of the run, for the name.
        name: rest of the name, random where not given; a part of that name is replaced.

    Returns:
        The file.
    """
    table = labels.append_column("embedding", embedding_array(matrix))
    file = folder / f"part-{run:06d}-{name or uuid.uuid4().hex[:12]}.parquet"
    write_atomically(file, lambda sink: _write(table, sink))
    return file


def _write(table: pa.Table, sink: Any) -> None:
    # float vectors neither repeat nor compress: both cost time and save nothing
    pq.write_table(table, sink, use_dictionary=False, compression="none", write_statistics=False)


def opened(file: Place, *, rows: bool = False) -> pq.ParquetFile:
    """Opens a Parquet file wherever it lies; call it within ``checked``.

    Args:
        file: the file.
        rows: its vectors will be read, a piece at a time, rather than some labels at once.
    """
    if isinstance(file, ObjectPath):
        if rows:
            return pq.ParquetFile(file.open_input(), pre_buffer=False, buffer_size=_BUFFER_REMOTE)
        return pq.ParquetFile(file.open_input(), pre_buffer=True)
    return pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER if rows else 0)


def checked(file: Place, read: Callable[[], T], row: int = 0) -> T:
    """Runs ``read`` on a Parquet file, turning damage into an error that says what to do.

    Args:
        file: the file.
        read: reads something of it.
        row: where it reads from.

    Raises:
        InputError: the file is damaged.
        FileNotFoundError: it is gone; another process has merged it into another part.
    """
    try:
        return read()
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        # pyarrow cannot read a null among fixed-size lists back from Parquet
        if (short := _NULL_LIST.search(reason)) is not None:
            raise InputError(
                f"{file}, row {row + int(short[1]) - 1}: the embedding is null, which Parquet "
                "cannot keep in fixed-size lists: leave such rows out, or write plain lists"
            ) from error
        if isinstance(file, ObjectPath) and _is_answer_of_storage(error):
            if "NO_SUCH_KEY" in str(error) or "RESOURCE_NOT_FOUND" in str(error):
                raise FileNotFoundError(str(file)) from error
            raise StorageError(explanation(file, error)) from error
        raise InputError(
            f"{file} is damaged ({reason}): delete it, and run embed again where it is a store "
            "of whodrew's: only the images it held are encoded again"
        ) from error


def _is_answer_of_storage(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, OSError) and any(word in text for word in _STORAGE)


def read_labels(files: Sequence[Place], columns: Sequence[str]) -> pa.Table:
    """Reads columns other than ``embedding`` of our own parts.

    Returns:
        A table of all rows of all files in order, with two columns more: ``part`` (index
        into ``files``) and ``at`` (row within that file), both int64.
    """
    schema = pa.schema([LABELS.field(name).with_nullable(True) for name in columns])
    tables = [schema.empty_table()]
    part = [np.zeros(0, np.int64)]
    at = [np.zeros(0, np.int64)]
    found = each(files, lambda file: checked(file, lambda: _columns(file, columns)))
    for number, table in enumerate(found):
        tables.append(table.cast(schema))
        part.append(np.full(len(table), number, np.int64))
        at.append(np.arange(len(table), dtype=np.int64))
    whole = pa.concat_tables(tables).append_column("part", pa.array(np.concatenate(part)))
    return whole.append_column("at", pa.array(np.concatenate(at)))


def _columns(file: Place, columns: Sequence[str]) -> pa.Table:
    with opened(file) as parquet:
        names = set(parquet.schema_arrow.names)
        table = parquet.read([name for name in columns if name in names])
        for name in columns:
            if name not in names:
                kind = LABELS.field(name).type
                table = table.append_column(name, pa.nulls(len(table), kind))
        return table.select(list(columns))


def first_of_each(labels: pa.Table) -> npt.NDArray[np.int64]:
    """Sorts rows by image_id and path and keeps one of each: that of the newest run.

    Args:
        labels: needs ``image_id`` and ``path``; ``run`` and ``part`` where there are any.

    Returns:
        Indices into ``labels``.
    """
    keys = [("image_id", "ascending"), ("path", "ascending")]
    keys += [(name, "descending") for name in ("run", "part") if name in labels.column_names]
    order = pc.sort_indices(labels, sort_keys=keys)
    if len(order) < 2:
        return np.asarray(order, np.int64)
    repeated = np.zeros(len(order), bool)
    pairs = labels.select(["image_id", "path"]).take(order)
    equal = pc.and_(*(_same_as_before(pairs[name]) for name in ("image_id", "path")))
    repeated[1:] = np.asarray(equal)
    return np.asarray(order, np.int64)[~repeated]


def _same_as_before(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.equal(column.slice(1), column.slice(0, len(column) - 1))


def iter_batches(file: Place) -> Iterator[tuple[int, pa.Array]]:
    """Yields the ``embedding`` column of a file in pieces, with the row each begins at.

    Raises:
        InputError: the file is damaged or holds no such column.
    """
    start = 0
    with checked(file, lambda: opened(file, rows=True)) as parquet:
        if "embedding" not in parquet.schema_arrow.names:
            raise InputError(f"{file} has no column 'embedding'")
        batches = parquet.iter_batches(_READ_ROWS, columns=["embedding"], use_threads=False)
        while (batch := checked(file, lambda: next(batches, None), start)) is not None:
            yield start, batch.column(0)
            start += batch.num_rows


class PartBuffer:
    """Rows of one worker on their way into a part.

    A part is written once it holds ``PART_IMAGES`` rows or its first row is
    ``PART_SECONDS`` old; ``flush`` writes what is there.

    Args:
        folder: the store.
        run: number of the run.
        name: write all rows as one part of this name instead, at the first ``flush``.
    """

    def __init__(self, folder: Place, run: int, name: str | None = None) -> None:
        self._folder = folder
        self._run = run
        self._name = name
        self._rows: list[dict[str, Any]] = []
        self._vectors: list[Matrix] = []
        self._since = time.monotonic()

    def add(self, row: dict[str, Any], vector: Matrix) -> None:
        """Takes one row, ``LABELS`` by name, and its vector (d,)."""
        self._rows.append({**row, "run": self._run})
        self._vectors.append(vector)
        if self._name is None and (
            len(self._rows) >= PART_IMAGES or time.monotonic() - self._since >= PART_SECONDS
        ):
            self.flush()

    def flush(self) -> None:
        """Writes the rows held, if any, as one part."""
        if self._rows:
            labels = pa.Table.from_pylist(self._rows, schema=LABELS)
            vectors = np.stack(self._vectors)
            write_part(self._folder, labels, vectors, run=self._run, name=self._name)
        self._rows, self._vectors = [], []
        self._since = time.monotonic()
