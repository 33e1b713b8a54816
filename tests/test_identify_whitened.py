"""Whitened centroids against a refit for every image with the inverse written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synthetic import Array, Seen, arena, ask, seen, two_way_fit, with_duplicates
from whodrew.encoders.base import Scale
from whodrew.identify.attack import Answers, Attack, score
from whodrew.identify.base import Option
from whodrew.identify.calibrate import Choice, choose, rehearse
from whodrew.identify.covariance import (
    FullCovariance,
    ThinCovariance,
    coordinates,
    shrunk_weight,
)
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.library import Library
from whodrew.identify.nearest import NearestCentroid
from whodrew.identify.problem import FOLDS, Problem
from whodrew.identify.samples import Samples
from whodrew.identify.whitened import WhitenedCentroid

MODELS = 4


def pooled_covariance(view: Seen, mix: float) -> tuple[Array, int]:
    """Returns the covariance of other prompts' references, and its degrees of freedom."""
    prompts = np.unique(view.far_prompt).tolist()
    effects, own = two_way_fit(view.far, view.far_model, view.far_prompt, view.models, prompts)
    about = view.far - effects[view.far_model] - [own[code] for code in view.far_prompt]
    kinds = len(np.unique(view.far_model))
    freedom = max(len(view.far) - len(prompts) - kinds + 1, 1)
    cell = view.far_prompt * view.models + view.far_model
    inner = [view.far[cell == one] - view.far[cell == one].mean(axis=0) for one in np.unique(cell)]
    within = np.concatenate(inner)
    within_freedom = len(within) - len(inner)
    if within_freedom == 0:
        mix = 1.0
    covariance = mix * about.T @ about / freedom
    return covariance + (1 - mix) * within.T @ within / max(within_freedom, 1), freedom


def by_hand(view: Seen, prompts: Prompts, option: Option) -> Array:
    """Returns (M,) Gaussian log-likelihoods up to a constant, -inf for models not known."""
    mix = option.mix if prompts == "matched" else 1.0
    matrix, freedom = pooled_covariance(view, mix)
    dimension = len(matrix)
    weight = option.strength * dimension / (freedom + option.strength * dimension)
    target = np.trace(matrix) / dimension
    inverse = np.linalg.inv((1 - weight) * matrix + weight * target * np.eye(dimension))
    effects, _, _ = view.effects()
    known = np.isin(np.arange(view.models), view.far_model)
    if prompts == "other":
        query, means = view.x - view.other_centre(), effects
    else:
        counts, own, middle = view.cells()
        query = view.x - middle
        trust = counts / np.maximum(counts + option.weight, 1e-12)
        trust = np.where(known, trust, counts > 0)[:, None]
        means = trust * (own - middle) + (1 - trust) * effects
        known |= counts > 0
    apart = query - means
    return np.where(known, -0.5 * np.einsum("ij,jk,ik->i", apart, inverse, apart), -np.inf)


def scored(problem: Problem, option: Option) -> Answers:
    choices = (Choice(option, 0, 1.0, tuned=False),) * FOLDS
    return score(Attack(problem, WhitenedCentroid(), choices))


def assert_by_hand(problem: Problem, option: Option) -> None:
    answers = scored(problem, option)
    assert len(answers.rows) > 12
    for row, scores in list(zip(answers.rows.tolist(), answers.scores, strict=True))[::4]:
        expected = by_hand(seen(problem, row), problem.knowledge.prompts, option)
        np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def made(dimension: int, scale: Scale = "unit", **options: Any) -> Samples:
    return arena(MODELS, 6, 4, dimension, scale=scale, signal=0.4, common=0.6, seed=7, **options)


@pytest.mark.parametrize("dimension", [10, 130])
@pytest.mark.parametrize("scale", ["unit", "standardise"])
@pytest.mark.parametrize("holes", [{}, {"missing": 0.25, "uneven": True}])
@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
def test_scores_are_those_of_refitting_for_every_image(
    dimension: int, scale: Scale, holes: dict[str, Any], mix: float
) -> None:
    """96 images: the covariance is held whole at 10 dimensions, by its axes at 130."""
    samples = made(dimension, scale, **holes)
    for prompts, option in (
        ("matched", Option(strength=0.1, mix=mix, weight=2.0)),
        ("other", Option(strength=0.3, mix=mix)),
    ):
        problem = Problem.build(samples, knowledge=Knowledge(prompts=prompts))
        assert problem.library.thin == (dimension == 130)
        assert_by_hand(problem, option)


