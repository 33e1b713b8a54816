"""Processor time that a picture costs, in whichever threads it is spent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")
_elsewhere = threading.local()


def spent() -> float:
    """Returns the seconds that this thread has worked, or had worked for it by ``had_done``."""
    seconds: float = getattr(_elsewhere, "seconds", 0.0)
    return time.thread_time() + seconds


def had_done(threads: Executor, work: Callable[[], T]) -> T:
    """Has other threads do work, waits for it, and counts its time as this thread's own."""

    def timed() -> tuple[T, float]:
        began = time.thread_time()
        found = work()
        return found, time.thread_time() - began

    found, seconds = threads.submit(timed).result()
    _elsewhere.seconds = getattr(_elsewhere, "seconds", 0.0) + seconds
    return found
