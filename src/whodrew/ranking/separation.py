"""Which battles a logistic regression explains ever better as some slope grows for ever.

Where a direction in scores and slopes turns no vote away and draws some nearer, the likelihood
has no maximum: it rises along that direction for ever (separation; Albert and Anderson 1984).
The votes that it draws nearer say nothing of what is left in the limit; the others, the face,
bound the sums of scores and slopes that they measure, and nothing else does (Geyer 2009).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.ranking.cells import Codes
from whodrew.ranking.columns import Doubles

#: Rows that a linear programme starts with, and that are added to it at once.
_AT_ONCE: Final = 2000
_ROUNDS: Final = 200
#: What counts as 0 in a row, of a direction whose parts are at most 1.
_ZERO: Final = 1e-7
_NEARER: Final = 1e-6

Bools = npt.NDArray[np.bool_]


def strict_rows(
    models: int, ends: tuple[Codes, Codes], numbers: Doubles, amounts: Doubles
) -> Bools:
    """Returns (R,) whether some direction draws the votes of a row nearer and turns none away.

    Whodrew's own: a linear programme looks for a direction that draws most nearer, over some
    of the rows; rows that it turns away are added until there are none. Then it looks on among
    the rows that are not drawn nearer yet, until none is.

    Args:
        models: M.
        ends: (R,) codes of the model shown first, and of the other.
        numbers: (R, C) what else decides.
        amounts: (R, 3) votes for the first, for the second, ties.
    """
    up = (amounts[:, 0] > 0) | (amounts[:, 2] > 0)
    down = (amounts[:, 1] > 0) | (amounts[:, 2] > 0)
    sign = up.astype(np.float64) - down
    found = np.zeros(len(sign), dtype=bool)
    held = np.random.default_rng(0).permutation(len(sign))[:_AT_ONCE]
    for _ in range(_ROUNDS):
        left = np.where(found, 0.0, sign)
        if not left.any():
            break
        way = _furthest(models, ends, numbers, left, (up, down), held)
        moved = way[ends[0]] - way[ends[1]] + numbers @ way[models:]
        if left @ moved <= _ZERO:  # nor with more rows
            break
        away = np.maximum(np.where(up, -moved, 0.0), np.where(down, moved, 0.0))
        away[held] = 0.0
        worst = np.flatnonzero(away > _ZERO)
        if len(worst):
            most = worst[np.argsort(-away[worst], kind="stable")[:_AT_ONCE]]
            held = np.concatenate([held, most])
            continue
        nearer = left * moved > _NEARER
        if not nearer.any():
            break
        found |= nearer
    return found


def _furthest(
    models: int,
    ends: tuple[Codes, Codes],
    numbers: Doubles,
    left: Doubles,
    votes: tuple[Bools, Bools],
    held: npt.NDArray[Any],
) -> Doubles:
    """Returns the direction, its parts at most 1, that draws the rows ``left`` nearest."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, vstack

    first, second = ends
    aim = np.bincount(first, weights=left, minlength=models)
    aim = aim - np.bincount(second, weights=left, minlength=models)
    rows = np.arange(len(held))
    ones = np.ones(len(held))
    shape = (len(held), models)
    x = csr_matrix((ones, (rows, first[held])), shape=shape)
    x = x - csr_matrix((ones, (rows, second[held])), shape=shape)
    x = hstack([x, csr_matrix(numbers[held])]).tocsr()
    up, down = (np.flatnonzero(one[held]) for one in votes)
    limits = vstack([-x[up], x[down]])
    done = linprog(
        -np.r_[aim, numbers.T @ left],
        A_ub=limits,
        b_ub=np.zeros(limits.shape[0]),
        bounds=(-1, 1),
        method="highs",
    )
    return np.zeros(models + numbers.shape[1]) if done.x is None else np.asarray(done.x)


def bounded(information: Doubles, models: int) -> Bools:
    """Returns (M + C,) whether rows measure each score, less the mean of all, and each slope.

    Args:
        information: (M + C, M + C) sums of squares and products of the rows of the face.
        models: M.
    """
    value, vector = np.linalg.eigh(information)
    span = vector[:, value > 1e-10 * max(value[-1], 1e-300)]
    wanted = np.eye(len(information))
    wanted[:models, :models] -= 1.0 / models
    rest = wanted - wanted @ span @ span.T
    return np.asarray((rest**2).sum(axis=1) < 1e-6)
