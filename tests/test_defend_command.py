"""``whodrew defend``: the defended arena, its records, its secret, its refusals."""

from __future__ import annotations

import csv
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import whodrew
from drawn import MODELS, PROMPTS, Shell, draw, pixels, save, schema_errors, unexplained
from whodrew.arena import Arena, decode, image_id, read_arena
from whodrew.defend import DEFENCES, Defence, Example, Picture, Shown, Stage
from whodrew.defend.arena_result import TABLE, Defended
from whodrew.defend.folders import safe_names
from whodrew.defend.quality import quality
from whodrew.errors import InputError, UsageError

SPEC = "canonical(size=32)+noise(sigma=4)"
LABELS = ("model", "prompt_id", "prompt", "seed")


@pytest.fixture
def whodrew_(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("defending") / "arena"
    draw(root, MODELS[:2], PROMPTS[:3], 2, side={"amber": 64, "birch": 48})
    (root / "prompts.csv").write_text(
        "prompt_id,prompt,category\n" + "".join(f'{p},"a {p}, red",things\n' for p in PROMPTS[:3])
    )
    (root / "models.csv").write_text("model,family\namber,trees\nbirch,\n")
    return root


@dataclass(frozen=True)
class Towards:
    """Learns the mean colour, and moves pictures there."""

    share: float = 0.5
    _mean: Any = field(default=None, compare=False, repr=False)
    name: ClassVar[str] = "towards"
    random: ClassVar[bool] = False
    fits: ClassVar[list[int]] = []

    @property
    def budget(self) -> dict[str, float | int | str]:
        return {"share": self.share}

    @property
    def fitted(self) -> bool:
        return self._mean is not None

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Stage:
        seen = list(examples())
        self.fits.append(len(seen))
        assert all(one.model and one.prompt_id for one in seen)
        mean = np.mean([one.picture.unit.mean((0, 1)) for one in seen], axis=0)
        return replace(self, _mean=mean)

    def state(self) -> dict[str, Any]:
        return {"mean": self._mean}

    def with_state(self, state: Any) -> Stage:
        return replace(self, _mean=state["mean"])

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        return Picture.clipped(picture.unit + self.share * (self._mean - picture.unit.mean((0, 1))))


@pytest.fixture
def towards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(DEFENCES, "_entries", dict(DEFENCES._entries))
    monkeypatch.setattr(DEFENCES, "_loaded", dict(DEFENCES._loaded))
    DEFENCES.register("towards", "a test's")(Towards)
    Towards.fits.clear()
    return Towards.fits


def run(arena: Any, out: Path, spec: str = SPEC, **more: Any) -> Defended:
    found = whodrew.defend(arena, spec, out, workers=more.pop("workers", 2), **more)
    assert isinstance(found, Defended)
    return found


def labels(arena: Arena) -> list[tuple[Any, ...]]:
    rows = zip(*(arena.images[name].to_pylist() for name in LABELS), strict=True)
    return sorted(rows, key=repr)


def files(out: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(out)): one.read_bytes() for one in out.rglob("*.jpg") if one.is_file()
    }


