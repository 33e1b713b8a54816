"""A third party's identifier, watched: what it gives is checked, and its package is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from whodrew.errors import UsageError, WhodrewError
from whodrew.identify.base import Fitted, Identifier, Option, ScoresTogether
from whodrew.identify.library import Library
from whodrew.identify.problem import Block
from whodrew.identify.samples import Floats

T = TypeVar("T")
Blame = Callable[[str, BaseException | str], UsageError]


class Watched:
    """An identifier that raises one plain line where it breaks its contract.

    Args:
        inner: what the third party's factory made.
        blame: returns the error that names the package, from what went wrong and why.

    Raises:
        UsageError: it lacks something that every identifier has.
    """

    def __init__(self, inner: Any, blame: Blame) -> None:
        for name in ("name", "scatter", "by_fold", "options", "fit"):
            if not hasattr(inner, name):
                raise blame("breaks the contract of identifiers", f"it has no {name!r}")
        self._inner: Identifier = inner
        self._blame = blame
        self.name = str(inner.name)
        self.scatter = bool(inner.scatter)
        self.by_fold = bool(inner.by_fold)

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        """Returns what may be chosen, one option at least."""
        found = _guarded(lambda: tuple(self._inner.options(matched=matched)), self._blame)
        if not found or not all(isinstance(one, Option) for one in found):
            raise self._blame("breaks the contract of identifiers", f"options gave {found!r}")
        return found

    def fit(self, library: Library, without: frozenset[int], *, centred: bool) -> Fitted:
        """Fits it, watched."""
        fitted = _guarded(lambda: self._inner.fit(library, without, centred=centred), self._blame)
        watched = WatchedTogether if isinstance(fitted, ScoresTogether) else WatchedFitted
        return watched(fitted, len(library.samples.models), self._blame)


class WatchedFitted:
    """A fitted identifier whose scores are checked."""

    def __init__(self, inner: Any, models: int, blame: Blame) -> None:
        self._inner = inner
        self._models = models
        self._blame = blame

    def score(self, block: Block, options: tuple[Option, ...]) -> Floats:
        """Returns (options, n, M) scores, as every identifier's."""
        found = _guarded(lambda: self._inner.score(block, options), self._blame)
        return self._checked(found, (len(options), len(block.rows), self._models))

    def _checked(self, found: Any, wanted: tuple[int, ...]) -> Floats:
        scores = np.asarray(found)
        if scores.shape != wanted or scores.dtype.kind != "f":
            raise self._blame(
                "breaks the contract of identifiers",
                f"it gave scores of shape {scores.shape} and type {scores.dtype}, wanted are "
                f"{wanted} of float32: (options, images, models)"[:300],
            )
        if np.isnan(scores).any():
            raise self._blame("breaks the contract of identifiers", "it gave scores that are nan")
        return scores.astype(np.float32, copy=False)


class WatchedTogether(WatchedFitted):
    """One that also scores the images of a round together."""

    def score_together(self, block: Block) -> Floats | None:
        """Returns (n, M) scores or ``None``."""
        found = _guarded(lambda: self._inner.score_together(block), self._blame)
        if found is None:
            return None
        return self._checked(found, (len(block.rows), self._models))


def _guarded(work: Callable[[], T], blame: Blame) -> T:
    try:
        return work()
    except WhodrewError:
        raise
    except Exception as error:
        raise blame("fails", error) from error
