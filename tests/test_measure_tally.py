"""What is counted prompt by prompt against the same figures from every answer at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from whodrew.identify.attack import Answers
from whodrew.measure.calibration import calibration_error
from whodrew.measure.rest import one_against_rest
from whodrew.measure.tally import Tally, margins
from whodrew.measure.targets import MOST_GROUPS, Targets, _groups

MODELS, PROMPTS, EACH = 5, 24, 320
FOLDS = np.arange(PROMPTS) % 5


def answers(seed: int = 0, signal: float = 1.5) -> Answers:
    rng = np.random.default_rng(seed)
    count = PROMPTS * EACH
    model = rng.integers(0, MODELS, count)
    prompt = np.repeat(np.arange(PROMPTS), EACH)
    ease = rng.normal(0, 0.7, PROMPTS)
    scores = rng.standard_normal((count, MODELS)).astype(np.float32)
    scores[np.arange(count), model] += (signal + ease[prompt]).astype(np.float32)
    heat = np.float32(0.5) + FOLDS[prompt].astype(np.float32) / 10
    return Answers(np.arange(count), prompt, model, scores, heat, tuned=True)


def by_prompt(found: Answers) -> list[Answers]:
    return [found.take(found.prompt == prompt) for prompt in range(PROMPTS)]


def tallied(parts: list[Answers], *, binned: bool) -> Tally:
    practice = answers(99).take(np.arange(0, PROMPTS * EACH, 4))
    tally = Tally.zero(
        MODELS,
        FOLDS,
        0,
        families=np.array([0, 0, 1, 2, 2]),
        practice=(practice.scaled, practice.model) if binned else None,
    )
    for part in parts:
        tally.update(part)
    return tally


def values(figures: dict[str, object]) -> dict[str, float]:
    found = {}
    for attacker, rates in figures.items():
        assert isinstance(rates, dict)
        for name, rate in rates.items():
            for end in ("value", "low", "high"):
                found[f"{attacker} {name} {end}"] = rate[end]
    return found


def test_exact_figures_are_those_of_all_answers_at_once_in_any_order() -> None:
    whole = answers()
    parts = by_prompt(whole)
    tally = tallied(parts[::-1], binned=False)
    expected = one_against_rest(whole.scaled, whole.model, whole.prompt, FOLDS, 0)
    assert values(tally.one_against_rest()) == pytest.approx(values(expected))
    likely = whole.likely
    error = calibration_error(likely, whole.model, whole.prompt, PROMPTS, 0)
    assert tally.calibration.error(0).to_dict() == pytest.approx(error.to_dict())
    order = np.argsort(-whole.scores, axis=1)
    for top in (3, 5):
        hit = (order[:, :top] == whole.model[:, None]).any(axis=1)
        assert tally.tops[top].sum() == hit.sum()
    assert tally.named.top1().value == pytest.approx((order[:, 0] == whole.model).mean())
    assert tally.named.chance == pytest.approx(1 / MODELS)
    assert tally.candidates == MODELS


def test_counts_in_bins_give_nearly_the_exact_figures() -> None:
    whole = answers()
    binned = tallied(by_prompt(whole), binned=True)
    exact = tallied(by_prompt(whole), binned=False)
    near, right = values(binned.one_against_rest()), values(exact.one_against_rest())
    assert near.keys() == right.keys()
    for name, value in right.items():
        figure, end = name.split()[1:]
        loose = 0.02 if "0_1pct" in figure else 0.006
        assert near[name] == pytest.approx(value, abs=loose if end == "value" else 2 * loose), name
    assert near["target_only auc value"] == pytest.approx(right["target_only auc value"], abs=5e-4)
    ours, theirs = binned.calibration.error(0), exact.calibration.error(0)
    assert ours.value == pytest.approx(theirs.value, abs=2e-3)
    assert binned.named.top1() == exact.named.top1()


@pytest.mark.parametrize("binned", [False, True])
def test_partitions_merge_to_the_same_state(binned: bool) -> None:
    parts = by_prompt(answers())
    whole = tallied(parts, binned=binned)
    merged = tallied(parts[:9], binned=binned)
    merged.merge(tallied(parts[9:], binned=binned))
    assert values(merged.one_against_rest()) == values(whole.one_against_rest())
    assert merged.calibration.error(0) == whole.calibration.error(0)
    for ask in ("top1", "balanced", "family"):
        assert getattr(merged.named, ask)() == getattr(whole.named, ask)()
    np.testing.assert_array_equal(merged.margin, whole.margin)
    np.testing.assert_array_equal(merged.named.confusion, whole.named.confusion)


def test_models_that_are_no_candidates_are_no_targets() -> None:
    parts = by_prompt(answers())
    hidden = []
    for part in parts:
        scores = part.scores.copy()
        scores[:, 2] = -np.inf
        hidden.append(replace(part, scores=scores))
    binned = values(tallied(hidden, binned=True).one_against_rest())
    exact = values(tallied(hidden, binned=False).one_against_rest())
    for name in exact:
        if name.endswith("auc value"):
            assert binned[name] == pytest.approx(exact[name], abs=2e-3)


def test_margin_is_the_gap_of_log_probabilities() -> None:
    whole = answers().take(np.arange(40))
    likely = log_softmax(whole.scores / whole.temperature[:, None], axis=1)
    for row in range(40):
        true = whole.model[row]
        best = max(likely[row, other] for other in range(MODELS) if other != true)
        assert margins(whole)[row] == pytest.approx(likely[row, true] - best, abs=1e-5)


def test_groups_of_prompts_stay_within_a_fold() -> None:
    folds = np.random.default_rng(0).integers(0, 5, 4000)
    group, fold = _groups(folds)
    assert len(fold) <= MOST_GROUPS
    np.testing.assert_array_equal(fold[group], folds)
    assert np.ptp(np.bincount(group)) <= 2
    few, _ = _groups(FOLDS)
    assert len(np.unique(few)) == PROMPTS


def test_practice_without_a_model_still_gives_bins() -> None:
    practice = answers(3).take(np.arange(100))
    practice = practice.take(practice.model != 1)
    state = Targets.zero(practice.scaled, practice.model, FOLDS, 0)
    for prompt, part in enumerate(by_prompt(answers())):
        state.add(prompt, state.counted(part))
    found = state.figures(np.ones(MODELS, dtype=bool))
    assert 0.5 < found["target_only"]["auc"]["value"] < 1
