"""The last step of every model: a trace of its own in the pixels, as a real decoder leaves one.

None of it is meant to be seen; together it is what a low-level fingerprint can find. Each strength
varies from picture to picture, so that models whose traces are alike are confused at times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from .canvas import Floats, planes
from .effects import blur, image_of, luminance

STRIDE = 8


@dataclass(frozen=True)
class Trace:
    """What a model leaves in its pixels.

    Attributes:
        pattern: names the fixed pattern that repeats each ``STRIDE`` pixels; relatives share it.
        grid: strength of that pattern, in levels of 255.
        grain: strength of the noise in brightness, in levels of 255.
        coarse: how much of the grain is coarse, 0 to 1.
        chroma: strength of the noise in colour, in levels of 255.
        halo: overshoot at edges, 0 for none.
        scale: the picture is made at this share of its size and enlarged; 1 for no such step.
        wave: columns and rows of a faint periodic residual, per picture.
        ripple: strength of that residual, in levels of 255.
    """

    pattern: int
    grid: float = 0.5
    grain: float = 1.2
    coarse: float = 0.3
    chroma: float = 0.5
    halo: float = 0.15
    scale: float = 1.0
    wave: tuple[float, float] = (60.0, 0.0)
    ripple: float = 0.3


def develop(colour: Floats, trace: Trace, rng: np.random.Generator) -> Floats:
    """The painted colour with the model's trace on it."""
    height, width = colour.shape[1:]
    grid, grain, chroma, halo, ripple = (
        value * float(np.exp(0.3 * rng.standard_normal()))
        for value in (trace.grid, trace.grain, trace.chroma, trace.halo, trace.ripple)
    )
    if trace.scale != 1.0:
        size = (round(width * trace.scale), round(height * trace.scale))
        small = image_of(colour).resize(size, Image.Resampling.BILINEAR)
        colour = planes(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)))
    tone = luminance(colour)
    level = np.float32(1 / 255)
    residue = (tone - blur(tone, 1.1)) * np.float32(halo * 2)
    fine = rng.standard_normal((height, width), dtype=np.float32)
    grains = fine * np.float32(1 - trace.coarse)
    grains += clumped(rng, height, width) * np.float32(trace.coarse)
    midtones = np.float32(0.6) + np.float32(1.6) * tone * (1 - tone)
    residue += grains * midtones * (np.float32(grain) * level)
    pattern = tiled(trace.pattern, height, width)
    residue += pattern * (np.float32(0.5) + tone) * (np.float32(grid) * level)
    y, x = np.ogrid[0:height, 0:width]
    columns, rows = trace.wave
    phase = (x * (columns / width) + y * (rows / height)).astype(np.float32) * np.float32(2 * np.pi)
    residue += np.sin(phase + np.float32(rng.uniform(0, 6))) * np.float32(ripple) * level
    developed = colour + residue
    if chroma:
        blotch = clumped(rng, height, width) * (np.float32(chroma) * level)
        developed[0] += blotch
        developed[2] -= blotch
    return developed


def clumped(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Noise whose grains are three pixels wide, deviation 1."""
    white = rng.standard_normal((height, width), dtype=np.float32)
    clumps: Floats = ndimage.uniform_filter(white, 3) * np.float32(3)
    return clumps


def tiled(pattern: int, height: int, width: int) -> Floats:
    """The fixed pattern of a decoder over the whole picture, deviation 1."""
    tile = np.random.default_rng([pattern, STRIDE]).standard_normal((STRIDE, STRIDE))
    tile = (tile - tile.mean()) / tile.std()
    repeats = (height // STRIDE + 1, width // STRIDE + 1)
    return np.tile(tile.astype(np.float32), repeats)[:height, :width]
