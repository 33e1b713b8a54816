"""Distinguishability, silhouette, variation and similarity against loops over pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from synthetic import arena, normalised
from whodrew.encoders.base import Scale
from whodrew.identify.library import Library
from whodrew.identify.samples import Samples
from whodrew.measure.survey import (
    MOST_GENERATIONS,
    Survey,
    distinguishability,
    nearest,
    prompt_vectors,
    survey,
)

MODELS = 5


def surveyed(samples: Samples, seed: int = 0) -> Survey:
    return survey(Library(samples, np.arange(len(samples.prompts)) % 5), seed)


def prompt_of(samples: Samples, prompt: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit vectors and models of a prompt's distinct images, by image id."""
    rows = np.flatnonzero((samples.prompt == prompt) & samples.is_reference)
    rows = rows[np.argsort(samples.image_id[rows])]
    vectors = samples.vectors.astype(np.float64)
    if samples.scale == "standardise":
        others = vectors[(samples.prompt != prompt) & samples.is_reference]
        vectors = (vectors - others.mean(axis=0)) / others.std(axis=0)
    return normalised(vectors[rows]), samples.model[rows]


def slow_distinguishability(vectors: np.ndarray, model: np.ndarray) -> float:
    total = len(model)
    similar = vectors @ vectors.T
    values = []
    for code in np.unique(model):
        members = np.flatnonzero(model == code)
        if len(members) < 2:
            continue
        shares = []
        for row in members:
            others = [other for other in range(total) if other != row]
            others.sort(key=lambda other: (-similar[row, other], other))
            near = others[: len(members) - 1]
            shares.append(np.mean([model[other] == code for other in near]))
        chance = (len(members) - 1) / (total - 1)
        values.append((np.mean(shares) - chance) / (1 - chance))
    return float(np.mean(values))


def holed(scale: Scale = "unit", **options: Any) -> Samples:
    values = {"signal": 0.5, "common": 0.5, "missing": 0.2, "uneven": True, "seed": 8} | options
    return arena(MODELS, 7, 5, 9, scale=scale, **values)


@pytest.mark.parametrize("scale", ["unit", "standardise"])
def test_every_figure_of_a_prompt_is_that_of_loops(scale: Scale) -> None:
    samples = holed(scale)
    found = surveyed(samples)
    for prompt in range(7):
        vectors, model = prompt_of(samples, prompt)
        distance = 1 - vectors @ vectors.T
        same = model[:, None] == model[None, :]
        off = ~np.eye(len(model), dtype=bool)
        sizes = np.bincount(model, minlength=MODELS)
        assert found.images[prompt] == len(model)
        assert found.asked[prompt] == sizes[sizes > 1].sum()
        assert found.inter[prompt] == pytest.approx(distance[~same].mean(), abs=1e-5)
        assert found.silhouette[prompt] == pytest.approx(
            silhouette_score(vectors, model, metric="cosine"), abs=1e-5
        )
        assert found.distinguishability[prompt] == pytest.approx(
            slow_distinguishability(vectors, model), abs=1e-9
        )
        for code in range(MODELS):
            own = (model == code)[:, None] & same & off
            if own.any():
                assert found.intra[prompt, code] == pytest.approx(distance[own].mean(), abs=1e-5)
            else:
                assert np.isnan(found.intra[prompt, code])
        right, margins = [], []
        for row in np.flatnonzero(sizes[model] > 1):
            kept = np.arange(len(model)) != row
            cosines = {
                code: float(normalised(vectors[kept & (model == code)].mean(axis=0)) @ vectors[row])
                for code in np.unique(model[kept])
            }
            own_score = cosines.pop(model[row])
            right.append(own_score > max(cosines.values()))
            margins.append(own_score - max(cosines.values()))
        assert found.top1[prompt] == pytest.approx(np.mean(right))
        assert found.margin[prompt] == pytest.approx(np.mean(margins), abs=1e-5)


def test_distance_of_two_models_is_the_mean_over_prompts_they_share() -> None:
    samples = holed()
    found = surveyed(samples)
    for one in range(MODELS):
        for two in range(one + 1, MODELS):
            means = []
            for prompt in range(7):
                vectors, model = prompt_of(samples, prompt)
                if (model == one).any() and (model == two).any():
                    means.append((1 - vectors[model == one] @ vectors[model == two].T).mean())
            assert found.together[one, two] == len(means)
            assert found.distance[one, two] == pytest.approx(np.mean(means), abs=1e-6)
    np.testing.assert_array_equal(found.distance, found.distance.T)
    assert not np.diag(found.distance).any()


def test_models_that_share_no_prompt_have_no_distance() -> None:
    samples = arena(2, 4, 2, 5)
    samples = samples.take((samples.prompt < 2) == (samples.model == 0))
    found = surveyed(samples)
    assert np.isnan(found.distance[0, 1])
    assert np.isnan(found.inter).all()
    assert np.isnan(found.top1).all()
    assert np.isnan(found.distinguishability).all()
    assert np.isfinite(found.intra).any()


