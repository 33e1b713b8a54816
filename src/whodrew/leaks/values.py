"""Values that a container holds, as short plain text, whatever bytes a stranger wrote."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from itertools import islice
from typing import Final

#: What a field of several parts holds: (part, value), sorted by part.
Items = tuple[tuple[str, str], ...]
Value = str | Items
LONGEST: Final = 96
MOST_ITEMS: Final = 64
MOST_TEXT: Final = 1 << 16  # bytes of one text that are looked at
NONE: Final = "none"

# What generators write into their settings, by the name they use for it.
_STATED: Final = re.compile(
    r"(?:^|[,\n{\s\"'])"
    r"(Model hash|Model|Version|Sampler|ckpt_name|unet_name|model_name|sampler_name)"
    r"[\"']?\s{0,4}[:=]\s{0,4}[\"']?([^\",\n}]{1,96})"
)


def digest(data: bytes) -> str:
    """Returns eight hex digits that stand for ``data``."""
    return hashlib.blake2b(data, digest_size=4).hexdigest()


def shown(text: str) -> str:
    """Returns one printable line of at most ``LONGEST`` characters.

    Longer text keeps its beginning and a digest of the whole, so that different texts stay
    different.
    """
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[: LONGEST - 12].rstrip()}… {digest(plain.encode('utf-8', 'replace'))}"


def as_text(data: bytes) -> str:
    """Returns bytes as text: UTF-8 where they are that, Latin-1 otherwise."""
    cut = data[:MOST_TEXT]
    try:
        return cut.decode("utf-8")
    except UnicodeDecodeError:
        return cut.decode("latin-1")


def items(pairs: Iterable[tuple[str, str]]) -> Items:
    """Returns parts in one order, each once, at most ``MOST_ITEMS`` of them."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if len(found) >= MOST_ITEMS:
            break
        found.setdefault(shown(name) or "?", shown(value))
    return tuple(sorted(found.items()))


def stated(name: str, text: str) -> list[tuple[str, str]]:
    """Returns what a text of settings says of model and sampler.

    Such a text holds the prompt and the seed, too, and so is new for every image; the name of
    the model in it is not.

    Args:
        name: of the part that holds the text.
        text: the text, of which the first 64 KiB are looked at.
    """
    return [
        (f"{name}/{match.group(1)}", match.group(2).strip())
        for match in islice(_STATED.finditer(text[:MOST_TEXT]), 16)
    ]


def inflated(data: bytes, limit: int = MOST_TEXT) -> bytes:
    """Returns at most ``limit`` bytes of a zlib stream, or nothing where it is damaged."""
    try:
        return zlib.decompressobj().decompress(data, limit)
    except zlib.error:
        return b""


def joined(value: Value) -> str:
    """Returns a value as one text, ``none`` where there is nothing."""
    if isinstance(value, str):
        return value or NONE
    return "; ".join(f"{name}: {held}" if held else name for name, held in value) or NONE
