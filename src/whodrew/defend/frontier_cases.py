"""What attackers know in a frontier: references of which prompts, shown in which way."""

from __future__ import annotations

from collections import Counter

from whodrew.defend.attackers import Labels
from whodrew.errors import InputError, UsageError
from whodrew.identify.knowledge import Prompts, Shown

AUTO = "auto"


def kinds_of_prompts(labels: Labels, asked: str | tuple[str, ...]) -> tuple[Prompts, ...]:
    """Returns ``other``, ``matched`` or both, without repeats.

    Args:
        labels: of the images.
        asked: ``other``, ``matched`` or ``auto``, one or several; ``auto`` is ``other`` where
            there are several prompts, and ``matched`` where at least half of the cells hold
            two generations.

    Raises:
        InputError: the arena cannot serve what is asked.
        UsageError: a word is none of these.
    """
    cells = Counter(zip(labels.model, labels.prompt, strict=True))
    several = len(set(labels.prompt)) > 1
    many = 2 * sum(count >= 2 for count in cells.values()) >= len(cells)
    found: dict[Prompts, None] = {}
    for word in _words(asked, ("other", "matched"), "knowledge"):
        if word == "matched" and max(cells.values()) < 2:
            raise InputError(
                "--knowledge matched needs two generations of some cell, and every cell of "
                "this arena has one: use --knowledge other"
            )
        if word == "other" and not several:
            raise InputError(
                "--knowledge other needs references of other prompts, and this arena has one "
                "prompt: use --knowledge matched"
            )
        if word == "other" or (word == AUTO and several):
            found["other"] = None
        if word == "matched" or (word == AUTO and many):
            found["matched"] = None
    if not found:
        raise InputError(
            "the arena has one prompt, and most of its cells one generation: show more of either"
        )
    return tuple(found)


def shown_ways(labels: Labels, asked: str | tuple[str, ...]) -> tuple[Shown, ...]:
    """Returns ``any``, ``each-once`` or both, without repeats.

    Args:
        labels: of the images.
        asked: ``any``, ``each-once`` or ``auto``, one or several; ``auto`` is ``any``, and
            ``each-once`` where some prompt shows two models.

    Raises:
        UsageError: a word is none of these.
    """
    cells = len(set(zip(labels.model, labels.prompt, strict=True)))
    found: dict[Shown, None] = {}
    for word in _words(asked, ("any", "each-once"), "shown"):
        if word in ("any", AUTO):
            found["any"] = None
        if word == "each-once" or (word == AUTO and cells > len(set(labels.prompt))):
            found["each-once"] = None
    return tuple(found)


def _words(asked: str | tuple[str, ...], known: tuple[str, ...], name: str) -> tuple[str, ...]:
    words = (asked,) if isinstance(asked, str) else tuple(asked)
    for word in words:
        if word not in (*known, AUTO):
            raise UsageError(f"--{name} {word!r} is none of {', '.join(known)}, {AUTO}")
    if not words:
        raise UsageError(f"--{name} names nothing: give {', '.join(known)} or {AUTO}")
    return words
