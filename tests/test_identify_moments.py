"""Sums, effects, scatter and centring against the same things computed from scratch."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import Array, arena, two_way_fit
from whodrew.identify.library import Library
from whodrew.identify.moments import Moments
from whodrew.identify.samples import Samples

MODELS = 5


def summed(samples: Samples, prompts: list[int]) -> Moments:
    total = Moments.zero(len(samples.models), samples.dimension, scatter=True)
    for prompt in prompts:
        rows = samples.rows(prompt)
        total.add(of_rows(samples, rows))
    return total


def of_rows(samples: Samples, rows: slice) -> Moments:
    return Moments.of_prompt(
        samples.vectors[rows], samples.model[rows], len(samples.models), scatter=True
    )


def assert_same(left: Moments, right: Moments) -> None:
    for field in fields(Moments):
        one, two = getattr(left, field.name), getattr(right, field.name)
        # (D, D) sums may be kept in single precision
        close = 1e-9 if getattr(one, "dtype", None) != np.float32 else 2e-6
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=close, err_msg=field.name)


def holed(seed: int = 0, dimension: int = 6) -> Samples:
    """An arena with cells missing, of several sizes, that tells models and prompts apart."""
    return arena(
        MODELS, 9, 4, dimension, seed=seed, missing=0.3, uneven=True, signal=0.7, common=0.7
    )


def naive_residuals(samples: Samples, prompts: list[int]) -> Array:
    """Images less model and prompt effects of the least-squares fit on cells' means."""
    effects, own = two_way_fit(samples.vectors, samples.model, samples.prompt, MODELS, prompts)
    rows = np.isin(samples.prompt, prompts)
    expected = effects[samples.model[rows]] + np.array([own[p] for p in samples.prompt[rows]])
    return samples.vectors[rows] - expected


def test_taking_a_prompt_away_leaves_the_sums_of_the_others() -> None:
    samples = holed()
    total = summed(samples, list(range(9)))
    total.subtract(of_rows(samples, samples.rows(4)))
    assert_same(total, summed(samples, [0, 1, 2, 3, 5, 6, 7, 8]))


@given(st.permutations(range(9)), st.integers(0, 9), st.integers(0, 3))
def test_order_and_partition_do_not_matter(order: list[int], cut: int, seed: int) -> None:
    samples = holed(seed)
    merged = summed(samples, order[:cut])
    merged.add(summed(samples, order[cut:]))
    assert_same(merged, summed(samples, list(range(9))))


def test_an_empty_prompt_adds_nothing() -> None:
    empty = Moments.of_prompt(
        np.empty((0, 3), np.float32), np.empty(0, np.int64), MODELS, scatter=True
    )
    assert_same(empty, Moments.zero(MODELS, 3, scatter=True))


@pytest.mark.parametrize("seed", range(4))
def test_model_effects_are_the_least_squares_fit(seed: int) -> None:
    samples = holed(seed)
    prompts = np.unique(samples.prompt).tolist()
    effects, own = two_way_fit(samples.vectors, samples.model, samples.prompt, MODELS, prompts)
    total = summed(samples, prompts)
    np.testing.assert_allclose(total.effects(), effects, atol=1e-6)
    grand = np.mean([own[prompt] for prompt in prompts], axis=0)
    np.testing.assert_allclose(total.grand(total.effects()), grand, atol=1e-6)


def test_with_every_cell_the_effect_of_a_model_is_its_mean_less_the_grand_mean() -> None:
    samples = arena(MODELS, 6, 3, 8, signal=1.0)
    cells = samples.vectors.reshape(6, MODELS, 3, 8).astype(np.float64).mean(axis=2)
    effects = summed(samples, list(range(6))).effects()
    np.testing.assert_allclose(effects, cells.mean(axis=0) - cells.mean(axis=(0, 1)), atol=1e-7)


