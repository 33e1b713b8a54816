"""Painters of light: soft photograph, neon."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import Floats, Picture, rgb
from whodrew.arena.sample.effects import (
    Hand,
    bloom,
    blotches,
    blur,
    column,
    grade,
    luminance,
    painter,
    paper,
    steps,
)


@painter("photo")
def photo(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """A lens: sharp at one depth, soft elsewhere, with light that spills and a darker rim."""
    shape = picture.depth.shape
    height, width = shape
    colour = grade(picture.colour, hand)
    surface = paper(rng, shape) * np.float32(0.02) + blotches(rng, shape, 40, 2) * np.float32(0.028)
    colour *= 1 + surface * np.float32(hand.texture) * (1.15 - picture.depth)
    weight = picture.ink[height // 4 : -height // 4, width // 4 : -width // 4] + np.float32(1e-3)
    middle = picture.depth[height // 4 : -height // 4, width // 4 : -width // 4]
    focus = float((weight * middle).sum() / weight.sum()) * float(rng.uniform(0.7, 1.0))
    away = np.clip((np.abs(picture.depth - focus) - 0.15) * 2.0, 0, 1.7)
    near, far = blur(colour, height / 200), blur(colour, height / 75)
    colour += np.clip(away, 0, 1) * (near - colour)
    colour += np.clip(away - 0.9, 0, 1) * (far - colour)
    colour = bloom(picture, colour, height / 60, 0.55)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    rim = (x * x + y * y).astype(np.float32)
    colour *= 1 - np.float32(0.16) * rim
    # A film's shoulder: highlights roll off, blacks are lifted a little.
    exposed: Floats = np.float32(0.025) + colour * (np.float32(1.1) - np.float32(0.13) * colour)
    return exposed


@painter("neon")
def neon(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """The scene at night, its outlines drawn in glowing tubes."""
    shape = picture.depth.shape
    colour = grade(picture.colour, hand)
    tone = luminance(colour)
    tint = column(rgb("241a5c")) * (0.35 + 0.9 * tone) + column(rgb("0a1430"))
    dark = tint * np.float32(0.5) + colour * tone * np.float32(0.42)
    mean = tone[None]
    hue = (colour - mean) * np.float32(4.5) + np.float32(0.55)
    drift = blotches(rng, shape, 2, 1)
    hue[0] += 0.28 * drift
    hue[2] -= 0.2 * drift - 0.12
    tube = np.clip(
        picture.ink * 1.1
        + np.clip((steps(blur(tone, 0.7)) - 0.045) * 3.5, 0, 0.8)
        + picture.glow * 0.35,
        0,
        1,
    )
    lines = np.clip(hue, 0.05, 1) * tube
    glow = blur(lines, shape[0] / 120 * hand.stroke) * np.float32(0.95) + blur(
        lines, shape[0] / 28
    ) * np.float32(1.1)
    lit = 1 - (1 - dark) * (1 - np.clip(lines * 0.85, 0, 1)) * (
        1 - np.clip(glow * 0.6 * hand.texture, 0, 1)
    )
    core = np.clip(tube - 0.72, 0, 1) * np.float32(1.3)
    shining: Floats = lit + core * (1 - lit)
    return shining
