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


OCTAVES = 6
"""Halvings of each plane; a side of SMALLEST ends as one pixel."""


@dataclass(frozen=True)
class Planes:
    """The planes of one image.

    Attributes:
        rgb: (height, width, 3), after mirroring of small images.
        ycc: (3, height, width): Y, Cb, Cr at native size.
        luma: Y at native size, a half and a quarter.
        chroma: Cb and Cr at half size: most files keep no more of them.
        moments: (3, OCTAVES, 2): for Y, Cb, Cr and each halving, the mean second and fourth
            power of what it takes away.
    """

    rgb: Pixels
    ycc: Pixels
    luma: tuple[Plane, Plane, Plane]
    chroma: tuple[Plane, Plane]
    moments: npt.NDArray[np.float64]


def pyramid(plane: Plane) -> tuple[list[Plane], npt.NDArray[np.float64]]:
    """Halves a plane OCTAVES times, each pixel the rounded mean of 2×2.

    Returns:
        The planes, native size first, and the moments (OCTAVES, 2) of what each halving took.
    """
    levels, moments = [plane], []
    for _ in range(OCTAVES):
        last = levels[-1]
        half = np.empty((last.shape[0] // 2, last.shape[1] // 2), np.uint8)
        moments.append(kernels.halve(last, half) / (4 * half.size))
        levels.append(half)
    return levels, np.stack(moments)


def mirrored(rgb: Pixels) -> Pixels:
    """Continues an image with a side below SMALLEST by its mirror image; C-contiguous."""
    height, width = rgb.shape[:2]
    if height < SMALLEST or width < SMALLEST:
        more = (max(0, SMALLEST - height), max(0, SMALLEST - width))
        rgb = np.pad(rgb, ((0, more[0]), (0, more[1]), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(rgb)


def planes(rgb: Pixels) -> Planes:
    """Splits an image (height, width, 3) into planes. Time and memory O(pixels)."""
    rgb = mirrored(rgb)
    ycc = np.empty((3, *rgb.shape[:2]), np.uint8)
    kernels.split(rgb, ycc)
    (luma, y), (blue, cb), (red, cr) = (pyramid(plane) for plane in ycc)
    return Planes(
        rgb=rgb,
        ycc=ycc,
        luma=(luma[0], luma[1], luma[2]),
        chroma=(blue[1], red[1]),
        moments=np.stack([y, cb, cr]),
    )
