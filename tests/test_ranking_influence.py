"""Influence against naive refits; the fewest votes against every removal there is."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, identity

from drawn import Shell, schema_errors, unexplained
from whodrew.errors import InputError, UsageError
from whodrew.ranking import Influence, Votes, influence, influence_orders, rank
from whodrew.ranking.cells import Pairs, cells_of, components, merged
from whodrew.ranking.fit import fit
from whodrew.ranking.influence_bound import Bound, _mean_slope
from whodrew.ranking.influence_fewest import fewest
from whodrew.ranking.influence_refit import Log, Units, first_order, joined, less, log_of, without
from whodrew.ranking.models import davidson


def make(first: Any, second: Any, outcome: Any, models: int, **more: Any) -> Votes:
    names = tuple(f"m{code}" for code in range(models))
    return Votes(
        names,
        np.asarray(first, np.int32),
        np.asarray(second, np.int32),
        np.asarray(outcome, np.int8),
        **more,
    )


def drawn(seed: int, models: int, battles: int, voters: int = 0, spread: float = 0.4) -> Votes:
    """Votes of Davidson's model."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, spread, models)
    first = rng.integers(models, size=battles)
    second = (first + 1 + rng.integers(models - 1, size=battles)) % models
    d = scores[first] - scores[second]
    win, loss, _ = davidson(d, np.full(battles, -0.7))
    u = rng.random(battles)
    more: dict[str, Any] = {}
    if voters:
        code = (rng.random(battles) ** 2 * voters).astype(np.int32)
        more = {"voter": code, "voters": tuple(f"v{one}" for one in range(voters))}
    return make(first, second, np.where(u < win, 0, np.where(u < win + loss, 1, 2)), models, **more)


def won(counts: dict[tuple[int, int], int], models: int) -> Votes:
    """A log of wins of the first of each pair."""
    pairs = list(counts)
    first = np.repeat([a for a, _ in pairs], list(counts.values()))
    second = np.repeat([b for _, b in pairs], list(counts.values()))
    return make(first, second, np.zeros(len(first)), models)


def log(votes: Votes, ties: str = "half", ridge: float = 1e-6) -> Log:
    return log_of(merged(cells_of(votes)[0])[0], ties=ties, ridge=ridge)


def kinds(held: Log) -> Units:
    return Units(held.cells.count, identity(len(held.cells.count), format="csr"))


def scores(votes: Votes, **options: Any) -> dict[str, float]:
    return rank(votes, bootstraps=0, **options).scores()


def apart(votes: Votes, upper: str, lower: str, **options: Any) -> float:
    found = scores(votes, **options)
    return found[upper] - found[lower]


# ---------------------------------------------------------------- one kind, one voter
@pytest.mark.parametrize("ties", ["half", "davidson", "rao-kupper"])
@pytest.mark.parametrize("battles", [80, 900])
def test_a_kind_left_out_is_a_refit_without_one_of_its_battles(ties: str, battles: int) -> None:
    votes = drawn(1, 5, battles)
    found = influence(votes, ties=ties, top=1000)
    cells, kind = cells_of(votes)
    _, flat = merged(cells)
    for at, (one, change) in enumerate(zip(found.kinds, found.changes, strict=True)):
        here = int(np.flatnonzero(flat[kind] == at)[0])
        assert {votes.models[votes.first[here]], votes.models[votes.second[here]]} == set(
            one.models
        )
        keep = np.arange(battles) != here
        naive, whole = scores(votes.take(keep), ties=ties), scores(votes, ties=ties)
        expected = [naive[name] - whole[name] for name in found.models]
        np.testing.assert_allclose(change, expected, atol=1e-6)
    assert sum(one.battles for one in found.kinds) == battles
    # and what is listed of an order is the difference of two of these
    order = found.orders[0]
    by_kind = {id_of(one): change for one, change in zip(found.kinds, found.changes, strict=True)}
    sizes = [abs(one.change or 0) for one in order.kinds]
    assert sizes == sorted(sizes, reverse=True)
    assert len(order.kinds) == len(found.kinds)
    for moved in order.kinds:
        assert not isinstance(moved.what, str)
        change = by_kind[id_of(moved.what)]
        assert moved.change == pytest.approx(change[0] - change[1], abs=1e-12)


