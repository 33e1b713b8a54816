"""What is there: encoders and identifiers, and what each needs; and the sample arena."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from whodrew.encoders.registry import ENCODERS
from whodrew.identify.registry import IDENTIFIERS
from whodrew.registry import Listed, Registry


@dataclass(frozen=True)
class Drawn:
    """The sample arena that was drawn.

    Attributes:
        directory: where it lies.
        seed: what every picture was seeded with.
        models: painters.
        prompts: prompts.
        generations: images a cell.
        images: all of them.
        seconds: how long it took.
    """

    directory: Path
    seed: int
    models: int
    prompts: int
    generations: int
    images: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {**asdict(self), "directory": str(self.directory)}


def _all(registry: Registry[Any]) -> list[Listed]:
    return [Listed.of(entry) for entry in registry.entries()]


def encoders() -> list[Listed]:
    """Returns every encoder, ours and third parties'."""
    return _all(ENCODERS)


def identifiers() -> list[Listed]:
    """Returns every identifier, ours and third parties'."""
    return _all(IDENTIFIERS)


def sample(
    directory: str | Path,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Drawn:
    """Draws the sample arena: procedural painters in place of models.

    Args:
        directory: a new or empty folder.
        seed: seeds every picture.
        workers: processes that draw; one a processor when ``None``.
        progress: told (drawn, total).

    Returns:
        Where it lies, and counts of what was drawn.

    Raises:
        InputError: the folder holds something else.
    """
    from whodrew.arena.sample import draw_sample

    found = draw_sample(Path(directory), seed=seed, workers=workers, progress=progress)
    return Drawn(seed=seed, **asdict(found))
