"""The engine on a Ray cluster: the driver's part of it.

The driver plans, hands partitions to Daft's runner on Ray, and keeps what became of each
image. Workers read, encode and write (``remote``). A worker that dies is started anew by
Daft and given its partition again; a partition done twice writes the same part.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from whodrew.embed.files import TEMPORARY, remove, write_atomically
from whodrew.embed.job import (
    ANSWER,
    BAD,
    BROKEN,
    REFUSED,
    SAME,
    Job,
    pack_known,
    packed,
    partition_table,
    shares,
)
from whodrew.embed.places import ObjectPath, Place
from whodrew.embed.plan import Known, Plan
from whodrew.embed.ray_cluster import checked_address, cluster, daft_on_ray, daft_runner, import_ray
from whodrew.embed.remote import Clerk
from whodrew.embed.result import Meter
from whodrew.embed.worker import Bad, Same
from whodrew.encoders.base import Encoder, EncoderCard
from whodrew.errors import WhodrewError

_POLL: Final = 0.1  # seconds
_GRACE: Final = 30.0  # seconds that workers get to write what they have
_WAVE: Final = 4096  # partitions
_WAVE_BYTES: Final = 128 << 20
_ENOENT: Final = os.strerror(2)


class RayEngine:
    """Runs an encoder over an arena on a Ray cluster.

    Args:
        encoder: the encoder.
        name: its name, where workers can make it by that; else it is pickled.
        workers: most partitions that one machine works on at a time, or ``None``; the
            processors of a cluster started for this run.
        address: ``auto``, ``HOST:PORT``, ``ray://HOST:PORT``; ``None`` takes the
            environment's ``RAY_ADDRESS``, and starts a cluster on this machine for the
            run where there is none.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the address is none, or the encoder cannot be sent.
    """

    def __init__(
        self, encoder: Encoder, name: str | None, workers: int | None, address: str | None
    ) -> None:
        import_ray()
        most = getattr(encoder, "max_workers", None)
        limits = [limit for limit in (workers, most) if limit]
        self._places = min(limits) if limits else None
        self._workers = workers
        self._batch = max(1, int(getattr(encoder, "batch_size", 1)))
        self._sent: str | bytes = name or packed(encoder, encoder.card.name)
        # all that can be known is known before anything is written
        self._address = checked_address(address)
        daft_runner()
        #: What became of each image by index, as ``Worker.results``.
        self.results: dict[int, Bad | Same | None] = {}

    def run(
        self,
        images: pa.Table,
        plan: Plan,
        known: Known,
        card: EncoderCard,
        *,
        canonical: int | None,
        folder: Place,
        meter: Meter,
    ) -> None:
        """Encodes what is pending. Call it under the store's lock.

        Args:
            images: ``Arena.images``.
            plan: the work.
            known: what the store holds.
            card: what the store is of.
            canonical: side of the canonical form to encode instead, or ``None``.
            folder: the store.
            meter: told of what is finished.

        Raises:
            KeyboardInterrupt: interrupted; workers have written what they had encoded.
            WhodrewError: the cluster cannot be reached or failed, or a worker cannot do
                its work: what concerns all images.
        """
        job = Job(
            token=uuid.uuid4().hex,
            encoder=self._sent,
            card=card,
            canonical=canonical,
            store=folder if isinstance(folder, ObjectPath) else folder.absolute(),
            run=known.run,
            places=self._places,
            images=images.schema,
        )
        if not plan.pending:
            return
        ids = pack_known(known.images)
        write_atomically(job.known, lambda sink: sink.write(ids))
        try:
            with cluster(self._address, self._workers) as (_, processors):
                parts = shares(images, plan, processors, self._batch)
                meter.restart()
                _Drive(self, job, images, plan, parts, meter.add).run()
        finally:
            with contextlib.suppress(WhodrewError, OSError):
                remove(folder.glob(f"{job.token}*{TEMPORARY}"))


class _Drive:
    """One run of Daft's, in a thread of its own so that interrupts reach us."""

    def __init__(
        self,
        engine: RayEngine,
        job: Job,
        images: pa.Table,
        plan: Plan,
        parts: Sequence[Sequence[int]],
        told: Callable[[int, int], None],
    ) -> None:
        self._engine = engine
        self._job = job
        self._images = images
        self._plan = plan
        self._parts = parts
        self._told = told
        self._ended = threading.Event()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        thread = threading.Thread(target=self._work, name="whodrew-ray", daemon=True)
        thread.start()
        self._wait()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            self._all()
        except WhodrewError as error:
            self._failure = self._failure or error
        except Exception as error:  # noqa: BLE001 - raised again by the run's own thread
            self._failure = self._failure or _failed(error)
        finally:
            self._ended.set()

    def _all(self) -> None:
        daft = daft_on_ray()
        kind = daft.DataType.from_arrow_type(ANSWER)
        size = max(len(part) for part in self._parts)
        method = daft.method.batch(return_dtype=kind, batch_size=size)(_encode)
        # in Daft's own process, whose threads share the encoder
        operator: Any = daft.cls(type("Encode", (Clerk,), {"encode": method}), use_process=False)
        clerk = operator(pickle.dumps(self._job))
        for tables in self._waves():
            frame = daft.from_arrow(tables)
            frame = frame.select(clerk.encode(frame["row"]).alias("answer"))
            for batch in frame.to_arrow_iter(results_buffer_size=None):
                self._absorb(pa.array(batch.column(0)).cast(ANSWER))
            if self._stopping.is_set():
                return

    def _waves(self) -> Iterator[list[pa.Table]]:
        """Yields the partitions that Daft is given at a time: Ray holds their rows."""
        wave: list[pa.Table] = []
        weight = 0
        for share, indices in enumerate(self._parts):
            table = self._table(share, indices)
            if wave and (len(wave) == _WAVE or weight + table.nbytes > _WAVE_BYTES):
                yield wave
                wave, weight = [], 0
            wave.append(table)
            weight += table.nbytes
        yield wave

    def _table(self, share: int, indices: Sequence[int]) -> pa.Table:
        rows = partition_table(self._images, self._plan, share, indices)
        return pa.table({"row": rows.combine_chunks().to_struct_array()})

    def _absorb(self, answers: pa.StructArray) -> None:
        results, done = self._engine.results, 0
        for answer in answers.to_pylist():
            at, became, text = answer["at"], answer["became"], answer["text"]
            if became == "encoded":
                results[at] = None
            elif became == SAME:
                results[at] = Same(text)
            elif became == BAD:
                self._see(at, text)
                results[at] = Bad(text)
            elif became == REFUSED:
                self._stop(WhodrewError(text))
            elif became == BROKEN:
                self._stop(RuntimeError(f"a worker failed:\n{text}"))
            done += at in results
        self._told(done, pc.sum(answers.field("bytes")).as_py() or 0)

    def _see(self, at: int, reason: str) -> None:
        """Tells a file that is gone from one that only the workers do not see."""
        path = self._images["path"][at].as_py() or self._images["container"][at].as_py()
        if _ENOENT in reason and path is not None and Path(path).exists():
            self._stop(
                WhodrewError(
                    f"the workers do not see {path}: on a cluster the images must lie on a disk "
                    "that all machines share under one path"
                )
            )

    def _stop(self, failure: BaseException | None = None) -> None:
        """Asks the workers to write what they have and do no more."""
        self._failure = self._failure or failure
        if not self._stopping.is_set():
            self._stopping.set()
            with contextlib.suppress(WhodrewError, OSError):
                write_atomically(self._job.stopped, lambda sink: sink.write(b"stop"))

    def _wait(self) -> None:
        interrupt: KeyboardInterrupt | None = None
        until = float("inf")
        here = threading.current_thread() is threading.main_thread()
        while not self._ended.is_set() and time.monotonic() < until:
            try:
                self._ended.wait(_POLL)
                # Daft takes SIGINT over when it likes
                if here and (handler := signal.getsignal(signal.SIGINT)) is not None:
                    signal.signal(signal.SIGINT, handler)
            except KeyboardInterrupt as error:
                if interrupt is not None:
                    break  # asked twice: at once
                interrupt, until = error, time.monotonic() + _GRACE
                self._stop()
        if interrupt is not None:
            raise interrupt


def _encode(self: Clerk, row: Any) -> pa.Array:
    return self.answer(row.to_arrow())


def _failed(error: BaseException) -> WhodrewError:
    reason = " ".join(str(error).split())[:300]
    mend = "what was encoded is kept: run it again to go on"
    if "No module named" in reason or "ModuleNotFoundError" in reason:
        mend = "install whodrew, with the same extras, on every machine of the cluster"
    return WhodrewError(f"the Ray cluster failed ({type(error).__name__}: {reason}): {mend}")
