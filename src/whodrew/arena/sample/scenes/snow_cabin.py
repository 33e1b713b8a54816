"""The scene of ``snow-cabin``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    across,
    box,
    downward,
    mix,
    oval,
    rgb,
)
from whodrew.arena.sample.props_land import fir, height_at, hill
from whodrew.arena.sample.props_sky import disc, sky, stars
from whodrew.arena.sample.stage import Stage, scene


@scene("snow-cabin")
def snow_cabin(stage: Stage) -> None:
    """A cabin deep in snow under northern lights."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    sky(stage, 0.7)
    stars(stage, 110, 0.55)
    aurora(stage)
    if rng.random() < 0.6:
        disc(stage, wide * rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.2), 0.035, rgb("f4f0dc"))
    snow = rgb("dfe8fa")
    hill(stage, 0.56, 0.06, mix(snow, rgb("8c9ccc"), 0.45), depth=0.8, rough=0.5)
    ridge = hill(stage, 0.64, 0.03, mix(snow, rgb("a8b8e0"), 0.3), depth=0.5)
    for x in np.sort(rng.uniform(0, wide, 15)).tolist():
        fir(
            stage,
            x,
            height_at(ridge, x) + 0.025,
            rng.uniform(0.12, 0.24),
            rgb("3c5c64"),
            depth=0.5,
            snow=0.6,
        )
    ground = hill(stage, 0.78, 0.02, mix(snow, rgb("f4f8ff"), 0.5), depth=0.2)
    x = wide * stage.between(0.36, 0.62)
    cabin(stage, x, height_at(ground, x) + 0.045, stage.between(0.17, 0.2))
    for side in (-1, 1):
        spot = x + side * stage.between(0.34, 0.44)
        fir(stage, spot, 0.88, stage.between(0.42, 0.58), rgb("2c4c54"), depth=0.08, snow=0.9)
    for step in range(9):
        y = 0.85 + 0.018 * step
        canvas.at(0.1)
        canvas.ellipse(
            x + 0.05 + 0.018 * (-1) ** step + step * 0.008,
            y,
            0.009 + 0.001 * step,
            0.005,
            rgb("8494c4"),
            outline=0.0016,
        )


def aurora(stage: Stage) -> None:
    """Curtains of green and violet light."""
    rng, wide = stage.rng, stage.wide
    for colour in ("4cf0a8", "6ae0c8", "a070f0"):
        x = np.linspace(-0.05, wide + 0.05, 14)
        low = rng.uniform(0.28, 0.42) + 0.06 * np.sin(x * rng.uniform(3, 6) + rng.uniform(0, 6))
        high = low - rng.uniform(0.14, 0.26)
        band = np.concatenate([np.stack([x, low], 1), np.stack([x, high], 1)[::-1]])
        stage.canvas.veil([band], rgb(colour), 0.34, blur=0.045, glow=0.3)


def cabin(stage: Stage, x: float, foot: float, size: float) -> None:
    """A log house: courses of logs, a roof heavy with snow, windows that light the ground."""
    canvas = stage.canvas
    canvas.at(0.15, 0.0)
    wall = size * 0.62
    canvas.veil([oval(x, foot + 0.05, size * 1.1, 0.05)], rgb("ffca7a"), 0.5, blur=0.03, glow=0.2)
    logs = 7
    for index in range(logs):
        y = foot - wall * index / logs
        tone = stage.vary(rgb("9a6438"), 0.03)
        canvas.polygon(
            box(x - size, y, x + size, y - wall / logs),
            downward(stage.lit(mix(tone, rgb("ffca80"), 0.25)), stage.shaded(tone)),
            outline=0.002,
        )
        for end in (-1, 1):
            canvas.ellipse(
                x + end * size,
                y - wall / logs / 2,
                wall / logs / 2,
                None,
                stage.lit(rgb("c08c54")),
                outline=0.0018,
            )
    canvas.polygon(
        [(x - size, foot - wall), (x, foot - wall - size * 0.72), (x + size, foot - wall)],
        downward(stage.lit(rgb("7a4c30")), stage.lit(rgb("9a6438"))),
    )
    canvas.polygon(
        box(x + size * 0.42, foot - wall - size * 0.25, x + size * 0.62, foot - wall - size * 0.85),
        stage.lit(rgb("7c6a68")),
    )
    canvas.veil(
        [
            oval(
                x + size * (0.55 + 0.12 * k),
                foot - wall - size * (0.98 + 0.2 * k),
                0.03 + 0.012 * k,
            )
            for k in range(5)
        ],
        rgb("aab4d4"),
        0.4,
        blur=0.018,
    )
    roof = [
        (x - size * 1.2, foot - wall + 0.025),
        (x, foot - wall - size * 0.85),
        (x + size * 1.2, foot - wall + 0.025),
    ]
    thick = [(px, py + 0.045 * (1.2 if px == x else 0.4)) for px, py in reversed(roof)]
    canvas.polygon(
        [*roof, *thick],
        across(stage.lit(rgb("c8d4f4"), 0.8), rgb("e8eefc"), stage.lit(rgb("f8faff"))),
    )
    canvas.polygon(
        [
            (x + size * 0.4, foot - wall - size * 0.86),
            (x + size * 0.64, foot - wall - size * 0.86),
            (x + size * 0.6, foot - wall - size * 0.93),
            (x + size * 0.44, foot - wall - size * 0.93),
        ],
        rgb("eef2ff"),
    )
    for left, wide, high in ((-0.72, 0.4, 0.34), (0.34, 0.4, 0.34), (-0.16, 0.32, 0.5)):
        bottom = foot if wide < 0.35 else foot - size * 0.16
        a, b, t = x + size * left, x + size * (left + wide), bottom - size * high
        door = wide < 0.35
        pane = (
            downward(stage.lit(rgb("8a4c34")), stage.lit(rgb("6a3828")))
            if door
            else downward(rgb("ffe9a8"), rgb("ffb84c"))
        )
        canvas.polygon(box(a, bottom, b, t), pane, glow=0.0 if door else 0.95)
        if not door:
            for line in (
                [((a + b) / 2, bottom), ((a + b) / 2, t)],
                [(a, (bottom + t) / 2), (b, (bottom + t) / 2)],
            ):
                canvas.line(line, 0.006, stage.lit(rgb("5a3420")), ink=0.8)
            canvas.veil(
                [oval((a + b) / 2, (bottom + t) / 2, size * 0.34)],
                rgb("ffd080"),
                0.35,
                blur=0.03,
                glow=0.4,
            )
