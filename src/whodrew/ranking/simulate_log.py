"""The honest log that an attack is added to: its totals, its ranking, its voters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

import numpy as np

from whodrew.errors import UsageError
from whodrew.ranking.behaviour import battles, honest, uniform
from whodrew.ranking.cells import Cells, Codes, Pairs, cells_of, merged, only
from whodrew.ranking.columns import Doubles
from whodrew.ranking.fit import Fit, fit
from whodrew.ranking.models import SLOPES
from whodrew.ranking.rank import scored_models
from whodrew.ranking.ranks import Ints, ranks_of
from whodrew.ranking.resample import Draw, draw_of
from whodrew.ranking.voters import Aim
from whodrew.ranking.votes import Votes

#: Deviation of the scores in a model of a log, in log odds, and its share of ties.
SPREAD, TIE_SHARE = 0.6, 0.15
#: More votes than these are a slip; totals stay exact up to there, and beyond.
MOST_VOTES: Final = 10**12
_MOST_MODELS: Final = 1000


@dataclass(frozen=True)
class Log:
    """Honest votes on M models that can all be compared.

    Attributes:
        models: (M,) their names.
        cells: kinds of battle, whichever was shown first.
        place: (K,) pair of each kind.
        pairs: totals of all P = M (M - 1) / 2 pairs, also of those that never met.
        ties: how ties are modelled.
        ridge: what holds the scores together.
        point: the ranking.
        battle: (M, M) what voters are shown.
        honest: (M, M, 4) how honest voters vote.
        votes: votes in it.
    """

    models: tuple[str, ...]
    cells: Cells
    place: Codes
    pairs: Pairs
    ties: str
    ridge: float
    point: Fit
    battle: Doubles
    honest: Doubles
    votes: float

    @property
    def ranks(self) -> Ints:
        """(M,) ranks from 1."""
        return ranks_of(self.point.scores)

    def flat(self) -> Doubles:
        """Returns (3, P) votes for the first, for the second, and ties."""
        return np.stack([self.pairs.wins, self.pairs.losses, self.pairs.ties])

    def scaled(self, factor: float) -> Log:
        """Returns the log as it were with ``factor`` times the votes."""
        if factor == 1:
            return self
        pairs = replace(
            self.pairs,
            wins=self.pairs.wins * factor,
            losses=self.pairs.losses * factor,
            ties=self.pairs.ties * factor,
        )
        cells = replace(self.cells, count=self.cells.count * factor)
        point = fit(pairs, ties=self.ties, ridge=self.ridge, start=self.point)
        return replace(self, cells=cells, pairs=pairs, point=point, votes=self.votes * factor)

    def again(self, rng: np.random.Generator) -> Draw:
        """Returns how totals of the log drawn again are drawn: battles, with replacement."""
        return draw_of(rng, self.cells, self.place, len(self.pairs.first), None)

    def by_pair(self, share: Doubles) -> Doubles:
        """Returns (3, P) of (M, M, 3) votes by side: the same, whichever was shown first."""
        turned = share.transpose(1, 0, 2)[..., [1, 0, 2]]
        both = share + turned
        return np.ascontiguousarray(both[self.pairs.first, self.pairs.second].T)

    def aim(self, model: int, ranks: int, *, up: bool) -> Aim:
        """Returns what an attacker wants who would move a model by so many ranks.

        To pass r models the gap to each of them is to be closed; where r goes beyond the
        ranking, to as many as there are.
        """
        scores = self.point.scores
        order = np.lexsort((np.arange(len(scores)), -scores))
        at = int(np.flatnonzero(order == model)[0])
        passed = order[max(0, at - ranks) : at] if up else order[at + 1 : at + 1 + ranks]
        sign = 1.0 if up else -1.0
        wanted = np.zeros((len(passed), len(scores)))
        wanted[:, model] = sign
        wanted[np.arange(len(passed)), passed] = -sign
        gaps = sign * (scores[passed] - scores[model])
        return Aim(model, up, self.honest, gaps, self._gains(wanted))

    def _gains(self, wanted: Doubles) -> Doubles:
        """Returns (r, M, M, 3) what one vote adds to (r, M) sums of scores, to first order.

        w H⁻¹ s, with s the derivative of the log-likelihood of the vote.
        """
        M = len(self.models)
        inverse = np.linalg.pinv(self.point.hessian, hermitian=True)
        moved = wanted @ inverse[:M]  # (r, Q)
        d = (self.point.scores[:, None] - self.point.scores[None, :]).reshape(-1)
        tie = np.full_like(d, 0.0 if self.ties == "half" else float(self.point.tie))
        gains = np.zeros((len(wanted), M, M, 3))
        difference = moved[:, :M, None] - moved[:, None, :M]
        for outcome in range(3):
            one = np.broadcast_to(np.eye(3)[outcome], (len(d), 3)).T
            slopes = SLOPES[self.ties](d, tie, *one)
            gains[..., outcome] = difference * slopes.score.reshape(M, M)
            if self.ties != "half":
                gains[..., outcome] += moved[:, M, None, None] * slopes.tie.reshape(M, M)
        return gains


def log_of(votes: Votes, *, ties: str, ridge: float, sampling: str, notes: list[str]) -> Log:
    """Returns the honest log of votes: of the models that ``rank`` gives a score.

    Args:
        votes: as read.
        ties: how they are modelled.
        ridge: as for ``rank``.
        sampling: what voters are shown: ``uniform``, ``log`` or ``near``.
        notes: for people; some are added.

    Raises:
        InputError: no two models can be compared.
        UsageError: another sampling.
    """
    cells, _ = cells_of(votes)
    scored, _ = scored_models(votes, merged(cells)[0], notes)
    names = tuple(name for name, keep in zip(votes.models, scored, strict=True) if keep)
    return _log(names, only(cells, scored), ties, ridge, sampling, notes)


def model_log(
    honest_votes: int,
    models: int,
    *,
    ties: str,
    ridge: float,
    sampling: str,
    spread: float = SPREAD,
) -> Log:
    """Returns a model of a log: expected totals, all pairs alike, 15 % ties.

    Scores are the quantiles of a normal distribution, ``model-01`` the best.

    Raises:
        UsageError: fewer than 2 models or 1 vote a pair, more of either than can be simulated,
            or a spread that is not above 0.
    """
    if models < 2 or honest_votes < models * (models - 1) // 2:
        raise UsageError(
            f"--honest {honest_votes} --models {models}: give 2 models or more, and a vote a pair"
        )
    if honest_votes > MOST_VOTES or models > _MOST_MODELS:
        raise UsageError(
            f"--honest {honest_votes} --models {models}: give at most {MOST_VOTES:,} votes and "
            f"{_MOST_MODELS:,} models"
        )
    if not 0 < spread < 10:
        raise UsageError(f"--spread is {spread}: give log odds above 0 and below 10")
    ranks = (np.arange(models) + 0.5) / models
    scores = np.array([-spread * NormalDist().inv_cdf(one) for one in ranks])
    scores -= scores.mean()
    kernel = honest(scores, tie_share=TIE_SHARE)[..., :3] * uniform(models)[..., None]
    first, second, outcome = np.nonzero(kernel)
    count = kernel[first, second, outcome] * honest_votes
    cells = Cells(models, first, second, np.eye(3)[outcome], count)
    width = len(str(models))
    names = tuple(f"model-{code + 1:0{max(width, 2)}d}" for code in range(models))
    return _log(names, cells, ties, ridge, sampling, [])


def _log(
    names: tuple[str, ...], cells: Cells, ties: str, ridge: float, sampling: str, notes: list[str]
) -> Log:
    flat, _ = merged(cells)
    M = len(names)
    first, second = np.triu_indices(M, k=1)
    number = np.zeros((M, M), dtype=np.int64)
    number[first, second] = np.arange(len(first))
    place = number[flat.first, flat.second]
    amounts = [
        np.bincount(place, weights=flat.count * flat.amounts[:, what], minlength=len(first))
        for what in range(3)
    ]
    wins, losses, tied = (np.asarray(one, dtype=np.float64) for one in amounts)
    pairs = Pairs(M, first, second, wins, losses, tied)
    if ties != "half" and not tied.any():
        notes.append(f"there are no ties: {ties} is plain Bradley-Terry here")
        ties = "half"
    point = fit(pairs, ties=ties, ridge=ridge)
    battle = battles(sampling, point.scores, cells)
    votes = float(wins.sum() + losses.sum() + tied.sum())
    share = float(tied.sum() / votes)
    kernel = honest(
        point.scores,
        tie=None if ties == "half" else float(point.tie),
        ties=ties,
        tie_share=share if ties == "half" else None,
        battle=battles("log", point.scores, cells),
    )
    return Log(names, flat, place, pairs, ties, ridge, point, battle, kernel, votes)