def id_of(kind: Any) -> tuple[Any, ...]:
    return (*kind.models, *kind.votes)


@pytest.mark.parametrize("ties", ["half", "davidson", "rao-kupper"])
def test_a_voter_left_out_is_a_refit_without_all_its_battles(ties: str) -> None:
    votes = drawn(2, 4, 500, voters=12)
    assert votes.voter is not None
    found = influence(votes, ties=ties, top=12)
    for order in found.orders:
        assert sum(one.battles for one in order.voters) == 500
        for one in order.voters:
            keep = votes.voter != votes.voters.index(str(one.what))
            assert one.battles == (~keep).sum()
            gap = apart(votes.take(keep), order.upper, order.lower, ties=ties)
            assert one.change == pytest.approx(gap - order.gap, abs=1e-6)


def test_battles_of_unknown_voters_are_no_voter() -> None:
    votes = drawn(2, 4, 400, voters=5)
    assert votes.voter is not None
    voter = np.where(np.arange(400) % 3 == 0, -1, votes.voter).astype(np.int32)
    found = influence(replace(votes, voter=voter))
    assert found.voters == 5
    assert sum(one.battles for one in found.orders[0].voters) == (voter >= 0).sum()
    alone = influence(replace(votes, voter=np.full(400, -1, dtype=np.int32)))
    assert alone.voters is None
    assert alone.orders[0].voter_removal is None


def test_a_heavy_voter_is_left_out_exactly() -> None:
    # steps with the whole log's information would not come home here
    votes = drawn(3, 3, 300, voters=2)
    heavy = np.where(np.arange(300) < 280, 0, 1).astype(np.int32)
    votes = replace(votes, voter=heavy)
    found = influence(votes)
    gap = apart(votes.take(heavy == 1), found.orders[0].upper, found.orders[0].lower)
    change = next(one.change for one in found.orders[0].voters if one.what == "v0")
    assert change == pytest.approx(gap - found.orders[0].gap, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 6), st.sampled_from(["half", "davidson"]))
def test_the_pulls_of_all_votes_add_up_to_nothing(seed: int, models: int, ties: str) -> None:
    held = log(drawn(seed, models, 400), ties, ridge=0)
    ends = np.array([[0, 1], [2, 0]])
    pull = first_order(held, ends)
    np.testing.assert_allclose(held.cells.count @ pull, 0, atol=1e-8)
    # and each is what its refit does, to first order
    left = without(held, kinds(held), np.arange(len(held.cells.count)))
    moved = left - held.point.scores
    np.testing.assert_allclose(moved[:, 0] - moved[:, 1], -pull[:, 0], atol=0.35 * pull.max())


def test_weights_are_left_out_as_battles() -> None:
    rng = np.random.default_rng(5)
    votes = drawn(5, 4, 60)
    amounts = rng.integers(0, 4, (60, 3)) * np.array([1.0, 1.0, 0.0])
    amounts[amounts.sum(axis=1) == 0, 0] = 1
    votes = replace(votes, amounts=amounts)
    found = influence(votes, top=1000)
    assert (found.votes, found.battles) == (amounts.sum(), 60)
    order = found.orders[0]
    assert order.removal.count is not None
    assert len(order.removal.rows) == order.removal.count
    rows = [one["row"] for one in order.removal.rows]
    for row, named in zip(rows, order.removal.rows, strict=True):
        assert (named["votes_a"], named["votes_b"]) == tuple(amounts[row, :2])
    assert apart(votes.take(~np.isin(np.arange(60), rows)), order.upper, order.lower) < 0
    for moved in order.kinds[:5]:
        first, second = (votes.models.index(name) for name in moved.what.models)  # type: ignore[union-attr]
        same = (votes.first == first) & (votes.second == second)
        same &= (amounts == moved.what.votes).all(axis=1)  # type: ignore[union-attr]
        turned = (votes.first == second) & (votes.second == first)
        turned &= (amounts[:, [1, 0, 2]] == moved.what.votes).all(axis=1)  # type: ignore[union-attr]
        here = int(np.flatnonzero(same | turned)[0])
        gap = apart(votes.take(np.arange(60) != here), order.upper, order.lower)
        assert moved.change == pytest.approx(gap - order.gap, abs=1e-6)


