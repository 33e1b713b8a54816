"""One attack on one log: repetitions of it, and what it comes to in the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whodrew.ranking.behaviour import Belief, cast
from whodrew.ranking.columns import Doubles
from whodrew.ranking.confusion import Identification
from whodrew.ranking.ranks import quantiles
from whodrew.ranking.result import Bounded
from whodrew.ranking.simulate_log import Log
from whodrew.ranking.simulate_paths import Push, checkpoints, expected, ranks_after, walk
from whodrew.ranking.simulate_result import Curve, Needed, Shared
from whodrew.ranking.voters import kernel_of

#: Expected votes are looked for up to this many times the honest ones.
MOST: Final = 10


@dataclass(frozen=True)
class Job:
    """What stays the same over strategies and identifications."""

    log: Log
    push: Push
    budget: int
    repetitions: int
    fixed: bool
    seed: int

    def share(self, spec: str, how: Doubles, ranks: int) -> tuple[Doubles, float]:
        """Returns (3, P) the share of each vote of an attacker, and of battles voted on."""
        log = self.log
        aim = log.aim(self.push.model, ranks, up=self.push.up)
        found, voted = cast(kernel_of(spec, Belief(log.battle, how), aim), log.battle)
        return log.by_pair(found), voted

    def rng(self, *what: int) -> np.random.Generator:
        """Returns a stream of its own for each part."""
        return np.random.default_rng([self.seed, 60, *what])

    def curve(self, spec: str, how: Identification, stream: tuple[int, ...]) -> Curve:
        """Simulates one strategy with one identification."""
        groups: dict[bytes, tuple[Doubles, list[int]]] = {}
        voted = 0.0
        for number in self.push.ranks:  # what is wanted may change what is done
            share, voted = self.share(spec, how.confusion, number)
            groups.setdefault(share.tobytes(), (share, []))[1].append(number)
        found: dict[int, Needed] = {}
        for at, (share, numbers) in enumerate(groups.values()):
            push = Push(self.push.model, self.push.up, tuple(numbers))
            rng = self.rng(*stream, at)
            for one in self._needed(push, share, voted, rng):
                found[one.ranks] = one
        needed = tuple(found[number] for number in self.push.ranks)
        return Curve(spec, how, voted, needed, self.log.votes)

    def _needed(
        self, push: Push, share: Doubles, voted: float, rng: np.random.Generator
    ) -> list[Needed]:
        log = self.log
        sign = -1 if push.up else 1
        wanted = [int(log.ranks[push.model]) + sign * number for number in push.ranks]
        there = [1 <= rank <= len(log.models) for rank in wanted]
        mean = expected(log, share, push, max(MOST * log.votes, self.budget))
        least = min((one for one in mean if np.isfinite(one)), default=float(self.budget))
        votes = np.full((self.repetitions, len(wanted)), np.inf)
        if any(there):
            # in a log drawn again the next model may be much nearer than it is on this one
            steps = checkpoints(least / (8 if self.fixed else 64), self.budget)
            votes = walk(
                log,
                share,
                push,
                steps,
                repetitions=self.repetitions,
                rng=rng,
                fixed=self.fixed,
            )
        votes = np.ceil(votes)
        seen = _battles(votes, voted, rng)
        found = []
        for at, (number, rank) in enumerate(zip(push.ranks, wanted, strict=True)):
            if not there[at]:
                reason = f"there is no rank {rank}"
                nothing = Bounded(None, None, None, reason)
                found.append(Needed(number, rank, nothing, nothing, None, None, None, reason))
                continue
            reached = float(np.isfinite(votes[:, at]).mean())
            at_start = float((votes[:, at] == 0).mean())
            far = (
                f"within {self.budget:,} votes {100 * reached:.0f} % of repetitions get there"
                if share.any()
                else "it never votes: it is never sure enough to see the model"
            )
            bounded = [_bounded(values[:, at], far) for values in (votes, seen)]
            value = float(mean[at]) if np.isfinite(mean[at]) else None
            why = (
                f"not with {max(MOST * log.votes, self.budget):,.0f} votes" if share.any() else far
            )
            found.append(
                Needed(number, rank, bounded[0], bounded[1], reached, at_start, value, why)
            )
        return found

    def shared(
        self, spec: str, how: Identification, shares: Sequence[float], stream: tuple[int, ...]
    ) -> list[Shared]:
        """Simulates the rank where shares of all votes are attackers'."""
        votes, _ = self.share(spec, how.confusion, max(self.push.ranks))
        ordered = sorted(shares)
        amounts = np.array(
            [round(one / (1 - one) * self.log.votes) for one in ordered], dtype=np.int64
        )
        before, after = ranks_after(
            self.log,
            votes,
            self.push.model,
            amounts,
            repetitions=self.repetitions,
            rng=self.rng(*stream),
            fixed=self.fixed,
        )
        sign = 1 if self.push.up else -1
        gained = sign * (before[:, None] - after)
        return [
            Shared(
                share=one,
                votes=int(amounts[at]),
                strategy=spec,
                identification=how,
                rank=_bounded(after[:, at].astype(np.float64), ""),
                gained=_bounded(gained[:, at].astype(np.float64), ""),
            )
            for at, one in enumerate(ordered)
        ]


def _battles(votes: Doubles, voted: float, rng: np.random.Generator) -> Doubles:
    """Returns battles seen until so many votes: a negative binomial draw of those skipped."""
    found = votes.copy()
    known = np.isfinite(votes) & (votes > 0)
    if voted < 1 - 1e-12 and known.any():
        found[known] += rng.negative_binomial(votes[known], max(voted, 1e-12))
    return found


def _bounded(values: Doubles, reason: str) -> Bounded:
    """Returns the median and 95 % of values, of which some may be infinite."""
    middle = float(np.quantile(values, 0.5, method="inverted_cdf"))
    low, high = (float(end) for end in quantiles(values))
    if not np.isfinite(middle):
        return Bounded(None, None, None, reason)
    return Bounded(middle, min(low, middle), high if np.isfinite(high) else None, reason)
