"""The object that ``whodrew identify`` gives for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whodrew.identify.knowledge import Knowledge


@dataclass(frozen=True)
class Identification:
    """What was answered for one image.

    Attributes:
        image: the file.
        answer: a model, or ``unknown``.
        reason: why, in one line.
        ranked: (model, calibrated probability), the likeliest first.
        knowledge: what the answer rests on.
        nearest: the most similar references.
        bad: whether the image could not be read.
    """

    image: str
    answer: str
    reason: str
    ranked: tuple[tuple[str, float], ...]
    knowledge: Knowledge
    nearest: tuple[dict[str, Any], ...]
    bad: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "image": self.image,
            "answer": self.answer,
            "reason": self.reason,
            "ranked": [
                {"model": model, "probability": probability} for model, probability in self.ranked
            ],
            "knowledge": self.knowledge.to_dict(),
            "nearest": list(self.nearest),
        }
