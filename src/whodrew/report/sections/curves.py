"""Accuracy against the number of references and against the number of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from whodrew.report.charts import line_chart
from whodrew.report.context import Context
from whodrew.report.environment import render as template
from whodrew.report.values import as_list, as_map


def render(context: Context) -> Markup:
    """The section, or nothing where no attack has a curve."""
    blocks = [_block(attack) for attack in context.detailed]
    if not any(block["references"] or block["models"] for block in blocks):
        return Markup("")
    return template("sections/curves.html.j2", context=context, blocks=blocks)


def _block(attack: Mapping[str, Any]) -> dict[str, Any]:
    matched = as_map(attack.get("knowledge")).get("prompts") == "matched"
    unit = "references a cell" if matched else "references a model"
    return {
        "references": line_chart(as_list(attack.get("by_references")), "references", unit),
        "references_reason": str(attack.get("by_references_reason") or ""),
        "models": line_chart(as_list(attack.get("by_models")), "models", "models"),
        "models_reason": str(attack.get("by_models_reason") or ""),
        "unit": unit,
    }
