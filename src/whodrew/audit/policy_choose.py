"""Choosing prompts: greedy, then by exchange; the frontier of leak and power; random sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whodrew.audit.policy_power import Power
from whodrew.measure.intervals import Doubles

WEIGHTS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
RANDOM_SETS: Final = 200
_PASSES: Final = 3


@dataclass(frozen=True)
class Point:
    """One set of prompts of the frontier.

    Attributes:
        weight: of the leak against the power.
        chosen: codes of the prompts, sorted.
        leak: mean over them.
        power: of the set.
        efficient: whether no other set of its size leaks less at no less power.
    """

    weight: float
    chosen: tuple[int, ...]
    leak: float
    power: float
    efficient: bool = False

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "prompts": len(self.chosen),
            "weight": self.weight,
            "leak": self.leak,
            "power": self.power,
            "efficient": self.efficient,
            "prompt_ids": [names[code] for code in self.chosen],
        }


@dataclass(frozen=True)
class _Search:
    """The search at one weight: power / power of all − weight × mean scaled leak."""

    power: Power
    leak: Doubles
    scaled: Doubles
    whole: float
    weight: float

    @classmethod
    def of(cls, power: Power, leak: Doubles, weight: float) -> _Search:
        spread = leak.max() - leak.min()
        scaled = (leak - leak.min()) / (spread if spread > 0 else 1.0)
        return cls(power, leak, scaled, max(power.value(range(len(leak))), 1e-12), weight)

    def additions(self, chosen: list[int]) -> Doubles:
        """Returns (P,) the worth of the set with each prompt added; those in it have none."""
        given = (self.scaled[chosen].sum() + self.scaled) / (len(chosen) + 1)
        found = self.power.additions(chosen) / self.whole - self.weight * given
        found[chosen] = -np.inf
        return np.asarray(found)

    def greedy(self, number: int) -> list[int]:
        """Returns prompts in the order in which each adds most."""
        chosen: list[int] = []
        while len(chosen) < number:
            chosen.append(int(self.additions(chosen).argmax()))
        return chosen

    def exchanged(self, chosen: list[int]) -> Point:
        """Exchanges prompts while that helps."""
        best = float(self.additions(chosen[:-1])[chosen[-1]])
        for _ in range(_PASSES if len(chosen) < len(self.leak) else 0):
            before = best
            for out in tuple(chosen):
                rest = [code for code in chosen if code != out]
                gains = self.additions(rest)
                if gains.max() > best + 1e-12:
                    best = float(gains.max())
                    chosen = [*rest, int(gains.argmax())]
            if best <= before:
                break
        final = tuple(sorted(chosen))
        leak = float(self.leak[list(final)].mean())
        return Point(self.weight, final, leak, self.power.value(final))


def choose(power: Power, leak: Doubles, number: int, weight: float) -> Point:
    """Chooses prompts that give much power and leak little.

    The sum that is made large: power / power of all − weight × the mean leak, scaled to 0
    to 1 over the prompts. Greedy from nothing, then each chosen prompt is exchanged for the
    best other while that helps, three rounds at most. whodrew's own; both steps go through
    the prompts in their order, so that nothing is left to chance.

    Args:
        power: of sets.
        leak: (P,) what each prompt gives away.
        number: prompts to choose, 1 to P.
        weight: of the leak.
    """
    search = _Search.of(power, leak, weight)
    return search.exchanged(search.greedy(number))


def frontier(
    power: Power, leak: Doubles, sizes: Sequence[int], weights: Sequence[float] = WEIGHTS
) -> list[Point]:
    """Returns a set for each size and weight, the smallest first, those that repeat left out.

    Cost: for each weight, as many looks at all prompts as the largest set has prompts, and
    for each size up to three times its prompts more.
    """
    searches = [_Search.of(power, leak, weight) for weight in weights]
    orders = [search.greedy(max(sizes)) for search in searches]
    points: list[Point] = []
    for size in sizes:
        sets: dict[tuple[int, ...], Point] = {}
        for search, order in zip(searches, orders, strict=True):
            found = search.exchanged(order[:size])
            sets.setdefault(found.chosen, found)
        points += _marked(list(sets.values()))
    return points


def _marked(points: list[Point]) -> list[Point]:
    def beaten(one: Point) -> bool:
        return any(
            other.leak <= one.leak
            and other.power >= one.power
            and (other.leak, other.power) != (one.leak, one.power)
            for other in points
        )

    return [Point(one.weight, one.chosen, one.leak, one.power, not beaten(one)) for one in points]


def best_of(points: Sequence[Point], keep: float) -> Point:
    """Returns the set of least leak that keeps a share of the greatest power.

    Args:
        points: sets of one size.
        keep: the share, 0 to 1.
    """
    most = max(one.power for one in points)
    enough = [one for one in points if one.power >= keep * most]
    return min(enough, key=lambda one: (one.leak, -one.power))


def random_sets(power: Power, leak: Doubles, number: int, seed: int) -> dict[str, Any]:
    """Returns leak and power of seeded random sets of a size: mean, and 95 % of them."""
    rng = np.random.default_rng([seed, 11, number])
    drawn = [rng.choice(len(leak), size=number, replace=False) for _ in range(RANDOM_SETS)]
    values: dict[str, Any] = {"sets": RANDOM_SETS}
    for name, found in (
        ("leak", [float(leak[some].mean()) for some in drawn]),
        ("power", [power.value(some.tolist()) for some in drawn]),
    ):
        low, high = np.quantile(found, [0.025, 0.975])
        values[name] = {"value": float(np.mean(found)), "low": float(low), "high": float(high)}
    return values
