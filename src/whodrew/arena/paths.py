"""Paths as text: what ``pathlib`` has no words for, or is too slow for by the 100,000."""

from __future__ import annotations

import os
from pathlib import Path


def absolute(path: str | Path) -> str:
    """Returns the absolute path without ``.`` and ``..``; symbolic links stay as they are."""
    return os.path.abspath(path)


def normal(folder: str, text: str) -> str:
    """Returns ``text`` seen from ``folder``, without ``.`` and ``..``."""
    return os.path.normpath(os.path.join(folder, text))


def is_inside(path: str, folder: str) -> bool:
    """Whether ``path`` lies below ``folder``; both absolute and normal."""
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def item_name(path: str | Path, root: str | Path) -> str:
    """Returns how a file is named in messages: from ``root`` where it lies below, by ``/``."""
    file = path if isinstance(path, str) else absolute(path)
    base = root if isinstance(root, str) else absolute(root)
    if not is_inside(file, base):
        return file
    return file[len(base.rstrip(os.sep)) + 1 :].replace(os.sep, "/")


def why_missing(path: str) -> str | None:
    """Returns why ``path`` is no file that could be read, ``None`` where it is one."""
    if os.path.isfile(path):
        return None
    return "is a folder" if os.path.isdir(path) else "no such file"
