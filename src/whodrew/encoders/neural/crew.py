"""The threads that run a network, apart from the threads that ask for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def make_crew(threads: int, inner: int) -> ThreadPoolExecutor:
    """Returns an executor whose threads each use ``inner`` threads of torch's.

    Whoever calls an encoder, from however many threads, no more batches than ``threads``
    are under way and no more than ``threads`` x ``inner`` processors busy. Torch's setting
    is each thread's own, with a default for threads to come, which is put back.
    """
    import torch

    crew = ThreadPoolExecutor(threads, thread_name_prefix="whodrew-torch")
    before = torch.get_num_threads()
    ready = threading.Barrier(threads)

    def enter() -> None:
        torch.set_num_threads(inner)
        ready.wait()

    waiting: list[Future[Any]] = [crew.submit(enter) for _ in range(threads)]
    for one in waiting:
        one.result()
    torch.set_num_threads(before)
    return crew
