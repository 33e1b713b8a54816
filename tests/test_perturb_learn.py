"""Budgets, and what adversarial defences learn, against naive computations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import linalg

from whodrew.defend.perturb_budget import kept_within
from whodrew.defend.perturb_goals import decoy_rows, goals
from whodrew.defend.perturb_learn import KEPT, STRENGTH, Collector, Learnt, discriminants
from whodrew.errors import InputError, UsageError
from whodrew.identify.covariance import shrunk_weight

SHAPE = (7, 5, 3)
pictures = arrays.arrays(np.uint8, SHAPE)
changes = arrays.arrays(np.float32, SHAPE, elements=st.floats(-300, 300, width=32))


@settings(max_examples=60)
@given(pictures, changes, st.floats(1, 64))
def test_no_value_changes_by_more_than_the_budget(picture: Any, change: Any, eps: float) -> None:
    found = kept_within(picture, change, eps, "linf")
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - picture).max() <= eps
    small = np.abs(change) <= np.floor(eps)
    wanted = np.rint(np.clip(picture + change.astype(float), 0, 255) - picture)
    np.testing.assert_array_equal((found.astype(int) - picture)[small], wanted[small])


@settings(max_examples=100)
@given(pictures, changes, st.floats(0.1, 64), st.floats(0.001, 1))
def test_the_root_mean_square_is_within_the_budget(
    picture: Any, change: Any, eps: float, part: float
) -> None:
    found = kept_within(picture, change * np.float32(part), eps, "l2").astype(float) - picture
    assert np.sqrt(np.mean(found**2)) <= eps * (1 + 1e-9)


def test_the_root_mean_square_is_used_up() -> None:
    rng = np.random.default_rng(0)
    grey = np.full((40, 40, 3), 128, np.uint8)
    for eps in (0.5, 1.0, 3.3):
        change = rng.normal(0, 10 * eps, grey.shape).astype(np.float32)
        found = kept_within(grey, change, eps, "l2").astype(float) - grey
        assert 0.95 * eps < np.sqrt(np.mean(found**2)) <= eps


def drawn(
    models: int = 4, prompts: int = 6, dimension: int = 7, seed: int = 0
) -> tuple[Any, Any, Any]:
    """Vectors of an unbalanced arena, one column constant, and their codes."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0, 1, (dimension, dimension))
    offsets, scenes = rng.normal(0, 2, (models, dimension)), rng.normal(0, 5, (prompts, dimension))
    rows = [
        (scenes[p] + offsets[m] + rng.normal(0, 1, dimension) @ mixing, m, p)
        for p in range(prompts)
        for m in range(models)
        for _ in range(1 + (m + p) % 3)
    ]
    vectors, model, prompt = (np.array(one) for one in zip(*rows, strict=True))
    vectors[:, -1] = 1000.0
    return vectors.astype(np.float32), model, prompt


def collected(vectors: Any, model: Any, prompt: Any) -> Learnt:
    collector = Collector(["one"])
    for vector, m, p in zip(vectors, model, prompt, strict=True):
        collector.add([vector], f"m{m}", f"p{p}")
    return collector.learnt()


def test_directions_are_fishers_on_what_prompts_leave() -> None:
    vectors, model, prompt = drawn()
    learnt = collected(vectors, model, prompt)
    (space,) = learnt.spaces
    wide = vectors.astype(float)
    centred = np.stack([x - wide[prompt == p].mean(0) for x, p in zip(wide, prompt, strict=True)])
    shift = np.stack([centred[model == m].mean(0) for m in range(4)])
    within = sum(np.outer(x - shift[m], x - shift[m]) for x, m in zip(centred, model, strict=True))
    freedom = len(wide) - 6 - 4 + 1
    within, live = within[:-1, :-1] / freedom, shift[:, :-1]
    scale = np.sqrt(np.diag(within))
    weight = shrunk_weight(STRENGTH, 7, freedom)
    shrunk = (1 - weight) * within + weight * np.diag(scale**2)
    axes = linalg.eigh(live.T @ live, shrunk)[1]
    expected = axes[:, ::-1][:, :3]
    assert space.weights.shape == (7, 3)
    assert not space.weights[-1].any()
    for k in range(3):
        ours = space.weights[:-1, k]
        # eigenvectors are of unit length in the shrunk covariance, and of either sign
        np.testing.assert_allclose(abs(ours @ shrunk @ expected[:, k]), 1, atol=1e-3)
    between = space.centroids - space.overall
    np.testing.assert_allclose(between, shift @ space.weights, atol=1e-2)
    np.testing.assert_allclose(
        space.prompt_means[2],
        wide[prompt == 2].mean(0) @ space.weights + space.offset,
        atol=1e-2,
    )
    apart = [np.linalg.norm(between[a] - between[b]) for a in range(4) for b in range(a)]
    assert space.apart == pytest.approx(np.mean(apart), rel=1e-4)


def test_order_of_pictures_changes_little() -> None:
    vectors, model, prompt = drawn(seed=1)
    order = np.random.default_rng(0).permutation(len(vectors))
    one = collected(vectors, model, prompt)
    two = collected(vectors[order], model[order], prompt[order])
    rows = [two.models.index(name) for name in one.models]
    first, second = one.spaces[0].centroids, two.spaces[0].centroids[rows]
    for a, b in ((0, 1), (2, 3)):
        assert np.linalg.norm(first[a] - first[b]) == pytest.approx(
            np.linalg.norm(second[a] - second[b]), rel=1e-3
        )


