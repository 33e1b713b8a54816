"""The application, and the options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from whodrew.errors import UsageError

ORDER = (
    "sample",
    "embed",
    "audit",
    "identify",
    "leaks",
    "defend",
    "frontier",
    "prompts",
    "votes",
    "encoders",
    "identifiers",
    "defences",
)


class InOrder(TyperGroup):
    """Lists the commands in the order in which people meet them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names for the help page."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    name="whodrew",
    cls=InOrder,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


KnowledgeName = StrEnum(
    "KnowledgeName", [("matched", "matched"), ("other", "other"), ("auto", "auto")]
)
ShownName = StrEnum("ShownName", [("any", "any"), ("each_once", "each-once"), ("auto", "auto")])
EngineName = StrEnum("EngineName", [("native", "native"), ("ray", "ray")])
LayoutName = StrEnum("LayoutName", [("first", "model/prompt"), ("second", "prompt/model")])


def option(*names: str, help: str, **more: Any) -> Any:  # noqa: A002 - typer's own name
    """Returns a typer option that is also the environment variable ``WHODREW_<OPTION>``."""
    variable = names[0].lstrip("-").split("/")[0].replace("-", "_").upper()
    return typer.Option(*names, help=help, envvar=f"WHODREW_{variable}", **more)


ARENA_HELP = (
    "Folder, manifest, Parquet, shards ('dir/{000..010}.tar'), hub:owner/name, or embedding store."
)
ArenaArgument = Annotated[
    str,
    typer.Argument(help=ARENA_HELP, show_default=False),
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
Engine = Annotated[
    EngineName, option("--engine", help="Threads of this process, or a Ray cluster.")
]
Address = Annotated[
    str | None,
    option(
        "--address",
        help="Of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT; this machine alone if "
        "not given.",
    ),
]
Columns = Annotated[
    list[str] | None,
    option(
        "--columns",
        help="Columns of other names, as model=generator,prompt_id=pid; repeatable.",
        metavar="OURS=THEIRS",
    ),
]
Encoders = Annotated[
    list[str], option("--encoder", help="Encoder; several may be given. See 'whodrew encoders'.")
]


def wants_json(value: str | None) -> bool:
    """Returns whether ``--json -`` was given.

    Raises:
        UsageError: it was given another value.
    """
    if value not in (None, "-"):
        raise UsageError(f"--json takes '-' (standard output), not {value!r}")
    return value == "-"
