"""The contrastive identifier: its loss, its metric, what it learns and what it must not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import whodrew.registry
from synthetic import Array, arena, shuffled_within_prompts
from whodrew.cli import main
from whodrew.encoders.base import Scale
from whodrew.errors import MissingExtraError
from whodrew.identify.attack import Answers, attack, score
from whodrew.identify.base import Option
from whodrew.identify.contrastive import Contrastive
from whodrew.identify.contrastive_train import (
    Part,
    Training,
    _optimised,
    _part,
    learnt,
    loss_and_slope,
    supervised_contrastive,
)
from whodrew.identify.fusion import fuse
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.library import Library
from whodrew.identify.metric import movements, untrained
from whodrew.identify.problem import Problem
from whodrew.identify.registry import IDENTIFIERS, get_identifier
from whodrew.identify.samples import Samples
from whodrew.identify.whitened import WhitenedCentroid

torch = pytest.importorskip("torch", reason="contrastive needs the extra torch")

BRIEF = Training(steps=10, parts=3, anchors=40)


def perturbed(samples: Samples, seed: int, shift: float, kinds: int = 2) -> Samples:
    """Returns samples with copies that are moved along a few directions, by chance amounts."""
    rng = np.random.default_rng([seed, 55])
    deviation = samples.vectors[:].std(axis=0)
    copies = []
    for _ in range(kinds):
        ways = rng.standard_normal((3, samples.dimension)) * deviation
        amounts = rng.standard_normal((len(samples), 3)) + np.array([2.0, 0.0, 0.0])
        copies.append((samples.vectors[:] + shift * amounts @ ways).astype(np.float32))
    return replace(samples, copies=tuple(copies))


def half_noise(models: int, prompts: int, seed: int) -> Samples:
    """Returns one image a cell; half of the columns say nothing of models."""
    samples = arena(models, prompts, 1, 40, scale="standardise", signal=0.7, seed=seed)
    vectors = samples.vectors[:].copy()
    rng = np.random.default_rng([seed, 56])
    vectors[:, 20:] = rng.standard_normal((len(samples), 20)) * 5
    return replace(samples, vectors=vectors)


def asked(
    samples: Samples,
    identifier: Any,
    queries: Samples | None = None,
    *,
    seed: int = 0,
    prompts: Prompts = "other",
    lone: bool = False,
    **knowledge: Any,
) -> Answers:
    known = Knowledge(prompts=prompts, **knowledge)
    problem = Problem.build(samples, queries, knowledge=known, seed=seed, lone=lone)
    return attack(problem, identifier).answers


def accuracy(answers: Answers) -> float:
    return float((answers.scores.argmax(axis=1) == answers.model).mean())


# ------------------------------------------------------------------ the loss


def slow_loss(rows: Array, model: Array, prompt: Array, anchors: int, temperature: float) -> float:
    """The supervised contrastive loss, pair by pair. Prompt -1 is compared with everything."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    losses = []
    for one in range(anchors):
        others = [k for k in range(len(rows)) if k != one and (prompt[k] in (prompt[one], -1))]
        total = sum(np.exp(unit[one] @ unit[k] / temperature) for k in others)
        positives = [k for k in others if model[k] == model[one]]
        if positives:
            logs = [np.log(np.exp(unit[one] @ unit[k] / temperature) / total) for k in positives]
            losses.append(-np.mean(logs))
    return float(np.mean(losses))


@pytest.mark.parametrize("prompts", [1, 3])
def test_the_loss_is_that_of_a_naive_loop(prompts: int) -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((19, 5))
    model, prompt = rng.integers(4, size=19), rng.integers(prompts, size=19)
    model[0] = 9  # an anchor without a positive
    prompt[15:] = -1
    together = (prompt[:, None] == prompt) | (prompt == -1)
    found = supervised_contrastive(
        torch.tensor(rows @ rows.T), torch.tensor(model), torch.tensor(together), 15, 0.4
    )
    assert float(found) == pytest.approx(slow_loss(rows, model, prompt, 15, 0.4), rel=1e-6)


