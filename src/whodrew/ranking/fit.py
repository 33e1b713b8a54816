"""Newton's method for paired comparisons, for many resamples at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.ranking.cells import Pairs
from whodrew.ranking.columns import Doubles
from whodrew.ranking.models import LEAST, SLOPES, START, Slopes

#: Default ridge: enough for a finite answer, 1e-8 of a score where 100 battles were voted on.
RIDGE: Final = 1e-6
_STEPS: Final = 60
_LONGEST: Final = 3.0
_CLOSE: Final = 1e-10


@dataclass(frozen=True)
class Fit:
    """Scores of M models in one or many resamples.

    Attributes:
        scores: (..., M) log odds, mean 0.
        tie: (...) log ν or log κ; NaN where ties are halves.
        converged: (...) whether the last step was below 1e-8.
        hessian: (..., Q, Q) minus the second derivative, ridge in it; Q is M, and one more
            where ties have a parameter.
    """

    scores: Doubles
    tie: Doubles
    converged: npt.NDArray[np.bool_]
    hessian: Doubles


def repeated(point: Fit, times: int) -> Fit:
    """Returns one fit as the start of so many resamples; its Hessian stays that of one."""
    return Fit(
        np.broadcast_to(point.scores, (times, len(point.scores))),
        np.broadcast_to(point.tie, (times,)),
        np.broadcast_to(point.converged, (times,)),
        point.hessian,
    )


def incidence(pairs: Pairs) -> Doubles:
    """Returns (P, M): 1 for the first model of a pair, -1 for the second."""
    found = np.zeros((len(pairs.first), pairs.models))
    rows = np.arange(len(pairs.first))
    found[rows, pairs.first] = 1.0
    found[rows, pairs.second] = -1.0
    return found


def fit(pairs: Pairs, *, ties: str = "half", ridge: float = RIDGE, start: Fit | None = None) -> Fit:
    """Fits scores by maximum likelihood, less ridge / 2 times the sum of their squares.

    Source: Newton's method on the log-likelihoods of ``whodrew.ranking.models``, its steps
    clipped at 3. Without a ridge the scores of a strongly connected graph of wins are
    unique up to a constant, which the mean of 0 fixes.

    Args:
        pairs: totals, with leading axes for resamples. Cost: resamples × (P M + M³) a step.
        ties: how they are modelled.
        ridge: 0 or more.
        start: where to begin; 0 if not given.
    """
    shape = pairs.wins.shape[:-1]
    count = int(np.prod(shape, dtype=np.int64))
    wins, losses, tied = (
        values.reshape(count, -1) for values in (pairs.wins, pairs.losses, pairs.ties)
    )
    M, extra = pairs.models, ties != "half"
    point = np.zeros((count, M + extra))
    if extra:
        point[:, M] = START[ties]
    if start is not None:
        point[:, :M] = start.scores.reshape(-1, M)
        if extra:
            point[:, M] = start.tie.reshape(-1)
    X = incidence(pairs)
    open_rows = np.arange(count)
    done = np.zeros(count, dtype=bool)
    hessian = np.zeros((count, M + extra, M + extra))
    for _ in range(_STEPS):
        here = point[open_rows]
        slopes = _slopes(here, X, ties, wins[open_rows], losses[open_rows], tied[open_rows])
        H = _hessian(slopes, pairs, M, extra, ridge)
        hessian[open_rows] = H
        gradient = np.concatenate(
            [slopes.score @ X - ridge * here[:, :M], slopes.tie.sum(axis=1, keepdims=True)], axis=1
        )[:, : M + extra]
        if extra:  # a ridge of its own, so that no tie at all has an answer
            gradient[:, M] -= ridge * here[:, M]
        step = _solve(H, gradient, M)
        longest = np.abs(step).max(axis=1)
        close = longest < _CLOSE * (1 + np.abs(here).max(axis=1))
        step *= np.minimum(1.0, _LONGEST / np.maximum(longest, 1e-300))[:, None]
        moved = here + step
        if ties == "rao-kupper":  # kappa stays above 1
            moved[:, M] = np.maximum(moved[:, M], here[:, M] / 10)
        if extra:
            moved[:, M] = np.maximum(moved[:, M], LEAST[ties])
        point[open_rows] = moved
        done[open_rows[longest < 1e-8]] = True
        open_rows = open_rows[~close]
        if not len(open_rows):
            break
    scores = point[:, :M] - point[:, :M].mean(axis=1, keepdims=True)
    tie = point[:, M] if extra else np.full(count, np.nan)
    Q = M + extra
    return Fit(
        scores.reshape(*shape, M),
        tie.reshape(shape),
        done.reshape(shape),
        hessian.reshape(*shape, Q, Q),
    )


def _slopes(
    here: Doubles, X: Doubles, ties: str, wins: Doubles, losses: Doubles, tied: Doubles
) -> Slopes:
    M = X.shape[1]
    d = here[:, :M] @ X.T
    t = here[:, M:] if here.shape[1] > M else np.zeros((len(here), 1))
    return SLOPES[ties](d, np.broadcast_to(t, d.shape), wins, losses, tied)


def _hessian(slopes: Slopes, pairs: Pairs, M: int, extra: bool, ridge: float) -> Doubles:
    """Returns (B, Q, Q) minus the second derivative, with the ridge."""
    B = len(slopes.curve)
    H = np.zeros((B, M + extra, M + extra))
    H[:, pairs.first, pairs.second] = -slopes.curve
    H[:, pairs.second, pairs.first] = -slopes.curve
    at = np.arange(M)
    H[:, at, at] = ridge - H[:, :M, :M].sum(axis=2)
    if extra:
        cross = slopes.cross @ incidence(pairs)
        H[:, :M, M] = cross
        H[:, M, :M] = cross
        H[:, M, M] = slopes.tie_curve.sum(axis=1) + ridge
    return H


def _solve(H: Doubles, gradient: Doubles, M: int) -> Doubles:
    """Solves for a step of mean 0: the direction of all ones carries no information."""
    fixed = H.copy()
    scale = np.maximum(np.trace(H[:, :M, :M], axis1=1, axis2=2) / M, 1e-12)
    fixed[:, :M, :M] += (scale / M)[:, None, None]
    try:
        step = np.linalg.solve(fixed, gradient[..., None])[..., 0]
    except np.linalg.LinAlgError:
        step = np.einsum("bij,bj->bi", np.linalg.pinv(fixed), gradient)
    step[:, :M] -= step[:, :M].mean(axis=1, keepdims=True)
    return np.asarray(np.where(np.isfinite(step), step, 0.0))
