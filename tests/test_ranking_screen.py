"""Screening: likelihood ratios against loops, calibration, power, rings, times, the command."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import kstest

from drawn import Shell, schema_errors
from whodrew.errors import InputError, UsageError
from whodrew.ranking import Votes, read_votes, screen, write_kept
from whodrew.ranking.screen import BY
from whodrew.ranking.screen_battles import battle_p_values
from whodrew.ranking.screen_decide import fresh_rate, judged
from whodrew.ranking.screen_evidence import crowd_of
from whodrew.ranking.screen_model import (
    Honest,
    Log,
    draw_outcomes,
    fit_honest,
    leave_out,
    log_of,
    totals_of,
    vote_chances,
)
from whodrew.ranking.screen_result import share_of
from whodrew.ranking.screen_rings import find_rings, layout_of, ring_null, strongest
from whodrew.ranking.screen_roc import RISK, Scene, power_in
from whodrew.ranking.screen_tastes import draw_votes, spread_of, tastes_of
from whodrew.ranking.screen_times import far_out, times_of_voters
from whodrew.ranking.screen_votes import (
    SHARES,
    fit_trusted,
    judge,
    null_of,
    ratios,
    settle,
    simulated,
)

M = 8
TARGET = 5


def crowd(
    seed: int,
    voters: int = 120,
    votes: int = 4800,
    *,
    attackers: int = 0,
    share: float = 0.9,
    times: bool = False,
    prompts: int = 0,
) -> Votes:
    """Honest voters by Davidson's model; the first ``attackers`` favour ``TARGET``."""
    rng = np.random.default_rng(seed)
    truth = Honest(np.linspace(0.8, -0.8, M), 0.1, -0.8, np.eye(M + 2))
    first = rng.integers(M, size=votes)
    second = (first + 1 + rng.integers(M - 1, size=votes)) % M
    voter = rng.integers(voters, size=votes)
    chance = truth.chances()[first, second]
    u = rng.random(votes)
    said = (u > chance[:, 0]).astype(int) + (u > chance[:, :2].sum(axis=1))
    bent = (voter < attackers) & (rng.random(votes) < share)
    said = np.where(bent & (first == TARGET), 0, np.where(bent & (second == TARGET), 1, said))
    time = None
    if times:
        time = np.zeros(votes)
        for one in range(voters):
            mine = np.flatnonzero(voter == one)
            pace = np.log(25) + rng.normal(0, 0.3)
            gap = np.exp(rng.normal(pace, 0.8, len(mine)))
            gap[rng.random(len(mine)) < 0.05] += 30_000
            time[mine] = rng.uniform(0, 1e6) + np.cumsum(gap)
    return Votes(
        tuple(f"m{code}" for code in range(M)),
        first.astype(np.int32),
        second.astype(np.int32),
        said.astype(np.int8),
        voter=voter.astype(np.int32),
        voters=tuple(f"v{code:03d}" for code in range(voters)),
        time=time,
        prompt=rng.integers(prompts, size=votes).astype(np.int32) if prompts else None,
    )


def fitted_log(votes: Votes, least: int = 10) -> tuple[Log, Honest, np.ndarray]:
    log, _ = log_of(votes, least)
    trusted = np.ones(log.voters, dtype=bool)
    return log, fit_trusted(log, log.outcome, trusted), trusted


def write(votes: Votes, file: Path) -> Path:
    assert votes.voter is not None
    labels = np.array(["model_a", "model_b", "tie"])
    columns: dict[str, Any] = {
        "battle": [f"b{at}" for at in range(len(votes))],
        "model_a": np.array(votes.models)[votes.first],
        "model_b": np.array(votes.models)[votes.second],
        "winner": labels[votes.outcome],
        "voter": np.array(votes.voters)[votes.voter],
    }
    if votes.time is not None:
        columns["timestamp"] = votes.time
    table = pa.table(columns)
    if file.suffix == ".csv":
        pyarrow.csv.write_csv(table, file)
    else:
        pq.write_table(table, file)
    return file


# ---------------------------------------------------------------- the honest model
def test_honest_fit_is_a_direct_optimum() -> None:
    log, fitted, _ = fitted_log(crowd(0, 30, 900))
    totals = totals_of(log, log.outcome)

    def loss(point: np.ndarray) -> float:
        d = point[:M, None] - point[None, :M] + point[M]
        parts = np.stack([d / 2, -d / 2, np.full_like(d, point[M + 1])], axis=-1)
        log_p = parts - np.log(np.exp(parts).sum(axis=-1, keepdims=True))
        return float(-(totals * log_p).sum() + 0.5e-3 * (point**2).sum())

    best = minimize(loss, np.zeros(M + 2), method="BFGS", options={"gtol": 1e-8}).x
    assert fitted.scores == pytest.approx(best[:M] - best[:M].mean(), abs=1e-5)
    assert (fitted.position, fitted.tie) == pytest.approx((best[M], best[M + 1]), abs=1e-5)


def test_leaving_a_voter_out_is_a_refit_without_it() -> None:
    log, fitted, trusted = fitted_log(crowd(1, 40, 4000))
    change = leave_out(log, log.outcome, fitted, trusted)
    for voter in (0, 7, 39):
        without = fit_honest(totals_of(log, log.outcome, log.voter != voter))
        moved = np.r_[
            without.scores - fitted.scores,
            without.position - fitted.position,
            without.tie - fitted.tie,
        ]
        assert change[voter] == pytest.approx(moved, abs=0.05 * np.abs(moved).max() + 1e-3)
        assert np.abs(moved).max() > 0.005


def test_those_outside_the_fit_are_not_taken_out_again() -> None:
    log, fitted, trusted = fitted_log(crowd(1, 40, 1000))
    trusted[3] = False
    change = leave_out(log, log.outcome, fitted, trusted)
    assert not change[3].any()
    assert change[4].any()


