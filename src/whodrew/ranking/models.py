"""Models of a vote between two of known scores: ties as halves, Davidson, Rao-Kupper.

In each, ``d`` is the difference of two log odds scores. Bradley and Terry (1952): the first
wins with probability 1 / (1 + exp(-d)); a tie is half a win for either. Davidson (1970):
win : loss : tie = exp(d/2) : exp(-d/2) : ν. Rao and Kupper (1967): win 1 / (1 + κ exp(-d)),
loss 1 / (1 + κ exp(d)), a tie what is left. The parameters of ties are fitted as log ν and
log κ, in which all three log-likelihoods are concave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from whodrew.errors import UsageError
from whodrew.ranking.columns import Doubles

Ties = Literal["half", "davidson", "rao-kupper"]
TIES: Final[tuple[str, ...]] = get_args(Ties)


@dataclass(frozen=True)
class Slopes:
    """First and second derivatives of the log-likelihood of one pair, per pair.

    Attributes:
        score: by d.
        tie: by the parameter of ties; 0 where there is none.
        curve: minus the second by d.
        cross: minus the mixed one.
        tie_curve: minus the second by the parameter of ties.
    """

    score: Doubles
    tie: Doubles
    curve: Doubles
    cross: Doubles
    tie_curve: Doubles


Slope = Callable[[Doubles, Doubles, Doubles, Doubles, Doubles], Slopes]


def expit(x: Doubles) -> Doubles:
    """Returns 1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _half(d: Doubles, _: Doubles, wins: Doubles, losses: Doubles, ties: Doubles) -> Slopes:
    total = wins + losses + ties
    p = expit(d)
    nothing = np.zeros_like(d)
    return Slopes(wins + ties / 2 - total * p, nothing, total * p * (1 - p), nothing, nothing)


def davidson(d: Doubles, log_nu: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Returns the probabilities of win, loss and tie."""
    top = np.maximum(np.abs(d) / 2, log_nu)
    win, loss, tie = np.exp(d / 2 - top), np.exp(-d / 2 - top), np.exp(log_nu - top)
    total = win + loss + tie
    return win / total, loss / total, tie / total


def _davidson(d: Doubles, t: Doubles, wins: Doubles, losses: Doubles, ties: Doubles) -> Slopes:
    total = wins + losses + ties
    win, loss, tie = davidson(d, t)
    lead = (win - loss) / 2
    return Slopes(
        (wins - losses) / 2 - total * lead,
        ties - total * tie,
        total * ((win + loss) / 4 - lead**2),
        -total * tie * lead,
        total * tie * (1 - tie),
    )


def _rao_kupper(d: Doubles, t: Doubles, wins: Doubles, losses: Doubles, ties: Doubles) -> Slopes:
    up, down = expit(d - t), expit(-d - t)
    first, second = wins + ties, losses + ties
    curve = first * up * (1 - up)
    other = second * down * (1 - down)
    # log(exp(2t) - 1), of which a tie has one
    decay = np.exp(-2 * t)
    return Slopes(
        first * (1 - up) - second * (1 - down),
        -first * (1 - up) - second * (1 - down) + ties * 2 / (1 - decay),
        curve + other,
        other - curve,
        curve + other + ties * 4 * decay / (1 - decay) ** 2,
    )


def rao_kupper(d: Doubles, log_kappa: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Returns the probabilities of win, loss and tie."""
    win, loss = expit(d - log_kappa), expit(-d - log_kappa)
    return win, loss, 1 - win - loss


def half(d: Doubles, _: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Returns the probabilities of win, loss and tie; the last is 0."""
    p = expit(d)
    return p, 1 - p, np.zeros_like(p)


SLOPES: Final[dict[str, Slope]] = {
    "half": _half,
    "davidson": _davidson,
    "rao-kupper": _rao_kupper,
}
#: Where the parameter of ties starts, and the least it may be.
START: Final = {"davidson": 0.0, "rao-kupper": 0.5}
LEAST: Final = {"half": -np.inf, "davidson": -30.0, "rao-kupper": 1e-9}


def check_ties(ties: str) -> None:
    """Refuses an unknown model of ties.

    Raises:
        UsageError: it is none of ``TIES``.
    """
    if ties not in TIES:
        raise UsageError(f"--ties is {ties!r}: give {', '.join(TIES)}")
