"""Power spectra of small tiles: what holds over many tiles is the model's, not the picture's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint import waves

Plane = npt.NDArray[np.uint8]
Powers = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]


@cache
def window(side: int) -> Powers:
    """Returns a Hann window (side · side,)."""
    curve = (np.sin(np.pi * np.arange(side) / side) ** 2).astype(np.float32)
    flat: Powers = (curve[:, None] * curve).ravel()
    return flat


@cache
def smoothing(side: int) -> Reals:
    """Returns the matrix (side / 4 + 1, side / 2 + 1) that smooths, and keeps every second.

    Frequencies beyond both ends are those before them, mirrored.
    """
    last = side // 2
    out = np.zeros((last // 2 + 1, last + 1))
    for row, middle in enumerate(range(0, last + 1, 2)):
        for step, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
            out[row, last - abs(last - abs(middle + step))] += weight
    return out


@dataclass(frozen=True)
class Spectrum:
    """Averages over the tiles of a plane, for each frequency, (v, h) and (-v, h) as one.

    Attributes:
        side: pixels of a tile's side.
        power: mean power, ((side / 2 + 1)²,), v first.
        mean: mean of log(1 + power), of the same shape.
        deviation: standard deviation of these logs.
    """

    side: int
    power: Reals
    mean: Reals
    deviation: Reals

    def log_of_mean(self) -> Reals:
        """Log of 1 + the mean power over tiles, smoothed, at every second frequency.

        Half the tile's side would give nearly the same spectrum, for a second transform.

        Returns:
            Array ((side / 4 + 1)²,).
        """
        frequencies = self.side // 2 + 1
        grid = self.power.reshape(frequencies, frequencies)
        smooth = smoothing(self.side)
        return np.log1p(smooth @ grid @ smooth.T).ravel()


def spectrum(plane: Plane, side: int) -> Spectrum:
    """Measures the tiles of a plane, side by side, each less its mean and under a Hann window.

    Args:
        plane: (height, width), both at least ``side``; a rest that fills no tile is left out.
        side: pixels of a tile's side, 32 or 16.

    Returns:
        The averages. Time O(pixels × log side).
    """
    sums = np.zeros((3, (side // 2 + 1) ** 2 * waves.LANES))
    waves.folded(np.ascontiguousarray(plane), window(side), sums)
    tiles = (plane.shape[0] // side) * (plane.shape[1] // side)
    power, mean, second = sums.reshape(3, -1, waves.LANES).sum(axis=2) / tiles
    return Spectrum(side, power, mean, np.sqrt(np.maximum(second - mean * mean, 0)))


def slant(plane: Plane) -> Reals:
    """Mean log power of 16 px tiles at (v, h) less that at (-v, h), for 0 < v, h < 8.

    Zero for anything that is, on average, its own mirror image.

    Returns:
        Array (49,), v first.
    """
    sums = np.zeros(49 * waves.LANES)
    waves.slants(np.ascontiguousarray(plane), window(16), sums)
    tiles = (plane.shape[0] // 16) * (plane.shape[1] // 16)
    found: Reals = sums.reshape(49, waves.LANES).sum(axis=1) / tiles
    return found
