"""The scene of ``pears``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    across,
    box,
    curve,
    downward,
    mix,
    oval,
    rgb,
    rounded,
    turned,
)
from whodrew.arena.sample.props_sky import wall
from whodrew.arena.sample.stage import Stage, scene


@scene("pears")
def pears(stage: Stage) -> None:
    """Three pears on a blue table, a window and a curtain behind."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    wall(stage, rgb("e8d8bc"), rgb("c8b090"), light_at=0.3)
    left, right, top, sill = (
        stage.between(0.08, 0.16),
        stage.between(0.5, 0.58),
        0.06,
        stage.between(0.48, 0.52),
    )
    window(stage, left, right, top, sill)
    table = stage.between(0.62, 0.67)
    canvas.at(0.4, 0.0)
    blue = stage.vary(rgb("3f6fa8"), 0.03)
    canvas.polygon(
        box(-0.02, table, wide + 0.02, 1.02),
        downward(stage.lit(mix(blue, rgb("d8e8f4"), 0.3)), stage.lit(blue), stage.shaded(blue)),
    )
    for x in np.linspace(-0.6, wide + 0.6, 7).tolist():
        canvas.line(
            [(wide / 2 + (x - wide / 2) * 0.6, table), (x, 1.02)],
            0.003,
            stage.shaded(blue),
            ink=0.4,
        )
    canvas.veil(
        [[(0.1, table + 0.03), (0.42, table + 0.03), (0.72, 0.99), (0.22, 0.99)]],
        rgb("e6f0f8"),
        0.3,
        blur=0.012,
    )
    spots = (
        wide * 0.5
        + np.array([-0.24, 0.02, 0.27]) * stage.between(0.8, 1.05)
        + rng.normal(0, 0.018, 3)
    )
    feet = table + 0.15 + rng.uniform(-0.03, 0.09, 3)
    for index in np.argsort(feet).tolist():
        pear(
            stage,
            float(spots[index]),
            float(feet[index]),
            stage.between(0.3, 0.36),
            lying=rng.random() < 0.18,
        )


def window(stage: Stage, left: float, right: float, top: float, sill: float) -> None:
    """A window with four panes, hills outside and a curtain at its side."""
    canvas = stage.canvas
    canvas.at(0.85)
    frame = stage.lit(rgb("faf6ea"))
    canvas.polygon(box(left - 0.025, top - 0.025, right + 0.025, sill + 0.03), frame)
    canvas.polygon(
        box(left, top, right, sill),
        downward(rgb("9cc8ea"), rgb("d8ecf4"), rgb("f8f4dc")),
        glow=0.35,
    )
    low = sill - 0.08
    ridge = [
        (left, low),
        (left + (right - left) * 0.3, low - 0.06 * stage.rng.random()),
        (left + (right - left) * 0.7, low + 0.02),
        (right, low - 0.04),
        (right, sill),
        (left, sill),
    ]
    canvas.polygon(ridge, downward(rgb("a8c890"), rgb("7fa868")), glow=0.2, outline=0.0018)
    middle = (left + right) / 2
    for line in (
        [(middle, top), (middle, sill)],
        [(left, (top + sill) / 2), (right, (top + sill) / 2)],
    ):
        canvas.line(line, 0.016, frame, ink=0.8)
    canvas.polygon(
        [
            (left - 0.05, sill + 0.02),
            (right + 0.05, sill + 0.02),
            (right + 0.06, sill + 0.05),
            (left - 0.06, sill + 0.05),
        ],
        stage.lit(rgb("f2ead8"), 0.9),
    )
    cloth = stage.pick("d87a5c", "e8c468", "f2e6d8", "8aa88c")
    canvas.at(0.7, 1.4)
    for fold in range(5):
        x = right - 0.02 + fold * 0.045
        sway = stage.rng.normal(0, 0.01)
        shape = [
            (x, -0.02),
            (x + 0.05, -0.02),
            (x + 0.055 + sway, sill + 0.12),
            (x - 0.004 + sway, sill + 0.12),
        ]
        canvas.polygon(
            shape,
            across(stage.lit(cloth), stage.lit(cloth, 0.85), stage.shaded(cloth)),
            outline=0.0018,
        )


def pear(stage: Stage, x: float, foot: float, tall: float, *, lying: bool) -> None:
    """One pear, standing or lying, with its shadow, blush and stalk."""
    canvas, rng = stage.canvas, stage.rng
    skin = stage.pick("c8c044", "b8c858", "d8b840", "d89a3c")
    girth = tall * stage.between(0.35, 0.4)
    profile = [
        (0.0, -1.0),
        (0.34, -0.94),
        (0.46, -0.7),
        (0.74, -0.46),
        (1.0, -0.2),
        (0.86, -0.03),
        (0.3, 0.02),
    ]
    side = np.asarray([(px * girth, py * tall) for px, py in profile])
    shape = turned(side, 0.0, 0.0)
    lean = np.pi / 2 * 0.92 if lying else rng.normal(0, 0.06)
    turn = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
    lift = np.array([x - (tall * 0.4 if lying else 0), foot - (girth * 0.85 if lying else 0)])
    canvas.veil(
        [oval(x + girth * 0.7, foot + 0.01, girth * 1.5, girth * 0.3)],
        rgb("16284a"),
        0.6,
        blur=0.014,
    )
    canvas.at(0.1, 1.1)
    canvas.polygon(
        curve(shape @ turn + lift, steps=5),
        rounded(
            stage.lit(mix(skin, (1.0, 1.0, 0.9), 0.45)),
            stage.lit(skin),
            stage.shaded(mix(skin, rgb("5a6a2c"), 0.4)),
            0.3,
            0.4,
        ),
    )
    belly = np.array([girth * 0.3, -tall * 0.24]) @ turn + lift
    canvas.veil(
        [oval(belly[0], belly[1], girth * 0.45, girth * 0.5)],
        rgb("d8683c"),
        stage.between(0.3, 0.65),
        blur=0.022,
    )
    shine = np.array([-girth * 0.4, -tall * 0.32]) @ turn + lift
    canvas.veil(
        [oval(shine[0], shine[1], girth * 0.13, girth * 0.24)], rgb("fffcec"), 0.75, blur=0.008
    )
    for _ in range(14):
        spot = np.array([rng.normal(0, girth * 0.4), -tall * rng.uniform(0.08, 0.5)]) @ turn + lift
        canvas.ellipse(spot[0], spot[1], 0.0022, None, stage.lit(rgb("8a7a34")), outline=0)
    stalk = (
        np.array([(0.0, -tall * 0.985), (tall * 0.03, -tall * 1.06), (tall * 0.08, -tall * 1.13)])
        @ turn
        + lift
    )
    canvas.line(stalk, 0.011, stage.lit(rgb("5a3c24")), ink=1.0)
    if rng.random() < 0.6:
        leaf = (
            np.array(
                [
                    (0.0, -tall),
                    (tall * 0.1, -tall * 1.1),
                    (tall * 0.26, -tall * 1.05),
                    (tall * 0.12, -tall * 1.0),
                ]
            )
            @ turn
            + lift
        )
        canvas.polygon(
            curve(leaf, steps=4), across(stage.lit(rgb("5f8a3c")), stage.lit(rgb("8cb04c")))
        )
