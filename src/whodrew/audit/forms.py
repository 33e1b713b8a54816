"""What decides on the forms of the images, and joins two arenas' samples."""

from __future__ import annotations

import numpy as np

from whodrew.audit.gathered import Gathered, shared_groups
from whodrew.errors import UsageError
from whodrew.identify.samples import Samples
from whodrew.measure.container import ContainerFigure, by_kind

CANONICAL_RANGE = (64, 512)


def shared_samples(queries: Gathered, references: Gathered) -> tuple[Samples, Samples]:
    """Returns both arenas' samples under shared code books of models, prompts and groups.

    Raises:
        UsageError: the two were encoded differently, or have no model in common.
    """
    first, second = queries.card, references.card
    if (first.name, first.revision, first.dimension) != (
        second.name,
        second.revision,
        second.dimension,
    ):
        raise UsageError(
            f"the arena is encoded by {first.name} ({first.dimension}), the references by "
            f"{second.name} ({second.dimension}): give both as images, or stores of one encoder"
        )
    models = [one.distinct("model") for one in (queries, references)]
    if not models[0] & models[1]:
        raise UsageError(
            "arena and reference arena have no model in common: their folders or model "
            f"columns name {_few(models[0])} and {_few(models[1])}"
        )
    model_names = sorted(models[0] | models[1])
    prompt_names = sorted(set(queries.prompts) | set(references.prompts))
    groups = shared_groups(queries, references)
    first_samples, second_samples = (
        one.samples(model_names=model_names, prompt_names=prompt_names, group=group)
        for one, group in zip((queries, references), groups, strict=True)
    )
    return first_samples, second_samples


def _few(names: frozenset[str]) -> str:
    some = sorted(names)[:3]
    return ", ".join(some) + (", …" if len(names) > 3 else "")


def canonical_size(gathered: Gathered) -> int:
    """Returns the side to bring images to: the smallest model's median short side.

    Rounded down to a multiple of 8 and kept between 64 and 512.
    """
    sides = np.array([min(width or 0, height or 0) for _, width, height in gathered.kinds])
    medians = [
        float(np.median(np.repeat(sides[sides > 0], row[sides > 0])))
        for row in gathered.by_kind()
        if row[sides > 0].any()
    ]
    low, high = CANONICAL_RANGE
    return int(np.clip(int(min(medians)) // 8 * 8, low, high))


def container_figure(gathered: Gathered, seed: int) -> ContainerFigure | None:
    """Returns what size and format give away, or ``None`` where they are not known."""
    known = gathered.model >= 0
    return by_kind(
        gathered.kinds,
        gathered.kind[known],
        gathered.model[known],
        gathered.prompt[known],
        (len(gathered.models), len(gathered.prompts)),
        seed,
    )
