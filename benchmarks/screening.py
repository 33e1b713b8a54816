"""Screening votes: what it catches, what it costs honest voters, what it costs to run.

Usage: python benchmarks/screening.py [--votes 1700000] [--voters 10000] [--attackers 300]

Prints the share of simulated attackers caught after 20, 50 and 200 votes at 1 % false
exclusion, the curve over false-exclusion rates, the false exclusion of honest logs drawn from
a known truth, and the time and memory of one screen, beside a loop over votes.
"""

from __future__ import annotations

import argparse
import math
import resource
import time

import numpy as np

from whodrew.ranking import Votes, power_in, screen
from whodrew.ranking.screen_model import Honest, fit_honest, log_of, totals_of
from whodrew.ranking.screen_votes import SHARES, judge

MODELS = 22
LEVEL = 0.01
TASTES = (0.0, 0.3, 0.6)


def make_votes(count: int, voters: int, seed: int = 0, taste: float = 0.0) -> Votes:
    """Draws honest votes of 22 models; voters' numbers of votes are spread as a gamma's.

    Each voter's tastes, for each model, are normal of this standard deviation.
    """
    rng = np.random.default_rng(seed)
    scores = np.random.default_rng(0).normal(0, 0.6, MODELS)
    truth = Honest(scores - scores.mean(), 0.05, -0.9, np.eye(MODELS + 2))
    first = rng.integers(MODELS, size=count).astype(np.int32)
    second = ((first + 1 + rng.integers(MODELS - 1, size=count)) % MODELS).astype(np.int32)
    weight = rng.gamma(1.0, size=voters)
    voter = rng.choice(voters, size=count, p=weight / weight.sum()).astype(np.int32)
    own = rng.normal(0, taste, (voters, MODELS))
    d = truth.scores[first] - truth.scores[second] + truth.position
    d += own[voter, first] - own[voter, second]
    weight = np.stack([np.exp(d / 2), np.exp(-d / 2), np.full(count, np.exp(truth.tie))], axis=-1)
    chance = weight / weight.sum(axis=-1, keepdims=True)
    u = rng.random(count)
    said = (u > chance[:, 0]).astype(np.int8) + (u > chance[:, :2].sum(axis=1))
    names = tuple(f"model-{code:02d}" for code in range(MODELS))
    people = tuple(f"voter-{code}" for code in range(voters))
    return Votes(names, first, second, said.astype(np.int8), voter=voter, voters=people)


def slow(votes: Votes, voters: int) -> float:
    """Returns the seconds that a loop takes for the ratios of the first voters."""
    log, _ = log_of(votes, 1)
    chances = fit_honest(totals_of(log, log.outcome)).chances()
    began = time.process_time()
    for voter in range(voters):
        rows = slice(*np.searchsorted(log.voter, [voter, voter + 1]).tolist())
        mine = list(zip(log.first[rows], log.second[rows], log.outcome[rows], strict=True))
        for target in range(MODELS):
            for up in (True, False):
                for share in SHARES:
                    sum(
                        math.log(1 - share + (share / chances[i, j, said] if hit else 0))
                        for i, j, said in mine
                        if target in (i, j)
                        for hit in (said == (0 if (i == target) == up else 1),)
                    )
    return time.process_time() - began


def catching(votes: Votes, accuracy: float, attackers: int) -> None:
    """Prints what becomes of attackers."""
    log, _ = log_of(votes, 10)
    fitted = fit_honest(totals_of(log, log.outcome))
    found = power_in(log, fitted, LEVEL, 0, accuracy=accuracy, attackers=attackers)
    print(f"\nAttackers who name {100 * accuracy:.0f} % of images rightly:\n")
    levels = sorted(found.caught[0].curve)
    heads = " | ".join(f"caught at {100 * level:g} %" for level in levels)
    print(f"| attacker | votes | favours | {heads} | votes for one of the naive |")
    print("|---|---|---|" + "---|" * (len(levels) + 1))
    for one in found.caught:
        cells = []
        for level in levels:
            rate = one.curve[level]
            low, high = 100 * (rate.low or 0), 100 * (rate.high or 0)
            cells.append(f"{100 * (rate.value or 0):.0f} % ({low:.0f}-{high:.0f})")
        where = "only its battles" if one.battles == "target" else "honest elsewhere"
        factor = "-" if one.factor is None else f"{one.factor:.1f}"
        print(
            f"| {one.attacker} | {one.votes} | {100 * one.share:.0f} %, {where} | "
            f"{' | '.join(cells)} | {factor} |",
            flush=True,
        )


def honest_ones(logs: int, taste: float) -> None:
    """Prints the false exclusion of honest logs, that stated and that found."""
    out = judged = 0
    stated, tastes = [], []
    for seed in range(logs):
        votes = make_votes(20_000, 400, seed + 1, taste)
        found = screen(votes, false_exclusion=LEVEL, ranked=False, simulations=60)
        out += found.excluded_voters
        judged += found.judged
        stated.append(found.false_exclusion.value or 0)
        tastes.append((found.crowd or {})["taste_sd"]["value"])
    share = out / judged
    error = 1.96 * math.sqrt(share * (1 - share) / judged)
    print(
        f"\n{logs} honest logs of 20,000 votes and 400 voters, tastes of SD {taste:g} "
        f"({np.mean(tastes):.2f} estimated), {100 * LEVEL:g} % asked: "
        f"{100 * np.mean(stated):.2f} % stated, {100 * share:.2f} % excluded "
        f"({100 * (share - error):.2f} to {100 * (share + error):.2f} %)."
    )


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=1_700_000)
    parser.add_argument("--voters", type=int, default=10_000)
    parser.add_argument("--attackers", type=int, default=300)
    parser.add_argument("--logs", type=int, default=20)
    given = parser.parse_args()
    small = make_votes(100_000, 1000)
    for accuracy in (1.0, 0.67):
        catching(small, accuracy, given.attackers)
    for taste in TASTES:
        honest_ones(given.logs, taste)
    votes = make_votes(given.votes, given.voters)
    log, _ = log_of(votes, 10)
    trusted = np.ones(log.voters, dtype=bool)
    judge(log, log.outcome, trusted)
    began = time.process_time()
    judge(log, log.outcome, trusted)
    once = time.process_time() - began
    some = 20
    mine = int(np.searchsorted(log_of(votes, 1)[0].voter, some))
    loop = slow(votes, some) / mine * len(votes)
    print(
        f"\nFit, leave-one-out and ratios of {len(votes):,} votes of {log.voters:,} voters once: "
        f"{once:.2f} s of processor; a loop over votes would take {loop:,.0f} s, "
        f"{loop / once:,.0f} times as long."
    )
    began, used = time.monotonic(), time.process_time()
    found = screen(votes, ranked=False)
    wall, used = time.monotonic() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\nThe whole screen, {found.rounds} simulated logs and {found.fresh_logs} fresh ones: "
        f"{wall:.0f} s ({used:.0f} s of processor), {peak:.0f} MB at most."
    )


if __name__ == "__main__":
    main()
