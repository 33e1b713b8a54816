"""References that are draws of one generation: they count once, and come and go together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synthetic import Array, normalised
from whodrew.encoders.base import Scale
from whodrew.identify.assign import assign
from whodrew.identify.attack import Answers, attack
from whodrew.identify.base import Identifier, Option
from whodrew.identify.contrastive import Contrastive
from whodrew.identify.contrastive_train import Training
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.nearest import NearestCentroid
from whodrew.identify.neighbours import KNearest
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Samples
from whodrew.identify.whitened import WhitenedCentroid

SEEDS = 20
#: Of one seed's accuracy on noise, from 200 seeds of the plain rule.
DEVIATION = 0.037


class Brief(WhitenedCentroid):
    """Chooses among fewer strengths, for the sake of time."""

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        return super().options(matched=matched)[:: 13 if matched else 3]


IDENTIFIERS: dict[str, tuple[Identifier, bool]] = {
    "plain": (NearestCentroid(), False),
    "centred": (NearestCentroid(), True),
    "whitened": (Brief(), True),
    "neighbours": (KNearest(), True),
    "contrastive": (Contrastive(Training(steps=2, check=1)), True),
}


def pair(
    models: int,
    prompts: int,
    generations: int,
    draws: int,
    *,
    dimension: int = 12,
    scale: Scale = "unit",
    seed: int = 0,
    signal: float = 0.0,
    common: float = 2.0,
    uneven: bool = False,
    equal: bool = False,
) -> tuple[Samples, Samples]:
    """Returns references and queries: draws of the same generations, and one more of each.

    Args:
        models: M.
        prompts: P.
        generations: of a cell, at most.
        draws: of each generation among the references.
        dimension: D.
        scale: how they are compared.
        seed: seeds all of it.
        signal: deviation of the models' own directions.
        common: deviation of what the draws of a generation share; their own is 1.
        uneven: gives cells between one and ``generations`` generations.
        equal: makes all draws of a generation the same.
    """
    rng = np.random.default_rng([seed, 97])
    of_model = signal * rng.standard_normal((models, dimension))
    labels = [
        (model, prompt, generation)
        for prompt in range(prompts)
        for model in range(models)
        for generation in range(int(rng.integers(1, generations + 1)) if uneven else generations)
    ]
    count = len(labels)
    base = (
        common * rng.standard_normal((count, dimension)) + of_model[[one for one, _, _ in labels]]
    )
    drawn = base + rng.standard_normal((draws + 1, count, dimension))
    if equal:
        drawn[1:] = drawn[1]
    names = [f"m{model:02d}" for model, _, _ in labels]
    texts = [f"p{prompt:03d}" for _, prompt, _ in labels]
    seeds = [str(generation) for _, _, generation in labels]
    books: dict[str, Any] = {
        "scale": scale,
        "model_names": [f"m{model:02d}" for model in range(models)],
        "prompt_names": [f"p{prompt:03d}" for prompt in range(prompts)],
    }
    queries = Samples.build(
        drawn[0], models=names, prompts=texts, seed=seeds, group=np.arange(count), **books
    )
    references = Samples.build(
        drawn[1:].reshape(draws * count, dimension),
        models=names * draws,
        prompts=texts * draws,
        seed=seeds * draws,
        group=count + np.arange(draws * count),
        **books,
    )
    return replace(references, unit=references.source % count), queries


def repeated(samples: Samples, times: int) -> Samples:
    """Returns every row several times over, as equal draws of one generation."""
    rows = np.repeat(np.arange(len(samples)), times)
    return replace(samples._rearranged(rows), group=len(samples) + np.arange(len(rows)), unit=rows)


def asked(
    held: Samples, queries: Samples, identifier: Identifier, seed: int = 0, **knowledge: Any
) -> Answers:
    problem = Problem.build(held, queries, knowledge=Knowledge(**knowledge), seed=seed)
    return attack(problem, identifier).answers


# ---------------------------------------------------------------- one draw is no draw
@pytest.mark.parametrize(
    ("name", "uneven", "references"),
    [
        *((name, True, "all") for name in IDENTIFIERS if name != "contrastive"),
        *((name, False, 1) for name in ("plain", "centred", "neighbours")),
        ("contrastive", False, "all"),
    ],
)
@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_units_of_one_row_change_nothing(
    name: str, prompts: Prompts, uneven: bool, references: Any
) -> None:
    identifier, centred = IDENTIFIERS[name]
    held, queries = pair(5, 5, 3, 1, signal=0.7, uneven=uneven, scale="standardise", dimension=8)
    order = np.random.default_rng(0).permutation(len(held))
    answers = []
    for unit in (None, order):
        samples = replace(held, unit=unit)
        answers.append(
            asked(samples, queries, identifier, 3, prompts=prompts, centred=centred,
                  references=references)
        )  # fmt: skip
    without, own = answers
    assert len(without.rows) > 20
    np.testing.assert_array_equal(own.rows, without.rows)
    np.testing.assert_allclose(own.scores, without.scores, rtol=1e-4, atol=1e-4)
    assert (own.scores.argmax(axis=1) == without.scores.argmax(axis=1)).all()
    np.testing.assert_allclose(own.temperature, without.temperature, rtol=1e-2)


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_units_of_one_row_change_nothing_within_an_arena(prompts: Prompts) -> None:
    held, _ = pair(5, 6, 3, 1, signal=0.7, uneven=True)
    found = []
    for unit in (None, np.arange(len(held))):
        problem = Problem.build(replace(held, unit=unit), knowledge=Knowledge(prompts=prompts))
        answers = attack(problem, NearestCentroid()).answers
        found.append((answers, assign(problem, answers)))
    (one, together), (other, also) = found
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-6)
    np.testing.assert_array_equal(also.answer, together.answer)


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("draws", [2, 5])
def test_equal_draws_say_no_more_than_one(prompts: Prompts, uneven: bool, draws: int) -> None:
    """Centroids of equal draws are those of one; so must be what each round takes."""
    held, queries = pair(5, 6, 3, 1, signal=0.7, uneven=uneven, seed=2)
    many = repeated(held, draws)
    first, second = (
        asked(samples, queries, NearestCentroid(), 4, prompts=prompts, centred=False)
        for samples in (held, many)
    )
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_allclose(second.scores, first.scores, atol=2e-5)


def test_a_cell_of_one_generation_goes_with_all_its_draws() -> None:
    """Where its only generation is asked for, no draw of it may stay among the references."""
    held, queries = pair(4, 5, 3, 1, uneven=True, seed=1)
    for samples in (held, repeated(held, 3)):
        problem = Problem.build(samples, queries, knowledge=Knowledge(prompts="matched"))
        for prompt in range(5):
            block = problem.block(prompt)
            assert block.rounds is not None
            first = block.kept[0]
            single = block.rounds.sizes(block.model, 4) == 1
            assert not first[single[block.model]].any()


# ---------------------------------------------------------------- against a loop
def by_loop(problem: Problem, row: int) -> Array:
    """Returns (M,) cosines to centroids that leave out all draws of the query's image."""
    held, queries = problem.references, problem.queries
    scores = np.full(len(held.models), -np.inf)
    vectors = held.vectors.astype(np.float64)
    x = queries.vectors[row].astype(np.float64)
    mine = np.array(
        [
            held.seed[at] == queries.seed[row]
            and held.model[at] == queries.model[row]
            and held.prompt[at] == queries.prompt[row]
            for at in range(len(held))
        ]
    )
    for code in range(len(held.models)):
        kept = (held.model == code) & (held.prompt == queries.prompt[row]) & ~mine
        if kept.any():
            scores[code] = normalised(vectors[kept].mean(axis=0)) @ normalised(x)
    return scores