# ---------------------------------------------------------------- the likelihood ratio
def slow_ratio(log: Log, fitted: Honest, change: np.ndarray, voter: int) -> float:
    """By one vote at a time, from the definition."""
    best = 0.0
    for target in range(log.models):
        for up in (True, False):
            for share in SHARES:
                total = 0.0
                for i, j, said in zip(
                    log.first[log.voter == voter],
                    log.second[log.voter == voter],
                    log.outcome[log.voter == voter],
                    strict=True,
                ):
                    if target not in (i, j):
                        continue
                    d = fitted.scores[i] + change[voter, i] - fitted.scores[j] - change[voter, j]
                    d += fitted.position + change[voter, M]
                    weights = np.array(
                        [np.exp(d / 2), np.exp(-d / 2), np.exp(fitted.tie + change[voter, M + 1])]
                    )
                    p = weights[said] / weights.sum()
                    favours = said == (0 if (i == target) == up else 1)
                    total += np.log((1 - share) + (share / p if favours else 0.0))
                best = max(best, total)
    return best


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(30, 80))
@settings(max_examples=15, deadline=None)
def test_ratio_is_that_of_a_loop_over_votes(seed: int, voters: int, votes: int) -> None:
    log, fitted, trusted = fitted_log(crowd(seed, voters, votes), least=1)
    change = leave_out(log, log.outcome, fitted, trusted)
    found = ratios(log, log.outcome, vote_chances(log, log.outcome, fitted, change))
    for voter in range(log.voters):
        assert found.ratio[voter] == pytest.approx(slow_ratio(log, fitted, change, voter), abs=1e-9)
    assert (found.ratio >= 0).all()


@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_the_order_of_votes_and_the_names_of_voters_change_nothing(seed: int) -> None:
    votes = crowd(seed, 20, 600)
    rng = np.random.default_rng(seed)
    again = votes.take(rng.permutation(len(votes)))
    turn = rng.permutation(20).astype(np.int32)
    assert again.voter is not None
    again = replace(again, voter=turn[again.voter])
    one, _, trusted = fitted_log(votes)
    other, _, _ = fitted_log(again)
    first, second = judge(one, one.outcome, trusted)[0], judge(other, other.outcome, trusted)[0]
    assert np.sort(first.ratio) == pytest.approx(np.sort(second.ratio), abs=1e-6)


def test_a_target_is_named_with_its_direction() -> None:
    votes = crowd(3, 100, 5000, attackers=2, share=0.95)
    log, _, trusted = fitted_log(votes)
    found, _ = judge(log, log.outcome, trusted)
    assert (found.target[:2] == TARGET).all()
    assert found.up[:2].all()
    turned = replace(votes, outcome=np.array([1, 0, 2], np.int8)[votes.outcome])
    log, _, trusted = fitted_log(turned)
    found, _ = judge(log, log.outcome, trusted)
    assert (found.target[:2] == TARGET).all()
    assert not found.up[:2].any()


# ---------------------------------------------------------------- calibration
def test_p_values_of_honest_voters_are_uniform() -> None:
    log, fitted, trusted = fitted_log(crowd(4))
    drawn = [one.ratio for _, one, _ in simulated(log, fitted, trusted, 100, (1,))]
    null = null_of(np.array(drawn), log.sizes())
    p = np.concatenate(
        [null.p_values(one.ratio) for _, one, _ in simulated(log, fitted, trusted, 30, (2,))]
    )
    assert kstest(p, "uniform").statistic < 0.03
    for level in (0.01, 0.05, 0.2):
        error = np.sqrt(level * (1 - level) / len(p))
        assert abs((p <= level).mean() - level) < 4 * error + 0.1 * level


def test_honest_logs_exclude_what_was_asked_though_the_truth_is_not_the_fit() -> None:
    rates = []
    for seed in range(5):
        found = screen(crowd(50 + seed), by=("votes",), simulations=40, ranked=False)
        rates.append(found.excluded_voters / found.judged)
        assert found.crowd is not None
        assert not found.crowd["varies_more"]
    assert np.mean(rates) < 0.03  # 600 voters, 1 % asked


def test_the_interval_of_false_exclusion_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    for truth in (0.002, 0.01, 0.05):
        inside = 0
        for _ in range(400):
            one = share_of(rng.binomial(150, truth, size=20), 150)
            assert one.low is not None
            assert one.high is not None
            inside += one.low <= truth <= one.high
        assert inside / 400 > 0.92
    spread = share_of(np.array([0, 0, 0, 0, 30]), 100)
    even = share_of(np.array([6, 6, 6, 6, 6]), 100)
    assert spread.low is not None
    assert even.low is not None
    assert spread.low < even.low


def test_the_stated_false_exclusion_is_that_of_other_honest_logs() -> None:
    log, fitted, trusted = fitted_log(crowd(6))
    layout = layout_of(log, None)
    verdict, rules = judged(log, layout, 0.03, False, 50, 0, None)
    rate, logs = fresh_rate(log, verdict.fitted, rules, ("votes",), 0, None)
    assert logs == 25
    out = []
    for outcome, _, _ in simulated(log, fitted, trusted, 30, (77,)):
        one, _, _ = settle(log, outcome, rules.null, 0.03, fitted)
        out.append((rules.null.p_values(one.ratio) <= 0.03).mean())
    assert rate.low is not None
    assert rate.high is not None
    error = np.std(out) / np.sqrt(len(out))
    assert rate.low - 2 * error < np.mean(out) < rate.high + 2 * error


def test_beyond_what_was_simulated_p_values_go_on_falling() -> None:
    rng = np.random.default_rng(0)
    null = null_of(rng.exponential(size=(50, 200)), np.full(200, 10))
    ratio = np.zeros(200)
    ratio[:3] = 20, 30, 40
    p = null.p_values(ratio)
    assert 0 < p[2] < p[1] < p[0] < 1e-4
    assert p[0] >= 0.2 * np.exp(-20)  # never lighter than an exponential tail of rate 1
    assert (p[3:] > 0.3).all()


