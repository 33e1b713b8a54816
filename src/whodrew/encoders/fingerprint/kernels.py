"""Compiled passes over planes. All arithmetic is on integers, hence exact everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint.jit import called, compiled, inlined

Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Longs = npt.NDArray[np.int64]
Four = tuple[np.int32, np.int32, np.int32, np.int32]

# Casts keep numba from widening every sum to 64 bits: twice as many fit a vector.


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


ACROSS, DOWN = 4, 4
"""Lags of every kind, up to these."""

MARGIN = 16
"""The longest lag along an axis."""

LAGS = np.array(
    [
        *((0, across) for across in range(ACROSS + 1)),
        *((down, across) for down in range(1, DOWN + 1) for across in range(-ACROSS, ACROSS + 1)),
        *((0, far) for far in (6, 8, 12, MARGIN)),
        *((far, 0) for far in (6, 8, 12, MARGIN)),
    ],
    np.int64,
)
"""Rows down and columns across of what ``correlations`` gives."""


@called
def nine(here: Shorts, there: Shorts, starts: tuple[int, ...], sums: Longs) -> None:
    """Adds the sums of products of a row with nine parts of a row, which begin at ``starts``."""
    n = len(here)
    a, b, c = there[starts[0] :], there[starts[1] :], there[starts[2] :]
    d, e, f = there[starts[3] :], there[starts[4] :], there[starts[5] :]
    g, h, i = there[starts[6] :], there[starts[7] :], there[starts[8] :]
    p = q = r = s = t = u = v = w = x = np.int32(0)
    for j in range(n):
        one = np.int32(here[j])
        p = np.int32(p + np.int32(one * np.int32(a[j])))
        q = np.int32(q + np.int32(one * np.int32(b[j])))
        r = np.int32(r + np.int32(one * np.int32(c[j])))
        s = np.int32(s + np.int32(one * np.int32(d[j])))
        t = np.int32(t + np.int32(one * np.int32(e[j])))
        u = np.int32(u + np.int32(one * np.int32(f[j])))
        v = np.int32(v + np.int32(one * np.int32(g[j])))
        w = np.int32(w + np.int32(one * np.int32(h[j])))
        x = np.int32(x + np.int32(one * np.int32(i[j])))
    for k, total in enumerate((p, q, r, s, t, u, v, w, x)):
        sums[k] += total


@called
def four(here: Shorts, a: Shorts, b: Shorts, c: Shorts, d: Shorts, sums: Longs) -> None:
    """Adds the sums of products of a row with four rows."""
    p = q = r = s = np.int32(0)
    for j in range(len(here)):
        one = np.int32(here[j])
        p = np.int32(p + np.int32(one * np.int32(a[j])))
        q = np.int32(q + np.int32(one * np.int32(b[j])))
        r = np.int32(r + np.int32(one * np.int32(c[j])))
        s = np.int32(s + np.int32(one * np.int32(d[j])))
    for k, total in enumerate((p, q, r, s)):
        sums[k] += total


@called
def residual(above: Bytes, row: Bytes, below: Bytes, limit: int, out: Shorts) -> None:
    """Four times each inner pixel of a row less its four neighbours, clipped to ±limit."""
    least, most = np.int16(-limit), np.int16(limit)
    n = len(out)
    up, down, left, right, here = above[1:], below[1:], row[:n], row[2:], row[1:]
    for j in range(n):
        around = np.int16(up[j]) + np.int16(down[j]) + np.int16(left[j]) + np.int16(right[j])
        out[j] = min(max(np.int16(4 * np.int16(here[j]) - around), least), most)


@compiled("int64[::1](uint8[:, ::1], int64)")
def correlations(plane: Bytes, limit: int) -> Longs:
    """Correlates the clipped Laplacian of a plane with itself, moved by ``LAGS``.

    Args:
        plane: (height, width), both at least 3.
        limit: ``residual``'s, up to 64, so that the sum over a row fits 32 bits.

    Returns:
        Array (49,) of sums of products over all places where both pixels exist. Time
        O(49 × pixels).
    """
    height, width = plane.shape[0] - 2, plane.shape[1] - 2
    # Zeros around add nothing, and rows of whole vectors leave no rest to sum one by one.
    n = (width + 63) // 64 * 64
    rows = np.zeros((2 * MARGIN, n + 2 * MARGIN), np.int16)
    level = np.zeros(9, np.int64)
    near = np.zeros((DOWN, 9), np.int64)
    far = np.zeros(4, np.int64)
    for i in range(height):
        line = rows[i % (2 * MARGIN)]
        residual(plane[i], plane[i + 1], plane[i + 2], limit, line[MARGIN : MARGIN + width])
        here = line[MARGIN : MARGIN + n]
        nine(here, line[MARGIN:], (0, 1, 2, 3, 4, 6, 8, 12, 16), level)
        for down in range(1, DOWN + 1):
            there = rows[(i - down) % (2 * MARGIN)][MARGIN - ACROSS :]
            nine(here, there, (8, 7, 6, 5, 4, 3, 2, 1, 0), near[down - 1])
        a, b = rows[(i - 6) % (2 * MARGIN)], rows[(i - 8) % (2 * MARGIN)]
        c, d = rows[(i - 12) % (2 * MARGIN)], rows[(i - 16) % (2 * MARGIN)]
        four(here, a[MARGIN:], b[MARGIN:], c[MARGIN:], d[MARGIN:], far)
    return np.concatenate((level[:5], near.ravel(), level[5:], far))


# The orthonormal cosine transform of 8, times 4096: 2048 · cos(k·pi/16), and what 0 and 4 have.
E0 = np.int32(np.round(4096 * np.sqrt(1 / 8)))
O1, E2, O3, O5, E6, O7 = (
    np.int32(np.round(2048 * np.cos(np.pi * k / 16))) for k in (1, 2, 3, 5, 6, 7)
)


@inlined
def even(a: np.int32, b: np.int32, c: np.int32, d: np.int32) -> Four:
    """Coefficients 0, 2, 4, 6 of sums of what lies alike about the middle, outermost first."""
    p, q, r, s = np.int32(a + d), np.int32(b + c), np.int32(a - d), np.int32(b - c)
    return (
        np.int32(E0 * np.int32(p + q)),
        np.int32(np.int32(E2 * r) + np.int32(E6 * s)),
        np.int32(E0 * np.int32(p - q)),
        np.int32(np.int32(E6 * r) - np.int32(E2 * s)),
    )


@inlined
def odd(a: np.int32, b: np.int32, c: np.int32, d: np.int32) -> Four:
    """Coefficients 1, 3, 5, 7 of differences of what lies alike about the middle."""
    p, q, r, s = np.int32(O1 * a), np.int32(O3 * a), np.int32(O5 * a), np.int32(O7 * a)
    t, u, v, w = np.int32(O3 * b), np.int32(O7 * b), np.int32(O1 * b), np.int32(O5 * b)
    return (
        np.int32(np.int32(p + t) + np.int32(np.int32(O5 * c) + np.int32(O7 * d))),
        np.int32(np.int32(q - u) - np.int32(np.int32(O1 * c) + np.int32(O5 * d))),
        np.int32(np.int32(r - v) + np.int32(np.int32(O7 * c) + np.int32(O3 * d))),
        np.int32(np.int32(s - w) + np.int32(np.int32(O3 * c) - np.int32(O1 * d))),
    )


@called
def upright(words: Words, half: Shorts) -> None:
    """Transforms the columns of a row of blocks.

    Args:
        words: (8, blocks): a block's row of eight bytes is one word (of little-endian machines),
            since shifting words takes pixels apart in vector registers.
        half: (8, 8, blocks), flat, overwritten with 16 × the result: by frequency, column of the
            block, block.
    """
    # Not words.shape[1], which might be negative for all LLVM knows: nothing is vectorised then.
    n = len(half) // 64
    a, b, c, d, e, f, g, h = (
        words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7]
    )  # fmt: skip
    byte = np.uint64(255)
    for column in range(8):
        shift = np.uint64(8 * column)
        for block in range(n):
            p, w = np.int32((a[block] >> shift) & byte), np.int32((h[block] >> shift) & byte)
            q, v = np.int32((b[block] >> shift) & byte), np.int32((g[block] >> shift) & byte)
            r, u = np.int32((c[block] >> shift) & byte), np.int32((f[block] >> shift) & byte)
            s, t = np.int32((d[block] >> shift) & byte), np.int32((e[block] >> shift) & byte)
            c0, c2, c4, c6 = even(
                np.int32(p + w - 256), np.int32(q + v - 256),
                np.int32(r + u - 256), np.int32(s + t - 256),
            )  # fmt: skip
            c1, c3, c5, c7 = odd(np.int32(p - w), np.int32(q - v), np.int32(r - u), np.int32(s - t))
            at = column * n + block
            half[at] = np.int32(c0 + 128) >> 8
            half[at + 8 * n] = np.int32(c1 + 128) >> 8
            half[at + 16 * n] = np.int32(c2 + 128) >> 8
            half[at + 24 * n] = np.int32(c3 + 128) >> 8
            half[at + 32 * n] = np.int32(c4 + 128) >> 8
            half[at + 40 * n] = np.int32(c5 + 128) >> 8
            half[at + 48 * n] = np.int32(c6 + 128) >> 8
            half[at + 56 * n] = np.int32(c7 + 128) >> 8


@called
def level(half: Shorts, sizes: Shorts) -> None:
    """Transforms one frequency of the columns along the row.

    Args:
        half: (8, blocks), flat, from ``upright``.
        sizes: (8, blocks), flat, overwritten with 8 × |coefficient|, rounded.
    """
    n = len(sizes) // 8
    for at in range(n):
        p, w = np.int32(half[at]), np.int32(half[at + 7 * n])
        q, v = np.int32(half[at + n]), np.int32(half[at + 6 * n])
        r, u = np.int32(half[at + 2 * n]), np.int32(half[at + 5 * n])
        s, t = np.int32(half[at + 3 * n]), np.int32(half[at + 4 * n])
        c0, c2, c4, c6 = even(np.int32(p + w), np.int32(q + v), np.int32(r + u), np.int32(s + t))
        c1, c3, c5, c7 = odd(np.int32(p - w), np.int32(q - v), np.int32(r - u), np.int32(s - t))
        sizes[at] = abs(np.int32(np.int32(c0 + 4096) >> 13))
        sizes[at + n] = abs(np.int32(np.int32(c1 + 4096) >> 13))
        sizes[at + 2 * n] = abs(np.int32(np.int32(c2 + 4096) >> 13))
        sizes[at + 3 * n] = abs(np.int32(np.int32(c3 + 4096) >> 13))
        sizes[at + 4 * n] = abs(np.int32(np.int32(c4 + 4096) >> 13))
        sizes[at + 5 * n] = abs(np.int32(np.int32(c5 + 4096) >> 13))
        sizes[at + 6 * n] = abs(np.int32(np.int32(c6 + 4096) >> 13))
        sizes[at + 7 * n] = abs(np.int32(np.int32(c7 + 4096) >> 13))


@compiled("int64[:, ::1](uint8[:, ::1], int16[::1])")
def blocks(plane: Bytes, logs: Shorts) -> Longs:
    """Sums over the 8×8 blocks of a plane, for each coefficient of their cosine transform.

    Args:
        plane: (height, width), both at least 8; a rest that fills no block is left out.
        logs: table from |coefficient| × 8 to its scaled logarithm.

    Returns:
        Array (3, 64): sums of squares (of 8 × coefficient), of logs and of squared logs.
        Time O(11 × pixels).
    """
    high, wide = plane.shape[0] // 8, plane.shape[1] // 8
    rows = np.empty((8, 8 * wide), np.uint8)
    words = rows.view(np.uint64)
    half = np.empty(64 * wide, np.int16)
    sizes = np.empty(8 * wide, np.int16)
    found = np.empty(8 * wide, np.int16)
    out = np.zeros((3, 64), np.int64)
    for i in range(high):
        for y in range(8):
            source, target = plane[8 * i + y], rows[y]
            for x in range(8 * wide):
                target[x] = source[x]
        upright(words, half)
        for k in range(8):
            level(half[8 * k * wide : 8 * (k + 1) * wide], sizes)
            for j in range(8 * wide):
                found[j] = logs[np.uint64(sizes[j])]
            for q in range(8):
                size, log = sizes[q * wide : (q + 1) * wide], found[q * wide : (q + 1) * wide]
                energy, first, second = np.int64(0), np.int64(0), np.int64(0)
                for block in range(wide):
                    energy += np.int32(np.int32(size[block]) * np.int32(size[block]))
                    first += log[block]
                    second += np.int32(np.int32(log[block]) * np.int32(log[block]))
                out[0, 8 * k + q] += energy
                out[1, 8 * k + q] += first
                out[2, 8 * k + q] += second
    return out
