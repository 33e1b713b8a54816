"""Reading containers: every file once, in threads, bad ones named."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from whodrew.arena import (
    Arena,
    BadItem,
    ImageError,
    decode,
    image_id,
    iter_bytes,
    partition,
)
from whodrew.identify.samples import Ints
from whodrew.leaks.columns import Recorder
from whodrew.leaks.names import name_pattern
from whodrew.leaks.read import read_container
from whodrew.leaks.regions import Windows, windows_of
from whodrew.leaks.values import Value
from whodrew.machine import processors

Told = Callable[[int, int], None]
_SHARE = 64


@dataclass(frozen=True)
class Collected:
    """What was read of N listed images.

    Attributes:
        recorder: the fields of those that could be read.
        rows: (n,) of those, ascending.
        size: (N,) bytes of the file, 0 where it could not be read.
        digest: (N,) hash of the file.
        windows: of the images that were looked at, by row.
        bad: those that could not be read, each named.
    """

    recorder: Recorder
    rows: Ints
    size: Ints
    digest: Ints
    windows: dict[int, Windows]
    bad: tuple[BadItem, ...]


@dataclass(frozen=True)
class _Read:
    row: int
    fields: dict[str, Value]
    size: int
    digest: int
    windows: Windows | None
    trouble: str | None = None


def collect(arena: Arena, looked_at: Ints, *, workers: int | None, told: Told | None) -> Collected:
    """Reads the containers of all images of an arena.

    Args:
        arena: the images.
        looked_at: rows whose pixels are wanted, too.
        workers: threads; one a processor where not given.
        told: called with images read and their total.
    """
    count = len(arena)
    recorder = Recorder(count)
    size, digest = np.zeros(count, np.int64), np.zeros(count, np.int64)
    read = np.zeros(count, bool)
    windows: dict[int, Windows] = {}
    troubles: dict[int, str] = {}
    wanted = frozenset(looked_at.tolist())
    for done, one in enumerate(_reads(arena, wanted, workers), start=1):
        if one.trouble is not None:
            troubles[one.row] = one.trouble
        else:
            recorder.add(one.row, one.fields)
            read[one.row] = True
            size[one.row], digest[one.row] = one.size, one.digest
            if one.windows is not None:
                windows[one.row] = one.windows
        if told is not None and (done % _SHARE == 0 or done == count):
            told(done, count)
    items = arena.images["item"]
    bad = tuple(BadItem(items[row].as_py(), reason) for row, reason in sorted(troubles.items()))
    return Collected(recorder, np.flatnonzero(read), size, digest, windows, bad)


def _reads(arena: Arena, wanted: frozenset[int], workers: int | None) -> Iterator[_Read]:
    shares = partition(arena.images, _SHARE)
    pool = ThreadPoolExecutor(max(1, workers or processors()))
    # Broken EXIF makes Pillow warn, once for each kind: it is a value like any other here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for found in pool.map(lambda share: _share(arena, share, wanted), shares):
                yield from found
        finally:
            pool.shutdown(cancel_futures=True)


def _share(arena: Arena, share: Sequence[int], wanted: frozenset[int]) -> list[_Read]:
    images = arena.images.take(share)
    labels = images.drop_columns(["bytes"]).to_pylist()
    found = []
    for at, data in iter_bytes(images):
        row = share[at]
        try:
            if isinstance(data, ImageError):
                raise data
            found.append(_one(row, data, labels[at], looked_at=row in wanted))
        except ImageError as error:
            found.append(_Read(row, {}, 0, 0, None, error.reason))
    return found


def _one(row: int, data: bytes, labels: dict[str, Any], *, looked_at: bool) -> _Read:
    name = file_name(labels)
    fields = read_container(data, name)
    own = (labels["model"], labels["prompt_id"])
    fields |= name_pattern(name or labels["seed"], own, labels["seed"])
    windows = None
    if looked_at:
        windows = windows_of(decode(data).view)
    digest = int(image_id(data)[:15], 16)
    return _Read(row, fields, len(data), digest, windows)


def file_name(labels: dict[str, Any]) -> str | None:
    """Returns the base name of an image's file, ``None`` where it has none of its own.

    Args:
        labels: a row of ``Arena.images``.
    """
    if labels["path"]:
        return PurePath(labels["path"]).name
    if labels["container"] and str(labels["container"])[-4:].lower() == ".tar":
        return PurePath(labels["column"]).name
    return None
