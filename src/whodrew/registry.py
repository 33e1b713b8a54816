"""The one registry shape: decorator, entry-point group, lazy import, nearest names.

A registry maps names to factories. Built-in factories are given as
``"module:attribute"`` strings and imported when asked for, so that listing names
costs no heavy import. Third parties register through the entry-point group of the
registry; their names are namespaced, ``package/name``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from whodrew.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """What is known of a registered name without importing it.

    Attributes:
        name: the name users type.
        summary: one line saying what it is.
        target: ``module:attribute`` of the factory, or ``None`` once it is loaded.
        requires: module names that must be importable for it to work.
        extra: the extra of whodrew that installs ``requires``.
    """

    name: str
    summary: str
    target: str | None = None
    requires: tuple[str, ...] = ()
    extra: str | None = None


class Registry(Generic[F]):
    """Names to factories, for one kind of plug-in.

    Args:
        kind: what is registered, singular (``"encoder"``), used in messages.
        group: entry-point group that third parties use.
        builtin: entries of our own.
    """

    def __init__(self, kind: str, group: str, builtin: tuple[Entry, ...] = ()) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, Entry] = {entry.name: entry for entry in builtin}
        self._loaded: dict[str, F] = {}

    def register(self, name: str, summary: str = "") -> Callable[[F], F]:
        """Returns a decorator that registers a factory under ``name``."""

        def keep(factory: F) -> F:
            self._entries[name] = Entry(name, summary or (factory.__doc__ or "").split("\n")[0])
            self._loaded[name] = factory
            return factory

        return keep

    def entries(self) -> Iterator[Entry]:
        """Yields every known entry, ours first, without importing any."""
        yield from self._entries.values()
        for name, point in self._third_party().items():
            yield Entry(name, f"from {point.value}", point.value)

    def get(self, name: str) -> F:
        """Returns the factory called ``name``.

        Raises:
            UsageError: the name is unknown; the message lists the nearest known names.
        """
        if name in self._loaded:
            return self._loaded[name]
        entry = self._entries.get(name)
        if entry is not None and entry.target is not None:
            module, _, attribute = entry.target.partition(":")
            factory = getattr(import_module(module), attribute)
        else:
            points = self._third_party()
            if name not in points:
                raise UsageError(self._unknown(name))
            factory = points[name].load()
        self._loaded[name] = cast(F, factory)
        return self._loaded[name]

    def check(self, name: str) -> None:
        """Refuses a name that is not known, without importing anything.

        Raises:
            UsageError: the name is unknown; the message lists the nearest known names.
        """
        if name not in self._loaded and name not in self.names():
            raise UsageError(self._unknown(name))

    def names(self) -> list[str]:
        """Returns every known name."""
        return [entry.name for entry in self.entries()]

    def _third_party(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            package = point.dist.name if point.dist else "unknown"
            found[f"{package}/{point.name}"] = point
        return found

    def _unknown(self, name: str) -> str:
        known = self.names()
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
        return f"unknown {self.kind} {name!r}: {hint}"
