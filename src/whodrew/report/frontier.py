"""The page of a frontier: the plot, the attackers, pictures before and after."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from whodrew.errors import InputError
from whodrew.report.environment import render, source
from whodrew.report.figures import number

#: Pictures of an item: name, before, after, difference (WebP; empty where there is none).
Pictures = tuple[str, bytes, bytes, bytes]

WIDTH, HEIGHT = 680.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 18.0, 14.0, 46.0
#: Attackers in the order and with the marks they are drawn with.
MARKS = {
    "unchanged": "knows nothing of it",
    "adaptive": "defends its references too",
    "unseen-encoder": "through an encoder the defence never saw",
    "purifying": "re-encodes, shrinks or blurs first",
    "contrastive": "learns what changes an image",
    "fused": "several encoders together",
}


@dataclass(frozen=True)
class Spot:
    """One attacker against one defence, as drawn."""

    x: float
    y: float
    low: float | None
    high: float | None
    mark: str
    title: str
    strongest: bool
    number: int


@dataclass(frozen=True)
class Plot:
    """Accuracy against picture quality, in a box of ``WIDTH`` × ``HEIGHT`` user units."""

    spots: list[Spot]
    numbers: list[tuple[float, float, str]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    chance: float
    undefended: float | None
    frontier: str


def best_of(attackers: Sequence[Mapping[str, Any]], shown: str = "any") -> dict[str, Any]:
    """Returns, by kind of attacker, the one that names most of images shown one way."""
    found: dict[str, Any] = {}
    for one in attackers:
        rate = one.get("top1")
        if rate is None or rate.get("value") is None or one["knowledge"].get("shown") != shown:
            continue
        kept = found.get(one["attacker"])
        if kept is None or rate["value"] > kept["top1"]["value"]:
            found[one["attacker"]] = one
    return found


def plot_of(result: Mapping[str, Any]) -> Plot | None:
    """Returns the plot of a ``whodrew.frontier/1`` object; ``None`` without measured points."""
    points = [
        (at, point, ssim)
        for at, point in enumerate(result["points"], 1)
        if (ssim := number(point["quality"].get("ssim"))) is not None
    ]
    if not points:
        return None
    shown = _shown(result)
    lowest = min(ssim for _, _, ssim in points)
    step = next(
        one for one in (0.01, 0.02, 0.05, 0.1, 0.2) if (1 - lowest) / one <= 8 or one == 0.2
    )
    left = 1 - step * -(-(1 - lowest) // step)
    before = best_of(result["undefended"], shown).values()
    undefended = max((float(one["top1"]["value"]) for one in before), default=None)

    def x(ssim: float) -> float:
        span = max(1 - left, 1e-6)
        return LEFT + (WIDTH - LEFT - RIGHT) * (ssim - left) / span * 0.97

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    spots: list[Spot] = []
    numbers = []
    line = []
    for at, point, ssim in points:
        best = best_of(point["attackers"], shown)
        top = max((one["top1"]["value"] for one in best.values()), default=None)
        spots += [_spot(best[kind], point, x(ssim), y, at, top) for kind in MARKS if kind in best]
        if top is not None:
            numbers.append((x(ssim), y(top) - 11, str(at)))
            line.append((ssim, top))
    ticks = [left + step * count for count in range(round((1 - left) / step) + 1)]
    return Plot(
        spots=spots,
        numbers=numbers,
        x_ticks=[(x(tick), f"{tick:.2f}") for tick in ticks],
        y_ticks=[(y(share / 5), f"{share * 20}") for share in range(6)],
        chance=y(float(result["chance"])),
        undefended=None if undefended is None else y(undefended),
        frontier=_staircase(line, x, y),
    )


def _spot(one: Any, point: Any, x: float, y: Any, number_: int, top: float | None) -> Spot:
    rate = one["top1"]
    low, high = rate.get("low"), rate.get("high")
    within = "" if low is None else f" ({100 * low:.1f} to {100 * high:.1f})"
    title = (
        f"{point['defence']}: {MARKS[one['attacker']]}, {one['identifier']} on {one['encoder']}: "
        f"{100 * rate['value']:.1f} %{within}"
    )
    return Spot(
        x=x,
        y=y(rate["value"]),
        low=None if low is None else y(low),
        high=None if high is None else y(high),
        mark=one["attacker"],
        title=title,
        strongest=rate["value"] == top,
        number=number_,
    )


def _staircase(line: Sequence[tuple[float, float]], x: Any, y: Any) -> str:
    """Returns the path through the defences that none beats in both quality and accuracy."""
    best: list[tuple[float, float]] = []
    for ssim, top in sorted(line, key=lambda one: (-one[0], one[1])):
        if not best or top < best[-1][1]:
            best.append((ssim, top))
    if len(best) < 2:
        return ""
    return "M" + "L".join(f"{x(ssim):.1f} {y(top):.1f}" for ssim, top in best)


def without_defence(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the strongest on images as they are, by the columns of the table.

    Who looks through one encoder knows of no defence, as ``unchanged``, and has all of it, as
    ``adaptive``; the figure stands once, in the first of the two.
    """
    found = best_of(result["undefended"], _shown(result))
    return {"unchanged" if kind == "undefended" else kind: one for kind, one in found.items()}


