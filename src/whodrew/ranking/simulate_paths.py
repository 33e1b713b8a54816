"""Attacks as increments to totals: many repetitions at once, and in the mean.

Votes change a ranking only through the totals of each pair. An attack therefore adds
multinomial counts to totals, checkpoint after checkpoint, and scores follow by Newton's
method from where they were, with the Hessian of the log (the chord method) while that
settles. No row is ever drawn or refitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.ranking.behaviour import totals
from whodrew.ranking.cells import Pairs
from whodrew.ranking.columns import Doubles
from whodrew.ranking.fit import Fit, fit, incidence, repeated
from whodrew.ranking.models import LEAST, SLOPES, expit
from whodrew.ranking.ranks import Ints, ranks_of
from whodrew.ranking.simulate_log import Log

#: Bytes that the largest array of a batch of repetitions may take.
_BATCH: Final = 1 << 26
#: Scores have settled when what is left is less than this part of what one vote moves.
_CLOSE: Final = 0.1
_TURNS: Final = 6
#: A step that is longer, in log odds, is none for the Hessian of the log.
_LONGEST: Final = 0.5
#: Checkpoints are this far apart; between two the gap is taken as linear in the votes.
_APART: Final = 1.25
_GRID: Final = 28


@dataclass(frozen=True)
class Push:
    """Which model is moved, and which way.

    Attributes:
        model: its code.
        up: whether it is to rise.
        ranks: (G,) by how many ranks.
    """

    model: int
    up: bool
    ranks: tuple[int, ...]

    def wanted(self, rank: Ints, models: int) -> Ints:
        """Returns (..., G) the ranks wanted of a model that has ``rank``.

        Where fewer ranks are left than wanted, all of them.
        """
        sign = -1 if self.up else 1
        found = np.clip(rank[..., None] + sign * np.array(self.ranks), 1, models)
        return np.asarray(found, dtype=np.int64)

    def short(self, scores: Doubles, wanted: Ints) -> Doubles:
        """Returns (B, G) how far scores (B, M) are from the wanted ranks; 0 or less is there.

        Up: the score of the model that has the place among the others, less its own.
        """
        own = scores[:, self.model, None]
        others = -np.sort(-np.delete(scores, self.model, axis=1), axis=1)
        at = wanted - 1 if self.up else wanted - 2
        rival = np.take_along_axis(others, np.clip(at, 0, others.shape[1] - 1), axis=1)
        return np.asarray(rival - own if self.up else own - rival)


class Scores:
    """Scores of B resamples that follow their totals.

    Args:
        log: what is fitted.
        start: (B, 3, P) totals at the beginning.
    """

    def __init__(self, log: Log, start: Doubles) -> None:
        self.log = log
        self._X = incidence(log.pairs)
        self._extra = log.ties != "half"
        self._point, self._inverse = self._fitted(start, repeated(log.point, len(start)))
        self._close = _CLOSE * float(np.diagonal(self._inverse, axis1=1, axis2=2).min())

    @property
    def scores(self) -> Doubles:
        """(B, M) log odds."""
        return np.asarray(self._point[:, : len(self.log.models)])

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Drops all resamples but these."""
        self._point, self._inverse = self._point[rows], self._inverse[rows]

    def follow(self, counts: Doubles) -> None:
        """Fits the scores to (B, 3, P) totals, from where they are."""
        M = len(self.log.models)
        far = np.zeros(len(counts), dtype=bool)
        before = np.full(len(counts), _LONGEST)
        for _ in range(_TURNS):
            step = np.matmul(self._inverse, self._gradient(counts)[..., None])[..., 0]
            step[:, :M] -= step[:, :M].mean(axis=1, keepdims=True)
            length = np.abs(step).max(axis=1)
            # it does not close in, or is no number
            far |= ~((length <= before) | (length < self._close))
            step[far] = 0.0
            self._point += step
            if self._extra:
                self._point[:, M] = np.maximum(self._point[:, M], LEAST[self.log.ties])
            # steps shrink in proportion: what is left is about the next one
            rest = length * length / np.maximum(before, 1e-300)
            going = ~far & (rest >= self._close)
            if not going.any():
                break
            before = np.maximum(length, 1e-300)
        else:
            far |= going
        if not far.any():
            return
        rows = np.flatnonzero(far)
        start = repeated(self.log.point, len(rows))
        self._point[rows], self._inverse[rows] = self._fitted(counts[rows], start)

    def _gradient(self, counts: Doubles) -> Doubles:
        M, log = len(self.log.models), self.log
        point = self._point
        d = point[:, :M] @ self._X.T
        if not self._extra:  # as models has it, in fewer passes over memory
            wins, losses, tied = counts.transpose(1, 0, 2)
            score = wins + tied / 2 - (wins + losses + tied) * expit(d)
            return np.asarray(score @ self._X - log.ridge * point)
        t = np.broadcast_to(point[:, M:], d.shape)
        slopes = SLOPES[log.ties](d, t, *counts.transpose(1, 0, 2))
        sums = [slopes.score @ self._X, slopes.tie.sum(axis=1, keepdims=True)]
        return np.asarray(np.concatenate(sums, axis=1) - log.ridge * point)

    def _fitted(self, counts: Doubles, start: Fit) -> tuple[Doubles, Doubles]:
        """Fits by Newton's method; returns the parameters and the inverse of the Hessian."""
        log, M, B = self.log, len(self.log.models), len(counts)
        batch = Pairs(M, log.pairs.first, log.pairs.second, *counts.transpose(1, 0, 2))
        fitted = fit(batch, ties=log.ties, ridge=log.ridge, start=start)
        found = np.empty((B, M + self._extra))
        found[:, :M] = fitted.scores
        if self._extra:
            found[:, M] = fitted.tie
        H = fitted.hessian.copy()  # all ones carry no information
        scale = np.maximum(np.trace(H[:, :M, :M], axis1=1, axis2=2) / M, 1e-12)
        H[:, :M, :M] += (scale / M)[:, None, None]
        return found, np.asarray(np.linalg.inv(H), dtype=np.float64)


