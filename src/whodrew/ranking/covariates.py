"""Scores beside what else decides a vote: the side shown first, and numbers of the battle.

A logistic regression (ties as halves): the log odds of the first image are the difference of
two scores, plus the advantage of the side shown first, plus a slope for each covariate. Every
battle is a row of its own where there are covariates; without any, all battles of a kind are
one row. Neither is an approximation. Cost of a step: rows × covariates². What the votes set
no limit is infinite, whatever a ridge makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whodrew.ranking.cells import Codes
from whodrew.ranking.columns import Doubles
from whodrew.ranking.models import expit
from whodrew.ranking.resample import Clusters
from whodrew.ranking.separation import bounded, strict_rows

_STEPS: Final = 50
_LONGEST: Final = 3.0
#: Share of a slope's information that scores must leave unexplained.
_APART: Final = 1e-8


@dataclass(frozen=True)
class Rows:
    """Battles as rows of a regression, R of them.

    Attributes:
        models: M.
        first: (R,) code of the model shown first.
        second: (R,) code of the other.
        amounts: (R, 3) votes in one battle: for the first, for the second, ties.
        count: (R,) battles that a row stands for.
        numbers: (R, C) what else decides; the first column is 1, the side.
        clusters: battles of each row by voter, or ``None``: each battle stands for itself.
    """

    models: int
    first: Codes
    second: Codes
    amounts: Doubles
    count: Doubles
    numbers: Doubles
    clusters: Clusters | None = None


@dataclass(frozen=True)
class Adjusted:
    """Scores and slopes, with their sandwich covariance.

    Attributes:
        scores: (M,) log odds, mean 0; infinite for one that the votes set no limit.
        slopes: (C,) log odds a unit; NaN for one that the pairs decide alone, infinite for
            one that the votes set no limit.
        score_errors: (M,) standard errors, NaN where there is none.
        slope_errors: (C,) standard errors, NaN where there is none.
    """

    scores: Doubles
    slopes: Doubles
    score_errors: Doubles
    slope_errors: Doubles


def adjusted(rows: Rows, *, ridge: float) -> Adjusted:
    """Fits scores and slopes by Newton's method.

    Args:
        rows: the battles.
        ridge: half of it times the squares of scores and slopes is taken off.
    """
    apart = _identified(rows)
    numbers = rows.numbers[:, apart]
    M, C = rows.models, numbers.shape[1]
    strict = strict_rows(M, (rows.first, rows.second), numbers, rows.amounts)
    if strict.any():  # the limit, in which these rows are explained whatever the rest is
        amounts = np.where(strict[:, None], 0.0, rows.amounts)
        rows = replace(rows, amounts=amounts)
    total = rows.amounts.sum(axis=1)
    wins = rows.amounts[:, 0] + rows.amounts[:, 2] / 2
    point = np.zeros(M + C)
    H = np.eye(M + C)
    for _ in range(_STEPS):
        p = expit(point[rows.first] - point[rows.second] + numbers @ point[M:])
        residual = rows.count * (wins - total * p)
        gradient = np.concatenate([_by_model(rows, residual), numbers.T @ residual])
        H = _information(rows, rows.count * total * p * (1 - p), numbers) + ridge * np.eye(M + C)
        step = _solve(H, gradient - ridge * point, M)
        longest = np.abs(step).max()
        point += step * min(1.0, _LONGEST / max(longest, 1e-300))
        if longest < 1e-10:
            break
    p = expit(point[rows.first] - point[rows.second] + numbers @ point[M:])
    cov = _sandwich(rows, H, wins - total * p, numbers)
    errors = np.sqrt(np.maximum(np.diag(cov), 0))
    point[:M] -= point[:M].mean()
    if strict.any():
        face = np.asarray((rows.amounts > 0).any(axis=1), dtype=np.float64)
        endless = ~bounded(_information(rows, face, numbers), M)
        point[endless], errors[endless] = np.inf, np.nan
    slopes, slope_errors = np.full((2, rows.numbers.shape[1]), np.nan)
    slopes[apart], slope_errors[apart] = point[M:], errors[M:]
    return Adjusted(point[:M], slopes, errors[:M], slope_errors)


def _by_model(rows: Rows, values: Doubles) -> Doubles:
    plus = np.bincount(rows.first, weights=values, minlength=rows.models)
    return np.asarray(plus - np.bincount(rows.second, weights=values, minlength=rows.models))


def _information(rows: Rows, weight: Doubles, numbers: Doubles) -> Doubles:
    """Returns (M + C, M + C) minus the second derivative, no ridge."""
    M, C = rows.models, numbers.shape[1]
    H = np.zeros((M + C, M + C))
    pair = np.bincount(rows.first * M + rows.second, weights=weight, minlength=M * M)
    square = pair.reshape(M, M)
    square = square + square.T
    H[:M, :M] = np.diag(square.sum(axis=1)) - square
    for column in range(C):
        H[:M, M + column] = H[M + column, :M] = _by_model(rows, weight * numbers[:, column])
    H[M:, M:] = numbers.T @ (weight[:, None] * numbers)
    return H


def _solve(H: Doubles, gradient: Doubles, M: int) -> Doubles:
    fixed = H.copy()
    fixed[:M, :M] += max(np.trace(H[:M, :M]) / M, 1e-12) / M
    step = np.linalg.lstsq(fixed, gradient, rcond=1e-14)[0]
    step[:M] -= step[:M].mean()
    return np.asarray(step)


def _identified(rows: Rows) -> Codes:
    """Returns the columns that are not sums of scores and of the columns before them."""
    total = rows.count * rows.amounts.sum(axis=1)
    keep: list[int] = []
    for column in range(rows.numbers.shape[1]):
        tried = rows.numbers[:, [*keep, column]]
        H = _information(rows, total, tried)
        rest = np.linalg.pinv(H[:-1, :-1], rcond=1e-10, hermitian=True)
        left = H[-1, -1] - H[-1, :-1] @ rest @ H[:-1, -1]
        if left > _APART * max(H[-1, -1], 1e-300):
            keep.append(column)
    return np.array(keep, dtype=np.int64)


def _sandwich(rows: Rows, H: Doubles, residual: Doubles, numbers: Doubles) -> Doubles:
    """Returns the covariance of scores (of mean 0) and slopes, by voter where known."""
    M = rows.models
    if rows.clusters is None:
        meat = _information(rows, rows.count * residual**2, numbers)
    else:
        held = rows.clusters
        score = held.count * residual[held.kind]
        sums = np.zeros((held.voters, M + numbers.shape[1]))
        for end, sign in ((rows.first, 1.0), (rows.second, -1.0)):
            code = held.voter * M + end[held.kind]
            found = np.bincount(code, weights=sign * score, minlength=held.voters * M)
            sums[:, :M] += found.reshape(held.voters, M)
        for at, column in enumerate(numbers.T):
            values = score * column[held.kind]
            sums[:, M + at] = np.bincount(held.voter, weights=values, minlength=held.voters)
        meat = sums.T @ sums * held.voters / max(held.voters - 1, 1)
    bread = np.linalg.pinv(H, hermitian=True)
    centre = np.eye(len(H))
    centre[:M, :M] -= 1.0 / M
    return np.asarray(centre @ bread @ meat @ bread @ centre.T)
