"""The job of ``whodrew votes influence``: which votes and which voters decide a rank."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from whodrew.arena.labels import count as counted
from whodrew.errors import UsageError
from whodrew.ranking.cells import Codes, cells_of, merged, only
from whodrew.ranking.fit import RIDGE
from whodrew.ranking.influence_orders import Findings, Read
from whodrew.ranking.influence_refit import first_order, log_of
from whodrew.ranking.influence_result import Influence
from whodrew.ranking.models import check_ties
from whodrew.ranking.rank import scored_models
from whodrew.ranking.votes import Votes, read_votes

TOP: Final = 10
REMOVALS: Final = 20
#: Rivals that are tried for the first place, those nearest by first order.
RIVALS: Final = 6


def influence(
    votes: str | Path | Votes,
    *,
    rank: int | None = None,
    top: int = TOP,
    removals: int = REMOVALS,
    ties: str = "half",
    ridge: float = RIDGE,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    seed: int = 0,
) -> Influence:
    """Says which votes and which voters decide the ranks.

    Args:
        votes: a vote log, or votes that were read.
        rank: look only at the order of this rank and the next; all neighbours if not given.
        top: kinds of battle and voters that are listed, those that move a gap most.
        removals: removed rows, and voters, that are named.
        ties: ``half``, ``davidson`` or ``rao-kupper``.
        ridge: half of it times the squares of the scores is taken off the log-likelihood.
        columns: our names to the log's columns; see ``read_votes``.
        skip_bad: count bad rows instead of refusing the log.
        seed: draws which of the rows that are alike are named.

    Raises:
        UsageError: an option that cannot be served.
        InputError: votes that cannot be read, or that rank nothing.
    """
    check_ties(ties)
    if top < 0 or removals < 0 or not np.isfinite(ridge) or ridge < 0:
        raise UsageError("--top, --removals and --ridge take 0 or more")
    if rank is not None and rank < 1:
        raise UsageError(f"--rank is {rank}: ranks count from 1")
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if not isinstance(votes, Votes):
        votes = read_votes(votes, columns=columns, skip_bad=skip_bad)
    notes = list(votes.notes)
    read = _read(votes, ties, ridge, notes)
    M = len(read.names)
    if rank is not None and rank >= M:
        raise UsageError(f"--rank is {rank}: {M} models are ranked, so give 1 to {M - 1}")
    neighbours = np.stack([read.order[:-1], read.order[1:]], axis=1)
    if rank is not None:
        neighbours = neighbours[rank - 1 : rank]
    ends = neighbours
    if rank is None:  # who could be first instead: the second, or another
        ends = np.concatenate([neighbours, _rivals(read)])
    # thousands of small matrices: threads would wait for each other
    with threadpool_limits(1, user_api="blas"):
        held = Findings(read, ends, top, removals, seed)
        orders = held.orders()
        first = None
        if rank is None:
            able = [one for one in orders if one.rank == 1 and one.removal.count is not None]
            first = min(able, key=lambda one: one.removal.count or 0) if able else orders[0]
            first = held.over_all_rivals(first)
    gone = len(votes) - len(read.votes)
    if gone:
        notes.append(f"{counted(gone, 'battle')} with models that have no score are not looked at")
    return Influence(
        source=votes.source,
        format=votes.format,
        votes=read.votes.total,
        battles=len(read.votes),
        skipped=votes.skipped,
        bad=votes.bad,
        ties=read.log.ties,
        ridge=ridge,
        models=tuple(read.names[code] for code in read.order.tolist()),
        unscored=read.unscored,
        first=first,
        orders=orders[: len(neighbours)],
        kinds_by=held.kinds.by,
        voters_by=None if held.voters is None else held.voters.by,
        voters=None if held.voters is None else len(held.voters.units.count),
        voters_reason=None if held.voters is not None else "the log does not name voters",
        seed=seed,
        notes=tuple(notes),
        kinds=held.names,
        changes=held.kinds.changes[:, read.order],
    )


def _read(votes: Votes, ties: str, ridge: float, notes: list[str]) -> Read:
    cells, kind = cells_of(votes)
    flat, flat_kind = merged(cells)
    scored, _ = scored_models(votes, flat, notes)
    both = scored[flat.first] & scored[flat.second]
    place = np.where(both, np.cumsum(both) - 1, -1)[flat_kind[kind]]
    inner = only(flat, scored)
    if ties != "half" and not inner.amounts[:, 2].any():
        notes.append(f"there are no ties: {ties} is plain Bradley-Terry here")
        ties = "half"
    log = log_of(inner, ties=ties, ridge=ridge)
    names = tuple(name for name, keep in zip(votes.models, scored, strict=True) if keep)
    return Read(
        votes if scored.all() else votes.take(place >= 0),
        names,
        log,
        place[place >= 0],
        np.lexsort((np.arange(len(names)), -log.point.scores)),
        tuple(name for name, keep in zip(votes.models, scored, strict=True) if not keep),
    )


def _rivals(read: Read) -> Codes:
    """Returns (R, 2) the first model and others, those that first order puts nearest."""
    others = read.order[2:]
    ends = np.stack([np.full(len(others), read.order[0]), others], axis=1)
    if not len(ends):
        return ends
    scores = read.log.point.scores
    most = np.maximum(first_order(read.log, ends).max(axis=0), 1e-300)
    need = (scores[ends[:, 0]] - scores[ends[:, 1]]) / most
    return ends[np.argsort(need, kind="stable")[:RIVALS]]
