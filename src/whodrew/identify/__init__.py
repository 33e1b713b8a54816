"""The identify room: who drew it? Calling the package names images.

``whodrew.identify(images, references=...)`` is ``whodrew identify`` in Python.
"""

from __future__ import annotations

from whodrew.callable_package import make_callable

make_callable(__name__, "whodrew.audit.naming:identify")
