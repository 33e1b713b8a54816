"""One picture on its way through a defence: as Pillow has it, as bytes, or as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from whodrew.arena import Pixels
from whodrew.errors import UsageError

#: (height, width, 3) float32 RGB in [0, 1].
Unit = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """RGB in the form that was given; the other forms are made once, when asked for.

    Build it by ``of``. Attributes hold what was given, ``None`` for the rest.

    Attributes:
        given_image: in mode RGB.
        given_unit: (height, width, 3) float32 in [0, 1].
    """

    given_image: Image.Image | None = None
    given_unit: Unit | None = None

    @classmethod
    def of(cls, image: Image.Image | Pixels | Unit) -> Picture:
        """Takes a picture in any of its forms.

        Args:
            image: Pillow's image in mode RGB; (height, width, 3) uint8; or the same shape
                in floating point, in [0, 1].

        Raises:
            UsageError: it is anything else, or its numbers lie outside [0, 1].
        """
        if isinstance(image, Image.Image):
            if image.mode != "RGB":
                raise UsageError(f"a picture must be RGB, not {image.mode}: convert it first")
            return cls(given_image=image)
        if image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UsageError(f"a picture must be (height, width, 3), got {image.shape}")
        if image.dtype == np.uint8:
            return cls(given_image=Image.fromarray(np.ascontiguousarray(image)))
        if not np.issubdtype(image.dtype, np.floating):
            raise UsageError(f"a picture must be uint8 or floating point, got {image.dtype}")
        low, high = float(image.min()), float(image.max())
        if not (low >= 0.0 and high <= 1.0):  # false for NaN, too
            raise UsageError(f"a picture in floating point lies in [0, 1], got {low} to {high}")
        return cls(given_unit=np.ascontiguousarray(image, dtype=np.float32))

    @classmethod
    def clipped(cls, unit: Unit) -> Picture:
        """Takes (height, width, 3) floating point, clipped into [0, 1]."""
        return cls(given_unit=np.clip(unit, 0.0, 1.0, dtype=np.float32))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        if self.given_image is not None:
            return self.given_image.size
        assert self.given_unit is not None
        return self.given_unit.shape[1], self.given_unit.shape[0]

    @cached_property
    def image(self) -> Image.Image:
        """Pillow's image in mode RGB, rounded to 8 bits; not to be changed."""
        if self.given_image is not None:
            return self.given_image
        return Image.fromarray(self.pixels)

    @cached_property
    def pixels(self) -> Pixels:
        """(height, width, 3) uint8, contiguous; not to be changed."""
        if self.given_unit is not None:
            return (self.given_unit * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        return np.array(self.given_image, dtype=np.uint8, order="C")

    @cached_property
    def unit(self) -> Unit:
        """(height, width, 3) float32 in [0, 1]; not to be changed."""
        if self.given_unit is not None:
            return self.given_unit
        return np.multiply(self.pixels, np.float32(1 / 255), dtype=np.float32)
