"""Reading an embedding store, ours or others'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from whodrew.arena import Arena, BadItem
from whodrew.embed.card import CARD_FILE, read_card
from whodrew.embed.foreign import read_foreign
from whodrew.embed.parts import (
    LABELS,
    checked,
    first_of_each,
    iter_batches,
    list_parts,
    opened,
    read_labels,
)
from whodrew.embed.places import ObjectPath, Place, as_place, each
from whodrew.embed.plan import make_plan, read_known, stored_paths
from whodrew.embed.vectors import (
    Matrix,
    element_dtype,
    embedding_array,
    list_matrix,
    list_width,
)
from whodrew.encoders.base import EncoderCard
from whodrew.errors import InputError

_HIDDEN: Final = ("size", "mtime_ns", "run")
_ATTEMPTS: Final = 5
_NULL: Final = "the embedding is null"
_NOT_FINITE: Final = "the embedding is not finite"
T = TypeVar("T")


@dataclass(frozen=True)
class Scan:
    """What a store holds.

    Attributes:
        table: one row a (image_id, path), sorted by them: image_id, path, model,
            prompt_id, seed, embedding (fixed_size_list of float16 or float32), width,
            height, format, thumbnail.
        bad: rows left out for a vector that is null or not finite, each by file and row.
        notes: what was made up or left out, for people.
    """

    table: pa.Table
    bad: tuple[BadItem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Store:
    """An embedding store, opened; nothing but its card and its footers was read.

    Attributes:
        path: the folder or the lone file.
        card: the encoder that wrote it.
        ours: whether whodrew's ``embed`` wrote it.
    """

    path: Place
    card: EncoderCard
    ours: bool

    def __len__(self) -> int:
        """Returns the number of rows, one a (image_id, path)."""
        return int(self.table(["image_id"]).num_rows)

    def scan(self, columns: Sequence[str] | None = None) -> Scan:
        """Reads the store, leaving out rows whose vector cannot be used.

        Memory: the vectors once, and one piece of a part.

        Args:
            columns: which columns; all where not given. Vectors are only read, and
                checked, where ``embedding`` is among them.

        Raises:
            InputError: a file is damaged, a vector has another length than the others, or
                a column is unknown.
        """
        return _retried(lambda: self._scan(columns))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Reads the store, as ``scan`` does, insisting that every row can be used.

        Args:
            columns: which columns; all where not given.

        Returns:
            The table of ``Scan``. For the vectors as a matrix see ``embedding_matrix``.

        Raises:
            InputError: as ``scan``; or a vector is null or not finite: the first is named.
        """
        scan = self.scan(columns)
        insist(scan.bad)
        return scan.table

    def of_arena(self, arena: Arena) -> pa.Table:
        """Joins the store to an arena: its images that have a vector, under its labels.

        A file that changed since it was encoded does not match. Where the files are gone,
        the path alone decides.

        Args:
            arena: the images.

        Returns:
            One row an image of the arena that has a vector, in the arena's order: the
            columns of ``Scan`` with model, prompt_id and seed from the arena, and its
            ``item`` and ``prompt``.

        Raises:
            InputError: as ``table``.
        """
        return _retried(lambda: self.joined(self.table(), arena))

    def labels(self, files: Sequence[Place]) -> tuple[pa.Table, list[str]]:
        """Reads everything but the vectors.

        Args:
            files: those of the store, as ``store_files`` lists them.

        Returns:
            One row a (image_id, path), sorted by them, with ``part`` (index into ``files``)
            and ``at`` (row within that file); and notes for people.

        Raises:
            InputError: a file is damaged.
            FileNotFoundError: a writer has merged the parts in the meantime.
        """
        notes: list[str] = []
        if self.ours:
            keys = [name for name in LABELS.names if name not in ("size", "mtime_ns")]
            labels = read_labels(files, keys)
        else:
            labels, notes = read_foreign(files)
        keep = first_of_each(labels)
        if not self.ours and len(keep) < len(labels):
            left = len(labels) - len(keep)
            notes.append(f"{left} rows repeat an image_id and path: left out")
        return labels.take(pa.array(keep)), notes

    def joined(self, table: pa.Table, arena: Arena) -> pa.Table:
        """Joins rows of the store to an arena, as ``of_arena`` does.

        Args:
            table: one row a (image_id, path), with model, prompt_id, seed and whatever else.
            arena: the images.

        Raises:
            InputError: a file of the store is damaged.
            FileNotFoundError: a writer has merged the parts in the meantime.
        """
        ids = table["image_id"].to_pylist()
        paths = table["path"].to_pylist()
        by_pair = {pair: row for row, pair in enumerate(zip(ids, paths, strict=True))}
        by_path: dict[str, list[int]] = {}
        for row, path in enumerate(paths):
            by_path.setdefault(path, []).append(row)
        chosen = self._chosen(arena, by_pair, by_path)
        at = pa.array([index for index, row in enumerate(chosen) if row is not None], pa.int64())
        rows = table.take(pa.array([row for row in chosen if row is not None], pa.int64()))
        shown = arena.images.select(["item", "model", "prompt_id", "prompt", "seed"]).take(at)
        for name in ("model", "prompt_id", "seed"):
            rows = rows.set_column(rows.column_names.index(name), name, shown[name])
        return rows.append_column("item", shown["item"]).append_column("prompt", shown["prompt"])

    def _scan(self, columns: Sequence[str] | None) -> Scan:
        files = store_files(self.path)
        names = [*(name for name in LABELS.names if name not in _HIDDEN)]
        names.insert(5, "embedding")
        wanted = list(columns) if columns is not None else names
        if unknown := [name for name in wanted if name not in names]:
            raise InputError(f"a store has no column {unknown[0]!r}: it has {', '.join(names)}")
        labels, notes = self.labels(files)
        bad: tuple[BadItem, ...] = ()
        if "embedding" in wanted:
            matrix, reasons = _vectors(files, labels, self.card)
            if reasons:
                bad = _name(files, labels, reasons)
                good = np.ones(len(labels), bool)
                good[list(reasons)] = False
                labels, matrix = labels.filter(pa.array(good)), matrix[good]
            labels = labels.append_column("embedding", embedding_array(matrix))
        return Scan(labels.select(wanted), bad, tuple(notes))

    def _chosen(
        self,
        arena: Arena,
        by_pair: dict[tuple[str, str], int],
        by_path: dict[str, list[int]],
    ) -> list[int | None]:
        """Returns for each image of the arena its row in the table, or ``None``."""
        if not self.ours:
            return [by_path.get(path, [None])[-1] for path in stored_paths(arena)]
        known = read_known(self.path)
        plan = make_plan(arena, known)
        newest = {path: identity for (path, *_), identity in known.by_file().items()}
        exact = known.by_file()
        chosen: list[int | None] = []
        for path, size, mtime in zip(plan.paths, plan.sizes, plan.mtimes, strict=True):
            there = size >= 0
            identity = exact.get((path, int(size), int(mtime))) if there else newest.get(path)
            chosen.append(by_pair.get((identity, path)) if identity else None)
        return chosen


