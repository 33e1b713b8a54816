"""Folder layouts: which level is which, what is left aside, what is bad."""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from whodrew.arena import (
    IMAGES_SCHEMA,
    Arena,
    BadItem,
    iter_bytes,
    list_images,
    read_arena,
    read_families,
)
from whodrew.arena.tree import kind_of
from whodrew.errors import InputError, UsageError


def draw(path: Path, colour: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour % 256, 0, 0)).save(path)


def build(root: Path, shape: str = "{model}/{prompt}/{seed}.png", seeds: int = 2) -> Path:
    """Two models, three prompts."""
    for model in ("flux", "sdxl"):
        for prompt in ("p1", "p2", "p3"):
            for seed in range(seeds):
                draw(root / shape.format(model=model, prompt=prompt, seed=seed))
    return root


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def cells(arena: Arena) -> set[tuple[str | None, str, str]]:
    rows = arena.images.select(["model", "prompt_id", "seed"]).to_pylist()
    return {(row["model"], row["prompt_id"], row["seed"]) for row in rows}


EXPECTED = {(m, p, s) for m in ("flux", "sdxl") for p in ("p1", "p2", "p3") for s in ("0", "1")}
BACKWARD = "{prompt}/{model}/{seed}.png"
PROMPTS = 'prompt_id,prompt,category\np1,a cat,animal\np2,a car,thing\np3,"a, b\nand c",\n'
MODELS = "model,family\nflux,f\nsdxl,s\n"


# ------------------------------------------------------------------ which level is which


def test_model_first_is_taken_and_said(tmp_path: Path) -> None:
    arena = read_arena(build(tmp_path))
    assert cells(arena) == EXPECTED
    assert arena.layout == "model/prompt"
    assert arena.source == str(tmp_path)
    assert arena.images.schema.equals(IMAGES_SCHEMA)
    assert arena.bad == ()
    assert "layout model/prompt taken" in arena.notes[0]
    assert "--layout prompt/model" in arena.notes[0]
    assert (arena.models, arena.prompt_ids) == (["flux", "sdxl"], ["p1", "p2", "p3"])
    assert len(arena) == 12
    assert arena.anonymous == 0


def test_prompts_csv_decides(tmp_path: Path) -> None:
    write(build(tmp_path, BACKWARD) / "prompts.csv", PROMPTS)
    arena = read_arena(tmp_path)
    assert arena.layout == "prompt/model"
    assert cells(arena) == EXPECTED
    assert arena.prompts == {"p1": "a cat", "p2": "a car", "p3": "a, b\nand c"}
    assert arena.prompt_attributes["p1"] == {"category": "animal"}
    assert arena.prompt_attributes["p3"] == {}
    assert arena.images["prompt"].to_pylist()[:2] == ["a cat", "a cat"]


def test_models_csv_decides(tmp_path: Path) -> None:
    write(build(tmp_path, BACKWARD) / "models.csv", MODELS)
    arena = read_arena(tmp_path)
    assert arena.layout == "prompt/model"
    assert cells(arena) == EXPECTED
    assert arena.families == {"flux": "f", "sdxl": "s"}


@pytest.mark.parametrize("shape", ["{model}/{prompt}/{seed}.png", BACKWARD])
def test_both_tables_agree(tmp_path: Path, shape: str) -> None:
    build(tmp_path, shape)
    write(tmp_path / "prompts.csv", PROMPTS)
    write(tmp_path / "models.csv", MODELS)
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    assert arena.notes == (f"layout {arena.layout}, by the names in models.csv and prompts.csv",)


def test_the_order_does_not_depend_on_the_layout(tmp_path: Path) -> None:
    forward = read_arena(build(tmp_path / "a"))
    backward = read_arena(build(tmp_path / "b", BACKWARD), layout="prompt/model")
    columns = ["model", "prompt_id", "seed"]
    assert forward.images.select(columns).equals(backward.images.select(columns))


