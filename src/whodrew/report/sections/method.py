"""How it was measured: encoders, software, counts, what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import clip
from whodrew.report.environment import render as template
from whodrew.report.figures import number
from whodrew.report.values import as_list, as_map

MAX_LISTED = 50
MAX_MEMBERS = 6


def render(context: Context) -> Markup:
    """The section."""
    arena = context.arena
    bad = [as_map(item) for item in as_list(arena.get("bad"))]
    return template(
        "sections/method.html.j2",
        context=context,
        arena=arena,
        generations=as_map(arena.get("generations_per_cell")),
        formats=[
            (clip(name, 60), value)
            for name, value in list(as_map(arena.get("formats")).items())[:12]
        ],
        encoders=[_encoder(as_map(raw)) for raw in as_list(context.result.get("encoders"))[:40]],
        software=list(as_map(context.result.get("software")).items())[:40],
        bad=bad[:MAX_LISTED],
        bad_total=len(bad),
        duplicates=_groups(arena.get("duplicates")),
        near=_groups(arena.get("near_duplicates")),
        unqueried=_unqueried(context),
        listed=MAX_LISTED,
    )


def _encoder(raw: Mapping[str, Any]) -> dict[str, Any]:
    preprocessing = raw.get("preprocessing")
    if isinstance(preprocessing, Mapping):
        preprocessing = ", ".join(f"{key}: {value}" for key, value in preprocessing.items())
    return {
        "name": str(raw.get("name", "")),
        "revision": str(raw.get("revision") or ""),
        "dimension": raw.get("dimension"),
        "scale": str(raw.get("scale") or ""),
        "preprocessing": str(preprocessing or ""),
        "seconds": number(raw.get("seconds")),
        "rate": number(raw.get("images_per_second")),
    }


def _groups(raw: Any) -> dict[str, Any]:
    groups = [[str(item) for item in as_list(group)] for group in as_list(raw)]
    shown = [(group[:MAX_MEMBERS], max(0, len(group) - MAX_MEMBERS)) for group in groups]
    return {
        "total": len(groups),
        "files": sum(len(group) for group in groups),
        "shown": shown[:MAX_LISTED],
    }


def _unqueried(context: Context) -> list[tuple[int, int]]:
    """Each distinct number of images that were no queries, and in how many attacks."""
    counts: dict[int, int] = {}
    for attack in context.all_attacks:
        left_out = number(attack.get("not_queried"))
        if left_out:
            counts[int(left_out)] = counts.get(int(left_out), 0) + 1
    return sorted(counts.items())
