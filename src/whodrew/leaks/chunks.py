"""The chunks of PNG and WebP files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from whodrew.arena import ImageError
from whodrew.arena.sniff import webp_canvas
from whodrew.leaks.metadata import (
    MOST_BLOCK,
    c2pa_items,
    comment_items,
    exif_items,
    icc_items,
    xmp_items,
)
from whodrew.leaks.values import Value, as_text, inflated, items, shown

_MOST_CHUNKS: Final = 1 << 16
_COLOURS: Final = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
#: What other fields tell of, or what depends on the pixels alone.
_TOLD: Final = {*_TEXTS, b"eXIf", b"iCCP", b"caBX", b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS"}
_XMP_KEY: Final = "XML:com.adobe.xmp"


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields (type, start, end) of the content of each chunk, of what is there of them."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            return
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        yield kind, at + 8, min(at + 8 + size, len(data))
        at += 12 + size
        if kind == b"IEND":
            if at < len(data) and any(data[at : at + 64]):
                yield b"after", at, len(data)
            return


def read_png(data: bytes) -> tuple[tuple[int, int], dict[str, Value]]:
    """Returns (width, height) and the fields of a PNG file.

    Raises:
        ImageError: it has no header.
    """
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise ImageError("PNG: no header")
    size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    texts: list[tuple[str, str]] = []
    xmp = exif = profile = b""
    manifest: bytes | None = None
    marks: list[str] = ["interlaced"] if data[28] else []
    pixels: list[tuple[int, int]] = []
    for kind, start, end in _png_chunks(data):
        body = data[start : min(end, start + MOST_BLOCK)]
        if kind == b"IDAT":
            pixels.append((start, end - start))
        elif kind in _TEXTS:
            key, text = _text(kind, body)
            if key == _XMP_KEY:
                xmp = text.encode("utf-8", "replace")
            elif len(texts) < 64:
                texts += comment_items(key, text)
        elif kind == b"eXIf":
            exif = body
        elif kind == b"iCCP":
            profile = inflated(body.split(b"\0", 1)[-1][1:], MOST_BLOCK)
        elif kind == b"caBX":
            manifest = body
        elif kind == b"after":
            marks.append("bytes after the image")
        elif kind not in _TOLD and len(marks) < 24:
            marks.append(_png_mark(kind, body))
    fields: dict[str, Value] = {
        "bit_depth": f"{_COLOURS.get(data[25], f'colour type {data[25]}')} {data[24]} bit",
        "encoder_marks": "; ".join([*marks, _level(data, pixels)]),
        "png_text": items(texts),
        "exif": exif_items(exif),
        "xmp": xmp_items(xmp),
        "icc_profile": icc_items(profile),
        "c2pa": c2pa_items(manifest),
    }
    sizes = {length for _, length in pixels[:-1]}
    if len(pixels) >= 3 and len(sizes) == 1:  # shorter files do not show where a writer cuts
        fields["png_pieces"] = f"IDAT of {sizes.pop()} bytes"
    return size, fields


def _text(kind: bytes, body: bytes) -> tuple[str, str]:
    key, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        content = rest
    elif kind == b"zTXt":
        content = inflated(rest[1:])
    else:
        packed, rest = rest[:1] == b"\1", rest[2:]
        content = rest.split(b"\0", 2)[-1]
        content = inflated(content) if packed else content
    return as_text(key[:80]), as_text(content)


def _png_mark(kind: bytes, body: bytes) -> str:
    name = shown(as_text(kind))
    if kind == b"pHYs" and len(body) >= 9:
        across, down = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
        return f"pHYs {across}x{down} unit {body[8]}"
    if kind in (b"gAMA", b"sRGB", b"sBIT", b"cICP", b"bKGD"):
        return f"{name} {body[:8].hex()}"
    return name


def _level(data: bytes, pixels: list[tuple[int, int]]) -> str:
    """Returns the two bytes in which zlib says its window and level."""
    if not pixels:
        return "no IDAT"
    return f"zlib {data[pixels[0][0] : pixels[0][0] + 2].hex()}"


def read_webp(data: bytes) -> tuple[tuple[int, int], dict[str, Value]]:
    """Returns (width, height) and the fields of a WebP file.

    Raises:
        ImageError: its header is damaged.
    """
    size = webp_canvas(data)
    if size is None:
        raise ImageError("WEBP: the header is damaged")
    kinds: list[str] = []
    found: dict[bytes, bytes] = {}
    at, count = 12, 0
    alpha = False
    while at + 8 <= len(data) and count < _MOST_CHUNKS:
        kind = data[at : at + 4]
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + min(length, MOST_BLOCK)]
        if kind == b"VP8X" and body:
            alpha |= bool(body[0] & 0x10)
        elif kind == b"VP8L" and len(body) >= 5:
            alpha |= bool(body[4] & 0x10)
        elif kind in (b"ICCP", b"EXIF", b"XMP ", b"C2PA"):
            found.setdefault(kind, body)
        if kind not in (b"ICCP", b"EXIF", b"XMP ", b"C2PA", b"VP8X", b"ALPH"):
            name = shown(as_text(kind))
            if name not in kinds and len(kinds) < 16:
                kinds.append(name)
        at += 8 + length + length % 2
        count += 1
    fields: dict[str, Value] = {
        "bit_depth": "RGBA 8 bit" if alpha else "RGB 8 bit",
        "encoder_marks": "; ".join(kinds),
        "exif": exif_items(found.get(b"EXIF", b"")),
        "xmp": xmp_items(found.get(b"XMP ", b"")),
        "icc_profile": icc_items(found.get(b"ICCP", b"")),
        "c2pa": c2pa_items(found.get(b"C2PA")),
    }
    return size, fields
