"""WebDataset shards: tar archives whose members are grouped to samples by their keys."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa

from whodrew.arena.beside import read_beside
from whodrew.arena.containers import open_parquet
from whodrew.arena.decode import DEFAULT_LIMITS
from whodrew.arena.labels import COLUMN_NAMES, find_columns, listed
from whodrew.arena.manifests import Listing, check_columns
from whodrew.arena.model import Arena, BadItem
from whodrew.arena.paths import absolute, item_name
from whodrew.arena.sniff import FOREIGN_IMAGE_EXTENSIONS, IMAGE_EXTENSIONS
from whodrew.arena.tar import Archive, Flaw, Member, printable
from whodrew.arena.tree import is_hidden, kind_of
from whodrew.errors import InputError

_KEY: Final = re.compile(r"((?:.*/)?[^./][^/.]*)\.([^/]+)", re.DOTALL)
_LARGEST_TEXT: Final = 4 << 20
_IMAGES: Final = IMAGE_EXTENSIONS | FOREIGN_IMAGE_EXTENSIONS
_LABELS: Final = ("model", "prompt_id", "prompt", "seed")
#: Parts of a sample that hold one label each, besides those named as columns are.
_PARTS: Final = {"prompt": ("txt",), "model": ("cls",)}
_NAMES: Final = {ours: (*COLUMN_NAMES[ours], *_PARTS.get(ours, ())) for ours in _LABELS}
_TEXTS: Final = frozenset(name for names in _NAMES.values() for name in names)


@dataclass
class _Sample:
    key: str
    parts: dict[str, Member] = field(default_factory=dict)


@dataclass
class _Shards:
    """Shards being read, one after the other.

    Attributes:
        listing: what was listed so far.
        columns: our names to fields, as the user gave them.
        found: our names to the fields that were taken for them, with how often.
        fields: all fields met, for messages.
        aside: endings of members left aside.
        used: (model, prompt_id, key) of images whose seed is their key.
    """

    listing: Listing
    columns: Mapping[str, str]
    found: dict[str, Counter[str]] = field(
        default_factory=lambda: {ours: Counter() for ours in _LABELS}
    )
    fields: dict[str, None] = field(default_factory=dict)
    aside: Counter[str] = field(default_factory=Counter)
    used: set[tuple[str | None, str, str]] = field(default_factory=set)
    known: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)

    def read(self, path: Path, where: str) -> None:
        """Adds the samples of one shard.

        Raises:
            InputError: it is no tar archive.
        """
        beside = self._beside(path, where)
        with Archive(path) as archive:
            for sample in self._samples(archive, where):
                item = f"{where}::{printable(sample.key)}"
                try:
                    image = self._image(sample)
                    if image is None:
                        continue
                    item = f"{where}::{image.name}"
                    if image.size > DEFAULT_LIMITS.max_bytes:
                        raise ValueError(
                            f"{image.size:,} bytes, more than the limit of "
                            f"{DEFAULT_LIMITS.max_bytes:,}"
                        )
                    row = self._labels(archive, sample, beside, path.stem)
                except ValueError as error:
                    self.listing.bad.append(BadItem(item, str(error)))
                    continue
                place: dict[str, Any] = {
                    "container": absolute(path),
                    "row": image.offset,
                    "column": image.name,
                }
                self.listing.rows.add(item, **row, **place)

    def _samples(self, archive: Archive, where: str) -> Iterator[_Sample]:
        """Groups members by key: what lies before the first dot of the base name."""
        samples: dict[str, _Sample] = {}
        bad = self.listing.bad
        for member in archive.members():
            if isinstance(member, Flaw):
                name = f"{where}::{printable(member.name)}" if member.name else where
                bad.append(BadItem(name, member.reason))
                continue
            plain = member.name
            while plain.startswith("./"):
                plain = plain[2:]
            if any(map(is_hidden, plain.split("/"))):
                self.aside["hidden and system files"] += 1
                continue
            match = _KEY.fullmatch(plain)
            if match is None:
                bad.append(BadItem(f"{where}::{member.name}", "no ending: it belongs to no sample"))
                continue
            key, ending = match.group(1), match.group(2).lower()
            sample = samples.setdefault(key, _Sample(key))
            if ending in sample.parts:
                bad.append(BadItem(f"{where}::{member.name}", "the same name as a member before"))
            else:
                sample.parts[ending] = member
        yield from samples.values()

    def _image(self, sample: _Sample) -> Member | None:
        """Returns the image of a sample, ``None`` where it is no sample at all.

        Raises:
            ValueError: it has none, or several.
        """
        if wanted := self.columns.get("image"):
            images = [ending for ending in sample.parts if ending == wanted.lower().lstrip(".")]
        else:
            images = [ending for ending in sample.parts if f".{ending}" in _IMAGES]
            images = images or [
                ending for ending in sample.parts if PurePosixPath(f"x.{ending}").suffix in _IMAGES
            ]
        others = [ending for ending in sample.parts if ending not in images]
        if not images:
            for ending in others:
                name = sample.parts[ending].name
                if ending == "json" or ending in _TEXTS:
                    raise ValueError("no image under this key")
                if kind_of(name) == "unknown":
                    raise ValueError(f"not an image (.{printable(ending)})")
                self.aside[f".{ending}"] += 1
            return None
        if len(images) > 1:
            raise ValueError(
                f"several images under this key ({', '.join(sorted(images))}): say which to take, "
                f"as in columns image={min(images)}"
            )
        for ending in others:
            if ending != "json" and ending not in _TEXTS:
                self.aside[f".{printable(ending)}"] += 1
        return sample.parts[images[0]]

    def _labels(
        self, archive: Archive, sample: _Sample, beside: Mapping[str, dict[str, Any]], shard: str
    ) -> dict[str, Any]:
        """Returns the labels of one sample as ``Rows.add`` takes them.

        Raises:
            ValueError: they cannot be used; says why.
        """
        stem = sample.key.rpartition("/")[2]
        fields = beside.get(stem, {})
        if not {"model", "prompt", "seed"} <= set(self._find(fields)):
            fields = {**self._fields(archive, sample), **fields}
        found = self._find(fields)
        for ours, theirs in found.items():
            self.found[ours][theirs] += 1
        for name in fields:
            if len(self.fields) < 100:
                self.fields.setdefault(name)
        cells = {ours: fields[theirs] for ours, theirs in found.items()}
        row = self.listing.labels(cells, stem)
        if "seed" not in found:
            # keys of several shards may be the same numbers
            if (row["model"], row["prompt_id"], stem) in self.used:
                row["seed"] = f"{shard}/{sample.key}"
            self.used.add((row["model"], row["prompt_id"], stem))
        return row

    def _find(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """Maps our names to those of the fields that hold something."""
        there = tuple(name for name, value in fields.items() if value is not None)
        if there not in self.known:
            given = {ours: name for ours, name in self.columns.items() if name in there}
            found = find_columns(there, {ours: _NAMES[ours] for ours in _LABELS})
            # a name the user gave is not replaced by another that happens to be there
            kept = {ours: name for ours, name in found.items() if ours not in self.columns}
            given.pop("image", None)
            if len(self.known) > 1000:
                self.known.clear()
            self.known[there] = kept | given
        return self.known[there]

    def _fields(self, archive: Archive, sample: _Sample) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        named = {name for ours, name in self.columns.items() if ours != "image"}
        for ending, member in sample.parts.items():
            is_label = ending in _TEXTS or ending in named
            if ending == "json" or (is_label and f".{ending}" not in _IMAGES):
                if member.size > _LARGEST_TEXT:
                    raise ValueError(
                        f"its .{ending} has {member.size:,} bytes: too many for labels"
                    )
                data = archive.read(member.offset, member.size)
                try:
                    text = data.decode("utf-8-sig")
                except UnicodeDecodeError:
                    raise ValueError(f"its .{ending} is not UTF-8") from None
                if ending != "json":
                    fields.setdefault(ending, text.rstrip("\r\n"))
                    continue
                try:
                    content = json.loads(text)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"its .json is not JSON: {error}") from None
                if not isinstance(content, dict):
                    raise ValueError("its .json holds no object")
                fields |= content
        return fields

    def _beside(self, path: Path, where: str) -> dict[str, dict[str, Any]]:
        """Reads ``00000.parquet`` beside ``00000.tar``: labels by key; nothing where none is."""
        table = path.with_suffix(".parquet")
        if not table.is_file():
            return {}
        name = str(PurePosixPath(where).with_suffix(".parquet"))
        rows: dict[str, dict[str, Any]] = {}
        try:
            with open_parquet(table) as file:
                names = file.schema_arrow.names
                if "key" not in names:
                    self.listing.beside.notes.append(f"{name} is not used: it has no column 'key'")
                    return {}
                known = find_columns(names, {ours: COLUMN_NAMES[ours] for ours in _LABELS})
                wanted = {*known.values(), *(set(self.columns.values()) & set(names))}
                for batch in file.iter_batches(4096, columns=["key", *sorted(wanted - {"key"})]):
                    for row in batch.to_pylist():
                        rows[str(row["key"])] = row
        except (InputError, OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:200]
            self.listing.bad.append(BadItem(name, f"its labels cannot be read: {reason}"))
        return rows

    def notes(self) -> list[str]:
        """Returns what has to be said of the shards as a whole."""
        most = {ours: names.most_common(1)[0][0] for ours, names in self.found.items() if names}
        notes = self.listing.notes(most, what="field", stem="the key of the sample")
        if "model" not in most and self.fields:
            notes.append(
                f"fields found: {listed(list(self.fields), 12)}; columns model=FIELD names one"
            )
        for ours, names in self.found.items():
            if len(names) > 1:
                which = ", ".join(f"{name!r} {number:,} times" for name, number in names.items())
                notes.append(f"{ours} from several fields: {which}")
        if self.aside:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.aside.most_common(12))
            notes.append(f"members of the shards left aside: {kinds}")
        return notes


def read_shards(
    paths: Sequence[Path],
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    root: Path | None = None,
) -> Arena:
    """Reads WebDataset shards as one arena; their images are located, not read.

    Memory: the labels of all images, and the members' names of one shard.

    Args:
        paths: tar archives, in order.
        source: what the user gave.
        columns: our names (``model``, ``prompt_id``, ``prompt``, ``seed``, ``image``) to the
            fields or endings that hold them.
        root: the folder that items are named from; default: that of the first shard.

    Raises:
        UsageError: ``columns`` names what there is not.
        InputError: no shard can be read, or none has an image with a prompt.
    """
    check_columns(columns)
    root = root or paths[0].parent
    listing = Listing(absolute(root), read_beside(root))
    shards = _Shards(listing, columns or {})
    refused: list[InputError] = []
    for path in paths:
        where = item_name(path, root)
        try:
            shards.read(path, where)
        except InputError as error:
            refused.append(error)
            listing.bad.append(BadItem(where, str(error)))
        except OSError as error:
            refused.append(InputError(f"cannot read {path}: {error.strerror or error}"))
            listing.bad.append(BadItem(where, error.strerror or str(error)))
    if len(refused) == len(paths):
        raise refused[0]
    if not len(listing.rows) and not (shards.found["prompt"] or shards.found["prompt_id"]):
        fields = listed(list(shards.fields), 12) if shards.fields else "none"
        if any(item.reason.startswith("neither a prompt_id") for item in listing.bad):
            raise InputError(
                f"{source} names no prompts: each sample needs a .txt, or a .json with a field "
                f"'prompt' or 'prompt_id'; fields found: {fields}; "
                "columns prompt=FIELD names another"
            )
    for ours, name in (columns or {}).items():
        if ours != "image" and name not in shards.found.get(ours, ()):
            fields = listed(list(shards.fields), 12) if shards.fields else "none"
            raise InputError(f"{source} has no field {name!r} for {ours}: found {fields}")
    return listing.arena({}, source, "webdataset", paths[0].name, notes=shards.notes())
