"""Honest votes as a screen models them: Davidson's ties, the side shown first, voters apart.

A vote on (i, j), i shown first: first : second : tie = e^(d/2) : e^(-d/2) : ν with
d = s_i - s_j + b (Davidson 1970; b the advantage of the first place, as in Davidson and
Beaver 1977, but in log odds). Fitted by Newton's method on the totals of ordered pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.errors import InputError
from whodrew.ranking.cells import components
from whodrew.ranking.columns import Doubles
from whodrew.ranking.models import LEAST, SLOPES, START, davidson
from whodrew.ranking.votes import Votes

Codes = npt.NDArray[np.int64]
Outcomes = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]

#: Keeps scores of models that only won or only lost finite; else too small to be seen.
RIDGE: Final = 1e-3
_STEPS: Final = 60
_LONGEST: Final = 3.0
_LEAST_CHANCE: Final = 1e-9


@dataclass(frozen=True)
class Honest:
    """Parameters of honest votes.

    Attributes:
        scores: (M,) log odds, mean 0.
        position: log odds that the model shown first gains.
        tie: log ν.
        hessian: (M + 2, M + 2) minus the second derivative by scores, position, tie, with
            the direction that leaves all differences alone made harmless.
    """

    scores: Doubles
    position: float
    tie: float
    hessian: Doubles = field(repr=False)

    def chances(self) -> Doubles:
        """Returns (M, M, 3) probabilities of first, second, tie; row shown first."""
        d = self.scores[:, None] - self.scores[None, :] + self.position
        return np.stack(davidson(d, np.full_like(d, self.tie)), axis=-1)


@dataclass(frozen=True)
class Log:
    """Votes as arrays, ordered by voter; n votes of V voters who are looked at.

    Attributes:
        models: M.
        first: (n,) code of the model shown first.
        second: (n,) code of the other.
        outcome: (n,) 0 first, 1 second, 2 tie.
        voter: (n,) 0 to V - 1, ascending; V for voters of too few votes, V + 1 for nobody.
        voters: V.
        place: (n,) place of each vote in the log it came from.
        whose: (n,) code of the person, each vote of nobody one of its own; ``voter`` where
            ``None``.
        rest: whether votes of those who are not looked at are in the honest fit: only where
            the others do not rank all models.
    """

    models: int
    first: Codes
    second: Codes
    outcome: Outcomes
    voter: Codes
    voters: int
    place: Codes
    whose: Codes | None = field(default=None, repr=False)
    rest: bool = False

    @property
    def cell(self) -> Codes:
        """(n,) code of the ordered pair."""
        return self.first * self.models + self.second

    @property
    def judged(self) -> int:
        """Votes of the voters that are looked at; they come first."""
        return int(np.searchsorted(self.voter, self.voters))

    def sizes(self) -> Codes:
        """Returns (V,) votes a voter."""
        return np.bincount(self.voter, minlength=self.voters + 1)[: self.voters]

    def inside(self, trusted: Flags) -> Flags:
        """Returns (n,) which votes are in the honest fit, of (V,) voters that are trusted."""
        return np.asarray(np.r_[trusted, self.rest, self.rest][self.voter])


def check_voters(votes: Votes) -> None:
    """Refuses votes that name no voters.

    Raises:
        InputError: no vote has one.
    """
    if votes.voter is None or not (votes.voter >= 0).any():
        raise InputError(
            f"{votes.source or 'the votes'} name no voters, and a screen judges voters: say which "
            "column does, as --columns voter=user_id"
        )


def log_of(votes: Votes, least: int) -> tuple[Log, Codes]:
    """Returns the votes by voter, and the (V,) codes of the voters with ``least`` votes.

    Raises:
        InputError: no voters are known, or battles hold several votes.
    """
    check_voters(votes)
    assert votes.voter is not None
    outcome = np.minimum(votes.outcome, 2).astype(np.int8)
    if votes.amounts is not None:
        one = (votes.amounts.max(axis=1) == 1) & (votes.amounts.sum(axis=1) == 1)
        if not one.all():
            raise InputError(
                f"{votes.source or 'the votes'} hold battles of several votes, or of a part of "
                "one: a screen needs a row for each vote, with its voter"
            )
        outcome = votes.amounts.argmax(axis=1).astype(np.int8)
    sizes = np.bincount(votes.voter[votes.voter >= 0], minlength=len(votes.voters))
    codes = np.flatnonzero(sizes >= least)
    place = np.full(len(sizes) + 1, len(codes), dtype=np.int64)
    place[codes] = np.arange(len(codes))
    place[-1] = len(codes) + 1  # -1, nobody, is the last
    voter = place[votes.voter]
    order = np.argsort(voter, kind="stable")
    whose = votes.voter[order].astype(np.int64)
    nobody = whose < 0
    whose[nobody] = len(sizes) + np.arange(nobody.sum())
    log = Log(
        len(votes.models),
        votes.first[order].astype(np.int64),
        votes.second[order].astype(np.int64),
        outcome[order],
        voter[order],
        len(codes),
        order,
        whose,
    )
    return replace(log, rest=not _enough(log)), codes


def _enough(log: Log) -> bool:
    """Returns whether judged voters' votes alone rank all models that all votes rank."""
    some, every = (
        components(_wins(totals_of(log, log.outcome, keep)))
        for keep in (np.arange(len(log.voter)) < log.judged, None)
    )
    ranked = every == np.bincount(every).argmax()
    return log.judged == len(log.voter) or bool((some[ranked] == some[ranked][0]).all())


