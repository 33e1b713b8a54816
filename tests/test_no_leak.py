"""Nothing leaks: where vectors say nothing of models, every attack sits at chance.

On random vectors, and on real ones whose models are dealt anew within each prompt, the mean
accuracy over twenty fixed seeds must lie within three standard errors and 0.01 of chance, on
both sides. A whitening that has seen the query must fail by the same measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

SEEDS = 20
MODELS = 20


class Brief(WhitenedCentroid):
    """Chooses among fewer strengths, for the sake of time."""

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        every = super().options(matched=matched)
        return every[::5] if matched else every


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
    measure: Callable[[Answers], float] = off_chance,
    **knowledge: Any,
) -> Found:
    alone, together = [], []
    for seed in range(SEEDS):
        built = Problem.build(make(seed), knowledge=Knowledge(**knowledge), seed=seed)
        samples = built.references
        problem = Problem(samples, samples, built.knowledge, seed, hidden=hidden)
        answers = attack(problem, identifier).answers
        alone.append(measure(answers))
        joint = assign(problem, answers)
        together.append(float((joint.answer == joint.model).mean()) - joint.chance)
    return Found(np.array(alone), np.array(together))


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


@pytest.mark.parametrize("attacker", ATTACKERS)
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("dimension", [16, 200])
@pytest.mark.parametrize("scale", ["unit", "standardise"])
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
    found = attacked(
        lambda seed: noise(seed, 200, "unit", "thin"), WhitenedCentroid(), prompts=prompts
    )
    assert at_chance(found.alone), told(found.alone)
    assert at_chance(found.together), told(found.together)


@pytest.mark.parametrize("attacker", ATTACKERS)
@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("options", [{"references": 1}, {"hidden": (2, 3, 11)}], ids=["1", "hidden"])
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


@pytest.mark.parametrize("prompts", ["matched", "other"])
@pytest.mark.parametrize("kind", ["even", "thin"])
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
def real(corpora: Path, shared_folder: Path) -> Callable[[str, int, int], Callable[[int], Samples]]:
    """Returns a maker of arenas: (corpus, models, every nth column) to seed to samples."""

    def maker(corpus: str, models: int, step: int) -> Callable[[int], Samples]:
        source = corpora / corpus
        path = made_once(shared_folder, f"{corpus}.npz", lambda out: encoded(source, out))
        with np.load(path) as kept:
            vectors, prompts = kept["vectors"][:, ::step], kept["prompts"]
        order = np.argsort(prompts, kind="stable")
        dealt = [f"m{place % models:02d}" for place in range(len(order))]
        whole = Samples.build(
            vectors[order], models=dealt, prompts=prompts[order].tolist(), scale="standardise"
        )
        assert len(np.unique(whole.cell_sizes)) == 1
        return lambda seed: shuffled_within_prompts(whole, seed)

    return maker


REAL: list[tuple[str, int, Prompts]] = [
    ("early3", 9, "matched"),
    ("early3", 9, "other"),
    ("modern24", 24, "other"),
]


@pytest.mark.parametrize("step", [8, 4], ids=["full", "thin"])
@pytest.mark.parametrize(("corpus", "models", "prompts"), REAL)
@pytest.mark.parametrize("attacker", ATTACKERS)
def test_real_images_dealt_anew(
    real: Callable[[str, int, int], Callable[[int], Samples]],
    attacker: str,
    corpus: str,
    models: int,
    prompts: Prompts,
    step: int,
) -> None:
    identifier, centred = ATTACKERS[attacker]
    make = real(corpus, models, step)
    found = attacked(make, identifier, prompts=prompts, centred=centred)
    assert at_chance(found.alone), told(found.alone)
    assert at_chance(found.together), told(found.together)
