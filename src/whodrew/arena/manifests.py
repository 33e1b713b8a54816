"""Tables that list images: CSV, TSV, JSON Lines; the rules shared with Parquet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from whodrew.arena.beside import Beside, read_beside
from whodrew.arena.labels import (
    COLUMN_NAMES,
    as_label,
    count,
    derive_prompt_id,
    find_columns,
    listed,
    nfc,
)
from whodrew.arena.model import Arena, BadItem
from whodrew.arena.paths import absolute, is_inside, item_name, normal, why_missing
from whodrew.arena.rows import Rows, build_arena
from whodrew.arena.tabular import read_text_table
from whodrew.errors import InputError, UsageError

_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass
class Listing:
    """A manifest being read, one row after the other.

    Attributes:
        folder: absolute; relative paths start here and may not leave it; that of the table
            at hand.
        beside: the tables beside the manifest.
        rows: what was listed.
        texts: prompt_id to text, as the rows tell.
        bad: rows that could not be used.
        unnamed: rows without a model in a table that has models.
        derived: prompt ids that were derived from texts.
        torn: prompt ids under which the table has more than one text.
        ids: text to the prompt id derived from it.
        seen: absolute paths of all files named, in rows good or bad.
    """

    folder: str
    beside: Beside
    rows: Rows = field(default_factory=Rows)
    texts: dict[str, str] = field(default_factory=dict)
    bad: list[BadItem] = field(default_factory=list)
    unnamed: int = 0
    derived: set[str] = field(default_factory=set)
    torn: set[str] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def labels(self, cells: Mapping[str, Any], stem: str) -> dict[str, Any]:
        """Returns the labels of one row as ``Rows.add`` takes them.

        Args:
            cells: our names (``model``, ``prompt_id``, ``prompt``, ``seed``) to values;
                a name is absent where the table has no such column.
            stem: stands in for a missing seed.

        Raises:
            ValueError: the row cannot be used; says why.
        """
        values = {}
        for name in ("model", "prompt_id", "prompt", "seed"):
            try:
                values[name] = as_label(cells.get(name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        prompt, prompt_id = values["prompt"], values["prompt_id"]
        if prompt_id is None:
            if prompt is None:
                raise ValueError("neither a prompt_id nor a prompt")
            prompt_id = self.ids.get(prompt)
            if prompt_id is None:
                prompt_id = self.ids[prompt] = derive_prompt_id(prompt)
                self.derived.add(prompt_id)
        if prompt is None:
            prompt = self.texts.get(prompt_id) or self.beside.prompt(prompt_id)
        else:
            first = self.texts.setdefault(prompt_id, prompt)
            if first == prompt:
                prompt = first  # one copy of a text, however many rows have it
            elif nfc(first) != nfc(prompt):
                self.torn.add(prompt_id)
        if values["model"] is None and "model" in cells:
            self.unnamed += 1
        seed = values["seed"] or stem
        return {"model": values["model"], "prompt_id": prompt_id, "prompt": prompt, "seed": seed}

    def notes(
        self,
        found: Mapping[str, str],
        *,
        what: str = "column",
        stem: str = "the stem of the file name",
    ) -> list[str]:
        """Returns what has to be said of the table as a whole.

        Args:
            found: our names to the columns that were taken for them.
            what: what such a column is called here.
            stem: what is taken for a missing seed.
        """
        notes = []
        renamed = [
            f"{ours} from {theirs!r}"
            for ours, theirs in found.items()
            if theirs != ours and theirs not in ("path", "file_name")
        ]
        if renamed:
            notes.append(f"{what}s taken: " + ", ".join(renamed))
        if "model" not in found:
            notes.append(f"no {what} 'model': every image is anonymous")
        elif self.unnamed:
            notes.append(f"{count(self.unnamed, 'row')} without a model taken as anonymous")
        if "seed" not in found:
            notes.append(f"no {what} 'seed': {stem} is taken")
        if self.derived:
            number = count(len(self.derived), "prompt_id")
            notes.append(f"{number} derived from the prompts' texts")
        if self.torn:
            notes.append(
                f"more than one text under one prompt_id, the first is kept in the list of "
                f"prompts: {listed(sorted(self.torn))}"
            )
        return notes

    def arena(
        self,
        found: Mapping[str, str],
        source: str,
        layout: str,
        name: str,
        notes: Sequence[str] | None = None,
    ) -> Arena:
        """Finishes the listing.

        Args:
            found: our names to the columns that were taken for them.
            source: what the user gave.
            layout: how it was read.
            name: the table, for messages.
            notes: what has to be said; made from ``found`` where not given.

        Raises:
            InputError: not one image could be listed.
        """
        if not len(self.rows):
            if self.bad:
                first = self.bad[0]
                more = f" (and {len(self.bad) - 1:,} more)" if len(self.bad) > 1 else ""
                raise InputError(
                    f"{name} lists no image that can be used: {first.item}: {first.reason}{more}"
                )
            raise InputError(f"{name} has no rows: one row an image is needed")
        return build_arena(
            self.rows,
            self.beside,
            source=source,
            layout=layout,
            bad=self.bad,
            notes=self.notes(found) if notes is None else list(notes),
            texts=self.texts,
            storage_order=any(place is not None for place in self.rows.container),
        )


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """Reads ``model=generator,prompt_id=pid`` as ``read_arena`` takes it.

    Raises:
        UsageError: it is not of that form, names what there is not, or names one twice.
    """
    given: dict[str, str] = {}
    pairs = [pair for text in texts for pair in text.split(",")]
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        ours = ours.strip()
        if not equals:
            raise UsageError(f"columns {pair!r}: write OURS=THEIRS, as in model=generator")
        if ours in given:
            raise UsageError(f"columns name {ours} twice")
        given[ours] = theirs.strip()
    check_columns(given)
    return given


def check_columns(given: Mapping[str, str] | None) -> None:
    """Refuses a mapping of columns that names what there is not.

    Raises:
        UsageError: a name is not one of ours, or stands for nothing.
    """
    for ours, theirs in (given or {}).items():
        if ours not in COLUMN_NAMES:
            raise UsageError(f"no such column {ours!r}: name {', '.join(COLUMN_NAMES)}")
        if not theirs:
            raise UsageError(f"{ours} is taken from a column without a name: give one")


def take_columns(
    columns: Sequence[str],
    name: str,
    *,
    image: bool = True,
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Finds the columns of a manifest by the names they go by.

    Args:
        columns: the table's columns.
        name: the table, for messages.
        image: whether a column of paths is needed.
        given: our names to the table's, which override those they go by.

    Returns:
        Our names to the table's.

    Raises:
        UsageError: ``given`` names what there is not.
        InputError: no image or no prompt column, or one of ``given`` is not there; the
            message lists what was found.
    """
    check_columns(given)
    found = find_columns(columns, COLUMN_NAMES)
    what = listed(list(columns), 12)
    for ours, theirs in (given or {}).items():
        if theirs not in columns:
            raise InputError(f"{name} has no column {theirs!r} for {ours}: found {what}")
        found[ours] = theirs
    if image and "image" not in found:
        raise InputError(
            f"{name} names no images: it needs a column 'path' or 'file_name' (one of "
            f"{', '.join(COLUMN_NAMES['image'])}), found {what}"
        )
    if "prompt_id" not in found and "prompt" not in found:
        raise InputError(
            f"{name} names no prompts: it needs a column 'prompt_id' or 'prompt' "
            f"(whodrew holds out whole prompts), found {what}"
        )
    return found


