"""The screen: which voters would be excluded, how sure that is, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.environment import clip
from whodrew.report.environment import render as template
from whodrew.report.figures import figure, number
from whodrew.report.values import as_list, as_map

MAX_ROWS = 100
MAX_MEMBERS = 12
#: What speaks against a voter, in words.
REASONS = {
    "votes": "its votes",
    "ring": "a ring",
    "battles": "battles it could choose",
    "rate": "votes an hour",
    "dwell": "short pauses",
    "regular": "regular pauses",
}


def render(context: Context) -> Markup:
    """The section, or nothing where there are no votes."""
    votes = as_map(context.result.get("votes"))
    screen = as_map(votes.get("screen"))
    if not votes:
        return Markup("")
    if not screen:
        reason = clip(votes.get("screen_reason") or "")
        return template("sections/votes_screen.html.j2", context=context, screen={}, reason=reason)
    voters, found = as_map(screen.get("voters")), as_map(screen.get("found"))
    rate = figure(screen, "false_exclusion")
    judged = number(voters.get("judged"))
    suspects = [as_map(one) for one in as_list(screen.get("suspects"))]
    return template(
        "sections/votes_screen.html.j2",
        context=context,
        screen=screen,
        reason="",
        by=as_list(screen.get("by")),
        acted=screen.get("acted") is True,
        refused=clip(screen.get("acted_reason") or "", 400),
        voters=voters,
        excluded=number(found.get("voters")),
        share=number(found.get("votes_share")),
        rate=rate,
        mistaken=None if rate.value is None or judged is None else rate.value * judged,
        rows=[_suspect(one) for one in suspects[:MAX_ROWS]],
        hidden=max(0, len(suspects) - MAX_ROWS),
        rings=[_ring(as_map(one)) for one in as_list(screen.get("rings"))[:MAX_ROWS]],
        changes=[as_map(one) for one in as_list(screen.get("changes"))[:MAX_ROWS]],
        without_found=[as_map(one) for one in as_list(screen.get("without_found"))[:MAX_ROWS]],
        pools=[_pool(as_map(one)) for one in as_list(screen.get("pools"))],
        unstated=clip(as_map(screen.get("false_exclusion")).get("value_reason") or "", 400),
    )


def _suspect(raw: Mapping[str, Any]) -> dict[str, Any]:
    against = raw.get("direction") == "against"
    return {
        "voter": str(raw.get("voter")),
        "votes": raw.get("votes"),
        "excluded": raw.get("excluded") is True,
        "p": number(raw.get("p_value")),
        "target": str(raw.get("target")),
        "way": "against" if against else "for",
        "battles": raw.get("battles_with_target"),
        "favoured": raw.get("favouring_votes"),
        "expected": number(raw.get("favouring_votes_expected")),
        "reasons": [REASONS.get(str(one), str(one)) for one in as_list(raw.get("reasons"))],
    }


def _pool(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "whose": "nobody" if raw.get("of") == "nobody" else "voters with too few to be judged",
        "votes": raw.get("votes"),
        "differs": raw.get("differs") is True,
        "target": clip(raw.get("target") or "", 60),
        "way": "against" if raw.get("direction") == "against" else "for",
        "p": number(raw.get("p_value")),
        "changes": [as_map(one) for one in as_list(raw.get("changes_without"))[:MAX_ROWS]],
    }


def _ring(raw: Mapping[str, Any]) -> dict[str, Any]:
    members = [str(one) for one in as_list(raw.get("members"))]
    return {
        "members": [clip(one, 40) for one in members[:MAX_MEMBERS]],
        "more": max(0, len(members) - MAX_MEMBERS),
        "target": None if raw.get("target") is None else clip(raw["target"], 60),
        "way": "against" if raw.get("direction") == "against" else "for",
        "p": number(raw.get("p_value")),
    }
