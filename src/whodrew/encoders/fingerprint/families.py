"""The statistics, family by family. Each takes planes and returns a flat float64 vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint import kernels, spectrum
from whodrew.encoders.fingerprint.kernels import CLIPS, HUES, STEPS, TONES
from whodrew.encoders.fingerprint.planes import Planes

Reals = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

RARE = 1e-4
"""Added to a share before its logarithm: one pixel in ten thousand."""


def pattern_classes() -> npt.NDArray[np.intp]:
    """Class (84 of them) of each of the 256 patterns, alike under left-right and up-down flips.

    Content has no preferred side, so the flips only cost dimensions; quarter turns are kept
    apart, since horizontal and vertical steps of a decoder do differ.
    """
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    flips = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    moved = [[ring.index((v * y, h * x)) for y, x in ring] for v, h in flips]
    codes = np.arange(256)
    bits = (codes[:, None] >> np.arange(8)) & 1
    images = np.stack([bits @ (1 << np.array(order)) for order in moved])
    _, classes = np.unique(images.min(axis=0), return_inverse=True)
    return classes.astype(np.intp)


PATTERNS = pattern_classes()


def _patterns(planes: Planes) -> Reals:
    """Log shares of the pattern classes: neighbours at 1 pixel on three scales, at 2 on two."""
    out = []
    for level, radius in ((0, 1), (1, 1), (2, 1), (0, 2), (1, 2)):
        counts = kernels.patterns(planes.luma[level], radius)
        shares = np.bincount(PATTERNS, weights=counts) / counts.sum()
        out.append(np.log(shares + RARE))
    return np.concatenate(out)


_N, _K = np.meshgrid(np.arange(8), np.arange(8))
_COSINES = np.where(_K == 0, np.sqrt(1 / 8), 0.5) * np.cos(np.pi * (2 * _N + 1) * _K / 16)
BASIS = np.round(_COSINES * 4096).astype(np.int32)
LOGS = np.round(np.log(np.arange(8400) / 8 + 0.25) * 1024).astype(np.int32)


def block_sums(plane: npt.NDArray[np.uint8]) -> Reals:
    """Statistics over the 8×8 blocks of a plane, for each of the 64 coefficients c.

    Returns:
        Array (3, 64): mean of c², mean of log(|c| + 1/4), and the deviation of that log.
    """
    n = (plane.shape[0] // 8) * (plane.shape[1] // 8)
    energy, first, second = kernels.blocks(plane, BASIS, LOGS) / n
    mean = first / 1024
    variance = np.maximum(second / 1024**2 - mean * mean, 0)
    return np.stack([energy / 64, mean, np.sqrt(variance)])


def _blocks(planes: Planes) -> Reals:
    """Block-cosine coefficients of luma: log energies, deviation and mean of the logs."""
    native, half, quarter = (block_sums(plane) for plane in planes.luma)
    return np.concatenate([np.log(native[0] + 0.01), np.log(half[0] + 0.01), half[2], quarter[1]])


def _spectrum(planes: Planes) -> Reals:
    """Luma: how each frequency's log power varies from tile to tile, and what it is on average."""
    native = spectrum.tile_powers(planes.luma[0], 32)
    half = spectrum.tile_powers(planes.luma[1], 16)
    return np.concatenate(
        [
            spectrum.mean_and_deviation(native)[1],
            spectrum.log_of_mean(native),
            spectrum.slant(half),
        ]
    )


def _spectrum_chroma(planes: Planes) -> Reals:
    """Cb and Cr at half size: mean and deviation over tiles of each frequency's log power."""
    powers = [spectrum.tile_powers(plane, 16) for plane in planes.chroma]
    return np.concatenate([part for p in powers for part in spectrum.mean_and_deviation(p)])


