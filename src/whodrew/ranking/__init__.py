"""The ranking room: vote logs, Bradley-Terry scores with intervals, and ranks."""

from __future__ import annotations

from whodrew.ranking.agreement import Agreement, kendall, kendall_by_prompt
from whodrew.ranking.behaviour import Belief
from whodrew.ranking.confusion import Identification, measured
from whodrew.ranking.formats import OUTCOMES, parse_vote_columns
from whodrew.ranking.influence import influence
from whodrew.ranking.influence_result import Influence
from whodrew.ranking.rank import rank
from whodrew.ranking.result import Ranking
from whodrew.ranking.screen import screen
from whodrew.ranking.screen_files import write_kept
from whodrew.ranking.screen_result import Screen
from whodrew.ranking.screen_roc import power_in
from whodrew.ranking.simulate import simulate
from whodrew.ranking.simulate_result import Manipulation
from whodrew.ranking.voters import VOTERS, Aim, Strategy, parse_strategy, strategies
from whodrew.ranking.votes import Votes, read_votes

__all__ = [
    "OUTCOMES",
    "VOTERS",
    "Agreement",
    "Aim",
    "Belief",
    "Identification",
    "Influence",
    "Manipulation",
    "Ranking",
    "Screen",
    "Strategy",
    "Votes",
    "influence",
    "kendall",
    "kendall_by_prompt",
    "measured",
    "parse_strategy",
    "parse_vote_columns",
    "power_in",
    "rank",
    "read_votes",
    "screen",
    "simulate",
    "strategies",
    "write_kept",
]
