"""Naming together, against every permutation; hidden models; scores to probabilities."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import Array, arena
from whodrew.identify.assign import UNKNOWN, assign
from whodrew.identify.attack import Answers, attack, score
from whodrew.identify.calibrate import best_temperature, choose_for_all, losses
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.nearest import NearestCentroid
from whodrew.identify.open_set import confidence, hiding_groups, open_set, threshold
from whodrew.identify.problem import Problem
from whodrew.identify.whitened import WhitenedCentroid


def posed(prompts: Prompts = "other", **options: object) -> Problem:
    values: dict[str, object] = {"generations": 3, "signal": 0.4} | options
    samples = arena(4, 5, values.pop("generations"), 6, **values)  # type: ignore[arg-type]
    return Problem.build(samples, knowledge=Knowledge(prompts=prompts))


def with_scores(problem: Problem, scores: Array, rows: Array | None = None) -> Answers:
    asked = np.arange(len(problem.queries)) if rows is None else rows
    return Answers(
        rows=asked,
        prompt=problem.queries.prompt[asked],
        model=problem.queries.model[asked],
        scores=scores.astype(np.float32),
        temperature=np.ones(len(asked), dtype=np.float32),
        tuned=True,
    )


def best_total(scores: Array) -> float:
    """Returns the greatest sum over injections of the smaller side into the larger."""
    images, models = scores.shape
    if images <= models:
        ways = permutations(range(models), images)
        return max(sum(scores[i, m] for i, m in enumerate(way)) for way in ways)
    return best_total(scores.T)


@given(st.integers(0, 2**32 - 1))
def test_the_sum_of_each_round_is_the_greatest_there_is(seed: int) -> None:
    problem = posed()
    rng = np.random.default_rng(seed)
    answers = with_scores(problem, rng.standard_normal((len(problem.queries), 4)))
    found = assign(problem, answers)
    assert found.chance == 0.25
    assert len(found.rows) == len(problem.queries)
    for prompt in range(5):
        rows = np.flatnonzero(found.prompt == prompt)
        assert sorted(np.bincount(found.answer[rows])) == [3] * 4
    at = np.searchsorted(answers.rows, found.rows)
    rounds = place_of(problem)[found.rows]
    for prompt in range(5):
        for number in range(3):
            members = np.flatnonzero((found.prompt == prompt) & (rounds == number))
            scores = answers.scores[at[members]].astype(np.float64)
            total = scores[np.arange(4), found.answer[members]].sum()
            assert total == pytest.approx(best_total(scores))


def place_of(problem: Problem) -> Array:
    """The seeded place of each image in its cell (images are distinct here)."""
    return problem.place


def test_each_round_shows_one_image_of_every_model_that_has_one() -> None:
    problem = posed(uneven=True, missing=0.2, seed=3)
    rng = np.random.default_rng(0)
    found = assign(problem, with_scores(problem, rng.standard_normal((len(problem.queries), 4))))
    sizes = problem.references.cell_sizes
    chances = []
    for prompt in range(5):
        for number in range(int(sizes[prompt].max())):
            pool = np.flatnonzero(sizes[prompt] > number)
            chances.append(1 / len(pool))
            members = (found.prompt == prompt) & (place_of(problem)[found.rows] == number)
            assert sorted(found.model[members]) == sorted(found.answer[members]) == pool.tolist()
    assert found.chance == pytest.approx(np.mean(chances))


def test_models_without_references_are_nobodys_answer_and_leave_images_unknown() -> None:
    problem = posed()
    scores = np.random.default_rng(0).standard_normal((len(problem.queries), 4))
    scores[:, 2] = -np.inf
    found = assign(problem, with_scores(problem, scores))
    assert not (found.answer == 2).any()
    assert (found.answer == UNKNOWN).sum() == len(problem.queries) / 4
    assert found.chance == pytest.approx(1 / 3)
    at, rounds = found.rows, place_of(problem)[found.rows]
    for prompt in range(5):
        members = np.flatnonzero((found.prompt == prompt) & (rounds == 1))
        named = members[found.answer[members] >= 0]
        total = scores[at[named], found.answer[named]].sum()
        assert total == pytest.approx(best_total(scores[at[members]][:, [0, 1, 3]]), abs=1e-5)


def test_a_model_that_one_image_cannot_be_is_given_to_another() -> None:
    problem = posed(generations=1)
    scores = np.zeros((len(problem.queries), 4))
    first = np.flatnonzero(problem.queries.prompt == 0)
    scores[first[0]] = [9, -np.inf, -np.inf, -np.inf]
    scores[first[1]] = [99, 1, 0, 0]
    scores[first[2]] = [0, 0, 1, 0]
    found = assign(problem, with_scores(problem, scores))
    np.testing.assert_array_equal(found.answer[found.prompt == 0], [0, 1, 2, 3])


def test_matched_rounds_are_those_whose_references_leave_the_image_out() -> None:
    problem = posed("matched", uneven=True, generations=4, seed=1)
    base = attack(problem, NearestCentroid())
    found = assign(problem, base.answers)
    np.testing.assert_array_equal(found.rows, base.answers.rows[np.argsort(found.rows)])
    for prompt in range(5):
        block = problem.block(prompt)
        for index, row in enumerate(block.rows.tolist()):
            assert block.round[index] == problem.place[row]


def test_nothing_asked_gives_no_chance() -> None:
    problem = posed(generations=1)
    empty = np.empty(0, dtype=np.int64)
    found = assign(problem, with_scores(problem, np.empty((0, 4)), empty))
    assert len(found.rows) == 0
    assert np.isnan(found.chance)


def test_scores_for_naming_together_are_used_where_there_are_any() -> None:
    problem = posed()
    rng = np.random.default_rng(0)
    alone, together = rng.standard_normal((2, len(problem.queries), 4))
    answers = with_scores(problem, alone)
    other = replace(answers, together=together.astype(np.float32))
    expected = assign(problem, with_scores(problem, together))
    np.testing.assert_array_equal(assign(problem, other).answer, expected.answer)
    assert (assign(problem, answers).answer != expected.answer).any()


def test_the_better_scores_are_the_more_joint_naming_helps() -> None:
    problem = posed(signal=0.6, seed=4)
    base = attack(problem, NearestCentroid())
    alone = (base.answers.scores.argmax(axis=1) == base.answers.model).mean()
    together = assign(problem, base.answers)
    assert (together.answer == together.model).mean() >= alone


# ------------------------------------------------------------------ open set


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_model_is_hidden_once(number: int) -> None:
    models = np.array([0, 2, 3, 5, 7, 8, 9])
    groups = hiding_groups(models, number, seed=4)
    assert sorted(np.concatenate(groups)) == models.tolist()
    assert max(len(group) for group in groups) == number
    assert sum(len(group) < number for group in groups) <= 1
    assert [list(g) for g in groups] == [list(g) for g in hiding_groups(models, number, seed=4)]
    assert [list(g) for g in groups] != [list(g) for g in hiding_groups(models, number, seed=5)]


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_hidden_images_are_those_of_the_group_and_each_is_hidden_once(prompts: Prompts) -> None:
    samples = arena(6, 10, 3, 8, signal=0.4)
    base = attack(Problem.build(samples, knowledge=Knowledge(prompts=prompts)), NearestCentroid())
    found = open_set(base, 2, 0.1)
    assert len(found.model) == 3 * len(samples)
    assert found.hidden.sum() == len(samples)
    np.testing.assert_array_equal(np.bincount(found.model[found.hidden]), [30] * 6)
    groups = hiding_groups(np.arange(6), 2, base.problem.seed)
    for index, group in enumerate(groups):
        part = slice(index * len(samples), (index + 1) * len(samples))
        assert not np.isin(found.answer[part], group).any()
        np.testing.assert_array_equal(found.hidden[part], np.isin(found.model[part], group))


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_false_alarms_of_noise_come_at_the_stated_rate(prompts: Prompts, rate: float) -> None:
    found = [
        open_set(attack(problem, NearestCentroid()), 2, rate)
        for seed in range(3)
        for samples in [arena(6, 25, 4, 10, seed=seed)]
        for problem in [Problem.build(samples, knowledge=Knowledge(prompts=prompts))]
    ]
    unknown = np.concatenate([one.answer < 0 for one in found])
    hidden = np.concatenate([one.hidden for one in found])
    assert unknown[~hidden].mean() == pytest.approx(rate, abs=0.02)
    assert unknown[hidden].mean() == pytest.approx(rate, abs=0.04)


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_hidden_models_raise_the_alarm_where_models_differ(prompts: Prompts) -> None:
    samples = arena(6, 25, 4, 10, signal=1.0, seed=2)
    problem = Problem.build(samples, knowledge=Knowledge(prompts=prompts))
    found = open_set(attack(problem, WhitenedCentroid()), 2, 0.1)
    unknown = found.answer < 0
    assert unknown[~found.hidden].mean() == pytest.approx(0.1, abs=0.02)
    assert unknown[found.hidden].mean() > 0.25


def test_thresholds_come_from_known_images_of_other_folds() -> None:
    samples = arena(5, 10, 3, 8, signal=0.4, seed=6)
    base = attack(Problem.build(samples, knowledge=Knowledge(prompts="other")), NearestCentroid())
    found = open_set(base, 1, 0.1)
    group = hiding_groups(np.arange(5), 1, base.problem.seed)[0]
    again = score(base.changed(lambda problem: replace(problem, hidden=tuple(group))))
    folds = base.problem.folds[again.prompt]
    for index in range(0, len(folds), 7):
        others = (folds != folds[index]) & ~np.isin(again.model, group)
        temperature = base.choices[folds[index]].temperature
        limit = np.quantile(confidence(again.scores[others], temperature), 0.1)
        sure = confidence(again.scores[index : index + 1], temperature)[0]
        expected = UNKNOWN if sure < limit else again.scores[index].argmax()
        assert found.answer[index] == expected


def test_one_model_at_least_two_must_stay_known() -> None:
    base = attack(
        Problem.build(arena(3, 5, 2, 4), knowledge=Knowledge(prompts="other")), NearestCentroid()
    )
    assert len(open_set(base, 2, 0.1).model) == len(base.answers.rows)
    assert len(open_set(base, 3, 0.1).model) == 0


def test_confidence_is_the_log_odds_of_the_answer() -> None:
    scores = np.array([[1.0, 3.0, 2.0, -np.inf], [0, -np.inf, -np.inf, -np.inf]])
    share = np.exp(3 / 2) / np.exp(np.array([1, 3, 2]) / 2).sum()
    found = confidence(scores.astype(np.float32), 2.0)
    assert found[0] == pytest.approx(np.log(share / (1 - share)), abs=1e-6)
    assert found[1] == 700.0
    assert confidence(np.full((1, 3), -np.inf, np.float32), 1.0)[0] == -700.0
    assert threshold(np.empty(0), 0.1) == -np.inf


# --------------------------------------------------------------- temperature


@given(st.integers(0, 1000))
def test_loss_is_the_mean_surprise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((3, 20, 5)).astype(np.float32) * 3
    scores[:, :, 4] = -np.inf
    model = rng.integers(0, 5, 20)
    temperature = np.array([0.5, 1.0, 4.0])
    counted = model < 4
    for index in range(3):
        likely = scores[index, :, :4].astype(np.float64) / temperature[index]
        likely -= np.log(np.exp(likely).sum(axis=1, keepdims=True))
        expected = -likely[counted, model[counted]].mean()
        assert losses(scores, model, temperature)[index] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_temperature_is_that_of_least_loss(scale: float) -> None:
    rng = np.random.default_rng(0)
    model = rng.integers(0, 6, 500)
    scores = rng.standard_normal((500, 6))
    scores[np.arange(500), model] += 1.5
    scores = (scores * scale).astype(np.float32)
    found, loss = best_temperature(scores, model)
    grid = scale * np.exp(np.linspace(-3, 3, 1201))
    every = losses(np.repeat(scores[None], len(grid), axis=0), model, grid)
    assert loss <= every.min() + 1e-4
    assert found == pytest.approx(grid[every.argmin()], rel=0.02)


def test_probabilities_sum_to_one_and_take_the_fold_s_temperature() -> None:
    problem = posed()
    found = attack(problem, WhitenedCentroid())
    likely = found.answers.likely
    np.testing.assert_allclose(np.exp(likely).sum(axis=1), 1.0, rtol=1e-5)
    folds = problem.folds[found.answers.prompt]
    expected = [found.choices[fold].temperature for fold in folds]
    np.testing.assert_allclose(found.answers.temperature, expected, rtol=1e-6)
    assert found.answers.tuned
    assert choose_for_all(found.rehearsed, found.options).tuned


@pytest.mark.parametrize("identifier", [NearestCentroid(), WhitenedCentroid()])
def test_calibrated_probabilities_of_noise_are_even(identifier: NearestCentroid) -> None:
    samples = arena(5, 20, 3, 10)
    found = attack(Problem.build(samples, knowledge=Knowledge(prompts="other")), identifier)
    top = np.exp(found.answers.likely.max(axis=1))
    assert top.mean() < 0.3
