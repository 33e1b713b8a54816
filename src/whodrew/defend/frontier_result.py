"""What a frontier says: points, the strongest attacker of each, and a recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from whodrew.defend.attackers import Faced, strongest
from whodrew.defend.pairs import Pair
from whodrew.defend.quality import QualityMedians
from whodrew.defend.scorers import Standing

SCHEMA: Final = "whodrew.frontier/1"
#: SSIM below which people see that a picture was changed; ours, for the recommendation.
SEEN: Final = 0.90
#: Share of the arena's short side below which a picture is another; ours, likewise.
LEAST_SIDE: Final = 0.5


TABLE: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("defence", "attacker", "encoder", "identifier")),
        *((name, pa.string()) for name in ("prompts", "shown", "purified", "profile")),
        ("draws", pa.int64()),
        *((name, pa.float64()) for name in ("top1", "low", "high", "chance")),
        *((name, pa.float64()) for name in ("psnr", "ssim", "milliseconds_per_image")),
    ]
)


@dataclass(frozen=True)
class Point:
    """One defence: what it costs, and what every attacker still names.

    Attributes:
        defence: its SPEC.
        budget: what it may change, by stage.
        quality: medians over images.
        milliseconds: median of what defending an image takes, on one core.
        side: median short side of the images shown, in pixels.
        attackers: all of them.
        strongest: who names most, each image shown alone; ``None`` where nothing could be
            measured.
        standing: whether a scorer's order of models stays; ``None`` without a scorer.
        pairs: pictures before and after, for people; no part of the JSON.
        learnt_from: ``other prompts`` where every image meets what stages learnt without its
            prompt, ``the same images`` where figures are in-sample, ``None`` where none learns.
    """

    defence: str
    budget: Mapping[str, Any]
    quality: QualityMedians
    milliseconds: float
    side: float
    attackers: tuple[Faced, ...]
    strongest: Faced | None
    standing: Standing | None = None
    pairs: tuple[Pair, ...] = field(default=(), repr=False)
    learnt_from: str | None = None

    @property
    def top1(self) -> float | None:
        """What the strongest attacker names."""
        return None if self.strongest is None else self.strongest.top1.value

    def unchanged(self) -> Faced | None:
        """The strongest of the attackers who know nothing of the defence."""
        return strongest([one for one in self.attackers if one.attacker == "unchanged"])

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        best = None if self.strongest is None else self.strongest.to_dict()
        values: dict[str, Any] = {
            "defence": self.defence,
            "budget": dict(self.budget),
            "quality": self.quality.to_dict(),
            "milliseconds_per_image": self.milliseconds,
            "short_side": self.side,
            "learnt_from": self.learnt_from,
            "attackers": [one.to_dict() for one in self.attackers],
            "strongest": best,
            "ranking": None if self.standing is None else self.standing.to_dict(),
        }
        if self.standing is None:
            values["ranking_reason"] = "no scorer given: --scorer NAME"
        if self.learnt_from is None:
            values["learnt_from_reason"] = "no stage of it learns"
        if best is None:
            values["strongest_reason"] = "no attacker could be measured"
        return values


@dataclass(frozen=True)
class Frontier:
    """Defences against every attacker.

    Attributes:
        arena: source, counts, and what was left out.
        chance: what guessing gives.
        seed: of all of it.
        undefended: attackers against the images as they are, all that need no defence.
        points: one a defence, in the order given.
        recommendation: ``{"defence": SPEC | None, "why": text}``.
    """

    arena: Mapping[str, Any]
    chance: float
    seed: int
    undefended: tuple[Faced, ...]
    points: tuple[Point, ...]
    recommendation: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Returns the object of ``frontier.json``."""
        return {
            "schema": SCHEMA,
            "seed": self.seed,
            "arena": dict(self.arena),
            "chance": self.chance,
            "undefended": [one.to_dict() for one in self.undefended],
            "points": [point.to_dict() for point in self.points],
            "recommendation": dict(self.recommendation),
        }

    def to_table(self) -> pa.Table:
        """Returns one row for each defence and attacker."""
        rows = [_row("", one, None) for one in self.undefended]
        rows += [
            _row(point.defence, one, point) for point in self.points for one in point.attackers
        ]
        return pa.Table.from_pylist(rows, schema=TABLE)


