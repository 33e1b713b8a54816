"""Sufficient statistics of votes: after one pass, cost grows with models, not votes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whodrew.ranking.columns import Doubles
from whodrew.ranking.votes import Votes

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Kinds of battle, K of them: all battles of a kind have the same models and votes.

    Attributes:
        models: M.
        first: (K,) code of the model shown first.
        second: (K,) code of the other.
        amounts: (K, 3) votes in one battle of the kind: for the first, for the second, ties.
        count: (K,) battles of the kind.
    """

    models: int
    first: Codes
    second: Codes
    amounts: Doubles
    count: Doubles


@dataclass(frozen=True)
class Pairs:
    """Pairs of models that met, P of them, whichever was shown first.

    Attributes:
        models: M.
        first: (P,) the smaller code.
        second: (P,) the larger.
        wins: (..., P) votes for ``first``; leading axes are resamples.
        losses: (..., P) votes for ``second``.
        ties: (..., P) ties.
    """

    models: int
    first: Codes
    second: Codes
    wins: Doubles
    losses: Doubles
    ties: Doubles

    def matrix(self) -> Doubles:
        """Returns (M, M) votes for row over column, ties as halves."""
        found = np.zeros((self.models, self.models))
        found[self.first, self.second] = self.wins + self.ties / 2
        found[self.second, self.first] = self.losses + self.ties / 2
        return found


def cells_of(votes: Votes) -> tuple[Cells, Codes]:
    """Returns the kinds of battle, and the (n,) kind of each battle.

    Cost: one pass where each battle is one vote, else a sort of the distinct amounts.
    """
    models = len(votes.models)
    pair = votes.first.astype(np.int64) * models + votes.second
    if votes.amounts is None:
        outcome = np.minimum(votes.outcome, 2)
        code = pair * 3 + outcome
        total = np.bincount(code, minlength=models * models * 3)
        there = np.flatnonzero(total)
        place = np.zeros(len(total), dtype=np.int64)
        place[there] = np.arange(len(there))
        pairs, what = np.divmod(there, 3)
        amounts = np.eye(3)[what]
        kind, count = place[code], total[there]
    else:
        distinct, kind = _distinct(np.column_stack([pair, votes.amounts]))
        count = np.bincount(kind)
        pairs, amounts = distinct[:, 0].astype(np.int64), distinct[:, 1:]
    first, second = np.divmod(pairs, models)
    return Cells(models, first, second, amounts, count.astype(np.float64)), kind


def merged(cells: Cells) -> tuple[Cells, Codes]:
    """Returns the kinds of battle whichever model was shown first, and the (K,) new kinds."""
    turned = cells.first > cells.second
    first = np.where(turned, cells.second, cells.first)
    second = np.where(turned, cells.first, cells.second)
    amounts = np.where(turned[:, None], cells.amounts[:, [1, 0, 2]], cells.amounts)
    table = np.column_stack([first, second, amounts])
    distinct, kind = _distinct(table)
    count = np.bincount(kind, weights=cells.count).astype(np.float64)
    ends = distinct[:, :2].astype(np.int64)
    return Cells(cells.models, ends[:, 0], ends[:, 1], distinct[:, 2:], count), kind


def _distinct(table: Doubles) -> tuple[Doubles, Codes]:
    """Returns the distinct rows, sorted from the first column on, and the place of each row."""
    order = np.lexsort(table.T[::-1])
    ordered = table[order]
    new = np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    return ordered[new], place


def pairs_of(cells: Cells) -> tuple[Pairs, Codes]:
    """Returns totals by pair, and the (K,) pair of each kind; ``cells`` must be merged."""
    code = cells.first * cells.models + cells.second
    distinct, place = np.unique(code, return_inverse=True)
    first, second = np.divmod(distinct, cells.models)
    sums = [
        np.bincount(
            place, weights=cells.count * cells.amounts[:, what], minlength=len(distinct)
        ).astype(np.float64)
        for what in range(3)
    ]
    return Pairs(cells.models, first, second, *sums), place.astype(np.int64)


def only(cells: Cells, keep: npt.NDArray[np.bool_]) -> Cells:
    """Returns the battles between models of ``keep`` (M booleans), with new codes."""
    code = np.cumsum(keep) - 1
    both = keep[cells.first] & keep[cells.second]
    return Cells(
        int(keep.sum()),
        code[cells.first[both]],
        code[cells.second[both]],
        cells.amounts[both],
        cells.count[both],
    )


def components(matrix: Doubles) -> npt.NDArray[np.int64]:
    """Returns (M,) the strongly connected component of each model.

    Two models are in one where each is reached from the other by wins or ties; the scores
    of Bradley and Terry are finite and comparable within one only (Ford 1957).

    Args:
        matrix: (M, M) votes for row over column, ties on both sides.
    """
    reached = (matrix > 0) | np.eye(len(matrix), dtype=bool)
    while True:  # squaring doubles the length of the paths
        step = reached.astype(np.float32)
        further = step @ step > 0
        if (further == reached).all():
            break
        reached = further
    both = reached & reached.T
    _, label = np.unique(both.argmax(axis=1), return_inverse=True)
    return np.asarray(label, dtype=np.int64)
