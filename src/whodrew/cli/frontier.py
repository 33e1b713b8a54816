"""``whodrew frontier``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    ShownName,
    Workers,
    app,
    option,
    wants_json,
)
from whodrew.errors import UsageError
from whodrew.terminal import Terminal, print_json

if TYPE_CHECKING:
    from whodrew.defend.attackers import Faced
    from whodrew.defend.frontier_result import Frontier


@app.command()
def frontier(
    arena: ArenaArgument,
    defence: Annotated[
        list[str],
        option(
            "--defence",
            help="As 'canonical(size=768)+jitter'; repeatable. See 'whodrew defences'.",
            metavar="SPEC",
        ),
    ],
    out: Annotated[
        Path, option("--out", help="Folder for frontier.json, report.html, tables, cache.")
    ] = Path("frontier"),
    encoder: Encoders = ["fingerprint"],  # noqa: B006 - typer copies it
    unseen_encoder: Annotated[
        str,
        option(
            "--unseen-encoder",
            help="An encoder that no defence saw; 'none' leaves it out.",
            metavar="NAME",
        ),
    ] = "efficientnet-lite0",
    knowledge: Annotated[
        list[KnowledgeName], option("--knowledge", help="References the attacker has; repeatable.")
    ] = [KnowledgeName.auto],  # noqa: B006
    shown: Annotated[
        list[ShownName], option("--shown", help="How images are shown; repeatable.")
    ] = [ShownName.auto],  # noqa: B006
    draws: Annotated[
        int, option("--draws", help="Draws of the defence an attacker makes of a reference.")
    ] = 16,
    fewer_draws: Annotated[
        int, option("--fewer-draws", help="Draws for further encoders and purified images.")
    ] = 4,
    images: Annotated[
        int, option("--images", help="Images at most, in whole prompts, seeded; 0 for all.")
    ] = 4000,
    models: Annotated[int, option("--models", help="Models at most, seeded; 0 for all.")] = 0,
    quality_images: Annotated[
        int, option("--quality-images", help="Images whose quality is measured, seeded.")
    ] = 64,
    folds: Annotated[
        int,
        option(
            "--folds", help="Folds of prompts: stages learn from the others; 1 learns from all."
        ),
    ] = 4,
    scorer: Annotated[
        str | None,
        option("--scorer", help="See whether its order of models stays; 'colourfulness', ..."),
    ] = None,
    votes: Annotated[
        Path | None,
        option("--votes", help="A vote log to compare that order with.", metavar="FILE"),
    ] = None,
    layout: Layout = None,
    columns: Columns = None,
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Measure defences: what the best attacker still names, and what pictures pay for it.

    Writes OUT/frontier.json, OUT/report.html and OUT/tables; killed, it goes on from OUT/cache.

    Example: whodrew frontier arena --defence 'canonical(size=768)' --defence 'canonical+jitter'
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    from whodrew.arena import is_embedding_table, parse_columns, read_arena
    from whodrew.defend.frontier import FrontierOptions
    from whodrew.defend.frontier import frontier as run
    from whodrew.report.frontier import write_frontier

    options = FrontierOptions(
        encoders=tuple(encoder),
        unseen="" if unseen_encoder == "none" else unseen_encoder,
        knowledge=tuple(one.value for one in knowledge),
        shown=tuple(one.value for one in shown),
        draws=draws,
        fewer=fewer_draws,
        images=images,
        models=models,
        quality=quality_images,
        folds=folds,
        scorer=scorer or "",
        votes=votes,
        workers=workers,
        seed=seed,
    )
    options.check()
    if is_embedding_table(arena):
        raise UsageError(f"{arena} is an embedding store: defences change images, give those")
    opened = read_arena(arena, layout=layout, columns=parse_columns(columns or []))
    for note in opened.notes:
        terminal.say(note)
    with terminal.progress(), redirect_stdout(sys.stderr):
        result = run(
            opened,
            defence,
            options=options,
            cache=out / "cache",
            said=terminal.say,
            progress=terminal.working,
        )
        write_frontier(result, out)
    terminal.bad(result.arena["bad"])
    _show(terminal, result)
    terminal.say(f"\nreport: {out / 'report.html'}\nfigures: {out / 'frontier.json'}")
    if wants:
        print_json(result.to_dict())
    raise typer.Exit(1 if result.arena["bad"] else 0)


def _show(terminal: Terminal, result: Frontier) -> None:
    """Prints the defences, each with who names most in spite of it, below what none leaves."""
    from whodrew.defend.attackers import strongest
    from whodrew.defend.frontier_folds import WITHIN

    native = strongest(result.undefended)
    rows = [] if native is None else [["undefended", _rate(native), _who(native), *"----"]]
    for one in result.points:
        best, blind, quality = one.strongest, one.unchanged(), one.quality
        rows.append(
            [
                one.defence,
                "-" if best is None else _rate(best),
                "-" if best is None else _who(best),
                "-" if blind is None else _rate(blind),
                "-" if quality.ssim is None else f"{quality.ssim:.3f}",
                "-" if quality.psnr is None else f"{quality.psnr:.1f}",
                f"{one.milliseconds:.0f}",
            ]
        )
    columns = ["defence", "strongest", "who", "unchanged", "SSIM", "PSNR, dB", "ms an image"]
    terminal.table("what attackers still name", columns, rows)
    for one in result.points:
        if one.standing is not None:
            tau = one.standing.tau
            within = "" if tau.low is None else f" ({tau.low:.2f} to {tau.high:.2f})"
            value = "-" if tau.value is None else f"{tau.value:.2f}{within}"
            terminal.say(f"order by {one.standing.scorer} after {one.defence}: tau {value}")
    terminal.say(f"\nguessing: {100 * result.chance:.1f} %")
    for way in dict.fromkeys(one.knowledge["shown"] for one in result.undefended):
        faced = strongest([one for one in result.undefended if one.knowledge["shown"] == way])
        if faced is not None:
            terminal.say(f"undefended ({_who(faced)}, shown {way}): {_rate(faced)}")
    flattered = [one.defence for one in result.points if one.learnt_from == WITHIN]
    if flattered:
        terminal.say(f"in-sample, learnt from the images measured: {', '.join(flattered)}")
    terminal.say(f"\n{result.recommendation['defence'] or 'none recommended'}")
    terminal.say(str(result.recommendation["why"]))


def _who(one: Faced) -> str:
    """Names an attacker, and what it looks through."""
    return f"{one.attacker}, {one.encoder}"


def _rate(one: Faced) -> str:
    rate = one.top1
    if rate.value is None:
        return "-"
    within = "" if rate.low is None else f" ({100 * rate.low:.1f}-{100 * (rate.high or 0):.1f})"
    return f"{100 * rate.value:.1f} %{within}"
