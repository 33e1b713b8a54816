"""Variation within a model against variation between models."""

from __future__ import annotations

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import render as template
from whodrew.report.figures import figure
from whodrew.report.values import as_map


def render(context: Context) -> Markup:
    """The section, or nothing where variation was not measured."""
    variation = as_map(context.result.get("variation"))
    if not variation:
        return Markup("")
    return template(
        "sections/variation.html.j2",
        context=context,
        variation=variation,
        intra=figure(variation, "intra"),
        inter=figure(variation, "inter"),
        ratio=figure(variation, "ratio"),
    )
