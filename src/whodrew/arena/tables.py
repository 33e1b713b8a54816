"""Parquet arenas: image structs ``{bytes, path}``, binary columns, or columns of paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.arena.beside import read_beside
from whodrew.arena.containers import null_cells, open_parquet
from whodrew.arena.manifests import Listing, resolve, take_columns
from whodrew.arena.model import Arena, BadItem
from whodrew.arena.pairs import find_pairs
from whodrew.arena.paths import absolute, item_name
from whodrew.arena.places import Place, cells_of, class_names, find_place, labelled
from whodrew.arena.preferences import read_pairs
from whodrew.errors import InputError


def has_images(path: Path, columns: Mapping[str, str] | None = None) -> bool:
    """Whether a Parquet file has a column of images or of paths to images.

    Args:
        path: the file.
        columns: our names to the table's, which override those they go by.
    """
    try:
        with open_parquet(path) as file:
            schema = file.schema_arrow
    except InputError:
        return False
    if find_pairs(schema, columns) is not None:
        return True
    return find_place(schema, (columns or {}).get("image")) is not None


def read_parquet(
    paths: Sequence[Path],
    source: str,
    *,
    layout: str = "parquet",
    root: Path | None = None,
    seen: set[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Arena:
    """Reads Parquet files as one arena; the images in them are located, not read.

    Args:
        paths: the parts, in order.
        source: what the user gave.
        layout: how the arena calls itself.
        root: the folder that items are named from; default: that of the first part.
        seen: filled with the absolute paths of all files named.
        columns: our names to the table's, which override those they go by.

    Raises:
        UsageError: ``columns`` names what there is not.
        InputError: unreadable, without the columns it needs, or without a usable row. Of
            several parts only those that can be read are, and the others are bad items.
    """
    root = root or paths[0].parent
    if is_preferences(paths, columns):
        return read_pairs(paths, source, root, columns)
    listing = Listing(absolute(root), read_beside(root))
    found: dict[str, str] = {}
    refused: list[InputError] = []
    before = 0
    for path in paths:
        where = item_name(path, root)
        try:
            with open_parquet(path) as file:
                taken, place = _take(file.schema_arrow, path, columns)
                listing.folder = absolute(path.parent)
                _list_file(listing, file, absolute(path), where, place, taken, before)
                before += file.metadata.num_rows
            found = found or taken
        except InputError as error:
            refused.append(error)
            listing.bad.append(BadItem(where, str(error)))
    if len(refused) == len(paths):
        raise refused[0]
    if seen is not None:
        seen |= listing.seen
    return listing.arena(found, source, layout, paths[0].name)


def is_preferences(paths: Sequence[Path], columns: Mapping[str, str] | None) -> bool:
    """Whether these are the parts of a preference set: the first that opens tells."""
    for path in paths:
        try:
            with open_parquet(path) as file:
                return find_pairs(file.schema_arrow, columns) is not None
        except InputError:
            continue
    return False


def _take(
    schema: pa.Schema, path: Path, given: Mapping[str, str] | None
) -> tuple[dict[str, str], Place]:
    """Returns our names to the columns of labels, and where the images are.

    Raises:
        InputError: something is missing; the message lists what was found.
    """
    place = find_place(schema, (given or {}).get("image"))
    if place is None:
        if "embedding" in schema.names:
            raise InputError(f"{path} holds embeddings, not images: it is an embedding store")
        take_columns(schema.names, str(path), given=given)
        raise InputError(f"{path}: its column of images holds neither bytes nor paths")
    labels = [name for name in schema.names if name not in place.top]
    others = {ours: theirs for ours, theirs in (given or {}).items() if ours != "image"}
    found = take_columns(labels, str(path), image=False, given=others)
    found.pop("image", None)
    return found, place


def _list_file(
    listing: Listing,
    file: pq.ParquetFile,
    container: str,
    where: str,
    place: Place,
    found: dict[str, str],
    before: int,
) -> None:
    """Adds the rows of one file; ``before`` is the number of rows in the parts before it."""
    if file.metadata.num_rows == 0:
        return
    try:
        nulls = null_cells(file, place.bytes) if place.bytes else None
        names = class_names(file.schema_arrow)
        for at, path, cells in _cells(file, place, found, names):
            try:
                if nulls is not None and not nulls[at]:
                    name = PurePosixPath(str(path).replace("\\", "/")).stem if path else ""
                    # rows are numbered through all parts: no two images get one seed
                    row = listing.labels(cells, name or str(before + at))
                    row |= {"container": container, "row": at, "column": place.bytes}
                else:
                    resolved = resolve(path, listing.folder)
                    listing.seen.add(resolved)
                    row = listing.labels(cells, Path(resolved).stem)
                    row |= {"path": resolved}
                listing.rows.add(f"{where}#{at}", **row)
            except ValueError as error:
                listing.bad.append(BadItem(f"{where}, row {at}", str(error)))
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"cannot read {container}: {' '.join(str(error).split())[:200]}"
        ) from error


def _cells(
    file: pq.ParquetFile, place: Place, found: dict[str, str], names: dict[str, list[str]]
) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """Yields (row, path or name, our label names to values), in small batches."""
    columns = [*found.values(), *([place.path] if place.path else [])]
    start = 0
    for batch in file.iter_batches(4096, columns=columns):
        values = {
            ours: labelled(cells_of(batch, theirs), theirs, names) for ours, theirs in found.items()
        }
        paths: list[Any] = [None] * batch.num_rows
        if place.path:
            paths = cells_of(batch, place.path)
        for offset in range(batch.num_rows):
            row = {ours: cells[offset] for ours, cells in values.items()}
            yield start + offset, paths[offset], row
        start += batch.num_rows
