"""What an encoder is: image in, vector out, and a card that says how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]
Scale = Literal["unit", "standardise"]


@dataclass(frozen=True)
class EncoderCard:
    """Names an encoder so exactly that two equal cards give equal vectors.

    Attributes:
        name: the name users type.
        revision: version of the weights or of the algorithm.
        dimension: length of the vector.
        scale: ``unit`` (compared by cosine as it stands) or ``standardise`` (each
            column is z-scored on reference prompts before it is compared).
        preprocessing: everything done to pixels before encoding, canonical form included.
        dtype: dtype the store keeps.
        input_size: side in pixels the encoder resizes to; ``None`` takes native pixels.
        licence: SPDX id of the weights or the algorithm.
        summary: one line for people.
    """

    name: str
    revision: str
    dimension: int
    scale: Scale
    preprocessing: str
    dtype: Literal["float16", "float32"] = "float32"
    input_size: int | None = None
    licence: str = "Apache-2.0"
    summary: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns the card as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EncoderCard:
        """Builds a card from what ``to_dict`` gave, ignoring keys it does not know."""
        known = {key: values[key] for key in cls.__dataclass_fields__ if key in values}
        return cls(**known)


@runtime_checkable
class Encoder(Protocol):
    """Turns images into vectors."""

    @property
    def card(self) -> EncoderCard:
        """The card of what ``encode`` computes."""
        ...

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        """Encodes a batch.

        Args:
            images: n arrays (height, width, 3) of uint8 RGB, sizes may differ; contiguous,
                unless the encoder has an attribute ``takes_views`` that is true: then of any
                strides, and read-only.

        Returns:
            Array (n, dimension), finite, float32.
        """
        ...
