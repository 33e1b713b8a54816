"""The table of attacks, and the details of the selected one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import render as template
from whodrew.report.figures import Figure, figure
from whodrew.report.values import as_map

TARGET_FIGURES = (
    ("auc", "AUC", "decimal"),
    ("eer", "Equal error rate", "percent"),
    ("tpr_at_fpr_1pct", "Found at 1 % false alarms", "percent"),
    ("tpr_at_fpr_0_1pct", "Found at 0.1 % false alarms", "percent"),
    ("balanced_accuracy", "Balanced accuracy", "percent"),
    ("accuracy", "Accuracy", "percent"),
    ("accuracy_of_always_no", "Accuracy of always saying no", "percent"),
)


def render(context: Context) -> Markup:
    """The section, or nothing where the result holds no attack."""
    if not context.attacks:
        return Markup("")
    rows = [_row(attack) for attack in context.attacks]
    return template(
        "sections/attacks.html.j2",
        context=context,
        rows=rows,
        hidden=len(context.all_attacks) - len(rows),
        target_figures=TARGET_FIGURES,
        canonical=any(attack.get("canonical") for attack in context.attacks),
    )


def _row(attack: Mapping[str, Any]) -> dict[str, Any]:
    against = as_map(attack.get("one_against_rest"))
    known, alone = against.get("all_known"), against.get("target_only")
    why = str(attack.get("one_against_rest_reason") or "")
    opened = attack.get("open_set")
    closed = str(attack.get("open_set_reason") or "")
    return {
        "attack": attack,
        "top1": figure(attack, "top1"),
        "top3": figure(attack, "top3"),
        "top5": figure(attack, "top5"),
        "ece": figure(attack, "ece"),
        "auc": _within(known, "auc", str(against.get("all_known_reason") or why)),
        "detected": _within(opened, "detected", closed),
        "balanced": figure(attack, "balanced_top1"),
        "family": figure(attack, "family_top1"),
        "known": known if isinstance(known, Mapping) else {},
        "alone": alone if isinstance(alone, Mapping) else {},
        "known_reason": str(against.get("all_known_reason") or why),
        "alone_reason": str(against.get("target_only_reason") or why),
        "open": opened if isinstance(opened, Mapping) else None,
        "open_reason": closed,
    }


def _within(holder: Any, name: str, reason: str) -> Figure:
    """A figure of an object that may itself be missing, for a reason of its own."""
    return figure(holder, name) if isinstance(holder, Mapping) else Figure(None, reason=reason)
