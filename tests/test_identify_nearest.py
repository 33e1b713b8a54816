"""Nearest centroid against a loop that refits everything for every image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synthetic import Array, Seen, arena, ask, normalised, seen, with_duplicates
from whodrew.encoders.base import Scale
from whodrew.identify.attack import attack
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.nearest import NearestCentroid
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Samples

MODELS = 5


def likeness(x: Array, centroids: Array) -> Array:
    return normalised(centroids) @ normalised(x)


def by_hand(view: Seen, prompts: Prompts, *, centred: bool) -> Array:
    """Returns (M,) cosine to each model's centroid, -inf for models without one."""
    scores = np.full(view.models, -np.inf)
    if prompts == "matched" and not centred:
        for code in np.unique(view.alone_model):
            scores[code] = likeness(view.x, view.alone[view.alone_model == code].mean(axis=0))
    elif prompts == "matched":
        counts, means, middle = view.cells()
        able = counts > 0
        scores[able] = likeness(view.x - middle, means[able] - middle)
    elif not centred:
        for code in np.unique(view.far_model):
            scores[code] = likeness(view.x, view.far[view.far_model == code].mean(axis=0))
    else:
        effects, _, _ = view.effects()
        able = np.unique(view.far_model)
        scores[able] = likeness(view.x - view.other_centre(), effects[able])
    return scores


ARENAS: dict[str, Any] = {
    "whole": {},
    "holes": {"missing": 0.3},
    "uneven": {"missing": 0.2, "uneven": True},
    "small dimension": {"dimension": 3},
}


def made(kind: str, scale: Scale) -> Samples:
    options = {"dimension": 12} | ARENAS[kind]
    return arena(MODELS, 7, 4, scale=scale, signal=0.5, common=0.5, seed=3, **options)


def assert_by_hand(problem: Problem) -> int:
    """Checks every third query and returns the number of all."""
    answers = attack(problem, NearestCentroid()).answers
    knowledge = problem.knowledge
    for row, scores in list(zip(answers.rows.tolist(), answers.scores, strict=True))[::3]:
        expected = by_hand(seen(problem, row), knowledge.prompts, centred=knowledge.centred)
        np.testing.assert_allclose(scores, expected, atol=2e-6)
    return len(answers.rows)


@pytest.mark.parametrize("kind", ARENAS)
@pytest.mark.parametrize("scale", ["unit", "standardise"])
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("centred", [False, True])
def test_scores_are_those_of_refitting_for_every_image(
    kind: str, scale: Scale, prompts: Prompts, centred: bool
) -> None:
    samples = made(kind, scale)
    problem = Problem.build(samples, knowledge=Knowledge(prompts=prompts, centred=centred))
    assert assert_by_hand(problem) > 40


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("centred", [False, True])
def test_a_cell_gives_no_more_references_than_allowed(
    limit: int, prompts: Prompts, centred: bool
) -> None:
    for kind in ("whole", "uneven"):
        knowledge = Knowledge(prompts=prompts, centred=centred, references=limit)
        assert_by_hand(Problem.build(made(kind, "unit"), knowledge=knowledge, seed=5))


@pytest.mark.parametrize("kind", ["whole", "uneven"])
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("references", ["all", 2])
def test_a_duplicate_never_meets_itself(
    kind: str, prompts: Prompts, centred: bool, references: Any
) -> None:
    samples = with_duplicates(made(kind, "unit"))
    knowledge = Knowledge(prompts=prompts, centred=centred, references=references)
    assert_by_hand(Problem.build(samples, knowledge=knowledge))


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("centred", [False, True])
def test_hidden_models_leave_no_trace_but_their_images(prompts: Prompts, centred: bool) -> None:
    problem = Problem(
        *[made("uneven", "unit")] * 2, Knowledge(prompts=prompts, centred=centred), hidden=(1, 3)
    )
    answers = attack(problem, NearestCentroid()).answers
    assert np.isneginf(answers.scores[:, [1, 3]]).all()
    assert {1, 3} <= set(answers.model.tolist())
    assert_by_hand(problem)


def test_the_papers_rule_is_the_normalised_sum_less_the_query() -> None:
    samples = made("whole", "unit")
    answers = ask(samples, NearestCentroid(), prompts="matched", centred=False)
    sums = samples.vectors.reshape(7, MODELS, 4, -1).sum(axis=2)
    row = 17
    prompt, model, x = samples.prompt[row], samples.model[row], samples.vectors[row]
    own = sums[prompt].copy()
    own[model] -= x
    np.testing.assert_allclose(answers.scores[row], normalised(own) @ x, atol=1e-6)


def test_columns_that_never_change_are_dropped() -> None:
    samples = made("whole", "standardise")
    samples.vectors[:, 4] = 7.25
    for prompts in ("matched", "other"):
        assert_by_hand(Problem.build(samples, knowledge=Knowledge(prompts=prompts, centred=False)))


def test_a_column_that_changes_in_the_querys_prompt_alone_is_dropped_there() -> None:
    samples = made("whole", "standardise")
    samples.vectors[:, 4] = 7.25
    samples.vectors[samples.prompt == 2, 4] += np.arange(20)
    assert_by_hand(Problem.build(samples, knowledge=Knowledge(prompts="other", centred=False)))


def test_images_of_models_not_known_are_shown_but_never_asked() -> None:
    samples = made("whole", "unit").forget_models(np.array([2]))
    for prompts in ("matched", "other"):
        problem = Problem.build(samples, knowledge=Knowledge(prompts=prompts))
        answers = attack(problem, NearestCentroid()).answers
        assert not (samples.model[answers.rows] < 0).any()
        assert_by_hand(problem)


def test_a_lone_image_is_its_own_estimate_of_the_prompt() -> None:
    samples = made("whole", "unit")
    problem = Problem.build(samples, knowledge=Knowledge(prompts="other"), lone=True)
    answers = attack(problem, NearestCentroid()).answers
    for row in (0, 33, 101):
        view = seen(problem, row)
        effects, grand, kappa = view.effects()
        centre = grand + (view.x - grand) / (1 + kappa)
        np.testing.assert_allclose(
            answers.scores[row], likeness(view.x - centre, effects), atol=2e-6
        )


@pytest.mark.parametrize("kind", ["whole", "uneven"])
@pytest.mark.parametrize("references", ["all", 2])
def test_together_no_image_of_the_round_is_a_reference(kind: str, references: Any) -> None:
    problem = Problem.build(
        made(kind, "unit"),
        knowledge=Knowledge(prompts="matched", centred=False, references=references),
    )
    answers = attack(problem, NearestCentroid()).answers
    assert answers.together is not None
    for row, scores in list(zip(answers.rows.tolist(), answers.together, strict=True))[::3]:
        view = seen(problem, row)
        expected = np.full(MODELS, -np.inf)
        for code in np.unique(view.near_model):
            mean = view.near[view.near_model == code].mean(axis=0)
            expected[code] = likeness(view.x, mean)
        np.testing.assert_allclose(scores, expected, atol=2e-6)
    few = answers.take(answers.model == 1)
    assert few.together is not None
    assert len(few.together) == len(few.rows)


def test_what_is_centred_or_of_other_prompts_needs_no_other_scores_together() -> None:
    for knowledge in ({"prompts": "other", "centred": False}, {"prompts": "matched"}):
        assert ask(made("whole", "unit"), NearestCentroid(), **knowledge).together is None
