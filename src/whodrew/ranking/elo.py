"""Elo ratings in the order of the votes, and how much that order decides.

Elo 1978 with base 10, scale 400, start 1000 and a constant K of 4, as FastChat and evalica
have it; a tie is half a win. The rating depends on the order in which votes came; the same
votes shuffled show how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np

from whodrew.ranking.columns import Doubles
from whodrew.ranking.ranks import ranks_of
from whodrew.ranking.votes import Votes

K: Final = 4.0
SCALE: Final = 400.0
START: Final = 1000.0
SHUFFLES: Final = 20


@dataclass(frozen=True)
class Elo:
    """Ratings of M models.

    Attributes:
        models: their names.
        order: ``timestamp`` or ``file``: what "in order" means.
        in_order: (M,) ratings.
        shuffled: (S, M) ratings of seeded shuffles.
    """

    models: tuple[str, ...]
    order: str
    in_order: Doubles
    shuffled: Doubles

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values, the highest rating in order first."""
        rank, ranks = ranks_of(self.in_order), ranks_of(self.shuffled)
        entries = [
            {
                "model": self.models[code],
                "rating": float(self.in_order[code]),
                "rank": int(rank[code]),
                "shuffled": {
                    "mean": float(self.shuffled[:, code].mean()),
                    "low": float(self.shuffled[:, code].min()),
                    "high": float(self.shuffled[:, code].max()),
                    "best_rank": int(ranks[:, code].min()),
                    "worst_rank": int(ranks[:, code].max()),
                },
            }
            for code in np.argsort(-self.in_order, kind="stable").tolist()
        ]
        return {
            "k": K,
            "scale": SCALE,
            "start": START,
            "order": self.order,
            "shuffles": len(self.shuffled),
            "ratings": entries,
        }


def elo(votes: Votes, *, seed: int = 0, shuffles: int = SHUFFLES) -> Elo:
    """Rates models in order, and in seeded shuffles of the same votes.

    Args:
        votes: in the order of the log; their times give the order where all have one.
        seed: seeds the shuffles.
        shuffles: their number, 1 or more.
    """
    amounts = votes.each()
    total = amounts.sum(axis=1)
    share = (amounts[:, 0] + amounts[:, 2] / 2) / total
    order, timed = np.arange(len(votes)), False
    if votes.time is not None and np.isfinite(votes.time).all():
        order, timed = np.argsort(votes.time, kind="stable"), True
    first, second = votes.first.astype(np.int64), votes.second.astype(np.int64)
    run = _kernel()
    M = len(votes.models)
    in_order = run(first[order], second[order], share[order], M, K, SCALE, START)
    rng = np.random.default_rng([seed, 8])
    shuffled = []
    for _ in range(shuffles):
        mixed = rng.permutation(len(votes))
        shuffled.append(run(first[mixed], second[mixed], share[mixed], M, K, SCALE, START))
    return Elo(votes.models, "timestamp" if timed else "file", in_order, np.stack(shuffled))


def _rate(
    first: Any, second: Any, share: Any, models: int, k: float, scale: float, start: float
) -> Any:
    rating = np.full(models, start)
    for at in range(len(first)):
        a, b = first[at], second[at]
        expected = 1.0 / (1.0 + 10.0 ** ((rating[b] - rating[a]) / scale))
        change = k * (share[at] - expected)
        rating[a] += change
        rating[b] -= change
    return rating


_COMPILED: dict[str, Any] = {}


def _kernel() -> Any:
    if "rate" not in _COMPILED:
        _COMPILED["rate"] = import_module("numba").njit(nogil=True, cache=True)(_rate)
    return _COMPILED["rate"]
