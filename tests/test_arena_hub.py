"""Data sets of the Hub: local ones in its layout, and a Hub on loopback."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import labelled, pack, png
from whodrew.arena import Arena, decode, iter_bytes, read_arena
from whodrew.arena.hub import Spec, parse
from whodrew.arena.hublayout import choose, matches
from whodrew.errors import InputError, MissingExtraError, UsageError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "89abcdef0123456789abcdef0123456789abcdef"
NOBODY = "http://127.0.0.1:9"  # the port that discards: nobody listens


def part(path: Path, count: int, start: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    at = range(start, start + count)
    table = pa.table(
        {
            "image": pa.array([{"bytes": png(i), "path": f"{i}.png"} for i in at], STRUCT),
            "model": [f"m{i % 2}" for i in at],
            "prompt": [f"prompt {i // 2}" for i in at],
        }
    )
    pq.write_table(table, path)
    return path


def card(folder: Path, text: str) -> None:
    pytest.importorskip("yaml", reason="cards with configurations need the extra hub")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\nlicense: mit\n{text}---\n\n# A data set\n", "utf-8")


def values(arena: Arena) -> list[int]:
    read = dict(iter_bytes(arena.images))
    found = []
    for at in range(len(arena)):
        data = read[at]
        assert isinstance(data, bytes)
        found.append(int(decode(data).pixels[0, 0, 0]))
    return found


CONFIGS = """configs:
- config_name: main
  default: true
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path:
    - data/test-*
- config_name: more
  data_dir: more
