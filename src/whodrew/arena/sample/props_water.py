"""Water: wavelets and the glitter of a light."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    Colour,
    box,
    curve,
    downward,
    mix,
)
from whodrew.arena.sample.stage import Stage


def water(
    stage: Stage,
    shore: float,
    near: Colour,
    far: Colour,
    *,
    waves: int = 60,
    swell: float = 0.02,
    crest: Colour | None = None,
) -> None:
    """Water from the shore line to the bottom, its ripples longer toward the viewer."""
    canvas, rng = stage.canvas, stage.rng
    canvas.at(0.6, 0.0)
    surface = box(-0.02, shore, stage.wide + 0.02, 1.02)
    canvas.polygon(surface, downward(far, mix(far, near, 0.6), near), outline=0.002)
    ripples(stage, shore, waves, swell, crest or mix(far, (1.0, 1.0, 1.0), 0.35), near, rng)


def ripples(
    stage: Stage,
    shore: float,
    count: int,
    swell: float,
    crest: Colour,
    trough: Colour,
    rng: np.random.Generator,
) -> None:
    """Wavelets on water below the shore line: a light back and a dark foot."""
    for nearness in np.sort(rng.random(count)).tolist():
        y = shore + (1 - shore) * nearness**1.6
        x = rng.uniform(-0.1, stage.wide)
        length = (0.03 + 0.22 * nearness) * rng.uniform(0.5, 1.3)
        thick = 0.0025 + swell * 0.3 * nearness
        rise = swell * nearness * rng.uniform(0.3, 1.0)
        peak = rng.uniform(0.3, 0.7)
        back = curve(
            [
                (x, y),
                (x + length * peak * 0.5, y - rise * 0.6),
                (x + length * peak, y - rise),
                (x + length * (1 + peak) / 2, y - rise * 0.5),
                (x + length, y),
            ],
            closed=False,
            steps=3,
        )
        taper = np.sin(np.linspace(0, np.pi, len(back)))[:, None] * [0, thick]
        stage.canvas.at(0.6 * (1 - nearness), 0.0)
        foot = (back + taper * 3.5)[::-1]
        stage.canvas.polygon(
            np.concatenate([back, foot]), mix(trough, stage.light.shade, 0.25), outline=0
        )
        tone = mix(crest, trough, rng.uniform(0.0, 0.6))
        stage.canvas.polygon(np.concatenate([back, (back + taper)[::-1]]), tone, outline=0)
        stage.canvas.line(back, 0.0012, tone, ink=0.5)


def glitter(stage: Stage, x: float, shore: float, colour: Colour, count: int = 90) -> None:
    """The broken reflection of a light on water, below ``x``."""
    near = stage.rng.random(count) ** 1.3
    y = shore + 0.01 + (0.97 - shore) * near
    middle = x + stage.rng.normal(0, 1, count) * (0.015 + 0.09 * near)
    half = (0.006 + 0.035 * near) * stage.rng.uniform(0.4, 1.2, count)
    stage.canvas.streaks(
        np.stack([middle - half, y], 1), np.stack([middle + half, y], 1), 0.0045, colour, 0.75
    )
