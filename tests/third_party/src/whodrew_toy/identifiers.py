"""An identifier: the nearest centroid by Euclidean distance."""

from __future__ import annotations

import numpy as np

from whodrew.identify.base import NEVER, Option
from whodrew.identify.library import Frame, Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats


class FittedEuclid:
    """Centroids of the models over the prompts that were fitted."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (1, n, M) scores: minus the squared distances."""
        queries = self._frame.scaled(block.points[block.query])
        gaps = queries[:, None, :] - self._frame.centroids
        scores = np.where(self._frame.known, -np.square(gaps).sum(axis=2), NEVER)
        return scores.astype(np.float32)[None]


class Euclid:
    """The nearest centroid by Euclidean distance."""

    name = "whodrew-toy/euclid"
    scatter = False
    by_fold = False

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Nothing is chosen."""
        return (Option(),)

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> FittedEuclid:
        """Fits on every prompt but some."""
        return FittedEuclid(library.frame(without, scatter=False))
