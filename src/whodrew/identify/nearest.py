"""Nearest centroid by cosine: the paper's rule, plain and centred on prompts.

Plain and matched it is exactly the rule of arXiv 2601.09647: the centroid of a model for
a prompt is the normalised mean of its references for that prompt, and the query itself is
left out of its own cell, ``c = normalise(S - x)``. Per model and centred are extensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option, cosine, directions
from whodrew.identify.cells import assemble, cell_sums, other_centre
from whodrew.identify.library import Frame, Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Ints


@dataclass
class FittedNearest:
    """Scale and effects without some prompts, summed up when they are needed."""

    library: Library
    without: frozenset[int]
    centred: bool

    @cached_property
    def frame(self) -> Frame:
        """Column scale and, per model, the centroids."""
        return self.library.frame(self.without, scatter=False)

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (1, n, M) cosine similarities. Cost: n M D."""
        if block.rounds is None:
            return self._other(block)[None]
        return (self._matched if self.centred else self._plain)(block)[None]

    def _other(self, block: Block) -> Floats:
        queries = self.frame.scaled(block.points[block.query])
        if self.centred:
            scores = cosine(queries - other_centre(self.frame, block), self.frame.effects)
        else:
            scores = cosine(queries, self.frame.centroids)
        return np.where(self.frame.known, scores, NEVER)

    def _matched(self, block: Block) -> Floats:
        points = self.frame.scaled(block.points)
        drawn = assemble(self.frame, points, self.frame.effects, block)
        return by_round(drawn.queries, drawn.means, drawn.counts, drawn.which)

    def _plain(self, block: Block) -> Floats:
        """The paper's rule: only the query's own reference is left out, exactly."""
        assert block.rounds is not None
        samples = self.library.samples
        native = samples.scale == "unit"
        points = block.points if native else self.frame.scaled(block.points)
        whole = block.usable & (True if block.limit is None else block.rounds.place < block.limit)
        weights = np.zeros((len(samples.models), len(block.model)), dtype=np.float32)
        weights[block.model[whole], np.flatnonzero(whole)] = 1.0
        counts = weights.sum(axis=1)
        sums = weights @ points[block.reference]
        queries = points[block.query]
        scores = np.where(counts > 0, cosine(queries, sums), NEVER)
        asked = np.flatnonzero((block.own >= 0) & block.usable[block.own])
        code = block.model[block.own[asked]]
        if block.limit is None and block.rounds.first is None:
            left = counts[code] - 1
            rest = sums[code] - points[block.reference[block.own[asked]]]
        else:
            left, rest = self._next(points, block, asked, code)
        scores[asked, code] = np.where(left > 0, paired_cosine(queries[asked], rest), NEVER)
        return scores

    def score_together(self, block: Block) -> Floats | None:
        """Returns (n, M) cosine similarities to the centroids of what the round leaves.

        The plain rule leaves out the query alone; among images shown together those of the
        rivals must not stand among the references either.
        """
        if self.centred or block.rounds is None:
            return None
        native = self.library.samples.scale == "unit"
        points = block.points if native else self.frame.scaled(block.points)
        numbers, which = np.unique(block.round, return_inverse=True)
        counts, sums = cell_sums(points, len(self.library.samples.models), block, numbers)
        return by_round(points[block.query], sums, counts, which)

    def _next(self, points: Floats, block: Block, asked: Ints, code: Ints) -> tuple[Floats, Floats]:
        """Returns number and sum of the references that stand in for each query's own."""
        left = np.zeros(len(asked), dtype=np.float32)
        rest = np.zeros((len(asked), points.shape[1]), dtype=np.float32)
        for index, place in enumerate(asked.tolist()):
            kept = block.kept[block.round[place]] & (block.model == code[index])
            left[index] = kept.sum()
            rest[index] = points[block.reference[kept]].sum(axis=0)
        return left, rest


def by_round(queries: Floats, centroids: Floats, counts: Floats, which: Ints) -> Floats:
    """Returns (n, M) cosine similarities of queries to the centroids of their rounds.

    Args:
        queries: (n, k).
        centroids: (G, M, k), of any length.
        counts: (G, M) references behind each; where there is none it is never the answer.
        which: (n,) the round of each query.
    """
    queries, centroids = directions(queries), directions(centroids)
    scores = np.empty((len(queries), centroids.shape[1]), dtype=np.float32)
    for number, round_of in enumerate(centroids):
        asked = np.flatnonzero(which == number)
        scores[asked] = queries[asked] @ round_of.T
    return np.where(counts[which] > 0, scores, NEVER)


def paired_cosine(left: Floats, right: Floats) -> Floats:
    """Returns (n,) cosine similarity of each row with its own; 0 for zero rows."""
    dots = np.einsum("ij,ij->i", left, right)
    lengths = np.sqrt(np.einsum("ij,ij->i", left, left) * np.einsum("ij,ij->i", right, right))
    return np.asarray(dots / np.where(lengths > 0, lengths, 1.0))


class NearestCentroid:
    """The paper's identifier."""

    name = "nearest-centroid"
    scatter = False
    by_fold = False

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Nothing is chosen."""
        return (Option(),)

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits nothing yet: the paper's rule needs no other prompt under ``unit`` scale."""
        return FittedNearest(library, without, centred)
