"""The scene of ``lighthouse``."""

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
from whodrew.arena.sample.props_land import cottage, height_at, skyline
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.props_water import glitter, water
from whodrew.arena.sample.stage import Stage, scene


@scene("lighthouse")
def lighthouse(stage: Stage) -> None:
    """A banded tower on a headland, its beam over rough water."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    shore = stage.between(0.6, 0.68)
    sun = (wide * stage.between(0.6, 0.8), shore - stage.between(0.02, 0.08))
    sky(stage, shore, sun=sun, cloud=rgb("e0a0a0"))
    near, far = rgb("182c4a"), mix(rgb("3f5878"), stage.light.sky[-1], 0.35)
    water(stage, shore, near, far, waves=85, swell=0.05, crest=rgb("a8b4cc"))
    glitter(stage, sun[0], shore, rgb("ffd0a8"), 50)

    cliff = stage.between(0.5, 0.58)
    reach = wide * stage.between(0.45, 0.56)
    top = skyline(rng, reach, cliff, 0.02, steps=5)
    face = [
        (reach + 0.03, cliff + 0.06),
        (reach - 0.03, cliff + 0.16),
        (reach + 0.05, cliff + 0.26),
        (reach - 0.01, 0.9),
        (reach * 0.6, 0.96),
        (-0.02, 0.99),
    ]
    canvas.at(0.25, 1.1)
    rock = rgb("6b5a58")
    canvas.polygon([*top.tolist(), *face], downward(stage.lit(rock), stage.shaded(rock)))
    for _ in range(16):
        x, y = rng.uniform(0, reach * 0.95), rng.uniform(cliff + 0.06, 0.9)
        size = rng.uniform(0.02, 0.06)
        facet = [
            (x, y),
            (x + size, y - size * 0.4),
            (x + size * 1.3, y + size),
            (x + 0.2 * size, y + size * 1.4),
        ]
        canvas.polygon(
            facet, stage.lit(stage.vary(rock, 0.05), rng.uniform(0.2, 0.9)), outline=0.0014
        )
    canvas.at(0.25, 0.0)
    turf = np.concatenate([top, top[::-1] + np.array([0, 0.035])])
    canvas.polygon(turf, stage.lit(rgb("5d7a4c")), outline=0)
    for _ in range(9):
        x = rng.uniform(0.0, reach + 0.09)
        canvas.ellipse(
            x, 0.93 + rng.uniform(-0.03, 0.03), 0.05, 0.014, rgb("d5dbe8"), outline=0.0015
        )

    x = reach * stage.between(0.5, 0.68)
    foot, tall = height_at(top, x) + 0.02, stage.between(0.34, 0.4)
    tower(stage, x, foot, tall)
    cottage(stage, x - 0.17, height_at(top, x - 0.17) + 0.02, 0.09)


def tower(stage: Stage, x: float, foot: float, tall: float) -> None:
    """The lighthouse itself, and the beams of its lamp."""
    canvas = stage.canvas
    lamp = foot - tall - 0.025
    for away, drop in (
        (stage.wide + 0.3, stage.between(-0.12, 0.1)),
        (-0.4, stage.between(-0.1, 0.1)),
    ):
        beam = [(x, lamp), (away, lamp + drop - 0.12), (away, lamp + drop + 0.1)]
        canvas.veil([beam], rgb("ffe9b0"), 0.42, blur=0.012, glow=0.25)
    canvas.at(0.2, 1.5)
    bands = 5
    for band in range(bands):
        low, high = band / bands, (band + 1) / bands
        half_low, half_high = 0.052 - 0.02 * low, 0.052 - 0.02 * high
        colour = rgb("c8423a") if band % 2 == 0 else rgb("f2ece0")
        shape = [
            (x - half_low, foot - tall * low),
            (x + half_low, foot - tall * low),
            (x + half_high, foot - tall * high),
            (x - half_high, foot - tall * high),
        ]
        canvas.polygon(
            shape,
            across(
                stage.shaded(colour),
                stage.lit(colour, 0.8),
                stage.lit(colour),
                stage.lit(colour, 0.6),
            ),
        )
    for share in (0.25, 0.62):
        canvas.ellipse(x, foot - tall * share, 0.008, 0.013, rgb("ffdf90"), glow=0.6)
    deck = foot - tall
    canvas.polygon(box(x - 0.044, deck, x + 0.044, deck - 0.012), stage.lit(rgb("3a3238")))
    canvas.polygon(
        [
            (x - 0.024, deck - 0.012),
            (x + 0.024, deck - 0.012),
            (x + 0.022, deck - 0.05),
            (x - 0.022, deck - 0.05),
        ],
        rgb("fff0bc"),
        glow=1.0,
    )
    canvas.polygon(
        [(x - 0.03, deck - 0.048), (x + 0.03, deck - 0.048), (x, deck - 0.085)],
        stage.lit(rgb("b23a34")),
    )
    canvas.veil([oval(x, lamp, 0.06)], rgb("ffedc0"), 0.6, blur=0.03, glow=0.6)
