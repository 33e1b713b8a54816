"""Hills, trees, grass and cottages."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    Colour,
    Points,
    across,
    box,
    curve,
    downward,
    mix,
    rgb,
)
from whodrew.arena.sample.stage import Stage


def skyline(
    rng: np.random.Generator,
    wide: float,
    y: float,
    height: float,
    *,
    rough: float = 0.55,
    steps: int = 7,
) -> Points:
    """A ridge from left to right about ``y``, by halving and shifting; rough: 0 smooth to 1."""
    heights = rng.normal(0, 0.5, 3)
    scale = 0.55
    for _ in range(steps - 1):
        middle = (heights[:-1] + heights[1:]) / 2 + rng.normal(0, scale, len(heights) - 1)
        merged = np.empty(2 * len(heights) - 1)
        merged[::2], merged[1::2] = heights, middle
        heights, scale = merged, scale * rough
    x = np.linspace(-0.02, wide + 0.02, len(heights))
    return np.stack([x, y - np.clip(heights, -1.4, 1.6) * height], axis=1)


def hill(
    stage: Stage,
    y: float,
    height: float,
    colour: Colour,
    *,
    depth: float,
    rough: float = 0.4,
    bottom: float = 1.02,
) -> Points:
    """A hill from its ridge about ``y`` down to ``bottom``; returns the ridge."""
    ridge = skyline(stage.rng, stage.wide, y, height, rough=rough)
    stage.canvas.at(depth, stage.between(-0.25, 0.25))
    floor = np.array([[stage.wide + 0.02, bottom], [-0.02, bottom]])
    fill = downward(stage.lit(colour), stage.lit(colour, 0.8), stage.shaded(colour))
    stage.canvas.polygon(np.concatenate([ridge, floor]), fill)
    return ridge


def height_at(ridge: Points, x: float) -> float:
    """The height of a ridge at ``x``."""
    return float(np.interp(x, ridge[:, 0], ridge[:, 1]))


def fir(
    stage: Stage,
    x: float,
    foot: float,
    height: float,
    colour: Colour,
    *,
    depth: float,
    snow: float = 0.0,
) -> None:
    """A fir tree: tiers of boughs, the side toward the light brighter, snow on them if asked."""
    canvas, rng = stage.canvas, stage.rng
    canvas.at(depth, 0.9)
    trunk = height * 0.03
    canvas.polygon(
        [(x - trunk, foot), (x + trunk, foot), (x, foot - height)],
        stage.lit(rgb("5a4030")),
        outline=0,
    )
    tiers = 6 if height > 0.12 else 4
    for tier in range(tiers):
        tone = stage.vary(mix(colour, stage.light.key, 0.03 * tier), 0.02)
        dark, light = stage.shaded(tone), stage.lit(tone)
        low = foot - height * (0.07 + 0.8 * tier / tiers)
        top = low - height * (0.34 - 0.02 * tier)
        half = height * (0.27 - 0.2 * tier / tiers) * rng.uniform(0.85, 1.15)
        hem = np.linspace(-half, half, 9)
        sag = rng.uniform(-0.012, 0.022, 9) * (height / 0.3) - np.abs(hem) * 0.05
        edge = np.stack([x + hem, low + sag], axis=1)
        apex = np.array([[x, top]])
        canvas.polygon(np.concatenate([apex, edge]), dark, outline=0.0018)
        canvas.polygon(np.concatenate([apex, edge[4:]]), light, outline=0)
        if snow:
            drift = rng.uniform(0.3, 0.75, 9) * snow * height * 0.09
            cap = np.concatenate([edge, (edge - np.stack([0 * drift, drift], 1))[::-1]])
            canvas.polygon(cap, mix(stage.light.haze, rgb("e6edff"), 0.75), outline=0)


def leafy(
    stage: Stage,
    x: float,
    foot: float,
    height: float,
    colour: Colour,
    *,
    depth: float,
    blobs: int = 26,
) -> None:
    """A round tree: a trunk, and a crown of leaf clumps from shadow to light."""
    canvas, rng = stage.canvas, stage.rng
    canvas.at(depth, 1.2)
    bark = stage.lit(rgb("6a4d38"))
    width = height * 0.035
    canvas.polygon(
        [
            (x - width, foot),
            (x - width * 0.5, foot - height * 0.6),
            (x + width * 0.5, foot - height * 0.6),
            (x + width, foot),
        ],
        bark,
        outline=0.0018,
    )
    radius = height * 0.36
    crown = foot - height * 0.6
    canvas.at(depth, 0.5)
    dark, light = stage.shaded(colour), stage.lit(mix(colour, rgb("fff2b0"), 0.18))
    ring = [
        (
            x + radius * rng.uniform(0.85, 1.1) * np.cos(a),
            crown + radius * rng.uniform(0.85, 1.1) * np.sin(a),
        )
        for a in np.linspace(0, 2 * np.pi, 11, endpoint=False)
    ]
    canvas.polygon(curve(ring, steps=4), dark)
    for step in range(blobs):
        share = step / blobs
        angle, away = (
            rng.uniform(0, 2 * np.pi),
            radius * 0.8 * np.sqrt(rng.random()) * (1 - 0.35 * share),
        )
        px = x + away * np.cos(angle) + radius * 0.28 * share
        py = crown + away * np.sin(angle) - radius * 0.34 * share
        size = radius * rng.uniform(0.16, 0.34) * (1.15 - 0.5 * share)
        canvas.ellipse(
            px, py, size, size * 0.78, stage.vary(mix(dark, light, share), 0.025), outline=0
        )


def grass(stage: Stage, top: float, count: int, colour: Colour, *, size: float = 0.03) -> None:
    """Tufts of grass from the line ``top`` to the bottom, larger toward the viewer."""
    for near in np.sort(stage.rng.random(count)).tolist():
        stage.canvas.at(0.35 * (1 - near), 1.3)
        x, y = stage.between(0, stage.wide), top + (1.02 - top) * near
        blade = size * (0.25 + near)
        tone = stage.lit(stage.vary(colour, 0.05), stage.between(0.5, 1.0))
        for lean in (-0.4, 0.1, 0.5):
            stage.canvas.line(
                [(x, y), (x + lean * blade, y - blade)], 0.0015 + 0.003 * near, tone, ink=0.4
            )


def cottage(stage: Stage, x: float, foot: float, size: float) -> None:
    """A small house with a gable and one lit window."""
    canvas = stage.canvas
    canvas.at(0.25)
    wall, roof = stage.vary(rgb("e6dccb"), 0.03), stage.pick("a4503c", "8a4a44", "70504c")
    canvas.polygon(
        box(x - size, foot, x + size, foot - size * 0.8),
        across(stage.lit(wall, 0.6), stage.lit(wall)),
    )
    canvas.polygon(
        [
            (x - size * 1.15, foot - size * 0.75),
            (x + size * 1.15, foot - size * 0.75),
            (x + size * 0.8, foot - size * 1.4),
            (x - size * 0.8, foot - size * 1.4),
        ],
        stage.lit(roof),
    )
    glow = 0.7 if stage.light.strength < 0.9 else 0.0
    pane = rgb("ffdf90") if glow else stage.lit(rgb("54708c"))
    for shift in (-0.5, 0.25):
        left = x + size * shift
        canvas.polygon(
            [
                (left, foot - size * 0.25),
                (left + size * 0.28, foot - size * 0.25),
                (left + size * 0.28, foot - size * 0.6),
                (left, foot - size * 0.6),
            ],
            pane,
            glow=glow,
        )