def _wins(totals: Doubles) -> Doubles:
    """Returns (M, M) votes for row over column, ties on both sides."""
    win, loss, tie = np.moveaxis(totals, -1, 0)
    return np.asarray(win + loss.T + tie + tie.T)


def totals_of(log: Log, outcome: Outcomes, keep: Flags | None = None) -> Doubles:
    """Returns (M, M, 3) votes by ordered pair and outcome.

    Args:
        log: the battles.
        outcome: (n,) what was voted.
        keep: (n,) votes that count; all where ``None``.
    """
    code = log.cell * 3 + outcome
    if keep is not None:
        code = code[keep]
    M = log.models
    return np.bincount(code, minlength=M * M * 3).reshape(M, M, 3).astype(np.float64)


def fit_honest(totals: Doubles, start: Honest | None = None) -> Honest:
    """Fits scores, position and ties, less RIDGE / 2 times the squares of all parameters.

    Args:
        totals: (M, M, 3) votes by ordered pair and outcome. Cost: M³ a step.
        start: where to begin.
    """
    M = len(totals)
    point = np.zeros(M + 2)
    point[M + 1] = START["davidson"]
    if start is not None:
        point[:M], point[M], point[M + 1] = start.scores, start.position, start.tie
    wins, losses, ties = np.moveaxis(totals, -1, 0)
    H = np.eye(M + 2)
    for _ in range(_STEPS):
        d = point[:M, None] - point[None, :M] + point[M]
        here = SLOPES["davidson"](d, np.full_like(d, point[M + 1]), wins, losses, ties)
        gradient = np.empty(M + 2)
        gradient[:M] = here.score.sum(axis=1) - here.score.sum(axis=0)
        gradient[M], gradient[M + 1] = here.score.sum(), here.tie.sum()
        H = np.zeros((M + 2, M + 2))
        H[:M, :M] = -here.curve - here.curve.T
        H[range(M), range(M)] += here.curve.sum(axis=1) + here.curve.sum(axis=0)
        H[:M, M] = H[M, :M] = here.curve.sum(axis=1) - here.curve.sum(axis=0)
        H[:M, M + 1] = H[M + 1, :M] = here.cross.sum(axis=1) - here.cross.sum(axis=0)
        H[M, M], H[M + 1, M + 1] = here.curve.sum(), here.tie_curve.sum()
        H[M, M + 1] = H[M + 1, M] = here.cross.sum()
        H[range(M + 2), range(M + 2)] += RIDGE
        # all scores up by the same changes nothing: any weight will do
        H[:M, :M] += max(np.trace(H[:M, :M]) / M, 1.0) / M
        step = np.linalg.solve(H, gradient - RIDGE * point)
        longest = float(np.abs(step).max())
        point += step * min(1.0, _LONGEST / max(longest, 1e-300))
        point[M + 1] = max(point[M + 1], LEAST["davidson"])
        if longest < 1e-6:  # the next would be its square
            break
    return Honest(point[:M] - point[:M].mean(), float(point[M]), float(point[M + 1]), H)


