"""A classifier that sees only containers.

Ours: for whole prompts held out, frequencies of each field in the other prompts (half a count
added to each value) multiply to P_fields(container | model), naive Bayes; the share of the
whole container, with one count's worth of that product added, is P(container | model). A
container met before is so named by how often each model has it; one never met, by its
fields. Models it finds equally likely share the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from whodrew.identify.samples import Ints
from whodrew.leaks.information import Column
from whodrew.measure.intervals import Doubles, Rate, missing, ratio

FOLDS: Final = 20
_HALF: Final = 0.5
_ONE: Final = 1.0


def accuracy_of(columns: Sequence[Column], model: Ints, prompt: Ints, *, seed: int) -> Rate:
    """Returns how often the container alone names the model, cross-validated by prompt.

    Args:
        columns: the fields that the classifier sees; a value of -1 says nothing.
        model: (N,) codes from 0.
        prompt: (N,) codes from 0.
        seed: seeds the folds and the interval.
    """
    prompts = np.unique(prompt)
    models = int(model.max(initial=0)) + 1
    if len(prompts) < 2:
        return missing(
            "one prompt cannot be held out from itself: images of at least 2 prompts are needed"
        )
    values = _telling(columns)
    right = np.full(len(model), 1.0 / models)
    if len(values):
        _, whole = np.unique(values, axis=1, return_inverse=True)
        fold_of = np.zeros(int(prompts.max()) + 1, np.int64)
        order = np.random.default_rng([seed, 23]).permutation(prompts)
        fold_of[order] = np.arange(len(order)) % FOLDS
        fold = fold_of[prompt]
        for one in np.unique(fold):
            asked = np.flatnonzero(fold == one)
            known = np.flatnonzero(fold != one)
            right[asked] = _shares(values, whole, model, models, known, asked)
    size = int(prompts.max()) + 1
    return ratio(
        np.bincount(prompt, weights=right, minlength=size).astype(np.float64),
        np.bincount(prompt, minlength=size).astype(np.float64),
        seed=seed,
        chance=1.0 / models,
    )


def _telling(columns: Sequence[Column]) -> Ints:
    """Returns (F, N) values, one row for each different way of telling images apart."""
    seen: dict[bytes, Ints] = {}
    for column in columns:
        _, first, codes = np.unique(column.value, return_index=True, return_inverse=True)
        if len(first) < 2:
            continue
        rank = np.argsort(np.argsort(first))  # the same partition has the same codes
        plain = rank[codes]
        kept = np.where(column.value < 0, -1, plain)
        seen.setdefault(kept.astype(np.int64).tobytes(), kept.astype(np.int64))
    return np.array(list(seen.values()), dtype=np.int64)


def _shares(
    values: Ints, whole: Ints, model: Ints, models: int, known: Ints, asked: Ints
) -> Doubles:
    """Returns (len(asked),) the share of the answer that each image's own model gets."""
    kinds, first, place = np.unique(whole[asked], return_index=True, return_inverse=True)
    distinct = values[:, asked[first]]
    owned = np.bincount(model[known], minlength=models).astype(np.float64)
    likely = np.zeros((models, len(kinds)))
    for field, wanted in zip(values, distinct, strict=True):
        size = int(field.max()) + 1
        there = field[known] >= 0
        cells = model[known][there] * size + field[known][there]
        counts = np.bincount(cells, minlength=models * size).reshape(models, size)
        met = counts.sum(axis=0) > 0
        shares = (counts + _HALF) / (counts.sum(axis=1, keepdims=True) + _HALF * max(met.sum(), 1))
        # a value that no reference shows tells nothing
        use = (wanted >= 0) & met[wanted]
        likely[:, use] += np.log(shares[:, wanted[use]])
    product = np.exp(likely)
    size = int(whole.max()) + 1
    cells = model[known] * size + whole[known]
    joint = np.bincount(cells, minlength=models * size).reshape(models, size)[:, kinds]
    score = (joint + _ONE * product) / (owned[:, None] + _ONE)
    score[owned == 0] = 0.0
    best = np.isclose(score, score.max(axis=0, keepdims=True), rtol=1e-9, atol=0.0)
    share: Doubles = (best / best.sum(axis=0, keepdims=True))[model[asked], place]
    return share