def colour(planes: Planes) -> tuple[Reals, Reals, Reals]:
    """Histograms and moments of colour; how much is clipped; spread of colour by tone."""
    counts = kernels.colours(planes.rgb, planes.ycc)
    ends = np.cumsum([768, 3, HUES, STEPS, STEPS, 3 * CLIPS])
    channels, products, hue, saturation, value, clips, tones = np.split(counts, ends)
    n = int(channels[:256].sum())
    shares = np.sqrt(np.concatenate([hue, saturation, value]) / n)

    levels = np.arange(256, dtype=np.float64)
    weights = channels.reshape(3, 256) / n
    mean = weights @ levels
    centred = levels - mean[:, None]
    second, third, fourth = ((weights * centred**k).sum(axis=1) for k in (2, 3, 4))
    scale = np.sqrt(second) + 0.5
    pairs = ((0, 1), (0, 2), (1, 2))
    joint = [products[k] / n - mean[a] * mean[b] for k, (a, b) in enumerate(pairs)]
    related = [c / (scale[a] * scale[b]) for c, (a, b) in zip(joint, pairs, strict=True)]
    moments = [mean, np.log(scale), third / scale**3, fourth / scale**4, related]

    pixels, blue, red = tones.reshape(TONES, 3).T
    # A tone that hardly occurs says nothing: two pixels in a thousand of no colour are added.
    spread = np.sqrt(np.stack([blue, red]) / (pixels + 0.002 * n) + 0.5)
    return np.concatenate([shares, *moments]), np.log(clips / n + RARE), spread.ravel()


LIMIT = 16
"""Residuals are clipped to ±LIMIT: what matters is grain, not the edges of things."""
_NEAR = [(down, across) for down in range(5) for across in range(-4, 5) if (down, across) > (0, 0)]
_FAR = [(0, far) for far in (6, 8, 12, 16)] + [(far, 0) for far in (6, 8, 12, 16)]
LAGS = np.array([*_NEAR, *_FAR], np.int64)


def _autocorrelation(planes: Planes) -> Reals:
    """Correlation of luma's Laplacian residual with itself, moved: upsampling leaves steps."""
    values = kernels.residual(planes.luma[0], LIMIT)
    sums = kernels.correlations(values, np.vstack([[[0, 0]], LAGS]))
    height, width = values.shape
    down, across = np.abs(LAGS).T
    power = sums[0] / (height * width) + 0.1
    found: Reals = sums[1:] / ((height - down) * (width - across)) / power
    return found


def _borders(planes: Planes) -> Reals:
    """Log mean steps across the outermost four lines of each side, and along the first."""
    out = []
    for plane in planes.ycc:
        for side in (plane, plane[::-1], plane.T, plane.T[::-1]):
            lines = side[:4].astype(np.int32)
            out += [np.abs(lines[k + 1] - lines[k]).mean() for k in range(3)]
            out.append(np.abs(np.diff(lines[0])).mean())
    found: Reals = np.log(np.array(out) + 0.2)
    return found


def _tails(planes: Planes) -> Reals:
    """Log kurtosis of each octave of Y, Cb, Cr: rare strong details, or weak ones everywhere."""
    second, fourth = planes.moments[..., 0], planes.moments[..., 1]
    found: Reals = np.log(fourth / (second + 0.1) ** 2 + 0.5).ravel()
    return found


def measure(planes: Planes) -> dict[str, Reals]:
    """Returns every family of one image, by name."""
    hues, clipping, tones = colour(planes)
    return {
        "colour": hues,
        "clipping": clipping,
        "tones": tones,
        **{name: part(planes) for name, part in PARTS.items()},
    }


PARTS: dict[str, Callable[[Planes], Reals]] = {
    "blocks": _blocks,
    "spectrum": _spectrum,
    "spectrum-chroma": _spectrum_chroma,
    "patterns": _patterns,
    "autocorrelation": _autocorrelation,
    "borders": _borders,
    "tails": _tails,
}
"""The families that are measured one by one; the three of colour share a pass."""
