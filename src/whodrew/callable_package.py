"""Packages that are also commands: ``whodrew.audit`` is a room, ``whodrew.audit(...)`` a job."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, target: str) -> None:
    """Makes a package callable: calling it calls ``target``.

    Importing a room sets it as an attribute of ``whodrew``, where the function of the same
    name must be found too, whatever was imported before.

    Args:
        package: name of the package, which calls this while it is imported.
        target: ``module:function``, imported at the first call.
    """
    module, _, name = target.partition(":")

    class CallablePackage(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return getattr(import_module(module), name)(*args, **kwargs)

    sys.modules[package].__class__ = CallablePackage
