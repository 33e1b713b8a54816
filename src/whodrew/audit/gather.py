"""From a store's table to samples: labels checked, duplicates grouped, rows counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from whodrew.arena import BadItem
from whodrew.embed import embedding_matrix
from whodrew.encoders.base import EncoderCard, Scale
from whodrew.errors import InputError
from whodrew.identify.samples import Ints, Samples

LABELS = ("image_id", "path", "item", "model", "prompt_id", "prompt", "seed")
TOO_LARGE = 1e15
NO_PROMPT = "no prompt_id"
CONTAINER = ("width", "height", "format", "thumbnail")


@dataclass(frozen=True)
class Gathered:
    """Embeddings of one encoder with labels, ready to be asked.

    Attributes:
        table: labels and container columns of every row, no vectors.
        vectors: (N, D) float32 rows in the table's order.
        group: (N,) duplicate group of each row.
        card: the encoder.
        duplicates: items that are byte for byte the same.
        near_duplicates: items with equal thumbnails that are not.
        bad: rows that could not be used.
    """

    table: pa.Table
    vectors: npt.NDArray[np.float32]
    group: Ints
    card: EncoderCard
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    bad: tuple[BadItem, ...]

    def column(self, name: str) -> list[Any]:
        """Returns a column as Python values."""
        return self.table[name].to_pylist()  # type: ignore[no-any-return]

    def samples(
        self,
        *,
        model_names: Sequence[str] | None = None,
        prompt_names: Sequence[str] | None = None,
        group: Ints | None = None,
    ) -> Samples:
        """Returns the samples, with given code books where several arenas share them."""
        scale: Scale = self.card.scale
        return Samples.build(
            self.vectors,
            models=self.column("model"),
            prompts=self.column("prompt_id"),
            scale=scale,
            image_id=self.column("image_id"),
            seed=self.column("seed"),
            group=self.group if group is None else group,
            model_names=model_names,
            prompt_names=prompt_names,
        )


def gather(table: pa.Table, card: EncoderCard) -> Gathered:
    """Checks labels, groups duplicates and splits off the vectors.

    Args:
        table: rows of a store, with labels; vectors in ``embedding``.
        card: the encoder.

    Raises:
        InputError: no row has a prompt and a model.
    """
    vectors = embedding_matrix(table)
    labels = _labels(table)
    keep, bad = _usable(labels, _largest(vectors))
    if not keep.all():
        labels = labels.filter(pa.array(keep))
        vectors = vectors[keep]
    if len(labels) == 0:
        if bad and bad[0].reason != NO_PROMPT:
            raise InputError(
                f"no embedding can be used, {len(bad)} are bad, the first: "
                f"{bad[0].item}: {bad[0].reason}"
            )
        raise InputError(
            "no embedding has a prompt_id: add the columns prompt_id and model to the store, "
            "or give the arena of images it was made from"
        )
    group, duplicates, near = duplicate_groups(labels)
    return Gathered(labels, vectors, group, card, duplicates, near, bad)


def _labels(table: pa.Table) -> pa.Table:
    columns = {}
    for name in (*LABELS, *CONTAINER):
        if name in table.column_names:
            columns[name] = table[name]
        elif name == "item":
            columns[name] = table["path"]
        else:
            columns[name] = pa.nulls(len(table), pa.string())
    return pa.table(columns)


def _largest(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns (N,) the largest number of each row, by size."""
    return np.asarray(np.maximum(vectors.max(axis=1), -vectors.min(axis=1)))


def _usable(
    labels: pa.Table, largest: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.bool_], tuple[BadItem, ...]]:
    items = labels["item"].to_pylist()
    prompts = labels["prompt_id"].to_pylist()
    models = labels["model"].to_pylist()
    seeds = labels["seed"].to_pylist()
    keep = np.ones(len(labels), dtype=bool)
    bad: list[BadItem] = []
    seen: dict[tuple[str, str, str], str] = {}
    for row, (item, prompt, model, seed) in enumerate(
        zip(items, prompts, models, seeds, strict=True)
    ):
        reason = None
        if prompt is None:
            reason = NO_PROMPT
        elif largest[row] > TOO_LARGE:
            reason = f"its embedding holds {largest[row]:.2g}, too large to be squared"
        elif model is not None:
            first = seen.setdefault((model, prompt, seed), item)
            if first is not item:
                reason = f"the same model, prompt and seed as {first}"
        if reason:
            keep[row] = False
            bad.append(BadItem(str(item), reason))
    return keep, tuple(bad)


def duplicate_groups(
    labels: pa.Table,
) -> tuple[Ints, tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Returns groups by equal bytes or equal thumbnails, and both kinds listed by item."""
    items = np.asarray(labels["item"].to_pylist(), dtype=object)
    exact = _codes(labels["image_id"])
    looks = _codes(labels["thumbnail"])
    duplicates = tuple(tuple(items[rows]) for rows in _repeated(exact))
    near = tuple(tuple(items[rows]) for rows in _repeated(looks) if len(np.unique(exact[rows])) > 1)
    if not duplicates and not near:
        return np.arange(len(labels)), duplicates, near
    count = len(labels)
    rows = np.concatenate([np.arange(count), np.arange(count)])
    columns = np.concatenate([exact, exact.max() + 1 + looks])
    size = count + int(columns.max()) + 1
    graph = coo_matrix((np.ones(len(rows)), (rows, count + columns)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return component[:count].astype(np.int64), duplicates, near


def _codes(column: pa.ChunkedArray) -> Ints:
    """Returns a code a value; a null is a value of its own, equal to no other."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    missing = np.asarray(column.is_null())
    codes = np.where(missing, -1, codes).astype(np.int64)
    codes[missing] = len(encoded.dictionary) + np.arange(int(missing.sum()))
    return codes


def _repeated(codes: Ints) -> list[Ints]:
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, codes[order][1:] != codes[order][:-1]])
    ends = np.r_[starts[1:], len(codes)]
    return [order[a:b] for a, b in zip(starts, ends, strict=True) if b - a > 1]
