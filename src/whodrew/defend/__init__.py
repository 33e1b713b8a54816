"""The defence room: what is changed before an image is shown, and what that is worth."""

from __future__ import annotations

from whodrew.callable_package import make_callable
from whodrew.defend.base import Example, Learns, Secret, Shown, Stage
from whodrew.defend.defence import Defence
from whodrew.defend.picture import Picture
from whodrew.defend.registry import DEFENCES
from whodrew.defend.served import Served

__all__ = [
    "DEFENCES",
    "Defence",
    "Example",
    "Learns",
    "Picture",
    "Secret",
    "Served",
    "Shown",
    "Stage",
]

make_callable(__name__, "whodrew.defend.arena_job:defend")
