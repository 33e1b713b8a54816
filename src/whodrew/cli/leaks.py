"""``whodrew leaks``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from whodrew.cli.common import (
    ArenaArgument,
    Columns,
    Json,
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
    from whodrew.leaks import Leaks

_MODELS_SHOWN = 4


@app.command()
def leaks(
    arena: ArenaArgument,
    permutations: Annotated[
        int, option("--permutations", help="Permutations of each test, at most.", min=99)
    ] = 4999,
    layout: Layout = None,
    columns: Columns = None,
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Say what the image files give away besides their pixels.

    Example: whodrew leaks arena
    """
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
    from whodrew.audit.leaks import reading
    from whodrew.leaks import leaks as run

    with terminal.progress():
        found = run(
            arena,
            layout=layout,
            columns=columns or (),
            seed=seed,
            workers=workers,
            permutations=permutations,
            told=reading(terminal.embedding),
            said=terminal.say,
        )
    terminal.bad([item.to_dict() for item in found.bad])
    _show(terminal, found)
    if wants:
        print_json(found.to_dict())
    raise typer.Exit(found.exit_code)


def _show(terminal: Terminal, found: Leaks) -> None:
    """Prints the fields, most telling first, the accuracy, and what to do."""
    rows = []
    for one in found.fields:
        bits = one.information
        interval = "-" if bits.low is None else f"{bits.low:.2f}-{bits.high or 0:.2f}"
        by_value: dict[str, list[str]] = {}
        for model, value in one.example.items():
            by_value.setdefault(value, []).append(model)
        example = "\n".join(f"{value} ({_few(names)})" for value, names in by_value.items())
        rows.append([one.what, f"{bits.value or 0:.2f}", interval, f"{one.p_value:.2g}", example])
    if rows:
        columns = ["what differs", "bits", "95 % interval", "p", "value (models)"]
        terminal.table("what the files give away, most telling first", columns, rows)
        terminal.say("")
    terminal.say(sentence(found))
    size = found.byte_size
    if size.information.value is not None and size.p_value is not None:
        terminal.say(
            f"Byte size, apart: {size.information.value:.2f} bits (p {size.p_value:.2g}); it "
            "depends on the pixels, too."
        )
    for mend in dict.fromkeys(one.mend for one in found.fields):
        terminal.say(f"mend: {mend}")
    for note in found.notes:
        terminal.say(f"note: {note}")


def _few(names: list[str]) -> str:
    more = len(names) - _MODELS_SHOWN
    return ", ".join(names[:_MODELS_SHOWN]) + (f", {more} more" if more > 0 else "")


def sentence(found: Leaks) -> str:
    """Returns the result in one line."""
    from whodrew.audit.headline import with_interval

    accuracy = found.accuracy
    if accuracy.value is None:
        told = f"How often the container alone names the model cannot be had: {accuracy.reason}."
    else:
        share = with_interval(accuracy, " of the images")
        told = f"The container alone names the model of {share}."
    if not found.fields:
        told += " No field tells models apart at 1 % (Holm)."
    return told
