"""The segments of a JPEG file before its first scan."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from whodrew.arena import ImageError
from whodrew.leaks.metadata import (
    MOST_BLOCK,
    c2pa_items,
    comment_items,
    exif_items,
    icc_items,
    iptc_items,
    xmp_items,
)
from whodrew.leaks.values import Value, as_text, digest, items, shown

_MOST_SEGMENTS: Final = 4096
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_CODING: Final = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless"}
_MODES: Final = {1: "grey", 3: "RGB", 4: "CMYK"}
_SUBSAMPLING: Final = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
}
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_FIRST: Final = b"\0\0\0\1"  # number of a box's first segment
_MORE_XMP: Final = b"http://ns.adobe.com/xmp/extension/\0"


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields (marker, content) up to the first scan, of what is there of them."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":
            at += 1  # fill bytes
        if data[at : at + 1] != b"\xff" or at + 1 >= len(data):
            return
        marker = data[at + 1]
        if marker in _ALONE:
            at += 2
            continue
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xDA, 0xD9) or size < 2:
            yield marker, b""
            return
        yield marker, data[at + 4 : at + 2 + size]
        at += 2 + size


def read_jpeg(data: bytes) -> tuple[tuple[int, int], dict[str, Value]]:
    """Returns (width, height) and the fields of a JPEG file.

    Raises:
        ImageError: it has no frame header before its first scan.
    """
    frame: tuple[int, bytes] | None = None
    order: list[str] = []
    blocks: dict[str, list[bytes]] = {}
    tables: dict[int, bytes] = {}
    huffman: list[bytes] = []
    restart = 0
    marks: list[str] = []
    for marker, body in segments(data):
        if marker in _FRAMES:
            frame = frame or (marker, body)
            order.append("SOF")
        elif marker == 0xDB:
            tables |= _quantisation(body)
            order.append("DQT")
        elif marker == 0xC4:
            huffman += _huffman(body)
            order.append("DHT")
        elif marker == 0xDD:
            restart = int.from_bytes(body[:2], "big")
        elif marker == 0xFE:
            blocks.setdefault("comment", []).append(body)
        elif 0xE0 <= marker <= 0xEF:
            kind, content = _application(marker, body)
            if kind:
                blocks.setdefault(kind, []).append(content)
            else:
                marks.append(as_text(content))
    if frame is None or len(frame[1]) < 6 + 3 * frame[1][5]:
        raise ImageError("JPEG: no frame header")
    marker, header = frame
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    optimised = "no"
    if huffman:
        optimised = "standard" if set(huffman) <= _standard_huffman() else "optimised"
    coding = f"{_CODING.get(marker, 'arithmetic or hierarchical')}, Huffman tables: {optimised}"
    coding += f", restart every {restart}" if restart else ""
    comments = [as_text(one) for one in blocks.get("comment", [])]
    fields: dict[str, Value] = {
        "bit_depth": f"{_MODES.get(header[5], f'{header[5]} components')} {header[0]} bit",
        "jpeg_tables": _tables(tables),
        "jpeg_subsampling": _subsampling(header),
        "jpeg_coding": coding,
        "encoder_marks": "; ".join([*marks, *_counted(order), *_after(data)]),
        "comment": items(pair for one in comments for pair in comment_items("comment", one)),
        "exif": exif_items(_joined(blocks, "exif")),
        "xmp": xmp_items(_joined(blocks, "xmp")),
        "iptc": iptc_items(_joined(blocks, "photoshop")),
        "icc_profile": icc_items(_joined(blocks, "icc")),
        "c2pa": c2pa_items(_joined(blocks, "jumbf") if "jumbf" in blocks else None),
    }
    return (width, height), fields


def _joined(blocks: dict[str, list[bytes]], kind: str) -> bytes:
    return b"".join(blocks.get(kind, []))[:MOST_BLOCK]


def _application(marker: int, body: bytes) -> tuple[str, bytes]:
    """Returns which block an application segment belongs to; none for a mark of the encoder."""
    if marker == 0xE1 and body[:6] == b"Exif\0\0":
        return "exif", body
    if marker == 0xE1 and body.startswith((_XMP, _MORE_XMP)):
        return "xmp", body.split(b"\0", 1)[1]
    if marker == 0xE2 and body[:12] == b"ICC_PROFILE\0":
        return "icc", body[14:]
    if marker == 0xED and body[:13] == b"Photoshop 3.0":
        return "photoshop", body[14:]
    if marker == 0xEB and body[:2] == b"JP" and (b"jumb" in body[:32] or body[4:8] > _FIRST):
        return "jumbf", body[8:]
    return "", _mark(marker, body).encode()


def _mark(marker: int, body: bytes) -> str:
    if marker == 0xE0 and body[:5] == b"JFIF\0" and len(body) >= 14:
        across, down = int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big")
        unit = ("aspect", "dpi", "dpcm")[body[7]] if body[7] < 3 else f"unit {body[7]}"
        thumbnail = ", thumbnail" if body[12] * body[13] else ""
        return f"JFIF {body[5]}.{body[6]:02d} {across}x{down} {unit}{thumbnail}"
    if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
        return f"Adobe transform {body[11]}"
    name = shown(as_text(body.split(b"\0", 1)[0][:24]))
    return f"APP{marker - 0xE0} {name}".strip()


def _counted(order: list[str]) -> list[str]:
    counts = Counter(order)
    if order and order == sorted(order, key=("DQT", "SOF", "DHT").index):
        return [f"DQT {counts['DQT']}, DHT {counts['DHT']}"]
    return [f"DQT {counts['DQT']}, DHT {counts['DHT']}, in the order {'-'.join(order[:12])}"]


def _after(data: bytes) -> list[str]:
    end = data.rfind(b"\xff\xd9")
    rest = len(data) - end - 2 if end >= 0 else 0
    return ["bytes after the image"] if rest and any(data[end + 2 : end + 66]) else []


def _quantisation(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(body) and len(found) < 4:
        size = 128 if body[at] >> 4 else 64
        found[body[at] & 15] = body[at + 1 : at + 1 + size]
        at += 1 + size
    return found


def _huffman(body: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at + 17 <= len(body) and len(found) < 8:
        size = 17 + sum(body[at + 1 : at + 17])
        found.append(body[at : at + size])
        at += size
    return found


@cache
def _standard_huffman() -> frozenset[bytes]:
    """The tables of the standard's Annex K, as libjpeg writes them when told not to optimise."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", optimize=False)
    bodies = [body for marker, body in segments(out.getvalue()) if marker == 0xC4]
    return frozenset(table for body in bodies for table in _huffman(body))


