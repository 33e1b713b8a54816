"""Compiled passes over the pixels. All arithmetic is on integers, hence exact everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint.jit import compiled

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

LIMIT = 2
"""Differences are clipped to ±LIMIT before three of them in a row are counted together."""
LEVELS = 2 * LIMIT + 1


@compiled("void(Array(uint8, 3, 'C', readonly=True), uint8[:, :, ::1])")
def split(rgb: Bytes, out: Bytes) -> None:
    """Converts RGB to Y, Cb, Cr (ITU-R BT.601, full range, as in JPEG).

    Args:
        rgb: (height, width, 3).
        out: (3, height, width), overwritten.
    """
    height, width, _ = rgb.shape
    for i in range(height):
        for j in range(width):
            r = np.int32(rgb[i, j, 0])
            g = np.int32(rgb[i, j, 1])
            b = np.int32(rgb[i, j, 2])
            out[0, i, j] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
            out[1, i, j] = (-11059 * r - 21709 * g + 32768 * b + 8421375) >> 16
            out[2, i, j] = (32768 * r - 27439 * g - 5329 * b + 8421375) >> 16


@compiled("void(uint8[:, ::1], uint8[:, ::1])")
def halve(plane: Bytes, out: Bytes) -> None:
    """Averages 2×2 pixels, rounding half up; an odd last row or column is left out.

    Args:
        plane: (height, width).
        out: (height // 2, width // 2), overwritten.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = (
                np.int32(plane[2 * i, 2 * j])
                + np.int32(plane[2 * i, 2 * j + 1])
                + np.int32(plane[2 * i + 1, 2 * j])
                + np.int32(plane[2 * i + 1, 2 * j + 1])
            )
            out[i, j] = (total + 2) >> 2


@compiled("void(uint8[::1], int64, int32[:, ::1])")
def _tally(codes: Bytes, n: int, counts: Ints) -> None:
    """Counts codes into four tables in turn: equal neighbours would wait for each other."""
    j = 0
    while j + 4 <= n:
        counts[0, codes[j]] += 1
        counts[1, codes[j + 1]] += 1
        counts[2, codes[j + 2]] += 1
        counts[3, codes[j + 3]] += 1
        j += 4
    while j < n:
        counts[0, codes[j]] += 1
        j += 1


@compiled("int64[:, ::1](uint8[:, ::1])")
def textures(plane: Bytes) -> Longs:
    """Counts three codes of every pixel's neighbourhood in one pass.

    Args:
        plane: (height, width), both at least 4.

    Returns:
        Array (3, 256): local binary patterns (bit k: neighbour k, clockwise from the upper left,
        is not darker than the pixel), then runs of three clipped first differences along rows and
        along columns (25a + 5b + c, each difference + LIMIT). Time O(pixels).
    """
    height, width = plane.shape
    tables = np.zeros((3, 4, 256), np.int32)
    codes = np.empty(width, np.uint8)
    across = np.empty(width, np.uint8)
    down = np.full((3, width), LIMIT, np.uint8)
    for i in range(height):
        row = plane[i]
        for j in range(width - 1):
            step = np.int16(row[j + 1]) - np.int16(row[j])
            across[j] = min(max(step, -LIMIT), LIMIT) + LIMIT
        for j in range(width - 3):
            codes[j] = across[j] * 25 + across[j + 1] * 5 + across[j + 2]
        _tally(codes, width - 3, tables[1])
        if i + 1 < height:
            below = plane[i + 1]
            last = down[i % 3]
            for j in range(width):
                step = np.int16(below[j]) - np.int16(row[j])
                last[j] = min(max(step, -LIMIT), LIMIT) + LIMIT
            if i >= 2:
                first = down[(i + 1) % 3]
                middle = down[(i + 2) % 3]
                for j in range(width):
                    codes[j] = first[j] * 25 + middle[j] * 5 + last[j]
                _tally(codes, width, tables[2])
            if i >= 1:
                above = plane[i - 1]
                for j in range(1, width - 1):
                    c = row[j]
                    codes[j - 1] = (
                        np.uint8(above[j - 1] >= c)
                        | np.uint8(above[j] >= c) << 1
                        | np.uint8(above[j + 1] >= c) << 2
                        | np.uint8(row[j + 1] >= c) << 3
                        | np.uint8(below[j + 1] >= c) << 4
                        | np.uint8(below[j] >= c) << 5
                        | np.uint8(below[j - 1] >= c) << 6
                        | np.uint8(row[j - 1] >= c) << 7
                    )
                _tally(codes, width - 2, tables[0])
    out = np.zeros((3, 256), np.int64)
    for k in range(3):
        for t in range(4):
            for c in range(256):
                out[k, c] += tables[k, t, c]
    return out


@compiled("int64[:, ::1](uint8[:, ::1], int32[:, ::1], int32[::1])")
def blocks(plane: Bytes, basis: Ints, logs: Ints) -> Longs:
    """Sums over the 8×8 blocks of a plane, for each coefficient of their cosine transform.

    Args:
        plane: (height, width), both at least 8; a rest that fills no block is left out.
        basis: (8, 8), the orthonormal transform times 4096.
        logs: table from |coefficient| × 8 to its scaled logarithm.

    Returns:
        Array (3, 64): sums of squares (of 8 × coefficient), of logs and of squared logs.
        Time O(16 × pixels).
    """
    high, wide = plane.shape[0] // 8, plane.shape[1] // 8
    pixels = np.empty((8, 8, wide), np.int32)
    half = np.empty((8, 8, wide), np.int32)
    line = np.empty(wide, np.int32)
    out = np.zeros((3, 64), np.int64)
    for i in range(high):
        for n in range(8):
            row = plane[8 * i + n]
            for m in range(8):
                for b in range(wide):
                    pixels[n, m, b] = np.int32(row[8 * b + m]) - 128
        for k in range(8):
            for m in range(8):
                for b in range(wide):
                    total = np.int32(128)
                    for n in range(8):
                        total += basis[k, n] * pixels[n, m, b]
                    half[k, m, b] = total >> 8
        for k in range(8):
            for q in range(8):
                for b in range(wide):
                    total = np.int32(4096)
                    for m in range(8):
                        total += basis[q, m] * half[k, m, b]
                    line[b] = abs(total >> 13)
                energy = np.int64(0)
                first = np.int64(0)
                second = np.int64(0)
                for b in range(wide):
                    size = np.int64(line[b])
                    log = np.int64(logs[size])
                    energy += size * size
                    first += log
                    second += log * log
                out[0, 8 * k + q] += energy
                out[1, 8 * k + q] += first
                out[2, 8 * k + q] += second
    return out
