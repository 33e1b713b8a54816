"""What lies in a folder, two levels down, by one pass of ``os.scandir``; nothing opened."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final, Literal

from whodrew.arena.model import BadItem
from whodrew.arena.sniff import FOREIGN_IMAGE_EXTENSIONS, IMAGE_EXTENSIONS
from whodrew.errors import InputError

# Files that stand beside images without being any: captions, tables, our own outputs.
_SIDECARS: Final = frozenset(
    ".txt .caption .json .jsonl .ndjson .csv .tsv .md .rst .yaml .yml .toml .xml .xmp .html "
    ".htm .log .parquet .npy .npz .pt .safetensors .lock .ini .cfg .py .sh .ipynb".split()
)
_SIDECAR_NAMES: Final = ("readme", "license", "licence", "notice", "copying", "changelog")
_SYSTEM_NAMES: Final = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}
)
_OWN_MARKS: Final = ("audit.json", "card.json", ".whodrew-sample.json")
_DEEPEST: Final = 6  # how far below a cell images are looked for, to be reported

Kind = Literal["image", "sidecar", "unknown"]


@dataclass
class Cell:
    """One folder on the second level: ``top/sub``, and the names of its images, sorted."""

    top: str
    sub: str
    images: list[str]


@dataclass
class Tree:
    """What a folder holds.

    Attributes:
        root: the folder.
        loose: images directly in it.
        shallow: images one level down, by folder.
        cells: folders two levels down that hold images.
        deep: folders further down that hold images, relative, with how many.
        empty: folders on the first level without any image below, and cells without one
            in folders that have some.
        tables: files in the root that could be manifests.
        bad: what is no image and no known sidecar, and what cannot be read.
        sidecars: files left aside, by ending.
        hidden: how many hidden and system files were left aside.
    """

    root: Path
    loose: list[str] = field(default_factory=list)
    shallow: dict[str, list[str]] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    deep: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    bad: list[BadItem] = field(default_factory=list)
    sidecars: Counter[str] = field(default_factory=Counter)
    hidden: int = 0

    @property
    def holds_image_folders(self) -> bool:
        """Whether any folder below holds an image: then it is never a manifest."""
        return bool(self.cells or self.deep or any(self.shallow.values()))


def kind_of(name: str) -> Kind:
    """Says by its name alone whether a file is listed, left aside, or reported."""
    ending = PurePath(name).suffix.lower()
    if ending in IMAGE_EXTENSIONS or ending in FOREIGN_IMAGE_EXTENSIONS:
        return "image"
    if ending in _SIDECARS or (not ending and name.lower().startswith(_SIDECAR_NAMES)):
        return "sidecar"
    return "unknown"


def is_hidden(name: str) -> bool:
    """Whether a name belongs to the file system rather than to the user."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def scan(root: Path) -> Tree:
    """Lists a folder down to its cells.

    Symbolic links are followed, except to a folder above themselves.

    Raises:
        InputError: ``root`` cannot be listed.
    """
    tree = Tree(root)
    try:
        tops, files = _split(tree, "", tree.root)
    except OSError as error:
        raise InputError(f"cannot list {root}: {error.strerror}") from error
    for name in files:
        kind = kind_of(name)
        if kind == "image":
            tree.loose.append(name)
        elif PurePath(name).suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"):
            tree.tables.append(name)
        # anything else in the root belongs to the user, not to the arena
    for top in tops:
        if not _own(tree, top):
            _scan_top(tree, top)
    return tree


def _own(tree: Tree, folder: str) -> bool:
    """Tells and counts a folder that whodrew wrote: an audit, a store or a sample."""
    own = any(os.path.lexists(os.path.join(tree.root, folder, name)) for name in _OWN_MARKS)
    if own:
        tree.sidecars["folders of whodrew's own"] += 1
    return own


def _scan_top(tree: Tree, top: str) -> None:
    listed = _list(tree, top)
    if listed is None:
        return
    subs, files = listed
    images = _images(tree, top, files)
    if images:
        tree.shallow[top] = images
    empty = []
    before = len(tree.cells) + len(tree.deep)
    for sub in subs:
        if _own(tree, f"{top}/{sub}"):
            continue
        listed = _list(tree, f"{top}/{sub}")
        if listed is None:
            continue
        below, files = listed
        images = _images(tree, f"{top}/{sub}", files)
        for folder in below:
            _look_deeper(tree, f"{top}/{sub}/{folder}")
        if images:
            tree.cells.append(Cell(top, sub, images))
        elif not below:
            empty.append(f"{top}/{sub}")
    if len(tree.cells) + len(tree.deep) == before and not images:
        tree.empty.append(top)
    else:
        tree.empty += empty


def _images(tree: Tree, folder: str, files: list[str]) -> list[str]:
    images = []
    for name in files:
        kind = kind_of(name)
        if kind == "image":
            images.append(name)
        elif kind == "sidecar":
            tree.sidecars[PurePath(name).suffix.lower() or name] += 1
        else:
            ending = PurePath(name).suffix or "no ending"
            tree.bad.append(BadItem(f"{folder}/{name}", f"not an image ({ending})"))
    return images


def _look_deeper(tree: Tree, folder: str) -> None:
    """Counts images in and below a folder that lies too deep to be read."""
    base = os.path.join(tree.root, folder)
    for at, folders, files in os.walk(base):
        relative = os.path.relpath(at, tree.root).replace(os.sep, "/")
        if relative.count("/") >= _DEEPEST:
            folders.clear()
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        if found := sum(kind_of(name) == "image" and not is_hidden(name) for name in files):
            tree.deep[_printable(relative)] = found


def _list(tree: Tree, folder: str) -> tuple[list[str], list[str]] | None:
    try:
        return _split(tree, folder, Path(tree.root, folder))
    except OSError as error:
        tree.bad.append(BadItem(folder, f"cannot be listed: {error.strerror}"))
        return None


def _split(tree: Tree, relative: str, folder: Path) -> tuple[list[str], list[str]]:
    """Returns names of folders and of files in ``folder``, each sorted."""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if is_hidden(name):
                tree.hidden += 1
                continue
            item = f"{relative}/{name}" if relative else name
            if not name.isascii() and _printable(name) != name:
                tree.bad.append(BadItem(_printable(item), "its name is not valid UTF-8"))
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError as error:  # a symbolic link to itself, for one
                tree.bad.append(BadItem(item, f"cannot be read: {error.strerror}"))
                continue
            if is_folder and entry.is_symlink() and _leads_up(folder, entry.path):
                tree.bad.append(BadItem(item, "a symbolic link to a folder above itself"))
            elif is_folder:
                folders.append(name)
            elif is_file:
                files.append(name)
            elif entry.is_symlink():
                tree.bad.append(BadItem(item, "a symbolic link to nothing"))
            else:
                tree.bad.append(BadItem(item, "not a regular file"))
    folders.sort()
    files.sort()
    return folders, files


def _leads_up(folder: Path, link: str) -> bool:
    target = os.path.realpath(link)
    here = os.path.realpath(folder)
    return here == target or here.startswith(target.rstrip(os.sep) + os.sep)


def _printable(name: str) -> str:
    """Returns a name without the lone surrogates that stand for undecodable bytes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
