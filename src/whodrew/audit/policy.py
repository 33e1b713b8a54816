"""The job of ``whodrew prompts``: what prompts give away, why, and which to keep."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whodrew.arena import Arena, BadItem
from whodrew.arena.labels import count
from whodrew.audit.options import AuditOptions
from whodrew.audit.policy_choose import Point, best_of, frontier, random_sets
from whodrew.audit.policy_power import Power, VotePower, by_images, by_texts, by_votes
from whodrew.audit.policy_predict import columns_of, looks_of, predictors_of
from whodrew.audit.policy_result import Choice, Prompts
from whodrew.audit.result import Audit, file_name
from whodrew.audit.run import audit
from whodrew.audit.sources import Report, Source, embedded, open_source
from whodrew.audit.views import Said
from whodrew.audit.write import working_folder, write_json
from whodrew.errors import InputError, UsageError
from whodrew.measure.intervals import Doubles, ratio
from whodrew.ranking import Votes, read_votes

KEEP: Final = 0.95
FEWEST: Final = 3


def prompts(  # noqa: PLR0913 - one argument an option of the command
    arena: str | Path | Arena,
    *,
    choose: int | None = None,
    keep: float = KEEP,
    votes: str | Path | Votes | None = None,
    vote_columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    out: str | Path | None = None,
    options: AuditOptions | None = None,
    report: Report | None = None,
    said: Said | None = None,
    **changes: Any,
) -> Prompts:
    """Measures what each prompt gives away, what predicts it, and which prompts to keep.

    Args:
        arena: as ``audit`` takes it.
        choose: number of prompts to choose; the frontier alone if ``None``.
        keep: share of the greatest power of a set of that size that the chosen one keeps.
        votes: a vote log with prompts: the power is then that to tell models apart; else
            the variety of the prompts.
        vote_columns: our names to the log's columns.
        skip_bad: count bad votes instead of refusing the log.
        out: folder for ``prompts.json``, ``tables/prompts.parquet``, ``chosen.csv`` and the
            store of embeddings.
        options: as for ``audit``; its identifiers name the images where no cell holds two.
        report: told of the progress of encoding.
        said: told what is being done.
        **changes: fields of ``options``.

    Raises:
        UsageError: an option that cannot be served.
        InputError: an arena or votes that cannot be used.
    """
    given = options or AuditOptions(identifiers=("whitened-centroid",), shown=("any",))
    chosen = replace(given, **{"curves": False, **changes})
    if not 0 <= keep <= 1:
        raise UsageError(f"--keep is {keep}: give a share between 0 and 1")
    if choose is not None and choose < 1:
        raise UsageError(f"--choose is {choose}: give 1 or more")
    said = said or (lambda _: None)
    log = votes
    if log is not None and not isinstance(log, Votes):
        log = read_votes(log, columns=vote_columns, skip_bad=skip_bad)
    source = open_source(arena, chosen.layout, chosen.columns)
    if source.arena is not None:
        _check(source.arena, log, choose)
    with working_folder(out) as folder:
        store = chosen.store or folder / "store" / file_name(chosen.encoders[0])
        chosen = replace(chosen, store=store, identifiers=_identifiers(source, chosen))
        # what the audit needs to open again is open already
        measured = audit(source.arena or source.name, options=chosen, report=report, said=said)
        power = partial(_power, source, chosen, log, report)
        wanted = None if choose is None else (choose, keep)
        done = _policy(source, measured, log, power, wanted, said)
        if out is not None:
            _write(done, Path(out))
    return done


def _policy(
    source: Source,
    measured: Audit,
    votes: Votes | None,
    power_of: Callable[[tuple[str, ...], Mapping[str, str]], tuple[Power, list[str]]],
    wanted: tuple[int, float] | None,
    said: Said,
) -> Prompts:
    by, entries = _leaks(measured.prompts["prompts"])
    unasked = len(measured.prompts["prompts"]) - len(entries)
    names = tuple(sorted(one["prompt_id"] for one in entries))
    if len(names) < FEWEST:
        raise InputError(
            f"{source.name} has {count(len(names), 'prompt')} that can be measured: "
            f"choosing among prompts needs {FEWEST} or more"
        )
    number, keep = wanted or (None, KEEP)
    if number is not None and number > len(names):
        raise UsageError(f"--choose {number} is more than the {len(names)} prompts: give fewer")
    known = {one["prompt_id"]: one for one in entries}
    leak = np.array([known[name]["leak"] for name in names])
    texts = {name: known[name]["prompt"] for name in names if known[name]["prompt"]}
    notes = [f"prompts whose images could not be asked about: {unasked}"] if unasked else []
    said("looking for what predicts it")
    arena = source.arena
    attributes = {} if arena is None else arena.prompt_attributes
    numbers, categories, odd = columns_of(names, texts, attributes)
    notes += odd
    if arena is not None:
        numbers |= looks_of(arena, names, measured.seed)
    power, more = power_of(names, texts)
    notes += more
    said("choosing prompts")
    sizes = _sizes(len(names), number)
    points = frontier(power, leak, sizes)
    choice = None
    if number is not None:
        best = best_of([one for one in points if len(one.chosen) == number], keep)
        expected = _fresh(best, leak, np.array([known[name]["images"] for name in names]), by)
        reason = None if expected is not None else "the noise of distinguishability is not known"
        choice = Choice(best, keep, expected, reason)
    figures: dict[str, Any] = {
        "kind": power.kind,
        "what": power.what,
        "all_prompts": power.value(range(len(names))),
    }
    if isinstance(power, VotePower):
        for name, slope, total in zip(names, power.slopes, power.votes, strict=True):
            known[name]["votes"], known[name]["vote_slope"] = float(total), float(slope)
        figures["votes"] = float(power.votes.sum())
        figures["models"] = len(power.scores)
    bad = [BadItem(one["item"], one["reason"]) for one in measured.arena["bad"]]
    bad += [] if votes is None else votes.bad
    chance = next((one[by]["chance"] for one in entries), None)
    counts = {name: measured.arena[name] for name in ("images", "models", "prompts")}
    return Prompts(
        created=measured.created,
        seed=measured.seed,
        arena=counts,
        names=names,
        prompts_from=measured.prompts["prompts_from"],
        entries=tuple(entries),
        leak_by=by,
        leak=ratio(
            leak,
            np.ones(len(leak)),
            seed=measured.seed,
            chance=chance,
            bounds=(0.0, 1.0) if by == "top1" else (-np.inf, 1.0),
        ),
        predictors=predictors_of(leak, numbers, categories, measured.seed),
        power=figures,
        choice=choice,
        frontier=tuple(points),
        random={size: random_sets(power, leak, size, measured.seed) for size in sizes},
        bad=tuple(bad),
        notes=tuple(notes),
    )


def _identifiers(source: Source, options: AuditOptions) -> tuple[str, ...]:
    """Returns the identifiers to run: none but the cheapest where distinguishability tells."""
    if source.arena is None:
        return options.identifiers
    cells = source.arena.images.group_by(["model", "prompt_id"]).aggregate([([], "count_all")])
    several = pc.max(cells["count_all"]).as_py() > 1
    return ("nearest-centroid",) if several else options.identifiers


def _check(arena: Arena, votes: Votes | None, number: int | None) -> None:
    """Refuses, before anything is encoded, what the arena cannot give.

    Raises:
        UsageError: more prompts are asked for than there are.
        InputError: the votes name no prompts, or none of the arena's.
    """
    names = arena.prompt_ids
    if number is not None and number > len(names):
        raise UsageError(f"--choose {number} is more than the {len(names)} prompts: give fewer")
    if votes is not None:
        by_votes(votes, names, arena.prompts)


def _leaks(entries: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Returns what the leak is measured by, and the entries that have it, with their leak."""
    by = "distinguishability" if any(one["distinguishability"] for one in entries) else "top1"
    found = [{**one, "leak": one[by]["value"]} for one in entries if one[by]]
    return by, found


