"""One target against the rest, against scikit-learn and brute force."""

from __future__ import annotations

from itertools import pairwise
from math import erf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from whodrew.measure.rest import LEAST_FALSE, area, curves, equal_error, hits_at, one_against_rest

MODELS, PROMPTS = 4, 10


def asked(
    count: int = 800, *, ties: bool = False, seed: int = 0, strength: float = 1.2
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns scores (n, M), true models, prompts (n,) and folds (P,)."""
    rng = np.random.default_rng(seed)
    model = rng.integers(0, MODELS, count)
    scores = rng.standard_normal((count, MODELS))
    scores[np.arange(count), model] += strength
    if ties:
        scores = np.round(scores * 2) / 2
    return (
        scores.astype(np.float32),
        model,
        np.sort(rng.integers(0, PROMPTS, count)),
        np.arange(PROMPTS) % 5,
    )


def column_of(scores: np.ndarray, target: int, attacker: str) -> np.ndarray:
    if attacker == "target_only":
        return scores[:, target]
    return scores[:, target] - np.delete(scores, target, axis=1).max(axis=1)


def mass(column: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.unique(column)
    positive = np.array([(truth & (column == value)).sum() for value in values], float)
    return positive, np.array([(~truth & (column == value)).sum() for value in values], float)


def slow_equal_error(column: np.ndarray, truth: np.ndarray) -> float:
    """Walks down the thresholds until misses no longer exceed false alarms."""
    points = [(0.0, 1.0)]
    for value in sorted(set(column.tolist()), reverse=True):
        said = column >= value
        points.append((said[~truth].mean(), 1 - said[truth].mean()))
    for (alarm, miss), (next_alarm, next_miss) in pairwise(points):
        if next_alarm >= next_miss:
            share = (miss - alarm) / ((miss - alarm) - (next_miss - next_alarm))
            return float(alarm + share * (next_alarm - alarm))
    raise AssertionError


def slow_threshold(column: np.ndarray, truth: np.ndarray) -> float:
    """Returns the highest threshold of the greatest balanced accuracy."""
    best, chosen = -1.0, 0.0
    for value in sorted(set(column.tolist()), reverse=True):
        said = column >= value
        balanced = (said[truth].mean() + (~said[~truth]).mean()) / 2
        if balanced > best + 1e-12:
            best, chosen = balanced, value
    return chosen


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("attacker", ["all_known", "target_only"])
def test_every_figure_is_that_of_brute_force(attacker: str, ties: bool) -> None:
    scores, model, prompt, folds = asked(ties=ties)
    found = one_against_rest(scores, model, prompt, folds, 0)[attacker]
    by_hand: dict[str, list[float]] = {name: [] for name in found if not name.endswith("reason")}
    for target in range(MODELS):
        column, truth = column_of(scores, target, attacker), model == target
        by_hand["auc"].append(roc_auc_score(truth, column))
        by_hand["eer"].append(slow_equal_error(column, truth))
        alarms, hits, _ = roc_curve(truth, column, drop_intermediate=False)
        by_hand["tpr_at_fpr_1pct"].append(hits[alarms <= 0.01].max())
        said = np.zeros(len(column), dtype=bool)
        for fold in range(5):
            own = folds[prompt] == fold
            said[own] = column[own] >= slow_threshold(column[~own], truth[~own])
        by_hand["balanced_accuracy"].append((said[truth].mean() + (~said[~truth]).mean()) / 2)
        by_hand["accuracy"].append((said == truth).mean())
        by_hand["accuracy_of_always_no"].append((~truth).mean())
    assert found.pop("tpr_at_fpr_0_1pct") is None
    assert "too few" in found.pop("tpr_at_fpr_0_1pct_reason")
    for name, rate in found.items():
        assert rate["value"] == pytest.approx(np.mean(by_hand[name]), abs=1e-6), name
        assert rate["low"] <= rate["value"] <= rate["high"]
    assert found["accuracy"]["chance"] == pytest.approx(np.mean(by_hand["accuracy_of_always_no"]))


@given(st.integers(0, 10_000), st.booleans())
def test_curves_of_one_target_are_those_of_scikit_learn(seed: int, ties: bool) -> None:
    scores, model, _, _ = asked(60, ties=ties, seed=seed)
    truth = model == 0
    if truth.all() or not truth.any():
        return
    true, false = curves(*mass(scores[:, 0], truth))
    alarms, hits, _ = roc_curve(truth, scores[:, 0], drop_intermediate=False)
    np.testing.assert_allclose(true, hits)
    np.testing.assert_allclose(false, alarms)
    assert area(true, false) == pytest.approx(roc_auc_score(truth, scores[:, 0]))
    assert equal_error(true, false) == pytest.approx(slow_equal_error(scores[:, 0], truth))
    for rate in (0.0, 0.05, 0.5):
        assert hits_at(true, false, rate) == pytest.approx(hits[alarms <= rate + 1e-12].max())


def test_rare_false_alarms_need_enough_negatives() -> None:
    """5 false alarms must be expected: 500 negatives at 1 %, 5,000 at 0.1 %."""
    assert LEAST_FALSE == 5
    folds = np.arange(PROMPTS) % 5
    for negatives, low, lower in ((499, None, None), (500, 1, None), (4999, 1, None), (5000, 1, 1)):
        model = np.r_[np.zeros(negatives, int), np.ones(negatives, int)]
        prompt = np.arange(len(model)) % PROMPTS
        scores = np.random.default_rng(0).standard_normal((len(model), 2)).astype(np.float32)
        found = one_against_rest(scores, model, prompt, folds, 0)["target_only"]
        assert (found["tpr_at_fpr_1pct"] is None) == (low is None)
        assert (found["tpr_at_fpr_0_1pct"] is None) == (lower is None)


def test_noise_is_named_by_nobody() -> None:
    scores, model, prompt, folds = asked(4000, strength=0.0)
    found = one_against_rest(scores, model, prompt, folds, 0)
    for attacker in ("all_known", "target_only"):
        for name, chance in (("auc", 0.5), ("eer", 0.5), ("balanced_accuracy", 0.5)):
            assert found[attacker][name]["value"] == pytest.approx(chance, abs=0.02)
        assert found[attacker]["tpr_at_fpr_1pct"]["value"] == pytest.approx(0.01, abs=0.01)


def test_who_knows_all_models_does_better_where_images_differ_in_difficulty() -> None:
    scores, model, prompt, folds = asked(2000)
    scores += np.random.default_rng(1).standard_normal((2000, 1)).astype(np.float32) * 5
    found = one_against_rest(scores, model, prompt, folds, 0)
    assert found["all_known"]["auc"]["value"] > found["target_only"]["auc"]["value"] + 0.1


def test_models_without_references_are_no_targets_and_no_rivals() -> None:
    scores, model, prompt, folds = asked()
    scores[:, 3] = -np.inf
    found = one_against_rest(scores, model, prompt, folds, 0)
    expected = [
        roc_auc_score(model == code, column_of(scores[:, :3], code, "all_known"))
        for code in range(3)
    ]
    assert found["all_known"]["auc"]["value"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_candidates_that_some_images_lack() -> None:
    """Under matched knowledge a model without the prompt's references is no candidate there."""
    scores, model, prompt, folds = asked()
    away = (prompt % 3 == 0) & (model != 1)
    scores[away, 1] = -np.inf
    found = one_against_rest(scores, model, prompt, folds, 0)
    finite = np.where(np.isfinite(scores), scores, -1e9)
    expected = [
        roc_auc_score(model == code, column_of(finite, code, "target_only"))
        for code in range(MODELS)
    ]
    assert found["target_only"]["auc"]["value"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_one_model_is_no_contest() -> None:
    scores, _, prompt, folds = asked(20)
    found = one_against_rest(scores, np.zeros(20, int), prompt, folds, 0)
    assert found["all_known"] is None
    assert "two models" in found["target_only_reason"]


def test_intervals_of_the_area_hold_the_truth() -> None:
    truth = 0.5 * (1 + erf(1.2 / 2))
    held = 0
    for seed in range(16):
        scores, model, prompt, folds = asked(300, seed=seed)
        rate = one_against_rest(scores, model, prompt, folds, 0)["target_only"]["auc"]
        held += rate["low"] <= truth <= rate["high"]
    assert held >= 13
