"""``whodrew votes screen``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whodrew.cli.common import Json, Quiet, Seed, option, wants_json
from whodrew.cli.votes import (
    SkipBad,
    Ties,
    TiesName,
    VoteColumns,
    VotesArgument,
    votes_app,
)
from whodrew.terminal import Terminal, print_json

if TYPE_CHECKING:
    from whodrew.ranking.screen_result import Screen, Suspect

ByName = StrEnum(
    "ByName",
    [
        ("votes", "votes"),
        ("rings", "rings"),
        ("battles", "battles"),
        ("times", "times"),
        ("pools", "pools"),
    ],
)
_SHOWN = 20
_MEMBERS = 6


@votes_app.command()
def screen(
    votes: VotesArgument,
    false_exclusion: Annotated[
        float,
        option("--false-exclusion", help="Share of honest voters that may be excluded."),
    ] = 0.01,
    most_excluded: Annotated[
        float,
        option("--most-excluded", help="Share of voters or votes above which it refuses."),
    ] = 0.1,
    least_votes: Annotated[
        int, option("--least-votes", help="Votes a voter needs to be judged.", min=1)
    ] = 10,
    by: Annotated[
        list[ByName],
        option("--by", help="What excludes; repeatable. All but rings are shown in any case."),
    ] = [ByName.votes, ByName.rings],  # noqa: B006 - typer's own way
    power: Annotated[
        bool, option("--power", help="Also simulate attackers: how many would be caught.")
    ] = False,
    out: Annotated[
        Path | None,
        option("--out", help="Where the kept votes go, Parquet or CSV; the others beside them."),
    ] = None,
    bootstraps: Annotated[
        int, option("--bootstraps", help="Resamples of the rankings before and after.", min=0)
    ] = 1000,
    ties: Ties = TiesName.half,
    simulations: Annotated[
        int | None,
        option("--simulations", help="Honest logs simulated; by the voters if not given.", min=2),
    ] = None,
    columns: VoteColumns = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Find voters who favour a model or act together, and rank without them.

    Example: whodrew votes screen votes.parquet --out kept.parquet
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    from whodrew.ranking import parse_vote_columns, read_votes
    from whodrew.ranking import screen as run
    from whodrew.ranking.screen_files import check_out, write_kept
    from whodrew.ranking.screen_model import check_voters

    if out is not None:
        check_out(out, votes)
    read = read_votes(votes, columns=parse_vote_columns(columns or ()), skip_bad=skip_bad)
    check_voters(read)
    with terminal.progress():
        found = run(
            read,
            false_exclusion=false_exclusion,
            most_excluded=most_excluded,
            least_votes=least_votes,
            by=tuple(one.value for one in by),
            power=power,
            bootstraps=bootstraps,
            ties=ties.value,
            simulations=simulations,
            seed=seed,
            told=terminal.working,
        )
    terminal.bad([one.to_dict() for one in found.bad])
    _show(terminal, found)
    if out is not None and found.refused is None:
        kept, gone = write_kept(found, read, out)
        terminal.say(f"kept votes: {kept}; excluded: {gone}")
    if wants:
        print_json(found.to_dict())
    if found.refused:
        from whodrew.errors import LimitError

        more = f"; {out} is not written" if out is not None else ""
        raise LimitError(found.refused + more)
    raise typer.Exit(found.exit_code)


def _show(terminal: Terminal, found: Screen) -> None:
    """Prints suspects, rings, what changes, and how often honest voters are excluded."""
    for note in found.notes:
        terminal.say(f"note: {note}")
    if found.skipped:
        counts = ", ".join(f"{reason} {number:,}" for reason, number in found.skipped.items())
        terminal.say(f"left out: {counts}")
    if found.suspects:
        names = ["voter", "votes", "p", "speaks against", "for / expected / battles", "ring", "out"]
        rows = [_row(one, found) for one in found.suspects[:_SHOWN]]
        terminal.table("voters that something speaks against", names, rows)
        if len(found.suspects) > _SHOWN:
            terminal.say(f"{len(found.suspects) - _SHOWN} more, all in the JSON")
    for at, ring in enumerate(found.rings):
        what = f"{ring.target} {'up' if ring.up else 'down'}" if ring.target else ring.view
        some = ", ".join(ring.members[:_MEMBERS])
        more = len(ring.members) - _MEMBERS
        some += f", {more} more" if more > 0 else ""
        whom = some or f"{ring.group} voters, who of them is honest cannot be told"
        terminal.say(f"ring {at} (p {ring.p_value:.1g}), agrees on {what}: {whom}")
    _show_pools(terminal, found)
    if found.judged:
        terminal.say(f"battles: {found.odd_battles:,} voters met a model far too often")
    if found.times is None:
        terminal.say(f"times: not looked at ({found.times_reason})")
    else:
        out = found.times["far_out"]
        counts = ", ".join(f"{kind} {number}" for kind, number in out.items())
        terminal.say(f"times: {found.times['judged']:,} voters judged; far out: {counts}")
    _show_ranks(terminal, found)
    _show_power(terminal, found)
    for line in sentences(found):
        terminal.say(line)


def _row(one: Suspect, found: Screen) -> list[str]:
    way = "for" if one.up else "against"
    reasons = ", ".join(one.reasons)
    what = f"{way} {one.target} ({reasons})"
    if not {"votes", "ring"} & set(one.reasons):
        what = ", ".join(f"{kind} p {one.beside[kind]:.1g}" for kind in one.reasons)
    return [
        one.voter,
        f"{one.votes:,}",
        f"{one.p_value:.1g}",
        what,
        f"{one.favoured} / {one.expected:.1f} / {one.battles}",
        "" if one.ring is None else str(one.ring),
        ("would be" if found.refused else "yes") if one.excluded else "no",
    ]


def _show_pools(terminal: Terminal, found: Screen) -> None:
    """Prints the votes that no voter can be judged by, each pool as one voter."""
    rows = [
        [
            "nobody" if one.kind == "nobody" else f"{one.voters:,} voters of too few votes",
            f"{one.votes:,}",
            f"{one.p_value:.1g}",
            f"{'for' if one.up else 'against'} {one.target}",
            f"{one.favoured:,} / {one.expected:,.1f} / {one.battles:,}",
            "DIFFERS" if one.differs else "as the judged",
            ("would be" if found.refused else "yes") if one.excluded else "no",
        ]
        for one in found.pools
    ]
    if rows:
        names = ["votes of", "votes", "p", "most", "for / expected / battles", "", "out"]
        terminal.table("votes of those who cannot be judged, as one voter's", names, rows)


def _show_ranks(terminal: Terminal, found: Screen) -> None:
    if found.before is None or found.after is None:
        if found.before is not None:
            terminal.say(f"no ranking after: {found.after_reason}")
        if found.without_found is not None:
            moved = ", ".join(
                f"{one['model']} {one['before'] or '-'} to {one['after'] or '-'}"
                for one in found.without_found
            )
            terminal.say(f"without those found, ranks would change: {moved or 'none'}")
        return
    later = {one.model: one for one in found.after.leaderboard}
    rows = []
    for one in found.before.leaderboard:
        then = later.get(one.model)
        cells = []
        for place in (one, then):
            if place is None or place.rank.value is None or place.score.value is None:
                cells += ["-", "-"]
                continue
            rank = place.rank
            cells += [
                f"{rank.value:.0f} ({rank.low:.0f}-{rank.high:.0f})",
                f"{place.score.value:+.3f}",
            ]
        rows.append([one.model, *cells, "moved" if cells[0][:2] != cells[2][:2] else ""])
    terminal.table(
        "ranking before and after", ["model", "before", "score", "after", "score", ""], rows
    )


def _show_power(terminal: Terminal, found: Screen) -> None:
    if found.power is None:
        return
    rows = []
    for one in found.power.caught:
        rate = one.curve[found.power.level]
        where = "votes on no others" if one.battles == "target" else "honest elsewhere"
        low, high = 100 * (rate.low or 0), 100 * (rate.high or 0)
        rows.append(
            [
                one.attacker,
                f"{one.votes:,}",
                f"in {100 * one.share:.0f} % of the target's battles, {where}",
                f"{100 * (rate.value or 0):.0f} % ({low:.0f}-{high:.0f})",
                "-" if one.factor is None else f"{one.factor:.1f}",
            ]
        )
    title = f"simulated attackers, {100 * found.power.level:g} % false exclusion"
    names = ["attacker", "votes", "favours", "caught", "votes for one of the naive"]
    terminal.table(title, names, rows)


def sentences(found: Screen) -> list[str]:
    """Returns the result in two lines: what was done, and what it costs honest voters."""
    few = found.voters - found.judged
    told = (
        f"{found.excluded_voters:,} of {found.voters:,} voters "
        f"{'would be' if found.refused else 'are'} excluded, with {found.excluded_votes:,} of "
        f"{found.votes:,} votes; {few:,} voters with fewer than {found.least_votes} votes cannot "
        "be judged"
    )
    if found.unnamed:
        told += f", nor {found.unnamed:,} votes of nobody"
    certain = sum(one.certain for one in found.suspects)
    if certain:
        told += f". The votes of {certain:,} are beyond doubt (1 % for the whole crowd, Holm)"
    rate = found.false_exclusion
    if rate.value is None:
        return [f"{told}.", f"How many honest voters it excludes cannot be had: {rate.reason}."]
    low, high = 100 * (rate.low or 0), 100 * (rate.high or 0)
    taste = float((found.crowd or {}).get("taste_sd", {}).get("value", 0.0))
    own = f", with tastes of their own (SD {taste:.2f})" if taste else ""
    cost = (
        f"Of honest voters it excludes {100 * rate.value:.2f} % ({low:.2f} to {high:.2f} %; "
        f"{100 * found.asked:g} % asked), if honest voters are as the ranking has them{own}."
    )
    return [f"{told}.", cost]
