"""What ``whodrew identify`` is given: images to name, and references embedded as they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whodrew.arena import (
    BadItem,
    ImageError,
    canonical_form,
    decode,
    image_id,
    list_images,
    read_bytes,
    thumbnail_digest,
)
from whodrew.audit.copies import LEARNERS, Copies, with_copies
from whodrew.audit.forms import canonical_size, container_figure
from whodrew.audit.gathered import Gathered
from whodrew.audit.result import file_name
from whodrew.audit.sources import Report, Source, embedded
from whodrew.encoders.base import Encoder, Pixels
from whodrew.errors import InputError
from whodrew.identify.samples import Floats


@dataclass(frozen=True)
class References:
    """Embedded references.

    Attributes:
        gathered: the references.
        canonical: side they were brought to first, as the images must be; or ``None``.
        copies: what identifiers learn from that learn from copies.
    """

    gathered: Gathered
    canonical: int | None
    copies: Copies


@dataclass(frozen=True)
class Read:
    """An image that was read: vector, identity, container."""

    path: str
    vector: Floats
    image_id: str
    thumbnail: str


def expand(images: Sequence[str | Path]) -> list[str]:
    """Returns the files that are named, and those in folders that are, each once.

    Raises:
        InputError: a file is not there, or none is named.
    """
    paths: list[str] = []
    for given in images:
        path = Path(given)
        if path.is_dir():
            paths += [str(one) for one in list_images(path)]
        elif path.exists():
            paths.append(str(path))
        else:
            raise InputError(f"{path}: no such file or folder; name images, or folders of images")
    if not paths:
        raise InputError("no image given: name files or folders of images")
    return list(dict.fromkeys(paths))


def _cache(source: Source) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.blake2b(str(Path(source.name).resolve()).encode(), digest_size=8).hexdigest()
    return Path(root) / "whodrew" / key


def references_of(
    source: Source,
    encoder: str,
    canonical: int | None,
    paths: list[str],
    store: str | Path | None,
    *,
    identifier: str,
    workers: int | None,
    report: Report | None,
    said: Any,
) -> References:
    """Embeds the references, in the form in which they can be compared with the images."""
    folder = Path(store) if store is not None else _cache(source) / file_name(encoder)

    def seen(size: int | None, where: Path) -> Gathered:
        found = embedded(source, encoder, where, canonical=size, workers=workers, report=report)
        for note in found.notes:
            said(note)
        for item in found.bad:
            said(f"left out of the references: {item.item}: {item.reason}")
        return found.gathered

    def whole(size: int | None, where: Path, gathered: Gathered) -> References:
        made = Copies()
        if identifier in LEARNERS:
            made = with_copies(
                source, encoder, where, gathered, canonical=size, workers=workers, report=report
            )
        for note in made.notes:
            said(note)
        return References(gathered, size, made)

    def shrunk(size: int) -> References:
        where = folder.with_name(f"{folder.name}-canonical-{size}")
        return whole(size, where, seen(size, where))

    if canonical is not None:
        return shrunk(canonical)
    native = seen(None, folder)
    if source.arena is None:
        return whole(None, folder, native)
    container = container_figure(native, 0)
    differs = container is not None and container.differs
    kinds = set(
        zip(native.column("format"), native.column("width"), native.column("height"), strict=True)
    )
    asked = _kinds(paths)
    if not differs and asked <= kinds:
        return whole(None, folder, native)
    sides = [min(width, height) for _, width, height in asked]
    size = min([canonical_size(native), *(side // 8 * 8 for side in sides if side >= 64)])
    why = (
        "size or format differ between the references' models"
        if differs
        else "sizes or formats of the images are not those of the references"
    )
    said(f"{why}: all are brought to {size}x{size} first")
    return shrunk(size)


def _kinds(paths: list[str]) -> set[tuple[str, int, int]]:
    kinds = set()
    for path in paths:
        try:
            image = decode(read_bytes(path))
        except ImageError:
            continue
        kinds.add((image.format, image.width, image.height))
    return kinds


def read_images(
    paths: list[str], encoder: Encoder, size: int | None
) -> tuple[list[Read], list[BadItem]]:
    """Returns what could be read and encoded of the files, and what could not."""
    read: list[Read] = []
    bad: list[BadItem] = []
    for path in paths:
        try:
            data = read_bytes(path)
            pixels: Pixels = decode(data).pixels
        except ImageError as error:
            bad.append(BadItem(path, error.reason))
            continue
        thumbnail = thumbnail_digest(pixels)
        if size is not None:
            pixels = canonical_form(pixels, size)
        read.append(Read(path, encoder.encode([pixels])[0], image_id(data), thumbnail))
    return read, bad
