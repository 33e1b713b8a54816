"""What defences there are, what each may be told, and what it needs."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Any

from whodrew.defend.registry import DEFENCES, known_fields
from whodrew.errors import WhodrewError
from whodrew.registry import Listed


@dataclass(frozen=True)
class ListedDefence(Listed):
    """One registered defence.

    Attributes:
        settings: what a SPEC may set, with the defaults; empty where it cannot be loaded.
    """

    settings: dict[str, Any]


def defences() -> list[ListedDefence]:
    """Returns every defence, ours and third parties'."""
    return [
        ListedDefence.of(entry, settings={} if entry.missing else _settings(entry.name))
        for entry in DEFENCES.entries()
    ]


def _settings(name: str) -> dict[str, Any]:
    try:
        found = known_fields(DEFENCES.get(name))
    except (WhodrewError, TypeError):  # a third party's; using it will say why
        return {}
    return {key: None if value is MISSING else value for key, value in found.items()}
