"""Start-up of the command line and the sample audit end to end, in wall seconds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(*arguments: str) -> float:
    """Runs ``python -m whodrew`` and returns its wall time."""
    began = time.monotonic()
    command = [sys.executable, "-m", "whodrew", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    """Prints the figures as Markdown."""
    print("| command | seconds |\n|---|---|")
    print(f"| `whodrew --help`, best of 5 | {min(seconds('--help') for _ in range(5)):.2f} |")
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "audit")
        print(f"| `whodrew audit --sample` | {seconds('audit', '--sample', '--out', out):.1f} |")


if __name__ == "__main__":
    main()