# ---------------------------------------------------------------- power
def test_attackers_are_caught_and_the_target_goes_back_down() -> None:
    votes = crowd(7, 120, 7000, attackers=5, share=0.95)
    found = screen(votes, bootstraps=50, simulations=40)
    names = {f"v{code:03d}" for code in range(5)}
    assert names <= set(found.excluded())
    assert len(set(found.excluded()) - names) <= 4
    top = next(one for one in found.suspects if one.voter == "v000")
    assert (top.target, top.up) == (f"m{TARGET}", True)
    assert top.favoured > top.expected
    assert found.before is not None
    assert found.after is not None
    name = f"m{TARGET}"
    assert found.after.scores()[name] < found.before.scores()[name] - 0.02
    honest = screen(crowd(7, 120, 7000), by=("votes",), simulations=40, ranked=False)
    assert found.after.scores()[name] == pytest.approx(-0.35, abs=0.25)
    assert honest.excluded_voters < 5


def test_attackers_who_bend_the_fit_are_still_seen() -> None:
    votes = crowd(8, 60, 6000, attackers=5, share=1.0)
    found = screen(votes, by=("votes",), simulations=40, ranked=False, most_excluded=0.3)
    assert {f"v{code:03d}" for code in range(5)} <= set(found.excluded())


def test_more_than_the_most_excludes_nobody() -> None:
    votes = crowd(9, 30, 3000, attackers=10, share=0.95)
    found = screen(votes, simulations=40, bootstraps=0, most_excluded=0.05)
    assert found.exit_code == 3
    assert found.refused is not None
    assert "more than --most-excluded 0.05" in found.refused
    assert found.excluded() == ()
    assert found.keep.all()
    assert found.after is None
    values = found.to_dict()
    assert values["acted"] is False
    assert values["found"]["voters"] > 1
    assert any(one["excluded"] for one in values["suspects"])  # would be


# ---------------------------------------------------------------- rings
def test_a_ring_of_unsuspicious_voters_is_found() -> None:
    rng = np.random.default_rng(0)
    votes = crowd(10, 200, 16_000, prompts=8)
    log, fitted, trusted = fitted_log(votes)
    assert votes.prompt is not None
    layout = layout_of(log, votes.prompt[log.place].astype(np.int64))
    assert layout.views == ("target", "pairs", "prompts")
    maxima = []
    for outcome, _, refit in simulated(log, fitted, trusted, 30, (1,)):
        maxima.append(strongest(log, layout, outcome, refit))
    null = ring_null(maxima)
    # the members answer alike, prompt by prompt, and favour no model
    ring = np.arange(20, 32)
    assert layout.item is not None
    wanted = rng.random(layout.items + 1) < 0.5
    n = log.judged
    alike = np.isin(log.voter[:n], ring) & (rng.random(n) < 0.8) & (layout.item >= 0)
    said = np.where(wanted[layout.item] == (log.first[:n] < log.second[:n]), 0, 1)
    outcome = log.outcome.copy()
    outcome[:n] = np.where(alike, said, outcome[:n])
    rings = find_rings(log, layout, outcome, fit_trusted(log, outcome, trusted, fitted), null, 0.01)
    members = np.concatenate([one.members for one in rings])
    assert np.isin(ring, members).mean() > 0.7
    assert np.isin(members, ring).mean() > 0.9
    assert rings[0].view == "prompts"
    assert rings[0].target is None
    assert rings[0].p_value < 1e-4


def test_honest_logs_hold_no_rings() -> None:
    votes = crowd(11, 80, 3000, prompts=6)
    log, fitted, trusted = fitted_log(votes)
    assert votes.prompt is not None
    layout = layout_of(log, votes.prompt[log.place].astype(np.int64))
    rng = np.random.default_rng(3)

    def drawn(count: int) -> list[tuple[Any, Honest]]:
        logs = [draw_outcomes(log, fitted, rng) for _ in range(count)]
        return [(one, fit_trusted(log, one, trusted, fitted)) for one in logs]

    null = ring_null([strongest(log, layout, one, refit) for one, refit in drawn(40)])
    hits = [bool(find_rings(log, layout, one, refit, null, 0.05)) for one, refit in drawn(40)]
    assert np.mean(hits) < 0.2


def test_a_ring_for_one_target_names_it() -> None:
    votes = crowd(12, 200, 14_000, attackers=14, share=0.7)
    found = screen(votes, simulations=20, ranked=False, most_excluded=0.5)
    assert found.rings
    ring = found.rings[0]
    assert (ring.target, ring.up) == (f"m{TARGET}", True)
    assert np.mean([one in {f"v{code:03d}" for code in range(14)} for one in ring.members]) > 0.8
    inside = [one for one in found.suspects if one.ring == 0]
    assert {one.voter for one in inside} == set(ring.members)
    assert all("ring" in one.reasons for one in inside)


# ---------------------------------------------------------------- battles and times
def test_who_votes_only_where_the_target_is_stands_out() -> None:
    votes = crowd(13, 100, 4000)
    first, second = votes.first.copy(), votes.second.copy()
    assert votes.voter is not None
    mine = votes.voter == 17
    other = (TARGET + 1 + np.arange(mine.sum()) % (M - 1)) % M
    first[mine], second[mine] = TARGET, other
    log, codes = log_of(replace(votes, first=first, second=second), 10)
    p, target = battle_p_values(log, None, 40, (1,))
    assert codes[np.argmin(p)] == 17
    assert target[np.argmin(p)] == TARGET
    assert np.flatnonzero(far_out(p, 0.01)).tolist() == [np.argmin(p)]


