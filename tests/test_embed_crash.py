"""Runs that are killed, interrupted, locked out: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from test_embed_tools import Tiny, paint
from whodrew.arena import Arena, read_arena
from whodrew.embed import compact as compaction
from whodrew.embed import embed, open_store
from whodrew.embed.compact import compact
from whodrew.embed.files import locked, sweep
from whodrew.embed.parts import PartBuffer, list_parts
from whodrew.embed.plan import read_known
from whodrew.errors import UsageError, WhodrewError

IMAGES = 160
RUN = """
import sys
from test_embed_tools import Tiny
from pathlib import Path
from whodrew.arena import read_arena
from whodrew.embed import embed
arena, store, log, delay = sys.argv[1:]
try:
    embed(read_arena(arena), Tiny(Path(log), float(delay)), store, workers=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many") / "arena"
    for number in range(IMAGES):
        paint(root / f"m{number % 2}" / "p" / f"{number}.png", number, size=4)
    return root


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    embed(read_arena(many), Tiny(), store)
    return store


def start(many: Path, store: Path, log: Path, delay: float) -> subprocess.Popen[bytes]:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent / "src")])
    arguments = [sys.executable, "-c", RUN, str(many), str(store), str(log), str(delay)]
    return subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": path})


def wait_for_calls(process: subprocess.Popen[bytes], log: Path, calls: int) -> None:
    encoder = Tiny(log)
    deadline = time.monotonic() + 60
    while encoder.calls < calls and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.003)


def test_killed_again_and_again_it_ends_like_an_undisturbed_run(
    many: Path, undisturbed: Path, tmp_path: Path
) -> None:
    chance = random.Random(7)
    store, log = tmp_path / "store", tmp_path / "log"
    kills = 5
    for _ in range(kills):
        process = start(many, store, log, 0.01)
        wait_for_calls(process, log, Tiny(log).calls + chance.randint(1, 30))
        time.sleep(chance.random() * 0.01)
        assert process.poll() is None, "it was to be killed before its end"
        process.kill()
        process.wait()
        if (store / "card.json").exists():
            rows = open_store(store).table()
            pairs = list(zip(*(rows[n].to_pylist() for n in ("image_id", "path")), strict=True))
            assert len(pairs) == len(set(pairs))
    result = embed(read_arena(many), Tiny(log), store, workers=2)
    assert result.encoded + result.reused == IMAGES
    assert open_store(store).table().equals(open_store(undisturbed).table())
    calls = Counter(log.read_text().splitlines())
    assert len(calls) == IMAGES
    # with 160 images a part holds 5: each kill costs the two workers at most that
    assert sum(calls.values()) - IMAGES <= kills * 2 * 5
    assert not list(store.glob("*.tmp"))


def test_an_interrupt_leaves_a_whole_store(many: Path, undisturbed: Path, tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    process = start(many, store, log, 0.02)
    wait_for_calls(process, log, 12)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    encoder = Tiny(log)
    before = encoder.calls
    # what was encoded when the interrupt came was written, too
    assert len(open_store(store)) == before < IMAGES
    result = embed(read_arena(many), encoder, store)
    assert (result.encoded, result.reused) == (IMAGES - before, before)
    assert encoder.calls == IMAGES
    assert open_store(store).table().equals(open_store(undisturbed).table())


def test_one_writer_at_a_time(many: Path, tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    process = start(many, store, log, 0.05)
    wait_for_calls(process, log, 1)
    with pytest.raises(UsageError, match=f"written by process {process.pid} on ") as caught:
        embed(read_arena(many), Tiny(), store)
    assert "\n" not in str(caught.value)
    process.kill()
    process.wait()
    assert embed(read_arena(many), Tiny(), store).bad == ()


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path):
        pass


def test_stale_temporaries_are_swept(tmp_path: Path) -> None:
    (tmp_path / "part-000001-ab.parquet.12.tmp").write_bytes(b"half")
    (tmp_path / "part-000001-ab.parquet").write_bytes(b"whole")
    sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["part-000001-ab.parquet"]


def small_parts(many: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Arena:
    arena = read_arena(many)
    with monkeypatch.context() as patch:
        patch.setattr("whodrew.embed.pipeline.compact", lambda folder: None)
        embed(arena, Tiny(), store)
    assert len(list_parts(store)) > 20
    return arena


def test_a_crash_between_merging_and_removing_doubles_nothing(
    many: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    arena = small_parts(many, store, monkeypatch)
    before = set(list_parts(store))

    def crash(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            compact(store)
    assert len(list_parts(store)) == len(before) + 1
    expected = open_store(undisturbed).table()
    assert open_store(store).table().equals(expected)
    assert embed(arena, Tiny(), store).reused == IMAGES
    assert len(list_parts(store)) == 1
    assert open_store(store).table().equals(expected)


def test_merging_respects_full_parts(
    many: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    small_parts(many, store, monkeypatch)
    monkeypatch.setattr(compaction, "FULL_ROWS", 50)
    compact(store)
    parts = list_parts(store)
    assert 3 <= len(parts) <= 5
    compact(store)
    assert list_parts(store) == parts
    assert open_store(store).table().equals(open_store(undisturbed).table())
    assert len(read_known(store).images) == IMAGES


def test_readers_outlive_a_merge(
    many: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    small_parts(many, store, monkeypatch)
    opened = open_store(store)
    true = list_parts(store)

    def listed_before_the_merge(folder: Path) -> list[Path]:
        monkeypatch.setattr("whodrew.embed.store.list_parts", list_parts)
        compact(store)
        return true

    monkeypatch.setattr("whodrew.embed.store.list_parts", listed_before_the_merge)
    assert opened.table().equals(open_store(undisturbed).table())


def test_a_part_is_closed_by_count_and_by_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("whodrew.embed.parts.time.monotonic", lambda: now)
    buffer = PartBuffer(tmp_path, 3)
    row = {"image_id": "a", "path": "b"}
    for _ in range(130):
        buffer.add(row, np.zeros(2, np.float32))
    assert len(list_parts(tmp_path)) == 2
    now = 6.0
    buffer.add(row, np.zeros(2, np.float32))
    assert len(list_parts(tmp_path)) == 3
    buffer.flush()
    assert len(list_parts(tmp_path)) == 3
    assert all(part.name.startswith("part-000003-") for part in list_parts(tmp_path))


def test_a_full_disk_is_one_plain_line(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    store = tmp_path / "store"
    embed(read_arena(many).take([0]), Tiny(), store)
    arena = read_arena(many)
    with monkeypatch.context() as patch:
        patch.setattr("whodrew.embed.files.os.fsync", full)
        with pytest.raises(WhodrewError, match="No space left"):
            embed(arena, Tiny(), store)
    assert not list(store.glob("*.tmp"))
    assert embed(read_arena(many), Tiny(), store).reused == 1
