"""The attackers a defence has to face: what each is given, and what it then names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synthetic import normalised
from whodrew.defend.attackers import COPIES, ROBUST, Case, Faced, Labels, Vectors, strongest
from whodrew.identify.assign import assign
from whodrew.identify.attack import attack
from whodrew.identify.contrastive import Contrastive
from whodrew.identify.contrastive_train import Training
from whodrew.identify.fusion import fuse
from whodrew.identify.knowledge import Prompts
from whodrew.identify.nearest import NearestCentroid
from whodrew.measure.intervals import Rate, missing

MODELS, PROMPTS, GENERATIONS, DIMENSION = 4, 5, 2, 6


def labels(generations: int = GENERATIONS) -> Labels:
    cells = [
        (f"m{model}", f"p{prompt}", str(one))
        for model in range(MODELS)
        for prompt in range(PROMPTS)
        for one in range(generations)
    ]
    return Labels(*map(tuple, zip(*cells, strict=True)))  # type: ignore[arg-type]


def vectors(
    draws: int = 3, *, signal: float = 2.0, grain: float = 0.3, generations: int = GENERATIONS
) -> Vectors:
    """Returns what models draw, less what a defence of some strength leaves of it."""
    rng = np.random.default_rng(5)
    known = labels(generations)
    own = signal * rng.standard_normal((MODELS, DIMENSION))
    base = np.stack([own[int(name[1:])] for name in known.model])
    base = base + rng.standard_normal(base.shape)
    seen = base + grain * rng.standard_normal((draws + 1, *base.shape))
    seen = seen.astype(np.float32)
    return Vectors("eye", "unit", seen[0], seen[1:])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the contrastive attacker untrained, for the sake of time."""
    made = {ROBUST: Contrastive(Training(steps=0))}
    monkeypatch.setattr("whodrew.defend.attackers.get_identifier", made.__getitem__)


def case(prompts: Prompts = "other", **more: Any) -> Case:
    return Case(more.pop("labels", labels()), prompts, more.pop("shown", ("any",)), **more)


# ---------------------------------------------------------------- what is given
@pytest.mark.parametrize("prompts", ["other", "matched"])
def test_references_are_the_draws_of_the_same_images(prompts: Prompts) -> None:
    given, known = vectors(), labels()
    problem = case(prompts).problem(given, 2)
    count = len(known)
    held = problem.references
    assert len(problem.queries) == count
    assert len(held) == 2 * count
    for row in range(len(held)):
        image, draw = held.source[row] % count, held.source[row] // count
        np.testing.assert_array_equal(held.vectors[row], given.references[draw, image])
        assert held.models[held.model[row]] == known.model[image]
        assert held.prompts[held.prompt[row]] == known.prompt[image]
        assert held.seed[row] == known.seed[image]
    assert held.unit is not None
    np.testing.assert_array_equal(held.unit, held.source % count)
    for row in range(count):
        np.testing.assert_array_equal(
            problem.queries.vectors[row], given.query[problem.queries.source[row]]
        )


def test_the_twin_of_a_query_is_its_own_image() -> None:
    problem = case("matched").problem(vectors(), 3)
    count = len(labels())
    own = problem.references.source[problem.twin] % count
    np.testing.assert_array_equal(own, problem.queries.source)


@pytest.mark.parametrize("draws", [1, 2])
def test_copies_are_other_draws_of_the_same_image(draws: int) -> None:
    given, count = vectors(draws=4), len(labels())
    held = case().problem(given, draws, copies=3).references
    assert len(held.copies) == 3
    for row in range(len(held)):
        image, draw = held.source[row] % count, held.source[row] // count
        copies = [copy[row] for copy in held.copies]
        used = {
            int(np.flatnonzero((given.references[:, image] == one).all(axis=1))[0])
            for one in copies
        }
        assert len(used) == 3
        assert draw not in used


@pytest.mark.parametrize(("draws", "wanted"), [(3, 2), (8, COPIES)])
def test_the_contrastive_attacker_learns_from_other_draws(
    draws: int, wanted: int, quick: None
) -> None:
    given = vectors(draws=draws)
    found, copies = case().robust(given, [])
    assert (len(found.problem.references.copies), copies) == (wanted, wanted)
    assert found.label == ROBUST


def test_where_there_are_no_draws_it_learns_from_what_it_purified(quick: None) -> None:
    given = vectors(draws=1)
    purified = [given.references[0] + step for step in (1, 2)]
    found, copies = case().robust(given, purified)
    assert copies == len(purified)
    held = found.problem.references
    for one, copy in zip(purified, held.copies, strict=True):
        np.testing.assert_array_equal(copy, one[held.source])


