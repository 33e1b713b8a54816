"""The sample arena: procedural painters that stand in for models, so that an audit runs offline.

Synthetic throughout: its figures say nothing about any real text-to-image model.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whodrew.errors import InputError

from . import painters, scenes  # noqa: F401  (importing registers them)
from .canvas import Canvas
from .containers import saved
from .decoder import develop
from .effects import PAINTERS, image_of
from .grammar import LIGHTS, MOODS, PROMPTS, Prompt
from .models import BUILT_IN_LEAKS, MODELS, Model
from .props_sky import falling
from .stage import SCENES, Stage
from .votes import VOTES_FILE, Shown, write_votes

__all__ = [
    "BUILT_IN_LEAKS",
    "GENERATIONS",
    "MARKER",
    "MODELS",
    "PROMPTS",
    "VERSION",
    "Model",
    "Prompt",
    "SampleSummary",
    "draw_image",
    "draw_sample",
]

VERSION = 1
GENERATIONS = 4
MARKER = ".whodrew-sample.json"
README = """\
SYNTHETIC: the sample arena of whodrew
======================================

These pictures were drawn by small programs ("painters": numpy and Pillow, no network, no weights)
that stand in for text-to-image models. The model names are made up. No figure measured on this
arena says anything about a real model; it is here so that `whodrew audit --sample` runs anywhere,
and so that every part of an audit has something true to find.

Layout    <model>/<prompt_id>/<seed>.<ext>
Prompts   prompts.csv (prompt_id, prompt, category)
Models    models.csv (model, family); models of one family are near relatives
Votes     votes.parquet: nobody voted, a program drew these; some of its voters are dishonest
Drawn by  whodrew sample, version {version}, seed {seed}; the same seed gives the same bytes
          with the same versions of Pillow and numpy

Some containers give their model away on purpose (format, size, EXIF, text chunk, ICC profile):
whodrew.arena.sample.BUILT_IN_LEAKS lists them. Drawing again replaces nothing but these files.
"""

_BY_ID = {prompt.prompt_id: prompt for prompt in PROMPTS}
_Task = tuple[str, str, int]


@dataclass(frozen=True)
class SampleSummary:
    """What ``draw_sample`` drew, or found already there.

    Attributes:
        directory: where it lies.
        models, prompts, generations: how many of each; ``images`` is their product.
        seconds: how long it took.
    """

    directory: Path
    models: int
    prompts: int
    generations: int
    images: int
    seconds: float


def draw_image(model: str, prompt_id: str, generation: int, seed: int = 0) -> bytes:
    """The file of one picture: the same bytes for the same arguments, in any process.

    Args:
        model: a key of ``MODELS``.
        prompt_id: of one of ``PROMPTS``.
        generation: 0 or above; the composition is drawn anew for each.
        seed: of the whole arena.

    Returns:
        The encoded file, in the model's container.
    """
    maker, prompt = MODELS[model], _BY_ID[prompt_id]
    container = maker.container
    rng = _dice(seed, model, prompt_id, generation)
    canvas = Canvas(container.width, container.height)
    stage = Stage(canvas, rng, LIGHTS[prompt.light], MOODS[prompt.mood])
    SCENES[prompt_id](stage)
    falling(stage)
    thickness = stage.mood.haze * float(rng.uniform(0.7, 1.2))
    picture = canvas.finish(
        mirrored=bool(rng.integers(2)), haze=stage.light.haze, thickness=thickness
    )
    names, shares = zip(*maker.styles, strict=True)
    style = names[int(rng.choice(len(names), p=shares))]
    painted = PAINTERS[style](picture, rng, maker.hand.varied(rng))
    finished = develop(np.clip(painted, 0, 1).astype(np.float32, copy=False), maker.trace, rng)
    image = image_of(finished)
    return saved(image, container, model=model, prompt=prompt.text, seed=generation)


def draw_sample(
    directory: Path,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Draws the sample arena, or leaves it as it is where the same one is complete already.

    Args:
        directory: new, empty, or an earlier sample.
        seed: another seed gives another arena of the same models and prompts.
        workers: processes; by default one for each core. The bytes do not depend on it. They are
            spawned: a script calls this under ``if __name__ == "__main__"``, or with one worker.
        progress: called with the number of images written and their total.

    Returns:
        What was drawn.

    Raises:
        InputError: the directory holds something else, or a sample of another version.
    """
    started = time.perf_counter()
    tasks = [
        (model, prompt.prompt_id, generation)
        for model in MODELS
        for prompt in PROMPTS
        for generation in range(GENERATIONS)
    ]
    marker = directory / MARKER
    wanted = {"version": VERSION, "seed": seed, "complete": True}
    if _claimed(directory) == wanted and all(_path(directory, task).is_file() for task in tasks):
        if not (directory / VOTES_FILE).is_file():  # drawn before there were votes
            _write_tables(directory, seed)
        if progress is not None:
            progress(len(tasks), len(tasks))
    else:
        directory.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(wanted | {"complete": False}) + "\n", encoding="utf-8")
        _write_tables(directory, seed)
        for done, _ in enumerate(_drawn(directory, tasks, seed, workers), start=1):
            if progress is not None:
                progress(done, len(tasks))
        marker.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    return SampleSummary(
        directory, len(MODELS), len(PROMPTS), GENERATIONS, len(tasks), time.perf_counter() - started
    )