def recommend(
    points: Sequence[Point], undefended: Sequence[Faced], chance: float, side: float
) -> dict[str, Any]:
    """Says which defence to take, and why, in plain words.

    Quality is measured at the size that is shown, so that shrinking costs nothing there:
    defences that leave less than half of the arena's short side are not recommended.
    Of the defences whose pictures keep an SSIM of 0.90, or whose change is a matter of size
    alone, the one whose strongest attacker names least; of those within its interval the one
    that keeps most of the picture. None, where none takes a tenth off what is named undefended.
    """
    best = strongest(undefended)
    measured = [one for one in points if one.top1 is not None]
    if not measured or best is None or best.top1.value is None:
        return {"defence": None, "why": "Nothing could be measured."}
    before = best.top1.value
    large = [one for one in measured if one.side >= LEAST_SIDE * side]
    if not large:
        return {
            "defence": None,
            "why": f"Every defence shrinks images to less than half of their {side:.0f} pixels: "
            "what that costs the eye is not measured here.",
        }
    measured = large
    fine = [one for one in measured if one.quality.ssim is None or one.quality.ssim >= SEEN]
    if not fine:
        least = min(measured, key=_top1)
        return {
            "defence": None,
            "why": f"Every defence costs more than the eye forgives (SSIM under {SEEN:.2f}); "
            f"{least.defence} leaves the strongest attacker {_percent(_top1(least))}.",
        }
    least = min(fine, key=_top1)
    high = least.strongest.top1.high if least.strongest is not None else None
    alike = [one for one in fine if high is not None and _top1(one) <= high] or [least]
    chosen = max(alike, key=lambda one: 1.0 if one.quality.ssim is None else one.quality.ssim)
    who = chosen.strongest
    assert who is not None
    told = (
        f"Its strongest attacker ({who.attacker}, {who.identifier} on {who.encoder}"
        f"{_draws(who)}) names {_percent(_top1(chosen))}, where the strongest on undefended "
        f"images ({best.attacker}, {best.identifier} on {best.encoder}) names "
        f"{_percent(before)} and guessing {_percent(chance)}; it shows "
        f"{chosen.side:.0f} pixels of {side:.0f}, costs {chosen.milliseconds:.0f} ms an image "
        "and leaves an SSIM of "
        f"{'unknown' if chosen.quality.ssim is None else format(chosen.quality.ssim, '.3f')}."
    )
    together = strongest(chosen.attackers, "each-once")
    if together is not None and together.knowledge["shown"] == "each-once":
        told += (
            " Where every model is shown once a prompt and all are named together: "
            f"{_percent(together.top1.value or 0.0)}."
        )
    if _top1(chosen) > 0.9 * before:
        return {
            "defence": None,
            "why": "No defence takes a tenth off what is named. The best is "
            f"{chosen.defence}. {told}",
        }
    unchanged = chosen.unchanged()
    if unchanged is not None and unchanged.top1.value is not None:
        told += (
            f" An attacker who knows nothing of it names {_percent(unchanged.top1.value)}, which "
            "says nothing of those who do."
        )
    return {"defence": chosen.defence, "why": told}


def _row(spec: str, one: Faced, point: Point | None) -> dict[str, Any]:
    knowledge = {
        key: one.knowledge.get(key) for key in ("prompts", "shown", "purified", "profile", "draws")
    }
    rate = {key: getattr(one.top1, key) for key in ("low", "high", "chance")}
    return {
        "defence": spec,
        "attacker": one.attacker,
        "encoder": one.encoder,
        "identifier": one.identifier,
        **knowledge,
        "top1": one.top1.value,
        **rate,
        "psnr": None if point is None else point.quality.psnr,
        "ssim": None if point is None else point.quality.ssim,
        "milliseconds_per_image": None if point is None else point.milliseconds,
    }


def _top1(point: Point) -> float:
    return 1.0 if point.top1 is None else point.top1


def _draws(one: Faced) -> str:
    draws, profile = one.knowledge.get("draws"), one.knowledge.get("profile")
    told = f", {draws} draws of each reference" if draws and draws > 1 else ""
    return told + (f", references under {profile} profile" if profile else "")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
