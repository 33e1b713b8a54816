"""Scorers of pictures, and whether a ranking by one stays when pictures are defended.

A scorer stands in for the people an arena asks. Whodrew ships two plain ones, of low-level
qualities; what predicts people's votes comes from elsewhere, by the entry-point group
``whodrew.scorers``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from whodrew.arena import Pixels
from whodrew.errors import UsageError
from whodrew.ranking import Agreement, Ranking, kendall, kendall_by_prompt
from whodrew.registry import Entry, Registry

Doubles = npt.NDArray[np.float64]


@runtime_checkable
class Scorer(Protocol):
    """Says how good pictures are, called from several threads."""

    def score(self, images: Sequence[Pixels], prompts: Sequence[str]) -> Sequence[float]:
        """Returns a finite number for each picture, higher for better.

        Args:
            images: n arrays (height, width, 3) of uint8 RGB.
            prompts: n texts, or prompt ids where texts are not known.
        """
        ...


SCORERS: Registry[Callable[[], Scorer]] = Registry(
    "scorer",
    "whodrew.scorers",
    (
        Entry(
            "colourfulness",
            "Hasler and Süsstrunk's measure; no judge of pictures",
            "whodrew.defend.scorers:Colourfulness",
        ),
        Entry(
            "sharpness",
            "log mean square of the Laplacian; no judge of pictures",
            "whodrew.defend.scorers:Sharpness",
        ),
    ),
)


class Colourfulness:
    """Hasler and Süsstrunk, Measuring colourfulness in natural images (2003), M(3)."""

    def score(self, images: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """Returns the measure of each picture."""
        return [self._one(image) for image in images]

    def _one(self, image: Pixels) -> float:
        r, g, b = np.moveaxis(image.astype(np.float32), 2, 0)
        first, second = r - g, 0.5 * (r + g) - b
        spread = np.hypot(first.std(dtype=np.float64), second.std(dtype=np.float64))
        middle = np.hypot(first.mean(dtype=np.float64), second.mean(dtype=np.float64))
        return float(spread + 0.3 * middle)


class Sharpness:
    """Log mean square of the four-neighbour Laplacian of the mean of R, G and B."""

    def score(self, images: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """Returns the measure of each picture; 0 where it is smaller than 3 × 3."""
        return [self._one(image) for image in images]

    def _one(self, image: Pixels) -> float:
        if min(image.shape[:2]) < 3:
            return 0.0
        grey = image.mean(axis=2, dtype=np.float32)
        around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        edges = around - 4 * grey[1:-1, 1:-1]
        return float(np.log(np.square(edges).mean(dtype=np.float64) + 1e-3))


def get_scorer(name: str) -> Scorer:
    """Returns the scorer called ``name``.

    Raises:
        UsageError: no scorer has that name (the message lists the nearest), or a third
            party's is broken.
    """
    made = SCORERS.make(name)
    if not isinstance(made, Scorer):
        raise UsageError(f"scorer {name!r} has no method 'score': tell its authors")
    return made


def scored(scorer: Scorer, name: str, image: Pixels, prompt: str) -> float:
    """Returns one picture's score.

    Raises:
        UsageError: the scorer fails, or gives anything but one finite number.
    """
    try:
        (value,) = scorer.score([image], [prompt])
        found = float(value)
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(f"scorer {name!r} fails: {told}") from error
    if not np.isfinite(found):
        raise UsageError(f"scorer {name!r} gave {found}, which is no finite number")
    return found


@dataclass(frozen=True)
class Standing:
    """Whether the order of models by a scorer stays when their pictures are defended.

    Attributes:
        scorer: its name.
        tau: Kendall's tau-b between the two orders, prompts resampled.
        votes: agreement of each order with the votes, undefended and defended; ``None``
            where no votes were given.
    """

    scorer: str
    tau: Agreement
    votes: tuple[Agreement, Agreement] | None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {"scorer": self.scorer, "tau": self.tau.to_dict()}
        if self.votes is None:
            return {**values, "votes": None, "votes_reason": "no votes given: --votes FILE"}
        before, after = (one.to_dict() for one in self.votes)
        return {**values, "votes": {"undefended": before, "defended": after}}


def standing(
    name: str,
    before: Doubles,
    after: Doubles,
    models: Sequence[str],
    prompts: Sequence[str],
    votes: Ranking | None,
    seed: int,
) -> Standing:
    """Compares the orders of models by a scorer before and after a defence.

    Args:
        name: the scorer.
        before: (N,) scores of the images as they are.
        after: (N,) scores of the images as shown.
        models: N names.
        prompts: N prompt ids.
        votes: an honest ranking by votes, where there is one.
        seed: of the resamples.
    """
    names, model = np.unique(np.asarray(models, dtype=np.str_), return_inverse=True)
    texts, prompt = np.unique(np.asarray(prompts, dtype=np.str_), return_inverse=True)
    cells = []
    for scores in (before, after):
        total = np.zeros((len(texts), len(names)))
        count = np.zeros_like(total)
        np.add.at(total, (prompt, model), scores)
        np.add.at(count, (prompt, model), 1)
        cells.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    agreed = None
    if votes is not None:
        means = [dict(zip(names.tolist(), np.nanmean(one, axis=0), strict=True)) for one in cells]
        first, second = (kendall(votes, one, seed=seed) for one in means)
        agreed = first, second
    return Standing(name, kendall_by_prompt(*cells, seed=seed), agreed)