def _power(
    source: Source,
    options: AuditOptions,
    votes: Votes | None,
    report: Report | None,
    names: tuple[str, ...],
    texts: Mapping[str, str],
) -> tuple[Power, list[str]]:
    if votes is not None:
        power, others = by_votes(votes, names, texts)
        notes = [*votes.notes]
        if others:
            notes.append(f"{count(others, 'battle')} of other prompts or of models without a score")
        if bare := int((power.votes == 0).sum()):
            notes.append(f"{count(bare, 'prompt')} without votes")
        return power, notes
    if len(texts) == len(names):
        return by_texts([texts[name] for name in names]), []
    assert options.store is not None
    made = embedded(
        source,
        options.encoders[0],
        options.store,
        canonical=None,
        workers=options.workers,
        report=report,
    )
    gathered = made.gathered
    centroids = np.stack(
        [
            np.asarray(
                gathered.vectors[np.flatnonzero(gathered.prompt == gathered.prompts.index(name))],
                dtype=np.float64,
            ).mean(axis=0)
            for name in names
        ]
    )
    return by_images(centroids), []


def _sizes(prompts: int, number: int | None) -> list[int]:
    wanted = {round(prompts * share) for share in (0.25, 0.5, 0.75)}
    if number is not None:
        wanted.add(number)
    return sorted(size for size in wanted if 1 <= size <= prompts)


def _fresh(best: Point, leak: Doubles, images: Doubles, by: str) -> float | None:
    """Returns what a set will leak on fresh images: chosen for little, it had luck, too.

    The measured accuracies are drawn to their mean by their reliability, 1 less the share of
    their variance that binomial noise explains (Kelley 1927). ``None`` where the leak is no
    accuracy.
    """
    if by != "top1":
        return None
    spread = float(leak.var())
    noise = float((leak.mean() * (1 - leak.mean()) / images).mean())
    reliability = max(0.0, 1 - noise / spread) if spread > 0 else 0.0
    return float(leak.mean() + reliability * (best.leak - leak.mean()))


def _write(done: Prompts, out: Path) -> None:
    """Writes the result, a table of it, and the chosen prompts.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        tables = out / "tables"
        tables.mkdir(parents=True, exist_ok=True)
        pq.write_table(done.to_table(), tables / "prompts.parquet")
        if done.choice is not None:
            texts = {one["prompt_id"]: one["prompt"] for one in done.entries}
            with (out / "chosen.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["prompt_id", "prompt"])
                for code in done.choice.point.chosen:
                    name = done.names[code]
                    writer.writerow([name, texts[name] or ""])
        write_json(done.to_dict(), out / "prompts.json")
    except OSError as error:
        what = error.filename or out
        raise InputError(f"cannot write {what}: {error.strerror or error}") from error
