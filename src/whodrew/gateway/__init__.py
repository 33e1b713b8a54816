"""The gateway room: a defence in front of an image store, as ASGI middleware."""

from __future__ import annotations

from whodrew.gateway.blind import BlindImages
from whodrew.gateway.names import BlindNames, blind_name
from whodrew.gateway.work import Blinded, blind_image

__all__ = ["BlindImages", "BlindNames", "Blinded", "blind_image", "blind_name"]
