"""The command line. Heavy imports happen inside the commands: ``--help`` must be quick."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from whodrew import __version__
from whodrew.cli import audit, defend, frontier, identify, images, leaks, lists, prompts, votes
from whodrew.cli import votes_influence as votes_influence
from whodrew.cli import votes_screen as votes_screen
from whodrew.cli import votes_simulate as votes_simulate
from whodrew.cli.common import app
from whodrew.errors import WhodrewError

# Importing a module adds its commands, in the order of the help page.
__all__ = [
    "app",
    "audit",
    "defend",
    "frontier",
    "identify",
    "images",
    "leaks",
    "lists",
    "main",
    "prompts",
    "votes",
]


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


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits as the contract says.

    0 done, 1 some items were bad, 2 wrong use or input, 3 a limit exceeded, 130 interrupted.
    """
    ending = _Ending() if arguments is None else None  # then the process is ours
    try:
        code = app(arguments, standalone_mode=False)
        if code == 130:  # typer makes a status of an interrupt
            raise KeyboardInterrupt
    except WhodrewError as error:
        code = _fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        if ending is not None:
            ending.interrupted()
        code = _fail("interrupted", 130)
    except OSError as error:
        if error.filename is None:
            raise
        # of files we were told to use: a folder that is a file, a disk that is full
        code = _fail(f"{error.filename}: {error.strerror}", 2)
    except TyperException as error:
        context: Any = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        code = _fail(error.format_message().replace("Value error, ", "") + hint, 2)
    sys.exit(code if isinstance(code, int) else 0)


class _Ending:
    """How this process ends once it was interrupted, whatever further interrupts come.

    One more ends it at once, though threads may still be at work. Python's own last steps, in
    which an interrupt kills with another status, are left out; all that others registered to
    be done at the end is done.
    """

    def __init__(self) -> None:
        self._interrupted = False
        # what is registered first is done last
        atexit.register(self._last)

    def interrupted(self) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, self._now)

    def _last(self) -> None:
        if self._interrupted:
            self._now()

    def _now(self, *_: object) -> NoReturn:
        with contextlib.suppress(Exception):  # nobody may be reading
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(130)


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code