@pytest.mark.parametrize("draws", [1, 2, 5])
@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_no_draw_of_the_query_is_among_its_references(
    draws: int, uneven: bool, equal: bool
) -> None:
    held, queries = pair(4, 5, 3, draws, signal=0.5, uneven=uneven, equal=equal)
    knowledge = Knowledge(prompts="matched", centred=False)
    problem = Problem.build(held, queries, knowledge=knowledge)
    answers = attack(problem, NearestCentroid()).answers
    assert len(answers.rows) > 20
    for row, scores in zip(answers.rows.tolist(), answers.scores, strict=True):
        np.testing.assert_allclose(scores, by_loop(problem, row), atol=3e-6)


def test_rounds_take_whole_generations() -> None:
    held, queries = pair(4, 5, 3, 3, uneven=True)
    problem = Problem.build(held, queries, knowledge=Knowledge(prompts="matched"))
    for prompt in range(5):
        block = problem.block(prompt)
        rows = np.arange(len(held))[held.rows(prompt)]
        unit = held.unit[rows]
        sizes = np.array([len(np.unique(unit[block.model == code])) for code in range(4)])
        assert block.rounds is not None
        np.testing.assert_array_equal(block.rounds.sizes(block.model, 4), sizes)
        for at, number in enumerate(block.round.tolist()):
            kept = block.kept[number]
            for one in np.unique(unit):
                assert len(np.unique(kept[unit == one])) == 1
            own = unit[block.own[at]]
            assert not kept[unit == own].any()
            # each cell gives one generation, so that no rival has more than the true model
            left = [len(np.unique(unit[kept & (block.model == code)])) for code in range(4)]
            assert all(
                now == (size - 1 if size > 1 else now)
                for now, size in zip(left, sizes, strict=True)
            )


