"""Votes that attackers need: increments against naive refits, the mean, and what must hold."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn import Shell, schema_errors, unexplained
from whodrew.errors import InputError, UsageError
from whodrew.ranking import Manipulation, Votes, measured, rank, simulate
from whodrew.ranking.behaviour import Belief, cast, honest, totals, uniform
from whodrew.ranking.cells import Pairs
from whodrew.ranking.confusion import (
    Identification,
    identifications,
    of_accuracy,
    parse_accuracy,
    read_audit,
)
from whodrew.ranking.fit import fit
from whodrew.ranking.ranks import ranks_of
from whodrew.ranking.result import Bounded
from whodrew.ranking.simulate_frontier import Frontier, defended
from whodrew.ranking.simulate_log import Log, log_of, model_log
from whodrew.ranking.simulate_paths import Push, Scores, checkpoints, expected, ranks_after, walk
from whodrew.ranking.simulate_words import headline_of
from whodrew.ranking.voters import kernel_of


def log(models: int = 6, votes: int = 4000, ties: str = "half", spread: float = 0.5) -> Log:
    return model_log(votes, models, ties=ties, ridge=1e-6, sampling="uniform", spread=spread)


def attack(where: Log, spec: str, accuracy: float, at: int, ranks: int, *, up: bool = True) -> Any:
    C = of_accuracy(accuracy, len(where.models))
    share, _ = cast(
        kernel_of(spec, Belief(where.battle, C), where.aim(at, ranks, up=up)), where.battle
    )
    return where.by_pair(share)


def drawn(seed: int, models: int, battles: int) -> Votes:
    """Votes of honest voters, 10 % ties."""
    rng = np.random.default_rng(seed)
    scores = np.linspace(0.6, -0.6, models)
    share, _ = cast(honest(scores, tie_share=0.1), uniform(models))
    kinds = rng.choice(share.size, size=battles, p=share.reshape(-1))
    first, second, outcome = np.unravel_index(kinds, share.shape)
    names = tuple(f"m{code}" for code in range(models))
    return Votes(names, first.astype(np.int32), second.astype(np.int32), outcome.astype(np.int8))


def save(path: Path, votes: Votes) -> Path:
    labels = ("model_a", "model_b", "tie")
    pq.write_table(
        pa.table(
            {
                "model_a": [votes.models[code] for code in votes.first],
                "model_b": [votes.models[code] for code in votes.second],
                "winner": [labels[code] for code in votes.outcome],
            }
        ),
        path,
    )
    return path


def quick(votes: Any = None, **more: Any) -> Manipulation:
    """A small simulation."""
    given: dict[str, Any] = {
        "accuracies": ("chance", 0.6, 1),
        "ranks": (1, 2),
        "strategies": ("target-only",),
        "repetitions": 60,
        "shares": (0.1,),
        "factors": (1.0,),
    }
    if votes is None:
        given |= {"honest": 3000, "models": 6}
    return simulate(votes, **given | more)


# ---------------------------------------------------------------- increments
@pytest.mark.parametrize("ties", ["half", "davidson", "rao-kupper"])
def test_scores_that_follow_totals_are_those_of_a_fit(ties: str) -> None:
    where = log(ties=ties)
    share = attack(where, "target-only", 0.7, 4, 1)
    rng = np.random.default_rng(0)
    counts = np.array(where.again(rng).totals(20))
    followed = Scores(where, counts)
    for n in (5, 50, 500, 5000):  # far beyond what the Hessian of the log describes
        counts += totals(share.reshape(-1), n, 20, rng).reshape(counts.shape)
        followed.follow(counts)
        pairs = Pairs(6, where.pairs.first, where.pairs.second, *counts.transpose(1, 0, 2))
        whole = fit(pairs, ties=ties, ridge=1e-6)
        one_vote = float(np.linalg.inv(whole.hessian + np.eye(whole.hessian.shape[-1])).max())
        assert followed.scores == pytest.approx(whole.scores, abs=0.5 * one_vote)
        assert (ranks_of(followed.scores) == ranks_of(whole.scores)).mean() > 0.98


def test_the_mean_is_found_by_bisection_of_naive_fits() -> None:
    where = log()
    share = attack(where, "target-only", 0.7, 4, 1)
    found = expected(where, share, Push(4, True, (1, 2, 3)), 20_000)
    for wanted, n in zip((4, 3, 2), found, strict=True):
        low, high = 0.0, 20_000.0
        for _ in range(40):
            middle = (low + high) / 2
            counts = where.flat() + middle * share
            pairs = Pairs(6, where.pairs.first, where.pairs.second, *counts)
            there = ranks_of(fit(pairs).scores)[4] <= wanted
            low, high = (low, middle) if there else (middle, high)
        assert n == pytest.approx(high, rel=1e-3)


@pytest.mark.parametrize("ties", ["half", "davidson", "rao-kupper"])
@pytest.mark.parametrize("spec", ["target-only", "omnipresent"])
def test_simulation_and_mean_agree_on_a_fixed_log(ties: str, spec: str) -> None:
    where = log(votes=200_000, ties=ties)
    share = attack(where, spec, 0.8, 4, 2)
    push = Push(4, True, (1, 2))
    mean = expected(where, share, push, 1e6)
    found = walk(
        where,
        share,
        push,
        checkpoints(float(mean.min()) / 8, 100_000),
        repetitions=150,
        rng=np.random.default_rng(1),
        fixed=True,
    )
    assert np.median(found, axis=0) == pytest.approx(mean, rel=0.03)


def test_increments_agree_with_row_by_row_simulation() -> None:
    """Every battle, answer and vote drawn one by one; ranks by refits from the rows."""
    where = log(models=5, votes=1500, spread=0.4)
    C, T, plain = of_accuracy(0.75, 5), 3, where.honest
    wanted, most, repetitions = 2, 400, 30
    rng = np.random.default_rng(3)
    base = plain[..., :3] * where.battle[..., None]
    needed = []
    for _ in range(repetitions):
        kinds = rng.choice(base.size, size=1500, p=(base / base.sum()).reshape(-1))
        wins = np.zeros((5, 5))
        _add(wins, *np.unravel_index(kinds, base.shape))
        goal = max(1, int(ranks_of(_naive(wins))[T]) - 1)
        rows: list[tuple[int, int, int]] = []
        while len(rows) < most:
            i, j = rng.choice(5, size=2, replace=False)
            a, b = (rng.choice(6, p=C[one]) for one in (i, j))
            # uniform errors: the answer is the likeliest model
            if T not in (a, b):
                continue
            left = a == T if a != b else rng.random() < 0.5
            rows.append((int(i), int(j), 0 if left else 1))
        low, high = 0, most + 1
        while high - low > 1:
            middle = (low + high) // 2
            more = wins.copy()
            _add(more, *np.array(rows[:middle]).T)
            there = ranks_of(_naive(more))[T] <= goal
            low, high = (low, middle) if there else (middle, high)
        needed.append(high)
    share = attack(where, "target-only", 0.75, T, 1)
    assert int(where.ranks[T]) - 1 == wanted + 1
    found = walk(
        where,
        share,
        Push(T, True, (1,)),
        checkpoints(2, most),
        repetitions=2000,
        rng=np.random.default_rng(4),
        fixed=False,
    )[:, 0]
    found = np.minimum(np.ceil(found), most + 1)
    spread = float(np.std(needed)) / np.sqrt(repetitions)
    assert np.mean(found) == pytest.approx(np.mean(needed), abs=3.5 * spread)


def _add(wins: np.ndarray, first: Any, second: Any, outcome: Any) -> None:
    for i, j, what in zip(first, second, outcome, strict=True):
        wins[i, j] += (1.0, 0.0, 0.5)[what]
        wins[j, i] += (0.0, 1.0, 0.5)[what]


def _naive(wins: np.ndarray) -> np.ndarray:
    """Zermelo's iteration for Bradley and Terry's model."""
    strength = np.ones(len(wins))
    met = wins + wins.T
    for _ in range(60):
        strength = wins.sum(axis=1) / (met / (strength[:, None] + strength[None, :])).sum(axis=1)
        strength /= strength.mean()
    return np.log(strength)


# ---------------------------------------------------------------- what must hold
@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.3, 0.95),
    st.floats(0.01, 0.3),
    st.sampled_from(["target-only", "mimic(share=0.2)", "omnipresent"]),
)
def test_better_identification_never_needs_more_votes(
    seed: int, accuracy: float, more: float, spec: str
) -> None:
    notes: list[str] = []
    where = log_of(drawn(seed, 6, 1500), ties="half", ridge=1e-6, sampling="uniform", notes=notes)
    at = int(np.argsort(-where.point.scores)[4])
    push = Push(at, True, (2,))
    worse, better = (
        expected(where, attack(where, spec, one, at, 2), push, 1e5)[0]
        for one in (accuracy, min(1.0, accuracy + more))
    )
    if spec == "omnipresent" and np.isfinite(worse):  # its plan is good to first order
        assert better <= worse * 1.1
    else:
        assert better <= worse * (1 + 1e-6)


def test_guessing_moves_nothing() -> None:
    for spec in ("target-only", "omnipresent", "mimic"):
        done = quick(strategies=(spec,), accuracies=("chance",), honest=300_000, budget=30_000)
        for one in done.curves[0].needed:
            assert one.expected is None
            assert one.votes.value is None
            assert one.reached == 0
        assert done.by_share[0].gained.value == 0


def test_a_sure_attacker_who_is_never_sure_never_votes() -> None:
    done = quick(strategies=("abstain",), accuracies=(0.6,))
    one = done.curves[0].needed[0]
    assert done.curves[0].voted == 0
    assert "never votes" in (one.votes.reason or "")
    assert "never votes" in (one.expected_reason or "")


def test_twice_the_honest_votes_need_twice_the_attack() -> None:
    where = log()
    share = attack(where, "target-only", 0.7, 4, 1)
    push = Push(4, True, (1, 3))
    once, ten = (
        expected(replace(one, ridge=0.0), share, push, 1e6) for one in (where, where.scaled(10))
    )
    assert ten == pytest.approx(10 * once, rel=1e-3)


@pytest.mark.parametrize("spec", ["target-only", "omnipresent"])
def test_a_rival_falls_as_a_target_rises_in_the_mirror(spec: str) -> None:
    where = log()
    pairs = replace(where.pairs, wins=where.pairs.losses, losses=where.pairs.wins)
    mirror = replace(
        where,
        pairs=pairs,
        point=replace(where.point, scores=-where.point.scores),
        honest=where.honest[..., [1, 0, 2, 3]],
    )
    up = expected(where, attack(where, spec, 0.7, 4, 2), Push(4, True, (2,)), 1e5)
    down = expected(mirror, attack(mirror, spec, 0.7, 4, 2, up=False), Push(4, False, (2,)), 1e5)
    assert down == pytest.approx(up, rel=1e-3)


def test_battles_seen_are_votes_over_the_share_voted_on() -> None:
    done = quick(accuracies=(0.9,), repetitions=400, fixed=True, honest=20_000)
    curve = done.curves[0]
    one = curve.needed[0]
    assert curve.voted == pytest.approx(1 / 3, abs=0.02)
    assert one.battles.value == pytest.approx(one.votes.value / curve.voted, rel=0.05)  # type: ignore[operator]
    assert one.battles.low > one.votes.low  # type: ignore[operator]


def test_omnipresent_attackers_need_fewer_battles() -> None:
    done = quick(strategies=("target-only", "omnipresent"), accuracies=(0.9,), honest=50_000)
    only, everywhere = (curve.needed[1] for curve in done.curves)
    assert everywhere.battles.value < only.battles.value  # type: ignore[operator]
    assert everywhere.votes.value > only.votes.value  # type: ignore[operator]


def test_ranks_after_a_share_of_votes_are_those_of_the_path() -> None:
    where = log(votes=20_000)
    share = attack(where, "target-only", 0.9, 4, 2)
    n = expected(where, share, Push(4, True, (2,)), 1e5)[0]
    amounts = np.array([round(0.9 * n), round(1.1 * n)])
    before, after = ranks_after(
        where, share, 4, amounts, repetitions=50, rng=np.random.default_rng(0), fixed=True
    )
    assert (before == 5).all()
    assert (after[:, 0] == 4).mean() > 0.9
    assert (after[:, 1] == 3).mean() > 0.9


def test_attack_figures_are_of_the_ranking_that_rank_gives() -> None:
    votes = drawn(5, 6, 3000)
    ranking = rank(votes, bootstraps=0, ties="davidson")
    done = quick(votes, ties="davidson")
    assert list(done.models) == [one.model for one in ranking.leaderboard]
    assert done.aim["score"] == pytest.approx(ranking.scores()[done.aim["model"]])
    assert done.aim["rank"] == list(done.models).index(done.aim["model"]) + 1


def test_the_same_seed_gives_the_same_figures() -> None:
    once, again, other = (quick(seed=seed).to_dict() for seed in (0, 0, 1))
    assert once == again
    assert once["curves"] != other["curves"]


def test_a_model_that_is_taken_is_said_and_has_ranks_above() -> None:
    done = quick(honest=3000, models=22, ranks=(1, 5), repetitions=5)
    assert done.aim["rank"] == 12
    assert not done.aim["given"]
    assert any("no --target" in note for note in done.notes)
    few = quick(honest=3000, models=4, ranks=(1, 5), repetitions=5)
    assert few.aim["rank"] == 4
    one = few.curves[0].needed[1].to_dict()
    assert (one["votes"], one["votes_reason"]) == (None, "there is no rank -1")
    assert one["reached"] is None


def test_models_without_a_score_take_no_part() -> None:
    votes = drawn(1, 5, 2000)
    # m4 never loses: it cannot be ranked, nor can it be the target
    rigged = np.where(votes.first == 4, 0, np.where(votes.second == 4, 1, votes.outcome))
    votes = replace(votes, outcome=rigged.astype(np.int8))
    done = quick(votes)
    assert "m4" not in done.models
    assert any("no score for 'm4'" in note for note in done.notes)
    with pytest.raises(UsageError, match="--target 'm4' is none of the models"):
        quick(votes, target="m4")


# ---------------------------------------------------------------- identification
def test_confusions_of_an_accuracy() -> None:
    like = np.array([[0.7, 0.3, 0.0, 0], [0.2, 0.8, 0.0, 0], [0.0, 0.1, 0.6, 0.3]])
    for accuracy in (1 / 3, 0.5, 0.7, 0.9, 1.0):
        for base in (None, like):
            found = of_accuracy(accuracy, 3, base)
            assert found.sum(axis=1) == pytest.approx(np.ones(3))
            assert np.diagonal(found).mean() == pytest.approx(accuracy)
    assert of_accuracy(0.7, 3, like) == pytest.approx(like)
    assert of_accuracy(0.85, 3, like)[0, 2] == 0  # errors stay where they are
    assert of_accuracy(1 / 3, 3, like)[:, :3] == pytest.approx(np.full((3, 3), 1 / 3))
    assert parse_accuracy("Chance", 4) == 0.25
    assert [one.label for one in identifications(("chance", 1), 4)] == [
        "chance (0.250)",
        "accuracy 1",
    ]


def timid(models: int, right: float, answered: float) -> np.ndarray:
    """An attacker who answers for few images; errors are uniform."""
    C = np.full((models, models + 1), (answered - right) / (models - 1))
    C[np.arange(models), np.arange(models)] = right
    C[:, models] = 1 - answered
    return C


@pytest.mark.parametrize(
    ("right", "answered"),
    [(0.08, 0.08), (0.05, 0.2), (0.1, 0.9), (0.0, 1.0), (0.0, 0.0), (1 / 6, 1 / 6), (0.3, 0.5)],
)
def test_more_accurate_confusions_never_need_more_votes(right: float, answered: float) -> None:
    like, where, push = timid(6, right, answered), log(votes=20_000), Push(4, True, (1,))
    grid = (1 / 6, 0.17, 0.2, 0.25, 0.3, 0.5, 0.8, 1.0)
    needed = []
    for accuracy in grid:
        C = of_accuracy(accuracy, 6, like)
        assert C.sum(axis=1) == pytest.approx(np.ones(6))
        assert C.min() >= 0
        assert np.diagonal(C).mean() == pytest.approx(accuracy)
        says = kernel_of("target-only", Belief(where.battle, C), where.aim(4, 1, up=True))
        share = where.by_pair(cast(says, where.battle)[0])
        needed.append(expected(where, share, push, 1e9)[0])
    assert needed[0] == np.inf  # guessing carries nothing, whatever was measured
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(needed))
    assert np.isfinite(needed[2:]).all()


def test_chance_is_guessing_beside_an_attacker_who_answers_rarely() -> None:
    like = timid(8, 0.08, 0.08)
    chance, more = identifications(("chance", 0.2), 8, like)
    assert chance.confusion[:, :8] == pytest.approx(np.full((8, 8), 1 / 8))
    assert not chance.confusion[:, 8].any()
    # forced to answer for all, it is right in 0.08 + 0.92 / 8: 0.2 is a little more
    assert more.confusion[0, 1] == pytest.approx(0.92 / 8 * (1 - 0.2) / (1 - 0.195))
    given = Identification("timid", like)
    done = quick(honest=300_000, models=8, identified=(given,), accuracies=("chance",), ranks=(1,))
    assert done.curves[0].needed[0].votes.value is not None
    assert done.curves[1].needed[0].to_dict()["expected"] is None
    assert "Guessing does not get there" in done.headline


def audit_folder(folder: Path, models: list[str], **more: Any) -> Path:
    """Writes an audit of three attacks, as ``whodrew audit`` does."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    attacks = []
    for at, (shown, right) in enumerate((("each-once", 19), ("any", 16), ("any", 8))):
        rows = [(truth, truth, right) for truth in models]
        rows += [(truth, models[code - 1], 19 - right) for code, truth in enumerate(models)]
        rows += [(truth, "unknown", 1) for truth in models]
        table = pa.table(
            dict(zip(("truth", "answer", "count"), zip(*rows, strict=True), strict=True))
        )
        name = f"tables/confusion-{at}.parquet"
        pq.write_table(table, folder / name)
        attacks.append(
            {
                "encoder": "fingerprint",
                "identifier": f"attack-{at}",
                "canonical": None,
                "knowledge": {"shown": shown, "prompts": "other"},
                "top1": {"value": right / 20, "low": 0.1, "high": 1.0, "chance": 0.1},
                "confusion": name,
            }
        )
    values = {"schema": "whodrew.audit/1", "attacks": attacks} | more
    (folder / "audit.json").write_text(json.dumps(values))
    return folder / "audit.json"


