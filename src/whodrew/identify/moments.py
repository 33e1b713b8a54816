"""Sums over reference prompts that can be added and taken away exactly.

Everything an identifier fits (column scale, prompt and model effects, within-model
covariance) is a function of these sums, so leaving a prompt out is a subtraction and
no refit, and partitions of a large arena merge.

The model behind the sums is two-way: an image of model m for prompt q is
``x = a[m] + b[q] + noise``; ``a`` and ``b`` are fitted by least squares on the means of
the cells, each cell counting once. With every cell present, ``b[q]`` is the unweighted
mean of the cells' means. This definition is whodrew's own, not the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from whodrew.identify.samples import Floats, Ints

Doubles = npt.NDArray[np.float64]
Precision = type[np.float32] | type[np.float64]
#: Eigenvalues of the normal matrix below this share of the largest are rounding: a sum over
#: thousands of prompts leaves more of it than numpy's own 1e-15 allows for.
UNLINKED = 1e-10


@dataclass
class Moments:
    """Sums of M models' references in D dimensions over any set of prompts.

    Attributes:
        prompts: number of prompts summed.
        images: (M,) references of each model.
        total: (M, D) sum of vectors of each model.
        square: (D,) sum of squared vectors.
        links: (M, M) normal matrix of the two-way fit, prompts eliminated.
        drift: (M, D) its right-hand side: sum over prompts of cell mean - prompt mean.
        share: (M,) sum over prompts of [cell present] / cells present.
        inverse_cells: sum over prompts of 1 / images.
        middle: (D,) sum over prompts of the mean of the cells' means.
        middle_square: (D,) the same, squared.
        deviation: (D,) sum of squared deviations from the prompt's mean.
        lever: (M, D) images' deviations projected on the model effects.
        weight: (M, M) images counted along the model effects.
        within: (D, D) scatter of images about their cell mean; empty if not asked for.
        within_freedom: its degrees of freedom: images - cells.
        spread: (D, D) scatter of images about their prompt's mean; empty likewise.
    """

    prompts: int
    images: Doubles
    total: Doubles
    square: Doubles
    links: Doubles
    drift: Doubles
    share: Doubles
    inverse_cells: float
    middle: Doubles
    middle_square: Doubles
    deviation: Doubles
    lever: Doubles
    weight: Doubles
    within: npt.NDArray[Any]
    within_freedom: int
    spread: npt.NDArray[Any]

    @classmethod
    def zero(
        cls, models: int, dimension: int, *, scatter: bool, precision: Precision = np.float64
    ) -> Moments:
        """Returns the empty state; ``scatter`` says whether (D, D) sums are kept."""
        side = dimension if scatter else 0
        return cls(
            prompts=0,
            images=np.zeros(models),
            total=np.zeros((models, dimension)),
            square=np.zeros(dimension),
            links=np.zeros((models, models)),
            drift=np.zeros((models, dimension)),
            share=np.zeros(models),
            inverse_cells=0.0,
            middle=np.zeros(dimension),
            middle_square=np.zeros(dimension),
            deviation=np.zeros(dimension),
            lever=np.zeros((models, dimension)),
            weight=np.zeros((models, models)),
            within=np.zeros((side, side), dtype=precision),
            within_freedom=0,
            spread=np.zeros((side, side), dtype=precision),
        )

    @classmethod
    def of_prompt(
        cls,
        vectors: Floats,
        model: Ints,
        models: int,
        *,
        scatter: bool,
        precision: Precision = np.float64,
    ) -> Moments:
        """Returns the sums of one prompt's references.

        Cost: n D² multiplications with ``scatter``, n D without.

        Args:
            vectors: (n, D) references of the prompt.
            model: (n,) their model codes.
            models: M.
            scatter: whether to compute the (D, D) sums.
            precision: of those sums; single precision halves their cost.
        """
        state = cls.zero(models, vectors.shape[1], scatter=scatter, precision=precision)
        count = np.bincount(model, minlength=models).astype(np.float64)
        present = np.flatnonzero(count)
        if len(present) == 0:
            return state
        state.prompts = 1
        state.images = count
        member = np.zeros((models, len(model)), dtype=np.float32)
        member[model, np.arange(len(model))] = 1.0
        state.total = (member @ vectors).astype(np.float64)
        state.square = np.einsum("ij,ij->j", vectors, vectors).astype(np.float64)

        cells = np.zeros_like(state.total)
        cells[present] = state.total[present] / count[present, None]
        middle = cells[present].mean(axis=0)
        apart = np.zeros_like(cells)
        apart[present] = cells[present] - middle
        seen = (count > 0).astype(np.float64)
        share = seen / len(present)
        state.links = np.diag(seen) - np.outer(seen, share)
        state.drift = apart
        state.share = share
        state.inverse_cells = 1.0 / count.sum()
        state.middle = middle
        state.middle_square = middle**2
        pull = count[:, None] * apart
        state.lever = pull - share[:, None] * pull.sum(axis=0)
        counted = count[:, None] * state.links
        state.weight = state.links.T @ counted

        between_cells = np.einsum("ij,ij->j", pull, apart)
        state.within_freedom = int(count.sum()) - len(present)
        if not scatter:
            held = np.einsum("ij,ij->j", cells, state.total)
            state.deviation = np.maximum(state.square - held, 0.0) + between_cells
        else:
            inner = vectors - cells.astype(np.float32)[model]
            within = np.einsum("ij,ij->j", inner, inner).astype(np.float64)
            state.deviation = within + between_cells
            if state.within_freedom:
                state.within = (inner.T @ inner).astype(precision)
            between = pull[present].T.astype(precision) @ apart[present].astype(precision)
            state.spread = state.within + between
        return state

    def add(self, other: Moments) -> None:
        """Adds another state to this one in place."""
        self._accumulate(other, 1)

    def subtract(self, other: Moments) -> None:
        """Takes another state away from this one in place."""
        self._accumulate(other, -1)

    @staticmethod
    def combined(parts: list[tuple[int, Moments]], empty: Moments) -> Moments:
        """Returns the sum of states, each with its sign; ``empty`` is where it starts."""
        for sign, state in parts:
            empty._accumulate(state, sign)
        return empty

    def _accumulate(self, other: Moments, sign: int) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                if value.size == 0:  # not asked for, though the other state has it
                    continue
                (np.add if sign > 0 else np.subtract)(value, getattr(other, field.name), out=value)
            else:
                setattr(self, field.name, value + sign * getattr(other, field.name))

    def effects(self) -> Doubles:
        """Returns (M, D) model effects ``a``, mean zero over models that are linked."""
        inverse = np.linalg.pinv(self.links, rcond=UNLINKED, hermitian=True)
        return np.asarray(inverse @ self.drift)

    def grand(self, effects: Doubles) -> Doubles:
        """Returns (D,) the mean over prompts of the prompt effects ``b``."""
        return np.asarray((self.middle - self.share @ effects) / max(self.prompts, 1))

    def residual(self, effects: Doubles) -> tuple[npt.NDArray[Any], int]:
        """Returns the (D, D) scatter about ``a[m] + b[q]`` and its degrees of freedom."""
        left = np.concatenate([self.lever, effects])
        right = np.concatenate([effects, self.lever - self.weight @ effects])
        precision = self.spread.dtype
        scatter = self.spread - left.T.astype(precision) @ right.astype(precision)
        models = int(np.count_nonzero(self.images))
        return scatter, max(int(self.images.sum()) - self.prompts - models + 1, 1)

    def centring(self, variance: Doubles) -> float:
        """Returns κ, the number of images at which a prompt's mean is trusted by half.

        κ is the variance of an image about its prompt's mean over the variance of the
        prompts' means, both traces over scaled columns (analysis of variance).

        Args:
            variance: (D,) variance of each column, by which both are divided.
        """
        freedom = self.images.sum() - self.prompts
        if self.prompts < 2 or freedom <= 0:
            return 1.0
        noise = float((self.deviation / variance).sum() / freedom)
        centred = self.middle_square - self.middle**2 / self.prompts
        observed = float((centred / variance).sum() / (self.prompts - 1))
        between = observed - noise * self.inverse_cells / self.prompts
        return noise / between if between > 0 and noise / between < 1e6 else 1e6
