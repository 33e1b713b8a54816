"""How voters vote, as probabilities: the kernel of a voter, and the battles it is shown.

A kernel is (M, M, 4): where model i is shown first and j second, the probability of a vote
for the first, for the second, of a tie, and of no vote. Battles are (M, M): the probability
that i is shown first and j second, 0 on the diagonal. From both follow logs (``draw``),
totals for simulation (``totals``), and expected totals, without a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.errors import UsageError
from whodrew.ranking.cells import Cells
from whodrew.ranking.columns import Doubles
from whodrew.ranking.formats import FIRST, SECOND, TIE
from whodrew.ranking.models import davidson, expit, rao_kupper

#: Places in the last axis of a kernel; the first three are outcomes of a log.
ABSTAIN: Final = 3
#: In what a strategy says only: vote as who looks at the pictures and has no aim.
AS_HONEST: Final = 4
SAMPLINGS: Final = ("uniform", "log", "near")
#: Resamples times kinds of vote that one draw may hold.
_AT_ONCE: Final = 1 << 22

Ints = npt.NDArray[np.int64]
_MODELS: Final = {"davidson": davidson, "rao-kupper": rao_kupper}


# ---------------------------------------------------------------- honest voters
def honest(
    scores: Doubles,
    *,
    tie: float | None = None,
    ties: str = "half",
    position: float = 0.0,
    tie_share: float | None = None,
    battle: Doubles | None = None,
) -> Doubles:
    """Returns (M, M, 4) how voters without an aim vote, by the fitted ranking.

    With ``ties="half"`` the ranking says only what a win and half a tie come to. Ties then
    happen as in Davidson's model, ``tie_share`` of all votes, between strengths such that a
    win and half a tie come to exactly 1 / (1 + exp(-d)): who refits such votes with ties as
    halves finds ``scores`` again (whodrew's own). Without a ``tie_share`` there are none.

    Args:
        scores: (M,) log odds.
        tie: log ν or log κ, for ``davidson`` and ``rao-kupper``.
        ties: how ties are modelled.
        position: log odds that the image shown first gains.
        tie_share: share of ties, at least 0 and below 1; used where ties are halves.
        battle: (M, M) the battles of which ``tie_share`` is the share; uniform if not given.
    """
    M = len(scores)
    d = scores[:, None] - scores[None, :] + position
    if ties == "half":
        p = expit(d)
        nu = 0.0
        if tie_share:
            nu = _nu(p, uniform(M) if battle is None else battle, tie_share)
        win, loss, tied = _with_ties(p, nu)
    else:
        assert tie is not None
        win, loss, tied = _MODELS[ties](d, np.full_like(d, tie))
    kernel = np.stack([win, loss, tied, np.zeros_like(win)], axis=-1)
    kernel[np.arange(M), np.arange(M)] = 0.0
    return np.asarray(kernel)


def _with_ties(p: Doubles, nu: float) -> tuple[Doubles, Doubles, Doubles]:
    """Davidson's probabilities where win + tie / 2 is p.

    With u = exp(d/2): (u + ν/2) / (u + 1/u + ν) = p, a quadratic in u.
    """
    lean = nu * (0.5 - p)
    root = np.sqrt(lean**2 + 4 * p * (1 - p))
    # of two forms that are equal, the one without a difference of equals
    u = np.where(lean > 0, 2 * p / (root + np.abs(lean)), (root + np.abs(lean)) / (2 * (1 - p)))
    total = u + 1 / u + nu
    return u / total, 1 / u / total, nu / total


def _nu(p: Doubles, battle: Doubles, share: float) -> float:
    """Returns the ν that has this share of ties, by bisection of its logarithm.

    A tie is at most twice the smaller of p and 1 - p: where the share cannot be had, ties are
    nearly as many as they can be.
    """
    low, high = -20.0, 12.0
    for _ in range(80):
        middle = (low + high) / 2
        if float((battle * _with_ties(p, float(np.exp(middle)))[2]).sum()) < share:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


# ---------------------------------------------------------------- battles
def uniform(models: int) -> Doubles:
    """Returns (M, M) all ordered pairs alike."""
    found = np.full((models, models), 1.0 / (models * (models - 1)))
    np.fill_diagonal(found, 0.0)
    return found


def battles(sampling: str, scores: Doubles, cells: Cells | None = None) -> Doubles:
    """Returns (M, M) the battles that a voter is shown.

    Args:
        sampling: ``uniform``; ``log``, as often as in the log, sides too; or ``near``, in
            inverse proportion to the distance of their ranks (whodrew's own).
        scores: (M,) log odds.
        cells: the log's kinds of battle, sides apart; for ``log``.

    Raises:
        UsageError: another sampling, or ``log`` without a log.
    """
    M = len(scores)
    if sampling == "uniform":
        return uniform(M)
    if sampling == "near":
        place = np.argsort(np.argsort(-scores, kind="stable"), kind="stable")
        far = np.abs(place[:, None] - place[None, :]).astype(np.float64)
        found = np.where(far > 0, 1 / np.maximum(far, 1), 0.0)
        return np.asarray(found / found.sum())
    if sampling != "log":
        raise UsageError(f"--sampling is {sampling!r}: give {', '.join(SAMPLINGS)}")
    if cells is None:
        raise UsageError("--sampling log needs a vote log: give one, or uniform or near")
    found = np.zeros((M, M))
    np.add.at(found, (cells.first, cells.second), cells.count)
    return np.asarray(found / found.sum())


# ---------------------------------------------------------------- who identifies
@dataclass(frozen=True)
class Belief:
    """What an attacker makes of the answers of its identifier, for both images jointly.

    Answers (a, b) come with probability C[i, a] C[j, b] where i and j are shown; then
    P(i, j | a, b) ∝ battle[i, j] C[i, a] C[j, b]. As battle[i, i] is 0, two images are never
    of one model.

    Attributes:
        battle: (M, M) what is shown.
        confusion: (M, A) probability of each answer, by true model; A is M, or one more for
            ``unknown``.
    """

    battle: Doubles
    confusion: Doubles

    @property
    def seen(self) -> Doubles:
        """(A, A) probability of a pair of answers."""
        return np.asarray(self.confusion.T @ self.battle @ self.confusion)

    def expect(self, values: Doubles) -> Doubles:
        """Returns (A, A) the posterior mean of (M, M) values, 0 for answers never given."""
        total = self.confusion.T @ (self.battle * values) @ self.confusion
        seen = self.seen
        return np.asarray(np.divide(total, seen, out=np.zeros_like(total), where=seen > 0))

    def shows(self, model: int) -> tuple[Doubles, Doubles]:
        """Returns (A, A) the probability that the first image is of a model, and the second."""
        mask = np.zeros_like(self.battle)
        mask[model] = 1.0
        return self.expect(mask), self.expect(mask.T)

    def likeliest(self) -> tuple[Ints, Ints]:
        """Returns (A, A) the most probable model of the first image, and of the second.

        Where several are alike the answer itself is taken, if it is one of them.
        """
        rival = self.battle @ self.confusion  # (M, A): of the other image's answers
        rival_turned = self.battle.T @ self.confusion
        A = self.confusion.shape[1]
        first, second = np.zeros((2, A, A), dtype=np.int64)
        for answer in range(A):
            own = self.confusion[:, answer, None]
            first[answer] = _argmax(own * rival, answer)
            second[:, answer] = _argmax(own * rival_turned, answer)
        return first, second

    def kernel(self, says: Doubles, honest: Doubles) -> Doubles:
        """Returns (M, M, 4) how one votes who says this, exactly: no sampling.

        Args:
            says: (A, A, 5) probability of each outcome given the answers; the last is to
                vote as an honest voter would.
            honest: (M, M, 4) how that is.
        """
        C = self.confusion
        parts = [C @ says[..., what] @ C.T for what in range(5)]
        kernel = np.stack(parts[:4], axis=-1) + parts[AS_HONEST][..., None] * honest
        M = len(C)
        kernel[np.arange(M), np.arange(M)] = 0.0
        return np.asarray(kernel)


def _argmax(values: Doubles, answer: int) -> Ints:
    """Returns the row of the greatest value of each column; among equals ``answer``."""
    best = values.argmax(axis=0)
    if answer < len(values):
        top = values[best, np.arange(values.shape[1])]
        best = np.where(values[answer] >= top * (1 - 1e-9), answer, best)
    return np.asarray(best, dtype=np.int64)


# ---------------------------------------------------------------- votes from kernels
def cast(vote: Doubles, battle: Doubles) -> tuple[Doubles, float]:
    """Returns (M, M, 3) the share of each vote among those cast, and of battles voted on."""
    joint = battle[..., None] * vote[..., :ABSTAIN]
    total = float(joint.sum())
    return (joint / total if total > 0 else joint), total


def draw(
    vote: Doubles, battle: Doubles, n: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """Draws the rows of a log: models shown first and second, and outcomes.

    Args:
        vote: (M, M, 4) a kernel.
        battle: (M, M) what is shown.
        n: votes; battles without a vote are in no log.
        rng: what is drawn from.

    Raises:
        UsageError: such a voter never votes.
    """
    share, total = cast(vote, battle)
    if total <= 0:
        raise UsageError("a voter that never votes leaves no log")
    kinds = _kinds(rng, share.reshape(-1), n)
    pair, outcome = np.divmod(kinds, 3)
    first, second = np.divmod(pair, len(battle))
    return first.astype(np.int32), second.astype(np.int32), outcome.astype(np.int8)


def _kinds(rng: np.random.Generator, share: Doubles, n: int) -> Ints:
    """Returns (n,) kinds drawn with these shares."""
    there = np.flatnonzero(share)
    edges = np.cumsum(share[there])
    found = np.searchsorted(edges, rng.random(n) * edges[-1], side="right")
    return np.asarray(there[np.minimum(found, len(there) - 1)], dtype=np.int64)


def totals(share: Doubles, n: int, repetitions: int, rng: np.random.Generator) -> Doubles:
    """Draws (repetitions, K) multinomial totals; by single votes where these are fewer.

    Args:
        share: (K,) share of each kind.
        n: votes in each repetition.
        repetitions: how often.
        rng: what is drawn from.
    """
    there = np.flatnonzero(share)
    found = np.zeros((repetitions, len(share)))
    if not n or not len(there):
        return found
    some = share[there] / share[there].sum()
    if n > len(there):
        found[:, there] = rng.multinomial(n, some, size=repetitions)
        return found
    step = max(1, _AT_ONCE // n)
    for begin in range(0, repetitions, step):
        rows = min(step, repetitions - begin)
        kinds = _kinds(rng, share, rows * n)
        code = np.repeat(np.arange(rows), n) * len(share) + kinds
        drawn = np.bincount(code, minlength=rows * len(share))
        found[begin : begin + rows] = drawn.reshape(rows, -1)
    return found


__all__ = [
    "ABSTAIN",
    "AS_HONEST",
    "FIRST",
    "SAMPLINGS",
    "SECOND",
    "TIE",
    "Belief",
    "battles",
    "cast",
    "draw",
    "honest",
    "totals",
    "uniform",
]
