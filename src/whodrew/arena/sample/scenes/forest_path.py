"""The scene of ``forest-path``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    Colour,
    across,
    downward,
    mix,
    oval,
    rgb,
)
from whodrew.arena.sample.props_land import grass, hill
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.stage import Stage, scene


@scene("forest-path")
def forest_path(stage: Stage) -> None:
    """White trunks in rows of depth, a path between them, shafts of light."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    sky(stage, 0.8, sun=(wide * 0.5, 0.3), cloud=rgb("f0f2c8"))
    vanish = wide * stage.between(0.4, 0.6)
    canvas.veil([oval(vanish, 0.45, 0.3, 0.4)], rgb("fdf6cf"), 0.8, blur=0.12, glow=0.1)
    foliage(stage, 90, 0.0, 0.6, rgb("a8c070"), 0.85)
    hill(stage, 0.6, 0.01, rgb("8fae58"), depth=0.6)
    birches(stage, vanish, 14, 0.62, 0.013, 0.7)
    hill(stage, 0.68, 0.014, rgb("7d9c48"), depth=0.35)
    sway = stage.between(-0.12, 0.12)
    down = np.linspace(0, 1, 14)
    middle, half = vanish + sway * np.sin(down * 4.2) * down**0.7, 0.008 + 0.22 * down**1.6
    left, right = (np.stack([middle + edge, 0.63 + 0.41 * down], 1) for edge in (-half, half))
    path = np.concatenate([left, right[::-1]])
    canvas.at(0.3, 1.2)
    canvas.polygon(path, downward(stage.lit(rgb("e2cf9c")), stage.lit(rgb("b8945c"))))
    for _ in range(16):
        y = rng.uniform(0.72, 0.98)
        spread = (y - 0.62) * 0.5
        canvas.veil(
            [oval(vanish + rng.normal(0, spread), y, 0.05 + spread * 0.3, 0.008)],
            rgb("4a5a38"),
            0.35,
        )
    birches(stage, vanish, 8, 0.74, 0.022, 0.4)
    foliage(stage, 120, -0.02, 0.32, rgb("8cb04c"), 0.4)
    slant = stage.between(0.15, 0.4)
    shafts = [
        [(x, -0.02), (x + 0.05, -0.02), (x - slant + 0.16, 0.9), (x - slant, 0.9)]
        for x in rng.uniform(0.1, wide + 0.2, 5)
    ]
    canvas.veil(shafts, rgb("fff6c8"), 0.3, blur=0.015, glow=0.12)
    grass(stage, 0.72, 90, rgb("6f9a3c"), size=0.04)
    birches(stage, vanish, 3, 0.95, 0.042, 0.06)
    foliage(stage, 70, -0.05, 0.16, rgb("5f8a3a"), 0.06)


def birches(
    stage: Stage, vanish: float, count: int, foot: float, width: float, depth: float
) -> None:
    """A row of birch trunks that keeps clear of the path."""
    canvas, rng = stage.canvas, stage.rng
    clear = 0.05 + (foot - 0.6) * 0.6
    for _ in range(count):
        x = rng.uniform(-0.02, stage.wide + 0.02)
        if abs(x - vanish) < clear:
            x = vanish + np.sign(x - vanish + 1e-6) * (clear + rng.uniform(0, 0.2))
        lean, half = rng.normal(0, 0.02), width * rng.uniform(0.7, 1.2)
        low = foot + rng.normal(0, 0.012)
        canvas.at(depth, 1.5)
        trunk = [
            (x - half * 1.2, low),
            (x - half * 0.8 + lean, -0.02),
            (x + half * 0.8 + lean, -0.02),
            (x + half * 1.2, low),
        ]
        canvas.polygon(
            trunk,
            across(
                stage.shaded(rgb("d8d4c8")),
                stage.lit(rgb("f4f0e4")),
                stage.lit(rgb("fffcf0")),
                stage.lit(rgb("cfc8b8"), 0.7),
            ),
            outline=0.0018,
        )
        for _ in range(int(9 + 300 * width)):
            y = rng.uniform(0, low)
            start = x + lean * (1 - y / low) + rng.uniform(-1, 0.5) * half
            canvas.line(
                [(start, y), (start + half * rng.uniform(0.3, 0.7), y + rng.normal(0, 0.002))],
                0.002 + width * 0.1,
                rgb("4a4440"),
                ink=0.8,
            )


def foliage(
    stage: Stage, count: int, top: float, bottom: float, colour: Colour, depth: float
) -> None:
    """Leaves as many small dabs, denser toward the top."""
    size = 0.008 + 0.018 * (1 - depth)
    for _ in range(count):
        x = stage.between(0, stage.wide)
        y = top + (bottom - top) * stage.rng.random() ** 1.8
        stage.canvas.at(depth, 0.6)
        tone = stage.lit(
            stage.vary(mix(colour, rgb("f4e070"), stage.between(0, 0.5)), 0.04),
            stage.between(0.5, 1),
        )
        stage.canvas.ellipse(
            x, y, size * stage.between(0.7, 1.8), size * stage.between(0.5, 1.1), tone, outline=0
        )
