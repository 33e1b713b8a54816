"""Arenas and stores that newcomers and strangers make: odd labels, odd vectors, odd cards."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drawn import MODELS, PROMPTS, Shell, draw, pixels, save, schema_errors, unexplained

ODD = [
    "a/b",
    "../../up",
    "..",
    "наталья",
    "x" * 300,
    "-dash",
    "--json",
    "<script>alert(1)</script>",
    "=1+1",
    "new\nline",
    "[bold]no markup[/bold]",
]


@pytest.fixture
def whodrew(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def audited(shell: Shell, source: Path, out: Path, *words: object, code: int = 0) -> Any:
    """Audits, and sees that nothing was written but where it belongs."""
    before = set(out.parent.rglob("*"))
    ran = shell(*("audit", source, "--out", out, "--no-curves", "--json", "-", "--quiet"), *words)
    assert ran.code == code, ran.err
    assert schema_errors("audit-1", ran.json) == []
    assert unexplained(ran.json) == []
    written = set(out.parent.rglob("*")) - before
    assert all(out in path.parents or path == out for path in written)
    tables = out / "tables"
    for attack in ran.json["attacks"]:
        for key in ("confusion", "answers"):
            assert (out / attack[key]).parent == tables
            assert (out / attack[key]).is_file()
    assert (out / ran.json["similarity"]["table"]).is_file()
    assert (out / "report.html").is_file()
    return ran.json


# ---------------------------------------------------------------- labels
@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest whose labels are as odd as labels can be, with anonymous images."""
    folder = tmp_path_factory.mktemp("odd")
    rows = [["path", "model", "prompt_id", "prompt", "seed"]]
    for model in [*ODD, ""]:
        for prompt in ("p\nq", "../../x", "<b>plain</b>"):
            for seed in range(2):
                name = f"i/{len(rows)}.png"
                save(folder / name, pixels(model, prompt, seed))
                rows.append([name, model, prompt, f"say {prompt}\n\ttwice", "9" * 50 + str(seed)])
    with (folder / "m.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder / "m.csv"


def test_odd_labels_are_kept_as_they_are(whodrew: Shell, odd: Path, tmp_path: Path) -> None:
    found = audited(whodrew, odd, tmp_path / "out", "--knowledge", "other")
    assert found["arena"]["models"] == len(ODD)
    assert found["arena"]["anonymous"] == 6
    assert {one["model"] for one in found["attacks"][0]["per_model"]} == set(ODD)
    assert {one["prompt_id"] for one in found["prompts"]} == {"p\nq", "../../x", "<b>plain</b>"}
    assert all(one["queries"] == 6 * len(ODD) for one in found["attacks"])
    html = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<script>alert(1)" not in html
    assert "<b>plain</b>" not in html


def test_odd_labels_are_printed_as_they_are(whodrew: Shell, odd: Path, tmp_path: Path) -> None:
    image = save(tmp_path / "one.png", pixels("amber", "boat", 1))
    ran = whodrew(
        *("identify", image, "--references", odd, "--store", tmp_path / "store"),
        *("--top", 20, "--prompt-id", "p\nq", "--json", "-"),
    )
    assert ran.code == 0
    (found,) = ran.json
    assert {one["model"] for one in found["ranked"]} == set(ODD)
    assert found["knowledge"]["prompts"] == "matched"
    assert "[bold]" in ran.err


def test_the_same_generation_twice_in_a_manifest(whodrew: Shell, tmp_path: Path) -> None:
    draw(tmp_path / "i", prompts=PROMPTS[:3], generations=2)
    lines = ["path,model,prompt_id,seed"]
    for file in sorted((tmp_path / "i").rglob("*.png")):
        model, prompt = file.parts[-3:-1]
        lines.append(f"{file.relative_to(tmp_path)},{model},{prompt},{file.stem}")
    lines += ["i/amber/boat/1.png,birch,cat,0", "i/no/such/file.png,birch,cat,7", "only,two"]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    found = audited(whodrew, tmp_path / "m.csv", tmp_path / "out", "--knowledge", "other", code=1)
    assert len(found["arena"]["bad"]) == 3
    assert found["arena"]["images"] == 24


def test_a_path_with_spaces_and_a_leading_dash(
    whodrew: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "my arena", prompts=PROMPTS[:3], generations=2)
    shutil.copytree(tmp_path / "my arena", tmp_path / "-arena")
    monkeypatch.chdir(tmp_path)
    words = ("--knowledge", "other", "--shown", "any", "--no-curves", "--quiet")
    assert whodrew("audit", "my arena", "--out", "my out", *words).code == 0
    assert (tmp_path / "my out" / "report.html").is_file()
    assert whodrew("audit", *words, "--out", "out", "--", "-arena").code == 0


# ---------------------------------------------------------------- stores made by others
def vectors(
    models: int = 4, prompts: int = 6, generations: int = 3, dimension: int = 16
) -> tuple[dict[str, list[str]], npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    hands = rng.normal(size=(models, dimension))
    labels: dict[str, list[str]] = {
        name: [] for name in ("image_id", "path", "model", "prompt_id", "seed")
    }
    rows = []
    for model in range(models):
        for prompt in range(prompts):
            for seed in range(generations):
                cell = (f"m{model}", f"p{prompt}", str(seed))
                labels["image_id"].append("-".join(cell))
                labels["path"].append("/".join(("gone", *cell)) + ".png")
                for name, value in zip(("model", "prompt_id", "seed"), cell, strict=True):
                    labels[name].append(value)
                rows.append(hands[model] + rng.normal(size=dimension))
    return labels, np.array(rows, np.float32)


def write(
    file: Path, labels: dict[str, list[str]], matrix: npt.NDArray[np.float32], *drop: str
) -> Path:
    columns: dict[str, Any] = {name: labels[name] for name in labels if name not in drop}
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(matrix.ravel(), matrix.shape[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file


def carded(folder: Path, name: str, scale: str = "unit") -> Path:
    write(folder / "part-000001-x.parquet", *vectors())
    card = {
        "name": name,
        "encoder": name,
        "revision": "1",
        "dimension": 16,
        "scale": scale,
        "preprocessing": "none",
        "dtype": "float32",
        "software": {},
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_a_bare_parquet_file_is_an_arena(whodrew: Shell, tmp_path: Path) -> None:
    file = write(tmp_path / "my-vectors.parquet", *vectors())
    found = audited(whodrew, file, tmp_path / "out")
    (encoder,) = found["encoders"]
    assert (encoder["name"], encoder["scale"], encoder["dimension"]) == ("my-vectors", "unit", 16)
    assert encoder["seconds"] is None
    assert found["arena"]["images"] == 72
    assert found["container"] is None
    assert found["attacks"][0]["top1"]["value"] > 0.9
    assert found["arena"]["bad"] == []
    assert not (tmp_path / "out" / "store").exists()
    assert "data:image" not in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_one_prompt_can_be_matched(whodrew: Shell, tmp_path: Path) -> None:
    file = write(tmp_path / "one.parquet", *vectors(prompts=1))
    found = audited(whodrew, file, tmp_path / "out")
    assert {one["knowledge"]["prompts"] for one in found["attacks"]} == {"matched"}
    assert all(one["ece"] is None for one in found["attacks"])


def test_our_own_store_is_an_arena(whodrew: Shell, tmp_path: Path) -> None:
    arena = draw(tmp_path / "arena", prompts=PROMPTS[:4], generations=2)
    assert whodrew("embed", arena, "--store", tmp_path / "store").code == 0
    words = ("--knowledge", "other", "--shown", "any")
    direct = audited(whodrew, arena, tmp_path / "a", "--store", tmp_path / "store", *words)
    stored = audited(whodrew, tmp_path / "store", tmp_path / "b", *words)
    assert [one["top1"] for one in stored["attacks"]] == [one["top1"] for one in direct["attacks"]]
    assert stored["encoders"][0]["name"] == "fingerprint"
    assert stored["container"]["differs"] is False


@pytest.mark.parametrize(
    "name",
    ["../../evil", "a/b", "/abs", "..", "x" * 300, "nul\0byte", "new\nline", "", "naïve ﬁle"],
)
def test_no_card_writes_outside_of_tables(whodrew: Shell, name: str, tmp_path: Path) -> None:
    folder = carded(tmp_path / "given" / "store", name)
    found = audited(
        *(whodrew, folder, tmp_path / "given" / "out"),
        *("--knowledge", "other", "--shown", "any", "--identifier", "nearest-centroid"),
    )
    assert found["encoders"][0]["name"] == name
    assert {one["encoder"] for one in found["attacks"]} == {name}


def test_names_that_look_alike_in_files_stay_apart() -> None:
    from whodrew.audit.result import file_name

    names = ["a/b", "a-b", "a//b", "a b", "A-b", "a-b-", "x" * 300, "x" * 301, "", "..", "."]
    files = [file_name(name, "other") for name in names]
    assert len(set(files)) == len(names)
    assert all(len(name) < 140 and "/" not in name and name[0] not in ".-" for name in files)
    assert file_name("fingerprint", "", "other") == "fingerprint-other"


def test_vectors_that_are_no_numbers_are_bad_items(whodrew: Shell, tmp_path: Path) -> None:
    labels, matrix = vectors()
    matrix[3] = np.nan
    matrix[9, 2] = np.inf
    matrix[11] = 1e30
    matrix[20] = 0
    file = write(tmp_path / "odd.parquet", labels, matrix)
    found = audited(whodrew, file, tmp_path / "out", code=1)
    bad = {one["item"]: one["reason"] for one in found["arena"]["bad"]}
    assert {item.rsplit("row ", 1)[-1] for item in bad} >= {"3", "9"}
    assert any("too large" in reason for reason in bad.values())
    assert len(bad) == 3
    assert found["arena"]["images"] == 69


def test_vectors_too_large_are_refused_where_all_are(whodrew: Shell, tmp_path: Path) -> None:
    labels, matrix = vectors()
    file = write(tmp_path / "huge.parquet", labels, matrix * np.float32(1e30))
    said = whodrew.refused("audit", file, "--out", tmp_path / "out")
    assert "72 are bad" in said
    assert "too large" in said


def test_vectors_that_say_nothing_are_named_at_chance(whodrew: Shell, tmp_path: Path) -> None:
    labels, matrix = vectors()
    file = write(tmp_path / "same.parquet", labels, np.ones_like(matrix))
    found = audited(whodrew, file, tmp_path / "out")
    for attack in found["attacks"]:
        assert attack["top1"]["value"] < 0.5, attack["knowledge"]["shown"]


@pytest.mark.parametrize(
    ("drop", "said"),
    [("prompt_id", "add the columns prompt_id and model"), ("model", "shows 0 models")],
)
def test_a_store_without_labels_is_refused(
    whodrew: Shell, drop: str, said: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "bare.parquet", *vectors(), drop)
    assert said in whodrew.refused("audit", file, "--out", tmp_path / "out")


def test_canonical_needs_images(whodrew: Shell, tmp_path: Path) -> None:
    file = write(tmp_path / "bare.parquet", *vectors())
    said = whodrew.refused("audit", file, "--out", tmp_path / "out", "--canonical", 64)
    assert "--canonical needs the images" in said
    assert "give the arena it was made from" in said


def test_references_by_another_encoder_are_refused(whodrew: Shell, tmp_path: Path) -> None:
    arena = draw(tmp_path / "arena", MODELS[:2], PROMPTS[:2], 1)
    file = write(tmp_path / "bare.parquet", *vectors())
    words = ("--out", tmp_path / "out", "--reference-arena")
    for said in (
        whodrew.refused("audit", arena, *words, file),
        whodrew.refused("audit", file, *words, arena),
    ):
        assert "give both as images, or stores of one encoder" in said
    said = whodrew.refused("identify", arena / "amber/boat/0.png", "--references", file)
    assert "'bare', which is no encoder of this installation" in said


def test_a_damaged_store_is_refused_in_one_line(whodrew: Shell, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    whodrew.refused("audit", tmp_path / "broken.parquet", "--out", tmp_path / "out")
    folder = carded(tmp_path / "store", "mine")
    (folder / "card.json").write_text("{")
    whodrew.refused("audit", folder, "--out", tmp_path / "out")