def test_layout_overrides_the_tables_and_the_contradiction_is_said(tmp_path: Path) -> None:
    write(build(tmp_path) / "prompts.csv", PROMPTS)
    arena = read_arena(tmp_path, layout="prompt/model")
    assert arena.models == ["p1", "p2", "p3"]
    assert "as asked, though the tables" in arena.notes[0]


def test_names_on_both_levels_are_ambiguous_and_said(tmp_path: Path) -> None:
    for top in ("a", "b"):
        for sub in ("a", "b"):
            draw(tmp_path / top / sub / "0.png")
    write(tmp_path / "prompts.csv", "prompt_id,prompt\na,x\nb,y\n")
    arena = read_arena(tmp_path)
    assert arena.layout == "model/prompt"
    assert "fit both levels" in arena.notes[0]


def test_tables_that_contradict_each_other_are_ambiguous(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "models.csv", MODELS)
    write(tmp_path / "prompts.csv", "prompt_id,prompt\nflux,x\nsdxl,y\n")
    assert "fit both levels" in read_arena(tmp_path).notes[0]


def test_one_name_on_the_wrong_level_does_not_turn_the_layout(tmp_path: Path) -> None:
    build(tmp_path, BACKWARD)
    write(tmp_path / "prompts.csv", PROMPTS + "flux,called like a model,\n")
    arena = read_arena(tmp_path)
    assert arena.layout == "prompt/model"
    assert "fits prompts.csv better" in arena.notes[0]


def test_tables_that_fit_nothing(tmp_path: Path) -> None:
    write(build(tmp_path) / "prompts.csv", "prompt_id,prompt\nzzz,a\n")
    arena = read_arena(tmp_path)
    assert "fit no folder" in arena.notes[0]
    assert "not in prompts.csv: prompt 'p1', 'p2', 'p3'" in arena.notes
    assert "in prompts.csv but without images: prompt 'zzz'" in arena.notes
    assert arena.prompts == {}


@pytest.mark.parametrize("layout", ["models/prompts", "", "prompt"])
def test_an_unknown_layout_is_a_usage_error(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UsageError, match="model/prompt or prompt/model"):
        read_arena(build(tmp_path), layout=layout)


def test_folders_are_never_a_manifest(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "metadata.csv", "file_name,model,prompt_id\nflux/p1/0.png,other,q\n")
    write(tmp_path / "all.csv", "path,model,prompt_id\nflux/p1/0.png,other,q\n")
    write(tmp_path / "votes.csv", "model_a,model_b,winner\nflux,sdxl,tie\n")
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    (said,) = (note for note in arena.notes if "not read as a manifest" in note)
    assert "all.csv" in said
    assert "votes.csv" not in said  # an audit takes it


# ------------------------------------------------------------------ the tables beside


def test_tables_beside_in_unicode_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "modèle-é")
    draw(tmp_path / decomposed / "p1" / "0.png")
    draw(tmp_path / "日本" / "p1" / "0.png")
    (tmp_path / "models.csv").write_bytes(
        "\ufeffmodel,family\r\nmodèle-é,français\r\n日本,nippon\r\n".encode()
    )
    arena = read_arena(tmp_path)
    assert set(arena.families.values()) == {"français", "nippon"}
    assert set(arena.families) == set(arena.models)


def test_a_table_beside_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "prompts.csv", "who,what\na,b\n")
    write(tmp_path / "models.csv", "")
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    said = "\n".join(arena.notes)
    assert "prompts.csv is not used: it needs a column 'prompt_id', found 'who', 'what'" in said
    assert "models.csv is not used" in said