def test_battles_that_the_arena_changed_over_time_are_no_evidence() -> None:
    # models 0 to 3 at first, 4 to 7 later, each voter in one of the times
    rng = np.random.default_rng(2)
    n, voters = 6000, 100
    time = np.sort(rng.uniform(0, 1e6, n))
    late = np.arange(n) >= n // 2
    first = rng.integers(4, size=n)
    second = (first + 1 + rng.integers(3, size=n)) % 4
    voter = rng.integers(voters // 2, size=n) + np.where(late, voters // 2, 0)
    place = np.argsort(voter, kind="stable")
    log = Log(
        M,
        (first + 4 * late)[place],
        (second + 4 * late)[place],
        rng.integers(2, size=n).astype(np.int8),
        voter[place],
        voters,
        place,
    )
    timed, _ = battle_p_values(log, time[place], 40, (1,))
    assert not far_out(timed, 0.01).any()
    assert kstest(timed, "uniform").pvalue > 1e-3
    untimed, _ = battle_p_values(log, None, 40, (1,))
    assert far_out(untimed, 0.01).sum() > 50


def test_a_robot_is_far_out_by_its_times_and_others_are_not() -> None:
    votes = crowd(14, 100, 5000, times=True)
    assert votes.time is not None
    assert votes.voter is not None
    time = votes.time.copy()
    mine = np.flatnonzero(votes.voter == 9)
    time[mine] = 5e5 + 2.0 * np.arange(len(mine)) + np.random.default_rng(0).random(len(mine)) / 10
    log, codes = log_of(votes, 10)
    times = times_of_voters(log, time[log.place])
    assert times.reason is None
    at = int(np.flatnonzero(codes == 9)[0])
    assert times.gap[at] == pytest.approx(2.0, abs=0.1)
    assert times.hour[at] == len(mine)
    for kind in ("dwell", "regular"):
        assert np.flatnonzero(far_out(times.p_values[kind], 0.01)).tolist() == [at]
    assert not far_out(times.p_values["rate"], 0.01).any()


def test_times_are_those_of_a_loop() -> None:
    votes = crowd(15, 30, 900, times=True)
    assert votes.time is not None
    votes.time[::7] = np.nan
    log, _ = log_of(votes, 10)
    time = votes.time[log.place]
    found = times_of_voters(log, time)
    assert found.known == np.isfinite(time[: log.judged]).sum()
    for voter in range(0, log.voters, 5):
        mine = np.sort(time[(log.voter == voter) & np.isfinite(time)])
        gaps = np.diff(mine)
        gaps = gaps[gaps <= 1800]
        if not found.judged[voter]:
            assert len(gaps) < 10
            continue
        assert found.gap[voter] == pytest.approx(np.exp(np.median(np.log(gaps))))
        assert found.spread[voter] == pytest.approx(np.log(gaps).std(ddof=1))
        busiest = max(int(((mine >= one) & (mine < one + 3600)).sum()) for one in mine)
        assert found.hour[voter] == busiest


def test_without_times_there_is_a_reason() -> None:
    log, _ = log_of(crowd(16, 30, 600), 10)
    assert times_of_voters(log, None).reason == "the log has no times"
    some = np.full(len(log.first), np.nan)
    assert "no judged voter" in (times_of_voters(log, some).reason or "")
    some[:40] = np.arange(40.0)
    assert "needs 20" in (times_of_voters(log, some).reason or "")


def test_times_exclude_only_when_asked() -> None:
    votes = crowd(17, 100, 4000, times=True)
    assert votes.time is not None
    assert votes.voter is not None
    mine = np.flatnonzero(votes.voter == 9)
    votes.time[mine] = 5e5 + 2.0 * np.arange(len(mine))
    kept = screen(votes, simulations=20, ranked=False)
    odd = next(one for one in kept.suspects if one.voter == "v009")
    assert not odd.excluded
    assert {"dwell", "regular"} <= set(odd.reasons)
    gone = screen(votes, by=("times",), simulations=20, ranked=False)
    assert gone.excluded() == ("v009",)
    assert any("come on top of the rate" in note for note in gone.notes)


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=30), st.floats(0.001, 0.5))
@settings(max_examples=60, deadline=None)
def test_far_out_is_holm(values: list[float], level: float) -> None:
    p = np.array(values)
    known = np.sort(p[~np.isnan(p)])
    count = 0
    while count < len(known) and known[count] * (len(known) - count) <= level:
        count += 1
    assert far_out(p, level).sum() == count


# ---------------------------------------------------------------- attackers
def test_an_attacker_without_an_aim_is_honest_and_a_greedier_one_is_caught_more() -> None:
    log, fitted, _ = fitted_log(crowd(18))
    battle = totals_of(log, log.outcome).sum(axis=-1)
    scene = Scene(fitted, battle / battle.sum(), 1.0, (TARGET,), 300, 0)
    honest = scene.p_values("all", 0.0, 40)
    assert kstest(honest, "uniform").statistic < 0.1
    caught = [(scene.p_values("target", share, 40) <= 0.01).mean() for share in (0.1, 0.4, 1.0)]
    assert caught[0] < caught[1] < caught[2]
    assert caught[2] > 0.99
    knows = scene.knowing("target", 40, 0.01)
    assert 0 < knows < 0.4
    assert (scene.p_values("target", knows, 40) <= 0.01).mean() <= RISK


def test_what_a_vote_gains_is_what_a_refit_gives() -> None:
    log, fitted, _ = fitted_log(crowd(19, 100, 20_000))
    battle = totals_of(log, log.outcome).sum(axis=-1)
    scene = Scene(fitted, battle / battle.sum(), 1.0, (TARGET,), 10, 0)
    kernel = scene.kernel(TARGET, "target", 1.0)[..., :3] * scene.battle[..., None]
    few = 20.0
    totals = fitted.chances() * battle[..., None]  # what honest voters are expected to cast
    start = fit_honest(totals)
    bent = fit_honest(totals + few * kernel / kernel.sum())
    moved = bent.scores[TARGET] - start.scores[TARGET]
    assert scene.gain("target", 1.0) * few / battle.sum() == pytest.approx(moved, rel=0.05)


