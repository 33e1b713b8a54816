"""Which images stand behind each cell of a confusion matrix, and which are worth showing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whodrew.report.figures import number
from whodrew.report.thumbs import Wanted
from whodrew.report.values import column

PER_CELL = 12
#: Images of each prompt among which they are chosen, where there are very many.
PER_PROMPT = 2
Pair = tuple[str, str]


@dataclass(frozen=True)
class Shown:
    """One image of a cell."""

    image_id: str
    path: str
    prompt_id: str
    seed: str
    probability: float | None


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix with images.

    Attributes:
        counts: queries by (truth, answer); zeros are left out.
        cells: up to ``PER_CELL`` images by (truth, answer).
    """

    counts: dict[Pair, int]
    cells: dict[Pair, list[Shown]] = field(default_factory=dict)


def read_confusion(table: pa.Table | None) -> dict[Pair, int]:
    """Counts by (truth, answer) from a table ``truth, answer, count``."""
    if table is None:
        return {}
    counts: dict[Pair, int] = {}
    rows = zip(*(column(table, name) for name in ("truth", "answer", "count")), strict=True)
    for truth, answer, many in rows:
        amount = number(many)
        if truth is not None and answer is not None and amount:
            pair = (str(truth), str(answer))
            counts[pair] = counts.get(pair, 0) + int(amount)
    return counts


def pick_images(
    table: pa.Table | None, models: Set[str], preferred: Set[str]
) -> dict[Pair, list[Shown]]:
    """Up to ``PER_CELL`` images of each cell: those shown elsewhere first, then the surest.

    Args:
        table: columns ``image_id, path, prompt_id, model, seed, answer, probability``.
        models: truths and answers outside of these are left out.
        preferred: image ids that the page shows anyway.
    """
    if table is None or table.num_rows == 0:
        return {}
    truth, truths = _codes(table, "model")
    answer, answers = _codes(table, "answer")
    if not truths or not answers:
        return {}
    known = np.isin(truth, [i for i, name in enumerate(truths) if name in models])
    known &= np.isin(answer, [i for i, name in enumerate(answers) if name in models])
    sure = np.full(table.num_rows, -1.0)
    if "probability" in table.column_names:
        values = pc.cast(table.column("probability"), pa.float64())
        sure = pc.fill_null(values, -1.0).to_numpy()
    elsewhere = pc.is_in(
        table.column("image_id"), value_set=pa.array(sorted(preferred), pa.string())
    )
    cell = truth.astype(np.int64) * len(answers) + answer
    order = np.lexsort((-sure, ~elsewhere.to_numpy(zero_copy_only=False), cell))
    order = order[known[order]]
    kept = order[_place(cell[order]) < PER_CELL]
    return _rows(table.take(pa.array(kept)))


def first_of_cells(table: pa.Table) -> pa.Table:
    """Returns the first ``PER_PROMPT`` rows of each prompt, model and answer, in order.

    Args:
        table: some of the columns ``prompt_id, model, answer``, and whatever else.
    """
    cell = np.zeros(table.num_rows, dtype=np.int64)
    for name in ("prompt_id", "model", "answer"):
        codes, names = _codes(table, name)
        cell = cell * max(len(names), 1) + codes
    order = np.argsort(cell, kind="stable")
    kept = np.sort(order[_place(cell[order]) < PER_PROMPT])
    return table.take(pa.array(kept))


def wanted_images(confusion: Confusion, first: int = 0, last: int = PER_CELL) -> list[Wanted]:
    """Images of a matrix in order of interest: common mistakes first, then right answers.

    Args:
        confusion: the matrix.
        first: position within a cell of the first image wanted.
        last: position after the last.
    """
    ranked = sorted(
        confusion.cells,
        key=lambda pair: (pair[0] == pair[1], -confusion.counts.get(pair, 0), pair),
    )
    return [
        Wanted(shown.image_id, shown.path)
        for place in range(first, last)
        for pair in ranked
        for shown in confusion.cells[pair][place : place + 1]
        if shown.path
    ]


def _codes(table: pa.Table, name: str) -> tuple[np.ndarray[Any, Any], list[str]]:
    if name not in table.column_names:
        return np.zeros(table.num_rows, dtype=np.int64), []
    encoded = pc.fill_null(pc.cast(table.column(name), pa.string()), "").combine_chunks()
    encoded = encoded.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _place(cell: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the position within its run of each of some sorted cells."""
    starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]][: len(cell)])
    lengths = np.diff(np.r_[starts, len(cell)])
    return np.arange(len(cell)) - np.repeat(starts, lengths)


def _rows(table: pa.Table) -> dict[Pair, list[Shown]]:
    cells: dict[Pair, list[Shown]] = {}
    names = ("model", "answer", "image_id", "path", "prompt_id", "seed", "probability")
    for model, answer, image_id, path, prompt_id, seed, probability in zip(
        *(column(table, name) for name in names), strict=True
    ):
        shown = Shown(
            image_id=str(image_id),
            path=str(path) if path else "",
            prompt_id=str(prompt_id) if prompt_id is not None else "",
            seed=str(seed) if seed is not None else "",
            probability=number(probability),
        )
        cells.setdefault((str(model), str(answer)), []).append(shown)
    return cells


def most_confused(
    counts: Mapping[Pair, int], models: Sequence[str]
) -> tuple[str, str, float] | None:
    """The model most often taken for one other: truth, answer, share of its queries."""
    totals: dict[str, int] = {}
    for (truth, _), many in counts.items():
        totals[truth] = totals.get(truth, 0) + many
    best: tuple[float, str, str] | None = None
    known = set(models)
    for (truth, answer), many in sorted(counts.items()):
        if truth != answer and answer in known:
            share = many / totals[truth]
            if best is None or share > best[0]:
                best = (share, truth, answer)
    return None if best is None else (best[1], best[2], best[0])
