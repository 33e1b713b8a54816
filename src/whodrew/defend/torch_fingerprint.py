"""The fingerprint's statistics in torch, with gradients to the pixels: all of its numbers.

Values are those of ``whodrew.encoders.fingerprint`` up to float32; where it counts (patterns,
histograms, clipping) or rounds, gradients are those of soft bins and of the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from scipy import fft

from whodrew.defend.torch_counts import histogram, laplacian, patterns, root, rounded, seen_as
from whodrew.encoders.fingerprint.families import LIMIT, RARE
from whodrew.encoders.fingerprint.kernels import LAGS, MARGIN
from whodrew.encoders.fingerprint.layout import SIZES
from whodrew.encoders.fingerprint.pixels import HUES, LINES, STEPS, TONES
from whodrew.encoders.fingerprint.planes import OCTAVES, SMALLEST
from whodrew.encoders.fingerprint.spectrum import smoothing, window

Tensor = Any
Module: Any = torch.nn.Module

# Integers in 65536ths as the encoder has them; every sum is exact in float32.
_YCC: Final = (
    (19595.0, 38470.0, 7471.0),
    (-11059.0, -21709.0, 32768.0),
    (32768.0, -27439.0, -5329.0),
)
_HALVES: Final = (32768.0, 8421375.0, 8421375.0)
_VARIANCE: Final = 1e-4
"""Bounds the slope of a deviation where nothing varies."""


class Planes:
    """A batch's planes, as ``encoders.fingerprint.planes`` has them, in float32 (n, h, w).

    Args:
        images: (n, 3, height, width) RGB in [0, 1].
    """

    def __init__(self, images: Tensor) -> None:
        pixels = rounded(images * 255)
        height, width = pixels.shape[-2:]
        if height < SMALLEST or width < SMALLEST:
            pixels = pixels[:, :, _mirrored(height)][:, :, :, _mirrored(width)]
        self.rgb = pixels
        weights = pixels.new_tensor(_YCC)
        sums = torch.einsum("kc,nchw->nkhw", weights, pixels)
        exact = (sums + pixels.new_tensor(_HALVES)[:, None, None]) / 65536
        self.ycc = seen_as(torch.floor(exact), exact)
        levels, moments = [self.ycc], []
        for _ in range(OCTAVES):
            half, taken = _halved(levels[-1])
            levels.append(half)
            moments.append(taken)
        self.luma = [level[:, 0] for level in levels[:3]]
        self.chroma = [levels[1][:, 1], levels[1][:, 2]]
        self.moments = torch.stack(moments, dim=2)


def _mirrored(side: int) -> list[int]:
    more = max(0, SMALLEST - side)
    return [int(at) for at in np.pad(np.arange(side), (0, more), mode="symmetric")]


def _halved(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Means of 2×2, and second and fourth powers (n, 3, 2) of what each pixel differs by."""
    n, kinds, height, width = planes.shape
    even = planes[:, :, : height // 2 * 2, : width // 2 * 2]
    # the four of each 2×2 stand apart, so that sums run along whole rows
    four = torch.nn.functional.pixel_unshuffle(even, 2).reshape(n, kinds, 4, -1)
    mean = rounded(four.mean(2))
    square = (four - mean[:, :, None]) ** 2
    second, fourth = square.mean((2, 3)), (square * square).mean((2, 3))
    half = mean.reshape(n, kinds, height // 2, width // 2)
    return half, torch.stack([second, fourth], dim=2)


@cache
def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8, (8, 8)."""
    return torch.from_numpy(fft.dct(np.eye(8), axis=0, norm="ortho").astype(np.float32))


def tiled(plane: Tensor, side: int) -> Tensor:
    """Cuts (n, h, w) into tiles (n, tiles, side, side); a rest that fills none is left out."""
    down, across = plane.shape[1] // side, plane.shape[2] // side
    whole = plane[:, : down * side, : across * side]
    cut = whole.reshape(len(plane), down, side, across, side).transpose(2, 3)
    return cut.reshape(len(plane), down * across, side, side)


def _deviation(values: Tensor) -> Tensor:
    """Standard deviation over the second axis."""
    return root(values.var(1, correction=0), _VARIANCE)


def _block_sizes(plane: Tensor) -> Tensor:
    """|coefficient| of each 8×8 block, (n, blocks, 64), to eighths; columns to sixteenths."""
    upright = rounded(_cosines() @ (tiled(plane, 8) - 128) * 16) / 16
    return rounded(upright @ _cosines().T * 8).abs().flatten(2) / 8


def _blocks(planes: Planes) -> Tensor:
    native, half, quarter = (_block_sizes(plane) for plane in planes.luma)
    energies = [torch.log((sizes * sizes).mean(1) + 0.01) for sizes in (native, half)]
    logs = [torch.log(sizes + 0.25) for sizes in (half, quarter)]
    return torch.cat([*energies, _deviation(logs[0]), logs[1].mean(1)], dim=1)


def _transforms(plane: Tensor, side: int) -> Tensor:
    """Power (n, tiles, side, side / 2 + 1) of tiles less their mean, under a Hann window."""
    tiles = tiled(plane, side)
    curve = torch.from_numpy(window(side)).reshape(side, side)
    found = torch.fft.rfft2((tiles - tiles.mean((2, 3), keepdim=True)) * curve)
    return found.real**2 + found.imag**2


def _folded(plane: Tensor, side: int) -> Tensor:
    """Power of each frequency, (v, h) and (-v, h) as one: (n, tiles, (side / 2 + 1)²)."""
    power = _transforms(plane, side)
    rows = torch.arange(side // 2 + 1)
    return ((power[:, :, rows] + power[:, :, -rows]) / 2).flatten(2)


def _spectrum(planes: Planes) -> Tensor:
    power = _folded(planes.luma[0], 32)
    smooth = torch.from_numpy(smoothing(32).astype(np.float32))
    mean = smooth @ power.mean(1).reshape(-1, 17, 17) @ smooth.T
    slanted = torch.log1p(_transforms(planes.luma[1], 16))
    rows = torch.arange(1, 8)
    slant = (slanted[:, :, rows, 1:8] - slanted[:, :, -rows, 1:8]).mean(1)
    deviation = _deviation(torch.log1p(power))
    return torch.cat([deviation, torch.log1p(mean).flatten(1), slant.flatten(1)], dim=1)


def _spectrum_chroma(planes: Planes) -> Tensor:
    found = []
    for plane in planes.chroma:
        logs = torch.log1p(_folded(plane, 16))
        found += [logs.mean(1), _deviation(logs)]
    return torch.cat(found, dim=1)


def _patterns(planes: Planes) -> Tensor:
    out = []
    for level, radius in ((0, 1), (1, 1), (2, 1), (0, 2), (1, 2)):
        plane = planes.luma[level]
        places = (plane.shape[1] - 2 * radius) * (plane.shape[2] - 2 * radius)
        out.append(torch.log(patterns(plane, radius) / places + RARE))
    return torch.cat(out, dim=1)


def _autocorrelation(planes: Planes) -> Tensor:
    luma = planes.luma[0]
    residual = laplacian(luma).clamp(-LIMIT, LIMIT)
    height, width = residual.shape[-2:]
    size = (fft.next_fast_len(height + MARGIN, True), fft.next_fast_len(width + MARGIN, True))
    found = torch.fft.rfft2(residual, s=size)
    sums = torch.fft.irfft2(found.real**2 + found.imag**2, s=size)
    down, across = torch.from_numpy(LAGS).T
    places = (height - down.abs()) * (width - across.abs())
    means = sums[:, down, across] / places
    return means[:, 1:] / (means[:, :1] + 0.1)


def _borders(planes: Planes) -> Tensor:
    ycc, out = planes.ycc, []
    sides = (
        ycc[:, :, :LINES],
        ycc[:, :, -LINES:].flip(2),
        ycc[:, :, :, :LINES].transpose(2, 3),
        ycc[:, :, :, -LINES:].flip(3).transpose(2, 3),
    )
    for lines in sides:
        steps = (lines[:, :, :-1] - lines[:, :, 1:]).abs().mean(3)
        along = (lines[:, :, 0, 1:] - lines[:, :, 0, :-1]).abs().mean(2)
        out.append(torch.cat([steps, along[:, :, None]], dim=2))
    return torch.log(torch.stack(out, dim=2) + 0.2).flatten(1)


def _tails(planes: Planes) -> Tensor:
    second, fourth = planes.moments[..., 0], planes.moments[..., 1]
    return torch.log(fourth / (second + 0.1) ** 2 + 0.5).flatten(1)


def _colours(planes: Planes) -> tuple[Tensor, Tensor, Tensor]:
    """The three families of colour, on every second pixel of every fourth row."""
    rgb, ycc = (one[:, :, ::4, ::2].flatten(2) for one in (planes.rgb, planes.ycc))
    n = rgb.shape[2]
    shares = root(_shades(rgb) / n, 1e-3)

    mean = ycc.mean(2)
    centred = ycc - mean[:, :, None]
    second, third, fourth = ((centred**k).mean(2) for k in (2, 3, 4))
    scale = root(second, _VARIANCE) + 0.5
    related = [
        (centred[:, a] * centred[:, b]).mean(1) / (scale[:, a] * scale[:, b])
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    moments = [mean, torch.log(scale), third / scale**3, fourth / scale**4]
    hues = torch.cat([shares, *moments, torch.stack(related, dim=1)], dim=1)
    return hues, torch.log(_clips(rgb) + RARE), _tones(ycc)


def _shades(rgb: Tensor) -> Tensor:
    """Counts of hue (where saturation exceeds a tenth), saturation and value: (n, 56)."""
    red, green, blue = rgb.unbind(1)
    top = rgb.amax(1)
    spread = top - rgb.amin(1)
    saturation = spread * 255 / top.clamp(min=1)
    first, second = top == red, top == green
    ahead = torch.where(first, green - blue, torch.where(second, blue - red, red - green))
    sector = torch.where(first, 1536.0, torch.where(second, 512.0, 1024.0))
    hue = ahead * 256 / spread.clamp(min=1) + sector
    hue = torch.where(hue >= 1536, hue - 1536, hue)
    hue = torch.where(saturation >= 26, hue, torch.full_like(hue, -1.0))
    counts = [
        histogram(hue, HUES, 64.0, around=True),
        # grey to fully saturated is 0 to 255, the brightest value 255
        histogram(saturation, STEPS, 16.0),
        histogram(top, STEPS, 16.0),
    ]
    return torch.cat(counts, dim=1)


def _clips(rgb: Tensor) -> Tensor:
    """Shares (n, 12) of each channel at most 0, at most 4, at least 251, at least 255."""
    found = []
    for edge, sign in ((0.5, -1), (4.5, -1), (250.5, 1), (254.5, 1)):
        beyond = (rgb - edge) * sign
        soft = (beyond / 4 + 0.5).clamp(0, 1)
        found.append(seen_as((beyond > 0).to(rgb.dtype), soft).mean(2))
    return torch.stack(found, dim=2).flatten(1)


def _tones(ycc: Tensor) -> Tensor:
    """Spread of Cb and Cr by tone (n, 16); the tone of a pixel gets no gradient."""
    n = ycc.shape[2]
    tone = (ycc[:, 0] / (256 // TONES)).floor().long().clamp(0, TONES - 1)
    many = torch.nn.functional.one_hot(tone, TONES).sum(1)
    found = []
    for plane in (ycc[:, 1], ycc[:, 2]):
        sums = plane.new_zeros(len(plane), TONES).scatter_add(1, tone, (plane - 128) ** 2)
        found.append(torch.sqrt(sums / (many + 0.002 * n) + 0.5))
    return torch.cat(found, dim=1)


PARTS: dict[str, Callable[[Planes], Tensor]] = {
    "blocks": _blocks,
    "spectrum": _spectrum,
    "spectrum-chroma": _spectrum_chroma,
    "patterns": _patterns,
    "autocorrelation": _autocorrelation,
    "borders": _borders,
    "tails": _tails,
}


class TorchFingerprint(Module):  # type: ignore[misc]
    """The ``fingerprint`` encoder as a ``torch.nn.Module`` with gradients to the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        """Maps (n, 3, height, width) float32 RGB in [0, 1] to (n, DIMENSION)."""
        planes = Planes(images)
        hues, clipping, tones = _colours(planes)
        found = {"colour": hues, "clipping": clipping, "tones": tones}
        found |= {name: part(planes) for name, part in PARTS.items()}
        return torch.cat([found[name] for name in SIZES], dim=1)
