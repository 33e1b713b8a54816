"""Embeddings of one encoder with their labels, as codes and as texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whodrew.arena import BadItem
from whodrew.audit.codes import Codes, Digests, Kind, Mask, digests
from whodrew.audit.duplicates import candidates, groups_among
from whodrew.audit.spill import HeldTexts, Texts
from whodrew.embed.shelf import Rows, chosen_rows
from whodrew.encoders.base import EncoderCard
from whodrew.identify.samples import NOT_KNOWN, Ints, Samples

LABELS = ("image_id", "path", "item", "model", "prompt_id", "prompt", "seed")


@dataclass(frozen=True)
class Gathered:
    """N embeddings of one encoder with labels, ready to be asked.

    Rows stand in the order of samples: by prompt, model (unknown first) and seed, else as
    in the table or store they come from.

    Attributes:
        card: the encoder.
        vectors: (N, D) float32 rows, in memory or on a shelf.
        stored: texts of each row: image_id, path, seed, thumbnail, and item and prompt
            where there are any.
        prompt: (N,) code into ``prompts``.
        model: (N,) code into ``models``, or -1.
        kind: (N,) code into ``kinds``.
        prompts: names, sorted.
        models: names, sorted.
        kinds: (format, width, height), each ``None`` where it is not known.
        rank: (N,) place of each image_id among those of its prompt.
        seed: (N,) hash of each seed.
        group: (N,) duplicate group of each row.
        duplicates: items that are byte for byte the same.
        near_duplicates: items with equal thumbnails that are not.
        bad: rows that could not be used.
    """

    card: EncoderCard
    vectors: Rows
    stored: Texts
    prompt: Codes
    model: Codes
    kind: Codes
    prompts: tuple[str, ...]
    models: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rank: Codes
    seed: Digests
    group: Ints
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    bad: tuple[BadItem, ...]

    def __len__(self) -> int:
        return len(self.prompt)

    def labels(self, rows: Ints) -> pa.Table:
        """Returns image_id, path, item, model, prompt_id, prompt and seed of some rows."""
        return self._labelled(self.stored.take(rows), self.prompt[rows], self.model[rows])

    def label_batches(self) -> Iterator[pa.Table]:
        """Yields the labels of all rows in order, some thousands at a time."""
        start = 0
        for texts in self.stored.batches():
            part = slice(start, start + len(texts))
            yield self._labelled(texts, self.prompt[part], self.model[part])
            start += len(texts)

    @cached_property
    def table(self) -> pa.Table:
        """Labels and container columns of all rows: for arenas that fit into memory."""
        pieces, thumbnails = list(self.label_batches()), list(self.stored.batches())
        table = pa.concat_tables(pieces)
        kinds = list(zip(*self.kinds, strict=True))
        for name, values in zip(("format", "width", "height"), kinds, strict=True):
            kind = pa.string() if name == "format" else pa.int32()
            table = table.append_column(name, pa.array(values, kind).take(pa.array(self.kind)))
        looks = pa.concat_tables(thumbnails)["thumbnail"]
        return table.append_column("thumbnail", looks).combine_chunks()

    def column(self, name: str) -> list[Any]:
        """Returns a column as Python values."""
        if name == "model":
            return _named(self.models, self.model).to_pylist()  # type: ignore[no-any-return]
        if name == "prompt_id":
            return _named(self.prompts, self.prompt).to_pylist()  # type: ignore[no-any-return]
        return self.table[name].to_pylist()  # type: ignore[no-any-return]

    def counts(self, name: str) -> dict[str | None, int]:
        """Returns how often each value of ``model``, ``prompt_id`` or ``format`` occurs.

        ``None`` counts the rows where it is not known, if there are any.
        """
        found: dict[str | None, int] = {}
        if name == "format":
            numbers = np.bincount(self.kind, minlength=len(self.kinds)).tolist()
            for (value, _, _), number in zip(self.kinds, numbers, strict=True):
                found[value] = found.get(value, 0) + number
        else:
            names, codes = {
                "model": (self.models, self.model),
                "prompt_id": (self.prompts, self.prompt),
            }[name]
            numbers = np.bincount(codes + 1, minlength=len(names) + 1).tolist()
            found = dict(zip((None, *names), numbers, strict=True))
        return {value: number for value, number in found.items() if number}

    def distinct(self, name: str) -> frozenset[str]:
        """Returns the known values of ``model``, ``prompt_id`` or ``format``."""
        return frozenset(value for value in self.counts(name) if value is not None)

    def texts(self) -> dict[str, str]:
        """Returns the text of each prompt, where its rows say one: the first in order."""
        found: dict[str, str] = {}
        start = 0
        for batch in self.stored.batches():
            if "prompt" not in batch.column_names:
                break
            rows = np.flatnonzero(np.asarray(batch["prompt"].is_valid()))
            prompts, first = np.unique(self.prompt[start : start + len(batch)][rows], True)
            some = batch["prompt"].take(pa.array(rows[first])).to_pylist()
            for prompt, text in zip(prompts.tolist(), some, strict=True):
                found.setdefault(self.prompts[prompt], text)
            start += len(batch)
        return found

    def cells(self) -> npt.NDArray[np.int64]:
        """Returns the number of images in each (model, prompt) cell that has any."""
        known = self.model != NOT_KNOWN
        cell = self.prompt[known].astype(np.int64) * len(self.models) + self.model[known]
        sizes = np.bincount(cell)
        return sizes[sizes > 0]

    def by_kind(self) -> npt.NDArray[np.int64]:
        """Returns (M, K) how many images of each model are of each of ``kinds``."""
        known = self.model != NOT_KNOWN
        shape = len(self.models), len(self.kinds)
        flat = self.model[known].astype(np.int64) * shape[1] + self.kind[known]
        return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)

    def digests(self) -> tuple[Digests, Digests]:
        """Returns (N,) hashes of image_ids and of thumbnails, 0 where there is none."""
        pairs = [
            (digests(batch["image_id"]), digests(batch["thumbnail"]))
            for batch in self.stored.batches()
        ]
        ids, looks = zip(*pairs, strict=True)
        return np.concatenate(ids), np.concatenate(looks)

    def only(self, keep: Mask) -> Gathered:
        """Returns some rows; names that no longer occur stay in the books."""
        rows = np.flatnonzero(keep)
        return replace(
            self,
            vectors=chosen_rows(self.vectors, rows),
            stored=HeldTexts(self.stored.take(rows)),
            **{
                name: getattr(self, name)[rows]
                for name in ("prompt", "model", "kind", "rank", "seed", "group")
            },
        )

    def samples(
        self,
        *,
        model_names: Sequence[str] | None = None,
        prompt_names: Sequence[str] | None = None,
        group: Ints | None = None,
    ) -> Samples:
        """Returns the samples, whose ``source`` is the row here.

        Args:
            model_names: code book to use, where several arenas share one.
            prompt_names: the same for prompts.
            group: (N,) duplicate groups to use, as ``shared_groups`` gives them.
        """
        return Samples.of_codes(
            self.vectors,
            prompt=_recoded(self.prompt, self.prompts, prompt_names),
            model=_recoded(self.model, self.models, model_names),
            prompts=self.prompts if prompt_names is None else prompt_names,
            models=self.models if model_names is None else model_names,
            image_id=self.rank,
            seed=self.seed,
            scale=self.card.scale,
            group=self.group if group is None else group,
        )

    def _labelled(self, texts: pa.Table, prompt: Codes, model: Codes) -> pa.Table:
        made = {
            "model": _named(self.models, model),
            "prompt_id": _named(self.prompts, prompt),
            "item": texts["path"],
            "prompt": pa.nulls(len(texts), pa.string()),
        }
        made |= {name: texts[name] for name in texts.column_names}
        return pa.table({name: made[name] for name in LABELS})


def _named(names: Sequence[str], codes: Codes) -> pa.Array:
    """Returns names for codes, null for -1."""
    return pa.array(names, pa.string()).take(pa.array(codes, mask=codes == NOT_KNOWN))


def _recoded(codes: Codes, names: Sequence[str], book: Sequence[str] | None) -> Ints:
    if book is None or tuple(book) == tuple(names):
        return codes
    place = {name: code for code, name in enumerate(book)}
    table = np.array([*(place.get(name, NOT_KNOWN) for name in names), NOT_KNOWN], dtype=np.int32)
    return np.asarray(table[codes])


def shared_groups(first: Gathered, second: Gathered | pa.Table) -> tuple[Ints, Ints]:
    """Returns duplicate groups of two arenas, or of an arena and a few images, together.

    Args:
        first: an arena.
        second: another, or a table with item, image_id and thumbnail.
    """
    ids, looks = first.digests()
    if isinstance(second, Gathered):
        more = second.digests()
    else:
        more = digests(second["image_id"]), digests(second["thumbnail"])
    rows = candidates(np.concatenate([ids, more[0]]), np.concatenate([looks, more[1]]))
    count = len(first)
    here, there = rows[rows < count], rows[rows >= count] - count
    pieces = [_faces(first, here), _faces(second, there)]
    total = count + len(more[0])
    group, _, _ = groups_among(total, rows, pa.concat_tables(pieces))
    return group[:count], group[count:]


def _faces(given: Gathered | pa.Table, rows: Ints) -> pa.Table:
    texts = given.stored.take(rows) if isinstance(given, Gathered) else given.take(pa.array(rows))
    plain = {name: pc.cast(texts[name], pa.string()) for name in ("image_id", "thumbnail")}
    return pa.table({"item": plain["image_id"], **plain})
