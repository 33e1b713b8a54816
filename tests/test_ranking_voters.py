"""Voters as kernels: honest ones, what an attacker believes, and what each strategy does."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from whodrew.errors import UsageError
from whodrew.ranking.behaviour import (
    ABSTAIN,
    AS_HONEST,
    FIRST,
    SECOND,
    TIE,
    Belief,
    battles,
    cast,
    draw,
    honest,
    totals,
    uniform,
)
from whodrew.ranking.cells import Pairs, cells_of
from whodrew.ranking.confusion import of_accuracy
from whodrew.ranking.fit import fit
from whodrew.ranking.models import davidson, rao_kupper
from whodrew.ranking.simulate_log import Log, model_log
from whodrew.ranking.voters import VOTERS, Aim, kernel_of, parse_strategy, spell, strategies
from whodrew.ranking.votes import Votes


def log(models: int = 6, ties: str = "half", votes: int = 6000, sampling: str = "uniform") -> Log:
    return model_log(votes, models, ties=ties, ridge=0.0, sampling=sampling)


def confusion(seed: int, models: int, sharp: float = 1.0) -> np.ndarray:
    """Answers that are better than guessing, and differ between models; some are unknown."""
    rng = np.random.default_rng(seed)
    found = rng.dirichlet(np.full(models + 1, 0.4), size=models)
    found += sharp * np.eye(models, models + 1)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def fitted(share: np.ndarray, votes: float, ties: str = "half") -> np.ndarray:
    """Scores of (M, M, 3) expected votes, by side."""
    M = len(share)
    first, second = np.triu_indices(M, k=1)
    both = share + share.transpose(1, 0, 2)[..., [1, 0, 2]]
    wins, losses, tied = (votes * both[first, second]).T
    return fit(Pairs(M, first, second, wins, losses, tied), ties=ties, ridge=0.0).scores


OFF = ~np.eye(6, dtype=bool)


# ---------------------------------------------------------------- honest voters
@pytest.mark.parametrize("tie_share", [None, 0.05, 0.3, 0.6])
def test_honest_votes_refit_to_the_scores_they_come_from(tie_share: float | None) -> None:
    scores = np.array([0.9, 0.4, 0.1, -0.1, -0.3, -1.0])
    share, total = cast(honest(scores, tie_share=tie_share), uniform(6))
    assert total == pytest.approx(1)
    assert fitted(share, 1e6) == pytest.approx(scores, abs=1e-9)
    assert share[..., TIE].sum() == pytest.approx(tie_share or 0, abs=1e-9)


def test_more_ties_than_scores_allow_are_as_many_as_there_can_be() -> None:
    scores = np.array([2.0, 0.0, -2.0])
    share, _ = cast(honest(scores, tie_share=0.95), uniform(3))
    assert fitted(share, 1e6) == pytest.approx(scores, abs=1e-6)
    p = 1 / (1 + np.exp(np.array([2.0, 4.0, 2.0])))
    assert share[..., TIE].sum() == pytest.approx(2 * p.mean(), abs=1e-4)


def test_honest_votes_are_those_of_the_tie_models() -> None:
    scores = np.array([0.5, 0.0, -0.5])
    for ties, model, tie in (("davidson", davidson, -0.4), ("rao-kupper", rao_kupper, 0.3)):
        kernel = honest(scores, tie=tie, ties=ties, position=0.2)
        for i, j in itertools.permutations(range(3), 2):
            d = np.array(scores[i] - scores[j] + 0.2)
            assert kernel[i, j, :3] == pytest.approx(np.array(model(d, np.array(tie))))
        assert not kernel[np.arange(3), np.arange(3)].any()


def test_battles_of_each_sampling() -> None:
    votes = Votes(
        ("a", "b", "c"),
        np.array([0, 0, 1, 0], np.int32),
        np.array([1, 1, 2, 2], np.int32),
        np.array([0, 1, 0, 1], np.int8),
    )
    scores = np.array([1.0, 0.0, -1.0])
    cells, _ = cells_of(votes)
    assert battles("log", scores, cells)[0].tolist() == [0, 0.5, 0.25]
    near = battles("near", scores)
    assert near[0, 1] == pytest.approx(2 * near[0, 2])
    assert near.sum() == pytest.approx(1)
    with pytest.raises(UsageError, match="needs a vote log"):
        battles("log", scores)
    with pytest.raises(UsageError, match="give uniform, log, near"):
        battles("far", scores)


# ---------------------------------------------------------------- beliefs
def test_beliefs_are_those_of_a_loop_over_pairs() -> None:
    M, C = 5, confusion(3, 5)
    battle = battles("near", np.arange(M)[::-1].astype(float))
    belief = Belief(battle, C)
    values = np.random.default_rng(0).normal(size=(M, M))
    mean, (shown, other) = belief.expect(values), belief.shows(2)
    first, second = belief.likeliest()
    for a, b in itertools.product(range(M + 1), repeat=2):
        joint = np.array([[battle[i, j] * C[i, a] * C[j, b] for j in range(M)] for i in range(M)])
        assert belief.seen[a, b] == pytest.approx(joint.sum())
        posterior = joint / joint.sum()
        assert mean[a, b] == pytest.approx((posterior * values).sum())
        assert shown[a, b] == pytest.approx(posterior[2].sum())
        assert other[a, b] == pytest.approx(posterior[:, 2].sum())
        assert first[a, b] == posterior.sum(axis=1).argmax()
        assert second[a, b] == posterior.sum(axis=0).argmax()


def test_two_images_are_never_believed_to_be_of_one_model() -> None:
    belief = Belief(uniform(4), of_accuracy(0.9, 4))
    first, second = belief.shows(1)
    assert first[1, 1] + second[1, 1] <= 1 + 1e-12
    assert first[1, 1] == pytest.approx(0.5, abs=0.02)  # named twice, it is one of them


def test_a_kernel_is_what_many_votes_come_to() -> None:
    rng = np.random.default_rng(5)
    M, C = 4, confusion(1, 4)
    says = rng.dirichlet(np.ones(5), size=(M + 1, M + 1))
    plain = honest(rng.normal(size=M), tie_share=0.2)
    kernel = Belief(uniform(M), C).kernel(says, plain)
    n = 200_000
    for i, j in ((0, 1), (3, 2)):
        a, b = rng.choice(M + 1, size=n, p=C[i]), rng.choice(M + 1, size=n, p=C[j])
        chosen = (rng.random((n, 1)) > says[a, b].cumsum(axis=1)).sum(axis=1)
        share = np.bincount(chosen, minlength=5) / n
        wanted = share[:4] + share[AS_HONEST] * plain[i, j]
        assert kernel[i, j] == pytest.approx(wanted, abs=0.005)


# ---------------------------------------------------------------- strategies
def kernel(spec: str, C: np.ndarray, at: int = 3, ranks: int = 2, *, up: bool = True) -> Any:
    where = log()
    return kernel_of(spec, Belief(where.battle, C), where.aim(at, ranks, up=up))


@pytest.mark.parametrize("spec", ["target-only", "abstain", "mimic(share=0)", "mimic(share=0.25)"])
@pytest.mark.parametrize("up", [True, False])
def test_who_never_errs_votes_for_the_target_alone(spec: str, up: bool) -> None:
    found = kernel(spec, of_accuracy(1, 6), up=up)
    plain = log().honest
    share = 0.25 if "0.25" in spec else 0.0
    for i, j in itertools.permutations(range(6), 2):
        wanted = np.zeros(4)
        if 3 in (i, j):
            wanted[FIRST if (i == 3) == up else SECOND] = 1
            wanted = (1 - share) * wanted + share * plain[i, j]
        elif "mimic" in spec:
            wanted = plain[i, j]
        else:
            wanted[ABSTAIN] = 1
        assert found[i, j] == pytest.approx(wanted)


@pytest.mark.parametrize(("way", "place"), [("tie", TIE), ("abstain", ABSTAIN)])
def test_target_only_elsewhere(way: str, place: int) -> None:
    found = kernel(f"target-only(otherwise={way})", of_accuracy(1, 6))
    assert found[0, 1, place] == 1
    random = kernel("target-only(otherwise=random)", of_accuracy(1, 6))
    assert random[0, 1, :2].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("spec", ["target-only", "omnipresent", "mimic", "abstain(threshold=0.1)"])
def test_guessing_gains_nothing(spec: str) -> None:
    where = log()
    aim = where.aim(3, 1, up=True)
    C = of_accuracy(1 / 6, 6)
    found, aimless = kernel_of(spec, Belief(where.battle, C), aim), aim.honest
    share, total = cast(found, where.battle)
    if total == 0:
        return
    # whichever is shown, the same is done: all models gain alike, against an even vote
    if spec == "mimic":
        share = share - cast(aimless, where.battle)[0] * share.sum()
    gain = share[..., FIRST].sum(axis=1) - share[..., SECOND].sum(axis=1)
    turned = share[..., SECOND].sum(axis=0) - share[..., FIRST].sum(axis=0)
    net = gain + turned
    if spec != "mimic":
        assert net == pytest.approx(np.zeros(6), abs=1e-12)
    else:  # it undoes its own honest part, and no more for the target than for others
        order = np.argsort(where.point.scores)
        assert (np.diff(net[order]) <= 1e-12).all() or (np.diff(net[order]) >= -1e-12).all()


def test_abstain_votes_only_where_it_is_sure() -> None:
    C = confusion(2, 6, sharp=2.0)
    where = log()
    belief = Belief(where.battle, C)
    says = parse_strategy("abstain(threshold=0.8)").says(belief, where.aim(3, 1, up=True))
    first, second = belief.shows(3)
    sure = np.maximum(first, second) >= 0.8
    assert sure.any()
    assert not sure.all()
    assert ((says[..., ABSTAIN] == 0) == sure).all()
    acts = belief.seen * says[..., FIRST]
    assert (acts * first).sum() / acts.sum() >= 0.8  # calibrated: so often it is right


def test_the_omnipresent_voter_is_as_good_as_a_linear_programme() -> None:
    where = log(sampling="near")
    C = confusion(7, 6, sharp=1.5)
    belief = Belief(where.battle, C)
    aim = where.aim(4, 3, up=True)
    says = parse_strategy("omnipresent").says(belief, aim)
    shares = np.array(
        [
            [belief.seen * belief.expect(gain[..., what]) for what in range(3)]
            for gain in aim.gains / aim.gaps[:, None, None, None]
        ]
    ).reshape(3, 3, -1)
    mine = (shares * says[..., :3].reshape(-1, 3).T[None]).sum(axis=(1, 2)).min()
    cells = shares.shape[-1]
    # maximise t: every gap closes at t or more; probabilities of 3 outcomes in each cell
    objective = np.r_[np.zeros(3 * cells), -1]
    closes = np.c_[-shares.reshape(3, -1), np.ones(3)]
    whole = np.c_[np.tile(np.eye(cells), 3), np.zeros(cells)]
    best = linprog(
        objective,
        A_ub=np.r_[closes, whole],
        b_ub=np.r_[np.zeros(3), np.ones(cells)],
        bounds=[(0, 1)] * (3 * cells) + [(None, None)],
    )
    assert 0.98 * -best.fun <= mine <= -best.fun * (1 + 1e-9)


def test_gains_are_what_a_vote_does_to_the_scores() -> None:
    for ties in ("half", "davidson", "rao-kupper"):
        where = log(ties=ties, votes=600_000)
        aim = where.aim(4, 2, up=True)
        for i, j, outcome in ((0, 3, 1), (4, 2, 0), (1, 5, 2)):
            more = np.zeros((6, 6, 3))
            more[i, j, outcome] = 1.0
            counts = where.flat() + where.by_pair(more)
            moved = fit(
                Pairs(6, where.pairs.first, where.pairs.second, *counts), ties=ties, ridge=0.0
            ).scores
            change = moved - where.point.scores
            for at, passed in enumerate((2, 3)):
                assert aim.gains[at, i, j, outcome] == pytest.approx(
                    change[4] - change[passed], rel=1e-3, abs=1e-9
                )
            if (i, j) == (4, 2):
                assert aim.gains[:, i, j, outcome].min() > 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(
        ["target-only", "target-only(otherwise=honest)", "omnipresent", "abstain", "mimic"]
    ),
    st.booleans(),
)
def test_every_kernel_holds_probabilities(seed: int, spec: str, up: bool) -> None:
    found = kernel(spec, confusion(seed, 6, sharp=seed % 3), at=seed % 6, ranks=2, up=up)
    assert found.min() >= -1e-12
    assert found.sum(axis=-1)[OFF] == pytest.approx(np.ones(30))
    assert not found[~OFF].any()


# ---------------------------------------------------------------- rows and totals
def test_rows_and_totals_have_the_shares_of_the_kernel() -> None:
    rng = np.random.default_rng(2)
    vote, battle = kernel("target-only", confusion(4, 6)), battles("near", np.arange(6.0))
    share, _ = cast(vote, battle)
    first, second, outcome = draw(vote, battle, 60_000, rng)
    drawn = np.zeros((6, 6, 3))
    np.add.at(drawn, (first, second, outcome), 1)
    assert drawn / 60_000 == pytest.approx(share, abs=0.01)
    assert drawn[share == 0].sum() == 0
    for n in (40, 4000):  # one by one, and by binomials
        found = totals(share.reshape(-1), n, 3000, rng).reshape(-1, *share.shape)
        assert (found.sum(axis=(1, 2, 3)) == n).all()
        assert found.mean(axis=0) / n == pytest.approx(share, abs=0.01)
        variance = n * share * (1 - share)
        assert found.var(axis=0)[share > 0.01] == pytest.approx(variance[share > 0.01], rel=0.2)


def test_who_never_votes_leaves_no_log() -> None:
    nobody = np.zeros((3, 3, 4))
    nobody[..., ABSTAIN] = 1
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="never votes"):
        draw(nobody, uniform(3), 5, rng)
    share, voted = cast(nobody, uniform(3))
    assert voted == 0
    assert not totals(share.reshape(-1), 5, 2, rng).any()
    assert not totals(np.array([0.5, 0.5]), 0, 3, rng).any()


# ---------------------------------------------------------------- SPECs
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "a strategy must be named"),
        ("targetonly", "did you mean target-only"),
        ("abstain(threshold=2)", "above 0, at most 1"),
        ("abstain(treshold=0.5)", "did you mean threshold"),
        ("mimic(share=1)", "at least 0, below 1"),
        ("mimic(share=many)", "is not a number"),
        ("target-only(otherwise=sleep)", "give abstain, tie, random, honest"),
        ("mimic+abstain", "names 2"),
    ],
)
def test_a_wrong_spec_is_refused(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_strategy(spec)


def test_one_spelling() -> None:
    assert spell(" abstain( threshold = 0.90 ) ") == "abstain"
    assert spell("mimic(share=.30)") == "mimic(share=0.3)"
    assert [one.name for one in strategies()][:4] == [
        "target-only",
        "omnipresent",
        "abstain",
        "mimic",
    ]


@dataclass(frozen=True)
class _Odd:
    shape: int = 5

    def says(self, belief: Belief, aim: Aim) -> Any:
        if self.shape < 0:
            raise ValueError("no idea")
        A = belief.confusion.shape[1]
        return np.full((A, A, self.shape), 1 / 5)


def test_strangers_may_register_and_are_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = type("Point", (), {"load": lambda _: _Odd, "value": "odd:Odd"})()
    monkeypatch.setattr(VOTERS, "_third_party", lambda: {"acme/odd": point})
    assert kernel("acme/odd", of_accuracy(1, 6)).sum(axis=-1)[OFF] == pytest.approx(np.ones(30))
    with pytest.raises(UsageError, match=r"package acme cannot be used.*no probabilities"):
        kernel("acme/odd(shape=4)", of_accuracy(1, 6))
    with pytest.raises(UsageError, match=r"package acme fails.*no idea"):
        kernel("acme/odd(shape=-1)", of_accuracy(1, 6))
