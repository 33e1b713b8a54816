"""A picture as luma and chroma in bands, changed and put together again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.arena import Pixels
from whodrew.defend.bands import joined, roughness, split, to_pixels, to_planes

Floats = npt.NDArray[np.float32]

#: Levels of luma, of Cb and of Cr, and of grain.
LEVELS: Final = (5, 3, 3)
GRAIN_LEVELS: Final = 4
#: Details of luma that tell how rough a place is.
ROUGH: Final = 6
#: Twice SSIM's C2 over three (0.03 · 255)²: variance that it does not see, of luma.
FLOOR: Final = np.float32((0.03 * 255) ** 2)
_CHROMA_FLOOR: Final = np.float32(3.0)

_held = threading.local()


@dataclass(frozen=True)
class Change:
    """What is done to one plane.

    Attributes:
        gains: (2 J,) factors of its details, finest first.
        fades: (2 J,) size below which a detail fades, of 255; 0 leaves all.
        grain: (8,) deviations of grain by band, relative; ``None`` for none.
        share: of grain to what hides it: SSIM falls by about this much.
    """

    gains: Floats
    fades: Floats
    grain: Floats | None = None
    share: float = 0.0


def analysed(pixels: Pixels) -> Analysis:
    """Splits a picture into bands; the arrays are the thread's own until the next call.

    Args:
        pixels: (height, width, 3) uint8.
    """
    height, width = pixels.shape[:2]
    found: Analysis | None = getattr(_held, "analysis", None)
    if found is None or found.planes.shape[1:] != (height, width):
        found = Analysis.empty(height, width)
        _held.analysis = found
    to_planes(pixels, found.planes)
    for plane, levels in enumerate(LEVELS):
        found.energy[plane][:] = split(found.planes[plane], levels, found.bands[plane])
    return found


@dataclass(frozen=True, eq=False)
class Analysis:
    """Planes, their bands, and room for what is made of them.

    Attributes:
        planes: (3, height, width) Y, Cb, Cr.
        bands: of each plane, (2 J + 1, height, width).
        energy: of each plane, (2 J,) mean squares of its details.
        rough: (height, width).
        noise: (2 · GRAIN_LEVELS + 1, height, width).
    """

    planes: Floats
    bands: tuple[Floats, ...]
    energy: tuple[npt.NDArray[np.float64], ...]
    rough: Floats
    noise: Floats

    @classmethod
    def empty(cls, height: int, width: int) -> Analysis:
        """Makes the arrays for one size."""
        return cls(
            np.empty((3, height, width), np.float32),
            tuple(np.empty((2 * one + 1, height, width), np.float32) for one in LEVELS),
            tuple(np.empty(2 * one) for one in LEVELS),
            np.empty((height, width), np.float32),
            np.empty((2 * GRAIN_LEVELS + 1, height, width), np.float32),
        )

    def made(self, changes: Sequence[Change], rng: np.random.Generator | None) -> Pixels:
        """Returns the picture with each plane changed.

        Args:
            changes: of Y, Cb, Cr.
            rng: draws the grain; not asked where there is none.

        Returns:
            (height, width, 3) uint8, a new array.
        """
        if any(one.grain is not None for one in changes):
            roughness(self.bands[0], ROUGH, self.rough)
        for plane, (change, floor) in enumerate(
            zip(changes, (FLOOR, _CHROMA_FLOOR * FLOOR, _CHROMA_FLOOR * FLOOR), strict=True)
        ):
            weights = np.zeros(2 * GRAIN_LEVELS, np.float32)
            if change.grain is not None and change.share > 0:
                assert rng is not None
                self._draw(rng)
                weights = (change.grain / _deviations()).astype(np.float32)
            curve = np.stack([change.gains, np.square(change.fades)]).astype(np.float32)
            mask = np.array([change.share, floor], np.float32)
            joined(
                self.bands[plane],
                curve,
                self.rough,
                self.noise,
                weights,
                mask,
                self.planes[plane],
            )
        pixels = np.empty((*self.rough.shape, 3), np.uint8)
        to_pixels(self.planes, pixels)
        return pixels

    def _draw(self, rng: np.random.Generator) -> None:
        """Draws white noise and splits it; uniform bytes, which filtering makes Gaussian."""
        height, width = self.rough.shape
        flat = np.frombuffer(rng.bytes(height * width), np.uint8).reshape(height, width)
        split(flat.astype(np.float32) - np.float32(127.5), GRAIN_LEVELS, self.noise)


@cache
def _deviations() -> Floats:
    """Returns (8,) the deviations of uniform bytes' bands."""
    side = 512
    noise = np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.float32)
    bands = np.empty((2 * GRAIN_LEVELS + 1, side, side), np.float32)
    return np.sqrt(split(noise - np.float32(127.5), GRAIN_LEVELS, bands)).astype(np.float32)
