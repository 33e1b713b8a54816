"""The engine on Ray: the same rows, whatever dies on the way."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from test_embed_tools import Tiny, Traced, draw_arena, paint
from whodrew.arena import Arena, read_arena
from whodrew.embed import embed, open_store
from whodrew.embed.compact import compact
from whodrew.embed.job import ANSWER, Job, KnownIds, pack_known, partition_table, shares
from whodrew.embed.parts import LABELS, list_parts, write_part
from whodrew.embed.plan import Plan, make_plan, read_known
from whodrew.embed.remote import DEATHS, Clerk
from whodrew.errors import MissingExtraError, UsageError, WhodrewError

IMAGES = 96
#: What a run on Ray does here: several embeds in one process and on one connection.
RUN = """
import json, sys
from pathlib import Path
from test_embed_tools import Tiny, Traced
from whodrew.arena import read_arena
from whodrew.embed import embed
address, *jobs = sys.argv[1:]
try:
    for job in jobs:
        job = json.loads(job)
        encoder = job["encoder"]
        if encoder == "tiny":
            encoder = Tiny()
        elif encoder == "traced":
            encoder = Traced(Path(job["log"]), job["delay"])
        done = embed(read_arena(job["arena"]), encoder, job["store"], engine="ray", address=address)
        print(json.dumps(done.to_dict()), flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


def environment() -> dict[str, str]:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent / "src")])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "DAFT_ANALYTICS_ENABLED": "0",
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two nodes on this machine, one processor each; nothing of them is left behind."""
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'whodrew[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        running = Cluster(initialize_head=True, head_node_args=node)
        try:
            running.add_node(**node)
            yield running.address
        finally:
            running.shutdown()


def start(address: str, *jobs: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, address, *(json.dumps(job) for job in jobs)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True)


def run(address: str, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    process = start(address, *jobs)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return results(out)


def results(out: str) -> list[dict[str, Any]]:
    """Leaves out what Ray says of dead workers."""
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def wait_for(process: subprocess.Popen[str], encoder: Tiny, calls: int) -> None:
    deadline = time.monotonic() + 90
    while encoder.calls < calls and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, f"it was to be disturbed before its end: {process.communicate()}"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many") / "arena"
    for number in range(IMAGES):
        paint(root / f"m{number % 2}" / "p" / f"{number}.png", number, size=4)
    return root


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    return open_store(embed(read_arena(many), Tiny(), store).store).table()


def with_twins_and_bad(root: Path) -> Path:
    draw_arena(root, models=3, prompts=4, seeds=3)
    for seed in "xyz":
        paint(root / "model2" / "p1" / f"{seed}.png", 500)
    paint(root / "model0" / "p3" / "far.png", 500)  # in another partition than the others
    for name in ("one", "two"):
        (root / "model1" / "p2" / f"{name}.png").write_text("not an image")
    return root


def inside_parquet(root: Path, file: Path) -> Path:
    rows = list(read_arena(root).rows())
    images = [{"bytes": Path(row["path"]).read_bytes(), "path": row["item"]} for row in rows]
    columns = {name: [row[name] for row in rows] for name in ("model", "prompt_id", "seed")}
    pq.write_table(pa.table({"image": images, **columns}), file, row_group_size=7)
    return file


@pytest.mark.slow
def test_the_same_rows_and_counts_on_both_engines(tmp_path: Path, cluster: str) -> None:
    root = with_twins_and_bad(tmp_path / "arena")
    packed = inside_parquet(root, tmp_path / "arena.parquet")
    jobs = [
        {"arena": str(arena), "store": str(tmp_path / f"ray{number}"), "encoder": encoder}
        for number, (arena, encoder) in enumerate(((root, "fingerprint"), (packed, "tiny")))
    ]
    done = run(cluster, *jobs, jobs[0])  # once more: there is nothing to do
    for number, (arena, encoder) in enumerate(((root, "fingerprint"), (packed, Tiny()))):
        local = embed(read_arena(arena), encoder, tmp_path / f"native{number}")
        same = ("images", "encoded", "reused", "bad")
        assert {key: done[number][key] for key in same} == {
            key: local.to_dict()[key] for key in same
        }
        # bit for bit, paths and labels too
        ray = open_store(tmp_path / f"ray{number}")
        assert ray.table().equals(open_store(local.store).table())
        assert not list((tmp_path / f"ray{number}").glob("*.tmp"))
    assert (done[2]["encoded"], done[2]["reused"]) == (0, done[0]["encoded"] + done[0]["reused"])


@pytest.mark.slow
def test_a_killed_worker_costs_its_partition_and_nothing_else(
    tmp_path: Path, cluster: str, many: Path, undisturbed: pa.Table
) -> None:
    log = tmp_path / "log"
    job = {"arena": str(many), "store": str(tmp_path / "store"), "encoder": "traced"}
    process = start(cluster, {**job, "log": str(log), "delay": 0.1})
    encoder = Traced(log)
    wait_for(process, encoder, 20)
    victim = encoder.processes[-1]
    assert b"ray::" in Path(f"/proc/{victim}/cmdline").read_bytes()
    os.kill(victim, signal.SIGKILL)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert results(out)[0]["encoded"] == IMAGES
    assert open_store(tmp_path / "store").table().equals(undisturbed)
    assert len(set(encoder.processes)) >= 2
    assert encoder.processes[-1] != victim
    calls = Counter(log.read_text().splitlines())
    assert len(calls) == IMAGES
    size = -(-IMAGES // (4 * 2))
    assert sum(calls.values()) - IMAGES <= size


@pytest.mark.slow
def test_an_interrupted_driver_loses_nothing_and_is_resumed(
    tmp_path: Path, cluster: str, many: Path, undisturbed: pa.Table
) -> None:
    log = tmp_path / "log"
    job = {"arena": str(many), "store": str(tmp_path / "store"), "encoder": "traced"}
    process = start(cluster, {**job, "log": str(log), "delay": 0.1})
    encoder = Traced(log)
    wait_for(process, encoder, 18)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=200)
    assert process.returncode == 130, error
    before = encoder.calls
    # what was encoded when the interrupt came was written, too
    assert len(open_store(tmp_path / "store")) == before < IMAGES
    # what one engine began the other ends
    done = embed(read_arena(many), Tiny(log), tmp_path / "store")
    assert (done.encoded, done.reused) == (IMAGES - before, before)
    assert encoder.calls == IMAGES
    assert open_store(tmp_path / "store").table().equals(undisturbed)


# What follows needs no cluster: it calls what runs on the workers, here.


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return read_arena(with_twins_and_bad(tmp_path / "arena"))


class Desk:
    """A driver and its only worker in one."""

    def __init__(self, arena: Arena, folder: Path, given: Any, **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.arena = arena
        self.plan = make_plan(arena, read_known(folder))
        job = Job("ab" * 16, pickle.dumps(given), given.card, None, folder, 1, None, pa.schema([]))
        self.job = replace(job, images=arena.images.schema, **changes)
        self.job.known.write_bytes(b"")
        self.sent = pickle.dumps(self.job)

    def answers(self, share: int, indices: list[int]) -> list[dict[str, Any]]:
        rows = partition_table(self.arena.images, self.plan, share, indices)
        found = Clerk(self.sent).answer(rows.combine_chunks().to_struct_array())
        assert found.type == ANSWER
        assert found.field("at").to_pylist() == indices
        answers: list[dict[str, Any]] = found.to_pylist()
        return answers


@pytest.fixture(autouse=True)
def _no_seat_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodrew.embed.remote._SEATS", {})


def test_a_partition_done_twice_is_there_once(tmp_path: Path, arena: Arena) -> None:
    store = tmp_path / "store"
    desk = Desk(arena, store, Tiny())
    first = desk.answers(3, list(range(5, 20)))
    (part,) = list_parts(store)
    assert desk.answers(3, list(range(5, 20))) == first
    assert list_parts(store) == [part]
    desk.answers(4, list(range(20, 30)))
    assert len(list_parts(store)) == 2


def test_rows_of_one_image_end_with_one_vector(tmp_path: Path) -> None:
    # two workers encoded the same bytes, and their encoder is exact to some digits only
    for number, paths in enumerate((["b", "c"], ["a", "d"])):
        labels = [{"image_id": "same" if path != "d" else "own", "path": path} for path in paths]
        vectors = np.full((2, 3), number, np.float32)
        write_part(tmp_path, pa.Table.from_pylist(labels, LABELS), vectors, run=1)
    compact(tmp_path)
    (part,) = list_parts(tmp_path)
    rows = pq.read_table(part).to_pylist()
    assert [(row["path"], row["embedding"][0]) for row in rows] == [
        ("d", 1.0),
        ("a", 1.0),
        ("b", 1.0),
        ("c", 1.0),
    ]


def test_a_file_that_moved_is_known_on_the_workers(tmp_path: Path, arena: Arena) -> None:
    store = embed(arena, Tiny(), tmp_path / "store").store
    known = read_known(store)
    desk = Desk(arena, tmp_path / "store", Tiny())
    desk.job.known.write_bytes(pack_known(known.images))
    answers = desk.answers(0, list(range(len(arena))))
    assert {answer["became"] for answer in answers} == {"same", "bad"}
    assert {answer["text"] for answer in answers if answer["became"] == "same"} == known.images


def test_answers_say_what_became_of_each_image(tmp_path: Path, arena: Arena) -> None:
    desk = Desk(arena, tmp_path / "store", Tiny())
    everything = list(range(len(arena)))
    answers = desk.answers(0, everything)
    said = Counter(answer["became"] for answer in answers)
    assert said == {"encoded": 37, "same": 3, "bad": 2}
    assert sum(answer["bytes"] for answer in answers) == sum(
        Path(path).stat().st_size for path in arena.images["path"].to_pylist()
    )


def test_images_on_which_processes_die_become_bad(tmp_path: Path, arena: Arena) -> None:
    store = tmp_path / "store"
    desk = Desk(arena, store, Tiny())
    for number in range(DEATHS):
        (store / f"{desk.job.token}-{number}-at-work.tmp").write_text("1 7")
    (store / f"{desk.job.token}-x-at-work.tmp").write_text("2")
    answers = desk.answers(7, [0, 1])
    assert [answer["became"] for answer in answers] == ["bad", "bad"]
    assert "3 worker processes died on this image or on one of the 2" in answers[0]["text"]
    assert desk.answers(2, [0])[0]["became"] == "encoded"


def test_a_stopped_run_leaves_the_rest(tmp_path: Path, arena: Arena) -> None:
    desk = Desk(arena, tmp_path / "store", Tiny())
    desk.job.stopped.write_bytes(b"")
    assert {answer["became"] for answer in desk.answers(0, [0, 1, 2])} == {"left"}
    assert list_parts(tmp_path / "store") == []


class Broken(Tiny):
    def encode(self, images):  # type: ignore[no-untyped-def]
        raise WhodrewError("needs a GPU")


def test_what_concerns_all_images_is_refused_with_the_mend(tmp_path: Path, arena: Arena) -> None:
    desk = Desk(arena, tmp_path / "store", Tiny())
    desk.job.known.unlink()
    assert "not seen from here: on a cluster it must lie on" in desk.answers(0, [0])[0]["text"]
    for change, said in (
        ({"card": Tiny(revision="9").card}, "'tiny' is another here (revision '9' there, '1'"),
        ({"encoder": "no-such-encoder"}, "unknown encoder"),
        ({"encoder": b"cno_such_package\nX\n."}, "install its package on every machine"),
    ):
        desk = Desk(arena, tmp_path / "store", Tiny(), token=f"{said[:8]:_<32}", **change)
        (answer,) = desk.answers(0, [0])
        assert answer["became"] == "refused"
        assert said in answer["text"]
        assert answer["text"].startswith("worker on ")
        assert "\n" not in answer["text"]
    desk = Desk(arena, tmp_path / "store", Broken(), token="z" * 32)
    assert "needs a GPU" in desk.answers(0, [0, 1])[1]["text"]


def test_known_ids_as_sixteen_bytes_each() -> None:
    random = np.random.default_rng(3)
    there = {random.bytes(16).hex() for _ in range(500)}
    absent = {random.bytes(16).hex() for _ in range(500)}
    packed = pack_known([*there, "not-a-hash", "AB" * 16])
    assert len(packed) == 16 * 500
    known = KnownIds(packed)
    assert all(name in known for name in there)
    assert not any(name in known for name in (*absent, "not-a-hash", "AB" * 16, 7))
    assert "00" * 16 not in KnownIds(b"")


def test_shares_hold_each_pending_image_once(tmp_path: Path, arena: Arena) -> None:
    plan = make_plan(arena, read_known(tmp_path))
    plan.pending = [at for at in plan.pending if at % 5]
    for processors, batch in ((1, 1), (2, 1), (40, 1), (2, 300)):
        found = shares(arena.images, plan, processors, batch)
        assert sorted(at for share in found for at in share) == plan.pending
        assert max(map(len, found)) <= -(-len(plan.pending) // (4 * processors))
    packed = read_arena(inside_parquet(tmp_path / "arena", tmp_path / "arena.parquet"))
    plan = make_plan(packed, read_known(tmp_path))
    found = shares(packed.images, plan, 1, 1)
    assert sorted(at for share in found for at in share) == plan.pending
    groups = [{at // 7 for at in share} for share in found]
    assert sum(len(group) for group in groups) == len(set.union(*groups))


def test_shares_of_images_in_memory_are_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodrew.embed.job._BYTES", 1000)
    from whodrew.arena.model import IMAGES_SCHEMA

    count = 40
    columns = {
        name: pa.nulls(count, IMAGES_SCHEMA.field(name).type) for name in IMAGES_SCHEMA.names
    }
    columns["bytes"] = pa.array([b"x" * 300] * count, pa.binary())
    plan = Plan(
        ["p"] * count, np.zeros(count, np.int64), np.zeros(count, np.int64), [*range(count)]
    )
    found = shares(pa.table(columns), plan, 1, 1)
    assert max(len(share) for share in found) == 3
    assert sorted(at for share in found for at in share) == plan.pending


def test_wrong_use_is_refused_before_anything_is_written(
    tmp_path: Path, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    with pytest.raises(UsageError, match="unknown engine 'spark': native or ray"):
        embed(arena, Tiny(), store, engine="spark")
    with pytest.raises(UsageError, match="add --engine ray"):
        embed(arena, Tiny(), store, address="auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--engine ray needs .*whodrew\[ray\]"):
        embed(arena, Tiny(), store, engine="ray")
    assert not store.exists()


def test_wrong_addresses_and_encoders_are_refused(tmp_path: Path, arena: Arena) -> None:
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'whodrew[ray]'")
    store = tmp_path / "store"
    for address in ("nonsense", "http://x:1", "host:port", ""):
        with pytest.raises(UsageError, match="is no address of a Ray cluster"):
            embed(arena, Tiny(), store, engine="ray", address=address)
    with pytest.raises(WhodrewError, match=r"cannot reach a Ray cluster at 127\.0\.0\.1:9 \("):
        embed(arena, Tiny(), store, engine="ray", address="127.0.0.1:9")
    unsent = Tiny()
    unsent.handle = (line for line in ())  # type: ignore[attr-defined]
    with pytest.raises(
        UsageError, match=r"'tiny' cannot be sent to other machines .*give its name"
    ):
        embed(arena, unsent, store, engine="ray")
    assert not store.exists()


def test_a_process_on_the_other_runner_is_told_so(tmp_path: Path, arena: Arena) -> None:
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'whodrew[ray]'")
    embed(arena, Tiny(), tmp_path / "native")
    with pytest.raises(UsageError, match=r"native runner already.* run it in a process of its own"):
        embed(arena, Tiny(), tmp_path / "ray", engine="ray")
    assert not (tmp_path / "ray").exists()


def test_options_are_environment_variables_too(tmp_path: Path, arena: Arena) -> None:
    settings = {"WHODREW_ENGINE": "ray", "WHODREW_ADDRESS": "127.0.0.1:9", "WHODREW_QUIET": "1"}
    command = [sys.executable, "-m", "whodrew", "embed", arena.source, "--store", tmp_path / "s"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, **settings}
    )
    assert done.returncode == 2
    assert "cannot reach a Ray cluster" in done.stderr or "whodrew[ray]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
