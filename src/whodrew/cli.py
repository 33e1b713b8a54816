"""The command line. Heavy imports happen inside the commands: ``--help`` must be quick."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from whodrew import __version__
from whodrew.errors import InputError, UsageError, WhodrewError
from whodrew.terminal import Terminal, print_json, show_audit

app = typer.Typer(
    name="whodrew",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


KnowledgeName = StrEnum(
    "KnowledgeName", [("matched", "matched"), ("other", "other"), ("auto", "auto")]
)
ShownName = StrEnum("ShownName", [("any", "any"), ("each_once", "each-once"), ("auto", "auto")])
LayoutName = StrEnum("LayoutName", [("first", "model/prompt"), ("second", "prompt/model")])


def option(*names: str, help: str, **more: Any) -> Any:  # noqa: A002 - typer's own name
    """Returns a typer option that is also the environment variable ``WHODREW_<OPTION>``."""
    variable = names[0].lstrip("-").split("/")[0].replace("-", "_").upper()
    return typer.Option(*names, help=help, envvar=f"WHODREW_{variable}", **more)


ArenaArgument = Annotated[
    str,
    typer.Argument(help="Folder, manifest, Parquet file or embedding store.", show_default=False),
]
Json = Annotated[
    str | None,
    option("--json", help="'-' prints the result as JSON on standard output.", metavar="-"),
]
Quiet = Annotated[bool, option("--quiet", help="Print nothing for people but errors.")]
Seed = Annotated[int, option("--seed", help="Seeds everything.", min=0)]
Layout = Annotated[
    LayoutName | None, option("--layout", help="Which folder level is which; guessed if not given.")
]
Workers = Annotated[
    int | None, option("--workers", help="Threads that encode, else one a processor.", min=1)
]
Encoders = Annotated[
    list[str], option("--encoder", help="Encoder; several may be given. See 'whodrew encoders'.")
]


def _wants_json(value: str | None) -> bool:
    if value not in (None, "-"):
        raise UsageError(f"--json takes '-' (standard output), not {value!r}")
    return value == "-"


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """How blind is a blind text-to-image arena, really?

    Example: whodrew audit --sample --out audit
    """
    if version:
        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


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

    wants, terminal = _wants_json(json), Terminal(quiet=quiet)
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
    store: Annotated[Path, option("--store", help="Folder of the embedding store.")],
    encoder: Annotated[str, option("--encoder", help="See 'whodrew encoders'.")] = "fingerprint",
    canonical: Annotated[
        int | None, option("--canonical", help="Bring images to SIZE×SIZE first.", metavar="SIZE")
    ] = None,
    layout: Layout = None,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Encode images into a store; interrupted, it goes on where it stopped.

    Example: whodrew embed arena --store store
    """
    from whodrew.arena import is_embedding_table, read_arena
    from whodrew.embed import embed as run

    wants, terminal = _wants_json(json), Terminal(quiet=quiet)
    if is_embedding_table(arena):
        raise UsageError(f"{arena} is an embedding store already: give the images")
    images = read_arena(arena, layout=layout)
    if len(images) == 0:
        raise InputError(f"{arena} holds no image that can be read")
    for note in images.notes:
        terminal.say(note)
    with terminal.progress():
        done = run(
            images,
            encoder,
            store,
            canonical=canonical,
            workers=workers,
            progress=lambda state: terminal.embedding(encoder, state),
        )
    bad = [item.to_dict() for item in (*images.bad, *done.bad)]
    terminal.bad(bad)
    speed = f", {done.images_per_second:.1f} images/s" if done.images_per_second else ""
    terminal.say(f"{done.encoded} encoded, {done.reused} there already{speed}: {store}")
    if wants:
        print_json({**done.to_dict(), "bad": bad})
    raise typer.Exit(1 if bad else 0)


