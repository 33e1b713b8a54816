"""Which battles voters vote in: too many with one model, against what the arena showed.

Who votes only where the target is shown, and passes on all else, leaves a log of the
target's battles. Expected are the battles of the votes cast about the same time, by whomever;
the statistic is the greatest binomial log-likelihood ratio over models met too often; its
distribution is simulated by giving each vote the battle of another of its time. Holds where
the arena chooses the battles and not the voter. Whodrew's own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from whodrew.ranking.columns import Doubles
from whodrew.ranking.screen_model import Codes, Log
from whodrew.ranking.screen_votes import null_of

#: Votes that are of one time, where all have one.
_BLOCK: Final = 500


def battle_p_values(
    log: Log, time: Doubles | None, rounds: int, seed: tuple[int, ...]
) -> tuple[Doubles, Codes]:
    """Returns (V,) p-values of the battles of each voter, and the (V,) model met most oddly.

    Args:
        log: the battles.
        time: (n,) seconds in the order of the log, or ``None``; used where all are known.
        rounds: simulated logs, 2 or more.
        seed: seeds them.
    """
    M, V, n = log.models, log.voters, log.judged
    order, block = _blocks(len(log.first), time)
    first, second = log.first[order], log.second[order]
    start = np.searchsorted(block, np.arange(block[-1] + 2))
    sizes = np.diff(start)
    rows = len(sizes)
    shares = np.bincount(block * M + first, minlength=rows * M) + np.bincount(
        block * M + second, minlength=rows * M
    )
    usual = shares.reshape(rows, M) / sizes[:, None]
    mine = np.empty(len(order), dtype=np.int64)
    mine[order] = block
    mine = mine[:n]
    code = log.voter[:n] * rows + mine
    met, count = np.unique(code, return_counts=True)
    from scipy.sparse import csr_matrix

    whose, when = np.divmod(met, rows)
    expected = csr_matrix((count, (whose, when)), shape=(V, rows)) @ usual

    def look(one: Codes, other: Codes) -> tuple[Doubles, Codes]:
        voter = log.voter[:n] * M
        seen = np.bincount(voter + one, minlength=V * M) + np.bincount(
            voter + other, minlength=V * M
        )
        return _ratios(seen.reshape(V, M), expected, log.sizes())

    found, target = look(log.first[:n], log.second[:n])
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(rounds):
        at = start[mine] + (rng.random(n) * sizes[mine]).astype(np.int64)
        drawn.append(look(first[at], second[at])[0])
    return null_of(np.array(drawn), log.sizes()).p_values(found), target


def _blocks(n: int, time: Doubles | None) -> tuple[Codes, Codes]:
    """Returns votes in the order of blocks, and the block of each, ascending."""
    if time is None or not np.isfinite(time).all():
        return np.arange(n), np.zeros(n, dtype=np.int64)
    count = max(1, n // _BLOCK)
    return np.argsort(time, kind="stable"), np.arange(n) * count // n


def _ratios(seen: Codes, expected: Doubles, sizes: Codes) -> tuple[Doubles, Codes]:
    """Returns (V,) the greatest binomial ratio over models met too often, and the model."""
    n = sizes[:, None].astype(np.float64)
    fair = np.clip(expected, 1e-12, n - 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(seen > 0, seen * np.log(seen / fair), 0.0)
        outside = np.where(seen < n, (n - seen) * np.log((n - seen) / (n - fair)), 0.0)
    value = np.where(seen > expected, inside + outside, 0.0)
    at = value.argmax(axis=1)
    return value[np.arange(len(at)), at], at.astype(np.int64)