def test_power_has_every_attacker_at_every_number_of_votes() -> None:
    log, fitted, _ = fitted_log(crowd(20))
    found = power_in(log, fitted, 0.01, 0, counts=(20,), attackers=60)
    names = [one.attacker for one in found.caught]
    assert names == ["naive", "careful", "knowing", "hidden"]
    naive, _, knowing, hidden = found.caught
    assert naive.curve[0.01].value == 1.0
    assert naive.factor == pytest.approx(1.0)
    assert knowing.factor is not None
    assert hidden.factor is not None
    assert 1 < knowing.factor < hidden.factor
    rates = [one.value for one in hidden.curve.values()]
    assert rates == sorted(rates, key=float)  # type: ignore[arg-type]


# ---------------------------------------------------------------- what cannot be judged
def test_voters_with_few_votes_are_counted_and_kept() -> None:
    votes = crowd(21, 60, 2000)
    assert votes.voter is not None
    voter = votes.voter.copy()
    voter[voter == 4] = 5
    voter[:3] = 4
    voter[3:9] = -1
    found = screen(replace(votes, voter=voter), by=("votes",), simulations=20, ranked=False)
    values = found.to_dict()
    assert values["voters"] == {
        "named": 60,
        "judged": 59,
        "too_few_votes": 1,
        "least_votes": 10,
    }
    assert values["unnamed_votes"] == 6
    assert values["rings"] is None
    assert values["rings_reason"] == "not looked for: --by rings"
    assert found.keep[:9].all()
    assert found.to_table().num_rows == 59


def test_nobody_to_judge_is_said() -> None:
    found = screen(crowd(22, 400, 1200), bootstraps=0)
    assert found.judged == 0
    assert found.exit_code == 0
    assert found.to_dict()["false_exclusion"]["value_reason"] == "no voter has 10 votes"
    assert "nobody can be judged" in found.notes[-1]
    assert found.to_dict()["rings_reason"] == "nobody is judged"
    assert found.changes() == []


def test_a_log_without_voters_is_refused_with_the_mend() -> None:
    with pytest.raises(InputError, match="--columns voter=user_id"):
        screen(replace(crowd(23, 10, 200), voter=None))
    with pytest.raises(InputError, match="--columns voter=user_id"):
        screen(replace(crowd(23, 10, 200), voter=np.full(200, -1, np.int32)))


def test_battles_of_several_votes_are_refused() -> None:
    votes = crowd(24, 10, 200)
    with pytest.raises(InputError, match="a row for each vote"):
        screen(replace(votes, amounts=votes.each() * 3))
    one = screen(replace(votes, amounts=votes.each()), simulations=5, ranked=False)
    assert one.to_table() == screen(votes, simulations=5, ranked=False).to_table()


