"""The scenes, one a file; importing this registers them all."""

from __future__ import annotations

from . import (
    balloon,
    bridge,
    cactus,
    cat,
    forest_path,
    koi_pond,
    lighthouse,
    market_stall,
    mountain_lake,
    neon_street,
    pears,
    planets,
    sailing_boat,
    snow_cabin,
    vase,
    windmill,
)

__all__ = [
    "balloon",
    "bridge",
    "cactus",
    "cat",
    "forest_path",
    "koi_pond",
    "lighthouse",
    "market_stall",
    "mountain_lake",
    "neon_street",
    "pears",
    "planets",
    "sailing_boat",
    "snow_cabin",
    "vase",
    "windmill",
]