def test_what_leaves_a_model_without_a_score_is_said() -> None:
    votes = won({(0, 1): 6, (1, 0): 4, (0, 2): 3, (2, 0): 1, (1, 2): 2}, 3)
    found = influence(votes)
    missing = [one for one in found.orders[0].kinds if one.change is None]
    assert [one.what.said for one in missing] == ["m2 over m0"]  # type: ignore[union-attr]
    values = missing[0].to_dict()
    assert values["change_reason"] == "without it some model has no score"
    assert np.isnan(found.changes).all(axis=1).sum() == 1
    table = found.to_table()
    assert table.num_rows == len(found.kinds)
    assert table["change_m0"].null_count == 1
    # nor does any removal that is named take it
    for order in found.orders:
        assert all(kind.said != "m2 over m0" for kind, _ in order.removal.kinds)


# ---------------------------------------------------------------- the fewest
def test_two_models_at_sixty_to_forty() -> None:
    found = influence(won({(0, 1): 60, (1, 0): 40}, 2))
    assert found.first is not None
    removal = found.first.removal
    assert (removal.count, removal.battles) == (21, 21)  # 20 leave them equal
    assert removal.at_least in (20, 21)
    assert removal.share == pytest.approx(0.21)
    assert [(kind.said, number) for kind, number in removal.kinds] == [("m0 over m1", 21)]
    assert found.sentence == (
        "21 votes of 100 (21 %) decide who is first: without them m1 stands above m0."
    )


def test_equal_models_are_told_apart_by_one_vote() -> None:
    found = influence(won({(0, 1): 50, (1, 0): 50}, 2))
    assert found.first is not None
    assert found.first.removal.count == 1
    assert found.first.removal.exact
    assert found.sentence.startswith("1 vote of 100 (1 %) decides who is first: without it m1")


def test_an_order_that_no_removal_turns() -> None:
    # three must go, and the last win with them
    found = influence(won({(0, 1): 3, (1, 0): 1}, 2))
    assert found.first is not None
    assert found.first.removal.count is None
    assert "No removal of votes was found that changes who is first" in found.sentence
    values = found.to_dict()["first"]["fewest_battles"]
    assert values["count_reason"].startswith("no removal was found")
    assert errors(found) == []


def every_removal(held: Log, units: Units, ends: np.ndarray) -> list[int | None]:
    """Tries them all, the smallest first."""
    ways = itertools.product(*(range(int(count) + 1) for count in units.count))
    taken = np.array(list(ways), dtype=float)
    taken = taken[np.argsort(taken.sum(axis=1), kind="stable")]
    battles = taken @ units.battles.toarray()
    P = len(held.pairs.first)
    gone = [
        np.stack(
            [
                battles[:, held.place == p] @ held.cells.amounts[held.place == p, what]
                for p in range(P)
            ],
            axis=1,
        )
        for what in range(3)
    ]
    rest = less(held.pairs, *gone)
    good = joined(held.pairs, rest)
    some = Pairs(
        rest.models, rest.first, rest.second, rest.wins[good], rest.losses[good], rest.ties[good]
    )
    found = fit(some, ties=held.ties, ridge=held.ridge).scores
    numbers = taken[good].sum(axis=1)
    least = []
    for upper, lower in ends.tolist():
        turned = found[:, upper] - found[:, lower] < -1e-9
        least.append(int(numbers[turned].min()) if turned.any() else None)
    return least


def all_ends(held: Log) -> np.ndarray:
    order = np.argsort(-held.point.scores, kind="stable")
    value = held.point.scores
    return np.array(
        [(a, b) for a, b in itertools.combinations(order.tolist(), 2) if value[a] - value[b] > 1e-9]
    ).reshape(-1, 2)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=6, max_size=6))
def test_three_models_in_a_ring_are_exact(counts: list[int]) -> None:
    held = log(won(dict(zip(itertools.permutations(range(3), 2), counts, strict=True)), 3))
    ends = all_ends(held)
    assume(len(ends))
    expected = every_removal(held, kinds(held), ends)
    found = [None if one is None else one.count for one in fewest(held, kinds(held), ends)]
    assert found == expected
    for (upper, lower), least in zip(ends.tolist(), expected, strict=True):
        if least is not None:
            assert Bound(held).least(upper, lower) <= least + 1e-6


