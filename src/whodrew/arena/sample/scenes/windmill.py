"""The scene of ``windmill``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from whodrew.arena.sample.canvas import (
    across,
    box,
    curve,
    downward,
    mix,
    rgb,
)
from whodrew.arena.sample.props_land import height_at, hill, leafy
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.stage import Stage, scene


@scene("windmill")
def windmill(stage: Stage) -> None:
    """A mill behind stripes of tulips that run to the horizon."""
    wide, rng = stage.wide, stage.rng
    horizon = stage.between(0.6, 0.66)
    sky(stage, horizon, sun=(wide * stage.between(0.1, 0.9), horizon - 0.05))
    ridge = hill(stage, horizon - 0.005, 0.008, rgb("8f9c64"), depth=0.7)
    for x in rng.uniform(0, wide, 12).tolist():
        leafy(
            stage,
            x,
            height_at(ridge, x) + 0.01,
            rng.uniform(0.05, 0.09),
            rgb("7d8c4c"),
            depth=0.7,
            blobs=8,
        )
    vanish = wide * stage.between(0.3, 0.7)
    tulips(stage, vanish, horizon)
    x = wide * stage.between(0.3, 0.68)
    mill(stage, x, horizon + stage.between(0.04, 0.08), stage.between(0.3, 0.36))
    blossoms(stage, horizon)


def tulips(stage: Stage, vanish: float, horizon: float) -> None:
    """Rows of flowers in one-point perspective."""
    canvas = stage.canvas
    codes = ["d8342f", "f2b430", "e86a9a", "f4ecd8", "8a3f8a", "e8642c"]
    start = int(stage.rng.integers(len(codes)))
    edges = np.linspace(-1.7, 1.7, 15) * stage.wide + vanish
    for row, (left, right) in enumerate(pairwise(edges.tolist())):
        colour = stage.vary(rgb(codes[(row + start) % len(codes)]), 0.02)
        gap = left + (right - left) * 0.72
        near = horizon + 0.012
        canvas.at(0.35, 1.3)
        canvas.polygon(
            [
                (vanish + (left - vanish) * 0.02, near),
                (vanish + (gap - vanish) * 0.02, near),
                (gap, 1.02),
                (left, 1.02),
            ],
            downward(stage.lit(mix(colour, stage.light.haze, 0.35)), stage.lit(colour)),
            outline=0.0018,
        )
        canvas.polygon(
            [
                (vanish + (gap - vanish) * 0.02, near),
                (vanish + (right - vanish) * 0.02, near),
                (right, 1.02),
                (gap, 1.02),
            ],
            downward(
                stage.lit(mix(rgb("6a8a44"), stage.light.haze, 0.3)), stage.shaded(rgb("4f7038"))
            ),
            outline=0,
        )


def blossoms(stage: Stage, horizon: float) -> None:
    """Single tulips in the foreground."""
    canvas, rng = stage.canvas, stage.rng
    for near in np.sort(rng.random(46)).tolist():
        x, y = rng.uniform(0, stage.wide), horizon + 0.16 + (1.02 - horizon - 0.12) * near
        size = 0.008 + 0.026 * near
        colour = stage.pick("e2433a", "f6c444", "ee7fa8", "fbf2e0", "9a4f9a")
        canvas.at(0.2 * (1 - near), 1.4)
        canvas.line(
            [(x, y), (x + size * 0.2, y + size * 3.4)],
            size * 0.22,
            stage.lit(rgb("54803c")),
            ink=0.5,
        )
        canvas.polygon(
            curve(
                [
                    (x + size * 0.2, y + size * 3),
                    (x + size * 1.3, y + size),
                    (x + size * 0.5, y + size * 2.4),
                ],
                steps=4,
            ),
            stage.lit(rgb("6a9a4c")),
            outline=0.0016,
        )
        cup = [
            (x - size * 0.75, y - size * 0.9),
            (x - size * 0.3, y - size * 0.35),
            (x, y - size * 1.15),
            (x + size * 0.3, y - size * 0.35),
            (x + size * 0.75, y - size * 0.9),
            (x + size * 0.7, y + size * 0.3),
            (x, y + size * 0.8),
            (x - size * 0.7, y + size * 0.3),
        ]
        canvas.polygon(
            curve(cup, steps=3),
            across(
                stage.lit(colour, 0.5), stage.lit(colour), stage.lit(mix(colour, (1, 1, 1), 0.25))
            ),
            outline=0.002,
        )


def mill(stage: Stage, x: float, foot: float, tall: float) -> None:
    """The tower of the mill, its gallery and its four sails."""
    canvas = stage.canvas
    canvas.at(0.3, 1.5)
    body = stage.pick("8a5a44", "6e6a5c", "e6dcc8")
    top = foot - tall
    canvas.polygon(
        [(x - 0.085, foot), (x + 0.085, foot), (x + 0.045, top), (x - 0.045, top)],
        across(stage.shaded(body), stage.lit(body, 0.75), stage.lit(body), stage.lit(body, 0.7)),
    )
    for share, half in ((0.3, 0.012), (0.62, 0.01)):
        y = foot - tall * share
        canvas.polygon(box(x - half, y, x + half, y - 0.032), stage.lit(rgb("f4f0e0")))
        canvas.polygon(
            box(x - half * 0.6, y - 0.005, x + half * 0.6, y - 0.027),
            stage.lit(rgb("3f5a70")),
            outline=0,
        )
    canvas.polygon(box(x - 0.018, foot, x + 0.018, foot - 0.05), stage.lit(rgb("3f6a4c")))
    deck = foot - tall * 0.42
    canvas.polygon(
        [(x - 0.1, deck), (x + 0.1, deck), (x + 0.09, deck + 0.014), (x - 0.09, deck + 0.014)],
        stage.lit(rgb("54402f")),
    )
    canvas.polygon(
        curve(
            [
                (x - 0.052, top + 0.004),
                (x - 0.04, top - 0.045),
                (x, top - 0.068),
                (x + 0.04, top - 0.045),
                (x + 0.052, top + 0.004),
            ],
            closed=False,
        ),
        stage.lit(rgb("4c3a36")),
    )
    hub, reach, turn = (x, top - 0.02), tall * stage.between(0.78, 0.9), stage.between(0, np.pi / 2)
    canvas.at(0.25, 0.7)
    for angle in turn + np.arange(4) * np.pi / 2:
        ahead, beside = (
            np.array([np.cos(angle), np.sin(angle)]),
            np.array([-np.sin(angle), np.cos(angle)]),
        )
        middle = np.asarray(hub)
        sail = np.array(
            [
                middle + ahead * reach * 0.22,
                middle + ahead * reach,
                middle + ahead * reach + beside * 0.055,
                middle + ahead * reach * 0.22 + beside * 0.055,
            ]
        )
        canvas.polygon(sail, stage.lit(rgb("f4ead0"), 0.9))
        for share in np.linspace(0.22, 1.0, 7):
            spot = middle + ahead * reach * share
            canvas.line(
                [spot.tolist(), (spot + beside * 0.055).tolist()],
                0.003,
                stage.lit(rgb("7a5a40")),
                ink=0.6,
            )
        canvas.line(
            [hub, (middle + ahead * reach).tolist()], 0.01, stage.lit(rgb("5a4030")), ink=0.9
        )
    canvas.ellipse(*hub, 0.014, None, stage.lit(rgb("3a2c28")))
