"""What is written inside metadata blocks: EXIF, XMP, IPTC, ICC profiles, C2PA manifests.

Nothing in them is executed, fetched, verified or believed: they are searched for what tells
one model's files from another's. EXIF is Pillow's to parse. Of the others a few bounded
fields are looked up; no XML is parsed and no profile is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from PIL import ExifTags, Image

from whodrew.leaks.values import (
    MOST_ITEMS,
    MOST_TEXT,
    Items,
    as_text,
    digest,
    items,
    stated,
)

#: Nothing longer is given to a parser.
MOST_BLOCK: Final = 1 << 20
UNREADABLE: Final[Items] = (("unreadable", ""),)
PRESENT: Final = "present"

_SUBDIRECTORIES: Final = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)
_OPAQUE: Final = {ExifTags.IFD.MakerNote}
_TEXTS: Final = {"ImageDescription", "UserComment", "XPComment", "XPTitle"}
_XMP: Final = re.compile(
    r"(?:[\w.-]{1,32}:)?(CreatorTool|DigitalSourceType|Credit|Software|Producer|xmptk|AISystemUsed"
    r"|AISystemVersionUsed|History)"
    r"\s{0,8}(?:=\s{0,8}[\"']([^\"']{0,200})"
    r"|>\s{0,80}(?:<rdf:\w{1,8}>\s{0,80}<rdf:li[^>]{0,80}>)?([^<]{1,200}))"
)
_IPTC: Final = {
    (2, 5): "object name",
    (2, 40): "instructions",
    (2, 65): "originating program",
    (2, 70): "program version",
    (2, 80): "by-line",
    (2, 105): "headline",
    (2, 110): "credit",
    (2, 115): "source",
    (2, 116): "copyright",
    (2, 120): "caption",
}


def exif_items(block: bytes) -> Items:
    r"""Returns the tags of an EXIF block with their values, those of places without.

    Args:
        block: TIFF structure, with or without ``Exif\0\0`` before it.
    """
    if not block:
        return ()
    try:
        exif = Image.Exif()
        exif.load(block[:MOST_BLOCK])
        pairs = list(_tags(dict(exif), ExifTags.TAGS))
        for pointer in _SUBDIRECTORIES:
            if pointer not in exif:
                continue
            names = ExifTags.GPSTAGS if pointer == ExifTags.IFD.GPSInfo else ExifTags.TAGS
            found = dict(exif.get_ifd(pointer))
            if pointer == ExifTags.IFD.GPSInfo:
                found = dict.fromkeys(found, "")
            pairs += _tags(found, names)
    except Exception:  # Pillow's parser raises nearly every kind there is
        return UNREADABLE
    return items(pairs) or UNREADABLE


def _tags(found: dict[Any, Any], names: dict[int, str]) -> Iterator[tuple[str, str]]:
    for tag, value in list(found.items())[:MOST_ITEMS]:
        if tag in _SUBDIRECTORIES:
            continue
        name = str(names.get(tag, f"tag {tag}"))
        if tag in _OPAQUE:
            yield name, PRESENT
            continue
        text = _plain(value)
        if name in _TEXTS:
            yield from stated(name, text)
        yield name, text


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        head = value[:8].rstrip(b"\0 ")
        if head in (b"ASCII", b"UNICODE", b"JIS"):  # the character set of a UserComment
            body = value[8 : 8 + MOST_TEXT]
            if head == b"UNICODE":
                wide = "utf-16-le" if body[1:2] == b"\0" else "utf-16-be"
                return body.decode(wide, "replace")
            return as_text(body)
        return as_text(value)
    if isinstance(value, tuple):
        return " ".join(str(one) for one in value[:16])
    return str(value)[:MOST_TEXT]


def xmp_items(block: bytes) -> Items:
    """Returns whether there is an XMP packet, and what it says of the tool that made the file."""
    if not block:
        return ()
    pairs = [("packet", PRESENT)]
    for match in _XMP.finditer(as_text(block)):
        value = match.group(2) if match.group(2) is not None else match.group(3)
        if value.strip():
            pairs.append((match.group(1), value))
    return items(pairs)


def iptc_items(block: bytes) -> Items:
    """Returns the data sets of IPTC-IIM in a Photoshop resource block (JPEG APP13)."""
    pairs: list[tuple[str, str]] = []
    at = 0
    while (at := block.find(b"8BIM", at, MOST_BLOCK)) >= 0 and len(pairs) < MOST_ITEMS:
        kind = int.from_bytes(block[at + 4 : at + 6], "big")
        name = block[at + 6] if at + 6 < len(block) else 0
        body = at + 6 + (name + 2) // 2 * 2
        size = int.from_bytes(block[body : body + 4], "big")
        if kind == 0x0404:
            pairs += _data_sets(block[body + 4 : body + 4 + min(size, MOST_BLOCK)])
        else:
            pairs.append((f"resource {kind}", PRESENT))
        at += 4
    return items(pairs)


def _data_sets(data: bytes) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    at = 0
    while at + 5 <= len(data) and data[at] == 0x1C and len(pairs) < MOST_ITEMS:
        key = data[at + 1], data[at + 2]
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        name = _IPTC.get(key, f"{key[0]}:{key[1]:03d}")
        known = key in _IPTC
        pairs.append((name, as_text(data[at + 5 : at + 5 + size]) if known else PRESENT))
        at += 5 + size
    return pairs


def icc_items(profile: bytes) -> Items:
    """Returns the description and a digest of an ICC profile, which is not loaded."""
    if not profile:
        return ()
    return items([("profile", _description(profile) or PRESENT), ("digest", digest(profile))])


def _description(profile: bytes) -> str:
    count = min(int.from_bytes(profile[128:132], "big"), 100)
    for entry in range(132, 132 + 12 * count, 12):
        if profile[entry : entry + 4] != b"desc":
            continue
        at = int.from_bytes(profile[entry + 4 : entry + 8], "big")
        kind = profile[at : at + 4]
        if kind == b"desc":
            size = min(int.from_bytes(profile[at + 8 : at + 12], "big"), 200)
            return as_text(profile[at + 12 : at + 12 + size].split(b"\0")[0])
        if kind == b"mluc":
            size = min(int.from_bytes(profile[at + 20 : at + 24], "big"), 400)
            start = at + int.from_bytes(profile[at + 24 : at + 28], "big")
            return profile[start : start + size].decode("utf-16-be", "replace")
    return ""


def c2pa_items(manifest: bytes | None) -> Items:
    """Returns whether there is a C2PA manifest, and the generator that it names.

    The manifest is neither parsed nor verified: its JUMBF is searched for the CBOR text that
    follows ``claim_generator``.
    """
    if manifest is None:
        return ()
    head = manifest[:MOST_BLOCK]
    pairs = [("manifest" if b"c2pa" in head else "JUMBF without c2pa", PRESENT)]
    for key, within in ((b"claim_generator", b""), (b"claim_generator_info", b"dname")):
        at = head.find(key)
        while at >= 0 and not within and head[at + len(key) : at + len(key) + 5] == b"_info":
            at = head.find(key, at + 1)
        if at < 0:
            continue
        at += len(key)
        if within:
            inner = head.find(within, at, at + 64)
            if inner < 0:
                continue
            at = inner + len(within)
        if text := _cbor_text(head[at : at + 260]):
            pairs.append(("generator", text))
    return items(pairs)


def _cbor_text(data: bytes) -> str:
    """Returns the text string that CBOR data begin with, or nothing."""
    if not data or not 0x60 <= data[0] <= 0x79:
        return ""
    if data[0] < 0x78:
        start, size = 1, data[0] - 0x60
    elif data[0] == 0x78:
        start, size = 2, data[1] if len(data) > 1 else 0
    else:
        start, size = 3, int.from_bytes(data[1:3], "big")
    return as_text(data[start : start + size])


def comment_items(name: str, text: str) -> list[tuple[str, str]]:
    """Returns a text part and what it states of model and sampler."""
    return [*stated(name, text), (name, text)]
