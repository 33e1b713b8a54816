"""What a simulation comes to, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whodrew.ranking.simulate_result import Curve, Defended, Needed


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
    else:
        text = (
            f"{start} needs {one.votes.value:,.0f} votes ({_range(one)}) to {verb} "
            f"{aim['model']!r} from {rank} to {one.to_rank}, "
            f"{_percent(one.votes.value / leading.honest_votes)} of the honest votes."
        )
    guess = [
        curve
        for curve in curves
        if curve.strategy == leading.strategy
        and curve.identification.label.startswith("chance")
        and curve is not leading
    ]
    if guess:
        same = next(other for other in guess[0].needed if other.ranks == one.ranks)
        text += (
            " Guessing does not get there within the budget."
            if same.votes.value is None
            else f" Guessing: {same.votes.value:,.0f} votes."
        )
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


def _count(one: Needed) -> str:
    return "1 rank" if one.ranks == 1 else f"{one.ranks} ranks"


def _range(one: Needed) -> str:
    high = "no limit within the budget" if one.votes.high is None else f"{one.votes.high:,.0f}"
    return f"95 %: {one.votes.low:,.0f} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