def test_rows_beside_that_contradict_are_bad(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "prompts.csv", PROMPTS + "p1,a dog,\np2,a car,\n,nothing,\np3,a\n")
    write(tmp_path / "models.csv", MODELS + "flux,other\n")
    arena = read_arena(tmp_path)
    reasons = {item.item: item.reason for item in arena.bad}
    assert reasons == {
        "prompts.csv, line 6": "prompt_id 'p1' is listed before with another text",
        "prompts.csv, line 8": "no prompt_id",
        "prompts.csv, line 9": "2 fields where the header has 3",
        "models.csv, line 4": "model 'flux' is listed before with another family",
    }
    assert arena.prompts["p1"] == "a cat"


def test_families_from_a_table_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "f.csv", MODELS + "flux,other\nspare,x\n")
    families, bad, notes = read_families(tmp_path / "f.csv", ["flux", "new"])
    assert families == {"flux": "f"}
    assert [item.item for item in bad] == ["f.csv, line 4"]
    assert "not in f.csv: model 'new'" in notes
    assert "in f.csv but without images: model 'sdxl', 'spare'" in notes
    write(tmp_path / "g.csv", "model,colour\nflux,red\n")
    with pytest.raises(InputError, match="names no families"):
        read_families(tmp_path / "g.csv", ["flux"])
    with pytest.raises(InputError, match="no table of families"):
        read_families(tmp_path / "zzz.csv", ["flux"])


def test_odd_labels_are_kept_and_reported(tmp_path: Path) -> None:
    for model in ("flux", "Flux", " sdxl"):
        draw(tmp_path / model / "p1" / "0.png")
    arena = read_arena(tmp_path)
    assert arena.models == [" sdxl", "Flux", "flux"]
    said = "\n".join(arena.notes)
    assert "1 model label with white space around, kept as written: ' sdxl'" in said
    assert "taken as different: 'Flux', 'flux'" in said


# ------------------------------------------------------------------ what else lies there


def test_the_same_seed_twice_is_bad(tmp_path: Path) -> None:
    build(tmp_path)
    draw(tmp_path / "flux" / "p1" / "0.jpg")
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    (bad,) = arena.bad
    assert bad.item == "flux/p1/0.png"
    assert bad.reason.startswith("the same (model, prompt_id, seed) as flux/p1/0.jpg")
    assert bad.to_dict() == {"item": bad.item, "reason": bad.reason}


def test_hidden_files_and_sidecars_are_counted(tmp_path: Path) -> None:
    build(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "._0.png"):
        write(tmp_path / "flux" / "p1" / name, "x")
    for name in ("0.txt", "1.txt", "0.json", "README"):
        write(tmp_path / "flux" / "p2" / name, "x")
    (tmp_path / "__MACOSX" / "flux").mkdir(parents=True)
    (tmp_path / ".cache").mkdir()
    write(tmp_path / "README.md", "x")
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    assert arena.bad == ()
    assert "files beside the images left aside: 2 .txt, 1 .json, 1 README" in arena.notes
    assert "hidden and system files left aside: 5" in arena.notes


def test_what_is_no_image_is_bad(tmp_path: Path) -> None:
    build(tmp_path)
    for name in ("0.svg", "clip.mp4", "noending"):
        write(tmp_path / "flux" / "p1" / name, "x")
    arena = read_arena(tmp_path)
    assert arena.bad == (
        BadItem("flux/p1/0.svg", "not an image (.svg)"),
        BadItem("flux/p1/clip.mp4", "not an image (.mp4)"),
        BadItem("flux/p1/noending", "not an image (no ending)"),
    )


def test_images_at_other_depths_are_bad(tmp_path: Path) -> None:
    build(tmp_path)
    draw(tmp_path / "loose.png")
    draw(tmp_path / "flux" / "high.png")
    draw(tmp_path / "flux" / "p1" / "more" / "0.png")
    draw(tmp_path / "flux" / "p1" / "more" / "1.png")
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    assert {item.item for item in arena.bad} == {"loose.png", "flux/high.png", "flux/p1/more"}
    assert any("2 images" in item.reason for item in arena.bad)


