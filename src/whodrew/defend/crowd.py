"""``crowd`` and ``colour-match``: low-level statistics moved to those of the crowd.

Whodrew's own. In closed form: an image's details of each scale and direction, in luma and
chroma, are scaled so that their energy comes nearer to the mean over the arena; tones and
colours likewise. No model is known to it, so that it treats all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from whodrew.defend.base import Example, Shown, Stage, State
from whodrew.defend.picture import Picture
from whodrew.defend.plain import check
from whodrew.defend.planes import LEVELS, Analysis, Change, analysed
from whodrew.errors import InputError, UsageError

#: Energy, of 255², below which a band counts as empty.
EMPTY = 0.01
#: Deviation, of 255, below which a plane counts as flat.
FLAT = 1.0

Doubles = npt.NDArray[np.float64]


def energies(found: Analysis) -> Doubles:
    """Returns (22,) log energies of the details of Y, Cb, Cr."""
    return np.log(np.concatenate(found.energy) + EMPTY)


def moments(found: Analysis) -> Doubles:
    """Returns (6,) means and log deviations of Y, Cb, Cr."""
    mean = found.planes.mean(axis=(1, 2), dtype=np.float64)
    deviation = found.planes.std(axis=(1, 2), dtype=np.float64)
    return np.concatenate([mean, np.log(deviation + FLAT)])


def mean_of(
    examples: Iterable[Example], measure: Callable[[Analysis], Doubles], name: str
) -> Doubles:
    """Returns the mean of a statistic over pictures; one pass, nothing held.

    Raises:
        InputError: there is no picture.
    """
    total: Any = 0.0
    count = 0
    for one in examples:
        if min(one.picture.size) >= 2:
            total = total + measure(analysed(one.picture.pixels))
            count += 1
    if not count:
        raise InputError(f"{name} has no image to learn from")
    return np.asarray(total / count)


@dataclass(frozen=True)
class Crowd:
    """Moves each image's band energies to the crowd's mean.

    Attributes:
        strength: 0 leaves an image as it is, 1 brings every energy to the mean.
        limit: largest factor of a detail, and smallest as 1 over it.
        colour: how far tones and colours go, as ``colour-match`` does.
    """

    strength: float = 0.5
    limit: float = 2.0
    colour: float = 0.0
    _crowd: Doubles | None = field(default=None, repr=False, compare=False)
    name: ClassVar[str] = "crowd"
    random: ClassVar[bool] = False
    sees: ClassVar[tuple[str, ...]] = ("fingerprint",)

    def __post_init__(self) -> None:
        check("crowd strength", self.strength, 0, 1, "of the way")
        check("crowd limit", self.limit, 1, 16, "times")
        check("crowd colour", self.colour, 0, 1, "of the way")

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Strength, largest factor, and how far colour goes."""
        return {"strength": self.strength, "largest_factor": self.limit, "colour": self.colour}

    @property
    def fitted(self) -> bool:
        """Whether the crowd is known."""
        return self._crowd is not None

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Stage:
        """Learns the mean energies and moments of the arena."""

        def both(found: Analysis) -> Doubles:
            return np.concatenate([energies(found), moments(found)])

        return replace(self, _crowd=mean_of(examples(), both, self.name))

    def state(self) -> State:
        """Returns ``crowd``, (28,)."""
        assert self._crowd is not None
        return {"crowd": self._crowd}

    def with_state(self, state: State) -> Stage:
        """Returns the stage as fitted."""
        return replace(self, _crowd=_read(state, 2 * sum(LEVELS) + 6, self.name))

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the picture nearer to the crowd. Time O(pixels)."""
        crowd = _known(self._crowd, self.name)
        if min(picture.size) < 2:
            return picture
        found = analysed(picture.pixels)
        own = np.concatenate([energies(found), moments(found)])
        far = crowd - own
        gains = np.exp(np.clip(0.5 * self.strength * far[:-6], *self._bounds))
        if self.colour:
            _move(found, self.colour, own[-6:], crowd[-6:])
        changes, at = [], 0
        for levels in LEVELS:
            some = gains[at : at + 2 * levels].astype(np.float32)
            changes.append(Change(some, np.zeros_like(some)))
            at += 2 * levels
        return Picture.of(found.made(changes, None))

    @property
    def _bounds(self) -> tuple[float, float]:
        most = float(np.log(self.limit))
        return -most, most


@dataclass(frozen=True)
class ColourMatch:
    """Moves mean and deviation of Y, Cb and Cr to the crowd's.

    Attributes:
        strength: 0 leaves an image as it is, 1 brings them to the mean.
    """

    strength: float = 0.5
    _crowd: Doubles | None = field(default=None, repr=False, compare=False)
    name: ClassVar[str] = "colour-match"
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check("colour-match strength", self.strength, 0, 1, "of the way")

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Strength."""
        return {"strength": self.strength}

    @property
    def fitted(self) -> bool:
        """Whether the crowd is known."""
        return self._crowd is not None

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Stage:
        """Learns the mean moments of the arena."""
        return replace(self, _crowd=mean_of(examples(), moments, self.name))

    def state(self) -> State:
        """Returns ``crowd``, (6,)."""
        assert self._crowd is not None
        return {"crowd": self._crowd}

    def with_state(self, state: State) -> Stage:
        """Returns the stage as fitted."""
        return replace(self, _crowd=_read(state, 6, self.name))

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the picture with tones and colours nearer to the crowd's."""
        crowd = _known(self._crowd, self.name)
        if min(picture.size) < 2:
            return picture
        found = analysed(picture.pixels)
        gains = _move(found, self.strength, moments(found), crowd)
        changes = [
            Change(np.full(2 * levels, gain, np.float32), np.zeros(2 * levels, np.float32))
            for levels, gain in zip(LEVELS, gains, strict=True)
        ]
        return Picture.of(found.made(changes, None))


def _move(found: Analysis, strength: float, own: Doubles, crowd: Doubles) -> Doubles:
    """Moves the coarsest bands of each plane toward the crowd's moments; returns the gains."""
    gains = np.exp(np.clip(strength * (crowd[3:] - own[3:]), -np.log(2), np.log(2)))
    for plane, gain in enumerate(gains.tolist()):
        rest = found.bands[plane][-1]
        rest -= np.float32(own[plane])
        rest *= np.float32(gain)
        rest += np.float32(own[plane] + strength * (crowd[plane] - own[plane]))
    return np.asarray(gains)


def _known(crowd: Doubles | None, name: str) -> Doubles:
    if crowd is None:
        raise UsageError(f"{name} must see the arena first: fit the defence, or load its profile")
    return crowd


def _read(state: State, size: int, name: str) -> Doubles:
    found = np.asarray(state.get("crowd", np.empty(0)))
    # text and objects are no numbers, whatever they could be turned into
    if found.dtype.kind not in "fiu" or found.shape != (size,) or not np.isfinite(found).all():
        raise InputError(f"the profile of {name} must hold {size} finite numbers called crowd")
    return found.astype(np.float64)
