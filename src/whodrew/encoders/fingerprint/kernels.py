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
    for i in range(height):
        row = rgb[i].reshape(3 * width)
        y, cb, cr = out[0, i], out[1, i], out[2, i]
        for j in range(width):
            # Unsigned indices spare the test for counting from the end, which keeps loops from
            # vector registers; casts keep numba from widening every sum to 64 bits.
            at = np.uint64(3 * j)
            r = np.int32(row[at])
            g = np.int32(row[at + np.uint64(1)])
            b = np.int32(row[at + np.uint64(2)])
            y[j] = np.int32(19595 * r + 38470 * g + 7471 * b + 32768) >> 16
            cb[j] = np.int32(-11059 * r - 21709 * g + 32768 * b + 8421375) >> 16
            cr[j] = np.int32(32768 * r - 27439 * g - 5329 * b + 8421375) >> 16


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
    second, fourth = np.int64(0), np.int64(0)
    for i in range(out.shape[0]):
        upper = plane[2 * i]
        lower = plane[2 * i + 1]
        row = out[i]
        for j in range(out.shape[1]):
            at = np.uint64(2 * j)
            a = np.int32(upper[at])
            b = np.int32(upper[at + np.uint64(1)])
            c = np.int32(lower[at])
            d = np.int32(lower[at + np.uint64(1)])
            mean = np.int32(np.int32(a + b + c + d + 2) >> 2)
            row[j] = mean
            # At most 192 from the mean, and then three pixels are near it: 32 bits hold both.
            a = np.int32(np.int32(a - mean) * np.int32(a - mean))
            b = np.int32(np.int32(b - mean) * np.int32(b - mean))
            c = np.int32(np.int32(c - mean) * np.int32(c - mean))
            d = np.int32(np.int32(d - mean) * np.int32(d - mean))
            second += np.int32(a + b + c + d)
            fourth += np.int32(a * a + b * b + c * c + d * d)
    return np.array([second, fourth])


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
    # Zeros around add nothing, and rows of whole vectors leave no rest to sum one by one.
    margin = np.int64(0)
    for k in range(len(lags)):
        margin = max(margin, abs(lags[k, 1]))
    whole = (width + 63) // 64 * 64
    padded = np.zeros((height, whole + 2 * margin), np.int16)
    padded[:, margin : margin + width] = values
    for i in range(height):
        here = padded[i, margin : margin + whole]
        for k in range(len(lags)):
            down, across = lags[k, 0], lags[k, 1]
            if i + down < height:
                there = padded[i + down, margin + across : margin + across + whole]
                total = np.int32(0)
                for j in range(whole):
                    # Casts keep the sum at 32 bits: twice as many fit a vector.
                    total = np.int32(total + np.int32(np.int32(here[j]) * np.int32(there[j])))
                out[k] += total
    return out


@compiled("void(uint8[:, ::1], int64, int32[:, ::1], int16[:, :, ::1], int16[:, :, ::1])")
def upright(plane: Bytes, top: int, basis: Ints, pixels: Shorts, half: Shorts) -> None:
    """Transforms the columns of a row of blocks.

    Args:
        plane: (height, width).
        top: the first of the eight rows.
        basis: (8, 8), the transform.
        pixels: (8, 8, blocks), room to work in.
        half: (8, 8, blocks), overwritten: by frequency, column of the block, block.
    """
    wide = half.shape[2]
    bytes_ = np.empty((2, 8 * wide), np.uint8)
    # A block's row of eight bytes is one word (of little-endian machines): shifting words takes
    # pixels apart in vector registers.
    upper, lower = bytes_[0].view(np.uint64), bytes_[1].view(np.uint64)
    for n in range(4):
        # Cosines are even or odd about the middle: sums and differences halve the products.
        bytes_[0] = plane[top + n, : 8 * wide]
        bytes_[1] = plane[top + 7 - n, : 8 * wide]
        for m in range(8):
            plus, minus = pixels[2 * n, m], pixels[2 * n + 1, m]
            shift = np.uint64(8 * m)
            for b in range(wide):
                one = np.int32((upper[b] >> shift) & np.uint64(255))
                two = np.int32((lower[b] >> shift) & np.uint64(255))
                plus[b] = one + two - 256
                minus[b] = one - two
    for k in range(8):
        part = k % 2
        w0, w1, w2, w3 = basis[k, 0], basis[k, 1], basis[k, 2], basis[k, 3]
        for m in range(8):
            p0, p1 = pixels[part, m], pixels[2 + part, m]
            p2, p3 = pixels[4 + part, m], pixels[6 + part, m]
            row = half[k, m]
            for b in range(wide):
                total = np.int32(w0 * np.int32(p0[b]) + w1 * np.int32(p1[b]))
                total += np.int32(w2 * np.int32(p2[b]) + w3 * np.int32(p3[b]) + 128)
                row[b] = np.int32(total) >> 8


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
    pixels = np.empty((8, 8, wide), np.int16)
    half = np.empty((8, 8, wide), np.int16)
    line = np.empty(wide, np.int32)
    found = np.empty(wide, np.int32)
    table = logs.astype(np.int16)
    out = np.zeros((3, 64), np.int64)
    for i in range(high):
        upright(plane, 8 * i, basis, pixels, half)
        for k in range(8):
            for m in range(4):
                one_row, two_row = half[k, m], half[k, 7 - m]
                for b in range(wide):
                    one, two = one_row[b], two_row[b]
                    one_row[b] = one + two
                    two_row[b] = one - two
            for q in range(8):
                w0, w1, w2, w3 = basis[q, 0], basis[q, 1], basis[q, 2], basis[q, 3]
                if q % 2 == 0:
                    h0, h1, h2, h3 = half[k, 0], half[k, 1], half[k, 2], half[k, 3]
                else:
                    h0, h1, h2, h3 = half[k, 7], half[k, 6], half[k, 5], half[k, 4]
                for b in range(wide):
                    total = np.int32(w0 * np.int32(h0[b]) + w1 * np.int32(h1[b]))
                    total += np.int32(w2 * np.int32(h2[b]) + w3 * np.int32(h3[b]) + 4096)
                    line[b] = abs(np.int32(np.int32(total) >> 13))
                for b in range(wide):
                    found[b] = table[np.uint64(line[b])]
                energy, first, second = np.int64(0), np.int64(0), np.int64(0)
                for b in range(wide):
                    size = line[b]
                    log = found[b]
                    energy += np.int32(size * size)
                    first += log
                    second += np.int32(log * log)
                out[0, 8 * k + q] += energy
                out[1, 8 * k + q] += first
                out[2, 8 * k + q] += second
    return out


