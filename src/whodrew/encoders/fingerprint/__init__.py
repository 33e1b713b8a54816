"""The ``fingerprint`` encoder: low-level statistics of native pixels, no weights at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whodrew.encoders.base import EncoderCard, Pixels, Vectors
from whodrew.encoders.fingerprint.layout import DIMENSION, FAMILIES, SIZES

__all__ = ["CARD", "DIMENSION", "FAMILIES", "SIZES", "Fingerprint"]

CARD = EncoderCard(
    name="fingerprint",
    revision="1",
    dimension=DIMENSION,
    scale="standardise",
    preprocessing="native pixels; RGB to YCbCr (BT.601, full range, integers)",
    summary="low-level statistics of the pixels; no weights, no download",
)


class Fingerprint:
    """Measures native pixels; equal pixels give equal vectors, whatever the batch or process."""

    takes_views = True
    """``encode`` reads pixels where they are: four bytes apart as well as three, read-only."""

    @property
    def card(self) -> EncoderCard:
        """The card of what ``encode`` computes."""
        return CARD

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        """Encodes a batch.

        Args:
            images: n arrays (height, width, 3) of uint8 RGB, sizes may differ.

        Returns:
            Array (n, DIMENSION), finite, float32. Time O(pixels), each image by itself.

        Raises:
            ValueError: an image is empty or not (height, width, 3) of uint8.
        """
        # numba takes half a second to load: only those who encode wait for it.
        from whodrew.encoders.fingerprint.families import measure
        from whodrew.encoders.fingerprint.planes import planes

        out = np.empty((len(images), DIMENSION), np.float32)
        for row, image in zip(out, images, strict=True):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ValueError(
                    "an image must be (height, width, 3) of uint8, not empty; "
                    f"got {image.shape} of {image.dtype}"
                )
            found = measure(planes(image))
            row[:] = np.concatenate([found[name] for name in SIZES])
        return out
