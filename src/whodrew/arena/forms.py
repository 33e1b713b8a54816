"""Small changes that an image meets on its way: re-encoded, resized, noised, blurred, denoised.

Pure functions of pixels. ``Form`` names one of them with its amount, as ``jpeg-75``.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageFilter, JpegImagePlugin

from whodrew.arena.decode import Pixels
from whodrew.errors import UsageError

#: The forms whose copies identifiers learn from.
FORMS: Final = ("jpeg-75", "resize-0.75", "noise-2", "blur-1")

_ROWS: Final = 256
_NAME: Final = re.compile(r"([a-z]+)-([0-9]+(?:\.[0-9]+)?)")
# least and largest amount, and what it is, for messages
_KINDS: Final[dict[str, tuple[float, float, str]]] = {
    "jpeg": (1, 95, "whole quality"),
    "resize": (0.05, 2, "factor"),
    "noise": (0.1, 64, "sigma of 255"),
    "blur": (0.1, 32, "radius in pixels"),
    "median": (3, 9, "odd side in pixels"),
}


def re_encoded(pixels: Pixels, quality: int) -> Pixels:
    """Returns what is left of an image after JPEG: baseline, chroma 4:2:0.

    Args:
        pixels: array (height, width, 3) of uint8 RGB.
        quality: 1 to 95.
    """
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling="4:2:0")
    with JpegImagePlugin.JpegImageFile(io.BytesIO(out.getvalue())) as image:
        return np.array(image, dtype=np.uint8, order="C")


def resized_and_back(pixels: Pixels, factor: float) -> Pixels:
    """Returns an image resized by ``factor`` and back to its size, bicubic, antialiased.

    Args:
        pixels: array (height, width, 3) of uint8 RGB.
        factor: of both sides, each rounded and 1 at least; below 1 shrinks.
    """
    image = Image.fromarray(pixels)
    width, height = (max(1, round(side * factor)) for side in image.size)
    there = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(there.resize(image.size, Image.Resampling.BICUBIC), dtype=np.uint8, order="C")


def noised(pixels: Pixels, sigma: float) -> Pixels:
    """Returns an image with Gaussian noise added, independent in each channel, rounded.

    The image's own bytes seed the noise: the same image always gets the same.

    Args:
        pixels: array (height, width, 3) of uint8 RGB.
        sigma: deviation, of 255.
    """
    data = np.ascontiguousarray(pixels)
    digest = hashlib.blake2b(repr(data.shape).encode() + data.tobytes(), digest_size=16).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "little"))
    out = np.empty_like(data)
    # a few rows at a time: the noise of a whole image is four times its size
    for top in range(0, len(data), _ROWS):
        rows = data[top : top + _ROWS]
        noise = rng.standard_normal(rows.shape, dtype=np.float32)
        out[top : top + _ROWS] = np.clip(np.rint(rows + np.float32(sigma) * noise), 0, 255)
    return out


def blurred(pixels: Pixels, radius: float) -> Pixels:
    """Returns an image after Pillow's Gaussian blur (its approximation by boxes).

    Args:
        pixels: array (height, width, 3) of uint8 RGB.
        radius: deviation in pixels.
    """
    image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius))
    return np.array(image, dtype=np.uint8, order="C")


def denoised(pixels: Pixels, side: float) -> Pixels:
    """Returns an image after a median filter of each channel.

    Args:
        pixels: array (height, width, 3) of uint8 RGB.
        side: of the window, an odd number of pixels.
    """
    image = Image.fromarray(pixels).filter(ImageFilter.MedianFilter(int(side)))
    return np.array(image, dtype=np.uint8, order="C")


_CHANGES: Final = {
    "resize": resized_and_back,
    "noise": noised,
    "blur": blurred,
    "median": denoised,
}


@dataclass(frozen=True)
class Form:
    """One kind of small change with its amount; call it with pixels.

    Attributes:
        kind: ``jpeg``, ``resize``, ``noise``, ``blur`` or ``median``.
        amount: quality, factor, sigma of 255, radius or side in pixels.
    """

    kind: str
    amount: float

    @classmethod
    def parse(cls, name: str) -> Form:
        """Builds the form called ``name``, such as ``jpeg-75``.

        Raises:
            UsageError: the kind is unknown, or its amount is missing or out of range.
        """
        known = f"known: {', '.join(FORMS)}, and others like them, as jpeg-50"
        found = _NAME.fullmatch(name)
        if found is None or found[1] not in _KINDS:
            raise UsageError(f"unknown form {name!r}: {known}")
        kind, amount = found[1], float(found[2])
        least, most, meaning = _KINDS[kind]
        whole = kind not in ("jpeg", "median") or amount == round(amount)
        if not least <= amount <= most or not whole or (kind == "median" and amount % 2 == 0):
            raise UsageError(
                f"form {name!r} is out of range: {kind}-<{meaning}, {least:g} to {most:g}>; {known}"
            )
        return cls(kind, amount)

    @property
    def name(self) -> str:
        """The name that ``parse`` takes, one spelling for each amount."""
        return f"{self.kind}-{self.amount:g}"

    @property
    def description(self) -> str:
        """What is done, in words, exactly enough for an encoder's card."""
        return {
            "jpeg": f"re-encoded as JPEG quality {self.amount:g}, 4:2:0",
            "resize": f"resized by {self.amount:g} and back, bicubic antialiased",
            "noise": f"Gaussian noise of sigma {self.amount:g} of 255, seeded by the pixels",
            "blur": f"Gaussian blur of radius {self.amount:g} pixels",
            "median": f"median of {self.amount:g}×{self.amount:g} pixels in each channel",
        }[self.kind]

    def __call__(self, pixels: Pixels) -> Pixels:
        """Returns the changed image, of the same size.

        Args:
            pixels: array (height, width, 3) of uint8 RGB.

        Raises:
            UsageError: ``pixels`` is anything else.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise UsageError(
                f"pixels must be uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}"
            )
        if self.kind == "jpeg":
            return re_encoded(np.ascontiguousarray(pixels), int(self.amount))
        change = _CHANGES[self.kind]
        return change(np.ascontiguousarray(pixels), self.amount)