@cache
def _standard_quantisation() -> npt.NDArray[np.int64]:
    """(100, 64) luminance tables of libjpeg at quality 1 to 100, as they stand in files."""
    tables = []
    for quality in range(1, 101):
        out = io.BytesIO()
        Image.new("L", (8, 8)).save(out, "JPEG", quality=quality)
        (body,) = [body for marker, body in segments(out.getvalue()) if marker == 0xDB]
        tables.append(np.frombuffer(body[1:65], np.uint8))
    return np.array(tables, dtype=np.int64)


def _tables(tables: dict[int, bytes]) -> str:
    return _described(tuple(sorted(tables.items())))


@lru_cache(maxsize=4096)
def _described(tables: tuple[tuple[int, bytes], ...]) -> str:
    """Returns the quality that quantisation tables stand for, and a digest of them all."""
    if not tables:
        return "none"
    first = tables[0][1]
    width = np.dtype(">u2") if len(first) == 128 else np.dtype(np.uint8)
    if len(first) not in (64, 128):
        return f"damaged ({digest(first)})"
    luminance = np.frombuffer(first, width).astype(np.int64)
    distance = np.abs(_standard_quantisation() - luminance).sum(axis=1)
    quality = int(distance.argmin()) + 1
    near = "quality" if distance.min() == 0 else "own tables, near quality"
    whole = b"".join(bytes([code]) + table for code, table in tables)
    return f"{near} {quality} ({digest(whole)})"


def _subsampling(header: bytes) -> str:
    if header[5] == 1:
        return "grey"
    factors = [divmod(header[7 + 3 * at], 16) for at in range(header[5])]
    plain = all(one == (1, 1) for one in factors[1:3])
    if plain and factors[0] in _SUBSAMPLING and header[5] == 3:
        return _SUBSAMPLING[factors[0]]
    return " ".join(f"{across}x{down}" for across, down in factors[:4])
