"""Whether probabilities can be trusted: the calibration error of the top label."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from whodrew.identify.samples import Floats, Ints
from whodrew.measure.intervals import Doubles, Rate, interval, missing, resample_counts

BINS = 15
#: Edges in log-odds of the bins that stand for confidences where these are too many to hold.
FINE = np.linspace(-8.0, 18.0, 1040)


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
    state = Calibration.zero(prompts, exact=True)
    state.update(log_probabilities, model, prompt)
    return state.error(seed)


@dataclass
class Calibration:
    """Confidences and what became of them; a state.

    Attributes:
        prompts: P.
        exact: whether every confidence is kept, or only counts in a thousand bins.
        mass: (P, B) answers by prompt and bin; empty while exact.
        gap: (P, B) sum of confidence less rightness; likewise.
        kept: prompts, confidences and gaps, where exact.
    """

    prompts: int
    exact: bool
    mass: Doubles
    gap: Doubles
    kept: list[tuple[Ints, Doubles, Doubles]] = field(default_factory=list)

    @classmethod
    def zero(cls, prompts: int, *, exact: bool) -> Calibration:
        """Returns the empty state."""
        shape = (0, 0) if exact else (prompts, len(FINE) + 1)
        return cls(prompts, exact, np.zeros(shape), np.zeros(shape))

    def update(self, log_probabilities: Floats, model: Ints, prompt: Ints) -> None:
        """Counts (n, M) answers with their (n,) true models and prompts."""
        answer = log_probabilities.argmax(axis=1)
        best = log_probabilities[np.arange(len(model)), answer].astype(np.float64)
        confidence = np.exp(best)
        gap = confidence - (answer == model)
        if self.exact:
            self.kept.append((prompt, confidence, gap))
            return
        with np.errstate(divide="ignore"):
            odds = best - np.log(-np.expm1(np.minimum(best, 0.0)))
        bins = np.searchsorted(FINE, odds)
        np.add.at(self.mass, (prompt, bins), 1)
        np.add.at(self.gap, (prompt, bins), gap)

    def merge(self, other: Calibration) -> None:
        """Adds what another partition counted."""
        self.mass += other.mass
        self.gap += other.gap
        self.kept += other.kept

    def error(self, seed: int) -> Rate:
        """Returns the expected calibration error; see ``calibration_error``."""
        mass, gap = self._in_bins() if self.exact else self._merged()
        asked = mass.sum(axis=1)
        used = asked > 0
        prompts = int(used.sum())
        if prompts == 0:
            return missing("nothing was asked")
        estimate = float(np.abs(gap.sum(axis=0)).sum() / asked.sum())
        counts = resample_counts(prompts, seed)
        resampled = np.abs(counts @ gap[used]).sum(axis=1) / (counts @ asked[used])
        # a resampled error is biased upward: what resampling adds on average is taken off
        resampled = resampled - (resampled.mean() - estimate)
        return interval(estimate, resampled, prompts, chance=None)

    def _in_bins(self) -> tuple[Doubles, Doubles]:
        """Returns (P, 15) masses and gaps of bins of equal mass, exactly."""
        if not any(len(prompt) for prompt, _, _ in self.kept):
            return np.zeros((self.prompts, 1)), np.zeros((self.prompts, 1))
        prompt, confidence, gap = (np.concatenate(part) for part in zip(*self.kept, strict=True))
        # by prompt first, so that equal confidences come in one order whatever was first seen
        order = np.lexsort((prompt, confidence))
        count = min(BINS, len(order))
        bins = np.empty(len(order), dtype=np.int64)
        bins[order] = np.arange(len(order)) * count // len(order)
        cell, size = prompt * count + bins, self.prompts * count
        mass = np.bincount(cell, minlength=size).reshape(-1, count).astype(np.float64)
        gaps = np.bincount(cell, weights=gap, minlength=size).astype(np.float64)
        return mass, gaps.reshape(-1, count)

    def _merged(self) -> tuple[Doubles, Doubles]:
        """Returns (P, 15) masses and gaps, fine bins joined to nearly equal mass."""
        total = self.mass.sum(axis=0)
        middle = np.cumsum(total) - total / 2
        group = np.minimum((middle * BINS / max(total.sum(), 1)).astype(np.int64), BINS - 1)
        join = np.zeros((len(total), BINS))
        join[np.arange(len(total)), group] = 1.0
        return self.mass @ join, self.gap @ join