def tiny(rng: np.random.Generator, weights: str) -> Votes:
    """A few battles of a few models, with votes as in Bradley and Terry's model."""
    models, n = int(rng.integers(2, 5)), int(rng.integers(5, 10))
    first = rng.integers(models, size=n)
    second = (first + 1 + rng.integers(models - 1, size=n)) % models
    scores = rng.normal(size=models)
    p = 1 / (1 + np.exp(scores[second] - scores[first]))
    if weights == "one":
        outcome = np.where(rng.random(n) < 0.15, 2, np.where(rng.random(n) < p, 0, 1))
        return make(first, second, outcome, models)
    each = rng.integers(1, 6, n)
    own = rng.binomial(each, p)
    amounts = np.stack([own, each - own, 0 * own], axis=1).astype(np.float64)
    if weights == "unlike":
        amounts *= 10.0 ** rng.integers(0, 4, n)[:, None]
    elif weights == "large":
        amounts *= 1e11
    return make(first, second, np.zeros(n), models, amounts=amounts)


@pytest.mark.parametrize("weights", ["one", "several", "unlike", "large"])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_tiny_logs_against_every_removal(weights: str, ridge: float) -> None:
    rng = np.random.default_rng([len(weights), int(2 * ridge)])
    known = tight = 0
    while known < 8:
        votes = tiny(rng, weights)
        met = np.unique(np.r_[votes.first, votes.second])
        held = log(votes, ridge=ridge)
        if len(met) < len(votes.models) or components(held.pairs.matrix()).any():
            continue
        units, ends = kinds(held), all_ends(held)
        if not len(ends):
            continue
        expected = every_removal(held, units, ends)
        bound = Bound(held)
        for (upper, lower), least, found in zip(
            ends.tolist(), expected, fewest(held, units, ends), strict=True
        ):
            low = bound.least(upper, lower)
            assert 0 <= low < np.inf
            if found is not None:  # never fewer than there can be, and seldom more
                assert least is not None
                assert least <= found.count
                assert weights != "one" or found.count <= least + 1
            if least is not None:
                known += 1
                assert low <= least * (1 + 1e-6)
                tight += low > least - 1
    assert tight >= 2  # it is a bound that says something


def test_a_single_vote_that_decides_is_not_passed_by() -> None:
    # the search takes both battles that hold the order up, and stops at the last win
    amounts = np.array([[0.0, 300, 0], [30, 10, 0], [10, 20, 0]])
    votes = make([0, 0, 0], [1, 1, 1], [0, 0, 0], 2, amounts=amounts)
    held = log(votes)
    ends = all_ends(held)
    assert every_removal(held, kinds(held), ends) == [1]
    assert fewest(held, kinds(held), ends) == [None]
    found = influence(votes)
    assert found.models == ("m1", "m0")
    removal = found.orders[0].removal
    assert removal.exact
    assert [one["row"] for one in removal.rows] == [0]
    assert removal.gap == pytest.approx(apart(votes.take(np.array([1, 2])), "m1", "m0"), abs=1e-6)


@pytest.mark.parametrize("weight", [1e-3, 1e8, 1e12])
def test_bounds_do_not_know_the_unit_of_weights(weight: float) -> None:
    votes = drawn(7, 4, 200)
    plain = influence(votes, ridge=0)
    weighted = influence(replace(votes, amounts=weight * votes.each()), ridge=0)
    for one, other in zip(plain.orders, weighted.orders, strict=True):
        assert other.removal.at_least == one.removal.at_least
        assert other.removal.count == one.removal.count
    assert max(one.removal.at_least or 0 for one in plain.orders) > 1
    assert errors(weighted) == []


def test_caps_are_on_the_safe_side() -> None:
    # a pair that hardly moves beside T: the cap is many orders below T
    votes = drawn(8, 4, 200)
    amounts = np.array([1e10, 1.0, 1e-6])[np.arange(200) % 3][:, None] * votes.each()
    bound = Bound(log(replace(votes, amounts=amounts), ridge=0))
    rows = np.arange(len(bound._code))
    for T in (1e-8, 1.0, 1e5, 1e11):
        low, high = bound._ends(T)
        assert (bound._f(low, rows) < T).all()
        assert (bound._f(high, rows) >= T).all()
        assert (high / low < 1 + 1e-8).all()


