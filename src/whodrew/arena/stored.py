"""Images by the name a store keeps them under: ``shard.tar::member``, ``file.parquet#col[row]``."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Final

import pyarrow as pa

from whodrew.arena.containers import group_of, is_archive, iter_bytes, open_parquet
from whodrew.arena.decode import DEFAULT_LIMITS, ImageError, Limits, read_bytes
from whodrew.arena.tar import Archive, Member
from whodrew.errors import InputError

_MEMBER: Final = re.compile(r"(.*?\.tar)::(.*)", re.DOTALL | re.IGNORECASE)
_CELL: Final = re.compile(r"(.*)#([^#]*)\[(\d{1,18})\]", re.DOTALL)
_CHEAP: Final = 64 << 20


def stored_path(
    item: str, path: str | None, container: str | None, column: str | None, row: int | None
) -> str:
    """Returns what an image is stored under, by its columns in ``Arena.images``.

    That is the absolute path of its file; ``shard.tar::member`` for one in an archive;
    ``file.parquet#column[row]`` for one inside Parquet; and its item for one in memory.
    """
    if path:
        return path
    if container is None:
        return item
    return f"{container}::{column}" if is_archive(container) else f"{container}#{column}[{row}]"


def read_stored(path: str, limits: Limits = DEFAULT_LIMITS, *, cost: int = _CHEAP) -> bytes:
    """Reads one image by the name it is stored under, for pictures in a report.

    Args:
        path: as ``stored_path`` gives it.
        limits: what the image may cost.
        cost: bytes that may be unpacked to get at it: an image in a Parquet row group
            larger than that is not read.

    Raises:
        ImageError: it is gone, or costs too much.
    """
    if (match := _MEMBER.fullmatch(path)) and os.path.isfile(match.group(1)):
        container, column = match.group(1), match.group(2)
        try:
            changed = os.stat(container).st_mtime_ns
        except OSError as error:
            raise ImageError(error.strerror or str(error)) from error
        at = _index(container, changed).get(column)
        if at is None:
            raise ImageError("no such member any more")
        row: int | None = at
    elif (match := _CELL.fullmatch(path)) and os.path.isfile(match.group(1)):
        container, column, row = match.group(1), match.group(2), int(match.group(3))
        _check_cost(container, column, row, cost)
    else:
        return read_bytes(path, limits)
    place = {"path": [None], "bytes": [None], "container": [container], "column": [column]}
    schema = pa.schema(
        [
            ("path", pa.string()),
            ("bytes", pa.binary()),
            ("container", pa.string()),
            ("column", pa.string()),
            ("row", pa.int64()),
        ]
    )
    _, data = next(iter_bytes(pa.table({**place, "row": [row]}, schema=schema), limits))
    if isinstance(data, ImageError):
        raise data
    return data


def _check_cost(container: str, column: str, row: int, cost: int) -> None:
    try:
        with open_parquet(container) as file:
            size = group_of(file, column, row)
    except (InputError, OSError, pa.ArrowException) as error:
        raise ImageError(str(error)) from error
    if size > cost:
        raise ImageError(f"its row group has {size:,} bytes, more than {cost:,}")


@lru_cache(maxsize=16)
def _index(container: str, _changed: int) -> dict[str, int]:
    """Returns where the members of an archive begin, by name; the time of change keys the cache."""
    try:
        with Archive(container) as archive:
            return {
                member.name: member.offset
                for member in archive.members()
                if isinstance(member, Member)
            }
    except (InputError, OSError) as error:
        raise ImageError(str(error)) from error
