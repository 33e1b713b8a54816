"""SPEC, as a user types it: ``canonical(size=768,quality=85)+crowd(strength=0.5)``.

Names of a registry whose factories are dataclasses, their settings in parentheses.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import fields
from math import isfinite
from typing import Any, Final

from whodrew.errors import UsageError
from whodrew.registry import Registry

_STAGE: Final = re.compile(r"\s*([A-Za-z0-9_./-]+)\s*(?:\(([^()]*)\))?\s*")


def known_fields(factory: Any) -> dict[str, Any]:
    """Returns the fields that a SPEC may set, with their defaults."""
    return {one.name: one.default for one in fields(factory) if not one.name.startswith("_")}


def spelled(name: str, made: Any) -> str:
    """Returns the SPEC of what was built: its name, and the fields that differ from their default.

    Fields that start with ``_`` are no part of it.
    """
    given = []
    for key, default in known_fields(made).items():
        value = getattr(made, key)
        if value == default:
            continue
        text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
        given.append(f"{key}={text}")
    return f"{name}({','.join(given)})" if given else name


def build(spec: str, registry: Registry[Callable[..., Any]], how: str) -> tuple[Any, ...]:
    """Builds what a SPEC names, in the order written.

    Args:
        spec: names joined by ``+``, each with its settings in parentheses.
        registry: where the names are known.
        how: what a SPEC looks like, for messages.

    Raises:
        UsageError: it is empty or malformed, names an unknown entry or setting (the
            message lists the nearest), or a value that is none.
        MissingExtraError: an entry needs modules that are not installed.
    """
    kind = registry.kind
    if not spec.strip():
        raise UsageError(f"a {kind} must be named: {how}")
    made, at = [], 0
    while True:
        found = _STAGE.match(spec, at)
        if found is None:
            raise UsageError(f"{kind} {spec!r} cannot be read from {spec[at:]!r} on: {how}")
        made.append(_make(found[1], found[2] or "", registry))
        at = found.end()
        if at == len(spec):
            return tuple(made)
        if spec[at] != "+":
            raise UsageError(f"{kind} {spec!r} cannot be read from {spec[at:]!r} on: {how}")
        at += 1


def _make(name: str, settings: str, registry: Registry[Callable[..., Any]]) -> Any:
    factory = registry.get(name)
    try:
        known = known_fields(factory)
    except TypeError as error:
        raise registry.broken(name, "cannot be told anything", "it is no dataclass") from error
    given: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in settings.split(","))):
        key, equals, text = (word.strip() for word in part.partition("="))
        if not equals or not text:
            raise UsageError(f"{name}({settings}): {part!r} is no setting: write NAME=VALUE")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=2, cutoff=0.4)
            hint = f"did you mean {', '.join(near)}?" if near else f"it has {_list(known)}"
            raise UsageError(f"{name} has no setting {key!r}: {hint}")
        if key in given:
            raise UsageError(f"{name}({settings}): {key} is given twice")
        given[key] = _value(name, key, text, known[key])
    return factory(**given)


def _list(known: dict[str, Any]) -> str:
    return ", ".join(known) or "none"


def _value(name: str, key: str, text: str, default: Any) -> Any:
    """Reads a value of the type of its default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                text.lower()
            ]
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            value = float(text)
            if not isfinite(value):
                raise ValueError(text)
            return value
    except (ValueError, KeyError):
        wanted = {bool: "yes or no", int: "a whole number", float: "a number"}[type(default)]
        raise UsageError(f"{name}({key}={text}): {text!r} is not {wanted}") from None
    return text
