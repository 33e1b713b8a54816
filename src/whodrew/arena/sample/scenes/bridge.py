"""The scene of ``bridge``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    curve,
    downward,
    mix,
    rgb,
)
from whodrew.arena.sample.props_land import cottage, grass, height_at, hill, leafy
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.props_water import ripples
from whodrew.arena.sample.stage import Stage, scene


@scene("bridge")
def bridge(stage: Stage) -> None:
    """A stone bridge of arches, a village behind, its image in the river."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    shore = stage.between(0.68, 0.73)
    sky(stage, shore)
    hill(stage, 0.42, 0.07, mix(rgb("7f9d88"), stage.light.haze, 0.3), depth=0.85, bottom=shore)
    ridge = hill(stage, 0.53, 0.05, rgb("86a862"), depth=0.6, bottom=shore)
    for x in np.sort(rng.uniform(0.05, wide, 6)).tolist():
        cottage(stage, x, height_at(ridge, x) + 0.06, rng.uniform(0.034, 0.05))
    for x in rng.uniform(0, wide, 7).tolist():
        leafy(
            stage,
            x,
            height_at(ridge, x) + 0.1,
            rng.uniform(0.1, 0.17),
            stage.pick("5f8a44", "7ba04e", "4f7a4a"),
            depth=0.5,
            blobs=12,
        )
    deck, rise = stage.between(0.5, 0.55), stage.between(0.03, 0.06)
    arches = int(rng.integers(2, 4))
    masonry(stage, shore, deck, rise, arches)
    near = rgb("3f7268")
    canvas.at(0.3, 0.0)
    canvas.reflect(shore, near, 0.75, 0.006, rng)
    ripples(stage, shore + 0.05, 22, 0.006, rgb("d9ebe0"), near, rng)
    for side in (0.0, wide):
        bank = [
            (side - 0.24, 1.02),
            (side - 0.17, 0.84),
            (side - 0.04, 0.76),
            (side + 0.04, 0.76),
            (side + 0.16, 0.83),
            (side + 0.24, 1.02),
        ]
        canvas.at(0.08)
        canvas.polygon(
            curve(bank, closed=False),
            downward(stage.lit(rgb("88aa54")), stage.shaded(rgb("5d8040"))),
        )
    leafy(
        stage,
        wide * stage.between(0.02, 0.1),
        0.86,
        stage.between(0.5, 0.64),
        rgb("6c9a48"),
        depth=0.05,
        blobs=46,
    )
    grass(stage, 0.93, 34, rgb("7d9c48"), size=0.05)


def masonry(stage: Stage, shore: float, deck: float, rise: float, arches: int) -> None:
    """The bridge: one outline with the arches cut out of its lower edge, then courses of stone."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng

    def road(x: float) -> float:
        return deck - rise * float(np.sin(np.pi * min(max(x / wide, 0), 1)))

    xs = np.linspace(-0.02, wide + 0.02, 25)
    top = [(x, road(x)) for x in xs.tolist()]
    pier = 0.06
    span = (wide - 0.16 - pier * (arches + 1)) / arches
    below: list[tuple[float, float]] = [(wide + 0.02, shore)]
    voussoirs: list[tuple[float, float, float, list[tuple[float, float]]]] = []
    for index in reversed(range(arches)):
        left = 0.08 + pier + index * (span + pier)
        crown = road(left + span / 2) + 0.055
        arc = [
            (left + span / 2 * (1 + np.cos(a)), shore - (shore - crown) * np.sin(a))
            for a in np.linspace(0, np.pi, 18)
        ]
        below += arc
        voussoirs.append((left + span / 2, crown, span / 2, arc))
    stone = stage.vary(rgb("b09070"), 0.03)
    canvas.at(0.35)
    for middle, _, _, arc in voussoirs:
        inner = [(x + 0.03, y) for x, y in arc if x < middle]
        thick = [*[(x, y) for x, y in arc if x < middle], *reversed(inner)]
        canvas.polygon(thick, stage.shaded(mix(stone, rgb("302830"), 0.4)), outline=0)
    canvas.at(0.3, 0.0)
    canvas.polygon(
        [*top, *below, (-0.02, shore)], downward(stage.lit(stone), stage.lit(stone, 0.6))
    )
    for middle, crown, half, _ in voussoirs:
        for angle in np.linspace(0.12, np.pi - 0.12, 15):
            c, s = np.cos(angle), np.sin(angle)
            start = (middle + half * c, shore - (shore - crown) * s)
            end = (middle + (half + 0.02) * c, shore - (shore - crown + 0.02) * s)
            canvas.line([start, end], 0.0018, stage.lit(stone, 0.35), ink=0.6)
    for _ in range(60):
        x = rng.uniform(0, wide)
        drop = 0.01 + rng.integers(0, 3) * 0.013
        tint = stage.lit(stage.vary(stone, 0.04), rng.uniform(0.6, 1))
        canvas.line([(x, road(x) + drop), (x + 0.032, road(x + 0.032) + drop)], 0.008, tint)
    parapet = [*top, *[(x, y - 0.024) for x, y in reversed(top)]]
    canvas.polygon(parapet, stage.lit(mix(stone, rgb("fff4e0"), 0.25)))
