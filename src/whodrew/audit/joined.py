"""Gathering an arena from its store: labels joined to its images, vectors to their places.

The labels of an arena are in memory already; its vectors, far more, need not be. They go from
the store's files straight to where samples of a prompt lie together: to memory where they fit
into the budget, else to a shelf on disk.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.arena import Arena, BadItem
from whodrew.audit.gather import TOO_LARGE, gather_labels
from whodrew.audit.gathered import Gathered
from whodrew.audit.passes import attempted
from whodrew.embed.reading import LOOK, SKIP, Held, Reading, Unusable, sink_of
from whodrew.embed.scratch import memory_budget
from whodrew.embed.shelf import Rows, chosen_rows
from whodrew.embed.store import Store, insist
from whodrew.encoders.base import EncoderCard
from whodrew.identify.samples import Ints


def gather_arena(
    store: Store,
    arena: Arena,
    card: EncoderCard,
    scratch: Path,
    *,
    budget: int | None = None,
    shared: bool = False,
) -> Gathered:
    """Gathers the images of an arena that have a vector in a store, under the arena's labels.

    The same as ``gather`` of ``Store.of_arena``, with no more vectors in memory than the
    budget says.

    Args:
        store: where the vectors lie.
        arena: the images.
        card: the encoder.
        scratch: folder for vectors that cannot be held, or whose nearest parent that exists is
            one; as ``gather_store`` takes it.
        budget: bytes of vectors, as float32, that may be held; ``WHODREW_MEMORY`` or its
            default when not given.
        shared: leave the shelf its name, so that other processes can open it.

    Raises:
        InputError: a file is damaged, a vector is null or not finite, no image has a prompt,
            or the disk has no room.
        UsageError: ``WHODREW_MEMORY`` is no number.
    """
    held = memory_budget() if budget is None else budget
    return attempted(scratch, lambda folder: _gather(store, arena, card, folder, held, shared))


def _gather(
    store: Store, arena: Arena, card: EncoderCard, scratch: Path, budget: int, shared: bool
) -> Gathered:
    reading = Reading(store)
    labels, _ = store.labels(reading.files)
    there = _numbers(reading, labels)
    table = store.joined(labels, arena)
    bringing = _Bringing(reading, there, _numbers(reading, table), scratch, budget, shared)
    table = table.drop_columns(["part", "at"])
    del labels
    while True:
        large = dict(bringing.large)
        gathered = gather_labels(table, card, large, bringing)
        if bringing.large == large:
            return gathered
        del gathered  # before the next is made, without the rows that were found too large


def _numbers(reading: Reading, table: pa.Table) -> Ints:
    """Returns (n,) the number through all files of each row of a table with part and at."""
    return np.asarray(reading.first[np.asarray(table["part"])] + np.asarray(table["at"]))


class _Bringing:
    """Brings the vectors of some rows of a table from the store.

    Args:
        reading: the store.
        there: numbers of the rows whose vectors must be usable, in the table or not.
        rows: (n,) number of each row of the table; some may be the same.
        scratch: folder for a shelf.
        budget: bytes that may be held.
        shared: whether the shelf has a name.

    Attributes:
        large: row of the table to its largest number, where the last pass found that too
            large.
    """

    def __init__(
        self,
        reading: Reading,
        there: Ints,
        rows: Ints,
        scratch: Path,
        budget: int,
        shared: bool,
    ) -> None:
        self._reading, self._rows = reading, rows
        self._scratch, self._budget, self._shared = scratch, budget, shared
        self._place: npt.NDArray[np.int64] = np.full(len(reading), SKIP, np.int64)
        self._place[there] = LOOK
        self.large: dict[int, float] = {}

    def __call__(self, wanted: Ints) -> Rows:
        """Returns the vectors of some rows of the table.

        Raises:
            InputError: a vector of the store is null or not finite.
        """
        reading, card = self._reading, self._reading.store.card
        unique, first, inverse = np.unique(
            self._rows[wanted], return_index=True, return_inverse=True
        )
        rank = np.empty(len(unique), np.int64)
        rank[np.argsort(first)] = np.arange(len(unique))
        place = self._place.copy()
        place[unique] = rank
        shape = len(unique), card.dimension
        sink = sink_of(self._budget, shape, card.dtype, self._scratch, shared=self._shared)
        self._check(reading.vectors(place, sink, limit=TOO_LARGE))
        vectors: Rows = sink.vectors if isinstance(sink, Held) else sink
        # an image may be listed twice, under two models: its vector lies there once
        return vectors if len(unique) == len(wanted) else chosen_rows(vectors, rank[inverse])

    def _check(self, found: Unusable) -> None:
        places = ((self._reading.place(row), why) for row, why in sorted(found.reason.items()))
        insist([BadItem(f"{file.name}, row {at}", why) for (file, at), why in places])
        rows = np.flatnonzero(np.isin(self._rows, list(found.large)))
        self.large = {int(row): found.large[int(self._rows[row])] for row in rows}
