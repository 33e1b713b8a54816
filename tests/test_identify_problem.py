"""Queries from another arena, duplicates across arenas, folds, and what is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import arena, ask, normalised
from whodrew.encoders.base import Scale
from whodrew.errors import UsageError
from whodrew.identify.base import Identifier
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.library import pre_scaled
from whodrew.identify.nearest import NearestCentroid
from whodrew.identify.neighbours import KNearest
from whodrew.identify.probe import LinearProbe
from whodrew.identify.problem import FOLDS, Problem
from whodrew.identify.rounds import twins
from whodrew.identify.samples import Samples
from whodrew.identify.whitened import WhitenedCentroid

EVERY: list[Identifier] = [NearestCentroid(), WhitenedCentroid(), KNearest(), LinearProbe()]


def named(one: Identifier) -> str:
    return one.name


def elsewhere(samples: Samples, prefix: str = "x") -> Samples:
    """Returns the samples as a stranger's: other names of generations, other groups."""
    names = np.array([f"{prefix}{row}" for row in range(len(samples))])
    return replace(samples, seed=names, group=samples.group + 10_000)


def two(scale: Scale = "unit", **options: Any) -> tuple[Samples, Samples]:
    """Returns references and other drawings of the same models and prompts."""
    whole = arena(4, 6, 6, 10, scale=scale, signal=1.2, common=0.5, **options)
    place = np.arange(len(whole)) % 2 == 0
    return whole.take(place), elsewhere(whole.take(~place))


@pytest.mark.parametrize("identifier", EVERY, ids=named)
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("references", ["all", 2])
@pytest.mark.parametrize("scale", ["unit", "standardise"])
def test_references_may_come_from_elsewhere(
    identifier: Identifier, prompts: Prompts, references: Any, scale: Scale
) -> None:
    known, asked = two(scale)
    answers = ask(known, identifier, queries=asked, prompts=prompts, references=references)
    assert len(answers.rows) == len(asked)
    assert (answers.scores.argmax(axis=1) == answers.model).mean() > 0.5


@pytest.mark.parametrize("identifier", EVERY, ids=named)
def test_prompts_without_references_are_not_asked_when_matched(identifier: Identifier) -> None:
    known, asked = two()
    known = known.take(~np.isin(known.prompt, [0, 3]))
    answers = ask(known, identifier, queries=asked, prompts="matched")
    assert sorted(set(answers.prompt.tolist())) == [1, 2, 4, 5]
    answers = ask(known, identifier, queries=asked, prompts="other")
    assert len(answers.rows) == len(asked)


def test_nothing_in_common_asks_nothing() -> None:
    known, asked = two()
    known, asked = known.take(known.prompt < 3), asked.take(asked.prompt >= 3)
    for identifier in EVERY:
        assert len(ask(known, identifier, queries=asked, prompts="matched").rows) == 0


def test_a_stranger_is_compared_with_every_reference() -> None:
    known, asked = two()
    answers = ask(known, NearestCentroid(), queries=asked, prompts="matched", centred=False)
    sums = known.vectors.reshape(6, 4, 3, -1).sum(axis=2)
    expected = np.einsum("ij,imj->im", asked.vectors, normalised(sums)[asked.prompt])
    np.testing.assert_allclose(answers.scores, expected, atol=1e-5)


def test_the_same_drawing_in_both_arenas_does_not_meet_itself() -> None:
    """By its bytes (group) or by its name: model, prompt and seed."""
    whole = arena(4, 6, 3, 10, signal=0.3)
    alone = ask(whole, NearestCentroid(), prompts="matched", centred=False)
    by_name = replace(whole, group=whole.group + 10_000)
    by_bytes = replace(elsewhere(whole), group=whole.group)
    for other in (by_name, by_bytes):
        np.testing.assert_array_equal(twins(whole, other), np.arange(len(whole)))
        answers = ask(whole, NearestCentroid(), queries=other, prompts="matched", centred=False)
        np.testing.assert_allclose(answers.scores, alone.scores, atol=1e-6)
    np.testing.assert_array_equal(twins(whole, elsewhere(whole)), np.full(len(whole), -1))


def test_a_drawing_that_stands_under_another_prompt_elsewhere_hides_that_prompt() -> None:
    known, asked = two()
    asked.group[0] = known.group[known.prompt == 4][0]
    problem = Problem.build(known, asked, knowledge=Knowledge(prompts="other"))
    assert problem.excluded(0) == {0, 4}
    assert problem.excluded(1) == {0}