@compiled("void(int32[:, ::1], uint8[:, ::1])")
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
    height, width, _ = rgb.shape
    n = (width + 1) // 2
    channels = np.zeros(768, np.int32)
    hues = np.zeros((2, HUES + 1), np.int32)
    saturations = np.zeros((2, STEPS), np.int32)
    values = np.zeros((2, STEPS), np.int32)
    products = np.zeros(3, np.int64)
    clips = np.zeros(3 * CLIPS, np.int64)
    tones = np.zeros((TONES, 3), np.int64)
    luma = np.empty((3, n), np.int32)
    colour = np.empty((3, n), np.int32)
    bins = np.empty((3, n), np.uint8)
    for i in range(0, height, 4):
        # Taken apart first: the sums below then run in vector registers.
        row = rgb[i].reshape(3 * width)
        y, cb, cr = luma[0], luma[1], luma[2]
        y_row, cb_row, cr_row = ycc[0, i], ycc[1, i], ycc[2, i]
        for j in range(n):
            at = np.uint64(2 * j)
            y[j] = y_row[at]
            cb[j] = cb_row[at]
            cr[j] = cr_row[at]
        r, g, b = colour[0], colour[1], colour[2]
        for j in range(n):
            at = np.uint64(6 * j)
            r[j] = row[at]
            g[j] = row[at + np.uint64(1)]
            b[j] = row[at + np.uint64(2)]
        first, second, third = np.int64(0), np.int64(0), np.int64(0)
        for j in range(n):
            first += np.int32(y[j] * cb[j])
            second += np.int32(y[j] * cr[j])
            third += np.int32(cb[j] * cr[j])
        products[0] += first
        products[1] += second
        products[2] += third
        for c in range(3):
            line = colour[c]
            c0, c1, c2, c3 = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
            for j in range(n):
                c0 += np.int32(line[j] == 0)
                c1 += np.int32(line[j] <= 4)
                c2 += np.int32(line[j] >= 251)
                c3 += np.int32(line[j] == 255)
            clips[CLIPS * c] += c0
            clips[CLIPS * c + 1] += c1
            clips[CLIPS * c + 2] += c2
            clips[CLIPS * c + 3] += c3
        shades(colour, bins)
        hue_bin, saturation_bin, value_bin = bins[0], bins[1], bins[2]
        for j in range(n):
            one, two, three = np.uint64(y[j]), np.uint64(cb[j]), np.uint64(cr[j])
            channels[one] += 1
            channels[np.uint64(256) + two] += 1
            channels[np.uint64(512) + three] += 1
            tone = np.uint64(one >> np.uint64(5))
            tones[tone, 1] += np.int32((cb[j] - 128) * (cb[j] - 128))
            tones[tone, 2] += np.int32((cr[j] - 128) * (cr[j] - 128))
            # Two tables in turn: equal neighbours would wait for each other's increment.
            turn = j & 1
            hues[turn, hue_bin[j]] += 1
            saturations[turn, saturation_bin[j]] += 1
            values[turn, value_bin[j]] += 1
    for k in range(256):
        tones[k >> 5, 0] += channels[k]
    counted = (channels.astype(np.int64), products, hues.sum(axis=0)[:HUES])
    counted_too = (saturations.sum(axis=0), values.sum(axis=0), clips, tones.ravel())
    return np.concatenate(counted + counted_too)
