"""Power spectra of small tiles: what holds over many tiles is the model's, not the picture's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.fft

Plane = npt.NDArray[np.uint8]
Powers = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]

CHUNK = 1 << 17
"""Pixels transformed at a time, so that they stay in the processor's cache."""


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
    grid = plane[: high * side, : wide * side].reshape(high, side, wide, side).transpose(0, 2, 1, 3)
    tiles = grid.reshape(-1, side, side)
    window = (np.sin(np.pi * np.arange(side) / side) ** 2).astype(np.float32)
    both = window[:, None] * window
    out = np.empty((len(tiles), side, side // 2 + 1), np.float32)
    step = max(1, CHUNK // side**2)
    for start in range(0, len(tiles), step):
        part = tiles[start : start + step].astype(np.float32)
        # Sums of so few bytes are exact in float32, whatever the order of addition.
        part -= part.mean(axis=(1, 2), keepdims=True)
        part *= both
        waves = scipy.fft.rfft2(part, axes=(1, 2), workers=1, overwrite_x=True)
        power = out[start : start + step]
        np.multiply(waves.real, waves.real, out=power)
        power += waves.imag * waves.imag
    return out


def folded(powers: Powers) -> Powers:
    """Averages the powers at (v, h) and (-v, h).

    Args:
        powers: (tiles, side, side / 2 + 1).

    Returns:
        Array (tiles, (side / 2 + 1)²), v first.
    """
    middle = powers.shape[1] // 2
    out = powers[:, : middle + 1].copy()
    out[:, 1:middle] += powers[:, :middle:-1]
    out[:, 1:middle] *= np.float32(0.5)
    return out.reshape(len(out), -1)


def mean_and_deviation(powers: Powers) -> tuple[Reals, Reals]:
    """Mean and standard deviation over tiles of log(power + 1), each ((side / 2 + 1)²,)."""
    logs = np.log1p(folded(powers))
    mean = logs.mean(axis=0, dtype=np.float64)
    logs -= mean.astype(np.float32)
    return mean, np.sqrt(np.square(logs, out=logs).mean(axis=0, dtype=np.float64))


def log_of_mean(powers: Powers) -> Reals:
    """Log of 1 + the mean power over tiles, smoothed, at every second frequency.

    Half the tile's side would give nearly the same spectrum, for a second transform.

    Returns:
        Array ((side / 4 + 1)²,).
    """
    side = powers.shape[1] // 2 + 1
    grid: Reals = folded(powers).mean(axis=0, dtype=np.float64).reshape(side, side)
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
    logs: Reals = np.log1p(powers[:, :, 1:middle]).mean(axis=0, dtype=np.float64)
    return (logs[1:middle] - logs[:middle:-1]).ravel()
