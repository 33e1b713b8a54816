"""Attackers: what they want, and the registry of strategies that turn a belief into a vote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from whodrew.errors import UsageError, WhodrewError
from whodrew.ranking.behaviour import Belief
from whodrew.ranking.columns import Doubles
from whodrew.registry import Entry, Listed, Registry
from whodrew.spec import build, spelled

_HOW: Final = "write it as abstain(threshold=0.9)"
_CLOSE: Final = 1e-6


@dataclass(frozen=True)
class Aim:
    """What an attacker wants, and what one vote does for it.

    Attributes:
        model: code of the target, or of the rival.
        up: whether it is to rise.
        honest: (M, M, 4) how honest voters vote.
        gaps: (r,) log odds between the model and each of the r that it is to pass.
        gains: (r, M, M, 3) what a vote of each outcome takes off each gap: to first order,
            w H⁻¹ s with s the derivative of the vote's log-likelihood and w the gap's.
    """

    model: int
    up: bool
    honest: Doubles
    gaps: Doubles
    gains: Doubles


class Strategy(Protocol):
    """How an attacker votes by what it believes. A frozen dataclass; its fields are settings."""

    def says(self, belief: Belief, aim: Aim) -> Doubles:
        """Returns (A, A, 5): by the answers for the first and the second image, the
        probability of a vote for the first, for the second, of a tie, of none, and of voting
        as an honest voter would.
        """  # noqa: D205 - one sentence
        ...


VOTERS: Registry[Callable[..., Strategy]] = Registry(
    "strategy",
    "whodrew.voters",
    (
        Entry(
            "target-only",
            "votes for the target where it is the most probable model of an image",
            "whodrew.ranking.voters_rigging:TargetOnly",
        ),
        Entry(
            "omnipresent",
            "and in all other battles for whatever helps the target most",
            "whodrew.ranking.voters_rigging:Omnipresent",
        ),
        Entry(
            "abstain",
            "votes for the target only where it is sure enough to see it",
            "whodrew.ranking.voters_rigging:Abstain",
        ),
        Entry(
            "mimic",
            "votes as an honest voter elsewhere, and in a share of the target's battles",
            "whodrew.ranking.voters_rigging:Mimic",
        ),
    ),
)


def parse_strategy(spec: str) -> Strategy:
    """Builds the strategy that a SPEC names: ``mimic(share=0.3)``.

    Raises:
        UsageError: it is malformed, unknown, or has a setting that is.
    """
    found = build(spec, VOTERS, _HOW)
    if len(found) != 1:
        raise UsageError(f"strategy {spec!r} names {len(found)}: an attacker has one, {_HOW}")
    made: Strategy = found[0]
    return made


def spell(spec: str) -> str:
    """Returns a SPEC in its one spelling: only settings that are not the default.

    Raises:
        UsageError: as ``parse_strategy``.
    """
    return spelled(spec.partition("(")[0].strip(), parse_strategy(spec))


def kernel_of(spec: str, belief: Belief, aim: Aim) -> Doubles:
    """Returns (M, M, 4) how an attacker of this strategy votes.

    Raises:
        UsageError: the strategy is unknown, or a third party's that says no probabilities.
    """
    strategy, name = parse_strategy(spec), spec.partition("(")[0].strip()
    A = belief.confusion.shape[1]
    try:
        says = np.asarray(strategy.says(belief, aim), dtype=np.float64)
    except WhodrewError:
        raise
    except Exception as error:
        if VOTERS.package(name) is None:
            raise
        raise VOTERS.broken(name, "fails", error) from error
    if (
        says.shape != (A, A, 5)
        or not np.isfinite(says).all()
        or says.min() < -_CLOSE
        or np.abs(says.sum(axis=-1) - 1).max() > _CLOSE
    ):
        fault = f"says no probabilities of shape ({A}, {A}, 5)"
        raise VOTERS.broken(name, "cannot be used", f"it {fault}")
    return belief.kernel(says, aim.honest)


def strategies() -> list[Listed]:
    """Returns every strategy, importing none."""
    return [Listed.of(entry) for entry in VOTERS.entries()]
