"""What a field tells: against scikit-learn, naive loops, closed forms, and at chance."""

from __future__ import annotations

import itertools
from math import log, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from whodrew.leaks.classify import accuracy_of
from whodrew.leaks.columns import Recorder, byte_sizes, duplicates
from whodrew.leaks.information import (
    Column,
    Finding,
    corrected,
    findings,
    orders,
    significant,
)
from whodrew.leaks.spread import information_interval

Codes = np.ndarray


def column(value: Codes, name: str = "format", **more: object) -> Column:
    value = np.asarray(value, np.int64)
    return Column(name, value, tuple(f"v{i}" for i in range(int(value.max()) + 1)), **more)  # type: ignore[arg-type]


def grid(prompts: int, models: int, generations: int = 1) -> tuple[Codes, Codes]:
    """(model, prompt) of a full arena."""
    prompt = np.repeat(np.arange(prompts), models * generations)
    return np.tile(np.repeat(np.arange(models), generations), prompts), prompt


def noise(images: int, values: int = 4, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).integers(0, values, images)


# ---------------------------------------------------------------- the information
@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 5))
@settings(max_examples=30)
def test_plug_in_information_is_scikit_learns(seed: int, values: int, models: int) -> None:
    model, prompt = grid(4, models, 3)
    value = noise(len(model), values, seed)
    for one in findings([column(value)], model, prompt, seed=0, permutations=99):
        wanted = mutual_info_score(model, value) / log(2)
        assert one.plain == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_correction_is_the_adjusted_information_of_scikit_learn(seed: int) -> None:
    model = np.repeat([0, 1], 30)
    value = noise(60, 5, seed)
    value[model == 1] //= 2
    table = contingency_matrix(model, value)
    # scikit-learn has it in closed form where whole images are permuted
    expected = expected_mutual_information(table, 60) / log(2)
    plain = mutual_info_score(model, value) / log(2)
    most = min(entropy(table.sum(axis=axis), base=2) for axis in (0, 1))
    wanted = adjusted_mutual_info_score(model, value, average_method="min") * most
    assert corrected(plain, expected, most) == pytest.approx(max(wanted, 0.0), abs=1e-9)


def test_a_field_that_names_every_model_has_all_the_bits() -> None:
    model, prompt = grid(22, 24)
    (one,) = findings([column(model)], model, prompt, seed=0)
    assert one.bits == pytest.approx(log2(24))
    assert one.p_value == pytest.approx(1 / 5000)
    rate = information_interval(column(model), one, model, prompt, seed=0)
    assert rate.low == pytest.approx(log2(24))
    assert rate.high == pytest.approx(log2(24))


def test_one_model_of_ten_told_apart_is_the_entropy_of_that() -> None:
    model, prompt = grid(16, 10, 4)
    value = (model == 3).astype(int)
    (one,) = findings([column(value)], model, prompt, seed=0)
    assert one.bits == pytest.approx(-0.1 * log2(0.1) - 0.9 * log2(0.9))


def test_a_field_within_a_format_adds_to_the_format_only_what_it_tells_there() -> None:
    model, prompt = grid(12, 4, 2)
    image_format = (model >= 2).astype(np.int64)  # two models each
    same = np.where(image_format == 0, 0, -1)
    differs = np.where(image_format == 0, model, -1)
    both = np.where(image_format == 0, 0, 1)  # another value, but only for another format
    found = {
        one.name: one
        for one in findings(
            [
                column(image_format),
                column(same, "jpeg_tables", stratum=image_format),
                column(differs, "jpeg_coding", stratum=image_format),
                column(both, "encoder_marks", stratum=image_format),
            ],
            model,
            prompt,
            seed=0,
        )
    }
    assert set(found) == {"format", "jpeg_coding"}
    assert found["format"].bits == pytest.approx(1.0)
    assert found["jpeg_coding"].bits == pytest.approx(0.5)  # 1 bit for half of the images


def test_values_tied_to_prompts_are_no_information_on_models() -> None:
    model, prompt = grid(20, 6, 3)
    (one,) = findings([column(prompt)], model, prompt, seed=0)
    assert one.bits == pytest.approx(0.0, abs=1e-9)
    assert one.p_value == 1.0


