"""The canvas that scenes are laid out on: colour, and what a painter needs to know beside it.

Lengths are in units of the picture's height: ``y`` runs from 0 (top) to 1 (bottom), ``x`` from 0 to
``wide``. Shapes are drawn at twice the size and reduced at the end, which smooths their edges.
Beside the colour, each shape leaves its depth, its own light and the direction of its surface, and
covers the outlines of what lies behind it, so that a pen finds only the lines that are seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Colour = tuple[float, float, float]
Fill = Colour | Floats
Outline = Points | Sequence[Sequence[float]]

SCALE = 2
_FILL_SIZE = 24
_U = np.linspace(0, 1, _FILL_SIZE, dtype=np.float32)[None, :]
_V = _U.T


@dataclass(frozen=True)
class Picture:
    """A laid-out scene, before any painter has touched it.

    Attributes:
        colour: (3, height, width), 0 to 1.
        depth: (height, width), 0 near to 1 far.
        glow: (height, width), how much light a pixel gives off itself, 0 to 1.
        flow: (height, width), direction of the surface in radians.
        ink: (height, width), visible outlines, 0 to 1.
    """

    colour: Floats
    depth: Floats
    glow: Floats
    flow: Floats
    ink: Floats


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour that is ``share`` of the way from the first to the second."""
    keep = 1 - share
    return (
        first[0] * keep + second[0] * share,
        first[1] * keep + second[1] * share,
        first[2] * keep + second[2] * share,
    )


def rgb(code: str) -> Colour:
    """A colour from ``rrggbb``."""
    return (int(code[:2], 16) / 255, int(code[2:4], 16) / 255, int(code[4:], 16) / 255)


def downward(*stops: Colour) -> Floats:
    """A fill that runs through the colours from top to bottom."""
    return _ramp(_V, stops)


def across(*stops: Colour) -> Floats:
    """A fill that runs through the colours from left to right."""
    return _ramp(_U, stops)


def rounded(
    light: Colour, middle: Colour, dark: Colour, x: float = 0.68, y: float = 0.28
) -> Floats:
    """A fill that makes a shape look round, lit from (x, y) in its own box."""
    distance = np.sqrt((_U - x) ** 2 + (_V - y) ** 2)
    rim = np.clip((distance - 0.62) / 0.3, 0, 1) * 0.18
    return _ramp(np.clip(distance / 0.85 - rim, 0, 1), (light, middle, dark))


