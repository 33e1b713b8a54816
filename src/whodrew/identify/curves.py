"""Accuracy against the number of models and of references."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from whodrew.identify.attack import Answers, Names, score
from whodrew.identify.parallel import side_by_side
from whodrew.identify.problem import Problem
from whodrew.identify.samples import NOT_KNOWN, Ints, Mask, Samples

SUBSETS = 20
PROMPTS_A_SIZE = 40
MOST_IMAGES = 4000
LEAST_PROMPTS = 10
SIZES = (2, 5, 10, 20, 40, 80, 160)
REFERENCES = (1, 2, 4, 8, 16, 32, 64, 128)

Part = tuple[Ints, Ints, float]
#: Turns scores into (prompts, whether right, chance), once for each way of showing.
Answer = Callable[[Problem, Answers], dict[str, Part]]
Curves = dict[str, list["Point"]]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Point:
    """One point of a curve.

    Attributes:
        at: number of models, or of references.
        prompt: (n,) prompt codes of what was asked.
        correct: (n,) whether it was named rightly.
        chance: what guessing gives.
    """

    at: int
    prompt: Ints
    correct: Ints
    chance: float


def on_some_prompts(base: Names, most: int) -> tuple[Names, Ints]:
    """Returns the attack on whole seeded prompts of at most ``most`` images.

    What refits hundreds of times is measured on a part of a large arena.

    Returns:
        The attack, and the prompts it keeps.
    """
    problem = base.problem
    sizes = np.bincount(problem.references.prompt, minlength=len(problem.references.prompts))
    order = np.random.default_rng([problem.seed, 7]).permutation(np.flatnonzero(sizes))
    total = np.cumsum(sizes[order])
    kept = order[: max(int(np.searchsorted(total, most, side="right")), LEAST_PROMPTS)]
    if len(kept) == len(order):
        return base, np.sort(kept)
    return base.changed(restricted(lambda samples: np.isin(samples.prompt, kept))), np.sort(kept)


def restricted(keep: Callable[[Samples], Mask]) -> Callable[[Problem], Problem]:
    """Returns what restricts a problem to some images, of references and queries alike."""

    def change(problem: Problem) -> Problem:
        references = problem.references.take(keep(problem.references))
        if not problem.separate:
            queries = references
        else:
            queries = problem.queries.take(keep(problem.queries))
        # sums of its own, which go when it goes
        return replace(problem, references=references, queries=queries, shared={})

    return change


def by_models(base: Names, answer: Answer) -> Curves:
    """Returns accuracy with only some models in the arena: 20 seeded subsets a size.

    Candidates, images shown, prompt means and covariance are all restricted to the subset;
    each subset is asked about some prompts, rotating, ``PROMPTS_A_SIZE`` in all.

    Args:
        base: the attack, whose choices are kept.
        answer: turns scores into answers.
    """
    base = base.brief()
    few, prompts = on_some_prompts(base, MOST_IMAGES)
    seed = base.problem.seed
    present = np.unique(base.problem.queries.model[base.problem.asked])
    # on an arena too large to ask whole, each subset is asked about one prompt
    turn = PROMPTS_A_SIZE // SUBSETS if few is base else 1
    curves: Curves = {}
    for size in (size for size in SIZES if size < len(present)):
        rng = np.random.default_rng([seed, 8, size])
        turns = _turns(prompts, rng)
        asked = [
            (
                np.append(rng.choice(present, size, replace=False), NOT_KNOWN),
                np.array([next(turns) for _ in range(turn)]),
            )
            for _ in range(SUBSETS)
        ]

        def subset_part(one: tuple[Ints, Ints]) -> dict[str, Part]:
            subset, some = one
            small = few.changed(restricted(lambda samples: np.isin(samples.model, subset)))
            return answer(small.problem, score(small, some))

        _add_point(curves, size, _each(base.problem, subset_part, asked))
    return curves


def by_references(base: Names, answer: Answer) -> Curves:
    """Returns accuracy with few references: per cell if matched, else prompts a model.

    Args:
        base: the attack, whose choices are kept.
        answer: turns scores into answers.
    """
    base = base.brief()
    few, prompts = on_some_prompts(base, MOST_IMAGES)
    problem = few.problem
    rng = np.random.default_rng([problem.seed, 9])
    some = rng.permutation(prompts)[:PROMPTS_A_SIZE]
    curves: Curves = {}
    if problem.matched:
        most = int(problem.references.cell_sizes.max(initial=1)) - (0 if problem.separate else 1)
        for limit in (limit for limit in REFERENCES if limit < most):
            fewer = few.changed(partial(_limited, references=limit))
            _add_point(curves, limit, [answer(fewer.problem, score(fewer, some))])
        return curves
    known = np.unique(problem.references.prompt)
    for number in (number for number in REFERENCES if number < len(known) - 1):
        chosen = [
            (prompt, rng.permutation(known[known != prompt])[:number]) for prompt in some.tolist()
        ]

        def prompt_part(one: tuple[int, Ints]) -> dict[str, Part]:
            prompt, kept = one
            fewer = few.changed(partial(_limited, prompts=tuple(kept.tolist())))
            return answer(fewer.problem, score(fewer, np.array([prompt])))

        _add_point(curves, number, _each(base.problem, prompt_part, chosen))
    return curves


def _limited(
    problem: Problem, *, references: int | None = None, prompts: tuple[int, ...] | None = None
) -> Problem:
    if references is not None:
        return replace(problem, knowledge=replace(problem.knowledge, references=references))
    return replace(problem, limited_to=prompts)


def _each(problem: Problem, work: Callable[[T], R], items: list[T]) -> list[R]:
    """Runs parts of a large arena side by side; small arenas run whole attacks so."""
    if problem.large:
        return side_by_side(work, items)
    return [work(item) for item in items]


def _turns(prompts: Ints, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(prompts).tolist()


def _add_point(curves: Curves, at: int, parts: list[dict[str, Part]]) -> None:
    for name in parts[0]:
        chosen = [part[name] for part in parts]
        chances = [chance for _, correct, chance in chosen if len(correct)]
        point = Point(
            at,
            np.concatenate([prompt for prompt, _, _ in chosen]),
            np.concatenate([correct for _, correct, _ in chosen]),
            float(np.mean(chances)) if chances else float("nan"),
        )
        curves.setdefault(name, []).append(point)