def test_cells_are_what_is_permuted() -> None:
    # Each cell has one value, at random: 8 generations are no 8 proofs.
    model, prompt = grid(8, 5, 8)
    rejected = 0
    for seed in range(40):
        value = np.repeat(noise(40, 3, seed), 8)
        (one,) = findings([column(value)], model, prompt, seed=0, permutations=199)
        rejected += one.p_value <= 0.05
    assert rejected <= 7  # 2 expected; images permuted singly reject nearly all


@pytest.mark.parametrize(("prompts", "models"), [(16, 2), (6, 3), (10, 4)])
def test_values_that_a_cell_shares_prove_nothing_in_small_arenas(prompts: int, models: int) -> None:
    model, prompt = grid(prompts, models, 4)
    rejected = 0
    for seed in range(40):
        value = np.repeat(noise(prompts * models, 3, seed), 4)
        (one,) = findings([column(value)], model, prompt, seed=0, permutations=499)
        rejected += one.p_value <= 0.05
    assert rejected <= 7  # 2 expected; images permuted singly reject most of them


@pytest.mark.parametrize(("prompts", "models", "generations"), [(20, 5, 1), (20, 5, 4), (5, 3, 6)])
def test_p_values_of_noise_are_uniform(prompts: int, models: int, generations: int) -> None:
    model, prompt = grid(prompts, models, generations)
    columns = [column(noise(len(model), 4, seed), f"x{seed}") for seed in range(200)]
    found = findings(columns, model, prompt, seed=1, permutations=199)
    p_values = np.array([one.p_value for one in found])
    assert 0.4 < p_values.mean() < 0.6
    assert (p_values <= 0.05).mean() < 0.11
    assert np.mean([one.plain - one.expected for one in found]) == pytest.approx(0, abs=0.01)


def test_p_value_is_that_of_all_orders() -> None:
    # 2 models x 3 prompts x 2: cells are permuted, 2^3 ways, which can all be tried.
    model, prompt = grid(3, 2, 2)
    value = np.array([0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1])
    actual = mutual_info_score(model, value)
    ways = [[(0, 0, 1, 1), (1, 1, 0, 0)]] * 3
    reached = [
        mutual_info_score(np.concatenate(way), value) >= actual - 1e-9
        for way in itertools.product(*ways)
    ]
    (one,) = findings([column(value)], model, prompt, seed=0)
    assert one.p_value == pytest.approx(np.mean(reached), abs=0.06)


def test_orders_counts_labellings() -> None:
    model, prompt = grid(3, 2, 2)
    assert 10 ** orders(prompt, model) == pytest.approx(6**3)


