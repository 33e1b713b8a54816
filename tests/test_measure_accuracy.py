"""Rates of right answers and their calibration against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from whodrew.measure.accuracy import Named, ranks
from whodrew.measure.calibration import BINS, calibration_error
from whodrew.measure.container import size_and_format
from whodrew.measure.intervals import ratio

MODELS, PROMPTS = 6, 9
NAMES = tuple("abcdef")


def asked(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns scores (n, M), true models and prompts."""
    rng = np.random.default_rng(seed)
    model = rng.integers(0, MODELS, count)
    scores = rng.standard_normal((count, MODELS)).astype(np.float32)
    scores[np.arange(count), model] += 1.0
    return scores, model, np.sort(rng.integers(0, PROMPTS, count))


def named(
    answer: np.ndarray, model: np.ndarray, prompt: np.ndarray, family: np.ndarray | None = None
) -> Named:
    """Counts answers in three parts, the last by a state of its own."""
    state, rest = (Named.zero(MODELS, PROMPTS, 0, family) for _ in range(2))
    for part, into in zip(
        np.array_split(np.arange(len(model)), 3), (state, state, rest), strict=True
    ):
        into.update(prompt[part], model[part], answer[part], np.full(len(part), 1 / MODELS))
    state.merge(rest)
    return state


def test_ranks_count_the_models_above() -> None:
    scores, model, _ = asked()
    place = ranks(scores, model)
    by_hand = [1 + sum(s > row[true] for s in row) for row, true in zip(scores, model, strict=True)]
    np.testing.assert_array_equal(place, by_hand)
    for top in (1, 3, 5):
        expected = top_k_accuracy_score(model, scores, k=top, labels=range(MODELS))
        assert (place <= top).mean() == pytest.approx(expected)


@given(st.integers(0, 1000))
def test_the_first_place_is_the_answer_even_where_scores_tie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (30, MODELS)).astype(np.float32)
    scores[rng.random((30, MODELS)) < 0.2] = -np.inf
    scores[:, 0] = np.maximum(scores[:, 0], 0)
    model = rng.integers(0, MODELS, 30)
    place = ranks(scores, model)
    finite = np.isfinite(scores[np.arange(30), model])
    np.testing.assert_array_equal((place == 1)[finite], (scores.argmax(axis=1) == model)[finite])
    assert (place[~finite] == MODELS).all()
    assert place.min() >= 1
    assert place.max() <= MODELS


def test_rates_against_scikit_learn() -> None:
    scores, model, prompt = asked()
    answer = scores.argmax(axis=1)
    found = named(answer, model, prompt)
    assert found.top1().value == pytest.approx((answer == model).mean())
    assert found.top1().chance == pytest.approx(1 / MODELS)
    assert found.balanced().value == pytest.approx(balanced_accuracy_score(model, answer))
    counts = confusion_matrix(model, answer, labels=range(MODELS))
    np.testing.assert_array_equal(found.confusion[:, :MODELS], counts)
    assert not found.confusion[:, MODELS].any()
    right = [(answer == model)[prompt == one].sum() for one in range(PROMPTS)]
    total = np.bincount(prompt, minlength=PROMPTS)
    expected = ratio(np.array(right, float), total.astype(float), seed=0, chance=1 / MODELS)
    assert found.top1().to_dict() == pytest.approx(expected.to_dict())


def test_unknown_is_a_wrong_answer_of_its_own() -> None:
    scores, model, prompt = asked()
    answer = np.where(np.arange(400) % 4 == 0, -1, scores.argmax(axis=1))
    found = named(answer, model, prompt)
    assert found.top1().value == pytest.approx((answer == model).mean())
    np.testing.assert_array_equal(
        found.confusion[:, MODELS], np.bincount(model[answer < 0], minlength=MODELS)
    )
    family = np.array([0, 0, 0, 1, 1, 2])
    expected = np.mean(
        [a >= 0 and family[a] == family[m] for a, m in zip(answer, model, strict=True)]
    )
    found = named(answer, model, prompt, family)
    assert found.family().value == pytest.approx(expected)


@given(st.lists(st.integers(0, 3), min_size=MODELS, max_size=MODELS))
def test_chance_of_a_family_is_what_guessing_models_gets(codes: list[int]) -> None:
    scores, model, prompt = asked(12)
    family = np.array(codes)
    found = named(scores.argmax(axis=1), model, prompt, family).family()
    pairs = [family[a] == family[b] for a in range(MODELS) for b in range(MODELS)]
    assert found.chance == pytest.approx(np.mean(pairs))


