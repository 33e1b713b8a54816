"""Accuracy on the corpora, by the command itself; corpora are looked for in ../shared.

Reports the audits of ``modern24`` (references of other prompts) and ``early3`` (matched),
and what re-encoding ``modern24`` at JPEG quality 75 costs: queries and references alike,
and queries alone (``--reference-arena``).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"
QUALITY = 75


def audited(arena: Path, out: Path, *options: str) -> dict[str, Any]:
    """Runs the command and returns its result object."""
    command = [sys.executable, "-m", "whodrew", "audit", str(arena), "--out", str(out)]
    subprocess.run([*command, "--quiet", *options], check=True)
    return json.loads((out / "audit.json").read_text("utf-8"))


def row(attack: dict[str, Any], corpus: str) -> str:
    """Returns an attack as a row of a table."""
    knowledge, top1 = attack["knowledge"], attack["top1"]
    name = attack["identifier"] + ("" if knowledge["centred"] else " (plain)")
    three = attack["top3"]
    return (
        f"| {corpus} | {name} | {knowledge['prompts']}"
        f"{' elsewhere' if attack['references_from'] else ''} | {knowledge['shown']} | "
        f"**{100 * top1['value']:.1f}** ({100 * top1['low']:.1f}-{100 * top1['high']:.1f}) | "
        f"{'' if three is None else format(100 * three['value'], '.1f')} | "
        f"{100 * top1['chance']:.1f} |"
    )


def reencoded(arena: Path, out: Path) -> None:
    """Copies an arena with every image as JPEG of quality 75."""
    for path in sorted(arena.glob("*/*/*.*")):
        file = out / path.relative_to(arena)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(file, quality=QUALITY)
    for name in ("prompts.csv", "models.csv"):
        if (arena / name).is_file():
            shutil.copy(arena / name, out / name)


def main() -> None:
    """Prints the figures as Markdown."""
    if not CORPORA.is_dir():
        print(f"skipped: no corpora in {CORPORA}")
        return
    print("| corpus | identifier | references of | shown | top-1 % (95 %) | top-3 % | chance % |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        results = [
            ("modern24", audited(CORPORA / "modern24", work / "m", "--knowledge", "other")),
            ("early3", audited(CORPORA / "early3", work / "e")),
        ]
        lossy = work / "lossy"
        reencoded(CORPORA / "modern24", lossy)
        options = ("--knowledge", "other", "--no-curves")
        elsewhere = ("--reference-arena", str(CORPORA / "modern24"))
        results.append(
            (f"modern24, JPEG {QUALITY}", audited(lossy, work / "l", *options, *elsewhere))
        )
        for corpus, result in results:
            for attack in result["attacks"]:
                print(row(attack, corpus), flush=True)


if __name__ == "__main__":
    main()
