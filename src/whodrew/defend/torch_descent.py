"""Projected gradient descent on pixels, within a budget that holds for 8-bit pictures.

The steps are those of projected gradient descent (Madry et al., arXiv 1706.06083) with
momentum (Dong et al., arXiv 1710.06081); the schedule is whodrew's own: the step shrinks to
nothing, so that the last ones settle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch

from whodrew.arena import Pixels
from whodrew.defend.perturb_budget import kept_within
from whodrew.defend.torch_reencode import Reencoding

Tensor = Any
Norm = Literal["linf", "l2"]
#: From vectors z (n, k) of one encoder to losses (n,).
Pull = Callable[[Tensor], Tensor]

MOMENTUM: Final = 0.75
TRIALS: Final = 4
"""Re-encodings under which restarts are compared."""


@dataclass(frozen=True)
class Seen:
    """One encoder's part of a loss.

    Attributes:
        module: from (n, 3, H, W) in [0, 1] to vectors (n, D).
        weights: (D, k), and
        offset: (k,), which take vectors to where losses are taken.
        pull: the loss there.
    """

    module: Any
    weights: Tensor
    offset: Tensor
    pull: Pull

    def loss(self, images: Tensor) -> Tensor:
        """Returns the losses (n,)."""
        return self.pull(self.module(images) @ self.weights + self.offset)


@dataclass(frozen=True)
class Descent:
    """How a picture is changed.

    Attributes:
        eps: largest change, in 255ths: of any value, or root mean square of all.
        norm: ``linf`` or ``l2``.
        steps: of the descent.
        restarts: descents from other beginnings; the best is kept.
        eot: whether each step sees another re-encoding.
    """

    eps: float
    norm: Norm
    steps: int
    restarts: int = 1
    eot: bool = True

    def __call__(self, pixels: Pixels, seen: Sequence[Seen], rng: np.random.Generator) -> Pixels:
        """Returns the picture changed so that the summed losses are low.

        Args:
            pixels: (height, width, 3) uint8.
            seen: the encoders; their losses are added.
            rng: of beginnings and re-encodings.
        """
        given = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), np.float32))[None]
        trials = [self._drawn(rng) for _ in range(TRIALS)]
        best: Pixels | None = None
        least = np.inf
        for _ in range(self.restarts):
            change = self._descended(given, seen, rng)
            found = kept_within(pixels, change.numpy()[0].transpose(1, 2, 0), self.eps, self.norm)
            if self.restarts == 1:
                return found
            loss = self._tried(found, seen, trials)
            if best is None or loss < least:
                best, least = found, loss
        assert best is not None
        return best

    def _drawn(self, rng: np.random.Generator) -> Reencoding:
        return Reencoding.drawn(rng) if self.eot else Reencoding()

    def _tried(self, pixels: Pixels, seen: Sequence[Seen], trials: Sequence[Reencoding]) -> float:
        image = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), np.float32))[None] / 255
        with torch.no_grad():
            losses = [one.loss(trial(image)).sum() for trial in trials for one in seen]
        return float(torch.stack(losses).mean())

    def _descended(self, given: Tensor, seen: Sequence[Seen], rng: np.random.Generator) -> Tensor:
        start = rng.uniform(-1, 1, tuple(given.shape)).astype(np.float32)
        change = self.projected(torch.from_numpy(start) * (self.eps / 2), given)
        speed = torch.zeros_like(given)
        for step in range(self.steps):
            gradient = gradient_of(given + change, seen, self._drawn(rng))
            speed = MOMENTUM * speed + gradient / gradient.abs().mean().clamp(min=1e-12)
            length = 4 * self.eps / self.steps * (1 - step / self.steps)
            change = self.projected(change - length * self.direction(speed), given)
        return change

    def direction(self, speed: Tensor) -> Tensor:
        """Returns the steepest direction of unit size in the norm."""
        if self.norm == "linf":
            return speed.sign()
        return speed / (speed * speed).mean().sqrt().clamp(min=1e-12)

    def bounded(self, change: Tensor) -> Tensor:
        """Returns the nearest change within the budget."""
        if self.norm == "linf":
            return change.clamp(-self.eps, self.eps)
        size = (change * change).mean().sqrt()
        return change * (self.eps / size.clamp(min=self.eps))

    def projected(self, change: Tensor, given: Tensor) -> Tensor:
        """Returns a near change within the budget and the range of pixels."""
        return (given + self.bounded(change)).clamp(0, 255) - given


def gradient_of(pixels: Tensor, seen: Sequence[Seen], reencoding: Reencoding) -> Tensor:
    """Returns the gradient of the summed losses at pixels (n, 3, H, W) in [0, 255].

    Encoders go one after the other, so that only one's activations are held.
    """
    image = (pixels / 255).requires_grad_()
    shown = reencoding(image)
    at = shown.detach().requires_grad_()
    for one in seen:
        one.loss(at).sum().backward()
    if shown is image:
        return at.grad
    (found,) = torch.autograd.grad(shown, image, at.grad)
    return found
