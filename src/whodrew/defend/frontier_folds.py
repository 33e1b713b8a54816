"""Which profile of a defence each image meets: one that was learnt without its prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from whodrew.arena import Arena
from whodrew.defend.arena_work import examples
from whodrew.defend.defence import Defence
from whodrew.embed.files import write_kept
from whodrew.errors import InputError, UsageError
from whodrew.identify.samples import Ints

#: Where the stages of a defence learnt what an image meets.
APART: Final = "other prompts"
WITHIN: Final = "the same images"


@dataclass(frozen=True)
class Fitted:
    """A defence as each image meets it.

    Attributes:
        profiles: the defence, fitted, once for each set of prompts that it learnt from.
        which: (N,) the one of them that each image meets.
        learnt_from: ``other prompts``, ``the same images``, or ``None`` where no stage learns.
    """

    profiles: tuple[Defence, ...]
    which: Ints
    learnt_from: str | None

    @property
    def any(self) -> Defence:
        """The defence under one of its profiles: for what all have in common."""
        return self.profiles[0]

    def of(self, image: int) -> Defence:
        """Returns the defence that an image meets, in all its draws."""
        return self.profiles[int(self.which[image])]

    def lone(self, models: Sequence[str]) -> tuple[str, ...]:
        """Returns models that some profile never saw, though images of theirs meet it."""
        held: dict[str, set[int]] = {}
        for model, fold in zip(models, self.which.tolist(), strict=True):
            held.setdefault(model, set()).add(fold)
        several = len(self.profiles) > 1
        return tuple(sorted(model for model, folds in held.items() if several and len(folds) < 2))


def deal(prompts: Sequence[str], folds: int, seed: int) -> Ints:
    """Deals whole prompts into folds of about as many images.

    Seeded and greedy, whodrew's own: prompts of most images first, each into the fold that
    holds fewest, so that folds differ by no more than one prompt's images.

    Args:
        prompts: N prompt ids, one an image.
        folds: how many; at most as many as there are prompts.
        seed: of the order among prompts of as many images.

    Returns:
        (N,) fold of each image; no fold is empty.
    """
    counts = Counter(prompts)
    number = max(1, min(folds, len(counts)))
    shuffled = np.random.default_rng([seed, 24]).permutation(sorted(counts)).tolist()
    held = np.zeros(number, dtype=np.int64)
    fold: dict[str, int] = {}
    for prompt in sorted(shuffled, key=lambda one: -counts[one]):
        fold[prompt] = int(held.argmin())
        held[fold[prompt]] += counts[prompt]
    return np.array([fold[one] for one in prompts], dtype=np.int64)


def notes(asked: int, prompts: Sequence[str]) -> tuple[str, ...]:
    """Says, for people, from which images stages learn.

    Args:
        asked: folds.
        prompts: N prompt ids, one an image.
    """
    number = len(set(prompts))
    if min(asked, number) < 2:
        why = "there is one prompt" if asked > 1 else "--folds 1"
        return (f"{why}: stages learn from the very images they are measured on (in-sample)",)
    folds = min(asked, number)
    fewer = f" (--folds {asked}, but there are {number} prompts)" if asked > number else ""
    told = "stages that learn: each image meets what was learnt from the prompts of the other "
    return (f"{told}{folds - 1} of {folds} folds{fewer}",)


def fitted(
    defence: Defence,
    arena: Arena,
    fold: Ints,
    workers: int,
    told: Callable[[int, int], None],
    place: Callable[[Defence, Ints], Path],
) -> Fitted:
    """Fits a defence once for each fold, on the images of the others.

    Images of the fold that is left out are not even read. Cost: with F folds F fits, each
    on (F - 1) / F of the images, as often as stages pass over them; with one fold a single
    fit on all; nothing where no stage learns, or where all was learnt before.

    Args:
        defence: not fitted.
        arena: N images that can be read.
        fold: (N,) fold of each, as dealt.
        workers: threads that decode.
        told: told of fits done, and of how many.
        place: where a profile is kept that was learnt from some of the images.

    Raises:
        UsageError: a stage cannot learn from what the other folds show.
        InputError: a profile cannot be written.
    """
    none = np.zeros(len(fold), dtype=np.int64)
    if not defence.learns:
        return Fitted((defence,), none, None)
    number = int(fold.max(initial=0)) + 1
    found = []
    for one in range(number):
        others = np.flatnonzero(fold != one) if number > 1 else np.arange(len(fold))
        try:
            found.append(_fitted(defence, arena.take(others), workers, place(defence, others)))
        except UsageError as error:
            if number < 2:
                raise
            raise UsageError(
                f"{error}; {defence.spec} learns from the prompts of {number - 1} of {number} "
                "folds: --folds 1 lets it learn from all"
            ) from error
        told(one + 1, number)
    return Fitted(tuple(found), fold, APART if number > 1 else WITHIN)


def _fitted(defence: Defence, arena: Arena, workers: int, file: Path) -> Defence:
    """Returns a defence as it was fitted before, else fits it and keeps what it learnt."""
    with suppress(InputError):  # missing or damaged
        return defence.with_profile(file)
    done = defence.fit(partial(examples, arena, workers))
    profile = done.profile()
    write_kept(file, lambda sink: sink.write(profile))
    return done
