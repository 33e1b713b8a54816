"""Goals as losses with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from whodrew.defend.perturb_goals import Goal
from whodrew.defend.perturb_learn import Space
from whodrew.defend.torch_descent import Pull, Seen

Tensor = Any

TEMPERATURE: Final = 0.2
"""Of the contrastive loss, on cosines."""


def distance_loss(goal: Goal) -> Pull:
    """Distance to the goal's point in units of the models' own distances, or less it."""
    point = torch.from_numpy(goal.point)
    sign = -1.0 if goal.kind == "from" else 1.0

    def loss(found: Tensor) -> Tensor:
        # the small number keeps the slope finite at the point itself
        square = ((found - point) ** 2).sum(1) + (1e-3 * goal.apart) ** 2
        return sign * square.sqrt() / goal.apart

    return loss


def contrastive_loss(goal: Goal) -> Pull:
    """InfoNCE turned round: the share of likeness that falls on the own model's references.

    Cosines are taken about the mean of all models, references weigh the same by side.
    """
    normalise = torch.nn.functional.normalize
    centre = torch.from_numpy(goal.point)
    own = normalise(torch.from_numpy(goal.own) - centre, dim=1)
    others = normalise(torch.from_numpy(goal.others) - centre, dim=1)

    def loss(found: Tensor) -> Tensor:
        direction = normalise(found - centre, dim=1, eps=1e-6)
        mine = torch.logsumexp(direction @ own.T / TEMPERATURE, 1)
        every = torch.logsumexp(
            torch.cat([direction @ own.T, direction @ others.T], 1) / TEMPERATURE, 1
        )
        return mine - every

    return loss


def pull(goal: Goal) -> Pull:
    """Returns a goal as a loss: vectors (n, k) to losses (n,), low where it is reached."""
    return contrastive_loss(goal) if goal.kind == "contrast" else distance_loss(goal)


def seen(modules: Sequence[Any], spaces: Sequence[Space], goals: Sequence[Goal]) -> list[Seen]:
    """Returns each encoder's part of the loss."""
    return [
        Seen(module, torch.from_numpy(space.weights), torch.from_numpy(space.offset), pull(goal))
        for module, space, goal in zip(modules, spaces, goals, strict=True)
    ]
