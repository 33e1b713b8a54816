"""Power spectra of small tiles: what holds over many tiles is the model's, not the picture's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.fft

from whodrew.encoders.fingerprint.jit import compiled

Plane = npt.NDArray[np.uint8]
Powers = npt.NDArray[np.float32]
Waves = npt.NDArray[np.complex64]
Reals = npt.NDArray[np.float64]

CHUNK = 1 << 17
"""Pixels transformed at a time, so that they stay in the processor's cache."""


@compiled("void(uint8[:, ::1], int64, float32[:, ::1], float32[:, :, ::1])")
def windowed(plane: Plane, first: int, window: Powers, out: Powers) -> None:
    """Fills ``out`` (n, side, side) with tiles ``first`` and on, less their means, windowed."""
    side = window.shape[0]
    wide = plane.shape[1] // side
    for t in range(out.shape[0]):
        top = (first + t) // wide * side
        left = (first + t) % wide * side
        total = np.int64(0)
        for i in range(side):
            row = plane[top + i, left : left + side]
            part = np.int32(0)
            for j in range(side):
                part = np.int32(part + np.int32(row[j]))
            total += part
        # Sums of so few bytes are exact in float32.
        mean = np.float32(np.float32(total) / np.float32(side * side))
        for i in range(side):
            row = plane[top + i, left : left + side]
            weights = window[i]
            line = out[t, i]
            for j in range(side):
                line[j] = (np.float32(row[j]) - mean) * weights[j]


@compiled("void(complex64[::1], float32[::1])")
def squared(waves: Waves, out: Powers) -> None:
    """Writes the squared magnitudes of ``waves`` to ``out``."""
    for j in range(len(out)):
        wave = waves[j]
        out[j] = wave.real * wave.real + wave.imag * wave.imag


@compiled("float64[::1](float32[:, ::1])")
def summed(rows: Powers) -> Reals:
    """Sums (n, d) over n, one row after the other."""
    out = np.zeros(rows.shape[1], np.float64)
    for t in range(rows.shape[0]):
        row = rows[t]
        for j in range(len(out)):
            out[j] += row[j]
    return out


@compiled("float64[::1](float32[:, ::1], float32[::1])")
def squares(rows: Powers, mean: Powers) -> Reals:
    """Sums over n the squares of what rows (n, d) differ by from ``mean``."""
    out = np.zeros(rows.shape[1], np.float64)
    for t in range(rows.shape[0]):
        row = rows[t]
        for j in range(len(out)):
            difference = np.float32(row[j] - mean[j])
            out[j] += np.float32(difference * difference)
    return out


def tile_powers(plane: Plane, side: int) -> Powers:
    """Powers of the tiles of a plane, side by side, each less its mean and under a Hann window.

    Args:
        plane: (height, width), both at least ``side``; a rest that fills no tile is left out.
        side: pixels of a tile's side, even, at most 128.

    Returns:
        Array (tiles, side, side / 2 + 1) of float32; frequencies in the order of ``rfft2``.
        Time O(pixels × log side).
    """
    high, wide = plane.shape[0] // side, plane.shape[1] // side
    plane = np.ascontiguousarray(plane)
    curve = (np.sin(np.pi * np.arange(side) / side) ** 2).astype(np.float32)
    window = curve[:, None] * curve
    out = np.empty((high * wide, side, side // 2 + 1), np.float32)
    step = max(1, CHUNK // side**2)
    buffer = np.empty((min(step, len(out)), side, side), np.float32)
    for start in range(0, len(out), step):
        part = out[start : start + step]
        tiles = buffer[: len(part)]
        windowed(plane, start, window, tiles)
        waves = scipy.fft.rfft2(tiles, axes=(1, 2), workers=1)
        squared(waves.ravel(), part.ravel())
    return out


@compiled("float32[:, ::1](float32[:, :, ::1])")
def folded(powers: Powers) -> Powers:
    """Averages the powers at (v, h) and (-v, h).

    Args:
        powers: (tiles, side, side / 2 + 1).

    Returns:
        Array (tiles, (side / 2 + 1)²), v first.
    """
    tiles, side, width = powers.shape
    middle = side // 2
    out = np.empty((tiles, (middle + 1) * width), np.float32)
    for t in range(tiles):
        for v in range(middle + 1):
            line = out[t, v * width : (v + 1) * width]
            one = powers[t, v]
            two = powers[t, (side - v) % side]
            for h in range(width):
                line[h] = (one[h] + two[h]) * np.float32(0.5)
    return out


def mean_and_deviation(powers: Powers) -> tuple[Reals, Reals]:
    """Mean and standard deviation over tiles of log(power + 1), each ((side / 2 + 1)²,)."""
    logs = folded(powers)
    np.log1p(logs, out=logs)
    mean = summed(logs) / len(logs)
    return mean, np.sqrt(squares(logs, mean.astype(np.float32)) / len(logs))


def log_of_mean(powers: Powers) -> Reals:
    """Log of 1 + the mean power over tiles, smoothed, at every second frequency.

    Half the tile's side would give nearly the same spectrum, for a second transform.

    Returns:
        Array ((side / 4 + 1)²,).
    """
    side = powers.shape[1] // 2 + 1
    grid: Reals = (summed(folded(powers)) / len(powers)).reshape(side, side)
    for _ in range(2):
        # Frequencies beyond both ends are those before them, mirrored.
        wide = np.pad(grid, ((1, 1), (0, 0)), mode="reflect")
        grid = (0.25 * wide[:-2] + 0.5 * wide[1:-1] + 0.25 * wide[2:])[::2].T
    return np.log1p(grid).ravel()


def slant(powers: Powers) -> Reals:
    """Mean log power at (v, h) less that at (-v, h), for 0 < v, h < side / 2.

    Zero for anything that is, on average, its own mirror image.
    """
    middle = powers.shape[1] // 2
    sums = summed(np.log1p(powers).reshape(len(powers), -1))
    logs = (sums / len(powers)).reshape(powers.shape[1:])[:, 1:middle]
    return (logs[1:middle] - logs[:middle:-1]).ravel()
