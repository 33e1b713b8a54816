"""``whodrew prompts`` from images to the chosen set."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import whodrew
from drawn import MODELS, PROMPTS, Shell, draw, schema_errors, unexplained
from whodrew.arena import read_arena
from whodrew.audit.policy import prompts
from whodrew.errors import InputError, UsageError

FIELDS = {
    "schema", "created", "seed", "software", "arena", "prompts_from", "leak_by", "leak", "prompts",
    "predictors", "power", "choice", "frontier", "random", "bad", "notes",
}  # fmt: skip


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = draw(tmp_path_factory.mktemp("prompts") / "arena", MODELS, PROMPTS, 2)
    with (root / "prompts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt_id", "prompt", "kind"])
        for at, name in enumerate(PROMPTS):
            writer.writerow([name, f"a {name} " + "very " * at + "bright", "ab"[at % 2]])
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "fingerprint"


def votes_file(path: Path, names: tuple[str, ...] = PROMPTS, by: str = "prompt_id") -> Path:
    rng = np.random.default_rng(0)
    first = rng.integers(4, size=2000)
    second = (first + 1 + rng.integers(3, size=2000)) % 4
    chance = 1 / (1 + np.exp(-(second - first) * 0.5))  # amber is the best
    winner = np.where(rng.random(2000) < chance, "model_a", "model_b")
    table = {
        "model_a": np.array(MODELS)[first],
        "model_b": np.array(MODELS)[second],
        "winner": winner,
        by: np.array(names)[rng.integers(len(names), size=2000)],
    }
    pq.write_table(pa.table(table), path)
    return path


def test_the_command(
    capsys: pytest.CaptureFixture[str], arena: Path, store: Path, tmp_path: Path
) -> None:
    shell = Shell(capsys)
    out = tmp_path / "out"
    ran = shell("prompts", arena, "--choose", 3, "--store", store, "--out", out, "--json", "-")
    assert ran.code == 0
    values = ran.json
    assert set(values) >= FIELDS
    assert values["schema"] == "whodrew.prompts/1"
    assert schema_errors("prompts-1", values) == []
    assert values["leak_by"] == "distinguishability"
    assert {one["prompt_id"] for one in values["prompts"]} == set(PROMPTS)
    leaks = [one["leak"] for one in values["prompts"]]
    assert leaks == sorted(leaks, reverse=True)
    assert values["leak"]["value"] == pytest.approx(np.mean(leaks))
    known = {one["predictor"]: one for one in values["predictors"]}
    assert set(known) == {
        "words", "characters", "kind", "brightness", "contrast", "saturation", "detail",
    }  # fmt: skip
    assert known["kind"]["kind"] == "category"
    assert values["power"]["kind"] == "diversity"
    assert "n-grams" in values["power"]["what"]
    choice = values["choice"]
    assert len(choice["prompt_ids"]) == choice["prompts"] == 3
    by_id = {one["prompt_id"]: one["leak"] for one in values["prompts"]}
    assert choice["leak"] == pytest.approx(np.mean([by_id[name] for name in choice["prompt_ids"]]))
    same = [one for one in values["frontier"] if one["prompts"] == 3]
    assert choice["power"] >= 0.95 * max(one["power"] for one in same)
    assert unexplained(values) == []
    assert "chosen, 3 prompts" in ran.err
    with (out / "chosen.csv").open() as file:
        assert [row["prompt_id"] for row in csv.DictReader(file)] == choice["prompt_ids"]
    table = pq.read_table(out / "tables" / "prompts.parquet")
    assert sum(table["chosen"].to_pylist()) == 3
    assert (out / "prompts.json").is_file()
    # the store is what an audit left, and nothing is encoded twice
    again = shell("prompts", arena, "--choose", 3, "--store", store, "--json", "-", "--quiet")
    assert again.err == ""
    assert {**again.json, "created": 0} == {**values, "created": 0}


def test_with_votes(
    capsys: pytest.CaptureFixture[str], arena: Path, store: Path, tmp_path: Path
) -> None:
    shell = Shell(capsys)
    path = votes_file(tmp_path / "votes.parquet", (*PROMPTS[:5], "elsewhere"))
    ran = shell("prompts", arena, "--choose", 2, "--votes", path, "--store", store, "--json", "-")
    assert ran.code == 0
    power = ran.json["power"]
    assert (power["kind"], power["models"]) == ("votes", 4)
    assert 0 < power["all_prompts"] <= 1
    assert sum(one["votes"] for one in ran.json["prompts"]) == power["votes"] < 2000
    assert next(one for one in ran.json["prompts"] if one["prompt_id"] == PROMPTS[5])["votes"] == 0
    assert any("of other prompts" in note for note in ran.json["notes"])
    assert any("1 prompt without votes" in note for note in ran.json["notes"])
    assert PROMPTS[5] not in ran.json["choice"]["prompt_ids"]
    assert unexplained(ran.json) == []
    assert schema_errors("prompts-1", ran.json) == []


def test_what_is_refused(
    capsys: pytest.CaptureFixture[str], arena: Path, store: Path, tmp_path: Path
) -> None:
    shell = Shell(capsys)
    words = ("prompts", arena, "--store", store)
    assert "more than the 6 prompts" in shell.refused(*words, "--choose", 7)
    assert "--choose" in shell.refused(*words, "--choose", 0)
    assert "--keep" in shell.refused(*words, "--keep", 2)
    assert "no such file" in shell.refused(*words, "--votes", tmp_path / "none.csv")
    other = votes_file(tmp_path / "votes.parquet", ("x", "y"))
    assert "no vote of" in shell.refused(*words, "--votes", other)
    bare = tmp_path / "bare.csv"
    bare.write_text("model_a,model_b,winner\namber,birch,tie\n")
    assert "names no prompts" in shell.refused(*words, "--votes", bare)
    with pytest.raises(UsageError):
        prompts(arena, choose=-1)
    few = draw(tmp_path / "few", MODELS[:2], PROMPTS[:2], 2)
    with pytest.raises(InputError, match="2 prompts that can be measured"):
        prompts(few)


def test_bad_images_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spoilt = draw(tmp_path / "arena", MODELS[:3], PROMPTS[:4], 2)
    (spoilt / "amber" / "boat" / "0.png").write_text("no image")
    ran = Shell(capsys)("prompts", spoilt, "--json", "-", "--quiet")
    assert ran.code == 1
    assert ran.err.startswith("bad: amber/boat/0.png")
    values: dict[str, Any] = ran.json
    assert values["choice"] is None
    assert "by the mean of its images" in values["power"]["what"]  # no texts there
    assert unexplained(values) == []
    assert schema_errors("prompts-1", values) == []


def test_single_generations_go_by_naming(tmp_path: Path) -> None:
    single = draw(tmp_path / "arena", MODELS, PROMPTS, 1)
    found = whodrew.prompts(single, choose=2)
    assert found.leak_by == "top1"
    values = found.to_dict()
    assert values["prompts_from"]["knowledge"]["prompts"] == "other"
    assert values["choice"]["leak_expected"] is not None
    assert all(one["distinguishability"] is None for one in values["prompts"])
    assert unexplained(values) == []
    assert schema_errors("prompts-1", values) == []


def test_on_real_images(corpora: Path) -> None:
    whole = read_arena(corpora / "early3")
    some = whole.prompt_ids[:12]
    keep = [name in some for name in whole.images["prompt_id"].to_pylist()]
    found = prompts(whole.filter(keep), choose=4)
    assert found.leak_by == "distinguishability"
    assert found.choice is not None
    chance = found.random[4]
    assert found.choice.point.leak < chance["leak"]["value"]
    assert found.choice.point.power > chance["power"]["value"]
