"""A torch encoder on Ray gives the rows it gives in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the extra torch")
pytest.importorskip("transformers", reason="needs the extra torch")
pytest.importorskip("ray", reason="needs the extra ray: pip install 'whodrew[ray]'")

from test_encoders_torch_tools import images, make_clip
from whodrew.arena import read_arena
from whodrew.embed import embed, embedding_matrix, open_store

pytestmark = pytest.mark.slow

COUNT = 30
#: Two of them have the bytes of others, and one is no image.
ROWS = COUNT + 2
TOLERANCE = 1e-5
SAME = ("images", "encoded", "reused")
BAD = "model1/p0/broken.png"


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of several sizes and formats, twins in another prompt, and a bad one."""
    root = tmp_path_factory.mktemp("torch") / "arena"
    sizes = tuple((36 + 3 * at, 61 - at) for at in range(COUNT))
    for at, pixels in enumerate(images(sizes)):
        folder = root / f"model{at % 3}" / f"p{at % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{at}.{'jpg' if at % 2 else 'png'}")
    for at in (0, 6):
        twin = root / f"model{at % 3}" / "p4" / f"twin{at}.png"
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.write_bytes((root / f"model{at % 3}" / f"p{at % 5}" / f"{at}.png").read_bytes())
    (root / BAD).parent.mkdir(parents=True, exist_ok=True)
    (root / BAD).write_text("not an image")
    return root


def on_ray(arena: Path, store: Path, encoder: str) -> dict[str, Any]:
    """Runs ``whodrew embed --engine ray`` as a process: one can have one engine only."""
    source = str(Path(__file__).parent.parent / "src")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "DAFT_ANALYTICS_ENABLED": "0",
    }
    command = [sys.executable, "-m", "whodrew", "embed", str(arena), "--store", str(store)]
    command += ["--encoder", encoder, "--json", "-", "--engine", "ray"]
    pipe = subprocess.PIPE
    done = subprocess.run(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, timeout=550, check=False
    )
    assert done.returncode == 1, done.stderr  # for the bad image, which is named
    start = f"\n{done.stdout}".index("\n{")  # workers may have spoken before
    answer: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout, start)[0]
    return answer


def rows(store: Path) -> tuple[pa.Table, np.ndarray[Any, Any]]:
    """Returns labels and vectors, by image_id and path."""
    table = open_store(store).table()
    table = table.sort_by([("image_id", "ascending"), ("path", "ascending")])
    return table.drop_columns("embedding"), embedding_matrix(table)


def test_the_same_rows_natively_and_on_ray(
    arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHODREW_DTYPE", "float32")
    encoder = f"clip:{make_clip(tmp_path / 'clip')}"
    native = embed(read_arena(arena), encoder, tmp_path / "native").to_dict()
    ray = on_ray(arena, tmp_path / "ray", encoder)
    assert {name: ray[name] for name in SAME} == {name: native[name] for name in SAME}
    assert [bad["item"] for bad in ray["bad"]] == [bad["item"] for bad in native["bad"]] == [BAD]

    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("native", "ray")]
    assert cards[0] == cards[1]
    (labels, vectors), (labels_there, there) = rows(tmp_path / "native"), rows(tmp_path / "ray")
    assert len(labels) == ROWS
    assert labels_there.equals(labels)
    np.testing.assert_allclose(there, vectors, rtol=0, atol=TOLERANCE)
    # images lie so far apart that a row in another's place would show
    identity = np.asarray(labels["image_id"].to_pylist())
    apart = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
    assert apart[identity[:, None] != identity[None]].min() > 10 * TOLERANCE
