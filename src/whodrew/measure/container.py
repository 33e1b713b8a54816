"""How well size and format alone name the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whodrew.identify.samples import Ints
from whodrew.measure.intervals import Rate, ratio

PRIOR = 0.5
Kind = tuple[str | None, int | None, int | None]


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
    kinds = [(formats[row], *sizes[row]) for row in rows]
    book = {kind: code for code, kind in enumerate(dict.fromkeys(kinds))}
    names, model = np.unique([str(models[row]) for row in rows], return_inverse=True)
    texts, prompt = np.unique([prompts[row] for row in rows], return_inverse=True)
    kind = np.array([book[one] for one in kinds], dtype=np.int64)
    return by_kind(tuple(book), kind, model, prompt, (len(names), len(texts)), seed)


def by_kind(
    kinds: Sequence[Kind], kind: Ints, model: Ints, prompt: Ints, shape: tuple[int, int], seed: int
) -> ContainerFigure | None:
    """As ``size_and_format``, from codes of N images whose models are known.

    Args:
        kinds: K distinct (format, width, height).
        kind: (N,) codes.
        model: (N,) codes.
        prompt: (N,) codes.
        shape: M and P.
        seed: seeds the interval.
    """
    models, prompts = shape
    if all(name is None and width is None for name, width, _ in kinds) or len(kind) == 0:
        return None
    present = np.flatnonzero(np.bincount(model, minlength=models))
    if len(present) < 2:
        return None
    model = np.searchsorted(present, model)
    size = (prompts, len(present), len(kinds))
    flat = np.ravel_multi_index((prompt, model, kind), size)
    counts = np.bincount(flat, minlength=int(np.prod(size))).reshape(size)
    total = counts.sum(axis=0)
    fields = []
    for name, seen in (
        ("format", [one for one, _, _ in kinds]),
        ("size", [(width, height) for _, width, height in kinds]),
    ):
        shown = {frozenset(seen[code] for code in np.flatnonzero(row).tolist()) for row in total}
        if len(shown) > 1:
            fields.append(name)
    others = total[None] - counts + PRIOR
    likely = others / others.sum(axis=2, keepdims=True)
    chosen = np.isclose(likely, likely.max(axis=1, keepdims=True), rtol=1e-9)
    share = chosen / chosen.sum(axis=1, keepdims=True)
    right = (share * counts).sum(axis=(1, 2))
    chance = 1.0 / len(present)
    top1 = ratio(right, counts.sum(axis=(1, 2)).astype(np.float64), seed=seed, chance=chance)
    told = top1.low is not None and top1.low > chance
    return ContainerFigure(bool(fields) or told, tuple(fields), top1)