def test_a_batch_without_positives_has_no_loss_and_no_slope() -> None:
    products = torch.eye(3, requires_grad=True)
    together = torch.ones((3, 3), dtype=torch.bool)
    loss = supervised_contrastive(products, torch.arange(3), together, 3, 0.5)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(products.grad).all()


def made_part(*, matched: bool) -> tuple[Part, Samples]:
    samples = perturbed(arena(5, 6, 2, 12, scale="standardise", signal=0.8, seed=1), 1, 0.5)
    library = Library(samples, np.arange(6) % 3)
    own = frozenset([1, 4])
    return _part(library, own, own, Training(), matched=matched), samples


@pytest.mark.parametrize("matched", [False, True])
@pytest.mark.parametrize("span", [False, True])
def test_the_slope_is_that_of_finite_differences(matched: bool, span: bool) -> None:
    part, _ = made_part(matched=matched)
    rng = np.random.default_rng(4)
    batch = part.batch(rng, 16)
    logs = rng.normal(0, 0.5, len(part.kept)).astype(np.float32)
    _, slope = loss_and_slope(part, batch, logs, Training(), span=span)
    step = 0.05
    for column in range(0, len(logs), 3):
        up, down = logs.copy(), logs.copy()
        up[column] += step
        down[column] -= step
        high, low = (
            loss_and_slope(part, batch, one, Training(), span=span)[0] for one in (up, down)
        )
        assert slope[column] == pytest.approx((high - low) / (2 * step), abs=2e-4)
    assert np.abs(slope).max() > 1e-3


def test_a_batch_holds_each_copy_once_in_either_middle() -> None:
    part, samples = made_part(matched=True)
    rows, model, prompt = part.batch(np.random.default_rng(0), 8)
    images, forms = 8, len(samples.copies)
    assert len(rows) == len(model) == len(prompt) == images * (1 + forms) + 5
    assert (prompt[-5:] == -1).all()
    assert set(prompt[:-5].tolist()) <= {1, 4}
    np.testing.assert_array_equal(model[:images], model[images : 2 * images])
    np.testing.assert_array_equal(model[-5:], np.arange(5))
    for form in range(forms):
        own = rows[images * (1 + form) : images * (2 + form)]
        views = part.views[1 + 2 * form : 3 + 2 * form]
        gaps = np.abs(own[None, :, None] - views[:, None]).max(axis=-1).min(axis=(0, 2))
        assert gaps.max() == 0.0


# ------------------------------------------------------------------ the metric


@pytest.mark.parametrize(("dimension", "thin"), [(12, False), (150, True)])
def test_untrained_and_without_copies_it_is_the_whitened_centroid(
    dimension: int, thin: bool
) -> None:
    samples = arena(6, 8, 2, dimension, scale="standardise", signal=0.6, common=0.5, seed=2)
    problem = Problem.build(samples, knowledge=Knowledge(prompts="other"))
    assert problem.library.thin is thin
    without = frozenset([3])
    block = problem.block(3)
    mine = Contrastive(Training(steps=0)).fit(problem.library, without, centred=True)
    theirs = WhitenedCentroid().fit(problem.library, without, centred=True)
    found = mine.score(block, (Option(),))[0]
    expected = theirs.score(block, (Option(strength=Training().strength),))[0]
    # the same covariance but for a factor, which the temperature takes up
    ratio = found / expected
    assert 0.5 < ratio.mean() < 1.0
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=5e-3)


def test_movements_of_copies_are_their_mean_outer_product() -> None:
    samples = perturbed(arena(4, 5, 2, 7, scale="standardise", seed=3), 3, 1.0)
    library = Library(samples, np.arange(5) % 5)
    kept = samples.prompt != 2
    expected = np.mean(
        [
            np.mean([np.outer(d, d) for d in (copy - samples.vectors)[kept]], axis=0)
            for copy in samples.copies
        ],
        axis=0,
    )
    moved = movements(library, frozenset([2]), 0)
    np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-4 * expected.max())
    frame = library.frame(frozenset([2]), scatter=True)
    plain = untrained(library, frame, frozenset([2]), np.zeros((0, 0), np.float32), 0.1)
    whole = untrained(library, frame, frozenset([2]), moved, 0.1)
    scale = np.outer(frame.deviation, frame.deviation)
    np.testing.assert_allclose((whole.base - plain.base) * scale, moved, rtol=1e-2, atol=0.05)
    assert whole.ridge == plain.ridge