def test_the_mean_slope_in_the_tails() -> None:
    for d, way in itertools.product((-40, -1, 0, 30), ("-50", "-1e-6", "1e-9", "2", "60")):
        with localcontext(prec=60):
            high, low = (1 / (1 + (-x).exp()) for x in (Decimal(d), d - Decimal(way)))
            expected = float((high - low) / Decimal(way))
        found = _mean_slope(np.array([float(d)]), np.array([float(way)]))[0]
        # d - way is rounded once: 1e-9 of it is what 1e-9 keeps at 40
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_fewest_voters_against_every_set_of_them(seed: int) -> None:
    votes = drawn(20 + seed, 3, 90, voters=9, spread=0.2)
    held = log(votes)
    cells, kind = cells_of(votes)
    _, flat = merged(cells)
    assert votes.voter is not None
    table = csr_matrix((np.ones(90), (votes.voter, flat[kind])), shape=(9, len(held.cells.count)))
    units = Units(np.ones(9), table)
    ends = all_ends(held)
    expected = every_removal(held, units, ends)
    for least, found in zip(expected, fewest(held, units, ends), strict=True):
        assert (found is None) == (least is None)
        assert found is None or found.count == least


@settings(max_examples=4, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(3, 5),
    st.sampled_from(["half", "davidson", "rao-kupper"]),
)
def test_without_the_named_votes_the_order_is_the_other(seed: int, models: int, ties: str) -> None:
    votes = drawn(seed, models, 300, voters=25)
    assert votes.voter is not None
    try:
        found = influence(votes, ties=ties, removals=300, seed=seed)
    except InputError:
        return
    for order in (*found.orders, found.first):
        assert order is not None
        removal, by_voter = order.removal, order.voter_removal
        if removal.count is not None:
            rows = [one["row"] for one in removal.rows]
            assert len(set(rows)) == removal.count
            without_them = votes.take(~np.isin(np.arange(300), rows))
            gap = apart(without_them, order.upper, order.lower, ties=found.ties)
            assert gap < 0
            assert gap == pytest.approx(removal.gap, abs=1e-6)
            assert set(scores(without_them, ties=found.ties)) == set(found.models)
            if removal.at_least is not None:
                assert removal.at_least <= removal.count
        assert by_voter is not None
        if by_voter.count is not None:
            gone = [votes.voters.index(name) for name in by_voter.voters]
            assert len(gone) == by_voter.count
            without_them = votes.take(~np.isin(votes.voter, gone))
            assert apart(without_them, order.upper, order.lower, ties=found.ties) < 0
            assert len(votes) - len(without_them) == by_voter.battles
            if by_voter.at_least is not None:
                assert by_voter.at_least <= by_voter.count


def test_a_planted_bloc_is_found() -> None:
    # one voter alone puts m1 first; the fewest voters are that one
    counts = {(0, 1): 500, (1, 0): 470, (0, 2): 300, (2, 0): 100, (1, 2): 300, (2, 1): 100}
    votes = won(counts, 3)
    assert list(scores(votes)) == ["m0", "m1", "m2"]
    rng, honest = np.random.default_rng(0), len(votes)
    more = make(
        np.r_[votes.first, np.ones(60)],
        np.r_[votes.second, np.zeros(60)],
        np.zeros(honest + 60),
        3,
        voter=np.r_[rng.integers(200, size=honest), np.full(60, 200)].astype(np.int32),
        voters=(*(f"v{one}" for one in range(200)), "the bloc"),
    )
    found = influence(more)
    assert found.models == ("m1", "m0", "m2")
    assert found.first is not None
    assert found.first.voter_removal is not None
    assert found.first.voter_removal.voters == ("the bloc",)
    assert found.first.voters[0].what == "the bloc"
    assert found.first.voter_removal.exact
    assert found.sentence.endswith(" 1 voter does of 201.")


