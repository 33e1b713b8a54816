"""Builds the page: plans what is shown, makes thumbnails, renders, and keeps to the size."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from whodrew.errors import InputError
from whodrew.report import masthead
from whodrew.report.answers import (
    Confusion,
    first_of_cells,
    pick_images,
    read_confusion,
    wanted_images,
)
from whodrew.report.context import MAX_ATTACKS, Context, Tables, check_result
from whodrew.report.environment import clip, render, script_json, source
from whodrew.report.sections import SECTIONS, confusion
from whodrew.report.strips import pictured, pictures, wanted_pictures
from whodrew.report.thumbs import Opener, Wanted, make_thumbs

#: The whole file is never larger, in bytes.
MAX_BYTES = 12_000_000
#: What details, matrices and lists may take of it, leaving the rest to thumbnails.
_DETAIL_BYTES = 4_000_000
#: Rows of figures by model, over all attacks with details.
_MODEL_ROWS = 4000
#: Images of a table up to which all of them are looked at for pictures.
MOST_ROWS: Final = 200_000
_SCRIPTS = ("report.js", "confusion.js")
#: Markup around one thumbnail in a strip, and its place in the lists of cells.
_BYTES_A_PICTURE = 330


def build_report(
    result: Mapping[str, Any],
    tables: Tables,
    image: Opener | None = None,
) -> str:
    """The report as one HTML document that needs nothing beside it.

    Args:
        result: the ``audit.json`` object (``whodrew.audit/1``).
        tables: reads a table by the name that the result gives it, ``tables/….parquet``;
            ``KeyError`` or ``FileNotFoundError`` where it is not there, and what rests on it
            is left out.
        image: opens the pixels of a path, or says ``None`` where there are none. Called from
            several threads at once. A picture that is not decoded yet is decoded small.

    Returns:
        HTML of at most :data:`MAX_BYTES` in UTF-8.

    Raises:
        InputError: the object is no audit.
    """
    check_result(result)
    context = Context(result=result, tables=tables)
    context.embedded = max(1, min(MAX_ATTACKS, _MODEL_ROWS // max(len(context.models), 1)))
    _plan(context)
    page = _page(context, {})
    while _size(page) > _DETAIL_BYTES and context.embedded > 1:
        # Weaker attacks lose their details before the strongest loses a picture.
        kept = context.embedded * _DETAIL_BYTES // _size(page)
        context.embedded = max(1, min(kept, context.embedded - 1))
        del context.confusions[context.embedded :]
        page = _page(context, {})
    if image is None:
        return page
    wanted = _wanted(context)
    room = MAX_BYTES - _size(page) - _BYTES_A_PICTURE * _strip_pictures(context) - 20_000
    thumbs = make_thumbs(wanted, image, room)
    while thumbs:
        page = _page(context, thumbs)
        if _size(page) <= MAX_BYTES:
            return page
        keep = len(thumbs) * 9 // 10
        thumbs = dict(list(thumbs.items())[:keep])
    return _page(context, {})


def write_report(out_dir: Path, image: Opener | None = None) -> Path:
    """Reads ``audit.json`` and its tables from a folder and writes ``report.html`` there.

    Args:
        out_dir: the folder that an audit wrote.
        image: opens the pixels of a path; without it the report has no thumbnails.

    Returns:
        The path of the report.

    Raises:
        InputError: there is no readable ``audit.json``, or a table's name leaves the folder.
    """
    folder = Path(out_dir)
    source_path = folder / "audit.json"
    try:
        result = json.loads(source_path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no audit.json: run 'whodrew audit' first") from error
    except ValueError as error:
        raise InputError(
            f"{source_path} is no JSON ({error}): run 'whodrew audit' again"
        ) from error
    if not isinstance(result, dict):
        raise InputError(f"{source_path} holds no object: run 'whodrew audit' again")
    page = build_report(result, _reader(folder), image)
    target = folder / "report.html"
    unfinished = folder / "report.html.part"
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(target)
    return target


def _reader(folder: Path) -> Tables:
    root = folder.resolve()

    def read(name: str) -> pa.Table:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise InputError(f"audit.json names a table outside of its folder: {clip(name)!r}")
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            return _rows(path)
        except pa.ArrowException as error:
            raise InputError(f"{path} is no readable Parquet file: {error}") from error

    return read


def _rows(path: Path) -> pa.Table:
    """Reads a table, or of very many images the first of each cell, group by group.

    The page shows some hundred pictures, for which ten million rows need not be held.
    """
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows <= MOST_ROWS or "image_id" not in file.schema_arrow.names:
            return file.read()
        groups = (file.read_row_group(number) for number in range(file.num_row_groups))
        return pa.concat_tables([first_of_cells(group) for group in groups])


def _plan(context: Context) -> None:
    """Decides which images are worth showing, the strongest attack's first."""
    most, least = pictured(context)
    context.strips = pictures(context, most + least)
    seen = {picture.image_id for strip in context.strips.values() for picture in strip}
    context.confusions = [
        Confusion(read_confusion(context.table(attack.get("confusion"))))
        for attack in context.detailed
    ]
    names = set(confusion.axis(context))
    for place, attack in enumerate(context.detailed):
        cells = pick_images(context.table(attack.get("answers")), names, seen)
        context.confusions[place] = replace(context.confusions[place], cells=cells)
        seen |= {shown.image_id for listed in cells.values() for shown in listed}


def _wanted(context: Context) -> list[Wanted]:
    """Every image that the page has a place for, in order of interest."""
    most, least = pictured(context)
    first, others = context.confusions[:1], context.confusions[1:]
    wanted: list[Wanted] = []
    for item in first:
        wanted += wanted_images(item, 0, 2)
    wanted += wanted_pictures(context.strips, [*most[:3], *least[:3]])
    for item in first:
        wanted += wanted_images(item, 2, 6)
    wanted += wanted_pictures(context.strips, [*most[3:], *least[3:]])
    for item in first:
        wanted += wanted_images(item, 6)
    for item in others:
        wanted += wanted_images(item, 0, 4)
    for item in others:
        wanted += wanted_images(item, 4)
    return wanted


def _strip_pictures(context: Context) -> int:
    return sum(len(strip) for strip in context.strips.values())


def _page(context: Context, thumbs: Mapping[str, str]) -> str:
    context.thumbs = {image_id: number for number, image_id in enumerate(thumbs)}
    bodies = []
    for section in SECTIONS:
        context.notes.clear()
        body = section.render(context)
        if body:
            bodies.append({"section": section, "body": body, "notes": list(context.notes)})
    context.notes.clear()
    script = "\n".join(source(name) for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return render(
        "shell.html.j2",
        context=context,
        masthead=masthead.render(context),
        bodies=bodies,
        # Both are our own files, never the arena's text.
        style=Markup(source("report.css") + source("sections/votes.css")),  # noqa: S704
        script=Markup(script),  # noqa: S704
        digest=digest,
        data=script_json(confusion.data(context)),
        thumbs=script_json({"type": "image/webp", "images": list(thumbs.values())}),
    )


def _size(page: str) -> int:
    return len(page.encode("utf-8"))
