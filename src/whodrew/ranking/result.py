"""The object that ``whodrew votes rank`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.ranking.columns import Doubles
from whodrew.ranking.elo import Elo

SCHEMA: Final = "whodrew.ranking/1"
UNIT: Final = "log odds, mean 0"


@dataclass(frozen=True)
class Bounded:
    """A figure with its 95 % interval.

    Attributes:
        value: the estimate, or ``None`` where it cannot be had.
        low: lower end, or ``None``.
        high: upper end, or ``None``.
        reason: why a part is missing.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any] | None:
        """Returns JSON-ready values, a missing end with its reason; ``None`` without a value."""
        if self.value is None:
            return None
        values: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high}
        for name in ("low", "high"):
            if values[name] is None:
                values[f"{name}_reason"] = self.reason or "no interval"
        return values

    def into(self, values: dict[str, Any], name: str) -> None:
        """Puts the figure under ``name``, or null with the reason beside it."""
        values[name] = self.to_dict()
        if values[name] is None:
            values[f"{name}_reason"] = self.reason or "nothing to measure"


@dataclass(frozen=True)
class Place:
    """One model of the leaderboard.

    Attributes:
        model: its name.
        score: log odds.
        rank: from 1; its interval is whole numbers.
        p_first: share of resamples in which it is first, or ``None``.
        battles: it fought, unscored rivals' too.
        win_rate: share of its votes that it won, ties as halves.
        ranks: share of resamples at each rank, the first rank first.
        sandwich: the interval of the score by the sandwich covariance.
        adjusted: the score beside side and covariates; ``None`` where none were asked.
    """

    model: str
    score: Bounded
    rank: Bounded
    p_first: float | None
    battles: int
    win_rate: float
    ranks: tuple[float, ...] = ()
    sandwich: tuple[float, float] | None = None
    adjusted: Bounded | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {"model": self.model}
        self.score.into(values, "score")
        self.rank.into(values, "rank")
        for name in ("value", "low", "high"):
            if values["rank"] and values["rank"][name] is not None:
                values["rank"][name] = int(values["rank"][name])
        values["p_first"] = self.p_first
        if self.p_first is None:
            values["p_first_reason"] = self.rank.reason or "no resamples"
        values |= {
            "battles": self.battles,
            "win_rate": self.win_rate,
            "rank_probabilities": list(self.ranks),
        }
        if self.sandwich is not None:
            values["sandwich"] = {"low": self.sandwich[0], "high": self.sandwich[1]}
        if self.adjusted is not None:
            self.adjusted.into(values, "adjusted_score")
        return values


@dataclass(frozen=True)
class Ranking:
    """The result of ``whodrew votes rank``.

    Attributes:
        source: the vote log.
        format: how it was read.
        votes: votes used; a battle may hold several.
        battles: battles used.
        labels: votes by outcome, ``both_bad`` apart though it counts as a tie.
        skipped: reason to number of rows left out.
        bad: the first of them, by name.
        ties: how ties are modelled.
        tie_parameter: ν or κ, or ``None`` where ties are halves.
        ridge: what was taken off the likelihood.
        intervals: what they are, in words.
        resampled: ``battles``, ``voters``, or ``none``.
        resamples: their number.
        unbounded: resamples in which some model only won or only lost.
        voters: known voters, or ``None``.
        leaderboard: the best first, models without a score last.
        separable: neighbours, and whether their scores differ at 95 %.
        position_bias: log odds that the image shown first has at equal scores.
        covariates: name to its slope, a standard deviation of it.
        elo: ratings in order, where asked.
        seed: what everything was seeded with.
        notes: for people.
        draws: (B, m) resampled scores of ``drawn_models``.
        drawn_models: the models with a score.
    """

    source: str
    format: str
    votes: float
    battles: int
    labels: Mapping[str, float]
    skipped: Mapping[str, int]
    bad: tuple[BadItem, ...]
    ties: str
    tie_parameter: float | None
    ridge: float
    intervals: str
    resampled: str
    resamples: int
    unbounded: int
    voters: int | None
    leaderboard: tuple[Place, ...]
    separable: tuple[tuple[str, str, bool], ...]
    position_bias: Bounded
    covariates: Mapping[str, Bounded]
    elo: Elo | None
    seed: int
    notes: tuple[str, ...]
    draws: Doubles = field(repr=False)
    drawn_models: tuple[str, ...] = field(repr=False)

    @property
    def exit_code(self) -> int:
        """0, or 1 where some rows were bad."""
        return 1 if self.skipped else 0

    def scores(self) -> dict[str, float]:
        """Returns model to score, the best first; models without one are left out."""
        return {
            one.model: one.score.value for one in self.leaderboard if one.score.value is not None
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns ``whodrew.ranking/1``."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "format": self.format,
            "votes": int(self.votes) if float(self.votes).is_integer() else self.votes,
            "battles": self.battles,
            "labels": dict(self.labels),
            "skipped": dict(self.skipped),
            "bad": [one.to_dict() for one in self.bad],
            "model": "bradley-terry",
            "ties": self.ties,
            "tie_parameter": self.tie_parameter,
            "ridge": self.ridge,
            "unit": UNIT,
            "intervals": self.intervals,
            "resampled": self.resampled,
            "bootstraps": self.resamples,
            "unbounded_resamples": self.unbounded,
            "voters": self.voters,
            "leaderboard": [one.to_dict() for one in self.leaderboard],
            "separable": [list(one) for one in self.separable],
        }
        if self.tie_parameter is None:
            values["tie_parameter_reason"] = "ties are halves"
        if self.voters is None:
            values["voters_reason"] = "the log does not name voters"
        self.position_bias.into(values, "position_bias")
        values["covariates"] = []
        for name, slope in self.covariates.items():
            entry: dict[str, Any] = {"covariate": name}
            slope.into(entry, "slope")
            values["covariates"].append(entry)
        values["elo"] = None if self.elo is None else self.elo.to_dict()
        if self.elo is None:
            values["elo_reason"] = "not asked for"
        values |= {"seed": self.seed, "notes": list(self.notes)}
        return values

    def to_table(self) -> pa.Table:
        """Returns one row a model: score, rank, their intervals, battles and win rate."""
        return pa.Table.from_pylist(
            [
                {
                    "model": one.model,
                    "score": one.score.value,
                    "low": one.score.low,
                    "high": one.score.high,
                    "rank": one.rank.value,
                    "rank_low": one.rank.low,
                    "rank_high": one.rank.high,
                    "p_first": one.p_first,
                    "battles": one.battles,
                    "win_rate": one.win_rate,
                }
                for one in self.leaderboard
            ]
        )
