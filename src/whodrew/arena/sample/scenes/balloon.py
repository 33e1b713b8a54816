"""The scene of ``balloon``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from whodrew.arena.sample.canvas import (
    across,
    downward,
    mix,
    rgb,
)
from whodrew.arena.sample.props_land import height_at, hill, leafy
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.stage import Stage, scene


@scene("balloon")
def balloon(stage: Stage) -> None:
    """One large balloon and a few small ones over wooded hills in autumn."""
    wide, rng = stage.wide, stage.rng
    sun = (wide * stage.between(0.1, 0.9), 0.5)
    sky(stage, 0.66, sun=sun)
    for depth, y, colour in (
        (0.9, 0.6, "b08a8a"),
        (0.7, 0.68, "c48a58"),
        (0.45, 0.77, "b8803c"),
        (0.15, 0.9, "9a6a34"),
    ):
        ridge = hill(stage, y, 0.045, rgb(colour), depth=depth)
        for x in rng.uniform(0, wide, 15).tolist():
            size = 0.045 + 0.1 * (1 - depth)
            tone = stage.pick("c8642c", "d88c34", "b2482c", "8a8a3c", "e0a844")
            leafy(
                stage,
                x,
                height_at(ridge, x) + size * rng.uniform(0.3, 0.8),
                size * rng.uniform(0.8, 1.3),
                tone,
                depth=depth,
                blobs=14,
            )
    for _ in range(int(rng.integers(2, 4))):
        envelope(
            stage,
            rng.uniform(0.1, wide - 0.1),
            rng.uniform(0.16, 0.48),
            rng.uniform(0.035, 0.06),
            0.65,
        )
    envelope(
        stage,
        wide * stage.between(0.32, 0.68),
        stage.between(0.28, 0.36),
        stage.between(0.17, 0.22),
        0.1,
    )


def envelope(stage: Stage, x: float, y: float, radius: float, depth: float) -> None:
    """A balloon of coloured gores, shaded like a ball, with its basket."""
    canvas = stage.canvas
    schemes = (
        ("d8402f", "f4d9a0"),
        ("2f6fa8", "f2e8d0"),
        ("e08a2c", "7a2f4a"),
        ("3f8a6a", "f4c84c"),
        ("a83a5c", "f0b8a0"),
    )
    first, second = (rgb(code) for code in schemes[int(stage.rng.integers(len(schemes)))])
    canvas.at(depth, 1.4)
    angle = np.linspace(-np.pi / 2, np.pi / 2 * 0.72, 18)
    spread, drop = np.cos(angle), np.sin(angle)
    side = np.where(drop > 0, spread * (1 - 0.12 * drop), spread)
    down = y + radius * 1.12 * np.where(drop > 0, drop * 1.22, drop)
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 9))
    for gore, (left, right) in enumerate(pairwise(edges.tolist())):
        shape = np.concatenate(
            [
                np.stack([x + radius * side * left, down], 1),
                np.stack([x + radius * side * right, down], 1)[::-1],
            ]
        )
        colour = first if gore % 2 == 0 else second
        facing = 1 - abs((left + right) / 2 - 0.35) * 0.5
        canvas.polygon(
            shape,
            downward(
                stage.lit(mix(colour, (1, 1, 1), 0.12), facing),
                stage.lit(colour, facing),
                stage.lit(colour, facing * 0.45),
            ),
            outline=0.0016,
        )
    band = (down > y - radius * 0.1) & (down < y + radius * 0.22)
    row = np.stack([x + radius * side[band], down[band]], 1)
    canvas.polygon(
        np.concatenate([row, (row * [-1, 1] + [2 * x, 0])[::-1]]),
        across(
            stage.lit(second, 0.4),
            stage.lit(second, 0.8),
            stage.lit(second),
            stage.lit(second, 0.6),
        ),
        outline=0.0016,
    )
    mouth, basket = float(down[-1]), float(down[-1]) + radius * 0.42
    reach = radius * float(side[-1])
    half = radius * 0.13
    for edge in (-1.0, -0.35, 0.35, 1.0):
        canvas.line(
            [(x + reach * edge, mouth), (x + half * edge, basket)],
            radius * 0.016,
            rgb("4a3428"),
            ink=0.7,
        )
    canvas.ellipse(
        x, mouth + radius * 0.06, radius * 0.06, radius * 0.1, rgb("ffd070"), glow=0.9, outline=0
    )
    canvas.polygon(
        [
            (x - half, basket),
            (x + half, basket),
            (x + half * 0.85, basket + half * 1.5),
            (x - half * 0.85, basket + half * 1.5),
        ],
        across(stage.shaded(rgb("7a5230")), stage.lit(rgb("a8743c"))),
    )
