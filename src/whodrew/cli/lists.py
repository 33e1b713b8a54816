"""``whodrew encoders`` and ``whodrew identifiers``."""

from __future__ import annotations

from typing import Any

from whodrew.cli.common import Json, Quiet, app, wants_json
from whodrew.terminal import Terminal, print_json


def _list(entries: list[Any], json: str | None, *, quiet: bool) -> None:
    wants, terminal = wants_json(json), Terminal(quiet=quiet)
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
