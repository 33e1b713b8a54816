"""Totals of resampled battles, or of resampled voters, without a look at single votes.

Exactly, by counts of kinds of battle; or, where so many units are drawn that their sums are
normal for every purpose, by the mean and the covariance of the sums: battles of very many
kinds, and thousands of voters. Both say so (``Draw.exact``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.ranking.cells import Cells, Codes
from whodrew.ranking.columns import Doubles

#: Kinds of battle above which the sums of a pair are drawn, not the counts of its kinds.
KINDS: Final = 20_000
#: Voters from which sums are drawn, if there are few enough of these.
VOTERS: Final = 100_000
_SUMS: Final = 2_000
#: Voters that are looked at together.
_AT_ONCE: Final = 2_048
#: Kinds times pairs up to which a dense product is quicker than loading the sparse one.
_DENSE: Final = 1 << 20


@dataclass(frozen=True)
class Clusters:
    """Battles by voter, V of them.

    Attributes:
        kind: (E,) kind of battle.
        voter: (E,) voter, ascending; (kind, voter) is unique.
        count: (E,) battles.
        voters: V.
    """

    kind: Codes
    voter: Codes
    count: Doubles
    voters: int


def clusters_of(kind: Codes, voter: npt.NDArray[np.int32], kinds: int) -> Clusters:
    """Counts battles by kind and voter; a battle of an unknown voter is a voter of its own."""
    voter = voter.astype(np.int64)
    unknown = voter < 0
    known, code = np.unique(voter[~unknown], return_inverse=True)
    whose = np.empty(len(voter), dtype=np.int64)
    whose[~unknown] = code
    whose[unknown] = len(known) + np.arange(int(unknown.sum()))
    both, count = np.unique(whose * kinds + kind, return_counts=True)
    owner, what = np.divmod(both, kinds)
    return Clusters(what, owner, count.astype(np.float64), len(known) + int(unknown.sum()))


@dataclass(frozen=True)
class Draw:
    """How totals are drawn.

    Attributes:
        totals: a number B to (B, 3, P) votes for the first, for the second, and ties, by pair.
        exact: whether units are drawn, rather than normal sums of them.
        width: numbers held for each resample.
    """

    totals: Callable[[int], Doubles]
    exact: bool
    width: int


def draw_of(
    rng: np.random.Generator, cells: Cells, place: Codes, pairs: int, clusters: Clusters | None
) -> Draw:
    """Returns how totals are drawn.

    Args:
        rng: what is drawn from.
        cells: merged kinds of battle, K.
        place: (K,) pair of each kind.
        pairs: P.
        clusters: voters, drawn instead of battles.
    """
    K = len(cells.count)
    if clusters is None and K > KINDS:
        return Draw(_pair_sums(rng, cells, place, pairs), exact=False, width=9 * pairs)
    each = _contributions(cells, place, pairs)
    if clusters is not None and clusters.voters >= VOTERS and 3 * pairs <= _SUMS:
        return Draw(_voter_sums(rng, clusters, each, pairs), exact=False, width=3 * pairs)
    counts = _battles(rng, cells) if clusters is None else _voters(rng, clusters, K)

    def totals(some: int) -> Doubles:
        return np.asarray(counts(some) @ each).reshape(some, 3, pairs)

    width = max(K, 3 * pairs, 0 if clusters is None else clusters.voters)
    return Draw(totals, exact=True, width=width)


def _contributions(cells: Cells, place: Codes, pairs: int) -> Any:
    """Returns (K, 3 P): what one battle of a kind adds to wins, losses and ties."""
    K = len(cells.count)
    rows = np.tile(np.arange(K), 3)
    columns = np.concatenate([what * pairs + place for what in range(3)])
    values = cells.amounts.T.reshape(-1)
    if K * pairs <= _DENSE:
        found = np.zeros((K, 3 * pairs))
        found[rows, columns] = values
        return found
    from scipy.sparse import csr_matrix

    used = values != 0
    return csr_matrix((values[used], (rows[used], columns[used])), shape=(K, 3 * pairs))


def _battles(rng: np.random.Generator, cells: Cells) -> Callable[[int], Doubles]:
    """Draws battles with replacement: (B, K) of each kind."""
    number = int(cells.count.sum())
    share = cells.count / cells.count.sum()
    return lambda some: rng.multinomial(number, share, size=some).astype(np.float64)


def _voters(rng: np.random.Generator, clusters: Clusters, kinds: int) -> Callable[[int], Doubles]:
    """Draws voters with replacement: (B, K) battles of each kind."""
    V = clusters.voters

    def counts(some: int) -> Doubles:
        # whole numbers below 2²⁴ are exact in single precision
        times = np.empty((some, V), dtype=np.float32)
        for row in times:
            row[:] = np.bincount(rng.integers(V, size=V), minlength=V)
        found = np.zeros((some, kinds))
        for begin, held in _blocks(clusters, kinds):
            found += times[:, begin : begin + len(held)] @ held
        return found

    return counts


def _blocks(clusters: Clusters, kinds: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yields the first voter of some, and their (voters, K) battles of each kind."""
    ends = np.searchsorted(clusters.voter, np.arange(0, clusters.voters + _AT_ONCE, _AT_ONCE))
    for at, (start, stop) in enumerate(itertools.pairwise(ends.tolist())):
        begin = at * _AT_ONCE
        held = np.zeros((min(_AT_ONCE, clusters.voters - begin), kinds), dtype=np.float32)
        some = slice(start, stop)
        held[clusters.voter[some] - begin, clusters.kind[some]] = clusters.count[some]
        yield begin, held