def _batches(log: Log, repetitions: int, width: int) -> list[int]:
    """Returns sizes of batches that keep memory bounded."""
    Q = len(log.models) + 1
    size = max(1, _BATCH // (8 * max(3 * len(log.pairs.first), Q * Q, width)))
    sizes = [size] * (repetitions // size)
    return sizes + ([repetitions % size] if repetitions % size else [])


def checkpoints(least: float, most: int) -> Ints:
    """Returns numbers of votes from 0 to ``most``, spaced in proportion from ``least`` on."""
    low = max(1.0, min(least, most))
    number = max(1, int(np.ceil(np.log(most / low) / np.log(_APART)))) + 1
    grid = np.unique(np.round(np.geomspace(low, most, number)).astype(np.int64))
    return np.concatenate([[0], grid[grid > 0]])


def walk(
    log: Log,
    share: Doubles,
    push: Push,
    steps: Ints,
    *,
    repetitions: int,
    rng: np.random.Generator,
    fixed: bool,
) -> Doubles:
    """Returns (repetitions, G) votes at which each rank is first reached; infinite if never.

    What is reached and lost again between two checkpoints is not seen: where votes also go
    elsewhere, as with ``mimic``, the first time is somewhat later than it was.

    Args:
        log: the honest votes.
        share: (3, P) share of each vote among the attacker's.
        push: what is wanted, counted from the rank that the model has in the repetition.
        steps: checkpoints, from 0; the last is the budget.
        repetitions: how often.
        rng: what is drawn from.
        fixed: take the log as it is; else it is drawn again in each repetition.
    """
    draw = None if fixed else log.again(rng)
    parts = []
    for some in _batches(log, repetitions, 0 if draw is None else draw.width):
        start = (
            np.repeat(log.flat()[None], some, axis=0)
            if draw is None
            else np.array(draw.totals(some))
        )
        parts.append(_walk(log, share, push, steps, start, rng))
    return np.concatenate(parts)


def _walk(
    log: Log, share: Doubles, push: Push, steps: Ints, start: Doubles, rng: np.random.Generator
) -> Doubles:
    found = np.full((len(start), len(push.ranks)), np.inf)
    fitted, counts = Scores(log, start), start
    wanted = push.wanted(ranks_of(fitted.scores)[:, push.model], len(log.models))
    before = push.short(fitted.scores, wanted)
    found[before <= 0] = 0.0
    if not share.any():
        return found
    going = np.arange(len(start))
    for last, now in zip(steps[:-1].tolist(), steps[1:].tolist(), strict=True):
        open_goals = np.isinf(found[going])
        keep = open_goals.any(axis=1)
        if not keep.any():
            break
        if not keep.all():
            fitted.keep(keep)
            counts, wanted, before = counts[keep], wanted[keep], before[keep]
            going, open_goals = going[keep], open_goals[keep]
        drawn = totals(share.reshape(-1), now - last, len(going), rng)
        counts += drawn.reshape(len(going), *share.shape)
        fitted.follow(counts)
        after = push.short(fitted.scores, wanted)
        hit = open_goals & (after <= 0)
        row, goal = np.nonzero(hit)
        part = before[hit] / np.maximum(before[hit] - after[hit], 1e-300)
        found[going[row], goal] = last + np.clip(part, 0, 1) * (now - last)
        before = after
    return found


def ranks_after(
    log: Log,
    share: Doubles,
    model: int,
    amounts: Ints,
    *,
    repetitions: int,
    rng: np.random.Generator,
    fixed: bool,
) -> tuple[Ints, Ints]:
    """Returns (repetitions,) ranks before and (repetitions, n) after so many attacking votes.

    Args:
        log: the honest votes.
        share: (3, P) share of each vote among the attacker's.
        model: whose rank.
        amounts: (n,) attacking votes, ascending.
        repetitions: how often.
        rng: what is drawn from.
        fixed: take the log as it is.
    """
    draw = None if fixed else log.again(rng)
    before, after = [], []
    for some in _batches(log, repetitions, 0 if draw is None else draw.width):
        counts = (
            np.repeat(log.flat()[None], some, axis=0)
            if draw is None
            else np.array(draw.totals(some))
        )
        fitted = Scores(log, counts)
        before.append(ranks_of(fitted.scores)[:, model])
        here, last = [], 0
        for now in amounts.tolist():
            if share.any():
                drawn = totals(share.reshape(-1), now - last, some, rng)
                counts += drawn.reshape(some, *share.shape)
                fitted.follow(counts)
            here.append(ranks_of(fitted.scores)[:, model])
            last = now
        after.append(np.stack(here, axis=1))
    return np.concatenate(before), np.concatenate(after)


def expected(log: Log, share: Doubles, push: Push, most: float) -> Doubles:
    """Returns (G,) votes needed where the attack's totals are what they are in the mean.

    Deterministic: totals are those of the log and n times ``share``, and n is found on grids
    of n that close in on where the gap closes; infinite where none up to ``most`` does. The
    answer need not be whole.

    Args:
        log: the honest votes, as they are.
        share: (3, P) share of each vote among the attacker's.
        push: what is wanted.
        most: votes looked at.
    """
    found = np.full(len(push.ranks), np.inf)
    if not share.any():
        return found
    wanted = push.wanted(log.ranks[push.model], len(log.models))[None]
    grid = np.concatenate([[0.0], np.geomspace(min(1.0, most / 2), most, _GRID)])
    short = _short(log, share, push, wanted, grid)
    for goal in range(len(push.ranks)):
        n, gap = grid, short[:, goal]
        if gap[0] <= 0:
            found[goal] = 0.0
        for _ in range(3):
            below = np.flatnonzero(gap <= 0)
            if not len(below) or below[0] == 0:
                break
            low, high = n[below[0] - 1], n[below[0]]
            part = gap[below[0] - 1] / (gap[below[0] - 1] - gap[below[0]])
            found[goal] = low + part * (high - low)
            n = np.linspace(low, high, _GRID // 2)
            gap = _short(log, share, push, wanted, n)[:, goal]
    return found


def _short(log: Log, share: Doubles, push: Push, wanted: Ints, n: Doubles) -> Doubles:
    """Returns (n, G) how far the mean scores are from the wanted ranks after n votes."""
    parts = []
    begin = 0
    for some in _batches(log, len(n), 0):
        counts = log.flat()[None] + n[begin : begin + some, None, None] * share[None]
        batch = Pairs(len(log.models), log.pairs.first, log.pairs.second, *counts.swapaxes(0, 1))
        fitted = fit(batch, ties=log.ties, ridge=log.ridge, start=repeated(log.point, some))
        parts.append(push.short(fitted.scores, np.repeat(wanted, some, axis=0)))
        begin += some
    return np.concatenate(parts)
