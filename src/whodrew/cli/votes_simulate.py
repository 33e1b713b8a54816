"""``whodrew votes simulate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whodrew.cli.common import Json, Quiet, Seed, option, wants_json
from whodrew.cli.votes import (
    Ridge,
    SkipBad,
    Ties,
    TiesName,
    VoteColumns,
    say_notes,
    votes_app,
)
from whodrew.terminal import Terminal, print_json

if TYPE_CHECKING:
    from whodrew.ranking import Manipulation
    from whodrew.ranking.result import Bounded
    from whodrew.ranking.simulate_result import Curve, Needed

SamplingName = StrEnum("SamplingName", [("uniform", "uniform"), ("log", "log"), ("near", "near")])


@votes_app.command()
def simulate(
    votes: Annotated[
        Path | None,
        typer.Argument(help="Vote log; without one --honest and --models.", show_default=False),
    ] = None,
    audit: Annotated[
        Path | None,
        option("--audit", help="audit.json (or its folder): the confusions of its attacker."),
    ] = None,
    attacks: Annotated[
        int, option("--attacks", help="How many of the audit's attacks, strongest first.", min=1)
    ] = 1,
    accuracy: Annotated[
        list[str] | None,
        option(
            "--accuracy",
            help="Share of images named rightly, or chance; repeatable. [default: chance, 0.18, "
            "0.67, 0.79, 0.91, 1, as far as above chance]",
            metavar="A",
        ),
    ] = None,
    target: Annotated[
        str | None, option("--target", help="Model that is to rise; else one of the middle.")
    ] = None,
    rival: Annotated[str | None, option("--rival", help="Model that is to fall instead.")] = None,
    ranks: Annotated[
        list[int] | None,
        option("--ranks", help="By how many ranks; repeatable. [default: 1, 3, 5]", min=1),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        option(
            "--strategy",
            help="target-only(otherwise=abstain), omnipresent, abstain(threshold=0.9), "
            "mimic(share=0.5); repeatable. [default: target-only, omnipresent]",
            metavar="SPEC",
        ),
    ] = None,
    sampling: Annotated[
        SamplingName, option("--sampling", help="Battles that voters are shown.")
    ] = SamplingName.uniform,
    budget: Annotated[
        int | None,
        option(
            "--budget", help="Votes an attacker may cast; else a fifth of the honest ones.", min=1
        ),
    ] = None,
    share: Annotated[
        list[float] | None,
        option(
            "--share",
            help="Shares of all votes that are attackers'; repeatable. [default: 0.01, 0.05, 0.1]",
            metavar="S",
        ),
    ] = None,
    factor: Annotated[
        list[float] | None,
        option(
            "--factor",
            help="Sizes of the honest log, relative to it; repeatable. [default: 0.1, 1, 10]",
            metavar="F",
        ),
    ] = None,
    repetitions: Annotated[
        int, option("--repetitions", help="How often each attack is simulated.", min=1)
    ] = 1000,
    fixed_log: Annotated[
        bool, option("--fixed-log", help="Take the honest log as it is: only the attack varies.")
    ] = False,
    frontier: Annotated[
        Path | None,
        option("--frontier", help="frontier.json: how many times the votes a defence costs."),
    ] = None,
    honest: Annotated[
        int | None, option("--honest", help="Votes of a model of a log, where there is none.")
    ] = None,
    models: Annotated[int | None, option("--models", help="Models of a model of a log.")] = None,
    spread: Annotated[
        float, option("--spread", help="Deviation of its scores, in log odds.")
    ] = 0.6,
    ties: Ties = TiesName.half,
    ridge: Ridge = 1e-6,
    columns: VoteColumns = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Simulate attackers: how many votes move a model by some ranks.

    Nothing is cast anywhere: votes are added to totals in memory.

    Example: whodrew votes simulate votes.parquet --audit audit/audit.json
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    from whodrew.ranking import parse_vote_columns
    from whodrew.ranking import simulate as run
    from whodrew.ranking.simulate import FACTORS, RANKS, SHARES, STRATEGIES

    with terminal.progress():
        done = run(
            votes,
            audit=audit,
            attacks=attacks,
            accuracies=accuracy,
            target=target,
            rival=rival,
            ranks=ranks or RANKS,
            strategies=strategy or STRATEGIES,
            sampling=sampling.value,
            budget=budget,
            shares=share or SHARES,
            factors=factor or FACTORS,
            repetitions=repetitions,
            fixed=fixed_log,
            frontier=frontier,
            honest=honest,
            models=models,
            spread=spread,
            ties=ties.value,
            ridge=ridge,
            columns=parse_vote_columns(columns or ()),
            skip_bad=skip_bad,
            seed=seed,
            told=terminal.working,
        )
    terminal.bad([one.to_dict() for one in done.bad])
    _show(terminal, done)
    if wants:
        print_json(done.to_dict())
    raise typer.Exit(done.exit_code)


def _show(terminal: Terminal, done: Manipulation) -> None:
    """Prints what each attacker needs, and the sentence."""
    say_notes(terminal, done.notes, done.skipped)
    sign = "+" if done.aim["direction"] == "up" else "-"
    columns = ["strategy", "identification", "ranks", "votes", "95 %", "battles seen"]
    rows = [row for curve in done.curves for row in _rows(curve, sign)]
    title = (
        f"votes to move {done.aim['model']} from rank {done.aim['rank']}, on "
        f"{done.honest_votes:,.0f} honest ones, budget {done.budget:,}"
    )
    terminal.table(title, [*columns, "reached", "in the mean"], rows)
    if len(done.by_honest_votes) > 1:
        sized = [
            [f"{curve.honest_votes:,.0f}", *row[2:]]
            for curve in done.by_honest_votes
            for row in _rows(curve, sign)
        ]
        one = done.by_honest_votes[0]
        terminal.table(
            f"by honest votes: {one.strategy}, {one.identification.label}",
            ["honest votes", *columns[2:], "reached", "in the mean"],
            sized,
        )
    if done.by_share:
        shared = [
            [
                f"{100 * one.share:g} %",
                f"{one.votes:,}",
                one.identification.label,
                "-" if one.rank.value is None else f"{one.rank.value:.0f}",
                _between(one.rank),
            ]
            for one in done.by_share
        ]
        terminal.table(
            f"rank where attackers cast a share of all votes: {done.by_share[0].strategy}",
            ["share", "votes", "identification", "rank", "95 %"],
            shared,
        )
    if done.defended is not None:
        costs = [
            [
                one.defence,
                "-" if one.top1 is None else f"{100 * one.top1:.1f} %",
                f"{sign}{one.ranks}",
                "-" if one.votes is None else f"{one.votes:,.0f}",
                one.times.reason or "-" if one.times.value is None else f"{one.times.value:.2f}",
                _between(one.times, 2),
            ]
            for one in done.defended
        ]
        terminal.table(
            "with a defence, votes needed over those without",
            ["defence", "named", "ranks", "votes", "times", "95 %"],
            costs,
        )
    terminal.say(f"intervals: {done.intervals}")
    terminal.say("")
    terminal.say(done.headline)


def _rows(curve: Curve, sign: str) -> list[list[str]]:
    return [
        [
            curve.strategy,
            curve.identification.label,
            f"{sign}{one.ranks}",
            "-" if one.votes.value is None else f"{one.votes.value:,.0f}",
            _between(one.votes),
            "-" if one.battles.value is None else f"{one.battles.value:,.0f}",
            "-" if one.reached is None else _reached(one),
            "-" if one.expected is None else f"{one.expected:,.0f}",
        ]
        for one in curve.needed
    ]


def _reached(one: Needed) -> str:
    there = f"{100 * (one.reached or 0):.0f} %"
    return f"{there} ({100 * one.at_start:.0f} % at 0)" if one.at_start else there


def _between(figure: Bounded, places: int = 0) -> str:
    if figure.value is None:
        return "-"
    low, high = (
        "no limit" if end is None else f"{end:,.{places}f}" for end in (figure.low, figure.high)
    )
    return f"{low} to {high}"
