"""The one registry shape: decorator, entry-point group, lazy import, nearest names.

A registry maps names to factories. Built-in factories are given as
``"module:attribute"`` strings and imported when asked for, so that listing names
costs no heavy import. Third parties register through the entry-point group of the
registry; their names are namespaced, ``package/name``.

A family takes an argument after a colon, ``family:argument``, which its factory is called
with.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Generic, Self, TypeVar, cast

from whodrew.errors import MissingExtraError, UsageError, WhodrewError

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
        argument: what follows the colon of a family's name (``MODEL``); ``None`` where
            the name stands alone.
        install: the line that installs ``requires``, where no extra of ours does.
    """

    name: str
    summary: str
    target: str | None = None
    requires: tuple[str, ...] = ()
    extra: str | None = None
    argument: str | None = None
    install: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Required modules that are not installed."""
        return tuple(
            name
            for name in self.requires
            if sys.modules.get(name) is None and find_spec(name) is None
        )


@dataclass(frozen=True)
class Listed:
    """One registered name, as lists show it.

    Attributes:
        name: what users type, a family with the word for its argument.
        summary: one line.
        needs: modules it needs beyond the base install.
        ready: whether they are there.
        install: the line that installs them, or ``None``.
    """

    name: str
    summary: str
    needs: tuple[str, ...]
    ready: bool
    install: str | None

    @classmethod
    def of(cls, entry: Entry, **more: Any) -> Self:
        """Lists an entry; ``more`` are fields of a subclass."""
        ready = not entry.missing
        install = None if ready else entry.install or f"pip install 'whodrew[{entry.extra}]'"
        name = entry.name if entry.argument is None else f"{entry.name}:{entry.argument}"
        return cls(name, entry.summary, entry.requires, ready, install, **more)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {**asdict(self), "needs": list(self.needs)}


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
        """Returns the factory called ``name``, given its argument where it has one.

        Raises:
            UsageError: the name is unknown (the message lists the nearest known names), or
                its argument is missing or out of place.
            MissingExtraError: it needs modules that are not installed.
        """
        family, argument = self._parsed(name)
        factory = self._factory(family)
        return factory if argument is None else cast(F, partial(factory, argument))

    def make(self, name: str) -> Any:
        """Returns what the factory called ``name`` makes.

        Raises:
            UsageError: as ``get``; or a third party's factory fails, which is said in one
                line that names its package.
            MissingExtraError: as ``get``.
        """
        factory = self.get(name)
        package = self.package(name)
        if package is None:
            return factory()
        try:
            return factory()
        except WhodrewError:
            raise
        except Exception as error:
            raise self.broken(name, "cannot be made", error) from error

    def package(self, name: str) -> str | None:
        """Returns the third party's package that a name belongs to; ``None`` for our own."""
        family = name.partition(":")[0]
        return None if family in self._entries else family.partition("/")[0]

    def broken(self, name: str, what: str, error: BaseException | str) -> UsageError:
        """Returns the error that blames a third party's package, in one plain line."""
        said = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return UsageError(
            f"{self.kind} {name!r} of the package {self.package(name)} {what}: "
            f"{' '.join(said.split())[:300]}: tell its authors, or use another"
        )

    def check(self, name: str) -> None:
        """Refuses what cannot be had, without importing anything.

        Raises:
            UsageError: as ``get``.
            MissingExtraError: as ``get``.
        """
        self._parsed(name)

    def _parsed(self, name: str) -> tuple[str, str | None]:
        """Returns the registered name and what follows its colon."""
        family, colon, argument = name.partition(":")
        entry = self._entries.get(family)
        if entry is None:
            if family not in self._third_party():
                raise UsageError(self._unknown(name))
            return family, argument if colon else None
        if entry.argument is None and colon:
            raise UsageError(f"{self.kind} {family!r} takes nothing after a colon: {name!r}")
        if entry.argument is not None and not argument:
            raise UsageError(f"{self.kind} {family!r} needs more: {family}:{entry.argument}")
        if entry.missing and entry.install:
            lacks = ", ".join(entry.missing)
            raise UsageError(f"{self.kind} {name!r} needs {lacks}: {entry.install}")
        if entry.missing:
            raise MissingExtraError(f"{self.kind} {name!r}", entry.extra or "")
        return family, argument if colon else None

    def _factory(self, name: str) -> F:
        if name not in self._loaded:
            entry = self._entries.get(name)
            if entry is not None and entry.target is not None:
                module, _, attribute = entry.target.partition(":")
                factory = getattr(import_module(module), attribute)
            else:
                factory = self._load(name)
            self._loaded[name] = cast(F, factory)
        return self._loaded[name]

    def _load(self, name: str) -> Any:
        try:
            factory = self._third_party()[name].load()
        except (Exception, SystemExit) as error:
            raise self.broken(name, "cannot be imported", error) from error
        if not callable(factory):
            raise self.broken(name, "cannot be made", f"{factory!r} is no class or function")
        return factory

    def names(self) -> list[str]:
        """Returns every known name, families with the word for their argument."""
        return [
            entry.name if entry.argument is None else f"{entry.name}:{entry.argument}"
            for entry in self.entries()
        ]

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
