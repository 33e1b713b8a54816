"""What a body is, and whether one that is no image may pass as it is: only known text may."""

from __future__ import annotations

import codecs
import re
import zlib
from typing import Any, Final

from whodrew.arena.sniff import sniff_format

#: Bytes by which a body is told to be an image or none; of text, which may come in drops.
HEAD_BYTES: Final = 1024
HEAD_BYTES_TEXT: Final = 64
#: Values of ``Content-Encoding`` that are unpacked, and how zlib is told to.
WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}

_TEXTS: Final = frozenset(
    "application/json application/x-ndjson application/ndjson application/jsonl "
    "application/javascript application/x-javascript application/ecmascript".split()
)
_FONTS: Final = ("font/", "application/font-woff")
_FONT_MAGIC: Final = (b"wOFF", b"wOF2", b"\x00\x01\x00\x00", b"OTTO", b"ttcf", b"true")
# Images and archives whose first bytes are text, or may be. Others are no UTF-8, or hold
# bytes that no text has.
_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "a Photoshop file"),
    (b"PK", "a ZIP archive"),
    (b"Rar!", "a RAR archive"),
    (b"PAR1", "a Parquet file"),
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"icns", "an Apple icon"),
    (b"DanM", "MSP"),
    (b"farbfeld", "farbfeld"),
    (b"P7", "PAM"),
    (b"PF", "PFM"),
    (b"Pf", "PFM"),
    (b"#?R", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"Image type:", "IM"),
    (b"id=ImageMagick", "MIFF"),
    (b"gimp xcf", "a GIMP file"),
    (b"/* XPM */", "XPM"),
    (b"! XPM2", "XPM"),
)
# Two letters may begin a word, too: these are formats only before an end of the word.
_SHORT: Final = re.compile(rb"P[7Ff][\r\n]|PK[\x00-\x08]")
_XBM: Final = re.compile(rb"(?>\s|/\*.*?\*/)*+#define\s+\S*width\s+\d", re.DOTALL)
_TAR: Final = (257, b"ustar")
# No text has these (WHATWG, MIME Sniffing, "binary data byte").
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_BLANK: Final = b"\xef\xbb\xbf \t\r\n\x0c"
_DRAWING: Final = re.compile(rb"<(?:[^\s<>/]{1,40}:)?svg|w3\.org/2000/svg", re.IGNORECASE)
_OPENS: Final = re.compile(
    rb"(?><!--.*?-->\s*)*+(?:<svg|<!doctype\s+svg)", re.DOTALL | re.IGNORECASE
)
_TAIL: Final = 64  # no shorter than what ``_DRAWING`` matches
_STEP: Final = 1 << 16


def head_bytes(content_type: str) -> int:
    """Returns how many bytes have to be seen before it is known what a body is."""
    kind = _essence(content_type)
    # XML is no stream of events: it is held until more can be said of it
    return HEAD_BYTES_TEXT if _is_text(kind) and not _is_xml(kind) else HEAD_BYTES


def is_picture(content_type: str, head: bytes) -> bool:
    """Says whether a body is an image, or calls itself one.

    Args:
        content_type: as the application says.
        head: the first bytes, decoded.
    """
    found = sniff_format(head)
    if found == "BMP" and not _BINARY.search(head):
        found = None  # two letters begin many a word; a bitmap's head has zeros
    return found is not None or _essence(content_type).startswith("image/")


def why_refused(content_type: str, head: bytes) -> str | None:
    """Says why a body that is no image may not pass; ``None`` where it may.

    There is no list of all formats that show an image, so this is none of what is bad. What
    passes calls itself text, JSON, JavaScript, CSS, XML or a font, and begins as such.

    Args:
        content_type: as the application says.
        head: the first bytes, decoded.
    """
    kind = _essence(content_type)
    if "," in content_type:  # two headers: who reads them may choose the other
        return f"its content-type is {content_type!r}"
    if kind.startswith(_FONTS):
        return None if head.startswith(_FONT_MAGIC) or not head else "no font that is known"
    if not _is_text(kind):
        return f"its content-type is {content_type!r}, neither an image nor text"
    bare = head.lstrip(_BLANK)
    for magic, name in _MAGIC:
        if bare.startswith(magic) and (len(magic) > 2 or _SHORT.match(bare)):
            return f"it calls itself {kind} and is {name}"
    if head[_TAR[0] :].startswith(_TAR[1]):
        return f"it calls itself {kind} and is a TAR archive"
    if _XBM.match(bare):
        return f"it calls itself {kind} and is XBM"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # may end within a character
    except UnicodeDecodeError:
        return f"it calls itself {kind} and is no UTF-8"
    return None


class Watch:
    """Looks through what passes, as it streams, for what must not.

    In all text: bytes that no text has. In XML: drawings, wherever they begin. In other
    text: drawings that it begins with, for a page may have icons, and a script may.

    Args:
        content_type: as the application says.
        coding: the value of ``Content-Encoding``, one that ``Body`` unpacks.
    """

    def __init__(self, content_type: str, coding: str) -> None:
        kind = _essence(content_type)
        window = WINDOWS.get(coding.strip().lower())
        self._unpack: Any = None if window is None else zlib.decompressobj(window)
        self._is_font = kind.startswith(_FONTS)
        self._is_xml = _is_xml(kind)
        self._begun = False
        self._tail = b""

    def why_not(self, chunk: bytes) -> str | None:
        """Takes the next bytes as they were sent; says why they may not pass.

        Args:
            chunk: the first of them are those by which the body was judged.
        """
        if self._is_font:
            return None
        if self._unpack is None:
            return self._look(chunk)
        try:
            return self._look_within(chunk)
        except zlib.error as error:
            return f"its content-encoding is damaged: {error}"

    def _look_within(self, chunk: bytes) -> str | None:
        while chunk:
            if self._unpack.eof:
                return "its content-encoding is followed by something"
            reason = self._look(self._unpack.decompress(chunk, _STEP))
            if reason is not None:
                return reason
            chunk = self._unpack.unconsumed_tail or self._unpack.unused_data
        return None

    def _look(self, data: bytes) -> str | None:
        if not data:
            return None
        if not self._begun:
            self._begun = True
            bare = data.lstrip(_BLANK)
            self._is_xml = self._is_xml or bare.startswith(b"<?xml")
            if _OPENS.match(bare):
                return "an SVG drawing"
        if _BINARY.search(data):
            return "it calls itself text and holds bytes that no text has"
        if self._is_xml:
            data = self._tail + data
            self._tail = data[-_TAIL:]
            if _DRAWING.search(data):
                return "XML with an SVG drawing in it"
        return None


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind in _TEXTS or kind.endswith("+json") or _is_xml(kind)


def _is_xml(kind: str) -> bool:
    return kind in ("text/xml", "application/xml", "application/xml-dtd") or kind.endswith("+xml")
