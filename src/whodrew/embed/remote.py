"""What runs on a worker of a cluster: a partition in, one part written, answers out."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
import traceback
import uuid
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whodrew.embed.card import card_difference, encoder_card
from whodrew.embed.files import TEMPORARY, write_atomically
from whodrew.embed.job import (
    ANSWER,
    BAD,
    BROKEN,
    CARRIED,
    ENCODED,
    LEFT,
    REFUSED,
    SAME,
    Job,
    KnownIds,
)
from whodrew.embed.places import ObjectPath, Place, each
from whodrew.embed.plan import Plan
from whodrew.embed.worker import Bad, Same, Worker
from whodrew.encoders.base import Encoder
from whodrew.encoders.registry import get_encoder
from whodrew.errors import WhodrewError

#: How often one partition may take its process with it before its images are bad.
DEATHS: Final = 3
_LOOK_SECONDS: Final = 0.5
_LOOK_SECONDS_REMOTE: Final = 3.0

# The state of this process: Daft makes its objects anew for each partition.
_SEATS: Final[dict[str, _Seat]] = {}
_MAKING: Final = threading.Lock()


class Clerk:
    """What Daft holds on a worker; the state is the process's.

    Args:
        job: a pickled ``Job``.
    """

    def __init__(self, job: bytes) -> None:
        self.job = job

    def answer(self, rows: pa.Array) -> pa.Array:
        """Does the partitions in ``rows``; never raises.

        Args:
            rows: struct array, fields as ``Job.schema``.

        Returns:
            Struct array ``ANSWER``, as long.
        """
        job: Job = pickle.loads(self.job)  # noqa: S301 - from our own driver
        if isinstance(rows, pa.ChunkedArray):
            rows = rows.combine_chunks()
        table = pa.Table.from_struct_array(rows).cast(job.schema)
        places = table["share"].to_numpy()
        out: list[dict[str, Any]] = []
        for share in dict.fromkeys(places.tolist()):
            out += _partition(job, share, table.filter(pa.array(places == share)))
        order = {answer["at"]: answer for answer in out}
        return pa.array([order[at] for at in table["at"].to_pylist()], ANSWER)


def _partition(job: Job, share: int, table: pa.Table) -> list[dict[str, Any]]:
    try:
        seat = _seat(job)
        with seat.places:
            return seat.work(share, table)
    except (WhodrewError, OSError) as error:
        name = getattr(error, "filename", None)
        text = f"{name}: {error.strerror}" if isinstance(error, OSError) and name else str(error)
        return _all(table, REFUSED, f"worker on {socket.gethostname()}: {text}")
    except BaseException:  # noqa: BLE001 - told to the driver, which raises it
        return _all(table, BROKEN, traceback.format_exc())


def _all(table: pa.Table, became: str, text: str | None) -> list[dict[str, Any]]:
    return [
        {"at": at, "became": became, "text": text, "bytes": 0} for at in table["at"].to_pylist()
    ]


def _seat(job: Job) -> _Seat:
    with _MAKING:
        if job.token not in _SEATS:
            _SEATS.clear()  # an encoder may be large, and other runs have ended
            _SEATS[job.token] = _Seat(job)
        return _SEATS[job.token]


class _Seat:
    """The state of a worker's process for one run: the encoder, and what is known.

    Raises:
        WhodrewError: the store is not seen from here, or the encoder is not the driver's.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._known = KnownIds(_known(job))
        self._encoder = _encoder(job)
        self.places = threading.BoundedSemaphore(job.places or 1 << 16)
        self._stop = _Stop(job.stopped)
        self._deaths = _deaths(job)
        self._mark = job.store / f"{job.token}-{uuid.uuid4().hex[:12]}{_MARK}"
        self._at_work: set[int] = set()
        self._lock = threading.Lock()

    def work(self, share: int, table: pa.Table) -> list[dict[str, Any]]:
        """Encodes one partition and writes its part."""
        if self._stop.is_set():
            return _all(table, LEFT, None)
        if self._deaths.get(share, 0) >= DEATHS:
            reason = (
                f"{DEATHS} worker processes died on this image or on one of the "
                f"{len(table)} encoded together with it"
            )
            return _all(table, BAD, reason)
        with self._lock:
            self._at_work.add(share)
            self._say()
        try:
            return self._work(share, table)
        finally:
            with self._lock:
                self._at_work.discard(share)

    def _work(self, share: int, table: pa.Table) -> list[dict[str, Any]]:
        job, read = self._job, [0]
        plan = Plan(
            table["stored_path"].to_pylist(),
            np.asarray(table["stored_size"]),
            np.asarray(table["stored_mtime_ns"]),
        )
        at = table["at"].to_pylist()
        worker = Worker(
            table.drop_columns(CARRIED.names),
            plan,
            self._known,
            self._encoder,
            job.card,
            canonical=job.canonical,
            folder=job.store,
            run=job.run,
            told=lambda _, size: read.__setitem__(0, read[0] + size),
        )
        # done twice, it takes the place of the first
        worker.part = f"{job.token[:12]}-{share:08d}-{at[0]}"
        worker.stop = self._stop
        worker.work(range(len(table)))
        if worker.error is not None:
            raise worker.error
        answers = []
        for row, index in enumerate(at):
            became, text = LEFT, None
            if row in worker.results:
                result = worker.results[row]
                if isinstance(result, Same):
                    result = worker.failed.get(result.image_id, result)
                if isinstance(result, Bad):
                    became, text = BAD, result.reason
                elif isinstance(result, Same):
                    became, text = SAME, result.image_id
                else:
                    became = ENCODED
            answers.append({"at": index, "became": became, "text": text, "bytes": 0})
        answers[0]["bytes"] = read[0]
        return answers

    def _say(self) -> None:
        """Writes down what this process works on, for others to read should it die."""
        text = " ".join(str(share) for share in sorted(self._at_work))
        write_atomically(self._mark, lambda sink: sink.write(text.encode()))


