"""Tables of a defended arena: its rows, what they say, and what lies beside the images."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from whodrew.arena import Arena
from whodrew.defend.arena_result import TABLE, TABLE_FILE
from whodrew.defend.defence import Defence
from whodrew.defend.folders import ANONYMOUS
from whodrew.defend.ledger import Row
from whodrew.defend.quality import Quality, QualityMedians, medians


def plans_of(arena: Arena, paths: Sequence[str]) -> dict[int, Row]:
    """Returns what is known of each image before it is read; files are only looked at.

    Args:
        arena: the images.
        paths: where each goes.

    Returns:
        Index to facts; size and time of change are ``None`` for images in memory.
    """
    names = ["item", "path", "container"]
    seen: dict[str, tuple[int | None, int | None]] = {}
    plans: dict[int, Row] = {}
    for at, row in enumerate(zip(*(arena.images[n].to_pylist() for n in names), strict=True)):
        item, path, container = row
        place = path or container
        if place is not None and place not in seen:
            try:
                info = Path(place).stat()
                seen[place] = info.st_size, info.st_mtime_ns
            except (OSError, ValueError):  # reading it will say why
                seen[place] = -1, -1
        size, changed = (None, None) if place is None else seen[place]
        plans[at] = {
            "path": paths[at],
            "source_item": item,
            "source_size": size,
            "source_mtime_ns": changed,
        }
    return plans


def as_table(arena: Arena, rows: Mapping[int, Row]) -> pa.Table:
    """Returns ``TABLE``: labels from the arena, facts from the rows."""
    order = sorted(rows)
    labels = arena.images.take(pa.array(order, pa.int64()))
    columns = {
        field.name: labels[field.name]
        if field.name in ("model", "prompt_id", "prompt", "seed")
        else pa.array([rows[at][field.name] for at in order], field.type)
        for field in TABLE
    }
    return pa.table(columns, schema=TABLE)


def table_medians(table: pa.Table, lpips_reason: str | None) -> QualityMedians:
    """Returns the medians of the quality columns of ``TABLE``."""
    columns = (table[name].to_pylist() for name in ("psnr", "ssim", "lpips", "max_change"))
    return medians(map(Quality, *columns), lpips_reason=lpips_reason)


def folder_is_enough(arena: Arena, table: pa.Table) -> bool:
    """Says whether reading the folder gives the arena's labels back."""
    names = ("path", "model", "prompt_id", "prompt", "seed")
    for path, model, prompt_id, prompt, seed in zip(
        *(table[name].to_pylist() for name in names), strict=True
    ):
        if path.rpartition(".")[0] != f"{model}/{prompt_id}/{seed}":
            return False
        if prompt != arena.prompts.get(prompt_id):
            return False
    return True


def notes_on(defence: Defence, table: pa.Table, out: Path | None) -> Iterator[str]:
    """Says what is not as an operator would have it.

    Args:
        defence: what was done.
        table: ``TABLE``.
        out: the folder, where it cannot be read as such.
    """
    sizes = len(table["file_bytes"].unique())
    if defence.served.pad and sizes > 1:
        largest = max(table["file_bytes"].to_pylist())
        yield (
            f"padding to {defence.served.pad} bytes leaves {sizes} file sizes, up to "
            f"{largest}: take pad={largest} for one"
        )
    shapes = set(zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True))
    if len(shapes) > 1:
        yield (
            f"the images have {len(shapes)} sizes in pixels, which may tell the model: begin "
            "with canonical(size=768)"
        )
    if out is not None:
        yield (
            f"folders cannot hold all labels (anonymous images lie in {ANONYMOUS}, odd names are "
            f"changed): read {out / TABLE_FILE} as the arena"
        )


def tables_beside(arena: Arena) -> dict[str, str]:
    """Returns ``prompts.csv`` and ``models.csv``."""
    attributes = sorted({name for row in arena.prompt_attributes.values() for name in row})
    texts = ["prompt"] if arena.prompts else []
    prompts = [["prompt_id", *texts, *attributes]]
    for name in arena.prompt_ids:
        more = arena.prompt_attributes.get(name, {})
        text = [arena.prompts.get(name, "")] if texts else []
        prompts.append([name, *text, *(more.get(one, "") for one in attributes)])
    found = {"prompts.csv": _csv(prompts)}
    if arena.models:
        models = [[name, arena.families.get(name, "")] for name in arena.models]
        found["models.csv"] = _csv([["model", "family"], *models])
    return found


def _csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
