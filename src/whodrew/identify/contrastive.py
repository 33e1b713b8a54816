"""A projection trained with the supervised contrastive loss, steady under small changes.

Where the samples have perturbed copies, an image and its copies are pulled together as the
images of one model are. The loss is Khosla et al.'s (Supervised Contrastive Learning,
arXiv 2004.11362); what is trained with it, and how, is whodrew's own (``metric``).

What is trained is too dear to train by prompt: it leaves out the query's whole fold of
prompts. Means and covariance, which are not, leave out the query's prompt.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from whodrew.identify.base import NEVER, Fitted, Option
from whodrew.identify.cells import assemble, other_centre
from whodrew.identify.contrastive_train import Learnt, Training, learnt
from whodrew.identify.library import Frame, Library
from whodrew.identify.metric import Metric
from whodrew.identify.parallel import one_thread_each
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats
from whodrew.identify.whitened import drawn_scores, half_squared_distances

#: The prompts that were left out, and whether knowledge is matched.
Lesson = tuple[frozenset[int], bool]
WEIGHTS = (16.0, 0.0, 1.0, 4.0, 64.0, 1e6)


class School:
    """Trains once for each set of folds that is left out, and remembers.

    Args:
        training: how.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self._known: WeakKeyDictionary[Library, dict[Lesson, Learnt]] = WeakKeyDictionary()
        self._turns: WeakKeyDictionary[Library, dict[Lesson, threading.Lock]]
        self._turns = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[School], tuple[Training]]:
        return School, (self.training,)

    def learnt(self, library: Library, without: frozenset[int], *, matched: bool) -> Learnt:
        """Returns what is learnt without any prompt of the folds that ``without`` touches."""
        folds = np.unique(library.folds[sorted(without)])
        left_out = frozenset(np.flatnonzero(np.isin(library.folds, folds)).tolist())
        lesson = left_out, matched
        with self._lock:
            known = self._known.setdefault(library, {})
            turn = self._turns.setdefault(library, {}).setdefault(lesson, threading.Lock())
        # different lessons side by side, each of them once
        with turn:
            if lesson not in known:
                known[lesson] = learnt(library, left_out, self.training, matched=matched)
            return known[lesson]


@dataclass
class FittedContrastive:
    """A projection fitted without some prompts, once a block asks for it."""

    library: Library
    frame: Frame
    without: frozenset[int]
    school: School

    def metric(self, *, matched: bool) -> Metric:
        """Returns the trained projection for one kind of knowledge."""
        return self._matched if matched else self._other

    @cached_property
    def _matched(self) -> Metric:
        return self._fitted(matched=True)

    @cached_property
    def _other(self) -> Metric:
        return self._fitted(matched=False)

    def _fitted(self, *, matched: bool) -> Metric:
        found = self.school.learnt(self.library, self.without, matched=matched)
        return found.metric(self.library, self.frame, self.without, self.school.training)

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (options, n, M) minus half the squared distances of projections.

        To the models' means, and under matched knowledge to the means of the cells, drawn
        toward the model's as ``whitened-centroid`` does.
        """
        with one_thread_each():
            return self._scores(block, options)

    def _scores(self, block: Block, options: tuple[Option, ...]) -> Floats:
        known = self.frame.known
        metric = self.metric(matched=block.rounds is not None)
        effects = metric.project(self.frame.effects)
        if block.rounds is None:
            queries = self.frame.scaled(block.points[block.query])
            queries = metric.project(queries - other_centre(self.frame, block))
            found = np.where(known, -half_squared_distances(queries, effects), NEVER)
            return np.broadcast_to(found, (len(options), *found.shape)).astype(np.float32)
        points = metric.project(self.frame.scaled(block.points))
        drawn = assemble(self.frame, points, effects, block)
        return drawn_scores(drawn, effects, known, [one.weight for one in options])


class Contrastive:
    """The robust attacker.

    Args:
        training: how the projection is trained.
    """

    name = "contrastive"
    scatter = True
    by_fold = False

    def __init__(self, training: Training | None = None) -> None:
        self.school = School(training or Training())

    @property
    def brief(self) -> Contrastive:
        """The untrained projection: for curves, which fit hundreds of times."""
        return Contrastive(replace(self.school.training, steps=0))

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Returns the weights of cells to choose from; under other knowledge there are none."""
        if not matched:
            return (Option(),)
        return tuple(Option(weight=weight) for weight in WEIGHTS)

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits the column scale; the projection is trained when a block needs it."""
        return FittedContrastive(
            library, library.frame(without, scatter=True), without, self.school
        )
