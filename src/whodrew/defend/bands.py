"""A picture in bands, and back: what ``crowd`` and ``jitter`` change, at serving speed.

An undecimated transform (à trous, [1 2 1] / 4 across, then down): each level's horizontal
and vertical details and the rest add up to the plane exactly. Time O(pixels x levels).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint.jit import compiled

Plane = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@compiled("float64[::1](float32[:, ::1], int64, float32[:, :, ::1])")
def split(plane: Plane, levels: int, bands: Plane) -> Doubles:
    """Splits a plane into bands.

    Args:
        plane: (height, width), both at least 2.
        levels: J; level j has a reach of 2^j pixels, mirrored at the edges.
        bands: (2 J + 1, height, width), written: horizontal and vertical details of each
            level, finest first, then what is left.

    Returns:
        Array (2 J,): mean square of each detail.
    """
    height, width = plane.shape
    energy = np.zeros(2 * levels)
    rest = bands[2 * levels]
    half, quarter = np.float32(0.5), np.float32(0.25)
    middle = np.empty((height, width), np.float32)
    for i in range(height):
        rest[i, :] = plane[i]
    for level in range(levels):
        reach = 1 << level
        across, down = bands[2 * level], bands[2 * level + 1]
        for i in range(height):
            row, low, detail = rest[i], middle[i], across[i]
            total = np.float32(0)
            if width > 2 * reach:
                n = width - 2 * reach
                left, centre, right = row[:n], row[reach : reach + n], row[2 * reach :]
                low_in, detail_in = low[reach : reach + n], detail[reach : reach + n]
                for j in range(n):
                    value = half * centre[j] + quarter * (left[j] + right[j])
                    low_in[j] = value
                    detail_in[j] = centre[j] - value
                first, last = reach, width - reach
            else:
                first, last = width, width
            for j in range(width):
                if first <= j < last:
                    continue
                before, after = abs(j - reach), j + reach
                if after > width - 1:
                    after = 2 * (width - 1) - after
                before = min(max(before, 0), width - 1)
                after = min(max(after, 0), width - 1)
                value = half * row[j] + quarter * (row[before] + row[after])
                low[j] = value
                detail[j] = row[j] - value
            for j in range(width):
                total += detail[j] * detail[j]
            energy[2 * level] += total
        for i in range(height):
            above, below = abs(i - reach), i + reach
            if below > height - 1:
                below = 2 * (height - 1) - below
            above = min(max(above, 0), height - 1)
            below = min(max(below, 0), height - 1)
            row, up, under = middle[i], middle[above], middle[below]
            low, detail = rest[i], down[i]
            total = np.float32(0)
            for j in range(width):
                value = half * row[j] + quarter * (up[j] + under[j])
                low[j] = value
                difference = row[j] - value
                detail[j] = difference
                total += difference * difference
            energy[2 * level + 1] += total
    energy /= height * width
    return energy


@compiled("void(float32[:, :, ::1], int64, float32[:, ::1])")
def roughness(bands: Plane, count: int, out: Plane) -> None:
    """Writes the local variance of fine detail: squares of details, averaged over 7×7.

    Args:
        bands: as ``split`` wrote them.
        count: of details that take part, finest first.
        out: (height, width), written.
    """
    height, width = out.shape
    squares = np.empty((height, width), np.float32)
    reach = 3
    for i in range(height):
        target = squares[i]
        target[:] = 0
        for band in range(count):
            row = bands[band, i]
            for j in range(width):
                target[j] += row[j] * row[j]
    column = np.zeros(width, np.float32)
    lines = 0
    for i in range(min(reach, height)):
        column += squares[i]
        lines += 1
    for i in range(height):
        if i + reach < height:
            row = squares[i + reach]
            for j in range(width):
                column[j] += row[j]
            lines += 1
        if i - reach - 1 >= 0:
            row = squares[i - reach - 1]
            for j in range(width):
                column[j] -= row[j]
            lines -= 1
        total, many = np.float32(0), 0
        target = out[i]
        for j in range(min(reach, width)):
            total += column[j]
            many += 1
        for j in range(width):
            if j + reach < width:
                total += column[j + reach]
                many += 1
            if j - reach - 1 >= 0:
                total -= column[j - reach - 1]
                many -= 1
            target[j] = max(total / np.float32(many * lines), np.float32(0))


@compiled(
    "void(float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float32[:, :, ::1], "
    "float32[::1], float32[::1], float32[:, ::1])"
)
def joined(
    bands: Plane,
    curve: Plane,
    rough: Plane,
    noise: Plane,
    weights: npt.NDArray[np.float32],
    mask: npt.NDArray[np.float32],
    out: Plane,
) -> None:
    """Adds the bands up again, changed, with grain where the eye does not see it.

    Grain's deviation at a pixel goes with √(share · (2 roughness + floor)): it lowers SSIM
    alike everywhere, since SSIM of independent noise n is (2 v + c) / (2 v + n² + c). Bands of
    an undecimated split overlap, so that it is up to half as much again.

    Args:
        bands: as ``split`` wrote them.
        curve: (2, 2 J): gains of the details; and squares of the size below which a detail
            fades, d³ / (d² + square).
        rough: (height, width) from ``roughness``.
        noise: (T, height, width) grain in bands.
        weights: (T,) of them; zero all leaves grain out.
        mask: (2,) share and floor; the floor is the variance that SSIM does not see.
        out: (height, width), written.
    """
    height, width = out.shape
    last = len(bands) - 1
    share, floor, two = mask[0], mask[1], np.float32(2)
    grained = False
    for band in range(len(weights)):
        grained = grained or weights[band] != 0
    grain = np.empty(width, np.float32)
    for i in range(height):
        target = out[i]
        rest = bands[last, i]
        for j in range(width):
            target[j] = rest[j]
        for band in range(last):
            gain, core = curve[0, band], curve[1, band]
            row = bands[band, i]
            if core > 0:
                for j in range(width):
                    square = row[j] * row[j]
                    target[j] += gain * row[j] * square / (square + core)
            else:
                for j in range(width):
                    target[j] += gain * row[j]
        if grained:
            grain[:] = 0
            for band in range(len(weights)):
                weight, line = weights[band], noise[band, i]
                for j in range(width):
                    grain[j] += weight * line[j]
            local = rough[i]
            for j in range(width):
                target[j] += grain[j] * np.sqrt(share * (two * local[j] + floor))


@compiled("void(uint8[:, :, ::1], float32[:, :, ::1])")
def to_planes(pixels: npt.NDArray[np.uint8], planes: Plane) -> None:
    """Writes Y, Cb, Cr (BT.601, chroma about 0, not rounded) of RGB.

    Args:
        pixels: (height, width, 3).
        planes: (3, height, width), written.
    """
    height, width, _ = pixels.shape
    for i in range(height):
        row, luma, blue, red = pixels[i], planes[0, i], planes[1, i], planes[2, i]
        for j in range(width):
            r, g, b = np.float32(row[j, 0]), np.float32(row[j, 1]), np.float32(row[j, 2])
            y = np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b
            luma[j] = y
            blue[j] = np.float32(0.5 / 0.886) * (b - y)
            red[j] = np.float32(0.5 / 0.701) * (r - y)


@compiled("void(float32[:, :, ::1], uint8[:, :, ::1])")
def to_pixels(planes: Plane, pixels: npt.NDArray[np.uint8]) -> None:
    """Writes RGB of Y, Cb, Cr, rounded and clipped: the inverse of ``to_planes``.

    Args:
        planes: (3, height, width).
        pixels: (height, width, 3), written.
    """
    _, height, width = planes.shape
    low, high, half = np.float32(0), np.float32(255), np.float32(0.5)
    for i in range(height):
        row, luma, blue, red = pixels[i], planes[0, i], planes[1, i], planes[2, i]
        for j in range(width):
            y = luma[j]
            b = y + np.float32(0.886 / 0.5) * blue[j]
            r = y + np.float32(0.701 / 0.5) * red[j]
            g = (y - np.float32(0.299) * r - np.float32(0.114) * b) * np.float32(1 / 0.587)
            row[j, 0] = np.uint8(min(max(r, low), high) + half)
            row[j, 1] = np.uint8(min(max(g, low), high) + half)
            row[j, 2] = np.uint8(min(max(b, low), high) + half)
