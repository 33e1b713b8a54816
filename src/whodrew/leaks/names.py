"""The pattern of a file name: its length, alphabet and ends, never its path or labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_HEX: Final = re.compile(r"[0-9a-f]{8,}|[0-9A-F]{8,}")
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_COUNTER: Final = re.compile(r"\d+")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_DROPPED: Final = "\0"
_LONGEST_END: Final = 16


@lru_cache(maxsize=4096)
def _label(text: str) -> re.Pattern[str] | None:
    """Returns what finds a label in a name, whatever stands between its words there."""
    words = [re.escape(word) for word in _WORD.findall(text[:200])]
    if not words:
        return None
    return re.compile(r"(?<![^\W_])" + r"[\W_]{0,3}".join(words) + r"(?![^\W_])", re.IGNORECASE)


def name_pattern(name: str, labels: Iterable[str | None], seed: str | None) -> dict[str, str]:
    """Returns what the name of a file looks like once the arena's own labels are gone.

    Args:
        name: base name, with or without its ending.
        labels: model and prompt_id, which operators write into names themselves.
        seed: of the generation. One that is the whole name is what the file happened to be
            called, and is dropped only where it is a number.

    Returns:
        Three fields, each empty where nothing but labels is left: the number of characters
        (running numbers count as one), the alphabet, and the first and last word.
    """
    stem = PurePosixPath(name).stem if "." in name else name
    left = stem.replace(_DROPPED, "")
    for label in sorted((one for one in labels if one), key=len, reverse=True):
        pattern = _label(label)
        if pattern is not None:
            left = pattern.sub(_DROPPED, left)
    if seed and seed not in (stem, name):
        pattern = _label(seed)
        if pattern is not None:
            left = pattern.sub(_DROPPED, left)
    plain = left.replace(_DROPPED, "")
    if not _WORD.search(plain) or plain.strip("-_ .").isdigit():
        return dict.fromkeys(("file_name_length", "file_name_alphabet", "file_name_ends"), "")
    return {
        "file_name_length": str(len(_COUNTER.sub(_shortened, plain))),
        "file_name_alphabet": _alphabet(plain),
        "file_name_ends": _ends(plain),
    }


def _shortened(match: re.Match[str]) -> str:
    # image_7 and image_1207 are one pattern; a time or a hash is not a running number
    return "#" if len(match.group()) <= 5 else match.group()


def _alphabet(text: str) -> str:
    if _UUID.fullmatch(text):
        return "UUID"
    if _HEX.fullmatch(text) and not text.isdigit():
        return "hexadecimal"
    kinds = {
        "digits": any(one.isdigit() for one in text),
        "small letters": any(one.islower() for one in text),
        "capitals": any(one.isupper() for one in text),
        "letters beyond ASCII": any(one.isalpha() and not one.isascii() for one in text),
    }
    others = sorted({one for one in text if not one.isalnum() and one.isprintable()})[:8]
    found = [kind for kind, there in kinds.items() if there]
    return ", ".join([*found, *(["'" + "".join(others) + "'"] if others else [])])


def _ends(text: str) -> str:
    if _UUID.fullmatch(text) or _HEX.fullmatch(text) or _looks_random(text):
        return ""
    words = _LETTERS.findall(text)
    if not words:
        return ""
    first = words[0][:_LONGEST_END] if text.startswith(words[0]) else ""
    last = words[-1][:_LONGEST_END] if len(words) > 1 and text.endswith(words[-1]) else ""
    return f"{first}…{last}" if first or last else ""


def _looks_random(text: str) -> bool:
    """Whether a name is one long word in which digits and letters alternate."""
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(text))
    return len(text) >= 12 and changes >= 4 and not re.search(r"[-_ .]", text)
