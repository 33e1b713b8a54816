"""One target against the rest on an arena of any size: scores as counts in bins.

Figures are those of ``measure.rest``; where that sorts scores this counts them, in bins
whose edges are chosen beforehand from held-out scores. Bins are narrow where rates are
small: the figures differ from the exact ones by a few ten-thousandths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from whodrew.identify.attack import Answers
from whodrew.identify.parallel import side_by_side
from whodrew.identify.samples import Floats, Ints, Mask
from whodrew.measure.intervals import Doubles, resample_counts
from whodrew.measure.rest import (
    ATTACKERS,
    FIGURES,
    LOW_RATES,
    columns_of,
    curves,
    figures,
    no_figures,
    rates,
    resampled_figures,
)

#: Quantiles of the others' scores and of the target's own at which bins end.
OTHERS = np.concatenate([np.linspace(0, 0.9, 91), np.linspace(0.901, 1, 100)])
OWN = np.linspace(0, 1, 101)
#: Prompts are joined to so many groups at most, each within one fold, for the intervals.
MOST_GROUPS = 512


@dataclass
class Targets:
    """Counts of (attacker, target, own or others', group of prompts, bin); a state.

    Attributes:
        edges: (2, M, B) ascending ends of the bins.
        counts: (2, G, M, 2, B + 1) images; the others' first.
        group: (P,) group of each prompt.
        fold: (G,) fold of each group.
        seed: seeds the intervals.
    """

    edges: Floats
    counts: npt.NDArray[np.int32]
    group: Ints
    fold: Ints
    seed: int

    @classmethod
    def zero(cls, practice: Floats, model: Ints, folds: Ints, seed: int) -> Targets:
        """Returns the empty state.

        Args:
            practice: (n, M) calibrated scores of held-out references, which place the bins.
            model: (n,) their models.
            folds: (P,) fold of each prompt.
            seed: seeds the intervals.
        """
        edges = np.stack([_edges(columns_of(practice, name), model) for name in ATTACKERS])
        group, fold = _groups(folds)
        shape = (len(ATTACKERS), len(fold), edges.shape[1], 2, edges.shape[2] + 1)
        return cls(edges, np.zeros(shape, dtype=np.int32), group, fold, seed)

    def counted(self, answers: Answers) -> npt.NDArray[np.int64]:
        """Returns (2, M, 2, B + 1) counts of one prompt's answers, for ``add``."""
        models, size = self.edges.shape[1], self.edges.shape[2] + 1
        found = np.empty((len(ATTACKERS), models, 2, size), dtype=np.int64)
        own = answers.model[None, :] == np.arange(models)[:, None]
        cell = (np.arange(models)[:, None] * 2 + own) * size
        for place, name in enumerate(ATTACKERS):
            columns = columns_of(answers.scaled, name)
            bins = np.stack(
                [
                    np.searchsorted(edges, column, side="right")
                    for edges, column in zip(self.edges[place], columns, strict=True)
                ]
            )
            flat = np.bincount((cell + bins).ravel(), minlength=models * 2 * size)
            found[place] = flat.reshape(models, 2, size)
        return found

    def add(self, prompt: int, counted: npt.NDArray[np.int64]) -> None:
        """Adds what ``counted`` gave for images of one prompt."""
        self.counts[:, self.group[prompt]] += counted.astype(np.int32)

    def merge(self, other: Targets) -> None:
        """Adds what another partition counted."""
        self.counts += other.counts

    def figures(self, able: Mask) -> dict[str, Any]:
        """Returns the figures of both attackers, JSON-ready. Cost: M G B for each resample.

        Args:
            able: (M,) models that were ever candidates.
        """
        own = self.counts[0, :, :, 1].sum(axis=(0, 2))
        targets = np.flatnonzero((own > 0) & able).tolist()
        if len(targets) < 2:
            return no_figures("needs images of two models or more")
        return {
            name: rates(
                side_by_side(lambda code, at=place: self._target(at, code), targets),  # type: ignore[misc]
                len(self._used),
            )
            for place, name in enumerate(ATTACKERS)
        }

    @cached_property
    def _used(self) -> Ints:
        """Groups that hold any image."""
        return np.flatnonzero(self.counts[0].sum(axis=(1, 2, 3)))

    @cached_property
    def _draws(self) -> Floats:
        return resample_counts(len(self._used), self.seed).astype(np.float32)

    def _target(self, place: int, code: int) -> tuple[Doubles, Doubles, float]:
        counts = self.counts[place, self._used, code].astype(np.float64)
        others, own = counts[:, 0], counts[:, 1]
        said = self._accepted(own, others)
        sums = [
            (own * said).sum(axis=1),
            (others * ~said).sum(axis=1),
            own.sum(axis=1),
            others.sum(axis=1),
        ]
        totals = [float(one.sum()) for one in sums]
        true, false = curves(own.sum(axis=0), others.sum(axis=0))
        exact = figures(true, false, *totals)
        for name, rate in LOW_RATES.items():
            # between the ends of bins, where sorted scores would give every step
            exact[FIGURES.index(name)] = np.interp(rate, false, true)
        # neighbouring bins by twos: intervals need no more
        binned = [
            np.add.reduceat(one, np.arange(0, one.shape[1], 2), axis=1) for one in (own, others)
        ]
        return exact, resampled_figures(self._draws, binned, sums), totals[3]

    def _accepted(self, own: Doubles, others: Doubles) -> Mask:
        """Returns (G, B + 1) bins that pass the best threshold of the other folds' prompts."""
        fold = self.fold[self._used]
        said = np.zeros(own.shape, dtype=bool)
        folds = np.unique(fold)
        for number in folds.tolist():
            rest = (fold != number) | (len(folds) == 1)
            hits = np.cumsum(own[rest].sum(axis=0)[::-1])[::-1]
            alarms = np.cumsum(others[rest].sum(axis=0)[::-1])[::-1]
            gain = hits / max(hits[0], 1) - alarms / max(alarms[0], 1)
            # of equal gains the highest threshold
            best = len(gain) - 1 - int(np.argmax(gain[::-1]))
            said[fold == number, best:] = True
        return said


def _edges(columns: Floats, model: Ints) -> Floats:
    """Returns (M, B) ends of bins from (M, n) held-out scores of images of (n,) models."""
    found = []
    for code, column in enumerate(columns):
        finite = np.isfinite(column)
        own, others = column[finite & (model == code)], column[finite & (model != code)]
        parts = [np.zeros(len(OTHERS) + len(OWN))]
        if len(own) and len(others):
            parts = [np.quantile(others, OTHERS), np.quantile(own, OWN)]
        ends = np.sort(np.concatenate(parts))
        beyond = ends[-1] + np.ptp(ends) * np.arange(1, 9) / 8
        found.append(np.concatenate([ends, beyond]))
    return np.stack(found).astype(np.float32)


def _groups(folds: Ints) -> tuple[Ints, Ints]:
    """Returns (P,) group of each prompt and (G,) fold of each group."""
    group = np.empty(len(folds), dtype=np.int64)
    numbers = np.unique(folds)
    most = max(MOST_GROUPS // max(len(numbers), 1), 1)
    fold_of: list[int] = []
    for number in numbers.tolist():
        members = np.flatnonzero(folds == number)
        count = min(len(members), most)
        group[members] = len(fold_of) + np.arange(len(members)) % count
        fold_of += [number] * count
    return group, np.array(fold_of, dtype=np.int64)
