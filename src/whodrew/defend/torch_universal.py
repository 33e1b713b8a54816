"""One change for each model, by gradient descent over that model's pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from whodrew.arena import Pixels
from whodrew.defend.base import Example
from whodrew.defend.perturb_budget import kept_within
from whodrew.defend.perturb_goals import Goal, goals
from whodrew.defend.perturb_learn import Learnt
from whodrew.defend.torch_descent import MOMENTUM, Descent, Norm, Seen, gradient_of
from whodrew.defend.torch_encoders import all_differentiable, crew
from whodrew.defend.torch_goals import seen
from whodrew.defend.torch_learn import learn
from whodrew.defend.torch_reencode import Reencoding

Tensor = Any

TOGETHER: Final = 8
"""Pictures whose gradients are taken before any is used, whatever the number of threads."""


def spread(tile: Tensor, height: int, width: int) -> Tensor:
    """Repeats a tile (3, size, size) over (1, 3, height, width)."""
    size = tile.shape[-1]
    return tile.repeat(1, -(-height // size), -(-width // size))[None, :, :height, :width]


def gathered(gradient: Tensor, size: int) -> Tensor:
    """Sums a gradient (1, 3, height, width) over the places of a tile: (3, size, size)."""
    height, width = gradient.shape[-2:]
    whole = torch.nn.functional.pad(gradient[0], (0, -width % size, 0, -height % size))
    cut = whole.reshape(3, whole.shape[1] // size, size, whole.shape[2] // size, size)
    return cut.sum((1, 3))


@dataclass
class _Course:
    """The descent of one model's tile."""

    tile: Tensor
    speed: Tensor
    done: int = 0


@dataclass(frozen=True)
class Search:
    """Looks for the changes.

    Attributes:
        eps: as ``Descent``'s.
        norm: as ``Descent``'s.
        steps: for each model.
        size: side of a tile.
        objective: as ``goals`` takes it.
        eot: whether each step sees a random re-encoding.
    """

    eps: float
    norm: Norm
    steps: int
    size: int
    objective: str
    eot: bool

    def __call__(
        self, examples: Callable[[], Iterable[Example]], encoders: Sequence[str]
    ) -> tuple[tuple[str, ...], npt.NDArray[np.int8]]:
        """Returns the models' names and their changes (M, size, size, 3)."""
        learnt = learn(examples, encoders, eot=self.eot)
        modules = all_differentiable(encoders)
        rng = np.random.default_rng(0)
        start = [self._start(rng) for _ in learnt.models]
        courses = [_Course(one, torch.zeros_like(one)) for one in start]
        # each model's decoy is the next in a random circle
        circle = rng.permutation(len(learnt.models))
        follower = {int(a): int(b) for a, b in zip(circle, np.roll(circle, -1), strict=True)}
        threads = crew()
        for batch in self._batches(examples, learnt, courses):
            waiting = []
            for row, example in batch:
                wanted = goals(
                    learnt,
                    self.objective,
                    model=example.model,
                    prompt_id=example.prompt_id,
                    decoys=[follower[row]],
                    rng=rng,
                    name="universal",
                )
                form = Reencoding.drawn(rng) if self.eot else Reencoding()
                waiting.append(
                    threads.submit(
                        self._gradient,
                        example.picture.pixels,
                        courses[row].tile,
                        (modules, learnt, wanted),
                        form,
                    )
                )
            for (row, _), given in zip(batch, waiting, strict=True):
                self._stepped(courses[row], given.result())
        found = [self._whole(course.tile) for course in courses]
        return learnt.models, np.stack(found)

    def _start(self, rng: np.random.Generator) -> Tensor:
        drawn = rng.uniform(-1, 1, (3, self.size, self.size)).astype(np.float32)
        return torch.from_numpy(drawn) * (self.eps / 2)

    def _batches(
        self,
        examples: Callable[[], Iterable[Example]],
        learnt: Learnt,
        courses: Sequence[_Course],
    ) -> Iterator[list[tuple[int, Example]]]:
        """Yields pictures of models that are not done, pass after pass, ``TOGETHER`` at a time."""
        rows = {name: row for row, name in enumerate(learnt.models)}

        def wanted() -> Iterator[tuple[int, Example]]:
            for example in examples():
                row = rows.get(example.model or "")
                if row is not None and courses[row].done < self.steps:
                    yield row, example

        while min(course.done for course in courses) < self.steps:
            stream, before = wanted(), sum(course.done for course in courses)
            while batch := list(islice(stream, TOGETHER)):
                yield batch
            if sum(course.done for course in courses) == before:
                return  # a pass without pictures: there will be no more

    def _gradient(
        self,
        pixels: Pixels,
        tile: Tensor,
        parts: tuple[Sequence[Any], Learnt, Sequence[Goal]],
        form: Reencoding,
    ) -> Tensor:
        modules, learnt, wanted = parts
        given = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), np.float32))[None]
        losses: list[Seen] = seen(modules, learnt.spaces, wanted)
        change = spread(tile, *pixels.shape[:2])
        gradient = gradient_of((given + change).clamp(0, 255), losses, form)
        return gathered(gradient, self.size)

    def _stepped(self, course: _Course, gradient: Tensor) -> None:
        descent = Descent(self.eps, self.norm, self.steps)
        course.speed = MOMENTUM * course.speed + gradient / gradient.abs().mean().clamp(min=1e-12)
        left = max(0.0, 1 - course.done / self.steps)
        move = 4 * self.eps / self.steps * left * descent.direction(course.speed)
        course.tile = descent.bounded(course.tile - move)
        course.done += 1

    def _whole(self, tile: Tensor) -> npt.NDArray[np.int8]:
        # about middle grey nothing is clipped
        grey = np.full((self.size, self.size, 3), 128, np.uint8)
        found = kept_within(grey, tile.numpy().transpose(1, 2, 0), self.eps, self.norm)
        return (found.astype(np.int16) - 128).astype(np.int8)
