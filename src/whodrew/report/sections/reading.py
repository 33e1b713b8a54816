"""What each figure means, for somebody who runs an arena."""

from __future__ import annotations

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import render as template
from whodrew.report.values import as_map


def render(context: Context) -> Markup:
    """The section; explanations of what this result does not hold are left out."""
    knowledge = [as_map(attack.get("knowledge")) for attack in context.attacks]
    return template(
        "sections/reading.html.j2",
        context=context,
        once=any(part.get("shown") == "each-once" for part in knowledge),
        opened=any(attack.get("open_set") for attack in context.attacks),
        family=any(attack.get("family_top1") for attack in context.attacks),
    )
