"""Which numbers of the vector belong to which family."""

from __future__ import annotations

SIZES: dict[str, int] = {
    "colour": 71,
    "clipping": 12,
    "tones": 16,
    "blocks": 4 * 64,
    "spectrum": 289 + 81 + 49,
    "spectrum-chroma": 4 * 81,
    "patterns": 5 * 84,
    "autocorrelation": 48,
    "borders": 48,
    "tails": 18,
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