_MARK: Final = f"-at-work{TEMPORARY}"


class _Stop(threading.Event):
    """Is set once an object is there, which it looks for now and then."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        remote = isinstance(place, ObjectPath)
        self._every = _LOOK_SECONDS_REMOTE if remote else _LOOK_SECONDS
        self._next = 0.0

    def is_set(self) -> bool:
        """Returns whether the run is to end."""
        if not super().is_set() and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            try:
                if self._place.exists():
                    self.set()
            except (OSError, WhodrewError):
                pass  # the parts that cannot be written will say so
        return super().is_set()


def _known(job: Job) -> bytes:
    try:
        return job.known.read_bytes()
    except FileNotFoundError as error:
        raise WhodrewError(
            f"the store {job.store} is not seen from here: on a cluster it must lie on a disk "
            "that all machines share under one path, or on object storage (s3://…)"
        ) from error


def _encoder(job: Job) -> Encoder:
    if job.places == 1:
        # one batch at a time has all processors; Ray sets 1 where nothing is reserved
        os.environ["OMP_NUM_THREADS"] = str(os.cpu_count() or 1)
    try:
        if isinstance(job.encoder, str):
            encoder = get_encoder(job.encoder)
        else:
            encoder = pickle.loads(job.encoder)  # noqa: S301 - from our own driver
    except (ImportError, AttributeError) as error:
        raise WhodrewError(
            f"the encoder {job.card.name!r} cannot be made here ({error}): install its package "
            "on every machine of the cluster"
        ) from error
    if difference := card_difference(job.card, encoder_card(encoder, job.canonical)):
        raise WhodrewError(
            f"the encoder {job.card.name!r} is another here ({difference}): install the same "
            "versions on every machine of the cluster"
        )
    if job.places != 1:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        threadpool_limits(limits=1)  # partitions side by side share the processors
    return encoder


def _deaths(job: Job) -> dict[int, int]:
    """Counts for each partition the processes that began it and did not end it."""
    found: dict[int, int] = {}
    marks: list[Place] = list(job.store.glob(f"{job.token}-*{_MARK}"))
    for text in each(marks, _read):
        for share in map(int, text.split()):
            found[share] = found.get(share, 0) + 1
    return found


def _read(mark: Place) -> str:
    try:
        return mark.read_text()
    except FileNotFoundError:
        return ""