def test_a_duplicate_under_another_prompt_hides_that_prompt() -> None:
    samples = arena(3, 5, 2, 4)
    group = samples.group.copy()
    first, second = np.flatnonzero(samples.prompt == 1)[0], np.flatnonzero(samples.prompt == 3)[0]
    group[second] = group[first]
    problem = Problem.build(replace(samples, group=group), knowledge=Knowledge())
    assert problem.excluded(int(first)) == problem.excluded(int(second)) == {1, 3}
    assert problem.references.is_reference.sum() == len(samples) - 1
    found = {
        tuple(sorted(excluded)): len(block.rows)
        for prompt in range(len(samples.prompts))
        for excluded, block in problem.groups(prompt)
    }
    assert found == {(0,): 6, (1,): 5, (1, 3): 1, (2,): 6, (3,): 5, (4,): 6}


@given(st.integers(1, 40), st.integers(0, 5))
def test_folds_are_even_and_seeded(prompts: int, seed: int) -> None:
    samples = arena(1, prompts, 1, 2)
    folds = Problem.build(samples, knowledge=Knowledge(), seed=seed).folds
    sizes = np.bincount(folds)
    assert len(sizes) == min(FOLDS, prompts)
    assert sizes.max() - sizes.min() <= 1
    again = Problem.build(samples, knowledge=Knowledge(), seed=seed).folds
    np.testing.assert_array_equal(folds, again)


def test_single_generations_are_asked_only_without_their_prompt() -> None:
    samples = arena(4, 6, 3, 4, uneven=True, missing=0.3, seed=1)
    sizes = samples.cell_sizes[samples.prompt, samples.model]
    elsewhere = samples.cell_sizes.sum(axis=0)[samples.model] - sizes
    matched = Problem.build(samples, knowledge=Knowledge(prompts="matched"))
    np.testing.assert_array_equal(matched.asked, sizes > 1)
    other = Problem.build(samples, knowledge=Knowledge(prompts="other"))
    np.testing.assert_array_equal(other.asked, elsewhere > 0)


def test_columns_cannot_be_scaled_on_no_prompt() -> None:
    samples = arena(3, 1, 4, 5, scale="standardise")
    with pytest.raises(UsageError, match="at least 2 prompts"):
        ask(samples, NearestCentroid(), prompts="matched")


@pytest.mark.parametrize("identifier", EVERY, ids=named)
@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_units_of_a_column_do_not_matter(identifier: Identifier, prompts: Prompts) -> None:
    samples = arena(4, 6, 3, 8, scale="standardise", signal=0.5)
    moved = replace(samples, vectors=samples.vectors * np.float32(1000) - np.float32(7))
    first = ask(samples, identifier, prompts=prompts)
    second = ask(moved, identifier, prompts=prompts)
    same = first.scores.argmax(axis=1) == second.scores.argmax(axis=1)
    assert same.mean() > 0.97


def test_scaling_beforehand_is_for_safety_only() -> None:
    samples = arena(3, 4, 2, 5, scale="standardise")
    samples.vectors[:, 2] = 1e6
    (scaled,) = pre_scaled(samples)
    kept = [0, 1, 3, 4]
    np.testing.assert_allclose(scaled.vectors[:, kept].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.vectors[:, kept].std(axis=0), 1, atol=1e-4)
    assert not scaled.vectors[:, 2].any()
    unit = arena(3, 4, 2, 5)
    assert pre_scaled(unit)[0] is unit


@given(st.permutations(range(24)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((24, 4))
    models = [f"m{row % 3}" for row in range(24)]
    prompts = [f"p{row // 6}" for row in range(24)]
    names = [f"i{row:02d}" for row in range(24)]

    def built(rows: list[int]) -> Samples:
        return Samples.build(
            vectors[rows],
            models=[models[row] for row in rows],
            prompts=[prompts[row] for row in rows],
            scale="unit",
            image_id=[names[row] for row in rows],
            seed=[names[row] for row in rows],
        )

    first, second = built(list(range(24))), built(order)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.image_id, second.image_id)
    np.testing.assert_array_equal(vectors[order][second.source].astype(np.float32), second.vectors)