def open_store(path: str | Path | ObjectPath) -> Store:
    """Opens an embedding store.

    That is what ``embed`` wrote, in a folder or on object storage (``s3://bucket/prefix``);
    a folder of Parquet files with a column ``embedding`` (those called ``part-*.parquet``
    alone, where there are any); or one such file. Without a ``card.json`` the encoder's
    name is the stem, and the scale ``unit``.

    Raises:
        InputError: it is missing, damaged, or no store.
    """
    place = as_place(path)
    return _retried(lambda: _open(place))


def _open(path: Place) -> Store:
    if not path.exists():
        raise InputError(f"there is no embedding store {path}")
    files = store_files(path)
    folder = path if path.is_dir() else path.parent
    # a lone file beside a card is described by it only where it is a part of that store
    carded = path.is_dir() or path.name.startswith("part-")
    if not files:
        card = read_card(folder) if carded else None
        if card is None:
            raise InputError(f"{path} is no embedding store: it holds no Parquet file")
        return Store(path, card, ours=True)
    kind, width = _shape(files)
    card = read_card(folder, width) if carded else None
    ours = card is not None and all(each(files, _is_ours))
    if card is None:
        dtype: Any = str(element_dtype(kind))
        card = EncoderCard(path.stem, "unknown", width, "unit", "unknown", dtype, licence="unknown")
    elif card.dimension != width:
        raise InputError(
            f"{folder / CARD_FILE} says {card.dimension} numbers a vector, "
            f"{files[0].name} has {width}"
        )
    return Store(path, replace(card), ours)