def resolve(value: Any, folder: str) -> str:
    """Returns the absolute path of an image that a manifest names.

    A relative path starts at the manifest and may not lead out of its folder: a manifest
    from elsewhere must not pick files by ``../..``. An absolute path says exactly what it
    means and is taken. Remote addresses are not fetched.

    Raises:
        ValueError: it cannot be used; says why.
    """
    text = as_label(value)
    if text is None:
        raise ValueError("no path")
    if "\x00" in text:
        raise ValueError("a path with a null character")
    if _REMOTE.match(text):
        raise ValueError(f"{text}: remote addresses are not fetched, download the images first")
    path = normal(folder, text)
    if not is_inside(path, folder) and not PurePath(text).is_absolute():
        raise ValueError(
            f"{text} leads out of the manifest's folder: write the absolute path, or move the "
            "manifest above the images"
        )
    if reason := why_missing(path):
        raise ValueError(f"{text}: {reason}")
    return path


def read_manifest(path: Path, source: str, columns: Mapping[str, str] | None = None) -> Arena:
    """Reads a CSV, TSV or JSON Lines manifest, one row an image.

    Args:
        path: the table.
        source: what the user gave.
        columns: our names to the table's, which override those they go by.

    Raises:
        InputError: unreadable, without the columns it needs, or without a usable row.
    """
    listing = Listing(absolute(path.parent), read_beside(path.parent, skip=path))
    found = _list_table(listing, path, path.parent, columns)
    return listing.arena(found, source, "manifest", path.name)


def read_text_imagefolder(
    paths: Sequence[Path],
    root: Path,
    source: str,
    seen: set[str],
    columns: Mapping[str, str] | None = None,
) -> Arena:
    """Reads a Hugging Face ImageFolder whose metadata are CSV or JSON Lines.

    Args:
        paths: one ``metadata.*`` for each split.
        root: the folder the splits lie in; items are named from here.
        source: what the user gave.
        seen: filled with the absolute paths of all files named.
        columns: as ``read_manifest``.

    Raises:
        InputError: as ``read_manifest``.
    """
    listing = Listing(absolute(root), read_beside(root))
    found: dict[str, str] = {}
    for path in paths:
        found |= _list_table(listing, path, root, columns)
    seen |= listing.seen
    return listing.arena(found, source, "imagefolder", paths[0].name)


def _list_table(
    listing: Listing, path: Path, root: Path, given: Mapping[str, str] | None
) -> dict[str, str]:
    """Adds the rows of one table; returns which columns were taken for what."""
    table = read_text_table(path)
    found = take_columns(list(table.columns), str(path), given=given)
    listing.folder = absolute(path.parent)
    listing.beside.notes += table.notes
    listing.bad += table.bad
    images = table.columns[found["image"]]
    labels = {ours: table.columns[theirs] for ours, theirs in found.items() if ours != "image"}
    where = item_name(path, root)
    base = absolute(root)
    for at, value in enumerate(images):
        try:
            file = resolve(value, listing.folder)
            listing.seen.add(file)
            cells = {ours: column[at] for ours, column in labels.items()}
            row = listing.labels(cells, PurePath(file).stem)
        except ValueError as error:
            listing.bad.append(BadItem(f"{where}, line {table.lines[at]}", str(error)))
            continue
        listing.rows.add(item_name(file, base), path=file, **row)
    return found
