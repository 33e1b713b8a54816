"""An attack: every query named, by one identifier under one knowledge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import log_softmax

from whodrew.identify.base import Fitted, Identifier, Option, ScoresTogether
from whodrew.identify.calibrate import Choice, Rehearsed, choose
from whodrew.identify.parallel import side_by_side
from whodrew.identify.problem import LARGE, Block, Problem
from whodrew.identify.samples import Floats, Ints, Mask


@dataclass(frozen=True)
class Answers:
    """Scores of the n queries that were asked.

    Attributes:
        rows: (n,) rows among the problem's queries, ascending.
        prompt: (n,) prompt codes.
        model: (n,) true model codes.
        scores: (n, M) higher is likelier, -inf for models that are no candidates.
        temperature: (n,) chosen without the query's fold.
        tuned: whether temperatures were fitted at all.
        together: (n, M) scores for naming the images of a round together, where references
            differ from those of naming each alone; ``None`` where ``scores`` serve for both.
    """

    rows: Ints
    prompt: Ints
    model: Ints
    scores: Floats
    temperature: Floats
    tuned: bool
    together: Floats | None = None

    def log_probabilities(self) -> Floats:
        """Returns (n, M) calibrated log-probabilities."""
        scaled = self.scores.astype(np.float64) / self.temperature[:, None]
        return np.asarray(log_softmax(scaled, axis=1), dtype=np.float32)

    def take(self, keep: Mask) -> Answers:
        """Returns some of the answers."""
        return Answers(
            self.rows[keep],
            self.prompt[keep],
            self.model[keep],
            self.scores[keep],
            self.temperature[keep],
            self.tuned,
            None if self.together is None else self.together[keep],
        )


@dataclass(frozen=True)
class Attack:
    """What an attack found, and what it was fitted with.

    Attributes:
        problem: what was asked.
        identifier: what answered.
        answers: the answers.
        choices: strengths and temperature by fold.
        rehearsed: the held-out scores the choices rest on.
        options: what could be chosen.
    """

    problem: Problem
    identifier: Identifier
    answers: Answers
    choices: tuple[Choice, ...]
    rehearsed: Rehearsed
    options: tuple[Option, ...]


def attack(problem: Problem, identifier: Identifier) -> Attack:
    """Names every query of a problem.

    Each query is scored by a fit that has seen neither its prompt nor any prompt that
    holds a duplicate of it, with strengths and temperature chosen on prompts of other
    folds. Cost: ten fits to choose, one fit a prompt to score.

    Args:
        problem: references, queries and knowledge.
        identifier: what names.
    """
    choices, rehearsed, options = choose(problem, identifier)
    answers = score(problem, identifier, choices)
    return Attack(problem, identifier, answers, tuple(choices), rehearsed, options)


def score(
    problem: Problem,
    identifier: Identifier,
    choices: list[Choice] | tuple[Choice, ...],
    prompts: Ints | None = None,
) -> Answers:
    """Scores every query, or those of some prompts, with choices already made."""
    folds = problem.folds
    wanted = None if prompts is None else frozenset(np.asarray(prompts).tolist())

    @lru_cache(maxsize=2 if identifier.by_fold else 0)
    def fit(without: frozenset[int]) -> Fitted:
        return identifier.fit(problem.library, without, centred=problem.knowledge.centred)

    def answer(group: tuple[frozenset[int], Block]) -> tuple[Ints, Floats, Floats | None]:
        without, block = group
        if identifier.by_fold:
            without |= frozenset(np.flatnonzero(folds == folds[block.prompt]).tolist())
        fitted = fit(without)
        alone = fitted.score(block, (choices[folds[block.prompt]].option,))[0]
        joint = fitted.score_together(block) if isinstance(fitted, ScoresTogether) else None
        return block.rows, alone, joint

    groups = problem.groups(wanted)
    if len(problem.references) > LARGE:
        problem.library.prepare(scatter=identifier.scatter)
        found = side_by_side(answer, groups)
    else:
        found = [answer(group) for group in groups]
    rows = [one for one, _, _ in found]
    scores = [one for _, one, _ in found]
    together = [one for _, _, one in found if one is not None]
    if not rows:
        models = len(problem.references.models)
        asked, values = np.empty(0, dtype=np.int64), np.empty((0, models), dtype=np.float32)
    else:
        asked, values = np.concatenate(rows), np.concatenate(scores)
    order = np.argsort(asked)
    asked = asked[order]
    prompt = problem.queries.prompt[asked]
    temperatures = np.array([choice.temperature for choice in choices], dtype=np.float32)
    return Answers(
        rows=asked,
        prompt=prompt,
        model=problem.queries.model[asked],
        scores=values[order],
        temperature=temperatures[folds[prompt]],
        tuned=all(choice.tuned for choice in choices),
        together=np.concatenate(together)[order] if together else None,
    )