MODELS = [f"m{code}" for code in range(6)]


def test_confusions_are_those_of_the_audits_images_shown_alone(tmp_path: Path) -> None:
    file = audit_folder(tmp_path, [*MODELS, "stranger"])
    (one,) = read_audit(file, MODELS)
    assert one.attack is not None
    assert one.attack["identifier"] == "attack-1"  # two images of a battle are not a round of all
    assert one.accuracy == pytest.approx(0.8)
    assert one.confusion[1] == pytest.approx([0.15, 0.8, 0, 0, 0, 0, 0.05])
    assert one.confusion[0] == pytest.approx([0.8, 0, 0, 0, 0, 0, 0.2])  # taken for a stranger
    assert len(read_audit(tmp_path, MODELS, 5)) == 2
    done = quick(drawn(2, 6, 2000), audit=file, target="m4")
    assert done.curves[0].identification.to_dict()["attack"]["top1"]["value"] == 0.8
    # further accuracies err as the measured attacker does
    assert done.curves[2].identification.confusion[1, 0] == pytest.approx(
        of_accuracy(0.6, 6, one.confusion)[1, 0]
    )


def test_an_audit_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = audit_folder(tmp_path, MODELS[:5])
    with pytest.raises(InputError, match=r"names no image of 'm5'.*give --accuracy"):
        read_audit(file, MODELS)
    (tmp_path / "tables" / "confusion-1.parquet").unlink()
    with pytest.raises(InputError, match="keep the tables beside it"):
        read_audit(file, MODELS[:5])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "tables" / "confusion-1.parquet")
    with pytest.raises(InputError, match="no column answer, count, truth"):
        read_audit(file, MODELS[:5])
    for text, said in (
        ("{", "cannot read"),
        ("[]", "no whodrew.audit result"),
        ('{"schema": "whodrew.audit/1"}', "has no attacks"),
        ('{"schema": "whodrew.audit/1", "attacks": []}', "no attack with confusions"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            read_audit(file, MODELS)


DEEP = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("3", r"audit.json: attacks\[0\] is 3: it has to be an object"),
        ('{"knowledge": "any"}', r"attacks\[0\].knowledge is 'any': it has to be an object"),
        ('{"top1": 0.7}', r"attacks\[0\].top1 is 0.7: it has to be an object"),
        ('{"top1": {"value": NaN}}', "NaN is no JSON number; write it again"),
        ('{"top1": {"value": 1e999}}', "1e999 is too large"),
        ('{"top1": {"value": 7}}', r"top1.value is 7: it has to be a share"),
        ('{"top1": {"value": 0.5, "low": "x"}}', "top1.low is 'x'"),
        ('{"top1": {"value": true}}', "top1.value is True"),
        ('{"confusion": 3}', r"attacks\[0\].confusion is 3: it has to be a text"),
        ('{"confusion": "a\\u0000b"}', "cannot read"),
        ('{"encoder": "\\ud800", "confusion": "tables/c.parquet"}', "cannot read"),
        (f'{{"encoder": {DEEP}}}', "nested too deeply"),
        ('{"count": ' + "9" * 5000 + "}", "cannot read"),
    ],
)
def test_an_audit_with_wrong_values_is_refused(attack: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    file.write_text(f'{{"schema": "whodrew.audit/1", "attacks": [{attack}]}}')
    with pytest.raises(InputError, match=said):
        read_audit(file, MODELS)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("count", [3, None, 3, 3, 3, 3], "row 2, count is null: give a number of images"),
        ("count", [3, 3, float("nan"), 3, 3, 3], "row 3, count is nan"),
        ("count", [-5.0, 3, 3, 3, 3, 3], "row 1, count is -5.0"),
        ("count", [float("inf")] * 6, "row 1, count is inf"),
        ("count", list("333333"), "column count is of string: give numbers"),
        ("count", [True] * 6, "column count is of bool"),
        ("truth", [*MODELS[:5], None], "row 6, truth is null: give the model"),
        ("truth", list(range(6)), "column truth is of int64: give names"),
        ("answer", [[one] for one in MODELS], "column answer is of list"),
    ],
)
def test_confusions_with_wrong_values_are_refused(
    column: str, values: list[Any], said: str, tmp_path: Path
) -> None:
    file = audit_folder(tmp_path, MODELS)
    held = {"truth": MODELS, "answer": MODELS, "count": [3] * 6} | {column: values}
    pq.write_table(pa.table(held), tmp_path / "tables" / "confusion-1.parquet")
    with pytest.raises(InputError, match=f"confusion-1.parquet: {said}"):
        read_audit(file, MODELS)


