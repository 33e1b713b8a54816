"""What the command line prints: progress and notes to stderr, tables, JSON to stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whodrew.audit.result import Audit
    from whodrew.embed import Progress

SHOWN_BAD = 20
WIDTH = 140  # of tables in a log, which has no width of its own


class Terminal:
    """Prints for people to standard error, and JSON alone to standard output.

    Args:
        quiet: print nothing for people but errors.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """Prints one line for people."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr)  # noqa: T201 - what a command line is for

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Shows bars while work goes on: count, rate and time left."""
        if self.quiet:
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars

        with Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            console=Console(stderr=True),
        ) as bars:
            self._bar = bars
            try:
                yield
            finally:
                self._bar = None
                self._tasks = {}

    def embedding(self, label: str, state: Progress) -> None:
        """Shows how far an encoder is."""
        if self._bar is None:
            return
        speed = ""
        if state.rate:
            speed = f"{state.rate:.1f} images/s"
            if state.eta is not None and state.done < state.total:
                speed += f", {duration(state.eta)} left"
        self._update(label, state.done, state.total, speed)

    def working(self, label: str, done: int, total: int) -> None:
        """Shows how far something is."""
        if self._bar is not None:
            self._update(label, done, total, "")

    def drawing(self, done: int, total: int) -> None:
        """Shows how far the sample is."""
        self.working("drawing", done, total)

    def _update(self, label: str, done: int, total: int, speed: str) -> None:
        if label not in self._tasks:
            self._tasks[label] = self._bar.add_task(label, total=total, speed="")
        self._bar.update(self._tasks[label], completed=done, speed=speed)

    def bad(self, items: Sequence[dict[str, str]]) -> None:
        """Names what could not be used, however quiet."""
        for item in items[:SHOWN_BAD]:
            print(f"bad: {item['item']}: {item['reason']}", file=sys.stderr)  # noqa: T201
        if len(items) > SHOWN_BAD:
            more = len(items) - SHOWN_BAD
            print(f"bad: {more} more items, all in the JSON", file=sys.stderr)  # noqa: T201

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Prints a table for people."""
        if self.quiet:
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        width = None if sys.stderr.isatty() else WIDTH
        Console(stderr=True, markup=False, width=width).print(table)


def duration(seconds: float) -> str:
    """Returns a time for people: ``2 min 5 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def print_json(values: Any) -> None:
    """Prints a result object on standard output; a reader who has gone is no error."""
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(values, indent=1, allow_nan=False)
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_audit(terminal: Terminal, result: Audit) -> None:
    """Prints attacks, strongest first, and the headline."""
    rows = []
    for one in result.attacks:
        top1 = one.top1
        interval = "-" if top1.low is None else f"{100 * top1.low:.1f}-{100 * (top1.high or 0):.1f}"
        form = "native" if one.canonical is None else f"{one.canonical}²"
        rows.append(
            [
                f"{one.encoder} ({form})",
                one.identifier + ("" if one.knowledge.centred else " (plain)"),
                one.knowledge.prompts + (" elsewhere" if one.references_from else ""),
                one.knowledge.shown,
                "-" if top1.value is None else f"{100 * top1.value:.1f} %",
                interval,
                "-" if top1.chance is None else f"{100 * top1.chance:.1f} %",
                str(one.queries),
            ]
        )
    columns = [
        "encoder",
        "identifier",
        "references of",
        "shown",
        "top-1",
        "95 % interval",
        "chance",
        "images",
    ]
    terminal.table("attacks, strongest first", columns, rows)
    terminal.say("")
    terminal.say(result.headline["sentence"])