# ---------------------------------------------------------------- what is written
def test_the_defended_arena(arena: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(arena, out, secret="s")
    assert (done.images, done.defended, done.reused, done.bad) == (12, 12, 0, ())
    assert done.arena == out
    before, after = read_arena(arena), read_arena(done.arena)
    assert labels(after) == labels(before)
    assert after.families == before.families == {"amber": "trees"}
    assert after.prompts == before.prompts
    assert after.prompt_attributes == before.prompt_attributes
    assert after.bad == ()
    defence = Defence.parse(SPEC, "s")
    for name, data in files(out).items():
        source = (arena / name).with_suffix(".png").read_bytes()
        model, prompt_id, _ = name.split("/")
        assert data == defence.serve(source, model=model, prompt_id=prompt_id)
    assert sorted(one.name for one in out.iterdir()) == [
        "amber", "birch", "defence.json", "defended.parquet", "models.csv", "prompts.csv",
    ]  # fmt: skip


def test_provenance_and_quality_of_each_image(arena: Path, tmp_path: Path) -> None:
    done = run(arena, tmp_path / "out", secret="s")
    table = pq.read_table(tmp_path / "out" / "defended.parquet")
    assert table.schema == TABLE
    assert table.equals(done.to_table())
    defence = Defence.parse(SPEC, "s")
    for row in table.to_pylist():
        source = (arena / row["source_item"]).read_bytes()
        shown = (tmp_path / "out" / row["path"]).read_bytes()
        assert row["source_image_id"] == image_id(source)
        assert (row["image_id"], row["file_bytes"]) == (image_id(shown), len(shown))
        assert (row["width"], row["height"]) == (32, 32)
        assert row["milliseconds"] > 0
        plain = defence.plain(Picture.of(decode(source).image))
        found = quality(plain, Picture.of(decode(shown).image))
        assert (row["psnr"], row["ssim"]) == (found.psnr, found.ssim)
        assert (row["max_change"], row["lpips"]) == (found.max_change, None)
    assert done.quality.psnr == np.median(table["psnr"].to_numpy())
    assert done.quality.images == 12


def test_the_record_says_all_but_the_secret(arena: Path, tmp_path: Path) -> None:
    done = run(arena, tmp_path / "out", secret="tell nobody")
    text = (tmp_path / "out" / "defence.json").read_text()
    record = json.loads(text)
    assert record["schema"] == "whodrew.defend/1"
    assert schema_errors("defend-1", record) == []
    assert (record["defence"], record["draw"], record["complete"]) == (SPEC, 0, True)
    assert record["budget"]["noise"] == {"sigma_of_255": 4.0}
    assert record["software"]["pillow"]
    assert record["quality"]["lpips"] is None
    assert record["quality"]["lpips_reason"]
    everything = text + json.dumps(done.to_dict()) + done.table.to_string()
    assert "tell nobody" not in everything
    assert Defence.parse(SPEC, "tell nobody").secret.key.hex() not in everything
    assert str(tmp_path) not in text


def test_a_record_is_the_result(arena: Path, tmp_path: Path) -> None:
    found = run(arena, tmp_path / "out").to_dict()
    record = json.loads((tmp_path / "out" / "defence.json").read_text())
    for name in ("arena", "out", "dry_run", "secret_file"):
        del found[name]
    assert {name: record[name] for name in found} == found


def test_one_thread_writes_what_many_write(arena: Path, tmp_path: Path) -> None:
    run(arena, tmp_path / "one", secret="s", workers=1)
    run(arena, tmp_path / "two", secret="s", workers=4)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_draws_differ(arena: Path, tmp_path: Path) -> None:
    run(arena, tmp_path / "0", secret="s")
    run(arena, tmp_path / "1", secret="s", draw=1)
    zero, one = files(tmp_path / "0"), files(tmp_path / "1")
    assert zero.keys() == one.keys()
    assert all(zero[name] != one[name] for name in zero)
    with pytest.raises(UsageError, match="is of draw 0, not 1"):
        run(arena, tmp_path / "0", secret="s", draw=1)


def test_padding_closes_the_size_of_files_or_says_that_it_does_not(
    arena: Path, tmp_path: Path
) -> None:
    done = run(arena, tmp_path / "wide", "canonical(size=32,pad=65536)")
    assert done.file_sizes == 1
    assert {len(data) for data in files(tmp_path / "wide").values()} == {65536}
    assert done.notes == ()
    done = run(arena, tmp_path / "narrow", "canonical(size=32,pad=16)")
    assert done.file_sizes > 1
    assert "padding to 16 bytes leaves" in done.notes[0]
    largest = max(len(data) for data in files(tmp_path / "narrow").values())
    assert f"take pad={largest} for one" in done.notes[0]
    again = run(arena, tmp_path / "told", f"canonical(size=32,pad={largest})")
    assert again.file_sizes == 1


def test_sizes_in_pixels_that_tell_are_told(arena: Path, tmp_path: Path) -> None:
    done = run(arena, tmp_path / "out", "blur")
    assert "the images have 2 sizes in pixels" in done.notes[0]
    assert read_arena(tmp_path / "out").images["path"][0].as_py().endswith(".png")


def test_all_of_the_sample_arena_in_files_of_one_size(sample_arena: Path, tmp_path: Path) -> None:
    images = read_arena(sample_arena)
    part = images.take(range(0, len(images), 20))
    done = run(part, tmp_path / "out", "canonical(pad=65536,size=256)")
    assert (done.defended, done.file_sizes, done.bad) == (32, 1, ())


# ---------------------------------------------------------------- labels
def anonymous(tmp_path: Path, names: Iterable[tuple[Any, str, str]], text: Any = "a text") -> Path:
    """Makes a Parquet arena of any labels."""
    rows = []
    for at, (model, prompt_id, seed) in enumerate(names):
        data = save(tmp_path / "raw" / f"{at}.png", pixels("amber", "boat", at, 16)).read_bytes()
        rows.append((data, model, prompt_id, text, seed))
    kinds = [pa.binary(), *[pa.string()] * 4]
    columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds,
                                                               strict=True)]  # fmt: skip
    names_ = ["image", "model", "prompt_id", "prompt", "seed"]
    pq.write_table(pa.table(columns, names_), tmp_path / "arena.parquet", row_group_size=3)
    return tmp_path / "arena.parquet"


