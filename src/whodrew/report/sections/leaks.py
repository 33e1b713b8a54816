"""What the files give away besides their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import clip
from whodrew.report.environment import render as template
from whodrew.report.figures import figure, missing, number
from whodrew.report.values import as_list, as_map

MAX_FIELDS = 40
MAX_VALUES = 8
MAX_MODELS = 6
MAX_MENDS = 6


def render(context: Context) -> Markup:
    """The section, or nothing where files were not looked at."""
    leaks = as_map(context.result.get("leaks"))
    if not leaks:
        return Markup("")
    raw = [as_map(one) for one in as_list(leaks.get("fields"))]
    size = as_map(leaks.get("byte_size"))
    return template(
        "sections/leaks.html.j2",
        context=context,
        accuracy=figure(leaks, "accuracy_from_container"),
        fields=[_field(one) for one in raw[:MAX_FIELDS]],
        hidden=max(0, len(raw) - MAX_FIELDS),
        mends=list(dict.fromkeys(clip(one.get("mend") or "") for one in raw))[:MAX_MENDS],
        tested=len(as_list(leaks.get("tested"))),
        size=figure(size, "information_bits") if size else missing("not measured"),
        size_p=number(size.get("p_value")),
        notes=[clip(one) for one in as_list(leaks.get("notes"))[:MAX_MENDS]],
    )


def _field(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A field with its values, each once, and the models that have it."""
    by_value: dict[str, list[str]] = {}
    for model, value in as_map(raw.get("example")).items():
        by_value.setdefault(clip(value, 120), []).append(str(model))
    # what fewest models have tells most
    ordered = sorted(by_value.items(), key=lambda pair: len(pair[1]))
    return {
        "name": clip(raw.get("field") or "", 60),
        "what": clip(raw.get("what") or raw.get("field") or "", 120),
        "bits": figure(raw, "information_bits"),
        "p": number(raw.get("p_value")),
        "values": [
            {"text": text, "models": models[:MAX_MODELS], "more": len(models[MAX_MODELS:])}
            for text, models in ordered[:MAX_VALUES]
        ],
        "more": max(0, len(ordered) - MAX_VALUES),
    }
