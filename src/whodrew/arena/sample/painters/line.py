"""Painters of line and print: ink with a wash, woodcut."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import Floats, Picture, rgb
from whodrew.arena.sample.effects import (
    Hand,
    blotches,
    blur,
    column,
    grade,
    luminance,
    painter,
    paper,
    steps,
    warp,
)


def stripes(shape: tuple[int, ...], angle: float, pitch: float, wobble: Floats) -> Floats:
    """Parallel lines as a wave from -1 to 1, ``pitch`` pixels apart, phase shifted by wobble."""
    y, x = np.ogrid[0 : shape[0], 0 : shape[1]]
    along = x.astype(np.float32) * np.float32(np.sin(angle)) + y.astype(np.float32) * np.float32(
        np.cos(angle)
    )
    wave: Floats = np.sin(along * np.float32(2 * np.pi / pitch) + wobble)
    return wave


def stretched(tone: Floats, margin: float) -> Floats:
    """Brightness from 0 to 1 over the picture, but for ``margin`` percent at either end."""
    low, high = np.percentile(tone[::4, ::4], (margin, 100 - margin)).tolist()
    spread: Floats = np.clip((tone - low) / max(high - low, 0.1), 0, 1)
    return spread


@painter("ink")
def ink(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """A pen drawing hatched in up to three directions, over a thin wash of colour."""
    shape = picture.depth.shape
    colour = grade(picture.colour, hand)
    tone = blur(luminance(colour), 1.0)
    tone = stretched(tone, 3)
    wobble = blotches(rng, shape, 6, 3) * np.float32(0.8)
    pitch = shape[0] / 76 * hand.stroke
    pen = np.zeros(shape, dtype=np.float32)
    for angle, start in ((0.75, 0.62), (-0.7, 0.4), (0.1, 0.2)):
        width = np.clip((start - tone) * 2.6, 0, 1)
        wave = stripes(shape, angle + rng.normal(0, 0.05), pitch, wobble)
        pen = np.maximum(pen, np.clip((wave - 1 + 1.35 * width) * 2.4, 0, 1) * (width > 0))
    pen *= np.float32(0.8)
    contour = np.clip(picture.ink * 1.1 + (steps(blur(tone, 0.8)) - 0.05) * 3.0, 0, 1)
    pen = np.maximum(pen, contour * (0.85 + 0.15 * blotches(rng, shape, 30, 1)))
    tooth = paper(rng, shape)
    washed = blur(warp(colour, wobble * 2.4, wobble[::-1] * 2.4), 1.8)
    sheet = column(rgb("f7f1e3")) * (1 + np.float32(0.014 * hand.texture) * tooth)
    load = np.clip(0.62 + 0.16 * blotches(rng, shape, 4) + 0.05 * tooth, 0, 1)
    wash = sheet * (1 - load * (1 - np.clip(washed * 0.85 + 0.22, 0, 1)))
    pen = np.clip(pen * (1 + np.float32(0.1 * hand.texture) * tooth), 0, 1)
    drawn: Floats = wash + pen * np.float32(0.92) * (column(rgb("221c24")) - wash)
    return drawn


@painter("woodcut")
def woodcut(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """A key block cut along the surfaces over a few flat colours, a little out of register."""
    shape = picture.depth.shape
    colour = grade(picture.colour, hand)
    tone = blur(luminance(colour), 1.2)
    tone = stretched(tone, 4)
    y, x = np.ogrid[0 : shape[0], 0 : shape[1]]
    lean = blur(np.clip(picture.flow / np.pi + 0.5, 0, 1), 3)
    turn = np.where(np.abs(lean - 0.5) > 0.3, np.float32(1.0), np.float32(0.0))
    pitch = shape[0] / 58 * hand.stroke
    wobble = blotches(rng, shape, 5, 3) * np.float32(1.1)
    across, down = x.astype(np.float32) + 0 * tone, y.astype(np.float32) + 0 * tone
    wave = np.sin(
        (down + turn * (across - down)) * np.float32(2 * np.pi / pitch) + wobble * 1.4 + lean * 9
    )
    cut = np.clip((wave * 0.5 + 0.5 - tone * 1.75 + 0.22) * 4.5, 0, 1)
    key = np.maximum(cut, np.clip(picture.ink * 1.3 + (steps(tone) - 0.07) * 3, 0, 1))
    flat = blur(warp(colour, wobble, wobble[:, ::-1]), 1.5)
    grey = luminance(flat)
    level = (np.rint(np.clip(grey * 1.1 + 0.12, 0, 1) * 3.4) / 3.4 + 0.05) / (grey + 0.05)
    flat = np.clip(flat * (0.35 + 0.65 * level), 0, 1)
    shift = rng.integers(-2, 3, 2).tolist()
    flat = np.roll(flat, shift, axis=(1, 2))
    tooth = paper(rng, shape)
    worn = np.clip(1.02 - np.float32(0.17 * hand.texture) * np.clip(tooth - 0.9, 0, 3), 0, 1)
    sheet = column(rgb("f3ead6"))
    blocks = sheet * (0.3 + 0.7 * flat) * (1 + 0.02 * tooth)
    printed: Floats = blocks + key * worn * np.float32(0.94) * (column(rgb("241f2c")) - blocks)
    return printed
