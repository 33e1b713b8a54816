"""Embeddings of slightly changed copies of an arena's images, for identifiers that learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.arena.forms import FORMS
from whodrew.audit.gather import TOO_LARGE
from whodrew.audit.gathered import Gathered
from whodrew.audit.sources import Source
from whodrew.embed import Progress, embed, embedding_matrix, open_store
from whodrew.encoders.copies import copy_name
from whodrew.identify.samples import Floats, Samples

#: Identifiers that learn from copies.
LEARNERS: Final = frozenset({"contrastive"})


@dataclass(frozen=True)
class Copies:
    """The copies of the N images of a ``Gathered``, row by row.

    Attributes:
        forms: names of the F forms.
        vectors: F arrays (N, D).
        missing: by form, images whose copy has no embedding; their own stands in for it.
        bad: those images, each with the reason.
        notes: for people.
    """

    forms: tuple[str, ...] = ()
    vectors: tuple[Floats, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    bad: tuple[BadItem, ...] = ()
    notes: tuple[str, ...] = ()

    def beside(self, samples: Samples) -> Samples:
        """Returns samples of the same ``Gathered`` with their copies."""
        return replace(samples, copies=tuple(one[samples.source] for one in self.vectors))


def with_copies(
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
) -> Copies:
    """Embeds the copies that are not yet embedded, beside the store of the images.

    Each form costs what embedding the images cost, once, and N D numbers of memory.

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
    own = np.asarray(gathered.vectors[np.arange(len(gathered))], dtype=np.float32)
    vectors: list[Floats] = []
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
        found, filled = _aligned(open_store(there).of_arena(source.arena), place, own)
        vectors.append(found)
        if not filled.all():
            missing[name] = int((~filled).sum())
        bad += [BadItem(one.item, one.reason) for one in done.bad if one.item in place]
    notes = tuple(
        f"{count} of {len(own)} copies {name} have no embedding: the image's own stands in"
        for name, count in missing.items()
    )
    return Copies(FORMS, tuple(vectors), missing, tuple(bad), notes)


def _labelled(
    report: Callable[[str, Progress], None], label: str, canonical: int | None
) -> Callable[[Progress], None]:
    words = label if canonical is None else f"{label}, canonical {canonical}"
    return lambda state: report(words, state)


def _aligned(
    table: pa.Table, place: Mapping[str, int], own: Floats
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Returns (N, D) vectors in the order of ``place``, and which of them are of a copy."""
    vectors = own.copy()
    filled = np.zeros(len(own), dtype=bool)
    if len(table) == 0:
        return vectors, filled
    rows = np.array([place.get(item, -1) for item in table["item"].to_pylist()], dtype=np.int64)
    found = embedding_matrix(table)
    usable = (rows >= 0) & (np.abs(found) <= TOO_LARGE).all(axis=1)
    vectors[rows[usable]] = found[usable]
    filled[rows[usable]] = True
    return vectors, filled
