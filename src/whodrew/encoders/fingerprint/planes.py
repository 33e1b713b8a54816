"""From decoded RGB to the planes that are measured: one path for every image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whodrew.encoders.base import Pixels
from whodrew.encoders.fingerprint import kernels

Plane = npt.NDArray[np.uint8]

SMALLEST = 64
"""A side shorter than this is continued by mirroring, so that every scale has pixels."""


@dataclass(frozen=True)
class Planes:
    """The planes of one image.

    Attributes:
        rgb: (height, width, 3), after mirroring of small images.
        luma: Y at native size, a half and a quarter.
        blue: Cb at native size and a half.
        red: Cr at native size and a half.
    """

    rgb: Pixels
    luma: tuple[Plane, Plane, Plane]
    blue: tuple[Plane, Plane]
    red: tuple[Plane, Plane]


def halved(plane: Plane) -> Plane:
    """Returns the plane at half its size: the mean of 2×2 pixels, rounded to integers."""
    out = np.empty((plane.shape[0] // 2, plane.shape[1] // 2), np.uint8)
    kernels.halve(plane, out)
    return out


def mirrored(rgb: Pixels) -> Pixels:
    """Continues an image with a side below SMALLEST by its mirror image, C-contiguous."""
    height, width = rgb.shape[:2]
    if height < SMALLEST or width < SMALLEST:
        more = (max(0, SMALLEST - height), max(0, SMALLEST - width))
        rgb = np.pad(rgb, ((0, more[0]), (0, more[1]), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(rgb)


def planes(rgb: Pixels) -> Planes:
    """Splits an image (height, width, 3) into planes. Time and memory O(pixels)."""
    rgb = mirrored(rgb)
    out = np.empty((3, *rgb.shape[:2]), np.uint8)
    kernels.split(rgb, out)
    luma, blue, red = out
    half = halved(luma)
    return Planes(rgb, (luma, half, halved(half)), (blue, halved(blue)), (red, halved(red)))
