"""Images inside Parquet and tar: found without being read, read without being held."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whodrew.arena.decode import DEFAULT_LIMITS, ImageError, Limits, read_bytes
from whodrew.arena.tar import Archive
from whodrew.arena.tree import scan
from whodrew.errors import InputError

_BATCH = 16  # images unpacked at a time: 16 of 10 MB are still no burden
_BUFFER = 1 << 20
_OBJECT_STORAGE = re.compile(r"(s3|gcs|gs|abfss?)://?[^/]")


def open_parquet(path: str | Path) -> pq.ParquetFile:
    """Opens a Parquet file for reading in small pieces.

    Raises:
        InputError: it is missing or no Parquet file.
    """
    try:
        return pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise InputError(f"{path} is not a Parquet file: {_line(error)}") from error


def is_archive(container: str) -> bool:
    """Whether ``container`` is a tar archive, by its name; else it is a Parquet file."""
    return container[-4:].lower() == ".tar"


def is_embedding_table(path: str | Path) -> bool:
    """Whether ``path`` is an embedding store rather than an arena.

    That is a Parquet file, or a folder with Parquet files directly in it, that has a
    column ``embedding``. A folder of parts counts by its first readable part; files that
    are no Parquet do not count, and a folder that holds folders of images is an arena
    whatever tables lie beside them. Nothing but the file's footer is read. An address on
    object storage is always a store: arenas lie on disks.
    """
    if _OBJECT_STORAGE.match(str(path)):
        return True
    path = Path(path)
    if path.is_dir():
        parts = sorted(part for part in path.glob("*.parquet") if not part.name.startswith("."))
    elif path.suffix.lower() == ".parquet" or _has_parquet_magic(path):
        parts = [path]
    else:
        return False
    for part in parts:
        try:
            found = "embedding" in pq.read_schema(part).names
        except (OSError, pa.ArrowException):
            continue
        return found and not (path.is_dir() and scan(path).holds_image_folders)
    return False


def null_cells(file: pq.ParquetFile, column: str) -> list[bool]:
    """Says for each row whether the leaf ``column`` is null there.

    Row-group statistics answer where they can; otherwise the cells are streamed.
    """
    leaf = next(
        at
        for at in range(file.metadata.num_columns)
        if file.metadata.row_group(0).column(at).path_in_schema == column
    )
    nulls: list[bool] = []
    for group in range(file.metadata.num_row_groups):
        meta = file.metadata.row_group(group)
        statistics = meta.column(leaf).statistics
        known = statistics is not None and statistics.has_null_count
        if known and statistics.null_count in (0, meta.num_rows):
            nulls += [statistics.null_count > 0] * meta.num_rows
        else:
            for cells in stream_cells(file, group, column):
                nulls += pc.is_null(cells).to_pylist()
    return nulls


def read_image_bytes(row: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Reads the file of one image, wherever it lies.

    For many images in Parquet use ``iter_bytes``: this opens the file anew each time.

    Args:
        row: a row of ``Arena.images``, as ``Arena.rows`` yields them.
        limits: what it may cost.

    Raises:
        ImageError: it cannot be read, is missing, or is over the limit.
    """
    table = {
        name: pa.array([row.get(name)], kind)
        for name, kind in (
            ("path", pa.string()),
            ("bytes", pa.binary()),
            ("container", pa.string()),
            ("row", pa.int64()),
            ("column", pa.string()),
        )
    }
    _, data = next(iter_bytes(pa.table(table), limits))
    if isinstance(data, ImageError):
        raise data
    return data


def iter_bytes(
    images: pa.Table, limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[int, bytes | ImageError]]:
    """Reads the files of many images, each Parquet row group at most once.

    Images in tar archives are read by their place, each by itself.

    Call it once for many images, not once for each few: Parquet can only be read by
    pages, and most writers put the images of a row group into a single one, so that a row
    group is what is held in memory and what is read again in the next call. To share the
    work out, share out ``partition``.

    Args:
        images: ``Arena.images`` or any slice or selection of it.
        limits: what one image may cost.

    Yields:
        (index into ``images``, the bytes, or the error that says why there are none):
        first those in memory and in files of their own, in the table's order, then
        those in Parquet and in archives, in storage order.
    """
    inside: dict[tuple[str, str], list[tuple[int, int]]] = {}
    archived: dict[str, list[tuple[int, int, str]]] = {}
    columns = ["path", "bytes", "container", "row", "column"]
    base = 0
    for batch in images.select(columns).to_batches(max_chunksize=_BATCH):
        for offset, row in enumerate(batch.to_pylist()):
            at = base + offset
            if row["bytes"] is not None:
                yield at, _checked(row["bytes"], limits)
            elif row["path"] is not None:
                try:
                    yield at, read_bytes(row["path"], limits)
                except ImageError as error:
                    yield at, error
            elif row["container"] is not None and is_archive(row["container"]):
                archived.setdefault(row["container"], []).append((row["row"], at, row["column"]))
            elif row["container"] is not None:
                inside.setdefault((row["container"], row["column"]), []).append((row["row"], at))
            else:
                yield at, ImageError("neither a path nor bytes")
        base += batch.num_rows
    for (container, column), places in inside.items():
        places.sort()
        yield from _iter_container(container, column, places, limits)
    for archive, members in archived.items():
        members.sort()
        yield from _iter_archive(archive, members, limits)


