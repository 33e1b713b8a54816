"""How sure scores are: the sandwich, and the bootstrap of battles or of voters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from whodrew.ranking.cells import Cells, Pairs, pairs_of
from whodrew.ranking.columns import Doubles
from whodrew.ranking.fit import Fit, fit, incidence, repeated
from whodrew.ranking.models import SLOPES
from whodrew.ranking.resample import Clusters, draw_of

NORMAL: Final = 1.959963984540054
#: Bytes that a batch of resamples may take in the largest of its arrays.
_BATCH: Final = 1 << 26


def covariance(cells: Cells, fitted: Fit, ties: str, clusters: Clusters | None = None) -> Doubles:
    """Returns (M, M) the sandwich covariance of the scores: H⁻¹ (Σ s sᵀ) H⁻¹.

    Source: Huber 1967, White 1982; by clusters Liang and Zeger 1986, with V / (V - 1).

    Args:
        cells: merged kinds of battle; s is the derivative of the log-likelihood of one.
        fitted: one fit, no resamples.
        ties: how they were modelled.
        clusters: voters, where s is summed by voter first.
    """
    M = cells.models
    difference = fitted.scores[cells.first] - fitted.scores[cells.second]
    tie = np.full(len(difference), 0.0 if ties == "half" else float(fitted.tie))
    slopes = SLOPES[ties](difference, tie, *cells.amounts.T)
    rows = np.arange(len(difference))
    s = np.zeros((len(rows), fitted.hessian.shape[-1]))
    s[rows, cells.first] = slopes.score
    s[rows, cells.second] = -slopes.score
    if ties != "half":
        s[:, M] = slopes.tie
    if clusters is None:
        meat = (s * cells.count[:, None]).T @ s
    else:
        from scipy.sparse import csr_matrix

        shape = (clusters.voters, len(rows))
        sums = csr_matrix((clusters.count, (clusters.voter, clusters.kind)), shape=shape) @ s
        meat = (sums.T @ sums) * clusters.voters / max(clusters.voters - 1, 1)
    bread = np.linalg.pinv(fitted.hessian, hermitian=True)
    found = (bread @ meat @ bread)[:M, :M]
    # scores are of mean 0
    centre = np.eye(M) - 1.0 / M
    return np.asarray(centre @ found @ centre)


@dataclass(frozen=True)
class Resamples:
    """Scores of B resamples.

    Attributes:
        scores: (B, M) log odds, of mean 0 over the models that both won and lost there;
            infinite for one that only won or only lost.
        wanting: resamples in which some model only won or only lost.
        tie: (B,) log ν or log κ.
        exact: whether units were drawn, rather than normal sums of them.
    """

    scores: Doubles
    wanting: int
    tie: Doubles
    exact: bool


def bootstrap(
    cells: Cells,
    point: Fit,
    *,
    resamples: int,
    seed: int,
    ties: str,
    ridge: float,
    clusters: Clusters | None = None,
) -> Resamples:
    """Refits the scores on seeded resamples of the battles, or of the voters.

    Source: Efron 1979, multinomial; by voters Field and Welsh 2007. Newton's method begins
    at the point estimate, for many resamples at once.

    Args:
        cells: merged kinds of battle.
        point: the estimate.
        resamples: B.
        seed: seeds the draws.
        ties: how they are modelled.
        ridge: as for the estimate.
        clusters: voters, drawn instead of battles.
    """
    rng = np.random.default_rng([seed, 6])
    pairs, place = pairs_of(cells)
    P, M = len(pairs.first), cells.models
    draw = draw_of(rng, cells, place, P, clusters)
    size = max(1, min(resamples, _BATCH // (8 * max(draw.width, M * M))))
    scores, tie, wanting = [], [], 0
    for begin in range(0, resamples, size):
        some = min(size, resamples - begin)
        totals = draw.totals(some)
        batch = Pairs(M, pairs.first, pairs.second, totals[:, 0], totals[:, 1], totals[:, 2])
        fitted = fit(batch, ties=ties, ridge=ridge, start=repeated(point, some))
        found, bare = _aligned(fitted.scores, batch, point.scores)
        wanting += bare
        scores.append(found)
        tie.append(fitted.tie)
    return Resamples(np.concatenate(scores), wanting, np.concatenate(tie), draw.exact)


def _aligned(scores: Doubles, pairs: Pairs, point: Doubles) -> tuple[Doubles, int]:
    """Keeps models that only won or only lost in a resample from moving the others.

    Their score is infinite there, and the mean of the others is that of the estimate.
    """
    X = incidence(pairs)
    up, down = np.maximum(X, 0), np.maximum(-X, 0)
    tied = pairs.ties @ np.abs(X)
    won = pairs.wins @ up + pairs.losses @ down + tied
    lost = pairs.losses @ up + pairs.wins @ down + tied
    bare = (won == 0) | (lost == 0)
    rows = bare.any(axis=1)
    if not rows.any():
        return scores, 0
    found = scores.copy()
    whole = ~bare[rows]
    count = np.maximum(whole.sum(axis=1), 1)
    mean = (found[rows] * whole).sum(axis=1) / count
    wanted = (point[None, :] * whole).sum(axis=1) / count
    moved = found[rows] + (wanted - mean)[:, None]
    limit = np.where(won[rows] > 0, np.inf, -np.inf)
    limit = np.where((won[rows] == 0) & (lost[rows] == 0), np.nan, limit)
    found[rows] = np.where(bare[rows], limit, moved)
    return found, int(rows.sum())


def score_draws(point: Doubles, cov: Doubles, number: int, seed: int) -> Doubles:
    """Returns (number, M) draws of the scores as the sandwich has them, normal."""
    rng = np.random.default_rng([seed, 7])
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(point + rng.standard_normal((number, len(point))) @ root.T)
