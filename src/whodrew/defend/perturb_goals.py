"""Where a picture is to be moved: the objective, settled before torch is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whodrew.defend.perturb_learn import Floats, Learnt, Space
from whodrew.errors import UsageError

OBJECTIVES: Final = ("away", "decoy", "crowd", "contrastive")
NORMS: Final = ("linf", "l2")


@dataclass(frozen=True)
class Goal:
    """What one encoder's vector z (k,) is to do, in units of ``Space.apart``.

    Attributes:
        kind: ``toward`` or ``from`` a point, or ``contrast`` with references.
        point: (k,) the point.
        own: (r, k) references of the picture's own model.
        others: (s, k) references of other models.
        apart: the unit.
    """

    kind: str
    point: Floats
    own: Floats
    others: Floats
    apart: float


def named(text: str) -> tuple[str, ...]:
    """Splits names joined by ``|``."""
    return tuple(one for one in (part.strip() for part in text.split("|")) if one)


def row_of(learnt: Learnt, model: str | None, name: str, objective: str) -> int:
    """Returns the number of a picture's model.

    Raises:
        UsageError: it is not given, or was not among those that were learnt.
    """
    if model is None:
        raise UsageError(
            f"{name}(objective={objective}) must know which model drew each picture: "
            "name it, or take objective=crowd"
        )
    if model not in learnt.models:
        raise UsageError(
            f"{name}(objective={objective}) has not seen model {model!r}: fit it on an arena "
            f"that has it (seen: {', '.join(sorted(learnt.models)[:8])}"
            f"{', ...' if len(learnt.models) > 8 else ''})"
        )
    return learnt.models.index(model)


def decoy_rows(learnt: Learnt, decoys: str) -> list[int]:
    """Returns the numbers of the models that pictures may be moved to; all when not named.

    Raises:
        UsageError: one was not among those that were learnt.
    """
    wanted = named(decoys)
    missing = [one for one in wanted if one not in learnt.models]
    if missing:
        raise UsageError(f"decoys={decoys}: {missing[0]!r} was not among the models seen in fit")
    return [learnt.models.index(one) for one in wanted] or list(range(len(learnt.models)))


def goals(
    learnt: Learnt,
    objective: str,
    *,
    model: str | None,
    prompt_id: str | None,
    decoys: Sequence[int] = (),
    rng: np.random.Generator | None = None,
    name: str = "perturb",
) -> tuple[Goal, ...]:
    """Returns one goal an encoder, for one picture.

    Centroids lie about the mean of the picture's prompt where that prompt was seen in fit,
    about the mean of all models elsewhere.

    Args:
        learnt: what is known of the arena.
        objective: ``away``, ``decoy``, ``crowd`` or ``contrastive``.
        model: who drew it.
        prompt_id: of what.
        decoys: numbers of the models that a decoy is drawn from, the picture's own among
            them: were it not, not to look like a model would give it away.
        rng: draws the decoy.
        name: of the stage, for messages.

    Raises:
        UsageError: the objective needs the model, which is not given or was not seen.
    """
    own = None
    if objective in ("away", "contrastive"):
        own = row_of(learnt, model, name, objective)
    decoy = None
    if objective == "decoy":
        assert rng is not None
        decoy = decoys[int(rng.integers(len(decoys)))]
    prompt = learnt.prompts.index(prompt_id) if prompt_id in learnt.prompts else None
    return tuple(_goal(space, objective, own, decoy, prompt) for space in learnt.spaces)


def _goal(
    space: Space, objective: str, own: int | None, decoy: int | None, prompt: int | None
) -> Goal:
    about = space.overall if prompt is None else space.prompt_means[prompt]
    none = space.references[:0]
    if objective == "contrastive":
        mine = space.reference_models == own
        return Goal(
            "contrast", space.overall, space.references[mine], space.references[~mine], space.apart
        )
    if objective == "crowd":
        return Goal("toward", about, none, none, space.apart)
    row = own if decoy is None else decoy
    point = about + space.centroids[row] - space.overall
    return Goal("from" if objective == "away" else "toward", point, none, none, space.apart)
