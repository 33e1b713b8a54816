"""The embed room: an encoder over an arena, and the store of what it gave."""

from __future__ import annotations

from whodrew.callable_package import make_callable
from whodrew.embed.card import encoder_card
from whodrew.embed.pipeline import embed
from whodrew.embed.result import EmbedResult, Progress
from whodrew.embed.store import Scan, Store, open_store
from whodrew.embed.vectors import embedding_matrix

__all__ = [
    "EmbedResult",
    "Progress",
    "Scan",
    "Store",
    "embed",
    "embedding_matrix",
    "encoder_card",
    "open_store",
]

make_callable(__name__, "whodrew.embed.pipeline:embed")
