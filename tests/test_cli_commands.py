"""The other commands, help, the environment, and whodrew as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import pytest
from typer.main import get_command

from drawn import MODELS, PROMPTS, Shell, draw, strict_json
from whodrew import cli

COMMANDS = (
    "sample",
    "embed",
    "audit",
    "identify",
    "leaks",
    "defend",
    "frontier",
    "prompts",
    "votes",
    "encoders",
    "identifiers",
    "defences",
)
#: A value each option takes, and what the command then receives.
VALUES: dict[str, tuple[str, Any]] = {
    "--address": ("auto", "auto"),
    "--defence": ("canonical", "canonical"),
    "--draw": ("2", 2),
    "--draws": ("3", 3),
    "--fewer-draws": ("2", 2),
    "--folds": ("3", 3),
    "--images": ("40", 40),
    "--models": ("8", 8),
    "--quality-images": ("5", 5),
    "--scorer": ("sharpness", "sharpness"),
    "--unseen-encoder": ("none", "none"),
    "--dry-run": ("1", True),
    "--profile": ("there.npz", Path("there.npz")),
    "--secret": ("mine", "mine"),
    "--canonical": ("64", 64),
    "--columns": ("model=by", "model=by"),
    "--curves": ("0", False),
    "--encoder": ("one", "one"),
    "--engine": ("ray", "ray"),
    "--false-alarm": ("0.25", 0.25),
    "--family": ("kin.csv", Path("kin.csv")),
    "--hide-models": ("2", 2),
    "--identifier": ("one", "one"),
    "--json": ("-", "-"),
    "--knowledge": ("matched other", ["matched", "other"]),
    "--layout": ("prompt/model", "prompt/model"),
    "--out": ("there", Path("there")),
    "--permutations": ("999", 999),
    "--per-cell": ("3", 3),
    "--prompt-id": ("red-fox", "red-fox"),
    "--quiet": ("1", True),
    "--reference-arena": ("there", "there"),
    "--references": ("there", "there"),
    "--sample": ("1", True),
    "--seed": ("7", 7),
    "--shown": ("any each-once", ["any", "each-once"]),
    "--store": ("there", Path("there")),
    "--top": ("9", 9),
    "--workers": ("2", 2),
    "--choose": ("9", 9),
    "--keep": ("0.5", 0.5),
    "--skip-bad": ("1", True),
    "--vote-columns": ("model_a=first", "model_a=first"),
    "--votes": ("votes.csv", Path("votes.csv")),
}
SEVERAL = {("audit", "--encoder"), ("audit", "--identifier")}
SEVERAL |= {("prompts", "--encoder"), ("prompts", "--columns"), ("prompts", "--vote-columns")}
SEVERAL |= {("frontier", "--defence"), ("frontier", "--encoder"), ("frontier", "--columns")}
SEVERAL |= {(command, "--columns") for command in ("audit", "defend", "embed", "identify", "leaks")}


@pytest.fixture
def whodrew(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("commands") / "arena", MODELS[:2], PROMPTS[:3], 2)


def process(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs whodrew as a process of its own."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "whodrew", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=environment | more.pop("env", {}),
        **more,
    )


# ---------------------------------------------------------------- help and version
def test_the_commands_are_those_of_the_contract() -> None:
    command: Any = get_command(cli.app)
    assert tuple(command.list_commands(None)) == COMMANDS


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_shows_an_example(whodrew: Shell, name: str) -> None:
    ran = whodrew(*name.split(), "--help")
    assert ran.code == 0
    assert f"Example: whodrew {name or 'audit'}" in ran.out
    assert ran.err == ""


def test_without_words_it_helps(whodrew: Shell) -> None:
    ran = whodrew()
    assert ran.code == 0
    assert all(name in ran.out for name in COMMANDS)


def test_version(whodrew: Shell) -> None:
    ran = whodrew("--version")
    assert (ran.code, ran.out) == (0, f"{version('whodrew')}\n")


# ---------------------------------------------------------------- environment
def options() -> list[tuple[str, str]]:
    command: Any = get_command(cli.app)
    return [
        (name, parameter.opts[0])
        for name, one in command.commands.items()
        for parameter in one.params
        if parameter.param_type_name == "option" and parameter.opts[0] != "--help"
    ]


@pytest.mark.parametrize(("name", "option"), options())
def test_every_option_is_also_a_variable(
    name: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, wanted = VALUES[option]
    monkeypatch.setenv(f"WHODREW_{option[2:].replace('-', '_').upper()}", text)
    received = parsed(name, [])
    got = received[option[2:].replace("-", "_")]
    if (name, option) == ("embed", "--store"):  # may lie on object storage, too
        wanted = str(wanted)
    assert got == (list(wanted.split()) if (name, option) in SEVERAL else wanted)


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHODREW_SEED", "7")
    monkeypatch.setenv("WHODREW_KNOWLEDGE", "matched")
    found = parsed("audit", ["--seed", "3", "--knowledge", "other"])
    assert found["seed"] == 3
    assert found["knowledge"] == ["other"]


def parsed(name: str, words: list[str]) -> dict[str, Any]:
    """Returns what a command would receive; what is required and not given is left out."""
    command: Any = get_command(cli.app)
    one = command.commands[name]
    context = one.context_class(one, info_name=name)
    values, _, _ = one.make_parser(context).parse_args(list(words))
    received = {}
    for parameter in one.params:
        parameter.required = False
        value, _ = parameter.handle_parse_result(context, values, [])
        received[parameter.name] = value
    return received


def test_a_variable_that_is_wrong_is_refused_by_name(
    whodrew: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHODREW_SEED", "many")
    assert "WHODREW_SEED" in whodrew.refused("audit", "there")


def test_variables_reach_an_audit(
    whodrew: Shell, arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OUT": str(tmp_path / "there"),
        "KNOWLEDGE": "other matched",
        "SHOWN": "any",
        "CURVES": "false",
        "JSON": "-",
        "QUIET": "1",
        "SEED": "5",
    }.items():
        monkeypatch.setenv(f"WHODREW_{name}", value)
    ran = whodrew("audit", arena)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["seed"] == 5
    assert {one["knowledge"]["prompts"] for one in ran.json["attacks"]} == {"other", "matched"}
    assert (tmp_path / "there" / "audit.json").is_file()


# ---------------------------------------------------------------- sample, embed, lists
def test_sample_says_what_it_drew(whodrew: Shell, sample_arena: Path) -> None:
    ran = whodrew("sample", sample_arena)  # complete already
    assert (ran.code, ran.out) == (0, "")
    assert "640 synthetic images by 10 painters for 16 prompts" in ran.err
    ran = whodrew("sample", sample_arena, "--json", "-", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["images"] == 640
    assert ran.json["directory"] == str(sample_arena)
    assert ran.json["seed"] == 0


def test_embed_goes_on_where_it_stopped(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    growing = shutil.copytree(arena, tmp_path / "arena")
    store = tmp_path / "store"
    ran = whodrew("embed", growing, "--store", store)
    assert (ran.code, ran.out) == (0, "")
    assert "12 encoded, 0 there already" in ran.err
    draw(growing, MODELS[2:3], PROMPTS[:3], 2)
    assert "6 encoded, 12 there already" in whodrew("embed", growing, "--store", store).err
    ran = whodrew("embed", growing, "--store", store, "--json", "-", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["encoded"], ran.json["reused"], ran.json["bad"]) == (0, 18, [])
    assert ran.json["encoder"]["name"] == "fingerprint"


def test_embed_names_what_is_bad(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(arena, tmp_path / "arena")
    (spoilt / "amber/boat/0.png").write_text("no image")
    ran = whodrew("embed", spoilt, "--store", tmp_path / "store", "--quiet", "--json", "-")
    assert ran.code == 1
    assert ran.err.startswith("bad: amber/boat/0.png: not an image")
    assert [one["item"] for one in ran.json["bad"]] == ["amber/boat/0.png"]
    assert ran.json["encoded"] == 11


def test_embed_the_canonical_form(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ran = whodrew("embed", arena, "--store", store, "--canonical", 32, "--json", "-")
    assert "canonical 32x32" in ran.json["encoder"]["preprocessing"]
    assert "is of another encoder" in whodrew.refused("embed", arena, "--store", store)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("encoders", {"fingerprint"}),
        ("identifiers", {"nearest-centroid", "whitened-centroid", "k-nearest", "linear-probe"}),
    ],
)
def test_lists(whodrew: Shell, name: str, wanted: set[str]) -> None:
    ran = whodrew(name)
    assert (ran.code, ran.out) == (0, "")
    assert all(one in ran.err for one in wanted)
    ran = whodrew(name, "--json", "-", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert wanted <= {one["name"] for one in ran.json}
    for one in ran.json:
        assert set(one) == {"name", "summary", "needs", "ready", "install"}
        assert one["ready"] == (one["install"] is None)
        assert one["ready"] or one["name"] not in wanted


# ---------------------------------------------------------------- a process of its own
def test_streams_and_status_of_a_process(arena: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "out", "--no-curves", "--shown", "any", "--knowledge", "other")
    done = process("audit", arena, *words, "--json", "-")
    assert done.returncode == 0
    assert strict_json(done.stdout)["schema"] == "whodrew.audit/1"
    assert "attacks, strongest first" in done.stderr
    assert "nearest-centroid (plain)" in done.stderr  # a log has room for whole names
    spoilt = shutil.copytree(arena, tmp_path / "spoilt")
    (spoilt / "amber/boat/0.png").write_text("no image")
    done = process("audit", spoilt, *words, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bad: amber/boat/0.png: ")
    done = process("audit", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_the_script_and_the_module_are_the_same() -> None:
    script = shutil.which("whodrew", path=str(Path(sys.executable).parent))
    assert script
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == process("--version").stdout == f"{version('whodrew')}\n"


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    arena = draw(tmp_path / "arena", MODELS, PROMPTS, 12, side=160)
    store = tmp_path / "store"
    running = subprocess.Popen(
        [sys.executable, "-m", "whodrew", "embed", str(arena), "--store", str(store), "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 60
    while not (store / "card.json").exists() and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert (out, err) == ("", "error: interrupted\n")


def interrupted(code: str) -> tuple[subprocess.Popen[str], IO[str]]:
    """Starts ``encoders`` in a process that says when it began, and interrupts it once."""
    running = subprocess.Popen(
        [sys.executable, "-c", code, "encoders"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline() == "began\n"
    running.send_signal(signal.SIGINT)
    assert running.stderr.readline() == "error: interrupted\n"
    return running, running.stderr


def test_further_interrupts_change_nothing() -> None:
    code = (
        "import time, whodrew.audit.listing as listing, whodrew.cli as cli\n"
        "listing.encoders = lambda *_, **__: print('began', flush=True) or time.sleep(60)\n"
        "cli.main()\n"
    )
    running, errors = interrupted(code)
    while running.poll() is None:
        running.send_signal(signal.SIGINT)
        time.sleep(0.001)
    assert (running.returncode, errors.read()) == (130, "")


def test_one_more_interrupt_does_not_wait_for_threads() -> None:
    code = (
        "import threading, time, whodrew.audit.listing as listing, whodrew.cli as cli\n"
        "def work(*_, **__):\n"
        "    threading.Thread(target=time.sleep, args=(300,)).start()\n"
        "    print('began', flush=True)\n"
        "    time.sleep(300)\n"
        "listing.encoders = work\n"
        "cli.main()\n"
    )
    running, errors = interrupted(code)
    time.sleep(0.5)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130
    assert errors.read() == ""


def test_an_interrupt_in_process(whodrew: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("whodrew.audit.listing.encoders", stop)
    ran = whodrew("encoders")
    assert (ran.code, ran.out, ran.err) == (130, "", "error: interrupted\n")


def test_a_stated_limit_ends_with_3(whodrew: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from whodrew.errors import LimitError

    def stop(*_: object, **__: object) -> None:
        raise LimitError("64 million pixels\nare the most")

    monkeypatch.setattr("whodrew.audit.listing.encoders", stop)
    ran = whodrew("encoders")
    assert (ran.code, ran.err) == (3, "error: 64 million pixels are the most\n")


def test_a_reader_who_leaves_is_no_error() -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "whodrew", "identifiers", "--json", "-", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(timeout=60) == 0


def test_output_that_cannot_hold_the_letters_is_escaped(tmp_path: Path) -> None:
    arena = draw(tmp_path / "arena", ("наталья", "birch"), PROMPTS[:2], 1)
    words = ("--knowledge", "other", "--shown", "any", "--no-curves", "--quiet", "--json", "-")
    env = {"PYTHONIOENCODING": "ascii"}
    done = process("audit", arena, "--out", tmp_path / "out", *words, env=env)
    assert done.returncode == 0, done.stderr
    found = strict_json(done.stdout)
    assert {one["model"] for one in found["attacks"][0]["per_model"]} == {"наталья", "birch"}
