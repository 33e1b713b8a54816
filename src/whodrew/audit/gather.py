"""From a table of embeddings to samples: labels checked, duplicates grouped, rows counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.audit.codes import Arranged, Book, Codes, Kinds, arrange, digests
from whodrew.audit.duplicates import COLUMNS, candidates, duplicate_groups, groups_among
from whodrew.audit.gathered import LABELS, Gathered, shared_groups
from whodrew.audit.spill import HeldTexts
from whodrew.embed import embedding_matrix
from whodrew.embed.reading import largest_of, surely_usable
from whodrew.embed.shelf import Rows, single
from whodrew.embed.vectors import list_matrix
from whodrew.encoders.base import EncoderCard
from whodrew.errors import InputError
from whodrew.identify.samples import NOT_KNOWN, Ints

__all__ = ["LABELS", "Gathered", "duplicate_groups", "gather", "shared_groups"]

TOO_LARGE = 1e15
NO_PROMPT = "no prompt_id"
CONTAINER = ("width", "height", "format", "thumbnail")
_CODED = ("model", "prompt_id", "width", "height", "format")
_AT_ONCE = 4096


def gather(table: pa.Table, card: EncoderCard) -> Gathered:
    """Checks labels, groups duplicates and splits off the vectors.

    Args:
        table: rows of a store, with labels; vectors in ``embedding``.
        card: the encoder.

    Raises:
        InputError: no row has a prompt.
    """
    matrix = _matrix(table)
    large: dict[int, float] = {}
    if not surely_usable(matrix, TOO_LARGE):
        largest = largest_of(matrix)
        large = {row: float(largest[row]) for row in np.flatnonzero(largest > TOO_LARGE).tolist()}
    return gather_labels(table, card, large, lambda rows: _ordered(matrix, rows))


def gather_labels(
    table: pa.Table,
    card: EncoderCard,
    large: Mapping[int, float],
    vectors: Callable[[Ints], Rows],
) -> Gathered:
    """Checks labels and groups duplicates of rows whose vectors lie elsewhere.

    Args:
        table: rows of a store, with labels.
        card: the encoder.
        large: row to the largest number of its vector, where that cannot be squared.
        vectors: called once, with the rows that can be used in the order of samples; returns
            their vectors.

    Raises:
        InputError: no row has a prompt.
    """
    labels = _labels(table)
    books = Book(), Book()
    prompts, prompt = books[0].sorted(books[0].add(labels["prompt_id"]))
    models, model = books[1].sorted(books[1].add(labels["model"]))
    kinds = Kinds()
    kind = kinds.add(labels)
    reasons = dict.fromkeys(np.flatnonzero(prompt == NOT_KNOWN).tolist(), NO_PROMPT)
    for row, value in large.items():
        reasons.setdefault(row, too_large(value))
    usable = np.ones(len(labels), dtype=bool)
    usable[list(reasons)] = False
    arranged = arrange(labels, prompt, model, usable)
    bad = _bad(labels, reasons, arranged)
    rows = arranged.rows
    if len(rows) == 0:
        refuse(bad)
    texts = labels.select([name for name in labels.column_names if name not in _CODED])
    texts = texts.take(pa.array(rows))
    found = candidates(digests(texts["image_id"]), digests(texts["thumbnail"]))
    found = found[np.argsort(rows[found])]  # listed as in the table
    group, duplicates, near = groups_among(
        len(rows), found, texts.select(list(COLUMNS)).take(pa.array(found))
    )
    prompts, prompt = occurring(prompts, prompt[rows])
    models, model = occurring(models, model[rows])
    return Gathered(
        card=card,
        vectors=vectors(rows),
        stored=HeldTexts(texts),
        prompt=prompt,
        model=model,
        kind=kind[rows],
        prompts=prompts,
        models=models,
        kinds=kinds.names,
        rank=arranged.rank,
        seed=digests(texts["seed"]),
        group=group,
        duplicates=duplicates,
        near_duplicates=near,
        bad=bad,
    )


def occurring(names: tuple[str, ...], codes: Codes) -> tuple[tuple[str, ...], Codes]:
    """Returns the names that are left, and their codes."""
    there = np.bincount(codes + 1, minlength=len(names) + 1)[1:] > 0
    if there.all():
        return names, codes
    table = np.append(np.cumsum(there) - 1, NOT_KNOWN).astype(np.int32)
    left = tuple(name for name, is_there in zip(names, there.tolist(), strict=True) if is_there)
    return left, table[codes]


def too_large(value: float) -> str:
    """Says why a vector cannot be used."""
    return f"its embedding holds {value:.2g}, too large to be squared"


def refuse(bad: Sequence[BadItem]) -> None:
    """Says why no row is left.

    Raises:
        InputError: always.
    """
    if bad and bad[0].reason != NO_PROMPT:
        raise InputError(
            f"no embedding can be used, {len(bad)} are bad, the first: "
            f"{bad[0].item}: {bad[0].reason}"
        )
    raise InputError(
        "no embedding has a prompt_id: add the columns prompt_id and model to the store, "
        "or give the arena of images it was made from"
    )


def again(first: str) -> str:
    """Says why a generation that was given twice is left out."""
    return f"the same model, prompt and seed as {first}"


def _bad(labels: pa.Table, reasons: Mapping[int, str], arranged: Arranged) -> tuple[BadItem, ...]:
    named = labels["item"].take(pa.array(arranged.earlier)).to_pylist()
    twice = zip(arranged.later.tolist(), map(again, named), strict=True)
    rows = sorted({**reasons, **dict(twice)}.items())
    items = labels["item"].take(pa.array([row for row, _ in rows], pa.int64())).to_pylist()
    return tuple(BadItem(str(item), why) for item, (_, why) in zip(items, rows, strict=True))


def _labels(table: pa.Table) -> pa.Table:
    columns = {}
    for name in (*LABELS, *CONTAINER):
        if name in table.column_names:
            columns[name] = table[name]
        elif name == "item":
            columns[name] = table["path"]
        else:
            kind = pa.int32() if name in ("width", "height") else pa.string()
            columns[name] = pa.nulls(len(table), kind)
    return pa.table(columns)


def _matrix(table: pa.Table) -> npt.NDArray[Any]:
    """Returns the vectors as they lie in memory, where they lie in one piece."""
    column = table["embedding"] if "embedding" in table.column_names else None
    if column is None or column.num_chunks != 1 or column.null_count:
        return embedding_matrix(table)
    return list_matrix(column.chunk(0), "column 'embedding'")[0]


def _ordered(matrix: npt.NDArray[Any], rows: Ints) -> npt.NDArray[np.float32]:
    out = np.empty((len(rows), matrix.shape[1]), np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        single(matrix[rows[part]], out[part])
    return out
