"""``embed``: an arena's images into a store, once each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whodrew.arena import Arena, BadItem, read_arena
from whodrew.embed.card import CARD_FILE, card_difference, encoder_card, read_card, write_card
from whodrew.embed.compact import compact, gather
from whodrew.embed.engine import batch_size, run_batches
from whodrew.embed.files import TEMPORARY, is_lock, locked, sweep
from whodrew.embed.parts import LABELS, PART_IMAGES, list_parts, read_labels, write_part
from whodrew.embed.places import ObjectPath, Place, as_place
from whodrew.embed.plan import Known, Plan, make_plan, read_known
from whodrew.embed.result import EmbedResult, Meter, Progress
from whodrew.embed.vectors import Matrix
from whodrew.embed.worker import Bad, Same, Worker
from whodrew.encoders.base import Encoder, EncoderCard
from whodrew.encoders.registry import get_encoder
from whodrew.errors import UsageError, WhodrewError
from whodrew.machine import processors

if TYPE_CHECKING:
    from whodrew.embed.ray_engine import RayEngine

ENGINES: Final = ("native", "ray")
_COPY_ROWS = 4096
Results = Mapping[int, Bad | Same | None]


def embed(
    arena: Arena | str | Path,
    encoder: Encoder | str,
    store: str | Path | ObjectPath,
    *,
    canonical: int | None = None,
    workers: int | None = None,
    engine: str = "native",
    address: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> EmbedResult:
    """Encodes the images of an arena that a store does not hold yet.

    May be interrupted at any moment, by the power too: the next run goes on where it
    stopped, and encodes again at most one unfinished part per worker. Both engines write
    the same rows. An image is known by
    its bytes, a file by path, size and time of change: what is unchanged is not read,
    what has moved is not encoded again.

    Args:
        arena: the images, opened or where they lie.
        encoder: an encoder or the name of one. Its ``encode`` is called from several
            threads at once, on ``encoder.batch_size`` images (1 where it has no such
            attribute). An attribute ``max_workers`` limits how many at once.
        store: folder of the store, made where there is none; or ``s3://bucket/prefix``,
            ``gs://…``, ``abfs://…``.
        canonical: encode the canonical form of this side in pixels instead of the image.
        workers: threads; one per processor where not given. With more than one, the
            threads of numerical libraries are limited to one each. On Ray: how many
            partitions at most each machine works on at once.
        engine: ``native`` (threads of this process) or ``ray`` (a cluster). A process can
            use one of them in its life.
        address: of the Ray cluster: ``auto``, ``HOST:PORT``, ``ray://HOST:PORT``; one is
            started on this machine for the run where not given.
        progress: called up to ten times a second with the state; from any thread, one
            call at a time.

    Returns:
        What was done; every image listed is counted as encoded, reused or bad.

    Raises:
        UsageError: unknown encoder or engine, a store of another card, one being written,
            or an encoder that cannot be sent to other machines.
        MissingExtraError: Ray is not installed.
        InputError: a part of the store is damaged.
        WhodrewError: the store cannot be written, or the cluster fails.
        KeyboardInterrupt: interrupted; the store is whole.
    """
    began = time.monotonic()
    if not isinstance(arena, Arena):
        arena = read_arena(arena)
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}, must be at least 1")
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}: {' or '.join(ENGINES)}")
    if address is not None and engine != "ray":
        raise UsageError(f"--address {address} is that of a Ray cluster: add --engine ray")
    chosen = get_encoder(encoder) if isinstance(encoder, str) else encoder
    card = encoder_card(chosen, canonical)
    folder = as_place(store)
    cluster = _cluster(engine, chosen, encoder, workers, address)
    try:
        _prepare(folder)
        with locked(folder):
            sweep(folder)
            _claim(folder, card)
            known = read_known(folder)
            plan = make_plan(arena, known)
            meter = Meter(progress, plan.reused + len(plan.bad), len(arena))
            if cluster is None:
                worker = Worker(
                    arena.images,
                    plan,
                    known.images,
                    chosen,
                    card,
                    canonical=canonical,
                    folder=folder,
                    run=known.run,
                    told=meter.add,
                )
                _run(worker, plan, _workers(chosen, workers, len(plan.pending)))
                became: Results = worker.results
                failed: Mapping[str, Bad] = worker.failed
                encoded = sum(result is None for result in became.values())
            else:
                cluster.run(
                    arena.images,
                    plan,
                    known,
                    card,
                    canonical=canonical,
                    folder=folder,
                    meter=meter,
                )
                became, failed = cluster.results, {}
                _check(plan, became)
                encoded = _newly_encoded(folder, known)
            seconds = meter.seconds
            _finish(arena, folder, known, plan, became, failed)
            compact(folder)
            meter.tell()
    except OSError as error:
        what = error.filename or folder
        raise WhodrewError(f"cannot write the store: {what}: {error.strerror or error}") from error
    reused = len(arena) - encoded - len(plan.bad)
    return EmbedResult(
        store=folder,
        card=card,
        images=len(arena),
        encoded=encoded,
        reused=reused,
        bad=tuple(plan.bad),
        seconds=time.monotonic() - began,
        images_per_second=encoded / seconds if encoded and seconds > 0 else None,
    )


def _cluster(
    engine: str, encoder: Encoder, given: Encoder | str, workers: int | None, address: str | None
) -> RayEngine | None:
    if engine == "native":
        return None
    from whodrew.embed.ray_engine import RayEngine

    return RayEngine(encoder, given if isinstance(given, str) else None, workers, address)


def _newly_encoded(folder: Place, known: Known) -> int:
    """Counts the image_ids that workers of this run have encoded."""
    names = read_labels(list_parts(folder, known.run), ["image_id"])["image_id"]
    return len(pc.unique(names))


def _prepare(folder: Place) -> None:
    """Makes the folder, refusing one that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the store {folder} is a file: give a folder")
    if isinstance(folder, ObjectPath):
        names: Iterable[str] = folder.listing()
    else:
        folder.mkdir(parents=True, exist_ok=True)
        names = os.listdir(folder)  # noqa: PTH208
    if CARD_FILE in names:
        return
    others = [name for name in names if not name.endswith(TEMPORARY) and not is_lock(name)]
    if others:
        raise UsageError(
            f"{folder} is no store of whodrew's (it holds {min(others)!r} and no "
            f"{CARD_FILE}): give a new or an empty folder"
        )


