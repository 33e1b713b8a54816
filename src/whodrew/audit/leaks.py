"""What an audit makes of the files of its arena."""

from __future__ import annotations

import time
from collections.abc import Callable

from whodrew.audit.options import AuditOptions
from whodrew.audit.sources import Report, Source
from whodrew.embed import Progress
from whodrew.errors import InputError
from whodrew.leaks import Leaks, leaks

LABEL = "reading files"
NO_FILES = "embeddings were given, not the files they were made from"


def reading(report: Report) -> Callable[[int, int], None]:
    """Returns what tells ``report`` how many files were read."""
    started = time.perf_counter()

    def told(done: int, total: int) -> None:
        seconds = time.perf_counter() - started
        rate = done / seconds if done and seconds else None
        eta = (total - done) / rate if rate else None
        report(LABEL, Progress(done, total, 0, seconds, rate, eta))

    return told


def leaks_of(
    source: Source, options: AuditOptions, report: Report | None
) -> tuple[Leaks | None, str | None]:
    """Returns what the files of an arena give away, or why that cannot be said.

    Files that cannot be read are bad items of the audit already, and not named twice.
    """
    if source.arena is None:
        return None, NO_FILES
    try:
        found = leaks(
            source.arena,
            seed=options.seed,
            workers=options.workers,
            told=None if report is None else reading(report),
        )
    except InputError as error:
        return None, str(error)
    return found, None


def named(found: Leaks, most: int = 3) -> str:
    """Returns the most telling fields in words: ``file format, EXIF tags and 2 more``."""
    words = [one.what for one in found.fields if one.in_container]
    if len(words) <= most:
        return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
    return f"{', '.join(words[:most])} and {len(words) - most} more"