def _shown(result: Mapping[str, Any]) -> str:
    ways = {one["knowledge"].get("shown") for one in result["undefended"]}
    return "any" if "any" in ways or not ways else "each-once"


def build_frontier(
    result: Mapping[str, Any], pictures: Mapping[str, Sequence[Pictures]] | None = None
) -> str:
    """The frontier as one HTML document that needs nothing beside it.

    Args:
        result: the ``frontier.json`` object (``whodrew.frontier/1``).
        pictures: by SPEC, pictures before and after.

    Returns:
        HTML, UTF-8.
    """
    shown = {
        spec: [
            (item, *(base64.b64encode(part).decode() for part in parts)) for item, *parts in some
        ]
        for spec, some in (pictures or {}).items()
    }
    return str(
        render(
            "frontier/page.html.j2",
            result=result,
            plot=plot_of(result),
            best=[best_of(point["attackers"], _shown(result)) for point in result["points"]],
            before=without_defence(result),
            learnt={point.get("learnt_from") for point in result["points"]},
            marks=MARKS,
            pictures=shown,
            style=Markup(source("report.css") + source("frontier/frontier.css")),  # noqa: S704
            width=WIDTH,
            height=HEIGHT,
            left=LEFT,
            right=RIGHT,
            top=TOP,
            bottom=BOTTOM,
        )
    )


class Result(Protocol):
    """What is written: a frontier of the defence room."""

    @property
    def points(self) -> Sequence[Any]:
        """One a defence, with its pictures."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Returns the object of ``frontier.json``."""
        ...

    def to_table(self) -> pa.Table:
        """Returns one row for each defence and attacker."""
        ...


def write_frontier(result: Result, out: Path) -> Path:
    """Writes ``frontier.json``, ``tables/frontier.parquet`` and ``report.html`` to a folder.

    Args:
        result: the frontier.
        out: the folder, made where it is missing.

    Returns:
        The path of the page.

    Raises:
        InputError: the folder cannot be written.
    """
    values = result.to_dict()
    pictures = {
        point.defence: [(one.item, one.before, one.after, one.difference) for one in point.pairs]
        for point in result.points
    }
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    table = io.BytesIO()
    pq.write_table(result.to_table(), table)
    page = build_frontier(values, pictures)
    try:
        (out / "tables").mkdir(parents=True, exist_ok=True)
        for name, data in (
            ("frontier.json", text.encode()),
            ("tables/frontier.parquet", table.getvalue()),
            ("report.html", page.encode()),
        ):
            unfinished = out / f"{name}.part"
            unfinished.write_bytes(data)
            unfinished.replace(out / name)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or out}: {error.strerror}") from error
    return out / "report.html"