def test_another_than_the_second_may_be_nearest_to_the_first() -> None:
    # m1 is second by many votes, m2 third by few: m2 is overtaking on fewer removals
    counts = {(0, 1): 520, (1, 0): 480, (0, 2): 5, (2, 0): 4, (1, 2): 5, (2, 1): 4}
    found = influence(won(counts, 3))
    assert found.models == ("m0", "m1", "m2")
    assert found.first is not None
    assert (found.first.upper, found.first.lower) == ("m0", "m2")
    assert found.first.removal.count is not None
    assert found.orders[0].removal.count is not None
    assert found.first.removal.count < found.orders[0].removal.count
    assert found.first.removal.at_least is not None
    assert found.first.removal.at_least <= found.first.removal.count


def test_a_large_log_is_not_all_refitted_and_lists_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    votes = drawn(40, 6, 3000, voters=300)
    whole = influence(votes, top=5)
    monkeypatch.setattr(influence_orders, "EXHAUSTIVE", 10)
    few = influence(votes, top=5)
    assert whole.kinds_by == whole.voters_by == "a refit without each"
    assert (
        few.voters_by
        == f"first order of all {few.voters}, and a refit without each of the 50 foremost"
    )
    assert few.changes.shape == (0, 6)
    assert few.to_table().num_rows == 0
    for one, other in zip(whole.orders, few.orders, strict=True):
        assert [moved.what for moved in one.voters] == [moved.what for moved in other.voters]
        np.testing.assert_allclose(
            [moved.change for moved in one.kinds], [moved.change for moved in other.kinds]
        )


def test_a_pool_of_units_still_turns_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    votes = drawn(41, 5, 2000, voters=400)
    whole = influence(votes)
    monkeypatch.setattr("whodrew.ranking.influence_fewest._POOL", 40)
    few = influence(votes)
    for one, other in zip(whole.orders, few.orders, strict=True):
        assert one.removal.count == other.removal.count
        if other.voter_removal is not None and other.voter_removal.count is not None:
            assert one.voter_removal is not None
            assert one.voter_removal.count is not None
            assert abs(one.voter_removal.count - other.voter_removal.count) <= 2


# ---------------------------------------------------------------- options, results, refusals
def errors(found: Influence) -> list[str]:
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert unexplained(values) == []
    return schema_errors("influence-1", values)


def test_results_keep_to_the_schema() -> None:
    votes = drawn(50, 5, 400, voters=30)
    for options in ({}, {"rank": 2}, {"ties": "davidson"}, {"top": 0, "removals": 0}):
        found = influence(votes, **options)  # type: ignore[arg-type]
        assert errors(found) == []
    assert errors(influence(replace(votes, voter=None))) == []
    broken = influence(votes).to_dict()
    del broken["orders"][0]["gap"]
    assert schema_errors("influence-1", broken)


def test_one_rank() -> None:
    votes = drawn(51, 6, 800)
    whole, one = influence(votes), influence(votes, rank=3)
    assert len(one.orders) == 1
    assert (one.orders[0].upper, one.orders[0].lower) == whole.models[2:4]
    assert one.orders[0].removal.count == whole.orders[2].removal.count
    assert one.first is None
    assert "who is number 3" in one.sentence
    assert [order.rank for order in whole.orders] == [1, 2, 3, 4, 5]


def test_the_seed_draws_which_of_the_votes_that_are_alike_are_named() -> None:
    votes = drawn(52, 4, 900)
    first, again, other = (influence(votes, seed=seed) for seed in (0, 0, 1))
    assert first.to_dict() == again.to_dict()
    assert first.orders[0].removal.rows != other.orders[0].removal.rows
    assert first.orders[0].removal.count == other.orders[0].removal.count


def test_names_of_rows_are_rows_of_the_log() -> None:
    votes = replace(drawn(53, 3, 200), row=np.arange(200)[::-1] * 7)
    found = influence(votes, removals=200)
    for one in found.orders[0].removal.rows:
        at = 199 - one["row"] // 7
        assert one["model_a"] == votes.models[votes.first[at]]
        assert one["model_b"] == votes.models[votes.second[at]]
        assert one["winner"] == ("model_a", "model_b", "tie")[votes.outcome[at]]
    told = Counter(number for _, number in found.orders[0].removal.kinds)
    assert sum(number * times for number, times in told.items()) == found.orders[0].removal.count


