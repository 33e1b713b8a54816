"""Manifests: CSV, TSV, JSON Lines, ImageFolder; every row used or named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from whodrew.arena import Arena, derive_prompt_id, parse_columns, read_arena
from whodrew.arena.labels import as_label, find_columns
from whodrew.errors import InputError, UsageError


def draw(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)


def table(arena: Arena, *columns: str) -> list[tuple[str | None, ...]]:
    rows = arena.images.select(list(columns)).to_pylist()
    return [tuple(row[column] for column in columns) for row in rows]


def csv(folder: Path, text: str, name: str = "m.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def reasons(arena: Arena) -> dict[str, str]:
    return {item.item: item.reason for item in arena.bad}


LABELS = ("model", "prompt_id", "prompt", "seed")


def test_a_csv_manifest(tmp_path: Path) -> None:
    draw(tmp_path, "i/a.png", "i/b.png")
    path = csv(
        tmp_path, 'path,model,prompt_id,prompt,seed\ni/b.png,m2,p1,"x, y\nz",7\ni/a.png,m1,p1,,8\n'
    )
    arena = read_arena(path)
    assert arena.layout == "manifest"
    assert table(arena, *LABELS) == [
        ("m1", "p1", "x, y\nz", "8"),
        ("m2", "p1", "x, y\nz", "7"),
    ]
    assert arena.prompts == {"p1": "x, y\nz"}
    assert arena.images["item"].to_pylist() == ["i/a.png", "i/b.png"]
    assert arena.bad == ()
    assert arena.notes == ()


@pytest.mark.parametrize("image", ["path", "file_name", "filename", "image", "Image_Path", "FILE"])
@pytest.mark.parametrize("model", ["model", "Model_Name", "generator"])
def test_columns_by_their_common_names(tmp_path: Path, image: str, model: str) -> None:
    draw(tmp_path, "a.png")
    arena = read_arena(csv(tmp_path, f"{image},{model},caption\na.png,m,a cat\n"))
    assert table(arena, "model", "prompt", "seed") == [("m", "a cat", "a")]
    assert any(note.startswith("columns taken: ") for note in arena.notes)


def test_the_first_of_several_names_wins() -> None:
    names = {"model": ("model", "label")}
    assert find_columns(["label", "MODEL"], names) == {"model": "MODEL"}


def test_anonymous_and_derived(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "b.png", "c.png")
    arena = read_arena(
        csv(tmp_path, "path,prompt\na.png,A cat!\nb.png,A cat!\nc.png,Ein Hündchen\n")
    )
    assert arena.anonymous == 3
    assert arena.models == []
    ids = arena.images["prompt_id"].to_pylist()
    assert ids[0] == ids[1] == derive_prompt_id("A cat!")
    assert ids[0].startswith("a-cat-")
    assert len(set(ids)) == 2
    assert any("every image is anonymous" in note for note in arena.notes)
    assert any("2 prompt_ids derived" in note for note in arena.notes)


def test_derived_ids_are_stable_and_plain() -> None:
    assert derive_prompt_id("A cat!") == "a-cat-" + derive_prompt_id("A cat!")[-8:]
    assert derive_prompt_id("日本").startswith("prompt-")
    assert derive_prompt_id("é") == derive_prompt_id("e\u0301")
    assert len(derive_prompt_id("long " * 100)) <= 49
    assert derive_prompt_id("a") != derive_prompt_id("A")


def test_missing_labels_are_reported(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "b.png", "c.png")
    arena = read_arena(csv(tmp_path, "path,model,prompt_id\na.png,m,p\nb.png,,p\nc.png,m,\n,m,p\n"))
    assert table(arena, "model", "seed") == [("m", "a"), (None, "b")]
    assert reasons(arena) == {
        "m.csv, line 4": "neither a prompt_id nor a prompt",
        "m.csv, line 5": "no path",
    }
    assert "1 row without a model taken as anonymous" in arena.notes


def test_bad_rows_are_named(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "b/b.png")
    arena = read_arena(
        csv(
            tmp_path,
            "path,model,prompt_id\na.png,m,p\nnone.png,m,p\nb,m,p\n"
            "https://x.org/a.png,m,p\na.png,m\na.png,n,p\n",
        )
    )
    assert len(arena) == 1
    assert reasons(arena) == {
        "m.csv, line 3": "none.png: no such file",
        "m.csv, line 4": "b: is a folder",
        "m.csv, line 5": (
            "https://x.org/a.png: remote addresses are not fetched, download the images first"
        ),
        "m.csv, line 6": "2 fields where the header has 3",
        "a.png": "the same file as a.png",
    }


def test_the_same_generation_twice(tmp_path: Path) -> None:
    draw(tmp_path, "x/1.png", "y/1.png", "z/1.png")
    arena = read_arena(
        csv(tmp_path, "path,model,prompt_id\ny/1.png,m,p\nx/1.png,m,p\nz/1.png,n,p\n")
    )
    assert arena.images["item"].to_pylist() == ["y/1.png", "z/1.png"]
    assert list(reasons(arena)) == ["x/1.png"]
    anonymous = read_arena(csv(tmp_path, "path,prompt_id\nx/1.png,p\ny/1.png,p\n"))
    assert len(anonymous) == 2
    assert anonymous.bad == ()


def test_paths_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    draw(tmp_path, "secret.png", "arena/a.png")
    arena = read_arena(
        csv(
            tmp_path / "arena",
            "path,model,prompt_id,seed\n../secret.png,m,p,1\nx/../../secret.png,m,p,2\n"
            f"a.png,m,p,3\n{tmp_path / 'secret.png'},m,p,4\n./../arena/a.png,m,p,5\n",
        )
    )
    assert arena.images["seed"].to_pylist() == ["3", "4"]
    assert "leads out of the manifest's folder" in reasons(arena)["m.csv, line 2"]
    assert "leads out of the manifest's folder" in reasons(arena)["m.csv, line 3"]
    assert reasons(arena)["a.png"] == "the same file as a.png"


@pytest.mark.parametrize(
    ("encoding", "bom", "said"),
    [
        ("utf-8", "", False),
        ("utf-8", "\ufeff", False),
        ("utf-16", "", False),
        ("cp1252", "", True),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, bom: str, said: bool) -> None:
    draw(tmp_path, "a.png")
    text = f"{bom}path;model;prompt\r\na.png;modèle;ein Haus – groß\r\n"
    arena = read_arena(csv(tmp_path, text, encoding=encoding))
    assert table(arena, "model", "prompt") == [("modèle", "ein Haus – groß")]
    assert any("Windows-1252" in note for note in arena.notes) == said


def test_tab_separated(tmp_path: Path) -> None:
    draw(tmp_path, "a.png")
    arena = read_arena(csv(tmp_path, "path\tmodel\tprompt\na.png\tm\ta, b\n", "m.tsv"))
    assert table(arena, "prompt") == [("a, b",)]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("path,model,prompt_id\n", "has no rows"),
        ("path,path,prompt_id\na,b,c\n", "two columns called 'path'"),
        ("model,prompt_id\nm,p\n", r"m\.csv names no images.*found 'model', 'prompt_id'"),
        ("path,model\na.png,m\n", r"names no prompts.*found 'path', 'model'"),
        ('path,model,prompt_id\na.png,m,"p\n', r"m\.csv, line \d: "),
        ("path,model,prompt_id\nz.png,m,p\ny.png,m,p\n", r"no image that can be used.*1 more"),
        ("\x00\x01\xff\xfe\x00", "not a text file"),
    ],
)
def test_manifests_that_cannot_be_read(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=match):
        read_arena(path)


def test_json_lines(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{at}.png" for at in range(6)))
    rows: list[object] = [
        {"file_name": "0.png", "model": "m", "prompt_id": 7, "seed": 3},
        {"file_name": "1.png", "model": "m", "prompt_id": 7.0, "seed": None},
        {"file_name": "2.png", "prompt_id": "7"},
        {"file_name": "3.png", "model": ["m"], "prompt_id": "7"},
        ["4.png"],
        {"file_name": {"a": 1}, "model": "m", "prompt_id": 7},
        {"file_name": "5.png", "model": "\ud800", "prompt_id": 7},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + "\n{broken\n"
    arena = read_arena(csv(tmp_path, text, "m.jsonl"))
    assert table(arena, "model", "prompt_id", "seed") == [
        ("m", "7", "1"), ("m", "7", "3"), (None, "7", "2"),
    ]  # fmt: skip
    bad = reasons(arena)
    assert bad["m.jsonl, line 4"] == "model: list is not a label"
    assert bad["m.jsonl, line 5"] == "not a JSON object"
    assert bad["m.jsonl, line 6"] == "dict is not a label"
    assert "surrogate" in bad["m.jsonl, line 7"]
    assert bad["m.jsonl, line 8"].startswith("not JSON")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (None, None), ("", None), ("  ", None), (" a ", " a "), (7, "7"), (7.0, "7"),
        (0.5, "0.5"), (True, "true"), (float("nan"), None), (2**63, str(2**63)),
    ],
)  # fmt: skip
def test_labels_as_strings(value: object, label: str | None) -> None:
    assert as_label(value) == label


def test_two_texts_under_one_prompt_id(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "b.png")
    arena = read_arena(csv(tmp_path, "path,model,prompt_id,prompt\na.png,m,p,x\nb.png,m,p,y\n"))
    assert arena.prompts == {"p": "x"}
    assert any("more than one text" in note for note in arena.notes)


def test_tables_beside_a_manifest(tmp_path: Path) -> None:
    draw(tmp_path, "i/a.png")
    csv(tmp_path, "prompt_id,prompt,category\np,a cat,animal\n", "prompts.csv")
    csv(tmp_path, "model,family\nm,f\n", "models.csv")
    arena = read_arena(csv(tmp_path, "path,model,prompt_id\ni/a.png,m,p\n"))
    assert arena.prompts == {"p": "a cat"}
    assert arena.families == {"m": "f"}
    assert arena.prompt_attributes == {"p": {"category": "animal"}}
    assert table(arena, "prompt") == [("a cat",)]


def test_layout_has_no_effect_and_says_so(tmp_path: Path) -> None:
    draw(tmp_path, "a.png")
    path = csv(tmp_path, "path,model,prompt_id\na.png,m,p\n")
    assert any("has no effect" in note for note in read_arena(path, layout="prompt/model").notes)


# ------------------------------------------------------------------ folders with one manifest


def test_a_folder_with_one_manifest(tmp_path: Path) -> None:
    draw(tmp_path, "a.png")
    csv(tmp_path, "path,model,prompt_id\na.png,m,p\n", "list.csv")
    csv(tmp_path, "model,family\nm,f\n", "models.csv")
    csv(tmp_path, "battle,winner\n1,m\n", "votes.csv")
    assert read_arena(tmp_path).layout == "manifest"
    csv(tmp_path, "path,model,prompt_id\na.png,m,p\n", "other.csv")
    with pytest.raises(InputError, match="more than one manifest"):
        read_arena(tmp_path)


def test_a_lone_table_that_is_none_says_why(tmp_path: Path) -> None:
    csv(tmp_path, "a,b\n1,2\n")
    with pytest.raises(InputError, match="names no images"):
        read_arena(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_imagefolder(tmp_path: Path, kind: str) -> None:
    draw(tmp_path, "0001.png", "0002.png", "0003.png")
    rows = [
        {"file_name": "0001.png", "model": "m", "text": "a cat"},
        {"file_name": "0002.png", "model": "n", "text": "a cat"},
        {"file_name": "0004.png", "model": "n", "text": "a cat"},
    ]
    if kind == "csv":
        lines = ["file_name,model,text", *(",".join(row.values()) for row in rows)]
        csv(tmp_path, "\n".join(lines), "metadata.csv")
    else:
        csv(tmp_path, "\n".join(map(json.dumps, rows)), "metadata.jsonl")
    csv(tmp_path, "path,model,prompt\nx,y,z\n", "other.csv")
    arena = read_arena(tmp_path)
    assert arena.layout == "imagefolder"
    assert table(arena, "model", "seed") == [("m", "0001"), ("n", "0002")]
    assert reasons(arena)["0003.png"] == f"not listed in metadata.{kind}"
    assert len(arena.bad) == 2


def test_imagefolder_in_splits(tmp_path: Path) -> None:
    for split, model in (("train", "m"), ("test", "n")):
        draw(tmp_path, f"{split}/1.png", f"{split}/2.png")
        csv(
            tmp_path / split,
            f"file_name,model,prompt\n1.png,{model},a\n2.png,{model},b\n",
            "metadata.csv",
        )
    arena = read_arena(tmp_path)
    assert arena.layout == "imagefolder"
    assert len(arena) == 4
    assert arena.bad == ()
    assert arena.images["item"].to_pylist()[0] == "train/1.png"


def test_a_row_that_is_bad_is_named_once(tmp_path: Path) -> None:
    draw(tmp_path, "1.png", "2.png")
    csv(tmp_path, "file_name,model,prompt\n1.png,m,a\n2.png,m,\n", "metadata.csv")
    assert list(reasons(read_arena(tmp_path))) == ["metadata.csv, line 3"]


def test_columns_as_they_are_typed() -> None:
    wanted = {"model": "generator", "prompt_id": "p id", "seed": "s=1"}
    assert parse_columns(["model=generator, prompt_id=p id", "seed=s=1"]) == wanted
    for text, match in [
        ("model", "write OURS=THEIRS"),
        ("", "write OURS=THEIRS"),
        ("modle=x", "no such column 'modle': name image, model"),
        ("model=", "a column without a name"),
        ("model=a,model=b", "name model twice"),
    ]:
        with pytest.raises(UsageError, match=match):
            parse_columns([text])
