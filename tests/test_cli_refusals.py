"""Every wrong use and every wrong input: status 2, and one plain line that says what to do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from drawn import MODELS, PROMPTS, Shell, draw, pixels, save


@pytest.fixture
def whodrew(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of arenas that are wrong in one way each, and a right one."""
    root = tmp_path_factory.mktemp("refusals")
    draw(root / "arena", MODELS, PROMPTS[:2], 2)
    draw(root / "single", MODELS[:2], PROMPTS[:2], 1)
    draw(root / "one-model", MODELS[:1], PROMPTS[:2], 2)
    draw(root / "no-name", ("unknown", "yarrow"), PROMPTS[:2], 1)
    draw(root / "one-prompt", MODELS[:2], PROMPTS[:1], 2)
    draw(root / "strangers", ("xenia", "yarrow"), PROMPTS[:2], 1)
    (root / "empty").mkdir()
    save(root / "loose" / "a.png", pixels("amber", "boat", 0))
    (root / "columns.csv").write_text("picture_of,model,prompt_id\na.png,m,p\n")
    (root / "no-prompt.csv").write_text("path,model\narena/amber/boat/0.png,m\n")
    (root / "no-rows.csv").write_text("path,model,prompt_id\n")
    (root / "binary.csv").write_bytes(b"\0\1\2\xff" * 100)
    (root / "notes.txt").write_text("hello")
    (root / "kin.csv").write_text("who,what\na,b\n")
    return root


AUDIT = [
    ("", "give an ARENA, or --sample"),
    ("arena --sample", "not both"),
    ("nowhere", "nowhere: no such file or folder"),
    ("empty", "holds no images; an arena is a folder <model>/<prompt_id>"),
    ("loose", "use 'whodrew identify'"),
    ("notes.txt", "not an arena whodrew can read"),
    ("arena/amber/boat/0.png", "is one image"),
    ("one-model", "shows 1 model: naming needs images of at least 2"),
    ("columns.csv", "it needs a column 'path' or 'file_name'"),
    ("no-prompt.csv", "it needs a column 'prompt_id' or 'prompt'"),
    ("no-rows.csv", "no rows"),
    ("binary.csv", "binary.csv"),
    ("single --knowledge matched", "use --knowledge other, or draw more generations"),
    ("one-prompt --knowledge other", "use --knowledge matched, or add prompts"),
    ("arena --encoder fingerprnt", "did you mean fingerprint?"),
    ("arena --identifier centroid", "did you mean nearest-centroid"),
    ("arena --identifier zzz", "known: nearest-centroid, whitened-centroid"),
    ("arena --knowledge some", "'matched', 'other', 'auto'"),
    ("arena --shown twice", "'any', 'each-once', 'auto'"),
    ("arena --layout prompt", "'model/prompt', 'prompt/model'"),
    ("arena --json foo", "--json takes '-' (standard output), not 'foo'"),
    ("arena --per-cell 0", "--per-cell is 0: give 1 or more"),
    ("arena --per-cell many", "--per-cell"),
    ("arena --hide-models 0", "--hide-models is 0: give 1 or more"),
    ("arena --hide-models 3", "give at most 2"),
    ("arena --hide-models 99", "give at most 2"),
    ("single --hide-models 1", "leave it out"),
    ("arena --false-alarm 1.5", "give a share between 0 and 1"),
    ("arena --false-alarm nan", "give a share between 0 and 1"),
    ("arena --canonical 3", "give 16 to 8192 pixels"),
    ("arena --seed -1", "greater than or equal to 0"),
    ("arena --workers 0", "greater than or equal to 1"),
    ("arena --family nowhere.csv", "no such file; give a CSV of model,family"),
    ("arena --family kin.csv", "it needs a column 'model'"),
    ("arena --reference-arena nowhere", "nowhere: no such file or folder"),
    ("arena --reference-arena strangers", "have no model in common"),
    ("arena --out notes.txt", "cannot make the folder notes.txt"),
    ("arena --out notes.txt/x", "cannot make the folder notes.txt/x"),
    ("arena --store notes.txt", "is a file: give a folder"),
    ("arena --store arena", "give a new or an empty folder"),
    ("arena --references arena", "No such option: --references"),
    ("arena single", "unexpected extra argument"),
]
OTHERS = [
    ("vote", "No such command 'vote'"),
    ("--nothing", "No such option: --nothing"),
    ("sample", "Missing argument"),
    ("sample arena", "name a new or an empty directory"),
    ("sample notes.txt", "name a new or an empty directory"),
    ("sample new --workers -1", "greater than or equal to 1"),
    ("sample new --seed -1", "greater than or equal to 0"),
    ("sample new --json yes", "--json takes '-'"),
    ("embed arena", "Missing option '--store'"),
    ("embed nowhere --store new", "no such file or folder"),
    ("embed arena --store new --encoder finger", "did you mean fingerprint?"),
    ("embed arena --store new --canonical 3", "16 to 8192 pixels"),
    ("embed arena --store arena", "give a new or an empty folder"),
    ("identify --references arena", "Missing argument 'images'"),
    ("identify loose/a.png", "Missing option '--references'"),
    ("identify nothing.png --references arena", "nothing.png: no such file or folder"),
    ("identify empty --references arena", "empty holds no images"),
    ("identify loose --references empty", "holds no images"),
    ("identify loose --references nowhere", "nowhere: no such file or folder"),
    ("identify loose --references one-model", "1 model with a name: naming needs at least 2"),
    ("identify loose --references no-name", "a model of the references is called 'unknown'"),
    ("identify loose --references arena --top 0", "--top is 0: give 1 or more"),
    ("identify loose --references arena --false-alarm 0", "give a share between 0 and 1"),
    ("identify loose --references arena --false-alarm nan", "give a share between 0 and 1"),
    ("identify loose --references arena --encoder print", "did you mean fingerprint?"),
    ("identify loose --references arena --identifier k", "known: nearest-centroid"),
    ("identify loose --references arena --seed -1", "greater than or equal to 0"),
    ("identify loose --references arena --canonical 3", "16 to 8192 pixels"),
    ("encoders --json yes", "--json takes '-'"),
    ("identifiers more", "unexpected extra argument"),
]


