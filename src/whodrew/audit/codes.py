"""Labels as numbers: codes, digests, and the order in which samples stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
NOT_KNOWN = -1
#: What a null seed is ordered as.
NO_SEED = "None"
_SMALL = np.uint64(0x9E3779B97F4A7C15)
_LARGE = np.uint64(0xC2B2AE3D27D4EB4F)
_AT_ONCE = 1 << 22


class Book:
    """Names met so far and their codes, in the order in which they were met."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def add(self, column: pa.ChunkedArray) -> Codes:
        """Returns the code of each value of a text column, -1 for nulls."""
        encoded = column.combine_chunks().dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = [self._codes.setdefault(name, len(self._codes)) for name in names]
        table = np.array([*codes, NOT_KNOWN], dtype=np.int32)
        indices = pc.fill_null(encoded.indices, len(names))
        return np.asarray(table[indices.to_numpy(zero_copy_only=False)])

    def sorted(self, codes: Codes) -> tuple[tuple[str, ...], Codes]:
        """Returns the names in order, and codes (changed in place) that count in that order."""
        names = sorted(self._codes)
        table = np.full(len(names) + 1, NOT_KNOWN, dtype=np.int32)
        table[[self._codes[name] for name in names]] = np.arange(len(names))
        return tuple(names), np.take(table, codes, out=codes, mode="wrap")


Kind = tuple[str | None, int | None, int | None]


class Kinds:
    """Containers met so far, (format, width, height), and their codes."""

    def __init__(self) -> None:
        self._codes: dict[Kind, int] = {}

    @property
    def names(self) -> tuple[Kind, ...]:
        """Those met, by code."""
        return tuple(self._codes)

    def add(self, table: pa.Table) -> Codes:
        """Returns the code of each row of a table with format, width and height."""
        columns = [table[name].combine_chunks() for name in ("format", "width", "height")]
        if all(column.null_count == len(column) for column in columns):
            code = self._codes.setdefault((None, None, None), len(self._codes))
            return np.full(len(table), code, dtype=np.int32)
        joint = np.zeros(len(table), dtype=np.int64)
        for column in columns:
            encoded = column.dictionary_encode()
            codes = pc.fill_null(encoded.indices, len(encoded.dictionary))
            joint = joint * (len(encoded.dictionary) + 1) + codes.to_numpy(zero_copy_only=False)
        _, first, inverse = np.unique(joint, return_index=True, return_inverse=True)
        rows = pa.array(first)
        found = zip(*(column.take(rows).to_pylist() for column in columns), strict=True)
        known = [self._codes.setdefault(kind, len(self._codes)) for kind in found]
        return np.array(known, dtype=np.int32)[inverse]


