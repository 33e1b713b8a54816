"""From what the user gave to an arena: which layout it is, and who reads it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from whodrew.arena.containers import is_embedding_table
from whodrew.arena.folders import read_folders
from whodrew.arena.labels import COLUMN_NAMES, find_columns, listed
from whodrew.arena.manifests import read_manifest, read_text_imagefolder
from whodrew.arena.model import LAYOUTS, Arena, BadItem
from whodrew.arena.paths import absolute, normal
from whodrew.arena.tables import has_images, read_parquet
from whodrew.arena.tabular import TEXT_TABLES, read_text_table
from whodrew.arena.tree import Tree, is_hidden, kind_of, scan
from whodrew.errors import InputError, UsageError

_KNOWN: Final = (
    "an arena is a folder <model>/<prompt_id>/<seed>.<ext>, an ImageFolder, a manifest "
    "(.csv, .tsv, .jsonl) or a Parquet file"
)
_METADATA: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def read_arena(source: str | Path, *, layout: str | None = None) -> Arena:
    """Lists an arena, whatever its layout. No image is opened.

    Args:
        source: a folder of folders of images, a Hugging Face ImageFolder, a manifest
            (CSV, TSV, JSON Lines, Parquet), Parquet with the images inside, or a folder
            that holds just one of these. A folder that holds folders of images is never
            a manifest.
        layout: ``model/prompt`` or ``prompt/model``: which level of folders is which;
            ``None`` finds out.

    Raises:
        UsageError: no such layout.
        InputError: it does not exist, cannot be read, or holds no image; the message
            says what to do.
    """
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: {' or '.join(LAYOUTS)}")
    said = str(source)
    path = Path(source)
    if not path.exists():
        raise InputError(f"{said}: no such file or folder; {_KNOWN}")
    arena = _read_folder(path, said, layout) if path.is_dir() else _read_file(path, said)
    if layout is not None and arena.layout not in LAYOUTS:
        note = f"layout {layout} has no effect on an arena of kind {arena.layout}"
        arena = replace(arena, notes=(*arena.notes, note))
    return arena


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


def _read_file(path: Path, said: str) -> Arena:
    ending = path.suffix.lower()
    if ending in TEXT_TABLES:
        return read_manifest(path, said)
    if ending in (".parquet", ".pq"):
        return read_parquet([path], said)
    if kind_of(path.name) == "image":
        raise InputError(f"{said} is one image; {_KNOWN}")
    raise InputError(f"{said} is not an arena whodrew can read; {_KNOWN}")


def _read_folder(path: Path, said: str, layout: str | None) -> Arena:
    tree = scan(path)
    if tree.holds_image_folders:
        splits = _splits(tree)
        return _imagefolder(splits, tree, said) if splits else read_folders(tree, said, layout)
    metadata = [path / name for name in _METADATA if name in tree.tables]
    if metadata:
        return _imagefolder(metadata[:1], tree, said)
    if "data" in tree.empty and not tree.tables:
        # as the Hub lays out data sets: README.md and data/train-00000-of-00001.parquet
        inner = scan(path / "data")
        if inner.tables and not inner.holds_image_folders:
            return _one_manifest(inner, said)
    return _one_manifest(tree, said)


def _splits(tree: Tree) -> list[Path]:
    """Returns the metadata of each split, where every folder of images has its own."""
    if tree.cells or tree.deep or not tree.shallow:
        return []
    found = []
    for top in tree.shallow:
        folder = tree.root / top
        own = [folder / name for name in _METADATA if (folder / name).is_file()]
        if not own:
            return []
        found.append(own[0])
    return found if len({path.suffix for path in found}) == 1 else []


def _imagefolder(paths: list[Path], tree: Tree, said: str) -> Arena:
    # every file that some row names, whether or not that row could be used
    seen: set[str] = set()
    if paths[0].suffix == ".parquet":
        arena = read_parquet(paths, said, layout="imagefolder", root=tree.root, seen=seen)
    else:
        arena = read_text_imagefolder(paths, tree.root, said, seen)
    root = absolute(tree.root)
    there = [*tree.loose, *(f"{top}/{name}" for top, row in tree.shallow.items() for name in row)]
    strangers = [
        BadItem(item, f"not listed in {paths[0].name}")
        for item in there
        if normal(root, item) not in seen
    ]
    bad = (*arena.bad, *tree.bad, *strangers)
    return replace(arena, bad=bad)


def _one_manifest(tree: Tree, said: str) -> Arena:
    """Reads the only manifest of a folder without folders of images."""
    files = [tree.root / name for name in tree.tables]
    parquet = [path for path in files if path.suffix.lower() == ".parquet" and has_images(path)]
    texts = [path for path in files if path.suffix.lower() in TEXT_TABLES and _lists_images(path)]
    if parquet and not texts:
        return read_parquet(parquet, said)
    if len(texts) == 1 and not parquet:
        return read_manifest(texts[0], said)
    if texts:
        names = listed([path.name for path in (*texts, *parquet)])
        raise InputError(f"{said} holds more than one manifest ({names}): give one by its path")
    if is_embedding_table(tree.root):
        raise InputError(f"{said} holds embeddings, not images: it is an embedding store")
    if tree.loose:
        raise InputError(
            f"{said} holds loose images that nothing labels; {_KNOWN}; to name the models of "
            "loose images use 'whodrew identify'"
        )
    if len(files) == 1:
        return _read_file(files[0], said)  # which says what its columns lack
    raise InputError(f"{said} holds no images; {_KNOWN}")


def _lists_images(path: Path) -> bool:
    try:
        columns = list(read_text_table(path).columns)
    except InputError:
        return False
    return "image" in find_columns(columns, {"image": COLUMN_NAMES["image"]})
