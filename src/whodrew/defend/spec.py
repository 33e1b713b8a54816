"""SPEC of a defence: ``canonical(size=768,quality=85)+crowd(strength=0.5)``."""

from __future__ import annotations

from typing import Final

from whodrew.defend.base import Stage
from whodrew.defend.registry import DEFENCES
from whodrew.spec import build

_HOW: Final = "write it as canonical(size=768,quality=85)+crowd(strength=0.5)"


def parse_stages(spec: str) -> tuple[Stage, ...]:
    """Builds the stages that a SPEC names, in the order written.

    Args:
        spec: names joined by ``+``, each with its settings in parentheses.

    Raises:
        UsageError: it is empty or malformed, names an unknown defence or setting (the
            message lists the nearest), or a value that is none.
        MissingExtraError: a defence needs modules that are not installed.
    """
    return build(spec, DEFENCES, _HOW)
