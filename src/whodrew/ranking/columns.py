"""Columns of vote logs as codes and numbers, without a loop over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whodrew.ranking.formats import (
    FIRST,
    LABELS,
    MISSING,
    PREFERENCES,
    SECOND,
    TIE,
    UNKNOWN,
)

Ints = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]


def texts_of(column: pa.ChunkedArray) -> tuple[Ints, list[str | None]]:
    """Returns (n,) places in the list of distinct texts, -1 for null; blank texts are null."""
    if not pa.types.is_dictionary(column.type):
        if not pa.types.is_string(column.type):
            try:
                column = column.cast(pa.string())
            except pa.ArrowException:
                column = pa.chunked_array([pa.array([str(one) for one in column.to_pylist()])])
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    names = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    found = arrays_of(column_indices(column), -1).astype(np.int32)
    names = [None if name is None or not str(name).strip() else str(name) for name in names]
    return found, names


def column_indices(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns the places in the dictionary, as int32."""
    chunks = [chunk.indices.cast(pa.int32()) for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.int32())


def arrays_of(column: pa.ChunkedArray, missing: float) -> npt.NDArray[Any]:
    """Returns numbers as NumPy has them, nulls as ``missing``.

    Neither ``to_numpy`` nor ``fill_null``: they load pandas where that is installed, which
    takes half a second.
    """
    parts = [_array(chunk, missing) for chunk in column.chunks if len(chunk)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _array(chunk: pa.Array, missing: float) -> npt.NDArray[Any]:
    if chunk.null_count == 0:
        return np.from_dlpack(chunk)
    valid = np.from_dlpack(chunk.is_valid().cast(pa.uint8())).astype(bool)
    if not valid.any():
        return np.full(len(chunk), missing)
    bare = pa.Array.from_buffers(
        chunk.type, len(chunk), [None, chunk.buffers()[1]], offset=chunk.offset
    )
    return np.where(valid, np.from_dlpack(bare), np.asarray(missing))


def recode(codes: Ints, values: Sequence[int], missing: int) -> Ints:
    """Returns values of codes; -1 becomes ``missing``."""
    return np.array([*values, missing], dtype=np.int32)[codes]


def models_of(table: pa.Table, used: Mapping[str, str]) -> tuple[tuple[str, ...], Ints, Ints]:
    """Returns the names of models, sorted, and (n,) codes of both sides, -1 where missing."""
    sides = [texts_of(table[used[name]]) for name in ("model_a", "model_b")]
    models = tuple(sorted({name for _, names in sides for name in names if name is not None}))
    place = {name: code for code, name in enumerate(models)}
    first, second = (
        recode(codes, [-1 if name is None else place[name] for name in names], -1)
        for codes, names in sides
    )
    return models, first, second


def outcomes_of(
    table: pa.Table, used: Mapping[str, str], models: tuple[str, ...], first: Ints, second: Ints
) -> tuple[npt.NDArray[np.int8], Doubles | None, pa.ChunkedArray | None]:
    """Returns outcomes, amounts where battles hold several votes, and the labels as written."""
    if "votes_a" in used:
        pair = np.stack([numbers_of(table[used[name]]) for name in ("votes_a", "votes_b")], axis=1)
        amounts = np.concatenate([pair, np.zeros((len(pair), 1))], axis=1)
        outcome = np.where(pair[:, 0] > pair[:, 1], FIRST, SECOND)
        outcome = np.where(pair[:, 0] == pair[:, 1], TIE, outcome)
        return outcome.astype(np.int8), amounts, None
    if "preference" in used:
        raw = table[used["preference"]]
        numbers = numbers_of(raw)
        outcome = np.full(len(numbers), UNKNOWN, dtype=np.int8)
        for value, code in PREFERENCES.items():
            outcome[numbers == value] = code
        nulls = pc.is_null(raw, nan_is_null=pa.types.is_floating(raw.type)).cast(pa.uint8())
        outcome[arrays_of(nulls, 0).astype(bool)] = MISSING
    else:
        raw = table[used["winner"]]
        codes, names = texts_of(raw)
        known = [MISSING if one is None else LABELS.get(plain(one), UNKNOWN) for one in names]
        outcome = recode(codes, known, MISSING).astype(np.int8)
        # some logs name the winner itself
        place = {name: code for code, name in enumerate(models)}
        if any(code == UNKNOWN and one in place for one, code in zip(names, known, strict=True)):
            who = recode(codes, [place.get(str(one), -2) for one in names], -2)
            unknown = outcome == UNKNOWN
            outcome[unknown & (who == first)] = FIRST
            outcome[unknown & (who == second)] = SECOND
    if "weight" not in used:
        return outcome, None, raw
    weight = numbers_of(table[used["weight"]])
    amounts = np.zeros((len(outcome), 3))
    amounts[np.arange(len(outcome)), np.minimum(outcome, 2)] = weight
    return outcome, amounts, raw


def plain(label: str) -> str:
    """Returns a label as labels are compared."""
    return label.strip().casefold()


def numbers_of(column: pa.ChunkedArray) -> Doubles:
    """Returns numbers, NaN for what is none."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    try:
        column = column.cast(pa.float64())
    except pa.ArrowException:
        return np.array([_number(one) for one in column.to_pylist()])
    return arrays_of(column, np.nan).astype(np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def codes_of(table: pa.Table, name: str | None) -> tuple[Ints | None, tuple[str, ...]]:
    """Returns (n,) codes, -1 where missing, and the names they stand for."""
    if name is None:
        return None, ()
    codes, names = texts_of(table[name])
    known = [one for one in names if one is not None]
    place = {one: code for code, one in enumerate(known)}
    values = [-1 if one is None else place[one] for one in names]
    return recode(codes, values, -1), tuple(known)


def times_of(table: pa.Table, name: str | None, notes: list[str]) -> Doubles | None:
    """Returns (n,) seconds, NaN where unknown, or ``None`` where none can be read."""
    if name is None:
        return None
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    if pa.types.is_string(column.type):
        numbers = numbers_of(column)
        if np.isfinite(numbers).any():
            return numbers
        try:
            column = column.cast(pa.timestamp("us"))
        except pa.ArrowException:
            try:
                column = column.cast(pa.timestamp("us", "UTC"))
            except pa.ArrowException:
                notes.append(f"column {name!r} holds no times that can be read: not used")
                return None
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
        return numbers_of(column) / 1e6
    return numbers_of(column)


def truth_of(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Returns (n,) whether a cell says true."""
    codes, names = texts_of(column)
    return recode(codes, [plain(one or "") in ("true", "1") for one in names], 0).astype(bool)
