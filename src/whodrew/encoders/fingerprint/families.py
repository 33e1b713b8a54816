"""The statistics, family by family. Each takes planes and returns a flat float64 vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.fft

from whodrew.encoders.fingerprint import kernels
from whodrew.encoders.fingerprint.planes import Plane, Planes

Reals = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Labels = npt.NDArray[np.intp]

RARE = 1e-4
"""Added to a share before its logarithm: one pixel in ten thousand."""


def _pattern_classes() -> Labels:
    """Class (84 of them) of each of the 256 patterns, alike under left-right and up-down flips."""
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    flips = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    moved = [[ring.index((v * y, h * x)) for y, x in ring] for v, h in flips]
    codes = np.arange(256)
    images = [sum(((codes >> b) & 1) << to for b, to in enumerate(order)) for order in moved]
    return np.unique(np.min(images, axis=0), return_inverse=True)[1]


def _run_classes() -> Labels:
    """Class (39 of them) of each of the 125 runs, alike when read backwards or negated."""
    grid = np.arange(kernels.LEVELS**3).reshape((kernels.LEVELS,) * 3)
    negated = grid[::-1, ::-1, ::-1]
    images = [grid, negated, grid.transpose(2, 1, 0), negated.transpose(2, 1, 0)]
    return np.unique(np.min(images, axis=0), return_inverse=True)[1].ravel()


PATTERNS = _pattern_classes()
RUNS = _run_classes()


def _shares(counts: Longs, classes: Labels) -> Reals:
    """Shares of the classes among all that was counted."""
    kept = counts[: len(classes)]
    return np.bincount(classes, weights=kept, minlength=0) / max(int(kept.sum()), 1)


def _textures(planes: Planes) -> tuple[Reals, Reals]:
    """Patterns and runs of the luma at three scales."""
    patterns, runs = [], []
    for plane in planes.luma:
        counts = kernels.textures(plane)
        patterns.append(np.log(_shares(counts[0], PATTERNS) + RARE))
        runs += [np.sqrt(_shares(counts[k], RUNS)) for k in (1, 2)]
    return np.concatenate(patterns), np.concatenate(runs)


_N, _K = np.meshgrid(np.arange(8), np.arange(8))
_COSINES = np.where(_K == 0, np.sqrt(1 / 8), 0.5) * np.cos(np.pi * (2 * _N + 1) * _K / 16)
BASIS = np.round(_COSINES * 4096).astype(np.int32)
LOGS = np.round(np.log(np.arange(8400) / 8 + 0.25) * 1024).astype(np.int32)


def _blocks(planes: Planes) -> Reals:
    """Log energies and mean logs of the block-cosine coefficients."""
    out = []
    for plane, energy in (
        (planes.luma[0], True),
        (planes.luma[1], False),
        (planes.blue[1], False),
        (planes.red[1], False),
    ):
        sums = kernels.blocks(plane, BASIS, LOGS)
        n = (plane.shape[0] // 8) * (plane.shape[1] // 8)
        if energy:
            out.append(np.log(sums[0] / (64 * n) + 0.01))
        out.append(sums[1] / (1024 * n))
    return np.concatenate(out)


def _tile_spectrum(plane: Plane, side: int) -> tuple[Reals, Reals]:
    """Mean and deviation over tiles of the log power spectrum, signs of frequencies folded.

    Args:
        plane: (height, width), both at least ``side``.
        side: pixels of a tile's side, even.

    Returns:
        Two flat arrays of (side / 2 + 1)² numbers, vertical frequency first.
    """
    high, wide = plane.shape[0] // side, plane.shape[1] // side
    tiles = plane[: high * side, : wide * side].reshape(high, side, wide, side)
    tiles = tiles.transpose(0, 2, 1, 3).reshape(-1, side, side).astype(np.float32)
    tiles -= tiles.mean(axis=(1, 2), keepdims=True)
    window = np.sin(np.pi * np.arange(side) / side).astype(np.float32) ** 2
    tiles *= window[:, None] * window
    waves = scipy.fft.rfft2(tiles, axes=(1, 2), workers=1)
    power = waves.real**2 + waves.imag**2
    middle = side // 2
    folded = power[:, : middle + 1].copy()
    folded[:, 1:middle] = (folded[:, 1:middle] + power[:, :middle:-1]) / 2
    logs = np.log(folded + np.float32(1)).reshape(len(folded), -1).astype(np.float64)
    return logs.mean(axis=0), logs.std(axis=0)


def _spectrum(planes: Planes) -> Reals:
    return np.concatenate(_tile_spectrum(planes.luma[0], 32))


def _spectrum_chroma(planes: Planes) -> Reals:
    both = (planes.blue[1], planes.red[1])
    return np.concatenate([part for plane in both for part in _tile_spectrum(plane, 16)])


def _colour(planes: Planes) -> Reals:
    """Histograms of hue, saturation and value, and moments of Y, Cb, Cr, on every fourth pixel."""
    rgb = planes.rgb[::2, ::2].reshape(-1, 3).astype(np.int32)
    n = len(rgb)
    red, green, blue = rgb.T
    top = rgb.max(axis=1)
    spread = top - rgb.min(axis=1)
    saturation = spread * 255 // np.maximum(top, 1)
    # Hue in 24 parts: 6 sectors of 256 steps, on integers.
    width = np.maximum(spread, 1)
    sector = np.where(
        top == red,
        256 * (green - blue) // width,
        np.where(top == green, 512 + 256 * (blue - red) // width, 1024 + 256 * (red - green) // width),
    )
    hue = (sector % 1536) >> 6
    coloured = hue[saturation > 25]
    histograms = [
        np.bincount(coloured, minlength=24),
        np.bincount(saturation >> 4, minlength=16),
        np.bincount(top >> 4, minlength=16),
    ]
    shares = [np.sqrt(h / n) for h in histograms]
    stack = [p[::2, ::2].astype(np.float64).ravel() for p in (planes.luma[0], planes.blue[0], planes.red[0])]
    values = np.stack(stack)
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    square = centred * centred
    deviation = np.sqrt(square.mean(axis=1))
    scale = deviation + 0.5
    third = (square * centred).mean(axis=1) / scale**3
    fourth = (square * square).mean(axis=1) / scale**4
    pairs = [(centred[a] * centred[b]).mean() / (scale[a] * scale[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    return np.concatenate([*shares, mean, np.log(scale), third, fourth, pairs])


def measure(planes: Planes) -> dict[str, Reals]:
    """Returns every family of one image, by name."""
    patterns, runs = _textures(planes)
    return {
        "colour": _colour(planes),
        "blocks": _blocks(planes),
        "spectrum": _spectrum(planes),
        "spectrum-chroma": _spectrum_chroma(planes),
        "patterns": patterns,
        "runs": runs,
    }
