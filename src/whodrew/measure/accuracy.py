"""How often the answers are right: top-k, balanced, by family, by model, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whodrew.identify.samples import Floats, Ints
from whodrew.measure.intervals import (
    Doubles,
    Rate,
    by_prompt,
    interval,
    mean_of_ratios,
    missing,
    ratio,
    resample_counts,
)

UNKNOWN = -1
BINS = 15
TAKEN_FOR = 5


def ranks(scores: Floats, model: Ints) -> Ints:
    """Returns (n,) the place of the true model, 1 for the best.

    Ties count against the attacker in the order of model codes, and candidates of score
    -inf come last; a true model of score -inf is placed last of all.

    Args:
        scores: (n, M).
        model: (n,) true models.
    """
    true = scores[np.arange(len(model)), model]
    better = (scores > true[:, None]).sum(axis=1)
    before = (scores == true[:, None]) & (np.arange(scores.shape[1]) < model[:, None])
    place = 1 + better + before.sum(axis=1)
    return np.asarray(np.where(np.isfinite(true), place, scores.shape[1]))


@dataclass(frozen=True)
class Named:
    """Answers to n queries of M models and P prompts, however they were reached.

    Attributes:
        prompt: (n,) prompt codes.
        model: (n,) true models.
        answer: (n,) answered models, or -1 for ``unknown``.
        models: M.
        prompts: P.
        chance: what guessing gives.
        seed: seeds the intervals.
    """

    prompt: Ints
    model: Ints
    answer: Ints
    models: int
    prompts: int
    chance: float
    seed: int

    def counts(self, values: npt.NDArray[Any]) -> Doubles:
        """Returns (P,) sums by prompt."""
        return by_prompt(values, self.prompt, self.prompts)

    def rate(self, correct: npt.NDArray[np.bool_], chance: float) -> Rate:
        """Returns the share of queries for which something is true."""
        asked = self.counts(np.ones(len(self.prompt)))
        return ratio(self.counts(correct), asked, seed=self.seed, chance=chance)

    def top1(self) -> Rate:
        """Returns the share of right answers."""
        return self.rate(self.answer == self.model, self.chance)

    def _by_model(self) -> tuple[Doubles, Doubles]:
        cell = self.prompt * self.models + self.model
        size = self.prompts * self.models
        right = np.asarray(
            np.bincount(cell, weights=self.answer == self.model, minlength=size), np.float64
        )
        asked = np.bincount(cell, minlength=size).astype(np.float64)
        return right.reshape(-1, self.models), asked.reshape(-1, self.models)

    def balanced(self) -> Rate:
        """Returns the mean over models of the share of right answers."""
        right, asked = self._by_model()
        return mean_of_ratios(right, asked, seed=self.seed, chance=self.chance)

    def family(self, family: Ints) -> Rate:
        """Returns the share of answers that name the right family.

        Chance is the sum over families of (members / M)².

        Args:
            family: (M,) family code of each model.
        """
        sizes = np.bincount(family)
        chance = float(((sizes / self.models) ** 2).sum())
        right = (self.answer >= 0) & (family[np.maximum(self.answer, 0)] == family[self.model])
        return self.rate(right, chance)

    def confusion(self) -> Ints:
        """Returns (M, M + 1) counts of (true, answered), the last column ``unknown``."""
        answer = np.where(self.answer < 0, self.models, self.answer)
        flat = self.model * (self.models + 1) + answer
        size = self.models * (self.models + 1)
        return np.bincount(flat, minlength=size).reshape(self.models, -1)

    def per_model(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Returns for each model asked about its rate and what it is taken for."""
        right, asked = self._by_model()
        confusion = self.confusion()
        labels = (*names, "unknown")
        found: list[dict[str, Any]] = []
        for code in np.flatnonzero(asked.sum(axis=0)).tolist():
            row = confusion[code].copy()
            total = int(row.sum())
            row[code] = 0
            others = np.argsort(-row, kind="stable")[:TAKEN_FOR]
            rate = ratio(right[:, code], asked[:, code], seed=self.seed, chance=self.chance)
            found.append(
                {
                    "model": names[code],
                    "top1": rate.to_dict(),
                    "n": total,
                    "taken_for": [
                        {"model": labels[other], "share": float(row[other] / total)}
                        for other in others.tolist()
                        if row[other]
                    ],
                }
            )
        return found


def calibration_error(
    log_probabilities: Floats, model: Ints, prompt: Ints, prompts: int, seed: int
) -> Rate:
    """Returns the expected calibration error of the top label, 15 bins of equal mass.

    The error is the mean over bins, weighted by mass, of |confidence - accuracy|.

    Args:
        log_probabilities: (n, M).
        model: (n,) true models.
        prompt: (n,) prompt codes.
        prompts: P.
        seed: seeds the interval.
    """
    if len(model) == 0:
        return missing("nothing was asked")
    answer = log_probabilities.argmax(axis=1)
    confidence = np.exp(log_probabilities[np.arange(len(model)), answer].astype(np.float64))
    gap = confidence - (answer == model)
    order = np.argsort(confidence, kind="stable")
    bins = np.empty(len(model), dtype=np.int64)
    count = min(BINS, len(model))
    bins[order] = np.arange(len(model)) * count // len(model)
    size = prompts * count
    sums = np.bincount(prompt * count + bins, weights=gap, minlength=size).reshape(prompts, count)
    asked = np.bincount(prompt, minlength=prompts).astype(np.float64)
    used = asked > 0
    estimate = float(np.abs(sums.sum(axis=0)).sum() / asked.sum())
    counts = resample_counts(int(used.sum()), seed)
    resampled = np.abs(counts @ sums[used]).sum(axis=1) / (counts @ asked[used])
    # a resampled error is biased upward: what resampling adds on average is taken off
    resampled = resampled - (resampled.mean() - estimate)
    return interval(estimate, resampled, int(used.sum()), chance=None)
