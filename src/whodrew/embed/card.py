"""The card of a store: which encoder wrote it, and how two cards differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from whodrew.embed.files import write_atomically
from whodrew.embed.places import Place
from whodrew.encoders.base import Encoder, EncoderCard
from whodrew.encoders.registry import get_encoder
from whodrew.errors import InputError, UsageError
from whodrew.machine import versions

CARD_FILE: Final = "card.json"
_CANONICAL_QUALITY: Final = 85
_SOFTWARE: Final = (
    "whodrew", "numpy", "scipy", "pillow", "pyarrow", "numba",
    "torch", "transformers", "onnxruntime",
)  # fmt: skip
# What makes two vectors comparable; the licence and the summary do not.
_TELLING: Final = (
    "name",
    "revision",
    "dimension",
    "scale",
    "preprocessing",
    "dtype",
    "input_size",
)


def encoder_card(encoder: Encoder | str, canonical: int | None = None) -> EncoderCard:
    """Returns the card under which vectors of ``encoder`` are stored.

    Args:
        encoder: an encoder or the name of one.
        canonical: side in pixels of the canonical form encoded instead of the image.

    Returns:
        The encoder's card, with the canonical form named first in ``preprocessing``.

    Raises:
        UsageError: no encoder has that name, or ``canonical`` is out of range.
    """
    card = (get_encoder(encoder) if isinstance(encoder, str) else encoder).card
    if canonical is None:
        return card
    if not 16 <= canonical <= 8192:
        raise UsageError(f"canonical size {canonical} is out of range: 16 to 8192 pixels")
    form = f"canonical {canonical}x{canonical} JPEG quality {_CANONICAL_QUALITY}"
    return replace(card, preprocessing=f"{form}; {card.preprocessing}")


def card_to_json(card: EncoderCard) -> dict[str, Any]:
    """Returns what ``card.json`` holds: the card, its name as ``encoder``, and software."""
    values = card.to_dict()
    return {
        "schema": "whodrew.store/1",
        "encoder": values.pop("name"),
        **values,
        "software": versions(_SOFTWARE),
    }


def card_from_json(values: Mapping[str, Any], where: str) -> EncoderCard:
    """Builds a card from what ``card.json`` holds.

    Args:
        values: the JSON object. Only ``encoder`` and ``dimension`` are needed; scale is
            ``unit`` where it is not given.
        where: the file, for messages.

    Raises:
        InputError: something needed is missing or of the wrong kind.
    """
    known: dict[str, Any] = {
        "revision": "unknown",
        "scale": "unit",
        "preprocessing": "unknown",
        "dtype": "float32",
        **values,
    }
    known["name"] = known.get("encoder") or known.get("name")
    if not isinstance(known["name"], str):
        raise InputError(f'{where} names no encoder: add "encoder": "<name>"')
    if known["scale"] not in ("unit", "standardise"):
        raise InputError(f"{where}: scale is {known['scale']!r}, must be 'unit' or 'standardise'")
    if known["dtype"] not in ("float16", "float32"):
        raise InputError(f"{where}: dtype is {known['dtype']!r}, must be 'float16' or 'float32'")
    if not isinstance(known.get("dimension"), int):
        raise InputError(f'{where} gives no dimension: add "dimension": <length of a vector>')
    return EncoderCard.from_dict(known)


def read_card(folder: Place, dimension: int | None = None) -> EncoderCard | None:
    """Reads the card of a store, ``None`` where it has none.

    Args:
        folder: the store.
        dimension: length of its vectors, for cards written by others that do not say.

    Raises:
        InputError: the card cannot be read.
    """
    file = folder / CARD_FILE
    try:
        values = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{file} is not a JSON object")
    if dimension is not None:
        values.setdefault("dimension", dimension)
    return card_from_json(values, str(file))


def write_card(folder: Place, card: EncoderCard) -> None:
    """Writes ``card.json``, whole or not at all."""
    text = json.dumps(card_to_json(card), indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / CARD_FILE, lambda sink: sink.write(text.encode()))


def card_difference(stored: EncoderCard, wanted: EncoderCard) -> str | None:
    """Says in one line how two cards differ, ``None`` where their vectors are comparable."""
    parts = [
        f"{name} {getattr(stored, name)!r} there, {getattr(wanted, name)!r} wanted"
        for name in _TELLING
        if getattr(stored, name) != getattr(wanted, name)
    ]
    return "; ".join(parts) or None
