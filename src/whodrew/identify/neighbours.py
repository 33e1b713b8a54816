"""k nearest references by cosine, with shares of votes as scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option, rounds_of
from whodrew.identify.cells import matched_centre, other_centre, round_cells
from whodrew.identify.library import Frame, Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Ints

NEIGHBOURS = 5
TIE = np.float32(1e-3)


def unit_rows(vectors: Floats) -> Floats:
    """Returns rows of unit length; zero rows stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))


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
    similar = unit_rows(queries) @ unit_rows(references).T
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
        points = self.frame.scaled(block.points)
        scores = np.full((len(block.rows), models), NEVER)
        for number, asked in rounds_of(block):
            queries, references, model = round_points(
                self.frame, points, block, number, asked, centred=self.centred
            )
            scores[asked] = vote_shares(queries, references, model, models)
        return scores[None]


def references_without(
    library: Library, frame: Frame, without: frozenset[int], *, centred: bool
) -> tuple[Floats, Ints]:
    """Returns (r, D') scaled references of other prompts, centred or not, and their models."""
    if centred:
        kept = library.centred(frame, without)
        return kept.vectors, kept.model
    rows = library.rows_without(without)
    return frame.scaled(library.samples.vectors[rows]), library.samples.model[rows]


def round_points(
    frame: Frame, points: Floats, block: Block, number: int, asked: Ints, *, centred: bool
) -> tuple[Floats, Floats, Ints]:
    """Returns queries (q, D') and references (r, D') of one round, with the latter's models."""
    kept = block.kept[number]
    queries, references = points[block.query[asked]], points[block.reference[kept]]
    if centred:
        cells = round_cells(points, frame.effects, block, number)
        queries = queries - matched_centre(frame, points, block, cells, asked)
        references = references - cells.middle
    return queries, references, block.model[kept]


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
