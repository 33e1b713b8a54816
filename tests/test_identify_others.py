"""k-nearest and the linear probe are scikit-learn's on the same vectors; the registry."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from synthetic import Array, Seen, arena, seen, two_way_fit
from whodrew.encoders.base import Scale
from whodrew.errors import UsageError
from whodrew.identify.attack import attack
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.neighbours import KNearest, vote_shares
from whodrew.identify.probe import LinearProbe
from whodrew.identify.problem import Problem
from whodrew.identify.registry import IDENTIFIERS, get_identifier

MODELS = 5


def compared(view: Seen, prompts: Prompts, *, centred: bool) -> tuple[Array, Array, Array]:
    """Returns the query, the references and their models as they are to be compared."""
    if prompts == "matched":
        middle = view.cells()[2] if centred else 0.0
        return view.x - middle, view.near - middle, view.near_model
    if not centred:
        return view.x, view.far, view.far_model
    codes = np.unique(view.far_prompt).tolist()
    _, own = two_way_fit(view.far, view.far_model, view.far_prompt, view.models, codes)
    away = np.array([own[code] for code in view.far_prompt])
    return view.x - view.other_centre(), view.far - away, view.far_model


@pytest.mark.parametrize("scale", ["unit", "standardise"])
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("centred", [False, True])
def test_k_nearest_is_that_of_scikit_learn(scale: Scale, prompts: Prompts, centred: bool) -> None:
    samples = arena(MODELS, 6, 4, 12, scale=scale, signal=0.4, common=0.4, missing=0.2, seed=4)
    problem = Problem.build(samples, knowledge=Knowledge(prompts=prompts, centred=centred))
    answers = attack(problem, KNearest()).answers
    for row, scores in list(zip(answers.rows.tolist(), answers.scores, strict=True))[::3]:
        query, references, model = compared(seen(problem, row), prompts, centred=centred)
        by_hand = KNeighborsClassifier(5, metric="cosine").fit(references, model)
        expected = np.zeros(MODELS)
        expected[by_hand.classes_] = by_hand.predict_proba(query[None])[0]
        able = np.isfinite(scores)
        np.testing.assert_array_equal(able, np.isin(np.arange(MODELS), model))
        np.testing.assert_allclose(scores[able], expected[able], atol=1.1e-3)
        assert abs(np.round(scores[able] * 5) / 5 - expected[able]).max() < 1e-6


def test_votes_that_tie_go_to_the_more_similar() -> None:
    references = np.array([[1, 0.1], [1, 0.2], [1, -0.3], [1, -0.4], [0, 1.0]], dtype=np.float32)
    shares = vote_shares(
        np.array([[1, 0]], dtype=np.float32), references, np.array([1, 1, 0, 0, 2]), 4
    )
    assert shares.argmax() == 1
    assert np.isneginf(shares[0, 3])
    np.testing.assert_allclose(shares[0, :3], [0.4, 0.4, 0.2], atol=1e-3)


def test_without_references_nobody_is_named() -> None:
    none = np.empty((0, 2), dtype=np.float32)
    shares = vote_shares(np.ones((3, 2), np.float32), none, np.empty(0, np.int64), 4)
    assert np.isneginf(shares).all()
    assert shares.shape == (3, 4)


@pytest.mark.parametrize("scale", ["unit", "standardise"])
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("centred", [False, True])
def test_the_probe_is_that_of_scikit_learn(scale: Scale, prompts: Prompts, centred: bool) -> None:
    """Under ``other`` it leaves out the whole fold; here each prompt is a fold of its own."""
    samples = arena(MODELS, 5, 4, 8, scale=scale, signal=0.4, common=0.4, missing=0.2, seed=4)
    problem = Problem.build(samples, knowledge=Knowledge(prompts=prompts, centred=centred))
    assert len(np.unique(problem.folds)) == 5
    answers = attack(problem, LinearProbe()).answers
    for row, scores in list(zip(answers.rows.tolist(), answers.scores, strict=True))[::7]:
        query, references, model = compared(seen(problem, row), prompts, centred=centred)
        length = np.sqrt((references**2).sum(axis=1).mean())
        by_hand = LogisticRegression(C=1.0, max_iter=300, tol=1e-6).fit(references / length, model)
        expected = np.full(MODELS, -np.inf)
        expected[by_hand.classes_] = by_hand.predict_log_proba(query[None] / length)[0]
        np.testing.assert_allclose(scores, expected, atol=5e-3)


def test_the_probe_has_not_seen_the_querys_fold() -> None:
    samples = arena(3, 11, 2, 6, signal=0.5)
    problem = Problem.build(samples, knowledge=Knowledge(prompts="other"))
    answers = attack(problem, LinearProbe()).answers
    fold = problem.folds[samples.prompt[0]]
    others = np.flatnonzero((problem.folds == fold) & (np.arange(11) != samples.prompt[0]))
    changed = samples.vectors.copy()
    changed[np.isin(samples.prompt, others)] *= -3
    samples.vectors[:] = changed
    again = attack(Problem.build(samples, knowledge=Knowledge(prompts="other")), LinearProbe())
    own = samples.prompt[answers.rows] == samples.prompt[0]
    np.testing.assert_array_equal(answers.scores[own], again.answers.scores[own])


def test_a_probe_that_knows_one_model_names_it() -> None:
    samples = arena(2, 6, 2, 4).forget_models(np.array([1]))
    problem = Problem.build(samples, knowledge=Knowledge(prompts="other"))
    answers = attack(problem, LinearProbe()).answers
    assert (answers.scores.argmax(axis=1) == 0).all()
    assert np.isneginf(answers.scores[:, 1]).all()


def test_every_identifier_is_called_what_it_is_registered_as() -> None:
    for name in IDENTIFIERS.names():
        assert get_identifier(name).name == name
    with pytest.raises(UsageError, match="whitened-centroid"):
        get_identifier("whitened-centriod")