def digests(column: pa.ChunkedArray) -> Digests:
    """Returns a 64-bit hash of each text of a column, 0 for nulls: the same in every run.

    Equal texts have equal hashes; unequal ones all but surely different ones, so that what
    rests on equality compares the few texts whose hashes meet.
    """
    array = column.combine_chunks().cast(pa.large_binary())
    count = len(array)
    if array.null_count == count:
        return np.zeros(count, dtype=np.uint64)
    _, offsets, values = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + count + 1]
    bytes_ = np.frombuffer(values, np.uint8) if values is not None else np.empty(0, np.uint8)
    starts, lengths = bounds[:-1], np.diff(bounds)
    out = np.empty(count, dtype=np.uint64)
    order = np.argsort(lengths, kind="stable")
    sizes, first = np.unique(lengths[order], return_index=True)
    for size, low, high in zip(sizes.tolist(), first, [*first[1:], count], strict=True):
        step = max(_AT_ONCE // max(size, 1), 1)
        for start in range(low, high, step):
            rows = order[start : min(start + step, high)]
            padded = np.zeros((len(rows), (size + 7) // 8 * 8), dtype=np.uint8)
            if len(rows) == count:  # all of one length lie end to end
                padded[:, :size] = bytes_[bounds[0] : bounds[-1]].reshape(count, size)
            else:
                padded[:, :size] = bytes_[starts[rows, None] + np.arange(size)]
            out[rows] = _mixed(padded.view(np.uint64), size)
    out[out == 0] = 1
    if array.null_count:
        out[np.asarray(array.is_null())] = 0
    return out


def _mixed(words: npt.NDArray[np.uint64], size: int) -> Digests:
    """Returns a hash of each row (n, words); multiply and fold, as fast hashes do."""
    state = np.full(len(words), _LARGE ^ np.uint64(size), dtype=np.uint64)
    for word in words.T:
        state = (state ^ word) * _SMALL
        state ^= state >> np.uint64(29)
    state *= _LARGE
    return np.asarray(state ^ (state >> np.uint64(32)))


def repeated(values: Digests) -> Mask:
    """Returns (n,) true where a value other than 0 occurs more than once."""
    ordered = np.sort(values)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    twice = twice[twice != 0]
    if len(twice) == 0:
        return np.zeros(len(values), dtype=bool)
    at = np.searchsorted(twice, values)
    return np.asarray(twice[np.minimum(at, len(twice) - 1)] == values)


def by_identity(table: pa.Table) -> pa.Table:
    """Returns a table in the order of image_id and path, as stores are read."""
    keys = [table[name].combine_chunks() for name in ("image_id", "path")]
    if len(table) < 2 or bool(pc.all(_after(keys[0], pc.greater)).as_py()):
        return table
    order = pc.sort_indices(
        pa.table(keys, names=["0", "1"]), sort_keys=[("0", "ascending"), ("1", "ascending")]
    )
    return table.take(order)


def _after(array: pa.Array, compare: Any) -> pa.Array:
    """Compares each value but the first with the one before it."""
    return pc.fill_null(compare(array.slice(1), array.slice(0, len(array) - 1)), False)


@dataclass(frozen=True)
class Arranged:
    """Rows of a table that can be used, in the order of samples.

    Attributes:
        rows: (n,) rows of the table, by prompt, model, seed, and else as in the table.
        rank: (n,) place of each image_id among those of its prompt; equal ids share one.
        later: (r,) rows left out, for an earlier one has the same model, prompt and seed.
        earlier: (r,) that one.
    """

    rows: npt.NDArray[np.int64]
    rank: Codes
    later: npt.NDArray[np.int64]
    earlier: npt.NDArray[np.int64]


def arrange(table: pa.Table, prompt: Codes, model: Codes, usable: Mask) -> Arranged:
    """Puts rows in the order of samples and finds generations that were given twice.

    Args:
        table: N rows with image_id and seed.
        prompt: (N,) codes that count in the order of names.
        model: (N,) the same, -1 where the model is not known.
        usable: (N,) false for rows to leave out.
    """
    seed = _ranks(table["seed"].combine_chunks())
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((seed[rows], model[rows], prompt[rows]))]
    again = np.zeros(len(rows), dtype=bool)
    again[1:] = (model[rows[1:]] != NOT_KNOWN) & np.logical_and.reduce(
        [column[rows[1:]] == column[rows[:-1]] for column in (prompt, model, seed)]
    )
    runs = np.maximum.accumulate(np.where(again, 0, np.arange(len(rows))))
    kept = rows[~again]
    ids = _dense(table["image_id"].combine_chunks())
    rank = _within(prompt[kept], ids[kept])
    return Arranged(kept, rank, rows[again], rows[runs[again]])


def _ranks(column: pa.Array) -> npt.NDArray[np.int64]:
    """Returns a number a text that orders as the texts do; nulls just after ``NO_SEED``."""
    encoded = column.dictionary_encode()
    names = encoded.dictionary
    table = np.empty(len(names) + 1, dtype=np.int64)
    table[np.asarray(pc.sort_indices(names))] = 2 * np.arange(len(names))
    table[-1] = 2 * (pc.sum(pc.less_equal(names, NO_SEED)).as_py() or 0) - 1
    indices = pc.fill_null(encoded.indices, len(names))
    return np.asarray(table[indices.to_numpy(zero_copy_only=False)])


def _dense(ids: pa.Array) -> npt.NDArray[np.int64]:
    """Returns a number an id that orders as the ids do; nulls first."""
    ids = pc.fill_null(ids, "")
    if len(ids) and bool(pc.all(_after(ids, pc.greater_equal)).as_py() is not False):
        new = np.asarray(_after(ids, pc.not_equal))
        return np.concatenate([[0], np.cumsum(new)]).astype(np.int64)
    return pc.rank(ids, tiebreaker="dense").to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _within(group: Codes, value: npt.NDArray[np.int64]) -> Codes:
    """Returns the dense rank of each value within its group; groups ascend."""
    order = np.lexsort((value, group))
    groups, values = group[order], value[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (groups[1:] != groups[:-1]) | (values[1:] != values[:-1])
    count = np.cumsum(fresh) - 1
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]][: len(groups)])
    base = np.repeat(count[starts], np.diff(np.r_[starts, len(groups)]))
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = count - base
    return rank
