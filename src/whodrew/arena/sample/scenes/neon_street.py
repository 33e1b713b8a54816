"""The scene of ``neon-street``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from whodrew.arena.sample.canvas import (
    across,
    box,
    curve,
    downward,
    mix,
    oval,
    rgb,
)
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.stage import Stage, scene

NEON = ("ff3f8a", "36e0ff", "ffd23c", "7cff6a", "b46cff", "ff7a3c")


@scene("neon-street")
def neon_street(stage: Stage) -> None:
    """A wet street between two rows of houses, signs mirrored in the road."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    sky(stage, 0.6)
    vanish, level = wide * stage.between(0.42, 0.58), stage.between(0.6, 0.64)
    canvas.veil([oval(vanish, level - 0.06, 0.22, 0.16)], rgb("c45a9a"), 0.55, blur=0.09, glow=0.15)
    for side in (-1, 1):
        row_of_houses(stage, vanish, level, side)
    canvas.at(0.2, 0.0)
    canvas.polygon(box(-0.02, level, wide + 0.02, 1.02), rgb("141830"), outline=0.002)
    canvas.reflect(level + 0.004, rgb("10142c"), 0.85, 0.005, rng)
    for share in np.linspace(0.12, 1.0, 6) ** 1.7:
        y = level + (1 - level) * share
        canvas.at(0.2)
        canvas.polygon(
            [
                (vanish - 0.012 * share, y),
                (vanish + 0.012 * share, y),
                (vanish + 0.02 * share, y + 0.07 * share),
                (vanish - 0.02 * share, y + 0.07 * share),
            ],
            rgb("8c8cae"),
            outline=0.0016,
        )
    walker(
        stage,
        vanish + stage.between(-0.18, 0.18),
        stage.between(0.8, 0.88),
        stage.between(0.24, 0.3),
    )


def row_of_houses(stage: Stage, vanish: float, level: float, side: int) -> None:
    """Houses along one side, drawn toward the vanishing point from the far end."""
    canvas, rng, wide = stage.canvas, stage.rng, stage.wide
    edge = wide + 0.02 if side > 0 else -0.02
    # Shares of the way from the vanishing point to the picture's edge: far houses are narrow.
    for far, near in pairwise((0.1, 0.2, 0.36, 0.62, 1.0)):
        x0, x1 = vanish + (edge - vanish) * far, vanish + (edge - vanish) * near
        height = rng.uniform(0.75, 1.25)
        base = stage.pick("2c3054", "3a2c50", "243a56", "40304a")
        canvas.at(0.85 - 0.7 * near, 1.5)

        def spot(
            u: float,
            v: float,
            left: float = x0,
            right: float = x1,
            deep: float = far,
            close: float = near,
            tall: float = height,
        ) -> tuple[float, float]:
            scale = 1 / (1 / deep + (1 / close - 1 / deep) * u)
            x = left + (right - left) * (scale - deep) / (close - deep)
            return x, level - (0.95 * tall * v - 0.08 * (1 - v)) * scale * 0.92 + 0.08 * scale * (
                1 - v
            )

        wall = [spot(0, 0), spot(1, 0), spot(1, 1), spot(0, 1)]
        canvas.polygon(
            wall, downward(mix(base, rgb("0c1028"), 0.45), base, mix(base, rgb("7a4a7a"), 0.35))
        )
        rows = 5
        for row in range(1, rows):
            for column in range(3):
                u, v = 0.12 + 0.28 * column, 0.16 + 0.78 * row / rows
                lit = rng.random() < 0.55
                pane = stage.pick("ffd98a", "ffc06a", "bfe0ff") if lit else rgb("1a2244")
                corners = [
                    spot(u, v),
                    spot(u + 0.18, v),
                    spot(u + 0.18, v + 0.09),
                    spot(u, v + 0.09),
                ]
                canvas.polygon(corners, pane, glow=0.55 if lit else 0.0, outline=0.0016)
        shop = stage.pick("ff9a5c", "ffd27a", "7ad8e8", "f07ab0")
        canvas.polygon(
            [spot(0.08, 0.0), spot(0.92, 0.0), spot(0.92, 0.13), spot(0.08, 0.13)],
            downward(shop, mix(shop, base, 0.5)),
            glow=0.6,
        )
        sign(
            stage,
            [spot(0.7, 0.3), spot(0.95, 0.3), spot(0.95, 0.75), spot(0.7, 0.75)],
            0.012 * near + 0.003,
        )
        if near > 0.3:
            sign(
                stage,
                [spot(0.1, 0.16), spot(0.6, 0.16), spot(0.6, 0.24), spot(0.1, 0.24)],
                0.008 * near + 0.002,
            )


