"""What a third party's encoder must keep to, checked once before an arena is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from whodrew.encoders.base import EncoderCard

_SIZES = ((48, 64), (80, 56))


def fault_of(made: Any, name: str) -> str | None:
    """Says what is wrong with an encoder; ``None`` where nothing is.

    Two small images of noise are encoded: a wrong shape concerns every image, and is said
    once here rather than for each of them.

    Args:
        made: what the factory made.
        name: what the user typed.
    """
    card = getattr(made, "card", None)
    if not isinstance(card, EncoderCard):
        return f"its card is {card!r}, not an EncoderCard"
    if card.name != name:
        return f"its card is called {card.name!r}, must be called {name!r}"
    if type(card.dimension) is not int or card.dimension < 1:
        return f"its card says dimension={card.dimension!r}"
    if card.scale not in ("unit", "standardise") or card.dtype not in ("float16", "float32"):
        return f"its card says scale={card.scale!r}, dtype={card.dtype!r}"
    if not callable(getattr(made, "encode", None)):
        return "it has no method encode"
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*size, 3), np.uint8) for size in _SIZES]
    try:
        found = np.asarray(made.encode(noise), dtype=np.float32)
    except Exception as error:  # noqa: BLE001 - plug-ins raise anything
        return f"encode fails: {type(error).__name__}: {error}"
    if found.shape != (len(noise), card.dimension):
        wanted = (len(noise), card.dimension)
        return f"encode gave an array of shape {found.shape}, its card says {wanted}"
    if not np.isfinite(found).all():
        return "encode gave numbers that are not finite"
    return None
