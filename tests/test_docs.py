"""What the README and the documentation say is true: links, pages, commands."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
IMAGES = (".png", ".jpg", ".jpeg", ".webp")


# ---------------------------------------------------------------- pages
@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("needs an extra: pip install 'whodrew[docs]'")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_documentation_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()


def test_every_page_is_in_the_navigation_and_built(site: Path) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:", 1)[1]
    for page in sorted(DOCS.rglob("*.md")):
        name = page.relative_to(DOCS).as_posix()
        assert re.search(rf": {re.escape(name)}$", navigation, re.MULTILINE), name
        assert (site / name).with_suffix(".html").is_file()


class _Fetched(HTMLParser):
    """Collects what a page makes the browser fetch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"script", "img", "iframe", "source", "video", "audio"}:
            self.addresses.append(values.get("src") or "")
        if tag == "link" and values.get("rel") in {"stylesheet", "preconnect", "icon", "preload"}:
            self.addresses.append(values.get("href") or "")


def test_built_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        parser = _Fetched()
        parser.feed(page.read_text("utf-8"))
        away = [address for address in parser.addresses if re.match(r"(https?:)?//", address)]
        assert not away, f"{page.name} fetches {away}"


def test_links_between_files_of_the_repository_lead_somewhere() -> None:
    for page in PAGES:
        if not page.is_file():
            continue
        text = BLOCK.sub("", page.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if re.match(r"[a-z]+:", target):
                continue
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


# ---------------------------------------------------------------- commands
@dataclass(frozen=True)
class Command:
    """One command of a page."""

    page: Path
    language: str
    line: str

    @property
    def words(self) -> list[str]:
        """The words of the command, without variables before it and what comes after it."""
        words = shlex.split(self.line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        ends = [at for at, word in enumerate(words) if word in {"|", "&&", ">", ">>", "2>", ";"}]
        return words[: ends[0]] if ends else words


def commands(page: Path) -> Iterator[Command]:
    """Yields the commands of a page's ``console`` and ``bash`` blocks."""
    if not page.is_file():
        return
    for _, language, body in BLOCK.findall(page.read_text("utf-8")):
        if language not in {"console", "bash", "sh", "shell"}:
            continue
        for line in body.replace("\\\n", " ").splitlines():
            text = line.strip()
            if language == "console":
                if not text.startswith("$ "):
                    continue  # what the command printed
                text = text[2:]
            if text and not text.startswith("#"):
                yield Command(page, language, text)


def ours(page: Path) -> list[Command]:
    """Returns the commands of a page that call whodrew."""
    return [command for command in commands(page) if command.words[:1] == ["whodrew"]]


def parse(words: list[str]) -> dict[str, Any]:
    """Parses the words after ``whodrew`` with the command line's own parser.

    Returns:
        The values given, by the names of the parameters; empty for ``whodrew --version``.
    """
    import typer
    from typer.main import get_command

    from whodrew import cli

    app = next(value for value in vars(cli).values() if isinstance(value, typer.Typer))
    command: Any = get_command(app)
    context = command.context_class(command, info_name="whodrew")
    while hasattr(command, "commands"):
        values, words, _ = command.make_parser(context).parse_args(list(words))
        if not words:
            return dict(values)
        name = words.pop(0)
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
        context = command.context_class(command, info_name=name, parent=context)
    values, left, _ = command.make_parser(context).parse_args(list(words))
    assert not left, f"words too many: {left}"
    if values.get("help"):
        return {}
    for parameter in command.params:
        given = values.get(parameter.name)
        if not given:
            assert not parameter.required, f"{parameter.name} is missing"
        elif not parameter.is_eager:
            try:
                parameter.process_value(context, given)
            except Exception as error:
                # The reader's own files are not here; everything else must be right.
                if "does not exist" not in str(error):
                    raise
    return dict(values)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_is_one_that_exists(page: Path) -> None:
    for command in ours(page):
        try:
            parse(command.words[1:])
        except Exception as error:
            error.add_note(f"in {command.page.name}: {command.line}")
            raise


def _row(text: str, name: str) -> str:
    """Returns the row of a table whose first cell names ``name``, links set aside."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    rows = re.findall(r"^\|[^|]*`" + re.escape(name) + r"`[^|]*\|.*$", plain, re.MULTILINE)
    assert rows, f"no table has a row for {name}"
    return "\n".join(rows)


def test_every_defence_and_setting_is_described() -> None:
    from whodrew.defend.listing import defences

    listed = [one for one in defences() if "/" not in one.name]
    assert len(listed) >= 10
    defended = (DOCS / "defences.md").read_text("utf-8")
    adversarial = (DOCS / "perturb.md").read_text("utf-8")
    for one in listed:
        row = _row(defended, one.name)
        if one.name in {"perturb", "universal"}:
            row = adversarial.split(f"## `{one.name}`", 1)[1].split("\n#", 1)[0]
        for setting, default in one.settings.items():
            assert f"`{setting}`" in row, f"{one.name} does not describe {setting}"
            told = re.search(rf"`{setting}` \(([0-9.]+)", row)
            if told is not None:
                assert float(told[1]) == default, f"{one.name} {setting}"


@pytest.mark.parametrize(
    ("command", "page"),
    [
        ("audit", "audit.md"),
        ("defend", "defences.md"),
        ("frontier", "frontier.md"),
        ("identify", "identify.md"),
        ("leaks", "leaks.md"),
        ("prompts", "prompts.md"),
        ("rank", "votes.md"),
        ("influence", "influence.md"),
        ("simulate", "simulate.md"),
        ("screen", "screen.md"),
    ],
)
def test_every_option_of_a_command_is_described(command: str, page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    missing = sorted(_options(command) - {"--help"} - set(re.findall(r"--[a-z-]+", text)))
    assert not missing, f"{page} does not tell of {missing}"


def _commands() -> dict[str, Any]:
    """Returns the commands by name."""
    from typer.main import get_command

    from whodrew import cli

    root: Any = get_command(cli.app)
    return dict(root.commands)


def _options(command: str) -> set[str]:
    """Returns the long options of a command."""
    there = _commands()
    found = {**there, **there["votes"].commands}[command]
    return {word for one in found.params for word in one.opts if word.startswith("--")}


def test_every_command_is_in_the_documentation() -> None:
    shown = {command.words[1] for page in PAGES for command in ours(page) if command.words[1:]}
    missing = set(_commands()) - shown - {"encoders", "identifiers", "defences"}
    assert not missing, f"no page shows {missing}"


def test_every_schema_is_in_the_documentation() -> None:
    told = "".join(page.read_text("utf-8") for page in sorted(DOCS.glob("*.md")))
    pattern = re.compile(r'^SCHEMA[^=]*= "(whodrew\.\w+/\d+)"', re.MULTILINE)
    for path in sorted((ROOT / "src" / "whodrew").rglob("*.py")):
        for schema in pattern.findall(path.read_text("utf-8")):
            assert schema in told, f"{path.name}: {schema} is on no page"


def test_pages_show_commands_at_all() -> None:
    assert sum(len(ours(page)) for page in DOCS.glob("*.md")) >= 10
    assert len(ours(README)) >= 2


def _stand_ins(values: dict[str, Any], sample: Path, folder: Path) -> None:
    """Puts sample images where a command of the README reads a reader's own."""
    image = next(path for path in sorted(sample.rglob("*")) if path.suffix in IMAGES)
    log = values.get("votes")
    if log and not (folder / log).exists():
        _votes(folder / log)
    for name in ("arena", "images", "image", "references", "reference_arena"):
        given = values.get(name)
        for word in given if isinstance(given, list | tuple) else [given]:
            if not word or (folder / word).exists():
                continue
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            if Path(word).suffix in IMAGES:
                shutil.copy(image, folder / word)
            elif name in {"images", "image"}:
                shutil.copytree(image.parent, folder / word)
            else:
                (folder / word).symlink_to(sample, target_is_directory=True)


def _votes(path: Path) -> None:
    """Writes a vote log whose models can all be compared."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pairs = [(a, b) for a in "abcd" for b in "abcd" if a != b]
    rows = [
        {"model_a": a, "model_b": b, "winner": winner}
        for a, b in pairs
        for winner in ("model_a", "model_a", "model_b", "tie")
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.slow
def test_commands_of_the_readme_run(sample_arena: Path, tmp_path: Path) -> None:
    shown = [command for command in ours(README) if command.language == "console"]
    assert shown, "the README shows no command in a console block"
    program = shutil.which("whodrew", path=str(Path(sys.executable).parent))
    assert program, "the package is not installed: pip install -e ."
    for command in shown:
        _stand_ins(parse(command.words[1:]), sample_arena, tmp_path)
        done = subprocess.run(
            [program, *command.words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {command.line}\n{done.stdout}\n{done.stderr}"
