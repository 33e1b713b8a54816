"""Vectors on disk in the order they are asked for: memory holds only what is being read.

A shelf is one flat file of rows. It is read with ``pread``, not mapped: pages of a mapped
file count as memory of the process, and stay. Threads may read it side by side.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from whodrew.embed.scratch import check_room, full
from whodrew.errors import InputError

Floats = npt.NDArray[np.float32]
Key = slice | npt.NDArray[Any]

_CHUNK: Final = 4096
#: Rows read for each one wanted, at most, to save calls.
_WASTE: Final = 4
_BLOCK: Final = 1 << 16


class Rows(Protocol):
    """N vectors that give up some of themselves as a float32 matrix; arrays are such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any:
        """Returns (n, D) float32 rows by a slice, an array of row numbers or a mask."""


def single(matrix: npt.NDArray[Any], out: Floats | None = None) -> Floats:
    """Returns a matrix (n, D) of finite float16 or float32 as float32, exactly.

    Half precision is widened by moving its bits, seven times as fast as numpy's ``astype``
    on processors without AVX-512.

    Args:
        matrix: the numbers. Infinite float16 and NaN come out as numbers.
        out: (n, D) to write to; a new array when not given, or ``matrix`` where it will do.
    """
    if matrix.dtype != np.float16:
        if out is None:
            return matrix.astype(np.float32, copy=False)
        out[...] = matrix
        return out
    if out is None:
        out = np.empty(matrix.shape, np.float32)
    step = max(_BLOCK // max(matrix.shape[1], 1), 1)  # what stays in the processor's cache
    bits, words = np.ascontiguousarray(matrix).view(np.int16), out.view(np.int32)
    for start in range(0, len(matrix), step):
        part = words[start : start + step]
        np.left_shift(bits[start : start + step], 13, out=part, dtype=np.int32)
        part &= np.int32(-0x70002000)  # sign, exponent and fraction, where float32 has them
        numbers = out[start : start + step]
        numbers *= np.float32(2.0**112)  # the exponents' biases differ by 127 - 15
    return out


class Shelf:
    """(N, D) vectors in a scratch file, written once and in any order, read by rows.

    The file has no name once it is open, and goes with the process however that ends;
    a shared one keeps its name until ``close``, the end of the process, or of the shelf.
    A shared shelf can be pickled, and is opened again from its file elsewhere.

    Args:
        file: the scratch file, raw rows.
        shape: N and D.
        dtype: float16 or float32, as it lies in the file.
        descriptor: of the open file.
        shared: whether the file has a name, for other processes.
    """

    def __init__(
        self, file: Path, shape: tuple[int, int], dtype: Any, descriptor: int, *, shared: bool
    ) -> None:
        self.file = file
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.shared = shared
        self._descriptor = descriptor
        self._close: Callable[[], object] = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def create(
        cls, folder: Path, shape: tuple[int, int], dtype: Any, *, shared: bool = False
    ) -> Shelf:
        """Makes an empty shelf, to be filled with ``write``.

        Args:
            folder: where the file is to lie.
            shape: N and D.
            dtype: float16 or float32.
            shared: keep the name, so that other processes can open it.

        Raises:
            InputError: there is no room, or the folder cannot be written.
        """
        dtype = np.dtype(dtype)
        size = shape[0] * shape[1] * dtype.itemsize
        check_room(folder, size)
        try:
            descriptor, name = tempfile.mkstemp(".tmp", ".whodrew-shelf-", folder)
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
        shelf = cls(Path(name), shape, dtype, descriptor, shared=shared)
        try:
            if shared:
                shelf._close = weakref.finalize(
                    shelf, _remove, shelf._close, shelf.file, os.getpid()
                )
            else:
                shelf.file.unlink()
            os.ftruncate(descriptor, size)
        except OSError as error:
            shelf.close()
            raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
        return shelf

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return self.shape[0] * self._row

    @property
    def _row(self) -> int:
        return self.shape[1] * self.dtype.itemsize

    def write(self, places: npt.NDArray[np.integer], matrix: npt.NDArray[Any]) -> None:
        """Writes rows (n, D) to their places (n,); those whose place is negative are left out.

        Raises:
            InputError: the disk is full.
        """
        order = np.argsort(places, kind="stable")
        order = order[np.searchsorted(places, 0, sorter=order) :]
        if not len(order):
            return
        sorted_places = places[order]
        rows = np.ascontiguousarray(matrix[order], dtype=self.dtype)
        memory = rows.reshape(-1).view(np.uint8).data
        starts = np.flatnonzero(np.diff(sorted_places, prepend=-2) != 1)
        begin = (starts * self._row).tolist()
        end = [*begin[1:], len(memory)]
        offset = (sorted_places[starts].astype(np.int64) * self._row).tolist()
        write, descriptor = os.pwrite, self._descriptor
        try:
            for low, high, at in zip(begin, end, offset, strict=True):
                done = write(descriptor, memory[low:high], at)
                while done < high - low:
                    done += write(descriptor, memory[low + done : high], at + done)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            free = shutil.disk_usage(self.file.parent).free
            raise full(self.file.parent, self.nbytes, free) from error

    def __getitem__(self, key: Key) -> Floats:
        """Returns (n, D) float32 rows.

        Args:
            key: a slice, (n,) row numbers (negative ones count from the end), or a mask (N,).

        Raises:
            IndexError: a row is out of range, or the key is none of these.
        """
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._span(start, max(stop, start))
        return self._chosen(row_numbers(key, len(self)))

    def _span(self, start: int, stop: int) -> Floats:
        out = np.empty((stop - start, self.shape[1]), np.float32)
        if self.dtype == np.float32:
            self._get(out, start)
            return out
        for low in range(start, stop, _CHUNK):
            part = out[low - start : low - start + _CHUNK]
            raw = np.empty(part.shape, self.dtype)
            self._get(raw, low)
            single(raw, part)
        return out

    def _chosen(self, rows: npt.NDArray[np.integer]) -> Floats:
        out = np.empty((len(rows), self.shape[1]), np.float32)
        for start in range(0, len(rows), _CHUNK):
            wanted = rows[start : start + _CHUNK]
            part = out[start : start + _CHUNK]
            low, high = int(wanted.min()), int(wanted.max()) + 1
            if high - low <= _WASTE * len(wanted):
                raw = np.empty((high - low, self.shape[1]), self.dtype)
                self._get(raw, low)
                raw = raw if len(raw) == len(wanted) and _ascends(wanted) else raw[wanted - low]
            else:
                raw = np.empty(part.shape, self.dtype)
                ends = [*(np.flatnonzero(np.diff(wanted) != 1) + 1).tolist(), len(wanted)]
                at = 0
                for end in ends:
                    self._get(raw[at:end], int(wanted[at]))
                    at = end
            single(raw, part)
        return out

    def _get(self, rows: npt.NDArray[Any], first: int) -> None:
        """Fills contiguous rows from the file."""
        memory, offset = rows.reshape(-1).view(np.uint8).data, first * self._row
        while memory:
            done = os.preadv(self._descriptor, [memory], offset)
            if done == 0:
                raise InputError(f"the scratch file {self.file} was cut short: run again")
            memory, offset = memory[done:], offset + done

    def scaled(self, mean: npt.NDArray[Any], deviation: npt.NDArray[Any]) -> Scaled:
        """Returns the same vectors less ``mean`` (D,), divided by ``deviation`` (D,)."""
        return Scaled(self, mean, deviation)

    def close(self) -> None:
        """Closes the file, which removes it; a shelf that only reads it leaves it there."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.shared:
            raise TypeError("a shelf whose file has no name cannot be pickled: create it shared")
        return _opened, (str(self.file), self.shape, self.dtype.str)


def _opened(file: str, shape: tuple[int, int], dtype: str) -> Shelf:
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot open the scratch file {file}: {error.strerror}") from error
    return Shelf(Path(file), shape, dtype, descriptor, shared=True)


def _remove(close: Callable[[], object], file: Path, owner: int) -> None:
    close()
    if os.getpid() == owner:  # a forked process must not take the file from the others
        file.unlink(missing_ok=True)


def row_numbers(key: Key, count: int) -> npt.NDArray[np.integer]:
    """Returns what a slice, an array of row numbers or a mask chooses of ``count`` rows.

    Raises:
        IndexError: a row is out of range, or the key is none of these.
    """
    if isinstance(key, slice):
        return np.arange(*key.indices(count))
    rows = np.asarray(key)
    if rows.dtype == bool and rows.shape == (count,):
        return np.flatnonzero(rows)
    if rows.size == 0 and rows.ndim == 1:
        return np.zeros(0, np.int64)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise IndexError(f"rows are chosen by a slice, a list of rows or a mask of {count}")
    low, high = int(rows.min()), int(rows.max())
    if low < -count or high >= count:
        raise IndexError(f"row {low if low < -count else high} of {count}")
    return np.where(rows < 0, rows + count, rows) if low < 0 else rows


def _ascends(rows: npt.NDArray[np.integer]) -> bool:
    return bool((np.diff(rows) == 1).all())


class Scaled:
    """Vectors with an affine change of each column, made as they are read.

    Args:
        rows: (N, D) vectors.
        mean: (D,) taken away.
        deviation: (D,) divided by; infinite for columns to be made zero.
    """

    def __init__(self, rows: Rows, mean: npt.NDArray[Any], deviation: npt.NDArray[Any]) -> None:
        self._rows, self._mean, self._deviation = rows, mean, deviation

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        return self._rows.shape

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Key) -> Floats:
        """Returns (n, D) float32 rows by a slice, an array of row numbers or a mask."""
        moved = (self._rows[key] - self._mean) / self._deviation
        return np.asarray(moved, dtype=np.float32)


class Indexed:
    """Some rows of others, in an order of their own, read when asked for.

    Args:
        rows: (N, D) vectors.
        index: (n,) row numbers.
    """

    def __init__(self, rows: Rows, index: npt.NDArray[np.integer]) -> None:
        self._rows: Rows = rows._rows if isinstance(rows, Indexed) else rows
        self._index: npt.NDArray[np.integer] = (
            rows._index[index] if isinstance(rows, Indexed) else index
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        return len(self._index), self._rows.shape[1]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, key: Key) -> Floats:
        """Returns float32 rows by a slice, an array of row numbers or a mask."""
        chosen: Floats = self._rows[self._index[key]]
        return chosen

    def scaled(self, mean: npt.NDArray[Any], deviation: npt.NDArray[Any]) -> Scaled:
        """Returns the same vectors less ``mean`` (D,), divided by ``deviation`` (D,)."""
        return Scaled(self, mean, deviation)


def chosen_rows(rows: Rows, index: npt.NDArray[np.integer]) -> Rows:
    """Returns some rows: taken at once from memory, when asked for from a shelf."""
    return rows[index] if isinstance(rows, np.ndarray) else Indexed(rows, index)
