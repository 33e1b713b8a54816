"""``whodrew votes rank``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whodrew.cli.common import Json, Quiet, Seed, app, option, wants_json
from whodrew.terminal import Terminal, print_json

if TYPE_CHECKING:
    from whodrew.ranking import Ranking

votes_app = typer.Typer(
    name="votes",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(votes_app)

TiesName = StrEnum(
    "TiesName", [("half", "half"), ("davidson", "davidson"), ("rao_kupper", "rao-kupper")]
)
ResampleName = StrEnum(
    "ResampleName", [("auto", "auto"), ("battles", "battles"), ("voters", "voters")]
)
VotesArgument = Annotated[
    Path,
    typer.Argument(help="Vote log: Parquet, CSV, TSV, JSON Lines or JSON.", show_default=False),
]
VoteColumns = Annotated[
    list[str] | None,
    option(
        "--columns",
        help="Columns of other names, as model_a=first,winner=verdict; repeatable.",
        metavar="OURS=THEIRS",
    ),
]
Ties = Annotated[TiesName, option("--ties", help="How ties are modelled.")]
Ridge = Annotated[
    float, option("--ridge", help="Holds scores together; 0 is maximum likelihood.", min=0)
]
SkipBad = Annotated[
    bool, option("--skip-bad", help="Count bad rows by reason instead of refusing the log.")
]


@votes_app.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """Rank models by votes.

    Example: whodrew votes rank votes.parquet
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@votes_app.command()
def rank(
    votes: VotesArgument,
    bootstraps: Annotated[
        int, option("--bootstraps", help="Resamples; 0 gives sandwich intervals.", min=0)
    ] = 1000,
    ties: Ties = TiesName.half,
    ridge: Ridge = 1e-6,
    resample: Annotated[
        ResampleName,
        option("--resample", help="What is resampled; auto: voters where 20 or more are known."),
    ] = ResampleName.auto,
    covariate: Annotated[
        list[str] | None,
        option(
            "--covariate",
            help="Adjust for a number: column NAME, or NAME_a less NAME_b; repeatable.",
            metavar="NAME",
        ),
    ] = None,
    elo: Annotated[
        bool, option("--elo", help="Also rate in order, and show what the order decides.")
    ] = False,
    columns: VoteColumns = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Rank models by votes, with intervals on scores and ranks.

    Example: whodrew votes rank votes.parquet
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    from whodrew.ranking import parse_vote_columns
    from whodrew.ranking import rank as run

    done = run(
        votes,
        bootstraps=bootstraps,
        ties=ties.value,
        ridge=ridge,
        resample=resample.value,
        covariates=tuple(covariate or ()),
        elo=elo,
        columns=parse_vote_columns(columns or ()),
        skip_bad=skip_bad,
        seed=seed,
    )
    terminal.bad([one.to_dict() for one in done.bad])
    _show(terminal, done)
    if wants:
        print_json(done.to_dict())
    raise typer.Exit(done.exit_code)


def _show(terminal: Terminal, done: Ranking) -> None:
    """Prints the leaderboard, and what has to be said of it."""
    say_notes(terminal, done.notes, done.skipped)
    apart = {(upper, lower): told for upper, lower, told in done.separable}
    names = [one.model for one in done.leaderboard]
    following = [*names[1:], ""]
    rows = []
    for one, below in zip(done.leaderboard, following, strict=True):
        if one.score.value is None:
            rows.append(["-", one.model, "-", "-", "-", *_counts(one.battles, one.win_rate), ""])
            continue
        told = apart.get((one.model, below))
        rows.append(
            [
                f"{one.rank.value:.0f} ({one.rank.low:.0f}-{one.rank.high:.0f})",
                one.model,
                f"{one.score.value:+.3f}",
                f"{_end(one.score.low)} to {_end(one.score.high)}",
                "-" if one.p_first is None else f"{100 * one.p_first:.1f} %",
                *_counts(one.battles, one.win_rate),
                "" if told is None else "yes" if told else "no",
            ]
        )
    columns = ["rank", "model", "score", "95 %", "first", "battles", "won", "above the next?"]
    terminal.table(f"leaderboard, {done.ties} ties, log odds", columns, rows)
    terminal.say(f"intervals: {done.intervals}")
    side = done.position_bias
    if side.value is None:
        terminal.say(f"position bias: unknown ({side.reason})")
    else:
        terminal.say(
            f"position bias: {side.value:+.3f} log odds for the image shown first "
            f"({_end(side.low)} to {_end(side.high)})"
        )
    for name, slope in done.covariates.items():
        said = slope.reason if slope.value is None else f"{slope.value:+.3f} a standard deviation"
        terminal.say(f"covariate {name}: {said}")
    if done.elo is not None:
        found = done.elo.to_dict()
        rated = [
            [
                str(one["rank"]),
                one["model"],
                f"{one['rating']:.0f}",
                f"{one['shuffled']['low']:.0f} to {one['shuffled']['high']:.0f}",
                f"{one['shuffled']['best_rank']} to {one['shuffled']['worst_rank']}",
            ]
            for one in found["ratings"]
        ]
        title = f"Elo in order ({found['order']}), and in {found['shuffles']} shuffles"
        terminal.table(title, ["rank", "model", "rating", "shuffled", "ranks"], rated)


def say_notes(terminal: Terminal, notes: Iterable[str], skipped: Mapping[str, int]) -> None:
    """Says what was taken for granted, and how many rows were left out for what."""
    for note in notes:
        terminal.say(note)
    if skipped:
        counts = ", ".join(f"{reason} {number:,}" for reason, number in skipped.items())
        terminal.say(f"left out: {counts}")


def _counts(battles: int, win_rate: float) -> list[str]:
    return [f"{battles:,}", f"{100 * win_rate:.1f} %"]


def _end(value: float | None) -> str:
    return "no limit" if value is None else f"{value:+.3f}"