def test_a_model_without_references_has_no_effect_and_moves_no_other() -> None:
    samples = holed(1)
    shown = samples.take(samples.model != 2)
    prompts = np.unique(shown.prompt).tolist()
    effects = summed(shown, prompts).effects()
    expected, _ = two_way_fit(shown.vectors, shown.model, shown.prompt, MODELS, prompts)
    np.testing.assert_allclose(effects, expected, atol=1e-6)
    np.testing.assert_allclose(effects[2], 0.0, atol=1e-12)


def test_effects_stay_exact_after_many_additions_and_subtractions() -> None:
    samples = arena(6, 3000, 1, 3, missing=0.4, signal=0.5)
    library = Library(samples, np.arange(3000) % 5)
    left_out = frozenset(range(0, 3000, 3))
    kept = frozenset(range(3000)) - left_out
    effects = library.without(left_out, scatter=False).effects()
    direct = summed(samples, sorted(kept)).effects()
    np.testing.assert_allclose(effects, direct, atol=1e-9)
    assert abs(effects.mean(axis=0)).max() < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_residual_scatter_is_that_of_the_residuals(seed: int) -> None:
    samples = holed(seed)
    prompts = np.unique(samples.prompt).tolist()
    residuals = naive_residuals(samples, prompts)
    total = summed(samples, prompts)
    scatter, freedom = total.residual(total.effects())
    np.testing.assert_allclose(scatter, residuals.T @ residuals, atol=1e-5)
    assert freedom == len(residuals) - len(prompts) - len(np.unique(samples.model)) + 1


def test_scatter_about_the_cells_is_that_of_images_less_their_cell() -> None:
    samples = holed(2)
    cell = samples.prompt * MODELS + samples.model
    inner = np.concatenate(
        [
            samples.vectors[cell == code] - samples.vectors[cell == code].mean(axis=0)
            for code in np.unique(cell)
        ]
    )
    total = summed(samples, np.unique(samples.prompt).tolist())
    np.testing.assert_allclose(total.within, inner.T @ inner, atol=1e-5)
    assert total.within_freedom == len(samples) - len(np.unique(cell))


@pytest.mark.parametrize("common", [0.0, 0.3, 2.0])
def test_centring_is_noise_over_variance_of_prompts(common: float) -> None:
    samples = arena(MODELS, 12, 4, 10, missing=0.2, uneven=True, signal=0.3, common=common)
    variance = np.linspace(0.5, 2.0, 10)
    middles, noise, inverse, images = [], 0.0, 0.0, 0
    for prompt in range(12):
        rows = np.flatnonzero(samples.prompt == prompt)
        vectors, model = samples.vectors[rows].astype(np.float64), samples.model[rows]
        middle = np.mean([vectors[model == code].mean(axis=0) for code in set(model)], axis=0)
        noise += (((vectors - middle) ** 2) / variance).sum()
        inverse += 1.0 / len(rows)
        images += len(rows)
        middles.append(middle)
    noise /= images - 12
    observed = (np.var(middles, axis=0, ddof=1) / variance).sum()
    between = observed - noise * inverse / 12
    found = summed(samples, list(range(12))).centring(variance)
    assert found == pytest.approx(noise / between if between > 0 else 1e6, rel=1e-4)


def test_centring_is_strong_where_prompts_do_not_differ_and_weak_where_they_do() -> None:
    ones = np.ones(20)
    found = [
        summed(arena(MODELS, 30, 3, 20, common=common), list(range(30))).centring(ones)
        for common in (0.05, 0.5, 3.0)
    ]
    assert found[0] > found[1] > found[2]
    assert found[2] < 1.0


def test_centring_of_one_prompt_is_even() -> None:
    assert summed(holed(), [0]).centring(np.ones(6)) == 1.0


@pytest.mark.parametrize("left_out", [[], [3], [0, 5], [0, 1, 2, 3], list(range(9))])
def test_a_library_leaves_out_exactly_the_prompts_asked_for(left_out: list[int]) -> None:
    samples = holed(3)
    library = Library(samples, np.arange(9) % 3)
    kept = [prompt for prompt in range(9) if prompt not in left_out]
    assert_same(library.without(frozenset(left_out), scatter=True), summed(samples, kept))
