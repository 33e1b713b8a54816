"""Ranking votes: 100 K, 1.7 M and 17 M of 22 models, beside evalica and arena-rank.

Usage: python benchmarks/ranking.py [--votes 100000 1700000 17000000] [--bound 60]
       [--others PYTHON]

Each job is a process of its own that reads the same Parquet file. ``--others`` is a Python in
which evalica and arena-rank are installed, this one if not given; what is not there is left
out, and what does not end within the bound is stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MODELS = 22

OURS = """
import json, sys, time
from whodrew.ranking import rank, read_votes
from whodrew.ranking import rank as _  # imports are not what is measured
import pyarrow.parquet, pyarrow.compute
began = time.monotonic()
votes = read_votes(sys.argv[1])
read = time.monotonic() - began
done = rank(votes, bootstraps=1000)
total = time.monotonic() - began
began = time.monotonic()
rank(votes, bootstraps=0)
point = time.monotonic() - began
print(json.dumps({"read": read, "point": point, "total": total, "scores": done.scores()}))
"""
EVALICA = """
import json, sys, time
import evalica, numpy as np, pandas as pd, pyarrow.parquet as pq
began = time.monotonic()
table = pq.read_table(sys.argv[1]).to_pandas()
what = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
winners = table["winner"].map(what)
read = time.monotonic() - began
found = evalica.bradley_terry(table["model_a"], table["model_b"], winners)
total = time.monotonic() - began
scores = np.log(found.scores)
print(json.dumps({"read": read, "point": total - read, "total": total,
                  "scores": (scores - scores.mean()).to_dict()}), flush=True)
"""
EVALICA_BOOTSTRAP = """
import json, sys, time
import evalica, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1]).to_pandas()
what = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
began = time.monotonic()
evalica.bootstrap(evalica.bradley_terry, table["model_a"], table["model_b"],
                  table["winner"].map(what), n_resamples=100, bootstrap_method="percentile")
print(json.dumps({"total": time.monotonic() - began}))
"""
ARENA_RANK = """
import json, sys, time
import numpy as np, pandas as pd
from arena_rank.utils.data_utils import PairDataset
from arena_rank.models.bradley_terry import BradleyTerry
began = time.monotonic()
table = pd.read_parquet(sys.argv[1])
data = PairDataset.from_pandas(table)
model = BradleyTerry(n_competitors=len(data.competitors))
read = time.monotonic() - began
found = model.compute_ratings_and_cis(data, significance_level=0.05)
print(json.dumps({"read": read, "total": time.monotonic() - began}))
"""
JOBS = (
    ("whodrew, 1,000 bootstraps", OURS, False),
    ("evalica, no intervals", EVALICA, True),
    ("evalica, 100 bootstraps", EVALICA_BOOTSTRAP, True),
    ("arena-rank, sandwich", ARENA_RANK, True),
)


def make_votes(file: Path, count: int, seed: int = 0) -> None:
    """Writes votes of 22 models, 15 % ties, the first shown a little ahead."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(0, 0.6, MODELS))
    names = pa.array([f"model-{code:02d}" for code in range(MODELS)])
    labels = pa.array(["model_a", "model_b", "tie"])
    schema = pa.schema([(name, pa.string()) for name in ("model_a", "model_b", "winner")])
    with pq.ParquetWriter(file, schema) as writer:
        for start in range(0, count, 1_000_000):
            n = min(1_000_000, count - start)
            first = rng.integers(MODELS, size=n)
            second = (first + 1 + rng.integers(MODELS - 1, size=n)) % MODELS
            chance = 1 / (1 + np.exp(-(scores[first] - scores[second] + 0.05)))
            won = np.where(rng.random(n) < chance, 0, 1)
            outcome = np.where(rng.random(n) < 0.15, 2, won)
            columns = [names.take(first), names.take(second), labels.take(outcome)]
            writer.write_table(pa.table(columns, schema=schema))


def run(python: str, script: str, file: Path, bound: float) -> dict[str, object]:
    """Runs one job; returns what it printed, or why there is nothing."""
    try:
        done = subprocess.run(
            [python, "-c", script, str(file)],
            capture_output=True,
            text=True,
            timeout=bound,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"why": f"did not end in {bound:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["?"])[-1]
        return {"why": "not installed" if "ModuleNotFound" in last else last[:80]}
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, nargs="+", default=[100_000, 1_700_000, 17_000_000])
    parser.add_argument("--bound", type=float, default=60, help="seconds a job may take")
    parser.add_argument("--others", default=sys.executable, help="Python that has the others")
    given = parser.parse_args()
    print("| votes | what | read, s | fit, s | in all, s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in given.votes:
            file = Path(folder) / f"{count}.parquet"
            make_votes(file, count)
            ours: dict[str, float] = {}
            for name, script, other in JOBS:
                found = run(given.others if other else sys.executable, script, file, given.bound)
                cells = [
                    f"{found[key]:.2f}" if key in found else ""
                    for key in ("read", "point", "total")
                ]
                cells[2] = cells[2] or str(found.get("why"))
                scores, label = found.get("scores"), name
                if isinstance(scores, dict):
                    if ours:
                        far = max(abs(scores[one] - ours[one]) for one in ours)
                        label = f"{name} (scores within {far:.0e})"
                    else:
                        ours = scores
                print(f"| {count:,} | {label} | {' | '.join(cells)} |", flush=True)
            file.unlink()


if __name__ == "__main__":
    main()
