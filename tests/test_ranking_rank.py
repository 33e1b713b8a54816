"""Scores against independent references; ranks, intervals, ties, connectivity, position bias."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import choix
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from sklearn.linear_model import LogisticRegression

from drawn import Shell, schema_errors, unexplained
from whodrew.errors import InputError, UsageError
from whodrew.ranking import Ranking, Votes, rank, resample, separation
from whodrew.ranking.cells import cells_of, components, merged, pairs_of
from whodrew.ranking.covariates import Rows, adjusted
from whodrew.ranking.fit import fit
from whodrew.ranking.intervals import bootstrap, covariance
from whodrew.ranking.models import davidson, rao_kupper
from whodrew.ranking.ranks import quantiles, ranks_of
from whodrew.ranking.resample import clusters_of


def make(first: Any, second: Any, outcome: Any, models: int, **more: Any) -> Votes:
    names = tuple(f"m{code:02d}" for code in range(models))
    return Votes(
        names,
        np.asarray(first, np.int32),
        np.asarray(second, np.int32),
        np.asarray(outcome, np.int8),
        **more,
    )


def drawn(
    seed: int,
    models: int,
    battles: int,
    *,
    ties: bool = True,
    bias: float = 0.0,
    spread: float = 0.6,
) -> Votes:
    """Votes of Davidson's model, or of Bradley and Terry's without ties."""
    rng = np.random.default_rng(seed)
    scores = truth(seed, models, spread)
    first = rng.integers(models, size=battles)
    second = (first + 1 + rng.integers(models - 1, size=battles)) % models
    d = scores[first] - scores[second] + bias
    win, loss, _ = davidson(d, np.full(battles, -0.7 if ties else -40.0))
    u = rng.random(battles)
    return make(first, second, np.where(u < win, 0, np.where(u < win + loss, 1, 2)), models)


def truth(seed: int, models: int, spread: float = 0.6) -> np.ndarray:
    scores = np.random.default_rng([seed, 1]).normal(0, spread, models)
    return np.asarray(scores - scores.mean())


def by_model(ranking: Ranking) -> np.ndarray:
    scores = ranking.scores()
    return np.array([scores[name] for name in sorted(scores)])


# ---------------------------------------------------------------- scores
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_are_those_of_choix(seed: int) -> None:
    votes = drawn(seed, 7, 800, ties=False)
    won = votes.outcome == 0
    pairs = list(
        zip(
            np.where(won, votes.first, votes.second).tolist(),
            np.where(won, votes.second, votes.first).tolist(),
            strict=True,
        )
    )
    ours = by_model(rank(votes, ridge=0, bootstraps=0))
    np.testing.assert_allclose(ours, choix.ilsr_pairwise(7, pairs, alpha=0), atol=1e-6)
    wins = choix.opt_pairwise(7, pairs, alpha=0, method="Newton-CG", tol=1e-12)
    np.testing.assert_allclose(ours, wins - wins.mean(), atol=1e-6)


def test_scores_with_ties_as_halves_are_a_logistic_regression() -> None:
    votes = drawn(3, 6, 900)
    X, y, weight = [], [], []
    for a, b, outcome in zip(votes.first, votes.second, votes.outcome, strict=True):
        row = np.zeros(6)
        row[a], row[b] = 1, -1
        for label, share in {0: [(1, 1.0)], 1: [(0, 1.0)], 2: [(1, 0.5), (0, 0.5)]}[int(outcome)]:
            X.append(row)
            y.append(label)
            weight.append(share)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000)
    model.fit(np.array(X), y, sample_weight=weight)
    theirs = model.coef_[0] - model.coef_[0].mean()
    np.testing.assert_allclose(by_model(rank(votes, ridge=0, bootstraps=0)), theirs, atol=1e-6)
    np.testing.assert_allclose(by_model(rank(votes, bootstraps=0)), theirs, atol=1e-6)


def _direct(votes: Votes, model: Any, start: float) -> np.ndarray:
    first, second, outcome = votes.first, votes.second, votes.outcome
    M = len(votes.models)

    def loss(x: np.ndarray) -> float:
        d = x[first] - x[second]
        chances = np.stack(model(d, np.full(len(d), x[M])))
        return float(-np.log(chances[outcome, np.arange(len(d))]).sum() / len(d))

    found = minimize(loss, np.r_[np.zeros(M), start], method="BFGS", options={"gtol": 1e-9})
    found.x[:M] -= found.x[:M].mean()
    return np.asarray(found.x)


@pytest.mark.parametrize(
    ("ties", "model", "start"), [("davidson", davidson, 0.0), ("rao-kupper", rao_kupper, 0.5)]
)
def test_models_of_ties_are_at_the_optimum(ties: str, model: Any, start: float) -> None:
    votes = drawn(4, 5, 700)
    found = rank(votes, ties=ties, ridge=0, bootstraps=0)
    theirs = _direct(votes, model, start)
    np.testing.assert_allclose(by_model(found), theirs[:-1], atol=1e-6)
    assert found.tie_parameter == pytest.approx(np.exp(theirs[-1]), abs=1e-6)
    assert found.ties == ties


def test_probabilities_of_the_models_of_ties_add_up() -> None:
    d, t = np.linspace(-8, 8, 33), np.full(33, 0.4)
    for model in (davidson, rao_kupper):
        win, loss, tie = model(d, t)
        np.testing.assert_allclose(win + loss + tie, 1)
        np.testing.assert_allclose(win, loss[::-1])
        assert (tie > 0).all()
        np.testing.assert_allclose(tie, tie[::-1])
    # the score is what it is called: log odds of a win against a loss
    win, loss, _ = davidson(d, t)
    np.testing.assert_allclose(np.log(win / loss), d)


def test_weights_are_votes() -> None:
    votes = drawn(5, 4, 60)
    amounts = votes.each() * 3
    weighted = make(votes.first, votes.second, votes.outcome, 4, amounts=amounts)
    thrice = make(*(np.tile(x, 3) for x in (votes.first, votes.second, votes.outcome)), 4)
    np.testing.assert_allclose(
        by_model(rank(weighted, bootstraps=0)), by_model(rank(thrice, bootstraps=0)), atol=1e-9
    )
    # but not as many battles: a battle with three votes is one that may have come out otherwise
    wide, narrow = rank(weighted, bootstraps=0), rank(thrice, bootstraps=0)
    for one, other in zip(wide.leaderboard, narrow.leaderboard, strict=True):
        assert one.sandwich is not None
        assert other.sandwich is not None
        ratio = (one.sandwich[1] - one.sandwich[0]) / (other.sandwich[1] - other.sandwich[0])
        assert ratio == pytest.approx(3**0.5, rel=1e-6)


@settings(max_examples=30)
@given(
    st.integers(3, 6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.integers(0, 3)), min_size=1),
)
def test_turning_every_battle_round_changes_nothing_but_the_side(
    models: int, rows: list[tuple[int, int, int]]
) -> None:
    first = np.array([a % models for a, _, _ in rows])
    second = (first + 1 + np.array([b % (models - 1) for _, b, _ in rows])) % models
    outcome = np.array([c for _, _, c in rows])
    turned = np.array([1, 0, 2, 3])[outcome]
    try:
        one = rank(make(first, second, outcome, models), bootstraps=0)
    except InputError:
        with pytest.raises(InputError, match="join no two models"):
            rank(make(second, first, turned, models), bootstraps=0)
        return
    other = rank(make(second, first, turned, models), bootstraps=0)
    assert list(one.scores()) == list(other.scores())
    np.testing.assert_allclose(by_model(one), by_model(other), atol=1e-7)
    assert by_model(one).mean() == pytest.approx(0, abs=1e-9)
    if one.position_bias.value is not None:
        assert other.position_bias.value == pytest.approx(-one.position_bias.value, abs=1e-5)


# ---------------------------------------------------------------- intervals
def test_the_sandwich_against_a_naive_sum() -> None:
    votes = drawn(6, 4, 300)
    flat, _ = merged(cells_of(votes)[0])
    pairs, _ = pairs_of(flat)
    point = fit(pairs, ridge=0)
    H, meat = np.zeros((4, 4)), np.zeros((4, 4))
    for a, b, outcome in zip(votes.first, votes.second, votes.outcome, strict=True):
        x = np.zeros(4)
        x[a], x[b] = 1, -1
        p = 1 / (1 + np.exp(-(point.scores @ x)))
        H += p * (1 - p) * np.outer(x, x)
        s = ([1, 0, 0.5, 0.5][int(outcome)] - p) * x
        meat += np.outer(s, s)
    wanted = np.linalg.pinv(H) @ meat @ np.linalg.pinv(H)
    np.testing.assert_allclose(covariance(flat, point, "half"), wanted, atol=1e-9)


def test_the_sandwich_by_voter_against_a_naive_sum() -> None:
    votes = drawn(6, 4, 300)
    voter = np.random.default_rng(0).integers(30, size=300).astype(np.int32)
    cells, kind = cells_of(votes)
    flat, flat_kind = merged(cells)
    point = fit(pairs_of(flat)[0], ridge=0)
    clusters = clusters_of(flat_kind[kind], voter, len(flat.count))
    sums = np.zeros((30, 4))
    for who, a, b, outcome in zip(voter, votes.first, votes.second, votes.outcome, strict=True):
        p = 1 / (1 + np.exp(-(point.scores[a] - point.scores[b])))
        s = [1, 0, 0.5][int(outcome)] - p
        sums[who, a] += s
        sums[who, b] -= s
    bread = np.linalg.pinv(point.hessian)
    wanted = bread @ sums.T @ sums @ bread * 30 / 29
    found = covariance(flat, point, "half", clusters)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    # and the bootstrap of voters is about as wide
    drawn_ = bootstrap(flat, point, resamples=2000, seed=0, ties="half", ridge=0, clusters=clusters)
    np.testing.assert_allclose(drawn_.scores.std(axis=0), np.sqrt(np.diag(found)), rtol=0.15)


def test_the_bootstrap_refits_every_resample() -> None:
    votes = drawn(7, 5, 200)
    flat, _ = merged(cells_of(votes)[0])
    pairs, _ = pairs_of(flat)
    point = fit(pairs)
    found = bootstrap(flat, point, resamples=20, seed=3, ties="half", ridge=1e-6)
    rng = np.random.default_rng([3, 6])
    counts = rng.multinomial(200, flat.count / 200, size=20)
    for scores, count in zip(found.scores, counts, strict=True):
        rows = np.repeat(np.arange(len(count)), count)
        amounts = flat.amounts[rows]
        some = make(flat.first[rows], flat.second[rows], np.zeros(len(rows)), 5, amounts=amounts)
        np.testing.assert_allclose(scores, by_model(rank(some, bootstraps=0)), atol=1e-7)
    again = bootstrap(flat, point, resamples=20, seed=3, ties="half", ridge=1e-6)
    np.testing.assert_array_equal(found.scores, again.scores)


@pytest.mark.parametrize("by", ["battles", "voters"])
def test_sums_that_are_drawn_are_those_of_units(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    votes = drawn(6, 5, 3000)
    rng = np.random.default_rng(0)
    # battles of several votes, of very many kinds
    shares = rng.integers(1, 9, size=(3000, 3)).astype(float)
    amounts = votes.each() * 10 + shares
    several = make(votes.first, votes.second, votes.outcome, 5, amounts=amounts)
    cells, kind = cells_of(several)
    flat, flat_kind = merged(cells)
    clusters = None
    if by == "voters":
        voter = rng.integers(300, size=3000).astype(np.int32)
        clusters = clusters_of(flat_kind[kind], voter, len(flat.count))
    point = fit(pairs_of(flat)[0])

    def draws() -> Any:
        return bootstrap(
            flat, point, resamples=1500, seed=0, ties="half", ridge=1e-6, clusters=clusters
        )

    exact = draws()
    monkeypatch.setattr(resample, "KINDS", 100)
    monkeypatch.setattr(resample, "VOTERS", 100)
    normal = draws()
    assert (exact.exact, normal.exact) == (True, False)
    np.testing.assert_allclose(normal.scores.mean(0), exact.scores.mean(0), atol=0.005)
    np.testing.assert_allclose(normal.scores.std(0), exact.scores.std(0), rtol=0.1)
    np.testing.assert_allclose(np.corrcoef(normal.scores.T), np.corrcoef(exact.scores.T), atol=0.1)


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_the_bootstrap_covers_the_true_score(ties: str) -> None:
    held = asked = 0
    for seed in range(150):
        scores = truth(seed, 6)
        votes = drawn(seed, 6, 900, ties=ties == "davidson")
        low, high = quantiles(_draws(votes, seed, ties))
        held += int(((low <= scores) & (scores <= high)).sum())
        asked += 6
    assert 0.93 <= held / asked <= 0.97


def test_the_intervals_of_ranks_cover_the_true_rank() -> None:
    # many models close together: where they lie far apart ranks are simply known
    held = asked = 0
    for seed in range(80):
        scores = truth(seed, 12, 0.2)
        votes = drawn(seed, 12, 1500, ties=False, spread=0.2)
        low, high = quantiles(ranks_of(_draws(votes, seed, "half")).astype(float))
        own = ranks_of(scores)
        held += int(((low <= own) & (own <= high)).sum())
        asked += 12
    assert 0.93 <= held / asked <= 0.97


def _draws(votes: Votes, seed: int, ties: str) -> np.ndarray:
    flat, _ = merged(cells_of(votes)[0])
    point = fit(pairs_of(flat)[0], ties=ties)
    return bootstrap(flat, point, resamples=200, seed=seed, ties=ties, ridge=1e-6).scores


def test_a_model_that_wins_all_in_a_resample_does_not_move_the_others() -> None:
    # m00 lost once in 12 battles: in a third of the resamples it never does
    first = [0] * 12 + [1, 2] * 40
    second = [1] * 12 + [2, 1] * 40
    outcome = [0] * 11 + [1] + [0, 0, 1, 1] * 20
    found = rank(make(first, second, outcome, 3), bootstraps=500)
    top = found.leaderboard[0]
    assert (top.model, top.score.high) == ("m00", None)
    assert top.score.reason is not None
    assert found.unbounded > 50
    for one in found.leaderboard[1:]:
        assert one.score.low is not None
        assert one.score.high is not None
        assert one.score.high - one.score.low < 3
    assert unexplained(found.to_dict()) == []


# ---------------------------------------------------------------- ranks
def test_ranks_and_their_shares() -> None:
    votes = drawn(8, 6, 500)
    found = rank(votes, bootstraps=400)
    order = [one.model for one in found.leaderboard]
    assert [one.rank.value for one in found.leaderboard] == [1, 2, 3, 4, 5, 6]
    columns = {name: at for at, name in enumerate(found.drawn_models)}
    for one in found.leaderboard:
        own = found.draws[:, columns[one.model]]
        ranks = 1 + (found.draws > own[:, None]).sum(axis=1)
        assert one.p_first == pytest.approx((ranks == 1).mean())
        assert one.ranks == pytest.approx([(ranks == place).mean() for place in range(1, 7)])
        low, high = one.rank.low, one.rank.high
        assert low is not None
        assert high is not None
        assert low <= one.rank.value <= high  # type: ignore[operator]
        assert ((ranks >= low) & (ranks <= high)).mean() >= 0.95
    assert sum(one.p_first or 0 for one in found.leaderboard) == pytest.approx(1)
    assert [(a, b) for a, b, _ in found.separable] == list(itertools.pairwise(order))
    for upper, lower, told in found.separable:
        difference = found.draws[:, columns[upper]] - found.draws[:, columns[lower]]
        assert told == (np.quantile(difference, 0.025, method="lower") > 0)


def test_more_votes_tell_neighbours_apart() -> None:
    few, many = rank(drawn(9, 5, 100), bootstraps=200), rank(drawn(9, 5, 50_000), bootstraps=200)
    assert sum(told for *_, told in few.separable) < 4
    assert all(told for *_, told in many.separable)


# ---------------------------------------------------------------- who can be compared
def test_components_against_scipy() -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(0)
    for _ in range(200):
        size = int(rng.integers(2, 9))
        matrix = (rng.random((size, size)) < 0.25).astype(float)
        ours = components(matrix)
        _, theirs = connected_components(csr_matrix(matrix), connection="strong")
        assert ((ours[:, None] == ours) == (theirs[:, None] == theirs)).all()


def test_models_that_no_path_joins_get_no_score() -> None:
    # three that beat each other; one that beat them all; one that lost to all; a pair apart
    first = [0, 1, 2, 3, 3, 4, 0, 5, 6]
    second = [1, 2, 0, 0, 1, 0, 4, 6, 5]
    outcome = [0, 0, 0, 0, 0, 1, 0, 0, 0]
    found = rank(make(first, second, outcome, 7), bootstraps=50)
    assert set(found.scores()) == {"m00", "m01", "m02"}
    reasons = {one.model: one.score.reason or "" for one in found.leaderboard[3:]}
    assert "no upper limit" in reasons["m03"]
    assert "no lower limit" in reasons["m04"]
    assert "no path" in reasons["m05"]
    assert "no path" in reasons["m06"]
    assert any("no score for 'm03', 'm04', 'm05', 'm06'" in note for note in found.notes)
    values = found.to_dict()
    assert unexplained(values) == []
    assert values["leaderboard"][3]["score"] is None
    assert values["leaderboard"][3]["battles"] == 2


def test_votes_that_join_nobody_are_refused() -> None:
    with pytest.raises(InputError, match="join no two models"):
        rank(make([0, 1], [1, 2], [0, 0], 3))


# ---------------------------------------------------------------- side, covariates, Elo
def test_position_bias_is_a_logistic_regression_with_an_intercept() -> None:
    votes = drawn(10, 5, 3000, ties=False, bias=0.3)
    X = np.zeros((3000, 5))
    X[np.arange(3000), votes.first] += 1
    X[np.arange(3000), votes.second] -= 1
    model = LogisticRegression(C=1e10, tol=1e-12, max_iter=10_000)
    model.fit(X, votes.outcome == 0)
    found = rank(votes, bootstraps=0, ridge=0).position_bias
    assert found.value == pytest.approx(model.intercept_[0], abs=1e-5)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.3 < found.high


def test_position_bias_by_voter_against_a_naive_sum() -> None:
    votes = drawn(10, 4, 800, ties=False, bias=0.3)
    voter = np.random.default_rng(1).integers(40, size=800).astype(np.int32)
    known = make(
        votes.first, votes.second, votes.outcome, 4, voter=voter, voters=tuple(map(str, range(40)))
    )
    X = np.zeros((800, 5))
    X[np.arange(800), votes.first] += 1
    X[np.arange(800), votes.second] -= 1
    X[:, 4] = 1
    model = LogisticRegression(C=1e10, tol=1e-12, fit_intercept=False, max_iter=10_000)
    model.fit(X, votes.outcome == 0)
    p = model.predict_proba(X)[:, 1]
    s = ((votes.outcome == 0) - p)[:, None] * X
    sums = np.stack([s[voter == who].sum(axis=0) for who in range(40)])
    bread = np.linalg.pinv((X * (p * (1 - p))[:, None]).T @ X)
    error = np.sqrt((bread @ sums.T @ sums @ bread)[4, 4] * 40 / 39)
    found = rank(known, bootstraps=0, ridge=0).position_bias
    assert found.value is not None
    assert found.high is not None
    assert (found.high - found.value) / 1.959964 == pytest.approx(error, rel=1e-4)
    # the same by rows, where there are covariates
    flat = rank(replace(known, covariates={"zero": np.zeros(800)}), bootstraps=0, ridge=0)
    assert flat.position_bias.high == pytest.approx(found.high, abs=1e-6)
    assert flat.covariates["zero"].value is None


def test_position_bias_that_the_pairs_decide_is_unknown() -> None:
    found = rank(make([0, 0, 0], [1, 1, 1], [0, 1, 0], 2), bootstraps=0)
    assert found.position_bias.value is None
    assert "decided by its rival" in found.to_dict()["position_bias_reason"]


def turned(votes: Votes) -> Votes:
    """The same votes, the winner shown first."""
    late = votes.outcome == 1
    first = np.where(late, votes.second, votes.first)
    second = np.where(late, votes.first, votes.second)
    return replace(votes, first=first, second=second, outcome=np.where(late, 0, votes.outcome))


@pytest.mark.parametrize("ridge", [0.0, 1e-6, 3.0])
def test_a_side_that_never_lost_has_no_limit(ridge: float) -> None:
    won_all = turned(drawn(12, 4, 300, ties=False))
    two = make([0, 1], [1, 0], [0, 0], 2)
    for votes in (won_all, two):
        for outcome in (0, 1):
            shown = replace(votes, outcome=np.full(len(votes), outcome, np.int8))
            found = rank(shown, bootstraps=0, ridge=ridge)
            values = found.to_dict()
            assert values["position_bias"] is None
            side = ("first", "second")[outcome]
            assert f"shown {side} won whenever one did" in values["position_bias_reason"]
            assert schema_errors("ranking-1", json.loads(json.dumps(values))) == []
    # both of a pair win when shown second: a limit
    a, b = won_all.first[0], won_all.second[0]
    bounded = make(
        np.r_[won_all.first, a, b], np.r_[won_all.second, b, a], np.r_[won_all.outcome, 1, 1], 4
    )
    assert rank(bounded, bootstraps=0, ridge=ridge).position_bias.value is not None


def test_a_side_without_limit_though_both_won() -> None:
    # m2 wins once though shown second, but scores can match any advantage: it takes a cycle of
    # wins in which more are second places' to bound it
    won = [(0, 1, 0), (1, 0, 0), (1, 2, 0), (2, 1, 0), (0, 2, 1), (1, 2, 0)]
    first, second, outcome = zip(*won, strict=True)
    found = rank(make(first, second, outcome, 3), bootstraps=0)
    assert found.position_bias.value is None
    assert "separation" in str(found.position_bias.reason)
    more = rank(make((*first, 1), (*second, 0), (*outcome, 1), 3), bootstraps=0)
    assert more.position_bias.value is not None


def test_ties_alone_hold_the_side_and_it_is_said() -> None:
    votes = turned(drawn(13, 4, 300))
    found = rank(votes, bootstraps=0)
    assert found.position_bias.value is not None
    ties = (votes.outcome == 2).sum()
    note = f"no image shown second ever won: position_bias rests on the ties alone, {ties} votes"
    assert note in found.notes
    assert not any("rests on" in one for one in rank(drawn(13, 4, 300), bootstraps=0).notes)


def test_covariates_that_the_votes_do_not_bound() -> None:
    votes = drawn(14, 4, 300, ties=False)
    rng = np.random.default_rng(0)
    size = np.where(votes.outcome == 0, 1.0, -1.0) * rng.uniform(0.1, 1, 300)
    other = rng.normal(size=300)
    found = rank(replace(votes, covariates={"size": size, "other": other}), bootstraps=0)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    # it says all votes; nothing is left to measure the rest by
    assert [one["slope"] for one in values["covariates"]] == [None, None]
    assert all("separation" in one["slope_reason"] for one in values["covariates"])
    assert values["position_bias"] is None
    for place in values["leaderboard"]:
        assert place["score"] is not None
        assert place["adjusted_score"] is None
        assert "separation" in place["adjusted_score_reason"]
    assert schema_errors("ranking-1", values) == []
    assert unexplained(values) == []


def test_what_is_left_beside_a_slope_without_limit_is_the_fit_of_the_rest() -> None:
    # the covariate decides 50 battles, and is 0 in the others
    votes = drawn(15, 4, 600, ties=False)
    size = np.where(np.arange(600) < 50, np.where(votes.outcome == 0, 2.0, -1.0), 0.0)
    found = rank(replace(votes, covariates={"size": size}), bootstraps=0, ridge=0)
    rest = rank(votes.take(np.arange(600) >= 50), bootstraps=0, ridge=0)
    assert found.covariates["size"].value is None
    assert found.position_bias.value == pytest.approx(rest.position_bias.value, abs=1e-6)
    assert found.position_bias.low == pytest.approx(rest.position_bias.low, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100_000))
def test_separation_against_a_linear_programme_for_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    M, n, C = int(rng.integers(2, 5)), int(rng.integers(4, 14)), int(rng.integers(1, 4))
    first = rng.integers(M, size=n)
    second = (first + 1 + rng.integers(M - 1, size=n)) % M
    tied = rng.random(n) < rng.choice([0, 0.15])
    amounts = np.eye(3)[np.where(tied, 2, rng.random(n) < rng.choice([0.1, 0.3, 0.5]))]
    wins = np.zeros((M, M))
    np.add.at(wins, (first, second), amounts[:, 0] + amounts[:, 2])
    np.add.at(wins, (second, first), amounts[:, 1] + amounts[:, 2])
    assume(not components(wins).any())
    extra = rng.choice([-1.0, 0, 1, 2], (n, C - 1))
    numbers = np.column_stack([np.ones(n), extra])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(separation, "_AT_ONCE", 3)
        rows = Rows(M, first, second, amounts, np.ones(n), numbers)
        found = adjusted(rows, ridge=1e-6)
    known = np.flatnonzero(~np.isnan(found.slopes))
    X = np.zeros((n, M + len(known)))
    X[np.arange(n), first] += 1
    X[np.arange(n), second] -= 1
    X[:, M:] = numbers[:, known]
    limits = np.concatenate([-X[amounts[:, [0, 2]].any(axis=1)], X[amounts[:, [1, 2]].any(axis=1)]])
    wanted = np.eye(M + len(known))
    wanted[:M, :M] -= 1 / M
    ours = np.isinf(np.r_[found.scores, found.slopes[known]])
    for c, endless in zip(wanted, ours, strict=True):
        most = max(
            -linprog(-sign * c, A_ub=limits, b_ub=np.zeros(len(limits)), bounds=(-1, 1)).fun
            for sign in (1, -1)
        )
        assert endless == (most > 1e-6)


def test_covariates_take_what_is_theirs() -> None:
    rng = np.random.default_rng(0)
    votes = drawn(11, 4, 4000, ties=False)
    size = rng.normal(size=4000) + (votes.first == 3) - (votes.second == 3)
    d = truth(11, 4)[votes.first] - truth(11, 4)[votes.second] + 0.8 * size
    outcome = (rng.random(4000) > 1 / (1 + np.exp(-d))).astype(np.int8)
    more = make(votes.first, votes.second, outcome, 4, covariates={"size": size})
    found = rank(more, bootstraps=0, ridge=0)
    X = np.zeros((4000, 5))
    X[np.arange(4000), votes.first] += 1
    X[np.arange(4000), votes.second] -= 1
    X[:, 4] = size / size.std()
    model = LogisticRegression(C=1e10, tol=1e-12, max_iter=10_000).fit(X, outcome == 0)
    assert found.covariates["size"].value == pytest.approx(model.coef_[0, 4], abs=1e-4)
    theirs = model.coef_[0, :4] - model.coef_[0, :4].mean()
    for one in found.leaderboard:
        assert one.adjusted is not None
        assert one.adjusted.value == pytest.approx(theirs[int(one.model[1:])], abs=1e-4)
        low, high = one.adjusted.low, one.adjusted.high
        assert low is not None
        assert high is not None
        assert low <= truth(11, 4)[int(one.model[1:])] <= high


def test_elo_depends_on_the_order() -> None:
    votes = drawn(12, 4, 400)
    found = rank(votes, bootstraps=0, elo=True).elo
    assert found is not None
    rating = dict.fromkeys(range(4), 1000.0)
    for a, b, outcome in zip(votes.first, votes.second, votes.outcome, strict=True):
        expected = 1 / (1 + 10 ** ((rating[int(b)] - rating[int(a)]) / 400))
        change = 4 * ([1, 0, 0.5][int(outcome)] - expected)
        rating[int(a)] += change
        rating[int(b)] -= change
    np.testing.assert_allclose(found.in_order, list(rating.values()))
    values = found.to_dict()
    assert (values["order"], values["shuffles"]) == ("file", 20)
    for one in values["ratings"]:
        assert one["shuffled"]["low"] < one["shuffled"]["high"]
        assert one["shuffled"]["best_rank"] <= one["shuffled"]["worst_rank"]
    # times tell the order where all are known
    turned = make(
        votes.first[::-1], votes.second[::-1], votes.outcome[::-1], 4, time=-np.arange(400.0)
    )
    again = rank(turned, bootstraps=0, elo=True).elo
    assert again is not None
    assert again.order == "timestamp"
    np.testing.assert_allclose(again.in_order, found.in_order)


# ---------------------------------------------------------------- options and the command
def test_what_cannot_be_served_is_refused() -> None:
    votes = drawn(13, 3, 50)
    for wrong in (
        {"ties": "half-half"},
        {"bootstraps": -1},
        {"ridge": -1.0},
        {"resample": "people"},
        {"resample": "voters"},
    ):
        with pytest.raises(UsageError):
            rank(votes, **wrong)  # type: ignore[arg-type]


def test_voters_are_resampled_where_there_are_twenty() -> None:
    votes = drawn(14, 4, 400)
    rng = np.random.default_rng(0)
    for voters, by in ((40, "voters"), (5, "battles")):
        voter = rng.integers(voters, size=400).astype(np.int32)
        names = tuple(map(str, range(voters)))
        known = make(votes.first, votes.second, votes.outcome, 4, voter=voter, voters=names)
        assert rank(known, bootstraps=50).resampled == by
        assert rank(known, bootstraps=50, resample="battles").resampled == "battles"
        assert rank(known, bootstraps=50, resample="voters").resampled == "voters"


def save(path: Path, votes: Votes) -> Path:
    labels = np.array(["model_a", "model_b", "tie", "both_bad"])
    names = np.array(votes.models)
    table = {"model_a": names[votes.first], "model_b": names[votes.second]}
    pq.write_table(pa.table({**table, "winner": labels[votes.outcome]}), path)
    return path


FIELDS = {"votes", "battles", "skipped", "model", "ties", "unit", "leaderboard", "separable"}


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = Shell(capsys)
    path = save(tmp_path / "votes.parquet", drawn(15, 4, 300))
    ran = shell("votes", "rank", path, "--json", "-", "--bootstraps", 100)
    assert ran.code == 0
    values = ran.json
    assert values["schema"] == "whodrew.ranking/1"
    assert FIELDS | {"position_bias"} <= set(values)
    assert (values["votes"], values["model"], values["ties"]) == (300, "bradley-terry", "half")
    assert values["unit"] == "log odds, mean 0"
    for one in values["leaderboard"]:
        assert {"model", "score", "rank", "p_first", "battles", "win_rate"} <= set(one)
        assert one["score"]["low"] <= one["score"]["value"] <= one["score"]["high"]
        assert isinstance(one["rank"]["low"], int)
    assert unexplained(values) == []
    assert "leaderboard, half ties" in ran.err
    assert "position bias" in ran.err
    again = shell("votes", "rank", path, "--json", "-", "--bootstraps", 100, "--quiet")
    assert again.err == ""
    assert again.json == values
    assert json.loads(json.dumps(rank(path, bootstraps=100).to_dict())) == values
    other = shell("votes", "rank", path, "--json", "-", "--bootstraps", 100, "--seed", 1)
    assert other.json["leaderboard"] != values["leaderboard"]


def test_the_command_on_a_log_with_bad_rows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(capsys)
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\na,b,model_a\nb,a,model_a\na,b,modelA\na,b,tie\n")
    assert "votes.csv, line 4: unknown winner 'modelA'" in shell.refused("votes", "rank", path)
    ran = shell("votes", "rank", path, "--skip-bad", "--json", "-", "--bootstraps", 20)
    assert ran.code == 1
    assert ran.json["skipped"] == {"unknown label": 1}
    assert ran.json["bad"][0]["item"] == "votes.csv, line 4"
    assert "bad: votes.csv, line 4: unknown winner 'modelA'" in ran.err
    ran = shell("votes", "rank", path, "--skip-bad", "--elo", "--ties", "davidson")
    assert (ran.code, ran.out) == (1, "")
    assert "Elo in order" in ran.err
    assert "no such file" in shell.refused("votes", "rank", tmp_path / "nothing.csv")
    assert "--ties" in shell.refused("votes", "rank", path, "--ties", "thirds")
    assert shell("votes").code == 0


def test_the_table() -> None:
    found = rank(drawn(16, 4, 300), bootstraps=50)
    table = found.to_table()
    assert table["model"].to_pylist() == list(found.scores())
    assert table.num_rows == 4
