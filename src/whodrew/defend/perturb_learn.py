"""What adversarial defences learn of an arena: where each encoder puts models and prompts.

Sums only, one pass, no torch. For each encoder the directions are found in which models differ
most against what varies within them, prompts set aside (Fisher's discriminants on a shrunk
covariance); distances are then taken along these, whitened. The choice is whodrew's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import linalg

from whodrew.defend.base import State
from whodrew.errors import InputError, UsageError
from whodrew.identify.covariance import shrunk_weight

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

KEPT: Final = 16
"""Reference vectors kept of each model, a fair sample of those seen."""
MOST: Final = 64
"""Directions at most."""
STRENGTH: Final = 0.1
"""Of the prior that shrinks the covariance, in references a dimension."""
STILL: Final = 1e-6
"""A column that varies less within models says nothing, and is left out."""


@dataclass(frozen=True, eq=False)
class Space:
    """One encoder's vectors, seen along the k directions that tell M models apart.

    A vector x lies at z = x · weights + offset; variance within models is about 1 along each.

    Attributes:
        weights: (D, k).
        offset: (k,).
        centroids: (M, k) the models' means, prompts set aside.
        prompt_means: (P, k) the prompts' means.
        overall: (k,) the mean of the models' centroids.
        references: (R, k) single images, at most ``KEPT`` a model.
        reference_models: (R,) their models.
        apart: mean distance between two models' centroids, the unit of every loss.
    """

    weights: Floats
    offset: Floats
    centroids: Floats
    prompt_means: Floats
    overall: Floats
    references: Floats
    reference_models: npt.NDArray[np.int32]
    apart: float

    def fits(self, models: int, prompts: int) -> bool:
        """Returns whether all arrays have the shapes of so many models and prompts."""
        dimension, k = self.weights.shape if self.weights.ndim == 2 else (0, 0)
        shapes = {
            "offset": (k,),
            "centroids": (models, k),
            "prompt_means": (prompts, k),
            "overall": (k,),
            "references": (len(self.reference_models), k),
        }
        known = all(getattr(self, name).shape == shape for name, shape in shapes.items())
        numbers = [self.weights, *(getattr(self, name) for name in shapes)]
        finite = all(np.isfinite(one).all() for one in numbers) and np.isfinite(self.apart)
        return dimension > 0 and known and bool(finite)


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was learnt of an arena.

    Attributes:
        encoders: their names.
        models: names of the M models.
        prompts: ids of the P prompts.
        spaces: one an encoder.
        unlabelled: pictures passed over since their model was not known.
    """

    encoders: tuple[str, ...]
    models: tuple[str, ...]
    prompts: tuple[str, ...]
    spaces: tuple[Space, ...]
    unlabelled: int = 0

    def state(self) -> State:
        """Returns it as arrays of plain types."""
        found: dict[str, npt.NDArray[Any]] = {
            "encoders": np.array(self.encoders),
            "models": np.array(self.models),
            "prompts": np.array(self.prompts, dtype=np.str_),
            "unlabelled": np.array(self.unlabelled),
        }
        for number, space in enumerate(self.spaces):
            for name in Space.__dataclass_fields__:
                found[f"space{number}.{name}"] = np.asarray(getattr(space, name))
        return found

    @classmethod
    def of_state(cls, state: State) -> Learnt:
        """Returns what ``state`` was taken of.

        Raises:
            InputError: arrays are missing or do not fit each other.
        """
        try:
            names = [tuple(str(one) for one in state[key]) for key in ("encoders", "models")]
            encoders, models = names
            prompts = tuple(str(one) for one in state["prompts"])
            spaces = tuple(_space(state, number) for number in range(len(encoders)))
            fits = all(one.fits(len(models), len(prompts)) for one in spaces)
            unlabelled = int(state.get("unlabelled", np.array(0)))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"what was learnt of the arena is damaged: {error}: fit again"
            ) from error
        if not fits:
            raise InputError("what was learnt of the arena is damaged: fit again")
        return cls(encoders, models, prompts, spaces, unlabelled)


def _space(state: Mapping[str, npt.NDArray[Any]], number: int) -> Space:
    found: dict[str, Any] = {
        name: state[f"space{number}.{name}"] for name in Space.__dataclass_fields__
    }
    return Space(**(found | {"apart": float(found["apart"])}))


