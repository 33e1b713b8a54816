"""The audit's partitions on a Ray cluster: states go out, counts come back and are merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from whodrew.identify.parallel import partitions_on, threads

R = TypeVar("R")
#: Partitions a processor: enough that all end together, few enough that merging costs little.
PARTITIONS = 3
RETRIES = 5


class RayPartitions:
    """Runs partitions as Ray tasks; one that dies with its worker is run again elsewhere.

    Workers read vectors where the driver does: a scratch file must lie on a file system that
    all machines share.

    Args:
        ray: the module, connected.
        processors: of the cluster.
    """

    def __init__(self, ray: Any, processors: int) -> None:
        self._ray = ray
        self._processors = processors

    def run(self, work: Callable[[list[int]], R], items: Sequence[int]) -> Iterator[R]:
        """Yields what ``work`` gave for each partition, in the order of the items."""
        ray = self._ray
        given = list(items)
        size = max(1, -(-len(given) // (PARTITIONS * self._processors)))
        parts = [given[start : start + size] for start in range(0, len(given), size)]
        sent = ray.put(work)
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_partition)
        running = [task.remote(sent, part) for part in parts]
        for place, one in enumerate(running):
            found: R = ray.get(one)
            running[place] = None  # lets go of what is merged
            yield found


def _partition(work: Callable[[list[int]], R], items: list[int]) -> R:
    with threads(1):
        return work(items)


@contextmanager
def on_engine(engine: str, address: str | None, workers: int | None) -> Iterator[None]:
    """Has an audit's partitions run on the engine while it is entered.

    Raises:
        MissingExtraError: Ray is not installed.
        WhodrewError: the cluster cannot be reached.
    """
    if engine == "native":
        yield
        return
    from whodrew.embed.ray_cluster import cluster

    with (
        cluster(address, workers) as (ray, processors),
        partitions_on(RayPartitions(ray, processors)),
    ):
        yield
