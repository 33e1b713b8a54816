"""``whodrew identify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whodrew.cli.common import Columns, Json, Layout, Quiet, Seed, Workers, app, option, wants_json
from whodrew.terminal import Terminal, print_json


@app.command()
def identify(
    images: Annotated[
        list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)
    ],
    references: Annotated[
        str, option("--references", help="Arena or store whose models are known.", metavar="ARENA")
    ],
    prompt_id: Annotated[
        str | None, option("--prompt-id", help="The prompt the images were drawn for.")
    ] = None,
    top: Annotated[int, option("--top", help="Models to list.")] = 5,
    false_alarm: Annotated[
        float, option("--false-alarm", help="Known models' images that may be answered 'unknown'.")
    ] = 0.05,
    encoder: Annotated[str, option("--encoder", help="See 'whodrew encoders'.")] = "fingerprint",
    identifier: Annotated[
        str, option("--identifier", help="See 'whodrew identifiers'.")
    ] = "whitened-centroid",
    canonical: Annotated[
        int | None,
        option("--canonical", help="Bring all to SIZE×SIZE; decided if not given.", metavar="SIZE"),
    ] = None,
    store: Annotated[
        Path | None,
        option("--store", help="Folder of the references' store; the user's cache if not given."),
    ] = None,
    layout: Layout = None,
    columns: Columns = None,
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Name the model of each image, or say 'unknown'.

    Example: whodrew identify mystery.png --references arena
    """
    from whodrew.audit.naming import identify as run

    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    with terminal.progress():
        found = run(
            images,
            references=references,
            prompt_id=prompt_id,
            top=top,
            false_alarm=false_alarm,
            encoder=encoder,
            identifier=identifier,
            canonical=canonical,
            store=store,
            layout=layout,
            columns=tuple(columns or ()),
            seed=seed,
            workers=workers,
            report=terminal.embedding,
            said=terminal.say,
        )
    terminal.bad([{"item": one.image, "reason": one.reason} for one in found if one.bad])
    rows = [
        [
            one.image,
            one.answer,
            ", ".join(f"{model} {100 * share:.1f} %" for model, share in one.ranked),
            one.reason,
        ]
        for one in found
    ]
    terminal.table("", ["image", "answer", "ranked", "why"], rows)
    if wants:
        print_json([one.to_dict() for one in found])
    raise typer.Exit(1 if any(one.bad for one in found) else 0)