@pytest.mark.parametrize("dimension", [10, 130])
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("strength", [0.003, 3.0])
@pytest.mark.parametrize("weight", [0.0, 1e6])
def test_extreme_strengths(
    dimension: int, prompts: Prompts, strength: float, weight: float
) -> None:
    problem = Problem.build(made(dimension), knowledge=Knowledge(prompts=prompts))
    assert_by_hand(problem, Option(strength, 1.0, weight))


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("references", ["all", 1, 2])
def test_duplicates_and_limits(prompts: Prompts, references: Any) -> None:
    samples = with_duplicates(made(10, uneven=True))
    knowledge = Knowledge(prompts=prompts, references=references)
    assert_by_hand(Problem.build(samples, knowledge=knowledge), Option(0.1, 0.5, 4.0))


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_hidden_models_leave_no_trace_but_their_images(prompts: Prompts) -> None:
    problem = Problem(*[made(10)] * 2, Knowledge(prompts=prompts), hidden=(1,))
    answers = scored(problem, Option())
    assert np.isneginf(answers.scores[:, 1]).all()
    assert 1 in answers.model
    assert_by_hand(problem, Option())


@pytest.mark.parametrize("count", [9, 250])
@pytest.mark.parametrize("others", [(), (0.01, 0.2, 1.0)])
@pytest.mark.parametrize("dimension", [8, 200])
def test_both_routes_give_one_covariance(
    dimension: int, others: tuple[float, ...], count: int
) -> None:
    rng = np.random.default_rng(0)
    residuals = (rng.standard_normal((60, dimension)) / 6).astype(np.float32)
    points = rng.standard_normal((count, dimension)).astype(np.float32)
    points[3] = points[2]
    matrix = residuals.astype(np.float64).T @ residuals
    weight = shrunk_weight(0.05, dimension, 50)
    assert weight == pytest.approx(0.05 * dimension / (50 + 0.05 * dimension))
    target = np.trace(matrix) / dimension
    shrunk = (1 - weight) * matrix + weight * target * np.eye(dimension)
    apart = points[:, None] - points[None, :]
    expected = np.einsum("ijk,kl,ijl->ij", apart, np.linalg.inv(shrunk), apart)
    for route in FullCovariance(matrix, 50), ThinCovariance(residuals, 50):
        at = route.whitener(points)
        for strength in others:
            at(strength)
        white = at(0.05)
        found = ((white[:, None] - white[None, :]) ** 2).sum(axis=2)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_products_of_no_points_at_all_give_the_nearest_points() -> None:
    points = np.random.default_rng(0).standard_normal((5, 2))
    products = points @ points.T
    products[0, 0] -= 1e-6
    found = coordinates(products).astype(np.float64)
    np.testing.assert_allclose(found @ found.T, products, atol=1e-4)


def test_a_covariance_with_directions_of_no_variance_is_whitened_all_the_same() -> None:
    """Histograms sum to one: with very many references hardly any shrinkage mends that."""
    rng = np.random.default_rng(1)
    dimension = 300
    spread = np.logspace(2, -6, dimension)
    turn = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
    matrix = (turn * spread) @ turn.T
    covariance = FullCovariance(matrix, 10_000_000)
    points = (rng.standard_normal((6, dimension)) * np.sqrt(spread)) @ turn.T
    white = covariance.whitener(points.astype(np.float32))(0.003)
    weight = shrunk_weight(0.003, dimension, 10_000_000)
    shrunk = (1 - weight) * matrix + weight * np.trace(matrix) / dimension * np.eye(dimension)
    expected = np.einsum("ij,jk,ik->i", points, np.linalg.inv(shrunk), points)
    np.testing.assert_allclose((white.astype(np.float64) ** 2).sum(axis=1), expected, rtol=0.01)


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("scale", ["unit", "standardise"])
def test_columns_that_depend_on_each_other_do_no_harm(prompts: Prompts, scale: Scale) -> None:
    """Sums over many prompts, one taken away, where half of the directions are empty."""
    samples = arena(6, 40, 4, 30, scale=scale, signal=0.4, common=0.5)
    mixed = samples.vectors @ np.random.default_rng(0).dirichlet(np.ones(30), 30)
    samples = replace(samples, vectors=np.hstack([samples.vectors, mixed]).astype(np.float32))
    problem = Problem.build(samples, knowledge=Knowledge(prompts=prompts))
    option = Option(strength=0.003)
    answers = scored(problem, option)
    for index in range(0, len(answers.rows), 160):
        expected = by_hand(seen(problem, int(answers.rows[index])), prompts, option)
        np.testing.assert_allclose(answers.scores[index], expected, rtol=0.01, atol=0.05)


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_what_is_chosen_for_a_query_has_not_seen_its_fold(prompts: Prompts) -> None:
    samples = arena(4, 11, 3, 12, signal=0.5, common=0.5, seed=1)
    identifier, knowledge = WhitenedCentroid(), Knowledge(prompts=prompts)
    problem = Problem.build(samples, knowledge=knowledge)
    choices, rehearsed, options = choose(problem, identifier)
    assert len(options) > 1
    changed = samples.vectors.copy()
    prompt = 4
    fold = problem.folds[prompt]
    rows = np.isin(samples.prompt, np.flatnonzero(problem.folds == fold))
    changed[rows] = np.random.default_rng(0).standard_normal((rows.sum(), 12)) * 5
    other = replace(samples, vectors=changed)
    again = Problem.build(other, knowledge=knowledge)
    choices_again, rehearsed_again, _ = choose(again, identifier)
    assert choices_again[fold].option == choices[fold].option
    # sums are taken away from totals, which may leave rounding
    assert choices_again[fold].temperature == pytest.approx(choices[fold].temperature, rel=1e-4)
    others = [one for one in range(FOLDS) if one != fold]
    changes = [choices_again[one].temperature / choices[one].temperature - 1 for one in others]
    assert np.abs(changes).max() > 0.01
    seen_by = rehearsed.seen_by(fold)
    assert not np.isin(rehearsed.rows[seen_by], np.flatnonzero(rows)).any()
    np.testing.assert_allclose(
        rehearsed.scores[:, seen_by], rehearsed_again.scores[:, seen_by], rtol=1e-3, atol=1e-3
    )


