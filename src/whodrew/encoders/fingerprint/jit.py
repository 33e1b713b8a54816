"""The one place that touches numba, which ships no types."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, cast

import numba  # type: ignore[import-untyped,unused-ignore]

_caching: Any = import_module("numba.core.caching")
_runtime: Any = import_module("numba.core.runtime")

F = TypeVar("F", bound=Callable[..., object])


class _Cache(_caching.FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, without what only compiling needs.

    Before it looks for a function, numba loads all that it could compile, and scipy.linalg with
    it: 0.6 seconds of every process that only wants what is there. Where there is nothing, the
    compiler loads all that by itself.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Returns the compiled function, or ``None`` where there is none."""
        try:
            _runtime.rtsys.initialize(target_context)  # arrays that kernels make
            found = None
            with self._guard_against_spurious_io_errors():
                found = self._load_overload(sig, target_context)
            return found  # noqa: RET504 - None where the guard kept an error to itself
        except AttributeError:  # another numba, other names within
            return super().load_overload(sig, target_context)


def compiled(signature: str) -> Callable[[F], F]:
    """Compiles a function for one signature, once per machine (cached on disk).

    No fast mathematics: every kernel sums integers, or floats in the order written, so its result
    does not depend on the processor or on the number of threads. The lock of the interpreter is
    released, so that threads run over images in parallel. Division by zero is not tested for: no
    kernel divides by what may be zero.

    The cache notices changes of the function's own file only: what a kernel calls stands beside it.

    Args:
        signature: the types of the arguments and of the result, in numba's notation.
    """

    def compile_(function: F) -> F:
        kernel: Any = numba.njit(nogil=True, error_model="numpy")(function)
        kernel._cache = _Cache(function)  # as cache=True does with numba's own
        kernel.compile(signature)
        kernel.disable_compile()
        return cast("F", kernel)

    return compile_


def inlined(function: F) -> F:
    """Marks a piece of a kernel's loop, which becomes part of every kernel that has it.

    It is compiled with them, so that a process which finds them in the cache has nothing to load.
    """
    return cast("F", numba.njit(nogil=True, error_model="numpy", forceinline=True)(function))


def called(function: F) -> F:
    """Marks what kernels call, which is compiled with each of them."""
    return cast("F", numba.njit(nogil=True, error_model="numpy")(function))
