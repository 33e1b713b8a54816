"""Influence on 100 K and 1.7 M votes of 22 models, beside leaving votes out one by one.

Usage: python benchmarks/influence.py [--votes 100000 1700000] [--voters 1000 20000] [--naive 20]

Both read the same Parquet file. The naive way is what one would write first: take a vote out,
count the rest, fit again, with the same fit; it runs on so many votes and the ratio is that of
all of them. Seconds on the clock, and in brackets of processor time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.ranking import Votes, influence, read_votes
from whodrew.ranking.cells import cells_of, merged, pairs_of
from whodrew.ranking.fit import fit

MODELS = 22
T = TypeVar("T")


def make_votes(file: Path, count: int, voters: int, seed: int = 0) -> None:
    """Writes votes of 22 models, 15 % ties; some voters vote much more than others."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(0, 0.6, MODELS))
    first = rng.integers(MODELS, size=count)
    second = (first + 1 + rng.integers(MODELS - 1, size=count)) % MODELS
    chance = 1 / (1 + np.exp(-(scores[first] - scores[second])))
    won = np.where(rng.random(count) < chance, 0, 1)
    outcome = np.where(rng.random(count) < 0.15, 2, won)
    who = (rng.random(count) ** 2 * voters).astype(np.int64)
    names = pa.array([f"model-{code:02d}" for code in range(MODELS)])
    columns = {
        "model_a": names.take(first),
        "model_b": names.take(second),
        "winner": pa.array(["model_a", "model_b", "tie"]).take(outcome),
        "voter": pa.array([f"voter-{code}" for code in range(voters)]).take(who),
    }
    pq.write_table(pa.table(columns), file)


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """Returns what comes of it, seconds on the clock and seconds of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def refit(votes: Votes) -> np.ndarray:
    """Returns the scores, from the rows on."""
    pairs, _ = pairs_of(merged(cells_of(votes)[0])[0])
    return np.asarray(fit(pairs).scores)


def naive(votes: Votes, number: int) -> list[np.ndarray]:
    """Leaves out the first votes one by one."""
    keep = np.ones(len(votes), dtype=bool)
    found = []
    for at in range(number):
        keep[at] = False
        found.append(refit(votes.take(keep)))
        keep[at] = True
    return found


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, nargs="+", default=[100_000, 1_700_000])
    parser.add_argument("--voters", type=int, nargs="+", default=[1_000, 20_000])
    parser.add_argument("--naive", type=int, default=20, help="votes left out the naive way")
    given = parser.parse_args()
    print("| votes | voters | all of it, s | naive, a vote, s | naive, all votes, h | ratio |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.parquet"
        make_votes(small, 3_000, 50)
        influence(small)  # imports are not what is measured
        for count, voters in zip(given.votes, given.voters, strict=True):
            file = Path(folder) / f"{count}.parquet"
            make_votes(file, count, voters)
            done, wall, cpu = timed(lambda file=file: influence(file))  # type: ignore[misc]
            votes = read_votes(file)
            left, slow, slow_cpu = timed(
                lambda votes=votes: naive(votes, given.naive)  # type: ignore[misc]
            )
            each = slow / given.naive
            ratio = slow_cpu / given.naive * count / cpu
            print(
                f"| {count:,} | {voters:,} | {wall:.1f} ({cpu:.1f}) | {each:.3f} "
                f"| {each * count / 3600:.1f} | {ratio:,.0f} |",
                flush=True,
            )
            far = check(votes, left, done)
            print(f"largest difference of a score: {far:.0e}. {done.sentence}", flush=True)


def check(votes: Votes, left: list[np.ndarray], done: object) -> float:
    """Returns how far the scores of both ways are apart."""
    from whodrew.ranking import Influence

    assert isinstance(done, Influence)
    whole, order = refit(votes), [votes.models.index(name) for name in done.models]
    by_kind = {
        (*one.models, *one.votes): change
        for one, change in zip(done.kinds, done.changes, strict=True)
    }
    far = 0.0
    for at, scores in enumerate(left):
        a, b, outcome = int(votes.first[at]), int(votes.second[at]), int(votes.outcome[at])
        amounts = [float(outcome == 0), float(outcome == 1), float(outcome == 2)]
        if a > b:
            a, b, amounts = b, a, [amounts[1], amounts[0], amounts[2]]
        change = by_kind[(votes.models[a], votes.models[b], *amounts)]
        far = max(far, float(np.abs(change - (scores - whole)[order]).max()))
    return far


if __name__ == "__main__":
    main()
