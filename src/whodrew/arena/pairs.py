"""Preference sets: rows of two images, their columns, and how their images are told apart.

One image is shown in many battles. It is known by the path that the set gives it where
paths tell images apart, else by its bytes, which then have to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.arena.canonical import image_id
from whodrew.arena.containers import null_cells, open_parquet, stream_cells
from whodrew.arena.labels import COLUMN_NAMES, find_columns, listed
from whodrew.arena.places import Place, cells_of, class_names, column_place, labelled
from whodrew.errors import InputError

_BATCH: Final = 4096
_Names = tuple[str, str]


@dataclass(frozen=True)
class _Mapping:
    """The columns of a known kind of preference set, first and second image."""

    name: str
    images: _Names
    models: _Names
    votes: tuple[_Names, ...]
    paths: tuple[_Names, ...]


_KNOWN: Final = (
    _Mapping(
        "rapidata",
        ("image1", "image2"),
        ("model1", "model2"),
        (
            ("votes_image1", "votes_image2"),
            ("weighted_results_image1_preference", "weighted_results_image2_preference"),
        ),
        (("image1_path", "image2_path"),),
    ),
    _Mapping(
        "pick-a-pic",
        ("jpg_0", "jpg_1"),
        ("model_0", "model_1"),
        (("label_0", "label_1"),),
        (("image_0_uid", "image_1_uid"),),
    ),
)


@dataclass(frozen=True)
class Side:
    """One of the two images of a row: its columns.

    Attributes:
        place: where its bytes are.
        path: leaf column with its path or name, ``None`` where there is none.
        model: column with its model.
        votes: column with its votes, ``None`` where there is none.
    """

    place: Place
    path: str | None
    model: str
    votes: str | None


@dataclass(frozen=True)
class Pairs:
    """How a preference set is read.

    Attributes:
        name: of the mapping.
        labels: ``prompt`` and ``prompt_id`` to the columns that hold them.
        sides: the two images.
    """

    name: str
    labels: Mapping[str, str]
    sides: tuple[Side, Side]

    @property
    def columns(self) -> list[str]:
        """The columns of labels, paths and votes: all but the bytes."""
        names = [*self.labels.values()]
        for side in self.sides:
            names += [name for name in (side.model, side.path, side.votes) if name is not None]
        return list(dict.fromkeys(names))


class Battle(NamedTuple):
    """One row: what both images share, and each of them.

    Attributes:
        at: number of the row.
        labels: our names to values.
        models: of the two images.
        seeds: of the two images; ``None`` where an image has no bytes.
        votes: of the two images.
    """

    at: int
    labels: dict[str, Any]
    models: tuple[Any, Any]
    seeds: tuple[str | None, str | None]
    votes: tuple[Any, Any]


def find_pairs(schema: pa.Schema, given: Mapping[str, str] | None = None) -> Pairs | None:
    """Says how a preference set is read, ``None`` where the columns are not those of one.

    Args:
        schema: of a Parquet file.
        given: our names to the table's; where they name image or model, it is read as a
            table of single images.
    """
    given = given or {}
    if "image" in given or "model" in given:
        return None
    spelled = {name.casefold(): name for name in reversed(schema.names)}
    for known in _KNOWN:
        images = [spelled.get(name) for name in known.images]
        models = [spelled.get(name) for name in known.models]
        if None in images or None in models:
            continue
        places = [column_place(schema, str(name)) for name in images]
        names = {ours: COLUMN_NAMES[ours] for ours in ("prompt_id", "prompt")}
        labels = find_columns(schema.names, names)
        labels |= {ours: given[ours] for ours in names if ours in given}
        numbers = {name: column for name, column in spelled.items() if _is_number(schema, column)}
        votes = _both(numbers, known.votes)
        paths = _both(spelled, known.paths)
        sides = [
            Side(place, path or place.path, str(model), vote)
            for place, model, vote, path in zip(places, models, votes, paths, strict=True)
            if place is not None and place.bytes is not None
        ]
        if len(sides) == 2:
            return Pairs(known.name, labels, (sides[0], sides[1]))
    return None


def _is_number(schema: pa.Schema, column: str) -> bool:
    kind = schema.field(column).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _both(
    spelled: Mapping[str, str], choices: Sequence[_Names]
) -> tuple[str, str] | tuple[None, None]:
    for first, second in choices:
        if first in spelled and second in spelled:
            return spelled[first], spelled[second]
    return None, None


def needed_pairs(file: pq.ParquetFile, path: Path, columns: Mapping[str, str] | None) -> Pairs:
    """Says how an open file of a preference set is read.

    Raises:
        InputError: it is none, has no prompts, or lacks a column that is asked for.
    """
    names = file.schema_arrow.names
    for ours, theirs in (columns or {}).items():
        if theirs not in names:
            raise InputError(
                f"{path} has no column {theirs!r} for {ours}: found {listed(names, 12)}"
            )
    pairs = find_pairs(file.schema_arrow, columns)
    if pairs is None:
        raise InputError(
            f"{path} has not the columns of the other parts: found {listed(names, 12)}"
        )
    if not pairs.labels:
        raise InputError(
            f"{path} names no prompts: it needs a column 'prompt', found {listed(names, 12)}"
        )
    return pairs


def battles_of(file: pq.ParquetFile, pairs: Pairs, hashed: bool) -> Iterator[Battle]:
    """Yields the rows of one file, a row group at a time.

    Raises:
        InputError: it cannot be read.
    """
    names = class_names(file.schema_arrow)
    start = 0
    try:
        nulls = None
        if not hashed and file.metadata.num_rows:
            nulls = [null_cells(file, str(side.place.bytes)) for side in pairs.sides]
        for group in range(file.metadata.num_row_groups):
            digests = [_digests(file, group, side) for side in pairs.sides] if hashed else None
            first = start
            for batch in file.iter_batches(_BATCH, row_groups=[group], columns=pairs.columns):
                labels = {ours: cells_of(batch, theirs) for ours, theirs in pairs.labels.items()}
                models = [
                    labelled(cells_of(batch, side.model), side.model, names) for side in pairs.sides
                ]
                votes = [
                    cells_of(batch, side.votes) if side.votes else [None] * batch.num_rows
                    for side in pairs.sides
                ]
                if digests is not None:
                    low = start - first
                    seeds = [some[low : low + batch.num_rows] for some in digests]
                else:
                    seeds = [
                        [
                            None if empty else _stem(path)
                            for path, empty in zip(
                                cells_of(batch, str(side.path)),
                                some[start : start + batch.num_rows],
                                strict=True,
                            )
                        ]
                        for side, some in zip(pairs.sides, nulls or (), strict=True)
                    ]
                for at in range(batch.num_rows):
                    yield Battle(
                        start + at,
                        {ours: cells[at] for ours, cells in labels.items()},
                        (models[0][at], models[1][at]),
                        (seeds[0][at], seeds[1][at]),
                        (votes[0][at], votes[1][at]),
                    )
                start += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot be read: {' '.join(str(error).split())[:200]}") from error


def _digests(file: pq.ParquetFile, group: int, side: Side) -> list[str | None]:
    """Returns the identity of each image of a row group, hashed as it streams by."""
    found: list[str | None] = []
    for cells in stream_cells(file, group, str(side.place.bytes)):
        found += [None if cell is None else image_id(cell) for cell in cells.to_pylist()]
    return found


def _stem(path: Any) -> str:
    """Returns a path without its ending, whole: base names may repeat."""
    text = path if isinstance(path, str) else str(path)
    if "\\" in text:
        text = text.replace("\\", "/")
    dot = text.rfind(".")
    return text[:dot] if dot > text.rfind("/") + 1 else text


def paths_tell(paths: Sequence[Path], columns: Mapping[str, str] | None) -> bool:
    """Whether the paths in a preference set tell its images apart.

    Each image needs one; a path may belong to one model and one prompt only; and in the
    first row group, whose images are read, it may stand for one image only.
    """
    owners: dict[str, int] = {}
    probed = False
    for path in paths:
        try:
            with open_parquet(path) as file:
                pairs = needed_pairs(file, path, columns)
                if not all(side.path for side in pairs.sides):
                    return False
                for batch in file.iter_batches(_BATCH, columns=pairs.columns):
                    shared = zip(
                        *(cells_of(batch, name) for name in pairs.labels.values()), strict=True
                    )
                    prompts = [repr(cells) for cells in shared]
                    for side in pairs.sides:
                        models = cells_of(batch, side.model)
                        names = cells_of(batch, str(side.path))
                        for name, model, prompt in zip(names, models, prompts, strict=True):
                            owner = hash(f"{model!r} {prompt}")
                            if not name or owners.setdefault(_stem(name), owner) != owner:
                                return False
                if not probed and file.metadata.num_row_groups:
                    probed = True
                    if not _probe(file, pairs):
                        return False
        except (InputError, OSError, pa.ArrowException):
            continue  # reading it says why
    return True


def _probe(file: pq.ParquetFile, pairs: Pairs) -> bool:
    held: dict[str, str | None] = {}
    for side in pairs.sides:
        names: list[Any] = []
        for batch in file.iter_batches(_BATCH, row_groups=[0], columns=[str(side.path)]):
            names += cells_of(batch, str(side.path))
        for name, digest in zip(names, _digests(file, 0, side), strict=True):
            if digest is not None and held.setdefault(_stem(name), digest) != digest:
                return False
    return True
