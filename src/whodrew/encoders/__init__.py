"""The encoders room: image in, vector out. Calling the package lists what there is."""

from __future__ import annotations

from whodrew.callable_package import make_callable

make_callable(__name__, "whodrew.audit.listing:encoders")
