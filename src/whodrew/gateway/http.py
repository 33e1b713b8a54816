"""HTTP as ASGI has it: headers in and out, bodies in whatever coding, what a body is."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from whodrew.arena.sniff import IMAGE_EXTENSIONS, sniff_format, why_not_an_image

Headers = Sequence[tuple[bytes, bytes]]
#: Bytes by which a body is told to be an image or none; of text, which may come in drops.
HEAD_BYTES: Final = 1024
HEAD_BYTES_TEXT: Final = 64

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
#: What a kept header may not be: ours to say, or of the original file.
NEVER_KEPT: Final = frozenset(
    "accept-ranges age alt-svc cache-control connection content-digest content-disposition "
    "content-encoding content-length content-location content-md5 content-range content-type "
    "date digest etag expires last-modified link location server transfer-encoding via".split()
)
_TEXTS: Final = ("text/", "application/json", "application/x-ndjson")
_PICTURES: Final = ("image/", "video/", "multipart/")
_NO_PICTURES: Final = ("an HTML page", "JSON", "not an image of a known format", "the file is")
_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


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


def head_bytes(content_type: str) -> int:
    """Returns how many bytes have to be seen before it is known what a body is."""
    is_text = content_type.strip().lower().startswith(_TEXTS)
    return HEAD_BYTES_TEXT if is_text else HEAD_BYTES


def is_picture(content_type: str, head: bytes) -> bool:
    """Says whether a body must not be shown as it is.

    That is everything but text and what nobody knows: images in any format, drawings,
    films, archives, and whatever calls itself an image.

    Args:
        content_type: as the application says.
        head: the first bytes, decoded.
    """
    if content_type.strip().lower().startswith(_PICTURES):
        return True
    if not head:
        return False
    if sniff_format(head) is not None:
        return True
    return not why_not_an_image(head).startswith(_NO_PICTURES) and any(head)


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
        elif name in _WINDOWS:
            self._unpack = zlib.decompressobj(_WINDOWS[name])
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
