"""The strategies of our own.

``target-only`` and ``omnipresent`` are named as in Min, Pang, Du, Liu, Cheng and Lin 2025
("Improving Your Model Ranking on Chatbot Arena by Vote Rigging", arXiv 2501.17858); what the
target-only voter does elsewhere is their T-Abstain, T-Tie, T-Random and T-Normal. The rules by
a joint posterior, and the omnipresent one by the scores' own derivatives, are whodrew's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from whodrew.errors import UsageError
from whodrew.ranking.behaviour import ABSTAIN, AS_HONEST, FIRST, SECOND, TIE, Belief
from whodrew.ranking.columns import Doubles
from whodrew.ranking.voters import Aim

#: What is said of a battle without the target, by name.
ELSEWHERE: Final[dict[str, tuple[float, ...]]] = {
    "abstain": (0, 0, 0, 1, 0),
    "tie": (0, 0, 1, 0, 0),
    "random": (0.5, 0.5, 0, 0, 0),
    "honest": (0, 0, 0, 0, 1),
}
#: Rounds in which the omnipresent voter weighs the gaps it has to close.
_ROUNDS: Final = 300


def _favouring(first: Doubles, second: Doubles, acts: Doubles, up: bool) -> Doubles:
    """Returns (A, A, 5): a vote for the model where ``acts``, on the likelier side.

    Args:
        first: (A, A) probability that the first image is of the model.
        second: the same of the second.
        acts: (A, A) whether it votes; elsewhere all is 0.
        up: a vote for it, else against it.
    """
    says = np.zeros((*first.shape, 5))
    left = np.where(np.isclose(first, second, rtol=1e-9, atol=0), 0.5, first > second)
    says[..., FIRST if up else SECOND] = acts * left
    says[..., SECOND if up else FIRST] = acts * (1 - left)
    return says


@dataclass(frozen=True)
class TargetOnly:
    """Votes where the target is the most probable model of one of the images.

    Attributes:
        otherwise: in all other battles: ``abstain``, ``tie``, ``random`` or ``honest``.
    """

    otherwise: str = "abstain"

    def __post_init__(self) -> None:
        """Refuses an unknown way.

        Raises:
            UsageError: it is none of ``ELSEWHERE``.
        """
        if self.otherwise not in ELSEWHERE:
            raise UsageError(
                f"target-only(otherwise={self.otherwise}): give {', '.join(ELSEWHERE)}"
            )

    def says(self, belief: Belief, aim: Aim) -> Doubles:
        """Returns (A, A, 5) what it does by the answers."""
        likely_first, likely_second = belief.likeliest()
        acts = ((likely_first == aim.model) | (likely_second == aim.model)).astype(np.float64)
        says = _favouring(*belief.shows(aim.model), acts, aim.up)
        rest = np.array(ELSEWHERE[self.otherwise])
        return np.asarray(says + (1 - acts)[..., None] * rest)


@dataclass(frozen=True)
class Abstain:
    """Votes where one image is the target's with at least this probability.

    Attributes:
        threshold: probability, by the identifier's measured confusions; above 0, at most 1.
    """

    threshold: float = 0.9

    def __post_init__(self) -> None:
        """Refuses what is no probability.

        Raises:
            UsageError: it is out of range.
        """
        if not 0 < self.threshold <= 1:
            raise UsageError(f"abstain(threshold={self.threshold}): above 0, at most 1")

    def says(self, belief: Belief, aim: Aim) -> Doubles:
        """Returns (A, A, 5) what it does by the answers."""
        first, second = belief.shows(aim.model)
        acts = (np.maximum(first, second) >= self.threshold - 1e-12).astype(np.float64)
        says = _favouring(first, second, acts, aim.up)
        says[..., ABSTAIN] = 1 - acts
        return says


@dataclass(frozen=True)
class Mimic:
    """Votes as an honest voter, but for the target in most battles that show it.

    Attributes:
        share: share of the target's battles in which it votes honestly too.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        """Refuses what is no share.

        Raises:
            UsageError: it is out of range.
        """
        if not 0 <= self.share < 1:
            raise UsageError(f"mimic(share={self.share}): at least 0, below 1")

    def says(self, belief: Belief, aim: Aim) -> Doubles:
        """Returns (A, A, 5) what it does by the answers."""
        says = TargetOnly("honest").says(belief, aim) * (1 - self.share)
        says[..., AS_HONEST] += self.share
        return says


@dataclass(frozen=True)
class Omnipresent:
    """Votes in every battle for what brings the target nearest to its rank.

    A vote moves all scores by H⁻¹ s, to first order, and so every gap that is to be closed:
    ``Aim.gains``. The voter maximises the least share of a gap that its votes close, over
    the gaps, in the mean over battles and over what it may be seeing. That is a game between
    votes and gaps, solved by multiplicative weights (Freund and Schapire 1999); the mean of
    its best answers is the strategy.
    """

    def says(self, belief: Belief, aim: Aim) -> Doubles:
        """Returns (A, A, 5) what it does by the answers."""
        A = belief.confusion.shape[1]
        says = np.zeros((A, A, 5))
        if not len(aim.gaps):
            says[..., ABSTAIN] = 1.0
            return says
        scale = np.maximum(aim.gaps, 1e-3 * max(float(aim.gaps.max()), 1e-9))
        shares = np.array(
            [
                [belief.expect(gain[..., outcome]) for outcome in (FIRST, SECOND, TIE)]
                for gain in aim.gains / scale[:, None, None, None]
            ]
        )
        seen = belief.seen
        weight = np.full(len(scale), 1 / len(scale))
        rounds = 1 if len(scale) == 1 else _ROUNDS
        pace = np.sqrt(8 * np.log(max(len(scale), 2)) / rounds)
        for _ in range(rounds):
            worth = np.tensordot(weight, shares, axes=1)  # (3, A, A)
            best = worth.argmax(axis=0)
            acts = worth.max(axis=0) > 1e-12 * np.abs(worth).max()
            took = np.take_along_axis(shares, best[None, None], axis=1)[:, 0]
            closed = (took * acts * seen).sum(axis=(1, 2))
            for outcome in (FIRST, SECOND, TIE):
                says[..., outcome] += acts & (best == outcome)
            says[..., ABSTAIN] += ~acts
            spread = float(np.abs(closed).max())
            if spread > 0:
                weight = weight * np.exp(-pace * closed / spread)
                weight /= weight.sum()
        return says / rounds
