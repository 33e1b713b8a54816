"""Budgets that hold for what is shown: whole numbers from 0 to 255."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whodrew.arena import Pixels

Floats = npt.NDArray[np.floating]


def kept_within(pixels: Pixels, change: Floats, eps: float, norm: str) -> Pixels:
    """Adds a change and rounds, never past the budget.

    Args:
        pixels: (height, width, 3) uint8.
        change: of the same shape, in 255ths, any numbers.
        eps: the budget in 255ths: of any value for ``linf``; for ``l2`` the root mean square
            over all values.
        norm: ``linf`` or ``l2``.

    Returns:
        Array like ``pixels``. Time O(pixels), for ``l2`` O(pixels log pixels) where rounding
        alone would exceed the budget.
    """
    given: Floats = pixels.astype(np.float64)
    wanted: Floats = np.clip(given + change, 0, 255) - given
    if norm == "linf":
        most = np.floor(eps + 1e-9)
        whole: Floats = np.clip(np.rint(wanted), -most, most)
    else:
        size = np.sqrt(np.mean(wanted**2))
        whole = _rounded_within(wanted * (eps / max(size, eps)), eps)
    found: Pixels = (given + whole).astype(np.uint8)
    return found


def _rounded_within(wanted: Floats, eps: float) -> Floats:
    """Rounds to whole numbers whose root mean square is at most ``eps``.

    Where rounding made the change too large, what was rounded up most is rounded down
    instead, until it fits; all rounded down always does.
    """
    flat = wanted.ravel()
    whole = np.rint(flat)
    excess = float((whole * whole).sum()) - eps * eps * flat.size
    if excess > 0:
        up = np.abs(whole) - np.abs(flat)
        raised = np.flatnonzero(up > 0)
        order = raised[np.argsort(-up[raised], kind="stable")]
        saved = np.cumsum(2 * np.abs(whole[order]) - 1)
        lowered = order[: int(np.searchsorted(saved, excess)) + 1]
        whole[lowered] -= np.sign(whole[lowered])
    return whole.reshape(wanted.shape)