def test_no_answer_is_unknown() -> None:
    held = {"truth": MODELS, "answer": [*MODELS[:5], None], "count": [3] * 6}
    table = pa.table({key: pa.array(one) for key, one in held.items()})
    table = table.set_column(0, "truth", table["truth"].dictionary_encode())
    found = measured(table, MODELS, {}, "mine")
    assert found.confusion[5] == pytest.approx(np.eye(7)[6])


# ---------------------------------------------------------------- defences
def rate(value: float | None, half: float = 0.0) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"value": value, "low": value - half, "high": value + half, "chance": 0.1}


def test_times_the_votes_are_ratios_of_votes_needed() -> None:
    def needs(accuracy: float) -> np.ndarray:
        gain = accuracy - 0.1
        return np.array([10 / gain if gain > 1e-9 else np.inf])

    points = (
        ("none", rate(0.9, 0.05)),
        ("half", rate(0.5, 0.02)),
        ("all", rate(0.1)),
        ("edge", rate(0.15, 0.1)),
        ("failed", None),
    )
    held = Frontier(rate(0.9, 0.05) or {}, None, points)
    found = {one.defence: one for one in defended(held, needs, (1,), chance=0.1, seed=0)}
    assert found["none"].times.value == pytest.approx(1)
    assert found["none"].times.low < 1 < found["none"].times.high  # type: ignore[operator]
    half = found["half"].times
    assert half.value == pytest.approx(2, rel=0.01)
    # delta method: relative deviations 0.025 / 0.4 and 0.0625 / 0.8, as intervals
    assert half.high == pytest.approx(2 * (1 + np.hypot(0.05, 0.0625)), rel=0.02)
    assert found["all"].times.value is None
    assert "no number of votes" in found["all"].to_dict()["times_reason"]
    assert found["edge"].times.high is None
    assert found["edge"].times.low > 3  # type: ignore[operator]
    assert found["failed"].to_dict()["top1_reason"] == "no attacker could be measured"


