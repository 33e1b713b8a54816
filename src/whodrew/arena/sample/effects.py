"""What painters share: noise, blur, grading, warps and the grain of brushes and paper.

Colour is (3, height, width) float32 from 0 to 1 throughout; a plane is (height, width).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
from PIL import Image, ImageFilter

from .canvas import Colour, Floats, Picture, planes, to_bytes

BANK = 512
DIRECTIONS = 12
Painter = Callable[[Picture, np.random.Generator, "Hand"], Floats]
PAINTERS: dict[str, Painter] = {}


@dataclass(frozen=True)
class Hand:
    """How one painter wields a style.

    Attributes:
        saturation, contrast: 1 leaves the colours as they are.
        warmth: shifts red against blue.
        stroke: size of brush, hatch, facet or pixel, 1 as usual.
        texture: strength of paper, bristle and grain, 1 as usual.
    """

    saturation: float = 1.0
    contrast: float = 1.0
    warmth: float = 0.0
    stroke: float = 1.0
    texture: float = 1.0

    def varied(self, rng: np.random.Generator) -> Hand:
        """The same hand on another day."""
        a, b, c, d, e = rng.normal(0, 1, 5).tolist()
        return Hand(
            self.saturation * (1 + 0.08 * a),
            self.contrast * (1 + 0.05 * b),
            self.warmth + 0.012 * c,
            self.stroke * (1 + 0.1 * d),
            self.texture * (1 + 0.12 * e),
        )


def painter(style: str) -> Callable[[Painter], Painter]:
    """Registers the painter of a style."""

    def register(paint: Painter) -> Painter:
        PAINTERS[style] = paint
        return paint

    return register


def column(colour: Colour) -> Floats:
    """A colour that broadcasts over planes."""
    return np.asarray(colour, dtype=np.float32)[:, None, None]


def luminance(colour: Floats) -> Floats:
    """Brightness as the eye weighs it."""
    weighed: Floats = colour[0] * np.float32(0.299) + colour[1] * np.float32(0.587)
    weighed += colour[2] * np.float32(0.114)
    return weighed


def grade(colour: Floats, hand: Hand) -> Floats:
    """Saturation, contrast and warmth, as the hand has them."""
    grey = luminance(colour)
    graded: Floats = grey + (colour - grey) * np.float32(hand.saturation)
    graded = (graded - np.float32(0.5)) * np.float32(hand.contrast) + np.float32(0.5)
    graded[0] += np.float32(hand.warmth)
    graded[2] -= np.float32(hand.warmth)
    return np.clip(graded, 0, 1, out=graded)


def blur(values: Floats, radius: float) -> Floats:
    """Gaussian blur of a colour or a plane, in byte precision."""
    image = image_of(values) if values.ndim == 3 else Image.fromarray(to_bytes(values))
    # A wide blur leaves nothing that a smaller image could not hold.
    shrink = 1 if radius < 1.6 else 2 if radius < 4 else 4
    small = image.reduce(shrink) if shrink > 1 else image
    soft = small.filter(ImageFilter.GaussianBlur(radius / shrink))
    if shrink > 1:
        soft = soft.resize(image.size, Image.Resampling.BILINEAR)
    done = planes(np.asarray(soft))
    return done[0] if values.ndim == 2 else done


def grown(grid: Floats, shape: tuple[int, ...]) -> Floats:
    """A small plane, stretched smoothly to (height, width)."""
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC))


def blotches(
    rng: np.random.Generator, shape: tuple[int, ...], cells: int, octaves: int = 2
) -> Floats:
    """Smooth noise about 0 with deviation near 1; ``cells`` fit the height."""
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        rows = cells * 2**octave
        columns = max(2, round(rows * shape[1] / shape[0]))
        total += grown(rng.standard_normal((rows, columns), dtype=np.float32), shape) * 0.6**octave
    return total


def steps(plane: Floats) -> Floats:
    """How steeply a plane changes at each pixel."""
    steep = np.zeros_like(plane)
    steep[:, 1:] += np.abs(np.diff(plane, axis=1))
    steep[1:] += np.abs(np.diff(plane, axis=0))
    return steep


def warp(colour: Floats, dx: Floats, dy: Floats) -> Floats:
    """Fetches each pixel from where (dx, dy) points."""
    height, width = dx.shape
    rows, columns = np.indices(dx.shape, dtype=np.float32)
    y = np.clip(np.rint(rows + dy), 0, height - 1).astype(np.int32)
    x = np.clip(np.rint(columns + dx), 0, width - 1).astype(np.int32)
    fetched: Floats = np.take(colour.reshape(len(colour), -1), y * width + x, axis=1)
    return fetched


@cache
def _spectrum() -> tuple[Floats, Floats]:
    fy = scipy.fft.fftfreq(BANK).astype(np.float32)[:, None]
    fx = scipy.fft.rfftfreq(BANK).astype(np.float32)[None, :]
    return fy, fx


def _shaped(gain: Floats, seed: int) -> Floats:
    white = np.random.default_rng(seed).standard_normal((BANK, BANK), dtype=np.float32)
    field = scipy.fft.irfft2(scipy.fft.rfft2(white) * gain, s=(BANK, BANK)).astype(np.float32)
    scaled: Floats = field / np.float32(field.std())
    return scaled


@cache
def _bristle_bank() -> Floats:
    fy, fx = _spectrum()
    tiles = []
    for index in range(DIRECTIONS):
        angle = (index / DIRECTIONS - 0.5) * np.pi
        along = fx * np.cos(angle) + fy * np.sin(angle)
        beside = -fx * np.sin(angle) + fy * np.cos(angle)
        tiles.append(_shaped(np.exp(-((along * 26) ** 2) - (beside * 2.4) ** 2), 90 + index))
    return np.stack(tiles)


@cache
def _paper_bank() -> Floats:
    fy, fx = _spectrum()
    radius = np.sqrt(fx**2 + fy**2)
    return _shaped(
        np.exp(-((radius - 0.16) ** 2) / 0.008) + 0.6 * np.exp(-((radius / 0.3) ** 2)), 80
    )


def _corner(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[slice, slice]:
    top, left = (int(rng.integers(0, BANK - edge + 1)) for edge in shape)
    return slice(top, top + shape[0]), slice(left, left + shape[1])


def paper(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """The tooth of rough paper, deviation 1: a random piece of a large sheet."""
    return _paper_bank()[_corner(rng, shape)]


def bristles(rng: np.random.Generator, flow: Floats) -> Floats:
    """Marks of a brush that follows ``flow`` (radians), deviation 1."""
    rows, columns = _corner(rng, flow.shape)
    turn = (
        np.rint((flow / np.float32(np.pi) + np.float32(0.5)) * DIRECTIONS).astype(np.int32)
        % DIRECTIONS
    )
    y, x = np.ogrid[rows, columns]
    marks: Floats = _bristle_bank()[turn, y, x]
    return marks


def bloom(picture: Picture, colour: Floats, radius: float, strength: float) -> Floats:
    """Light that spills from what glows."""
    lights = colour * picture.glow
    halo = blur(lights, radius) + blur(lights, radius * 3)
    lit: Floats = 1 - (1 - colour) * (1 - np.clip(halo * np.float32(strength), 0, 1))
    return lit


def image_of(colour: Floats) -> Image.Image:
    """A Pillow image of the colour."""
    return Image.fromarray(np.ascontiguousarray(to_bytes(colour).transpose(1, 2, 0)))
