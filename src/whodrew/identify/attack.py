"""An attack: every query named, by one identifier under one knowledge, prompt by prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np

from whodrew.identify.base import Fitted, Identifier, Option, ScoresTogether
from whodrew.identify.calibrate import Choice, Rehearsed, choose
from whodrew.identify.parallel import side_by_side
from whodrew.identify.problem import Block, Problem
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

    @cached_property
    def scaled(self) -> Floats:
        """(n, M) scores over their temperature: calibrated, up to a constant of the query."""
        return np.asarray(self.scores / self.temperature[:, None])

    @cached_property
    def likely(self) -> Floats:
        """(n, M) calibrated log-probabilities."""
        scaled = self.scores.astype(np.float64) / self.temperature[:, None]
        scaled -= scaled.max(axis=1, keepdims=True)
        scaled -= np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return scaled.astype(np.float32)

    def take(self, keep: Mask | Ints) -> Answers:
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
class Practice:
    """Calibrated scores of references that no fit behind them has met.

    Attributes:
        rows: (n,) rows among the references.
        model: (n,) true models.
        other: (n,) the fold whose queries each of them may tune: neither the fit nor the
            choices behind the scores have seen that fold's prompts.
        scaled: (n, M) scores over their temperature.
    """

    rows: Ints
    model: Ints
    other: Ints
    scaled: Floats


class Names(Protocol):
    """What names the queries of a problem, one prompt at a time."""

    @property
    def problem(self) -> Problem:
        """What is asked."""
        ...

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Strengths and temperature by fold."""
        ...

    @property
    def label(self) -> str:
        """Name of the identifier."""
        ...

    def prepare(self) -> None:
        """Sums up what every prompt needs, so that threads find it."""
        ...

    def answer(self, prompt: int) -> Answers:
        """Names the queries of one prompt."""
        ...

    def practice(self) -> Practice:
        """Returns the held-out scores that choices were made on, as they were chosen."""
        ...

    def changed(self, change: Callable[[Problem], Problem]) -> Names:
        """Returns the same attack, choices kept, on a changed problem."""
        ...

    def brief(self) -> Names:
        """Returns what stands in for it where it would be fitted hundreds of times."""
        ...


