"""Choosing strengths and temperatures by likelihood on held-out prompts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from whodrew.identify.base import Identifier, Option
from whodrew.identify.parallel import side_by_side
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Floats, Ints

MOST_QUERIES = 600
FEW_QUERIES = 400
PLENTY = 20
COARSE = np.logspace(-2.5, 1.5, 13)
WORST = 1e3

Part = tuple[Ints, int, int, Floats]


@dataclass(frozen=True)
class Rehearsed:
    """Scores of references whose own fit left out their fold and another.

    Attributes:
        rows: (n,) rows among the references.
        model: (n,) true models.
        fold: (n,) the fold of each query.
        other: (n,) the other fold that the fit left out.
        scores: (options, n, M).
    """

    rows: Ints
    model: Ints
    fold: Ints
    other: Ints
    scores: Floats

    def seen_by(self, fold: int) -> npt.NDArray[np.bool_]:
        """Returns (n,) queries that may tune what names the queries of ``fold``."""
        return np.asarray(self.other == fold)


@dataclass(frozen=True)
class Choice:
    """What was chosen for the queries of one fold.

    Attributes:
        option: strengths.
        index: their place among the identifier's options.
        temperature: scores are divided by it before the softmax.
        tuned: false where too few prompts were at hand and defaults stand.
    """

    option: Option
    index: int
    temperature: float
    tuned: bool


def rehearse(problem: Problem, identifier: Identifier, options: tuple[Option, ...]) -> Rehearsed:
    """Scores references of every fold, fitted without that fold and one more.

    One fit for each pair of folds serves both of them, ten fits in all; no prompt is ever
    scored by a fit that saw it, nor used to tune what names a prompt that its fit saw.
    Large arenas are represented by ``MOST_QUERIES`` seeded queries a fold.

    Args:
        problem: references and knowledge; its queries are not looked at.
        identifier: what scores.
        options: strengths to try.
    """
    problem = problem.rehearsal()
    folds, count = problem.folds, int(problem.folds.max(initial=-1)) + 1
    rng = np.random.default_rng([problem.seed, 3])
    chosen = {fold: _prompts(problem, fold, rng) for fold in range(count)}

    def pair(both: tuple[int, int]) -> list[Part]:
        without = np.flatnonzero(np.isin(folds, both))
        if len(without) == len(folds):
            return []
        left_out = frozenset(without.tolist())
        fitted = identifier.fit(problem.library, left_out, centred=problem.knowledge.centred)
        parts: list[Part] = []
        for fold, other in (both, both[::-1]):
            for prompt in chosen[fold]:
                block = problem.block(prompt)
                keep = problem.apart_from(block, left_out)
                if problem.matched:
                    rounds = np.unique(block.round[keep])
                    keep &= np.isin(block.round, rounds[: _rounds(problem, len(chosen[fold]))])
                block = block.only(keep)
                if len(block.rows):
                    scored = fitted.score(block, options)
                    parts.append((block.rows, fold, other, scored))
        return parts

    pairs = list(combinations(range(count), 2))
    if problem.large and count > 3:
        # each fold with its two neighbours: half the fits, and queries enough
        pairs = [(fold, (fold + 1) % count) for fold in range(count)]
    if problem.large:
        problem.library.prepare(scatter=identifier.scatter)
        found = side_by_side(pair, pairs)
    else:
        found = [pair(both) for both in pairs]
    parts = [part for one in found for part in one]
    rows = [part[0] for part in parts]
    fold_of = [np.full(len(part[0]), part[1]) for part in parts]
    other_of = [np.full(len(part[0]), part[2]) for part in parts]
    scores = [part[3] for part in parts]
    empty = np.empty(0, dtype=np.int64)
    models = len(problem.references.models)
    if not rows:
        none = np.empty((len(options), 0, models), dtype=np.float32)
        return Rehearsed(empty, empty, empty, empty, none)
    asked = np.concatenate(rows)
    return Rehearsed(
        asked,
        problem.references.model[asked],
        np.concatenate(fold_of),
        np.concatenate(other_of),
        np.concatenate(scores, axis=1),
    )


def _rounds(problem: Problem, prompts: int) -> int:
    """Returns how many rounds of each prompt fit into ``MOST_QUERIES``, one at least."""
    return max(MOST_QUERIES // max(prompts * len(problem.references.models), 1), 1)


def _prompts(problem: Problem, fold: int, rng: np.random.Generator) -> list[int]:
    members = rng.permutation(np.flatnonzero(problem.folds == fold))
    kept: list[int] = []
    total = 0
    for prompt in members.tolist():
        rows = problem.queries.rows(prompt)
        size = rows.stop - rows.start
        total += min(size, len(problem.queries.models)) if problem.matched else size
        kept.append(prompt)
        if total >= MOST_QUERIES:
            break
    return kept


def losses(scores: Floats, model: Ints, temperature: Floats) -> Floats:
    """Returns (options,) mean of -log softmax(scores / temperature) at the true models.

    Args:
        scores: (options, n, M), -inf for models that are no candidates; queries whose
            true model is none are left out.
        model: (n,) true models.
        temperature: (options,) positive.
    """
    scaled = scores / temperature[:, None, None].astype(np.float32)
    true = np.take_along_axis(scaled, model[None, :, None], axis=2)
    able = np.isfinite(true[..., 0])
    with np.errstate(over="ignore", invalid="ignore"):
        gap = scaled - true
        loss = np.log(np.exp(np.where(np.isnan(gap), 0.0, gap)).sum(axis=2))
    counted = np.where(able, np.minimum(loss, WORST), 0.0).sum(axis=1)
    return np.asarray(counted / np.maximum(able.sum(axis=1), 1))


def spread(scores: Floats) -> Floats:
    """Returns (options,) the typical deviation of a query's scores, a scale for temperature."""
    finite = np.where(np.isfinite(scores), scores, np.nan)
    with np.errstate(invalid="ignore"):
        typical = np.nanmean(np.nanstd(finite, axis=2), axis=1)
    return np.where(typical > 0, typical, 1.0)