@pytest.mark.parametrize(
    ("given_options", "says"),
    [
        ({"false_exclusion": 0.0}, "--false-exclusion"),
        ({"false_exclusion": 0.5}, "--false-exclusion"),
        ({"most_excluded": 1.5}, "--most-excluded"),
        ({"least_votes": 0}, "--least-votes"),
        ({"simulations": 1}, "--simulations"),
        ({"by": ()}, "--by"),
        ({"by": ("taste",)}, "--by"),
        ({"ties": "none"}, "--ties"),
    ],
)
def test_wrong_options_are_refused(given_options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        screen(crowd(25, 10, 200), **given_options)


# ---------------------------------------------------------------- tastes of their own
def with_tastes(seed: int, sd: float, voters: int = 200, votes: int = 10_000) -> Votes:
    """Honest voters who each have a taste of their own for each model."""
    base = crowd(seed, voters, votes)
    assert base.voter is not None
    rng = np.random.default_rng((seed, 1))
    truth = np.linspace(0.8, -0.8, M) + rng.normal(0, sd, (voters, M))
    d = truth[base.voter, base.first] - truth[base.voter, base.second] + 0.1
    weight = np.stack([np.exp(d / 2), np.exp(-d / 2), np.full_like(d, np.exp(-0.8))], axis=-1)
    edge = np.cumsum(weight / weight.sum(axis=-1, keepdims=True), axis=-1)
    u = rng.random(votes)
    said = (u > edge[:, 0]).astype(np.int8) + (u > edge[:, 1])
    return replace(base, outcome=said.astype(np.int8))


@pytest.mark.parametrize("sd", [0.3, 0.8])
def test_tastes_are_estimated_and_the_stated_rate_holds_with_them(sd: float) -> None:
    logs = [with_tastes(60 + seed, sd) for seed in range(2)]
    done = [screen(one, by=("votes",), simulations=20, ranked=False) for one in logs]
    crowds = [dict(one.crowd or {}) for one in done]
    for one in (crowd["taste_sd"] for crowd in crowds):
        assert 0 < one["low"] < one["value"] < one["high"]
        assert abs(one["value"] - sd) < one["high"] - one["low"]  # two half-widths
    assert not any(one["varies_more"] for one in crowds)
    out, judged_ones = sum(one.excluded_voters for one in done), sum(one.judged for one in done)
    error = np.sqrt(0.01 / judged_ones)
    low = np.mean([one.false_exclusion.low or 0.0 for one in done])
    high = np.mean([one.false_exclusion.high or 0.0 for one in done])
    assert low - 2.5 * error < out / judged_ones < high + 2.5 * error
    assert any("tastes of their own" in note for note in done[0].notes)


def test_a_crowd_without_tastes_is_judged_as_before() -> None:
    values = []
    for seed in range(4):
        found = screen(crowd(70 + seed), by=("votes",), simulations=10, ranked=False)
        assert found.crowd is not None
        values.append(found.crowd["taste_sd"])
        assert not any("tastes" in note for note in found.notes) or values[-1]["value"] > 0
    assert sum(one["value"] == 0 for one in values) >= 3  # one of fifty is above two errors
    assert all(one["low"] == 0 and 0 < one["high"] < 0.4 for one in values if not one["value"])


def test_attackers_are_still_caught_in_a_crowd_with_tastes() -> None:
    votes = with_tastes(80, 0.5)
    assert votes.voter is not None
    outcome = votes.outcome.copy()
    mine = votes.voter < 5
    outcome[mine & (votes.first == TARGET)] = 0
    outcome[mine & (votes.second == TARGET)] = 1
    found = screen(replace(votes, outcome=outcome), by=("votes",), simulations=30, ranked=False)
    # 12 battles with the target a voter: some strong taste comes to as much
    assert len({f"v{code:03d}" for code in range(5)} & set(found.excluded())) >= 4
    assert found.crowd is not None
    assert found.crowd["taste_sd"]["value"] == pytest.approx(0.5, abs=0.12)


def test_moments_of_tastes_are_those_of_a_loop() -> None:
    log, fitted, _ = fitted_log(crowd(81, 12, 500))
    spread, chances = spread_of(log, fitted), fitted.chances()
    found = spread.of(log, log.outcome, fitted)
    for voter in range(log.voters):
        own, total, pairs = np.zeros(M), np.zeros(M), np.zeros((M, M))
        for at in np.flatnonzero(log.voter == voter):
            i, j, said = log.first[at], log.second[at], log.outcome[at]
            p = chances[i, j]
            y, mean = (1.0, -1.0, 0.0)[said], p[0] - p[1]
            variance = p[0] + p[1] - mean**2
            own[i] += y - mean
            own[j] -= y - mean
            for one, other in ((i, j), (j, i)):
                total[one] += variance
                pairs[one, other] += variance
        weight = 1 / (1 + (total**2).sum() / total.sum() / 16) ** 2
        assert found[voter] == pytest.approx(weight * (own**2 - total).sum())
        slope = weight * ((total**2).sum() + (pairs**2).sum()) / 4
        assert spread.slope[voter] == pytest.approx(slope)


def test_drawn_tastes_are_one_for_a_voter_and_a_model() -> None:
    log, fitted, _ = fitted_log(crowd(82, 40, 4000))
    tastes = tastes_of(log, 3.0)
    rng = np.random.default_rng(0)
    drawn = np.array([draw_votes(log, fitted, rng, tastes) for _ in range(200)])
    same = np.flatnonzero(log.voter == 3)
    cell = log.cell[same]
    twice = next(code for code in cell if (cell == code).sum() > 1)
    here, there = same[cell == twice][:2]
    alike = np.corrcoef((drawn[:, here] == 0), (drawn[:, there] == 0))[0, 1]
    assert alike > 0.4  # of the same voter in the same battle
    other = np.flatnonzero((log.voter != 3) & (log.cell == twice))[0]
    assert abs(np.corrcoef((drawn[:, here] == 0), (drawn[:, other] == 0))[0, 1]) < 0.3
    plain = draw_votes(log, fitted, np.random.default_rng(5), tastes.of(0.0))
    assert (plain == draw_outcomes(log, fitted, np.random.default_rng(5))).all()


def test_a_crowd_that_differs_in_more_than_tastes_has_no_stated_rate() -> None:
    log, _ = log_of(crowd(26, 60, 3000), 10)
    notes: list[str] = []
    p = np.r_[np.full(40, 0.1), np.full(20, 0.6)]
    told = crowd_of(p, np.zeros(60, bool), 0.01, tastes_of(log), notes)
    assert told is not None
    assert told["varies_more"]
    assert "is not known" in notes[0]


# ---------------------------------------------------------------- votes nobody is judged by
def add(votes: Votes, accounts: int, each: int, *, nobody: bool = False) -> Votes:
    """Adds accounts who vote for ``TARGET`` alone, in its battles, or votes of nobody."""
    rng = np.random.default_rng(7)
    n = accounts * each
    other = (TARGET + 1 + rng.integers(M - 1, size=n)) % M
    side = rng.random(n) < 0.5
    assert votes.voter is not None
    new = len(votes.voters) + np.repeat(np.arange(accounts), each)
    names = () if nobody else tuple(f"x{code}" for code in range(accounts))
    return replace(
        votes,
        first=np.r_[votes.first, np.where(side, TARGET, other)].astype(np.int32),
        second=np.r_[votes.second, np.where(side, other, TARGET)].astype(np.int32),
        outcome=np.r_[votes.outcome, np.where(side, 0, 1)].astype(np.int8),
        voter=np.r_[votes.voter, np.full(n, -1) if nobody else new].astype(np.int32),
        voters=(*votes.voters, *names),
    )


@pytest.mark.parametrize("nobody", [False, True])
def test_throwaway_accounts_do_not_bend_the_honest_ranking(nobody: bool) -> None:
    base = crowd(83, 100, 5000)
    votes = add(base, 60, 9, nobody=nobody)
    options: dict[str, Any] = {"by": ("votes",), "simulations": 20, "bootstraps": 0}
    alone, found = screen(base, **options), screen(votes, **options)
    assert found.excluded() == alone.excluded()  # the very same honest voters
    log, _ = log_of(votes, 10)
    plain, _ = log_of(base, 10)
    trusted = np.ones(100, dtype=bool)
    fitted = fit_trusted(log, log.outcome, trusted)
    assert not log.rest
    assert fitted.scores == pytest.approx(fit_trusted(plain, plain.outcome, trusted).scores)
    (pool,) = found.pools
    assert pool.kind == ("nobody" if nobody else "too_few_votes")
    assert (pool.votes, pool.battles, pool.favoured) == (540, 540, 540)
    assert pool.voters == (0 if nobody else 60)
    assert (pool.target, pool.up, pool.differs, pool.excluded) == (f"m{TARGET}", True, True, False)
    assert pool.p_value < 1e-12
    assert pool.changes
    assert found.keep[5000:].all()
    note = next(note for note in found.notes if "favour m5" in note)
    assert "--by pools" in note
    assert schema_errors("screen-1", json.loads(json.dumps(found.to_dict()))) == []


def test_pools_are_left_out_where_asked_and_counted() -> None:
    votes = add(crowd(83, 100, 5000), 60, 9)
    options: dict[str, Any] = {"by": ("votes", "pools"), "simulations": 20, "bootstraps": 0}
    found = screen(votes, **options, most_excluded=0.5)
    assert not found.keep[5000:].any()
    assert found.excluded_votes == (~found.keep).sum()
    assert found.excluded_voters == len(found.excluded()) + 60
    assert found.changes()
    refused = screen(votes, **options)
    assert refused.refused is not None
    assert refused.keep.all()


def test_honest_votes_of_few_and_of_nobody_do_not_differ() -> None:
    far = 0
    for seed in range(8):
        votes = crowd(90 + seed, 120, 3000)
        assert votes.voter is not None
        voter = votes.voter.copy()
        some = np.flatnonzero(voter >= 80)
        voter[some[::2]] = -1
        voter[some[1::2]] = 120 + np.arange(len(some[1::2])) // 5
        names = tuple(f"v{code}" for code in range(voter.max() + 1))
        one = replace(votes, voter=voter.astype(np.int32), voters=names)
        found = screen(one, by=("votes",), simulations=15, ranked=False)
        assert [pool.kind for pool in found.pools] == ["too_few_votes", "nobody"]
        far += sum(pool.differs for pool in found.pools)
    assert far <= 1  # 8 logs at 1 %


def test_judged_voters_who_do_not_rank_all_models_are_said() -> None:
    votes = crowd(84, 60, 3000)
    assert votes.voter is not None
    voter = votes.voter.copy()
    voter[(votes.first == 2) | (votes.second == 2)] = -1
    log, _ = log_of(replace(votes, voter=voter), 10)
    assert log.rest
    assert log.inside(np.zeros(log.voters, bool)).sum() == (voter < 0).sum()
    found = screen(replace(votes, voter=voter), by=("votes",), simulations=5, ranked=False)
    assert any("do not rank all models" in note for note in found.notes)


def test_decoys_make_it_refuse_and_the_ranking_without_them_is_shown() -> None:
    votes = add(add(crowd(85, 100, 6000), 4, 100), 1, 1)
    assert votes.voter is not None
    outcome, voter = votes.outcome.copy(), votes.voter
    for decoy in range(14):  # always for whoever is better known to them
        mine = voter == decoy
        outcome[mine & (votes.first == decoy % 4)] = 0
        outcome[mine & (votes.second == decoy % 4)] = 1
    found = screen(replace(votes, outcome=outcome), simulations=20, bootstraps=0, by=("votes",))
    assert found.exit_code == 3
    assert found.keep.all()
    values = found.to_dict()
    moved = {one["model"]: one for one in values["without_found"]}
    assert moved[f"m{TARGET}"]["after"] > moved[f"m{TARGET}"]["before"]
    certain = {one["voter"] for one in values["suspects"] if one["beyond_holm"]}
    assert {f"x{code}" for code in range(4)} & certain or len(certain) >= 4
    assert schema_errors("screen-1", json.loads(json.dumps(values))) == []


def test_a_log_that_ranks_nothing_is_refused_before_simulations() -> None:
    votes = crowd(86, 20, 600)
    sure = replace(votes, outcome=np.where(votes.first < votes.second, 0, 1).astype(np.int8))
    told: list[str] = []
    with pytest.raises(InputError, match="no score can be had"):
        screen(sure, told=lambda what, *_: told.append(what))
    assert not told


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 60), st.integers(1, 12))
@settings(max_examples=12, deadline=None)
def test_small_logs_are_judged_or_said_not_to_be(
    seed: int, voters: int, votes: int, least: int
) -> None:
    log = crowd(seed, voters, votes, times=True, prompts=2)
    found = screen(log, least_votes=least, simulations=2, ranked=False, by=BY, most_excluded=1)
    values = found.to_dict()
    assert schema_errors("screen-1", json.loads(json.dumps(values, allow_nan=False))) == []
    assert len(log.take(found.keep)) == votes - values["found"]["votes"]
    assert found.judged == found.to_table().num_rows <= voters


