"""Gathering a store in passes: the labels, then the vectors straight to their places.

A store whose vectors fit into the budget is held; of a larger one only codes and hashes are
kept, some tens of bytes a row: label texts are dealt out to one file for some prompts each,
put in order file by file, and the vectors go to a shelf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.audit.codes import (
    NOT_KNOWN,
    Book,
    Codes,
    Digests,
    Kinds,
    Mask,
    arrange,
    by_identity,
    digests,
    repeated,
)
from whodrew.audit.duplicates import Lists, groups_among
from whodrew.audit.gather import NO_PROMPT, TOO_LARGE, again, occurring, refuse, too_large
from whodrew.audit.gathered import Gathered
from whodrew.audit.spill import Buckets, HeldTexts, SpilledTexts, Texts
from whodrew.embed.parts import first_of_each
from whodrew.embed.reading import LOOK, SKIP, Held, Reading, Unusable, sink_of
from whodrew.embed.scratch import check_room, memory_budget
from whodrew.embed.shelf import Rows
from whodrew.embed.store import Store
from whodrew.errors import InputError
from whodrew.identify.samples import Ints

#: Rows whose labels are put in order at once, at least, and files they are dealt out to.
BUCKET_ROWS: Final = 1 << 17
MOST_BUCKETS: Final = 64
#: Rows above which label texts are not held, however short the vectors.
MANY: Final = 1 << 20
_ATTEMPTS: Final = 5
T = TypeVar("T")
_NAMES: Final = ("prompt_id", "model")
_OTHERS: Final = (
    "image_id", "path", "seed", "width", "height", "format", "thumbnail", "run",
)  # fmt: skip
_TEXTS: Final = ("image_id", "path", "seed", "thumbnail")
_SCHEMA: Final = pa.schema(
    [*((name, pa.string()) for name in _TEXTS), ("run", pa.int32()), ("row", pa.int64())]
)


def gather_store(
    store: Store,
    scratch: Path,
    *,
    budget: int | None = None,
    many: int = MANY,
    shared: bool = False,
) -> tuple[Gathered, tuple[str, ...]]:
    """Reads a store, checks its labels and vectors, and groups duplicates.

    Args:
        store: the store.
        scratch: folder for files of what cannot be held, or whose nearest parent that
            exists is one. They have no names, and go with the process; a shared shelf has one,
            and goes when it is let go of.
        budget: bytes of vectors, as float32, that may be held; ``WHODREW_MEMORY`` or its
            default when not given.
        many: rows above which texts are not held either.
        shared: leave the shelf its name, so that other processes can open it.

    Returns:
        The rows that can be used, and notes for people. Bad rows are listed first for
        their vectors, by file and row; then for their labels, by image_id and path.

    Raises:
        InputError: a file is damaged, no row has a prompt, or the disk has no room.
        UsageError: ``WHODREW_MEMORY`` is no number.
    """
    held = memory_budget() if budget is None else budget
    return attempted(scratch, lambda folder: _gather(store, folder, held, many, shared))


def attempted(scratch: Path, read: Callable[[Path], T]) -> T:
    """Reads a store, again where a writer has merged its parts in the meantime.

    Args:
        scratch: folder for scratch files, or whose nearest parent that exists is one.
        read: is given that folder.

    Raises:
        InputError: what ``read`` raises, or the folder cannot be written.
    """
    while not scratch.is_dir():
        scratch = scratch.parent
    for attempt in range(_ATTEMPTS):
        try:
            return read(scratch)
        except FileNotFoundError:  # a writer has merged the parts in the meantime
            if attempt == _ATTEMPTS - 1:
                raise
        except OSError as error:  # of scratch files: those of the store are explained already
            raise InputError(f"cannot write to {scratch}: {error.strerror or error}") from error
    raise AssertionError


def _gather(
    store: Store, scratch: Path, budget: int, many: int, shared: bool
) -> tuple[Gathered, tuple[str, ...]]:
    reading = Reading(store)
    single = len(reading) * store.card.dimension * 4
    spills = single > budget or len(reading) > many
    if spills:
        flat = single * np.dtype(store.card.dtype).itemsize // 4
        check_room(scratch, (flat if single > budget else 0) + 3 * reading.label_bytes)
    labels = _Labels(reading, scratch if spills else None)
    try:
        return _placed(labels, scratch, budget, shared), labels.notes
    finally:
        labels.buckets.close()


def _placed(labels: _Labels, scratch: Path, budget: int, shared: bool) -> Gathered:
    """Puts labels in order and brings the vectors there; again where some are unusable."""
    reading, card = labels.reading, labels.reading.store.card
    unusable = Unusable()
    while True:
        ordered = labels.ordered(unusable)
        if len(ordered.rows) == 0:
            refuse(labels.bad_vectors(unusable) + ordered.bad)
        kind = np.int32 if len(reading) < 1 << 31 else np.int64
        place: Ints = np.full(len(reading), LOOK, kind)
        place[labels.dropped] = SKIP
        place[ordered.rows] = np.arange(len(ordered.rows), dtype=kind)
        shape = len(ordered.rows), card.dimension
        sink = sink_of(budget, shape, card.dtype, scratch, shared=shared)
        found = reading.vectors(place, sink, limit=TOO_LARGE)
        if found.reason.keys() <= unusable.reason.keys() and found.large == unusable.large:
            vectors = sink.vectors if isinstance(sink, Held) else sink
            return labels.gathered(ordered, vectors, unusable)
        unusable |= found
        del ordered, place, sink  # before the next are made


@dataclass
class _Ordered:
    """Rows in the order of samples.

    Attributes:
        rows: (n,) row of the store of each.
        rank: (n,) place of its image_id among those of its prompt.
        seed: (n,) hash of its seed.
        texts: texts of each.
        bad: rows whose labels cannot be used.
    """

    rows: Ints
    rank: Codes
    seed: Digests
    texts: Texts
    bad: tuple[BadItem, ...]


@dataclass
class _Bad:
    """Bad rows met in any order, told by image_id and path."""

    found: list[tuple[str, str, BadItem]] = field(default_factory=list)

    def add(self, table: pa.Table, reasons: Iterable[str]) -> None:
        ids, paths = table["image_id"].to_pylist(), table["path"].to_pylist()
        for identity, path, reason in zip(ids, paths, reasons, strict=True):
            self.found.append((identity or "", path or "", BadItem(str(path), reason)))

    @property
    def items(self) -> tuple[BadItem, ...]:
        return tuple(item for _, _, item in sorted(self.found, key=lambda one: one[:2]))


class _Labels:
    """The labels of a store as codes and hashes, in the order of its rows; texts by bucket.

    Args:
        reading: the store.
        folder: for texts that are not to be held; ``None`` holds them.
    """

    def __init__(self, reading: Reading, folder: Path | None) -> None:
        self.reading = reading
        self.folder = folder
        count = len(reading)
        held = list(reading.labels([*_NAMES, *_OTHERS])) if folder is None else None
        self.prompt = np.empty(count, dtype=np.int32)
        self.model = np.empty(count, dtype=np.int32)
        books = Book(), Book()
        for first, table in held if held is not None else reading.labels(_NAMES):
            part = slice(first, first + len(table))
            self.prompt[part] = books[0].add(table["prompt_id"])
            self.model[part] = books[1].add(table["model"])
        self.prompts, self.prompt = books[0].sorted(self.prompt)
        self.models, self.model = books[1].sorted(self.model)
        self.kinds = Kinds()
        # zeros take no memory until they are written to
        self.kind = np.zeros(count, dtype=np.int32)
        self.ids, self.looks, pairs = (np.zeros(count, dtype=np.uint64) for _ in range(3))
        bucket = self._buckets()
        self.buckets = Buckets(folder, int(bucket[-1]) + 1, _SCHEMA)
        for first, table in held if held is not None else reading.labels(_OTHERS):
            part = slice(first, first + len(table))
            if (kind := self.kinds.add(table)).any():
                self.kind[part] = kind
            self.ids[part] = digests(table["image_id"])
            if table["thumbnail"].null_count < len(table):
                self.looks[part] = digests(table["thumbnail"])
            pairs[part] = self.ids[part] * np.uint64(3) + digests(table["path"])
            row = pa.array(np.arange(first, first + len(table)))
            texts = table.select(_SCHEMA.names[:-1]).append_column("row", row)
            self.buckets.add(texts, bucket[self.prompt[part]])
        del held
        self.dropped = self._repeats(pairs)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was made up or left out, for people."""
        notes, left = self.reading.notes, int(self.dropped.sum())
        if left and not self.reading.store.ours:
            notes.append(f"{left} rows repeat an image_id and path: left out")
        return tuple(notes)

    def _buckets(self) -> npt.NDArray[np.int64]:
        """(P + 1,) the bucket of each prompt; the last is that of rows without one."""
        counts = np.bincount(self.prompt + 1, minlength=len(self.prompts) + 1)[1:]
        before = np.cumsum(counts) - counts
        size = max(BUCKET_ROWS, -(-len(self.prompt) // (MOST_BUCKETS - 1)))
        _, bucket = np.unique(before // size, return_inverse=True)
        return np.append(bucket, bucket.max(initial=-1) + 1)

    def _some(self, wanted: Mask) -> pa.Table:
        """Returns the texts of some rows, in their order."""
        tables = [_SCHEMA.empty_table()]
        for number in range(len(self.buckets)):
            table = self.buckets.read(number)
            tables.append(table.filter(pa.array(wanted[np.asarray(table["row"])])))
        return pa.concat_tables(tables).sort_by("row").combine_chunks()

    def _repeats(self, pairs: Digests) -> Mask:
        """Returns (rows,) true for rows whose image_id and path another one stands for."""
        wanted = repeated(pairs)
        dropped = np.zeros(len(pairs), dtype=bool)
        if wanted.any():
            table = self._some(wanted)
            rows = np.asarray(table["row"])
            keys = table.select(["image_id", "path"] + ["run"] * self.reading.store.ours)
            keys = keys.append_column("part", pa.array(self.reading.parts(rows)))
            dropped[rows] = True
            dropped[rows[first_of_each(keys)]] = False
        return dropped

    def ordered(self, unusable: Unusable) -> _Ordered:
        """Puts the rows in the order of samples.

        Args:
            unusable: rows whose vectors cannot be used.
        """
        left_out = self.dropped.copy()
        left_out[list(unusable.reason)] = True
        folder = self.folder
        spilled = None if folder is None else SpilledTexts(folder, _TEXT_SCHEMA)
        held = [_TEXT_SCHEMA.empty_table()]
        bad = _Bad()
        pieces: list[tuple[Ints, Codes, Digests]] = []
        narrow: type[np.signedinteger[Any]] = np.int32 if len(self.prompt) < 1 << 31 else np.int64
        for table in self._tables(left_out):
            rows = np.asarray(table["row"])
            prompt, model = self.prompt[rows], self.model[rows]
            lost = prompt == NOT_KNOWN
            large = ~lost & np.isin(rows, list(unusable.large))
            bad.add(table.filter(pa.array(lost)), [NO_PROMPT] * int(lost.sum()))
            reasons = [too_large(unusable.large[row]) for row in rows[large].tolist()]
            bad.add(table.filter(pa.array(large)), reasons)
            arranged = arrange(table, prompt, model, ~lost & ~large)
            first = table["path"].take(pa.array(arranged.earlier)).to_pylist()
            bad.add(table.take(pa.array(arranged.later)), map(again, first))
            texts = table.select(list(_TEXTS)).take(pa.array(arranged.rows))
            chosen: Ints = rows[arranged.rows].astype(narrow)
            pieces.append((chosen, arranged.rank, digests(texts["seed"])))
            if spilled is None:
                held.append(texts)
            else:
                spilled.append(texts)
        return _Ordered(
            np.concatenate([rows for rows, _, _ in pieces]),
            np.concatenate([rank for _, rank, _ in pieces]),
            np.concatenate([seed for _, _, seed in pieces]),
            HeldTexts(pa.concat_tables(held).combine_chunks()) if spilled is None else spilled,
            bad.items,
        )

    def _tables(self, left_out: Mask) -> Iterator[pa.Table]:
        for number in range(len(self.buckets)):
            table = self.buckets.read(number)
            keep = ~left_out[np.asarray(table["row"])]
            yield by_identity(table if keep.all() else table.filter(pa.array(keep)))

    def bad_vectors(self, unusable: Unusable) -> tuple[BadItem, ...]:
        """Returns the rows whose vectors are no numbers, by file and row."""
        places = ((self.reading.place(row), why) for row, why in sorted(unusable.reason.items()))
        return tuple(BadItem(f"{file.name}, row {at}", why) for (file, at), why in places)

    def gathered(self, ordered: _Ordered, vectors: Rows, unusable: Unusable) -> Gathered:
        """Returns everything together."""
        rows = ordered.rows
        group, duplicates, near = self._groups(ordered)
        prompts, prompt = occurring(self.prompts, self.prompt[rows])
        models, model = occurring(self.models, self.model[rows])
        return Gathered(
            card=self.reading.store.card,
            vectors=vectors,
            stored=ordered.texts,
            prompt=prompt,
            model=model,
            kind=self.kind[rows] if len(self.kinds.names) > 1 else self.kind[: len(rows)],
            prompts=prompts,
            models=models,
            kinds=self.kinds.names,
            rank=ordered.rank,
            seed=ordered.seed,
            group=group,
            duplicates=duplicates,
            near_duplicates=near,
            bad=self.bad_vectors(unusable) + ordered.bad,
        )

    def _groups(self, ordered: _Ordered) -> tuple[Ints, Lists, Lists]:
        twice = repeated(self.ids[ordered.rows])
        twice |= repeated(self.looks[ordered.rows])
        found = np.flatnonzero(twice)
        texts = ordered.texts.take(found)
        texts = by_identity(texts.append_column("at", pa.array(found)))
        texts = texts.append_column("item", texts["path"])
        return groups_among(len(ordered.rows), np.asarray(texts["at"]), texts)


_TEXT_SCHEMA: Final = pa.schema([_SCHEMA.field(name) for name in _TEXTS])
