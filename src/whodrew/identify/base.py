"""What an identifier is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from whodrew.identify.library import Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats

NEVER = np.float32(-np.inf)


@dataclass(frozen=True)
class Option:
    """Strengths that are chosen on prompts held out from the query's.

    Attributes:
        strength: prior strength of the covariance, in references a dimension.
        mix: share of the residual about the model's effect in the covariance.
        weight: references at which a cell's centroid is trusted by half.
    """

    strength: float = 0.1
    mix: float = 1.0
    weight: float = 4.0


class Fitted(Protocol):
    """An identifier fitted without some prompts."""

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (options, n, M) scores, higher for likelier models, -inf for none."""
        ...


@runtime_checkable
class ScoresTogether(Protocol):
    """A fitted identifier whose references differ when images are named together.

    Under matched knowledge the references of a round are the generations that it does not
    show, of every model.
    """

    def score_together(self, block: Block) -> Floats | None:
        """Returns (n, M) scores from the references of the round, or ``None`` as ``score``'s."""
        ...


class Identifier(Protocol):
    """Names the model of a query.

    Attributes:
        name: what users type.
        scatter: whether it needs (D, D) sums.
        by_fold: whether it leaves out the query's whole fold (too dear to refit by prompt).
    """

    name: str
    scatter: bool
    by_fold: bool

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Returns what may be chosen on held-out prompts, the default first."""
        ...

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits on every reference prompt but some."""
        ...


def directions(vectors: Floats) -> Floats:
    """Returns vectors (..., k) of unit length; zero vectors stay zero."""
    length = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))[..., None]
    return np.asarray(vectors / np.where(length > 0, length, np.float32(1.0)))


def cosine(queries: Floats, centroids: Floats) -> Floats:
    """Returns (n, M) cosine similarities; zero vectors are similar to nothing (0)."""
    return np.asarray(directions(queries) @ directions(centroids).T)