def test_the_same_seed_gives_the_same_screen() -> None:
    votes = crowd(27, 40, 1600, attackers=2, times=True, prompts=5)
    first, again = (screen(votes, simulations=15, bootstraps=20, seed=3) for _ in range(2))
    assert first.to_dict() == again.to_dict()
    assert first.to_table() == again.to_table()


# ---------------------------------------------------------------- the files
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_kept_and_excluded_rows_are_the_log(tmp_path: Path, ending: str) -> None:
    file = write(crowd(28, 60, 5000, attackers=3, share=1.0), tmp_path / f"votes{ending}")
    votes = read_votes(file)
    found = screen(votes, simulations=30, bootstraps=0)
    assert set(found.excluded()) >= {"v000", "v001", "v002"}
    kept_file, gone_file = write_kept(found, votes, tmp_path / f"kept{ending}")
    assert gone_file.name == f"kept.excluded{ending}"
    read = pq.read_table if ending == ".parquet" else pyarrow.csv.read_csv
    before, kept, gone = (read(one) for one in (file, kept_file, gone_file))
    assert kept.schema == before.schema
    names = before.column_names
    assert gone.column_names == ["whodrew_row", "whodrew_voter", "whodrew_reasons", *names]
    assert kept.num_rows + gone.num_rows == before.num_rows
    assert set(gone["voter"].to_pylist()) == set(found.excluded())
    assert gone["voter"].to_pylist() == gone["whodrew_voter"].to_pylist()
    assert not set(kept["voter"].to_pylist()) & set(found.excluded())
    rows = gone["whodrew_row"].to_pylist()
    assert before.take(rows)["battle"].to_pylist() == gone["battle"].to_pylist()
    assert len(read_votes(kept_file)) == kept.num_rows


