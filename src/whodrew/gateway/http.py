"""HTTP as ASGI has it: headers in and out, and bodies in whatever coding."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from whodrew.arena.sniff import IMAGE_EXTENSIONS
from whodrew.gateway.kinds import WINDOWS

Headers = Sequence[tuple[bytes, bytes]]

#: What the application is not asked: its own copies and pieces of an image would tell.
_NOT_ASKED: Final = frozenset(
    {
        b"accept-encoding",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
    }
)
#: By these an application has the server before it send a file, which nobody defends.
SENT_BY_OTHERS: Final = frozenset(
    "x-accel-redirect x-sendfile x-sendfile2 x-lighttpd-send-file x-litespeed-location "
    "x-reproxy-url x-reproxy-file x-reproxy-service".split()
)
#: What a kept header may not be: ours to say, or of the original file.
NEVER_KEPT: Final = SENT_BY_OTHERS | frozenset(
    "accept-ranges age alt-svc cache-control connection content-digest content-disposition "
    "content-dpr content-encoding content-length content-location content-md5 content-range "
    "content-type date digest etag expires last-modified link location refresh repr-digest "
    "server server-timing sourcemap transfer-encoding via want-content-digest want-digest "
    "want-repr-digest x-sourcemap".split()
)


class BodyError(Exception):
    """A body that is not to be had; the message says why."""


def asked(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Returns the headers of a request as the application gets them."""
    return [pair for pair in headers if pair[0].lower() not in _NOT_ASKED]


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """Returns the values of a header, joined by commas; empty where there is none."""
    found = [value for key, value in headers if key.lower() == name]
    return b",".join(found).decode("latin-1").strip()


def matches(condition: str, etag: str) -> bool:
    """Says whether ``If-None-Match`` names an entity tag, compared weakly (RFC 9110)."""
    if condition.strip() == "*":
        return True
    tags = (part.strip().removeprefix("W/") for part in condition.split(","))
    return etag in tags


def sent_by_another(headers: Headers) -> str | None:
    """Returns the name of a header by which another is to send the body, if there is one."""
    names = (name.decode("latin-1").lower() for name, _ in headers)
    return next((name for name in names if name in SENT_BY_OTHERS), None)


def passed(headers: Headers, *, is_empty: bool) -> list[tuple[bytes, bytes]]:
    """Returns the headers of an answer that is no image as they are handed on.

    A ``Refresh`` that names an address is a redirect that nobody looks at; so is either it
    or a ``Link`` where there is no body to go with.

    Args:
        headers: of the response.
        is_empty: it has no body.
    """
    return [
        (name, value)
        for name, value in headers
        if not (
            (name.lower() == b"refresh" and (is_empty or not value.strip().isdigit()))
            or (name.lower() == b"link" and is_empty)
        )
    ]


def route_paths(path: str, root_path: str) -> list[tuple[str, str]]:
    """Returns what a path may be to the application: ``(before, path)``, likeliest first.

    ASGI's path has ``root_path`` in it, where the application was mounted or the server was
    told one; some servers leave it, or its first parts, out.

    Args:
        path: of the request.
        root_path: of the scope.
    """
    found = []
    root = root_path.strip("/")
    while root:
        before = "/" + root
        if path == before or path.startswith(before + "/"):
            found.append((before, path[len(before) :]))
        root = root.partition("/")[2]
    return [*found, ("", path)]


def leads_away(status: int, headers: Headers, scope: Mapping[str, Any]) -> bool:
    """Says whether a redirect would show an image that nobody has defended, or its name.

    Args:
        status: of the response.
        headers: of the response.
        scope: of the request.
    """
    if not 300 <= status < 400:
        return False
    location = urlsplit(header(headers, b"location"))
    here = header(scope.get("headers", ()), b"host")
    if location.netloc and location.netloc != here:
        return True
    names = (location.path.lower(), str(scope.get("path", "")).lower())
    return any(name.endswith(tuple(IMAGE_EXTENSIONS)) for name in names)


class Body:
    """The body of a response as it comes in: decoded, hashed, up to a number of bytes.

    Args:
        coding: the value of ``Content-Encoding``.
        most: bytes, decoded.

    Raises:
        BodyError: the coding is not known.
    """

    def __init__(self, coding: str, most: int) -> None:
        name = coding.strip().lower()
        if name in ("", "identity"):
            self._unpack: Any = None
        elif name in WINDOWS:
            self._unpack = zlib.decompressobj(WINDOWS[name])
        else:
            raise BodyError(f"content-encoding {name!r} is not unpacked: send images as they are")
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0
        self._digest = hashlib.blake2b(digest_size=32)

    @property
    def head(self) -> bytes:
        """The first bytes."""
        return b"".join(self._parts)[:1024] if self._size < 4096 else self.data[:1024]

    @property
    def size(self) -> int:
        """Bytes so far, decoded."""
        return self._size

    @property
    def data(self) -> bytes:
        """All of it."""
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
        return self._parts[0] if self._parts else b""

    @property
    def digest(self) -> bytes:
        """BLAKE2b-256 of all of it."""
        return self._digest.digest()

    def add(self, chunk: bytes) -> None:
        """Takes what came.

        Raises:
            BodyError: its coding is damaged.
        """
        if self._unpack is not None:
            try:
                chunk = self._unpack.decompress(chunk, self._most - self._size + 1)
            except zlib.error as error:
                raise BodyError(f"its content-encoding is damaged: {error}") from error
        self._size += len(chunk)
        self._digest.update(chunk)
        if chunk:
            self._parts.append(chunk)

    def check(self) -> None:
        """Refuses what is too much.

        Raises:
            BodyError: it is.
        """
        if self._size > self._most:
            raise BodyError(f"more than {self._most:,} bytes")

    def end(self) -> None:
        """Says that nothing more comes.

        Raises:
            BodyError: something is missing.
        """
        if self._unpack is not None and not (self._unpack.eof and not self._unpack.unused_data):
            raise BodyError("its content-encoding is cut short, or followed by something")
