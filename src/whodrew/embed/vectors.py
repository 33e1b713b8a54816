"""Embedding columns as matrices, whatever kind of list they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whodrew.errors import InputError

Matrix = npt.NDArray[Any]


def embedding_matrix(table: pa.Table, column: str = "embedding") -> npt.NDArray[np.float32]:
    """Returns the embeddings of a table as a matrix.

    Args:
        table: n rows, with a fixed-size-list column of float16 or float32.
        column: its name.

    Returns:
        Array (n, d) of float32: a read-only view of the table's own memory where that is
        float32 in one chunk, as ``Store.table`` gives it; a copy otherwise.

    Raises:
        InputError: the column is missing, holds nulls, or is no list of numbers.
    """
    if column not in table.column_names:
        raise InputError(f"no column {column!r} among {', '.join(table.column_names)}")
    chunked = table[column]
    if chunked.null_count:
        raise InputError(f"column {column!r} holds {chunked.null_count} nulls")
    chunks = [list_matrix(chunk, f"column {column!r}")[0] for chunk in chunked.chunks]
    if len(chunks) == 1:
        return chunks[0].astype(np.float32, copy=False)
    width = list_width(chunked, f"column {column!r}") or 0
    out = np.empty((len(chunked), width), np.float32)
    at = 0
    for chunk in chunks:
        out[at : at + len(chunk)] = chunk
        at += len(chunk)
    return out


def embedding_array(matrix: Matrix) -> pa.FixedSizeListArray:
    """Wraps a matrix (n, d) of float16 or float32 as a list column, without a copy."""
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def is_vector_type(kind: pa.DataType) -> bool:
    """Tells whether a column of this type can hold embeddings."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(
        (lists or pa.types.is_fixed_size_list(kind)) and pa.types.is_floating(kind.value_type)
    )


def element_dtype(kind: pa.DataType) -> np.dtype[Any]:
    """Returns what a matrix of such a column is kept as: float16 as it is, else float32."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return np.dtype(np.float16 if pa.types.is_float16(kind.value_type) else np.float32)


def list_width(column: pa.ChunkedArray, where: str) -> int | None:
    """Returns the length of the first vector that is there, ``None`` where there is none."""
    for chunk in column.chunks:
        array = _storage(chunk, where)
        if pa.types.is_fixed_size_list(array.type):
            return int(array.type.list_size)
        lengths = pc.drop_null(pc.list_value_length(array))
        if len(lengths):
            return int(lengths[0].as_py())
    return None


def list_matrix(
    array: pa.Array, where: str, width: int | None = None, first_row: int = 0
) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Turns one chunk of lists into a matrix.

    Args:
        array: n lists of float16, float32 or float64; nulls allowed.
        where: the file, for messages.
        width: length that every list must have; ``None`` takes the first list's.
        first_row: number of the chunk's first row in the file, for messages.

    Returns:
        Array (n, d), float16 or float32, a view where it can be; and a mask (n,) that is
        true where the list is null (its values are then arbitrary).

    Raises:
        InputError: no list of numbers, or a list of another length; the row is named.
    """
    array = _storage(array, where)
    absent = np.asarray(array.is_null())
    dtype = element_dtype(array.type)
    if pa.types.is_fixed_size_list(array.type):
        found = int(array.type.list_size)
        if width is not None and found != width:
            raise InputError(f"{where}: embeddings have length {found}, others {width}")
        values = array.values.slice(array.offset * found, len(array) * found)
        return _numbers(values, dtype).reshape(len(array), found), absent
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0))
    if width is None:
        width = int(lengths[~absent][0]) if not absent.all() else 0
    odd = np.flatnonzero((lengths != width) & ~absent)
    if len(odd):
        raise InputError(
            f"{where}, row {first_row + int(odd[0])}: the embedding has length "
            f"{int(lengths[odd[0]])}, others {width}"
        )
    values = _numbers(array.flatten(), dtype).reshape(-1, width)  # flatten leaves nulls out
    if not absent.any():
        return values, absent
    out = np.zeros((len(array), width), dtype)
    out[~absent] = values
    return out, absent


def _storage(array: pa.Array, where: str) -> pa.Array:
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if not is_vector_type(array.type):
        raise InputError(
            f"{where}: the embedding is {array.type}, must be a list of float16, float32 or float64"
        )
    return array


def _numbers(values: pa.Array, dtype: np.dtype[Any]) -> Matrix:
    # a null among the numbers becomes NaN, and is found as such
    with np.errstate(over="ignore"):
        return np.asarray(values.to_numpy(zero_copy_only=False)).astype(dtype, copy=False)
