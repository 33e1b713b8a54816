"""One pass over an arena: pictures through encoders, in parallel, into sums."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch

from whodrew.arena import Pixels
from whodrew.defend.base import Example
from whodrew.defend.perturb_learn import Collector, Learnt
from whodrew.defend.torch_encoders import all_differentiable, crew
from whodrew.defend.torch_reencode import Reencoding

Vectors = list[np.ndarray[Any, np.dtype[np.float32]]]


def measured(pixels: Pixels, modules: Sequence[Any], reencoding: Reencoding) -> Vectors:
    """Returns each encoder's vector (D,) of a picture that was re-encoded."""
    image = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), np.float32))[None] / 255
    with torch.no_grad():
        shown = reencoding(image)
        return [module(shown)[0].numpy() for module in modules]


def learn(
    examples: Callable[[], Iterable[Example]], encoders: Sequence[str], *, eot: bool
) -> Learnt:
    """Measures every labelled picture once, as the descent will see it.

    Args:
        examples: one pass over pictures.
        encoders: their names.
        eot: whether each picture is re-encoded first, at random, as descents do: centroids
            of clean pictures would be no place for re-encoded ones.

    Raises:
        UsageError: an encoder has no gradients, or there are too few pictures.
    """
    modules = all_differentiable(encoders)
    threads = crew()
    collector = Collector(encoders)
    rng = np.random.default_rng(0)
    waiting: deque[tuple[Future[Vectors], str, str | None]] = deque()

    def take() -> None:
        done, model, prompt_id = waiting.popleft()
        collector.add(done.result(), model, prompt_id)

    for example in examples():
        if example.model is None:
            collector.unlabelled += 1
            continue
        form = Reencoding.drawn(rng) if eot else Reencoding()
        given = threads.submit(measured, example.picture.pixels, modules, form)
        waiting.append((given, example.model, example.prompt_id))
        if len(waiting) > 16:
            take()
    while waiting:
        take()
    return collector.learnt()