def test_folders_without_images_are_said(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "out" / "tables").mkdir(parents=True)
    write(tmp_path / "out" / "tables" / "a.parquet", "x")
    (tmp_path / "flux" / "p4").mkdir()
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    assert arena.bad == ()
    assert "folders without images left aside: 'flux/p4', 'out'" in arena.notes


def test_endings_are_compared_without_case(tmp_path: Path) -> None:
    for name in ("a.PNG", "b.JpEg"):
        draw(tmp_path / "m" / "p" / name)
    assert len(read_arena(tmp_path)) == 2
    assert (kind_of("a.heic"), kind_of("a.md"), kind_of("a.exe")) == (
        "image", "sidecar", "unknown",
    )  # fmt: skip


def test_symbolic_links(tmp_path: Path) -> None:
    build(tmp_path / "real")
    arena_dir = tmp_path / "arena"
    arena_dir.mkdir()
    (arena_dir / "flux").symlink_to(tmp_path / "real" / "flux")
    (arena_dir / "sdxl").symlink_to(tmp_path / "real" / "sdxl")
    (arena_dir / "self").symlink_to(arena_dir)
    (arena_dir / "broken").symlink_to(tmp_path / "nowhere")
    (arena_dir / "loop").symlink_to(arena_dir / "loop")
    arena = read_arena(arena_dir)
    assert cells(arena) == EXPECTED
    reasons = {item.item: item.reason for item in arena.bad}
    assert reasons["self"] == "a symbolic link to a folder above itself"
    assert reasons["broken"] == "a symbolic link to nothing"
    assert "loop" in reasons


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "mkfifo"), reason="needs Unix")
def test_pipes_and_undecodable_names(tmp_path: Path) -> None:
    build(tmp_path)
    os.mkfifo(tmp_path / "flux" / "p1" / "pipe.png")
    try:
        (tmp_path / "flux" / "p1" / "x\udcff.png").write_bytes(b"x")
    except OSError:
        pytest.skip("this file system knows only UTF-8 names")
    arena = read_arena(tmp_path)
    assert cells(arena) == EXPECTED
    assert {item.reason for item in arena.bad} == {
        "not a regular file", "its name is not valid UTF-8",
    }  # fmt: skip
    for item in arena.bad:
        item.item.encode("utf-8")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "flux" / "p1").chmod(0)
    try:
        arena = read_arena(tmp_path)
    finally:
        (tmp_path / "flux" / "p1").chmod(0o755)
    assert any(item.item == "flux/p1" and "cannot be listed" in item.reason for item in arena.bad)


