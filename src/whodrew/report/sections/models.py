"""Model by model: how often it is named, how much it varies, whom it is taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import render as template
from whodrew.report.figures import figure, number
from whodrew.report.values import as_list, as_map

MAX_ROWS = 400
TAKEN = 3


def render(context: Context) -> Markup:
    """The section, or nothing where no attack has figures by model."""
    variation = as_map(context.result.get("variation"))
    spread = {
        str(as_map(row).get("model")): as_map(row) for row in as_list(variation.get("per_model"))
    }
    blocks = [_rows(attack, spread) for attack in context.detailed]
    if not any(blocks):
        return Markup("")
    return template(
        "sections/models.html.j2",
        context=context,
        blocks=[block[:MAX_ROWS] for block in blocks],
        totals=[len(block) for block in blocks],
    )


def _rows(attack: Mapping[str, Any], spread: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for raw in as_list(attack.get("per_model")):
        entry = as_map(raw)
        model = str(entry.get("model"))
        near = as_map(spread.get(model))
        taken = [
            (str(as_map(one).get("model")), number(as_map(one).get("share")))
            for one in as_list(entry.get("taken_for"))[:TAKEN]
        ]
        rows.append(
            {
                "model": model,
                "n": entry.get("n"),
                "top1": figure(entry, "top1"),
                "intra": figure(near, "intra"),
                "nearest": str(near.get("nearest_model") or ""),
                "distance": figure(near, "distance"),
                "taken": [(name, share) for name, share in taken if name != model],
            }
        )
    return sorted(rows, key=_most_exposed)


def _most_exposed(row: dict[str, Any]) -> tuple[bool, float, str]:
    value = row["top1"].value
    return (value is None, -(value or 0.0), row["model"])