class _Codes:
    """Names to numbers, in the order first seen."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        return self.of.setdefault(name, len(self.of))


class Sums:
    """One encoder's sums: by model, by prompt, and of products.

    Args:
        dimension: D.
    """

    def __init__(self, dimension: int) -> None:
        self.first: Doubles | None = None
        self.products = np.zeros((dimension, dimension))
        self.by_model: list[Doubles] = []
        self.by_prompt: list[Doubles] = []
        self.kept: list[list[Doubles]] = []
        self._held: list[Doubles] = []

    def add(self, vector: npt.NDArray[Any], model: int, prompt: int, place: int | None) -> None:
        """Takes one vector (D,), and keeps it in ``place`` among its model's references."""
        if self.first is None:
            # about one of them: large means would cost digits of small variances
            self.first = vector.astype(np.float64)
        moved = vector - self.first
        for sums, code in ((self.by_model, model), (self.by_prompt, prompt)):
            if code == len(sums):
                sums.append(np.zeros(len(moved)))
            sums[code] += moved
        if model == len(self.kept):
            self.kept.append([])
        if place is not None:
            own = self.kept[model]
            own[place : place + 1] = [moved]
        self._held.append(moved)
        if len(self._held) == 64:
            self.flush()

    def flush(self) -> None:
        """Adds the products of the vectors held back, for one product of matrices."""
        if self._held:
            rows = np.stack(self._held)
            self.products += rows.T @ rows
            self._held = []

    def space(self, counts: npt.NDArray[np.int64]) -> Space:
        """Returns the directions, and where everything lies along them.

        Args:
            counts: (M, P) pictures of each model and prompt.
        """
        self.flush()
        assert self.first is not None
        models, prompts = np.stack(self.by_model), np.stack(self.by_prompt)
        n = int(counts.sum())
        if n - counts.shape[1] < len(models):
            # too few prompts with several pictures to set prompts aside
            grouped, sums = counts.sum(1, keepdims=True), prompts.sum(0, keepdims=True)
        else:
            grouped, sums = counts, prompts
        size = grouped.sum(0)[:, None]
        own = grouped.sum(1)[:, None]
        shift = (models - grouped @ (sums / size)) / own
        within = self.products - sums.T @ (sums / size) - shift.T @ (shift * own)
        freedom = max(1, n - grouped.shape[1] - len(models) + 1)
        weights = discriminants(within / freedom, shift, freedom)

        centre = models.sum(0) / n
        overall = centre @ weights
        centroids = overall + shift @ weights
        kept = [one for own in self.kept for one in own]
        owners = [code for code, own in enumerate(self.kept) for _ in own]
        return Space(
            weights=weights.astype(np.float32),
            offset=(-self.first @ weights).astype(np.float32),
            centroids=centroids.astype(np.float32),
            prompt_means=(prompts / counts.sum(0)[:, None] @ weights).astype(np.float32),
            overall=overall.astype(np.float32),
            references=(np.stack(kept) @ weights).astype(np.float32),
            reference_models=np.array(owners, np.int32),
            apart=max(_mean_distance(centroids), 1e-6),
        )


def discriminants(within: Doubles, shift: Doubles, freedom: int) -> Doubles:
    """Returns the directions that tell models apart, whitened.

    Args:
        within: (D, D) covariance within models.
        shift: (M, D) each model's mean offset.
        freedom: degrees of freedom behind ``within``.

    Returns:
        Array (D, k), k = min(M - 1, ``MOST``): Fisher's linear discriminants, by a singular
        value decomposition of the whitened offsets.
    """
    spread = np.sqrt(np.maximum(np.diag(within), 0))
    moves = spread > STILL
    scale = np.where(moves, spread, 1.0)
    weight = shrunk_weight(STRENGTH, len(within), freedom)
    related = (1 - weight) * within / np.outer(scale, scale)
    related[np.diag_indices(len(related))] = 1.0
    lower = linalg.cholesky(related + 1e-9 * np.eye(len(related)), lower=True)
    given = np.where(moves, shift / scale, 0.0)
    white = linalg.solve_triangular(lower, given.T, lower=True)
    k = max(1, min(len(shift) - 1, MOST))
    axes = linalg.svd(white, full_matrices=False)[0][:, :k]
    found = linalg.solve_triangular(lower, axes, lower=True, trans="T") / scale[:, None]
    return np.asarray(np.where(moves[:, None], found, 0.0))


def _mean_distance(points: Doubles) -> float:
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(apart.sum() / max(1, len(points) * (len(points) - 1)))


class Collector:
    """Takes pictures' vectors one by one, for all encoders, and makes ``Learnt`` of them.

    Args:
        encoders: their names.
    """

    def __init__(self, encoders: Sequence[str]) -> None:
        self.encoders = tuple(encoders)
        self.unlabelled = 0
        self._sums: list[Sums] = []
        self._models, self._prompts = _Codes(), _Codes()
        self._counts: dict[tuple[int, int], int] = {}
        self._seen: list[int] = []
        self._rng = np.random.default_rng(0)

    def add(self, vectors: Sequence[npt.NDArray[Any]], model: str, prompt_id: str | None) -> None:
        """Takes one picture.

        Args:
            vectors: one (D,) an encoder.
            model: who drew it.
            prompt_id: of what; pictures without share one.
        """
        if not self._sums:
            self._sums = [Sums(len(one)) for one in vectors]
        row, column = self._models(model), self._prompts(prompt_id or "")
        self._counts[row, column] = self._counts.get((row, column), 0) + 1
        if row == len(self._seen):
            self._seen.append(0)
        place: int | None = self._seen[row]
        if self._seen[row] >= KEPT:
            drawn = int(self._rng.integers(self._seen[row] + 1))
            place = drawn if drawn < KEPT else None
        self._seen[row] += 1
        for sums, vector in zip(self._sums, vectors, strict=True):
            sums.add(vector, row, column, place)

    def learnt(self) -> Learnt:
        """Returns what was learnt.

        Raises:
            UsageError: there were fewer than two models, or hardly any pictures.
        """
        models, prompts = list(self._models.of), list(self._prompts.of)
        more = f" ({self.unlabelled} more have no model)" if self.unlabelled else ""
        if len(models) < 2 or sum(self._seen) <= len(models):
            some = f"{len(models)} model{'s'[: len(models) != 1]}{more}"
            raise UsageError(
                "adversarial defences learn what tells models apart, and saw "
                f"{sum(self._seen)} pictures of {some}: "
                "give pictures of two models or more, several of each"
            )
        counts = np.zeros((len(models), len(prompts)), np.int64)
        for at, count in self._counts.items():
            counts[at] = count
        spaces = tuple(sums.space(counts) for sums in self._sums)
        return Learnt(self.encoders, tuple(models), tuple(prompts), spaces, self.unlabelled)
