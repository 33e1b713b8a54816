"""The one place that touches numba, which ships no types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba  # type: ignore[import-untyped,unused-ignore]

F = TypeVar("F", bound=Callable[..., object])


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
    return cast(
        "Callable[[F], F]", numba.njit(signature, cache=True, nogil=True, error_model="numpy")
    )


def inlined(function: F) -> F:
    """Marks a piece of a kernel's loop, which becomes part of every kernel that has it.

    It is compiled with them, so that a process which finds them in the cache has nothing to load.
    """
    return cast("F", numba.njit(nogil=True, error_model="numpy", forceinline=True)(function))


def called(function: F) -> F:
    """Marks what kernels call, compiled with each of them, for each constant it is given."""
    return cast("F", numba.njit(nogil=True, error_model="numpy")(function))
