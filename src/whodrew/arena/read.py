"""From what the user gave to an arena: located, then read by whoever reads its layout."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from whodrew.arena.folders import read_folders
from whodrew.arena.locate import Located, locate
from whodrew.arena.manifests import check_columns, read_manifest, read_text_imagefolder
from whodrew.arena.model import LAYOUTS, Arena, BadItem
from whodrew.arena.paths import absolute, normal
from whodrew.arena.preferences import iter_battles
from whodrew.arena.shards import read_shards
from whodrew.arena.tables import is_preferences, read_parquet
from whodrew.arena.tree import Tree, is_hidden, kind_of
from whodrew.errors import InputError, UsageError


def read_arena(
    source: str | Path,
    *,
    layout: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Arena:
    """Lists an arena, whatever its layout. No image is decoded.

    Args:
        source: a folder of folders of images, a Hugging Face ImageFolder, a manifest
            (CSV, TSV, JSON Lines, Parquet), Parquet with the images inside, WebDataset
            shards, or a folder that holds just one of these; a pattern of shards or Parquet
            files (``dir/{000..010}.tar``, ``dir/*.parquet``); or a data set of the Hub,
            ``hub:owner/name[@revision][/config][:split]``. A folder that holds folders of
            images is never a manifest.
        layout: ``model/prompt`` or ``prompt/model``: which level of folders is which;
            ``None`` finds out.
        columns: our names (``image``, ``model``, ``prompt_id``, ``prompt``, ``seed``) to the
            columns of a table, or the fields of a shard's samples, that hold them.

    Raises:
        UsageError: no such layout, or ``columns`` names what there is not.
        InputError: it does not exist, cannot be read, or holds no image; the message
            says what to do.
        MissingExtraError: it is on the Hub, and ``huggingface_hub`` is not installed.
    """
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: {' or '.join(LAYOUTS)}")
    check_columns(columns)
    said = str(source)
    found = locate(source, columns)
    arena = _read(found, said, layout, columns)
    notes = [*found.notes, *arena.notes]
    if layout is not None and arena.layout not in LAYOUTS:
        notes.append(f"layout {layout} has no effect on an arena of kind {arena.layout}")
    if columns and arena.layout in LAYOUTS:
        notes.append(f"columns have no effect on an arena of kind {arena.layout}")
    return replace(arena, bad=(*found.bad, *arena.bad), notes=tuple(notes))


def read_battles(
    source: str | Path, *, columns: Mapping[str, str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yields the battles of a preference set, a few thousand at a time.

    Rows that are bad items of the arena, for want of a prompt, are left out. Where an image
    has no bytes its seed is null.

    Args:
        source: a preference set, as ``read_arena`` takes it.
        columns: as ``read_arena``.

    Yields:
        Batches of ``BATTLES_SCHEMA``: prompt_id, and model, seed and votes of both images,
        which are those of ``Arena.images``.

    Raises:
        InputError: it is no preference set, or cannot be read.
    """
    check_columns(columns)
    found = locate(source, columns)
    if found.kind != "parquet" or not is_preferences(found.paths, columns):
        raise InputError(
            f"{source} is no preference set: it needs the columns prompt, image1, image2, model1 "
            "and model2"
        )
    yield from iter_battles(found.paths, columns)


def list_images(path: str | Path) -> list[Path]:
    """Lists loose images, for ``identify``: a file itself, or all images below a folder.

    Folders are searched at every depth, symbolic links to folders are not followed,
    hidden files are left out; sorted by path. A file named outright is taken whatever its
    ending: decoding tells.

    Raises:
        InputError: nothing is there, or the folder holds no image.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    found: list[Path] = []
    for at, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [
            Path(at, name) for name in files if kind_of(name) == "image" and not is_hidden(name)
        ]
    if not found:
        raise InputError(f"{path} holds no images")
    return sorted(found)


def _read(
    found: Located, said: str, layout: str | None, columns: Mapping[str, str] | None
) -> Arena:
    paths = list(found.paths)
    if found.kind == "manifest":
        return read_manifest(paths[0], said, columns)
    if found.kind == "parquet":
        return read_parquet(paths, said, root=found.root, columns=columns)
    if found.kind == "shards":
        return read_shards(paths, said, root=found.root, columns=columns)
    assert found.tree is not None
    if found.kind == "imagefolder":
        return _imagefolder(paths, found.tree, said, columns)
    return read_folders(found.tree, said, layout)


def _imagefolder(
    paths: list[Path], tree: Tree, said: str, columns: Mapping[str, str] | None
) -> Arena:
    # every file that some row names, whether or not that row could be used
    seen: set[str] = set()
    if paths[0].suffix == ".parquet":
        arena = read_parquet(
            paths, said, layout="imagefolder", root=tree.root, seen=seen, columns=columns
        )
    else:
        arena = read_text_imagefolder(paths, tree.root, said, seen, columns)
    root = absolute(tree.root)
    there = [*tree.loose, *(f"{top}/{name}" for top, row in tree.shallow.items() for name in row)]
    strangers = [
        BadItem(item, f"not listed in {paths[0].name}")
        for item in there
        if normal(root, item) not in seen
    ]
    return replace(arena, bad=(*arena.bad, *tree.bad, *strangers))
