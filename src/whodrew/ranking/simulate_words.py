"""What a simulation comes to, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from whodrew.ranking.simulate_result import Curve, Defended, Needed

#: A share of repetitions that need no vote is told from here on.
_TOLD: Final = 0.005


def headline_of(
    aim: Mapping[str, Any],
    leading: Curve,
    curves: Sequence[Curve],
    defended: Sequence[Defended] | None,
) -> str:
    """Returns one sentence: what the leading attacker needs, and what guessing gets.

    Args:
        aim: of the result.
        leading: the first strategy with the leading identification.
        curves: all of them.
        defended: what defences cost the attacker.
    """
    there = [one for one in leading.needed if one.reached is not None]
    up = aim["direction"] == "up"
    verb = "lift" if up else "push down"
    rank = f"rank {aim['rank']}"
    if not there:
        far = leading.needed[0].ranks
        return f"{aim['model']!r} of {rank} cannot go {aim['direction']} by {far} or more."
    reached = [one for one in there if one.votes.value is not None]
    one = (reached or there)[-1]
    percent = f"{100 * leading.identification.accuracy:.0f} %"
    start = f"Naming {percent} of images rightly ({leading.strategy}), an attacker"
    if one.votes.value is None:
        text = f"{start} does not {verb} {aim['model']!r} by {_count(one)}: {one.votes.reason}."
    elif one.votes.value == 0:
        mean = "" if one.expected is None else f"; in the mean {one.expected:,.0f} votes do"
        text = (
            f"{aim['model']!r} has nothing left to {'gain' if up else 'lose'} in "
            f"{_whole(one.at_start)} of the repetitions, before any vote, so their median of 0 "
            f"votes for {_count(one)} says nothing of the attack{mean} "
            f"({leading.strategy}, naming {percent} of images rightly)."
        )
    else:
        text = (
            f"{start} needs {one.votes.value:,.0f} votes ({_range(one)}) to {verb} "
            f"{aim['model']!r} from {rank} to {one.to_rank}, "
            f"{_percent(one.votes.value / leading.honest_votes)} of the honest votes."
        )
        if one.at_start and one.at_start >= _TOLD:
            last = "first" if up else "last"
            text += f" In {_whole(one.at_start)} of the repetitions it is {last} without a vote."
    guess = [
        curve
        for curve in curves
        if curve.strategy == leading.strategy
        and curve.identification.label.startswith("chance")
        and curve is not leading
    ]
    if guess:
        same = next(other for other in guess[0].needed if other.ranks == one.ranks)
        if same.votes.value is None:
            text += " Guessing does not get there within the budget."
        elif same.votes.value > 0:
            text += f" Guessing: {same.votes.value:,.0f} votes."
    return text + _times(defended, one.ranks)


def _times(defended: Sequence[Defended] | None, ranks: int) -> str:
    """Returns what the best defence costs the attacker."""
    some = [one for one in defended or () if one.ranks == ranks and one.top1 is not None]
    if not some:
        return ""
    best = max(some, key=lambda one: one.times.value if one.times.value is not None else 1e300)
    if best.times.value is None:
        return f" With {best.defence}: {best.times.reason}."
    ends = [
        "no limit" if end is None else f"{end:.1f}" for end in (best.times.low, best.times.high)
    ]
    times = f"{best.times.value:.1f} times the votes ({' to '.join(ends)})"
    return f" With {best.defence} it needs {times}."


def _whole(share: float | None) -> str:
    return f"{100 * (share or 0):.0f} %"


def _count(one: Needed) -> str:
    return "1 rank" if one.ranks == 1 else f"{one.ranks} ranks"


def _range(one: Needed) -> str:
    high = "no limit within the budget" if one.votes.high is None else f"{one.votes.high:,.0f}"
    return f"95 %: {one.votes.low:,.0f} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