def store_files(path: Place) -> list[Place]:
    """Returns the Parquet files of a store, which may be one file itself."""
    if path.is_file():
        return [path]
    parts = list_parts(path)
    if parts:
        return parts
    found: list[Any] = list(path.glob("*.parquet"))
    return sorted(file for file in found if not file.name.startswith((".", "_")))


def insist(bad: Sequence[BadItem]) -> None:
    """Raises InputError where there are rows that cannot be used: the first is named."""
    if bad:
        more = f" ({len(bad)} such rows)" if len(bad) > 1 else ""
        raise InputError(f"{bad[0].item}: {bad[0].reason}{more}")


def _is_ours(file: Place) -> bool:
    with checked(file, lambda: opened(file)) as parquet:
        schema = parquet.schema_arrow
    return {"image_id", "path", "run"} <= set(schema.names)


def _shape(files: Sequence[Place]) -> tuple[pa.DataType, int]:
    """Returns the type of the vectors of the first file that has one, and their length."""
    kind: pa.DataType = pa.list_(pa.float32())
    for file in files:
        for _, chunk in iter_batches(file):
            kind = chunk.type
            width = list_width(pa.chunked_array([chunk]), str(file))
            if width is not None:
                return kind, width
    raise InputError(f"{files[0].parent} holds no embedding that is not null")


def _vectors(
    files: Sequence[Place], labels: pa.Table, card: EncoderCard
) -> tuple[Matrix, dict[int, str]]:
    """Reads the vectors of rows into one matrix, in the order of the rows.

    Args:
        files: the parts.
        labels: n rows with ``part`` and ``at``.
        card: says length and dtype.

    Returns:
        Array (n, d); and for each row whose vector cannot be used, why.
    """
    part, at = np.asarray(labels["part"]), np.asarray(labels["at"])
    order = np.lexsort((at, part))
    ends = np.searchsorted(part[order], np.arange(len(files) + 1))
    out = np.empty((len(labels), card.dimension), np.dtype(card.dtype))
    reasons: dict[int, str] = {}
    for number, file in enumerate(files):
        rows = order[ends[number] : ends[number + 1]]
        places = at[rows]
        for start, chunk in iter_batches(file) if len(rows) else ():
            low, high = np.searchsorted(places, [start, start + len(chunk)])
            matrix, absent = list_matrix(chunk, str(file), card.dimension, start)
            here, source = rows[low:high], places[low:high] - start
            # indexing copies: most pieces are wanted whole
            out[here] = matrix if len(source) == len(matrix) else matrix[source]
            reasons.update((int(row), _NULL) for row in here[absent[source]])
            if not _surely_finite(matrix):
                finite = np.isfinite(matrix[source]).all(axis=1) | absent[source]
                reasons.update((int(row), _NOT_FINITE) for row in here[~finite])
    return out, reasons


def _surely_finite(matrix: Matrix) -> bool:
    """Tells by one sum whether all numbers are finite; rarely false where they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(matrix.sum(dtype=np.float32)))


def _name(files: Sequence[Place], labels: pa.Table, reasons: dict[int, str]) -> tuple[BadItem, ...]:
    part, at = labels["part"].to_pylist(), labels["at"].to_pylist()
    places = sorted((part[row], at[row], reason) for row, reason in reasons.items())
    return tuple(BadItem(f"{files[p].name}, row {a}", reason) for p, a, reason in places)


def _retried(read: Callable[[], T]) -> T:
    """Reads again where a writer has merged the parts in the meantime."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except FileNotFoundError:
            continue
    return read()
