"""How well size and format alone name the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whodrew.measure.intervals import Rate, by_prompt, ratio

PRIOR = 0.5


@dataclass(frozen=True)
class ContainerFigure:
    """What size and format give away.

    Attributes:
        differs: whether they are not the same for all models.
        fields: which differ: ``format``, ``size``.
        top1: share of images whose model a classifier names that sees nothing else.
    """

    differs: bool
    fields: tuple[str, ...]
    top1: Rate

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "differs": self.differs,
            "fields": list(self.fields),
            "top1": self.top1.to_dict(),
        }


def size_and_format(
    formats: Sequence[str | None],
    sizes: Sequence[tuple[int | None, int | None]],
    models: Sequence[str | None],
    prompts: Sequence[str],
    seed: int,
) -> ContainerFigure | None:
    """Names the model from format, width and height, whole prompts held out.

    The classifier is a table of frequencies over the other prompts (prior of half a count);
    among models it finds equally likely it is given the expected share.

    Args:
        formats: N formats; ``None`` where not known.
        sizes: N (width, height) in pixels.
        models: N models; images without one are left out.
        prompts: N prompt ids.
        seed: seeds the interval.

    Returns:
        The figure, or ``None`` where no format or size is known or only one model is.
    """
    rows = [row for row, name in enumerate(models) if name is not None]
    if not rows or all(formats[row] is None and sizes[row][0] is None for row in rows):
        return None
    names, model = np.unique([str(models[row]) for row in rows], return_inverse=True)
    if len(names) < 2:
        return None
    texts, prompt = np.unique([prompts[row] for row in rows], return_inverse=True)
    kinds = [f"{formats[row]} {sizes[row][0]}x{sizes[row][1]}" for row in rows]
    values, kind = np.unique(kinds, return_inverse=True)
    fields = []
    for name, seen in (
        ("format", [str(formats[row]) for row in rows]),
        ("size", [f"{sizes[row][0]}x{sizes[row][1]}" for row in rows]),
    ):
        shown = {code: set() for code in range(len(names))}  # type: dict[int, set[str]]
        for code, value in zip(model.tolist(), seen, strict=True):
            shown[code].add(value)
        if len({frozenset(one) for one in shown.values()}) > 1:
            fields.append(name)

    shape = (len(texts), len(names), len(values))
    flat = np.ravel_multi_index((prompt, model, kind), shape)
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    others = counts.sum(axis=0)[None] - counts + PRIOR
    likely = others / others.sum(axis=2, keepdims=True)
    chosen = np.isclose(likely, likely.max(axis=1, keepdims=True), rtol=1e-9)
    share = chosen / chosen.sum(axis=1, keepdims=True)
    right = by_prompt(share[prompt, model, kind], prompt, len(texts))
    asked = by_prompt(np.ones(len(rows)), prompt, len(texts))
    top1 = ratio(right, asked, seed=seed, chance=1.0 / len(names))
    told = top1.low is not None and top1.low > 1.0 / len(names)
    return ContainerFigure(bool(fields) or told, tuple(fields), top1)
