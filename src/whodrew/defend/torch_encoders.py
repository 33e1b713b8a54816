"""Encoders with gradients, by name, and the threads that run them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from whodrew.defend.clock import had_done
from whodrew.encoders.neural.crew import make_crew
from whodrew.encoders.registry import get_encoder
from whodrew.errors import UsageError
from whodrew.machine import processors

T = TypeVar("T")
Module = Any

MOST_THREADS: Final = 8
"""Pictures under way at a time: each holds its activations."""

_lock = threading.Lock()
_modules: dict[str, Module] = {}
_crews: dict[int, ThreadPoolExecutor] = {}


def differentiable(name: str) -> Module:
    """Returns an encoder as a module from RGB (n, 3, H, W) in [0, 1] to vectors (n, D).

    Each is loaded once a process.

    Raises:
        UsageError: there is no such encoder, or it has no gradients.
        WhodrewError: its weights cannot be had.
    """
    with _lock:
        if name not in _modules:
            _modules[name] = _made(name)
        return _modules[name]


def _made(name: str) -> Module:
    if name == "fingerprint":
        from whodrew.defend.torch_fingerprint import TorchFingerprint

        return TorchFingerprint()
    encoder = get_encoder(name)
    make = getattr(encoder, "differentiable", None)
    if make is None:
        raise UsageError(
            f"encoder {name!r} has no gradients: take fingerprint, efficientnet-lite0, "
            "or one of clip, siglip, siglip2, dinov2"
        )
    return make().eval().requires_grad_(requires_grad=False)


def all_differentiable(names: Sequence[str]) -> list[Module]:
    """Returns ``differentiable`` of each name."""
    return [differentiable(name) for name in names]


def crew() -> ThreadPoolExecutor:
    """Returns this process's threads for descents, one of torch's own in each.

    Pictures are spread over threads, not the work on one: it is faster, results do not
    depend on the number of processors, and callers from many threads do not crowd each other.
    """
    with _lock:
        own = os.getpid()
        if own not in _crews:
            _crews[own] = make_crew(min(processors(), MOST_THREADS), 1)
        return _crews[own]


def run(work: Callable[[], T]) -> T:
    """Runs work on the crew, and waits for it; its time counts as the caller's."""
    return had_done(crew(), work)
