"""The sample models: which styles each draws in, what it leaves in the pixels, how it saves.

The names are ours; no product bears them. A model has a house style and at times draws in another,
which some other model has as its own: neither style nor container settles who drew a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from .containers import Container
from .decoder import Trace
from .effects import Hand

_COMMON = Container()


@dataclass(frozen=True)
class Model:
    """One sample model.

    Attributes:
        name, family: relatives share the family.
        styles: name of a painter and its share of the pictures; shares sum to 1.
        hand: how it wields them.
        trace: what it leaves in the pixels.
        container: how it saves.
        leaks: what its container gives away, in words; empty for the common container.
    """

    name: str
    family: str
    styles: tuple[tuple[str, float], ...]
    hand: Hand
    trace: Trace
    container: Container = _COMMON
    leaks: tuple[str, ...] = ()


_ALL = (
    Model(
        "marlow-1",
        "marlow",
        (("photo", 0.75), ("oil", 0.25)),
        Hand(),
        Trace(11, grid=0.6, grain=1.5, coarse=0.35, halo=0.1),
    ),
    Model(
        "marlow-1-turbo",
        "marlow",
        (("photo", 0.75), ("oil", 0.25)),
        Hand(saturation=1.1, contrast=1.04, texture=0.85),
        Trace(11, grid=0.75, grain=1.1, coarse=0.4, halo=0.2),
    ),
    Model(
        "saltbox-2",
        "saltbox",
        (("oil", 0.65), ("pastel", 0.35)),
        Hand(warmth=0.012),
        Trace(23, grid=0.8, grain=1.0, coarse=0.2, halo=0.3, wave=(80.0, 0.0)),
    ),
    Model(
        "umberfield",
        "umberfield",
        (("oil", 0.45), ("watercolour", 0.3), ("photo", 0.25)),
        Hand(saturation=0.88, warmth=0.03, stroke=1.2),
        Trace(37, grid=0.5, grain=1.3, coarse=0.5, scale=0.875),
    ),
    Model(
        "dewpond-xl",
        "dewpond",
        (("watercolour", 0.7), ("pastel", 0.3)),
        Hand(saturation=1.05),
        Trace(41, grid=0.6, grain=0.9, chroma=0.9, wave=(0.0, 80.0)),
        Container("WEBP", "webp", 384, 272, quality=90),
        ("format WEBP", "size 384x272"),
    ),
    Model(
        "thistledown",
        "thistledown",
        (("pastel", 0.65), ("watercolour", 0.35)),
        Hand(saturation=0.94, texture=1.15),
        Trace(53, grid=0.7, grain=1.2, coarse=0.3, halo=0.05, wave=(40.0, 40.0)),
        Container(profile=True),
        ("ICC profile sRGB",),
    ),
    Model(
        "cuttlebone",
        "cuttlebone",
        (("ink", 0.7), ("woodcut", 0.3)),
        Hand(),
        Trace(67, grid=0.7, grain=0.9, halo=0.2),
        Container("PNG", "png", parameters=True),
        ("format PNG", "PNG text chunk 'parameters'"),
    ),
    Model(
        "broadsheet-4",
        "broadsheet",
        (("woodcut", 0.45), ("poster", 0.35), ("ink", 0.2)),
        Hand(saturation=1.08),
        Trace(71, grid=0.5, grain=0.7, halo=0.1, chroma=0.2),
        Container("PNG", "png"),
        ("format PNG",),
    ),
    Model(
        "lanternfish",
        "lanternfish",
        (("neon", 0.7), ("poster", 0.3)),
        Hand(saturation=1.1),
        Trace(83, grid=0.6, grain=1.0, chroma=0.8, scale=0.9375),
        Container(
            width=400, height=400, quality=85, subsampling=2, software="Lanternfish Studio 3.2"
        ),
        (
            "EXIF Software 'Lanternfish Studio 3.2'",
            "size 400x400",
            "JPEG quality 85, subsampling 4:2:0",
        ),
    ),
    Model(
        "gridlark",
        "gridlark",
        (("pixel", 0.4), ("low-poly", 0.35), ("poster", 0.25)),
        Hand(),
        Trace(97, grid=0.5, grain=0.8, halo=0.0, wave=(80.0, 80.0)),
        Container(quality=85, subsampling=2),
        ("JPEG quality 85, subsampling 4:2:0",),
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _ALL}

BUILT_IN_LEAKS: dict[str, list[str]] = {model.name: list(model.leaks) for model in _ALL}
"""What each container gives away, on purpose; the models with an empty list share one container."""
