"""The scene of ``planets``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    Colour,
    across,
    downward,
    mix,
    oval,
    rgb,
    rounded,
)
from whodrew.arena.sample.props_land import hill
from whodrew.arena.sample.props_sky import clouds, stars
from whodrew.arena.sample.stage import Stage, scene


@scene("planets")
def planets(stage: Stage) -> None:
    """A banded planet with rings and moons over a rocky plain."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    rows = 120
    gas = clouds(rng, rows, round(rows * wide), 3.0)
    other = clouds(rng, rows, round(rows * wide), 4.0)
    base = np.asarray(rgb("080a20")) * (0.6 + 0.4 * np.linspace(0, 1, rows)[:, None, None])
    tints = [
        np.asarray(stage.pick("5a2f8a", "2f4fa0", "8a2f6a")),
        np.asarray(stage.pick("1f8a9a", "c05a4a", "3f7ac0")),
    ]
    nebula = (
        base
        + np.clip(gas - 0.45, 0, 1)[..., None] * 1.3 * tints[0]
        + np.clip(other - 0.55, 0, 1)[..., None] * 1.3 * tints[1]
    )
    canvas.at(1.0)
    canvas.backdrop(nebula.astype(np.float32))
    stars(stage, 200, 0.8)
    x, y, radius = (
        wide * stage.between(0.36, 0.64),
        stage.between(0.3, 0.38),
        stage.between(0.16, 0.2),
    )
    giant(stage, x, y, radius)
    for size in (0.05, 0.026, 0.018):
        angle = rng.uniform(0, 2 * np.pi)
        mx, my = (
            x + np.cos(angle) * radius * rng.uniform(1.8, 2.6),
            y + np.sin(angle) * radius * rng.uniform(1.2, 1.6),
        )
        moon(
            stage,
            min(max(mx, 0.06), wide - 0.06),
            min(max(my, 0.06), 0.6),
            size * rng.uniform(0.8, 1.2),
        )
    plain = stage.pick("6a3f5c", "7a4a3c", "3f4f70")
    for depth, level, rough in ((0.7, 0.68, 0.6), (0.4, 0.76, 0.5), (0.1, 0.86, 0.4)):
        hill(
            stage,
            level,
            0.045,
            mix(plain, rgb("ffd0e8"), 0.35 + depth * 0.3),
            depth=depth,
            rough=rough,
        )
    for near in np.sort(rng.random(9)).tolist():
        crater(stage, rng.uniform(0, wide), 0.88 + 0.11 * near, 0.03 + 0.05 * near, plain)
    dome(stage, wide * stage.between(0.2, 0.8), 0.87)


