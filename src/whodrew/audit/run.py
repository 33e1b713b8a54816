"""The main job: embed what is not yet embedded, run the attacks, measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sized
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from whodrew.arena import Arena, BadItem, read_families
from whodrew.audit.gather import Gathered, duplicate_groups
from whodrew.audit.headline import headline_of, strength_order
from whodrew.audit.jobs import Said, View, jobs_of, run_jobs
from whodrew.audit.options import AuditOptions
from whodrew.audit.prompts import prompts_of, similarity_of, variation_of
from whodrew.audit.result import Audit, file_name
from whodrew.audit.sources import Report, Source, embedded, open_source
from whodrew.errors import InputError, UsageError
from whodrew.identify.library import Library
from whodrew.identify.samples import Ints, Samples
from whodrew.measure.container import ContainerFigure, size_and_format
from whodrew.measure.survey import survey

CANONICAL_RANGE = (64, 512)


def audit(
    arena: str | Path | Arena,
    *,
    out: str | Path | None = None,
    options: AuditOptions | None = None,
    report: Report | None = None,
    said: Said | None = None,
    **changes: Any,
) -> Audit:
    """Audits an arena: how well can an outsider say who drew what?

    Args:
        arena: a folder, manifest, Parquet file or embedding store, or an opened ``Arena``.
        out: folder for ``audit.json``, ``report.html``, ``tables/`` and the store; nothing
            but the store is written when ``None`` (and that to a temporary folder).
        options: what to do; ``changes`` are applied to it, so that
            ``audit(folder, knowledge=("other",))`` works.
        report: told of the progress of encoding.
        said: told what is being done, and notes for people.
        **changes: fields of ``AuditOptions``.

    Returns:
        The result; ``out`` holds the same.

    Raises:
        UsageError: an option that cannot be served.
        InputError: an arena that cannot be audited, with the mend.
    """
    from whodrew.audit.write import working_folder, write_audit

    chosen = replace(options or AuditOptions(), **changes)
    chosen.check()
    with working_folder(out) as folder:
        result = _audit(arena, chosen, folder, report, said or (lambda _: None))
        if out is not None:
            write_audit(result, Path(out))
    return result


def _audit(
    given: str | Path | Arena, options: AuditOptions, out: Path, report: Report | None, said: Said
) -> Audit:
    source = open_source(given, options.layout)
    for note in source.notes:
        said(note)
    references = None
    if options.reference_arena is not None:
        references = open_source(options.reference_arena, options.layout)
        for note in references.notes:
            said(f"references: {note}")
    if source.arena is not None:
        _check_models(source.name, source.arena.images["model"].drop_null().unique(), options)
    views = list(_views(source, references, options, out, report, said))
    first = views[0]
    samples = first.samples
    _check_models(source.name, samples.models, options)
    families, family, bad = _families(options, source, samples)
    container = first.container
    canonical = first.canonical
    jobs = [job for view in views for job in jobs_of(view, options)]
    done = run_jobs(jobs, options, family, said)
    ordered = strength_order([result for _, results in done for result in results], canonical)
    found = [one for job, (one, _) in zip(jobs, done, strict=True) if job.view is first]

    said("surveying prompts")
    seen = survey(Library(samples, np.zeros(len(samples.prompts), dtype=np.int64)), options.seed)
    fallback = max(
        (one for one in found if not one.problem.matched and len(one.answers.rows)),
        key=lambda one: float((one.answers.scores.argmax(axis=1) == one.answers.model).mean()),
        default=None,
    )
    encoder = first.encoder
    similarity, tables = similarity_of(seen, samples.models, encoder)
    for result in ordered:
        tables |= result.tables
    tables["images.parquet"] = first.gathered.table.select(
        ["image_id", "path", "item", "model", "prompt_id", "prompt", "seed"]
    )
    return Audit(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=options.seed,
        arena=_arena_counts(source, views, families, bad),
        canonical=canonical,
        encoders=tuple(
            {**view.embedded.entry, "canonical": view.canonical}
            for view in views
            if view.references_from is None
        ),
        attacks=ordered,
        prompts=prompts_of(
            seen, samples.prompts, len(samples.models), _texts(source, first), encoder, fallback
        ),
        variation=variation_of(seen, samples.models, encoder, options.seed),
        similarity=similarity,
        container=container,
        headline=headline_of(ordered, container, canonical, synthetic=source.synthetic),
        tables=tables,
    )


def _check_models(source: str, models: Sized, options: AuditOptions) -> None:
    """Refuses an arena with too few models, before anything is encoded where it can."""
    count = len(models)
    if count < 2:
        raise InputError(
            f"{source} shows {count} model{'' if count == 1 else 's'}: "
            "naming needs images of at least 2"
        )
    if options.hide_models is not None and count - options.hide_models < 2:
        most = f"give at most {count - 2}" if count > 2 else "leave it out"
        raise UsageError(
            f"--hide-models {options.hide_models} leaves fewer than 2 of the {count} models "
            f"of {source} known: {most}"
        )


def _views(
    source: Source,
    references: Source | None,
    options: AuditOptions,
    out: Path,
    report: Report | None,
    said: Said,
) -> Iterator[View]:
    """Yields what is attacked: the canonical form first where the containers differ."""
    encoders = dict.fromkeys(options.encoders if source.arena else ("",))
    for encoder in encoders:
        store = options.store or out / "store" / file_name(encoder or "given")
        native = embedded(
            source, encoder, store, canonical=None, workers=options.workers, report=report
        )
        container = container_figure(native.gathered, options.seed)
        size = options.canonical
        if size is None and source.arena and container is not None and container.differs:
            size = canonical_size(native.gathered)
            said(f"size or format differ between models: also measured at {size}x{size}")
        forms = [native]
        if size is not None:
            shrunk = store.with_name(f"{store.name}-canonical-{size}")
            forms.insert(
                0,
                embedded(
                    source, encoder, shrunk, canonical=size, workers=options.workers, report=report
                ),
            )
        for index, form in enumerate(forms):
            canonical = size if len(forms) == 2 and index == 0 else None
            for note in form.notes:
                said(note)
            name = form.gathered.card.name
            leads = index == 0
            samples = form.gathered.samples()
            yield View(name, canonical, form, samples, None, None, container, leads)
            if references is not None:
                where = out / "store" / f"{file_name(encoder or 'given')}-references"
                if canonical is not None:
                    where = where.with_name(f"{where.name}-canonical-{canonical}")
                other = embedded(
                    references,
                    encoder or "fingerprint",
                    where,
                    canonical=canonical,
                    workers=options.workers,
                    report=report,
                )
                queries, known = shared_samples(form.gathered, other.gathered)
                yield View(name, canonical, form, queries, known, references.name, container, leads)


def shared_samples(queries: Gathered, references: Gathered) -> tuple[Samples, Samples]:
    """Returns both arenas' samples under shared code books of models, prompts and groups.

    Raises:
        UsageError: the two were encoded differently, or have no model in common.
    """
    first, second = queries.card, references.card
    if (first.name, first.revision, first.dimension) != (
        second.name,
        second.revision,
        second.dimension,
    ):
        raise UsageError(
            f"the arena is encoded by {first.name} ({first.dimension}), the references by "
            f"{second.name} ({second.dimension}): give both as images, or stores of one encoder"
        )
    models = [{name for name in one.column("model") if name} for one in (queries, references)]
    if not models[0] & models[1]:
        raise UsageError(
            "arena and reference arena have no model in common: their folders or model "
            f"columns name {_few(models[0])} and {_few(models[1])}"
        )
    model_names = sorted(models[0] | models[1])
    prompt_names = sorted({*queries.column("prompt_id"), *references.column("prompt_id")})
    columns = ["item", "image_id", "thumbnail"]
    both = pa.concat_tables(
        [queries.table.select(columns), references.table.select(columns)],
        promote_options="permissive",
    )
    group, _, _ = duplicate_groups(both)
    count = len(queries.table)
    return (
        queries.samples(model_names=model_names, prompt_names=prompt_names, group=group[:count]),
        references.samples(model_names=model_names, prompt_names=prompt_names, group=group[count:]),
    )


def _few(names: set[str]) -> str:
    some = sorted(names)[:3]
    return ", ".join(some) + (", …" if len(names) > 3 else "")


def canonical_size(gathered: Gathered) -> int:
    """Returns the side to bring images to: the smallest model's median short side.

    Rounded down to a multiple of 8 and kept between 64 and 512.
    """
    by_model: dict[str, list[int]] = {}
    for model, width, height in zip(
        gathered.column("model"), gathered.column("width"), gathered.column("height"), strict=True
    ):
        if model is not None and width and height:
            by_model.setdefault(model, []).append(min(width, height))
    least = min(float(np.median(sides)) for sides in by_model.values())
    low, high = CANONICAL_RANGE
    return int(np.clip(int(least) // 8 * 8, low, high))


def container_figure(gathered: Gathered, seed: int) -> ContainerFigure | None:
    """Returns what size and format give away, or ``None`` where they are not known."""
    sizes = list(zip(gathered.column("width"), gathered.column("height"), strict=True))
    return size_and_format(
        gathered.column("format"),
        sizes,
        gathered.column("model"),
        gathered.column("prompt_id"),
        seed,
    )


def _families(
    options: AuditOptions, source: Source, samples: Samples
) -> tuple[dict[str, str], Ints | None, tuple[BadItem, ...]]:
    bad: tuple[BadItem, ...] = ()
    families = dict(source.families)
    if options.family is not None:
        read, found, _ = read_families(options.family, samples.models)
        families, bad = dict(read), tuple(found)
    if not families:
        return families, None, bad
    names = [families.get(model, f"\0{model}") for model in samples.models]
    _, codes = np.unique(names, return_inverse=True)
    return families, codes.astype(np.int64), bad


def _texts(source: Source, view: View) -> dict[str, str]:
    texts = dict(source.texts)
    for name, text in zip(
        view.gathered.column("prompt_id"), view.gathered.column("prompt"), strict=True
    ):
        if text is not None:
            texts.setdefault(name, text)
    return texts


def _arena_counts(
    source: Source, views: list[View], families: dict[str, str], bad: tuple[BadItem, ...]
) -> dict[str, Any]:
    first = views[0]
    table = first.gathered.table
    known = [name for name in first.gathered.column("model") if name is not None]
    cells = Counter(
        (model, prompt)
        for model, prompt in zip(
            first.gathered.column("model"), first.gathered.column("prompt_id"), strict=True
        )
        if model is not None
    )
    sizes = np.array(list(cells.values()) or [0])
    formats = Counter(name or "unknown" for name in first.gathered.column("format"))
    items = dict.fromkeys(source.arena.bad if source.arena else ())
    for view in views:
        items |= dict.fromkeys(view.embedded.bad)
    items |= dict.fromkeys(bad)
    return {
        "source": source.name,
        "synthetic": source.synthetic,
        "images": len(table),
        "anonymous": len(table) - len(known),
        "models": len(set(known)),
        "prompts": len(set(first.gathered.column("prompt_id"))),
        "cells": len(cells),
        "generations_per_cell": {
            "min": int(sizes.min()),
            "median": float(np.median(sizes)),
            "max": int(sizes.max()),
        },
        "formats": dict(sorted(formats.items())),
        "families": families,
        "bad": [item.to_dict() for item in items],
        "duplicates": [list(group) for group in first.gathered.duplicates],
        "near_duplicates": [list(group) for group in first.gathered.near_duplicates],
    }
