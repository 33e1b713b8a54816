"""Side by side: on threads, or in partitions wherever the audit's engine runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from whodrew.machine import processors

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Runs work on partitions of items, on other machines perhaps."""

    def run(self, work: Callable[[list[int]], R], items: Sequence[int]) -> Iterator[R]:
        """Yields what ``work`` gave for each partition, in order; both are pickled."""
        ...


_ENGINE: ContextVar[Engine | None] = ContextVar("engine", default=None)
_THREADS: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def partitions_on(engine: Engine | None) -> Iterator[None]:
    """Has ``in_partitions`` run on an engine while it is entered."""
    token = _ENGINE.set(engine)
    try:
        yield
    finally:
        _ENGINE.reset(token)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Limits ``side_by_side`` while it is entered, in this thread."""
    token = _THREADS.set(number)
    try:
        yield
    finally:
        _THREADS.reset(token)


def is_partitioned() -> bool:
    """Returns whether ``in_partitions`` hands work to an engine."""
    return _ENGINE.get() is not None


def in_partitions(work: Callable[[list[int]], R], items: Sequence[int]) -> Iterator[R]:
    """Yields what ``work`` gave for each partition of the items, the caller to merge it.

    Without an engine there is one partition, and ``work`` brings its own threads.
    """
    engine = _ENGINE.get()
    if engine is None:
        yield work(list(items))
    else:
        yield from engine.run(work, items)


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
    workers = _THREADS.get() or processors()
    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, items))
