"""Files of a store: written whole or not at all, locked, swept."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from whodrew.embed.lease import leased
from whodrew.embed.places import ObjectPath, Place, each
from whodrew.errors import InputError, UsageError, WhodrewError

LOCK_FILE: Final = "lock"
TEMPORARY: Final = ".tmp"


def write_atomically(path: Place, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file so that it is there whole or not at all, through a crash too.

    Args:
        path: the file.
        write: gets the open binary file and writes the content.
    """
    if isinstance(path, ObjectPath):
        content = io.BytesIO()
        write(content)
        path.write_bytes(content.getbuffer())  # one put: whole or not at all
        return
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY}")
    try:
        with temporary.open("xb") as sink:
            write(sink)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_kept(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file as ``write_atomically`` does, in a folder that is made where it is missing.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or path}: {error.strerror}") from error


def sync_folder(folder: Place) -> None:
    """Makes renames and removals in a folder last, where the system can."""
    if isinstance(folder, ObjectPath):
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:  # nor do some network file systems sync them
        pass
    finally:
        os.close(handle)


def is_lock(name: str) -> bool:
    """Tells whether a file of a store has to do with its lock."""
    return name == LOCK_FILE or (name.startswith(f"{LOCK_FILE}-") and name.endswith(".json"))


def remove(files: Iterable[Place]) -> None:
    """Removes files, those that are gone already included."""
    each(files, lambda file: file.unlink(missing_ok=True))


def sweep(folder: Place) -> None:
    """Removes what killed runs left unfinished. Call it under the lock."""
    remove(folder.glob(f"*{TEMPORARY}"))


@contextlib.contextmanager
def locked(folder: Place) -> Iterator[None]:
    """Holds the lock of a store; there is one writer at a time.

    The lock of a folder is the operating system's, so that the death of its holder frees
    it; the file only says who holds it, and stays. For object storage see ``leased``.

    Raises:
        UsageError: another process holds it; the message names it.
        WhodrewError: the folder cannot be written.
    """
    if isinstance(folder, ObjectPath):
        with leased(folder, LOCK_FILE, _me()):
            yield
        return
    file = folder / LOCK_FILE
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WhodrewError(f"cannot write to the store {folder}: {error.strerror}") from error
    try:
        try:
            _lock(handle)
        except OSError as error:
            raise UsageError(_held(file)) from error
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(_me()).encode())
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        # far behind the content, so that others can read who holds it
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _me() -> dict[str, Any]:
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": started}


def _held(file: Path) -> str:
    try:
        who = json.loads(file.read_text("utf-8"))
        holder = f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        holder = "another process"
    return (
        f"the store {file.parent} is being written by {holder}: "
        "wait for it, stop it, or give another --store"
    )
