"""Painters with brush and chalk: oil, watercolour, pastel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw

from whodrew.arena.sample.canvas import Floats, Picture, planes, rgb, to_bytes
from whodrew.arena.sample.effects import (
    Hand,
    blotches,
    blur,
    bristles,
    column,
    grade,
    image_of,
    luminance,
    painter,
    paper,
    steps,
    warp,
)


@painter("oil")
def oil(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """Two layers of strokes along the surfaces, fine ones where there is detail, and impasto."""
    colour = grade(picture.colour, hand)
    flow = picture.flow + 0.5 * blotches(rng, picture.flow.shape, 4)
    board = image_of(blur(colour, 3))
    pen = ImageDraw.Draw(board)
    height = colour.shape[1]
    detail = steps(luminance(colour)) + 0.3 * picture.ink
    broad = np.full_like(detail, 1.0)
    down, right = np.gradient(blur(luminance(colour), 1.8))
    edge, firm = np.arctan2(right, -down), np.hypot(down, right) > 0.012
    for count, thick, weight in (
        (620, 0.022, broad),
        (1500, 0.009, blur(np.clip(detail * 3, 0, 1), 2) + 0.03),
    ):
        size = thick * height * hand.stroke
        spots = places(rng, weight, count)
        half = size * rng.uniform(0.9, 2.2, count)
        # Strokes follow an edge where there is one, or they would fray it.
        along = np.where(firm, edge, flow).ravel()[spots]
        tones = colour.reshape(3, -1)[:, spots].T + rng.normal(0, 0.022, (count, 1))
        y, x = np.divmod(spots, colour.shape[2])
        dx, dy = half * np.cos(along), half * np.sin(along)
        lines = np.stack([x - dx, y - dy, x + dx, y + dy], axis=1).tolist()
        for line, tone in zip(lines, to_bytes(tones.astype(np.float32)).tolist(), strict=True):
            pen.line(line, fill=tuple(tone), width=max(2, round(size)))
    painted = planes(np.asarray(board))
    kept = np.clip(detail * 2.8, 0, 0.85)
    painted += kept * (colour - painted)
    relief = bristles(rng, flow) * np.float32(0.03 * hand.texture)
    ridge = luminance(painted)
    ridge = ridge + relief
    light = (ridge - np.roll(ridge, (1, 1), axis=(0, 1))) * np.float32(0.55 * hand.texture)
    finished: Floats = painted * (1 + relief) + light
    return finished


def places(rng: np.random.Generator, weight: Floats, count: int) -> npt.NDArray[np.int64]:
    """Pixels (flat indices) drawn with chances in proportion to the weight."""
    sums = np.cumsum(weight.ravel(), dtype=np.float64)
    found = np.searchsorted(sums, rng.random(count) * sums[-1])
    inside: npt.NDArray[np.int64] = np.minimum(found, weight.size - 1)
    return inside


@painter("watercolour")
def watercolour(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """Pigment in water: soft wandering edges that dry darker, blooms, granulation, bare paper."""
    shape = picture.depth.shape
    height, width = shape
    sway = height * 0.006 * hand.stroke
    colour = warp(
        picture.colour, blotches(rng, shape, 14, 3) * sway, blotches(rng, shape, 14, 3) * sway
    )
    colour = grade(blur(colour, 0.9), hand)
    wet = blur(colour, height * 0.018)
    bleed = np.clip(blotches(rng, shape, 5) * 0.4 + 0.1 + picture.depth * 0.25, 0, 0.65)
    colour += bleed * (wet - colour)
    density = -np.log(np.clip(colour * 0.93 + 0.06, 0.03, 1))
    tone = luminance(colour)
    rim = np.clip((blur(tone, 2.5) - tone) * 2.2, -0.05, 0.35)
    tooth = paper(rng, shape)
    load = 0.82 + 0.2 * blotches(rng, shape, 4, 3) + rim
    load += np.float32(0.085 * hand.texture) * tooth * (0.4 + tone)
    density *= np.clip(load, 0.25, 1.6)
    density += picture.ink * np.float32(0.16)
    y, x = np.ogrid[0:height, 0:width]
    inset = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x)).astype(
        np.float32
    )
    edge = np.clip(
        (inset + blotches(rng, shape, 12, 3) * height * 0.008 - height * 0.035) * 0.35, 0, 1
    )
    density *= edge * (1 + 0.35 * np.exp(-(((inset - height * 0.043) / 3) ** 2)))
    sheet = column(rgb("fbf7ee")) * (1 + np.float32(0.012 * hand.texture) * tooth)
    dried: Floats = sheet * np.exp(-density)
    return dried


@painter("pastel")
def pastel(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """Chalk on toned paper: slanted strokes that miss the valleys of the paper's tooth."""
    shape = picture.depth.shape
    colour = grade(blur(picture.colour, 1.2), hand)
    colour = colour * np.float32(0.9) + np.float32(0.09)
    slant = np.full(shape, -0.8, dtype=np.float32) + picture.flow * np.float32(0.35)
    mark, tooth = bristles(rng, slant), paper(rng, shape)
    colour *= 1 + np.float32(0.07 * hand.texture) * mark
    cover = np.clip(
        1.25 - np.float32(0.42 * hand.texture) * np.clip(tooth * 0.8 + mark * 0.45, 0, 2), 0.25, 1
    )
    ground = column(rgb("cdb79c") if rng.random() < 0.5 else rgb("9aa4ac"))
    chalked: Floats = ground + cover * (colour - ground)
    line = blur(picture.ink, 0.8) * np.clip(0.8 - 0.35 * tooth, 0, 1)
    chalked *= 1 - np.float32(0.42) * line
    return chalked
