"""How much may be held in memory, and whether the disk has room for the rest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import numpy as np

from whodrew.errors import InputError, UsageError

MEMORY: Final = "WHODREW_MEMORY"
#: Vectors held in memory at most, as float32, where the environment does not say: MiB. Little,
#: for a shelf is as quick: 147,840 x 768 numbers are read from one in 0.04 s.
HELD: Final = 256
_MIB: Final = 1 << 20
#: Left free on the disk, for whatever else writes there.
_MARGIN: Final = 64 * _MIB


def memory_budget() -> int:
    """Returns how many bytes of vectors (as float32) may be held; above, they are shelved.

    ``WHODREW_MEMORY`` says so in MiB; 256 where it is not set.

    Raises:
        UsageError: it is no number of MiB.
    """
    text = os.environ.get(MEMORY, "").strip() or str(HELD)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < np.inf:
        raise UsageError(f"{MEMORY} is {text!r}: give a number of MiB, such as {HELD}")
    return int(value * _MIB)


def check_room(folder: Path, needed: int) -> None:
    """Refuses to fill a disk.

    Args:
        folder: where scratch files are to lie.
        needed: bytes.

    Raises:
        InputError: there is less room.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
    if free < needed + _MARGIN:
        raise full(folder, needed, free)


def full(folder: Path, needed: int, free: int) -> InputError:
    """Returns the error of a disk without room."""
    return InputError(
        f"sorting the embeddings needs {needed / 1e9:.1f} GB of scratch space in {folder}, which "
        f"has {free / 1e9:.1f} GB: free some, write to another disk, or set {MEMORY} (MiB) to "
        "more than the vectors take"
    )
