"""Compiled passes over the pixels. All arithmetic is on integers, hence exact everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint.jit import compiled

Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

HUES, STEPS, TONES = 24, 16, 8
"""Bins of hue, of saturation and value, and of luma (for the spread of colour by tone)."""

CLIPS = 4
"""Counts a channel: values at most 0, at most 4, at least 251, at least 255."""


@compiled("void(Array(uint8, 3, 'C', readonly=True), uint8[:, :, ::1])")
def split(rgb: Bytes, out: Bytes) -> None:
    """Converts RGB to Y, Cb, Cr (ITU-R BT.601, full range, as in JPEG).

    Args:
        rgb: (height, width, 3).
        out: (3, height, width), overwritten.
    """
    height, width, _ = rgb.shape
    r = np.empty(width, np.int32)
    g = np.empty(width, np.int32)
    b = np.empty(width, np.int32)
    for i in range(height):
        # Taken apart first: the sums below then run in vector registers, at four times the speed.
        for j in range(width):
            r[j] = rgb[i, j, 0]
            g[j] = rgb[i, j, 1]
            b[j] = rgb[i, j, 2]
        y, cb, cr = out[0, i], out[1, i], out[2, i]
        for j in range(width):
            y[j] = (19595 * r[j] + 38470 * g[j] + 7471 * b[j] + 32768) >> 16
        for j in range(width):
            cb[j] = (-11059 * r[j] - 21709 * g[j] + 32768 * b[j] + 8421375) >> 16
        for j in range(width):
            cr[j] = (32768 * r[j] - 27439 * g[j] - 5329 * b[j] + 8421375) >> 16


@compiled("int64[::1](uint8[:, ::1], uint8[:, ::1])")
def halve(plane: Bytes, out: Bytes) -> Longs:
    """Averages 2×2 pixels, rounding half up; an odd last row or column is left out.

    Args:
        plane: (height, width).
        out: (height // 2, width // 2), overwritten.

    Returns:
        Array (2,): sums of the second and fourth powers of what each pixel differs by from its
        average.
    """
    sums = np.zeros(2, np.int64)
    width = out.shape[1]
    quad = np.empty((4, width), np.int32)
    for i in range(out.shape[0]):
        row = out[i]
        for j in range(width):
            quad[0, j] = plane[2 * i, 2 * j]
            quad[1, j] = plane[2 * i, 2 * j + 1]
            quad[2, j] = plane[2 * i + 1, 2 * j]
            quad[3, j] = plane[2 * i + 1, 2 * j + 1]
        for j in range(width):
            row[j] = (quad[0, j] + quad[1, j] + quad[2, j] + quad[3, j] + 2) >> 2
        for k in range(4):
            line = quad[k]
            for j in range(width):
                square = np.int64(line[j] - np.int32(row[j])) ** 2
                sums[0] += square
                sums[1] += square * square
    return sums


@compiled("int64[::1](uint8[:, ::1], int64)")
def patterns(plane: Bytes, radius: int) -> Longs:
    """Counts the local binary patterns of a plane.

    Args:
        plane: (height, width), both above ``2 * radius``.
        radius: distance of the neighbours, in pixels; the ring is a square.

    Returns:
        Array (256,) of counts. Bit k of a pattern: neighbour k, clockwise from the upper left,
        is not darker than the pixel. Time O(pixels).
    """
    height, width = plane.shape
    tables = np.zeros((4, 256), np.int32)
    codes = np.empty(width, np.uint8)
    n = width - 2 * radius
    for i in range(radius, height - radius):
        upper = plane[i - radius]
        lower = plane[i + radius]
        row = plane[i]
        # Views, since an index that may be negative is tested, and then nothing is vectorised.
        a0, a1, a2 = upper[:n], upper[radius : radius + n], upper[2 * radius :]
        b0, b1, b2 = row[:n], row[radius : radius + n], row[2 * radius :]
        c0, c1, c2 = lower[:n], lower[radius : radius + n], lower[2 * radius :]
        for j in range(n):
            c = b1[j]
            codes[j] = (
                np.uint8(a0[j] >= c)
                | np.uint8(a1[j] >= c) << 1
                | np.uint8(a2[j] >= c) << 2
                | np.uint8(b2[j] >= c) << 3
                | np.uint8(c2[j] >= c) << 4
                | np.uint8(c1[j] >= c) << 5
                | np.uint8(c0[j] >= c) << 6
                | np.uint8(b0[j] >= c) << 7
            )
        # Four tables in turn: equal neighbours would wait for each other's increment.
        j = 0
        while j + 4 <= n:
            tables[0, codes[j]] += 1
            tables[1, codes[j + 1]] += 1
            tables[2, codes[j + 2]] += 1
            tables[3, codes[j + 3]] += 1
            j += 4
        while j < n:
            tables[0, codes[j]] += 1
            j += 1
    out = np.zeros(256, np.int64)
    for t in range(4):
        for c in range(256):
            out[c] += tables[t, c]
    return out


@compiled("int16[:, ::1](uint8[:, ::1], int64)")
def residual(plane: Bytes, limit: int) -> Shorts:
    """Four times each inner pixel less its four neighbours, clipped to ±limit.

    Args:
        plane: (height, width), both at least 3.
        limit: the largest size kept; edges of things count no more than that.

    Returns:
        Array (height - 2, width - 2).
    """
    height, width = plane.shape
    out = np.empty((height - 2, width - 2), np.int16)
    for i in range(height - 2):
        above = plane[i]
        row = plane[i + 1]
        below = plane[i + 2]
        for j in range(width - 2):
            value = np.int32(row[j + 1]) * 4 - above[j + 1] - below[j + 1] - row[j] - row[j + 2]
            out[i, j] = min(max(value, -limit), limit)
    return out


@compiled("int64[::1](int16[:, ::1], int64[:, ::1])")
def correlations(values: Shorts, lags: Longs) -> Longs:
    """Sums of products of a plane with itself, moved.

    Args:
        values: (height, width), sizes up to 64, so that a row's sum fits 32 bits.
        lags: (n, 2), rows down (not negative) and columns across, both below the plane's sides.

    Returns:
        Array (n,) of sums over all places where both pixels exist. Time O(n × pixels).
    """
    height, width = values.shape
    out = np.zeros(len(lags), np.int64)
    for i in range(height):
        for k in range(len(lags)):
            down, across = lags[k, 0], lags[k, 1]
            if i + down < height:
                here = values[i]
                there = values[i + down]
                left = max(0, -across)
                right = max(0, across)
                total = np.int32(0)
                # Unsigned indices spare the test for counting from the end, 32 bits halve the
                # width of the sums: together three times as fast.
                for j in range(width - abs(across)):
                    product = np.int32(here[np.uint64(left + j)]) * np.int32(
                        there[np.uint64(right + j)]
                    )
                    total = np.int32(total + product)
                out[k] += total
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


@compiled("int64[::1](Array(uint8, 3, 'C', readonly=True), uint8[:, :, ::1])")
def colours(rgb: Bytes, ycc: Bytes) -> Longs:
    """Counts colours on every second pixel of every fourth row.

    Args:
        rgb: (height, width, 3).
        ycc: (3, height, width), the same image as Y, Cb, Cr.

    Returns:
        Array of 256 × 3 counts of Y, Cb and Cr, sums of the products Y·Cb, Y·Cr and Cb·Cr, then
        counts of hue (where saturation exceeds a tenth), saturation, value, clipped channels,
        and for each tone of Y its pixels, its sums of (Cb - 128)² and of (Cr - 128)².
    """
    out = np.zeros(768 + 3 + HUES + 2 * STEPS + 3 * CLIPS + 3 * TONES, np.int64)
    channels = out[:768]
    products = out[768:771]
    hues = out[771 : 771 + HUES]
    saturations = out[771 + HUES : 771 + HUES + STEPS]
    values = out[771 + HUES + STEPS : 771 + HUES + 2 * STEPS]
    clips = out[771 + HUES + 2 * STEPS : 771 + HUES + 2 * STEPS + 3 * CLIPS]
    tones = out[771 + HUES + 2 * STEPS + 3 * CLIPS :]
    height, width, _ = rgb.shape
    for i in range(0, height, 4):
        for j in range(0, width, 2):
            y = int(ycc[0, i, j])
            cb = int(ycc[1, i, j])
            cr = int(ycc[2, i, j])
            channels[y] += 1
            channels[256 + cb] += 1
            channels[512 + cr] += 1
            products[0] += y * cb
            products[1] += y * cr
            products[2] += cb * cr
            tone = 3 * (y >> 5)
            tones[tone] += 1
            tones[tone + 1] += (cb - 128) * (cb - 128)
            tones[tone + 2] += (cr - 128) * (cr - 128)
            r = int(rgb[i, j, 0])
            g = int(rgb[i, j, 1])
            b = int(rgb[i, j, 2])
            for c in range(3):
                size = rgb[i, j, c]
                clips[CLIPS * c] += size == 0
                clips[CLIPS * c + 1] += size <= 4
                clips[CLIPS * c + 2] += size >= 251
                clips[CLIPS * c + 3] += size == 255
            top = max(r, g, b)
            spread = top - min(r, g, b)
            saturation = spread * 255 // max(top, 1)
            saturations[saturation >> 4] += 1
            values[top >> 4] += 1
            if saturation > 25:
                # Six sectors of 256 steps; floor division keeps the sectors even below zero.
                if top == r:
                    hue = 256 * (g - b) // spread
                elif top == g:
                    hue = 512 + 256 * (b - r) // spread
                else:
                    hue = 1024 + 256 * (r - g) // spread
                hues[(hue % 1536) >> 6] += 1
    return out
