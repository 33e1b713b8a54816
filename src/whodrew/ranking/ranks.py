"""Ranks and how sure they are, from resampled scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whodrew.ranking.columns import Doubles

Ints = npt.NDArray[np.int64]
#: A quantile is one of the resamples: ranks are whole, and infinite scores have no mean.
_LOW, _HIGH = 0.025, 0.975


def ranks_of(scores: Doubles) -> Ints:
    """Returns (..., M) ranks from 1, the highest score first; equals share the better rank."""
    if scores.ndim == 1:
        ordered = np.sort(scores)
        above = scores.shape[-1] - np.searchsorted(ordered, scores, side="right")
        return np.asarray(above + 1, dtype=np.int64)
    above = scores[..., None, :] > scores[..., :, None]
    return np.asarray(above.sum(axis=-1) + 1, dtype=np.int64)


def quantiles(values: Doubles) -> tuple[Doubles, Doubles]:
    """Returns the 2.5 % and 97.5 % points of (B, ...) values, each one of them."""
    low = np.quantile(values, _LOW, axis=0, method="lower")
    high = np.quantile(values, _HIGH, axis=0, method="higher")
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def rank_shares(ranks: Ints) -> Doubles:
    """Returns (M, M) the share of resamples in which each model has each rank."""
    B, M = ranks.shape
    code = np.arange(M) * M + (ranks - 1)
    counts = np.bincount(code.reshape(-1), minlength=M * M).reshape(M, M)
    return np.asarray(counts / B, dtype=np.float64)


def separable(draws: Doubles, order: Ints) -> list[bool]:
    """Returns, for neighbours in ``order``, whether 95 % of differences lie on one side of 0.

    Args:
        draws: (B, M) resampled scores.
        order: (M,) codes, the best first.
    """
    found = []
    for upper, lower in zip(order[:-1].tolist(), order[1:].tolist(), strict=True):
        with np.errstate(invalid="ignore"):
            difference = draws[:, upper] - draws[:, lower]
        difference = np.nan_to_num(difference, nan=0.0, posinf=np.inf, neginf=-np.inf)
        low, high = quantiles(difference)
        found.append(bool(low > 0 or high < 0))
    return found