def _pair_sums(
    rng: np.random.Generator, cells: Cells, place: Codes, pairs: int
) -> Callable[[int], Doubles]:
    """Draws the battles of each pair, and the sum of their votes as a normal one."""
    total = np.bincount(place, weights=cells.count, minlength=pairs)
    weights = cells.count * cells.amounts.T
    sums = [np.bincount(place, weights=one, minlength=pairs) for one in weights]
    mean = np.stack(sums, axis=1) / total[:, None]
    apart = cells.amounts - mean[place]
    square = np.zeros((pairs, 3, 3))
    for row in range(3):
        for column in range(3):
            products = cells.count * apart[:, row] * apart[:, column]
            square[:, row, column] = np.bincount(place, weights=products, minlength=pairs)
    root = _root(square / total[:, None, None])
    number = int(cells.count.sum())

    def totals(some: int) -> Doubles:
        times = rng.multinomial(number, total / total.sum(), size=some).astype(np.float64)
        noise = np.einsum("pij,bpj->bpi", root, rng.standard_normal((some, pairs, 3)))
        sums = times[..., None] * mean + np.sqrt(times)[..., None] * noise
        return np.asarray(np.maximum(sums, 0).transpose(0, 2, 1))

    return totals


def _voter_sums(
    rng: np.random.Generator, clusters: Clusters, each: Any, pairs: int
) -> Callable[[int], Doubles]:
    """Draws the sums of voters with replacement as normal ones: V times their covariance."""
    mean, square = np.zeros(3 * pairs), np.zeros((3 * pairs, 3 * pairs))
    for _, held in _blocks(clusters, each.shape[0]):
        sums = np.asarray(held @ each)
        mean += sums.sum(axis=0)
        square += sums.T @ sums
    square -= np.outer(mean, mean) / clusters.voters
    root = _root(square)

    def totals(some: int) -> Doubles:
        found = mean + rng.standard_normal((some, len(mean))) @ root.T
        return np.asarray(np.maximum(found, 0)).reshape(some, 3, pairs)

    return totals


def _root(square: Doubles) -> Doubles:
    """Returns a square root of covariances, which may be singular."""
    values, vectors = np.linalg.eigh(square)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0))[..., None, :])
