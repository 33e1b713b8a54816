"""Choosing prompts: the power of sets, the search, and what predicts the leak."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from test_ranking_rank import drawn, make
from whodrew.audit.policy_choose import (
    WEIGHTS,
    Point,
    best_of,
    choose,
    frontier,
    random_sets,
)
from whodrew.audit.policy_power import (
    DiversityPower,
    Power,
    VotePower,
    by_images,
    by_texts,
    by_votes,
)
from whodrew.audit.policy_predict import columns_of, predictors_of
from whodrew.errors import InputError
from whodrew.ranking import Votes, rank


def voted(seed: int, prompts: int = 8, battles: int = 1200, models: int = 5) -> Votes:
    rng = np.random.default_rng([seed, 2])
    votes = drawn(seed, models, battles)
    prompt = rng.choice(prompts, size=battles, p=rng.dirichlet(np.full(prompts, 2.0)))
    names = tuple(f"p{code}" for code in range(prompts))
    return make(
        votes.first,
        votes.second,
        votes.outcome,
        models,
        prompt=prompt.astype(np.int32),
        prompts=names,
    )


def vote_power(seed: int) -> Power:
    return by_votes(voted(seed), [f"p{code}" for code in range(8)], {})[0]


def image_power(seed: int) -> Power:
    return by_images(np.random.default_rng(seed).normal(size=(8, 5)))


POWERS = [vote_power, image_power]


# ---------------------------------------------------------------- power
@pytest.mark.parametrize("make_power", POWERS)
def test_additions_are_the_values_of_larger_sets(make_power: Callable[[int], Power]) -> None:
    power = make_power(0)
    for chosen in ([], [3], [1, 4, 6]):
        found = power.additions(chosen)
        for code in range(8):
            if code not in chosen:
                assert found[code] == pytest.approx(power.value([*chosen, code]))
    # more prompts never have less power, and none has any to speak of
    values = [power.value(list(range(number))) for number in range(9)]
    assert (np.diff(values) >= -1e-12).all()
    assert 0 <= values[0] < 0.03
    assert values[-1] <= 1


def test_the_information_of_votes_against_a_naive_sum() -> None:
    votes = voted(1)
    power, others = by_votes(votes, [f"p{code}" for code in range(7)], {})  # p7 is not there
    assert votes.prompt is not None
    assert others == int((votes.prompt == 7).sum())
    assert power.votes.sum() == len(votes) - others
    scores = rank(votes, bootstraps=0).scores()
    place = {name: at for at, name in enumerate(scores)}
    wanted = np.zeros((7, 5, 5))
    for a, b, prompt in zip(votes.first, votes.second, votes.prompt, strict=True):
        if prompt == 7:
            continue
        x = np.zeros(5)
        x[place[votes.models[a]]] = 1
        x[place[votes.models[b]]] = -1
        slope = power.slopes[prompt]
        p = 1 / (1 + np.exp(-slope * (np.array(list(scores.values())) @ x)))
        wanted[prompt] += slope**2 * p * (1 - p) * np.outer(x, x)
    np.testing.assert_allclose(power.information, wanted, atol=1e-9)
    inverse = np.linalg.pinv(wanted[[0, 2, 5]].sum(axis=0))
    told = []
    for upper, gap in enumerate(-np.diff(list(scores.values()))):
        c = np.zeros(5)
        c[upper], c[upper + 1] = 1, -1
        told.append(norm.cdf(gap / np.sqrt(c @ inverse @ c) - 1.959964))
    assert power.value([0, 2, 5]) == pytest.approx(np.mean(told), abs=1e-4)


def test_a_prompt_of_coin_flips_tells_little() -> None:
    rng = np.random.default_rng(0)
    votes = voted(2, battles=6000)
    assert votes.prompt is not None
    outcome = votes.outcome.copy()
    flipped = votes.prompt == 3
    outcome[flipped] = rng.integers(2, size=int(flipped.sum()))
    spoilt = make(votes.first, votes.second, outcome, 5, prompt=votes.prompt, prompts=votes.prompts)
    power, _ = by_votes(spoilt, votes.prompts, {})
    assert isinstance(power, VotePower)
    assert power.slopes.argmin() == 3
    assert power.slopes[3] < 0.4
    assert np.delete(power.slopes, 3).min() > 0.6


def test_votes_are_joined_by_id_or_by_text() -> None:
    votes = voted(3)
    texts = {f"id-{code}": f"p{code}" for code in range(8)}
    by_text, others = by_votes(votes, list(texts), texts)
    assert others == 0
    by_id, _ = by_votes(votes, votes.prompts, {})
    np.testing.assert_array_equal(by_text.information, by_id.information)
    with pytest.raises(InputError, match=r"no vote of .* is of a prompt of the arena"):
        by_votes(votes, ["other", "names"], {})
    with pytest.raises(InputError, match="names no prompts"):
        by_votes(drawn(0, 4, 100), ["p0"], {})


def test_texts_alike_stand_for_each_other() -> None:
    texts = ["a red fox in snow", "a red fox in the snow", "portrait of a queen", "???", "!!!"]
    power = by_texts(texts)
    assert power.likeness[0, 1] > 0.7
    assert power.likeness[0, 2] < 0.2
    assert (np.diag(power.likeness) == 1).all()
    assert choose(power, np.zeros(5), 2, 0.0).chosen != (0, 1)
    assert by_texts([".", ";"]).value([0]) == 0.5


# ---------------------------------------------------------------- the search
@pytest.mark.parametrize("make_power", POWERS)
@pytest.mark.parametrize("weight", [0.0, 0.5, 4.0])
def test_the_search_is_near_the_best_of_all_sets(
    make_power: Callable[[int], Power], weight: float
) -> None:
    short = 0
    for seed in range(6):
        power, leak = make_power(seed), np.random.default_rng([seed, 3]).random(8)
        scaled = (leak - leak.min()) / np.ptp(leak)
        whole = power.value(range(8))

        def worth(some: tuple[int, ...]) -> float:
            return float(power.value(some) / whole - weight * scaled[list(some)].mean())  # noqa: B023

        best = max(worth(some) for some in itertools.combinations(range(8), 3))
        found = choose(power, leak, 3, weight)
        assert len(set(found.chosen)) == 3
        assert found.leak == pytest.approx(leak[list(found.chosen)].mean())
        assert found.power == pytest.approx(power.value(found.chosen))
        assert worth(found.chosen) > best - 0.05
        short += worth(found.chosen) < best - 1e-9
    assert short <= 2


def test_the_frontier_trades_leak_for_power() -> None:
    rng = np.random.default_rng(0)
    leak = rng.random(30)
    power = by_images(rng.normal(size=(30, 4)))
    points = frontier(power, leak, [5, 10])
    for size in (5, 10):
        some = sorted((one for one in points if len(one.chosen) == size), key=lambda p: p.weight)
        assert 2 <= len(some) <= len(WEIGHTS)
        assert some[0].power == max(one.power for one in some)
        assert some[-1].leak == min(one.leak for one in some)
        chance = random_sets(power, leak, size, 0)
        assert some[0].power > chance["power"]["high"]
        assert some[-1].leak < chance["leak"]["low"]
        for one in some:
            beaten = any(
                other.leak < one.leak - 1e-12 and other.power >= one.power for other in some
            )
            assert not (one.efficient and beaten)
    assert random_sets(power, leak, 5, 0) == random_sets(power, leak, 5, 0)
    assert random_sets(power, leak, 5, 0) != random_sets(power, leak, 5, 1)


def test_the_least_leak_that_keeps_the_power() -> None:
    points = [
        Point(0.0, (0,), 0.9, 0.80),
        Point(0.5, (1,), 0.5, 0.77),
        Point(1.0, (2,), 0.2, 0.60),
    ]
    assert best_of(points, 0.95).chosen == (1,)
    assert best_of(points, 1.0).chosen == (0,)
    assert best_of(points, 0.0).chosen == (2,)


def test_all_prompts_and_equal_leaks() -> None:
    power = DiversityPower(np.eye(4), "nothing in common")
    assert choose(power, np.ones(4), 4, 8.0).chosen == (0, 1, 2, 3)
    assert choose(power, np.ones(4), 2, 8.0).power == 0.5


# ---------------------------------------------------------------- what predicts it
def test_correlations_are_spearmans() -> None:
    rng = np.random.default_rng(0)
    leak = rng.random(40)
    numbers = {
        "alike": leak + rng.normal(0, 0.1, 40),
        "noise": rng.integers(3, size=40).astype(float),
        "gaps": np.where(np.arange(40) < 10, np.nan, -leak),
        "flat": np.ones(40),
        "few": np.r_[leak[:3], np.full(37, np.nan)],
    }
    found = {one.name: one for one in predictors_of(leak, numbers, {}, 0)}
    for name in ("alike", "noise"):
        one = found[name]
        theirs = spearmanr(numbers[name], leak)
        assert one.value == pytest.approx(theirs.statistic)
        assert one.low is not None
        assert one.high is not None
        assert one.p_value is not None
        assert one.low < one.value < one.high  # type: ignore[operator]
        assert one.p_value == pytest.approx(theirs.pvalue, abs=0.02)
    assert (found["gaps"].value, found["gaps"].prompts) == (pytest.approx(-1), 30)
    assert found["flat"].reason == "it is the same for all prompts"
    assert "too few" in (found["few"].reason or "")
    # Holm: three were tested
    p = sorted(one.p_value for one in found.values() if one.p_value is not None)
    wanted = [min(1, p[0] * 3), min(1, max(p[0] * 3, p[1] * 2)), max(p[1] * 2, p[2])]
    held = sorted(one.p_holm for one in found.values() if one.p_holm is not None)
    assert held == pytest.approx([min(1, one) for one in wanted])


def test_categories_that_differ_are_found() -> None:
    rng = np.random.default_rng(0)
    label = ["people", "places", "text"] * 12
    leak = rng.random(36) + np.array([0.8, 0.0, 0.0] * 12)
    other = rng.permutation(label).tolist()
    found = {one.name: one for one in predictors_of(leak, {}, {"kind": label, "noise": other}, 0)}
    kind = found["kind"]
    assert kind.p_holm is not None
    assert kind.p_holm < 0.01
    means = [leak[at::3].mean() for at in range(3)]
    between = 12 * ((np.array(means) - leak.mean()) ** 2).sum()
    assert kind.value == pytest.approx(between / ((leak - leak.mean()) ** 2).sum())
    people = next(one for one in kind.groups if one["category"] == "people")
    rest = np.delete(leak.reshape(12, 3), 0, axis=1).mean()
    assert people["difference"] == pytest.approx(means[0] - rest)
    assert 0 < people["low"] < people["difference"] < people["high"]
    assert (found["noise"].p_value or 0) > 0.05


def test_p_values_of_noise_are_uniform() -> None:
    p = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        leak, label = rng.random(20), rng.integers(3, size=20).astype(str).tolist()
        found = predictors_of(leak, {"x": rng.random(20)}, {"y": label}, seed)
        p += [one.p_value for one in found if one.p_value is not None]
    assert 0.35 < np.mean(p) < 0.65
    assert np.mean(np.array(p) < 0.1) < 0.2


def test_columns_are_numbers_or_categories() -> None:
    names = [f"p{at}" for at in range(6)]
    texts = {name: "word " * (at + 1) for at, name in enumerate(names[:5])}
    attributes = {
        name: {"year": str(2000 + at), "kind": "ab"[at % 2], "note": f"n{at}"}
        for at, name in enumerate(names)
    }
    numbers, categories, notes = columns_of(names, texts, attributes)
    assert set(numbers) == {"words", "characters", "year"}
    assert numbers["words"][:5].tolist() == [1, 2, 3, 4, 5]
    assert np.isnan(numbers["words"][5])
    assert categories == {"kind": ["a", "b"] * 3}
    assert notes == ["column 'note' of the prompts is neither a number nor a category"]
    assert columns_of(names, {}, {}) == ({}, {}, [])
