"""The confusion matrix of the selected attack, with the images of each cell."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from whodrew.report.answers import Confusion, most_confused
from whodrew.report.context import Context
from whodrew.report.environment import clip
from whodrew.report.environment import render as template
from whodrew.report.figures import number
from whodrew.report.values import as_list, as_map
from whodrew.report.words import short_name

#: Rows and columns that a matrix shows at most.
MAX_MATRIX = 120
UNKNOWN = "unknown"


def render(context: Context) -> Markup:
    """The section, or nothing where no attack has a matrix."""
    first = next((item for item in context.confusions if item.counts), None)
    if first is None:
        return Markup("")
    names = axis(context)
    cells = any(item.cells for item in context.confusions)
    return template(
        "sections/confusion.html.j2",
        context=context,
        models=names,
        cut=len(all_names(context)) - len(names),
        most=most_confused(first.counts, [name for name in names if name != UNKNOWN]),
        cells=cells,
        pictures=bool(context.thumbs) and cells,
    )


def all_names(context: Context) -> list[str]:
    """Models in the order of the dendrogram, others named by a matrix, ``unknown`` last."""
    known = list(context.models)
    seen = set(known)
    others = {name for item in context.confusions for pair in item.counts for name in pair}
    rest = sorted(others - seen - {UNKNOWN})
    return known + rest + ([UNKNOWN] if UNKNOWN in others and UNKNOWN not in seen else [])


def axis(context: Context) -> list[str]:
    """The names that rows and columns show: all, or those most often wrong where too many."""
    names = all_names(context)
    if len(names) <= MAX_MATRIX:
        return names
    wrong: dict[str, int] = {}
    for item in context.confusions[:1]:
        for (truth, answer), many in item.counts.items():
            if truth != answer:
                wrong[truth] = wrong.get(truth, 0) + many
    worst = sorted(names, key=lambda name: (name != UNKNOWN, -wrong.get(name, 0), name))
    kept = set(worst[:MAX_MATRIX])
    return [name for name in names if name in kept]


def data(context: Context) -> dict[str, Any]:
    """What the script needs: names, counts, and the images of each cell."""
    names = axis(context)
    place = {name: i for i, name in enumerate(names)}
    texts = {
        str(as_map(row).get("prompt_id")): clip(as_map(row).get("prompt") or "", 160)
        for row in as_list(context.result.get("prompts"))
    }
    prompts: dict[str, int] = {}
    images: dict[str, tuple[int, int, int, str]] = {}
    attacks = [_attack(item, place, images, prompts, context) for item in context.confusions]
    return {
        "models": [clip(name) for name in names],
        "short": [short_name(name, 26) for name in names],
        "slim": [short_name(name, 15) for name in names],
        "prompts": [[clip(name, 80), texts.get(name, "")] for name in prompts],
        "images": [[thumb, prompt, clip(seed, 60)] for _, thumb, prompt, seed in images.values()],
        "attacks": attacks,
    }


def _attack(
    item: Confusion,
    place: dict[str, int],
    images: dict[str, tuple[int, int, int, str]],
    prompts: dict[str, int],
    context: Context,
) -> dict[str, Any]:
    totals = [0] * len(place)
    counts: list[int] = []
    for (truth, answer), many in item.counts.items():
        if truth in place:
            totals[place[truth]] += many
            if answer in place:
                counts += [place[truth], place[answer], many]
    cells: dict[str, list[list[Any]]] = {}
    for (truth, answer), shown in item.cells.items():
        if truth not in place or answer not in place:
            continue
        listed = []
        for one in shown:
            if one.image_id not in images:
                prompt = prompts.setdefault(one.prompt_id, len(prompts))
                thumb = context.thumbs.get(one.image_id, -1)
                images[one.image_id] = (len(images), thumb, prompt, one.seed)
            sure = number(one.probability)
            listed.append([images[one.image_id][0], None if sure is None else round(sure, 3)])
        cells[f"{place[truth]}-{place[answer]}"] = listed
    return {"counts": counts, "totals": totals, "cells": cells}
