"""Merging many small parts of a store into few, safely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whodrew.embed.files import remove, sync_folder
from whodrew.embed.parts import (
    LABELS,
    first_of_each,
    iter_batches,
    list_parts,
    read_labels,
    write_part,
)
from whodrew.embed.places import Place
from whodrew.embed.vectors import Matrix, list_matrix

#: Parts below this are merged, up to this: at 1,632 float32 numbers a row 190 MB.
FULL_ROWS: Final = 32_768


def compact(folder: Place) -> None:
    """Merges the small parts of a store, sorted by (image_id, path). Call it under the lock.

    Rows of one image_id get one vector: workers on a cluster do not know of each other's
    images, and may have encoded the same bytes twice. The merged part is written first and
    the small ones removed after, so that a crash in between leaves rows twice, never none:
    readers take one of each, and the next run removes the others.
    """
    files = list_parts(folder)
    if len(files) < 2:
        return
    labels = read_labels(files, LABELS.names)
    part = np.asarray(labels["part"])
    rows = np.bincount(part, minlength=len(files))
    small = [number for number in range(len(files)) if rows[number] < FULL_ROWS // 2]
    if len(small) < 2:
        return
    # of two equal rows, that in the larger part stays, for large parts are not rewritten
    rank = np.argsort(np.argsort(rows, kind="stable"), kind="stable")
    ranked = labels.set_column(
        labels.column_names.index("part"), "part", pa.array(rank[part].astype(np.int64))
    )
    keep = first_of_each(ranked)
    keep = keep[np.isin(part[keep], small)]
    source = np.arange(len(labels))
    source[keep] = _leaders(labels, keep)
    for group in _groups(keep, part, small):
        vectors = gather(files, labels.take(pa.array(source[group])))
        _merge(folder, labels.take(pa.array(group)), vectors)
    remove(files[number] for number in small)
    sync_folder(folder)


def _leaders(labels: pa.Table, keep: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Chooses for each row to keep the row whose vector it gets: the first of its image_id.

    Args:
        labels: n rows with ``image_id``.
        keep: indices of the rows to keep, m of them, sorted by image_id and path.

    Returns:
        Indices (m,).
    """
    if len(keep) < 2:
        return keep
    named = labels["image_id"].take(pa.array(keep))
    begins = np.ones(len(keep), bool)
    begins[1:] = np.asarray(pc.not_equal(named.slice(1), named.slice(0, len(keep) - 1)))
    first: npt.NDArray[np.int64] = keep[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    return first


def _groups(
    keep: npt.NDArray[np.int64], part: npt.NDArray[np.int64], small: list[int]
) -> list[npt.NDArray[np.int64]]:
    """Splits the rows to keep, by whole parts, into groups of at most about a full part."""
    groups: list[npt.NDArray[np.int64]] = []
    members: list[int] = []
    kept = np.bincount(part[keep], minlength=int(part.max()) + 1)
    held = 0
    for number in small:
        if members and held + kept[number] > FULL_ROWS:
            groups.append(keep[np.isin(part[keep], members)])
            members, held = [], 0
        members.append(number)
        held += int(kept[number])
    groups.append(keep[np.isin(part[keep], members)])
    return [group for group in groups if len(group)]


def _merge(folder: Place, labels: pa.Table, matrix: Matrix) -> None:
    run = max((value for value in labels["run"].to_pylist() if value is not None), default=0)
    write_part(folder, labels.select(LABELS.names).cast(LABELS), matrix, run=run)


def gather(files: Sequence[Place], labels: pa.Table) -> Matrix:
    """Reads the vectors of given rows of our own parts.

    Args:
        files: parts.
        labels: n rows with ``part`` (index into ``files``) and ``at``.

    Returns:
        Array (n, d), in the order of ``labels``.
    """
    part, at = np.asarray(labels["part"]), np.asarray(labels["at"])
    out: Matrix | None = None
    for number in np.unique(part):
        wanted = np.flatnonzero(part == number)
        wanted = wanted[np.argsort(at[wanted])]
        places = at[wanted]
        for start, chunk in iter_batches(files[number]):
            low, high = np.searchsorted(places, [start, start + len(chunk)])
            if low == high:
                continue
            matrix, _ = list_matrix(chunk, str(files[number]))
            if out is None:
                out = np.empty((len(part), matrix.shape[1]), matrix.dtype)
            out[wanted[low:high]] = matrix[places[low:high] - start]
    if out is None:
        return np.zeros((0, 0), np.float32)
    return out
