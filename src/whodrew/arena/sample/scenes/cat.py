"""The scene of ``cat``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    Colour,
    across,
    curve,
    downward,
    mix,
    oval,
    rgb,
    rounded,
)
from whodrew.arena.sample.props_sky import wall
from whodrew.arena.sample.stage import Stage, scene


@scene("cat")
def cat(stage: Stage) -> None:
    """A cat that looks at the viewer, lamps out of focus behind it."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    room = stage.pick("4a3a4c", "2f4a54", "5a3c34", "3c4a3c")
    wall(stage, mix(room, rgb("d8a060"), 0.25), room, light_at=0.8)
    for _ in range(16):
        px, py, size = rng.uniform(0, wide), rng.uniform(0, 0.75), rng.uniform(0.02, 0.07)
        lamp = stage.pick("ffd88a", "ffb45c", "fff0c0", "f09a6c")
        canvas.veil([oval(px, py, size)], lamp, rng.uniform(0.2, 0.55), blur=0.006, glow=0.3)
    x, y, size = (
        wide * 0.5 + stage.between(-0.08, 0.08),
        stage.between(0.42, 0.47),
        stage.between(0.24, 0.275),
    )
    fur = stage.vary(rgb("d88a44"), 0.03)
    chest(stage, x, y, size, fur)
    head(stage, x, y, size, fur)


def chest(stage: Stage, x: float, y: float, size: float, fur: Colour) -> None:
    """Shoulders, white bib and collar."""
    canvas, rng = stage.canvas, stage.rng
    canvas.at(0.2, 1.3)
    body = [
        (x - size * 0.75, y + size * 0.7),
        (x - size * 1.2, y + size * 1.7),
        (x - size * 1.35, 1.05),
        (x + size * 1.35, 1.05),
        (x + size * 1.2, y + size * 1.7),
        (x + size * 0.75, y + size * 0.7),
    ]
    canvas.polygon(
        curve(body, steps=5), across(stage.shaded(fur), stage.lit(fur, 0.8), stage.lit(fur))
    )
    for side in (-1, 1):
        for step in range(4):
            px, py = x + side * size * (1.0 + 0.08 * step), y + size * (1.15 + 0.3 * step)
            canvas.line(
                curve(
                    [
                        (px, py),
                        (px - side * size * 0.2, py + 0.012),
                        (px - side * size * 0.4, py + 0.006),
                    ],
                    closed=False,
                ),
                0.016,
                stage.lit(rgb("a8582c")),
                ink=0.4,
            )
    bib = [
        (x - size * 0.5, y + size * 0.75),
        (x - size * 0.55, y + size * 1.3),
        (x - size * 0.2, y + size * 2.0),
        (x, y + size * 2.3),
        (x + size * 0.2, y + size * 2.0),
        (x + size * 0.55, y + size * 1.3),
        (x + size * 0.5, y + size * 0.75),
    ]
    canvas.polygon(
        curve(bib, steps=4),
        downward(stage.shaded(rgb("f4e8d4")), stage.lit(rgb("fff6e6"))),
        outline=0.002,
    )
    for _ in range(60):
        px, py = x + rng.normal(0, size * 0.25), y + size * rng.uniform(1.0, 2.0)
        canvas.line(
            [(px, py), (px + (px - x) * 0.15, py + size * 0.12)],
            0.003,
            stage.lit(rgb("e0d0b8")),
            ink=0.3,
        )
    collar = stage.pick("c83c3c", "2f6a9a", "3f8a5c")
    canvas.line(
        curve(
            [
                (x - size * 0.66, y + size * 0.82),
                (x, y + size * 1.08),
                (x + size * 0.66, y + size * 0.82),
            ],
            closed=False,
        ),
        size * 0.14,
        stage.lit(collar),
        ink=0.8,
    )
    canvas.ellipse(
        x, y + size * 1.17, size * 0.1, None, rounded(rgb("fff4c0"), rgb("e8b83c"), rgb("8a5c1c"))
    )


