"""The job of ``whodrew votes rank``: read, fit, resample, rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.arena.labels import listed
from whodrew.errors import InputError, UsageError
from whodrew.ranking.board import Estimates, error_bound, places_of
from whodrew.ranking.cells import Cells, Codes, cells_of, components, merged, only, pairs_of
from whodrew.ranking.covariates import Adjusted, Rows, adjusted
from whodrew.ranking.elo import elo as rate_in_order
from whodrew.ranking.fit import RIDGE, fit
from whodrew.ranking.intervals import (
    bootstrap,
    covariance,
    score_draws,
)
from whodrew.ranking.models import check_ties
from whodrew.ranking.ranks import separable
from whodrew.ranking.resample import Clusters, clusters_of
from whodrew.ranking.result import Bounded, Ranking
from whodrew.ranking.votes import OUTCOMES, Votes, read_votes

BOOTSTRAPS: Final = 1000
#: Draws of the normal distribution that give ranks where nothing is resampled.
DRAWS: Final = 4000
#: Voters below which battles are resampled: few clusters give intervals that are too narrow.
LEAST_VOTERS: Final = 20
_ENDLESS: Final = (
    "the votes set it no limit: an ever greater one, with scores to match, explains them ever "
    "better (separation)"
)


def rank(  # noqa: PLR0913 - one argument an option of the command
    votes: str | Path | Votes,
    *,
    bootstraps: int = BOOTSTRAPS,
    ties: str = "half",
    ridge: float = RIDGE,
    resample: str = "auto",
    covariates: Sequence[str] = (),
    elo: bool = False,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    seed: int = 0,
) -> Ranking:
    """Ranks models by votes: Bradley-Terry scores, and how sure scores and ranks are.

    Args:
        votes: a vote log, or votes that were read.
        bootstraps: resamples; 0 gives intervals by the sandwich covariance instead.
        ties: ``half``, ``davidson`` or ``rao-kupper``.
        ridge: half of it times the squares of the scores is taken off the log-likelihood; 0
            is maximum likelihood.
        resample: ``battles``, ``voters`` (all votes of a voter together), or ``auto``: by
            voters where 20 or more are known.
        covariates: columns of the log that the scores are adjusted for besides.
        elo: also rate in order, and in shuffles.
        columns: our names to the log's columns; see ``read_votes``.
        skip_bad: count bad rows instead of refusing the log.
        seed: seeds everything.

    Raises:
        UsageError: an option that cannot be served.
        InputError: votes that cannot be read, or that rank nothing.
    """
    check_ties(ties)
    if bootstraps < 0 or not np.isfinite(ridge) or ridge < 0:
        raise UsageError("--bootstraps and --ridge take 0 or more")
    if resample not in ("auto", "battles", "voters"):
        raise UsageError(f"--resample is {resample!r}: give auto, battles or voters")
    if not isinstance(votes, Votes):
        votes = read_votes(votes, columns=columns, skip_bad=skip_bad, covariates=covariates)
    cells, kind = cells_of(votes)
    flat, flat_kind = merged(cells)
    notes = list(votes.notes)
    scored, reasons = scored_models(votes, flat, notes)
    inner = only(flat, scored)
    pairs, _ = pairs_of(inner)
    if ties != "half" and not pairs.ties.any():
        notes.append(f"there are no ties: {ties} is plain Bradley-Terry here")
        ties = "half"
    point = fit(pairs, ties=ties, ridge=ridge)
    if not point.converged:
        notes.append("the scores did not settle: some lie at the bounds of what votes can tell")
    clusters = _clusters(votes, flat, flat_kind[kind], scored, resample)
    cov = covariance(inner, point, ties, clusters)
    wanting = 0
    if bootstraps:
        drawn = bootstrap(
            inner,
            point,
            resamples=bootstraps,
            seed=seed,
            ties=ties,
            ridge=ridge,
            clusters=clusters,
        )
        draws, wanting = drawn.scores, drawn.wanting
        if not drawn.exact:
            notes.append("so many are resampled that the sums of resamples are drawn, as normal")
    else:
        draws = score_draws(point.scores, cov, DRAWS, seed)
    beside = _beside(votes, cells, kind, scored, ridge, clusters is not None)
    endless, told = _one_sided(only(cells, scored))
    if told and np.isfinite(beside.slopes[0]):
        notes.append(told)
    by = "battles" if clusters is None else "voters"
    names = tuple(name for name, keep in zip(votes.models, scored, strict=True) if keep)
    order = np.lexsort((np.arange(len(names)), -point.scores))
    errors = np.sqrt(np.maximum(np.diag(cov), 0))
    known = Estimates(
        scored,
        point.scores,
        errors,
        draws,
        bool(bootstraps),
        beside if votes.covariates else None,
    )
    apart = separable(draws, order)
    return Ranking(
        source=votes.source,
        format=votes.format,
        votes=votes.total,
        battles=len(votes),
        labels=_labels(votes),
        skipped=votes.skipped,
        bad=votes.bad,
        ties=ties,
        tie_parameter=None if ties == "half" else float(np.exp(point.tie)),
        ridge=ridge,
        intervals=(
            f"95 %, percentiles of {bootstraps} bootstraps of {by}"
            if bootstraps
            else f"95 %, normal, sandwich covariance by {by}"
        ),
        resampled=by if bootstraps else "none",
        resamples=bootstraps,
        unbounded=wanting,
        voters=None if votes.voter is None else len(votes.voters),
        leaderboard=places_of(votes.models, flat, known, order, reasons),
        separable=tuple(
            (names[upper], names[lower], clear)
            for upper, lower, clear in zip(order[:-1], order[1:], apart, strict=True)
        ),
        position_bias=_slope(
            beside, 0, "which side a model was shown on is decided by its rival", endless
        ),
        covariates={
            name: _slope(beside, 1 + at, f"{name} is decided by the pair of models", _ENDLESS)
            for at, name in enumerate(votes.covariates)
        },
        elo=rate_in_order(votes, seed=seed) if elo else None,
        seed=seed,
        notes=tuple(notes),
        draws=draws,
        drawn_models=names,
    )


def scored_models(votes: Votes, flat: Cells, notes: list[str]) -> tuple[Any, list[str | None]]:
    """Returns which models get a score, (M,), and why the others do not.

    Scores are comparable within one strongly connected component; the one with most models,
    then most battles, is ranked.

    Args:
        votes: the votes.
        flat: their merged kinds.
        notes: told which models have no score.

    Raises:
        InputError: no two models are joined.
    """
    pairs, _ = pairs_of(flat)
    matrix = pairs.matrix()
    label = components(matrix)
    sizes = np.bincount(label)
    weight = np.bincount(label, weights=matrix.sum(axis=0) + matrix.sum(axis=1))
    best = int(np.lexsort((-weight, -sizes))[0])
    scored = label == best
    if sizes[best] < 2:
        raise InputError(
            f"{votes.source or 'the votes'} join no two models by wins both ways or ties: "
            "no score can be had; collect more votes"
        )
    won, lost = matrix[:, scored].sum(axis=1) > 0, matrix[scored].sum(axis=0) > 0
    reasons: list[str | None] = [None] * len(scored)
    for code in np.flatnonzero(~scored).tolist():
        if won[code] and not lost[code]:
            reasons[code] = "it lost no vote to the models that are ranked: no upper limit"
        elif lost[code] and not won[code]:
            reasons[code] = "it won no vote from the models that are ranked: no lower limit"
        else:
            reasons[code] = "no path of wins and losses joins it to the models that are ranked"
    if not scored.all():
        left = [votes.models[code] for code in np.flatnonzero(~scored)]
        notes.append(f"no score for {listed(left)}: not joined to the others both ways")
    return scored, reasons


def _clusters(
    votes: Votes, flat: Cells, kind: Codes, scored: Any, resample: str
) -> Clusters | None:
    """Returns battles by voter in the kinds that ``only`` keeps, where voters are resampled.

    Raises:
        UsageError: voters are asked for and none is known.
    """
    if resample == "battles":
        return None
    known = 0 if votes.voter is None else len(np.unique(votes.voter[votes.voter >= 0]))
    if resample == "voters" and known < 2:
        raise UsageError("--resample voters needs a log that names two voters or more")
    if votes.voter is None or (resample == "auto" and known < LEAST_VOTERS):
        return None
    both = scored[flat.first] & scored[flat.second]
    place = np.cumsum(both) - 1
    used = both[kind]
    return clusters_of(place[kind[used]], votes.voter[used], int(both.sum()))


def _beside(
    votes: Votes, cells: Cells, kind: Codes, scored: Any, ridge: float, by_voter: bool
) -> Adjusted:
    """Fits scores beside the side shown first and the covariates, in standard deviations."""
    if not votes.covariates:
        inner = only(cells, scored)
        ones = np.ones((len(inner.count), 1))
        clusters = _clusters(votes, cells, kind, scored, "voters") if by_voter else None
        rows = Rows(
            inner.models, inner.first, inner.second, inner.amounts, inner.count, ones, clusters
        )
        return adjusted(rows, ridge=ridge)
    code = np.cumsum(scored) - 1
    some = votes.take(scored[votes.first] & scored[votes.second])
    columns = [np.ones(len(some))]
    for values in some.covariates.values():
        spread = values.std()
        columns.append(values / spread if spread > 0 else np.zeros(len(values)))
    clusters = None
    if by_voter and some.voter is not None:
        clusters = clusters_of(np.arange(len(some)), some.voter, len(some))
    rows = Rows(
        int(scored.sum()),
        code[some.first],
        code[some.second],
        some.each(),
        np.ones(len(some)),
        np.column_stack(columns),
        clusters,
    )
    return adjusted(rows, ridge=ridge)


def _slope(beside: Adjusted, at: int, decided: str, endless: str) -> Bounded:
    reason = decided if np.isnan(beside.slopes[at]) else endless
    return error_bound(beside.slopes[at], beside.slope_errors[at], reason)


def _one_sided(inner: Cells) -> tuple[str, str | None]:
    """Returns why the side may have no limit, and what to say of a side that never won."""
    first, second, ties = (inner.amounts * inner.count[:, None]).sum(axis=0).tolist()
    if first and second:
        return _ENDLESS, None
    if not first and not second:
        return _ENDLESS, "there are ties alone: position_bias rests on nothing else"
    winner, loser = ("first", "second") if first else ("second", "first")
    endless = f"the image shown {winner} won whenever one did: no limit (separation)"
    return endless, (
        f"no image shown {loser} ever won: position_bias rests on the ties alone, {ties:,.6g} votes"
    )


def _labels(votes: Votes) -> dict[str, float]:
    if votes.amounts is None:
        counts = np.bincount(votes.outcome, minlength=len(OUTCOMES)).tolist()
        return dict(zip(OUTCOMES, counts, strict=True))
    first, second, tie = votes.amounts.sum(axis=0).tolist()
    bad = float(votes.amounts[votes.outcome == 3, 2].sum())
    return dict(zip(OUTCOMES, (first, second, tie - bad, bad), strict=True))
