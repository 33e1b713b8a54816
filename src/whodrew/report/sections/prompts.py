"""Prompts by how much they give away, with each model's picture for the extremes."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import render as template
from whodrew.report.figures import figure
from whodrew.report.strips import pictured, ranked_by
from whodrew.report.thumbs import Picture
from whodrew.report.values import as_list, as_map

#: Rows shown from either end of the list.
MAX_ROWS = 500

NAMES = {
    "distinguishability": "distinguishability",
    "top1": "leave-one-out top-1 accuracy",
    "margin": "mean margin",
}


def render(context: Context) -> Markup:
    """The section, or nothing where the result ranks no prompts."""
    prompts = as_list(context.result.get("prompts"))
    if not prompts:
        return Markup("")
    rows = [_row(i, as_map(raw)) for i, raw in enumerate(prompts)]
    cut = max(0, len(rows) - 2 * MAX_ROWS)
    shown = rows if not cut else [*rows[:MAX_ROWS], *rows[-MAX_ROWS:]]
    key = ranked_by(prompts)
    most, least = pictured(context)
    return template(
        "sections/prompts.html.j2",
        context=context,
        rows=shown,
        cut=cut,
        total=len(rows),
        key=key,
        key_name=NAMES.get(key, ""),
        most=_strips(context, rows, most),
        least=_strips(context, rows, least),
        source=as_map(context.result.get("prompts_from")),
        first=rows[0],
        last=rows[-1],
    )


def _row(place: int, raw: Any) -> dict[str, Any]:
    names = ("distinguishability", "top1", "margin", "silhouette")
    return {
        "rank": place + 1,
        "id": str(raw.get("prompt_id", "")),
        "text": str(raw.get("prompt") or ""),
        "images": raw.get("images"),
        **{name: figure(raw, name) for name in names},
    }


def _strips(
    context: Context, rows: list[dict[str, Any]], positions: list[int]
) -> list[dict[str, Any]]:
    strips = []
    for position in positions:
        pictures: list[Picture] = [
            picture
            for picture in context.strips.get(position, [])
            if picture.image_id in context.thumbs
        ]
        if pictures:
            strips.append({"row": rows[position], "pictures": pictures})
    return strips