def _ramp(position: Floats, stops: Sequence[Colour]) -> Floats:
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(position, places, [stop[i] for stop in stops]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def curve(points: Outline, *, closed: bool = True, steps: int = 6) -> Points:
    """A smooth (Catmull-Rom) curve through the points, as a polyline."""
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([knots[:1], knots, knots[-1:]])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    path = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    polyline: Points = path.transpose(1, 0, 2).reshape(-1, 2)
    return polyline if closed else np.concatenate([polyline, knots[-1:]])


def to_bytes(values: Floats) -> Bytes:
    """Numbers from 0 to 1 as bytes, rounded."""
    scaled = values * np.float32(255) + np.float32(0.5)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def planes(pixels: Bytes) -> Floats:
    """Bytes (height, width[, 3]) as numbers from 0 to 1, one plane after the other."""
    stacked = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(stacked).astype(np.float32) * np.float32(1 / 255)


def _level(value: float) -> int:
    return 0 if value <= 0 else 255 if value >= 1 else int(value * 255 + 0.5)


def _byte(colour: Colour) -> tuple[int, int, int]:
    return (_level(colour[0]), _level(colour[1]), _level(colour[2]))


def _stretched(fill: Floats, size: tuple[int, int]) -> Image.Image:
    """A small fill at full size; smooth to the picture's pixels, which are two of the canvas."""
    small = Image.fromarray(to_bytes(fill))
    half = (max(1, size[0] // SCALE), max(1, size[1] // SCALE))
    smooth = small.resize(half, Image.Resampling.BILINEAR)
    return smooth.resize(size, Image.Resampling.NEAREST)


class Canvas:
    """Draws shapes, back to front, into colour, traits and outlines at once."""

    def __init__(self, width: int, height: int) -> None:
        """An empty canvas for a picture of that many pixels."""
        size = (width * SCALE, height * SCALE)
        self.wide = width / height
        self._unit = height * SCALE
        self._colour = Image.new("RGB", size)
        self._traits = Image.new("RGB", size)
        self._ink = Image.new("L", size)
        self._pens = [ImageDraw.Draw(each) for each in (self._colour, self._traits, self._ink)]
        self._depth = 1.0
        self._flow = 0.0

    def at(self, depth: float, flow: float = 0.0) -> None:
        """Sets the depth (0 near, 1 far) and surface direction (radians) of what comes next."""
        self._depth = depth
        self._flow = flow

    def backdrop(self, colours: Floats) -> None:
        """Covers everything with a small colour array, stretched smoothly."""
        self._colour.paste(_stretched(colours, self._colour.size))
        self._traits.paste(self._trait(0.0), (0, 0, *self._traits.size))
        self._ink.paste(0, (0, 0, *self._ink.size))

    def polygon(
        self,
        points: Outline,
        fill: Fill,
        *,
        glow: float = 0.0,
        outline: float = 0.0026,
    ) -> None:
        """A filled shape; ``outline`` is the width of its line in the ink, 0 for none."""
        corners = np.asarray(points, dtype=np.float64) * self._unit
        flat = corners.ravel().tolist()
        if isinstance(fill, tuple):
            self._pens[0].polygon(flat, fill=_byte(fill))
        else:
            self._gradient(corners, fill)
        self._pens[1].polygon(flat, fill=self._trait(glow))
        self._pens[2].polygon(flat, fill=0)
        if outline:
            width = max(1, round(outline * self._unit))
            self._pens[2].line([*flat, *flat[:2]], fill=255, width=width)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float | None,
        fill: Fill,
        *,
        glow: float = 0.0,
        outline: float = 0.0026,
    ) -> None:
        """An ellipse about (x, y); a circle where ``ry`` is None."""
        if isinstance(fill, tuple) and not outline:
            tall = rx if ry is None else ry
            corners = (x - rx, y - tall, x + rx, y + tall)
            bounds = [corner * self._unit for corner in corners]
            self._pens[0].ellipse(bounds, fill=_byte(fill))
            self._pens[1].ellipse(bounds, fill=self._trait(glow))
            self._pens[2].ellipse(bounds, fill=0)
            return
        self.polygon(oval(x, y, rx, ry), fill, glow=glow, outline=outline)

    def line(
        self,
        points: Outline,
        width: float,
        colour: Colour,
        *,
        glow: float = 0.0,
        ink: float = 0.0,
    ) -> None:
        """A line of the given width; ``ink`` is how dark the pen draws it."""
        flat = (np.asarray(points, dtype=np.float64) * self._unit).ravel().tolist()
        pixels = max(1, round(width * self._unit))
        self._pens[0].line(flat, fill=_byte(colour), width=pixels, joint="curve")
        self._pens[1].line(flat, fill=self._trait(glow), width=pixels)
        self._pens[2].line(flat, fill=round(255 * ink), width=min(pixels, 3) if ink else pixels)

    def veil(
        self,
        shapes: Sequence[Outline],
        colour: Colour,
        opacity: float,
        *,
        blur: float = 0.0,
        glow: float = 0.0,
    ) -> None:
        """Lays translucent colour over shapes: shadow, mist, a beam of light.

        ``blur`` softens the edge, in units of the picture's height. The outlines stay.
        """
        shrink = 1 if not blur else 4 if blur < 0.012 else 8
        outlines = [np.asarray(shape, dtype=np.float64) * (self._unit / shrink) for shape in shapes]
        soft = blur * self._unit / shrink
        every = np.concatenate(outlines)
        low = np.floor(every.min(axis=0) - 3 * soft).astype(int)
        high = np.ceil(every.max(axis=0) + 3 * soft).astype(int) + 1
        low = np.maximum(low, 0)
        high = np.minimum(high, (self._colour.width // shrink, self._colour.height // shrink))
        width, height = (high - low).tolist()
        if width <= 0 or height <= 0:
            return
        mask = Image.new("L", (width, height))
        pen = ImageDraw.Draw(mask)
        for corners in outlines:
            pen.polygon((corners - low).ravel().tolist(), fill=round(255 * opacity))
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(soft))
        left, top, right, bottom = (edge * shrink for edge in [*low.tolist(), *high.tolist()])
        if shrink > 1:
            mask = mask.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        self._colour.paste(_byte(colour), (left, top, right, bottom), mask)
        if glow:
            lit = self._traits.crop((left, top, right, bottom))
            depth, old, flow = lit.split()
            old.paste(round(255 * glow), (0, 0, *old.size), mask)
            self._traits.paste(Image.merge("RGB", (depth, old, flow)), (left, top))

    def streaks(
        self, starts: Points, ends: Points, width: float, colour: Colour, opacity: float
    ) -> None:
        """Many translucent lines at once: rain, ripples, glitter."""
        mask = Image.new("L", self._colour.size)
        pen = ImageDraw.Draw(mask)
        pixels = max(1, round(width * self._unit))
        both = np.concatenate([starts, ends], axis=1) * self._unit
        for each in both.tolist():
            pen.line(each, fill=round(255 * opacity), width=pixels)
        self._colour.paste(_byte(colour), (0, 0, *mask.size), mask)

    def reflect(
        self,
        shore: float,
        tint: Colour,
        strength: float,
        ripple: float,
        rng: np.random.Generator,
    ) -> None:
        """Mirrors what stands above the line ``y = shore`` in the water below it."""
        line = round(shore * self._unit)
        deep = min(self._colour.height - line, line)
        phase = np.arange(deep, dtype=np.float32)
        sway = np.sin(phase**0.8 * 0.55 + rng.uniform(0, 6)) + 0.6 * np.sin(phase**0.7 * 1.3)
        shift = np.rint(sway * ripple * self._unit * (0.25 + phase / deep)).astype(np.int64)
        for image, wash in ((self._colour, np.asarray(_byte(tint))), (self._traits, None)):
            above = np.asarray(image)[line - deep : line][::-1]
            columns = np.arange(image.width)[None, :] + shift[:, None]
            mirrored = above[phase.astype(np.int64)[:, None], np.clip(columns, 0, image.width - 1)]
            if wash is not None:
                share = np.linspace(strength, strength * 0.45, deep, dtype=np.float32)[
                    :, None, None
                ]
                mirrored = (mirrored * share + wash.astype(np.float32) * (1 - share)).astype(
                    np.uint8
                )
            image.paste(Image.fromarray(np.ascontiguousarray(mirrored)), (0, line))
        self._ink.paste(0, (0, line, self._ink.width, line + deep))

    def finish(self, *, mirrored: bool, haze: Colour, thickness: float) -> Picture:
        """Reduces to the picture's size; far things sink into the haze."""
        images = [self._colour, self._traits, self._ink]
        if mirrored:
            images = [each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in images]
        colour, traits, ink = (planes(np.asarray(each.reduce(SCALE))) for each in images)
        depth, glow, flow = traits
        flow = (flow - np.float32(0.5)) * np.float32(-np.pi if mirrored else np.pi)
        fog = np.float32(thickness) * depth * depth * (1 - glow)
        colour += fog * (np.asarray(haze, dtype=np.float32)[:, None, None] - colour)
        return Picture(colour, depth, glow, flow, ink[0])

    def _trait(self, glow: float) -> tuple[int, int, int]:
        turn = (self._flow / np.pi + 0.5) % 1.0
        return _byte((self._depth, glow, turn))

    def _gradient(self, corners: Points, fill: Floats) -> None:
        left, top = (math.floor(edge) for edge in corners.min(axis=0).tolist())
        right, bottom = (math.ceil(edge) + 1 for edge in corners.max(axis=0).tolist())
        size = (max(right - left, 1), max(bottom - top, 1))
        mask = Image.new("1", size)
        ImageDraw.Draw(mask).polygon((corners - (left, top)).ravel().tolist(), fill=1)
        self._colour.paste(_stretched(fill, size), (left, top), mask)


def turned(side: Points, x: float, y: float) -> Points:
    """The outline of a thing that is symmetric, from its right side about (0, 0), put at (x, y)."""
    outline: Points = np.concatenate([side, (side * np.array([-1, 1]))[::-1]])
    outline += np.array([x, y])
    return outline


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    """The corners of an upright rectangle; the sides may be given in either order."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def oval(x: float, y: float, rx: float, ry: float | None = None, *, turn: float = 0.0) -> Points:
    """The outline of an ellipse about (x, y), turned by ``turn`` radians."""
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    along, up = rx * np.cos(angle), (rx if ry is None else ry) * np.sin(angle)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([x + along * cos - up * sin, y + along * sin + up * cos], axis=1)
