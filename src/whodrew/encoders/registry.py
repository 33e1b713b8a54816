"""The registry of encoders."""

from __future__ import annotations

from collections.abc import Callable

from whodrew.encoders.base import Encoder
from whodrew.registry import Entry, Registry

ENCODERS: Registry[Callable[[], Encoder]] = Registry(
    "encoder",
    "whodrew.encoders",
    (
        Entry(
            "fingerprint",
            "low-level statistics of the pixels; no weights, no download",
            "whodrew.encoders.fingerprint:Fingerprint",
        ),
    ),
)


def get_encoder(name: str) -> Encoder:
    """Returns the encoder called ``name``, ready to encode.

    Raises:
        UsageError: no encoder has that name; the message lists the nearest.
    """
    return ENCODERS.get(name)()
