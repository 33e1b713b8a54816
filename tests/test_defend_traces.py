"""What ``whodrew defend`` leaves lying about: where the secret is kept, and times of files."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import whodrew
from drawn import MODELS, PROMPTS, Shell, draw, pixels, save
from gates import ask
from shards import from_folders
from whodrew.arena import Arena, read_arena
from whodrew.defend import Defence, Secret, secrecy
from whodrew.defend.arena_ray import Sent, defend_share
from whodrew.defend.arena_result import Defended
from whodrew.defend.arena_tables import plans_of
from whodrew.defend.arena_work import dealt_shares
from whodrew.defend.folders import targets
from whodrew.defend.ledger import Ledger
from whodrew.defend.secrecy import kept_secret, refuse_secret_inside, secret_path
from whodrew.errors import InputError, UsageError, WhodrewError

SPEC = "canonical(size=32)+noise(sigma=4)"
PADDED = "canonical(size=32,pad=16384)"
TIME = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())


@pytest.fixture
def whodrew_(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("leaving") / "arena", MODELS[:2], PROMPTS[:2], 2)


def run(arena: Any, out: Path, spec: str = SPEC, **more: Any) -> Defended:
    found = whodrew.defend(arena, spec, out, workers=2, **more)
    assert isinstance(found, Defended)
    return found


def images(out: Path) -> list[Path]:
    return sorted(out.glob("*/*/*.jpg"))


def seconds(out: Path) -> set[int]:
    """Times of change of all images and the folders they lie in."""
    return {
        one.stat().st_mtime_ns // 10**9 for file in images(out) for one in (file, *file.parents[:2])
    }


# ---------------------------------------------------------------- the secret
@pytest.mark.parametrize("how", ["name", "slash", "dot", "up", "absolute", "link"])
def test_one_folder_has_one_place_for_its_secret(
    how: str, whodrew_: Shell, arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "real" / "shown"
    (shown / "inside").mkdir(parents=True)
    (shown / "inside").rmdir()
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "other").symlink_to(shown)
    at, given = {
        "name": (shown.parent, "shown"), "slash": (shown.parent, "shown/"), "dot": (shown, "."),
        "up": (tmp_path / "else", "../real/shown"), "absolute": (tmp_path, str(shown)),
        "link": (tmp_path / "else", "other/"),
    }[how]  # fmt: skip
    monkeypatch.chdir(at)
    ran = whodrew_("defend", arena, "--defence", SPEC, "--out", given, "--json", "-", "--quiet")
    assert (ran.code, ran.json["secret_file"]) == (0, "shown.secret.txt")
    kept = shown.with_name("shown.secret.txt")
    assert [one for one in tmp_path.rglob("*secret*") if one.is_file()] == [kept]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "secret.txt" not in (shown / "defence.json").read_text()
    monkeypatch.chdir(tmp_path)
    assert run(arena, shown).reused == 8


def test_folders_of_one_name_do_not_share(arena: Path, tmp_path: Path) -> None:
    for parent in ("a", "b"):
        run(arena, tmp_path / parent / "shown")
    a, b = (tmp_path / parent / "shown.secret.txt" for parent in ("a", "b"))
    assert a.read_text() != b.read_text()


def test_a_secret_inside_is_refused_whatever_is_given(
    whodrew_: Shell, arena: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shown"
    out.mkdir()
    (out / "secret.txt").write_text("mine\n")
    words = ("defend", arena, "--defence", SPEC, "--out", out, "--quiet")
    said = (
        f"{out}/secret.txt would be served and copied with the folder: move it to {out}.secret.txt"
    )
    assert said in " ".join(whodrew_.refused(*words).split())
    assert said in " ".join(whodrew_.refused(*words, "--secret", "s").split())
    assert [one.name for one in out.iterdir()] == ["secret.txt"]
    (out / "secret.txt").chmod(0o600)
    (out / "secret.txt").rename(tmp_path / "shown.secret.txt")
    ran = whodrew_(*words[:-1])
    assert ran.code == 0
    assert "the secret that lies in" in " ".join(ran.err.split())
    data = next(arena.glob("*/*/*.png"))
    shown = (out / data.relative_to(arena)).with_suffix(".jpg").read_bytes()
    assert shown == Defence.parse(SPEC, "mine").serve(data.read_bytes())


def test_a_folder_whose_secret_is_gone(arena: Path, tmp_path: Path) -> None:
    run(arena, tmp_path / "shown")
    (tmp_path / "shown").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"not in .*moved\.secret\.txt now: put it back, or give"):
        run(arena, tmp_path / "moved")
    assert not (tmp_path / "moved.secret.txt").exists()
    (tmp_path / "shown.secret.txt").rename(tmp_path / "moved.secret.txt")
    assert run(arena, tmp_path / "moved").reused == 8


def test_no_place_beside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^/ is a disk of its own, .* WHODREW_SECRET"):
        secret_path(Path("/"))
    long = tmp_path / ("m" * 250)
    long.mkdir()
    with pytest.raises(InputError, match="name too long: give the secret by WHODREW_SECRET"):
        kept_secret(long, anew=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out.secret.txt").mkdir()
    with pytest.raises(UsageError, match="is no file"):
        kept_secret(tmp_path / "out", anew=True)

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(secrecy.os, "open", refused)  # root writes anywhere, modes or not
    with pytest.raises(InputError, match=r"disk\.secret\.txt: Permission denied: give the secret"):
        kept_secret(tmp_path / "disk", anew=True)


def test_a_secret_that_cannot_be_written_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(secrecy.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        kept_secret(tmp_path / "out", anew=True)
    assert list(tmp_path.iterdir()) == []


def owned(monkeypatch: pytest.MonkeyPatch, *files: Path, made: int | None = None) -> None:
    """Gives files to another user, and, where ``made`` is given, all that is opened to that."""

    def strangers(told: Any) -> Any:
        def one(self: Path, **more: Any) -> os.stat_result:
            found: os.stat_result = told(self, **more)
            return os.stat_result((*found[:4], 4321, *found[5:])) if self in files else found

        return one

    for name in ("lstat", "stat"):
        monkeypatch.setattr(Path, name, strangers(getattr(Path, name)))
    if made is not None:
        fstat = os.fstat
        monkeypatch.setattr(
            secrecy.os, "fstat", lambda at: os.stat_result((*fstat(at)[:4], made, *fstat(at)[5:]))
        )


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, Path]:
    """A folder, and a secret beside it."""
    out, file = tmp_path / "out", tmp_path / "out.secret.txt"
    out.mkdir()
    file.write_text("known to all\n")
    file.chmod(0o600)
    return out, file


def test_a_secret_that_somebody_else_has_laid_there(
    planted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, file = planted
    file.rename(out.with_name("known"))
    file.symlink_to(out.with_name("known"))
    assert kept_secret(out, anew=True).new is False  # one's own link will do
    owned(monkeypatch, file, out)  # who lays a secret there can make the folder, too
    with pytest.raises(UsageError, match="another user's"):
        kept_secret(out, anew=True)
    assert {one.name for one in out.parent.iterdir()} == {"out", "out.secret.txt", "known"}


def test_a_file_system_that_gives_all_files_to_one_user(
    planted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    owned(monkeypatch, planted[1], made=4321)
    assert kept_secret(planted[0], anew=False).secret == Secret.of("known to all")


def test_a_secret_where_nothing_can_be_made(
    planted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> tuple[int, str]:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(secrecy.tempfile, "mkstemp", refused)
    assert kept_secret(planted[0], anew=False).secret == Secret.of("known to all")
    owned(monkeypatch, planted[1])
    with pytest.raises(UsageError, match="another user's"):
        kept_secret(planted[0], anew=False)


@pytest.mark.skipif(os.name != "posix", reason="modes of files say nothing here")
@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666, 0o604, 0o640, 0o644, 0o600, 0o400])
def test_rights_of_others_on_a_secret(
    mode: int, planted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, file = planted
    file.chmod(mode)
    if mode & 0o022:
        with pytest.raises(UsageError, match=r"written by others: chmod 600 it if none .* or give"):
            kept_secret(out, anew=True)
    else:
        wanted = f"chmod 600 {file}" if mode & 0o044 else ""
        assert kept_secret(out, anew=True).readable == wanted
    # where rights do not hold, it is no fault of the file
    fstat = os.fstat
    monkeypatch.setattr(
        secrecy.os, "fstat", lambda at: os.stat_result((fstat(at)[0] | 0o077, *fstat(at)[1:]))
    )
    assert kept_secret(out, anew=True).readable.startswith("rights do not hold on that disk, give")
    fresh = kept_secret(out.with_name("fresh"), anew=True)
    assert (fresh.new, fresh.readable[:18]) == (True, "rights do not hold")


def test_what_is_said_of_a_secret(whodrew_: Shell, arena: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "shown", tmp_path / "shown.secret.txt"
    words = ("defend", arena, "--out", out, "--defence")
    ran = whodrew_(*words, SPEC, "--quiet")
    (line,) = ran.err.splitlines()  # however quiet
    assert line.startswith(f"a fresh secret is kept in {file}: whoever has it")
    assert "neither serve nor commit that file" in line
    assert whodrew_(*words, SPEC, "--quiet").err == ""
    shutil.rmtree(out)
    said = " ".join(whodrew_(*words, SPEC + "+blur").err.split())
    assert f"the secret that lies in {file} is taken: if it has defended these images" in said
    assert "two defended versions of each share a key" in said
    assert "others may read" not in said
    if os.name == "posix":
        file.chmod(0o644)
        ran = whodrew_(*words, SPEC + "+blur", "--quiet")
        assert (ran.code, ran.err) == (0, f"others may read {file}: chmod 600 {file}\n")


def test_a_link_to_no_secret(planted: tuple[Path, Path]) -> None:
    out, file = planted
    file.unlink()
    file.symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"^\S+out\.secret\.txt is a link to nothing: mend it"):
        kept_secret(out, anew=True)
    with pytest.raises(UsageError, match=r"made under a secret that is not in \S+ now: put it"):
        kept_secret(out, anew=False)


def test_a_secret_inside_and_one_beside(planted: tuple[Path, Path]) -> None:
    out, file = planted
    (out / "secret.txt").write_text("other\n")
    with pytest.raises(UsageError, match=f"move it away; {file} is there already"):
        refuse_secret_inside(out)


def test_a_disk_of_its_own_keeps_no_secret(
    whodrew_: Shell, arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, link = tmp_path / "volume", tmp_path / "link"
    out.mkdir()
    link.symlink_to(out)
    monkeypatch.setattr(secrecy.os.path, "ismount", lambda path: Path(path) == out)
    words = ("defend", arena, "--defence", SPEC, "--quiet", "--out")
    for given in (out, link):
        said = whodrew_.refused(*words, given)
        assert f"{given} is a disk of its own, without a place beside it: give the secret" in said
    assert {one.name for one in tmp_path.iterdir()} == {"volume", "link"}
    assert whodrew_(*words, out, "--secret", "s").code == 0
    assert "give the secret" in whodrew_.refused(*words, out)
    (out / "secret.txt").write_text("mine\n")
    assert "move it out of there, and give the secret" in whodrew_.refused(*words, out)
    assert run(arena, out / "inside", "canonical(size=32)+blur").secret_file is None
    assert run(arena, out / "within").secret_file == "within.secret.txt"


def test_a_file_is_no_folder_and_no_arena_is_read_for_it(whodrew_: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        out = tmp_path / name
        words = ("defend", tmp_path / "nowhere", "--defence", SPEC, "--out", out)
        assert f"--out {out} is a file: give a new folder" in whodrew_.refused(*words)
        with pytest.raises(UsageError, match="is a file: give a new folder"):
            run(tmp_path / "nowhere", out)


# ---------------------------------------------------------------- the order of writing
@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arena of 48 images, one model after the other, all of one time."""
    root = draw(tmp_path_factory.mktemp("order") / "many", MODELS[:2], PROMPTS[:3], 8, side=16)
    for file in root.glob("*/*/*.png"):
        os.utime(file, (1, 1))
    return root


