"""The prompts that the report shows pictures of, and the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from whodrew.report.context import Context
from whodrew.report.thumbs import Picture, Wanted
from whodrew.report.values import as_list, as_map, column

PICTURED = 12
#: Models that one prompt shows at most.
MAX_PER_PROMPT = 80


def pictured(context: Context) -> tuple[list[int], list[int]]:
    """Positions in ``result.prompts`` of the most and of the least revealing, no overlap."""
    total = len(as_list(context.result.get("prompts")))
    most = min(PICTURED, (total + 1) // 2)
    least = min(PICTURED, total - most)
    return list(range(most)), list(range(total - 1, total - 1 - least, -1))


def pictures(context: Context, positions: list[int]) -> dict[int, list[Picture]]:
    """One image a model for each of those prompts, in the order of the dendrogram."""
    table = context.images
    prompts = as_list(context.result.get("prompts"))
    if table is None or "prompt_id" not in table.column_names:
        return {}
    wanted = {str(as_map(prompts[i]).get("prompt_id")): i for i in positions}
    ids = pc.cast(table.column("prompt_id"), pa.string())
    table = table.filter(pc.is_in(ids, value_set=pa.array(list(wanted), pa.string())))
    first: dict[tuple[int, str], tuple[str, Picture]] = {}
    names = ("image_id", "path", "model", "prompt_id", "seed")
    for image_id, path, model, prompt_id, seed in zip(
        *(column(table, name) for name in names), strict=True
    ):
        if not path or model is None:
            continue
        key = (wanted[str(prompt_id)], str(model))
        # The first seed in order, so that the page is the same whatever the table's order.
        rank = str(seed if seed is not None else "")
        if key not in first or rank < first[key][0]:
            first[key] = (rank, Picture(str(image_id), str(path), str(model)))
    order = {model: place for place, model in enumerate(context.models)}
    found: dict[int, list[Picture]] = {}
    for position, model in sorted(
        first, key=lambda key: (key[0], order.get(key[1], len(order)), key[1])
    ):
        picture = first[position, model][1]
        strip = found.setdefault(position, [])
        if len(strip) < MAX_PER_PROMPT:
            strip.append(picture)
    return found


def wanted_pictures(strips: Mapping[int, list[Picture]], positions: list[int]) -> list[Wanted]:
    """The pictures of those prompts as thumbnails to be made."""
    return [
        Wanted(picture.image_id, picture.path)
        for position in positions
        for picture in strips.get(position, [])
    ]


def ranked_by(prompts: list[Any]) -> str:
    """The key by which the list is ordered: distinguishability where any prompt has it."""
    keys = ("distinguishability", "top1", "margin")
    return next((key for key in keys if any(as_map(p).get(key) is not None for p in prompts)), "")
