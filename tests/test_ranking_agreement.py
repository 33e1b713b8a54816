"""Kendall's tau-b against SciPy's, and its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from test_ranking_rank import drawn
from whodrew.errors import InputError
from whodrew.ranking import kendall, kendall_by_prompt, rank
from whodrew.ranking.agreement import tau_b


def test_tau_b_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for size in (3, 8, 20):
        first, second = rng.integers(6, size=(2, 40, size)).astype(float)
        ours = tau_b(first, second)
        for one, x, y in zip(ours, first, second, strict=True):
            assert one == pytest.approx(kendalltau(x, y).statistic, nan_ok=True)


def test_between_scores() -> None:
    first = {f"m{at}": float(at) for at in range(8)} | {"only here": 3.0}
    second = {f"m{at}": float(at) + (2.5 if at == 3 else 0) for at in range(8)}
    found = kendall(first, second)
    assert (found.models, found.resampled) == (8, "models")
    assert found.value == pytest.approx(
        kendalltau(list(range(8)), [0, 1, 2, 5.5, 4, 5, 6, 7]).statistic
    )
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert kendall(first, first).value == 1
    few = kendall({"a": 1, "b": 2}, {"a": 1, "b": 2}).to_dict()
    assert (few["value"], few["low"]) == (1, None)
    assert "too few" in few["low_reason"]
    with pytest.raises(InputError, match="1 models"):
        kendall({"a": 1, "b": 2}, {"a": 1})
    flat = kendall({"a": 1, "b": 1}, {"a": 1, "b": 2}).to_dict()
    assert "ranks nothing" in flat["value_reason"]


def test_between_rankings_by_votes_it_rests_on_votes() -> None:
    few, many = (
        kendall(rank(drawn(1, 8, n)), rank(drawn(1, 8, n + 1), seed=1)) for n in (200, 20_000)
    )
    assert few.resampled == many.resampled == "votes"
    assert few.low is not None
    assert many.low is not None
    assert few.high is not None
    assert many.high is not None
    assert many.high - many.low < few.high - few.low
    assert many.value is not None
    assert many.value > 0.8
    scores = rank(drawn(1, 8, 200)).scores()
    assert kendall(rank(drawn(1, 8, 200)), scores).value == 1


def test_between_scorers_by_prompt() -> None:
    rng = np.random.default_rng(0)
    model = np.linspace(0, 2, 6)
    first = model + rng.normal(size=(40, 6))
    same = kendall_by_prompt(first, first)
    assert (same.value, same.low, same.high) == (1, 1, 1)
    second = model + rng.normal(size=(40, 6))
    found = kendall_by_prompt(first, second)
    assert found.value == pytest.approx(kendalltau(first.mean(0), second.mean(0)).statistic)
    assert found.low is not None
    assert found.value is not None
    assert found.low < 1
    second[3, 2] = np.nan
    assert kendall_by_prompt(first, second).value is not None
    with pytest.raises(InputError, match="give"):
        kendall_by_prompt(first, second[:3])
    assert kendall_by_prompt(first[:3], second[:3]).low is None
