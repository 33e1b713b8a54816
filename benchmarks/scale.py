"""Time and peak memory of whole audits of stores from 100,000 to 10,000,000 vectors.

Usage: python benchmarks/scale.py [--vectors 100000 1000000] [--dimension 768] [--folder DIR]
       [-- --knowledge matched ...]     what follows -- goes to whodrew audit
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MAKE = """
import sys
from pathlib import Path
from benchmarks.reading import make_store
make_store(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), "model-major")
"""
HERE = Path(__file__).resolve().parent.parent


def run(file: Path, out: Path, extra: list[str]) -> dict[str, Any]:
    """Audits a store; returns seconds, processor seconds, peak memory and the best figure."""
    command = [sys.executable, "-m", "whodrew", "audit", str(file), "--out", str(out), "--quiet"]
    began = time.monotonic()
    # this process holds nothing, so that the child's peak is its own
    child = subprocess.Popen([*command, *extra])
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"audit of {file} failed: {status}")
    best = json.loads((out / "audit.json").read_text("utf-8"))["attacks"][0]
    return {
        "seconds": time.monotonic() - began,
        "processor": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / 1024,
        "best": f"{best['identifier']}, {best['knowledge']['prompts']}, "
        f"{best['knowledge']['shown']}: {100 * best['top1']['value']:.1f} %",
    }


def main() -> None:
    """Prints the figures as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--folder", type=Path, default=None)
    given, extra = parser.parse_known_args()
    extra = [one for one in extra if one != "--"]
    print("| vectors | seconds | processor seconds | peak MiB | strongest |")
    print("|---|---|---|---|---|")
    found: list[dict[str, Any]] = []
    for count in given.vectors:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            file = Path(folder) / "vectors.parquet"
            made = [sys.executable, "-c", MAKE, str(file), str(count), str(given.dimension)]
            subprocess.run(made, check=True, cwd=HERE)
            one = run(file, Path(folder) / "out", extra)
            shutil.rmtree(Path(folder) / "out")
        found.append(one)
        print(
            f"| {count:,} x {given.dimension} | {one['seconds']:.0f} | {one['processor']:.0f} "
            f"| {one['peak']:.0f} | {one['best']} |",
            flush=True,
        )
    if len(found) > 1:
        first, last = found[0], found[-1]
        print(
            f"\ntime {last['seconds'] / first['seconds']:.1f} times, "
            f"memory {last['peak'] / first['peak']:.2f} times"
        )


if __name__ == "__main__":
    main()
