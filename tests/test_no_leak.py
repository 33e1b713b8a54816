"""Nothing leaks: where vectors say nothing of models, every attack sits at chance.

On random vectors, and on real ones whose models are dealt anew within each prompt, the mean
accuracy over twenty fixed seeds must lie within three standard errors and 0.01 of chance, on
both sides. A whitening that has seen the query must fail by the same measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import made_once
from synthetic import Array, arena, shuffled_within_prompts
from whodrew.encoders.base import Scale
from whodrew.encoders.registry import ENCODERS
from whodrew.identify.assign import assign
from whodrew.identify.attack import Answers, attack
from whodrew.identify.base import Fitted, Identifier, Option
from whodrew.identify.knowledge import Knowledge, Prompts
from whodrew.identify.library import Library
from whodrew.identify.nearest import NearestCentroid
from whodrew.identify.neighbours import KNearest
from whodrew.identify.probe import LinearProbe
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Samples
from whodrew.identify.whitened import MIXES, FittedWhitened, WhitenedCentroid

#: (corpus, models, every nth column, prompts at most) to what makes samples of a seed.
Maker = Callable[..., Callable[[int], Samples]]
SEEDS = 20
MODELS = 20


class Brief(WhitenedCentroid):
    """Chooses among fewer strengths, for the sake of time."""

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        return super().options(matched=matched)[:: 13 if matched else 3]


class Leaky(Brief):
    """The trap: whitens with a covariance that has seen the query."""

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        fitted = super().fit(library, without, centred=centred)
        assert isinstance(fitted, FittedWhitened)
        everything = library.frame(frozenset(), scatter=True)
        for mix in MIXES:
            fitted._covariances[mix] = library.covariance(everything, frozenset(), mix)
        return fitted


ATTACKERS: dict[str, tuple[Identifier, bool]] = {
    "plain": (NearestCentroid(), False),
    "centred": (NearestCentroid(), True),
    "whitened": (Brief(), True),
    "neighbours": (KNearest(), True),
    "probe": (LinearProbe(), True),
}
QUICK = ["plain", "centred", "neighbours"]
SHAPES: list[tuple[int, Scale]] = [
    (16, "unit"),
    (200, "standardise"),
    (200, "unit"),
    (16, "standardise"),
]


@dataclass(frozen=True)
class Found:
    """Differences from chance by seed, images named alone and together."""

    alone: Array
    together: Array


def off_chance(answers: Answers) -> float:
    """Returns the share of right answers less 1 / candidates, over queries of known models."""
    able = np.isfinite(answers.scores)
    asked = able[np.arange(len(able)), answers.model]
    right = answers.scores.argmax(axis=1) == answers.model
    return float((right - 1 / able.sum(axis=1))[asked].mean())


def excess(answers: Answers) -> float:
    """Returns how much oftener a model is answered for its own images than for others'.

    Cells of unequal size are asked unequally often and attract unequally many answers, so
    that 1 / candidates is no measure there; but without a leak a model of a prompt is
    answered just as often for its own images as for the other images of that prompt.
    """
    answer = answers.scores.argmax(axis=1)
    total = 0.0
    for prompt in np.unique(answers.prompt):
        own = answers.prompt == prompt
        said, true = answer[own], answers.model[own]
        for code in np.unique(true):
            if (true != code).any():
                gap = (said[true == code] == code).mean() - (said[true != code] == code).mean()
                total += (true == code).sum() * gap
    return total / len(answer)


def attacked(
    make: Callable[[int], Samples],
    identifier: Identifier,
    *,
    hidden: tuple[int, ...] = (),
    deals: int = 1,
    measure: Callable[[Answers], float] = off_chance,
    **knowledge: Any,
) -> Found:
    alone, together = np.zeros((2, SEEDS, deals))
    for seed, deal in np.ndindex(SEEDS, deals):
        samples = make(deals * seed + deal)
        built = Problem.build(samples, knowledge=Knowledge(**knowledge), seed=seed)
        problem = replace(built, hidden=hidden)
        answers = attack(problem, identifier).answers
        alone[seed, deal] = measure(answers)
        joint = assign(problem, answers)
        together[seed, deal] = (joint.answer == joint.model).mean() - joint.chance
    return Found(alone.mean(axis=1), together.mean(axis=1))


def at_chance(differences: Array) -> bool:
    """The criterion: the mean is within 3 standard errors and within 0.01 of nothing."""
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(abs(differences.mean()) <= min(3 * error, 0.01))


def told(differences: Array) -> str:
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.4f} off chance, standard error {error:.4f}"


@lru_cache(maxsize=200)
def noise(seed: int, dimension: int, scale: Scale, kind: str) -> Samples:
    prompts, generations = {"thin": (5, 2), "even": (6, 3), "uneven": (9, 4)}[kind]
    return arena(
        MODELS,
        prompts,
        generations,
        dimension,
        scale=scale,
        seed=seed,
        uneven=kind == "uneven",
        missing=0.15 if kind == "uneven" else 0.0,
    )


@pytest.mark.parametrize(
    ("attacker", "dimension", "scale"),
    [
        (attacker, *shape)
        for attacker in ATTACKERS
        for shape in (SHAPES if attacker in {"plain", "centred"} else SHAPES[:2])
    ],
)
@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_random_vectors(attacker: str, prompts: Prompts, dimension: int, scale: Scale) -> None:
    identifier, centred = ATTACKERS[attacker]
    found = attacked(
        lambda seed: noise(seed, dimension, scale, "even"),
        identifier,
        prompts=prompts,
        centred=centred,
    )
    assert at_chance(found.alone), told(found.alone)
    assert at_chance(found.together), told(found.together)


@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_random_vectors_of_more_dimensions_than_references(prompts: Prompts) -> None:
    assert Library(noise(0, 200, "unit", "thin"), np.arange(5)).thin
    found = attacked(lambda seed: noise(seed, 200, "unit", "thin"), Brief(), prompts=prompts)
    assert at_chance(found.alone), told(found.alone)
    assert at_chance(found.together), told(found.together)


def test_every_strength_there_is_to_choose() -> None:
    found = attacked(
        lambda seed: noise(seed, 16, "unit", "thin"), WhitenedCentroid(), prompts="matched"
    )
    assert at_chance(found.alone), told(found.alone)


@pytest.mark.parametrize("attacker", ATTACKERS)
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize(
    "options", [{"references": 1}, {"hidden": (2, 3, 11)}], ids=["1", "hidden"]
)
def test_other_knowledge(attacker: str, prompts: Prompts, options: dict[str, Any]) -> None:
    identifier, centred = ATTACKERS[attacker]
    found = attacked(
        lambda seed: noise(seed, 16, "unit", "even"),
        identifier,
        prompts=prompts,
        centred=centred,
        **options,
    )
    assert at_chance(found.alone), told(found.alone)


@pytest.mark.parametrize("attacker", ["plain", "centred", "whitened", "neighbours"])
@pytest.mark.parametrize("prompts", ["matched", "other"])
def test_cells_of_all_sizes_and_none(attacker: str, prompts: Prompts) -> None:
    identifier, centred = ATTACKERS[attacker]
    found = attacked(
        lambda seed: noise(seed, 16, "unit", "uneven"),
        identifier,
        prompts=prompts,
        centred=centred,
        measure=excess,
    )
    assert at_chance(found.alone), told(found.alone)


@pytest.mark.parametrize(("prompts", "kind"), [("matched", "thin"), ("other", "even")])
def test_a_whitening_that_has_seen_the_query_is_caught(prompts: Prompts, kind: str) -> None:
    found = attacked(lambda seed: noise(seed, 200, "unit", kind), Leaky(), prompts=prompts)
    assert not at_chance(found.alone), told(found.alone)
    assert found.alone.mean() > 0.05


# ------------------------------------------------------------------ real images


def encoded(folder: Path, target: Path) -> None:
    """Saves fingerprints of the middle 256 pixels of a corpus, by prompt."""
    encoder = ENCODERS.get("fingerprint")()
    paths = sorted(path for path in folder.glob("*/*/*") if path.suffix in {".png", ".jpg"})
    pixels = []
    for path in paths:
        with Image.open(path) as image:
            left, top = (image.width - 256) // 2, (image.height - 256) // 2
            box = (left, top, left + 256, top + 256)
            pixels.append(np.asarray(image.convert("RGB").crop(box)))
    vectors = encoder.encode(pixels)
    prompts = np.array([path.parent.name for path in paths])
    with target.open("wb") as file:
        np.savez(file, vectors=vectors, prompts=prompts)


@pytest.fixture(scope="session")
def real(corpora: Path, shared_folder: Path) -> Maker:
    """Returns a maker of arenas: (corpus, models, every nth column) to seed to samples."""

    def maker(
        corpus: str, models: int, step: int, most: int | None = None
    ) -> Callable[[int], Samples]:
        source = corpora / corpus
        path = made_once(shared_folder, f"{corpus}.npz", lambda out: encoded(source, out))
        with np.load(path) as kept:
            vectors, prompts = kept["vectors"][:, ::step], kept["prompts"]
        order = np.argsort(prompts, kind="stable")
        order = order[np.isin(prompts[order], np.unique(prompts)[:most])]
        dealt = [f"m{place % models:02d}" for place in range(len(order))]
        whole = Samples.build(
            vectors[order], models=dealt, prompts=prompts[order].tolist(), scale="standardise"
        )
        assert len(np.unique(whole.cell_sizes)) == 1
        return lambda seed: shuffled_within_prompts(whole, seed)

    return maker


REAL: list[tuple[str, str, int, Prompts]] = [
    ("centred", "early3", 9, "matched"),
    *((attacker, "early3", 9, "other") for attacker in QUICK[:2]),
    *((attacker, "modern24", 12, "matched") for attacker in ("centred", "whitened", "neighbours")),
    *((attacker, "modern24", 24, "other") for attacker in ATTACKERS),
]


@pytest.mark.parametrize(("attacker", "corpus", "models", "prompts"), REAL)
def test_real_images_dealt_anew(
    real: Maker,
    attacker: str,
    corpus: str,
    models: int,
    prompts: Prompts,
) -> None:
    """Every eighth column: fewer dimensions than references."""
    identifier, centred = ATTACKERS[attacker]
    found = attacked(
        real(corpus, models, 8),
        identifier,
        deals=3 if corpus == "early3" else 1,
        prompts=prompts,
        centred=centred,
    )
    assert at_chance(found.alone), told(found.alone)
    assert at_chance(found.together), told(found.together)


def test_real_images_of_more_dimensions_than_references(
    real: Maker,
) -> None:
    make = real("modern24", 24, 5, 12)
    assert Library(make(0), np.arange(12)).thin
    found = attacked(make, Brief(), prompts="other")
    assert at_chance(found.alone), told(found.alone)
    assert at_chance(found.together), told(found.together)


def test_the_papers_rule_is_a_little_too_hard_on_itself(
    real: Maker,
) -> None:
    """Plain and matched it leaves out the query alone, so that the true model has one
    reference fewer than its rivals. Images of a prompt have much in common, and the mean of
    more of them is nearer to all: measured over 100 deals of early3 into 3, 6 and 9 models,
    the true model is named 1.7, 1.9 and 1.6 points less often than chance (standard error
    0.2). With as many references of each model, or naming together, it is at chance.
    """
    make = real("early3", 9, 8)
    found = attacked(make, NearestCentroid(), deals=3, prompts="matched", centred=False)
    assert -0.04 < found.alone.mean() < -0.005, told(found.alone)
    assert at_chance(found.together), told(found.together)
    even = attacked(
        make, NearestCentroid(), deals=3, prompts="matched", centred=False, references=1
    )
    assert at_chance(even.alone), told(even.alone)
