"""Images that are the same: equal bytes, or equal thumbnails."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from whodrew.audit.codes import Digests, digests, repeated
from whodrew.identify.samples import Ints

Lists = tuple[tuple[str, ...], ...]
COLUMNS = ("item", "image_id", "thumbnail")


def duplicate_groups(labels: pa.Table) -> tuple[Ints, Lists, Lists]:
    """Returns groups by equal bytes or equal thumbnails, and both kinds listed by item.

    Args:
        labels: N rows with item, image_id and thumbnail; a null equals nothing.

    Returns:
        (N,) a number that duplicates share, the first row's; items that are byte for byte
        the same; items of equal thumbnails that are not.
    """
    rows = candidates(digests(labels["image_id"]), digests(labels["thumbnail"]))
    return groups_among(len(labels), rows, labels.select(list(COLUMNS)).take(pa.array(rows)))


def candidates(ids: Digests, looks: Digests) -> npt.NDArray[np.int64]:
    """Returns the rows whose image_id or thumbnail may be another's too, by their hashes."""
    return np.flatnonzero(repeated(ids) | repeated(looks))


def groups_among(count: int, rows: Ints, labels: pa.Table) -> tuple[Ints, Lists, Lists]:
    """Returns the groups of ``count`` rows of which only some can have duplicates.

    Args:
        count: N.
        rows: (n,) those rows, in the order in which they are to be listed.
        labels: their item, image_id and thumbnail.

    Returns:
        As ``duplicate_groups``.
    """
    kind = np.int32 if count < 1 << 31 else np.int64
    group: Ints = np.arange(count, dtype=kind)
    if len(rows) == 0:
        return group, (), ()
    items = np.asarray(labels["item"].to_pylist(), dtype=object)
    exact, looks = _codes(labels["image_id"]), _codes(labels["thumbnail"])
    duplicates = tuple(tuple(items[same]) for same in _repeated(exact))
    near = tuple(tuple(items[same]) for same in _repeated(looks) if len(set(exact[same])) > 1)
    here = np.arange(len(rows))
    ends = np.concatenate([exact, exact.max() + 1 + looks])
    size = len(rows) + int(ends.max()) + 1
    edges = np.ones(2 * len(rows)), (np.concatenate([here, here]), len(rows) + ends)
    graph = coo_matrix(edges, shape=(size, size))
    _, component = connected_components(graph, directed=False)
    first = np.full(size, count, dtype=np.int64)
    np.minimum.at(first, component[: len(rows)], rows)
    group[rows] = first[component[: len(rows)]]
    return group, duplicates, near


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Returns a code a value; a null is a value of its own, equal to no other."""
    encoded = column.combine_chunks().dictionary_encode()
    missing = np.asarray(column.is_null())
    codes = np.asarray(encoded.indices.fill_null(-1)).astype(np.int64)
    codes[missing] = len(encoded.dictionary) + np.arange(int(missing.sum()))
    return codes


def _repeated(codes: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Returns the rows of each code that occurs twice or more."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, codes[order][1:] != codes[order][:-1]])
    ends = np.r_[starts[1:], len(codes)]
    return [order[a:b] for a, b in zip(starts, ends, strict=True) if b - a > 1]
