"""Compiled Fourier transforms of tiles, eight tiles at a time: one a lane of vector registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint.jit import called, compiled, inlined

Plane = npt.NDArray[np.uint8]
Powers = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
Numbers = tuple[np.floating[Any], ...]

LANES = 8
"""Tiles transformed together. Their numbers stand side by side: the lane is the last index."""

ROW16, ROW32 = 16 * LANES, 32 * LANES
"""Numbers in a row of eight tiles."""

C1, C2, C3, C4, C5, C6, C7 = (np.float32(np.cos(np.pi * k / 16)) for k in range(1, 8))
LN2 = np.float32(np.log(2))
K3, K5, K7, K9 = (np.float32(1 / k) for k in (3, 5, 7, 9))
ONE = np.float32(1)
ROOT_HALF = np.int32(np.float32(np.sqrt(0.5)).view(np.int32))

# Split radix, for real x of N: even frequencies are the transform of x[n] + x[n + N/2]; of the
# odd ones, 1, 5, 9 ... are a complex transform of N/4, of o[n] - i·o[n + N/4] turned by n steps,
# o[n] = x[n] - x[n + N/2]; and the rest are conjugates of these. A frequency is C - i·S.


@inlined
def plus(x: Numbers, y: Numbers) -> Numbers:
    """Sums of eight numbers and eight."""
    a, b, c, d, e, f, g, h = x
    i, j, k, l, m, n, o, p = y  # noqa: E741
    return a + i, b + j, c + k, d + l, e + m, f + n, g + o, h + p


@inlined
def minus(x: Numbers, y: Numbers) -> Numbers:
    """Differences of eight numbers and eight."""
    a, b, c, d, e, f, g, h = x
    i, j, k, l, m, n, o, p = y  # noqa: E741
    return a - i, b - j, c - k, d - l, e - m, f - n, g - o, h - p


@inlined
def complex4(z: Numbers) -> Numbers:
    """Transform of 4 complex numbers; real and imaginary parts in turn."""
    a, b, c, d, e, f, g, h = z
    p, q, r, s = a + e, b + f, a - e, b - f
    t, u, v, w = c + g, d + h, c - g, d - h
    return p + t, q + u, r + w, s - v, p - t, q - u, r - w, s + v


@inlined
def complex8(z: Numbers) -> Numbers:
    """Transform of 8 complex numbers; real and imaginary parts in turn."""
    even = complex4((z[0], z[1], z[4], z[5], z[8], z[9], z[12], z[13]))
    a, b, c, d, e, f, g, h = complex4((z[2], z[3], z[6], z[7], z[10], z[11], z[14], z[15]))
    turned = (a, b, (c + d) * C4, (d - c) * C4, f, -e, (h - g) * C4, -(g + h) * C4)
    return plus(even, turned) + minus(even, turned)


@inlined
def real16(low: Numbers, high: Numbers) -> Numbers:
    """Transform of 16 real numbers: C of frequencies 0 to 8, then S of 1 to 7."""
    e0, e1, e2, e3, e4, e5, e6, e7 = plus(low, high)
    o0, o1, o2, o3, o4, o5, o6, o7 = minus(low, high)
    z1 = (o1 * C2 - o5 * C6, -(o1 * C6 + o5 * C2))
    z2 = ((o2 - o6) * C4, -(o2 + o6) * C4)
    z3 = (o3 * C6 - o7 * C2, -(o3 * C2 + o7 * C6))
    c1, d1, c5, d5, c7, s7, c3, s3 = complex4((o0, -o4, *z1, *z2, *z3))
    f0, f1, f2, f3 = e0 + e4, e1 + e5, e2 + e6, e3 + e7
    g0, g2 = e0 - e4, e2 - e6
    g1, g3 = (e1 - e5) * C4, (e3 - e7) * C4
    h0, h1 = f0 + f2, f1 + f3
    cosines = (h0 + h1, c1, g0 + (g1 - g3), c3, f0 - f2, c5, g0 - (g1 - g3), c7, h0 - h1)
    return (*cosines, -d1, (g1 + g3) + g2, s3, f1 - f3, -d5, (g1 + g3) - g2, s7)


@inlined
def eight(w: Powers, at: int, step: int) -> Numbers:
    """Eight numbers, ``step`` apart."""
    low = (w[at], w[at + step], w[at + 2 * step], w[at + 3 * step])
    at += 4 * step
    return (*low, w[at], w[at + step], w[at + 2 * step], w[at + 3 * step])


@inlined
def put(w: Powers, at: int, step: int, x: Numbers) -> None:
    """Writes eight numbers, ``step`` apart."""
    w[at], w[at + step], w[at + 2 * step], w[at + 3 * step] = x[0], x[1], x[2], x[3]
    at += 4 * step
    w[at], w[at + step], w[at + 2 * step], w[at + 3 * step] = x[4], x[5], x[6], x[7]


@inlined
def along16(w: Powers, first: int, step: int) -> None:
    """Transforms 16 numbers of each lane in place, as ``real16`` orders them.

    The first are at ``first``, one a lane; the next ``step`` further.
    """
    for lane in range(LANES):
        at = first + lane
        found = real16(eight(w, at, step), eight(w, at + 8 * step, step))
        put(w, at, step, found[:8])
        put(w, at + 8 * step, step, found[8:])


@inlined
def along32(w: Powers, first: int, step: int) -> None:
    """Transforms 32 numbers of each lane in place: C of frequencies 0 to 16, S of 1 to 15."""
    for lane in range(LANES):
        at = first + lane
        q0, q1 = eight(w, at, step), eight(w, at + 8 * step, step)
        q2, q3 = eight(w, at + 16 * step, step), eight(w, at + 24 * step, step)
        even = real16(plus(q0, q2), plus(q1, q3))
        a0, a1, a2, a3, a4, a5, a6, a7 = minus(q0, q2)
        b0, b1, b2, b3, b4, b5, b6, b7 = minus(q1, q3)
        z1 = (a1 * C1 - b1 * C7, -(a1 * C7 + b1 * C1))
        z2 = (a2 * C2 - b2 * C6, -(a2 * C6 + b2 * C2))
        z3 = (a3 * C3 - b3 * C5, -(a3 * C5 + b3 * C3))
        z4 = ((a4 - b4) * C4, -(a4 + b4) * C4)
        z5 = (a5 * C5 - b5 * C3, -(a5 * C3 + b5 * C5))
        z6 = (a6 * C6 - b6 * C2, -(a6 * C2 + b6 * C6))
        z7 = (a7 * C7 - b7 * C1, -(a7 * C1 + b7 * C7))
        odd = complex8((a0, -b0, *z1, *z2, *z3, *z4, *z5, *z6, *z7))
        # Frequencies 1, 5, 9, 13, 17, 21, 25, 29, of which the last four are 15, 11, 7, 3.
        c1, d1, c5, d5, c9, d9, c13, d13, c15, s15, c11, s11, c7, s7, c3, s3 = odd
        put(w, at, step, (even[0], c1, even[1], c3, even[2], c5, even[3], c7))
        put(w, at + 8 * step, step, (even[4], c9, even[5], c11, even[6], c13, even[7], c15))
        put(w, at + 16 * step, step, (even[8], -d1, even[9], s3, even[10], -d5, even[11], s7))
        put(w, at + 24 * step, step, (even[12], -d9, even[13], s11, even[14], -d13, even[15], s15))


@called
def both16(w: Powers) -> None:
    """Transforms tiles (16, 16, LANES) down, then across, in place."""
    for k in range(16):
        along16(w, k * LANES, ROW16)
    for k in range(16):
        along16(w, k * ROW16, LANES)


@called
def both32(w: Powers) -> None:
    """Transforms tiles (32, 32, LANES) down, then across, in place."""
    for k in range(32):
        along32(w, k * LANES, ROW32)
    for k in range(32):
        along32(w, k * ROW32, LANES)


@inlined
def log1p(power: np.float32) -> np.float32:
    """Log of 1 + power, for powers from 0 to 1e30, to 2e-7.

    Written out, since a library's would not run in vector registers, nor be the same everywhere:
    1 + power = 2^e · m, m from √½ to √2, and log m = 2 artanh((m - 1) / (m + 1)), as a series.
    """
    bits = np.float32(power + ONE).view(np.int32)
    e = np.int32(np.int32(bits - ROOT_HALF) >> np.int32(23))
    m = np.int32(bits - np.int32(e << np.int32(23))).view(np.float32)
    s = np.float32(m - ONE) / np.float32(m + ONE)
    z = np.float32(s * s)
    series = ONE + z * (K3 + z * (K5 + z * (K7 + z * K9)))
    return np.float32(np.float32(e) * LN2 + (s + s) * series)


@called
def take(rows: Plane, left: int, window: Powers, mean: Powers, w: Powers) -> None:
    """Fills ``w`` (side, side, LANES) with tiles of ``rows`` from ``left``: no mean, windowed.

    Args:
        rows: (side, width).
        left: first column.
        window: (side, side), flat.
        mean: (LANES,), room to work in.
        w: flat, overwritten.
    """
    side = rows.shape[0]
    for lane in range(LANES):
        total = np.int32(0)
        for y in range(side):
            row = rows[y, left + lane * side : left + (lane + 1) * side]
            for x in range(side):
                total = np.int32(total + np.int32(row[x]))
        # Sums of so few bytes are exact in float32.
        mean[lane] = np.float32(total) / np.float32(side * side)
    for y in range(side):
        row = rows[y, left : left + LANES * side]
        for x in range(side):
            weight = window[y * side + x]
            at = (y * side + x) * LANES
            for lane in range(LANES):
                value = np.float32(np.int32(row[lane * side + x]))
                w[at + lane] = np.float32(value - mean[lane]) * weight


@called
def copied(plane: Plane, top: int, width: int, rows: Plane) -> None:
    """Copies ``width`` columns of the rows from ``top``; what is beyond stays as it is."""
    for y in range(rows.shape[0]):
        source, target = plane[top + y], rows[y]
        for x in range(width):
            target[x] = source[x]


@called
def fold(w: Powers, side: int, out: Powers) -> None:
    """Averages the powers of the tiles at (v, h) and (-v, h): the squares of C·C, C·S, S·C, S·S.

    Args:
        w: (side, side, LANES), transformed both ways.
        side: pixels of a tile's side.
        out: (side / 2 + 1, side / 2 + 1, LANES), v first, flat, overwritten.
    """
    n = side // 2 * LANES
    for v in range(side // 2 + 1):
        line = out[v * (n + LANES) : (v + 1) * (n + LANES)]
        c = w[2 * v * n : 2 * (v + 1) * n]
        if 0 < v < side // 2:
            s = w[2 * v * n + n * side : 2 * (v + 1) * n + n * side]
            for t in range(LANES, n):
                line[t] = (c[t] * c[t] + c[n + t] * c[n + t]) + (s[t] * s[t] + s[n + t] * s[n + t])
            for t in range(LANES):
                line[t] = c[t] * c[t] + s[t] * s[t]
                line[n + t] = c[n + t] * c[n + t] + s[n + t] * s[n + t]
        else:  # frequencies 0 and side / 2 have no S
            for t in range(LANES, n):
                line[t] = c[t] * c[t] + c[n + t] * c[n + t]
            for t in range(LANES):
                line[t] = c[t] * c[t]
                line[n + t] = c[n + t] * c[n + t]


@called
def collect(powers: Powers, sums: Reals) -> None:
    """Adds powers, their logs, and the squares of these to ``sums`` (3, n)."""
    plain, first, second = sums[0], sums[1], sums[2]
    for t in range(len(powers)):
        log = np.float64(log1p(powers[t]))
        plain[t] += np.float64(powers[t])
        first[t] += log
        second[t] += log * log


@compiled("void(uint8[:, ::1], float32[::1], float64[:, ::1])")
def folded(plane: Plane, window: Powers, sums: Reals) -> None:
    """Sums over the tiles of a plane, for each frequency, ``fold``'s powers as ``collect`` does.

    Args:
        plane: (height, width); a rest that fills no tile is left out.
        window: (side · side,) of 32 or 16; also says the side.
        sums: (3, (side / 2 + 1)² · LANES), v first, added to.
    """
    side = 32 if len(window) == 1024 else 16
    wide = plane.shape[1] // side
    groups = (wide + LANES - 1) // LANES
    # Lanes without a tile stay zero, and add nothing.
    rows = np.zeros((side, groups * LANES * side), np.uint8)
    mean = np.zeros(LANES, np.float32)
    w = np.empty(side * side * LANES, np.float32)
    powers = np.empty((side // 2 + 1) ** 2 * LANES, np.float32)
    for i in range(plane.shape[0] // side):
        copied(plane, i * side, wide * side, rows)
        for g in range(groups):
            take(rows, g * LANES * side, window, mean, w)
            if side == 32:
                both32(w)
                fold(w, 32, powers)
            else:
                both16(w)
                fold(w, 16, powers)
            collect(powers, sums)


@compiled("void(uint8[:, ::1], float32[::1], float64[::1])")
def slants(plane: Plane, window: Powers, sums: Reals) -> None:
    """Sums over the 16 px tiles of a plane the log power at (v, h) less that at (-v, h).

    Args:
        plane: (height, width); a rest that fills no tile is left out.
        window: (256,).
        sums: (7 · 7 · LANES,) for v and h from 1 to 7, v first, added to.
    """
    wide = plane.shape[1] // 16
    groups = (wide + LANES - 1) // LANES
    rows = np.zeros((16, groups * LANES * 16), np.uint8)
    mean = np.zeros(LANES, np.float32)
    w = np.empty(256 * LANES, np.float32)
    for i in range(plane.shape[0] // 16):
        copied(plane, i * 16, wide * 16, rows)
        for g in range(groups):
            take(rows, g * LANES * 16, window, mean, w)
            both16(w)
            for v in range(1, 8):
                c = w[v * ROW16 : (v + 1) * ROW16]
                s = w[(v + 8) * ROW16 : (v + 9) * ROW16]
                line = sums[(v - 1) * 7 * LANES : v * 7 * LANES]
                for t in range(LANES, 8 * LANES):
                    # C·C ∓ S·S and C·S ± S·C: real and imaginary at (v, h), then at (-v, h).
                    a, b = c[t] - s[8 * LANES + t], c[8 * LANES + t] + s[t]
                    d, e = c[t] + s[8 * LANES + t], c[8 * LANES + t] - s[t]
                    line[t - LANES] += np.float64(log1p(a * a + b * b) - log1p(d * d + e * e))
