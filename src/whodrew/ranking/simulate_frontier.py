"""How many times the votes an attacker needs where images are defended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.errors import InputError
from whodrew.ranking import simulate_read as read
from whodrew.ranking.columns import Doubles
from whodrew.ranking.intervals import NORMAL
from whodrew.ranking.ranks import quantiles
from whodrew.ranking.result import Bounded
from whodrew.ranking.simulate_result import Defended

_DRAWS: Final = 4000
_GRID: Final = 33

Needs = Callable[[float], Doubles]


@dataclass(frozen=True)
class Frontier:
    """What a frontier says of accuracies.

    Attributes:
        rate: the strongest undefended, images shown alone: value, low, high.
        chance: of the arena it was measured in, where it is known.
        points: by defence the strongest rate, or ``None`` where none could be measured.
    """

    rate: Mapping[str, Any]
    chance: float | None
    points: tuple[tuple[str, Mapping[str, Any] | None], ...]


def read_frontier(source: str | Path) -> Frontier:
    """Returns the strongest rate undefended, and that of every defence.

    Raises:
        InputError: it cannot be read, holds a wrong value, or no attacker was measured
            undefended.
    """
    file = Path(source)
    file = file / "frontier.json" if file.is_dir() else file
    values = read.read_result(file, "whodrew.frontier/", "points")
    known, alone = [], []
    for at, one in enumerate(read.objects(file, "undefended", _list(file, values))):
        field = f"undefended[{at}]"
        shown = read.shown(file, field, one.get("knowledge"))
        rate = read.rate(file, f"{field}.top1", one.get("top1"))
        if rate is None:
            continue
        chance = rate.get("chance")
        if chance is not None and not read.share(file, f"{field}.top1.chance", chance):
            raise InputError(f"{file}: {field}.top1.chance is 0: it has to be above 0")
        known.append(rate)
        # who votes on a battle sees two images, and not one of each model
        if shown == "any":
            alone.append(rate)
    if not known:
        raise InputError(f"{file} has no attacker measured without defence: run it again")
    points = []
    for at, one in enumerate(read.objects(file, "points", values["points"])):
        field = f"points[{at}]"
        name = read.text(file, f"{field}.defence", one.get("defence"))
        strongest = read.mapping(file, f"{field}.strongest", one.get("strongest"))
        points.append((name, read.rate(file, f"{field}.strongest.top1", strongest.get("top1"))))
    best = max(alone or known, key=lambda rate: float(rate["value"]))
    chance = best.get("chance")
    return Frontier(best, None if chance is None else float(chance), tuple(points))


def _list(file: Path, values: Mapping[str, Any]) -> list[Any]:
    found = values.get("undefended")
    if not isinstance(found, list):
        raise InputError(f"{file} has no undefended: write it again with whodrew frontier")
    return found


def defended(
    frontier: Frontier,
    needs: Needs,
    ranks: Sequence[int],
    *,
    chance: float,
    seed: int,
) -> tuple[Defended, ...]:
    """Returns, by defence and ranks, the votes needed over those needed without it.

    Whodrew's own: votes are the expected ones of the accuracy. The interval is over both
    accuracies, each drawn from a normal distribution that has its interval.

    Args:
        frontier: accuracies without a defence and with each.
        needs: accuracy to (G,) votes, infinite where no number of votes gets there.
        ranks: (G,) how many are wanted.
        chance: below which accuracy tells nothing.
        seed: seeds the draws.
    """
    rng = np.random.default_rng([seed, 64])
    grid = chance + (1 - chance) * np.linspace(0, 1, _GRID) ** 2
    votes = np.array([needs(float(at)) for at in grid])
    base, bases = float(frontier.rate["value"]), _draws(frontier.rate, rng)
    found = []
    for name, top1 in frontier.points:
        drawn = None if top1 is None else _draws(top1, rng)
        for at, number in enumerate(ranks):
            if top1 is None or drawn is None:
                nothing = Bounded(None, None, None, "no attacker could be measured")
                found.append(Defended(name, None, number, nothing, None, None))
                continue
            value = float(top1["value"])
            one = _at(np.array([value]), grid, votes[:, at])[0]
            other = _at(np.array([base]), grid, votes[:, at])[0]
            with np.errstate(invalid="ignore", divide="ignore"):
                times = _at(drawn, grid, votes[:, at]) / _at(bases, grid, votes[:, at])
            found.append(
                Defended(name, value, number, _times(one, other, times), _or(one), _or(other))
            )
    return tuple(found)


def _draws(rate: Mapping[str, Any], rng: np.random.Generator) -> Doubles:
    """Draws accuracies whose 95 % are the interval, each side with its own deviation."""
    value = float(rate["value"])
    low, high = rate.get("low"), rate.get("high")
    down = (value - float(low)) / NORMAL if low is not None else 0.0
    up = (float(high) - value) / NORMAL if high is not None else 0.0
    z = rng.standard_normal(_DRAWS)
    return np.clip(value + np.where(z < 0, z * down, z * up), 0, 1)


def _at(accuracy: Doubles, grid: Doubles, votes: Doubles) -> Doubles:
    """Returns votes by accuracy; 1 / votes is near to linear, and 0 where there is no number."""
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.interp(accuracy, grid, 1 / votes))


def _or(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _times(one: float, other: float, times: Doubles) -> Bounded:
    if not np.isfinite(other):
        return Bounded(None, None, None, "no number of votes gets there without a defence either")
    times = np.nan_to_num(times, nan=np.inf, posinf=np.inf)
    low, high = (float(end) for end in quantiles(times))
    reason = "at this accuracy no number of votes gets there"
    if not np.isfinite(one):
        more = f"; at least {low:.1f} times at 97.5 %" if np.isfinite(low) else ""
        return Bounded(None, None, None, reason + more)
    value = float(one / other)
    return Bounded(
        value,
        min(low, value) if np.isfinite(low) else None,
        max(high, value) if np.isfinite(high) else None,
        "at the lower end of the accuracy no number of votes gets there",
    )
