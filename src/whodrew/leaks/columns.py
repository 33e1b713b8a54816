"""From what was read of each image to columns of codes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import numpy as np

from whodrew.identify.samples import Ints
from whodrew.leaks.fields import FIELDS
from whodrew.leaks.information import Column
from whodrew.leaks.values import NONE, Items, Value, joined

#: Stands for a value that images of a single prompt have: nobody can learn it from others.
NEW: Final = "…"
_BINS: Final = 8
_A_BIN: Final = 5  # images of each model that a bin should hold at least


class Recorder:
    """Codes of the fields of N images, filled image by image in any order.

    Args:
        images: N.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self._codes: dict[str, Ints] = {}
        self._books: dict[str, dict[Value, int]] = {}

    def add(self, row: int, fields: Mapping[str, Value]) -> None:
        """Notes the fields of one image; those it does not name stay unknown."""
        for name, value in fields.items():
            if name not in self._codes:
                self._codes[name] = np.full(self.images, -1, dtype=np.int64)
                self._books[name] = {}
            book = self._books[name]
            self._codes[name][row] = book.setdefault(value, len(book))

    def short_sides(self, rows: Ints) -> Ints:
        """Returns (n,) the shorter of width and height of some images, in pixels."""
        book = [str(text) for text in self._books.get("size", {})]
        sides = np.array([min(map(int, text.split("x"))) for text in book], dtype=np.int64)
        return np.asarray(sides[self._codes["size"][rows]])

    def columns(self, rows: Ints, prompt: Ints) -> list[Column]:
        """Returns the fields of some images, in the order of ``FIELDS``.

        A value that is met under one prompt only becomes ``…``: hashes, dates and texts with
        the prompt in them are new for every image, and tell nothing that can be learnt.

        Args:
            rows: (n,) of the images.
            prompt: (n,) their prompts.
        """
        formats = self._codes.get("format")
        found = []
        for field in FIELDS:
            if field.name not in self._codes:
                continue
            value = self._codes[field.name][rows]
            codes, texts = _learnable(value, list(self._books[field.name]), prompt)
            stratum = None
            if field.within_format and formats is not None:
                stratum = formats[rows]
            found.append(Column(field.name, codes, texts, stratum))
        return found


def _learnable(value: Ints, book: list[Value], prompt: Ints) -> tuple[Ints, tuple[str, ...]]:
    """Returns codes and texts in which what one prompt alone has is ``…``."""
    seen = np.flatnonzero(np.bincount(value[value >= 0], minlength=len(book)))
    low = np.full(len(book), np.iinfo(np.int64).max)
    high = np.full(len(book), -1)
    there = value >= 0
    np.minimum.at(low, value[there], prompt[there])
    np.maximum.at(high, value[there], prompt[there])
    often = np.bincount(value[there], minlength=len(book))
    several = len(np.unique(prompt)) > 1
    spans: dict[tuple[str, str], list[int]] = {}
    for code in seen.tolist():
        for part in _parts(book[code]):
            span = spans.setdefault(part, [int(low[code]), int(high[code]), 0])
            span[0], span[1] = min(span[0], int(low[code])), max(span[1], int(high[code]))
            span[2] += int(often[code])
    known = {
        part
        for part, (first, last, count) in spans.items()
        if (first != last if several else count > 1)
    }
    texts: dict[str, int] = {}
    table = np.full(len(book) + 1, -1, dtype=np.int64)
    for code in seen.tolist():
        text = _text(book[code], known)
        table[code] = texts.setdefault(text, len(texts))
    return table[value], tuple(texts)


def _parts(value: Value) -> Items:
    return (("", value),) if isinstance(value, str) else value


def _text(value: Value, known: set[tuple[str, str]]) -> str:
    if isinstance(value, str):
        return joined(value) if ("", value) in known else NEW
    return joined(
        tuple((name, held if (name, held) in known or not held else NEW) for name, held in value)
    )


def duplicates(digest: Ints, prompt: Ints) -> Column:
    """Returns whether each of n images recurs byte for byte, and where.

    Args:
        digest: (n,) hashes of whole files.
        prompt: (n,) codes.
    """
    kinds, code, count = np.unique(digest, return_inverse=True, return_counts=True)
    low = np.full(len(kinds), np.iinfo(np.int64).max)
    high = np.full(len(kinds), -1)
    np.minimum.at(low, code, prompt)
    np.maximum.at(high, code, prompt)
    value = np.where(count > 1, np.where(low == high, 1, 2), 0)[code]
    texts = (NONE, "the same file again for its prompt", "the same file for other prompts")
    return Column("duplicates", value.astype(np.int64), texts)


def byte_sizes(size: Ints, models: int) -> Column:
    """Returns n byte sizes in bins of equal counts: 8, or fewer where images are few."""
    bins = int(np.clip(len(size) // (models * _A_BIN), 2, _BINS))
    edges = np.unique(np.quantile(size, np.linspace(0, 1, bins + 1)[1:-1]))
    value = np.searchsorted(edges, size, side="right").astype(np.int64)
    bounds = ["0", *(f"{edge:.0f}" for edge in edges), "…"]
    texts = tuple(f"{low} to {high} bytes" for low, high in pairwise(bounds))
    return Column("byte_size", value, texts)
