"""The dendrogram of models."""

from __future__ import annotations

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.dendrogram import layout, valid_merges
from whodrew.report.environment import render as template
from whodrew.report.values import as_list, as_map

#: A drawing with more leaves is no longer read.
MAX_LEAVES = 400


def render(context: Context) -> Markup:
    """The section, or nothing where the result holds no whole linkage."""
    similarity = as_map(context.result.get("similarity"))
    merges = as_list(similarity.get("merges"))
    named = context.similarity_models
    rows = valid_merges(merges, len(named))
    if not rows:
        return Markup("")
    pairs = [
        (named[first], named[second], height)
        for first, second, height in rows
        if first < len(named) and second < len(named)
    ]
    drawn = layout(named, merges, context.families) if len(named) <= MAX_LEAVES else None
    related = [
        (first, second)
        for first, second, _ in pairs
        if context.families.get(first)
        and context.families.get(first) == context.families.get(second)
    ]
    return template(
        "sections/similarity.html.j2",
        context=context,
        similarity=similarity,
        tree=drawn,
        pairs=pairs[:3],
        total_pairs=len(pairs),
        related=len(related),
        count=len(named),
    )