@app.command()
def audit(
    arena: Annotated[
        str | None,
        typer.Argument(
            help="Folder, manifest, Parquet file or embedding store.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path, option("--out", help="Folder for audit.json, report.html, tables.")
    ] = Path("audit"),
    sample: Annotated[
        bool,
        option("--sample", help="Audit our own synthetic sample arena, drawn into OUT/sample."),
    ] = False,
    encoder: Encoders = ["fingerprint"],  # noqa: B006 - typer copies it
    knowledge: Annotated[
        list[KnowledgeName], option("--knowledge", help="References the attacker has; repeatable.")
    ] = [KnowledgeName.auto],  # noqa: B006
    shown: Annotated[
        list[ShownName], option("--shown", help="How images are shown; repeatable.")
    ] = [ShownName.auto],  # noqa: B006
    identifier: Annotated[
        list[str], option("--identifier", help="See 'whodrew identifiers'; repeatable.")
    ] = ["nearest-centroid", "whitened-centroid"],  # noqa: B006
    per_cell: Annotated[
        int | None, option("--per-cell", help="References a cell gives at most.", metavar="K")
    ] = None,
    hide_models: Annotated[
        int | None,
        option("--hide-models", help="Open set: hide N models at a time, in turn.", metavar="N"),
    ] = None,
    false_alarm: Annotated[
        float, option("--false-alarm", help="Known images that may be answered 'unknown' there.")
    ] = 0.05,
    family: Annotated[
        Path | None,
        option("--family", help="CSV of model,family; models.csv beside the images if not given."),
    ] = None,
    reference_arena: Annotated[
        str | None,
        option(
            "--reference-arena", help="Take references from this arena besides.", metavar="ARENA"
        ),
    ] = None,
    canonical: Annotated[
        int | None,
        option(
            "--canonical",
            help="Also at SIZE×SIZE, JPEG quality 85; by itself where size or format differ.",
            metavar="SIZE",
        ),
    ] = None,
    store: Annotated[
        Path | None,
        option("--store", help="Folder of the store; OUT/store/<encoder> if not given."),
    ] = None,
    curves: Annotated[
        bool | None,
        option(
            "--curves/--no-curves",
            help="Accuracy against models and references; by itself up to 20,000 images.",
        ),
    ] = None,
    layout: Layout = None,
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Measure how well an outsider can say who drew what.

    Writes OUT/audit.json, OUT/report.html and OUT/tables.

    Example: whodrew audit arena --out audit
    """
    wants, terminal = _wants_json(json), Terminal(quiet=quiet)
    if sample == (arena is not None):
        raise UsageError("give an ARENA, or --sample for the synthetic one (not both)")
    from whodrew.audit import AuditOptions
    from whodrew.audit import audit as run

    options = AuditOptions(
        encoders=tuple(encoder),
        knowledge=tuple(one.value for one in knowledge),
        shown=tuple(one.value for one in shown),
        identifiers=tuple(identifier),
        per_cell=per_cell,
        hide_models=hide_models,
        false_alarm=false_alarm,
        family=family,
        reference_arena=reference_arena,
        canonical=canonical,
        store=store,
        layout=layout,
        curves=curves,
        seed=seed,
        workers=workers,
    )
    options.check()
    with terminal.progress():
        if sample:
            from whodrew.audit.listing import sample as draw

            arena = str(out / "sample")
            draw(arena, seed=seed, workers=workers, progress=terminal.drawing)
        assert arena is not None
        result = run(arena, out=out, options=options, report=terminal.embedding, said=terminal.say)
    terminal.bad(result.arena["bad"])
    show_audit(terminal, result)
    terminal.say(f"\nreport: {out / 'report.html'}\nfigures: {out / 'audit.json'}")
    if wants:
        print_json(result.to_dict())
    raise typer.Exit(result.exit_code)


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
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Name the model of each image, or say 'unknown'.

    Example: whodrew identify mystery.png --references arena
    """
    from whodrew.audit.naming import identify as run

    wants, terminal = _wants_json(json), Terminal(quiet=quiet)
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


def _list(entries: list[Any], json: str | None, *, quiet: bool) -> None:
    wants, terminal = _wants_json(json), Terminal(quiet=quiet)
    rows = [
        [one.name, one.summary, ", ".join(one.needs) or "nothing", one.install or "ready"]
        for one in entries
    ]
    terminal.table("", ["name", "what", "needs", "state"], rows)
    if wants:
        print_json([one.to_dict() for one in entries])


@app.command()
def encoders(json: Json = None, quiet: Quiet = False) -> None:
    """List the encoders, what each needs, and the line that installs it.

    Example: whodrew encoders
    """
    from whodrew.audit.listing import encoders as entries

    _list(entries(), json, quiet=quiet)


@app.command()
def identifiers(json: Json = None, quiet: Quiet = False) -> None:
    """List the identifiers.

    Example: whodrew identifiers
    """
    from whodrew.audit.listing import identifiers as entries

    _list(entries(), json, quiet=quiet)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits as the contract says.

    0 done, 1 some items were bad, 2 wrong use or input, 3 a limit exceeded, 130 interrupted.
    """
    try:
        code = app(arguments, standalone_mode=False)
        if code == 130:  # typer makes a status of an interrupt
            raise KeyboardInterrupt
    except WhodrewError as error:
        code = _fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        code = _fail("interrupted", 130)
    except TyperException as error:
        context: Any = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        code = _fail(error.format_message().replace("Value error, ", "") + hint, 2)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code
