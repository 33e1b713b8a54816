"""Thumbnails within a budget: each image once, smaller and fewer as the arena grows."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from PIL import Image

Opener = Callable[[str], "Image.Image | None"]

#: More would take minutes to decode, whatever the bytes allow.
MAX_THUMBS = 2400
#: What Pillow raises for pixels that cannot be had.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_SAMPLE = 24
_BATCH = 64
#: Longest side in pixels and WebP quality, the best first.
RUNGS = ((128, 62), (112, 52), (96, 46), (80, 40))


@dataclass(frozen=True)
class Wanted:
    """An image that the report would like to show, by its id and where its pixels are."""

    image_id: str
    path: str


@dataclass(frozen=True)
class Picture:
    """One model's image for a prompt."""

    image_id: str
    path: str
    model: str


def encode(image: Image.Image, side: int, quality: int) -> str:
    """The image as base64 of a WebP whose longest side is ``side`` pixels."""
    # Lets a JPEG that is not decoded yet skip most of its work; others ignore it.
    image.draft("RGB", (side * 2, side * 2))
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=quality, method=2)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def make_thumbs(wanted: Sequence[Wanted], image: Opener | None, budget: int) -> dict[str, str]:
    """Encodes what fits, the most wanted first.

    Args:
        wanted: images in order of priority; repeats are ignored.
        image: opens the pixels of a path, or says ``None`` where there are none.
        budget: bytes of base64 text that may be used.

    Returns:
        Base64 of WebP by image id, in order of priority.
    """
    unique = list({item.image_id: item for item in wanted}.values())[:MAX_THUMBS]
    if image is None or not unique or budget <= 0:
        return {}
    stride = max(1, len(unique) // _SAMPLE)
    sample = unique[::stride][:_SAMPLE]
    with ThreadPoolExecutor() as pool:
        rung = RUNGS[-1]
        for candidate in RUNGS:
            sizes = [len(text) for text in pool.map(_encoder(image, candidate), sample) if text]
            rung = candidate
            if sum(sizes) / max(len(sizes), 1) * len(unique) <= budget * 0.97:
                break
        return _fill(unique, pool, _encoder(image, rung), budget)


def _fill(
    items: Iterable[Wanted],
    pool: ThreadPoolExecutor,
    encoder: Callable[[Wanted], str],
    budget: int,
) -> dict[str, str]:
    made: dict[str, str] = {}
    spent = 0
    queue = iter(items)
    while batch := list(islice(queue, _BATCH)):
        for item, text in zip(batch, pool.map(encoder, batch), strict=True):
            if not text:
                continue
            # Quotes and comma of the JSON list.
            spent += len(text) + 3
            if spent > budget:
                return made
            made[item.image_id] = text
    return made


def _encoder(image: Opener, rung: tuple[int, int]) -> Callable[[Wanted], str]:
    def one(item: Wanted) -> str:
        try:
            picture = image(item.path)
            return "" if picture is None else encode(picture, *rung)
        except UNREADABLE:
            # The audit has named it among the bad items; a picture less is no failure here.
            return ""

    return one
