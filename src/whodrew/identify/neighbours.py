"""k nearest references by cosine, with shares of votes as scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option, directions
from whodrew.identify.cells import assemble, other_centre
from whodrew.identify.library import Frame, Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Ints

NEIGHBOURS = 5
TIE = np.float32(1e-3)
Name = Callable[[Floats, Floats, Ints, int], Floats]


def vote_shares(queries: Floats, references: Floats, model: Ints, models: int) -> Floats:
    """Returns (n, M) the share of the k nearest references that each model drew.

    Ties between models are broken by a thousandth of the mean similarity of their votes.

    Args:
        queries: (n, D).
        references: (r, D).
        model: (r,) models of the references.
        models: M.
    """
    if len(model) == 0:
        return np.full((len(queries), models), NEVER)
    similar = directions(queries) @ directions(references).T
    number = min(NEIGHBOURS, len(model))
    near = np.argpartition(-similar, number - 1, axis=1)[:, :number]
    rows = np.repeat(np.arange(len(queries)), number)
    flat = rows * models + model[near].ravel()
    size = len(queries) * models
    votes = np.bincount(flat, minlength=size).reshape(-1, models)
    likeness = np.bincount(
        flat, weights=np.take_along_axis(similar, near, axis=1).ravel(), minlength=size
    ).reshape(-1, models)
    shares = votes / number + TIE * likeness / np.maximum(votes, 1)
    known = np.bincount(model, minlength=models) > 0
    return np.where(known, shares, NEVER).astype(np.float32)


@dataclass
class FittedNeighbours:
    """References without some prompts."""

    library: Library
    frame: Frame
    without: frozenset[int]
    centred: bool

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (1, n, M) shares of votes. Cost: n D for each reference."""
        models = len(self.frame.known)
        if block.rounds is None:
            queries = self.frame.scaled(block.points[block.query])
            if self.centred:
                queries = queries - other_centre(self.frame, block)
            references, model = references_without(
                self.library, self.frame, self.without, centred=self.centred
            )
            return vote_shares(queries, references, model, models)[None]
        return by_round(self.frame, block, vote_shares, centred=self.centred)[None]


def references_without(
    library: Library, frame: Frame, without: frozenset[int], *, centred: bool
) -> tuple[Floats, Ints]:
    """Returns (r, D') scaled references of other prompts, centred or not, and their models."""
    if centred:
        kept = library.centred(frame, without)
        return kept.vectors, kept.model
    rows = library.rows_without(without)
    return frame.scaled(library.samples.vectors[rows]), library.samples.model[rows]


def by_round(frame: Frame, block: Block, name: Name, *, centred: bool) -> Floats:
    """Returns (n, M) scores of a matched block, each round named from what it leaves.

    Args:
        frame: gives scale and effects.
        block: matched block.
        name: gives (q, M) scores from queries (q, D'), references (r, D'), models (r,), M.
        centred: whether the prompt's effect is taken from both first.
    """
    models = len(frame.known)
    points = frame.scaled(block.points)
    numbers, which = np.unique(block.round, return_inverse=True)
    drawn = assemble(frame, points, frame.effects, block) if centred else None
    queries = points[block.query] if drawn is None else drawn.queries
    scores = np.full((len(block.rows), models), NEVER)
    for place, number in enumerate(numbers.tolist()):
        kept = block.kept[number]
        references = points[block.reference[kept]]
        if drawn is not None:
            references = references - drawn.middles[place]
        asked = which == place
        scores[asked] = name(queries[asked], references, block.model[kept], models)
    return scores


class KNearest:
    """k nearest references, k = 5."""

    name = "k-nearest"
    scatter = False
    by_fold = False

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Nothing is chosen."""
        return (Option(),)

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits the column scale; references are read as they are."""
        return FittedNeighbours(library, library.frame(without, scatter=False), without, centred)