# ------------------------------------------------------------------ what it learns


def test_equal_seeds_give_equal_results_and_others_do_not() -> None:
    samples = perturbed(arena(10, 10, 2, 30, scale="standardise", signal=0.5, seed=5), 5, 0.5)
    training = Training(steps=10, parts=3)
    first, again, other = (
        asked(samples, Contrastive(one)) for one in (training, training, replace(training, seed=1))
    )
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_array_equal(first.temperature, again.temperature)
    assert (first.scores != other.scores).any()


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("scale", ["unit", "standardise"])
def test_it_beats_chance_by_far_with_and_without_copies(prompts: Prompts, scale: Scale) -> None:
    plain = arena(8, 10, 3, 24, scale=scale, signal=0.6, common=0.5, seed=6)
    best = accuracy(asked(plain, WhitenedCentroid(), prompts=prompts))
    assert best > 0.6
    assert accuracy(asked(plain, Contrastive(BRIEF), prompts=prompts)) > best - 0.06
    copied = perturbed(plain, 6, 0.3)
    assert accuracy(asked(copied, Contrastive(BRIEF), prompts=prompts)) > best - 0.1


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_it_is_steady_where_copies_shift_what_is_asked(prompts: Prompts) -> None:
    plain = arena(8, 10, 3, 40, scale="standardise", signal=0.6, common=0.5, seed=7)
    known = perturbed(plain, 7, 1.5)
    queries = replace(known, vectors=known.copies[0], copies=())
    upset = accuracy(asked(plain, WhitenedCentroid(), queries, prompts=prompts))
    native = accuracy(asked(known, Contrastive(BRIEF), prompts=prompts))
    steady = accuracy(asked(known, Contrastive(BRIEF), queries, prompts=prompts))
    assert steady > upset + 0.15
    assert steady > native - 0.05


def test_training_lessens_the_loss_on_prompts_that_nothing_saw() -> None:
    """Ridges should grow where columns are noise, which whitening blows up."""
    samples = half_noise(12, 16, 8)
    library = Library(samples, np.arange(16) % 5)
    unseen = frozenset(np.flatnonzero(library.folds == 0).tolist())
    training = Training()
    found = learnt(library, unseen, training, matched=False)
    assert found.logs[20:].mean() > found.logs[:20].mean() + 0.1
    part = _part(library, unseen, unseen, training, matched=False)
    batch = part.batch(np.random.default_rng(0), 48)
    before, _ = loss_and_slope(part, batch, 0 * found.logs, training, span=True)
    after, _ = loss_and_slope(part, batch, found.logs, training, span=True)
    assert after < before


def test_training_that_does_not_help_is_undone() -> None:
    undone = 0
    for seed in range(6):
        samples = arena(6, 8, 2, 20, scale="standardise", seed=seed)
        library = Library(samples, np.arange(8) % 4)
        wild = Training(rate=3.0, check=1, patience=1, temperature=0.05)
        held, lent = (
            _part(library, frozenset(own), frozenset(own), wild, matched=False)
            for own in ([0, 1], [2, 3])
        )
        logs = _optimised(held, [lent], wild, span=False, rng=np.random.default_rng(seed))
        exam = held.batch(np.random.default_rng(seed), wild.anchors)
        after, before = (
            loss_and_slope(held, exam, one, wild, span=False)[0] for one in (logs, 0 * logs)
        )
        assert after < before or not logs.any()
        undone += not logs.any()
    assert undone > 0


# ------------------------------------------------------------------ what it must not see


