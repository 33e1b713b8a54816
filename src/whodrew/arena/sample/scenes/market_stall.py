"""The scene of ``market-stall``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    Colour,
    across,
    box,
    downward,
    mix,
    oval,
    rgb,
    rounded,
)
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.stage import Stage, scene


@scene("market-stall")
def market_stall(stage: Stage) -> None:
    """Crates of fruit under a striped awning, house fronts behind."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    sky(stage, 0.5)
    fronts(stage)
    canvas.at(0.4, 0.0)
    canvas.polygon(
        box(-0.02, 0.8, wide + 0.02, 1.02),
        downward(stage.lit(rgb("c8b8a0")), stage.lit(rgb("a08c78"))),
    )
    for row in range(6):
        y = 0.82 + 0.19 * (row / 6) ** 1.2
        for x in np.arange(-0.05 + (row % 2) * 0.04, wide, 0.085).tolist():
            canvas.ellipse(
                x + rng.normal(0, 0.004),
                y,
                0.036,
                0.011,
                stage.lit(stage.vary(rgb("b4a28c"), 0.04)),
                outline=0.0014,
            )
    left, right = wide * 0.5 - stage.between(0.34, 0.4), wide * 0.5 + stage.between(0.34, 0.4)
    top, counter = stage.between(0.22, 0.28), stage.between(0.6, 0.63)
    canvas.veil(
        [oval((left + right) / 2, 0.9, (right - left) * 0.58, 0.04)],
        stage.light.shade,
        0.55,
        blur=0.02,
    )
    canvas.polygon(
        box(left, top + 0.1, right, counter), downward(rgb("3c2c34"), rgb("6a4c40")), outline=0.002
    )
    for x in (left + 0.012, right - 0.012):
        canvas.at(0.15, 1.5)
        canvas.line([(x, top + 0.06), (x, 0.9)], 0.022, stage.lit(rgb("8a5c38")), ink=0.9)
    for lamp in np.linspace(left + 0.12, right - 0.12, 3).tolist():
        canvas.ellipse(lamp, top + 0.2, 0.016, 0.02, rgb("fff0b0"), glow=0.8)
    crates(stage, left, right, counter)
    awning(stage, left - 0.05, right + 0.05, top)


def fronts(stage: Stage) -> None:
    """A row of narrow painted houses."""
    canvas, rng = stage.canvas, stage.rng
    x = -0.05
    while x < stage.wide:
        width, roof = rng.uniform(0.2, 0.28), rng.uniform(0.08, 0.2)
        wall = stage.pick("e8c48c", "d98a6c", "a8c0b4", "e6dcc4", "c8a0a0", "9cb4cc")
        canvas.at(0.65, 1.5)
        gable = [
            (x, 0.82),
            (x, roof + 0.08),
            (x + width * 0.5, roof - 0.02),
            (x + width, roof + 0.08),
            (x + width, 0.82),
        ]
        canvas.polygon(gable, across(stage.lit(wall, 0.75), stage.lit(wall)))
        canvas.line(
            [
                (x - 0.01, roof + 0.09),
                (x + width * 0.5, roof - 0.02),
                (x + width + 0.01, roof + 0.09),
            ],
            0.022,
            stage.lit(rgb("a05a44")),
            ink=0.7,
        )
        for row in range(3):
            for column in (0.18, 0.58):
                left, y = x + width * column, roof + 0.14 + row * 0.17
                w, h = width * 0.24, 0.1
                canvas.polygon(
                    box(left - 0.006, y - 0.006, left + w + 0.006, y + h + 0.006),
                    stage.lit(rgb("f6efe0")),
                    outline=0.0018,
                )
                canvas.polygon(
                    box(left, y, left + w, y + h),
                    downward(stage.lit(rgb("7fa0b8")), stage.lit(rgb("41607c"))),
                    outline=0,
                )
                canvas.line(
                    [(left + w / 2, y), (left + w / 2, y + h)], 0.004, stage.lit(rgb("f6efe0"))
                )
        x += width


def crates(stage: Stage, left: float, right: float, counter: float) -> None:
    """Two rows of crates, heaped with round fruit."""
    canvas, rng = stage.canvas, stage.rng
    kinds = ["d8342c", "f0a02c", "8cb83c", "f4d84c", "7a3a7c", "e86a3c", "5a9a4a"]
    canvas.at(0.12, 0.0)
    canvas.polygon(
        box(left, counter, right, 0.88),
        downward(stage.lit(rgb("a8764a")), stage.shaded(rgb("7a5234"))),
    )
    for shelf, (y, tall) in enumerate(((counter - 0.005, 0.075), (counter + 0.12, 0.09))):
        number = 4 if shelf == 0 else 3
        width = (right - left - 0.04) / number
        chosen = rng.permutation(len(kinds))
        for index in range(number):
            x = left + 0.02 + index * width
            fruit(
                stage,
                x + 0.016,
                x + width - 0.016,
                y,
                rgb(kinds[int(chosen[index])]),
                0.022 + 0.005 * shelf,
            )
            canvas.at(0.08, 0.0)
            canvas.polygon(
                [
                    (x + 0.006, y),
                    (x + width - 0.006, y),
                    (x + width - 0.014, y + tall),
                    (x + 0.014, y + tall),
                ],
                downward(stage.lit(rgb("d0a064")), stage.lit(rgb("a07440"), 0.7)),
            )
            for share in (0.35, 0.7):
                canvas.line(
                    [(x + 0.01, y + tall * share), (x + width - 0.01, y + tall * share)],
                    0.004,
                    stage.shaded(rgb("7a5430")),
                    ink=0.7,
                )


def fruit(stage: Stage, left: float, right: float, y: float, colour: Colour, size: float) -> None:
    """A heap of round fruit between two edges."""
    for layer in range(3):
        inset = layer * size * 0.95
        for x in np.arange(left + inset, right - inset + 1e-6, size * 1.55).tolist():
            tone = stage.vary(colour, 0.035)
            stage.canvas.at(0.08, 0.4)
            stage.canvas.ellipse(
                x + stage.rng.normal(0, 0.002),
                y - size * 0.3 - layer * size * 1.1,
                size * 0.92,
                None,
                rounded(stage.lit(mix(tone, (1, 1, 1), 0.45)), stage.lit(tone), stage.shaded(tone)),
                outline=0.0018,
            )


def awning(stage: Stage, left: float, right: float, top: float) -> None:
    """The striped roof of the stall with its scalloped edge."""
    canvas = stage.canvas
    stripes, drop = 11, 0.15
    first, second = stage.pick("d8382f", "2f7a5c", "2f6aa8", "e08a2c"), rgb("fbf3e2")
    inner = np.linspace(left + 0.06, right - 0.06, stripes + 1)
    outer = np.linspace(left, right, stripes + 1)
    canvas.at(0.05, 1.4)
    for index in range(stripes):
        colour = first if index % 2 == 0 else second
        canvas.polygon(
            [
                (inner[index], top),
                (inner[index + 1], top),
                (outer[index + 1], top + drop),
                (outer[index], top + drop),
            ],
            downward(stage.lit(mix(colour, (1, 1, 1), 0.12)), stage.lit(colour, 0.8)),
            outline=0.002,
        )
        middle, half = (outer[index] + outer[index + 1]) / 2, (outer[1] - outer[0]) / 2
        angle = np.linspace(0, np.pi, 9)
        flap = np.stack([middle + half * np.cos(angle), top + drop + 0.042 * np.sin(angle)], 1)
        canvas.polygon(flap, stage.lit(colour, 0.65), outline=0.002)
