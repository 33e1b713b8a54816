"""``whodrew prompts``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whodrew.cli.common import (
    ArenaArgument,
    Columns,
    Encoders,
    Json,
    KnowledgeName,
    Layout,
    Quiet,
    Seed,
    Workers,
    app,
    option,
    wants_json,
)
from whodrew.terminal import Terminal, print_json

if TYPE_CHECKING:
    from whodrew.audit.policy_result import Prompts

SHOWN = 10


@app.command()
def prompts(
    arena: ArenaArgument,
    choose: Annotated[
        int | None, option("--choose", help="Choose N prompts.", metavar="N", min=1)
    ] = None,
    keep: Annotated[
        float, option("--keep", help="Share of the greatest power that the chosen set keeps.")
    ] = 0.95,
    votes: Annotated[
        Path | None,
        option("--votes", help="Vote log with prompts: power is to tell models apart then."),
    ] = None,
    vote_columns: Annotated[
        list[str] | None,
        option(
            "--vote-columns",
            help="Columns of the vote log of other names, as model_a=first; repeatable.",
            metavar="OURS=THEIRS",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, option("--skip-bad", help="Count bad votes by reason instead of refusing the log.")
    ] = False,
    out: Annotated[
        Path | None,
        option("--out", help="Folder for prompts.json, chosen.csv, the table and the store."),
    ] = None,
    encoder: Encoders = ["fingerprint"],  # noqa: B006 - typer copies it
    knowledge: Annotated[
        list[KnowledgeName], option("--knowledge", help="References the attacker has; repeatable.")
    ] = [KnowledgeName.auto],  # noqa: B006
    canonical: Annotated[
        int | None,
        option("--canonical", help="Also at SIZE×SIZE; decided if not given.", metavar="SIZE"),
    ] = None,
    store: Annotated[
        Path | None,
        option("--store", help="Folder of the store; OUT/store/<encoder> if not given."),
    ] = None,
    layout: Layout = None,
    columns: Columns = None,
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Measure what each prompt gives away, and choose which to keep.

    Example: whodrew prompts arena --choose 50 --votes votes.parquet
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    from whodrew.audit.options import AuditOptions
    from whodrew.audit.policy import prompts as run
    from whodrew.ranking import parse_vote_columns

    options = AuditOptions(
        encoders=tuple(encoder),
        knowledge=tuple(one.value for one in knowledge),
        shown=("any",),
        identifiers=("whitened-centroid",),
        canonical=canonical,
        store=store,
        layout=layout,
        columns=tuple(columns or ()),
        curves=False,
        seed=seed,
        workers=workers,
    )
    options.check()
    with terminal.progress(), redirect_stdout(sys.stderr):
        done = run(
            arena,
            choose=choose,
            keep=keep,
            votes=votes,
            vote_columns=parse_vote_columns(vote_columns or ()),
            skip_bad=skip_bad,
            out=out,
            options=options,
            report=terminal.embedding,
            said=terminal.say,
        )
    terminal.bad([one.to_dict() for one in done.bad])
    _show(terminal, done)
    if out is not None:
        terminal.say(f"figures: {out / 'prompts.json'}")
    if wants:
        print_json(done.to_dict())
    raise typer.Exit(done.exit_code)


def _show(terminal: Terminal, done: Prompts) -> None:
    """Prints the prompts at both ends, what predicts them, and the chosen set."""
    for note in done.notes:
        terminal.say(note)
    entries = done.entries
    shown = [*entries[:SHOWN], *entries[max(SHOWN, len(entries) - SHOWN) :]]
    rows = [
        [one["prompt_id"], f"{one['leak']:.3f}", _share(one["top1"]), str(one["images"])]
        for one in shown
    ]
    columns = ["prompt", done.leak_by, "top-1", "images"]
    terminal.table("prompts, the most and the least revealing", columns, rows)
    rows = [
        [
            one.name,
            "-" if one.value is None else f"{one.value:+.2f}",
            "-" if one.low is None else f"{one.low:+.2f} to {one.high:+.2f}",
            "-" if one.p_holm is None else f"{one.p_holm:.3f}",
            one.reason or "",
        ]
        for one in done.predictors
    ]
    columns = ["predictor", "correlation or share", "95 %", "p (Holm)", ""]
    terminal.table(f"what predicts {done.leak_by}", columns, rows)
    terminal.say(f"power: {done.power['what']}; of all prompts {done.power['all_prompts']:.3f}")
    rows = [
        [str(len(one.chosen)), f"{one.weight:g}", f"{one.leak:.3f}", f"{one.power:.3f}", ""]
        for one in done.frontier
        if one.efficient
    ]
    rows += [
        [str(size), "-", _range(some["leak"]), _range(some["power"]), "random sets"]
        for size, some in done.random.items()
    ]
    rows.sort(key=lambda row: int(row[0]))
    columns = ["prompts", "weight of leak", "leak", "power", ""]
    terminal.table("sets of prompts", columns, rows)
    if done.choice is not None:
        point = done.choice.point
        fresh = done.choice.leak_expected
        more = "" if fresh is None else f", expected on fresh images {fresh:.3f}"
        names = ", ".join(done.names[code] for code in point.chosen)
        terminal.say(
            f"chosen, {len(point.chosen)} prompts: leak {point.leak:.3f}{more}, power "
            f"{point.power:.3f}\n{names}"
        )


def _share(rate: Any) -> str:
    return "-" if not rate else f"{100 * rate['value']:.1f} %"


def _range(rate: Any) -> str:
    return f"{rate['value']:.3f} ({rate['low']:.3f} to {rate['high']:.3f})"