def test_models_without_a_score_are_left_aside() -> None:
    counts = {(0, 1): 30, (1, 0): 20, (0, 2): 5, (1, 2): 5}
    found = influence(won(counts, 3))
    assert found.models == ("m0", "m1")
    assert found.unscored == ("m2",)
    assert found.battles == 50
    assert any("10 battles with models that have no score" in note for note in found.notes)
    assert found.first is not None
    assert found.first.removal.count == 11
    rows = [one["row"] for one in found.first.removal.rows]
    assert max(rows) < 30


def test_what_cannot_be_served_is_refused() -> None:
    votes = drawn(54, 3, 90)
    for options, said in (
        ({"rank": 3}, "--rank is 3: 3 models are ranked, so give 1 to 2"),
        ({"rank": 0}, "ranks count from 1"),
        ({"top": -1}, "take 0 or more"),
        ({"ridge": np.nan}, "take 0 or more"),
        ({"ties": "thirds"}, "--ties is 'thirds'"),
    ):
        with pytest.raises(UsageError, match=said):
            influence(votes, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="join no two models"):
        influence(won({(0, 1): 5}, 2))


def test_davidson_without_ties_is_plain() -> None:
    found = influence(won({(0, 1): 9, (1, 0): 6}, 2), ties="davidson")
    assert found.ties == "half"
    assert any("plain Bradley-Terry" in note for note in found.notes)


# ---------------------------------------------------------------- the command
def save(path: Path, votes: Votes) -> Path:
    names = np.array(votes.models)
    columns = {
        "model_a": names[votes.first],
        "model_b": names[votes.second],
        "winner": np.array(["model_a", "model_b", "tie"])[votes.outcome],
    }
    if votes.voter is not None:
        columns["voter"] = np.array(votes.voters)[votes.voter]
    pq.write_table(pa.table(columns), path)
    return path


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = Shell(capsys)
    path = save(tmp_path / "votes.parquet", drawn(60, 4, 600, voters=30))
    ran = shell("votes", "influence", path, "--json", "-")
    assert ran.code == 0
    assert ran.json == json.loads(json.dumps(influence(path).to_dict()))
    assert ran.json["schema"] == "whodrew.influence/1"
    assert ran.json["source"] == str(path)
    for said in ("what turns each order", "fewest voters", "rows of the log", "decide", "voters"):
        assert said in ran.err
    assert ran.json["sentence"] in ran.err
    quiet = shell("votes", "influence", path, "--json", "-", "--quiet", "--rank", 2, "--top", 3)
    assert quiet.err == ""
    assert len(quiet.json["orders"]) == 1
    assert len(quiet.json["orders"][0]["kinds"]) == 3
    few = shell("votes", "influence", path, "--removals", 1, "--ties", "rao-kupper")
    assert (few.code, few.out) == (0, "")
    assert " more" in few.err
    ran = shell("votes", "influence", "--help")
    assert "Example: whodrew votes influence votes.parquet" in ran.out


def test_the_command_refuses_and_counts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(capsys)
    path = tmp_path / "votes.csv"
    path.write_text(
        "model_a,model_b,winner\n" + "a,b,model_a\n" * 6 + "b,a,model_a\n" * 3 + "a,b,x\n"
    )
    assert "votes.csv, line 11: unknown winner 'x'" in shell.refused("votes", "influence", path)
    ran = shell("votes", "influence", path, "--skip-bad", "--json", "-")
    assert ran.code == 1
    assert ran.json["skipped"] == {"unknown label": 1}
    assert ran.json["voters"] is None
    assert ran.json["first"]["fewest_battles"]["count"] == 4
    assert "bad: votes.csv, line 11" in ran.err
    words = ("votes", "influence", path, "--skip-bad")
    assert "--rank is 2" in shell.refused(*words, "--rank", 2)
    assert "no such file" in shell.refused("votes", "influence", tmp_path / "none.csv")
    assert "--json takes '-'" in shell.refused(*words, "--json", "x")
    monkeypatch.setenv("WHODREW_RANK", "2")
    assert "--rank is 2" in shell.refused(*words)