# ------------------------------------------------------------------ what is no arena


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_arena(tmp_path / "x")
    with pytest.raises(InputError, match="holds no images"):
        read_arena(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no images"):
        read_arena(tmp_path)


def test_a_file_that_is_no_arena(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    with pytest.raises(InputError, match="is one image"):
        read_arena(tmp_path / "a.png")
    write(tmp_path / "a.xyz", "x")
    with pytest.raises(InputError, match="not an arena"):
        read_arena(tmp_path / "a.xyz")
    with pytest.raises(InputError, match="loose images that nothing labels"):
        read_arena(tmp_path)


def test_images_one_folder_deep_are_not_guessed_at(tmp_path: Path) -> None:
    build(tmp_path, "{model}/{prompt}.png", seeds=1)
    with pytest.raises(InputError, match=r"only one folder deep.*--layout model/prompt"):
        read_arena(tmp_path)
    write(tmp_path / "metadata.csv", "file_name\nx.png\n")
    with pytest.raises(InputError, match=r"to read metadata\.csv as a manifest"):
        read_arena(tmp_path)


def test_images_one_folder_deep_with_a_layout(tmp_path: Path) -> None:
    build(tmp_path / "a", "{model}/{prompt}.png", seeds=1)
    build(tmp_path / "b", "{prompt}/{model}.png", seeds=1)
    forward = read_arena(tmp_path / "a", layout="model/prompt")
    backward = read_arena(tmp_path / "b", layout="prompt/model")
    for arena in (forward, backward):
        assert (arena.models, arena.prompt_ids) == (["flux", "sdxl"], ["p1", "p2", "p3"])
        assert len(arena) == 6
        assert any("one folder deep: read as" in note for note in arena.notes)


def test_images_one_folder_deep_with_tables(tmp_path: Path) -> None:
    write(build(tmp_path, "{prompt}/{model}.png", seeds=1) / "prompts.csv", PROMPTS)
    arena = read_arena(tmp_path)
    assert arena.layout == "prompt/model"
    assert arena.models == ["flux", "sdxl"]


def test_images_too_deep(tmp_path: Path) -> None:
    build(tmp_path / "a" / "b")
    with pytest.raises(InputError, match="too deep"):
        read_arena(tmp_path)


# ------------------------------------------------------------------ the rest


def test_listing_opens_no_image(tmp_path: Path) -> None:
    (tmp_path / "m" / "p").mkdir(parents=True)
    (tmp_path / "m" / "p" / "0.png").write_bytes(b"no image at all")
    arena = read_arena(tmp_path)
    assert len(arena) == 1
    assert arena.bad == ()
    assert list(iter_bytes(arena.images)) == [(0, b"no image at all")]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "arena")
    monkeypatch.chdir(tmp_path)
    arena = read_arena("arena")
    assert arena.source == "arena"
    assert all(Path(path).is_absolute() for path in arena.images["path"].to_pylist())
    assert arena.images["item"][0].as_py() == "flux/p1/0.png"


def test_taking_and_filtering(tmp_path: Path) -> None:
    arena = read_arena(build(tmp_path))
    assert arena.take([3, 1]).images["item"].to_pylist() == ["flux/p2/1.png", "flux/p1/1.png"]
    assert len(arena.filter([row["model"] == "flux" for row in arena.rows()])) == 6
    assert arena.summary()["images"] == 12


def test_list_images(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "notes.txt", "x")
    write(tmp_path / ".hidden.png", "x")
    (tmp_path / "loop").symlink_to(tmp_path)
    images = list_images(tmp_path)
    assert len(images) == 12
    assert images == sorted(images)
    assert list_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(InputError, match="no such"):
        list_images(tmp_path / "zzz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        list_images(tmp_path / "empty")


@pytest.mark.slow
def test_a_large_arena_is_listed_quickly(tmp_path: Path) -> None:
    for model in range(10):
        for prompt in range(100):
            cell = tmp_path / f"m{model}" / f"p{prompt}"
            cell.mkdir(parents=True)
            for seed in range(15):
                (cell / f"{seed}.jpg").touch()
    start = time.perf_counter()
    arena = read_arena(tmp_path)
    assert len(arena) == 15_000
    assert time.perf_counter() - start < 3.0  # 0.1 s on an idle machine


@pytest.mark.parametrize(
    ("name", "images", "models", "prompts", "families"),
    [("modern24", 528, 24, 22, 24), ("early3", 360, 3, 20, 0)],
)
def test_the_real_corpora(
    corpora: Path, name: str, images: int, models: int, prompts: int, families: int
) -> None:
    if not (corpora / name).is_dir():
        pytest.skip(f"the corpus {name} is not on this machine")
    arena = read_arena(corpora / name)
    assert (len(arena), len(arena.models), len(arena.prompt_ids)) == (images, models, prompts)
    assert arena.layout == "model/prompt"
    assert arena.bad == ()
    assert len(arena.prompts) == prompts
    assert len(arena.families) == families
    assert arena.images["prompt"].null_count == 0


def test_importing_the_room_is_light() -> None:
    import subprocess
    import sys

    code = "import sys, whodrew.arena; print(*sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert not loaded & {"daft", "scipy", "sklearn", "torch", "typer", "rich", "pandas"}
