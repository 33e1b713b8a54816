"""What defences there are, what each may be told, and what it needs."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Any

from whodrew.defend.registry import DEFENCES, known_fields
from whodrew.errors import WhodrewError
from whodrew.registry import Entry


@dataclass(frozen=True)
class ListedDefence:
    """One registered defence.

    Attributes:
        name: what a SPEC calls it.
        summary: one line.
        settings: what a SPEC may set, with the defaults; empty where it cannot be loaded.
        needs: modules it needs beyond the base install.
        ready: whether they are there.
        install: the line that installs them, or ``None``.
    """

    name: str
    summary: str
    settings: dict[str, Any]
    needs: tuple[str, ...]
    ready: bool
    install: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "name": self.name,
            "summary": self.summary,
            "settings": self.settings,
            "needs": list(self.needs),
            "ready": self.ready,
            "install": self.install,
        }


def defences() -> list[ListedDefence]:
    """Returns every defence, ours and third parties'."""
    return [_listed(entry) for entry in DEFENCES.entries()]


def _listed(entry: Entry) -> ListedDefence:
    ready = not entry.missing
    install = None if ready else entry.install or f"pip install 'whodrew[{entry.extra}]'"
    settings = _settings(entry.name) if ready else {}
    return ListedDefence(entry.name, entry.summary, settings, entry.requires, ready, install)


def _settings(name: str) -> dict[str, Any]:
    try:
        found = known_fields(DEFENCES.get(name))
    except (WhodrewError, TypeError):  # a third party's; using it will say why
        return {}
    return {key: None if value is MISSING else value for key, value in found.items()}