@dataclass(frozen=True)
class Attack:
    """One identifier on one problem, with strengths and temperatures chosen.

    Attributes:
        problem: what is asked.
        identifier: what answers.
        choices: strengths and temperature by fold.
        rehearsed: the held-out scores the choices rest on; ``None`` where they were given.
        options: what could be chosen.
    """

    problem: Problem
    identifier: Identifier
    choices: tuple[Choice, ...]
    rehearsed: Rehearsed | None = None
    options: tuple[Option, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        # fits under way stay where they are
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def label(self) -> str:
        """Name of the identifier."""
        return self.identifier.name

    @cached_property
    def answers(self) -> Answers:
        """Every query's answer, held at once: for arenas that are not large."""
        return score(self)

    def prepare(self) -> None:
        """Sums up what every prompt needs, so that threads find it."""
        self.problem.library.prepare(scatter=self.identifier.scatter)

    def practice(self) -> Practice:
        """Returns the held-out scores that choices were made on, as they were chosen."""
        found = self.rehearsed
        assert found is not None
        index = np.array([choice.index for choice in self.choices], dtype=np.int64)
        heat = np.array([choice.temperature for choice in self.choices], dtype=np.float32)
        scores = found.scores[index[found.other], np.arange(len(found.rows))]
        scaled = scores / heat[found.other][:, None]
        return Practice(found.rows, found.model, found.other, scaled)

    def changed(self, change: Callable[[Problem], Problem]) -> Attack:
        """Returns the same attack, choices kept, on a changed problem."""
        return replace(self, problem=change(self.problem))

    def brief(self) -> Attack:
        """Returns the same attack, choices kept, by the identifier's ``brief`` if it has one."""
        identifier = getattr(self.identifier, "brief", None)
        return self if identifier is None else replace(self, identifier=identifier)

    @cached_property
    def _fit(self) -> Callable[[frozenset[int]], Fitted]:
        @lru_cache(maxsize=2 if self.identifier.by_fold else 0)
        def fit(without: frozenset[int]) -> Fitted:
            centred = self.problem.knowledge.centred
            return self.identifier.fit(self.problem.library, without, centred=centred)

        return fit

    def _scored(self, without: frozenset[int], block: Block) -> tuple[Ints, Floats, Floats | None]:
        folds = self.problem.folds
        if self.identifier.by_fold:
            without |= frozenset(np.flatnonzero(folds == folds[block.prompt]).tolist())
        fitted = self._fit(without)
        alone = fitted.score(block, (self.choices[folds[block.prompt]].option,))[0]
        joint = fitted.score_together(block) if isinstance(fitted, ScoresTogether) else None
        return block.rows, alone, joint

    def answer(self, prompt: int) -> Answers:
        """Names the queries of one prompt, each by a fit that has not met it."""
        found = [self._scored(*group) for group in self.problem.groups(prompt)]
        if not found:
            return no_answers(self)
        rows = np.concatenate([one for one, _, _ in found])
        order = np.argsort(rows)
        joint = [one for _, _, one in found if one is not None]
        asked = rows[order]
        choice = self.choices[self.problem.folds[prompt]]
        return Answers(
            rows=asked,
            prompt=self.problem.queries.prompt[asked],
            model=self.problem.queries.model[asked],
            scores=np.concatenate([one for _, one, _ in found])[order],
            temperature=np.full(len(asked), choice.temperature, dtype=np.float32),
            tuned=is_tuned(self),
            together=np.concatenate(joint)[order] if joint else None,
        )


def attack(problem: Problem, identifier: Identifier) -> Attack:
    """Prepares to name every query of a problem.

    Each query is scored by a fit that has seen neither its prompt nor any prompt that
    holds a duplicate of it, with strengths and temperature chosen on prompts of other
    folds. Cost: ten fits to choose, one fit a prompt to score.

    Args:
        problem: references, queries and knowledge.
        identifier: what names.
    """
    choices, rehearsed, options = choose(problem, identifier)
    return Attack(problem, identifier, tuple(choices), rehearsed, options)


def is_tuned(names: Names) -> bool:
    """Returns whether temperatures were fitted at all."""
    return all(choice.tuned for choice in names.choices)


def no_answers(names: Names) -> Answers:
    """Returns the answers to no query."""
    none = np.empty(0, dtype=np.int64)
    models = len(names.problem.references.models)
    scores = np.empty((0, models), dtype=np.float32)
    return Answers(none, none, none, scores, np.empty(0, dtype=np.float32), is_tuned(names))


def visit(names: Names, use: Callable[[Answers], None], prompts: Ints | None = None) -> None:
    """Names every query, or those of some prompts, handing each prompt's answers over.

    Nothing is held but the prompts under way: one, or on a large arena one a processor.

    Args:
        names: the attack.
        use: told of each prompt's answers, from several threads where the arena is large.
        prompts: codes; all when not given.
    """
    folds = names.problem.folds
    # prompts of one fold follow each other: what leaves out a fold is fitted once
    order = np.lexsort((np.arange(len(folds)), folds))
    if prompts is not None:
        order = order[np.isin(order, prompts)]

    def one(prompt: int) -> None:
        answers = names.answer(prompt)
        if len(answers.rows):
            use(answers)

    if names.problem.large:
        names.prepare()
        side_by_side(one, order.tolist())
    else:
        for prompt in order.tolist():
            one(prompt)


def score(names: Names, prompts: Ints | None = None) -> Answers:
    """Returns the answers to every query, or to those of some prompts, held at once."""
    found: list[Answers] = []
    visit(names, found.append, prompts)
    return joined(found) if found else no_answers(names)


def joined(found: list[Answers]) -> Answers:
    """Returns answers of several prompts as one, in the order of rows."""
    together = [one.together for one in found if one.together is not None]
    answers = Answers(
        rows=np.concatenate([one.rows for one in found]),
        prompt=np.concatenate([one.prompt for one in found]),
        model=np.concatenate([one.model for one in found]),
        scores=np.concatenate([one.scores for one in found]),
        temperature=np.concatenate([one.temperature for one in found]),
        tuned=found[0].tuned,
        together=np.concatenate(together) if together else None,
    )
    return answers.take(np.argsort(answers.rows))
