"""``whodrew defend`` on a Ray cluster writes what threads write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import whodrew
from drawn import MODELS, PROMPTS, draw
from whodrew.defend.ledger import CHANGED
from whodrew.errors import UsageError

pytest.importorskip("ray", reason="needs the extra ray")
SPEC = "canonical(size=32)+noise(sigma=3)"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.run(
        [sys.executable, "-m", "whodrew", "defend", *map(str, words), "--quiet", "--secret", "s"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.slow
def test_a_cluster_writes_what_threads_write(tmp_path: Path) -> None:
    arena = draw(tmp_path / "arena", MODELS[:2], PROMPTS[:3], 4)
    (arena / "amber/boat/0.png").write_text("no image")
    here, there = tmp_path / "here", tmp_path / "there"
    whodrew.defend(arena, SPEC, here, secret="s")
    ray = ("--engine", "ray", "--workers", 2)
    done = run(arena, "--defence", SPEC, "--out", there, *ray)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("bad: amber/boat/0.png: not an image")
    names = sorted(str(one.relative_to(here)) for one in here.rglob("*.jpg"))
    assert names == sorted(str(one.relative_to(there)) for one in there.rglob("*.jpg"))
    assert len(names) == 23
    assert {int((there / name).stat().st_mtime) for name in names} == {CHANGED}
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)
    tables = [pq.read_table(one / "defended.parquet") for one in (here, there)]
    kept = [name for name in tables[0].column_names if name != "milliseconds"]
    assert tables[0].select(kept).equals(tables[1].select(kept))
    # either goes on with what the other began
    (there / names[0]).unlink()
    assert whodrew.defend(arena, SPEC, there, secret="s").reused == 22
    left = {one.name for one in there.iterdir()}
    assert left == {one.name for one in here.iterdir()}


def test_what_cannot_be(tmp_path: Path) -> None:
    arena = draw(tmp_path / "arena", MODELS[:1], PROMPTS[:1], 1)
    with pytest.raises(UsageError, match="unknown engine 'spark': native or ray"):
        whodrew.defend(arena, SPEC, tmp_path / "out", engine="spark")
    with pytest.raises(UsageError, match="add --engine ray"):
        whodrew.defend(arena, SPEC, tmp_path / "out", address="auto")
    assert not (tmp_path / "out").exists()
