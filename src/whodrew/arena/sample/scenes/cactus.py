"""The scene of ``cactus``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    across,
    curve,
    mix,
    oval,
    rgb,
    rounded,
)
from whodrew.arena.sample.props_land import grass, hill, skyline
from whodrew.arena.sample.props_sky import disc, sky
from whodrew.arena.sample.stage import Stage, scene


@scene("cactus")
def cactus(stage: Stage) -> None:
    """Saguaros before table mountains and a low sun."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    horizon = stage.between(0.58, 0.64)
    sun = (wide * stage.between(0.3, 0.7), horizon - stage.between(0.06, 0.16))
    sky(stage, horizon, sun=sun)
    disc(stage, *sun, stage.between(0.075, 0.1), rgb("fff0b8"))
    for depth, count in ((0.8, 3), (0.6, 2)):
        for _ in range(count):
            mesa(
                stage,
                rng.uniform(-0.1, wide),
                horizon + 0.01,
                rng.uniform(0.08, 0.2) * (1.3 - depth * 0.5),
                depth,
            )
    hill(stage, horizon + 0.012, 0.008, rgb("c8743f"), depth=0.5)
    hill(stage, horizon + 0.14, 0.03, rgb("d08a4c"), depth=0.3)
    hill(stage, horizon + 0.27, 0.03, rgb("b86a3c"), depth=0.1)
    spots = (np.array([0.12, 0.37, 0.62, 0.88]) + rng.uniform(-0.05, 0.05, 4)) * wide
    order = rng.permutation(4)
    for place, (height, depth) in enumerate(((0.13, 0.45), (0.2, 0.3), (0.36, 0.15), (0.54, 0.05))):
        saguaro(
            stage,
            float(spots[order[place]]),
            horizon + 0.04 + 0.34 * (1 - depth) ** 3,
            height * rng.uniform(0.9, 1.1),
            depth,
        )
    for _ in range(12):
        x, y = rng.uniform(0, wide), rng.uniform(horizon + 0.16, 0.98)
        size = 0.012 + 0.05 * (y - horizon) * rng.random()
        canvas.at(0.1)
        stone = stage.pick("9a5a44", "b47a58", "84503f")
        canvas.veil([oval(x - size, y + size * 0.45, size * 2, size * 0.3)], stage.light.shade, 0.5)
        canvas.ellipse(
            x,
            y,
            size,
            size * 0.62,
            rounded(stage.lit(stone), stage.lit(stone, 0.6), stage.shaded(stone)),
        )
    grass(stage, horizon + 0.15, 26, rgb("a8964c"))


def mesa(stage: Stage, x: float, foot: float, height: float, depth: float) -> None:
    """A table mountain in layers of red rock."""
    half = stage.between(0.08, 0.2)
    stage.canvas.at(depth, 1.5)
    rock = stage.pick("b0563c", "c46a48", "a04c3c")
    cap = skyline(stage.rng, half * 2, foot - height, 0.006, steps=4)
    cap[:, 0] += x - half
    body = [
        *cap.tolist(),
        (x + half * 1.02, foot - height * 0.45),
        (x + half * 1.5, foot),
        (x - half * 1.5, foot),
        (x - half * 1.02, foot - height * 0.45),
    ]
    stage.canvas.polygon(body, across(stage.shaded(rock), stage.lit(rock, 0.7), stage.lit(rock)))
    for share in (0.82, 0.66, 0.52):
        y = foot - height * share
        stage.canvas.line(
            [(x - half * 0.98, y), (x, y + 0.004), (x + half * 0.98, y - 0.002)],
            0.006,
            stage.lit(mix(rock, rgb("5a2838"), 0.35), 0.7),
            ink=0.5,
        )


def saguaro(stage: Stage, x: float, foot: float, height: float, depth: float) -> None:
    """A tall cactus with two arms, ribbed and lit from the right."""
    canvas, rng = stage.canvas, stage.rng
    green = stage.vary(rgb("4f7a4a"), 0.03)
    width = height * 0.11
    canvas.veil(
        [oval(x - height * 0.28, foot, height * 0.36, height * 0.03)], stage.light.shade, 0.5
    )
    canvas.at(depth, 1.5)

    def limb(path: list[tuple[float, float]], thick: float) -> None:
        way = curve(path, closed=False, steps=7)
        along = np.gradient(way, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(
            along, axis=1, keepdims=True
        )
        angle = np.linspace(0, np.pi, 9)[1:-1]
        tip, ahead, beside = way[-1], along[-1] / np.linalg.norm(along[-1]), normal[-1]
        cap = tip + thick * (np.cos(angle)[:, None] * beside + np.sin(angle)[:, None] * ahead)
        outline = np.concatenate([way + thick * normal, cap, (way - thick * normal)[::-1]])
        canvas.polygon(
            outline,
            across(
                stage.shaded(green),
                stage.lit(green, 0.7),
                stage.lit(mix(green, rgb("f0d890"), 0.3)),
            ),
        )
        for rib in (-0.55, -0.1, 0.35):
            canvas.line(
                way + thick * rib * normal,
                max(0.0016, thick * 0.12),
                stage.shaded(mix(green, rgb("20302c"), 0.3)),
                ink=0.4,
            )

    for side in (-1, 1):
        start = foot - height * rng.uniform(0.3, 0.5)
        out = side * height * rng.uniform(0.2, 0.27)
        end = start - height * rng.uniform(0.2, 0.38)
        limb(
            [
                (x, start),
                (x + out * 0.7, start - 0.005),
                (x + out, start - height * 0.1),
                (x + out, end),
            ],
            width * 0.62,
        )
    limb([(x, foot), (x + width * 0.1, foot - height * 0.5), (x, foot - height + width)], width)
    for _ in range(3):
        canvas.ellipse(
            x + rng.normal(0, width * 0.4),
            foot - height + width * 0.05,
            width * 0.24,
            None,
            stage.pick("f2a0b0", "fff0d0"),
            outline=0.0016,
        )
