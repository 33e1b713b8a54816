"""What the attacker knows, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Prompts = Literal["matched", "other"]
Shown = Literal["any", "each-once"]


@dataclass(frozen=True)
class Knowledge:
    """What the attacker has.

    Attributes:
        prompts: ``matched`` (references of the query's own prompt) or ``other``
            (references of other prompts only).
        models: ``all``, or the names of the models that the attacker has references of.
        references: ``all``, or how many references a cell gives at most.
        shown: ``any`` (each image is named alone) or ``each-once`` (the arena shows every
            model once a prompt, and the attacker names them together).
        centred: whether the mean of each prompt is removed first.
    """

    prompts: Prompts = "other"
    models: Literal["all"] | tuple[str, ...] = "all"
    references: Literal["all"] | int = "all"
    shown: Shown = "any"
    centred: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "prompts": self.prompts,
            "models": self.models if self.models == "all" else list(self.models),
            "references": self.references,
            "shown": self.shown,
            "centred": self.centred,
        }
