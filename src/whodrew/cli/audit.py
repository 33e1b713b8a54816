"""``whodrew audit``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from whodrew.cli.common import (
    ARENA_HELP,
    Address,
    Columns,
    Encoders,
    Engine,
    EngineName,
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
from whodrew.terminal import Terminal, print_json, show_audit


@app.command()
def audit(
    arena: Annotated[
        str | None,
        typer.Argument(help=ARENA_HELP, show_default=False),
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
    votes: Annotated[
        Path | None,
        option(
            "--votes",
            help="Vote log; votes.parquet, .csv or .jsonl beside the images if not given.",
            metavar="FILE",
        ),
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
            help="Also at SIZE×SIZE, JPEG quality 85; by itself where files alone name models.",
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
    columns: Columns = None,
    seed: Seed = 0,
    workers: Workers = None,
    engine: Engine = EngineName.native,
    address: Address = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Measure how well an outsider can say who drew what.

    Writes OUT/audit.json, OUT/report.html and OUT/tables.

    Example: whodrew audit arena --out audit
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
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
        votes=votes,
        reference_arena=reference_arena,
        canonical=canonical,
        store=store,
        layout=layout,
        columns=tuple(columns or ()),
        curves=curves,
        seed=seed,
        workers=workers,
        engine=engine.value,
        address=address,
    )
    options.check()
    # Ray tells of dead workers on standard output, which is for the result alone
    with terminal.progress(), redirect_stdout(sys.stderr):
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
