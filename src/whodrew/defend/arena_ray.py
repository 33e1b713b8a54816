"""Defending an arena on a Ray cluster, whose machines share the folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from whodrew.defend.arena_work import Crew
from whodrew.defend.defence import Defence
from whodrew.defend.ledger import Ledger, Row
from whodrew.defend.quality import lpips_distance
from whodrew.errors import WhodrewError
from whodrew.identify.parallel import one_thread_each

_RETRIES: Final = 5
_AHEAD: Final = 3  # shares a processor that wait for it


@dataclass(frozen=True)
class Sent:
    """What every worker is told.

    Attributes:
        defence: fitted.
        draw: which draw.
        out: the folder, absolute.
    """

    defence: Defence
    draw: int
    out: str


@dataclass(frozen=True)
class Done:
    """What became of one share: place in it to facts, or to the reason why not.

    Attributes:
        rows: of images that went well.
        bad: of others.
        written: files written.
        size: bytes read.
    """

    rows: dict[int, Row]
    bad: dict[int, str]
    written: int
    size: int


def run_on_ray(crew: Crew, address: str | None, workers: int | None) -> None:
    """Has a cluster do the shares of a crew.

    Images are read, and files written, by whatever machine has the share: both folders must
    lie on a file system that all share. A share whose worker dies is done again elsewhere.

    Args:
        crew: the work; gets what became of it.
        address: of the cluster; one is started on this machine where not given.
        workers: processors of a cluster that is started here.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the address is none.
        WhodrewError: the cluster cannot be reached or started, or fails.
    """
    from whodrew.embed.ray_cluster import cluster

    out = crew.ledger.out.resolve()
    items = crew.images["item"]
    with cluster(address, workers) as (ray, processors):
        sent = ray.put(Sent(crew.defence, crew.draw, str(out)))
        task = ray.remote(num_cpus=1, max_retries=_RETRIES)(defend_share)
        coming = iter(crew.shares)
        waiting: dict[Any, Sequence[int]] = {}
        try:
            while True:
                while len(waiting) < _AHEAD * processors:
                    share = next(coming, None)
                    if share is None:
                        break
                    table = crew.images.take(pa.array(share, pa.int64()))
                    known = {
                        name: crew.ledger.known[name]
                        for name in (items[at].as_py() for at in share)
                        if name in crew.ledger.known
                    }
                    plans = [crew.plans[at] for at in share]
                    waiting[task.remote(sent, table, plans, known)] = share
                if not waiting:
                    return
                ended, _ = ray.wait(list(waiting), num_returns=1)
                for one in ended:
                    _merge(crew, waiting.pop(one), ray.get(one))
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            raise cause from error
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:200]
            raise WhodrewError(f"the Ray cluster fails: {reason}") from error


def _merge(crew: Crew, share: Sequence[int], done: Done) -> None:
    for at, row in done.rows.items():
        crew.rows[share[at]] = row
        crew.ledger.note(row)
    for at, reason in done.bad.items():
        crew.bad[share[at]] = reason
    crew.written += done.written
    crew.told(len(share), done.size)


def defend_share(sent: Sent, table: pa.Table, plans: Sequence[Row], known: dict[str, Row]) -> Done:
    """Does one share on a worker.

    Args:
        sent: the job.
        table: rows of ``Arena.images``.
        plans: what is known of each before it is read.
        known: rows of an earlier run, by the names of their sources.
    """
    sizes: list[int] = []
    crew = Crew(
        table,
        [range(len(table))],
        dict(enumerate(plans)),
        sent.defence,
        sent.draw,
        lpips_distance()[0],
        Ledger(Path(sent.out), known),
        lambda _, size: sizes.append(size),
    )
    with one_thread_each():
        crew.work([0])
    if crew.error is not None:
        raise crew.error
    return Done(crew.rows, crew.bad, crew.written, sum(sizes))