def best_temperature(scores: Floats, model: Ints) -> tuple[float, float]:
    """Returns the temperature of least loss for (n, M) scores, and that loss.

    A coarse grid finds the valley, three refinements its floor (to 0.5 %).
    """
    one = scores[None]
    grid = COARSE * spread(one)[0]
    step = float(np.log(grid[1] / grid[0]))
    best, loss = 1.0, np.inf
    for _ in range(4):
        found = [float(losses(one, model, np.array([value]))[0]) for value in grid]
        best, loss = float(grid[int(np.argmin(found))]), min(found)
        grid = best * np.exp(np.linspace(-step, step, 9))
        step /= 4
    return best, loss


def best_option(scores: Floats, model: Ints) -> int:
    """Returns which option of (options, n, M) scores has the least loss at its best temperature."""
    if len(scores) == 1:
        return 0
    few = slice(None, None, max(len(model) // FEW_QUERIES, 1))
    scores, model = scores[:, few], model[few]
    scale = spread(scores)
    found = np.stack([losses(scores, model, value * scale) for value in COARSE])
    return int(np.argmin(found.min(axis=0)))


def options_for(problem: Problem, identifier: Identifier) -> tuple[Option, ...]:
    """Returns what may be chosen: fewer strengths where references are plenty.

    With ``PLENTY`` references a dimension the strongest prior weighs an eighth and the weak
    ones are all alike, so that only the default and the strongest are tried.
    """
    options = identifier.options(matched=problem.matched)
    samples = problem.references
    if samples.is_reference.sum() < PLENTY * samples.dimension:
        return options
    strengths = [option.strength for option in options]
    kept = (strengths[0], max(strengths))
    return tuple(option for option in options if option.strength in kept)


def choose(
    problem: Problem, identifier: Identifier
) -> tuple[list[Choice], Rehearsed, tuple[Option, ...]]:
    """Returns the choice for the queries of each fold, and the scores it rests on."""
    options = options_for(problem, identifier)
    rehearsed = rehearse(problem, identifier, options)
    count = int(problem.folds.max(initial=-1)) + 1
    choices = [_choice(rehearsed, rehearsed.seen_by(fold), options) for fold in range(count)]
    return choices, rehearsed, options


def choose_for_all(rehearsed: Rehearsed, options: tuple[Option, ...]) -> Choice:
    """Returns the choice for queries of prompts that are no reference prompt at all."""
    return _choice(rehearsed, np.ones(len(rehearsed.rows), dtype=bool), options)


def _choice(
    rehearsed: Rehearsed, seen: npt.NDArray[np.bool_], options: tuple[Option, ...]
) -> Choice:
    model = rehearsed.model[seen]
    if len(model) == 0:
        return Choice(options[0], 0, 1.0, tuned=False)
    index = best_option(rehearsed.scores[:, seen], model)
    temperature, _ = best_temperature(rehearsed.scores[index, seen], model)
    return Choice(options[index], index, temperature, tuned=True)
