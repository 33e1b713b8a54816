"""``whodrew votes influence``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from whodrew.cli.common import Json, Quiet, Seed, option, wants_json
from whodrew.cli.votes import (
    Ridge,
    SkipBad,
    Ties,
    TiesName,
    VoteColumns,
    VotesArgument,
    say_notes,
    votes_app,
)
from whodrew.terminal import Terminal, print_json

if TYPE_CHECKING:
    from whodrew.ranking import Influence
    from whodrew.ranking.influence_result import Moved, Removal


@votes_app.command()
def influence(
    votes: VotesArgument,
    rank: Annotated[
        int | None,
        option("--rank", help="Only the order of this rank and the next, else all.", min=1),
    ] = None,
    top: Annotated[
        int, option("--top", help="Kinds of vote and voters listed, the most deciding.", min=0)
    ] = 10,
    removals: Annotated[
        int, option("--removals", help="Rows and voters named that would be removed.", min=0)
    ] = 20,
    ties: Ties = TiesName.half,
    ridge: Ridge = 1e-6,
    columns: VoteColumns = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Say which votes and which voters decide the ranks.

    Example: whodrew votes influence votes.parquet
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    from whodrew.ranking import influence as run
    from whodrew.ranking import parse_vote_columns

    done = run(
        votes,
        rank=rank,
        top=top,
        removals=removals,
        ties=ties.value,
        ridge=ridge,
        columns=parse_vote_columns(columns or ()),
        skip_bad=skip_bad,
        seed=seed,
    )
    terminal.bad([one.to_dict() for one in done.bad])
    _show(terminal, done)
    if wants:
        print_json(done.to_dict())
    raise typer.Exit(done.exit_code)


def _show(terminal: Terminal, done: Influence) -> None:
    """Prints neighbours, what moves the order that matters most, and the sentence."""
    from whodrew.ranking.influence_result import percent

    say_notes(terminal, done.notes, done.skipped)
    rows = [
        [
            str(one.rank),
            one.upper,
            one.lower,
            f"{one.gap:.3f}",
            _number(one.removal),
            "-" if one.removal.share is None else percent(one.removal.share),
            "-" if one.voter_removal is None else _number(one.voter_removal),
        ]
        for one in done.orders
    ]
    columns = ["rank", "above", "below", "gap", "fewest votes", "of the log", "fewest voters"]
    title = f"what turns each order, {done.ties} ties, of {done.battles:,} battles"
    terminal.table(title, columns, rows)
    terminal.say("fewest: as found by search (at least, by proof); = where both are the same")
    focus = done.first or done.orders[0]
    moved = (("kinds of vote", focus.kinds, "one vote"), ("voters", focus.voters, "the voter"))
    for what, found, without in moved:
        if found:
            title = f"{what} that most decide {focus.upper} above {focus.lower}"
            head = [what, "battles", f"gap without {without}"]
            terminal.table(title, head, [_moved(one) for one in found])
    named = ", ".join(str(one["row"]) for one in focus.removal.rows)
    if named and focus.removal.count is not None:
        more = focus.removal.count - len(focus.removal.rows)
        rest = f" and {more:,} more" if more > 0 else ""
        terminal.say(f"rows of the log to look at, counted from 0: {named}{rest}")
    if focus.voter_removal is not None and focus.voter_removal.voters:
        more = (focus.voter_removal.count or 0) - len(focus.voter_removal.voters)
        rest = f" and {more:,} more" if more > 0 else ""
        terminal.say(f"voters to look at: {', '.join(focus.voter_removal.voters)}{rest}")
    terminal.say(done.sentence)


def _number(one: Removal) -> str:
    if one.count is None:
        return "none found"
    if one.exact:
        return f"= {one.count:,}"
    return f"{one.count:,}" + ("" if one.at_least is None else f" (at least {one.at_least:,})")


def _moved(one: Moved) -> list[str]:
    change = "some model has no score" if one.change is None else f"{one.change:+.2g}"
    if isinstance(one.what, str):
        return [one.what, f"{one.battles:,}", change]
    return [one.what.said, f"{one.what.battles:,}", change]
