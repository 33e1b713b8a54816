"""An attack: every query named, by one identifier under one knowledge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from whodrew.identify.base import Identifier, Option
from whodrew.identify.calibrate import Choice, Rehearsed, choose
from whodrew.identify.problem import Problem
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
    """

    rows: Ints
    prompt: Ints
    model: Ints
    scores: Floats
    temperature: Floats
    tuned: bool

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
    rows, scores = [], []
    folds = problem.folds
    wanted = None if prompts is None else frozenset(np.asarray(prompts).tolist())
    fitted_for: frozenset[int] | None = None
    fitted = None
    for excluded, block in problem.groups(wanted):
        without = excluded
        if identifier.by_fold:
            without |= frozenset(np.flatnonzero(folds == folds[block.prompt]).tolist())
        if fitted is None or without != fitted_for:
            fitted = identifier.fit(problem.library, without, centred=problem.knowledge.centred)
            fitted_for = without
        scores.append(fitted.score(block, (choices[folds[block.prompt]].option,))[0])
        rows.append(block.rows)
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
    )
