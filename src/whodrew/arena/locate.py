"""From what the user gave to files: which layout it is. Nothing but names and schemas."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from whodrew.arena.containers import is_embedding_table
from whodrew.arena.hub import PREFIX, fetch, local, parse, read_card
from whodrew.arena.hublayout import METADATA, Chosen, has_configs
from whodrew.arena.labels import COLUMN_NAMES, find_columns, listed
from whodrew.arena.model import BadItem
from whodrew.arena.patterns import expand, is_pattern, missing_parts
from whodrew.arena.tables import has_images
from whodrew.arena.tabular import TEXT_TABLES, read_text_table
from whodrew.arena.tree import Tree, kind_of, scan
from whodrew.errors import InputError

KNOWN: Final = (
    "an arena is a folder <model>/<prompt_id>/<seed>.<ext>, an ImageFolder, a manifest "
    "(.csv, .tsv, .jsonl), Parquet files, WebDataset shards (.tar) or hub:owner/name"
)
_PARQUET: Final = (".parquet", ".pq")
_PACKED: Final = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
Kind = Literal["folders", "imagefolder", "manifest", "parquet", "shards"]


@dataclass(frozen=True)
class Located:
    """Where an arena lies.

    Attributes:
        kind: who reads it.
        paths: its files: tables, or shards; none for folders of images.
        root: the folder that items are named from.
        tree: what that folder holds, where it is one of images.
        notes: what has to be said.
        bad: files that should be there and are not.
    """

    kind: Kind
    paths: tuple[Path, ...]
    root: Path
    tree: Tree | None = None
    notes: tuple[str, ...] = ()
    bad: tuple[BadItem, ...] = ()


def locate(source: str | Path, columns: Mapping[str, str] | None = None) -> Located:
    """Finds out what an arena is.

    Args:
        source: as ``read_arena`` takes it.
        columns: our names to the table's, which override those they go by.

    Raises:
        UsageError: a pattern of too many files, or no name of a data set.
        InputError: it does not exist, or is nothing that can be read.
        MissingExtraError: a data set of the Hub, and ``huggingface_hub`` is not installed.
    """
    said = str(source)
    path = Path(source)
    if path.is_dir():
        return _folder(path, said, columns)
    if path.exists():
        return _file(path, said)
    if said.startswith(PREFIX):
        return _hub(said, columns)
    if is_pattern(said):
        return _pattern(said)
    if said.lower().endswith(_PACKED):
        _file(path, said)
    raise InputError(f"{said}: no such file or folder; {KNOWN}")


def _file(path: Path, said: str) -> Located:
    ending = path.suffix.lower()
    if ending in TEXT_TABLES:
        return Located("manifest", (path,), path.parent)
    if ending in _PARQUET:
        return Located("parquet", (path,), path.parent)
    if ending == ".tar":
        return Located("shards", (path,), path.parent)
    if path.name.lower().endswith(_PACKED):
        raise InputError(
            f"{said} is compressed: images are read by their place in the archive; decompress it "
            "first (for one, gzip -d), images hardly shrink anyway"
        )
    if kind_of(path.name) == "image":
        raise InputError(f"{said} is one image; {KNOWN}")
    raise InputError(f"{said} is not an arena whodrew can read; {KNOWN}")


def _pattern(said: str) -> Located:
    paths = expand(said)
    there = [path for path in paths if path.is_file()]
    if not there:
        raise InputError(f"{said}: matches no file; {KNOWN}")
    kinds = {_file(path, str(path)).kind for path in there}
    if len(kinds) > 1 or "manifest" in kinds:
        raise InputError(
            f"{said} has to name shards (.tar) or Parquet files, of one kind: it names "
            f"{listed(sorted({path.suffix for path in there}))}"
        )
    folders = [str(path.parent) for path in paths]
    root = Path(folders[0] if len(set(folders)) == 1 else os.path.commonpath(folders) or ".")
    bad = [BadItem(str(path), "no such file") for path in paths if not path.is_file()]
    gaps = missing_parts([path.name for path in there]) if len(set(folders)) == 1 else []
    named = {Path(item.item).name for item in bad}
    bad += [item for item in gaps if item.item not in named]
    return Located(kinds.pop(), tuple(there), root, bad=tuple(bad))


def _hub(said: str, columns: Mapping[str, str] | None) -> Located:
    spec = parse(said)
    if spec.folder is None:
        folder, chosen = fetch(spec)
    else:
        folder = spec.folder
        if spec.config is None and spec.split is None and not _is_hub_layout(folder):
            return _folder(folder, said, columns)
        chosen = local(folder, spec.config, spec.split)
    return _chosen(folder, chosen, said, columns)


def _chosen(folder: Path, chosen: Chosen, said: str, columns: Mapping[str, str] | None) -> Located:
    if chosen.kind == "imagefolder":
        found = _folder(folder, said, columns)
        return Located(found.kind, found.paths, found.root, found.tree, chosen.notes, chosen.bad)
    paths = tuple(folder / file for file in chosen.files)
    if is_embedding_table(paths[0]):
        raise InputError(f"{said} holds embeddings, not images: it is an embedding store")
    return Located(chosen.kind, paths, folder, None, chosen.notes, chosen.bad)


def _is_hub_layout(folder: Path) -> bool:
    card = read_card(folder)
    return card is not None and has_configs(card)


def _folder(path: Path, said: str, columns: Mapping[str, str] | None) -> Located:
    tree = scan(path)
    if tree.holds_image_folders:
        if splits := _splits(tree):
            return Located("imagefolder", tuple(splits), path, tree)
        return Located("folders", (), path, tree)
    metadata = [path / name for name in METADATA if name in tree.tables]
    if metadata:
        return Located("imagefolder", tuple(metadata[:1]), path, tree)
    if _is_hub_layout(path):
        return _chosen(path, local(path), said, columns)
    if "data" in tree.empty and not tree.tables:
        # as the Hub lays out data sets: README.md and data/train-00000-of-00001.parquet
        inner = scan(path / "data")
        if not inner.holds_image_folders and (inner.tables or _shards(path / "data")):
            return _tables(inner, said, columns)
    return _tables(tree, said, columns)


def _splits(tree: Tree) -> list[Path]:
    """Returns the metadata of each split, where every folder of images has its own."""
    if tree.cells or tree.deep or not tree.shallow:
        return []
    found = []
    for top in tree.shallow:
        folder = tree.root / top
        own = [folder / name for name in METADATA if (folder / name).is_file()]
        if not own:
            return []
        found.append(own[0])
    return found if len({path.suffix for path in found}) == 1 else []


def _tables(tree: Tree, said: str, columns: Mapping[str, str] | None) -> Located:
    """Finds the only manifest, or the shards, of a folder without folders of images."""
    shards = _shards(tree.root)
    # 00000.parquet beside 00000.tar has the labels of its samples
    stems = {path.stem for path in shards}
    files = [tree.root / name for name in tree.tables if Path(name).stem not in stems]
    parquet = [
        path for path in files if path.suffix.lower() in _PARQUET and has_images(path, columns)
    ]
    texts = [
        path
        for path in files
        if path.suffix.lower() in TEXT_TABLES and _lists_images(path, columns)
    ]
    if shards and not parquet and not texts:
        return Located("shards", tuple(shards), tree.root, bad=_gaps(shards))
    if parquet and not texts and not shards:
        return Located("parquet", tuple(parquet), tree.root, bad=_gaps(parquet))
    if len(texts) == 1 and not parquet and not shards:
        return Located("manifest", (texts[0],), tree.root)
    if texts or shards:
        names = listed([path.name for path in (*texts, *parquet, *shards)])
        raise InputError(f"{said} holds more than one manifest ({names}): give one by its path")
    if is_embedding_table(tree.root):
        raise InputError(f"{said} holds embeddings, not images: it is an embedding store")
    if tree.loose:
        raise InputError(
            f"{said} holds loose images that nothing labels; {KNOWN}; to name the models of "
            "loose images use 'whodrew identify'"
        )
    if len(files) == 1:
        return _file(files[0], said)  # reading it says what its columns lack
    packed = sorted(name for name in os.listdir(tree.root) if name.lower().endswith(_PACKED))
    if packed:
        return _file(tree.root / packed[0], str(tree.root / packed[0]))  # which says why not
    if tree.empty and (chosen := _deeper(tree.root)):
        return _chosen(tree.root, chosen, said, columns)
    raise InputError(f"{said} holds no images; {KNOWN}")


def _deeper(folder: Path) -> Chosen | None:
    """Finds data files in folders of configurations or splits, as data sets have them."""
    try:
        return local(folder)
    except InputError:
        return None


def _gaps(paths: Sequence[Path]) -> tuple[BadItem, ...]:
    return tuple(missing_parts([path.name for path in paths]))


def _shards(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(".tar")
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    return [folder / name for name in sorted(names)]


def _lists_images(path: Path, columns: Mapping[str, str] | None) -> bool:
    try:
        names = list(read_text_table(path).columns)
    except InputError:
        return False
    if (given := (columns or {}).get("image")) is not None:
        return given in names
    return "image" in find_columns(names, {"image": COLUMN_NAMES["image"]})
