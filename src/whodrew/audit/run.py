"""The main job: embed what is not yet embedded, run the attacks, measure."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from whodrew.arena import Arena, BadItem, read_families
from whodrew.audit.answers import all_labels
from whodrew.audit.cluster import on_engine
from whodrew.audit.headline import headline_of, strength_order
from whodrew.audit.jobs import Setting, jobs_of, run_jobs
from whodrew.audit.leaks import leaks_of
from whodrew.audit.options import AuditOptions
from whodrew.audit.prompts import prompts_of, similarity_of, variation_of
from whodrew.audit.result import Audit
from whodrew.audit.sources import Report, Source, open_source
from whodrew.audit.views import Said, View, on_common_images, views_of
from whodrew.audit.votes import open_log, votes_of
from whodrew.errors import InputError, UsageError
from whodrew.identify.library import Library
from whodrew.identify.samples import Ints, Samples
from whodrew.measure.survey import survey


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
    from whodrew.audit.write import scratch_folder, working_folder, write_audit

    chosen = replace(options or AuditOptions(), **changes)
    chosen.check()
    with working_folder(out) as folder, scratch_folder(folder) as scratch:
        spill = None if out is None else scratch
        with on_engine(chosen.engine, chosen.address, chosen.workers):
            result = _audit(arena, chosen, folder, scratch, spill, report, said or (lambda _: None))
        if out is not None:
            write_audit(result, Path(out))
    return result


def _audit(
    given: str | Path | Arena,
    options: AuditOptions,
    out: Path,
    scratch: Path,
    spill: Path | None,
    report: Report | None,
    said: Said,
) -> Audit:
    source = open_source(given, options.layout, options.columns)
    for note in source.notes:
        said(note)
    log = open_log(source, options, said)
    references = None
    if options.reference_arena is not None:
        references = open_source(options.reference_arena, options.layout, options.columns)
        for note in references.notes:
            said(f"references: {note}")
    if source.arena is not None:
        _check_models(source.name, source.arena.images["model"].drop_null().unique(), options)
    if source.arena is not None:
        said("reading what the files give away besides their pixels")
    files, no_files = leaks_of(source, options, report)
    told = files is not None and files.identifies
    views = on_common_images(
        list(views_of(source, references, options, out, scratch, report, said, told=told))
    )
    first = views[0]
    samples = first.samples
    _check_models(source.name, samples.models, options)
    families, family, bad = _families(options, source, samples)
    container = first.container
    canonical = first.canonical
    jobs = [job for view in views for job in jobs_of(view, options)]
    done = run_jobs(jobs, Setting(options, family, spill, said))
    ordered = strength_order([result for one in done for result in one.results], canonical)

    said("surveying prompts")
    seen = survey(Library(samples, np.zeros(len(samples.prompts), dtype=np.int64)), options.seed)
    fallback = max(
        (
            one
            for one in done
            if one.view is first and not one.found.problem.matched and one.tally.named.queries
        ),
        key=lambda one: one.tally.named.right.sum() / one.tally.named.queries,
        default=None,
    )
    encoder = first.encoder
    texts = {**first.gathered.texts(), **source.texts}
    similarity, tables = similarity_of(seen, samples.models, encoder)
    for result in ordered:
        tables |= result.tables
    votes = votes_of(log, samples.models, ordered, options, said)
    tables |= votes.tables
    tables["images.parquet"] = all_labels(first.gathered, spill)
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
        prompts=prompts_of(seen, samples.prompts, len(samples.models), texts, encoder, fallback),
        variation=variation_of(seen, samples.models, encoder, options.seed),
        similarity=similarity,
        container=container,
        leaks=files,
        leaks_reason=no_files,
        votes=votes,
        headline=headline_of(
            ordered, container, files, canonical, votes.sentence, synthetic=source.synthetic
        ),
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


def _arena_counts(
    source: Source, views: list[View], families: dict[str, str], bad: tuple[BadItem, ...]
) -> dict[str, Any]:
    first = views[0].gathered
    models = first.counts("model")
    anonymous = models.pop(None, 0)
    sizes = first.cells()
    formats = {name or "unknown": count for name, count in first.counts("format").items()}
    items = dict.fromkeys(source.arena.bad if source.arena else ())
    for view in views:
        items |= dict.fromkeys(view.embedded.bad)
    items |= dict.fromkeys(bad)
    return {
        "source": source.name,
        "synthetic": source.synthetic,
        "images": len(first),
        "anonymous": anonymous,
        "models": len(models),
        "prompts": len(first.counts("prompt_id")),
        "cells": len(sizes),
        "generations_per_cell": {
            "min": int(sizes.min()) if len(sizes) else 0,
            "median": float(np.median(sizes)) if len(sizes) else 0.0,
            "max": int(sizes.max(initial=0)),
        },
        "formats": dict(sorted(formats.items())),
        "families": families,
        "bad": [item.to_dict() for item in items],
        "duplicates": [list(group) for group in first.duplicates],
        "near_duplicates": [list(group) for group in first.near_duplicates],
    }
