"""The engine: Daft's native runner hands batches to threads.

Threads, not processes, by measurement (``benchmarks/encoding.py``): decoding and the
``fingerprint`` kernels release the interpreter's lock, so that threads are as fast, start
at once, share one encoder, and leave nobody behind when the process is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa

from whodrew.errors import UsageError

Work = Callable[[Sequence[int]], None]

# Daft pickles what it is given. A worker holds the encoder and the arena's table, which all
# threads of this process share: only its name goes through the engine.
_CREWS: Final[dict[str, _Crew]] = {}
_LEAST_BATCHES: Final = 16
_POLL: Final = 0.05  # seconds


class _Crew:
    """Lets a limited number of threads work at a time, and knows when none does."""

    def __init__(self, work: Work, workers: int, stop: threading.Event) -> None:
        self._work = work
        self._places = threading.BoundedSemaphore(workers)
        self._stop = stop
        self._idle = threading.Condition()
        self._busy = 0
        self.began = threading.Event()

    def __call__(self, batch: Sequence[int]) -> None:
        self.began.set()
        with self._idle:
            self._busy += 1
        try:
            with self._places:
                if not self._stop.is_set():
                    self._work(batch)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def wait(self) -> None:
        """Returns once no thread works."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0)


class _Operator:
    """What Daft holds, once per process."""

    def __init__(self, name: str) -> None:
        self.crew = _CREWS[name]


def _encode(self: _Operator, index: Any) -> pa.Array:
    indices = index.to_pylist()
    self.crew(indices)
    return pa.nulls(len(indices), pa.bool_())


def batch_size(images: int, workers: int, most: int) -> int:
    """Returns how many images one call gets: few enough that all workers end together.

    Args:
        images: number to encode.
        workers: number of workers.
        most: most images a call may get.
    """
    return max(1, min(most, -(-images // (workers * _LEAST_BATCHES))))


def run_batches(
    work: Work, indices: Sequence[int], *, workers: int, size: int, stop: threading.Event
) -> None:
    """Calls ``work`` on all indices, in batches, from several threads.

    Args:
        work: does one batch; must not raise.
        indices: what to work on.
        workers: most calls at a time; never more than the machine has processors.
        size: most indices a call.
        stop: once set, the calls still to come are left out, and ``work`` should return.

    Raises:
        KeyboardInterrupt: interrupted; ``stop`` was set and the calls under way have ended.
        UsageError: this process runs Daft on another runner.
    """
    daft = _daft()
    method = daft.method.batch(return_dtype=daft.DataType.bool(), batch_size=size)(_encode)
    # No max_concurrency: with it Daft 0.7 starts processes, whatever use_process says.
    operator: Any = daft.cls(type("Encode", (_Operator,), {"encode": method}), use_process=False)
    name = uuid.uuid4().hex
    _CREWS[name] = crew = _Crew(work, workers, stop)
    frame = daft.from_arrow(pa.table({"index": pa.array(indices, pa.int64())}))
    failures: list[BaseException] = []
    ended = threading.Event()

    def drive() -> None:
        try:
            results = frame.select(operator(name).encode(frame["index"]))
            for _ in results.to_arrow_iter(results_buffer_size=None):
                pass
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
        finally:
            ended.set()

    driver = threading.Thread(target=drive, name="whodrew-embed")
    driver.start()
    try:
        _wait(ended, crew, stop)
    finally:
        crew.wait()
        driver.join()
        del _CREWS[name]
    if failures:
        raise failures[0]


def _wait(ended: threading.Event, crew: _Crew, stop: threading.Event) -> None:
    """Waits for the engine, which runs in a thread of its own, so that interrupts reach us.

    Daft takes SIGINT over when its first query starts, tears its threads down in the
    middle of what they do, and the process aborts when it ends. Here it is left to
    finish, with nothing more to do.
    """
    interrupt: KeyboardInterrupt | None = None
    taken_back = threading.current_thread() is not threading.main_thread()
    while not ended.is_set():
        try:
            # not Thread.join: interrupted, it takes a running thread for an ended one
            (ended if taken_back else crew.began).wait(_POLL)
            if crew.began.is_set() and not taken_back:
                taken_back = True
                if (handler := signal.getsignal(signal.SIGINT)) is not None:
                    signal.signal(signal.SIGINT, handler)
        except KeyboardInterrupt as error:
            interrupt = error
            stop.set()
    if interrupt is not None:
        raise interrupt


def _daft() -> Any:
    os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")  # it would report home on import
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    import daft

    # a runner can be set once a process, and then not even to what it is
    with contextlib.suppress(daft.exceptions.DaftCoreException):
        daft.set_runner_native()
    if (runner := daft.get_or_infer_runner_type()) != "native":
        raise UsageError(
            f"this process runs Daft on its {runner} runner, embed needs the native one: "
            "run it in a process of its own"
        )
    return daft
