"""Side by side on threads: linear algebra lets go of the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

T = TypeVar("T")
R = TypeVar("R")


def one_thread_each() -> AbstractContextManager[Any]:
    """Holds linear algebra to one thread while it is entered.

    Threads that share one product wait for each other by spinning, which costs more than
    it saves on matrices of this size, and many times as much on a machine with other work.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Returns ``work`` of every item, in order, one thread a processor.

    Each thread does its linear algebra alone.
    """
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with one_thread_each(), ThreadPoolExecutor(workers or 1) as pool:
        return list(pool.map(work, items))
