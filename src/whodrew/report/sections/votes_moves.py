"""What identification buys in ranks: votes needed against accuracy, and votes that decide now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from whodrew.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from whodrew.report.context import Context
from whodrew.report.environment import clip
from whodrew.report.environment import render as template
from whodrew.report.figures import DASH, Figure, count, figure, number, percent
from whodrew.report.values import as_list, as_map
from whodrew.report.words import plural

MAX_ORDERS = 60
#: Lines of the chart: so many numbers of ranks are told apart.
MAX_LINES = 3
#: Room above the budget for what is not reached within it.
ABOVE = 26.0


@dataclass(frozen=True)
class Spot:
    """Votes needed at one accuracy; ``reached`` is false where the budget does not do."""

    x: float
    y: float
    low: float | None
    high: float | None
    title: str
    reached: bool
    measured: bool


@dataclass(frozen=True)
class Line:
    """One number of ranks: its points by accuracy, and the path through those reached."""

    ranks: int
    spots: list[Spot]
    path: str


@dataclass(frozen=True)
class Chart:
    """Votes needed, on a logarithmic scale, against the accuracy of identification."""

    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    measured: float | None
    budget: float


def render(context: Context) -> Markup:
    """The section, or nothing where neither attack nor influence was computed."""
    votes = as_map(context.result.get("votes"))
    moved, decided = as_map(votes.get("simulate")), as_map(votes.get("influence"))
    curves = [as_map(one) for one in as_list(moved.get("curves"))]
    first = curves[0] if curves else {}
    strategy = first.get("strategy")
    curves = [one for one in curves if one.get("strategy") == strategy]
    if not curves and not decided:
        return Markup("")
    known = as_map(first.get("identification"))
    guessing = min(curves, key=_accuracy, default={})
    return template(
        "sections/votes_moves.html.j2",
        context=context,
        moved=moved,
        aim=as_map(moved.get("aim")),
        reason=clip(votes.get("simulate_reason") or ""),
        chart=_chart(curves, number(moved.get("budget"))),
        accuracy=number(known.get("accuracy")),
        strategy=str(strategy or ""),
        voted=number(first.get("share_of_battles_voted_on")),
        attack=as_map(known.get("attack")),
        rows=_rows(first, guessing, number(moved.get("honest_votes"))),
        shares=_shares(moved, known, as_map(guessing.get("identification"))),
        decided=clip(decided.get("sentence") or "", 400),
        orders=[_order(as_map(one)) for one in as_list(decided.get("orders"))[:MAX_ORDERS]],
        more=max(0, len(as_list(decided.get("orders"))) - MAX_ORDERS),
    )


def _accuracy(curve: Mapping[str, Any]) -> float:
    return number(as_map(curve.get("identification")).get("accuracy")) or 0.0


def _needed(curve: Mapping[str, Any], ranks: int) -> Mapping[str, Any]:
    found = (as_map(one) for one in as_list(curve.get("ranks")))
    return next((one for one in found if one.get("ranks") == ranks), {})


def _ranks(curve: Mapping[str, Any]) -> list[int]:
    """Numbers of ranks that exist: a model in the middle cannot rise by any number."""
    return [
        int(one["ranks"])
        for one in map(as_map, as_list(curve.get("ranks")))
        if number(one.get("ranks")) is not None and number(one.get("reached")) is not None
    ]


def _rows(
    first: Mapping[str, Any], guessing: Mapping[str, Any], honest: float | None
) -> list[dict[str, Any]]:
    """What the measured attacker needs, beside one who guesses."""
    rows = []
    for ranks in _ranks(first):
        one = _needed(first, ranks)
        needs = figure(one, "votes")
        rows.append(
            {
                "ranks": ranks,
                "to_rank": one.get("to_rank"),
                "votes": needs,
                "within": _within(needs),
                "share": None if needs.value is None or not honest else needs.value / honest,
                "battles": figure(one, "battles"),
                "reached": number(one.get("reached")),
                "guessing": figure(_needed(guessing, ranks), "votes"),
            }
        )
    return rows


def _within(needs: Figure) -> str:
    if needs.low is None:
        return ""
    if needs.high is None:
        return f"{count(needs.low)} and more"
    return f"{count(needs.low)}–{count(needs.high)}"


def _shares(
    moved: Mapping[str, Any], known: Mapping[str, Any], guessing: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rank reached where a share of all votes are attackers'."""
    rows: dict[float, dict[str, Any]] = {}
    for one in map(as_map, as_list(moved.get("by_share"))):
        share = number(one.get("share"))
        label = as_map(one.get("identification")).get("label")
        if share is None or label not in (known.get("label"), guessing.get("label")):
            continue
        row = rows.setdefault(
            share,
            {"share": share, "votes": one.get("votes"), "own": Figure(None), "guess": Figure(None)},
        )
        row["own" if label == known.get("label") else "guess"] = figure(one, "rank")
    return [rows[share] for share in sorted(rows)]