def frontier(folder: Path, undefended: float | None, points: dict[str, float | None]) -> Path:
    values = {
        "schema": "whodrew.frontier/1",
        "undefended": [
            {"knowledge": {"shown": "each-once"}, "top1": rate(0.95)},
            {"knowledge": {"shown": "any"}, "top1": rate(undefended, 0.02)},
            {"knowledge": {"shown": "any"}, "top1": None},
        ][0 if undefended else 2 :],
        "points": [
            {"defence": name, "strongest": None if top1 is None else {"top1": rate(top1, 0.02)}}
            for name, top1 in points.items()
        ],
    }
    file = folder / "frontier.json"
    file.write_text(json.dumps(values))
    return file


def test_a_frontier_says_what_a_defence_costs_the_attacker(tmp_path: Path) -> None:
    file = frontier(tmp_path, 0.8, {"jpeg": 0.8, "crowd": 0.4, "lost": None})
    done = quick(frontier=file)
    assert done.defended is not None
    one = {(each.defence, each.ranks): each for each in done.defended}
    assert one["jpeg", 1].times.value == pytest.approx(1)
    crowd = one["crowd", 1]
    assert crowd.times.low < crowd.times.value < crowd.times.high  # type: ignore[operator]
    where = log(votes=3000, spread=0.6)
    at, wanted = done.aim["rank"] - 1, Push(done.aim["rank"] - 1, True, (1,))
    with_it, without = (
        expected(where, attack(where, "target-only", each, at, 1), wanted, 1e6)[0]
        for each in (0.4, 0.8)
    )
    assert crowd.times.value == pytest.approx(with_it / without, rel=0.02)
    assert "With crowd it needs" in done.headline
    assert any("among 10 models, the votes rank 6" in note for note in done.notes)
    with pytest.raises(InputError, match="no attacker measured without defence"):
        quick(frontier=frontier(tmp_path, None, {}))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"points": ["d0"]}, "points[0] is 'd0': it has to be an object"),
        ({"points": [{"defence": "d", "strongest": "x"}]}, "points[0].strongest is 'x'"),
        ({"points": [{"strongest": None}]}, "points[0].defence is null"),
        (
            {"points": [{"defence": "d", "strongest": {"top1": 0.7}}]},
            "points[0].strongest.top1 is 0.7",
        ),
        (
            {"points": [{"defence": "d", "strongest": {"top1": {"value": 7.0}}}]},
            "points[0].strongest.top1.value is 7.0: it has to be a share from 0 to 1",
        ),
        (
            {"points": [{"defence": "d", "strongest": {"top1": rate(float("nan"))}}]},
            "NaN is no JSON number",
        ),
        (
            {"points": [{"defence": "d", "strongest": {"top1": {"value": 0.3, "low": 0.4}}}]},
            "low, value and high have to ascend",
        ),
        ({"points": {}}, "has no points"),
        ({"undefended": None}, "has no undefended"),
        ({"undefended": ["x"]}, "undefended[0] is 'x'"),
        ({"undefended": [{"knowledge": "any", "top1": rate(0.7)}]}, "undefended[0].knowledge"),
        ({"undefended": [{"top1": {"value": "0.7"}}]}, "undefended[0].top1.value is '0.7'"),
        ({"undefended": [{"top1": rate(0.7) | {"chance": 0}}]}, "top1.chance is 0"),  # type: ignore[operator]
        ({"undefended": [{"top1": rate(0.7) | {"chance": "a"}}]}, "top1.chance is 'a'"),  # type: ignore[operator]
        (DEEP, "nested too deeply"),
    ],
)
def test_a_wrong_frontier_is_refused_before_anything_is_simulated(
    more: Any, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = frontier(tmp_path, 0.8, {"jpeg": 0.4})
    values = json.loads(file.read_text())
    file.write_text(more if isinstance(more, str) else json.dumps(values | more))
    # so many votes and repetitions take hours
    words = ("--honest", 10**11, "--models", 300, "--repetitions", 10**6, "--frontier", file)
    heard = Shell(capsys).refused("votes", "simulate", *words)
    assert said in heard
    assert "frontier.json" in heard


# ---------------------------------------------------------------- ranks that are not left
def test_repetitions_that_are_there_without_a_vote_are_told() -> None:
    few = {"honest": 300, "models": 6, "spread": 0.2, "target": "model-02", "accuracies": (0.9,)}
    done = quick(**few, ranks=(1, 2))
    one, none = done.curves[0].needed
    assert one.at_start is not None
    assert one.reached is not None
    assert 0.1 < one.at_start < 0.5
    assert one.reached >= one.at_start
    assert one.votes.low == one.battles.low == 0
    assert f"In {100 * one.at_start:.0f} % of the repetitions it is first" in done.headline
    assert (none.at_start, none.to_dict()["at_start_reason"]) == (None, "there is no rank 0")
    # of a draw of the log alone, without an attack
    rng = np.random.default_rng(9)
    where = log(votes=300, spread=0.2)
    first = ranks_of(Scores(where, np.array(where.again(rng).totals(2000))).scores)[:, 1] == 1
    assert one.at_start == pytest.approx(first.mean(), abs=3.5 * np.sqrt(0.25 / 60))
    fixed = quick(**few, ranks=(1,), fixed=True)
    assert fixed.curves[0].needed[0].at_start == 0
    assert "repetitions" not in fixed.headline


def test_the_headline_makes_no_attack_of_a_rank_that_is_there_already() -> None:
    done = quick(honest=300, target="model-02", ranks=(1,), accuracies=("chance", 0.9))
    guess, sure = done.curves
    one = sure.needed[0]
    guess, curve = (
        replace(each, needed=(replace(each.needed[0], votes=Bounded(0, 0, 9, ""), at_start=0.6),))
        for each in (guess, sure)
    )
    said = headline_of(done.aim, curve, (guess, curve), None)
    assert "0 votes." not in said
    assert "needs 0 votes" not in said
    assert "nothing left to gain in 60 % of the repetitions" in said
    assert f"in the mean {one.expected:,.0f} votes do" in said


def test_a_voter_who_never_votes_is_where_the_log_has_it() -> None:
    done = quick(
        honest=300,
        models=6,
        spread=0.2,
        target="model-02",
        strategies=("abstain",),
        accuracies=(0.6,),
        ranks=(1,),
    )
    one = done.curves[0].needed[0]
    assert one.reached == one.at_start
    assert one.at_start
    assert one.votes.value is None


# ---------------------------------------------------------------- the command
QUICK = ("--repetitions", 40, "--ranks", 1, "--ranks", 2, "--accuracy", "chance")


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = Shell(capsys)
    path = save(tmp_path / "votes.parquet", drawn(0, 6, 2000))
    audit_folder(tmp_path, MODELS)
    words = ("votes", "simulate", path, "--audit", tmp_path, *QUICK, "--strategy", "target-only")
    more = ("--strategy", "mimic(share=0.2)", "--frontier")
    file = frontier(tmp_path, 0.8, {"jpeg": 0.3})
    ran = shell(*words, *more, file, "--json", "-")
    assert ran.code == 0
    assert schema_errors("manipulation-1", ran.json) == []
    assert unexplained(ran.json) == []
    assert ran.json["schema"] == "whodrew.manipulation/1"
    assert {one["strategy"] for one in ran.json["curves"]} == {"target-only", "mimic(share=0.2)"}
    assert len(ran.json["curves"]) == 4
    assert [one["honest_votes"] for one in ran.json["by_honest_votes"]] == [200, 2000, 20_000]
    assert {one["share"] for one in ran.json["by_share"]} == {0.01, 0.05, 0.1}
    assert ran.json["cost"] is None
    assert "votes to move" in ran.err
    assert ran.json["headline"] in " ".join(ran.err.split())
    again = shell(*words, *more, file, "--json", "-", "--quiet")
    assert (again.err, again.json) == ("", ran.json)


def test_the_command_on_a_model_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(capsys)
    words = ("votes", "simulate", "--honest", 5000, "--models", 8, *QUICK, "--quiet", "--json", "-")
    ran = shell(*words, "--sampling", "near", "--rival", "model-02", "--share", 0.2, "--factor", 1)
    assert ran.code == 0
    assert schema_errors("manipulation-1", ran.json) == []
    assert ran.json["aim"] | {"score": 0} == {
        "model": "model-02",
        "direction": "down",
        "rank": 2,
        "score": 0,
        "given": True,
    }
    assert ran.json["curves"][0]["ranks"][0]["to_rank"] == 3
    assert len(ran.json["by_honest_votes"]) == 1


def test_a_log_with_bad_rows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = Shell(capsys)
    path = tmp_path / "votes.csv"
    rows = [f"{a},{b},{who}" for a in "abc" for b in "abc" if a != b for who in ("tie", "model_a")]
    path.write_text("\n".join(["model_a,model_b,winner", *rows, "a,b,nobody"]) + "\n")
    assert "unknown winner 'nobody'" in shell.refused("votes", "simulate", path)
    ran = shell("votes", "simulate", path, "--skip-bad", *QUICK, "--json", "-", "--target", "c")
    assert ran.code == 1
    assert ran.json["skipped"] == {"unknown label": 1}
    assert schema_errors("manipulation-1", ran.json) == []


def test_accuracies_below_chance_are_no_default(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--honest", 900, "--models", 3, "--repetitions", 3, "--ranks", 1, "--json", "-")
    ran = Shell(capsys)("votes", "simulate", *words, "--strategy", "target-only")
    labels = [one["identification"]["label"] for one in ran.json["curves"]]
    assert labels[:2] == ["chance (0.333)", "accuracy 0.67"]
    assert len(labels) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give a vote log, or a model of one"),
        (("--honest", 100), "give a vote log, or a model of one"),
        (("--honest", 10, "--models", 9), "a vote a pair"),
        (("LOG", "--honest", 10, "--models", 2), "give no vote log then"),
        (("LOG", "--target", "m9"), "--target 'm9' is none of the models that have a score"),
        (("LOG", "--rival", "m"), "did you mean"),
        (("LOG", "--target", "m1", "--rival", "m2"), "give one of them"),
        (("LOG", "--accuracy", "0.05"), "from chance (1/6 = 0.167 for 6 models) to 1"),
        (("LOG", "--accuracy", "high"), "give a share as 0.67, or chance"),
        (("LOG", "--accuracy", "nan"), "from chance"),
        (("LOG", "--strategy", "omnipotent"), "did you mean omnipresent"),
        (("LOG", "--share", "1"), "above 0 and below 1"),
        (("LOG", "--factor", "0"), "sizes of the log above 0"),
        (("LOG", "--ranks", "0"), "--ranks"),
        (("LOG", "--sampling", "some"), "--sampling"),
        (("LOG", "--budget", 10**23), "--budget takes 1 or more, and at most 1,000,000,000,000"),
        (("--honest", 10**26, "--models", 6), "give at most 1,000,000,000,000 votes"),
        (("--honest", 10**12, "--models", 10**5), "1,000 models"),
        (("LOG", "--repetitions", 10**23), "--repetitions takes 1 or more, and at most"),
        (("LOG", "--ranks", 10**23), "--ranks takes 1 or more, and at most"),
        (("LOG", "--share", "0.9999999999999999"), "--share is 0.9999999999999999"),
        (("LOG", "--ridge", "inf"), "--ridge takes 0 or more"),
        (("LOG", "--audit", "nothing.json"), "cannot read nothing.json: No such file"),
        (("LOG", "--frontier", "nothing.json"), "cannot read nothing.json: No such file"),
        (("--honest", 100, "--models", 3, "--spread", 0), "above 0 and below 10"),
    ],
)
def test_wrong_use_is_refused(
    words: tuple[Any, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "votes.parquet", drawn(0, 6, 400))
    given = [path if one == "LOG" else one for one in words]
    if "--repetitions" not in given:
        given += ["--repetitions", 3]
    assert said in Shell(capsys).refused("votes", "simulate", *given)


def test_options_of_the_function_are_named_as_the_command_has_them() -> None:
    with pytest.raises(UsageError, match="--budget takes 1 or more"):
        quick(budget=0)


def test_the_most_votes_can_be_simulated() -> None:
    done = quick(honest=10**12, budget=10**12, ranks=(1,), accuracies=(0.9,), repetitions=5)
    one = done.curves[0].needed[0]
    assert one.expected == pytest.approx(one.votes.value, rel=0.01)


def test_measured_identifications_may_be_given_directly() -> None:
    table = pa.table({"truth": MODELS, "answer": MODELS, "count": [3] * 6})
    found = measured(table, MODELS, {"encoder": "mine"}, "mine")
    assert isinstance(found, Identification)
    done = quick(drawn(0, 6, 2000), identified=[found], accuracies=(), target="m3")
    assert done.curves[0].identification.label == "mine"
    assert done.to_table().num_rows == 4
    with pytest.raises(UsageError, match="how well images are identified"):
        quick(accuracies=())
