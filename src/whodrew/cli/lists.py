"""``whodrew encoders``, ``encoders export``, ``identifiers`` and ``defences``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from whodrew.cli.common import Json, Quiet, Seed, app, option, wants_json
from whodrew.errors import UsageError
from whodrew.terminal import Terminal, print_json

encoders_app = typer.Typer(
    name="encoders",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(encoders_app)


def _list(entries: list[Any], json: str | None, *, quiet: bool) -> None:
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    rows = [
        [one.name, one.summary, ", ".join(one.needs) or "nothing", one.install or "ready"]
        for one in entries
    ]
    terminal.table("", ["name", "what", "needs", "state"], rows)
    if wants:
        print_json([one.to_dict() for one in entries])


@encoders_app.callback(invoke_without_command=True)
def encoders(context: typer.Context, json: Json = None, quiet: Quiet = False) -> None:
    """List the encoders, what each needs, and the line that installs it.

    Example: whodrew encoders
    """
    if context.invoked_subcommand is not None:
        for name in ("json", "quiet"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise UsageError(f"give --{name} after {context.invoked_subcommand!r}")
        return
    from whodrew.audit.listing import encoders as entries

    _list(entries(), json, quiet=quiet)


@encoders_app.command()
def export(
    name: Annotated[str, typer.Argument(help="A torch encoder.", show_default=False)],
    out: Annotated[Path, option("--out", help="The file to write, FILE.onnx; it must be new.")],
    int8: Annotated[
        bool, option("--int8", help="Quantise matrix products to int8, per channel.")
    ] = False,
    images: Annotated[
        str | None,
        option(
            "--images",
            help="Measure the agreement on this arena; on synthetic pictures if not given.",
            metavar="ARENA",
        ),
    ] = None,
    least_cosine: Annotated[
        float,
        option("--least-cosine", help="Refuse where an image's vector agrees less with torch's."),
    ] = 0.99,
    seed: Seed = 0,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Export a torch encoder to ONNX, if it agrees with the original.

    Writes FILE.onnx and its preprocessing, FILE.onnx.json; then use --encoder onnx:FILE.onnx.

    Example: whodrew encoders export efficientnet-lite0 --out lite0.onnx
    """
    from whodrew.encoders.export import export as run

    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    done = run(
        name,
        out,
        int8=int8,
        images=images,
        least_cosine=least_cosine,
        seed=seed,
        said=terminal.say,
    )
    terminal.bad([item.to_dict() for item in done.bad])
    agreement = done.agreement
    terminal.say(
        f"{done.file}: {done.precision}, {done.bytes / 1e6:.1f} MB, cosine to torch in float32 "
        f"{agreement.least:.5f} at worst, {agreement.mean:.5f} on average, on "
        f"{agreement.images} {'synthetic ' if agreement.synthetic else ''}images"
    )
    terminal.say(f"use it: --encoder onnx:{done.file}")
    if wants:
        print_json(done.to_dict())
    raise typer.Exit(1 if done.bad else 0)


@app.command()
def identifiers(json: Json = None, quiet: Quiet = False) -> None:
    """List the identifiers.

    Example: whodrew identifiers
    """
    from whodrew.audit.listing import identifiers as entries

    _list(entries(), json, quiet=quiet)


@app.command()
def defences(json: Json = None, quiet: Quiet = False) -> None:
    """List the defences, and what a SPEC may set of each.

    Example: whodrew defences
    """
    from whodrew.defend.listing import defences as entries

    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    rows = [
        [
            one.name,
            one.summary,
            ", ".join(f"{key}={value}" for key, value in one.settings.items()) or "nothing",
            ", ".join(one.needs) or "nothing",
            one.install or "ready",
        ]
        for one in entries()
    ]
    terminal.table("", ["name", "what", "settings, as by default", "needs", "state"], rows)
    if wants:
        print_json([one.to_dict() for one in entries()])
