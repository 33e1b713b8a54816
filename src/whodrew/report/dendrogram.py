"""Leaf order and geometry of a dendrogram, from the rows of a SciPy linkage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whodrew.report.figures import number
from whodrew.report.words import short_name

ROW = 22.0
#: Mean width of a character of the labels.
CHARACTER = 6.8
FAMILY = 14
TOP = 26.0


@dataclass(frozen=True)
class Branch:
    """One merge drawn as three strokes; coordinates in SVG user units.

    Attributes:
        path: the ``d`` of the path.
        distance: the height of the merge.
        size: models below it.
        family: the family they all share, or empty.
    """

    path: str
    distance: float
    size: int
    family: str


@dataclass(frozen=True)
class Leaf:
    """A model's line: its name, its family, and the height of its label."""

    model: str
    family: str
    y: float


@dataclass(frozen=True)
class Dendrogram:
    """Everything the template draws."""

    leaves: list[Leaf]
    branches: list[Branch]
    ticks: list[tuple[float, str]]
    left: float
    width: float
    height: float


def valid_merges(merges: Sequence[Any], leaves: int) -> list[tuple[int, int, float]]:
    """The rows ``(a, b, height)`` of a whole linkage over that many leaves, else none at all."""
    rows: list[tuple[int, int, float]] = []
    used: set[int] = set()
    for step, raw in enumerate(merges):
        if not isinstance(raw, (list, tuple)) or len(raw) < 3:
            return []
        first, second, height = (number(value) for value in raw[:3])
        if first is None or second is None or height is None:
            return []
        pair = (int(first), int(second))
        if len(set(pair) - used) != 2 or not all(0 <= node < leaves + step for node in pair):
            return []
        used.update(pair)
        rows.append((*pair, height))
    return rows if len(rows) == leaves - 1 else []


def leaf_order(merges: Sequence[Any], leaves: int) -> list[int]:
    """Leaves from the first to the last as the dendrogram shows them."""
    rows = valid_merges(merges, leaves)
    if not rows:
        return list(range(leaves))
    order: list[int] = []
    stack = [leaves + len(rows) - 1]
    while stack:
        node = stack.pop()
        if node < leaves:
            order.append(node)
        else:
            first, second, _ = rows[node - leaves]
            stack += [second, first]
    return order


def layout(
    models: Sequence[str], merges: Sequence[Any], families: Mapping[str, str]
) -> Dendrogram | None:
    """Places leaves on the left and merges to the right, by distance.

    Args:
        models: names in the order that the merges count them.
        merges: rows ``[a, b, height, size]`` as SciPy's ``linkage`` gives them.
        families: family by model; may be empty.

    Returns:
        The drawing, or ``None`` where the merges are no whole linkage.
    """
    count = len(models)
    rows = valid_merges(merges, count)
    if not rows:
        return None
    order = leaf_order(merges, count)
    longest = max(len(_label(name, families)) for name in models)
    left = CHARACTER * longest + 16
    span = 460.0
    top_height = max(height for _, _, height in rows) or 1.0
    spots: dict[int, tuple[float, float]] = {}
    below: dict[int, set[str]] = {}
    for place, leaf in enumerate(order):
        spots[leaf] = (left, TOP + ROW * (place + 0.5))
        below[leaf] = {families.get(models[leaf], "")}
    sizes = dict.fromkeys(range(count), 1)
    branches = []
    for step, (first, second, height) in enumerate(rows):
        node = count + step
        x = left + span * height / top_height
        (x1, y1), (x2, y2) = spots[first], spots[second]
        spots[node] = (x, (y1 + y2) / 2)
        below[node] = below[first] | below[second]
        sizes[node] = sizes[first] + sizes[second]
        path = f"M{x1:.1f} {y1:.1f}H{x:.1f}V{y2:.1f}H{x2:.1f}"
        family = next(iter(below[node])) if len(below[node]) == 1 else ""
        branches.append(Branch(path, height, sizes[node], family))
    leaves = [
        Leaf(models[leaf], families.get(models[leaf], ""), TOP + ROW * (place + 0.5))
        for place, leaf in enumerate(order)
    ]
    step_size = nice_step(top_height, 4)
    ticks = [
        (left + span * (i * step_size) / top_height, f"{i * step_size:g}")
        for i in range(int(top_height / step_size) + 1)
    ]
    return Dendrogram(leaves, branches, ticks, left, left + span + 16, TOP + ROW * count + 6)


def nice_step(span: float, wanted: int) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts the span into about that many."""
    if span <= 0:
        return 1.0
    raw = span / max(wanted, 1)
    power = 1.0
    while power > raw:
        power /= 10
    while power * 10 <= raw:
        power *= 10
    return next((factor * power for factor in (1, 2, 5) if factor * power >= raw), 10 * power)


def _label(model: str, families: Mapping[str, str]) -> str:
    family = families.get(model, "")
    name = short_name(model)
    return f"{name} · {family[:FAMILY]}" if family else name
