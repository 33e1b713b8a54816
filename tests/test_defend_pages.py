"""What the pages on defences and on the gateway show in Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette

from drawn import MODELS, PROMPTS, draw
from gates import ask
from whodrew.defend import DEFENCES, Defence

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


@pytest.fixture
def arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return draw(tmp_path / "arena", MODELS[:1], PROMPTS[:2], 1)


def test_the_stage_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [one for one in blocks("defences.md") if "class Grey" in one]
    found: dict[str, Any] = {"__name__": "builtins"}
    exec(block, found)  # noqa: S102 - our own page
    monkeypatch.setattr(DEFENCES, "_entries", dict(DEFENCES._entries))
    monkeypatch.setattr(DEFENCES, "_loaded", dict(DEFENCES._loaded))
    DEFENCES.register("my-package/grey")(found["Grey"])
    defence = Defence.parse("my-package/grey(share=1)", "s")
    image = np.zeros((16, 16, 3), np.float32)
    image[..., 0] = 0.6
    np.testing.assert_allclose(defence(image), 0.2, atol=0.003)
    assert defence.spec == "my-package/grey(share=1)"


def test_the_job_of_the_page(arena: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = [one for one in blocks("defences.md") if "whodrew.measure_defence" in one]
    exec(block, {})  # noqa: S102
    assert "shown" in capsys.readouterr().out
    assert len(list((arena.parent / "shown").glob("*/*/*.jpg"))) == 2


def test_one_image_as_on_the_page(arena: Path) -> None:
    (block,) = [one for one in blocks("defences.md") if "defence.serve(data)" in one]
    data = next(arena.glob("*/*/*.png")).read_bytes()
    found: dict[str, Any] = {"data": data, "image": np.zeros((32, 32, 3))}
    exec(block, found)  # noqa: S102
    assert found["file"][:2] == b"\xff\xd8"
    assert found["pixels"].shape == (768, 768, 3)


def test_the_gateway_of_the_page(arena: Path) -> None:
    (arena.parent / "shown.secret.txt").write_text("mine\n")
    shown = blocks("gateway.md")
    found: dict[str, Any] = {}
    exec(shown[0], found)  # noqa: S102
    path = "/images/amber/boat/0.png"
    answer = ask(found["app"], path)
    assert answer.status_code == 200
    assert len(answer.content) % 65536 == 0
    found["paths"] = [path, "/images/model-a/p7/3.png"]
    exec(shown[1], found)  # noqa: S102
    app = Starlette(routes=found["app"].routes, middleware=found["middleware"])
    assert ask(app, found["names"].url(path)).content == answer.content
    assert ask(app, path).status_code == 404
    found["data"] = (arena / "amber/boat/0.png").read_bytes()
    exec(shown[2], found)  # noqa: S102
    assert (found["file"], found["media_type"]) == (answer.content, "image/jpeg")