ODD = [
    ("../../escape", "p", "0"), ("/etc", "p", "0"), ("..", "p", "0"), (".hidden", "p", "0"),
    ("SDXL", "p", "0"), ("sdxl", "p", "0"), ("a/b", "p", "0"), ("a\\b", "p", "0"),
    ("con", "p", "0"), ("m" * 300, "p", "0"), ("é", "p", "0"), ("e\u0301", "p", "0"),
    (" padded ", "p", "0"), ("new\nline", "p", "0"), ("nul\x00", "p", "0"),
    ("secret.txt", "p", "0"),
    ("ok", "../..", "0"), ("ok", "p", "../../0"), ("ok", "p", "."), ("ok", "card.json", "0"),
    (None, "p", "0"), (None, "p", "0"), (None, "p", "1"), (None, "other", "0"),
]  # fmt: skip


def test_odd_labels_and_anonymous_images_go_round(tmp_path: Path) -> None:
    source = anonymous(tmp_path, ODD)
    out = tmp_path / "deep" / "out"
    done = run(source, out)
    assert (done.defended, done.bad) == (len(ODD), ())
    assert done.arena == out / "defended.parquet"
    assert "read " + str(done.arena) in done.notes[-1]
    assert labels(read_arena(done.arena)) == labels(read_arena(source))
    outside = {one for one in tmp_path.rglob("*") if one.is_file()}
    assert outside - {one for one in out.rglob("*") if one.is_file()} == {
        source, out.with_name("out.secret.txt"), *(tmp_path / "raw").iterdir()
    }  # fmt: skip
    for path in done.table["path"].to_pylist():
        assert len(Path(path).parts) == 3
        assert ".." not in Path(path).parts


def test_the_folder_alone_takes_no_anonymous_image_for_a_model(tmp_path: Path) -> None:
    source = anonymous(tmp_path, [("a", "p", "0"), (None, "p", "0"), ("b", "p", "0")], None)
    done = run(source, tmp_path / "out")
    found = read_arena(tmp_path / "out")
    assert (found.models, len(found), found.anonymous) == (["a", "b"], 2, 0)
    whole = read_arena(str(done.arena))
    assert (whole.models, len(whole), whole.anonymous) == (["a", "b"], 3, 1)


def test_a_folder_is_enough_for_plain_labels(tmp_path: Path) -> None:
    source = anonymous(tmp_path, [("a", "p", "0"), ("b", "p q", "x.y")])
    done = run(source, tmp_path / "out")
    assert done.arena == tmp_path / "out"
    assert labels(read_arena(tmp_path / "out")) == labels(read_arena(source))


@given(st.lists(st.text(min_size=1, max_size=12), max_size=12))
def test_safe_names_are_safe_and_apart(found: list[str]) -> None:
    names = safe_names(found)
    assert names.keys() == set(found)
    folded = {name.casefold() for name in names.values()}
    assert len(folded) == len(names)
    for label, name in names.items():
        assert name not in ("", ".", "..")
        assert not set(name) & set('/\\\x00<>:"|?*')
        assert not name.startswith(".")
        assert name == name.strip(". ")
        assert len(name.encode()) <= 120
        assert safe_names([label])[label] == name or name.casefold() != label.casefold()


def test_an_audit_of_it_sees_the_same_arena(whodrew_: Shell, tmp_path: Path) -> None:
    named = [(m, p, s) for m in "abc" for p in "pqr" for s in "01"]
    source = anonymous(tmp_path, [*named, (None, "p", "0"), ("c/d", "p", "0"), ("c/d", "q", "0")])
    done = run(source, tmp_path / "out")
    words = ("--no-curves", "--shown", "any", "--knowledge", "other", "--quiet", "--json", "-")
    found = whodrew_("audit", done.arena, "--out", tmp_path / "audit", *words).json["arena"]
    before = read_arena(source)
    assert (found["images"], found["models"]) == (len(before), len(before.models)) == (21, 4)
    assert (found["prompts"], found["bad"]) == (3, [])
    assert found["formats"] == {"JPEG": 21}


