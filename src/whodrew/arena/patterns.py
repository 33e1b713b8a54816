"""Patterns that name several files: ``shards/{000..010}.tar``, ``data/*.parquet``."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from whodrew.arena.model import BadItem
from whodrew.errors import UsageError

MOST_FILES: Final = 100_000
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")
_PART: Final = re.compile(r"(.*)-(\d{1,7})-of-(\d{1,7})(\.[^/]*)", re.DOTALL)


def is_pattern(text: str) -> bool:
    """Whether ``text`` has braces with a choice in them, or wildcards."""
    return bool(re.search(r"[*?\[]", text)) or any(
        "," in inner or _RANGE.fullmatch(inner) for inner in _BRACES.findall(text)
    )


def expand(text: str) -> list[Path]:
    """Returns the files a pattern stands for, sorted where it has wildcards.

    ``{000..010}`` counts with as many digits as are written, ``{a,b}`` lists, both as the
    shell and WebDataset have it; ``*``, ``?``, ``[...]`` and ``**`` match what is there. A
    name that braces spell out is returned whether or not it is there.

    Raises:
        UsageError: more than 100,000 names.
    """
    names = list(itertools.islice(_spelled(text), MOST_FILES + 1))
    if len(names) > MOST_FILES:
        raise UsageError(f"{text} names more than {MOST_FILES:,} files: give a smaller range")
    paths: list[Path] = []
    for name in names:
        if re.search(r"[*?\[]", name) and not os.path.lexists(name):
            paths += sorted(Path(found) for found in glob.glob(name, recursive=True))
        else:
            paths.append(Path(name))
    return list(dict.fromkeys(paths))


def _spelled(text: str) -> Iterator[str]:
    for match in _BRACES.finditer(text):
        inner = match.group(1)
        if counted := _RANGE.fullmatch(inner):
            first, last = counted.group(1), counted.group(2)
            # as bash has it: zeros in front of either end set the width of all
            padded = any(end.startswith("0") and len(end) > 1 for end in (first, last))
            width = max(len(first), len(last)) if padded else 0
            low, high = int(first), int(last)
            numbers = range(low, high + 1) if low <= high else range(low, high - 1, -1)
            choices: Iterator[str] = (f"{number:0{width}}" for number in numbers)
        elif "," in inner:
            choices = iter(inner.split(","))
        else:
            continue
        before, after = text[: match.start()], text[match.end() :]
        for choice in choices:
            yield from _spelled(before + choice + after)
        return
    yield text


def missing_parts(names: Sequence[str]) -> list[BadItem]:
    """Finds gaps in the numbering ``train-00000-of-00003.parquet``.

    Args:
        names: files, as they are named in messages.

    Returns:
        The parts that their siblings promise and that are not among them.
    """
    groups: dict[tuple[str, str, str], set[int]] = {}
    for name in names:
        if match := _PART.fullmatch(name):
            stem, number, total, ending = match.groups()
            groups.setdefault((stem, total, ending), set()).add(int(number))
    bad = []
    for (stem, total, ending), numbers in groups.items():
        if int(total) > MOST_FILES:
            continue
        bad += [
            BadItem(
                f"{stem}-{number:0{len(total)}}-of-{total}{ending}",
                f"not there, though its siblings are of {int(total)} parts",
            )
            for number in range(int(total))
            if number not in numbers
        ]
    return bad
