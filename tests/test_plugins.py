"""Third parties: real packages, installed, found by their entry points, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drawn import MODELS, PROMPTS, Ran, Shell, draw, strict_json

pytest.importorskip("hatchling", reason="needs an extra: pip install 'whodrew[lint]'")

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "third_party"
PAGE = HERE.parent / "docs" / "plugins.md"
TITLED = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)


def install(source: Path, target: Path) -> Path:
    """Installs a package with pip, from nothing but its own files."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--no-cache-dir"),
            *("--target", str(target), str(source)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def run(site: Path, *words: object) -> Ran:
    """Runs ``whodrew`` as a process of its own that finds what is installed in ``site``."""
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-m", "whodrew", *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of ``tests/third_party``, installed."""
    source = tmp_path_factory.mktemp("toy") / "source"
    shutil.copytree(PACKAGE, source)
    return install(source, source.parent / "site")


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("plugins") / "arena", MODELS, PROMPTS[:4], 2)


def listed(ran: Ran) -> dict[str, dict[str, Any]]:
    assert ran.code == 0, ran.err
    return {one["name"]: one for one in ran.json}


# ---------------------------------------------------------------- a real package
def test_a_package_is_listed_by_its_name_and_ours_keep_theirs(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whodrew = Shell(capsys)
    without = listed(whodrew("encoders", "--quiet", "--json", "-"))
    assert not any(name.startswith("whodrew-toy") for name in without)
    encoders = listed(run(toy, "encoders", "--quiet", "--json", "-"))
    monkeypatch.syspath_prepend(toy)
    identifiers = listed(whodrew("identifiers", "--quiet", "--json", "-"))
    mine = encoders["whodrew-toy/mean-colour"]
    assert mine["summary"] == "from whodrew_toy.encoders:MeanColour"
    assert (mine["ready"], mine["needs"]) == (True, [])
    assert "whodrew-toy/tiles" in encoders
    assert "fingerprint" in encoders
    assert "whodrew-toy/euclid" in identifiers


def test_its_encoders_fill_a_store(
    toy: Path,
    arena: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, dimension in (("whodrew-toy/mean-colour", 6), ("whodrew-toy/tiles:3", 27)):
        store = tmp_path / f"store-{dimension}"
        ran = run(toy, "embed", arena, "--encoder", name, "--store", store, "--json", "-")
        assert ran.code == 0, ran.err
        assert ran.json["encoded"] == 32
        card = json.loads((store / "card.json").read_text())
        assert (card["encoder"], card["dimension"]) == (name, dimension)
    monkeypatch.syspath_prepend(toy)
    said = Shell(capsys).refused(
        "embed", arena, "--encoder", "whodrew-toy/tiles:2", "--store", store
    )
    assert "is of another encoder (name 'whodrew-toy/tiles:3' there" in said


def test_an_audit_uses_both_encoder_and_identifier(toy: Path, arena: Path, tmp_path: Path) -> None:
    ran = run(
        toy,
        *("audit", arena, "--encoder", "whodrew-toy/mean-colour", "--out", tmp_path / "out"),
        *("--identifier", "whodrew-toy/euclid", "--no-curves", "--quiet", "--json", "-"),
    )
    assert ran.code == 0, ran.err
    found = [one for one in ran.json["attacks"] if one["identifier"] == "whodrew-toy/euclid"]
    assert {one["knowledge"]["prompts"] for one in found} == {"other", "matched"}
    assert {one["encoder"] for one in found} == {"whodrew-toy/mean-colour"}
    best = max(one["top1"]["value"] for one in found)
    assert best > found[0]["top1"]["chance"]
    assert (tmp_path / "out" / "report.html").is_file()


def test_an_image_is_named_by_both(toy: Path, arena: Path, tmp_path: Path) -> None:
    query = arena / MODELS[0] / PROMPTS[0] / "0.png"
    ran = run(
        toy,
        *("identify", query, "--references", arena, "--store", tmp_path / "store"),
        *("--encoder", "whodrew-toy/tiles:4", "--identifier", "whodrew-toy/euclid"),
        *("--quiet", "--json", "-"),
    )
    assert ran.code == 0, ran.err
    assert {one["model"] for one in ran.json[0]["ranked"]} <= set(MODELS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("whodrew-toy/mean-color", "did you mean whodrew-toy/mean-colour"),
        ("mean-colour", "did you mean whodrew-toy/mean-colour"),
        ("whodrew-toy/tiles:many", "give a number of tiles, 1 to 16"),
        ("whodrew-toy/tiles", "give a number of tiles, 1 to 16"),
        ("whodrew-toy/mean-colour:3", "of the package whodrew-toy cannot be made: TypeError"),
    ],
)
def test_wrong_names_and_arguments_are_refused_in_one_line(
    toy: Path,
    arena: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    said: str,
) -> None:
    monkeypatch.syspath_prepend(toy)
    error = Shell(capsys).refused("embed", arena, "--encoder", name, "--store", tmp_path / "s")
    assert said in error
    assert not (tmp_path / "s").exists()


# ---------------------------------------------------------------- broken packages
BROKEN = '''\
"""Everything a plug-in can do wrong."""

import numpy as np
from whodrew.encoders.base import EncoderCard
from whodrew.identify.base import Option


def card(name, dimension=3, **more):
    return EncoderCard("broken/" + name, "1", dimension, more.pop("scale", "unit"), "none", **more)


class Base:
    def __init__(self):
        self.card = card(type(self).__name__.lower())

    def encode(self, images):
        return np.ones((len(images), 3), np.float32)


class Shape(Base):
    def encode(self, images):
        return np.ones((len(images), 4), np.float32)


class Nan(Base):
    def encode(self, images):
        return np.full((len(images), 3), np.nan, np.float32)


class Text(Base):
    def encode(self, images):
        return [["a", "b", "c"] for _ in images]


class Raises(Base):
    def encode(self, images):
        raise RuntimeError("no\\nserver")


class Stranger(Base):
    def __init__(self):
        self.card = card("another")


class Impostor(Base):
    def __init__(self):
        self.card = EncoderCard("fingerprint", "1", 3, "unit", "none")


class Scale(Base):
    def __init__(self):
        self.card = card("scale", scale="log")


class Dimension(Base):
    def __init__(self):
        self.card = card("dimension", dimension=0)


class Mute:
    card = card("mute")


class Cardless:
    def encode(self, images):
        return np.ones((len(images), 3), np.float32)


class Unstarted(Base):
    def __init__(self):
        raise OSError("weights are gone")


class Identifier:
    name, scatter, by_fold = "broken/identifier", False, False

    def options(self, *, matched):
        return (Option(),)

    def fit(self, library, without, *, centred):
        return self

    def score(self, block, options):
        return np.zeros((1, len(block.rows), 1), np.float32)


class NanScores(Identifier):
    def fit(self, library, without, *, centred):
        self.models = len(library.samples.models)
        return self

    def score(self, block, options):
        return np.full((1, len(block.rows), self.models), np.nan, np.float32)


class FitRaises(Identifier):
    def fit(self, library, without, *, centred):
        raise MemoryError("too much")


class NoOptions(Identifier):
    def options(self, *, matched):
        return ()


class NoFit:
    name, scatter, by_fold = "broken/no-fit", False, False

    def options(self, *, matched):
        return (Option(),)


THING = 3
'''
ENCODERS = {
    "shape": (
        "Shape",
        "contract of encoders: encode gave an array of shape (2, 4), its card says (2, 3)",
    ),
    "nan": ("Nan", "encode gave numbers that are not finite"),
    "text": ("Text", "encode fails: ValueError: could not convert string to float"),
    "raises": ("Raises", "encode fails: RuntimeError: no server"),
    "stranger": ("Stranger", "its card is called 'broken/another', must be called 'broken/stra"),
    "impostor": ("Impostor", "its card is called 'fingerprint', must be called 'broken/impostor'"),
    "scale": ("Scale", "its card says scale='log'"),
    "dimension": ("Dimension", "its card says dimension=0"),
    "mute": ("Mute", "it has no method encode"),
    "cardless": ("Cardless", "its card is None, not an EncoderCard"),
    "unstarted": ("Unstarted", "cannot be made: OSError: weights are gone"),
    "thing": ("THING", "3 is no class or function"),
    "nothing": ("Nothing", "cannot be imported: AttributeError"),
}
IDENTIFIERS = {
    "identifier": ("Identifier", "it gave scores of shape (1, "),
    "nan-scores": ("NanScores", "it gave scores that are nan"),
    "fit-raises": ("FitRaises", "fails: MemoryError: too much"),
    "no-options": ("NoOptions", "options gave ()"),
    "no-fit": ("NoFit", "it has no 'fit'"),
}
MODULES = {
    "absent": ("import surely_not_there\n", "ModuleNotFoundError: No module named 'surely"),
    "syntax": ("def broken(:\n", "cannot be imported: SyntaxError"),
    "leaving": ("raise SystemExit(0)\n", "cannot be imported: SystemExit"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose every plug-in is wrong in one way, installed."""
    source = tmp_path_factory.mktemp("broken") / "source"
    package = source / "broken_plugins"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "all.py").write_text(BROKEN)
    encoders = [f'{name} = "broken_plugins.all:{one}"' for name, (one, _) in ENCODERS.items()]
    identifiers = [f'{name} = "broken_plugins.all:{one}"' for name, (one, _) in IDENTIFIERS.items()]
    for name, (text, _) in MODULES.items():
        (package / f"{name}.py").write_text(text)
        encoders.append(f'{name} = "broken_plugins.{name}:Any"')
    lines = [
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"',
        '[project]\nname = "broken"\nversion = "1"',
        '[project.entry-points."whodrew.encoders"]',
        *encoders,
        '[project.entry-points."whodrew.identifiers"]',
        *identifiers,
        '[tool.hatch.build.targets.wheel]\npackages = ["broken_plugins"]',
    ]
    (source / "pyproject.toml").write_text("\n".join(lines) + "\n")
    return install(source, source.parent / "site")


@pytest.mark.parametrize(
    ("name", "said"),
    [(name, said) for name, (_, said) in (ENCODERS | MODULES).items()],
)
def test_a_broken_encoder_is_one_line_that_names_its_package(
    broken: Path,
    arena: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    said: str,
) -> None:
    monkeypatch.syspath_prepend(broken)
    words = ("embed", arena, "--encoder", f"broken/{name}", "--store", tmp_path / "store")
    error = Shell(capsys).refused(*words)
    assert error.startswith(f"error: encoder 'broken/{name}' of the package broken ")
    assert said in error
    assert error.endswith("tell its authors, or use another")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "said"), [(name, said) for name, (_, said) in IDENTIFIERS.items()]
)
def test_a_broken_identifier_is_one_line_that_names_its_package(
    broken: Path,
    arena: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    said: str,
) -> None:
    monkeypatch.syspath_prepend(broken)
    error = Shell(capsys).refused(
        *("audit", arena, "--identifier", f"broken/{name}", "--out", tmp_path / "out"),
        *("--no-curves", "--knowledge", "other", "--shown", "any", "--quiet"),
    )
    assert error.startswith(f"error: identifier 'broken/{name}' of the package broken ")
    assert said in error


def test_broken_packages_are_listed_without_being_imported(
    broken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(broken)
    found = listed(Shell(capsys)("encoders", "--quiet", "--json", "-"))
    assert {f"broken/{name}" for name in (*ENCODERS, *MODULES)} <= set(found)


# ---------------------------------------------------------------- the page
def test_the_package_of_the_documentation_works_as_written(arena: Path, tmp_path: Path) -> None:
    files = TITLED.findall(PAGE.read_text("utf-8"))
    assert [name for name, _ in files] == [
        "pyproject.toml",
        "my_package/encoder.py",
        "my_package/identifier.py",
        "my_package/strategy.py",
    ]
    (tmp_path / "source" / "my_package").mkdir(parents=True)
    (tmp_path / "source" / "my_package" / "__init__.py").touch()
    for name, text in files:
        (tmp_path / "source" / name).write_text(text)
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) <= 20, name
    site = install(tmp_path / "source", tmp_path / "site")
    ran = run(
        site,
        *("audit", arena, "--encoder", "my-package/mean-colour", "--out", tmp_path / "out"),
        *("--identifier", "my-package/euclid", "--no-curves", "--quiet", "--json", "-"),
    )
    assert ran.code == 0, ran.err
    audit = strict_json(ran.out)
    assert "my-package/euclid" in {one["identifier"] for one in audit["attacks"]}


def test_the_strategy_of_the_page_is_simulated(tmp_path: Path) -> None:
    files = dict(TITLED.findall(PAGE.read_text("utf-8")))
    source = tmp_path / "source"
    (source / "my_package").mkdir(parents=True)
    (source / "my_package" / "__init__.py").touch()
    for name in ("pyproject.toml", "my_package/strategy.py"):
        (source / name).write_text(files[name])
    with (source / "pyproject.toml").open("a") as file:
        file.write('\n[project.entry-points."whodrew.voters"]\nhalf = "my_package.strategy:Half"\n')
    site = install(source, tmp_path / "site")
    words = ("votes", "simulate", "--models", 6, "--honest", 5000, "--accuracy", 1)
    words += ("--ranks", 1, "--repetitions", 20, "--json", "-")
    needed = {}
    for strategy in ("target-only", "my-package/half(share=1.0)", "my-package/half(share=0.25)"):
        ran = run(site, *words, "--strategy", strategy)
        assert ran.code == 0, ran.err
        (curve,) = ran.json["curves"]
        needed[strategy] = curve["ranks"][0]["battles"]["value"]
    plain, half, quarter = needed.values()
    # it sees the target on the left alone, and takes it every time or one time in four
    assert 1.4 * plain < half < 2.6 * plain
    assert 2.5 * half < quarter < 6 * half
