"""What ``whodrew defend`` leaves lying about: where the secret is kept, and times of files."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import whodrew
from drawn import MODELS, PROMPTS, Shell, draw, pixels, save
from gates import ask
from whodrew.arena import read_arena
from whodrew.defend import Defence, secrecy
from whodrew.defend.arena_ray import Sent, defend_share
from whodrew.defend.arena_result import Defended
from whodrew.defend.arena_tables import plans_of
from whodrew.defend.folders import targets
from whodrew.defend.secrecy import kept_secret, secret_path
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
    with pytest.raises(UsageError, match=r"^/ has nothing beside it .* WHODREW_SECRET"):
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


def test_a_secret_that_somebody_else_has_laid_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, known = tmp_path / "out", tmp_path / "known"
    out.mkdir()
    known.write_text("known to all\n")
    planted = tmp_path / "out.secret.txt"
    planted.symlink_to(known)
    lstat = Path.lstat

    def stranger(self: Path) -> os.stat_result:
        found = lstat(self)
        return os.stat_result((*found[:4], 4321, *found[5:])) if self == planted else found

    assert kept_secret(out, anew=True)[2] is False  # one's own link will do
    monkeypatch.setattr(Path, "lstat", stranger)
    with pytest.raises(UsageError, match="another user's"):
        kept_secret(out, anew=True)


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