def _dice(seed: int, model: str, prompt_id: str, generation: int) -> np.random.Generator:
    """Randomness of one picture alone: no picture shares any with another."""
    key = json.dumps([VERSION, seed, model, prompt_id, generation]).encode()
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big")))
    )


def _path(directory: Path, task: _Task) -> Path:
    model, prompt_id, generation = task
    return directory / model / prompt_id / f"{generation}.{MODELS[model].container.extension}"


def _claimed(directory: Path) -> object:
    """What the marker of an earlier sample says; None for a directory that is free."""
    marker = directory / MARKER
    if marker.is_file():
        try:
            found: object = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            return None
        version = found.get("version") if isinstance(found, dict) else None
        if version != VERSION:
            raise InputError(
                f"{directory}: a sample of version {version}, and this whodrew draws version "
                f"{VERSION}; delete it or name a new directory"
            )
        return found
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise InputError(
            f"{directory}: there is something else here, and no earlier sample; "
            "name a new or an empty directory"
        )
    return None


def _write_tables(directory: Path, seed: int) -> None:
    prompts = [(prompt.prompt_id, prompt.text, prompt.category) for prompt in PROMPTS]
    families = [(model.name, model.family) for model in MODELS.values()]
    for name, header, rows in (
        ("prompts.csv", ("prompt_id", "prompt", "category"), prompts),
        ("models.csv", ("model", "family"), families),
    ):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        (directory / name).write_text(text.getvalue(), encoding="utf-8")
    (directory / "README.txt").write_text(
        README.format(version=VERSION, seed=seed), encoding="utf-8"
    )
    endings = {model.name: model.container.extension for model in MODELS.values()}
    shown = Shown(endings, [prompt.prompt_id for prompt in PROMPTS], GENERATIONS)
    write_votes(directory / VOTES_FILE, shown, seed)


def _drawn(directory: Path, tasks: list[_Task], seed: int, workers: int | None) -> Iterator[None]:
    """Draws and writes every task, in this process or in several; yields once for each."""
    for task in tasks:
        _path(directory, task).parent.mkdir(parents=True, exist_ok=True)
    count = workers or os.cpu_count() or 1
    jobs = [(directory, task, seed) for task in tasks]
    if count == 1:
        yield from map(_write, jobs)
        return
    # Spawned, not forked: the caller may hold threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        yield from pool.map(_write, jobs, chunksize=4)


def _write(job: tuple[Path, _Task, int]) -> None:
    directory, task, seed = job
    _path(directory, task).write_bytes(draw_image(*task, seed))
