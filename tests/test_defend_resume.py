"""Runs of ``whodrew defend`` that are killed, interrupted, shut out, or come again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import whodrew
from drawn import pixels, save
from whodrew.defend.arena_result import Defended
from whodrew.defend.ledger import CHANGED
from whodrew.embed.files import locked
from whodrew.errors import UsageError

SPEC = "canonical(size=16)+slow+noise"
IMAGES = 60
RUN = """
import sys, time
from dataclasses import dataclass
from typing import ClassVar
from whodrew.cli import main
from whodrew.defend import DEFENCES

@dataclass(frozen=True)
class Slow:
    name: ClassVar[str] = "slow"
    random: ClassVar[bool] = False
    budget = {}
    def __call__(self, picture, shown):
        time.sleep(float(sys.argv[1]))
        return picture

DEFENCES.register("slow")(Slow)
main(["defend", sys.argv[2], "--defence", sys.argv[3], "--out", sys.argv[4], "--secret", "s",
      "--workers", "2", "--quiet"])
"""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resuming") / "arena"
    for at in range(IMAGES):
        save(root / f"m{at % 2}" / f"p{at % 3}" / f"{at}.png", pixels("amber", "boat", at, 24))
    return root


def start(arena: Path, out: Path, wait: float = 0.02, spec: str = SPEC) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(wait), str(arena), spec, str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(out: Path) -> list[str]:
    return sorted(str(one.relative_to(out)) for one in out.glob("m*/p*/*.jpg"))


def wait_for(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while len(written(out)) < count and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


def everything(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in written(out)}


@pytest.mark.slow
def test_killed_again_and_again_it_ends_like_an_undisturbed_run(
    arena: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    process = start(arena, whole, 0.0)
    assert process.communicate(timeout=240) == ("", "")
    assert process.returncode == 0
    out, chance = tmp_path / "out", random.Random(3)
    goal = 0
    for _ in range(3):
        goal = len(written(out)) + chance.randint(3, 12)
        process = start(arena, out)
        wait_for(out, goal, process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        if (out / "defence.json").exists():
            assert json.loads((out / "defence.json").read_text())["complete"] is False
    before = {name: (out / name).stat().st_ino for name in written(out)}
    assert before
    process = start(arena, out, 0.0)
    assert process.communicate(timeout=240) == ("", "")
    assert everything(out) == everything(whole)
    assert len(everything(out)) == IMAGES
    after = {name: (out / name).stat().st_ino for name in before}
    changed = [name for name in before if after[name] != before[name]]
    assert len(changed) <= 2  # what each thread had in hand
    assert {int((out / name).stat().st_mtime) for name in written(out)} == {CHANGED}
    left = {one.name for one in out.iterdir()}
    assert left == {one.name for one in whole.iterdir()}
    rows = [pq.read_table(one / "defended.parquet") for one in (out, whole)]
    kept = [name for name in rows[0].column_names if name != "milliseconds"]
    assert rows[0].select(kept).equals(rows[1].select(kept))


def test_an_interrupt_leaves_what_is_whole(arena: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(arena, out, 0.05)
    wait_for(out, 5, process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "error: interrupted\n")
    assert process.returncode == 130
    assert 0 < len(written(out)) < IMAGES


def test_one_run_at_a_time(arena: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".whodrew").mkdir(parents=True)
    with locked(out / ".whodrew"), pytest.raises(UsageError, match="written by another run"):
        defend(arena, out)


# ---------------------------------------------------------------- coming again
def defend(arena: Any, out: Path, spec: str = "canonical(size=16)+noise") -> Defended:
    done = whodrew.defend(arena, spec, out, secret="s", workers=2)
    assert isinstance(done, Defended)
    return done


def counts(done: Defended) -> tuple[int, int, int]:
    return done.defended, done.reused, len(done.bad)


def test_only_what_is_new_or_changed_is_defended(arena: Path, tmp_path: Path) -> None:
    growing, out = shutil.copytree(arena, tmp_path / "arena"), tmp_path / "out"
    assert counts(defend(growing, out)) == (IMAGES, 0, 0)
    assert counts(defend(growing, out)) == (0, IMAGES, 0)
    save(growing / "m0/p0/new.png", pixels("amber", "cat", 1, 24))
    save(growing / "m0/p0/0.png", pixels("amber", "cat", 2, 30))
    (growing / "m1/p1/1.png").unlink()
    (out / "m0/p2/2.jpg").unlink()
    (out / "m1/p0/3.jpg").write_bytes(b"cut")
    before = (out / "m0/p0/0.jpg").read_bytes()
    done = defend(growing, out)
    assert counts(done) == (4, IMAGES - 4, 0)
    assert (out / "m0/p0/0.jpg").read_bytes() != before
    fresh = tmp_path / "fresh"
    defend(growing, fresh)
    assert everything(out) == everything(fresh)  # the one that is gone is gone here, too


def test_a_folder_that_becomes_empty_goes_and_strangers_stay(arena: Path, tmp_path: Path) -> None:
    growing, out = shutil.copytree(arena, tmp_path / "arena"), tmp_path / "out"
    defend(growing, out)
    shutil.rmtree(growing / "m1")
    (out / "m0/p0/mine.txt").write_text("mine")
    done = defend(growing, out)
    assert counts(done) == (0, IMAGES // 2, 0)
    assert not (out / "m1").exists()
    assert (out / "m0/p0/mine.txt").read_text() == "mine"


def test_images_inside_a_table_are_known_again(arena: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    files = sorted(arena.glob("m*/p*/*.png"))
    rows = {
        "image": [{"bytes": one.read_bytes(), "path": one.name} for one in files],
        "model": [one.parts[-3] for one in files],
        "prompt_id": [one.parts[-2] for one in files],
    }
    pq.write_table(pa.table(rows), tmp_path / "arena.parquet", row_group_size=7)
    out = tmp_path / "out"
    assert counts(defend(tmp_path / "arena.parquet", out)) == (IMAGES, 0, 0)
    assert counts(defend(tmp_path / "arena.parquet", out)) == (0, IMAGES, 0)
    defend(arena, tmp_path / "folders")
    assert everything(out) == everything(tmp_path / "folders")


def test_images_in_memory_are_known_again(arena: Path, tmp_path: Path) -> None:
    import dataclasses

    import pyarrow as pa

    opened = whodrew.read_arena(arena)
    data = [Path(path).read_bytes() for path in opened.images["path"].to_pylist()]
    table = opened.images
    table = table.set_column(
        table.column_names.index("path"), "path", pa.nulls(IMAGES, pa.string())
    )
    table = table.set_column(
        table.column_names.index("bytes"), "bytes", pa.array(data, pa.binary())
    )
    held = dataclasses.replace(opened, images=table)
    assert counts(defend(held, tmp_path / "out")) == (IMAGES, 0, 0)
    assert counts(defend(held, tmp_path / "out")) == (0, IMAGES, 0)


def test_a_journal_that_was_cut_or_written_by_others_is_no_harm(
    arena: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    defend(arena, out)
    rows = pq.read_table(out / "defended.parquet").to_pylist()
    work = out / ".whodrew"
    work.mkdir()
    outside = tmp_path / "precious.jpg"
    outside.write_text("mine")
    (out / "defended.parquet").unlink()
    facts = [
        {key: row[key] for key in row if key not in ("model", "prompt_id", "prompt", "seed")}
        for row in rows
    ]
    lines = [json.dumps(one) for one in facts[:10]]
    lines.append(json.dumps({**facts[0], "source_item": "x", "path": "../precious.jpg"}))
    lines.append(json.dumps({**facts[0], "source_item": "y", "path": str(outside)}))
    lines += ["[]", "{}", "not JSON", json.dumps(facts[10])[:50]]
    (work / "journal.jsonl").write_text("\n".join(lines))
    assert counts(defend(arena, out)) == (IMAGES - 10, 10, 0)
    assert outside.read_text() == "mine"
    assert not work.exists()
    assert os.path.exists(out / "defended.parquet")  # noqa: PTH110