def test_rows_that_are_no_votes_stay_in_the_kept_ones(tmp_path: Path) -> None:
    file = write(crowd(29, 60, 5000, attackers=3, share=1.0), tmp_path / "votes.csv")
    lines = file.read_text().splitlines()
    lines[5] = '"odd","m1","m1","tie","v010"'
    file.write_text("\n".join(lines) + "\n")
    votes = read_votes(file, skip_bad=True)
    found = screen(votes, simulations=20, bootstraps=0)
    assert found.exit_code == 1
    kept, gone = write_kept(found, votes, tmp_path / "kept.csv")
    assert '"odd"' in kept.read_text()
    assert '"odd"' not in gone.read_text()


def test_a_log_is_not_written_over(tmp_path: Path) -> None:
    file = write(crowd(30, 40, 1000), tmp_path / "votes.parquet")
    votes = read_votes(file)
    found = screen(votes, simulations=5, ranked=False)
    with pytest.raises(UsageError, match="over the log itself"):
        write_kept(found, votes, file)
    with pytest.raises(UsageError, match=r"\.parquet or \.csv"):
        write_kept(found, votes, tmp_path / "kept.txt")
    with pytest.raises(UsageError, match="read from a file"):
        write_kept(found, crowd(30, 40, 1000), tmp_path / "kept.parquet")


# ---------------------------------------------------------------- the command
@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_command_screens_a_log(tmp_path: Path, shell: Shell) -> None:
    file = write(
        crowd(31, 60, 5000, attackers=3, share=1.0, times=True), tmp_path / "votes.parquet"
    )
    kept = tmp_path / "kept.parquet"
    done = shell(
        "votes", "screen", str(file), "--simulations", "30", "--bootstraps", "50",
        "--out", str(kept), "--json", "-",
    )  # fmt: skip
    assert done.code == 0, done.err
    values = json.loads(done.out)
    assert schema_errors("screen-1", values) == []
    assert {"v000", "v001", "v002"} <= {one["voter"] for one in values["suspects"]}
    assert values["acted"]
    assert pq.read_table(kept).num_rows == 5000 - values["found"]["votes"]
    assert "Of honest voters it excludes" in done.err
    assert "cannot be judged" in done.err


def test_command_shows_pools_and_leaves_them_out_where_asked(tmp_path: Path, shell: Shell) -> None:
    votes = add(crowd(35, 60, 4000), 20, 9)
    file, kept = write(votes, tmp_path / "votes.parquet"), tmp_path / "kept.parquet"
    options = ["--simulations", "15", "--bootstraps", "0", "--by", "votes"]
    done = shell("votes", "screen", str(file), *options)
    assert done.code == 0, done.err
    assert "DIFFERS" in done.err
    assert "180 votes of 20 voters" in done.err.replace("\n", " ")
    done = shell(
        "votes", "screen", str(file), *options, "--by", "pools", "--most-excluded", "0.5",
        "--out", str(kept), "--json", "-",
    )  # fmt: skip
    assert done.code == 0, done.err
    values = json.loads(done.out)
    assert schema_errors("screen-1", values) == []
    assert [one["excluded"] for one in values["pools"]] == [True]
    gone = pq.read_table(tmp_path / "kept.excluded.parquet")
    pooled = [
        who
        for who, why in zip(
            gone["whodrew_voter"].to_pylist(), gone["whodrew_reasons"].to_pylist(), strict=True
        )
        if why == "pool"
    ]
    assert set(pooled) == {f"x{code}" for code in range(20)}
    assert len(pooled) == 180


def test_command_refuses_loudly(tmp_path: Path, shell: Shell) -> None:
    file = write(crowd(32, 30, 3000, attackers=8, share=1.0), tmp_path / "votes.parquet")
    kept = tmp_path / "kept.parquet"
    done = shell(
        "votes", "screen", str(file), "--simulations", "20", "--bootstraps", "0",
        "--out", str(kept), "--json", "-",
    )  # fmt: skip
    assert done.code == 3
    assert "more than --most-excluded 0.1: nobody is excluded" in done.err
    assert not kept.exists()
    assert "without those found, ranks would change" in done.err
    assert "beyond doubt" in done.err
    values = json.loads(done.out)
    assert schema_errors("screen-1", values) == []
    assert values["acted"] is False
    assert values["after"] is None


def test_command_names_the_mend_where_voters_are_missing(tmp_path: Path, shell: Shell) -> None:
    file = write(crowd(33, 40, 1200), tmp_path / "votes.parquet")
    table = pq.read_table(file)
    names = ["who" if name == "voter" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), file)
    done = shell("votes", "screen", str(file))
    assert done.code == 2
    assert "--columns voter=user_id" in done.err
    assert done.err.count("\n") == 1
    again = shell(
        "votes", "screen", str(file), "--columns", "voter=who", "--simulations", "10",
        "--bootstraps", "0", "--quiet",
    )  # fmt: skip
    assert again.code == 0, again.err
    assert again.err == ""


def test_command_shows_what_attackers_it_catches(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = functools.partial(power_in, attackers=40, counts=(20, 50))
    monkeypatch.setattr(sys.modules["whodrew.ranking.screen"], "power_in", few)
    file = write(crowd(34, 40, 1600), tmp_path / "votes.parquet")
    done = shell(
        "votes", "screen", str(file), "--simulations", "10", "--bootstraps", "0", "--power",
        "--by", "votes", "--json", "-",
    )  # fmt: skip
    assert done.code in (0, 3), done.err
    values = json.loads(done.out)
    assert schema_errors("screen-1", values) == []
    assert len(values["power"]["attackers"]) == 8
    assert "simulated attackers" in done.err
