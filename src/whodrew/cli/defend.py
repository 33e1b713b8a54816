"""``whodrew defend``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whodrew.cli.common import (
    Address,
    ArenaArgument,
    Columns,
    Engine,
    EngineName,
    Json,
    Layout,
    Quiet,
    Seed,
    Workers,
    app,
    option,
    wants_json,
)
from whodrew.errors import UsageError
from whodrew.terminal import Terminal, print_json

if TYPE_CHECKING:
    from whodrew.defend.arena_result import Defended


@app.command()
def defend(
    arena: ArenaArgument,
    defence: Annotated[
        str,
        option(
            "--defence",
            help="As 'canonical(size=768,quality=85)+noise(sigma=2)'. See 'whodrew defences'.",
            metavar="SPEC",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, option("--out", help="New folder, or one to go on with.", metavar="DIR")
    ] = None,
    secret: Annotated[
        str | None,
        option(
            "--secret",
            help="Seeds what is random. Others see a command line: rather set the variable. "
            "One is made and kept beside DIR, in DIR.secret.txt, if not given.",
            metavar="TEXT",
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        option("--profile", help="What stages learnt before; else they learn from ARENA."),
    ] = None,
    draw: Annotated[
        int, option("--draw", help="Which draw of what is random; 0 is what is served.", min=0)
    ] = 0,
    dry_run: Annotated[
        bool, option("--dry-run", help="Measure quality and time on a sample; write nothing.")
    ] = False,
    sample: Annotated[
        int, option("--sample", help="Images that a dry run measures.", metavar="N", min=1)
    ] = 32,
    layout: Layout = None,
    columns: Columns = None,
    workers: Workers = None,
    engine: Engine = EngineName.native,
    address: Address = None,
    seed: Seed = 0,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Write the defended arena: each image as it should be shown.

    Interrupted, it goes on where it stopped.

    Example: whodrew defend arena --defence 'canonical(size=768)' --out shown
    """
    from whodrew.arena import is_embedding_table, parse_columns, read_arena
    from whodrew.defend.arena_job import defend as write
    from whodrew.defend.arena_job import measure_defence
    from whodrew.defend.arena_open import refuse_file
    from whodrew.embed.places import is_remote

    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    if out is None and not dry_run:
        raise UsageError("give --out DIR, or --dry-run to measure and write nothing")
    if out is not None and not dry_run:
        refuse_file(out)
    if is_remote(arena):
        raise UsageError(f"{arena}: images are read from disks, copy or mount them")
    if is_embedding_table(arena):
        raise UsageError(f"{arena} is an embedding store: give the images")
    images = read_arena(arena, layout=layout, columns=parse_columns(columns or []))
    for note in images.notes:
        terminal.say(note)
    shared: dict[str, Any] = {
        "secret": secret,
        "profile": profile,
        "draw": draw,
        "workers": workers,
        "progress": lambda state: terminal.embedding("defending", state),
    }
    # Ray tells of dead workers on standard output, which is for the result alone
    with terminal.progress(), redirect_stdout(sys.stderr):
        if dry_run:
            done = measure_defence(images, defence, images=sample, seed=seed, **shared)
        else:
            assert out is not None
            shared |= {"engine": engine.value, "address": address}
            # a secret is a file to keep: who is not told, however quiet, loses it
            warned = partial(typer.echo, err=True) if quiet else terminal.say
            done = write(images, defence, out, said=terminal.say, warned=warned, **shared)
    terminal.bad([item.to_dict() for item in done.bad])
    _show(terminal, done)
    if wants:
        print_json(done.to_dict())
    raise typer.Exit(1 if done.bad else 0)


def _show(terminal: Terminal, done: Defended) -> None:
    cost, reasons = done.quality, done.quality.reasons
    figures = [
        ("PSNR", cost.psnr, "{:.1f} dB", "psnr"),
        ("SSIM", cost.ssim, "{:.3f}", "ssim"),
        ("LPIPS", cost.lpips, "{:.3f}", "lpips"),
        ("largest change", cost.max_change, "{:.0f} of 255", "max_change"),
        ("time", done.milliseconds_per_image, "{:.1f} ms", "time"),
    ]
    rows = [
        [name, form.format(value) if value is not None else f"- ({reasons[key]})"]
        for name, value, form, key in figures
    ]
    terminal.table(f"{done.spec}: medians over {cost.images} images", ["", ""], rows)
    for note in done.notes:
        terminal.say(note)
    if done.sampled:
        terminal.say(f"{done.defended} images measured, nothing written")
        return
    speed = f", {done.images_per_second:.1f} images/s" if done.images_per_second else ""
    terminal.say(f"{done.defended} defended, {done.reused} there already{speed}: {done.arena}")
