"""The Python API mirrors the commands, and importing it is cheap."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from drawn import draw, pixels, save, schema_errors, strict_json
from whodrew.errors import InputError, LimitError, MissingExtraError, UsageError, WhodrewError

HEAVY = {"numpy", "scipy", "sklearn", "daft", "numba", "pyarrow", "PIL", "rich", "jinja2"}
ROOMS = [
    "whodrew.audit",
    "whodrew.embed",
    "whodrew.encoders",
    "whodrew.identify",
    "whodrew.audit.run",
    "whodrew.audit.naming",
    "whodrew.embed.pipeline",
    "whodrew.encoders.registry",
    "whodrew.identify.problem",
    "whodrew.measure",
    "whodrew.arena.sample",
    "whodrew.cli",
]


def python(code: str) -> str:
    """Runs code in a fresh interpreter, and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("api") / "arena", prompts=("boat", "cat", "hill"))


def test_importing_whodrew_imports_nothing_heavy() -> None:
    code = f"import sys, whodrew; print(sorted({HEAVY!r} & set(sys.modules)))"
    assert python(code) == "[]"


@pytest.mark.parametrize("words", [["--help"], ["audit", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    heavy = HEAVY - {"rich"}  # typer's own
    code = (
        "import sys\nfrom whodrew.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit as stop: assert stop.code == 0\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    assert python(code).splitlines()[-1] == "[]"


def test_functions_are_callable_whatever_was_imported_before() -> None:
    names = ("audit", "embed", "identify", "sample", "encoders", "identifiers")
    code = (
        "import importlib, whodrew\n"
        f"def check():\n    assert all(callable(getattr(whodrew, name)) for name in {names!r})\n"
        "check()\n"
        f"for room in {ROOMS!r}:\n    importlib.import_module(room)\n    check()\n"
        "assert whodrew.encoders()[0].name == 'fingerprint'\n"
        "assert 'k-nearest' in [one.name for one in whodrew.identifiers()]\n"
    )
    python(code)
    for room in ("whodrew.audit.naming", "whodrew.cli"):  # each as the first import
        python(f"import {room}, whodrew\nassert callable(whodrew.audit), whodrew.audit\n")
    python(
        "from whodrew import audit, embed, encoders, identifiers, identify, sample\n"
        "import whodrew.audit.run, whodrew.identify.problem\n"
        "assert encoders()[0].name == 'fingerprint'\n"
        "assert all(map(callable, (audit, embed, identify, sample, identifiers)))\n"
    )


def test_every_name_of_the_package_is_there() -> None:
    import whodrew

    for name in whodrew.__all__:
        assert getattr(whodrew, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'vote'"):
        whodrew.vote  # noqa: B018


def frozen(value: Any) -> None:
    assert dataclasses.is_dataclass(value)
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


def test_audit_gives_the_object_that_the_command_prints(arena: Path, tmp_path: Path) -> None:
    import whodrew

    out = tmp_path / "audit"
    result = whodrew.audit(arena, out=out, knowledge=("other",), curves=False)
    frozen(result)
    frozen(result.attacks[0])
    values = result.to_dict()
    assert schema_errors("audit-1", strict_json((out / "audit.json").read_text("utf-8"))) == []
    assert strict_json((out / "audit.json").read_text("utf-8")) == values
    assert result.headline["sentence"] == values["headline"]["sentence"]
    table = result.to_table()
    assert isinstance(table, pa.Table)
    assert len(table) == len(result.attacks)
    assert table["top1"].to_pylist() == [one.top1.value for one in result.attacks]
    assert table["prompts"].unique().to_pylist() == ["other"]
    assert result.exit_code == 0


def test_audit_takes_text_an_opened_arena_and_lists(arena: Path, tmp_path: Path) -> None:
    import whodrew

    first = whodrew.audit(str(arena), out=tmp_path / "a", knowledge=["other"], curves=False)
    opened = whodrew.read_arena(arena)
    options = whodrew.AuditOptions(knowledge=("other",), curves=False)
    again = whodrew.audit(opened, out=tmp_path / "a", options=options)
    assert [one.to_dict() for one in again.attacks] == [one.to_dict() for one in first.attacks]


def test_audit_without_out_writes_nothing(arena: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import whodrew

    before = sorted(arena.rglob("*"))
    result = whodrew.audit(arena, knowledge=("other",), shown=("any",), curves=False)
    assert len(result.attacks) == 3
    assert sorted(arena.rglob("*")) == before


def test_embed_and_identify_and_sample_mirror_the_commands(arena: Path, tmp_path: Path) -> None:
    import whodrew

    done = whodrew.embed(arena, encoder="fingerprint", store=tmp_path / "store")
    frozen(done)
    assert (done.encoded, done.to_dict()["images"]) == (36, 36)
    mystery = save(tmp_path / "mystery.png", pixels("cedar", "lamp", 50))
    for references in (arena, tmp_path / "store"):
        (found,) = whodrew.identify(mystery, references=references, store=tmp_path / "store")
        frozen(found)
        assert isinstance(found, whodrew.Identification)
        assert schema_errors("identify-1", [found.to_dict()]) == []


def test_sample_gives_what_was_drawn(sample_arena: Path) -> None:
    import whodrew

    drawn = whodrew.sample(sample_arena)  # complete already: nothing is drawn
    frozen(drawn)
    assert drawn.directory == sample_arena
    assert drawn.to_dict() | {"seconds": 0} == {
        "directory": str(sample_arena),
        "seed": 0,
        "models": 10,
        "prompts": 16,
        "generations": 4,
        "images": 640,
        "seconds": 0,
    }


def test_listings_are_frozen() -> None:
    import whodrew

    for one in (*whodrew.encoders(), *whodrew.identifiers()):
        frozen(one)
        assert one.to_dict()["name"] == one.name


def test_errors_are_one_family_with_exit_codes(arena: Path) -> None:
    import whodrew

    assert issubclass(UsageError, WhodrewError)
    assert issubclass(InputError, WhodrewError)
    assert (UsageError("x").exit_code, InputError("x").exit_code) == (2, 2)
    assert MissingExtraError("this", "clip").exit_code == 2
    assert "pip install 'whodrew[clip]'" in str(MissingExtraError("this", "clip"))
    assert LimitError("x").exit_code == 3
    with pytest.raises(UsageError, match="did you mean fingerprint"):
        whodrew.audit(arena, encoders=("fingerprnt",))
    with pytest.raises(InputError, match="no such file"):
        whodrew.audit(arena / "nothing")
    for wrong in ({"seed": -1}, {"workers": 0}, {"per_cell": 0}, {"canonical": 3}):
        with pytest.raises(UsageError, match="--"):
            whodrew.audit(arena, **wrong)
