"""What a frontier is measured with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whodrew.defend.scorers import SCORERS
from whodrew.encoders.registry import ENCODERS
from whodrew.errors import UsageError

UNSEEN: Final = "efficientnet-lite0"


@dataclass(frozen=True)
class FrontierOptions:
    """What a frontier is measured with.

    Attributes:
        encoders: what attackers look through; the first is the leading one.
        unseen: an encoder that no defence saw, where it is not among them; ``""`` for none.
        knowledge: ``matched``, ``other`` or ``auto``, one or several (``other``, and also
            ``matched`` where at least half of the cells hold two generations).
        shown: ``any``, ``each-once`` or ``auto``, one or several (both, where prompts show
            several models).
        draws: draws of the defence that the adaptive attacker makes of each reference.
        fewer: draws where an encoder is slow (every one but the leading) or images are
            purified.
        images: images measured at most, of whole prompts, seeded; 0 for all.
        models: models measured at most, seeded; 0 for all.
        quality: images whose quality is measured, seeded.
        folds: folds that whole prompts are dealt into, at most as many as there are prompts:
            an image meets what stages learnt from the other folds; 1 lets them learn from all.
        scorer: what scores pictures, to see whether its order of models stays; ``""`` for
            none.
        votes: a vote log, whose ranking the scorer's order is compared with.
        workers: threads.
        seed: seeds all of it.
    """

    encoders: tuple[str, ...] = ("fingerprint",)
    unseen: str = UNSEEN
    knowledge: str | tuple[str, ...] = "auto"
    shown: str | tuple[str, ...] = "auto"
    draws: int = 16
    fewer: int = 4
    images: int = 4000
    models: int = 0
    quality: int = 64
    folds: int = 4
    scorer: str = ""
    votes: str | Path | None = None
    workers: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuses options that cannot be served.

        Raises:
            UsageError: with the mend.
            MissingExtraError: an encoder needs modules that are not installed.
        """
        for name in self.encoders:
            ENCODERS.check(name)
        for name, value, least in (
            ("draws", self.draws, 1),
            ("fewer-draws", self.fewer, 1),
            ("quality-images", self.quality, 1),
            ("folds", self.folds, 1),
            ("images", self.images, 0),
            ("models", self.models, 0),
        ):
            if value < least:
                raise UsageError(f"--{name} {value} is less than {least}")
        if self.scorer:
            SCORERS.check(self.scorer)
        elif self.votes is not None:
            raise UsageError("--votes needs --scorer: votes are compared with its order of models")
        if self.models == 1:
            raise UsageError("--models 1 leaves nothing to tell apart: give at least 2")