def partition(images: pa.Table, size: int = 64) -> list[list[int]]:
    """Shares images out so that no two shares need the same Parquet row group.

    Args:
        images: ``Arena.images`` or any slice or selection of it.
        size: images a share where they lie in files of their own or in archives, which
            are not mixed; images of one row group are one share, however many.

    Returns:
        Indices into ``images``, each exactly once: ``images.take(share)`` is what one
        worker gives to ``iter_bytes``.
    """
    containers = images["container"]
    outside = pc.indices_nonzero(pc.is_null(containers)).to_pylist()
    shares = [outside[at : at + size] for at in range(0, len(outside), size)]
    inside: dict[str, list[tuple[int, int]]] = {}
    if containers.null_count < len(containers):
        for at, (container, row) in enumerate(
            zip(containers.to_pylist(), images["row"].to_pylist(), strict=True)
        ):
            if container is not None:
                inside.setdefault(container, []).append((row, at))
    for container, places in inside.items():
        places.sort()
        if is_archive(container):
            members = [at for _, at in places]
            shares += [members[at : at + size] for at in range(0, len(members), size)]
            continue
        groups: dict[int, list[int]] = {}
        ends = _group_ends(container)
        for row, at in places:
            groups.setdefault(bisect.bisect_right(ends, row), []).append(at)
        shares += groups.values()
    return shares


def _group_ends(container: str) -> list[int]:
    """Returns the row after each row group, nothing where the file cannot be read."""
    try:
        with open_parquet(container) as file:
            rows = [
                file.metadata.row_group(group).num_rows
                for group in range(file.metadata.num_row_groups)
            ]
    except InputError:
        return []  # reading the share will say why
    return list(itertools.accumulate(rows))


def _iter_container(
    container: str, column: str, places: Sequence[tuple[int, int]], limits: Limits
) -> Iterator[tuple[int, bytes | ImageError]]:
    done = 0
    try:
        with open_parquet(container) as file:
            start = 0
            for group in range(file.metadata.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                if done < len(places) and places[done][0] < end:
                    for cells in stream_cells(file, group, column):
                        stop = start + len(cells)
                        while done < len(places) and places[done][0] < stop:
                            row, at = places[done]
                            cell = cells[row - start]
                            done += 1
                            yield at, _checked(cell.as_py(), limits)
                        start = stop
                        if done == len(places) or places[done][0] >= end:
                            break
                start = end
    except (InputError, OSError, pa.ArrowException) as error:
        reason = ImageError(f"{Path(container).name}: {_line(error)}")
        for _, at in places[done:]:
            yield at, reason
        return
    for _, at in places[done:]:
        yield at, ImageError(f"{Path(container).name} has no such row any more")


def _iter_archive(
    container: str, members: Sequence[tuple[int, int, str]], limits: Limits
) -> Iterator[tuple[int, bytes | ImageError]]:
    done = 0
    try:
        with Archive(container) as archive:
            for offset, at, name in members:
                data = _read_member(archive, name, offset, limits)
                done += 1
                yield at, data
    except (InputError, OSError) as error:
        reason = ImageError(f"{Path(container).name}: {_line(error)}")
        for _, at, _ in members[done:]:
            yield at, reason


def _read_member(archive: Archive, name: str, offset: int, limits: Limits) -> bytes | ImageError:
    size, reason = archive.content(name, offset)
    if reason is not None:
        return ImageError(reason)
    if size > limits.max_bytes:
        return ImageError(f"{size:,} bytes, more than the limit of {limits.max_bytes:,}")
    data = archive.read(offset, size)
    return data if len(data) == size else ImageError(f"{archive.path.name} was cut short")


def group_of(file: pq.ParquetFile, column: str, row: int) -> int:
    """Returns the bytes that a leaf column unpacks to in the row group of ``row``, else 0."""
    end = 0
    for group in range(file.metadata.num_row_groups):
        meta = file.metadata.row_group(group)
        end += meta.num_rows
        if row < end:
            sizes = [
                chunk.total_uncompressed_size
                for chunk in map(meta.column, range(meta.num_columns))
                if chunk.path_in_schema == column
            ]
            return int(sum(sizes))
    return 0


def stream_cells(file: pq.ParquetFile, group: int, column: str) -> Iterator[pa.Array]:
    """Yields the cells of one leaf column of one row group, a few at a time."""
    for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[column]):
        if batch.num_columns == 0:
            raise InputError(f"no column {column!r} any more")
        cells = batch.column(0)
        while pa.types.is_struct(cells.type):
            cells = cells.flatten()[0]
        yield cells


def _checked(data: bytes | None, limits: Limits) -> bytes | ImageError:
    if data is None:
        return ImageError("no bytes")
    if len(data) > limits.max_bytes:
        return ImageError(f"{len(data):,} bytes, more than the limit of {limits.max_bytes:,}")
    return data


def _has_parquet_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(4) == b"PAR1"
    except OSError:
        return False


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
