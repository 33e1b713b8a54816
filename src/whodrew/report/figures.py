"""Figures as the report shows them: value, interval, chance, or a dash and its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DASH = "–"
NARROW = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Figure:
    """One figure with what is known around it.

    Attributes:
        value: the estimate, or ``None`` where it cannot be had.
        low: lower end of the 95 % interval, or ``None``.
        high: upper end of the 95 % interval, or ``None``.
        chance: what guessing gets, or ``None`` where that says nothing.
        reason: why ``value`` (or else the interval) is missing; empty when nothing is.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    reason: str = ""

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are known."""
        return self.low is not None and self.high is not None


def number(raw: Any) -> float | None:
    """A finite float, or ``None`` for anything else (booleans and text included)."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    return float(raw) if math.isfinite(raw) else None


def figure(holder: Any, name: str) -> Figure:
    """Reads ``holder[name]``, a rate object or a plain number, with its reason.

    Args:
        holder: any object of ``audit.json``; something else than a mapping has no figures.
        name: the key; its reason is looked up in ``<name>_reason`` beside it.
    """
    if not isinstance(holder, Mapping):
        return Figure(None)
    raw = holder.get(name)
    reason = _text(holder.get(f"{name}_reason"))
    if not isinstance(raw, Mapping):
        return Figure(number(raw), reason=reason)
    inner = ("value_reason", "reason", "low_reason", "interval_reason", "high_reason")
    reason = reason or next((_text(raw[key]) for key in inner if raw.get(key)), "")
    return Figure(
        value=number(raw.get("value")),
        low=number(raw.get("low")),
        high=number(raw.get("high")),
        chance=number(raw.get("chance")),
        reason=reason,
    )


def missing(reason: str) -> Figure:
    """A figure that cannot be had."""
    return Figure(None, reason=reason)


def percent(value: float | None, digits: int | None = None) -> str:
    """A share as a percentage: one decimal below 10 %, none above; a dash for ``None``."""
    if value is None:
        return DASH
    if digits is None:
        digits = 1 if abs(value) < 0.0995 else 0
    if 0 < abs(value) < 0.0005:
        return f"<0.1{NARROW}%"
    # A share short of certainty must not read as certain.
    if digits == 0 and 0.995 <= value < 1:
        digits = 1
    text = f"{abs(value) * 100:.{digits}f}"
    negative = value < 0 and float(text) != 0
    return f"{MINUS if negative else ''}{text}{NARROW}%"


def decimal(value: float | None, digits: int = 3) -> str:
    """A plain decimal; a dash for ``None``."""
    if value is None:
        return DASH
    text = f"{abs(value):.{digits}f}"
    return f"{MINUS if value < 0 and float(text) != 0 else ''}{text}"


def count(value: Any) -> str:
    """A whole number with thin spaces between thousands; a dash for ``None``."""
    known = number(value)
    return DASH if known is None else f"{known:,.0f}".replace(",", NARROW)


def interval(shown: Figure, kind: str = "percent") -> str:
    """The 95 % interval as ``70–78 %``, or empty where there is none."""
    if shown.low is None or shown.high is None:
        return ""
    if kind != "percent":
        return f"{decimal(shown.low)}–{decimal(shown.high)}"
    digits = 1 if shown.high < 0.0995 or shown.high - shown.low < 0.02 else 0
    low, high = percent(shown.low, digits), percent(shown.high, digits)
    return f"{low.removesuffix(f'{NARROW}%')}–{high}"


def _text(raw: Any) -> str:
    return raw if isinstance(raw, str) else ""
