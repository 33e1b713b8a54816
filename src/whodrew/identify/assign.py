"""Naming together: each model is shown once a round, and the attacker knows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from whodrew.identify.attack import Answers
from whodrew.identify.moments import Doubles
from whodrew.identify.problem import Problem
from whodrew.identify.rounds import NONE
from whodrew.identify.samples import Ints

UNKNOWN = -1
FAR = 1e9


@dataclass(frozen=True)
class Assigned:
    """Answers reached by joint assignment.

    Attributes:
        rows: (n,) rows among the problem's queries.
        prompt: (n,) prompt codes.
        model: (n,) true models.
        answer: (n,) answered models, -1 where no model was left.
        chances: 1 / candidates of each round.
    """

    rows: Ints
    prompt: Ints
    model: Ints
    answer: Ints
    chances: Doubles

    @property
    def chance(self) -> float:
        """Mean over rounds of 1 / candidates."""
        return float(self.chances.mean()) if len(self.chances) else float("nan")


def assign(problem: Problem, answers: Answers) -> Assigned:
    """Names the images of each round together, by the Hungarian method on the scores.

    The candidates of a round are the models whose images it shows and that the attacker
    has references of. Cost: M³ a round.

    Args:
        problem: what was asked.
        answers: scores of each image, of whole prompts.
    """
    number = problem.shown_round[answers.rows]
    shown = np.flatnonzero(number != NONE)
    order = shown[np.lexsort((answers.model[shown], number[shown], answers.prompt[shown]))]
    key = answers.prompt[order] * (number.max(initial=0) + 1) + number[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    ends = np.append(starts, len(key))[1:]
    answer = np.full(len(answers.rows), UNKNOWN, dtype=np.int64)
    chances = []
    every = answers.scores if answers.together is None else answers.together
    able = np.isfinite(every)
    costs = np.where(able, -every.astype(np.float64), FAR)
    whole = bool(able.all())
    prompt, rng = NONE, np.random.default_rng()
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        # images and models in an order of their own, so that ties tell nothing
        if answers.prompt[order[start]] != prompt:
            prompt = answers.prompt[order[start]]
            rng = np.random.default_rng([problem.seed, 10, prompt])
        members = rng.permutation(order[start:end])
        pool = rng.permutation(answers.model[members])  # a round shows a model once
        if not whole:
            pool = pool[able[members[:, None], pool].any(axis=0)]
            if len(pool) == 0:
                continue
        chances.append(1.0 / len(pool))
        images, chosen = linear_sum_assignment(costs[members[:, None], pool])
        images, chosen = members[images], pool[chosen]
        if not whole:
            named = able[images, chosen]
            images, chosen = images[named], chosen[named]
        answer[images] = chosen
    return Assigned(
        rows=answers.rows[shown],
        prompt=answers.prompt[shown],
        model=answers.model[shown],
        answer=answer[shown],
        chances=np.array(chances, dtype=np.float64),
    )