def _order(raw: Mapping[str, Any]) -> dict[str, Any]:
    battles, voters = as_map(raw.get("fewest_battles")), as_map(raw.get("fewest_voters"))
    return {
        "rank": raw.get("rank"),
        "upper": str(raw.get("upper")),
        "lower": str(raw.get("lower")),
        "gap": number(raw.get("gap")),
        "battles": figure(battles, "count"),
        "share": number(battles.get("share")),
        "exact": battles.get("exact") is True,
        "at_least": number(battles.get("at_least")),
        "voters": figure(voters, "count") if voters else figure(raw, "fewest_voters"),
    }


# ---------------------------------------------------------------- the chart
def _chart(curves: Sequence[Mapping[str, Any]], budget: float | None) -> Chart | None:
    if len(curves) < 2 or not budget or budget <= 1:
        return None
    wanted = _ranks(curves[0])[:MAX_LINES]
    ordered = sorted(curves, key=_accuracy)
    left = min(_accuracy(ordered[0]), 0.5)
    found = [_line(ordered, curves[0], ranks, left, budget) for ranks in wanted]
    lines = [line for line in found if line.spots]
    if not lines:
        return None
    marks = [mark for mark in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0) if mark >= left - 0.05]
    measured = _accuracy(curves[0])
    return Chart(
        lines=lines,
        x_ticks=[(_x(mark, left), f"{100 * mark:.0f}") for mark in marks],
        y_ticks=[(_y(mark, budget), count(mark)) for mark in _decades(budget)],
        measured=_x(measured, left),
        budget=_y(budget, budget),
    )


def _line(
    curves: Sequence[Mapping[str, Any]],
    measured: Mapping[str, Any],
    ranks: int,
    left: float,
    budget: float,
) -> Line:
    spots = []
    for curve in curves:
        one = _needed(curve, ranks)
        needs, accuracy = figure(one, "votes"), _accuracy(curve)
        value = needs.value
        reached = value is not None
        got = number(one.get("reached"))
        told = f"{count(value)} votes" if reached else f"not within {count(budget)} votes"
        if needs.low is not None:
            told += f" (95 %: {_within(needs)})"
        spots.append(
            Spot(
                x=_x(accuracy, left),
                y=TOP + 8 if value is None else _y(value, budget),
                low=None if needs.low is None else _y(needs.low, budget),
                high=None if not reached else TOP if needs.high is None else _y(needs.high, budget),
                title=(
                    f"{percent(accuracy)} named rightly, {plural(ranks, 'rank')}"
                    f": {told}, reached in {percent(got) if got is not None else DASH}"
                ),
                reached=reached,
                measured=curve is measured,
            )
        )
    path = "L".join(f"{one.x:.1f} {one.y:.1f}" for one in spots if one.reached)
    return Line(ranks, spots, f"M{path}" if "L" in path else "")


def _x(accuracy: float, left: float) -> float:
    return LEFT + 10 + (WIDTH - LEFT - RIGHT - 16) * (accuracy - left) / max(1 - left, 1e-9)


def _y(votes: float, budget: float) -> float:
    """1 vote at the bottom, the budget at the top, logarithmic."""
    part = math.log(min(max(votes, 1.0), budget)) / math.log(budget)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - ABOVE - BOTTOM) * part


def _decades(budget: float) -> list[float]:
    """1, 10, 100 …, and the budget where it is not close to the last."""
    marks = [10.0**power for power in range(int(math.log10(budget)) + 1)]
    if budget / marks[-1] < 2:
        marks.pop()
    return [*marks, budget]
