"""Painters of plain shapes: poster, low-poly, pixel."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import Delaunay

from whodrew.arena.sample.canvas import Floats, Picture, planes, to_bytes
from whodrew.arena.sample.effects import (
    Hand,
    blur,
    grade,
    image_of,
    luminance,
    painter,
    steps,
)

from .wet import places

_ORDERED = (
    np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], dtype=np.float32) + 0.5
) / 16 - 0.5


@painter("poster")
def poster(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """Flat colour in few steps, with stippled shade, as on a travel poster."""
    shape = picture.depth.shape
    flat = grade(picture.colour, hand)
    grey = luminance(flat)
    stipple = rng.random(shape, dtype=np.float32) - np.float32(0.5)
    count = 7.0 / hand.stroke
    level = grey * np.float32(count) + np.float32(0.42 * hand.texture) * stipple
    wanted = np.rint(level) / np.float32(count)
    flat *= (wanted + np.float32(0.04)) / (grey + np.float32(0.04))
    mean = luminance(flat)
    vivid: Floats = np.clip(mean + (flat - mean) * np.float32(1.22), 0, 1)
    return vivid


@painter("low-poly")
def low_poly(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """Facets: triangles that crowd where there is detail, each in one colour."""
    colour = grade(picture.colour, hand)
    height, width = picture.depth.shape
    smooth = blur(colour, 1.0)
    tone = luminance(smooth)
    detail = blur(np.clip(steps(tone) * 4 + picture.ink * 0.4, 0, 1), 1.5)
    count = round(900 / hand.stroke)
    spots = np.concatenate(
        [places(rng, detail, count), places(rng, np.ones_like(detail), count // 3)]
    )
    y, x = np.divmod(spots, width)
    frame = np.linspace(-1, 1, 12)
    rim = np.concatenate([np.stack([frame, 0 * frame + side], 1) for side in (-1, 1)])
    rim = np.concatenate([rim, rim[:, ::-1]]) * 0.55 + 0.5
    points = np.concatenate(
        [np.stack([x, y], 1) + rng.uniform(0, 1, (len(x), 2)), rim * [width, height]]
    )
    mesh = points[Delaunay(points).simplices]
    heart = np.clip(mesh.mean(axis=1), 0, [width - 1, height - 1]).astype(np.int64)
    tones = smooth[:, heart[:, 1], heart[:, 0]].T
    edge = mesh[:, 1] - mesh[:, 0]
    facing = np.sin(np.arctan2(edge[:, 1], edge[:, 0]) * 2)[:, None]
    tones = tones * (1 + np.float32(0.035) * facing) + rng.normal(
        0, 0.014 * hand.texture, (len(tones), 1)
    )
    board = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(board)
    for corners, shade in zip(
        mesh.reshape(-1, 6).tolist(), to_bytes(tones.astype(np.float32)).tolist(), strict=True
    ):
        pen.polygon(corners, fill=tuple(shade))
    facets = planes(np.asarray(board))
    facets += (blur(facets, 0.7) - facets) * np.float32(0.7)
    facets += np.float32(0.3) * picture.glow * (colour - facets)
    return facets


@painter("pixel")
def pixel(picture: Picture, rng: np.random.Generator, hand: Hand) -> Floats:
    """Few colours, ordered dither, square pixels of four."""
    cell = 4
    height, width = picture.depth.shape
    colour = grade(picture.colour, hand)
    small = planes(
        np.asarray(image_of(colour).resize((width // cell, height // cell), Image.Resampling.BOX))
    )
    outline = np.asarray(
        Image.fromarray(picture.ink).resize(small.shape[:0:-1], Image.Resampling.BOX)
    )
    small *= 1 - np.clip(outline - 0.18, 0, 1) * np.float32(1.0)
    rows, columns = small.shape[1:]
    pattern = np.tile(_ORDERED, (rows // 4 + 1, columns // 4 + 1))[:rows, :columns]
    small += pattern * np.float32(0.08 * hand.texture) * np.sqrt(np.clip(small, 0.03, 1))
    levels = np.float32(rng.uniform(8.5, 11.5) / hand.stroke)
    few = np.clip(np.rint(np.sqrt(np.clip(small, 0, 1)) * levels) / levels, 0, 1)
    squares: Floats = np.square(few).astype(np.float32)
    return squares.repeat(cell, axis=1).repeat(cell, axis=2)
