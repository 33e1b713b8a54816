"""How blind is a blind text-to-image arena, really?

The functions mirror the commands: ``whodrew.audit``, ``whodrew.embed``,
``whodrew.identify``, ``whodrew.leaks``, ``whodrew.defend``, ``whodrew.sample``,
``whodrew.encoders``, ``whodrew.identifiers``, ``whodrew.defences``.
Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("whodrew")
__all__ = [
    "Arena",
    "Audit",
    "AuditOptions",
    "Identification",
    "Leaks",
    "WhodrewError",
    "__version__",
    "audit",
    "defences",
    "defend",
    "embed",
    "encoders",
    "frontier",
    "identifiers",
    "identify",
    "influence",
    "leaks",
    "measure_defence",
    "prompts",
    "rank",
    "ranking",
    "read_arena",
    "sample",
    "screen",
    "simulate",
]

_PACKAGES = ("audit", "defend", "embed", "encoders", "identify", "leaks", "ranking")
_FOUND_IN = {
    "Arena": "whodrew.arena",
    "read_arena": "whodrew.arena",
    "Audit": "whodrew.audit",
    "AuditOptions": "whodrew.audit",
    "Identification": "whodrew.audit",
    "Leaks": "whodrew.leaks",
    "WhodrewError": "whodrew.errors",
    "defences": "whodrew.defend.listing",
    "frontier": "whodrew.defend.frontier",
    "measure_defence": "whodrew.defend.arena_job",
    "identifiers": "whodrew.audit.listing",
    "influence": "whodrew.ranking",
    "prompts": "whodrew.audit.policy",
    "rank": "whodrew.ranking",
    "sample": "whodrew.audit.listing",
    "screen": "whodrew.ranking",
    "simulate": "whodrew.ranking",
}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"whodrew.{name}")
    if name in _FOUND_IN:
        return getattr(import_module(_FOUND_IN[name]), name)
    raise AttributeError(f"module 'whodrew' has no attribute {name!r}")
