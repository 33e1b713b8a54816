"""``universal``: one change for each model, found once, added when a picture is served."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import ClassVar, cast

import numpy as np
import numpy.typing as npt

from whodrew.arena import Pixels
from whodrew.defend.base import Example, Shown, State
from whodrew.defend.perturb import budget_of, checked
from whodrew.defend.perturb_budget import kept_within
from whodrew.defend.perturb_goals import named
from whodrew.defend.picture import Picture
from whodrew.defend.plain import check
from whodrew.errors import InputError, MissingExtraError, UsageError


@dataclass(frozen=True, eq=False)
class Tiles:
    """The changes that were found.

    Attributes:
        models: names of the M models.
        changes: (M, size, size, 3) int8, in 255ths.
    """

    models: tuple[str, ...]
    changes: npt.NDArray[np.int8]


def covering(tile: npt.NDArray[np.int8], height: int, width: int) -> npt.NDArray[np.int8]:
    """Repeats a tile (size, size, 3) from the upper left until it covers (height, width, 3)."""
    size = len(tile)
    wide = np.tile(tile, (-(-height // size), -(-width // size), 1))
    return wide[:height, :width]


@dataclass(frozen=True)
class Universal:
    """Adds to each picture the change of its model (Moosavi-Dezfooli et al., arXiv 1610.08401).

    Fitting needs torch; serving is one addition, and needs numpy alone. The change is the
    same for all pictures of a model, and no secret: an attacker whose references are
    defended too can learn it.

    Attributes:
        eps: largest change in 255ths; for ``l2`` the root mean square over all values.
        norm: ``linf`` or ``l2``.
        steps: of the descent, for each model; each sees one picture.
        size: side of the tile that is repeated over the picture, in pixels.
        encoders: names joined by ``|``.
        objective: as for ``perturb``; with ``decoy`` each model is moved to the next in a
            fixed random circle.
        eot: whether steps see random re-encodings.
    """

    eps: float = 6.0
    norm: str = "linf"
    steps: int = 60
    size: int = 128
    encoders: str = "efficientnet-lite0|fingerprint"
    objective: str = "crowd"
    eot: bool = True
    _tiles: Tiles | None = field(default=None, repr=False, compare=False)
    name: ClassVar[str] = "universal"
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        # who serves what was fitted elsewhere needs no encoders
        with suppress(MissingExtraError):
            checked(self.name, self.eps, self.norm, self.objective, self.encoders)
        check("universal steps", self.steps, 1, 100_000, "steps")
        check("universal size", self.size, 16, 2048, "pixels")

    @property
    def sees(self) -> tuple[str, ...]:
        """The encoders it is found through."""
        return named(self.encoders)

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Largest change, or root mean square, of 255."""
        return budget_of(self.eps, self.norm)

    @property
    def fitted(self) -> bool:
        """Whether it has seen the arena."""
        return self._tiles is not None

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Universal:
        """Returns the stage with a change for each model, found in several passes.

        Raises:
            UsageError: an encoder has no gradients, or there are fewer than two models.
            MissingExtraError: torch is not installed.
        """
        if find_spec("torch") is None:
            raise MissingExtraError("fitting universal", "torch")
        from whodrew.defend.torch_descent import Norm
        from whodrew.defend.torch_universal import Search

        search = Search(
            eps=self.eps,
            norm=cast(Norm, self.norm),
            steps=self.steps,
            size=self.size,
            objective=self.objective,
            eot=self.eot,
        )
        models, changes = search(examples, named(self.encoders))
        return replace(self, _tiles=Tiles(models, changes))

    def state(self) -> State:
        """Returns the changes, as arrays."""
        tiles = self._known
        return {"models": np.array(tiles.models), "changes": tiles.changes}

    def with_state(self, state: State) -> Universal:
        """Returns the stage as ``fit`` left it.

        Raises:
            InputError: the arrays are damaged, or exceed the budget.
        """
        try:
            models = tuple(str(one) for one in state["models"])
            changes = np.asarray(state["changes"])
        except (KeyError, TypeError) as error:
            raise InputError(f"what universal learnt is damaged ({error}): fit again") from error
        shape = (len(models), self.size, self.size, 3)
        if changes.dtype != np.int8 or changes.shape != shape:
            raise InputError(
                f"what universal learnt is damaged: changes are {changes.dtype} "
                f"{changes.shape}, not int8 {shape}: fit again"
            )
        if self.norm == "linf" and np.abs(changes.astype(np.int16)).max(initial=0) > self.eps:
            raise InputError(f"what universal learnt exceeds eps={self.eps:g}: fit again")
        return replace(self, _tiles=Tiles(models, changes))

    @property
    def _known(self) -> Tiles:
        if self._tiles is None:
            raise UsageError("universal must see the arena first: fit it, or load its profile")
        return self._tiles

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the changed picture, of any size.

        Raises:
            UsageError: the picture's model is not given, or was not seen in fit.
        """
        tiles = self._known
        if shown.model is None:
            raise UsageError("universal must know which model drew each picture: name it")
        if shown.model not in tiles.models:
            raise UsageError(
                f"universal has not seen model {shown.model!r}: fit it on an arena that has it"
            )
        pixels = picture.pixels
        tile = tiles.changes[tiles.models.index(shown.model)]
        change = covering(tile, *pixels.shape[:2])
        return Picture.of(self._added(pixels, change))

    def _added(self, pixels: Pixels, change: npt.NDArray[np.int8]) -> Pixels:
        if self.norm == "l2":
            # where only part of a tile is seen, its mean square may be larger
            return kept_within(pixels, change.astype(np.float32), self.eps, self.norm)
        found = np.add(pixels, change, dtype=np.int16, casting="unsafe")
        return np.clip(found, 0, 255, out=found).astype(np.uint8)