def test_large_arenas_are_tested_on_whole_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompt = grid(40, 5, 1)
    columns = [column(model // 2), column(noise(200), "size")]
    whole = findings(columns, model, prompt, seed=0)
    monkeypatch.setattr("whodrew.leaks.information.MOST_UNITS", 60)
    part = findings(columns, model, prompt, seed=0)
    assert part[0].plain == whole[0].plain
    assert part[0].bits == pytest.approx(whole[0].bits)
    assert part[0].p_value < 0.001
    assert part[1].p_value > 0.01
    assert part[1].expected == pytest.approx(whole[1].expected, abs=0.01)


def test_seeded() -> None:
    model, prompt = grid(10, 4, 2)
    columns = [column(noise(80), "size")]
    assert findings(columns, model, prompt, seed=5) == findings(columns, model, prompt, seed=5)
    assert findings(columns, model, prompt, seed=5) != findings(columns, model, prompt, seed=6)


def finding(p_value: float, bits: float = 1.0) -> Finding:
    return Finding(f"p{p_value}", bits, p_value, bits, 0.0, 2.0)


@given(st.lists(st.floats(1e-5, 1), min_size=1, max_size=12, unique=True))
def test_holm_is_the_textbooks(p_values: list[float]) -> None:
    kept = {one.p_value for one in significant([finding(p) for p in p_values])}
    ordered = sorted(p_values)
    adjusted = np.maximum.accumulate([p * (len(ordered) - i) for i, p in enumerate(ordered)])
    assert kept == {p for p, a in zip(ordered, adjusted, strict=True) if a <= 0.01}


def test_the_most_telling_comes_first() -> None:
    kept = significant([finding(0.0002, 0.1), finding(0.0003, 0.9), finding(0.5, 2.0)])
    assert [one.bits for one in kept] == [0.9, 0.1]


def test_the_interval_covers_what_larger_arenas_show() -> None:
    # A field that is right 70 % of the time, of 4 models; the truth from a million images.
    def draw(prompts: int, seed: int) -> tuple[Codes, Codes, Codes]:
        rng = np.random.default_rng(seed)
        model, prompt = grid(prompts, 4, 2)
        value = np.where(rng.random(len(model)) < 0.7, model, rng.integers(0, 4, len(model)))
        return model, prompt, value

    model, _, value = draw(100_000, 1)
    truth = mutual_info_score(model, value) / log(2)
    covered = 0
    for seed in range(40):
        model, prompt, value = draw(40, 100 + seed)
        (one,) = findings([column(value)], model, prompt, seed=0, permutations=199)
        rate = information_interval(column(value), one, model, prompt, seed=0)
        assert rate.low is not None
        assert rate.high is not None
        covered += rate.low <= truth <= rate.high
    assert covered >= 34


# ---------------------------------------------------------------- columns
def test_values_of_one_prompt_alone_become_one() -> None:
    model, prompt = grid(5, 3, 2)
    recorder = Recorder(30)
    for row in range(30):
        made = "A" if model[row] == 0 else "B"
        recorder.add(
            row,
            {
                "format": "PNG",
                "exif": (("DateTime", f"2026:01:01 {row}"), ("Software", made)),
                "icc_profile": (("digest", f"{row}"),),
                "size": f"{prompt[row]}x1",
            },
        )
    columns = {one.name: one for one in recorder.columns(np.arange(30), prompt)}
    assert set(columns["exif"].texts) == {"DateTime: …; Software: A", "DateTime: …; Software: B"}
    assert columns["icc_profile"].texts == ("digest: …",)
    assert columns["size"].texts == ("…",)
    found = findings(list(columns.values()), model, prompt, seed=0)
    assert [one.name for one in found] == ["exif"]
    assert found[0].bits == pytest.approx(-1 / 3 * log2(1 / 3) - 2 / 3 * log2(2 / 3))


def test_unique_values_of_one_prompt_are_one_too() -> None:
    recorder = Recorder(6)
    for row in range(6):
        recorder.add(row, {"format": "PNG", "comment": (("comment", f"{row}"),)})
    columns = {one.name: one for one in recorder.columns(np.arange(6), np.zeros(6, np.int64))}
    assert columns["comment"].texts == ("comment: …",)
    assert columns["format"].texts == ("PNG",)


def test_a_value_that_few_images_have_is_kept_where_two_prompts_show_it() -> None:
    recorder = Recorder(6)
    prompt = np.arange(6)
    for row in range(6):
        recorder.add(row, {"size": "9x9" if row in (0, 5) else f"{row}x1"})
    (one,) = recorder.columns(np.arange(6), prompt)
    assert set(one.texts) == {"9x9", "…"}


def test_duplicates_know_where_the_other_is() -> None:
    digest = np.array([1, 1, 2, 3, 3, 4])
    prompt = np.array([0, 0, 0, 0, 1, 1])
    one = duplicates(digest, prompt)
    assert one.value.tolist() == [1, 1, 0, 2, 2, 0]


def test_byte_sizes_come_in_bins_of_equal_counts() -> None:
    sizes = np.random.default_rng(0).permutation(800) + 1000
    one = byte_sizes(sizes, 10)
    assert np.bincount(one.value).tolist() == [100] * 8
    assert len(one.texts) == 8
    assert len(byte_sizes(np.full(20, 7), 2).texts) <= 2


# ---------------------------------------------------------------- the classifier
def naive(values: list[Codes], model: Codes, prompt: Codes) -> float:
    """The same rule in loops, leaving out one prompt at a time."""
    models = range(int(model.max()) + 1)
    right = 0.0
    for row in range(len(model)):
        known = [i for i in range(len(model)) if prompt[i] != prompt[row]]
        scores = []
        for m in models:
            mine = [i for i in known if model[i] == m]
            product = 1.0
            for value in values:
                kinds = {int(value[i]) for i in known}
                if int(value[row]) in kinds:
                    same = sum(value[i] == value[row] for i in mine)
                    product *= (same + 0.5) / (len(mine) + 0.5 * len(kinds))
            joint = sum(all(v[i] == v[row] for v in values) for i in mine)
            scores.append((joint + product) / (len(mine) + 1))
        best = [m for m in models if np.isclose(scores[m], max(scores), rtol=1e-9)]
        right += (model[row] in best) / len(best)
    return right / len(model)


@pytest.mark.parametrize("seed", range(5))
def test_the_classifier_is_its_rule_in_loops(seed: int) -> None:
    model, prompt = grid(8, 3, 2)
    rng = np.random.default_rng(seed)
    values = [
        np.where(rng.random(48) < 0.6, model, rng.integers(0, 3, 48)),
        rng.integers(0, 4, 48),
        (model == 1) * rng.integers(0, 2, 48),
    ]
    columns = [column(value, f"x{i}") for i, value in enumerate(values)]
    found = accuracy_of(columns, model, prompt, seed=0)
    assert found.value == pytest.approx(naive(values, model, prompt))
    assert found.chance == pytest.approx(1 / 3)


def test_equal_containers_are_exactly_chance() -> None:
    model, prompt = grid(22, 24)
    found = accuracy_of([column(np.zeros(528, int)), column(prompt)], model, prompt, seed=0)
    assert found.value == pytest.approx(1 / 24)
    assert found.low == pytest.approx(1 / 24)


def test_noise_is_at_chance() -> None:
    model, prompt = grid(40, 5, 3)
    values = []
    for seed in range(20):
        columns = [column(noise(600, 3 + i, 100 * seed + i), f"x{i}") for i in range(6)]
        rate = accuracy_of(columns, model, prompt, seed=seed)
        assert rate.value is not None
        values.append(rate.value)
    assert np.mean(values) == pytest.approx(0.2, abs=0.01)


def test_permuted_models_are_at_chance() -> None:
    model, prompt = grid(40, 5, 3)
    columns = [column(model % 2), column(model // 2, "size")]
    assert accuracy_of(columns, model, prompt, seed=0).value == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(20):
        shuffled = model.reshape(40, 15).copy()
        shuffled = rng.permuted(shuffled, axis=1).ravel()
        values.append(accuracy_of(columns, shuffled, prompt, seed=0).value)
    assert np.mean([one for one in values if one is not None]) == pytest.approx(0.2, abs=0.015)


def test_models_with_few_images_are_not_favoured() -> None:
    rng = np.random.default_rng(3)
    model = rng.choice(4, 2000, p=[0.7, 0.2, 0.07, 0.03])
    prompt = rng.integers(0, 50, 2000)
    columns = [column(rng.integers(0, 5, 2000)), column(np.arange(2000) % 997, "size")]
    rate = accuracy_of(columns, model, prompt, seed=0)
    assert rate.value is not None
    assert rate.value < 0.35  # guessing among four


def test_fields_that_only_together_tell_are_used_together() -> None:
    model, prompt = grid(30, 4, 4)
    first = noise(480, 2)
    second = first ^ (model % 2)  # each alone is a coin
    rate = accuracy_of([column(first), column(second, "size")], model, prompt, seed=0)
    assert rate.low is not None
    assert rate.low > 0.3  # one of two, less what counts near each other cost; a coin has 0.25


def test_one_prompt_has_no_accuracy_and_says_why() -> None:
    model, prompt = grid(1, 3, 4)
    rate = accuracy_of([column(model)], model, prompt, seed=0)
    assert rate.value is None
    assert rate.reason is not None
    assert "prompt" in rate.reason