def sign(stage: Stage, corners: list[tuple[float, float]], width: float) -> None:
    """A neon sign: a dark board, a glowing tube around it and glyph-like strokes within."""
    canvas, rng = stage.canvas, stage.rng
    first, second = (rgb(NEON[index]) for index in rng.choice(len(NEON), 2, replace=False))
    a, b, c, d = (np.asarray(corner) for corner in corners)
    canvas.veil([np.stack([a, b, c, d])], first, 0.6, blur=0.035, glow=0.5)
    canvas.polygon(np.stack([a, b, c, d]), rgb("120c24"), outline=0.002)
    canvas.line(np.stack([a, b, c, d, a]), width, first, glow=1.0, ink=0.8)
    upright = abs(c[1] - b[1]) > abs(b[0] - a[0])
    for index in range(4):
        low, high = 0.12 + 0.2 * index, 0.26 + 0.2 * index

        def at(u: float, v: float) -> list[float]:
            place: list[float] = (a + (b - a) * u + (d - a) * v).tolist()
            return place

        s = rng.uniform(0.25, 0.75, 4).tolist()
        stroke = (
            [at(0.25, low), at(0.75, low + 0.02), at(s[0], high), at(s[1], low)]
            if upright
            else [at(low, 0.25), at(low + 0.02, 0.75), at(high, s[0]), at(low, s[1])]
        )
        canvas.line(stroke, width * 0.8, second, glow=1.0, ink=0.6)


def walker(stage: Stage, x: float, foot: float, tall: float) -> None:
    """A person under an umbrella, seen from behind."""
    canvas = stage.canvas
    canvas.veil([oval(x, foot, tall * 0.3, tall * 0.05)], rgb("05060f"), 0.6, blur=0.01)
    canvas.at(0.05, 1.4)
    coat = stage.pick("2c2440", "44263a", "1f3444")
    for shift in (-0.05, 0.05):
        canvas.line(
            [(x + tall * shift, foot - tall * 0.3), (x + tall * shift * 1.2, foot)],
            tall * 0.06,
            rgb("12101c"),
            ink=0.8,
        )
    canvas.polygon(
        curve(
            [
                (x - tall * 0.15, foot - tall * 0.2),
                (x - tall * 0.11, foot - tall * 0.6),
                (x, foot - tall * 0.68),
                (x + tall * 0.11, foot - tall * 0.6),
                (x + tall * 0.15, foot - tall * 0.2),
            ],
            steps=4,
        ),
        across(coat, mix(coat, rgb("ff8ac0"), 0.35)),
    )
    canvas.ellipse(x, foot - tall * 0.72, tall * 0.065, None, rgb("2a1c24"))
    canvas.line(
        [(x + tall * 0.1, foot - tall * 0.5), (x + tall * 0.04, foot - tall * 1.0)],
        tall * 0.018,
        rgb("9a9ab0"),
        ink=0.8,
    )
    shade = stage.pick("e0483c", "f0b030", "3fa8c8")
    dome = [
        (x - tall * 0.4, foot - tall * 0.76),
        (x - tall * 0.3, foot - tall * 0.96),
        (x + tall * 0.03, foot - tall * 1.07),
        (x + tall * 0.36, foot - tall * 0.96),
        (x + tall * 0.46, foot - tall * 0.76),
    ]
    hem = [
        (x + tall * 0.3, foot - tall * 0.79),
        (x + tall * 0.17, foot - tall * 0.76),
        (x + tall * 0.03, foot - tall * 0.79),
        (x - tall * 0.12, foot - tall * 0.76),
        (x - tall * 0.26, foot - tall * 0.79),
    ]
    canvas.polygon(
        [*curve(dome, closed=False).tolist(), *hem],
        across(mix(shade, rgb("101028"), 0.45), shade, mix(shade, rgb("ffd0e0"), 0.3)),
    )
    for spot in hem[1::2]:
        canvas.line(
            [spot, (x + tall * 0.03, foot - tall * 1.07)],
            0.0022,
            mix(shade, rgb("101028"), 0.5),
            ink=0.5,
        )
