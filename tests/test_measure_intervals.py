"""Intervals: the bootstrap written out, its widening, its ends, and how often it covers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from whodrew.measure.intervals import (
    RESAMPLES,
    Rate,
    interval,
    mean_of_ratios,
    missing,
    ratio,
    resample_counts,
    widening,
)

EVEN = np.full(60, 10.0)


def some(prompts: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    asked = rng.integers(1, 30, prompts).astype(float)
    return rng.binomial(asked.astype(int), rng.beta(4, 3, prompts)).astype(float), asked


def test_resamples_draw_prompts_with_replacement() -> None:
    counts = resample_counts(12, 3)
    assert counts.shape == (RESAMPLES, 12)
    assert (counts.sum(axis=1) == 12).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    assert (counts == resample_counts(12, 3)).all()
    assert (counts != resample_counts(12, 4)).any()


def test_the_interval_of_many_prompts_is_the_percentile_bootstrap() -> None:
    right, asked = some(60)
    found = ratio(right, asked, seed=1, chance=0.1)
    rates = []
    for counts in resample_counts(60, 1):
        drawn = np.repeat(np.arange(60), counts.astype(int))
        rates.append(right[drawn].sum() / asked[drawn].sum())
    low, high = np.quantile(rates, [0.025, 0.975])
    assert found.value == pytest.approx(right.sum() / asked.sum())
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.chance == 0.1


@pytest.mark.parametrize("prompts", [5, 10, 22, 39])
def test_few_prompts_widen_the_interval_about_the_estimate(prompts: int) -> None:
    right, asked = some(prompts)
    found = ratio(right, asked, seed=1, chance=None)
    counts = resample_counts(prompts, 1)
    low, high = np.quantile((counts @ right) / (counts @ asked), [0.025, 0.975])
    wide = t.ppf(0.975, prompts - 1) / 1.96 * np.sqrt(prompts / (prompts - 1))
    assert widening(prompts) == pytest.approx(wide, rel=1e-4)
    value = right.sum() / asked.sum()
    assert found.low == pytest.approx(max(value - wide * (value - low), 0), rel=1e-3)
    assert found.high == pytest.approx(min(value + wide * (high - value), 1), rel=1e-3)


def test_forty_prompts_and_more_are_not_widened() -> None:
    assert widening(40) == widening(1000) == 1.0
    assert widening(39) > 1.0


@pytest.mark.parametrize("prompts", [5, 22, 100])
def test_at_the_ends_the_bound_is_wilsons(prompts: int) -> None:
    """Wilson's interval of 0 of P is [0, z² / (P + z²)]."""
    asked = np.full(prompts, 7.0)
    bound = 1.96**2 / (prompts + 1.96**2)
    none, every = (
        ratio(0 * asked, asked, seed=0, chance=None),
        ratio(asked, asked, seed=0, chance=0),
    )
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(bound, rel=1e-4)
    assert (every.value, every.high) == (1, 1)
    assert every.low == pytest.approx(1 - bound, rel=1e-4)


@pytest.mark.parametrize("prompts", [1, 4])
def test_below_five_prompts_there_is_an_estimate_but_no_interval(prompts: int) -> None:
    right, asked = some(prompts)
    found = ratio(right, asked, seed=0, chance=0.5)
    assert found.value == pytest.approx(right.sum() / asked.sum())
    assert found.low is None
    assert found.high is None
    values = found.to_dict()
    assert "too few" in values["low_reason"]
    assert values["high_reason"] == values["low_reason"]
    assert "value_reason" not in values


def test_what_cannot_be_had_says_why() -> None:
    found = ratio(np.zeros(3), np.zeros(3), seed=0, chance=None)
    assert found == missing("nothing was asked")
    assert found.to_dict()["value_reason"] == "nothing was asked"
    assert interval(float("nan"), np.zeros(3), 9, chance=None).value is None
    assert mean_of_ratios(np.zeros((3, 2)), np.zeros((3, 2)), seed=0, chance=None).value is None


def test_prompts_without_queries_take_no_part() -> None:
    right, asked = some(30)
    with_empty = ratio(np.r_[right, np.zeros(5)], np.r_[asked, np.zeros(5)], seed=0, chance=None)
    assert with_empty == ratio(right, asked, seed=0, chance=None)


@given(st.integers(5, 80), st.integers(0, 10_000))
def test_the_estimate_lies_in_its_interval_and_that_in_its_bounds(prompts: int, seed: int) -> None:
    right, asked = some(prompts, seed)
    found = ratio(right, asked, seed=seed, chance=None)
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(st.permutations(range(22)))
def test_rates_of_whole_arenas_depend_on_prompts_alone(order: list[int]) -> None:
    right, asked = some(22)
    first = ratio(right, asked, seed=0, chance=None)
    second = ratio(right[order], asked[order], seed=0, chance=None)
    assert first.value == pytest.approx(second.value)
    assert first.low == pytest.approx(second.low, abs=0.03)


def test_other_bounds_are_kept() -> None:
    asked = np.ones(10)
    found = ratio(np.linspace(0.9, 2.0, 10), asked, seed=0, chance=None, bounds=(0.0, 2.0))
    assert found.value == pytest.approx(1.45)
    assert found.high is not None
    assert 1.45 < found.high <= 2
    whole = ratio(asked, asked, seed=0, chance=None, bounds=(0.0, 2.0))
    assert (whole.low, whole.high) == (1.0, 1.0)


def test_the_mean_over_columns_leaves_out_those_a_resample_misses() -> None:
    right = np.zeros((12, 3))
    asked = np.zeros((12, 3))
    rng = np.random.default_rng(0)
    asked[:, 0], asked[:3, 1] = 4, 5
    right[:, 0], right[:3, 1] = rng.integers(0, 5, 12), [5, 0, 2]
    found = mean_of_ratios(right, asked, seed=2, chance=0.5)
    assert found.value == pytest.approx((right[:, 0].sum() / 48 + 7 / 15) / 2)
    means = []
    for counts in resample_counts(12, 2):
        drawn = counts @ right, counts @ asked
        means.append(np.mean([drawn[0][c] / drawn[1][c] for c in (0, 1) if drawn[1][c]]))
    expected = interval(found.value or 0, np.array(means), 12, chance=0.5)
    assert found == Rate(
        *(pytest.approx(x) for x in (found.value, expected.low, expected.high)), 0.5
    )


def covered(prompts: int, trials: int, *, queries: int = 20) -> float:
    """Returns how often intervals of beta-binomial arenas hold the truth."""
    rng = np.random.default_rng(prompts)
    asked = np.full(prompts, float(queries))
    hits = 0
    for _ in range(trials):
        right = rng.binomial(queries, rng.beta(3, 2, prompts)).astype(float)
        found = ratio(right, asked, seed=0, chance=None)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.6 <= found.high
    return hits / trials


@pytest.mark.parametrize("prompts", [5, 10, 22, 60])
def test_intervals_hold_the_truth_as_often_as_they_say(prompts: int) -> None:
    assert covered(prompts, 600) >= 0.92
