"""The ranking by votes: the leaderboard with its intervals, and who beats whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import clip
from whodrew.report.environment import render as template
from whodrew.report.figures import Figure, count, figure, number, percent
from whodrew.report.values import as_list, as_map, column

MAX_ROWS = 200
#: Models in the matrix of wins.
MAX_MATRIX = 40
#: Width of the chart of ranks, and room at both ends, in user units.
WIDTH, MARGIN = 240.0, 12.0


@dataclass(frozen=True)
class Span:
    """A rank with its interval, on the scale of all ranks."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """What one model won against another: its share of the votes, and how it is shown."""

    text: str
    title: str
    kind: str
    weight: int


def render(context: Context) -> Markup:
    """The section, or nothing where there are no votes."""
    votes = as_map(context.result.get("votes"))
    ranking = as_map(votes.get("ranking"))
    board = [as_map(row) for row in as_list(ranking.get("leaderboard"))]
    if not board:
        return Markup("")
    last = sum(number(as_map(row.get("rank")).get("value")) is not None for row in board)
    triples = [as_list(one) for one in as_list(ranking.get("separable"))]
    apart = {(str(one[0]), str(one[1])): one[2] is True for one in triples if len(one) == 3}
    rows = [_row(row, last) for row in board]
    for row, below in pairwise(rows):
        row["apart"] = apart.get((row["model"], below["model"]))
    shown = rows[:MAX_ROWS]
    return template(
        "sections/votes.html.j2",
        context=context,
        ranking=ranking,
        rows=shown,
        hidden=len(rows) - len(shown),
        ticks=_ticks(last),
        width=WIDTH,
        told=sum(apart.values()),
        neighbours=len(apart),
        side=_side(ranking),
        without=[clip(name, 60) for name in as_list(votes.get("without_images"))[:MAX_ROWS]],
        matrix=_matrix(context, [row["model"] for row in rows[:MAX_MATRIX]]),
        models=len(rows),
    )


def place(rank: float, last: int) -> float:
    """Where a rank lies on the chart, in user units."""
    return MARGIN + (WIDTH - 2 * MARGIN) * (rank - 1) / max(last - 1, 1)


def _ticks(last: int) -> list[tuple[float, int]]:
    """Ranks that the axis names: the first, the last, and round ones between."""
    step = next((one for one in (1, 5, 10, 20, 50, 100) if last / one <= 12), 200)
    named = sorted({1, last, *(rank for rank in range(step, last + 1, step))})
    if len(named) > 2 and named[-1] - named[-2] < step / 2:
        del named[-2]
    return [(place(rank, last), rank) for rank in named]


def _row(raw: Mapping[str, Any], last: int) -> dict[str, Any]:
    rank = figure(raw, "rank")
    span = None
    if rank.value is not None and rank.low is not None and rank.high is not None:
        span = Span(*(place(one, last) for one in (rank.value, rank.low, rank.high)))
    return {
        "model": str(raw.get("model")),
        "rank": rank,
        "score": figure(raw, "score"),
        "first": figure(raw, "p_first"),
        "battles": raw.get("battles"),
        "won": figure(raw, "win_rate"),
        "span": span,
        "apart": None,
    }


def _side(ranking: Mapping[str, Any]) -> dict[str, Any]:
    """What the image shown first wins at equal strength, as a share, and its log odds."""
    bias = figure(ranking, "position_bias")
    if bias.value is None:
        return {"bias": bias, "share": bias, "felt": False}
    low, high = (None if one is None else _share(one) for one in (bias.low, bias.high))
    share = Figure(_share(bias.value), low, high)
    felt = bias.low is not None and bias.high is not None and (bias.low > 0 or bias.high < 0)
    return {"bias": bias, "share": share, "felt": felt}


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def _matrix(context: Context, models: list[str]) -> list[list[Cell | None]]:
    """Rows and columns in order of rank: what the row won against the column."""
    table = context.table(as_map(context.result.get("votes")).get("pairs"))
    if table is None or len(models) < 2:
        return []
    at = {model: index for index, model in enumerate(models)}
    found: list[list[Cell | None]] = [[None] * len(models) for _ in models]
    names = ("model_a", "model_b", "wins_a", "wins_b", "ties")
    for a, b, *amounts in zip(*(column(table, name) for name in names), strict=True):
        votes = [number(one) or 0.0 for one in amounts]
        if a not in at or b not in at or sum(votes) <= 0:
            continue
        for one, other, won, lost in ((a, b, votes[0], votes[1]), (b, a, votes[1], votes[0])):
            found[at[one]][at[other]] = _cell(one, other, won, lost, votes[2])
    return found


def _cell(one: str, other: str, won: float, lost: float, tied: float) -> Cell:
    share = (won + tied / 2) / (won + lost + tied)
    return Cell(
        text=f"{100 * share:.0f}",
        title=(
            f"{clip(one, 80)} against {clip(other, 80)}: {count(won)} won, {count(lost)} lost, "
            f"{count(tied)} ties, {percent(share)}"
        ),
        kind="hit" if share >= 0.5 else "miss",
        weight=round(200 * abs(share - 0.5)),
    )