def _claim(folder: Place, card: EncoderCard) -> None:
    """Writes the card of a new store; compares that of an old one."""
    stored = read_card(folder)
    if stored is None:
        write_card(folder, card)
    elif difference := card_difference(stored, card):
        raise UsageError(
            f"the store {folder} is of another encoder ({difference}): "
            "give another --store, or delete this one"
        )


def _workers(encoder: Encoder, workers: int | None, pending: int) -> int:
    count = workers or processors()
    most = getattr(encoder, "max_workers", None)
    return max(1, min(count, most or count, pending))


def _run(worker: Worker, plan: Plan, workers: int) -> None:
    """Encodes what is pending."""
    if not plan.pending:
        return
    size = batch_size(len(plan.pending), workers, PART_IMAGES)
    with _one_thread_each(workers > 1):
        run_batches(worker.work, plan.pending, workers=workers, size=size, stop=worker.stop)
    if worker.error is not None:
        raise worker.error
    _check(plan, worker.results)


def _check(plan: Plan, results: Results) -> None:
    if missing := [at for at in plan.pending if at not in results]:
        raise AssertionError(f"{len(missing)} images were neither encoded nor bad: a bug")


def _one_thread_each(limit: bool) -> Any:
    """Limits numerical libraries to one thread a worker, so that workers do not fight."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(limits=1 if limit else None)


def _finish(
    arena: Arena,
    folder: Place,
    known: Known,
    plan: Plan,
    results: Results,
    failed: Mapping[str, Bad],
) -> None:
    """Gives a row to images whose bytes were known, and counts the bad ones."""
    copies: list[tuple[int, str]] = []
    items = arena.images["item"]
    rows = known.pairs() if any(isinstance(r, Same) for r in results.values()) else set()
    for at, result in sorted(results.items(), key=lambda pair: pair[0]):
        found = result
        if isinstance(found, Same) and found.image_id in failed:
            found = failed[found.image_id]
        if isinstance(found, Bad):
            plan.bad.append(BadItem(items[at].as_py(), found.reason))
        elif isinstance(found, Same):
            in_memory = plan.mtimes[at] < 0
            if not (in_memory and (found.image_id, plan.paths[at]) in rows):
                copies.append((at, found.image_id))
    if not copies:
        return
    files = list_parts(folder)
    labels = read_labels(files, LABELS.names)
    place = {identity: row for row, identity in enumerate(labels["image_id"].to_pylist())}
    for start in range(0, len(copies), _COPY_ROWS):
        some = copies[start : start + _COPY_ROWS]
        there = labels.take(pa.array([place[identity] for _, identity in some], pa.int64()))
        indices = np.array([at for at, _ in some], np.int64)
        _copy(arena, folder, plan, indices, there, gather(files, there), known.run)


def _copy(
    arena: Arena,
    folder: Place,
    plan: Plan,
    at: npt.NDArray[np.int64],
    there: pa.Table,
    matrix: Matrix,
    run: int,
) -> None:
    """Writes rows for images ``at``, whose vectors are in the store under other paths."""
    named = arena.images.select(["model", "prompt_id", "seed"]).take(pa.array(at))
    columns = {name: there[name] for name in LABELS.names} | {
        "path": pa.array([plan.paths[index] for index in at]),
        "model": named["model"],
        "prompt_id": named["prompt_id"],
        "seed": named["seed"],
        "size": pa.array(plan.sizes[at], mask=plan.sizes[at] < 0),
        "mtime_ns": pa.array(plan.mtimes[at], mask=plan.mtimes[at] < 0),
        "run": pa.array(np.full(len(at), run, np.int32)),
    }
    write_part(folder, pa.table(columns, schema=LABELS), matrix, run=run)