def giant(stage: Stage, x: float, y: float, radius: float) -> None:
    """The planet: bands clipped to its disc, night side, rings behind and before."""
    canvas, rng = stage.canvas, stage.rng
    turn, squash = stage.between(-0.45, 0.45), stage.between(0.2, 0.32)
    main, second = (
        stage.pick("e0a86c", "c87a5c", "8ab0c8", "c8a0d0"),
        stage.pick("f4dcb0", "a8584c", "e8e4d4", "6a7ab0"),
    )
    rings = [(2.05, "e8d4b0"), (1.85, "a88c78"), (1.68, "d8bc98"), (1.42, "8c7868")]

    def ring(start: float, end: float) -> None:
        angle = np.linspace(start, end, 40)
        for (outer, code), inner in zip(rings, [1.87, 1.72, 1.44, 1.3], strict=True):
            arcs = [
                np.stack([r * np.cos(angle) * radius, r * np.sin(angle) * radius * squash], 1)
                for r in (outer, inner)
            ]
            shape = np.concatenate([arcs[0], arcs[1][::-1]])
            c, s = np.cos(turn), np.sin(turn)
            canvas.at(0.85, turn)
            canvas.polygon(
                shape @ np.array([[c, s], [-s, c]]) + [x, y],
                mix(rgb(code), main, 0.25),
                glow=0.1,
                outline=0.0012,
            )

    ring(np.pi, 2 * np.pi)
    canvas.at(0.8, turn)
    canvas.ellipse(x, y, radius, None, main)
    c, s = np.cos(turn), np.sin(turn)
    for band in np.linspace(-0.85, 0.85, 9):
        half, thick = np.sqrt(1 - band**2), rng.uniform(0.03, 0.09)
        steps = np.linspace(-half * 0.985, half * 0.985, 12)
        wave = 0.012 * np.sin(steps * rng.uniform(4, 9) + rng.uniform(0, 6))
        bulge = squash * 0.5 * (half - np.abs(steps) ** 2 / max(half, 0.2)) * 0.4
        upper = np.stack([steps, band + wave + bulge], 1)
        lower = np.stack([steps, band + thick + wave * 0.5 + bulge], 1)
        shape = np.concatenate([upper, lower[::-1]])
        length = np.linalg.norm(shape, axis=1, keepdims=True)
        shape = shape / np.maximum(length / 0.99, 1.0) * radius
        canvas.polygon(
            shape @ np.array([[c, s], [-s, c]]) + [x, y],
            mix(main, second, rng.uniform(0.3, 1.0)),
            outline=0,
        )
    night = np.concatenate(
        [
            oval(x, y, radius * 1.01)[9:28],
            oval(x + radius * 0.05, y, radius * 0.5, radius * 1.01)[27:8:-1],
        ]
    )
    canvas.veil([night], rgb("060818"), 0.72, blur=0.03)
    canvas.veil(
        [oval(x + radius * 0.45, y - radius * 0.42, radius * 0.35)], rgb("fff8e8"), 0.35, blur=0.05
    )
    ring(0, np.pi)


def moon(stage: Stage, x: float, y: float, radius: float) -> None:
    """A small round moon with a few spots."""
    tone = stage.pick("b8b0a8", "c8a088", "8ca0b8")
    stage.canvas.at(0.8)
    stage.canvas.ellipse(
        x, y, radius, None, rounded(mix(tone, (1, 1, 1), 0.4), tone, rgb("10122a")), glow=0.1
    )
    for _ in range(4):
        dx, dy = stage.rng.uniform(-0.4, 0.5, 2).tolist()
        stage.canvas.ellipse(
            x + dx * radius,
            y + dy * radius,
            radius * 0.16,
            radius * 0.13,
            mix(tone, rgb("20223a"), 0.4),
            outline=0.0014,
        )


def crater(stage: Stage, x: float, y: float, radius: float, plain: Colour) -> None:
    """A crater in the plain: a bright rim, a dark floor."""
    stage.canvas.at(0.08, 0.0)
    stage.canvas.ellipse(x, y, radius, radius * 0.26, mix(plain, rgb("f4c8d8"), 0.4))
    stage.canvas.ellipse(
        x,
        y + radius * 0.03,
        radius * 0.84,
        radius * 0.19,
        downward(mix(plain, rgb("080818"), 0.7), mix(plain, rgb("302030"), 0.3)),
        outline=0.002,
    )


def dome(stage: Stage, x: float, foot: float) -> None:
    """A small lit station on the plain."""
    canvas = stage.canvas
    canvas.veil([oval(x, foot, 0.12, 0.04)], rgb("8ae8f0"), 0.5, blur=0.03, glow=0.3)
    canvas.at(0.1)
    for shift, size in ((-0.06, 0.032), (0.055, 0.026), (0.0, 0.05)):
        arc = oval(x + shift, foot, size)[18:]
        canvas.polygon(arc, across(rgb("5a7a98"), rgb("c8e8f0"), rgb("f0fcff")), glow=0.2)
        canvas.ellipse(x + shift, foot - size * 0.35, size * 0.22, None, rgb("ffe9a0"), glow=0.9)
    canvas.line([(x + 0.01, foot - 0.048), (x + 0.014, foot - 0.12)], 0.004, rgb("c8d4e0"), ink=0.9)
    canvas.ellipse(x + 0.014, foot - 0.122, 0.007, None, rgb("ff5c5c"), glow=1.0, outline=0)
