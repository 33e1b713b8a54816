"""What a defence is made of: stages, each a small change to a picture before it is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from whodrew.defend.picture import Picture
from whodrew.errors import UsageError

#: What a fitted stage knows, by name: saved beside the defence, and public.
State = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Secret:
    """Seeds a defence's draws; whoever has it can repeat them.

    Attributes:
        key: up to 64 bytes that only the operator has.
    """

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str | int) -> Secret:
        """Makes a secret of any text or number.

        Raises:
            UsageError: the text is empty.
        """
        if not str(text).strip():
            raise UsageError("the secret is empty: give a text that nobody guesses")
        return cls(hashlib.blake2b(str(text).encode(), digest_size=32).digest())

    def rng(self, identity: bytes, draw: int, place: int) -> np.random.Generator:
        """Returns the generator of one stage on one image.

        Args:
            identity: of the picture that is defended: its pixels, so that the same picture
                is always changed alike, whatever file it came in.
            draw: 0 for what is served; others are what somebody else would draw.
            place: the stage's place in its chain.
        """
        text = b"%d/%d/" % (draw, place) + identity
        seed = hashlib.blake2b(text, digest_size=16, key=self.key).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(seed, "little")))


@dataclass(frozen=True)
class Shown:
    """What a stage may know of one picture besides its pixels.

    Attributes:
        make_rng: gives the stage's own generator.
        model: the model that drew it, which the operator knows.
        prompt_id: its prompt.
    """

    make_rng: Callable[[], np.random.Generator]
    model: str | None = None
    prompt_id: str | None = None

    @cached_property
    def rng(self) -> np.random.Generator:
        """The stage's own generator for this picture, seeded by the operator's secret."""
        return self.make_rng()


@dataclass(frozen=True)
class Example:
    """A picture that a stage may learn from, as the stages before it leave it.

    Attributes:
        picture: the picture.
        model: the model that drew it, or ``None``.
        prompt_id: its prompt, or ``None``.
    """

    picture: Picture
    model: str | None = None
    prompt_id: str | None = None


@runtime_checkable
class Stage(Protocol):
    """One step of a defence: a frozen dataclass whose fields are what a SPEC may set.

    Its ``name`` is that in the registry.
    """

    name: ClassVar[str]

    @property
    def budget(self) -> dict[str, float | int | str]:
        """What it may change at most, in stated units: ``{"sigma_of_255": 2.0}``."""
        ...

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the changed picture."""
        ...


@runtime_checkable
class Learns(Protocol):
    """A stage that must see the arena before it can be used."""

    @property
    def fitted(self) -> bool:
        """Whether it has."""
        ...

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Stage:
        """Returns the stage fitted; ``examples()`` is one pass over the arena's pictures."""
        ...

    def state(self) -> State:
        """Returns what was learnt, as arrays."""
        ...

    def with_state(self, state: State) -> Stage:
        """Returns the stage as ``fit`` left it when ``state`` was taken."""
        ...
