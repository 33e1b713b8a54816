"""Stores on object storage, against an S3-compatible server on loopback."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from test_embed_tools import Tiny, draw_arena, paint
from whodrew.arena import Arena, is_embedding_table, read_arena
from whodrew.embed import embed, embedding_matrix, lease, open_store
from whodrew.embed.compact import compact
from whodrew.embed.files import locked
from whodrew.embed.parts import list_parts
from whodrew.embed.places import ObjectPath, StorageError, as_place, is_remote
from whodrew.errors import InputError, UsageError, WhodrewError

COUNT = 24


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="needs moto's S3 server: moto[server]")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def surroundings(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(surroundings: None, server: str, tmp_path: Path) -> ObjectPath:
    boto3 = pytest.importorskip("boto3", reason="makes the bucket: moto[server] brings it")
    bucket = f"b{abs(hash(tmp_path)) % 10**12}"
    boto3.client("s3", endpoint_url=server).create_bucket(Bucket=bucket)
    return ObjectPath(f"s3://{bucket}/stores/tiny")


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    root = draw_arena(tmp_path / "arena")
    paint(root / "model0" / "p0" / "twin.png", 3)
    (root / "model1" / "p1" / "bad.png").write_text("not an image")
    return read_arena(root)


def whodrew(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whodrew", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_the_same_rows_as_in_a_folder(tmp_path: Path, arena: Arena, store: ObjectPath) -> None:
    local = embed(arena, Tiny(), tmp_path / "local")
    there = embed(arena, Tiny(), str(store))
    assert (there.encoded, there.reused, there.bad) == (local.encoded, local.reused, local.bad)
    assert there.to_dict()["store"] == str(there.store) == str(store)
    opened = open_store(str(store))
    assert opened.ours
    assert opened.card == local.card
    assert opened.table().equals(open_store(tmp_path / "local").table())
    assert opened.of_arena(arena).equals(open_store(tmp_path / "local").of_arena(arena))
    assert sorted(store.listing()) == ["card.json", list_parts(store)[0].name]


def test_resumed_it_encodes_nothing_again(tmp_path: Path, arena: Arena, store: ObjectPath) -> None:
    encoder = Tiny(tmp_path / "log")
    first = embed(arena.take(range(10)), encoder, store)
    assert encoder.calls == first.encoded > 5
    result = embed(arena, encoder, store)
    assert (encoder.calls, result.encoded) == (COUNT, COUNT - first.encoded)
    assert len(open_store(store)) == COUNT + 1
    assert embed(arena, encoder, store).encoded == 0
    assert encoder.calls == COUNT


def test_small_parts_are_merged_and_the_old_ones_removed(arena: Arena, store: ObjectPath) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whodrew.embed.pipeline.compact", lambda folder: None)
        embed(arena, Tiny(), store)
    before = open_store(store).table()
    assert len(list_parts(store)) > 2
    compact(store)
    assert len(list_parts(store)) == 1
    assert open_store(store).table().equals(before)


def test_a_reader_outlives_a_merge(
    arena: Arena, store: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("whodrew.embed.pipeline.compact", lambda folder: None)
        embed(arena, Tiny(), store)
    opened, true = open_store(store), list_parts(store)
    before = opened.table()

    def listed_before_the_merge(folder: Any) -> Any:
        monkeypatch.setattr("whodrew.embed.store.list_parts", list_parts)
        compact(folder)
        return true

    monkeypatch.setattr("whodrew.embed.store.list_parts", listed_before_the_merge)
    assert opened.table().equals(before)


@pytest.mark.slow
def test_the_command_line_writes_and_audits_it(tmp_path: Path, store: ObjectPath) -> None:
    root = draw_arena(tmp_path / "arena", models=2, prompts=3, seeds=1)
    done = whodrew("embed", root, "--store", store, "--json", "-", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["encoded"] == 6
    assert is_embedding_table(str(store))
    audited = whodrew("audit", store, "--out", tmp_path / "out", "--quiet")
    assert audited.returncode in (0, 1), audited.stderr
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found["arena"]["images"] == 6
    assert found["encoders"][0]["name"] == "fingerprint"


@pytest.mark.slow
def test_a_ray_cluster_writes_to_it(tmp_path: Path, store: ObjectPath) -> None:
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'whodrew[ray]'")
    root = draw_arena(tmp_path / "arena")
    more = ("--encoder", "fingerprint", "--engine", "ray", "--json", "-", "--quiet")
    done = whodrew("embed", root, "--store", store, *more)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["encoded"] == COUNT
    local = embed(read_arena(root), "fingerprint", tmp_path / "local").store
    assert open_store(store).table().equals(open_store(local).table())
    assert not list(store.glob("*.tmp"))


def test_one_writer_at_a_time(arena: Arena, store: ObjectPath) -> None:
    with locked(store):
        with pytest.raises(UsageError, match=r"is being written by process .* \(last sign of life"):
            embed(arena, Tiny(), store)
        assert len([name for name in store.listing() if name.startswith("lock-")]) == 1
    assert store.listing() == {}
    with pytest.raises(RuntimeError), locked(store):
        raise RuntimeError
    assert embed(arena, Tiny(), store).encoded == COUNT


def test_of_many_who_come_at_once_at_most_one_holds_it(store: ObjectPath) -> None:
    inside, most, refused = [0], [0], []
    guard, gate = threading.Lock(), threading.Barrier(6)

    def come() -> None:
        gate.wait()
        try:
            with locked(store):
                with guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.3)
                with guard:
                    inside[0] -= 1
        except UsageError as error:
            refused.append(error)

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 1
    assert len(refused) >= 5
    with locked(store):
        pass


def test_a_lock_is_renewed_and_that_of_the_dead_runs_out(
    store: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.2)
    with locked(store):
        (name,) = store.listing()
        first = (store / name).changed()
        deadline = time.monotonic() + 10
        while (store / name).changed() == first and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (store / name).changed() != first
    dead = store / "lock-0123.json"
    dead.write_bytes(b"{}")
    with pytest.raises(UsageError, match="by another process"), locked(store):
        pass
    monkeypatch.setattr(lease, "STALE_SECONDS", -1.0)
    with locked(store):
        assert dead.name not in store.listing()


def test_a_prefix_of_something_else_is_no_store(arena: Arena, store: ObjectPath) -> None:
    (store / "photo.png").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"is no store of whodrew's \(it holds 'photo\.png'"):
        embed(arena, Tiny(), store)
    with pytest.raises(UsageError, match="is a file"):
        embed(arena, Tiny(), store / "photo.png")


@pytest.mark.parametrize(
    "act",
    [lambda store, arena: open_store(store), lambda store, arena: embed(arena, Tiny(), store)],
    ids=["read", "write"],
)
def test_what_cannot_be_reached_is_said_in_one_line_and_soon(
    arena: Arena, store: ObjectPath, monkeypatch: pytest.MonkeyPatch, act: Callable[..., Any]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot use s3://.*check the address") as caught:
        act(store, arena)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 20


def test_a_bucket_that_is_not_there(arena: Arena, surroundings: None) -> None:
    with pytest.raises(WhodrewError, match="there is no such bucket"):
        embed(arena, Tiny(), "s3://nowhere-at-all/x")
    with pytest.raises(InputError, match="there is no embedding store s3://nowhere-at-all/x"):
        open_store("s3://nowhere-at-all/x")


def test_a_damaged_part_is_told_from_a_storage_that_fails(arena: Arena, store: ObjectPath) -> None:
    embed(arena, Tiny(), store)
    (part,) = list_parts(store)
    part.write_bytes(part.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"{part.name} is damaged"):
        open_store(store)


def test_addresses() -> None:
    assert as_place("s3://b/p/") == ObjectPath("s3://b/p")
    assert as_place(Path("s3://b/p")) == ObjectPath("s3://b/p")
    assert as_place("folder") == Path("folder")
    assert is_remote("gs://b")
    assert not is_remote("s3.parquet")
    place = ObjectPath("s3://b/p/part-1.parquet")
    assert (place.name, place.stem, str(place.parent)) == ("part-1.parquet", "part-1", "s3://b/p")
    assert str(ObjectPath("s3://b").parent) == "s3://b"
    for wrong in ("s3://", "s3:///x", "http://host/x", "s3://b/p?region=x"):
        with pytest.raises(UsageError):
            as_place(wrong)


def test_a_matrix_from_it_is_the_same(arena: Arena, store: ObjectPath, tmp_path: Path) -> None:
    embed(arena, Tiny(dtype="float16"), store)
    embed(arena, Tiny(dtype="float16"), tmp_path / "local")
    ours, theirs = (open_store(place).table() for place in (store, tmp_path / "local"))
    assert (embedding_matrix(ours) == embedding_matrix(theirs)).all()