def test_duplicates_are_kept_alike(arena: Path, tmp_path: Path) -> None:
    twice = shutil.copytree(arena, tmp_path / "arena")
    shutil.copy(twice / "amber/boat/0.png", twice / "amber/boat/copy.png")
    done = run(twice, tmp_path / "out")
    assert done.defended == 13
    assert (tmp_path / "out/amber/boat/0.jpg").read_bytes() == (
        tmp_path / "out/amber/boat/copy.jpg"
    ).read_bytes()


# ---------------------------------------------------------------- bad images
def test_bad_images_are_named_and_counted(whodrew_: Shell, arena: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(arena, tmp_path / "arena")
    (spoilt / "amber/boat/0.png").write_text("no image")
    (spoilt / "amber/boat/1.png").write_bytes((arena / "amber/boat/1.png").read_bytes()[:500])
    out = tmp_path / "out"
    words = ("defend", spoilt, "--defence", SPEC, "--out", out, "--json", "-", "--quiet")
    ran = whodrew_(*words)
    assert ran.code == 1
    assert [one["item"] for one in ran.json["bad"]] == ["amber/boat/0.png", "amber/boat/1.png"]
    made, first, _ = ran.err.splitlines()
    assert made.startswith(f"a fresh secret is kept in {out}.secret.txt: ")
    assert first.startswith("bad: amber/boat/0.png: not an image")
    assert (ran.json["defended"], ran.json["images"]) == (10, 12)
    assert schema_errors("defend-1", ran.json) == []
    assert len(files(out)) == 10
    # mended, it goes on
    shutil.copy(arena / "amber/boat/0.png", spoilt / "amber/boat/0.png")
    shutil.copy(arena / "amber/boat/1.png", spoilt / "amber/boat/1.png")
    ran = whodrew_(*words)
    assert (ran.code, ran.json["defended"], ran.json["reused"]) == (0, 2, 10)
    assert len(files(out)) == 12


def test_nothing_but_bad_images(whodrew_: Shell, tmp_path: Path) -> None:
    (tmp_path / "a/m/p").mkdir(parents=True)
    (tmp_path / "a/m/p/0.png").write_text("no image")
    said = whodrew_.refused("defend", tmp_path / "a", "--defence", SPEC, "--out", tmp_path / "o")
    assert "no image could be defended: m/p/0.png: not an image" in said


def test_an_image_that_a_stage_refuses_is_bad(
    arena: Path, tmp_path: Path, towards: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(self: Towards, picture: Picture, shown: Shown) -> Picture:
        if shown.model == "amber":
            raise UsageError("towards cannot move amber")
        return picture

    monkeypatch.setattr(Towards, "__call__", call)
    done = run(arena, tmp_path / "out", "towards")
    assert (done.defended, len(done.bad)) == (6, 6)
    assert done.bad[0].reason == "towards cannot move amber"


def test_a_stage_that_breaks_ends_the_run(
    arena: Path, tmp_path: Path, towards: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(self: Towards, picture: Picture, shown: Shown) -> Picture:
        raise ZeroDivisionError

    monkeypatch.setattr(Towards, "__call__", call)
    with pytest.raises(ZeroDivisionError):
        run(arena, tmp_path / "out", "towards")


# ---------------------------------------------------------------- secrets
def test_a_secret_is_made_and_kept_and_used_again(
    whodrew_: Shell, arena: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = whodrew_("defend", arena, "--defence", SPEC, "--out", out, "--json", "-")
    assert ran.code == 0
    kept = tmp_path / "out.secret.txt"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    secret = kept.read_text().strip()
    assert len(secret) > 40
    assert f"a fresh secret is kept in {kept}" in " ".join(ran.err.split())
    assert ran.json["secret_file"] == "out.secret.txt"
    assert not (out / "secret.txt").exists()
    for text in (ran.out, ran.err, (out / "defence.json").read_text()):
        assert secret not in text
    assert secret.encode() not in (out / "defended.parquet").read_bytes()
    name = "amber/boat/0.png"
    wanted = Defence.parse(SPEC, secret).serve((arena / name).read_bytes())
    assert (out / name).with_suffix(".jpg").read_bytes() == wanted
    ran = whodrew_("defend", arena, "--defence", SPEC, "--out", out, "--json", "-")
    assert (ran.json["reused"], "fresh secret" in ran.err) == (12, False)
    assert (schema_errors("defend-1", ran.json), unexplained(ran.json)) == ([], [])
    assert ran.json["images_per_second_reason"] == "no image was defended by this run"
    said = whodrew_.refused(
        "defend", arena, "--defence", SPEC, "--out", out, "--secret", "other", "--quiet"
    )
    assert "another secret than the one given by --secret or WHODREW_SECRET: give" in said
    assert said.strip().endswith("or give the secret by WHODREW_SECRET or --secret")
    kept.write_text("other\n")
    with pytest.raises(UsageError, match=rf"another secret than that in {kept}: .*, or give the s"):
        run(arena, out)
    kept.write_text(secret + "\n")
    # two arenas never share one by chance
    run(arena, tmp_path / "second")
    assert (tmp_path / "second.secret.txt").read_text() != kept.read_text()


def test_a_secret_from_the_environment(
    whodrew_: Shell, arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHODREW_SECRET", "mine")
    ran = whodrew_("defend", arena, "--defence", SPEC, "--out", tmp_path / "out", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert not (tmp_path / "out.secret.txt").exists()
    other = run(arena, tmp_path / "other", secret="mine")
    assert other.secret_file is None
    assert files(tmp_path / "out") == files(tmp_path / "other")


def test_no_secret_where_nothing_is_drawn(arena: Path, tmp_path: Path) -> None:
    done = run(arena, tmp_path / "out", "canonical(size=32)+blur")
    assert (done.secret_file, (tmp_path / "out.secret.txt").exists()) == (None, False)
    record = json.loads((tmp_path / "out" / "defence.json").read_text())
    assert record["secret_check"] is None
    assert schema_errors("defend-1", record) == []


def test_the_default_secret_of_a_defence_is_none(arena: Path, tmp_path: Path) -> None:
    done = whodrew.defend(arena, Defence.parse(SPEC), tmp_path / "out", workers=1)
    assert done.secret_file == "out.secret.txt"
    done = whodrew.defend(arena, Defence.parse(SPEC, "mine"), tmp_path / "mine", workers=1)
    assert done.secret_file is None
    run(arena, tmp_path / "text", secret="mine")
    assert files(tmp_path / "mine") == files(tmp_path / "text")


def test_an_empty_secret_file_is_no_secret(arena: Path, tmp_path: Path) -> None:
    (tmp_path / "out.secret.txt").write_text("\n")
    (tmp_path / "out.secret.txt").chmod(0o600)
    with pytest.raises(UsageError, match="is empty"):
        run(arena, tmp_path / "out")


# ---------------------------------------------------------------- learning
def test_stages_learn_once_and_the_profile_is_kept(
    arena: Path, tmp_path: Path, towards: list[int]
) -> None:
    spec = "canonical(size=32)+towards(share=1)"
    done = run(arena, tmp_path / "out", spec)
    assert towards == [12]
    assert done.profile == "profile.npz"
    seen = Defence.parse(spec).with_profile(tmp_path / "out" / "profile.npz")
    assert not seen.unfitted
    means = {tuple(decode(data).pixels.mean((0, 1)).round(-1)) for data in files(done.out).values()}  # type: ignore[arg-type]
    assert len(means) <= 4  # all moved to one colour, as far as they can be
    assert run(arena, tmp_path / "out", spec).reused == 12
    given_ = run(arena, tmp_path / "given", spec, profile=tmp_path / "out" / "profile.npz")
    assert towards == [12]
    assert given_.defended == 12
    assert files(tmp_path / "given") == files(tmp_path / "out")
    # the same numbers in another file are the same profile
    copy = tmp_path / "copy.npz"
    with np.load(tmp_path / "out" / "profile.npz") as arrays:
        np.savez(copy, **dict(arrays))
    assert run(arena, tmp_path / "out", spec, profile=copy).reused == 12
    with np.load(tmp_path / "out" / "profile.npz") as arrays:
        np.savez(copy, **{**arrays, "1.mean": np.zeros(3)})
    with pytest.raises(UsageError, match="another profile"):
        run(arena, tmp_path / "out", spec, profile=copy)
    with pytest.raises(InputError, match="is of"):
        run(arena, tmp_path / "third", "canonical(size=32)+towards", profile=copy)


# ---------------------------------------------------------------- refusals
def test_refusals(whodrew_: Shell, arena: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(arena, out, secret="s")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    file = tmp_path / "file"
    file.touch()
    broken = shutil.copytree(out, tmp_path / "broken")
    (broken / "defence.json").write_text("{")
    table = shutil.copytree(out, tmp_path / "table")
    (table / "defended.parquet").write_bytes(b"PAR1")
    given_: list[tuple[list[Any], str]] = [
        (["--defence", SPEC], "give --out DIR, or --dry-run"),
        (["--out", out], "Missing option '--defence'"),
        (["--defence", "nothing", "--out", out], "unknown defence 'nothing'"),
        (["--defence", "canonical", "--out", out], "is of defence"),
        (["--defence", SPEC, "--out", other], "holds 'mine.txt' and is no defended arena"),
        (["--defence", SPEC, "--out", file], f"--out {file} is a file"),
        (["--defence", SPEC, "--out", file / "in"], "cannot make the folder"),
        (["--defence", SPEC, "--out", arena / "inside"], "lie inside each other"),
        (["--defence", SPEC, "--out", arena.parent], "lie inside each other"),
        (["--defence", SPEC, "--out", broken, "--secret", "s"], "cannot be read as whodrew.defend"),
        (["--defence", SPEC, "--out", table, "--secret", "s"], "defended.parquet cannot be read"),
        (["--defence", SPEC, "--dry-run", "--sample", "0"], "--sample"),
        (["--defence", SPEC, "--out", out, "--draw", "-1"], "--draw"),
        (["--defence", SPEC, "--out", out, "--profile", "none.npz"], "none.npz: cannot be read"),
    ]
    for words, said in given_:
        assert said in whodrew_.refused("defend", arena, *words, "--quiet"), words
    assert "no such file or folder" in whodrew_.refused(
        "defend", tmp_path / "nowhere", "--defence", SPEC, "--out", out
    )
    assert (other / "mine.txt").read_text() == "mine"
    elsewhere = draw(tmp_path / "elsewhere", MODELS[2:], PROMPTS[3:], 1)
    assert "another arena" in whodrew_.refused(
        "defend", elsewhere, "--defence", SPEC, "--out", out, "--secret", "s", "--quiet"
    )
    assert len(files(out)) == 12


def test_a_folder_that_cannot_be_written(
    whodrew_: Shell, arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, os.strerror(28), str(self))

    monkeypatch.setattr("whodrew.defend.ledger.Path.write_bytes", full)
    words = ("defend", arena, "--defence", SPEC, "--out", tmp_path / "out", "--quiet")
    said = whodrew_.refused(*words)
    assert "No space left on device" in said


# ---------------------------------------------------------------- dry runs
def test_a_dry_run_measures_and_writes_nothing(
    whodrew_: Shell, arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("defend", arena, "--defence", SPEC, "--dry-run", "--sample", 5)
    ran = whodrew_(*words, "--json", "-")
    assert ran.code == 0
    assert (ran.json["images"], ran.json["dry_run"], ran.json["out"]) == (5, True, None)
    assert ran.json["quality"]["images"] == 5
    assert (schema_errors("defend-1", ran.json), unexplained(ran.json)) == ([], [])
    assert ran.json["milliseconds_per_image"] > 0
    assert "medians over 5 images" in ran.err
    assert "nothing written" in ran.err
    again = whodrew_(*words, "--json", "-", "--quiet").json
    assert again["quality"] == ran.json["quality"]
    other = whodrew_(*words, "--json", "-", "--quiet", "--seed", 1).json
    assert other["quality"] != ran.json["quality"]
    assert list(tmp_path.iterdir()) == []
    assert whodrew.measure_defence(arena, SPEC, images=99).images == 12


def test_a_dry_run_names_what_is_bad(whodrew_: Shell, arena: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(arena, tmp_path / "arena")
    (spoilt / "amber/boat/0.png").write_text("no image")
    ran = whodrew_("defend", spoilt, "--defence", SPEC, "--dry-run", "--quiet")
    assert ran.code == 1
    assert ran.err.startswith("bad: amber/boat/0.png")


def test_the_list_of_defences(whodrew_: Shell) -> None:
    ran = whodrew_("defences", "--json", "-")
    assert {"canonical", "resample", "jpeg", "noise", "blur"} <= {one["name"] for one in ran.json}
    assert "size=768, quality=85" in " ".join(ran.err.split())
    assert [one.to_dict() for one in whodrew.defences()] == ran.json


def test_tables_beside_are_read_back(arena: Path, tmp_path: Path) -> None:
    run(arena, tmp_path / "out")
    with (tmp_path / "out" / "prompts.csv").open(newline="") as file:
        assert list(csv.reader(file))[:2] == [
            ["prompt_id", "prompt", "category"],
            ["boat", "a boat, red", "things"],
        ]
    assert Image.open(tmp_path / "out/amber/boat/0.jpg").size == (32, 32)
