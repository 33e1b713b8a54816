"""``embed`` on both engines, and what a killed worker costs.

Each run is a fresh process. ``start`` is what Ray takes to start and to stop, the rest of the
wall time over the time spent reading and encoding. The third and fourth run use two nodes on
this machine, of one processor each; in the fourth a worker process is killed (SIGKILL) when a
third of the images are done. All four stores must be equal, bit for bit.

    python benchmarks/engines.py [--images N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "corpora" / "modern24"
EMBED = """
import json, sys
from whodrew.arena import read_arena
from whodrew.embed import embed
source, store, count, engine, address = sys.argv[1:]
arena = read_arena(source)
arena = arena.take(range(min(len(arena), int(count))))
more = {"engine": "ray", "address": address or None} if engine == "ray" else {}
tell = lambda state: print("done", state.done, flush=True)
print(json.dumps(embed(arena, "fingerprint", store, progress=tell, **more).to_dict()))
"""


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    return {**os.environ, **quiet, "PYTHONPATH": path, "DO_NOT_TRACK": "true"}


def _workers(address: str) -> list[int]:
    """Returns the processes that encode on the cluster at an address."""
    nodes, actors = set(), {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            line = (entry / "cmdline").read_bytes()
            if b"/raylet" in line and address.encode() in line:
                nodes.add(int(entry.name))
            # a process of Ray is called as what it does
            if line.startswith(b"ray::") and b"UDF" in line:
                stat = (entry / "stat").read_text().rpartition(")")[2]
                actors[int(entry.name)] = int(stat.split()[1])
    return sorted(actor for actor, parent in actors.items() if parent in nodes)


def _run(source: Path, store: Path, count: int, engine: str, address: str, kill: int) -> Any:
    command = [sys.executable, "-c", EMBED, str(source), str(store), str(count), engine, address]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    result: dict[str, Any] = {}
    killed = False
    for line in process.stdout:
        if line.startswith("{"):
            result = json.loads(line)
        elif kill and not killed and line.startswith("done") and int(line.split()[1]) >= kill:
            for victim in _workers(address)[:1]:
                os.kill(victim, signal.SIGKILL)
                killed = True
    if process.wait() or (kill and not killed):
        raise SystemExit(f"{engine} failed, or nothing was killed")
    wall = time.perf_counter() - began
    return {
        "seconds": round(wall, 2),
        "images_per_second": round(result["images_per_second"], 1),
        "encoded": result["encoded"],
    }


@contextlib.contextmanager
def _two_nodes() -> Iterator[str]:
    os.environ.update(_environment())
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        yield cluster.address
    finally:
        cluster.shutdown()


def run(images: int = 528) -> dict[str, Any]:
    """Times both engines, and a run in which a worker dies.

    Args:
        images: most images to take.

    Returns:
        Seconds of wall and images a second of each run, by its name.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = CORPUS
        if not CORPUS.is_dir():
            from whodrew.arena.sample import draw_sample

            source = folder / "sample"
            draw_sample(source)
        from whodrew.embed import open_store

        rows: dict[str, Any] = {}
        _run(source, folder / "warm", 1, "native", "", 0)  # compiles the kernels
        rows["native"] = _run(source, folder / "native", images, "native", "", 0)
        rows["ray"] = _run(source, folder / "ray", images, "ray", "", 0)
        with _two_nodes() as address:
            rows["two nodes"] = _run(source, folder / "two", images, "ray", address, 0)
            third = max(1, images // 3)
            rows["killed"] = _run(source, folder / "killed", images, "ray", address, third)
        whole = open_store(folder / "native").table()
        for store in ("ray", "two", "killed"):
            if not open_store(folder / store).table().equals(whole):
                raise SystemExit(f"the store {store!r} is not that of the native engine")
        return {"corpus": source.name, "images": len(whole), **rows}


def table(result: dict[str, Any]) -> str:
    """Returns the result of ``run`` as a Markdown table."""
    what = f"{result['images']} images of {result['corpus']}, `fingerprint`, {os.cpu_count()} cores"
    names = {
        "native": "native",
        "ray": "Ray, started for the run",
        "two nodes": "Ray, two nodes on this machine",
        "killed": "the same, one worker process killed",
    }
    lines = [f"| {what} | wall, s | images/s while encoding |", "|---|---|---|"]
    lines += [
        f"| {text} | {result[name]['seconds']} | {result[name]['images_per_second']} |"
        for name, text in names.items()
    ]
    return "\n".join([*lines, "", "All four stores hold the same rows, bit for bit."])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=528)
    print(table(run(parser.parse_args().images)))
