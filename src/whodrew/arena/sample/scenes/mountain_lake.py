"""The scene of ``mountain-lake``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    downward,
    mix,
    oval,
    rgb,
)
from whodrew.arena.sample.props_land import fir, grass, height_at, hill
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.props_water import ripples
from whodrew.arena.sample.stage import Stage, scene


@scene("mountain-lake")
def mountain_lake(stage: Stage) -> None:
    """Snowy peaks mirrored in still water."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    shore = stage.between(0.56, 0.63)
    sun = (wide * stage.between(0.2, 0.8), shore - 0.22)
    sky(stage, shore, sun=sun, cloud=rgb("fbe2d4"))
    for depth, base, lift in ((0.9, 0.3, 0.14), (0.6, 0.43, 0.12)):
        peaks(stage, shore, base, lift, depth)
    hill(stage, shore - 0.05, 0.035, rgb("51705e"), depth=0.5, bottom=shore + 0.004)
    for x in np.sort(rng.uniform(0, wide, 16)).tolist():
        fir(stage, x, shore + 0.004, rng.uniform(0.05, 0.1), rgb("3d6150"), depth=0.45)
    canvas.veil(
        [oval(wide * 0.5, shore - 0.01, wide * 0.6, 0.025)], stage.light.haze, 0.55, blur=0.025
    )
    canvas.at(0.4, 0.0)
    canvas.reflect(shore, rgb("4d6a8a"), 0.88, 0.004, rng)
    ripples(stage, shore + 0.12, 14, 0.003, rgb("f6dccb"), rgb("54708c"), rng)
    canvas.veil(
        [oval(wide * rng.uniform(0.2, 0.8), shore + 0.035, wide * 0.4, 0.012)],
        rgb("fff0e4"),
        0.6,
        blur=0.015,
    )
    bank = hill(stage, 0.97, 0.03, rgb("4c6444"), depth=0.05)
    side = wide * rng.choice([0.0, 1.0])
    for step, height in enumerate((0.6, 0.46, 0.34)):
        x = abs(side - wide * (0.07 + 0.115 * step) - rng.uniform(-0.02, 0.02))
        fir(
            stage,
            x,
            height_at(bank, x) + 0.02,
            height * rng.uniform(0.9, 1.12),
            rgb("2f5548"),
            depth=0.05,
        )
    grass(stage, 0.95, 40, rgb("6f8a50"))


def peaks(stage: Stage, shore: float, base: float, lift: float, depth: float) -> None:
    """A mountain range: rock with a bright and a dark side, snow on the heights."""
    canvas, rng = stage.canvas, stage.rng
    rock = mix(rgb("57628a"), stage.light.haze, 0.3 * depth)
    x = -0.15
    while x < stage.wide + 0.15:
        half, top = rng.uniform(0.24, 0.4), base - rng.uniform(-0.3, 1.0) * lift
        tip = np.array([x + half, top])
        jag = rng.normal(0, 0.012, (6, 2))
        down = np.linspace(0, 1, 6)[:, None]
        left = tip + down * (np.array([x - 0.04, shore]) - tip) + jag * down
        right = tip + down * (np.array([x + 2 * half + 0.04, shore]) - tip) + jag[::-1] * down
        middle = (
            tip
            + down * (np.array([x + half * rng.uniform(0.8, 1.2), shore]) - tip)
            + 2.2 * jag * np.sin(down * 3.1)
        )
        canvas.at(depth, 0.8)
        canvas.polygon(
            np.concatenate([left, right[::-1]]),
            downward(stage.lit(rock), stage.lit(mix(rock, stage.light.haze, 0.4))),
        )
        canvas.polygon(
            np.concatenate([middle, left[::-1]]),
            downward(stage.shaded(rock), mix(stage.shaded(rock), stage.light.haze, 0.4)),
            outline=0,
        )
        hem = np.linspace(0, 1, 7)[:, None]
        line = (
            left[2]
            + hem * (right[2] - left[2])
            + np.stack([np.zeros(7), np.tile([0.0, 0.05], 4)[:7]], 1)
        )
        canvas.polygon(
            np.concatenate([left[:3], line, right[2::-1]]), stage.lit(rgb("fbf6f4")), outline=0.0014
        )
        cut = int(rng.integers(2, 5))
        dark = np.concatenate([left[:3], line[: cut + 1], [tip]])
        canvas.polygon(dark, mix(rgb("a8b4d0"), stage.light.haze, 0.2), outline=0)
        x += half * rng.uniform(1.0, 1.5)