@pytest.mark.parametrize("matched", [False, True])
def test_what_is_learnt_owes_nothing_to_the_prompts_left_out(matched: bool) -> None:
    samples = perturbed(half_noise(12, 10, 10), 10, 0.5)
    folds = np.arange(10) % 5
    left_out = frozenset([0, 5])
    gone = np.isin(samples.prompt, list(left_out))
    rng = np.random.default_rng(0)
    garbage = samples.vectors.copy()
    garbage[gone] = rng.standard_normal((gone.sum(), 40)) * 100
    copies = tuple(np.where(gone[:, None], -garbage, copy) for copy in samples.copies)
    changed = replace(samples, vectors=garbage, copies=copies)
    frames, metrics = [], []
    for one in (samples, changed):
        fitted = Contrastive(BRIEF).fit(Library(one, folds), left_out, centred=True)
        metrics.append(fitted.metric(matched=matched))
        frames.append(fitted.frame)
    np.testing.assert_allclose(frames[0].effects, frames[1].effects, atol=1e-4)
    assert metrics[0].logs.any()
    np.testing.assert_allclose(metrics[0].logs, metrics[1].logs, atol=1e-3)
    np.testing.assert_allclose(metrics[0].base, metrics[1].base, atol=1e-3)


def test_the_querys_whole_fold_is_left_out_of_what_is_trained() -> None:
    samples = arena(6, 10, 1, 8, seed=1)
    library = Library(samples, np.arange(10) % 5)
    identifier = Contrastive(Training(steps=0))
    for prompts, fold in (([3], {3, 8}), ([3, 8], {3, 8}), ([3, 4], {3, 8, 4, 9})):
        identifier.school.learnt(library, frozenset(prompts), matched=False)
        assert (frozenset(fold), False) in identifier.school._known[library]
    assert len(identifier.school._known[library]) == 2


def at_chance(differences: Array) -> bool:
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(abs(differences.mean()) <= min(3 * error, 0.01))


@pytest.mark.parametrize(("kind", "prompts"), [("random", "other"), ("dealt anew", "matched")])
def test_without_anything_to_tell_it_sits_at_chance(kind: str, prompts: Prompts) -> None:
    found, trained = [], 0
    training = Training(steps=4, check=2, parts=3, anchors=30)
    for seed in range(20):
        if kind == "random":
            samples = arena(20, 5, 3, 12, scale="standardise", seed=seed)
        else:
            whole = arena(20, 5, 3, 12, scale="standardise", signal=0.8, common=0.8, seed=seed)
            samples = shuffled_within_prompts(whole, seed)
        samples = perturbed(samples, seed, 0.5, kinds=1)
        identifier = Contrastive(training)
        known = Knowledge(prompts=prompts)
        problem = Problem.build(samples, knowledge=known, seed=seed)
        found.append(accuracy(attack(problem, identifier).answers) - 1 / 20)
        learnt_there = identifier.school._known[problem.library].values()
        trained += sum(one.logs.any() for one in learnt_there)
    assert trained > 20
    assert at_chance(np.array(found)), f"{np.mean(found):+.4f} off chance"


# ------------------------------------------------------------------ the edges


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize(("models", "count"), [(1, 6), (2, 2), (3, 3), (4, 1), (2, 6)])
def test_few_models_and_prompts_are_no_error(models: int, count: int, prompts: Prompts) -> None:
    if count == 1 and prompts == "other":
        pytest.skip("nothing can be asked of one prompt without references of its own")
    samples = perturbed(arena(models, count, 2, 6, signal=1.0, seed=11), 11, 0.2)
    answers = asked(samples, Contrastive(), prompts=prompts)
    assert np.isfinite(answers.scores).all()
    assert len(answers.rows) == len(samples)


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_holes_duplicates_constants_and_hidden_models(prompts: Prompts) -> None:
    samples = arena(7, 9, 3, 12, scale="standardise", signal=0.8, missing=0.3, uneven=True, seed=12)
    vectors = samples.vectors.copy()
    vectors[:, 3] = 4.0
    vectors[samples.prompt != 2, 5] = -1.0  # constant but for one prompt
    group = samples.group.copy()
    group[-1] = group[0]
    vectors[-1] = vectors[0]
    samples = perturbed(replace(samples, vectors=vectors, group=group), 12, 0.2)
    known = Knowledge(prompts=prompts, references=2)
    problem = replace(Problem.build(samples, knowledge=known), hidden=(2, 4))
    answers = attack(problem, Contrastive(BRIEF)).answers
    able = np.isfinite(answers.scores)
    assert not able[:, [2, 4]].any()
    assert able.any(axis=1).all()
    assert not np.isnan(answers.scores).any()


