"""The painters, by kind; importing this registers them all."""

from __future__ import annotations

from . import flat, light, line, wet

__all__ = ["flat", "light", "line", "wet"]
