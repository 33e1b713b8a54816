"""Which numbers of the vector belong to which family."""

from __future__ import annotations

SIZES: dict[str, int] = {
    "colour": 71,
    "blocks": 320,
    "spectrum": 289 * 2,
    "spectrum-chroma": 81 * 4,
    "patterns": 84 * 3,
    "runs": 39 * 6,
}
"""Numbers of each family, in the order of the vector."""


def _slices(sizes: dict[str, int]) -> dict[str, slice]:
    out, start = {}, 0
    for name, size in sizes.items():
        out[name] = slice(start, start + size)
        start += size
    return out


FAMILIES: dict[str, slice] = _slices(SIZES)
"""Family → its columns of the vector."""

DIMENSION: int = sum(SIZES.values())
"""Length of the vector."""
