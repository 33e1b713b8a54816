"""Defended files kept under keyed names: in memory, and in a folder if one is given."""

from __future__ import annotations

import contextlib
import hmac
import os
import threading
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Final

from whodrew.defend import Secret
from whodrew.errors import InputError
from whodrew.gateway.names import keyed

_ENDING: Final = ".blind"
_SEAL: Final = 32
_LEFT: Final = 0.9  # of the bound, once it was exceeded


class MemoryCache:
    """The files used last, up to a number of bytes; safe for many threads.

    Args:
        most: bytes; 0 keeps nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return self._bytes

    def get(self, key: str) -> bytes | None:
        """Returns a file, ``None`` where it is not held."""
        with self._lock:
            data = self._files.get(key)
            if data is not None:
                self._files.move_to_end(key)
            return data

    def put(self, key: str, data: bytes) -> None:
        """Keeps a file, dropping those not used for longest; one too large is not kept."""
        if len(data) > self._most:
            return
        with self._lock:
            before = self._files.pop(key, b"")
            self._files[key] = data
            self._bytes += len(data) - len(before)
            while self._bytes > self._most:
                _, dropped = self._files.popitem(last=False)
                self._bytes -= len(dropped)


class FolderCache:
    """Files in a folder, each sealed under the secret; several processes may share it.

    What is not as it was written, an image put there by somebody else for one, is not
    served. That it cannot be written is no reason to show nothing.

    Args:
        folder: made where there is none.
        secret: the operator's.
        most: bytes; those not used for longest go first.

    Raises:
        InputError: the folder cannot be made or listed.
    """

    def __init__(self, folder: Path, secret: Secret, most: int) -> None:
        self._folder = folder
        self._secret = secret
        self._most = most
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._bytes = sum(size for _, size, _ in self._listing())
        except OSError as error:
            raise InputError(
                f"cannot use the folder {folder}: {error.strerror or error}"
            ) from error

    def get(self, key: str) -> bytes | None:
        """Returns a file, ``None`` where it is not there or not as it was written."""
        file = self._file(key)
        try:
            sealed = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        data = sealed[_SEAL:]
        return data if hmac.compare_digest(sealed[:_SEAL], self._seal(key, data)) else None

    def put(self, key: str, data: bytes) -> None:
        """Keeps a file."""
        file = self._file(key)
        unfinished = file.with_name(f"{uuid.uuid4().hex}.tmp")
        try:
            unfinished.write_bytes(self._seal(key, data) + data)
            unfinished.replace(file)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            return
        with self._lock:
            self._bytes += len(data) + _SEAL
            if self._bytes > self._most:
                self._shrink()

    def _shrink(self) -> None:
        with contextlib.suppress(OSError):
            files = sorted(self._listing())
            self._bytes = sum(size for _, size, _ in files)
            for _, size, file in files:
                if self._bytes <= _LEFT * self._most:
                    break
                file.unlink(missing_ok=True)
                self._bytes -= size

    def _listing(self) -> list[tuple[int, int, Path]]:
        found = []
        for file in self._folder.glob(f"*{_ENDING}"):
            with contextlib.suppress(FileNotFoundError):
                info = file.stat()
                found.append((info.st_mtime_ns, info.st_size, file))
        return found

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}{_ENDING}"

    def _seal(self, key: str, data: bytes) -> bytes:
        return keyed(self._secret, "whodrew.seal", key.encode(), data, size=_SEAL)
