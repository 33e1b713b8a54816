"""Arenas of made-up vectors, and slow, plain versions of what the package does fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from whodrew.encoders.base import Scale
from whodrew.identify.attack import Answers, attack
from whodrew.identify.base import Identifier
from whodrew.identify.knowledge import Knowledge
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Samples

Array = npt.NDArray[Any]


def arena(
    models: int,
    prompts: int,
    generations: int,
    dimension: int,
    *,
    scale: Scale = "unit",
    seed: int = 0,
    signal: float = 0.0,
    common: float = 0.0,
    missing: float = 0.0,
    uneven: bool = False,
) -> Samples:
    """Returns normal noise, plus what the model and the prompt add to it, if anything.

    Args:
        models: M.
        prompts: P.
        generations: images of a cell.
        dimension: D.
        scale: ``unit`` gives rows of length one, ``standardise`` columns of any offset.
        seed: seeds all of it.
        signal: deviation of the models' own directions.
        common: deviation of the prompts' own directions.
        missing: share of the cells that are left out.
        uneven: gives cells between one and ``generations`` images.
    """
    rng = np.random.default_rng([seed, 99])
    of_model = signal * rng.standard_normal((models, dimension))
    of_prompt = common * rng.standard_normal((prompts, dimension))
    vectors, names, texts = [], [], []
    for prompt in range(prompts):
        for model in range(models):
            if rng.random() < missing:
                continue
            count = int(rng.integers(1, generations + 1)) if uneven else generations
            noise = rng.standard_normal((count, dimension))
            vectors.append(noise + of_model[model] + of_prompt[prompt])
            names += [f"m{model:02d}"] * count
            texts += [f"p{prompt:03d}"] * count
    rows = np.concatenate(vectors)
    if scale == "unit":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    else:
        rows = rows * rng.uniform(0.5, 20.0, dimension) + rng.uniform(-50, 50, dimension)
    return Samples.build(
        rows,
        models=names,
        prompts=texts,
        scale=scale,
        model_names=[f"m{model:02d}" for model in range(models)],
        prompt_names=[f"p{prompt:03d}" for prompt in range(prompts)],
    )


def shuffled_within_prompts(samples: Samples, seed: int) -> Samples:
    """Returns the same vectors with models dealt anew among the images of each prompt."""
    rng = np.random.default_rng([seed, 98])
    order = np.arange(len(samples))
    for prompt in range(len(samples.prompts)):
        rows = samples.rows(prompt)
        order[rows] = rng.permutation(order[rows])
    return replace(samples, vectors=samples.vectors[order])


def ask(
    samples: Samples,
    identifier: Identifier,
    *,
    queries: Samples | None = None,
    seed: int = 0,
    **knowledge: Any,
) -> Answers:
    """Returns the answers of a whole attack."""
    problem = Problem.build(samples, queries, knowledge=Knowledge(**knowledge), seed=seed)
    return attack(problem, identifier).answers


def normalised(vectors: Array) -> Array:
    """Returns rows (or one vector) of length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def two_way_fit(
    vectors: Array, model: Array, prompt: Array, models: int, prompts: Sequence[int]
) -> tuple[Array, dict[int, Array]]:
    """Returns model effects (M, D) and prompt effects by least squares on cells' means.

    Each cell counts once; ``a`` has mean zero over the models that occur (one design
    matrix of dummies, solved by the least norm and then moved).
    """
    cells, design = [], []
    place = {code: index for index, code in enumerate(prompts)}
    for code in prompts:
        for kind in range(models):
            rows = (model == kind) & (prompt == code)
            if rows.any():
                cells.append(vectors[rows].astype(np.float64).mean(axis=0))
                line = np.zeros(models + len(prompts))
                line[kind] = line[models + place[code]] = 1.0
                design.append(line)
    solved = np.linalg.lstsq(np.array(design), np.array(cells), rcond=1e-10)[0]
    effects, own = solved[:models], solved[models:]
    occurs = np.array(design)[:, :models].any(axis=0)
    shift = effects[occurs].mean(axis=0)
    effects = np.where(occurs[:, None], effects - shift, 0.0)
    return effects, {code: own[index] + shift for code, index in place.items()}


def slow_kappa(vectors: Array, model: Array, prompt: Array) -> float:
    """Returns images' variance about their prompt's mean over that of the prompts' means."""
    middles, noise, inverse = [], 0.0, 0.0
    kinds = np.unique(prompt)
    for code in kinds:
        own, kind = vectors[prompt == code], model[prompt == code]
        middle = np.mean([own[kind == one].mean(axis=0) for one in np.unique(kind)], axis=0)
        noise += float(((own - middle) ** 2).sum())
        inverse += 1.0 / len(own)
        middles.append(middle)
    if len(kinds) < 2 or len(vectors) == len(kinds):
        return 1.0
    noise /= len(vectors) - len(kinds)
    between = float(np.var(middles, axis=0, ddof=1).sum()) - noise * inverse / len(kinds)
    return min(noise / between, 1e6) if between > 0 else 1e6


