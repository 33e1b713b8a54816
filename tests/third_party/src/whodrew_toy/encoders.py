"""Encoders: one that stands alone, and a family that takes an argument."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whodrew.encoders.base import EncoderCard, Pixels, Vectors
from whodrew.errors import UsageError


class MeanColour:
    """Six numbers: mean and deviation of each channel."""

    card = EncoderCard(
        name="whodrew-toy/mean-colour",
        revision="1",
        dimension=6,
        scale="standardise",
        preprocessing="native pixels",
    )

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        """Encodes images (height, width, 3) of uint8 RGB as (n, 6)."""
        found = [np.concatenate([one.mean((0, 1)), one.std((0, 1))]) for one in images]
        return np.array(found, dtype=np.float32).reshape(len(images), 6)


class Tiles:
    """``whodrew-toy/tiles:N``: mean colours of N times N tiles."""

    def __init__(self, argument: str = "") -> None:
        if not argument.isdecimal() or not 1 <= int(argument) <= 16:
            raise UsageError(f"whodrew-toy/tiles:{argument}: give a number of tiles, 1 to 16")
        self._count = int(argument)
        self.card = EncoderCard(
            name=f"whodrew-toy/tiles:{argument}",
            revision="1",
            dimension=3 * self._count**2,
            scale="standardise",
            preprocessing=f"native pixels, {argument} by {argument} tiles",
        )

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        """Encodes images as (n, 3 N²)."""
        return np.stack([self._one(image) for image in images])

    def _one(self, image: Pixels) -> Vectors:
        tiles = [
            tile.mean((0, 1))
            for row in np.array_split(image, self._count, axis=0)
            for tile in np.array_split(row, self._count, axis=1)
        ]
        return np.concatenate(tiles).astype(np.float32)