def in_form(many: Path, form: str, to: Path) -> Arena:
    if form == "files":
        return read_arena(many)
    if form == "archives":
        from_folders(many, to, 24)  # each of one model
        for file in to.iterdir():
            os.utime(file, (1, 1))
        return read_arena(to)
    rows = [(one.read_bytes(), *one.parts[-3:-1], one.stem) for one in sorted(many.rglob("*.png"))]
    names = ("image", "model", "prompt_id", "seed")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    pq.write_table(table, to.with_suffix(".parquet"), row_group_size=4)
    os.utime(to.with_suffix(".parquet"), (1, 1))
    return read_arena(to.with_suffix(".parquet"))


def changes(models: list[str]) -> int:
    """How often the model is another than that of the image before."""
    return sum(one != other for one, other in pairwise(models))


@pytest.mark.parametrize("form", ["files", "archives", "parquet"])
def test_images_are_not_written_model_after_model(
    form: str, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = in_form(many, form, tmp_path / "arena")
    assert changes(opened.images["model"].to_pylist()) == 1
    order: list[str] = []
    add = Ledger.add

    def noted(self: Ledger, data: bytes, row: dict[str, Any]) -> None:
        order.append(row["path"])
        add(self, data, row)

    monkeypatch.setattr(Ledger, "add", noted)
    seen: list[int] = []
    done = whodrew.defend(
        opened, PADDED, tmp_path / "out", workers=1, progress=lambda state: seen.append(state.done)
    )
    assert (done.defended, done.bad, seen[-1]) == (48, (), 48)
    assert done.table["path"].to_pylist() == targets(opened, ".jpg")  # the record is in order
    assert sorted(order) == sorted(targets(opened, ".jpg"))
    assert changes([path.split("/")[0] for path in order]) >= (4 if form == "parquet" else 12)


@pytest.mark.parametrize("form", ["files", "archives", "parquet"])
def test_how_images_are_dealt(form: str, many: Path, tmp_path: Path) -> None:
    opened = in_form(many, form, tmp_path / "arena")
    images, plans = opened.images, plans_of(opened, targets(opened, ".jpg"))
    pending = [at for at in range(48) if at % 5]
    found = dealt_shares(images, pending, plans, Secret.of("key"))
    assert sorted(at for share in found for at in share) == pending
    assert dealt_shares(images, pending, plans, Secret.of("key")) == found
    others = [dealt_shares(images, pending, plans, Secret.of("other"))]
    moved = {at: {**row, "source_mtime_ns": 5} for at, row in plans.items()}
    others.append(dealt_shares(images, pending, moved, Secret.of("key")))
    assert found not in others
    assert all(max(map(len, shares)) <= 16 for shares in (found, *others))
    if form == "parquet":  # each row group is read once, as a whole
        groups = [{at for at in pending if at // 4 == group} for group in range(12)]
        assert sorted(map(set, found), key=min) == groups
        assert found != sorted(found)
    else:
        assert all(share != sorted(share) for share in found if len(share) > 4)
    assert dealt_shares(images, [], plans, Secret.of("key")) == []


# ---------------------------------------------------------------- times
def test_all_images_have_one_time(arena: Path, tmp_path: Path) -> None:
    run(arena, tmp_path / "out", secret="s")
    assert len(images(tmp_path / "out")) == 8
    assert seconds(tmp_path / "out") == {TIME}
    app = Starlette(routes=[Mount("/", StaticFiles(directory=tmp_path / "out"))])
    shown = {ask(app, f"/{one.relative_to(tmp_path / 'out')}").headers["last-modified"]
             for one in images(tmp_path / "out")}  # fmt: skip
    assert shown == {"Sat, 01 Jan 2000 00:00:00 GMT"}


def test_equal_files_have_equal_times_whenever_and_wherever(arena: Path, tmp_path: Path) -> None:
    found = []
    for out in (tmp_path / "one", tmp_path / "two"):
        run(arena, out, secret="s")
        found.append([one.stat().st_mtime_ns for one in images(out)])
    assert found[0] == found[1]


def test_a_later_run_leaves_and_puts_right_the_one_time(arena: Path, tmp_path: Path) -> None:
    growing, out = shutil.copytree(arena, tmp_path / "arena"), tmp_path / "out"
    run(growing, out, secret="s")
    before = {one: one.stat().st_mtime_ns for one in images(out)}
    first, second, third, *_ = before
    os.utime(first, (5, 5))  # as copies have
    second.unlink()
    third.write_bytes(b"cut")
    save(growing / "amber/boat/new.png", pixels("amber", "cat", 1, 24))
    save(growing / "birch/boat/0.png", pixels("amber", "cat", 2, 30))
    done = run(growing, out, secret="s")
    assert (done.defended, done.reused) == (4, 5)
    assert seconds(out) == {TIME}
    again = {one: one.stat().st_mtime_ns for one in before}
    assert [one.name for one in before if again[one] != before[one]] == ["0.jpg"]


def test_a_file_that_may_not_be_timed_is_written_anew(
    arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(arena, out, secret="s")
    theirs = images(out)[0]
    os.utime(theirs, (5, 5))
    utime = os.utime

    def owner_only(path: Path, *args: Any, **more: Any) -> None:
        if path == theirs or Path(path).is_dir():
            raise PermissionError(1, os.strerror(1), str(path))
        utime(path, *args, **more)

    monkeypatch.setattr("whodrew.defend.ledger.os.utime", owner_only)
    assert (run(arena, out, secret="s").defended, len(images(out))) == (1, 8)
    assert {one.stat().st_mtime_ns // 10**9 for one in images(out)} == {TIME}

    def nobody(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(38, os.strerror(38), str(path))

    monkeypatch.setattr("whodrew.defend.ledger.os.utime", nobody)
    with pytest.raises(WhodrewError, match="cannot write"):  # never an image with its true time
        run(arena, tmp_path / "second", secret="s")
    assert images(tmp_path / "second") == []


def test_a_worker_of_a_cluster_sets_the_time(arena: Path, tmp_path: Path) -> None:
    opened, defence = read_arena(arena), Defence.parse(SPEC, "s")
    plans = plans_of(opened, targets(opened, ".jpg"))
    (tmp_path / ".whodrew" / "unfinished").mkdir(parents=True)
    done = defend_share(
        Sent(defence, 0, str(tmp_path)), opened.images, [plans[at] for at in range(8)], {}
    )
    assert (done.written, len(images(tmp_path))) == (8, 8)
    assert {one.stat().st_mtime_ns // 10**9 for one in images(tmp_path)} == {TIME}


def test_a_changed_image_of_one_size_is_seen_by_a_store(arena: Path, tmp_path: Path) -> None:
    growing, out = shutil.copytree(arena, tmp_path / "arena"), tmp_path / "out"
    probe = tmp_path / "probe"
    probe.touch()
    os.utime(probe, ns=(100, 100))
    if probe.stat().st_mtime_ns != 100:
        pytest.skip("this file system does not count in steps of 100 ns")
    run(growing, out, PADDED)
    store = tmp_path / "store"
    assert whodrew.embed(out, "fingerprint", store, workers=2).encoded == 8
    save(growing / "birch/boat/0.png", pixels("amber", "cat", 2, 30))
    run(growing, out, PADDED)
    assert {one.stat().st_size for one in images(out)} == {16384}
    assert seconds(out) == {TIME}
    again = whodrew.embed(out, "fingerprint", store, workers=2)
    assert (again.encoded, again.reused) == (1, 7)
