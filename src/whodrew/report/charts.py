"""Geometry of the small charts; templates turn it into SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whodrew.report.dendrogram import nice_step
from whodrew.report.figures import Figure, figure, interval, number, percent

WIDTH, HEIGHT = 360.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 12.0, 42.0


@dataclass(frozen=True)
class Point:
    """A measured point: where it lies, its whisker, and what a pointer over it says."""

    x: float
    y: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True)
class LineChart:
    """A line chart in a box of ``WIDTH`` × ``HEIGHT`` user units."""

    points: list[Point]
    line: str
    band: str
    chance: str
    chance_label: tuple[float, float]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    x_label: str
    logarithmic: bool


def line_chart(rows: Sequence[Any], key: str, x_label: str) -> LineChart | None:
    """Accuracy against a count, with intervals and the chance curve.

    Args:
        rows: ``[{key, top1}]``; rows without a number on either side are left out.
        key: the name of the count, ``references`` or ``models``.
        x_label: what the axis says.

    Returns:
        The chart, or ``None`` where fewer than two points can be drawn.
    """
    data = _numbers(rows, key)
    if len(data) < 2:
        return None
    xs = [x for x, _ in data]
    logarithmic = xs[0] > 0 and xs[-1] / xs[0] > 8
    scale = _Scale(xs[0], xs[-1], _ceiling([rate for _, rate in data]), logarithmic)
    points = [_point(scale, x, rate, x_label) for x, rate in data]
    upper = [f"{p.x:.1f} {p.high:.1f}" for p in points if p.high is not None]
    lower = [f"{p.x:.1f} {p.low:.1f}" for p in points if p.low is not None]
    chance = [(scale.x(x), scale.y(rate.chance)) for x, rate in data if rate.chance is not None]
    return LineChart(
        points=points,
        line=_path([(p.x, p.y) for p in points]),
        band=f"M{'L'.join([*upper, *reversed(lower)])}Z" if len(upper) > 1 else "",
        chance=_path(chance) if len(chance) > 1 else "",
        chance_label=(chance[0][0] + 8, chance[0][1] - 8) if chance else (0, 0),
        x_ticks=_x_ticks(xs, scale),
        y_ticks=scale.y_ticks(),
        x_label=x_label,
        logarithmic=logarithmic,
    )


@dataclass(frozen=True)
class _Scale:
    first: float
    last: float
    ceiling: float
    logarithmic: bool

    def x(self, value: float) -> float:
        low, high = self.first, self.last
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    def y(self, share: float) -> float:
        kept = min(max(share / self.ceiling, 0.0), 1.0)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * kept

    def y_ticks(self) -> list[tuple[float, str]]:
        step = nice_step(self.ceiling, 5)
        marks = [i * step for i in range(int(self.ceiling / step + 1e-9) + 1)]
        return [(self.y(mark), f"{mark * 100:g}") for mark in marks]


def _numbers(rows: Sequence[Any], key: str) -> list[tuple[float, Figure]]:
    found: dict[float, Figure] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        x, rate = number(row.get(key)), figure(row, "top1")
        if x is not None and rate.value is not None:
            found[x] = rate
    return sorted(found.items(), key=lambda item: item[0])


def _ceiling(rates: Sequence[Figure]) -> float:
    top = max(max(rate.high or 0, rate.value or 0, rate.chance or 0) for rate in rates)
    return next((mark for mark in (0.1, 0.25, 0.5, 0.75) if top <= mark), 1.0)


def _point(scale: _Scale, x: float, rate: Figure, x_label: str) -> Point:
    value = rate.value or 0.0
    within = f" ({interval(rate)})" if rate.has_interval else ""
    chance = f", chance {percent(rate.chance)}" if rate.chance is not None else ""
    return Point(
        x=scale.x(x),
        y=scale.y(value),
        low=None if rate.low is None else scale.y(rate.low),
        high=None if rate.high is None else scale.y(rate.high),
        title=f"{x:g} {x_label}: {percent(value)}{within}{chance}",
    )


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)


def _x_ticks(xs: Sequence[float], scale: _Scale) -> list[tuple[float, str]]:
    """Labels at measured points only, none closer than 24 units to the one before."""
    ticks: list[tuple[float, str]] = []
    for x in [*xs[:-1]]:
        place = scale.x(x)
        if (not ticks or place - ticks[-1][0] >= 24) and scale.x(xs[-1]) - place >= 24:
            ticks.append((place, f"{x:g}"))
    return [*ticks, (scale.x(xs[-1]), f"{xs[-1]:g}")]
