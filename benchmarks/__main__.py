"""``python -m benchmarks``: every figure of docs/results.md, as Markdown on standard output."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPORA = HERE.parent.parent / "shared" / "corpora"
JOBS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Accuracy on the corpora", ("accuracy.py",)),
    ("Encoding, end to end", ("encoding.py",)),
    ("The audit at the paper's size", ("audit_speed.py",)),
    ("Reading stores", ("reading.py",)),
    ("Measures at scale", ("scale.py",)),
    ("Neural encoders", ("encoders.py",)),
    ("`embed` beside Daft and clip-retrieval", ("daft_embed.py",)),
    ("ONNX Runtime against torch", ("onnx_runtime.py",)),
    ("Engines", ("engines.py",)),
    ("Serving defended images", ("defending.py",)),
    ("Adversarial changes", ("perturbing.py",)),
    ("Ranking votes", ("ranking.py",)),
    ("Which votes decide", ("influence.py",)),
    ("What rigging would take", ("simulating.py",)),
    ("Screening votes", ("screening.py",)),
    ("The command line", ("startup.py",)),
    ("Families of the fingerprint", ("fingerprint_families.py",)),
)


def main() -> None:
    """Runs the benchmarks named on the command line, or all."""
    wanted = sys.argv[1:]
    print(
        f"{datetime.now(UTC).date()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )
    failed = []
    for title, (script, *given) in JOBS:
        if wanted and Path(script).stem not in wanted:
            continue
        print(f"\n## {title}\n", flush=True)
        arguments = list(given)
        if script == "fingerprint_families.py":
            arguments = [str(CORPORA / name) for name in ("modern24", "early3")]
            if not CORPORA.is_dir():
                print(f"skipped: no corpora in {CORPORA}")
                continue
        done = subprocess.run([sys.executable, str(HERE / script), *arguments], check=False)
        if done.returncode:
            failed.append(script)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