def test_rehearsals_leave_out_two_folds_and_ask_every_fold() -> None:
    samples = arena(3, 10, 2, 8, signal=0.5)
    problem = Problem.build(samples, knowledge=Knowledge(prompts="other"))
    option = Option(strength=0.1)
    rehearsed = rehearse(problem, WhitenedCentroid(), (option,))
    folds = problem.folds[samples.prompt[rehearsed.rows]]
    np.testing.assert_array_equal(folds, rehearsed.fold)
    assert not (rehearsed.fold == rehearsed.other).any()
    assert len(rehearsed.rows) == len(samples) * (FOLDS - 1)
    for index in range(0, len(rehearsed.rows), 17):
        row = int(rehearsed.rows[index])
        view = seen(problem, row)
        away = [rehearsed.fold[index], rehearsed.other[index]]
        keep = ~np.isin(problem.folds[view.far_prompt], away)
        smaller = replace(
            view,
            far=view.far[keep],
            far_model=view.far_model[keep],
            far_prompt=view.far_prompt[keep],
        )
        expected = by_hand(smaller, "other", option)
        np.testing.assert_allclose(rehearsed.scores[0, index], expected, rtol=1e-3)


def test_one_image_of_every_cell_is_taken_in_every_round() -> None:
    samples = arena(5, 4, 5, 3, missing=0.2, uneven=True, seed=2)
    problem = Problem.build(samples, knowledge=Knowledge(prompts="matched"))
    for prompt in range(4):
        block = problem.block(prompt)
        sizes = np.bincount(block.model, minlength=5)
        for number in range(int(sizes.max())):
            left = np.bincount(block.model[block.kept[number]], minlength=5)
            np.testing.assert_array_equal(left, np.where(sizes > 1, sizes - 1, sizes))
        for index, number in enumerate(block.round):
            assert not block.kept[number][block.own[index]]
            assert samples.model[block.rows[index]] == block.model[block.own[index]]
        asked = np.bincount(samples.model[block.rows], minlength=5)
        np.testing.assert_array_equal(asked, np.where(sizes > 1, sizes, 0))


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_whitening_helps_where_noise_has_a_shape(prompts: Prompts) -> None:
    samples = arena(8, 20, 4, 20, signal=0.4, seed=5)
    samples.vectors[:] = samples.vectors * np.logspace(0, 1.5, 20)
    right = {
        type(one).__name__: np.mean(found.scores.argmax(axis=1) == found.model)
        for one in (WhitenedCentroid(), NearestCentroid())
        for found in [ask(samples, one, prompts=prompts)]
    }
    assert right["WhitenedCentroid"] > right["NearestCentroid"] + 0.1


def test_few_prompts_leave_the_defaults_standing() -> None:
    samples = arena(3, 2, 3, 4)
    problem = Problem.build(samples, knowledge=Knowledge(prompts="other"))
    choices, rehearsed, options = choose(problem, WhitenedCentroid())
    assert len(rehearsed.rows) == 0
    assert [choice.tuned for choice in choices] == [False, False]
    assert {choice.option for choice in choices} == {options[0]}


def test_a_library_of_no_references_has_no_shape() -> None:
    samples = arena(3, 2, 2, 4)
    library = Library(samples, np.array([0, 1]))
    frame = library.frame(frozenset([0, 1]), scatter=True)
    white = library.covariance(frame, frozenset([0, 1]), 1.0).whitener(np.eye(4, dtype=np.float32))
    np.testing.assert_allclose(white(0.1), np.eye(4), atol=1e-6)
    assert not frame.known.any()
