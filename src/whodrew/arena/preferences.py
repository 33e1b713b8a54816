"""Preference sets as arenas: a battle becomes two images, and each image is listed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from whodrew.arena.beside import read_beside
from whodrew.arena.containers import open_parquet
from whodrew.arena.labels import as_label, count
from whodrew.arena.manifests import Listing, check_columns
from whodrew.arena.model import Arena, BadItem
from whodrew.arena.pairs import Battle, Pairs, battles_of, needed_pairs, paths_tell
from whodrew.arena.paths import absolute, item_name
from whodrew.errors import InputError

#: What ``read_battles`` yields. The seeds are those of ``Arena.images``.
BATTLES_SCHEMA: Final = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("model1", pa.string()),
        pa.field("seed1", pa.string()),
        pa.field("model2", pa.string()),
        pa.field("seed2", pa.string()),
        pa.field("votes1", pa.float64()),
        pa.field("votes2", pa.float64()),
    ]
)

_BATCH: Final = 4096


def read_pairs(
    paths: Sequence[Path], source: str, root: Path, columns: Mapping[str, str] | None
) -> Arena:
    """Reads a preference set as an arena: each image that some battle shows, once.

    Memory: the labels of the distinct images; never an image but where it is hashed.

    Args:
        paths: the Parquet files, in order.
        source: what the user gave.
        root: the folder that items are named from.
        columns: our names to the table's: ``prompt`` or ``prompt_id``.

    Raises:
        UsageError: ``columns`` names what there is not.
        InputError: no file can be read, or there is no prompt.
    """
    check_columns(columns)
    listing = Listing(absolute(root), read_beside(root))
    hashed = not paths_tell(paths, columns)
    shown = _Shown(listing)
    taken: Pairs | None = None
    refused: list[InputError] = []
    for path in paths:
        where = item_name(path, root)
        try:
            with open_parquet(path) as file:
                taken = needed_pairs(file, path, columns)
                container = absolute(path)
                for battle in battles_of(file, taken, hashed):
                    shown.add(battle, taken, container, where)
        except InputError as error:
            refused.append(error)
            listing.bad.append(BadItem(where, str(error)))
    if len(refused) == len(paths):
        raise refused[0]
    notes = [] if taken is None else _notes(shown, taken, hashed)
    return listing.arena({}, source, "preferences", paths[0].name, notes=notes)


@dataclass
class _Shown:
    """The images of the battles read so far.

    Attributes:
        listing: what was listed.
        known: (model, prompt_id, seed) of the images in it.
        battles: rows read.
        images: usable images in them, repeats too.
    """

    listing: Listing
    known: set[tuple[str | None, str, str]] = field(default_factory=set)
    battles: int = 0
    images: int = 0

    def add(self, battle: Battle, pairs: Pairs, container: str, where: str) -> None:
        """Lists the images of a battle that were not shown before."""
        self.battles += 1
        # most images are shown again: those are told at a glance
        prompt_id = None if "prompt_id" in battle.labels else battle.labels.get("prompt")
        prompt_id = self.listing.ids.get(prompt_id) if isinstance(prompt_id, str) else None
        for number in (0, 1):
            model, seed = battle.models[number], battle.seeds[number]
            told = prompt_id and seed and isinstance(model, str)
            if told and (model, prompt_id, seed) in self.known:
                self.images += 1
                continue
            try:
                if seed is None:
                    raise ValueError("no bytes")
                cells = {**battle.labels, "model": model, "seed": seed}
                row = self.listing.labels(cells, seed)
            except ValueError as error:
                item = f"{where}, row {battle.at}, image {number + 1}"
                self.listing.bad.append(BadItem(item, str(error)))
                continue
            self.images += 1
            key = (row["model"], row["prompt_id"], row["seed"])
            if key not in self.known:
                self.known.add(key)
                item = f"{where}#{battle.at}.{number + 1}"
                column = pairs.sides[number].place.bytes
                self.listing.rows.add(
                    item, container=container, row=battle.at, column=column, **row
                )


def _notes(shown: _Shown, taken: Pairs, hashed: bool) -> list[str]:
    first, second = taken.sides
    names = [*taken.labels.values(), *sorted(first.place.top | second.place.top)]
    names += [first.model, second.model]
    listing = shown.listing
    images = len(listing.rows)
    again = shown.images - images
    said = (
        f"read as a preference set ({taken.name}): {count(shown.battles, 'battle')}, "
        f"{count(images, 'image')}, shown again and listed once {count(again, 'time')}; columns "
        f"{', '.join(names)}"
    )
    notes = [said]
    if hashed:
        notes.append("its paths do not tell its images apart: all were read, to go by their bytes")
    return notes + listing.notes({**taken.labels, "model": "model", "seed": "seed"})


def iter_battles(
    paths: Sequence[Path], columns: Mapping[str, str] | None
) -> Iterator[pa.RecordBatch]:
    """Yields the battles of a preference set, a few thousand at a time.

    Raises:
        InputError: a file cannot be read, or is none of a preference set.
    """
    check_columns(columns)
    hashed = not paths_tell(paths, columns)
    listing = Listing("", read_beside(paths[0].parent))
    rows: list[dict[str, Any]] = []
    for path in paths:
        with open_parquet(path) as file:
            for battle in battles_of(file, needed_pairs(file, path, columns), hashed):
                try:
                    row = listing.labels(battle.labels, "")
                    models = [as_label(model) for model in battle.models]
                except ValueError:
                    continue  # a bad item of the arena, named there
                rows.append(
                    {
                        "prompt_id": row["prompt_id"],
                        "model1": models[0],
                        "seed1": battle.seeds[0],
                        "model2": models[1],
                        "seed2": battle.seeds[1],
                        "votes1": battle.votes[0],
                        "votes2": battle.votes[1],
                    }
                )
                if len(rows) == _BATCH:
                    yield pa.RecordBatch.from_pylist(rows, BATTLES_SCHEMA)
                    rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, BATTLES_SCHEMA)