@dataclass(frozen=True)
class Seen:
    """All that an attacker may use for one query, put together image by image.

    Attributes:
        x: (D',) the query, scaled.
        shown: (s, D') images shown of its prompt, scaled.
        far: (r, D') references of other prompts, scaled, with ``far_model, far_prompt``.
        near: (q, D') references of its prompt once one is taken of every cell.
        alone: (q', D') references of its prompt once the query alone is taken.
        models: M.
    """

    x: Array
    shown: Array
    far: Array
    far_model: Array
    far_prompt: Array
    near: Array
    near_model: Array
    alone: Array
    alone_model: Array
    models: int

    def effects(self) -> tuple[Array, Array, float]:
        """Returns model effects, the mean of the prompts' effects, and κ."""
        prompts = np.unique(self.far_prompt).tolist()
        effects, own = two_way_fit(self.far, self.far_model, self.far_prompt, self.models, prompts)
        grand = np.mean(list(own.values()), axis=0)
        return effects, grand, slow_kappa(self.far, self.far_model, self.far_prompt)

    def other_centre(self) -> Array:
        """Returns the mean of what is shown, drawn toward the global mean."""
        _, grand, kappa = self.effects()
        count = len(self.shown)
        return grand + count / (count + kappa) * (self.shown.mean(axis=0) - grand)

    def cells(self) -> tuple[Array, Array, Array]:
        """Returns counts (M,), means (M, D') and the prompt's effect of ``near``."""
        effects, _, _ = self.effects()
        counts = np.bincount(self.near_model, minlength=self.models)
        means = np.zeros((self.models, len(self.x)))
        for code in np.flatnonzero(counts):
            means[code] = self.near[self.near_model == code].mean(axis=0)
        present = counts > 0
        return counts, means, (means[present] - effects[present]).mean(axis=0)


def seen(problem: Problem, row: int) -> Seen:
    """Collects what the attacker may use for one query of an arena asked about itself."""
    samples = problem.references
    prompt, group = samples.prompt, samples.group
    known = samples.model >= 0
    first = np.zeros(len(samples), dtype=bool)
    for one in np.unique(group[known]):
        first[np.flatnonzero(known & (group == one))[0]] = True
    usable = first & ~np.isin(samples.model, problem.hidden)
    limit = len(samples) if problem.limit is None else problem.limit
    excluded = {int(prompt[other]) for other in np.flatnonzero(group == group[row])}
    excluded.add(int(prompt[row]))
    far = np.flatnonzero(usable & (problem.place < limit) & ~np.isin(prompt, list(excluded)))
    twin = np.flatnonzero(first & (group == group[row]) & (prompt == prompt[row]))
    turn = int(problem.place[twin[0]]) if len(twin) else 0
    near: list[int] = []
    alone: list[int] = []
    for code in range(len(samples.models)):
        cell = np.flatnonzero(first & (prompt == prompt[row]) & (samples.model == code))
        cell = cell[np.argsort(problem.place[cell])]
        if len(cell) == 0 or code in problem.hidden:
            continue
        repeated = (group == group[cell[0]]).sum() > 1
        if len(cell) > 1 or (repeated and turn == 0):
            near += np.roll(cell, -(turn % len(cell)))[1 : 1 + limit].tolist()
        else:
            near += cell[:limit].tolist()
        if len(twin) and twin[0] in cell:
            place = int(problem.place[twin[0]])
            alone += np.roll(cell, -place)[1 : 1 + limit].tolist()
        else:
            alone += cell[:limit].tolist()
    vectors = samples.vectors.astype(np.float64)
    if samples.scale == "standardise":
        mean, deviation = vectors[far].mean(axis=0), vectors[far].std(axis=0)
        kept = deviation > 1e-4
        vectors = ((vectors - mean) / np.where(kept, deviation, 1.0))[:, kept]
    return Seen(
        x=vectors[row],
        shown=vectors[samples.rows(int(prompt[row]))],
        far=vectors[far],
        far_model=samples.model[far],
        far_prompt=prompt[far],
        near=vectors[near],
        near_model=samples.model[near],
        alone=vectors[alone],
        alone_model=samples.model[alone],
        models=len(samples.models),
    )


def with_duplicates(samples: Samples) -> Samples:
    """Returns the arena with images that recur: in a cell, in another cell, in another prompt."""
    vectors, group = samples.vectors.copy(), samples.group.copy()
    cell = samples.prompt * len(samples.models) + samples.model

    def repeat(first: int, second: int) -> None:
        vectors[second] = vectors[first]
        group[second] = group[first]

    own = np.flatnonzero(cell == cell[0])
    repeat(own[0], own[1])
    repeat(own[0], int(np.flatnonzero((samples.prompt == 0) & (cell != cell[0]))[0]))
    later = np.flatnonzero(samples.prompt == 2)
    repeat(later[0], int(np.flatnonzero(samples.prompt == 4)[-1]))
    repeat(later[1], int(np.flatnonzero(samples.prompt == 5)[0]))
    return replace(samples, vectors=vectors, group=group)
