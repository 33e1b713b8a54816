"""``whodrew frontier``: what it prints, writes, refuses, and how it ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from drawn import MODELS, PROMPTS, Shell, draw, schema_errors, strict_json
from test_defend_frontier import SIDE, Eye, register

QUICK = ("--encoder", "eye", "--unseen-encoder", "none", "--draws", 1, "--fewer-draws", 1,
         "--quality-images", 2, "--shown", "any", "--workers", 2)  # fmt: skip
SPEC = "canonical(size=32)"


@pytest.fixture(autouse=True)
def eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    monkeypatch.setattr(Eye, "fails_after", None)
    Eye.shown.clear()


@pytest.fixture
def whodrew(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commanding") / "arena"
    return draw(root, MODELS[:2], PROMPTS[:3], 2, side=SIDE)


def test_it_prints_writes_and_goes_on(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("frontier", arena, "--defence", SPEC, "--out", out, *QUICK)
    ran = whodrew(*words)
    assert (ran.code, ran.out) == (0, "")
    told = ("what attackers still name", SPEC, "guessing: 50.0 %", "undefended (")
    for words_of in (*told, str(out / "report.html"), str(out / "frontier.json")):
        assert words_of in ran.err
    first = strict_json((out / "frontier.json").read_text())
    assert first["schema"] == "whodrew.frontier/1"
    assert schema_errors("frontier-1", first) == []
    assert [one["defence"] for one in first["points"]] == [SPEC]
    assert pq.read_table(out / "tables" / "frontier.parquet").num_rows > 5
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert list((out / "cache").glob("*.npz"))
    assert not list(out.rglob("*.part"))
    Eye.shown.clear()
    ran = whodrew(*words, "--json", "-", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == first
    assert Eye.shown == []


def test_several_defences_keep_their_order(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    ran = whodrew(
        "frontier", arena, "--defence", "noise(sigma=9)", "--defence", SPEC, "--out",
        tmp_path / "out", *QUICK, "--json", "-", "--seed", 3,
    )  # fmt: skip
    assert ran.code == 0
    assert [one["defence"] for one in ran.json["points"]] == ["noise(sigma=9)", SPEC]
    assert ran.json["seed"] == 3
    assert schema_errors("frontier-1", ran.json) == []


def test_bad_images_are_named(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(arena, tmp_path / "arena")
    (spoilt / "amber/boat/0.png").write_text("no image")
    ran = whodrew("frontier", spoilt, "--defence", SPEC, "--out", tmp_path / "out", *QUICK,
                  "--quiet", "--json", "-")  # fmt: skip
    assert ran.code == 1
    assert ran.err.startswith("bad: amber/boat/0.png: ")
    assert [one["item"] for one in ran.json["arena"]["bad"]] == ["amber/boat/0.png"]
    assert ran.json["arena"]["images"] == 11
    assert schema_errors("frontier-1", ran.json) == []
    assert (tmp_path / "out" / "report.html").is_file()


REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "no defence": ((), "--defence"),
    "unknown defence": (("--defence", "nothing-such"), "nothing-such"),
    "broken defence": (("--defence", "noise(sigma="), "noise"),
    "defence out of range": (("--defence", "noise(sigma=999)"), "noise sigma"),
    "unknown encoder": (("--defence", SPEC, "--encoder", "nobody"), "nobody"),
    "draws": (("--defence", SPEC, "--draws", 0), "--draws 0 is less than 1"),
    "folds": (("--defence", SPEC, "--folds", 0), "--folds 0 is less than 1"),
    "models": (("--defence", SPEC, "--models", 1), "--models 1"),
    "knowledge": (("--defence", SPEC, "--knowledge", "some"), "knowledge"),
    "scorer": (("--defence", SPEC, "--scorer", "nobody"), "nobody"),
    "votes alone": (("--defence", SPEC, "--votes", "votes.csv"), "--votes needs --scorer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served(whodrew: Shell, arena: Path, tmp_path: Path, name: str) -> None:
    words, said = REFUSED[name]
    assert said in whodrew.refused("frontier", arena, "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out" / "frontier.json").exists()


def test_arenas_that_cannot_be_attacked(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    out = ("--defence", SPEC, "--out", tmp_path / "out", *QUICK)
    lone = draw(tmp_path / "lone", MODELS[:1], PROMPTS[:3], 1, side=SIDE)
    assert "images of at least 2" in whodrew.refused("frontier", lone, *out)
    single = draw(tmp_path / "single", MODELS[:2], PROMPTS[:3], 1, side=SIDE)
    said = whodrew.refused("frontier", single, *out, "--knowledge", "matched")
    assert "use --knowledge other" in said
    assert "nowhere" in whodrew.refused("frontier", tmp_path / "nowhere", *out)
    store = tmp_path / "store"
    assert whodrew("embed", arena, "--store", store, "--encoder", "eye", "--quiet").code == 0
    assert "embedding store" in whodrew.refused("frontier", store, *out)


def test_a_folder_that_cannot_be_written(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    assert "file" in whodrew.refused("frontier", arena, "--defence", SPEC, "--out", file, *QUICK)