def leave_out(log: Log, outcome: Outcomes, fitted: Honest, trusted: Flags) -> Doubles:
    """Returns (V, M + 2) what the parameters change by when a voter's votes are left out.

    One Newton step, the curvature without the voter taken as its share of the whole: θ₋ᵥ - θ
    ≈ -H⁻¹ gᵥ / (1 - nᵥ/n). Exact to first order; those not trusted are not in the fit.

    Args:
        log: the battles.
        outcome: (n,) what was voted.
        fitted: the fit to the votes of trusted voters.
        trusted: (V,) whose votes are in it.
    """
    M, V, n = log.models, log.voters, log.judged
    win, loss, tie = np.moveaxis(fitted.chances(), -1, 0)
    lead = (win - loss) / 2
    score = np.stack([0.5 - lead, -0.5 - lead, -lead], axis=-1).reshape(-1)
    bent = np.stack([-tie, -tie, 1 - tie], axis=-1).reshape(-1)
    code = log.cell[:n] * 3 + outcome[:n]
    voter, here = log.voter[:n], score[code]
    g = np.zeros((V, M + 2))
    plus = np.bincount(voter * M + log.first[:n], weights=here, minlength=V * M)
    plus -= np.bincount(voter * M + log.second[:n], weights=here, minlength=V * M)
    g[:, :M] = plus.reshape(V, M)
    g[:, M] = np.bincount(voter, weights=here, minlength=V)
    g[:, M + 1] = np.bincount(voter, weights=bent[code], minlength=V)
    inside = int(log.inside(trusted).sum())
    left = 1 - np.minimum(log.sizes() / max(inside, 1), 0.9)
    change = -np.linalg.solve(fitted.hessian, g.T).T / left[:, None]
    return np.where(trusted[:, None], change, 0.0)


def vote_chances(log: Log, outcome: Outcomes, fitted: Honest, change: Doubles) -> Doubles:
    """Returns (n judged,) the probability of each vote without its voter in the fit."""
    n, M = log.judged, log.models
    at = log.voter[:n] * (M + 2)
    flat = change.reshape(-1)
    d = fitted.scores[log.first[:n]] - fitted.scores[log.second[:n]] + fitted.position
    d = d + flat[at + log.first[:n]] - flat[at + log.second[:n]] + flat[at + M]
    own = np.exp(d / 2)
    other = 1 / own
    nu = np.exp(np.minimum(fitted.tie + change[:, M + 1], 30.0))[log.voter[:n]]
    said = np.where(outcome[:n] == 0, own, np.where(outcome[:n] == 1, other, nu))
    return np.asarray(np.clip(said / (own + other + nu), _LEAST_CHANCE, 1.0))


def draw_outcomes(log: Log, fitted: Honest, rng: np.random.Generator) -> Outcomes:
    """Returns (n,) honest votes on the log's very battles."""
    chances = fitted.chances()
    first = chances[..., 0].reshape(-1)
    both = first + chances[..., 1].reshape(-1)
    cell, u = log.cell, rng.random(len(log.first))
    return ((u >= first[cell]).astype(np.int8) + (u >= both[cell])).astype(np.int8)
