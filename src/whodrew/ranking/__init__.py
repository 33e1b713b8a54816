"""The ranking room: vote logs, Bradley-Terry scores with intervals, and ranks."""

from __future__ import annotations

from whodrew.ranking.agreement import Agreement, kendall, kendall_by_prompt
from whodrew.ranking.formats import OUTCOMES, parse_vote_columns
from whodrew.ranking.rank import rank
from whodrew.ranking.result import Ranking
from whodrew.ranking.votes import Votes, read_votes

__all__ = [
    "OUTCOMES",
    "Agreement",
    "Ranking",
    "Votes",
    "kendall",
    "kendall_by_prompt",
    "parse_vote_columns",
    "rank",
    "read_votes",
]