def test_references_from_elsewhere_and_lone_images() -> None:
    whole = perturbed(arena(6, 8, 4, 16, scale="standardise", signal=0.8, seed=13), 13, 0.3)
    odd = np.arange(len(whole)) % 2 == 0
    known, queries = whole.take(odd), whole.take(~odd)
    for prompts in ("matched", "other"):
        answers = asked(known, Contrastive(BRIEF), queries, prompts=prompts)
        assert accuracy(answers) > 0.4
    assert accuracy(asked(known, Contrastive(BRIEF), queries, lone=True)) > 0.4


def test_curves_are_drawn_of_the_untrained_projection() -> None:
    samples = perturbed(arena(8, 8, 2, 16, scale="standardise", signal=0.8, seed=15), 15, 0.2)
    found = attack(Problem.build(samples, knowledge=Knowledge()), Contrastive(BRIEF))
    light = found.brief()
    assert light.identifier.school.training == replace(BRIEF, steps=0)
    assert light.choices is found.choices
    fused = fuse([found, attack(found.problem, WhitenedCentroid())])
    assert fused.brief().members[0].identifier.school.training.steps == 0
    assert fused.brief().members[1] is fused.members[1]
    plain = attack(found.problem, WhitenedCentroid())
    assert plain.brief() is plain


def test_prompts_that_are_no_reference_prompts_leave_nothing_out() -> None:
    samples = perturbed(arena(8, 8, 1, 16, scale="standardise", signal=1.0, seed=16), 16, 0.2)
    library = Library(samples, np.arange(8) % 5)
    fitted = Contrastive(BRIEF).fit(library, frozenset(), centred=True)
    assert np.isfinite(fitted.metric(matched=False).project(fitted.frame.effects)).all()


def test_it_travels_to_other_processes() -> None:
    identifier = Contrastive(BRIEF)
    samples = perturbed(arena(9, 8, 2, 10, signal=0.8, seed=14), 14, 0.2)
    before = asked(samples, identifier)
    sent = pickle.loads(pickle.dumps(identifier))  # noqa: S301 - it is our own
    after = asked(samples, sent)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_without_torch_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = whodrew.registry.find_spec
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(
        whodrew.registry, "find_spec", lambda name: None if name == "torch" else found(name)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'whodrew\[torch\]'"):
        get_identifier("contrastive")
    with pytest.raises(SystemExit) as left:
        raise SystemExit(main(["audit", "--sample", "--identifier", "contrastive"]))
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert "identifier 'contrastive' needs an extra: pip install 'whodrew[torch]'" in told
    assert "Traceback" not in told


def test_it_is_listed_and_made_without_importing_torch() -> None:
    assert "contrastive" in IDENTIFIERS.names()
    code = (
        "import sys, whodrew.identify.contrastive;"
        "from whodrew.identify.registry import get_identifier;"
        "get_identifier('contrastive'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_references_too_few_to_vary_leave_a_metric() -> None:
    samples = perturbed(arena(2, 2, 1, 40, scale="standardise", seed=3), 3, 100.0)
    known = Knowledge(prompts="other")
    answers = score(attack(Problem.build(samples, knowledge=known), Contrastive(BRIEF)))
    assert answers.scores.shape == (4, 2)
    assert np.isfinite(answers.scores).all()