# ---------------------------------------------------------------- counting
def test_cells_count_generations() -> None:
    held, queries = pair(4, 5, 3, 4, uneven=True)
    expected = np.zeros((5, 4), int)
    np.add.at(expected, (queries.prompt, queries.model), 1)
    np.testing.assert_array_equal(held.cell_sizes, expected)
    np.testing.assert_array_equal(replace(held, unit=None).cell_sizes, 4 * expected)
    problem = Problem.build(held, queries, knowledge=Knowledge(prompts="matched"))
    alone = expected[queries.prompt, queries.model] == 1
    assert alone.any()
    np.testing.assert_array_equal(problem.asked, ~alone)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_counts_generations(limit: int) -> None:
    held, queries = pair(4, 5, 3, 4)
    for prompts in ("matched", "other"):
        knowledge = Knowledge(prompts=prompts, references=limit)
        problem = Problem.build(held, queries, knowledge=knowledge)
        if prompts == "other":
            assert len(problem.library.samples) == 4 * limit * 4 * 5
            continue
        block = problem.block(0)
        assert block.kept[block.round].sum(axis=1).tolist() == [4 * limit * 4] * len(block.rows)


def test_units_follow_their_rows() -> None:
    held, _ = pair(3, 3, 2, 2)
    assert held.unit is not None
    rows = np.array([7, 1, 30])
    np.testing.assert_array_equal(held.take(rows).unit, held.unit[np.sort(rows)])
    assert replace(held, unit=None).take(rows).unit is None


# ---------------------------------------------------------------- nothing leaks
def noise(seed: int) -> tuple[Samples, Samples]:
    """Returns vectors that say nothing of models, and much of which image is drawn."""
    return pair(10, 5, 2, 3, dimension=10, seed=seed, common=4.0)


def off_chance(name: str, prompts: Prompts, *, broken: bool = False) -> Array:
    identifier, centred = IDENTIFIERS[name]
    found = []
    for seed in range(SEEDS if name != "contrastive" else SEEDS // 2):
        # no two identifiers on the same vectors
        held, queries = noise(seed + 1000 * list(IDENTIFIERS).index(name))
        if broken:  # draws of an image as if they were generations of their own
            names = np.array([f"{place}" for place in range(len(held))])
            held = replace(held, unit=None, seed=names)
        answers = asked(held, queries, identifier, seed, prompts=prompts, centred=centred)
        right = answers.scores.argmax(axis=1) == answers.model
        found.append(right.mean() - 1 / len(held.models))
    return np.array(found)


def at_chance(differences: Array) -> bool:
    """The mean is within 3 standard errors of nothing.

    Few seeds can lie close together by chance: a seed's deviation counts as at least what
    was measured over 200 of them.
    """
    error = max(differences.std(ddof=1), DEVIATION) / np.sqrt(len(differences))
    return bool(abs(differences.mean()) <= 3 * error)


@pytest.mark.parametrize("name", IDENTIFIERS)
@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_draws_of_an_image_do_not_give_it_away(name: str, prompts: Prompts) -> None:
    found = off_chance(name, prompts)
    assert at_chance(found), f"{found.mean():+.4f} off chance"
    assert abs(found.mean()) < 0.04


@pytest.mark.parametrize("name", ["plain", "neighbours"])
def test_draws_taken_for_generations_are_caught(name: str) -> None:
    found = off_chance(name, "matched", broken=True)
    assert not at_chance(found)
    assert found.mean() > 0.3
