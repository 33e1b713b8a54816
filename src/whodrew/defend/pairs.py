"""Pictures before and after a defence, for people to look at."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from whodrew.arena import Arena, Pixels, decode, read_image_bytes
from whodrew.defend.defence import Defence
from whodrew.defend.picture import Picture

#: How many times the difference is shown.
AMPLIFIED: Final = 8
#: Side of what is shown, in pixels as they are: a smaller picture would hide the grain.
SIDE: Final = 224
PAIRS: Final = 3


@dataclass(frozen=True)
class Pair:
    """One picture before and after.

    Attributes:
        item: its name.
        before: WebP of the middle, resized as the defence resizes and nothing else.
        after: WebP of the same, as shown.
        difference: WebP of grey plus ``AMPLIFIED`` times the difference; empty where sizes
            differ.
    """

    item: str
    before: bytes
    after: bytes
    difference: bytes


def pairs_of(arena: Arena, met: Callable[[int], Defence], seed: int) -> tuple[Pair, ...]:
    """Returns seeded pictures before and after a fitted defence.

    Args:
        arena: images that can be read.
        met: gives the defence that an image meets, fitted, with the operator's secret.
        seed: of the choice.
    """
    rng = np.random.default_rng([seed, 22])
    chosen = sorted(rng.choice(len(arena), min(PAIRS, len(arena)), replace=False).tolist())
    rows = arena.take(chosen).rows()
    return tuple(_pair(row, met(at)) for at, row in zip(chosen, rows, strict=True))


def _pair(row: dict[str, Any], defence: Defence) -> Pair:
    picture = Picture.of(decode(read_image_bytes(row)).image)
    changed = defence.changed(picture, model=row["model"], prompt_id=row["prompt_id"])
    before = defence.plain(picture).pixels
    after = decode(defence.served.encode(changed.image)).pixels
    grey = b""
    if before.shape == after.shape:
        change = after.astype(np.int16) - before
        grey = _webp(np.clip(128 + AMPLIFIED * change, 0, 255).astype(np.uint8))
    return Pair(row["item"], _webp(before), _webp(after), grey)


def _webp(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    top, left = max(0, (height - SIDE) // 2), max(0, (width - SIDE) // 2)
    out = io.BytesIO()
    middle = np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
    Image.fromarray(middle).save(out, "WEBP", quality=88, method=2)
    return out.getvalue()
