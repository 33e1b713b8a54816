"""The statistics, family by family. Each takes planes and returns a flat float64 vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from whodrew.encoders.fingerprint import kernels, pixels
from whodrew.encoders.fingerprint.kernels import LAGS
from whodrew.encoders.fingerprint.pixels import LINES, TONES
from whodrew.encoders.fingerprint.planes import Planes
from whodrew.encoders.fingerprint.spectrum import slant, spectrum

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


LOGS = np.round(np.log(np.arange(8400) / 8 + 0.25) * 1024).astype(np.int16)


def block_sums(plane: npt.NDArray[np.uint8]) -> Reals:
    """Statistics over the 8×8 blocks of a plane, for each of the 64 coefficients c.

    Returns:
        Array (3, 64): mean of c², mean of log(|c| + 1/4), and the deviation of that log.
    """
    n = (plane.shape[0] // 8) * (plane.shape[1] // 8)
    energy, first, second = kernels.blocks(plane, LOGS) / n
    mean = first / 1024
    variance = np.maximum(second / 1024**2 - mean * mean, 0)
    return np.stack([energy / 64, mean, np.sqrt(variance)])


def _blocks(planes: Planes) -> Reals:
    """Block-cosine coefficients of luma: log energies, deviation and mean of the logs."""
    native, half, quarter = (block_sums(plane) for plane in planes.luma)
    return np.concatenate([np.log(native[0] + 0.01), np.log(half[0] + 0.01), half[2], quarter[1]])


def _spectrum(planes: Planes) -> Reals:
    """Luma: how each frequency's log power varies from tile to tile, and what it is on average."""
    native = spectrum(planes.luma[0], 32)
    return np.concatenate([native.deviation, native.log_of_mean(), slant(planes.luma[1])])


def _spectrum_chroma(planes: Planes) -> Reals:
    """Cb and Cr at half size: mean and deviation over tiles of each frequency's log power."""
    blue, red = (spectrum(plane, 16) for plane in planes.chroma)
    return np.concatenate([blue.mean, blue.deviation, red.mean, red.deviation])


def colour(planes: Planes) -> tuple[Reals, Reals, Reals]:
    """Histograms and moments of colour; how much is clipped; spread of colour by tone."""
    counts = np.zeros(sum(pixels.SIZES), np.int64)
    pixels.colours(planes.rgb, planes.step, planes.ycc, counts)
    parts = np.split(counts, np.cumsum(pixels.SIZES)[:-1])
    channels, products, hue, saturation, value, clips, tones = parts
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

    many, blue, red = tones.reshape(TONES, 3).T
    # A tone that hardly occurs says nothing: two pixels in a thousand of no colour are added.
    spread = np.sqrt(np.stack([blue, red]) / (many + 0.002 * n) + 0.5)
    return np.concatenate([shares, *moments]), np.log(clips / n + RARE), spread.ravel()


LIMIT = 16
"""Residuals are clipped to ±LIMIT: what matters is grain, not the edges of things."""


def _autocorrelation(planes: Planes) -> Reals:
    """Correlation of luma's Laplacian residual with itself, moved: upsampling leaves steps."""
    sums = kernels.correlations(planes.luma[0], LIMIT)
    height, width = planes.luma[0].shape
    down, across = np.abs(LAGS).T
    means = sums / ((height - 2 - down) * (width - 2 - across))
    found: Reals = means[1:] / (means[0] + 0.1)
    return found


def _borders(planes: Planes) -> Reals:
    """Log mean steps across the outermost four lines of each side, and along the first."""
    sums = np.empty((3, 4, LINES), np.int64)
    pixels.borders(planes.ycc, sums)
    _, height, width = planes.ycc.shape
    along = np.array([width, width, height, height])[:, None] - np.array([0, 0, 0, 1])
    found: Reals = np.log(sums / along + 0.2).ravel()
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
