"""Votes an attacker needs on 1.7 million honest ones, and how long simulating that takes.

Usage: python benchmarks/simulating.py [--votes 1700000] [--models 22] [--repetitions 1000]

The honest log is a model of one: scores normal with a deviation of 0.6 log odds, 15 % ties, all
pairs alike. The model in the middle is to rise by 1, 3 and 5 ranks; errors of identification
fall on all other models alike. Beside the timed run stands what one refit from rows takes,
times the refits that the same repetitions would need.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from whodrew.ranking import Manipulation, Votes, simulate
from whodrew.ranking.behaviour import Belief, cast, draw, honest, uniform
from whodrew.ranking.cells import cells_of, merged, pairs_of
from whodrew.ranking.confusion import ACCURACIES, of_accuracy
from whodrew.ranking.fit import fit
from whodrew.ranking.result import Bounded
from whodrew.ranking.simulate_log import SPREAD, TIE_SHARE, model_log
from whodrew.ranking.simulate_paths import Push, checkpoints, walk
from whodrew.ranking.voters import kernel_of

BUDGET = 20_000


def figure(one: Bounded) -> str:
    """A median with its interval."""
    if one.value is None:
        return "not reached"
    high = "…" if one.high is None else f"{one.high:,.0f}"
    return f"{one.value:,.0f} ({one.low:,.0f} to {high})"


def curve(done: Manipulation) -> None:
    """Prints votes and battles by strategy, identification and ranks."""
    numbers = [one.ranks for one in done.curves[0].needed]
    heads = [f"+{number}, {what}" for number in numbers for what in ("votes", "battles seen")]
    print(f"| strategy | identification | {' | '.join(heads)} |")
    print("|---" * (2 + len(heads)) + "|")
    for one in done.curves:
        cells = [figure(each) for needed in one.needed for each in (needed.votes, needed.battles)]
        print(f"| {one.strategy} | {one.identification.label} | {' | '.join(cells)} |")
    print(f"\n{done.intervals}; budget {done.budget:,} votes.\n")


def timed(votes: int, models: int, repetitions: int) -> None:
    """Prints how long the repetitions take, and a refit from rows."""
    log = model_log(votes, models, ties="half", ridge=1e-6, sampling="uniform")
    target = models // 2
    aim = log.aim(target, 1, up=True)
    kernel = kernel_of("target-only", Belief(log.battle, of_accuracy(0.8, models)), aim)
    share = log.by_pair(cast(kernel, log.battle)[0])
    steps = checkpoints(BUDGET / 100, BUDGET)
    # ranks out of reach, so that no repetition ends early
    push = Push(target, True, (target,))
    began = time.monotonic()
    rng = np.random.default_rng(0)
    walk(log, share, push, steps, repetitions=repetitions, rng=rng, fixed=False)
    ours = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first, second, outcome = draw(
        honest(log.point.scores, tie_share=TIE_SHARE), uniform(models), votes, rng
    )
    rows = draw(kernel, log.battle, BUDGET, rng)
    began = time.monotonic()
    both = Votes(
        log.models,
        np.concatenate([first, rows[0]]),
        np.concatenate([second, rows[1]]),
        np.concatenate([outcome, rows[2]]),
    )
    fit(pairs_of(merged(cells_of(both)[0])[0])[0])
    naive = (time.monotonic() - began) * repetitions * (len(steps) - 1)
    print("| what | seconds |\n|---|---|")
    print(
        f"| {repetitions:,} repetitions of {BUDGET:,} attacking votes on {votes:,} honest ones, "
        f"{len(steps) - 1} checkpoints, peak {peak:.0f} MB | {ours:.1f} |"
    )
    print(f"| as many refits from rows, one measured | {naive:,.0f} |")
    print(f"| ratio | {naive / ours:,.0f} |")


def main() -> None:
    """Prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=1_700_000)
    parser.add_argument("--models", type=int, default=22)
    parser.add_argument("--repetitions", type=int, default=1000)
    given = parser.parse_args()
    timed(given.votes, given.models, given.repetitions)
    print()
    began = time.monotonic()
    done = simulate(
        honest=given.votes,
        models=given.models,
        accuracies=ACCURACIES,
        repetitions=given.repetitions,
        shares=(),
        factors=(1.0,),
        spread=SPREAD,
    )
    curve(done)
    print(f"{len(done.curves)} curves in {time.monotonic() - began:.0f} s. {done.headline}")


if __name__ == "__main__":
    main()
