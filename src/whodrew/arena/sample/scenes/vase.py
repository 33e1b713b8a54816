"""The scene of ``vase``."""

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


@scene("vase")
def vase(stage: Stage) -> None:
    """A full bunch of flowers in a glazed vase, a dark wall behind."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    tone = stage.pick("5c4a3c", "4a4438", "54403c", "40484a")
    wall(stage, tone, mix(tone, rgb("1a1214"), 0.35), light_at=wide * 0.7)
    table = stage.between(0.78, 0.82)
    canvas.at(0.4, 0.0)
    wood = rgb("9a6238")
    canvas.polygon(
        box(-0.02, table, wide + 0.02, 1.02), downward(stage.lit(wood), stage.shaded(wood))
    )
    for _ in range(22):
        x, y = rng.uniform(-0.1, wide), rng.uniform(table + 0.01, 1.0)
        canvas.line(
            [(x, y), (x + rng.uniform(0.1, 0.3), y + rng.normal(0, 0.002))],
            0.0022,
            stage.shaded(wood),
            ink=0.3,
        )
    x, foot, tall = wide * 0.5 + stage.between(-0.06, 0.06), table + 0.08, stage.between(0.34, 0.38)
    canvas.veil([oval(x - 0.16, foot, 0.22, 0.035)], rgb("140a0c"), 0.75, blur=0.02)
    heads = bouquet(stage, x, foot - tall)
    pot(stage, x, foot, tall)
    for hx, hy, size in heads:
        flower(stage, hx, hy, size)
    for _ in range(5):
        px = x + rng.uniform(-0.35, 0.35)
        canvas.at(0.2)
        petal = oval(px, foot + rng.uniform(0.0, 0.09), 0.02, 0.009, turn=rng.uniform(-0.6, 0.6))
        canvas.polygon(petal, stage.lit(stage.pick("e86a7a", "f4c8a0", "f2e8dc")), outline=0.0018)


def bouquet(stage: Stage, x: float, rim: float) -> list[tuple[float, float, float]]:
    """Stems and leaves; returns where the flower heads go, back to front."""
    canvas, rng = stage.canvas, stage.rng
    heads = []
    for index in range(13):
        angle = -np.pi / 2 + (index - 6) * 0.2 + rng.normal(0, 0.07)
        reach = rng.uniform(0.2, 0.42) if index % 2 else rng.uniform(0.3, 0.4)
        hx, hy = x + np.cos(angle) * reach * 0.9, rim - 0.03 + np.sin(angle) * reach
        canvas.at(0.25, 1.4)
        stem = curve(
            [(x + (hx - x) * 0.1, rim + 0.03), (x + (hx - x) * 0.4, (rim + hy) / 2), (hx, hy)],
            closed=False,
        )
        canvas.line(stem, 0.009, stage.lit(rgb("4f7a3c")), ink=0.7)
        spot = stem[len(stem) // 2]
        side = rng.choice([-1, 1])
        leaf = [
            (spot[0], spot[1]),
            (spot[0] + side * 0.05, spot[1] - 0.05),
            (spot[0] + side * 0.12, spot[1] - 0.03),
            (spot[0] + side * 0.06, spot[1] + 0.01),
        ]
        green = stage.pick("5a8a44", "3f6a3c", "7a9a54")
        canvas.polygon(
            curve(leaf, steps=4), across(stage.lit(green, 0.5), stage.lit(green)), outline=0.002
        )
        heads.append((hx, hy, rng.uniform(0.05, 0.085)))
    return sorted(heads, key=lambda head: head[1])


def pot(stage: Stage, x: float, foot: float, tall: float) -> None:
    """The vase: a turned profile, a painted band, a highlight."""
    canvas, rng = stage.canvas, stage.rng
    glaze, band = (
        stage.pick("3f6a9a", "e6dcc8", "5a8a7c", "a84c3c"),
        stage.pick("f4ead0", "2f4a7a", "d8a84c"),
    )
    profile = (
        np.array(
            [(0.36, -1.0), (0.3, -0.86), (0.52, -0.62), (0.6, -0.4), (0.46, -0.14), (0.34, 0.0)]
        )
        * [rng.uniform(0.4, 0.5), 1]
        * tall
    )
    side = curve(profile.tolist(), closed=False, steps=5)
    shape = turned(side, x, foot)
    canvas.at(0.12, 1.3)
    canvas.polygon(
        shape,
        across(
            stage.shaded(mix(glaze, rgb("100c14"), 0.4)),
            stage.lit(glaze, 0.55),
            stage.lit(glaze),
            stage.lit(mix(glaze, (1, 1, 1), 0.35)),
            stage.lit(glaze, 0.7),
        ),
    )
    row = side[(side[:, 1] > -tall * 0.62) & (side[:, 1] < -tall * 0.36)]
    ring = turned(row, x, foot)
    canvas.polygon(
        ring,
        across(stage.shaded(band), stage.lit(band, 0.6), stage.lit(band), stage.lit(band, 0.8)),
        outline=0.0016,
    )
    for shift in np.linspace(-0.75, 0.75, 7):
        cx, cy, half = (
            x + np.sin(shift * 1.4) * row[:, 0].max() * 0.95,
            foot - tall * 0.49,
            0.017 * np.cos(shift),
        )
        canvas.polygon(
            [(cx, cy - 0.026), (cx + half, cy), (cx, cy + 0.026), (cx - half, cy)],
            stage.lit(glaze, 0.8),
            outline=0.0016,
        )
    canvas.veil(
        [oval(x + tall * 0.12, foot - tall * 0.55, 0.012, tall * 0.2)],
        rgb("fff6e0"),
        0.55,
        blur=0.008,
    )


def flower(stage: Stage, x: float, y: float, size: float) -> None:
    """A daisy, a rose or a poppy-like bloom."""
    canvas, rng = stage.canvas, stage.rng
    canvas.at(0.08, rng.uniform(-1.4, 1.4))
    kind = int(rng.integers(3))
    if kind == 0:
        colour = stage.pick("fbf6ea", "f4d24c", "e8a8c8")
        for angle in np.linspace(0, 2 * np.pi, 13)[:-1] + rng.uniform(0, 1):
            petal = oval(
                x + np.cos(angle) * size * 0.6,
                y + np.sin(angle) * size * 0.55,
                size * 0.42,
                size * 0.15,
                turn=angle,
            )
            canvas.polygon(
                petal,
                stage.lit(stage.vary(colour, 0.02), 0.75 + 0.25 * np.cos(angle + 0.7)),
                outline=0.0018,
            )
        canvas.ellipse(
            x,
            y,
            size * 0.27,
            size * 0.25,
            rounded(rgb("ffe08a"), stage.lit(rgb("d89a2c")), stage.shaded(rgb("8a5420"))),
        )
        return
    colour = (
        stage.pick("d83c4c", "e8708a", "f0b48c", "f4ead8")
        if kind == 1
        else stage.pick("e8582c", "7a5ab0", "4c78c8", "c83c6a")
    )
    layers = (1.0, 0.8, 0.6, 0.4, 0.22) if kind == 1 else (1.0, 0.62)
    for layer, scale in enumerate(layers):
        petals = 6 if kind == 1 else 5
        for angle in np.linspace(0, 2 * np.pi, petals + 1)[:-1] + layer * 0.5 + rng.uniform(0, 0.4):
            px, py = x + np.cos(angle) * size * scale * 0.5, y + np.sin(angle) * size * scale * 0.46
            tone = (
                mix(colour, rgb("3a0c1c"), 0.12 * (len(layers) - layer) / len(layers))
                if layer % 2
                else mix(colour, (1, 1, 1), 0.1)
            )
            petal = oval(px, py, size * scale * 0.5, size * scale * 0.42, turn=angle)
            canvas.polygon(
                petal,
                stage.lit(stage.vary(tone, 0.02), 0.7 + 0.3 * np.cos(angle + 0.8)),
                outline=0.0018,
            )
    if kind == 2:
        canvas.ellipse(x, y, size * 0.2, None, rgb("241a2c"))
        for angle in np.linspace(0, 2 * np.pi, 11)[:-1]:
            canvas.ellipse(
                x + np.cos(angle) * size * 0.27,
                y + np.sin(angle) * size * 0.25,
                size * 0.045,
                None,
                stage.lit(rgb("f4d868")),
                outline=0,
            )
