"""``defend``: an arena's images into a defended arena, once each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from whodrew.arena import Arena, BadItem, iter_bytes
from whodrew.defend.arena_open import (
    Opened,
    opened_arena,
    opened_folder,
    profile_of,
    refuse_file,
    refuse_nested,
)
from whodrew.defend.arena_result import (
    PROFILE_FILE,
    TABLE_FILE,
    Defended,
    software,
)
from whodrew.defend.arena_tables import (
    as_table,
    folder_is_enough,
    notes_on,
    plans_of,
    table_medians,
    tables_beside,
)
from whodrew.defend.arena_work import Crew, dealt_shares, defended, examples
from whodrew.defend.base import Secret
from whodrew.defend.defence import Defence
from whodrew.defend.folders import targets
from whodrew.defend.ledger import Row
from whodrew.defend.quality import Perceptual, lpips_distance
from whodrew.defend.secrecy import NO_SECRET
from whodrew.embed import Progress
from whodrew.embed.engine import run_batches
from whodrew.embed.files import write_atomically
from whodrew.embed.pipeline import ENGINES
from whodrew.embed.result import Meter
from whodrew.errors import InputError, UsageError, WhodrewError
from whodrew.identify.parallel import one_thread_each
from whodrew.machine import processors

SAMPLE: Final = 32
Report = Callable[[Progress], None]


def defend(  # noqa: PLR0913 - the options of the command
    arena: Arena | str | Path,
    defence: Defence | str,
    out: str | Path,
    *,
    secret: Secret | str | None = None,
    profile: str | Path | None = None,
    draw: int = 0,
    workers: int | None = None,
    engine: str = "native",
    address: str | None = None,
    progress: Report | None = None,
    said: Callable[[str], None] | None = None,
    warned: Callable[[str], None] | None = None,
) -> Defended:
    """Writes the defended arena.

    ``OUT/<model>/<prompt_id>/<seed>.<ext>``, with ``prompts.csv`` and ``models.csv``;
    ``defended.parquet``, which has each image's labels, origin and quality, and reads as a
    manifest; ``defence.json``; and ``profile.npz`` where stages learn. Anonymous images lie
    in a hidden folder, that no reader takes for a model. All images have one time of change,
    and are written in a shuffled order. May be killed at any moment: the
    next run with the same defence and secret goes on, and defends again at most what each
    thread had in hand.

    Args:
        arena: the images, opened or where they lie.
        defence: a SPEC, or a defence, whose secret is then used.
        out: a new or empty folder, or one that an earlier run began.
        secret: the operator's. Where a stage draws at random and none is given, or a
            defence has the default one, which everybody knows, one is made and kept beside
            ``OUT``, in ``OUT.secret.txt``.
        profile: what stages learnt before; else they learn from this arena.
        draw: 0 is what is served; others are independent of it.
        workers: threads; one a processor where not given.
        engine: ``native`` (threads of this process) or ``ray`` (a cluster, whose machines
            share both folders).
        address: of the Ray cluster: ``auto``, ``HOST:PORT``, ``ray://HOST:PORT``; one is
            started on this machine for the run where not given.
        progress: called up to ten times a second, from any thread, one call at a time.
        said: gets lines for people while the run goes on.
        warned: gets those of them that must not be missed: that a secret was made, or can
            be read by others; ``said`` where not given.

    Returns:
        What was done; every image listed is counted as defended, reused or bad.

    Raises:
        UsageError: the SPEC cannot be read, the folder is of another defence, secret, draw
            or profile, or is being written by another run.
        InputError: no image can be defended, or the profile cannot be read.
        MissingExtraError: a stage needs modules that are not installed.
        WhodrewError: the folder cannot be written.
        KeyboardInterrupt: interrupted; what is written is whole.
    """
    began = time.monotonic()
    _check(workers=(workers, 1), draw=(draw, 0))
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}: {' or '.join(ENGINES)}")
    if address is not None and engine != "ray":
        raise UsageError(f"--address {address} is that of a Ray cluster: add --engine ray")
    refuse_file(Path(out))
    images = opened_arena(arena)
    chosen, given = _chosen(defence, secret, profile)
    said = said or _nobody
    run = _Run(images, chosen, draw, workers, progress, said, began, warned or said)
    return run.written(Path(out), given, engine, address)


def measure_defence(
    arena: Arena | str | Path,
    defence: Defence | str,
    *,
    images: int = SAMPLE,
    seed: int = 0,
    secret: Secret | str | None = None,
    profile: str | Path | None = None,
    draw: int = 0,
    workers: int | None = None,
    progress: Report | None = None,
) -> Defended:
    """Measures a defence on some images of an arena, one after the other; writes nothing.

    Args:
        arena: as for ``defend``.
        defence: as for ``defend``.
        images: how many, chosen by ``seed``.
        seed: chooses them.
        secret: the operator's; any will do to measure with.
        profile: what stages learnt before; else they learn from the whole arena.
        draw: as for ``defend``.
        workers: threads that decode for stages that learn.
        progress: as for ``defend``.

    Returns:
        Quality and time of these images.

    Raises:
        UsageError: as for ``defend``.
        InputError: none of them can be defended, or the profile cannot be read.
        MissingExtraError: a stage needs modules that are not installed.
    """
    began = time.monotonic()
    _check(workers=(workers, 1), draw=(draw, 0), images=(images, 1))
    opened = opened_arena(arena)
    chosen, given = _chosen(defence, secret, profile)
    run = _Run(opened, chosen, draw, workers, progress, _nobody, began, _nobody)
    return run.sampled(images, seed, given)


@dataclass
class _Run:
    """One run, as it was asked for."""

    arena: Arena
    defence: Defence
    draw: int
    workers: int | None
    progress: Report | None
    said: Callable[[str], None]
    began: float
    warned: Callable[[str], None]

    # ------------------------------------------------------------ a sample
    def sampled(self, count: int, seed: int, secret: Secret | str | None) -> Defended:
        """Measures some images, one after the other."""
        self.defence = self.defence.with_secret(secret or f"a dry run of seed {seed}")
        self._learn()
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(len(self.arena))[:count])
        part = self.arena.take(chosen.tolist())
        paths = targets(part, self.defence.served.ending)
        plans = plans_of(part, paths)
        labels = part.images.select(["item", "model", "prompt_id"]).to_pylist()
        perceptual, why = lpips_distance()
        rows: dict[int, Row] = {}
        bad: dict[int, str] = {}
        meter = Meter(self.progress, 0, len(part))
        with one_thread_each():
            for at, data in iter_bytes(part.images):
                try:
                    if isinstance(data, Exception):
                        raise data
                    _, facts = defended(
                        self.defence,
                        data,
                        labels[at],
                        draw=self.draw,
                        perceptual=perceptual,
                        clock=time.perf_counter,
                    )
                    rows[at] = {**plans[at], **facts}
                except WhodrewError as error:
                    bad[at] = getattr(error, "reason", None) or str(error)
                meter.add(1, len(data) if isinstance(data, bytes) else 0)
        meter.tell()
        items = part.images["item"]
        found = (*self.arena.bad, *(BadItem(items[at].as_py(), bad[at]) for at in sorted(bad)))
        _refuse_nothing(rows, found)
        return self._result(
            part, rows, found, written=len(rows), seconds=meter.seconds, lpips_reason=why
        )

    # ------------------------------------------------------------ a folder
    def written(
        self, out: Path, secret: Secret | str | None, engine: str, address: str | None
    ) -> Defended:
        """Writes the defended arena."""
        refuse_nested(self.arena.source, out)
        perceptual, why = lpips_distance()
        try:
            with opened_folder(
                out, self.defence, secret, self.draw, self.said, self.warned
            ) as folder:
                self.defence = folder.defence
                self._learn()
                folder.begin(self.defence)
                rows, bad, written, seconds = self._defend(folder, perceptual, engine, address)
                items = self.arena.images["item"]
                found = (
                    *self.arena.bad,
                    *(BadItem(items[at].as_py(), bad[at]) for at in sorted(bad)),
                )
                _refuse_nothing(rows, found)
                result = self._result(
                    self.arena,
                    rows,
                    found,
                    written=written,
                    seconds=seconds,
                    lpips_reason=why,
                    folder=folder,
                )
                self._finish(folder, result)
        except OSError as error:
            what = error.filename or out
            raise WhodrewError(f"cannot write {what}: {error.strerror or error}") from error
        return result

    def _defend(
        self, folder: Opened, perceptual: Perceptual | None, engine: str, address: str | None
    ) -> tuple[dict[int, Row], dict[int, str], int, float]:
        ledger = folder.ledger
        paths = targets(self.arena, self.defence.served.ending)
        plans = plans_of(self.arena, paths)
        names = self.arena.images["item"].to_pylist()
        if ledger.known and not ledger.known.keys() & set(names):
            raise UsageError(f"{folder.out} holds the images of another arena: give another --out")
        rows: dict[int, Row] = {}
        pending = []
        for at, plan in plans.items():
            known = None
            if plan["source_size"] is not None:
                known = ledger.still_there(names[at], plan)
            if known is None:
                pending.append(at)
            else:
                rows[at] = known
        meter = Meter(self.progress, len(rows), len(self.arena))
        ledger.open()
        bad: dict[int, str] = {}
        written = 0
        if pending:
            crew = Crew(
                self.arena.images,
                dealt_shares(self.arena.images, pending, plans, self.defence.secret),
                plans,
                self.defence,
                self.draw,
                perceptual,
                ledger,
                meter.add,
                rows,
                bad,
            )
            self._run(crew, engine, address)
            if crew.error is not None:
                raise crew.error
            if missing := [at for at in pending if at not in rows and at not in bad]:
                raise AssertionError(f"{len(missing)} images neither defended nor bad: a bug")
            written = crew.written
        meter.tell()
        return rows, bad, written, meter.seconds

    def _run(self, crew: Crew, engine: str, address: str | None) -> None:
        if engine == "ray":
            from whodrew.defend.arena_ray import run_on_ray

            run_on_ray(crew, address, self.workers)
            return
        workers = self.workers or processors()
        with one_thread_each():
            run_batches(crew.work, range(len(crew.shares)), workers=workers, size=1, stop=crew.stop)

    def _finish(self, folder: Opened, result: Defended) -> None:
        out = folder.out
        write_atomically(out / TABLE_FILE, lambda sink: pq.write_table(result.table, sink))
        for name, text in tables_beside(self.arena).items():
            data = text.encode("utf-8")
            write_atomically(out / name, lambda sink, data=data: sink.write(data))  # type: ignore[misc]
        folder.complete(result)
        folder.ledger.finish(set(result.table["path"].to_pylist()))

    # ------------------------------------------------------------ both
    def _learn(self) -> None:
        """Fits the stages that have not learnt yet."""
        if not self.defence.unfitted:
            return
        stages = " and ".join(self.defence.unfitted)
        self.said(f"{stages} learns from {len(self.arena):,} images first")
        with one_thread_each():
            self.defence = self.defence.fit(
                lambda: examples(self.arena, self.workers or processors())
            )

    def _result(
        self,
        arena: Arena,
        rows: Mapping[int, Row],
        bad: tuple[BadItem, ...],
        *,
        written: int,
        seconds: float,
        lpips_reason: str | None,
        folder: Opened | None = None,
    ) -> Defended:
        table = as_table(arena, rows)
        cost = table_medians(table, lpips_reason)
        out = None if folder is None else folder.out
        plain = folder_is_enough(arena, table)
        learns = profile_of(self.defence) is not None
        return Defended(
            arena=None if out is None else (out if plain else out / TABLE_FILE),
            out=out,
            spec=self.defence.spec,
            budget=self.defence.budget,
            format=self.defence.served.format,
            draw=self.draw,
            images=len(arena),
            defended=written,
            reused=len(rows) - written,
            bad=bad,
            quality=cost,
            milliseconds_per_image=float(np.median(table["milliseconds"])),
            file_sizes=len(table["file_bytes"].unique()),
            notes=tuple(notes_on(self.defence, table, out if not plain else None)),
            seconds=time.monotonic() - self.began,
            images_per_second=written / seconds if written and seconds > 0 else None,
            profile=PROFILE_FILE if learns and out is not None else None,
            secret_file=None if folder is None else folder.secret_file,
            sampled=folder is None,
            table=table,
            software=software(),
        )


def _check(**given: tuple[int | None, int]) -> None:
    for name, (value, least) in given.items():
        if value is not None and value < least:
            raise UsageError(f"{name} is {value}, must be at least {least}")


def _chosen(
    defence: Defence | str, secret: Secret | str | None, profile: str | Path | None
) -> tuple[Defence, Secret | str | None]:
    """Returns the defence, and the secret that was given, ``None`` where none was."""
    chosen = defence if isinstance(defence, Defence) else Defence.parse(defence, NO_SECRET)
    if secret is None and chosen.secret != NO_SECRET:
        secret = chosen.secret
    return (chosen if profile is None else chosen.with_profile(profile)), secret


def _refuse_nothing(rows: Mapping[int, Row], bad: Sequence[BadItem]) -> None:
    if not rows:
        first = f": {bad[-1].item}: {bad[-1].reason}" if bad else ""
        raise InputError(f"no image could be defended{first}")


def _nobody(text: str) -> None:
    del text
