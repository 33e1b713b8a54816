"""A linear probe: scikit-learn's multinomial logistic regression on the references.

Refitting it for every prompt would cost hours on a large arena, so under ``other`` it
leaves out the query's whole fold of prompts (a fifth), which is stricter, not laxer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option
from whodrew.identify.cells import other_centre
from whodrew.identify.library import Frame, Library
from whodrew.identify.neighbours import by_round, references_without
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats, Ints

INVERSE_PENALTY = 1.0
ITERATIONS = 300


def fit_probe(references: Floats, model: Ints) -> Any:
    """Returns a fitted scikit-learn classifier, or ``None`` with fewer than two models.

    Vectors are divided by the root of their mean squared length, so that one penalty
    serves encoders of any dimension.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(model)) < 2:
        return None
    return LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS).fit(references, model)


def typical_length(references: Floats) -> float:
    """Returns the root of the mean squared length of rows."""
    if len(references) == 0:
        return 1.0
    length = float(np.sqrt(np.mean(np.einsum("ij,ij->i", references, references))))
    return length if length > 0 else 1.0


def probe_scores(queries: Floats, references: Floats, model: Ints, models: int) -> Floats:
    """Returns (n, M) log-probabilities of a probe fitted on references (r, D)."""
    scale = np.float32(typical_length(references))
    return apply_probe(fit_probe(references / scale, model), queries / scale, model, models)


def apply_probe(probe: Any, queries: Floats, model: Ints, models: int) -> Floats:
    """Returns (n, M) log-probabilities; with one model known it is the only candidate."""
    scores = np.full((len(queries), models), NEVER)
    if probe is None:
        scores[:, np.unique(model)] = 0.0
        return scores
    scores[:, probe.classes_] = probe.predict_log_proba(queries)
    return scores


@dataclass
class FittedProbe:
    """A probe on references without some prompts, fitted when first asked."""

    library: Library
    frame: Frame
    without: frozenset[int]
    centred: bool

    @cached_property
    def _references(self) -> tuple[Floats, Ints]:
        return references_without(self.library, self.frame, self.without, centred=self.centred)

    @cached_property
    def _probe(self) -> tuple[Any, np.float32]:
        references, model = self._references
        scale = np.float32(typical_length(references))
        return fit_probe(references / scale, model), scale

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (1, n, M) log-probabilities."""
        models = len(self.frame.known)
        if block.rounds is None:
            queries = self.frame.scaled(block.points[block.query])
            if self.centred:
                queries = queries - other_centre(self.frame, block)
            probe, scale = self._probe
            return apply_probe(probe, queries / scale, self._references[1], models)[None]
        return by_round(self.frame, block, probe_scores, centred=self.centred)[None]


class LinearProbe:
    """Logistic regression."""

    name = "linear-probe"
    scatter = False
    by_fold = True

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Nothing is chosen."""
        return (Option(),)

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits the column scale; the probe itself when a block needs it."""
        return FittedProbe(library, library.frame(without, scatter=False), without, centred)
