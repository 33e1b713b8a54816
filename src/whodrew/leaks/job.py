"""``whodrew.leaks``: reads the containers of an arena and says what they give away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whodrew.arena import Arena, is_embedding_table, parse_columns, read_arena
from whodrew.errors import InputError, UsageError
from whodrew.identify.samples import Ints
from whodrew.leaks.classify import accuracy_of
from whodrew.leaks.collect import Collected, Told, collect
from whodrew.leaks.columns import byte_sizes, duplicates
from whodrew.leaks.fields import BY_NAME, BYTE_SIZE
from whodrew.leaks.information import (
    LEVEL,
    PERMUTATIONS,
    Column,
    Finding,
    findings,
    orders,
    significant,
)
from whodrew.leaks.regions import LEAST_A_HALF, PER_MODEL, regions_of, wanted_rows
from whodrew.leaks.result import ByteSize, Leak, Leaks
from whodrew.leaks.spread import information_interval
from whodrew.measure.intervals import Rate

_LONGEST_EXAMPLE = 160
_SIDES = (16, 768)


def leaks(
    arena: str | Path | Arena,
    *,
    layout: str | None = None,
    columns: Mapping[str, str] | Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    permutations: int = PERMUTATIONS,
    told: Told | None = None,
    said: Callable[[str], None] | None = None,
) -> Leaks:
    """Says what the image files of an arena give away besides their pixels.

    Every file is read once. Of each model at most 16 images are also decoded, to look for
    regions that stay constant.

    Args:
        arena: a folder, manifest, Parquet file or shards, or an opened ``Arena``.
        layout: which folder level is which, where ``arena`` is no opened one.
        columns: our names to those of a manifest or table, or ``ours=theirs`` texts.
        seed: seeds permutations, resamples, folds and the choice of images.
        workers: threads that read; one a processor where not given.
        permutations: of models within prompts, at most.
        told: called with the number of images read and their total.
        said: told notes for people.

    Returns:
        The fields that are significant at 1 % (Holm), the accuracy of a classifier that sees
        the container alone, and byte size apart.

    Raises:
        UsageError: an embedding store, or an argument out of range.
        InputError: no image can be read, or fewer than two models are named.
    """
    if permutations < 99:
        raise UsageError(f"permutations is {permutations}: give 99 or more")
    if seed < 0:
        raise UsageError(f"seed is {seed}: give 0 or more")
    opened = _opened(arena, layout, columns)
    for note in opened.notes:
        if said is not None:
            said(note)
    names = opened.models
    if len(names) < 2:
        raise InputError(
            f"{opened.source} shows {len(names)} model{'' if len(names) == 1 else 's'}: "
            "telling them apart needs images of at least 2"
        )
    model = _codes(opened.images["model"], names)
    prompt = _codes(opened.images["prompt_id"], opened.prompt_ids)
    known = np.flatnonzero(model >= 0)
    looked_at = known[wanted_rows(model[known], prompt[known], seed)]
    read = collect(opened, looked_at, workers=workers, told=told)
    rows = read.rows[model[read.rows] >= 0]
    return _measured(opened, read, rows, model[rows], prompt[rows], seed, permutations)


def _opened(
    arena: str | Path | Arena, layout: str | None, columns: Mapping[str, str] | Sequence[str]
) -> Arena:
    if isinstance(arena, Arena):
        return arena
    if is_embedding_table(arena):
        raise UsageError(
            f"{arena} is an embedding store, which holds no files: give the arena of images "
            "that it was made from"
        )
    chosen = columns if isinstance(columns, Mapping) else parse_columns(list(columns))
    opened = read_arena(arena, layout=layout, columns=chosen)
    if len(opened) == 0:
        raise InputError(f"{arena} holds no image that can be read")
    return opened


def _codes(column: Any, names: Sequence[str]) -> Ints:
    import pyarrow as pa
    import pyarrow.compute as pc

    place = pc.index_in(column, value_set=pa.array(names, pa.string()))
    return np.asarray(pc.fill_null(place, -1)).astype(np.int64)


def _measured(
    arena: Arena,
    read: Collected,
    rows: Ints,
    model: Ints,
    prompt: Ints,
    seed: int,
    permutations: int,
) -> Leaks:
    present, model = np.unique(model, return_inverse=True)
    _, prompt = np.unique(prompt, return_inverse=True)
    names = tuple(arena.models[code] for code in present)
    if len(names) < 2:
        first = f" (first of {len(read.bad)}: {read.bad[0].item}: {read.bad[0].reason})"
        raise InputError(
            f"{arena.source} has files that can be read of {len(names)} models, and telling "
            f"them apart needs 2{first if read.bad else ''}"
        )
    columns = read.recorder.columns(rows, prompt)
    columns.append(duplicates(read.digest[rows], prompt))
    columns += _regions(read, rows, model, prompt, names)
    sizes = byte_sizes(read.size[rows], len(names))
    found = findings(columns, model, prompt, seed=seed, permutations=permutations)
    sized = findings([sizes], model, prompt, seed=seed, permutations=permutations)
    by_name = {column.name: column for column in columns}
    side = _side(read.recorder.short_sides(rows), model)
    kept = [
        _leak(by_name[one.name], one, model, prompt, names, side, seed)
        for one in significant(found)
    ]
    seen = [column for column in columns if BY_NAME[column.name].classified]
    notes = [*_few_orders(found, model, prompt)]
    looked_at = sum(row in read.windows for row in rows.tolist())
    if not looked_at:
        notes.append(
            "constant regions were not looked for: that takes images of "
            f"{2 * LEAST_A_HALF} prompts a model"
        )
    elif looked_at < len(rows):
        notes.append(
            f"constant regions were looked for in {looked_at} images, at most {PER_MODEL} a "
            f"model, drawn by seed"
        )
    return Leaks(
        source=arena.source,
        images=len(rows),
        anonymous=len(read.rows) - len(rows),
        models=names,
        prompts=int(prompt.max()) + 1,
        accuracy=accuracy_of(seen, model, prompt, seed=seed),
        fields=tuple(kept),
        byte_size=_byte_size(sizes, sized, model, prompt, side, seed),
        tested=tuple(column.name for column in columns),
        looked_at=looked_at,
        permutations=permutations,
        bad=(*arena.bad, *read.bad),
        notes=tuple(notes),
        seed=seed,
    )


def _regions(
    read: Collected, rows: Ints, model: Ints, prompt: Ints, names: Sequence[str]
) -> list[Column]:
    looked = np.array([row in read.windows for row in rows.tolist()], dtype=bool)
    if not looked.any():
        return []
    windows = [read.windows[row] for row in rows[looked].tolist()]
    codes, texts = regions_of(windows, model[looked], prompt[looked], names)
    value = np.full(len(rows), -1, np.int64)
    value[looked] = codes
    return [Column("constant_regions", value, texts, sampled=True)]


def _side(short: Ints, model: Ints) -> int:
    """Returns the side that a mend names: no larger than the images of the smallest model."""
    smallest = min(float(np.median(short[model == code])) for code in np.unique(model))
    return int(np.clip(smallest // 8 * 8, *_SIDES))


def _leak(
    column: Column,
    finding: Finding,
    model: Ints,
    prompt: Ints,
    names: Sequence[str],
    side: int,
    seed: int,
) -> Leak:
    field = BY_NAME[column.name]
    top = len(column.texts)
    there = column.value >= 0
    counts = np.bincount(model[there] * top + column.value[there], minlength=len(names) * top)
    most = counts.reshape(len(names), top)
    example = {
        name: column.texts[int(row.argmax())][:_LONGEST_EXAMPLE]
        for name, row in zip(names, most, strict=True)
        if row.any()
    }
    information = information_interval(column, finding, model, prompt, seed=seed)
    return Leak(
        field.name,
        field.what,
        information,
        finding.p_value,
        example,
        field.mend.format(size=side),
        field.in_container,
    )


def _byte_size(
    column: Column, found: Sequence[Finding], model: Ints, prompt: Ints, side: int, seed: int
) -> ByteSize:
    if not found:
        reason = "all files have the same number of bytes"
        return ByteSize(Rate(0.0, None, None, None, reason), 1.0, f"{reason}: nothing to tell")
    information = information_interval(column, found[0], model, prompt, seed=seed)
    bins = len(column.texts)
    note = f"in {bins} bins of equal counts; {BYTE_SIZE.format(size=side)}"
    return ByteSize(information, found[0].p_value, note)


def _few_orders(found: Sequence[Finding], model: Ints, prompt: Ints) -> list[str]:
    """Says so where too few labellings exist for any field to be significant."""
    if not found:
        return []
    cells = np.unique(np.stack([prompt, model]), axis=1)
    possible = orders(cells[0], cells[1])
    if possible >= np.log10(len(found) / LEVEL):
        return []
    told = (
        f"models can be permuted within prompts in only {10**possible:.0f} ways, too few for a "
        f"test at {LEVEL:.0%}: show more models or prompts"
    )
    return [told]
