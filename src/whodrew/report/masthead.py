"""The top of the page: what was found, in one sentence and a few figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import clip
from whodrew.report.environment import render as template
from whodrew.report.figures import DASH, Figure, count, decimal, figure, interval, number, percent
from whodrew.report.values import as_list, as_map

LABELS = {
    "shown_any": "named right, each image by itself",
    "shown_each_once": "named right, a prompt's images together",
    "container_alone": "named right by the file alone",
    "size_and_format_alone": "named right by size and format alone",
    "as_served": "as served, each image by itself",
    "top1": "named right at once",
    "top3": "right within three",
    "top5": "right within five",
    "chance": "by guessing",
    "auc": "one against the rest, AUC",
    "ece": "calibration error",
    "ratio": "between ÷ within variation",
}
#: Figures that are shares of one even when they come as plain numbers.
SHARES = ("chance", "top3", "top5", "ece", "accuracy")
#: Figures that are no shares of one.
PLAIN = ("auc", "ratio", "distance", "distinguishability", "margin")
MAX_FIGURES = 8


def render(context: Context) -> Markup:
    """Sentence, figures, and the warnings that have to be read before them."""
    headline = as_map(context.result.get("headline"))
    container = as_map(context.result.get("container") or headline.get("container"))
    files = as_map(context.result.get("leaks"))
    told = files.get("identifies") is True
    strongest = context.attacks[0] if context.attacks else {}
    sentence = headline.get("sentence")
    return template(
        "masthead.html.j2",
        context=context,
        sentence=sentence if isinstance(sentence, str) else "",
        short=_short(as_map(headline.get("figures"))),
        tiles=_tiles(as_map(headline.get("figures")), strongest),
        synthetic=context.arena.get("synthetic") is True,
        differs=told or container.get("differs") is True,
        fields=_fields(files.get("fields") if told else container.get("fields")),
        container=figure(files, "accuracy_from_container") if told else figure(container, "top1"),
        strongest=strongest,
        strongest_top1=figure(strongest, "top1"),
        created=_when(context.result.get("created")),
    )


def _short(figures: Mapping[str, Any]) -> str:
    """The headline in a few words, from the first figure that has them."""
    for name, words in (
        ("shown_any", "of the images can be traced to the model that drew them"),
        ("shown_each_once", "of the images can be traced to their models, a prompt's together"),
    ):
        shown = figure(figures, name)
        if shown.value is not None:
            return f"{percent(shown.value)} {words}"
    return ""


def _tiles(figures: Mapping[str, Any], strongest: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures beside the sentence: those of the headline, else the strongest attack's."""
    tiles = [_tile(name, figures) for name in figures if not name.endswith("_reason")]
    tiles = [tile for tile in tiles if tile]
    if not tiles and strongest:
        tiles = [_tile(name, strongest) for name in ("top1", "top3", "top5")]
    return [tile for tile in tiles if tile][:MAX_FIGURES]


def _tile(name: str, holder: Mapping[str, Any]) -> dict[str, str]:
    raw = holder.get(name)
    if isinstance(raw, str):
        return {"label": _label(name), "value": clip(raw, 60), "within": "", "reason": ""}
    if not isinstance(raw, Mapping | int | float | None) or isinstance(raw, bool):
        return {}
    shown = figure(holder, name)
    plain = name in PLAIN or (shown.value is not None and not 0 <= shown.value <= 1)
    share = isinstance(raw, Mapping) or name in SHARES or name.endswith(("top1", "_share"))
    within = interval(shown, "decimal" if plain else "percent")
    beside = [f"95 % interval {within}"] if within else []
    if shown.chance is not None:
        beside.append(f"chance {decimal(shown.chance) if plain else percent(shown.chance)}")
    return {
        "label": _label(name),
        "value": _value(shown, share and not plain),
        "within": ", ".join(beside),
        "reason": clip(shown.reason),
    }


def _value(shown: Figure, share: bool) -> str:
    if shown.value is None:
        return DASH
    if share:
        return percent(shown.value)
    whole = float(shown.value).is_integer()
    return count(shown.value) if whole else decimal(shown.value, 1 if abs(shown.value) >= 10 else 2)


def _label(name: str) -> str:
    return LABELS.get(name, clip(name.replace("_", " "), 60))


def _when(raw: Any) -> str:
    """A moment as ``24 November 2026, 20:00 UTC``; what is no moment, as it stands."""
    try:
        moment = datetime.fromisoformat(str(raw))
    except ValueError:
        return clip(raw or "", 40)
    zone = f" {moment:%Z}" if moment.tzinfo else ""
    return f"{moment.day} {moment:%B %Y, %H:%M}{zone}"


def _fields(raw: Any) -> list[str]:
    """Names of the fields that differ, from a list of names, of objects, or a mapping."""
    named = list(raw) if isinstance(raw, Mapping) else as_list(raw)
    names = [
        item.get("what") or item.get("field") if isinstance(item, Mapping) else item
        for item in named
    ]
    return [clip(name, 40) for name in names if number(name) is None and name][:8]
