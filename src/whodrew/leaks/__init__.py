"""The leaks room: what an image file gives away besides its pixels."""

from __future__ import annotations

from whodrew.callable_package import make_callable
from whodrew.leaks.job import leaks
from whodrew.leaks.read import read_container
from whodrew.leaks.result import ByteSize, Leak, Leaks

__all__ = ["ByteSize", "Leak", "Leaks", "leaks", "read_container"]

make_callable(__name__, "whodrew.leaks.job:leaks")
