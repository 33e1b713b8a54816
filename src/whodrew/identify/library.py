"""The references as the attacker uses them: fitted without any chosen set of prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from whodrew.errors import UsageError
from whodrew.identify.covariance import Covariance, FullCovariance, ThinCovariance
from whodrew.identify.moments import Doubles, Moments, Precision
from whodrew.identify.parallel import in_partitions, side_by_side
from whodrew.identify.samples import Floats, Ints, Mask, Samples

#: Variance among references, over that of all images at hand, below which a column counts as
#: constant: what varies a thousand times less is rounding, and would swamp every distance.
CONSTANT = 1e-6
FLAT = 1e-7
WHOLE = -1
#: References above which (D, D) sums are kept in single precision.
MANY = 20_000
PART = 8192


@dataclass(frozen=True)
class Frame:
    """Column scale, effects and centring fitted on some reference prompts.

    Attributes:
        moments: the sums behind it.
        mean: (D,) mean of each column, zero under ``unit`` scale.
        deviation: (D,) deviation of each column, one under ``unit`` scale.
        kept: (D,) false for columns that are constant among the references.
        raw_effects: (M, D) model effects as fitted.
        effects: (M, D') the same, scaled.
        grand: (D',) scaled mean of the prompts' means.
        kappa: shown images at which a prompt's own mean is trusted by half.
        known: (M,) true for models with references.
        native: whether vectors are compared as they are (``unit`` scale).
    """

    moments: Moments
    mean: Doubles
    deviation: Doubles
    kept: Mask
    raw_effects: Doubles
    effects: Floats
    grand: Floats
    kappa: float
    known: Mask
    native: bool

    def scaled(self, vectors: npt.NDArray[np.floating]) -> Floats:
        """Returns vectors (n, D) as (n, D') scaled columns, constant ones dropped."""
        if self.native:
            return np.asarray(vectors, dtype=np.float32)
        moved = vectors[:, self.kept] - self.mean[self.kept].astype(vectors.dtype)
        moved *= (1.0 / self.deviation[self.kept]).astype(vectors.dtype)
        return np.asarray(moved, dtype=np.float32)

    @cached_property
    def centroids(self) -> Floats:
        """(M, D') scaled mean of each model's references, not centred on prompts."""
        counts = np.maximum(self.moments.images, 1.0)[:, None]
        return self.scaled(self.moments.total / counts)


@dataclass(frozen=True)
class Centred:
    """References less their prompts' effects.

    Attributes:
        vectors: (n, D') scaled and centred.
        model: (n,) model codes.
        cell: (n,) cell numbers, 0 to C - 1.
        prompts: number of prompts they come from.
    """

    vectors: Floats
    model: Ints
    cell: Ints
    prompts: int


class Library:
    """Reference samples with the sums that make leaving prompts out cheap.

    Args:
        samples: the references; rows that are not distinct references are ignored.
        folds: (P,) fold of each prompt; prompts of one fold are often left out together.
        of: the samples these were taken from, kept alive beside them.
    """

    def __init__(self, samples: Samples, folds: Ints, of: Samples | None = None) -> None:
        self.samples = samples
        self.of = samples if of is None else of
        self.folds = folds
        count = int(samples.is_reference.sum())
        self.thin = count <= samples.dimension
        self.precision: Precision = np.float32 if count > MANY else np.float64
        self.filled = frozenset(np.flatnonzero(np.diff(samples.offsets)).tolist())
        self._scatter: dict[int, Moments] = {}
        self._plain: dict[int, Moments] = {}

    def of_prompt(self, prompt: int, *, scatter: bool) -> Moments:
        """Returns the sums of one prompt's references."""
        rows = self.samples.rows(prompt)
        keep = self.samples.is_reference[rows]
        return Moments.of_prompt(
            self.samples.vectors[rows][keep],
            self.samples.model[rows][keep],
            len(self.samples.models),
            scatter=scatter,
            precision=self.precision,
        )

    def _of_fold(self, fold: int, *, scatter: bool) -> Moments:
        cache = self._scatter if scatter or fold in self._scatter else self._plain
        if fold not in cache:
            total = self._zero(scatter=scatter)
            if fold == WHOLE:
                for number in np.unique(self.folds).tolist():
                    total.add(self._of_fold(number, scatter=scatter))
            else:
                for prompt in self._members(fold):
                    total.add(self.of_prompt(prompt, scatter=scatter))
            cache[fold] = total
        return cache[fold]

    def _of_whole_folds(self, prompts: frozenset[int]) -> bool:
        folds = self.folds[np.fromiter(prompts, dtype=np.int64)]
        return len(prompts) == int(np.isin(self.folds, folds).sum())

    def _members(self, fold: int) -> list[int]:
        return [p for p in np.flatnonzero(self.folds == fold).tolist() if p in self.filled]

    def prepare(self, *, scatter: bool) -> None:
        """Sums everything once, so that threads find the sums and do not repeat them.

        Each partition of prompts sums its own, by fold; the sums are added up.
        """
        scatter = scatter and not self.thin
        cache = self._scatter if scatter else self._plain
        if WHOLE in self._scatter or WHOLE in cache:
            return

        def sums(prompts: list[int]) -> dict[int, Moments]:
            folds = np.unique(self.folds[prompts]).tolist()

            def one(fold: int) -> Moments:
                total = self._zero(scatter=scatter)
                for prompt in prompts:
                    if self.folds[prompt] == fold:
                        total.add(self.of_prompt(prompt, scatter=scatter))
                return total

            return dict(zip(folds, side_by_side(one, folds), strict=True))

        totals = {fold: self._zero(scatter=scatter) for fold in np.unique(self.folds).tolist()}
        for part in in_partitions(sums, sorted(self.filled)):
            for fold, moments in part.items():
                totals[fold].add(moments)
        cache.update(totals)
        self._of_fold(WHOLE, scatter=scatter)

    def _zero(self, *, scatter: bool) -> Moments:
        return Moments.zero(
            len(self.samples.models),
            self.samples.dimension,
            scatter=scatter,
            precision=self.precision,
        )

    def without(self, prompts: frozenset[int], *, scatter: bool) -> Moments:
        """Returns the sums over every reference prompt but some.

        Sums of whole folds and of all prompts are kept; what is left out is taken away
        from them, or, where most is left out, what is left is added up.
        """
        parts: list[tuple[int, Moments]] = []
        whole = 2 * len(prompts) <= len(self.folds) and not self._of_whole_folds(prompts)
        if whole:
            parts.append((1, self._of_fold(WHOLE, scatter=scatter)))
        for fold in np.unique(self.folds).tolist():
            members = self._members(fold)
            gone = [prompt for prompt in members if prompt in prompts]
            left = [prompt for prompt in members if prompt not in prompts]
            chosen, sign = (gone, -1) if whole else (left, 1)
            if 2 * len(chosen) > len(members):
                parts.append((sign, self._of_fold(fold, scatter=scatter)))
                chosen, sign = (left if whole else gone), -sign
            parts += [(sign, self.of_prompt(prompt, scatter=scatter)) for prompt in chosen]
        return Moments.combined(parts, self._zero(scatter=scatter))

    def frame(self, prompts: frozenset[int], *, scatter: bool) -> Frame:
        """Fits scale, effects and centring without some prompts.

        Raises:
            UsageError: columns must be standardised and no reference prompt is left.
        """
        moments = self.without(prompts, scatter=scatter and not self.thin)
        dimension = self.samples.dimension
        images = float(moments.images.sum())
        if self.samples.scale == "standardise":
            if images < 2:
                raise UsageError(
                    "this encoder's columns are scaled on reference prompts other than the "
                    "query's, and there are none: give references of at least 2 prompts"
                )
            mean = moments.total.sum(axis=0) / images
            variance = np.maximum(moments.square / images - mean**2, 0.0)
            kept = variance > CONSTANT
            deviation = np.sqrt(np.where(kept, variance, 1.0))
        else:
            mean, deviation = np.zeros(dimension), np.ones(dimension)
            kept = np.ones(dimension, dtype=bool)
        effects = moments.effects()
        grand = moments.grand(effects)
        return Frame(
            moments=moments,
            mean=mean,
            deviation=deviation,
            kept=kept,
            raw_effects=effects,
            effects=(effects / deviation)[:, kept].astype(np.float32),
            grand=((grand - mean) / deviation)[kept].astype(np.float32),
            kappa=moments.centring(deviation**2),
            known=moments.images > 0,
            native=self.samples.scale == "unit",
        )

    def covariance(self, frame: Frame, prompts: frozenset[int], mix: float) -> Covariance:
        """Returns the covariance of images about what is expected of their model.

        Args:
            frame: fitted without the same ``prompts``.
            prompts: prompts left out.
            mix: 1 takes residuals about ``a[m] + b[q]``, 0 those about the mean of the
                cell, values between a weighted sum of both covariances.
        """
        if frame.moments.images.sum() == 0:
            return FullCovariance(np.eye(int(frame.kept.sum())), 1)
        if self.thin:
            return self._thin(frame, prompts, mix)
        matrix, freedom = frame.moments.residual(frame.raw_effects)
        inner_freedom = frame.moments.within_freedom
        share = mix if inner_freedom else 1.0
        matrix *= matrix.dtype.type(share / freedom)
        if share < 1.0:
            matrix += frame.moments.within * matrix.dtype.type((1.0 - share) / inner_freedom)
        if not frame.native:
            scale = (1.0 / frame.deviation).astype(matrix.dtype)
            matrix *= np.outer(scale, scale)
            matrix = matrix[np.ix_(frame.kept, frame.kept)]
        return FullCovariance(matrix, freedom)

    def rows_without(self, prompts: frozenset[int]) -> Ints:
        """Returns the rows of every reference but some prompts'."""
        left_out = np.isin(self.samples.prompt, np.fromiter(prompts, dtype=np.int64))
        return np.flatnonzero(self.samples.is_reference & ~left_out)

    def centred(self, frame: Frame, prompts: frozenset[int]) -> Centred:
        """Returns every reference but some prompts', scaled, less its prompt's effect b[q]."""
        samples = self.samples
        rows = self.rows_without(prompts)
        vectors = frame.scaled(samples.vectors[rows])
        code = samples.prompt[rows] * len(samples.models) + samples.model[rows]
        _, first, cell = np.unique(code, return_index=True, return_inverse=True)
        _, prompt = np.unique(samples.prompt[rows][first], return_inverse=True)
        apart = group_means(vectors, cell) - frame.effects[samples.model[rows][first]]
        vectors -= group_means(apart, prompt)[prompt[cell]]
        return Centred(vectors, samples.model[rows], cell, int(prompt.max(initial=-1)) + 1)

    def _thin(self, frame: Frame, prompts: frozenset[int], mix: float) -> ThinCovariance:
        centred = self.centred(frame, prompts)
        cell_mean = group_means(centred.vectors, centred.cell)
        images, cells = len(centred.cell), len(cell_mean)
        freedom = max(images - centred.prompts - int(frame.known.sum()) + 1, 1)
        inner_freedom = images - cells
        share = mix if inner_freedom else 1.0
        inner = centred.vectors - cell_mean[centred.cell]
        between = centred.vectors - inner - frame.effects[centred.model]
        inner_weight = np.sqrt((1.0 - share) / max(inner_freedom, 1) + share / freedom)
        weighted = np.sqrt(share / freedom) * between + inner_weight * inner
        return ThinCovariance(weighted.astype(np.float32), freedom)


def group_means(vectors: Floats, group: Ints) -> Floats:
    """Returns (G, D) mean of the rows of each group, groups numbered 0 to G - 1."""
    counts = np.bincount(group)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
    return (sums / counts[:, None]).astype(np.float32)


def pre_scaled(*sets: Samples) -> tuple[Samples, ...]:
    """Moves every column to mean 0 and deviation 1 over all sets, for numerical safety only.

    Identifiers scale the columns again on reference prompts, which undoes any affine
    change, so that this tells them nothing.
    """
    if sets[0].scale == "unit":
        return sets
    count = sum(len(one) for one in sets)
    dimension = sets[0].dimension
    mean = sum((part.sum(axis=0, dtype=np.float64) for part in _parts(sets)), np.zeros(dimension))
    mean /= max(count, 1)
    square = np.zeros(dimension)
    for part in _parts(sets):
        square += ((part - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(square / max(count, 1))
    deviation = np.where(deviation > FLAT * np.maximum(np.abs(mean), 1.0), deviation, np.inf)
    return tuple(
        replace(
            one,
            vectors=_moved(one.vectors, mean, deviation),
            copies=tuple(_moved(copy, mean, deviation) for copy in one.copies),
        )
        for one in sets
    )


def _parts(sets: tuple[Samples, ...]) -> Iterator[Floats]:
    for one in sets:
        for start in range(0, len(one), PART):
            yield one.vectors[start : start + PART]


def _moved(vectors: Any, mean: Doubles, deviation: Doubles) -> Any:
    if isinstance(vectors, np.ndarray):
        return ((vectors - mean) / deviation).astype(np.float32)
    return vectors.scaled(mean, deviation)
