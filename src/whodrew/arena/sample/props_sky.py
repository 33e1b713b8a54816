"""Skies, walls and weather."""

from __future__ import annotations

import numpy as np
from PIL import Image

from whodrew.arena.sample.canvas import (
    Colour,
    Floats,
    mix,
    oval,
    rgb,
)
from whodrew.arena.sample.stage import Stage


def clouds(
    rng: np.random.Generator, height: int, width: int, cells: float, stretch: float = 1.0
) -> Floats:
    """Smooth noise of many sizes, 0 to 1.

    ``cells`` is how many of the largest fit the height, ``stretch`` how wide one is for its height.
    """
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(4):
        rows = max(2, round(cells * 2**octave))
        columns = max(2, round(rows * width / height / stretch))
        grid = Image.fromarray(rng.random((rows, columns), dtype=np.float32))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) * 0.5**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def sky(
    stage: Stage,
    horizon: float,
    *,
    sun: tuple[float, float] | None = None,
    cloud: Colour | None = None,
) -> None:
    """Covers the canvas with a sky: gradient, glow about the sun, drifting clouds."""
    rows = 120
    columns = round(rows * stage.wide)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / rows
    stops = stage.light.sky
    drop = stage.between(0.85, 1.15)
    where = np.clip(y / horizon, 0, 1) ** drop
    at = np.linspace(0, 1, len(stops))
    colours = np.stack([np.interp(where, at, [s[i] for s in stops]) for i in range(3)], axis=-1)
    glow = np.zeros_like(y)
    if sun is not None:
        away = np.sqrt((x - sun[0]) ** 2 + (y - sun[1]) ** 2)
        glow = np.exp(-((away / 0.3) ** 1.2)) * 0.75
        colours += (np.asarray(stops[-1]) * 1.1 - colours) * glow[..., None]
    amount = stage.mood.clouds
    if amount > 0:
        cover = clouds(stage.rng, rows, columns, stage.between(4, 6), stretch=2.4)
        density = np.clip((cover - 0.72 + 0.45 * amount) * 3.4, 0, 1) * np.clip(y * 5, 0.35, 1)
        relief = np.clip((np.roll(cover, -4, axis=0) - cover) * 3.5 + 0.55 + glow * 0.5, 0, 1)
        bright = np.asarray(cloud or mix(stops[-1], (1.0, 1.0, 1.0), 0.5 * stage.light.strength))
        dark = np.asarray(
            mix(mix(stops[0], stops[-1], 0.4), stage.light.shade, 0.15 + 0.5 * amount)
        )
        tone = dark + (bright - dark) * relief[..., None]
        colours += (tone - colours) * (density * (0.55 + 0.4 * amount))[..., None]
    stage.canvas.at(1.0, 0.0)
    stage.canvas.backdrop(colours.astype(np.float32))


def wall(stage: Stage, upper: Colour, lower: Colour, *, light_at: float) -> None:
    """A plain wall as the backdrop, lighter where the light falls."""
    rows = 48
    columns = round(rows * stage.wide)
    y, x = np.mgrid[0:rows, 0:columns] / rows
    shine = np.exp(-((x - light_at) ** 2 + (y - 0.3) ** 2) / 0.28)[..., None]
    blotch = clouds(stage.rng, rows, columns, 3)[..., None] - 0.5
    base = np.asarray(upper) + (np.asarray(lower) - np.asarray(upper)) * y[..., None]
    toned = base * (0.72 + 0.4 * shine + 0.1 * blotch) * np.asarray(stage.light.key)
    stage.canvas.at(0.9, 0.7)
    stage.canvas.backdrop(toned.astype(np.float32))


def disc(stage: Stage, x: float, y: float, radius: float, colour: Colour) -> None:
    """The sun or the moon, with its halo."""
    canvas = stage.canvas
    for spread, opacity in ((3.2, 0.12), (2.0, 0.22)):
        canvas.veil([oval(x, y, radius * spread)], colour, opacity, blur=radius * 0.7, glow=0.15)
    canvas.at(1.0)
    canvas.ellipse(x, y, radius, None, colour, glow=0.9, outline=0.002)


def stars(stage: Stage, count: int, below: float) -> None:
    """Scatters stars over the sky."""
    stage.canvas.at(1.0)
    for x, y, size in stage.rng.random((count, 3)).tolist():
        shine = mix(rgb("8fa0d8"), rgb("fffbe8"), size)
        stage.canvas.ellipse(
            x * stage.wide,
            y * below,
            0.0012 + 0.0032 * size**4,
            None,
            shine,
            glow=0.35 + 0.6 * size**3,
            outline=0,
        )


def falling(stage: Stage) -> None:
    """Rain or snow over the whole picture, as the mood says."""
    rng, wide = stage.rng, stage.wide
    if stage.mood.falling == "rain":
        starts = rng.uniform((-0.1, -0.1), (wide + 0.1, 1.0), (170, 2))
        slant = rng.normal(0.06, 0.06)
        ends = starts + np.array([slant, 1.0]) * rng.uniform(0.02, 0.07, (170, 1))
        stage.canvas.streaks(starts, ends, 0.0016, rgb("d8e4ff"), 0.4)
    elif stage.mood.falling == "snow":
        for near in np.sort(rng.random(130)).tolist():
            stage.canvas.at(0.5 * (1 - near))
            x, y = rng.uniform(0, wide), rng.random()
            stage.canvas.ellipse(x, y, 0.0015 + 0.0055 * near**3, None, rgb("f4f7ff"), outline=0)
