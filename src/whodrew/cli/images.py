"""``whodrew sample`` and ``whodrew embed``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

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
from whodrew.errors import InputError, UsageError
from whodrew.terminal import Terminal, print_json


@app.command()
def sample(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.", show_default=False)],
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Draw the sample arena: our own procedural painters in place of models.

    Example: whodrew sample arena
    """
    from whodrew.audit.listing import sample as draw

    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    with terminal.progress():
        summary = draw(directory, seed=seed, workers=workers, progress=terminal.drawing)
    terminal.say(
        f"{summary.images} synthetic images by {summary.models} painters for {summary.prompts} "
        f"prompts in {directory}"
    )
    if wants:
        print_json(summary.to_dict())


@app.command()
def embed(
    arena: ArenaArgument,
    store: Annotated[
        str, option("--store", help="Folder of the embedding store, or s3://bucket/prefix.")
    ],
    encoder: Annotated[str, option("--encoder", help="See 'whodrew encoders'.")] = "fingerprint",
    canonical: Annotated[
        int | None, option("--canonical", help="Bring images to SIZE×SIZE first.", metavar="SIZE")
    ] = None,
    layout: Layout = None,
    columns: Columns = None,
    workers: Workers = None,
    engine: Engine = EngineName.native,
    address: Address = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Encode images into a store; interrupted, it goes on where it stopped.

    Example: whodrew embed arena --store store
    """
    from whodrew.arena import is_embedding_table, parse_columns, read_arena
    from whodrew.embed import embed as run
    from whodrew.embed.places import is_remote

    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    if is_remote(arena):
        raise UsageError(f"{arena}: images are read from disks, copy or mount them")
    if is_embedding_table(arena):
        raise UsageError(f"{arena} is an embedding store already: give the images")
    images = read_arena(arena, layout=layout, columns=parse_columns(columns or []))
    if len(images) == 0:
        raise InputError(f"{arena} holds no image that can be read")
    for note in images.notes:
        terminal.say(note)
    # Ray tells of dead workers on standard output, which is for the result alone
    with terminal.progress(), redirect_stdout(sys.stderr):
        done = run(
            images,
            encoder,
            store,
            canonical=canonical,
            workers=workers,
            engine=engine.value,
            address=address,
            progress=lambda state: terminal.embedding(encoder, state),
        )
    bad = [item.to_dict() for item in (*images.bad, *done.bad)]
    terminal.bad(bad)
    speed = f", {done.images_per_second:.1f} images/s" if done.images_per_second else ""
    terminal.say(f"{done.encoded} encoded, {done.reused} there already{speed}: {store}")
    if wants:
        print_json({**done.to_dict(), "bad": bad})
    raise typer.Exit(1 if bad else 0)