- config_name: shards
  data_files: "tars/**"
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A data set as the Hub lays them out: two splits, and two more configurations."""
    folder = tmp_path / "dataset"
    card(folder, CONFIGS)
    for at in range(3):
        part(folder / "data" / f"train-{at:05}-of-00003.parquet", 4, 4 * at)
    part(folder / "data" / "test-00000-of-00001.parquet", 3, 20)
    part(folder / "more" / "a" / "train.parquet", 2, 30)
    pack(folder / "tars" / "x" / "000.tar", labelled(2, 40))
    (folder / "dataset.py").write_text("raise SystemExit('a script of a data set was run')\n")
    return folder


# ---------------------------------------------------------------- in a folder


def test_the_default_configuration_with_all_its_splits(dataset: Path) -> None:
    for source in (dataset, f"hub:{dataset}"):
        arena = read_arena(source)
        assert arena.bad == ()
        assert values(arena) == [*range(12), 20, 21, 22]
        assert any("splits train, test read together" in note for note in arena.notes)
        assert arena.images["item"][0].as_py() == "data/train-00000-of-00003.parquet#0"


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (":test", [20, 21, 22]),
        ("/main:train", list(range(12))),
        ("/more", [30, 31]),
        ("/more:train", [30, 31]),
        ("/shards", [40, 41]),
    ],
)
def test_one_configuration_or_split(dataset: Path, choice: str, wanted: list[int]) -> None:
    assert values(read_arena(f"hub:{dataset}{choice}")) == wanted


@pytest.mark.parametrize(
    ("choice", "match"),
    [
        (":dev", "no split 'dev': it has 'train', 'test'"),
        ("/none", "no configuration 'none': it has 'main', 'more', 'shards'"),
        ("/more:test", "no split 'test': it has 'train'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(dataset: Path, choice: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_arena(f"hub:{dataset}{choice}")


def test_a_missing_part_is_a_bad_item(dataset: Path) -> None:
    (dataset / "data" / "train-00001-of-00003.parquet").unlink()
    arena = read_arena(dataset)
    assert [item.item for item in arena.bad] == ["data/train-00001-of-00003.parquet"]
    assert values(arena) == [*range(4), *range(8, 12), 20, 21, 22]


def test_a_spoilt_part_is_a_bad_item_and_the_rest_goes_on(dataset: Path) -> None:
    path = dataset / "data" / "train-00001-of-00003.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    arena = read_arena(dataset)
    assert [item.item for item in arena.bad] == ["data/train-00001-of-00003.parquet"]
    assert len(arena) == 11


def test_without_a_card_names_tell(tmp_path: Path) -> None:
    part(tmp_path / "default" / "train" / "0000.parquet", 2)
    part(tmp_path / "default" / "test" / "0000.parquet", 2, 5)
    assert values(read_arena(tmp_path)) == [0, 1, 5, 6]
    assert values(read_arena(f"hub:{tmp_path}/default:test")) == [5, 6]


def test_a_folder_of_images_with_metadata(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "x", "model": "m"}')
    arena = read_arena(f"hub:{tmp_path}")
    assert (arena.layout, values(arena)) == ("imagefolder", [1])


def test_a_card_cannot_lead_out_of_its_data_set(tmp_path: Path) -> None:
    part(tmp_path / "secret.parquet", 1)
    card(tmp_path / "set", "configs:\n- config_name: a\n  data_files: ../*.parquet\n")
    part(tmp_path / "set" / "x.parquet", 1)
    with pytest.raises(InputError, match="where its card says"):
        read_arena(f"hub:{tmp_path / 'set'}")
    card(tmp_path / "set", "configs:\n- config_name: a\n  data_files: https://e.x/a.parquet\n")
    with pytest.raises(InputError, match="is not fetched"):
        read_arena(tmp_path / "set")


NESTED = [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]\n" for at in range(1, 30)]
BOMB = "".join(["a0: &a0 [x]\n", *NESTED, "configs:\n- config_name: *a29\n"]) + (
    "  data_dir: *a29\n  data_files:\n  - path: [*a29]\n    split: *a29\n"
)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("configs: [\n", "is not YAML"),
        ("configs:\n- config_name: a\n  data_files: 7\n", "data_files that cannot be read"),
        ("configs:\n- {config_name: a, data_files: x/*}\n- {config_name: b, data_files: y}\n",
         "several configurations .'a', 'b'.: name one"),
        ("configs: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        (BOMB, "where its card says"),
    ],
)  # fmt: skip
def test_cards_that_cannot_be_used(tmp_path: Path, text: str, match: str) -> None:
    card(tmp_path, text)
    part(tmp_path / "a.parquet", 1)
    with pytest.raises(InputError, match=match):
        read_arena(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "loading.py").write_text("raise SystemExit\n")
    with pytest.raises(InputError, match="runs no scripts"):
        read_arena(f"hub:{tmp_path}:train")
    with pytest.raises(InputError, match="no such folder"):
        read_arena("hub:./not/there/at/all")
    for text in ("hub:", "hub:alone", "hub:a/b@", "hub:a b/c"):
        with pytest.raises(UsageError, match="names no data set"):
            read_arena(text)


def test_embeddings_in_the_hubs_layout_are_no_images(tmp_path: Path) -> None:
    card(tmp_path, "configs:\n- config_name: a\n  data_files: data/*\n")
    (tmp_path / "data").mkdir()
    vectors = pa.table({"image_id": ["a"], "embedding": [[0.5, 0.5]]})
    pq.write_table(vectors, tmp_path / "data" / "train.parquet")
    with pytest.raises(InputError, match="embedding store"):
        read_arena(tmp_path)


# ---------------------------------------------------------------- names


def test_names_of_data_sets() -> None:
    assert parse("hub:o/n") == Spec("o/n")
    assert parse("hub:o/n@v1/c:s") == Spec("o/n", None, "v1", "c", "s")
    assert parse("hub:o-1/n.2@refs%2Fpr%2F1:s") == Spec("o-1/n.2", None, "refs/pr/1", None, "s")
    assert parse("hub:o/n/c") == Spec("o/n", config="c")


@given(
    st.text("ab*?", min_size=1, max_size=6),
    st.text("ab/", min_size=1, max_size=6).filter(lambda name: "//" not in name),
)
def test_patterns_without_folders_match_as_fnmatch_does(pattern: str, name: str) -> None:
    if pattern == "**":
        return
    assert matches(pattern, name) == ("/" not in name and fnmatchcase(name, pattern))


def test_patterns_across_folders() -> None:
    assert matches("data/**", "data/a/b.parquet")
    assert matches("**/b.parquet", "b.parquet")
    assert matches("**/b.parquet", "a/c/b.parquet")
    assert matches("a/**/b/**/c", "a/x/b/b/y/c")
    assert not matches("a/**/b/**/c", "a/x/y/c")
    assert matches("./a/[0-9]*.x", "a/12.x")
    assert not matches("a/[!0-9]*.x", "a/12.x")
    assert not matches("data/*", "data/a/b.parquet")
    assert not matches("[z-a]", "z")


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
    assert not matches("*a" * 60 + "b", "a" * 250)
    assert not matches("**/" * 60 + "b", "a/" * 120 + "c")
    assert time.monotonic() - began < 5


LAYOUTS = [
    ["data/train-00000-of-00001.parquet", "data/dev_x-00000-of-00001.parquet", "other.parquet"],
    ["train/a.parquet", "test/b.parquet", "train/deep/c.parquet"],
    ["train-part.parquet", "my_validation.parquet", "x-test.parquet"],
    ["a.parquet", "sub/b.parquet"],
    ["evaluation/a.parquet", "strain.parquet"],
]


@pytest.mark.parametrize("names", LAYOUTS)
def test_splits_are_those_of_the_datasets_library(tmp_path: Path, names: list[str]) -> None:
    datasets = pytest.importorskip("datasets", reason="the oracle is of the extra hub")
    for at, name in enumerate(names):
        part(tmp_path / name, 1 + at)
    loaded = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / ".cache"))
    wanted = {split: rows.num_rows for split, rows in loaded.items()}
    chosen = {split: choose(names, None, split=split, name="x").files for split in wanted}
    found = {
        split: sum(pq.read_metadata(tmp_path / file).num_rows for file in files)
        for split, files in chosen.items()
    }
    assert found == wanted
    everything = choose(names, None, name="x").files
    assert sorted(everything) == sorted({file for files in chosen.values() for file in files})


def test_configurations_are_those_of_the_datasets_library(dataset: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the oracle is of the extra hub")
    (dataset / "dataset.py").unlink()
    for config in ("main", "more"):
        loaded = datasets.load_dataset(str(dataset), config, cache_dir=str(tmp_path / "cache"))
        for split, rows in loaded.items():
            arena = read_arena(f"hub:{dataset}/{config}:{split}")
            assert arena.images["prompt"].to_pylist() == rows["prompt"][:]


# ---------------------------------------------------------------- a Hub on loopback


@dataclass
class Hub:
    """A Hub on loopback: revisions of data sets, each a folder, by name and commit."""

    folders: dict[tuple[str, str], Path]
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def files(self, repo: str, revision: str) -> dict[str, Path] | None:
        folder = self.folders.get((repo, revision))
        if folder is None:
            return None
        return {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def answer(self, path: str) -> Any:
        """What is at an address: a file, a JSON value, or nothing."""
        if match := re.fullmatch(r"/datasets/(o/\w+)/resolve/([0-9a-f]{40})/(.+)", path):
            repo, commit, name = match.groups()
            return (self.files(repo, commit) or {}).get(name)
        if match := re.fullmatch(r"/api/datasets/(o/\w+)/tree/([0-9a-f]{40})", path):
            files = self.files(*match.groups()) or {}
            sizes = {name: file.stat().st_size for name, file in files.items()}
            return [
                {"type": "file", "path": name, "oid": "0", "size": size}
                for name, size in sizes.items()
            ]
        if match := re.fullmatch(r"/api/datasets/(o/\w+)(?:/revision/(.+))?", path):
            repo, revision = match[1], match[2] or "main"
            names = self.files(repo, revision)
            commit = OTHER if revision == "refs/convert/parquet" else COMMIT
            siblings = [{"rfilename": name} for name in names or ()]
            return None if names is None else {"id": repo, "sha": commit, "siblings": siblings}
        return None


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            found = hub.answer(path)
            if isinstance(found, Path):
                commit = path.split("/")[5]
                tag = f"{found.stat().st_size:08x}{commit[:32]}"
                self.answer(found.read_bytes(), {"ETag": f'"{tag}"', "X-Repo-Commit": commit})
            elif found is not None:
                self.tell(found)
            else:
                code = "RepoNotFound" if "unknown" in path else "RevisionNotFound"
                self.tell({"error": "not found"}, 404, {"X-Error-Code": code})

        def tell(self, value: Any, status: int = 200, more: dict[str, str] | None = None) -> None:
            kind = {"Content-Type": "application/json", **(more or {})}
            self.answer(json.dumps(value).encode(), kind, status)

        def answer(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    return Handler


@pytest.fixture
def hub(dataset: Path) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    scripted, converted = dataset.parent / "scripted", dataset.parent / "converted"
    scripted.mkdir()
    (scripted / "loading.py").write_text("raise SystemExit('a script of a data set was run')\n")
    part(converted / "default" / "train" / "0000.parquet", 5)
    part(converted / "default" / "test" / "0000.parquet", 2, 9)
    folders = {("o/n", name): dataset for name in ("main", COMMIT)}
    folders |= {("o/s", name): scripted for name in ("main", COMMIT)}
    folders |= {("o/s", name): converted for name in ("refs/convert/parquet", OTHER)}
    found = Hub(folders)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    server.daemon_threads = True
    found.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


LIST = """
import json, sys
from whodrew.arena import read_arena
from whodrew.errors import WhodrewError
from whodrew.arena import iter_bytes
try:
    arena = read_arena(sys.argv[1])
