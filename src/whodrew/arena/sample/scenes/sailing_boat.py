"""The scene of ``sailing-boat``."""

from __future__ import annotations

from whodrew.arena.sample.canvas import (
    across,
    curve,
    downward,
    mix,
    rgb,
)
from whodrew.arena.sample.props_land import hill
from whodrew.arena.sample.props_sky import sky
from whodrew.arena.sample.props_water import water
from whodrew.arena.sample.stage import Stage, scene


@scene("sailing-boat")
def sailing_boat(stage: Stage) -> None:
    """A sloop under full sail, islands behind it."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    shore = stage.between(0.5, 0.6)
    sky(stage, shore)
    for depth, lift in ((0.85, 0.07), (0.7, 0.04)):
        hill(
            stage,
            shore - lift * 0.5,
            lift,
            mix(rgb("6d8f86"), stage.light.haze, depth * 0.4),
            depth=depth,
            rough=0.5,
            bottom=shore + 0.01,
        )
    near, far = rgb("1f6f9a"), rgb("8cc8dc")
    water(stage, shore, near, far, waves=70, swell=0.018, crest=rgb("e2f2f6"))

    x, foot = wide * stage.between(0.35, 0.62), stage.between(0.76, 0.84)
    size = stage.between(0.88, 1.08)
    mirrored = rgb("f0e6d0")
    for _ in range(26):
        y = foot + 0.02 + rng.random() ** 1.4 * (1 - foot)
        half = rng.uniform(0.02, 0.07)
        canvas.at(0.2)
        canvas.line(
            [(x - half + rng.normal(0, 0.03), y), (x + half, y)],
            0.005,
            mix(near, mirrored, rng.uniform(0.2, 0.65)),
        )
    hull = stage.pick("b2382f", "1f3f66", "f2f0e8", "2f6a58")
    canvas.at(0.1, 0.0)
    bow, stern = x + 0.2 * size, x - 0.17 * size
    canvas.polygon(
        curve(
            [
                (stern, foot - 0.05 * size),
                (x, foot - 0.04 * size),
                (bow, foot - 0.065 * size),
                (x + 0.13 * size, foot + 0.012),
                (x - 0.14 * size, foot + 0.012),
            ],
            steps=4,
        ),
        downward(stage.lit(hull), stage.shaded(hull)),
    )
    canvas.line(
        [(stern, foot - 0.042 * size), (bow - 0.01, foot - 0.055 * size)],
        0.008,
        rgb("e8c890"),
        ink=0.8,
    )
    mast = foot - 0.6 * size
    canvas.line(
        [(x + 0.02, foot - 0.04), (x + 0.02, mast)], 0.009, stage.lit(rgb("7a5436")), ink=0.8
    )
    belly = 0.05 * size * stage.between(0.6, 1.3)
    canvas.at(0.1, 1.2)
    sail, jib = (
        stage.pick("f7f1e2", "f4e2c0", "e9f0f2"),
        stage.pick("f7f1e2", "e0673c", "e9b23c", "f4e2c0"),
    )
    main = curve(
        [
            (x + 0.012, mast + 0.01),
            (x - 0.09 * size - belly, foot - 0.3 * size),
            (x - 0.17 * size, foot - 0.085 * size),
            (x + 0.01, foot - 0.09 * size),
        ],
        steps=6,
    )
    canvas.polygon(main, across(stage.lit(sail, 0.55), stage.lit(sail, 0.8), stage.lit(sail)))
    front = curve(
        [
            (x + 0.032, mast + 0.05),
            (x + 0.12 * size + belly * 0.6, foot - 0.28 * size),
            (bow - 0.015, foot - 0.085 * size),
            (x + 0.045, foot - 0.09 * size),
        ],
        steps=6,
    )
    canvas.polygon(front, across(stage.lit(jib, 0.6), stage.lit(jib)))
    for share in (0.35, 0.6, 0.8):
        y = mast + (foot - mast) * share
        canvas.line(
            [(x - 0.13 * size * share - belly * 0.8, y), (x + 0.01, y + 0.008)],
            0.0022,
            stage.shaded(sail),
            ink=0.35,
        )
    canvas.polygon(
        [(x + 0.02, mast), (x - 0.05, mast + 0.014), (x + 0.02, mast + 0.028)], rgb("d23c34")
    )
    for _ in range(4):
        gx, gy, span = (
            rng.uniform(0.08, wide - 0.08),
            rng.uniform(0.1, 0.42),
            rng.uniform(0.012, 0.026),
        )
        wings = curve(
            [
                (gx - span, gy - span * 0.3),
                (gx - span * 0.4, gy - span * 0.5),
                (gx, gy),
                (gx + span * 0.4, gy - span * 0.5),
                (gx + span, gy - span * 0.2),
            ],
            closed=False,
            steps=3,
        )
        canvas.at(0.5)
        canvas.line(wings, 0.004, rgb("3d4a58"), ink=0.9)
