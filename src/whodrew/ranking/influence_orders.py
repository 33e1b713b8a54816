"""What decides each order of a leaderboard: kinds of battle, voters, and the fewest of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.ranking.cells import Codes
from whodrew.ranking.columns import Doubles
from whodrew.ranking.influence_bound import Bound
from whodrew.ranking.influence_fewest import TURNED, Fewest, fewest
from whodrew.ranking.influence_refit import Log, Units, first_order, without
from whodrew.ranking.influence_result import Kind, Moved, Order, Removal
from whodrew.ranking.resample import clusters_of
from whodrew.ranking.votes import OUTCOMES, Votes

#: Units times pairs up to which every unit is left out by a refit.
EXHAUSTIVE: Final = 40_000_000
#: Kinds of battle up to which all are named.
_NAMED: Final = 400_000
_NOT_FOUND: Final = "no removal was found that turns the order and leaves every model its score"


@dataclass(frozen=True)
class Read:
    """Votes between models that have a score.

    Attributes:
        votes: these battles alone, with the codes of all models.
        names: (M,) of the models that have a score.
        log: their kinds of battle.
        kind: (n,) kind of each battle.
        order: (M,) models, the best first.
        unscored: names of the others.
    """

    votes: Votes
    names: tuple[str, ...]
    log: Log
    kind: Codes
    order: Codes
    unscored: tuple[str, ...]


@dataclass(frozen=True)
class _Left:
    """What the gaps do without one unit.

    Attributes:
        units: U of them.
        fewest: of each order.
        listed: for each order, the units that move its gap most.
        change: for each order, (len(listed),) by how much; NaN where some model has no score.
        by: how, in words.
        changes: (U, M) of the scores, or no rows.
    """

    units: Units
    fewest: list[Fewest | None]
    listed: list[Codes]
    change: list[Doubles]
    by: str
    changes: Doubles


def _left(log: Log, units: Units, ends: Codes, top: int) -> _Left:
    U, scores = len(units.count), log.point.scores
    gaps = scores[ends[:, 0]] - scores[ends[:, 1]]
    changes = np.zeros((0, log.cells.models))
    if U * len(log.pairs.first) <= EXHAUSTIVE:
        by = "a refit without each"
        here: npt.NDArray[np.int64] = np.arange(U)
        left = without(log, units, here)
        changes = left - scores
        candidates = [here] * len(ends)
    else:
        # four times as many as are listed, so that the order among them is by refits
        pull = np.abs(units.battles @ first_order(log, ends))
        some = min(U, max(4 * top, 50))
        candidates = [np.argpartition(-one, some - 1)[:some] for one in pull.T]
        here = np.unique(np.concatenate(candidates))
        by = f"first order of all {U:,}, and a refit without each of the {some} foremost"
        left = without(log, units, here)
    listed, change = [], []
    for (upper, lower), gap, candidate in zip(ends.tolist(), gaps, candidates, strict=True):
        rows = np.searchsorted(here, candidate)
        moved = left[rows, upper] - left[rows, lower] - gap
        # what leaves a model without a score comes first
        order = np.argsort(-np.nan_to_num(np.abs(moved), nan=np.inf), kind="stable")[:top]
        listed.append(candidate[order])
        change.append(moved[order])
    found = fewest(log, units, ends)
    for at, (upper, lower) in enumerate(ends.tolist()):
        one = found[at]
        if one is None or one.count > 1:
            found[at] = _single(left[:, upper] - left[:, lower], here) or one
    return _Left(units, found, listed, change, by, changes)


def _single(gaps: Doubles, here: npt.NDArray[np.int64]) -> Fewest | None:
    """Returns the one unit without which the gap is turned most; the search may pass it by."""
    gaps = np.nan_to_num(gaps, nan=np.inf)
    least = int(np.argmin(gaps))
    if gaps[least] >= -TURNED:
        return None
    return Fewest(here[[least]], np.ones(1), float(gaps[least]))


class Findings:
    """What was found of each order, put into words."""

    def __init__(self, read: Read, ends: Codes, top: int, removals: int, seed: int) -> None:
        from scipy.sparse import csr_matrix, identity

        self.read, self.ends, self.removals = read, ends, removals
        log, votes = read.log, read.votes
        K = len(log.cells.count)
        kinds = Units(log.cells.count, identity(K, format="csr"))
        self.kinds = _left(log, kinds, ends, top)
        self.voters: _Left | None = None
        self.voter_codes, self.sizes = np.zeros(0, dtype=np.int64), np.zeros(0)
        if votes.voter is not None and (votes.voter >= 0).any():
            known = votes.voter >= 0
            held = clusters_of(read.kind[known], votes.voter[known], K)
            self.voter_codes = np.unique(votes.voter[known]).astype(np.int64)
            battles = csr_matrix((held.count, (held.voter, held.kind)), shape=(held.voters, K))
            self.sizes = np.asarray(battles.sum(axis=1)).ravel()
            self.voters = _left(log, Units(np.ones(held.voters), battles), ends, top)
        self.names = tuple(self._kind(at) for at in range(K)) if K <= _NAMED else ()
        self.bound = Bound(log) if log.ties == "half" else None
        self.lows: dict[tuple[int, int], float] = {}
        self.rng = np.random.default_rng(seed)
        self.rows = np.argsort(read.kind, kind="stable")
        self.starts = np.r_[0, np.cumsum(np.bincount(read.kind, minlength=K))]

    def _kind(self, at: int) -> Kind:
        cells, names = self.read.log.cells, self.read.names
        first, second, ties = cells.amounts[at].tolist()
        ends = (names[int(cells.first[at])], names[int(cells.second[at])])
        return Kind(ends, (first, second, ties), int(cells.count[at]))

    def orders(self) -> tuple[Order, ...]:
        """Returns one entry for each order, in the order of ``ends``."""
        scores, names = self.read.log.point.scores, self.read.names
        rank = {code: at + 1 for at, code in enumerate(self.read.order.tolist())}
        found = []
        for at, (upper, lower) in enumerate(self.ends.tolist()):
            low = self._low(upper, lower)
            voters: tuple[Moved, ...] = ()
            if self.voters is not None:
                sizes = self.sizes
                voters = tuple(
                    Moved(self._voter(one), int(sizes[one]), _finite(change))
                    for one, change in zip(
                        self.voters.listed[at].tolist(),
                        self.voters.change[at].tolist(),
                        strict=True,
                    )
                )
            found.append(
                Order(
                    rank=rank[upper],
                    upper=names[upper],
                    lower=names[lower],
                    gap=float(scores[upper] - scores[lower]),
                    removal=self._battles(self.kinds.fewest[at], low),
                    voter_removal=self._fewest_voters(at, low),
                    kinds=tuple(
                        Moved(self._kind(one), 1, _finite(change))
                        for one, change in zip(
                            self.kinds.listed[at].tolist(),
                            self.kinds.change[at].tolist(),
                            strict=True,
                        )
                    ),
                    voters=voters,
                )
            )
        return tuple(found)

    def _low(self, upper: int, lower: int) -> float | None:
        """Returns the lower bound of one order."""
        if self.bound is None:
            return None
        if (upper, lower) not in self.lows:
            self.lows[upper, lower] = self.bound.least(upper, lower)
        return self.lows[upper, lower]

    def over_all_rivals(self, first: Order) -> Order:
        """Returns the order with bounds that hold whichever model is to be first."""
        if self.bound is None:
            return first
        upper, *others = self.read.order.tolist()
        low = min(self._low(upper, other) or 0.0 for other in others)
        by_voter = first.voter_removal
        if by_voter is not None:
            by_voter = replace(by_voter, at_least=self._least_voters(low))
        removal = replace(first.removal, at_least=_whole(low))
        return replace(first, removal=removal, voter_removal=by_voter)

    def _least_voters(self, low: float | None) -> int | None:
        """Returns how many of the busiest voters hold as many battles as it takes at least."""
        if low is None or self.voters is None:
            return None
        reached = np.cumsum(np.sort(self.sizes)[::-1]) >= (_whole(low) or 0)
        return int(np.argmax(reached)) + 1 if reached.any() else None

    def _voter(self, at: int) -> str:
        return self.read.votes.voters[int(self.voter_codes[at])]

    def _battles(self, found: Fewest | None, low: float | None) -> Removal:
        at_least, why = _whole(low), None if low is not None else _no_bound(self.read.log)
        if found is None:
            return Removal(None, at_least=at_least, reason=_NOT_FOUND, at_least_reason=why)
        most = np.argsort(-found.taken, kind="stable")
        return Removal(
            count=found.count,
            share=found.count / len(self.read.votes),
            battles=found.count,
            at_least=at_least,
            gap=found.gap,
            kinds=tuple(
                (self._kind(int(found.units[at])), int(found.taken[at])) for at in most.tolist()
            ),
            rows=tuple(self._rows(found)),
            at_least_reason=why,
        )

    def _rows(self, found: Fewest) -> list[dict[str, Any]]:
        """Names removed rows: of those that are alike some are drawn."""
        drawn = []
        for kind, number in zip(
            found.units.tolist(), found.taken.astype(int).tolist(), strict=True
        ):
            alike = self.rows[self.starts[kind] : self.starts[kind + 1]]
            drawn.append(self.rng.choice(alike, number, replace=False))
        votes = self.read.votes
        places = np.sort(np.concatenate(drawn))[: self.removals]
        each = votes.take(places).each()
        named = []
        for at, amounts in zip(places.tolist(), each.tolist(), strict=True):
            row: dict[str, Any] = {
                "row": at if votes.row is None else int(votes.row[at]),
                "model_a": votes.models[int(votes.first[at])],
                "model_b": votes.models[int(votes.second[at])],
            }
            if votes.amounts is None:
                row["winner"] = OUTCOMES[int(votes.outcome[at])]
            else:
                row |= {"votes_a": amounts[0], "votes_b": amounts[1], "ties": amounts[2]}
            if votes.voter is not None and votes.voter[at] >= 0:
                row["voter"] = votes.voters[int(votes.voter[at])]
            named.append(row)
        return named

    def _fewest_voters(self, at: int, low: float | None) -> Removal | None:
        if self.voters is None:
            return None
        at_least, sizes = self._least_voters(low), self.sizes
        why = _no_bound(self.read.log) if low is None else "all known voters together are too few"
        found = self.voters.fewest[at]
        if found is None:
            return Removal(None, at_least=at_least, reason=_NOT_FOUND, at_least_reason=why)
        most = found.units[np.argsort(-sizes[found.units], kind="stable")]
        return Removal(
            count=found.count,
            share=found.count / len(sizes),
            battles=int(sizes[found.units].sum()),
            at_least=at_least,
            gap=found.gap,
            voters=tuple(self._voter(one) for one in most[: self.removals].tolist()),
            at_least_reason=why,
        )


def _whole(low: float | None) -> int | None:
    """Returns whole battles; one at least, for the order stands."""
    if low is None:
        return None
    return max(1, int(np.ceil(low * (1 - 1e-6)))) if np.isfinite(low) else 1


def _no_bound(log: Log) -> str:
    return f"no lower bound is known for {log.ties} ties"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
