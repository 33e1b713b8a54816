"""Embeddings of slightly changed copies of an arena's images, for identifiers that learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.arena import Arena, BadItem
from whodrew.arena.forms import FORMS
from whodrew.audit.gather import TOO_LARGE
from whodrew.audit.gathered import Gathered
from whodrew.audit.passes import attempted
from whodrew.audit.sources import Source
from whodrew.embed import Progress, embed, open_store
from whodrew.embed.reading import SKIP, Held, Reading, sink_of
from whodrew.embed.scratch import memory_budget
from whodrew.embed.shelf import Rows, Shelf, chosen_rows
from whodrew.embed.store import Store
from whodrew.encoders.copies import copy_name
from whodrew.identify.samples import Mask, Samples

#: Identifiers that learn from copies.
LEARNERS: Final = frozenset({"contrastive"})
_PART: Final = 4096
_SinkOf = Callable[[tuple[int, int], Any], Held | Shelf]


@dataclass(frozen=True)
class Copies:
    """The copies of the N images of a ``Gathered``, row by row.

    Attributes:
        forms: names of the F forms.
        vectors: F times (N, D), on disk where they do not fit into memory.
        missing: by form, images whose copy has no embedding; their own stands in for it.
        bad: those images, each with the reason.
        notes: for people.
    """

    forms: tuple[str, ...] = ()
    vectors: tuple[Rows, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    bad: tuple[BadItem, ...] = ()
    notes: tuple[str, ...] = ()

    def beside(self, samples: Samples) -> Samples:
        """Returns samples of the same ``Gathered`` with their copies."""
        copies = tuple(chosen_rows(one, samples.source) for one in self.vectors)
        return replace(samples, copies=copies)


def with_copies(  # noqa: PLR0913 - what embedding takes, and where
    source: Source,
    encoder: str,
    store: str | Path,
    gathered: Gathered,
    *,
    canonical: int | None = None,
    workers: int | None = None,
    engine: str = "native",
    address: str | None = None,
    report: Callable[[str, Progress], None] | None = None,
    scratch: Path | None = None,
) -> Copies:
    """Embeds the copies that are not yet embedded, beside the store of the images.

    Each form costs what embedding the images cost, once. Its vectors are held where they
    and those of the other forms fit into the budget, else they lie on disk.

    Args:
        source: what ``gathered`` was made from.
        encoder: name of its encoder.
        store: where the images' own vectors lie; the copies' go to ``<store>-copy-<form>``.
        gathered: the images, all or some.
        canonical: side of the canonical form that is copied, as for the images.
        workers: as ``embed`` takes it.
        engine: likewise.
        address: likewise.
        report: told of progress.
        scratch: folder for vectors that cannot be held; where ``store`` lies if not given.

    Returns:
        The copies; none, and a note, where there are embeddings but no images.

    Raises:
        UsageError: the store of a form is of another encoder.
        InputError: the store of a form is damaged.
    """
    if source.arena is None:
        note = (
            f"{source.name} holds embeddings, no images to copy: contrastive learns from "
            "references alone and is not steadier than the others under small changes"
        )
        return Copies(notes=(note,))
    place = {item: row for row, item in enumerate(gathered.column("item"))}
    held = memory_budget() // (len(FORMS) + 1)
    vectors: list[Rows] = []
    missing: dict[str, int] = {}
    bad: list[BadItem] = []
    for name in FORMS:
        label = copy_name(name, encoder)
        told = None if report is None else _labelled(report, label, canonical)
        there = f"{store}-copy-{name}"
        done = embed(
            source.arena,
            label,
            there,
            canonical=canonical,
            workers=workers,
            engine=engine,
            address=address,
            progress=told,
        )
        found, filled = attempted(
            Path(scratch or store),
            partial(_of_form, there, source.arena, place, gathered.vectors, held, engine == "ray"),
        )
        vectors.append(found)
        if not filled.all():
            missing[name] = int((~filled).sum())
        bad += [BadItem(one.item, one.reason) for one in done.bad if one.item in place]
    notes = tuple(
        f"{count} of {len(gathered)} copies {name} have no embedding: the image's own stands in"
        for name, count in missing.items()
    )
    return Copies(FORMS, tuple(vectors), missing, tuple(bad), notes)


def _labelled(
    report: Callable[[str, Progress], None], label: str, canonical: int | None
) -> Callable[[Progress], None]:
    words = label if canonical is None else f"{label}, canonical {canonical}"
    return lambda state: report(words, state)


def _of_form(
    there: str,
    arena: Arena,
    place: Mapping[str, int],
    own: Rows,
    held: int,
    shared: bool,
    folder: Path,
) -> tuple[Rows, Mask]:
    def sink(shape: tuple[int, int], dtype: Any) -> Held | Shelf:
        return sink_of(held, shape, dtype, folder, shared=shared)

    return _aligned(open_store(there), arena, place, own, sink)


def _aligned(
    there: Store, arena: Arena, place: Mapping[str, int], own: Rows, sink: _SinkOf
) -> tuple[Rows, Mask]:
    """Returns (N, D) vectors in the order of ``place``, and which of them are of a copy.

    A copy without a usable vector is given the image's own. Nothing but the sink is held.
    """
    reading = Reading(there)
    labels, _ = there.labels(reading.files)
    table = there.joined(labels, arena)
    rows = np.array([place.get(item, -1) for item in table["item"].to_pylist()], dtype=np.int64)
    number = np.full(len(own), -1, dtype=np.int64)
    in_store = reading.first[np.asarray(table["part"])] + np.asarray(table["at"])
    number[rows[rows >= 0]] = in_store[rows >= 0]
    # an image may be listed twice, under two models: its copy lies there once
    filled = number >= 0
    distinct, first = np.unique(number[filled], return_index=True)
    distinct = distinct[np.argsort(first)]
    target = np.full(len(reading), SKIP, dtype=np.int64)
    target[distinct] = np.arange(len(distinct))
    index = np.empty(len(own), dtype=np.int64)
    index[filled] = target[number[filled]]
    index[~filled] = len(distinct) + np.arange(int((~filled).sum()))
    made = sink((len(distinct) + int((~filled).sum()), own.shape[1]), there.card.dtype)
    unusable = reading.vectors(target, made, limit=TOO_LARGE)
    filled &= ~np.isin(number, [*unusable.reason, *unusable.large])
    for lost in np.array_split(np.flatnonzero(~filled), -(-int((~filled).sum()) // _PART) or 1):
        made.write(index[lost], np.asarray(own[lost], dtype=np.float32))
    vectors: Rows = made.vectors if isinstance(made, Held) else made
    alike = len(vectors) == len(own) and bool((index == np.arange(len(own))).all())
    return vectors if alike else chosen_rows(vectors, index), filled