@given(st.integers(0, 10_000), st.integers(3, 14), st.integers(2, 4), st.booleans())
def test_distinguishability_is_that_of_a_loop_ties_included(
    seed: int, total: int, models: int, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    model = rng.integers(0, models, total)
    choice = rng.standard_normal((3 if ties else total, 4))
    vectors = (
        normalised(choice[rng.integers(0, len(choice), total)]) if ties else normalised(choice)
    )
    # exact in binary, so that ties are ties in any order of summation
    vectors = (np.round(vectors * 64) / 64).astype(np.float32)
    found = distinguishability(vectors, model)
    sizes = np.bincount(model)
    if sizes.max() < 2 or (sizes > 0).sum() < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(slow_distinguishability(vectors, model), abs=1e-9)
        assert found <= 1 + 1e-12


@given(st.integers(0, 10_000), st.integers(1, 11))
def test_nearest_takes_ties_from_the_left(seed: int, number: int) -> None:
    similar = np.random.default_rng(seed).integers(0, 4, (5, 12)).astype(np.float32)
    found = nearest(similar, number)
    for row, mask in zip(similar, found, strict=True):
        expected = sorted(range(12), key=lambda at: (-row[at], at))[:number]
        assert sorted(np.flatnonzero(mask)) == sorted(expected)


@pytest.mark.parametrize("copies", [7, 40, 150])
def test_images_with_equal_vectors_are_told_apart_by_id_alone(copies: int) -> None:
    """A matrix product may round equal columns differently; that must break no tie."""
    rng = np.random.default_rng(copies)
    base = normalised(rng.standard_normal((2, 700)))
    model = np.tile([0, 1], copies)
    vectors = base[rng.integers(0, 2, 2 * copies)].astype(np.float32)
    expected = []
    kind = (vectors == vectors[0]).all(axis=1)
    for code in (0, 1):
        shares = []
        for row in np.flatnonzero(model == code):
            others = [at for at in range(2 * copies) if at != row]
            others.sort(key=lambda at: (kind[at] != kind[row], at))
            shares.append((model[others[: copies - 1]] == code).mean())
        chance = (copies - 1) / (2 * copies - 1)
        expected.append((np.mean(shares) - chance) / (1 - chance))
    assert distinguishability(vectors, model) == pytest.approx(np.mean(expected), abs=1e-9)


def test_cells_that_stand_wholly_apart_are_perfectly_distinguishable() -> None:
    vectors = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    assert distinguishability(vectors, np.repeat(np.arange(4), 3)) == pytest.approx(1.0)


def test_noise_is_not_distinguishable() -> None:
    found = surveyed(arena(6, 60, 4, 20)).distinguishability
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(60)
    assert (found < 0).any()


def test_singletons_are_neighbours_though_nobody_asks_about_them() -> None:
    vectors = normalised(np.array([[1, 0], [1, 0.2], [1, 0.1], [0, 1.0]])).astype(np.float32)
    alone = distinguishability(vectors, np.array([0, 0, 1, 2]))
    chance = 1 / 3
    assert alone == pytest.approx((0.0 - chance) / (1 - chance))


@pytest.mark.parametrize("generations", [MOST_GENERATIONS, MOST_GENERATIONS + 5])
def test_cells_of_more_than_32_are_represented_by_32(generations: int) -> None:
    samples = arena(3, 3, generations, 8, signal=0.3)
    found = surveyed(samples)
    assert found.sampled == (generations > MOST_GENERATIONS)
    vectors, model = prompt_of(samples, 0)
    whole = slow_distinguishability(vectors, model)
    if found.sampled:
        assert found.distinguishability[0] == surveyed(samples).distinguishability[0]
        assert found.distinguishability[0] != surveyed(samples, seed=1).distinguishability[0]
        assert found.distinguishability[0] == pytest.approx(whole, abs=0.15)
        assert found.images[0] == 3 * generations
    else:
        assert found.distinguishability[0] == pytest.approx(whole)


def test_duplicates_count_once() -> None:
    samples = holed(missing=0.0, uneven=False)
    group, vectors = samples.group.copy(), samples.vectors.copy()
    group[1], vectors[1] = group[0], vectors[0]
    twice = surveyed(replace(samples, group=group, vectors=vectors))
    once = surveyed(replace(samples, vectors=vectors).take(np.arange(len(samples)) != 1))
    assert twice.images[0] == MODELS * 5 - 1
    np.testing.assert_array_equal(twice.distinguishability, once.distinguishability)
    np.testing.assert_allclose(twice.intra, once.intra)


def test_images_come_in_the_order_of_their_ids() -> None:
    samples = holed()
    names = np.random.default_rng(0).permutation(len(samples)).astype("U8")
    library = Library(replace(samples, image_id=names), np.arange(7) % 5)
    for prompt in range(7):
        vectors, model, rows = prompt_vectors(library, prompt)
        assert sorted(names[rows]) == names[rows].tolist()
        np.testing.assert_array_equal(samples.model[rows], model)
        assert (samples.prompt[rows] == prompt).all()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


@given(st.permutations(range(4)))
def test_names_of_models_do_not_matter(order: list[int]) -> None:
    samples = arena(4, 3, 3, 6, signal=0.4)
    other = replace(samples, model=np.array(order)[samples.model])
    first, second = surveyed(samples), surveyed(other)
    np.testing.assert_allclose(first.distinguishability, second.distinguishability)
    np.testing.assert_allclose(first.silhouette, second.silhouette, rtol=1e-5)
    np.testing.assert_allclose(first.intra, second.intra[:, order])
    np.testing.assert_allclose(first.distance, second.distance[np.ix_(order, order)])
