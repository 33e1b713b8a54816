"""From decoded RGB to the planes that are measured: one path for every image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whodrew.encoders.base import Pixels
from whodrew.encoders.fingerprint import pixels

Plane = npt.NDArray[np.uint8]

SMALLEST = 64
"""A side shorter than this is continued by mirroring, so that every scale has pixels."""


OCTAVES = 6
"""Halvings of each plane; a side of SMALLEST ends as one pixel."""


@dataclass(frozen=True)
class Planes:
    """The planes of one image.

    Attributes:
        rgb: (height, width · step), R, G, B of a pixel and, where ``step`` is 4, another byte;
            after mirroring of small images.
        step: bytes a pixel.
        ycc: (3, height, width): Y, Cb, Cr at native size.
        luma: Y at native size, a half and a quarter.
        chroma: Cb and Cr at half size: most files keep no more of them.
        moments: (3, OCTAVES, 2): for Y, Cb, Cr and each halving, the mean second and fourth
            power of what it takes away.
    """

    rgb: Pixels
    step: int
    ycc: Pixels
    luma: tuple[Plane, Plane, Plane]
    chroma: tuple[Plane, Plane]
    moments: npt.NDArray[np.float64]


def pyramid(plane: Plane) -> tuple[list[Plane], npt.NDArray[np.float64]]:
    """Halves a plane OCTAVES times, each pixel the rounded mean of 2×2.

    Returns:
        The planes, native size first, and the moments (OCTAVES, 2) of what each halving took.
    """
    levels, sums, sizes = [plane], np.empty((OCTAVES, 2), np.int64), []
    for octave in range(OCTAVES):
        last = levels[-1]
        half = np.empty((last.shape[0] // 2, last.shape[1] // 2), np.uint8)
        pixels.halve(last, half, sums[octave])
        sizes.append(4 * half.size)
        levels.append(half)
    return levels, sums / np.array(sizes)[:, None]


def laid_out(rgb: Pixels) -> tuple[Pixels, int]:
    """Brings an image (height, width, 3) into rows of pixels, copied only where it must be.

    An image with a side below SMALLEST is continued by its mirror image.

    Returns:
        Array (height, width · step), C-contiguous, and the step: 3, or 4 for the first three of
        four channels that stand together, as Pillow keeps them.
    """
    height, width = rgb.shape[:2]
    if height < SMALLEST or width < SMALLEST:
        more = (max(0, SMALLEST - height), max(0, SMALLEST - width))
        rgb = np.pad(rgb, ((0, more[0]), (0, more[1]), (0, 0)), mode="symmetric")
    elif rgb.strides == (4 * width, 4, 1):
        whole = rgb.base
        if (
            isinstance(whole, np.ndarray)
            and whole.dtype == np.uint8
            and whole.flags.c_contiguous
            and whole.size == 4 * height * width
            and whole.ctypes.data == rgb.ctypes.data
        ):
            return whole.reshape(height, 4 * width), 4
    return np.ascontiguousarray(rgb).reshape(rgb.shape[0], -1), 3


def planes(rgb: Pixels) -> Planes:
    """Splits an image (height, width, 3) into planes. Time and memory O(pixels)."""
    rows, step = laid_out(rgb)
    ycc = np.empty((3, len(rows), rows.shape[1] // step), np.uint8)
    pixels.split(rows, step, ycc)
    (luma, y), (blue, cb), (red, cr) = (pyramid(plane) for plane in ycc)
    return Planes(
        rgb=rows,
        step=step,
        ycc=ycc,
        luma=(luma[0], luma[1], luma[2]),
        chroma=(blue[1], red[1]),
        moments=np.stack([y, cb, cr]),
    )