@pytest.mark.parametrize(
    ("line", "said"),
    [*((f"audit {line}".strip(), said) for line, said in AUDIT), *OTHERS],
    ids=lambda text: re.sub(r"\W+", "-", text)[:50],
)
def test_is_refused_in_one_plain_line(
    whodrew: Shell,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    line: str,
    said: str,
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = line.split()
    if words[0] == "audit" and "--out" not in words:
        words += ["--out", str(tmp_path / "out")]
    error = whodrew.refused(*words)
    assert said in error
    assert "\n" not in error
    assert len(error) < 700


def test_a_store_of_another_encoder_is_refused(whodrew: Shell, place: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert whodrew("embed", place / "single", "--store", store, "--canonical", 32).code == 0
    for words in (("embed", place / "single"), ("audit", place / "single", "--out", tmp_path)):
        said = whodrew.refused(*words, "--store", store)
        assert "is of another encoder" in said
        assert "give another --store, or delete this one" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_out_is_refused(whodrew: Shell, place: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    for out in (tmp_path / "locked", tmp_path / "locked" / "new"):
        said = whodrew.refused("audit", place / "single", "--out", out)
        assert str(tmp_path / "locked") in said


def test_an_out_that_cannot_be_written_to_the_end_is_refused(
    whodrew: Shell, place: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tables").write_text("in the way")
    said = whodrew.refused(
        *("audit", place / "single", "--out", tmp_path / "out", "--no-curves"),
        *("--knowledge", "other", "--shown", "any"),
    )
    assert "cannot write" in said
    assert "tables" in said


def test_one_store_for_several_encoders_is_refused(
    whodrew: Shell, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whodrew.encoders.registry import ENCODERS

    monkeypatch.setattr(ENCODERS, "_loaded", {**vars(ENCODERS)["_loaded"]})
    monkeypatch.setattr(ENCODERS, "_entries", {**vars(ENCODERS)["_entries"]})
    ENCODERS.register("other", "another")(ENCODERS.get("fingerprint"))
    said = whodrew.refused(
        *("audit", place / "single", "--store", tmp_path / "store"),
        *("--encoder", "fingerprint", "--encoder", "other"),
    )
    assert "--store holds one encoder's vectors" in said


@pytest.mark.parametrize(
    "words",
    [("audit", "--sample", "--out"), ("sample",), ("prompts", "ARENA", "--out")],
)
def test_a_file_where_a_folder_is_written(
    whodrew: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    arena = draw(tmp_path / "arena", MODELS[:2], PROMPTS[:2], 1)
    said = whodrew.refused(*(arena if one == "ARENA" else one for one in words), file / "inner")
    assert str(file) in said
