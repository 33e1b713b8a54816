"""Nearest centroid by cosine: the paper's rule, plain and centred on prompts.

Plain and matched it is exactly the rule of arXiv 2601.09647: the centroid of a model for
a prompt is the normalised mean of its references for that prompt, and the query itself is
left out of its own cell, ``c = normalise(S - x)``. Per model and centred are extensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option, cosine, rounds_of
from whodrew.identify.cells import matched_centre, other_centre, round_cells
from whodrew.identify.library import Frame, Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats


@dataclass(frozen=True)
class FittedNearest:
    """Scale and effects without some prompts."""

    frame: Frame
    centred: bool

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
        scores = np.empty((len(block.rows), len(self.frame.known)), dtype=np.float32)
        for number, asked in rounds_of(block):
            cells = round_cells(points, self.frame.effects, block, number)
            centre = matched_centre(self.frame, points, block, cells, asked)
            found = cosine(points[block.query[asked]] - centre, cells.means - cells.middle)
            scores[asked] = np.where(cells.counts > 0, found, NEVER)
        return scores

    def _plain(self, block: Block) -> Floats:
        points = self.frame.scaled(block.points)
        models = len(self.frame.known)
        queries = points[block.query]
        limit = len(block.model) if block.limit is None else block.limit
        whole = np.zeros((models, len(block.model)), dtype=np.float32)
        assert block.rounds is not None
        first = (block.rounds.place < limit) & block.usable
        whole[block.model[first], np.flatnonzero(first)] = 1.0
        counts = whole.sum(axis=1)
        sums = whole @ points[block.reference]
        scores = np.where(counts > 0, cosine(queries, sums), NEVER)
        for index in np.flatnonzero(block.own >= 0).tolist():
            own = int(block.own[index])
            if not block.usable[own]:
                continue
            cell = np.flatnonzero(block.model == block.model[own])
            order = cell[
                np.argsort((block.rounds.place[cell] - block.rounds.place[own]) % len(cell))
            ]
            rest = order[1 : 1 + limit]
            code = block.model[own]
            if len(rest) == 0:
                scores[index, code] = NEVER
                continue
            if block.limit is None:
                centroid = sums[code] - points[block.reference[own]]
            else:
                centroid = points[block.reference[rest]].sum(axis=0)
            scores[index, code] = cosine(queries[index : index + 1], centroid[None])[0, 0]
        return scores


class NearestCentroid:
    """The paper's identifier."""

    name = "nearest-centroid"
    scatter = False
    by_fold = False

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Nothing is chosen."""
        return (Option(),)

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits the column scale and, per model, the centroids."""
        return FittedNearest(library.frame(without, scatter=False), centred)