def head(stage: Stage, x: float, y: float, size: float, fur: Colour) -> None:
    """The face: ears, stripes, eyes with a glint, muzzle and whiskers."""
    canvas, rng = stage.canvas, stage.rng
    canvas.at(0.1, 0.9)
    dark = stage.lit(rgb("a8582c"))
    for side in (-1, 1):
        ear = [
            (x + side * size * 0.28, y - size * 0.72),
            (x + side * size * 0.82, y - size * 1.42),
            (x + side * size * 0.98, y - size * 0.3),
        ]
        canvas.polygon(ear, downward(stage.lit(fur), stage.shaded(fur)))
        inner = [
            (x + side * size * 0.46, y - size * 0.72),
            (x + side * size * 0.78, y - size * 1.2),
            (x + side * size * 0.86, y - size * 0.5),
        ]
        canvas.polygon(
            inner, downward(stage.lit(rgb("f0a8a0")), stage.shaded(rgb("d07a70"))), outline=0.0018
        )
    skull = [
        (0, -0.86),
        (0.55, -0.76),
        (0.95, -0.3),
        (1.08, 0.2),
        (0.82, 0.66),
        (0.4, 0.9),
        (0, 0.95),
        (-0.4, 0.9),
        (-0.82, 0.66),
        (-1.08, 0.2),
        (-0.95, -0.3),
        (-0.55, -0.76),
    ]
    canvas.polygon(
        curve([(x + px * size, y + py * size) for px, py in skull], steps=4),
        rounded(stage.lit(mix(fur, rgb("ffe0a0"), 0.3)), stage.lit(fur), stage.shaded(fur)),
    )
    for shift in (-0.26, 0.0, 0.26):
        stripe = [
            (x + shift * size, y - size * 0.8),
            (x + shift * size * 0.9 + 0.004, y - size * 0.6),
            (x + shift * size * 0.55, y - size * 0.36),
        ]
        canvas.line(curve(stripe, closed=False), size * 0.085, dark, ink=0.5)
    for side in (-1, 1):
        for rise in (0.05, 0.28, 0.48):
            canvas.line(
                curve(
                    [
                        (x + side * size * 1.0, y + size * rise),
                        (x + side * size * 0.82, y + size * (rise + 0.05)),
                        (x + side * size * 0.66, y + size * (rise + 0.03)),
                    ],
                    closed=False,
                ),
                size * 0.07,
                dark,
                ink=0.5,
            )
    for _ in range(150):
        angle, away = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.5, 0.95)
        px, py = x + away * np.cos(angle), y + away * 0.85 * np.sin(angle)
        tone = stage.lit(stage.vary(mix(fur, rgb("ffe8b8"), rng.uniform(0, 0.45)), 0.03))
        canvas.line(
            [(px, py), (px + size * 0.09 * np.cos(angle), py + size * 0.09 * np.sin(angle))],
            0.0028,
            tone,
            ink=0.3,
        )
    iris = stage.pick("8ab83c", "d8b03c", "5aa88c", "6aa0c8")
    look, slit = rng.uniform(-0.03, 0.03), rng.uniform(0.07, 0.13)
    for side in (-1, 1):
        ex, ey = x + side * size * 0.42, y - size * 0.06
        almond = oval(ex, ey, size * 0.245, size * 0.2, turn=-side * 0.18)
        canvas.polygon(almond, rgb("2a1a14"), outline=0.003)
        canvas.ellipse(
            ex,
            ey,
            size * 0.205,
            size * 0.175,
            rounded(mix(iris, (1, 1, 0.8), 0.45), iris, mix(iris, rgb("203018"), 0.6), 0.5, 0.75),
            outline=0,
        )
        canvas.ellipse(ex + look * size, ey, size * slit, size * 0.155, rgb("0c0a0c"), outline=0)
        canvas.ellipse(
            ex + size * 0.07,
            ey - size * 0.07,
            size * 0.045,
            None,
            rgb("ffffff"),
            glow=0.5,
            outline=0,
        )
    for side in (-1, 1):
        canvas.ellipse(
            x + side * size * 0.17,
            y + size * 0.47,
            size * 0.24,
            size * 0.19,
            rounded(rgb("fffaf0"), stage.lit(rgb("f8ecd8")), stage.shaded(rgb("e4ccb0"))),
            outline=0.002,
        )
    canvas.ellipse(
        x, y + size * 0.66, size * 0.16, size * 0.11, stage.lit(rgb("f2e2cc")), outline=0
    )
    canvas.polygon(
        curve(
            [
                (x - size * 0.12, y + size * 0.27),
                (x + size * 0.12, y + size * 0.27),
                (x, y + size * 0.4),
            ],
            steps=4,
        ),
        downward(rgb("e89a90"), rgb("b85c5c")),
    )
    for side in (-1, 1):
        canvas.line(
            curve(
                [
                    (x, y + size * 0.4),
                    (x + side * size * 0.06, y + size * 0.55),
                    (x + side * size * 0.2, y + size * 0.55),
                ],
                closed=False,
            ),
            0.0045,
            rgb("5a3028"),
            ink=1.0,
        )
        for rise in (-0.1, 0.02, 0.14):
            start = (x + side * size * 0.28, y + size * (0.45 + rise * 0.5))
            end = (x + side * size * 1.45, y + size * (0.4 + rise * 2.2))
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - size * 0.08)
            canvas.line(curve([start, middle, end], closed=False), 0.003, rgb("fff8ec"), ink=0.7)