def test_each_model_says_what_it_is_taken_for() -> None:
    scores, model, prompt = asked()
    answer = np.where(np.arange(400) % 7 == 0, -1, scores.argmax(axis=1))
    model = np.where(model == 4, 3, model)
    found = named(answer, model, prompt).per_model(NAMES)
    assert [entry["model"] for entry in found] == ["a", "b", "c", "d", "f"]
    for entry in found:
        own = answer[model == NAMES.index(entry["model"])]
        assert entry["n"] == len(own)
        assert entry["top1"]["value"] == pytest.approx((own == NAMES.index(entry["model"])).mean())
        shares = [other["share"] for other in entry["taken_for"]]
        assert shares == sorted(shares, reverse=True)
        for other in entry["taken_for"]:
            code = -1 if other["model"] == "unknown" else NAMES.index(other["model"])
            assert other["share"] == pytest.approx((own == code).mean())
            assert other["model"] != entry["model"]


def test_calibration_error_is_the_mean_gap_of_fifteen_equal_bins() -> None:
    scores, model, prompt = asked(605)
    likely = np.log(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))
    sure, answer = np.exp(likely.max(axis=1)), likely.argmax(axis=1)
    order = np.argsort(sure)
    gaps = []
    for index in range(BINS):
        rows = [row for at, row in enumerate(order) if at * BINS // 605 == index]
        assert len(rows) in (40, 41)
        right = (answer == model)[rows].mean()
        gaps.append(len(rows) / 605 * abs(sure[rows].mean() - right))
    found = calibration_error(likely, model, prompt, PROMPTS, 0)
    assert found.value == pytest.approx(sum(gaps), rel=1e-5)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= sum(gaps) <= found.high


def test_what_is_perfectly_calibrated_has_hardly_any_error() -> None:
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(MODELS), 60_000)
    model = (share.cumsum(axis=1) > rng.random((60_000, 1))).argmax(axis=1)
    prompt = np.arange(60_000) % PROMPTS
    likely = np.log(share).astype(np.float32)
    error = calibration_error(likely, model, prompt, PROMPTS, 0).value
    sharp = calibration_error(likely * 3, model, prompt, PROMPTS, 0).value
    assert error is not None
    assert sharp is not None
    assert error < 0.01 < sharp


def test_a_few_answers_have_as_many_bins() -> None:
    likely = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], dtype=np.float32))
    found = calibration_error(likely, np.array([0, 1, 1]), np.array([0, 1, 2]), 3, 0)
    assert found.value == pytest.approx((0.1 + 0.6 + 0.2) / 3, abs=1e-6)
    none = np.empty(0, np.int64)
    assert calibration_error(np.empty((0, 2), np.float32), none, none, 3, 0).value is None


# ----------------------------------------------------------------- container


def containers(seed: int = 0) -> tuple[list[str], list[tuple[int, int]], list[str], list[str]]:
    rng = np.random.default_rng(seed)
    formats, sizes, models, prompts = [], [], [], []
    for prompt in range(8):
        for model in NAMES[:4]:
            formats.append("png" if model == "a" or rng.random() < 0.2 else "jpeg")
            sizes.append((512, 512) if model in "ab" else (1024, 512))
            models.append(model)
            prompts.append(f"p{prompt}")
    return formats, sizes, models, prompts


def test_the_container_names_models_as_a_table_of_frequencies_does() -> None:
    formats, sizes, models, prompts = containers()
    found = size_and_format(formats, sizes, models, prompts, 0)
    assert found is not None
    assert found.differs
    assert found.fields == ("format", "size")
    kinds = list(zip(formats, sizes, strict=True))
    right = 0.0
    for row, kind in enumerate(kinds):
        likely = {}
        for model in "abcd":
            others = [
                kinds[other]
                for other in range(len(kinds))
                if models[other] == model and prompts[other] != prompts[row]
            ]
            likely[model] = (others.count(kind) + 0.5) / (len(others) + 0.5 * len(set(kinds)))
        best = [model for model, value in likely.items() if value > max(likely.values()) - 1e-9]
        right += (models[row] in best) / len(best)
    assert found.top1.value == pytest.approx(right / len(kinds))
    assert found.top1.chance == 0.25


def test_equal_containers_name_nobody() -> None:
    _, _, models, prompts = containers()
    found = size_and_format(["png"] * 32, [(64, 64)] * 32, models, prompts, 0)
    assert found is not None
    assert not found.differs
    assert found.fields == ()
    assert found.top1.value == pytest.approx(0.25)


def test_no_container_no_figure() -> None:
    _, _, models, prompts = containers()
    assert size_and_format([None] * 32, [(None, None)] * 32, models, prompts, 0) is None
    assert size_and_format(["png"] * 32, [(1, 1)] * 32, ["a"] * 32, prompts, 0) is None
    assert size_and_format(["png"] * 32, [(1, 1)] * 32, [None] * 32, prompts, 0) is None
