"""The scene of ``koi-pond``."""

from __future__ import annotations

import numpy as np

from whodrew.arena.sample.canvas import (
    Points,
    curve,
    mix,
    oval,
    rgb,
    rounded,
)
from whodrew.arena.sample.props_sky import clouds
from whodrew.arena.sample.stage import Stage, scene


@scene("koi-pond")
def koi_pond(stage: Stage) -> None:
    """A pond from above: fish under the surface, pads and lotus on it."""
    canvas, wide, rng = stage.canvas, stage.wide, stage.rng
    rows = 120
    deep, shallow = (
        np.asarray(stage.pick("123f48", "16384c", "1c4438")),
        np.asarray(stage.pick("3f8a80", "4a8a9a")),
    )
    tone = clouds(rng, rows, round(rows * wide), 2.5)[..., None]
    web = 1 - np.abs(clouds(rng, rows, round(rows * wide), 7)[..., None] - 0.5) * 9
    water = deep + (shallow - deep) * tone**1.4 * 0.75 + 0.14 * np.clip(web, 0, 1) * tone
    canvas.at(0.6, 0.3)
    canvas.backdrop(water.astype(np.float32))
    for _ in range(14):
        px, py, size = rng.uniform(0, wide), rng.uniform(0, 1), rng.uniform(0.03, 0.07)
        canvas.at(0.7)
        canvas.veil([oval(px, py, size, size * 0.8)], rgb("0e2a30"), 0.35, blur=0.01)
    grid = rng.permutation(9)
    cells = [((cell % 3 + 0.5) / 3 * wide, (cell // 3 + 0.5) / 3) for cell in grid.tolist()]
    for cx, cy in cells[:5]:
        koi(
            stage,
            cx + rng.normal(0, 0.03),
            cy + rng.normal(0, 0.03),
            rng.uniform(0.28, 0.38),
            rng.uniform(0, 2 * np.pi),
        )
    for cx, cy in cells[5:]:
        for _ in range(int(rng.integers(1, 4))):
            pad(stage, cx + rng.normal(0, 0.09), cy + rng.normal(0, 0.09), rng.uniform(0.05, 0.115))
    lx, ly = cells[8]
    lotus(stage, lx, ly, stage.between(0.085, 0.11))
    for _ in range(3):
        px, py = rng.uniform(0, wide), rng.uniform(0, 1)
        for radius in (0.03, 0.055, 0.085):
            ring = oval(px, py, radius)
            canvas.streaks(ring, np.roll(ring, -1, axis=0), 0.0026, rgb("dff4ee"), 0.3)


def koi(stage: Stage, x: float, y: float, length: float, heading: float) -> None:
    """A fish from above: shadow, tail, fins, body with patches."""
    canvas, rng = stage.canvas, stage.rng
    bend = rng.uniform(-0.5, 0.5)
    along = np.linspace(0.5, -0.5, 15)
    spine = np.stack([along, bend * (along - 0.15) ** 2 * np.sign(0.15 - along)], 1)
    half = (
        0.13 * np.sqrt(np.clip(1 - ((along - 0.16) / np.where(along > 0.16, 0.34, 0.7)) ** 2, 0, 1))
        + 0.006
    )
    turn = np.array([[np.cos(heading), np.sin(heading)], [-np.sin(heading), np.cos(heading)]])

    def place(points: Points) -> Points:
        spots: Points = (points * length) @ turn + [x, y]
        return spots

    outline = np.concatenate(
        [spine + np.stack([0 * half, half], 1), (spine - np.stack([0 * half, half], 1))[::-1]]
    )
    tail = np.array(
        [
            spine[-1] + [0.04, 0.0],
            spine[-1] + [-0.2, 0.13],
            spine[-1] + [-0.12, 0.0],
            spine[-1] + [-0.22, -0.1],
        ]
    )
    canvas.veil(
        [place(outline) + np.array([0.018, 0.026]), place(tail) + np.array([0.018, 0.026])],
        rgb("061a20"),
        0.6,
        blur=0.01,
    )
    base, patch = (
        (rgb("f6f0e6"), stage.pick("e8542c", "e87a2c", "d83c2c"))
        if rng.random() < 0.7
        else (rgb("f0a83c"), rgb("fbf0dc"))
    )
    canvas.at(0.3, heading % np.pi - np.pi / 2)
    canvas.polygon(curve(place(tail), steps=4), mix(base, rgb("5a9a94"), 0.3), outline=0.002)
    for side in (-1, 1):
        fin = np.array(
            [[0.24, side * 0.09], [0.2, side * 0.26], [0.08, side * 0.27], [0.12, side * 0.1]]
        )
        canvas.polygon(curve(place(fin), steps=4), mix(base, rgb("5a9a94"), 0.35), outline=0.002)
    canvas.polygon(
        place(outline),
        rounded(mix(base, (1.0, 1.0, 1.0), 0.5), base, mix(base, rgb("4a6a70"), 0.45)),
    )
    for start in rng.permutation(4)[:3].tolist():
        begin = 1 + start * 3
        span = slice(begin, begin + int(rng.integers(3, 5)))
        wide_in, wide_out = rng.uniform(-0.9, -0.2), rng.uniform(0.3, 0.92)
        upper = spine[span] + np.stack([0 * half[span], half[span] * wide_out], 1)
        lower = spine[span] + np.stack([0 * half[span], half[span] * wide_in], 1)
        canvas.polygon(
            curve(place(np.concatenate([upper, lower[::-1]])), steps=3),
            stage.vary(patch, 0.02),
            outline=0.0014,
        )
    canvas.line(place(spine[4:11]), 0.004, mix(base, rgb("6a7a7c"), 0.5), ink=0.5)
    for side in (-1, 1):
        eye = place(np.array([[0.4, side * 0.06]]))[0]
        canvas.ellipse(eye[0], eye[1], length * 0.016, None, rgb("141014"), outline=0)


def pad(stage: Stage, x: float, y: float, radius: float) -> None:
    """A lily pad with its notch and veins."""
    canvas = stage.canvas
    start = stage.between(0, 2 * np.pi)
    angle = np.linspace(start + 0.2, start + 2 * np.pi - 0.2, 30)
    rim = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
    canvas.veil([rim + np.array([0.012, 0.018])], rgb("061a20"), 0.55, blur=0.008)
    green = stage.pick("5a9a4c", "4c8a54", "7aa84c")
    canvas.at(0.1, 0.8)
    canvas.polygon(
        np.concatenate([rim, [[x, y]]]),
        rounded(mix(green, rgb("e8f4a0"), 0.35), green, mix(green, rgb("16402c"), 0.5)),
    )
    for ray in angle[2::4]:
        canvas.line(
            [(x, y), (x + radius * 0.88 * np.cos(ray), y + radius * 0.88 * np.sin(ray))],
            0.002,
            mix(green, rgb("d8ecb0"), 0.4),
            ink=0.4,
        )


def lotus(stage: Stage, x: float, y: float, size: float) -> None:
    """An open lotus flower on the water."""
    pad(stage, x + size * 0.3, y + size * 0.3, size * 1.15)
    colour = stage.pick("f4a8c0", "fbe4ec", "f8d0b0")
    for layer, scale in enumerate((1.0, 0.75, 0.5)):
        for angle in np.linspace(0, 2 * np.pi, 9)[:-1] + layer * 0.39:
            petal = oval(
                x + np.cos(angle) * size * scale * 0.55,
                y + np.sin(angle) * size * scale * 0.55,
                size * scale * 0.42,
                size * scale * 0.19,
                turn=angle,
            )
            stage.canvas.polygon(
                petal,
                mix(
                    mix(colour, (1, 1, 1), 0.22 * layer),
                    rgb("a04c78"),
                    0.12 * (1 - np.cos(angle + 0.8)),
                ),
                outline=0.0018,
            )
    stage.canvas.ellipse(
        x, y, size * 0.16, None, rounded(rgb("fff4b0"), rgb("f0c040"), rgb("b07820"))
    )