# ---------------------------------------------------------------- what is named
def by_loop(given: Vectors, draws: int, prompts: Prompts) -> float:
    """Returns the share that a nearest centroid names, each image told apart by hand."""
    known = labels()
    models = sorted(set(known.model))
    right = 0
    for at in range(len(known)):
        scores = []
        for model in models:
            kept = [
                other
                for other in range(len(known))
                if known.model[other] == model
                and (
                    known.prompt[other] != known.prompt[at]
                    if prompts == "other"
                    else known.prompt[other] == known.prompt[at] and other != at
                )
            ]
            centroid = given.references[:draws, kept].reshape(-1, DIMENSION).mean(axis=0)
            scores.append(float(normalised(centroid) @ normalised(given.query[at])))
        right += models[int(np.argmax(scores))] == known.model[at]
    return right / len(known)


@pytest.mark.parametrize("prompts", ["other", "matched"])
@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("signal", [0.4, 1.0])
def test_accuracy_is_that_of_a_loop(prompts: Prompts, draws: int, signal: float) -> None:
    given = vectors(signal=signal)
    one = case(prompts)
    problem = one.problem(given, draws)
    plain = replace(problem, knowledge=replace(problem.knowledge, centred=False))
    (faced,) = one.faced("adaptive", attack(plain, NearestCentroid()), "eye", draws=draws)
    assert faced.top1.value == pytest.approx(by_loop(given, draws, prompts))
    assert faced.top1.chance == pytest.approx(1 / MODELS)
    assert faced.knowledge["draws"] == draws
    assert faced.knowledge["prompts"] == prompts


@pytest.mark.parametrize("way", ["any", "each-once"])
def test_parts_are_named_by_an_attack_each(way: Any) -> None:
    """Some prompts by one attack and the rest by another: as counted by hand."""
    one, known = case(shown=(way,)), labels()
    attacks = [one.named(vectors(signal=signal), 2) for signal in (0.3, 6.0)]
    late = np.arange(PROMPTS) >= 2
    parts = list(zip(attacks, (np.flatnonzero(~late), np.flatnonzero(late)), strict=True))
    (both,) = one.faced_by_parts("adaptive", parts, "eye", profile="own")
    right = 0.0
    for found, asked in parts:
        answers = found.answers
        chosen = np.isin(answers.prompt, asked)
        if way == "any":
            right += (answers.scores.argmax(axis=1) == answers.model)[chosen].sum()
        else:
            together = assign(found.problem, answers)
            chosen = np.isin(together.prompt, asked)
            right += (together.answer == together.model)[chosen].sum()
    assert both.top1.value == pytest.approx(right / len(known))
    assert (both.knowledge["profile"], both.knowledge["shown"]) == ("own", way)
    alone = [one.faced("adaptive", found, "eye")[0].top1.value or 0 for found in attacks]
    assert alone[0] < both.top1.value < alone[1]


def test_strong_signals_are_named_and_none_is_not() -> None:
    one = case(shown=("any", "each-once"))
    for signal, low, high in ((6.0, 0.9, 1.0), (0.0, 0.0, 0.5)):
        found = one.faced("adaptive", one.named(vectors(signal=signal), 3), "eye", draws=3)
        assert [faced.knowledge["shown"] for faced in found] == ["any", "each-once"]
        for faced in found:
            assert faced.top1.value is not None
            assert low <= faced.top1.value <= high


def test_an_encoder_fused_with_itself_names_as_before() -> None:
    one, given = case(), vectors(signal=5.0)
    alone = one.named(given, 2)
    fused = fuse([alone, one.named(replace(given, encoder="again"), 2)])
    (first,) = one.faced("adaptive", alone, "eye", draws=2)
    (second,) = one.faced("fused", fused, "eye+again", draws=2)
    assert second.top1.value == first.top1.value
    assert (second.identifier, second.encoder) == ("fusion", "eye+again")


def test_what_cannot_be_asked_is_null_with_a_reason() -> None:
    known = labels(generations=1)
    one = case("matched", labels=known)
    given = vectors(generations=1)
    (faced,) = one.faced("adaptive", one.named(given, 2), "eye", draws=2)
    values = faced.to_dict()
    assert values["top1"] is None
    assert "matched" in values["top1_reason"]


# ---------------------------------------------------------------- the strongest
def faced(attacker: str, value: float | None, shown: str = "any") -> Faced:
    rate = missing("no reason") if value is None else Rate(value, None, None, 0.25, "few prompts")
    return Faced(attacker, "eye", "whitened-centroid", {"prompts": "other", "shown": shown}, rate)


def test_the_strongest_names_most_of_images_shown_alone() -> None:
    some = [
        faced("unchanged", 0.2),
        faced("adaptive", 0.6),
        faced("fused", None),
        faced("purifying", 0.6),
        faced("contrastive", 0.9, "each-once"),
    ]
    best = strongest(some)
    assert best is some[1]
    assert strongest(some, "each-once") is some[4]
    assert strongest(some[4:]) is some[4]
    assert strongest([some[2]]) is None
    assert strongest([]) is None


def test_a_rate_keeps_its_interval() -> None:
    values = Faced("adaptive", "eye", "k", {"shown": "any"}, Rate(0.5, 0.4, 0.6, 0.25)).to_dict()
    assert values == {
        "attacker": "adaptive",
        "encoder": "eye",
        "identifier": "k",
        "knowledge": {"shown": "any"},
        "top1": {"value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.25},
    }