except WhodrewError as error:
    print(json.dumps({"error": str(error), "kind": type(error).__name__}))
else:
    read = sum(isinstance(data, bytes) for _, data in iter_bytes(arena.images))
    print(json.dumps({"images": len(arena), "read": read, "notes": arena.notes,
                      "bad": [item.item for item in arena.bad]}))
"""


def listed(source: str, home: Path, address: str, **more: str) -> dict[str, Any]:
    """Lists a data set in a process of its own, where the Hub is at ``address``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    kept = {name: value for name, value in kept.items() if "proxy" not in name.lower()}
    told = {"HF_HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", LIST, source],
        env={**kept, **told, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_fetched_once_then_from_the_cache_without_a_network(hub: Hub, tmp_path: Path) -> None:
    first = listed("hub:o/n:train", tmp_path / "hf", hub.address)
    assert (first.get("images"), first["read"], first["bad"]) == (12, 12, [])
    assert f"o/n at {COMMIT[:12]}" in first["notes"]
    fetched = [name.rsplit("/", 1)[1] for name in hub.asked if name.startswith("GET /datasets")]
    assert set(fetched) == {"README.md", *(f"train-{at:05}-of-00003.parquet" for at in range(3))}
    assert not any("dataset.py" in name for name in hub.asked)
    hub.asked.clear()
    offline = listed("hub:o/n:train", tmp_path / "hf", hub.address, HF_HUB_OFFLINE="1")
    assert (offline.get("images"), offline["read"]) == (12, 12)
    assert any("from the cache" in note and "OFFLINE" in note for note in offline["notes"])
    assert hub.asked == []
    closed = listed("hub:o/n:train", tmp_path / "hf", NOBODY)
    assert closed.get("images") == 12
    missing = listed("hub:o/n:test", tmp_path / "hf", NOBODY)
    assert "no split 'test'" in missing["error"]
    assert "as far as the cache holds it" in missing["error"]


@pytest.mark.parametrize("more", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_out_of_reach_is_one_plain_line_at_once(tmp_path: Path, more: dict[str, str]) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    began = time.monotonic()
    found = listed("hub:o/n", tmp_path, NOBODY, **more)
    assert found["kind"] == "InputError"
    assert "the Hub cannot be reached" in found["error"]
    assert "is not in its cache" in found["error"]
    assert "\n" not in found["error"]
    assert time.monotonic() - began < 60


def test_a_hub_that_never_answers_does_not_hang(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        found = listed("hub:o/n", tmp_path, address, HF_HUB_ETAG_TIMEOUT="1")
    assert "the Hub cannot be reached" in found["error"]
    assert time.monotonic() - began < 60


def test_a_data_set_of_a_script_is_read_from_the_hubs_own_copy(hub: Hub, tmp_path: Path) -> None:
    found = listed("hub:o/s", tmp_path, hub.address)
    assert (found.get("images"), found["read"]) == (7, 7)
    assert any("refs/convert/parquet" in note for note in found["notes"])
    assert not any("loading.py" in name for name in hub.asked)
    offline = listed("hub:o/s:test", tmp_path, NOBODY)
    assert offline.get("images") == 2


def test_what_the_hub_does_not_know(hub: Hub, tmp_path: Path) -> None:
    unknown = listed("hub:o/unknown", tmp_path, hub.address)
    assert "there is no data set o/unknown on the Hub, or it is private" in unknown["error"]
    revision = listed("hub:o/n@v9", tmp_path, hub.address)
    assert "o/n has no revision 'v9'" in revision["error"]


def test_without_the_extra_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card(tmp_path, CONFIGS)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'whodrew\[hub\]'"):
        read_arena("hub:o/n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'whodrew\[hub\]'"):
        read_arena(tmp_path)


def test_listing_imports_neither_hub_nor_datasets(tmp_path: Path) -> None:
    part(tmp_path / "data" / "train-00000-of-00001.parquet", 2)
    check = (
        "import sys; from whodrew.arena import read_arena; read_arena(sys.argv[1]); "
        "print([n for n in ('huggingface_hub', 'datasets', 'yaml', 'torch') if n in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", check, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