def test_single_pictures_of_prompts_are_not_set_aside() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (20, 3)).astype(np.float32)
    vectors[:10, 0] += 20
    learnt = collected(vectors, np.arange(20) // 10, np.arange(20))
    assert learnt.spaces[0].apart > 5


def test_references_are_bounded_and_of_their_model() -> None:
    rng = np.random.default_rng(0)
    model = np.arange(200) % 2
    vectors = (rng.normal(0, 0.1, (200, 3)) + 10 * model[:, None]).astype(np.float32)
    (space,) = collected(vectors, model, np.arange(200) // 20).spaces
    assert len(space.references) == 2 * KEPT
    for row in (0, 1):
        own = space.references[space.reference_models == row]
        assert len(own) == KEPT
        assert np.abs(own.mean(0) - space.centroids[row]).max() < space.apart / 4


def test_state_is_plain_arrays_and_comes_back() -> None:
    learnt = collected(*drawn())
    state = learnt.state()
    assert all(value.dtype.kind in "UifbO" and value.dtype != object for value in state.values())
    back = Learnt.of_state(state)
    assert (back.encoders, back.models, back.prompts) == (
        learnt.encoders,
        learnt.models,
        learnt.prompts,
    )
    np.testing.assert_array_equal(back.spaces[0].weights, learnt.spaces[0].weights)
    assert back.spaces[0].apart == learnt.spaces[0].apart


@pytest.mark.parametrize("key", ["models", "space0.weights", "space0.apart"])
def test_damaged_states_are_refused(key: str) -> None:
    state = {name: v for name, v in collected(*drawn()).state().items() if name != key}
    with pytest.raises(InputError, match="fit again"):
        Learnt.of_state(state)
    short = {**collected(*drawn()).state(), "models": np.array(["m0"])}
    with pytest.raises(InputError, match="fit again"):
        Learnt.of_state(short)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weights", lambda one: one[0]),
        ("weights", lambda one: one * np.float32(np.nan)),
        ("offset", lambda one: one[:-1]),
        ("centroids", lambda one: one[:, :-1]),
        ("references", lambda one: one[:-1]),
        ("overall", lambda one: one + np.float32(np.inf)),
        ("apart", lambda one: np.array(np.nan)),
        ("unlabelled", lambda one: np.array(["x"])),
    ],
)
def test_states_that_do_not_fit_are_refused(name: str, change: Callable[[Any], Any]) -> None:
    vectors, model, prompt = drawn()
    state = dict(collected(vectors, model, prompt).state())
    key = name if name in state else f"space0.{name}"
    state[key] = change(state[key])
    with pytest.raises(InputError, match="damaged"):
        Learnt.of_state(state)


def test_one_model_is_not_enough() -> None:
    with pytest.raises(UsageError, match="4 pictures of 1 model:"):
        collected(np.eye(4, dtype=np.float32), np.zeros(4, int), np.arange(4))


def test_no_covariance_is_too_thin() -> None:
    found = discriminants(np.zeros((5, 5)), np.ones((2, 5)), 1)
    assert np.isfinite(found).all()


def test_goals_lie_where_they_are_said_to() -> None:
    learnt = collected(*drawn())
    (space,) = learnt.spaces
    (away,) = goals(learnt, "away", model="m1", prompt_id="p2")
    assert away.kind == "from"
    expected = space.prompt_means[2] + space.centroids[1] - space.overall
    np.testing.assert_allclose(away.point, expected)
    (crowd,) = goals(learnt, "crowd", model=None, prompt_id="never seen")
    np.testing.assert_allclose(crowd.point, space.overall)
    (contrast,) = goals(learnt, "contrastive", model="m3", prompt_id=None)
    assert len(contrast.own) + len(contrast.others) == len(space.references)
    assert len(contrast.own) == int((space.reference_models == 3).sum())


def test_decoys_are_drawn_evenly_and_take_no_notice_of_the_model() -> None:
    learnt = collected(*drawn())
    rng = np.random.default_rng(0)
    found = [
        goals(learnt, "decoy", model=None, prompt_id=None, decoys=range(4), rng=rng)[0].point
        for _ in range(400)
    ]
    counts = [
        sum(np.allclose(one, centroid, atol=1e-3) for one in found)
        for centroid in learnt.spaces[0].centroids
    ]
    assert sum(counts) == 400
    assert min(counts) > 70
    assert decoy_rows(learnt, "m2|m0") == [2, 0]
    with pytest.raises(UsageError, match="'nobody' was not among"):
        decoy_rows(learnt, "m2|nobody")


def test_who_drew_it_must_be_known() -> None:
    learnt = collected(*drawn())
    with pytest.raises(UsageError, match="must know which model"):
        goals(learnt, "away", model=None, prompt_id=None)
    with pytest.raises(UsageError, match="has not seen model 'nobody'"):
        goals(learnt, "contrastive", model="nobody", prompt_id=None)
