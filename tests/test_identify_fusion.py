"""Fusion: weights learned on held-out references, never worse than the best member there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from whodrew.identify.attack import Attack, attack, score
from whodrew.identify.curves import restricted
from whodrew.identify.fusion import (
    best_weights,
    fuse,
    held_out_loss,
    loss,
    shared,
    strongest,
    weighed,
)
from whodrew.identify.knowledge import Knowledge
from whodrew.identify.nearest import NearestCentroid
from whodrew.identify.open_set import open_set
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Samples
from whodrew.identify.whitened import WhitenedCentroid

MODELS, PROMPTS, EACH = 5, 20, 3


def seen_by(encoder: int, strength: float, dimension: int = 12) -> Samples:
    """The same images as one encoder sees them: its own noise, its own view of the models."""
    rng = np.random.default_rng(encoder)
    effect = rng.standard_normal((MODELS, dimension)) * strength
    base = rng.standard_normal((PROMPTS, dimension))
    count = MODELS * PROMPTS * EACH
    model, prompt, seed = np.unravel_index(np.arange(count), (MODELS, PROMPTS, EACH))
    vectors = base[prompt] + effect[model] + rng.standard_normal((count, dimension))
    return Samples.build(
        vectors,
        models=[f"m{code}" for code in model],
        prompts=[f"p{code:02d}" for code in prompt],
        scale="standardise",
        seed=[str(code) for code in seed],
        image_id=[f"{row:032x}" for row in range(count)],
    )


def member(encoder: int, strength: float, prompts: str = "other") -> Attack:
    knowledge = Knowledge(prompts=prompts)  # type: ignore[arg-type]
    return attack(
        Problem.build(seen_by(encoder, strength), knowledge=knowledge), WhitenedCentroid()
    )


def top1(found: object) -> float:
    answers = found.answers  # type: ignore[attr-defined]
    return float((answers.scores.argmax(axis=1) == answers.model).mean())


@pytest.mark.parametrize("prompts", ["other", "matched"])
def test_two_encoders_that_see_different_things_do_better_together(prompts: str) -> None:
    members = [member(1, 0.5, prompts), member(2, 0.5, prompts)]
    fused = fuse(members)
    assert top1(fused) > max(map(top1, members)) + 0.05
    assert held_out_loss(fused) < min(map(held_out_loss, members))
    assert fused.answers.tuned
    np.testing.assert_array_equal(fused.answers.rows, members[0].answers.rows)


def test_an_encoder_that_sees_nothing_does_no_harm() -> None:
    good, blind = member(1, 0.7), member(2, 0.0)
    fused = fuse([good, blind])
    assert top1(fused) > top1(good) - 0.02
    assert strongest([blind, good]) is good


def test_weights_are_the_optimum_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    model = rng.integers(0, 4, 300)
    scores = [rng.standard_normal((300, 4)) for _ in range(3)]
    for index, one in enumerate(scores):
        one[np.arange(300), model] += index
    found = best_weights([one.astype(np.float32) for one in scores], model)

    def by_hand(weights: np.ndarray) -> float:
        total = np.einsum("e,enm->nm", weights, np.stack(scores))
        return float(-log_softmax(total, axis=1)[np.arange(300), model].mean())

    best = minimize(by_hand, np.ones(3), method="Nelder-Mead", options={"xatol": 1e-6})
    assert (found >= 0).all()
    np.testing.assert_allclose(found, np.maximum(best.x, 0), atol=2e-2)
    assert by_hand(found) == pytest.approx(best.fun, abs=1e-5)
    value, slope = loss(scores, model, found)
    assert value == pytest.approx(by_hand(found))
    step = np.array([1e-6, 0, 0])
    assert slope[0] == pytest.approx(
        (by_hand(found + step) - by_hand(found - step)) / 2e-6, abs=1e-4
    )


def test_every_fold_is_weighed_by_references_of_other_folds_alone() -> None:
    members = [member(1, 0.5), member(2, 0.5)]
    fused = fuse(members)
    fold = 2
    problem = members[0].problem
    rows, parts = shared([one.practice() for one in members])
    seen = rows.other == fold
    assert seen.any()
    assert (problem.folds[problem.references.prompt[rows.rows[seen]]] != fold).all()
    expected = best_weights([part[seen] for part in parts], rows.model[seen])
    np.testing.assert_allclose(fused.weights[fold], expected)
    prompt = int(np.flatnonzero(problem.folds == fold)[0])
    single = [one.answer(prompt) for one in members]
    together = fused.answer(prompt)
    np.testing.assert_allclose(
        together.scores,
        sum(w * one.scaled for w, one in zip(expected, single, strict=True)),
        rtol=1e-4,
    )


def test_no_candidate_stays_none() -> None:
    a = np.array([[0.0, -np.inf, 1.0]], dtype=np.float32)
    b = np.array([[2.0, 1.0, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(weighed([a, b], np.array([0.0, 1.0])), [[2.0, -np.inf, 1.0]])


def test_open_set_and_restriction_reach_every_member() -> None:
    fused = fuse([member(1, 0.8), member(2, 0.8)])
    rounds = open_set(fused, 2, 0.1)
    assert len(rounds.prompt) == 3 * MODELS * PROMPTS * EACH - (MODELS % 2 == 0)
    few = fused.changed(restricted(lambda samples: np.isin(samples.model, [0, 3])))
    able = np.isfinite(score(few).scores).any(axis=0)
    np.testing.assert_array_equal(np.flatnonzero(able), [0, 3])


def test_members_that_rehearsed_different_references_share_some() -> None:
    one, two = member(1, 0.5), member(2, 0.5)
    found = two.rehearsed
    assert found is not None
    keep = np.random.default_rng(0).permutation(len(found.rows))[: len(found.rows) // 2]
    fewer = replace(
        found,
        rows=found.rows[keep],
        model=found.model[keep],
        fold=found.fold[keep],
        other=found.other[keep],
        scores=found.scores[:, keep],
    )
    rows, parts = shared([one.practice(), replace(two, rehearsed=fewer).practice()])
    assert len(rows.rows) == len(keep)
    assert [len(part) for part in parts] == [len(keep)] * 2
    assert top1(fuse([one, replace(two, rehearsed=fewer)])) > top1(one)


def test_images_named_together_keep_their_own_references() -> None:
    samples = seen_by(1, 0.8)
    problem = Problem.build(samples, knowledge=Knowledge(prompts="matched", centred=False))
    plain = attack(problem, NearestCentroid())
    fused = fuse([plain, member(2, 0.8, "matched")])
    assert plain.answers.together is not None
    assert fused.answers.together is not None
    assert (fused.answers.together != fused.answers.scores).any()
