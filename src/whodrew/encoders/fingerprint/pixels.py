"""Compiled passes over pixels: colour, its planes, their edges. Integers: exact everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint.jit import called, compiled, inlined

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

HUES, STEPS, TONES = 24, 16, 8
"""Bins of hue, of saturation and value, and of luma (for the spread of colour by tone)."""

CLIPS = 4
"""Counts a channel: values at most 0, at most 4, at least 251, at least 255."""

LINES = 4
"""Outermost lines of each side that are compared."""

# Unsigned indices spare the test for counting from the end, which keeps loops from vector
# registers; casts keep numba from widening every sum to 64 bits.


@inlined
def luma(r: np.int32, g: np.int32, b: np.int32) -> np.int32:
    """Y of ITU-R BT.601, full range, as in JPEG."""
    return (
        np.int32(np.int32(19595) * r + np.int32(38470) * g + np.int32(7471) * b + np.int32(32768))
        >> 16
    )


@inlined
def blueness(r: np.int32, g: np.int32, b: np.int32) -> np.int32:
    """Cb, likewise."""
    return (
        np.int32(
            np.int32(-11059) * r - np.int32(21709) * g + np.int32(32768) * b + np.int32(8421375)
        )
        >> 16
    )


@inlined
def redness(r: np.int32, g: np.int32, b: np.int32) -> np.int32:
    """Cr, likewise."""
    return (
        np.int32(np.int32(32768) * r - np.int32(27439) * g - np.int32(5329) * b + np.int32(8421375))
        >> 16
    )


@compiled("void(Array(uint8, 2, 'C', readonly=True), int64, uint8[:, :, ::1])")
def split(rgb: Bytes, step: int, out: Bytes) -> None:
    """Converts RGB to Y, Cb, Cr.

    Args:
        rgb: (height, width · step): R, G, B of a pixel, and another byte where step is 4.
        step: bytes a pixel, 3 or 4.
        out: (3, height, width), overwritten.
    """
    for i in range(out.shape[1]):
        y, cb, cr = out[0, i], out[1, i], out[2, i]
        row = rgb[i]
        if step == 4:
            words = row.view(np.uint32)
            for j in range(len(y)):
                word = words[j]
                r = np.int32(word & np.uint32(255))
                g = np.int32((word >> np.uint32(8)) & np.uint32(255))
                b = np.int32((word >> np.uint32(16)) & np.uint32(255))
                y[j], cb[j], cr[j] = luma(r, g, b), blueness(r, g, b), redness(r, g, b)
        else:
            for j in range(len(y)):
                at = np.uint64(3 * j)
                r = np.int32(row[at])
                g = np.int32(row[at + np.uint64(1)])
                b = np.int32(row[at + np.uint64(2)])
                y[j], cb[j], cr[j] = luma(r, g, b), blueness(r, g, b), redness(r, g, b)


@called
def shades(colour: Ints, bins: Bytes) -> None:
    """Writes the bins (3, n) of hue, saturation and value of R, G, B (3, n).

    The bin of hue is HUES where saturation does not exceed a tenth.
    """
    r, g, b = colour[0], colour[1], colour[2]
    hue_bin, saturation_bin, value_bin = bins[0], bins[1], bins[2]
    for j in range(len(hue_bin)):
        red, green, blue = r[j], g[j], b[j]
        top = max(red, green, blue)
        spread = np.int32(top - min(red, green, blue))
        # The quotients are whole or at least 1/255 from it, and at most 256: rounding to
        # 24 bits never takes one past a whole number, so that these floors are exact.
        saturation = np.int32(np.float32(spread * 255) / np.float32(max(top, np.int32(1))))
        saturation_bin[j] = saturation >> 4
        value_bin[j] = top >> 4
        # Six sectors of 256 steps; the floor keeps the sectors even below zero.
        if top == red:
            ahead, sector = np.int32(green - blue), np.int32(1536)
        elif top == green:
            ahead, sector = np.int32(blue - red), np.int32(512)
        else:
            ahead, sector = np.int32(red - green), np.int32(1024)
        step = np.floor(np.float32(np.int32(ahead * 256)) / np.float32(max(spread, np.int32(1))))
        hue = np.int32(np.int32(step) + sector)
        hue = np.int32(hue - 1536) if hue >= 1536 else hue
        hue_bin[j] = hue >> 6 if saturation > 25 else HUES


@called
def clipped(colour: Ints, clips: Longs) -> None:
    """Adds to ``clips`` (3 · CLIPS,) how many of R, G, B (3, n) lie at the ends of the range."""
    for c in range(3):
        line = colour[c]
        at, near, far, end = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for j in range(len(line)):
            at = np.int32(at + np.int32(line[j] == 0))
            near = np.int32(near + np.int32(line[j] <= 4))
            far = np.int32(far + np.int32(line[j] >= 251))
            end = np.int32(end + np.int32(line[j] == 255))
        clips[CLIPS * c] += at
        clips[CLIPS * c + 1] += near
        clips[CLIPS * c + 2] += far
        clips[CLIPS * c + 3] += end


@called
def related(planes: Ints, products: Longs) -> None:
    """Adds the sums of the products Y·Cb, Y·Cr and Cb·Cr of ``planes`` (3, n)."""
    y, cb, cr = planes[0], planes[1], planes[2]
    first, second, third = np.int64(0), np.int64(0), np.int64(0)
    for j in range(len(y)):
        first += np.int32(y[j] * cb[j])
        second += np.int32(y[j] * cr[j])
        third += np.int32(cb[j] * cr[j])
    products[0] += first
    products[1] += second
    products[2] += third


@called
def apart(row: Bytes, step: int, ycc: Bytes, i: int, colour: Ints, planes: Ints) -> None:
    """Takes every second pixel of row i: R, G, B to ``colour`` (3, n), Y, Cb, Cr to ``planes``."""
    n = len(colour[0])
    for c in range(3):
        source, target = ycc[c, i], planes[c]
        for j in range(n):
            target[j] = source[np.uint64(2 * j)]
    r, g, b = colour[0], colour[1], colour[2]
    if step == 4:
        words = row.view(np.uint32)
        for j in range(n):
            word = words[np.uint64(2 * j)]
            r[j] = word & np.uint32(255)
            g[j] = (word >> np.uint32(8)) & np.uint32(255)
            b[j] = (word >> np.uint32(16)) & np.uint32(255)
    else:
        for j in range(n):
            at = np.uint64(6 * j)
            r[j] = row[at]
            g[j] = row[at + np.uint64(1)]
            b[j] = row[at + np.uint64(2)]


@called
def tallied(
    planes: Ints, bins: Bytes, both: Ints, channels: Longs, hues: Ints, shares: Ints, tones: Longs
) -> None:
    """Counts a row: Y, Cb, Cr; hue; saturation and value together; spread of colour by tone.

    Args:
        planes: (3, n), Y, Cb, Cr.
        bins: (3, n) from ``shades``; saturation is overwritten.
        both: (n,), room to work in.
        channels: (3 · 256,), added to.
        hues: (2, HUES + 1), added to.
        shares: (2, STEPS · STEPS), added to, saturation first.
        tones: (TONES · 3,), to which the sums of squares are added.
    """
    y, cb, cr = planes[0], planes[1], planes[2]
    hue, share, value = bins[0], bins[1], bins[2]
    n = len(both)
    # The square for Cb below, that for Cr above: one sum for both, emptied before they could meet.
    for j in range(n):
        share[j] = share[j] * STEPS + value[j]
        blue, red = np.int32(cb[j] - 128), np.int32(cr[j] - 128)
        both[j] = np.int32(blue * blue) + np.int32(np.int32(red * red) << 16)
    spreads = np.zeros((2, TONES), np.uint64)
    for start in range(0, n, 1 << 17):
        for j in range(start, min(n, start + (1 << 17))):
            # Two tables in turn: equal neighbours would wait for each other's increment.
            turn = j & 1
            one = np.uint64(y[j])
            channels[one] += 1
            channels[np.uint64(256 + cb[j])] += 1
            channels[np.uint64(512 + cr[j])] += 1
            pair = np.uint64(both[j])
            square = (pair & np.uint64(0xFFFF)) | ((pair >> np.uint64(16)) << np.uint64(32))
            spreads[turn, one >> np.uint64(5)] += square
            hues[turn, np.uint64(hue[j])] += 1
            shares[turn, np.uint64(share[j])] += 1
        for turn in range(2):
            for tone in range(TONES):
                tones[3 * tone + 1] += np.int64(spreads[turn, tone] & np.uint64(0xFFFFFFFF))
                tones[3 * tone + 2] += np.int64(spreads[turn, tone] >> np.uint64(32))
                spreads[turn, tone] = 0


SIZES = (3 * 256, 3, HUES, STEPS, STEPS, 3 * CLIPS, 3 * TONES)
"""Lengths of the parts that ``colours`` counts."""


@compiled("void(Array(uint8, 2, 'C', readonly=True), int64, uint8[:, :, ::1], int64[::1])")
def colours(rgb: Bytes, step: int, ycc: Bytes, out: Longs) -> None:
    """Counts colours on every second pixel of every fourth row.

    Args:
        rgb: (height, width · step), as ``split`` takes it.
        step: bytes a pixel.
        ycc: (3, height, width), the same image as Y, Cb, Cr.
        out: zeros, in parts of ``SIZES``: 256 × 3 counts of Y, Cb and Cr, sums of the products
            Y·Cb, Y·Cr and Cb·Cr, then counts of hue (where saturation exceeds a tenth),
            saturation, value, clipped channels, and for each tone of Y its pixels, its sums of
            (Cb - 128)² and of (Cr - 128)².
    """
    _, height, width = ycc.shape
    n = (width + 1) // 2
    channels = out[: 3 * 256]
    products = out[3 * 256 : 3 * 257]
    counts = out[3 * 257 :]
    clips = counts[HUES + 2 * STEPS :]
    tones = clips[3 * CLIPS :]
    hues = np.zeros((2, HUES + 1), np.int32)
    shares = np.zeros((2, STEPS * STEPS), np.int32)
    planes = np.empty((3, n), np.int32)
    colour = np.empty((3, n), np.int32)
    bins = np.empty((3, n), np.uint8)
    both = np.empty(n, np.int32)
    for i in range(0, height, 4):
        # Taken apart first: the sums then run in vector registers.
        apart(rgb[i], step, ycc, i, colour, planes)
        related(planes, products)
        clipped(colour, clips)
        shades(colour, bins)
        tallied(planes, bins, both, channels, hues, shares, tones)
    for k in range(256):
        tones[3 * (k >> 5)] += channels[k]
    for turn in range(2):
        for k in range(HUES):
            counts[k] += hues[turn, k]
        for k in range(STEPS * STEPS):
            counts[HUES + k // STEPS] += shares[turn, k]
            counts[HUES + STEPS + k % STEPS] += shares[turn, k]


@compiled("void(uint8[:, ::1], uint8[:, ::1], int64[::1])")
def halve(plane: Bytes, out: Bytes, powers: Longs) -> None:
    """Averages 2×2 pixels, rounding half up; an odd last row or column is left out.

    Args:
        plane: (height, width).
        out: (height // 2, width // 2), overwritten.
        powers: (2,), overwritten with the sums of the second and fourth powers of what each pixel
            differs by from its average.
    """
    second, fourth = np.int64(0), np.int64(0)
    height, width = out.shape
    for i in range(height):
        # A pair of pixels is one word.
        upper = plane[2 * i][: 2 * width].view(np.uint16)
        lower = plane[2 * i + 1][: 2 * width].view(np.uint16)
        row = out[i]
        for j in range(width):
            a, b = np.int32(upper[j]) & np.int32(255), np.int32(upper[j]) >> np.int32(8)
            c, d = np.int32(lower[j]) & np.int32(255), np.int32(lower[j]) >> np.int32(8)
            mean = np.int32(np.int32(a + b + c + d + 2) >> 2)
            row[j] = mean
            # At most 192 from the mean, and then three pixels are near it: 32 bits hold both.
            a = np.int32(np.int32(a - mean) * np.int32(a - mean))
            b = np.int32(np.int32(b - mean) * np.int32(b - mean))
            c = np.int32(np.int32(c - mean) * np.int32(c - mean))
            d = np.int32(np.int32(d - mean) * np.int32(d - mean))
            second += np.int32(a + b + c + d)
            fourth += np.int32(a * a + b * b + c * c + d * d)
    powers[0], powers[1] = second, fourth


@called
def stepped(one: Bytes, two: Bytes) -> np.int64:
    """Sums the absolute differences of two lines."""
    total = np.int64(0)
    for j in range(len(one)):
        total += abs(np.int32(one[j]) - np.int32(two[j]))
    return total


@compiled("void(uint8[:, :, ::1], int64[:, :, ::1])")
def borders(ycc: Bytes, out: Longs) -> None:
    """Sums absolute steps at the edges of planes.

    Args:
        ycc: (3, height, width), sides at least ``LINES``.
        out: (3, 4, LINES), overwritten: for each plane, and its top, bottom, left and right, the
            sums of steps from each of the outermost lines to the next, and along the first.
    """
    _, height, width = ycc.shape
    edge = np.empty((LINES, max(height, width)), np.uint8)
    for c in range(3):
        for side in range(4):
            n = width if side < 2 else height
            for k in range(LINES):
                at = k if side % 2 == 0 else (height if side < 2 else width) - 1 - k
                for j in range(n):
                    edge[k, j] = ycc[c, at, j] if side < 2 else ycc[c, j, at]
            for k in range(LINES - 1):
                out[c, side, k] = stepped(edge[k, :n], edge[k + 1, :n])
            out[c, side, LINES - 1] = stepped(edge[0, 1:n], edge[0, : n - 1])
