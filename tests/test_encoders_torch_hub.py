"""Models by their name on the Hub: the cache, a Hub that answers, and Hubs that do not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test_encoders_torch_tools import images, make_clip
from whodrew.encoders.registry import get_encoder
from whodrew.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"clip": make_clip(tmp_path_factory.mktemp("made") / "clip")}


@pytest.fixture
def folder(tmp_path: Path, made: dict[str, Path]) -> Path:
    return Path(shutil.copytree(made["clip"], tmp_path / "clip"))


def cache(home: Path, source: Path, repo: str = "owner/name", ref: str = "main") -> Path:
    """Lays a folder out as the Hub's cache does."""
    root = home / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / COMMIT
    shutil.copytree(source, snapshot)
    (root / "refs").mkdir()
    (root / "refs" / ref).write_text(COMMIT)
    return snapshot


def in_fresh_process(home: Path, *names: str, **variables: str) -> tuple[list[str], float]:
    """Looks for weights in an interpreter that reads its environment anew; seconds in all."""
    code = (
        "import sys, time\n"
        "from whodrew.encoders.neural.weights import find_weights\n"
        "from whodrew.errors import WhodrewError\n"
        "import huggingface_hub\n"
        "began = time.monotonic()\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(find_weights(*name.split(':', 1)).revision)\n"
        "    except WhodrewError as error: print('refused:', error)\n"
        "print(time.monotonic() - began)\n"
    )
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **variables,
    }
    ran = subprocess.run(
        [sys.executable, "-c", code, *names],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    *said, seconds = ran.stdout.strip().splitlines()
    return said, float(seconds)


def closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A Hub that takes connections and never says a word."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                kept.append(server.accept()[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()
    for one in kept:
        one.close()


class FakeHub(BaseHTTPRequestHandler):
    """Answers as the Hub does for one model, until it is told to fall silent."""

    folder: Path
    silent = ""
    asked: list[str]

    def _answer(self, body: bytes, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if self.silent and f"{self.command} {path}".startswith(self.silent):
            time.sleep(120)
        files = sorted(file for file in self.folder.iterdir() if file.is_file())
        if path.startswith("/api/models/owner/name/tree/"):
            tree = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name}
                for f in files
            ]
            self._answer(json.dumps(tree).encode(), Content_Type="application/json")
        elif path.startswith("/api/models/owner/name"):
            info = {"id": "owner/name", "sha": COMMIT}
            info["siblings"] = [{"rfilename": file.name} for file in files]  # type: ignore[assignment]
            self._answer(json.dumps(info).encode(), Content_Type="application/json")
        elif path.startswith("/owner/name/resolve/"):
            data = (self.folder / path.rpartition("/")[2]).read_bytes()
            tag = f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"'
            self._answer(data, ETag=tag, X_Repo_Commit=COMMIT)
        else:
            self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - its name there

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def fake_hub(folder: Path) -> Iterator[tuple[str, type[FakeHub]]]:
    kind = type("Hub", (FakeHub,), {"folder": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_once_and_then_needs_no_hub(
    tmp_path: Path, fake_hub: tuple[str, type[FakeHub]]
) -> None:
    address, hub = fake_hub
    (hub.folder / "pytorch_model.bin").write_bytes(b"not wanted")
    said, _ = in_fresh_process(tmp_path, "clip:owner/name", HF_ENDPOINT=address)
    assert said == [COMMIT]
    assert not [path for path in hub.asked if path.endswith(".bin")]
    said, _ = in_fresh_process(tmp_path, "clip:owner/name", HF_HUB_OFFLINE="1")
    assert said == [COMMIT]


def test_a_model_of_the_hub_that_is_only_pickled_is_not_fetched(
    tmp_path: Path, fake_hub: tuple[str, type[FakeHub]]
) -> None:
    address, hub = fake_hub
    (hub.folder / "model.safetensors").rename(hub.folder / "pytorch_model.bin")
    (said,), _ = in_fresh_process(tmp_path, "clip:owner/name", HF_ENDPOINT=address)
    assert "pickled weights are not read" in said
    assert not [path for path in hub.asked if "/resolve/" in path]


@pytest.mark.parametrize("at", ["HEAD /owner/name/resolve", "GET /owner/name/resolve"])
def test_a_hub_that_falls_silent_is_given_up(
    tmp_path: Path, fake_hub: tuple[str, type[FakeHub]], at: str
) -> None:
    address, hub = fake_hub
    hub.silent = at
    (said,), seconds = in_fresh_process(
        tmp_path, "clip:owner/name", HF_ENDPOINT=address, HF_HUB_DOWNLOAD_TIMEOUT="1"
    )
    assert "fetching it failed" in said
    assert seconds < 60


def test_offline_takes_the_cache_and_pins_its_commit(tmp_path: Path, made: dict[str, Path]) -> None:
    cache(tmp_path, made["clip"])
    names = ("clip:owner/name", "clip:owner/name@main", f"clip:owner/name@{COMMIT}")
    said, seconds = in_fresh_process(tmp_path, *names, HF_HUB_OFFLINE="1")
    assert said == [COMMIT] * 3
    assert seconds < 10


def test_a_model_of_the_hubs_cache_encodes_as_its_folder_does(
    tmp_path: Path, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = cache(tmp_path, made["clip"])
    (snapshot / "README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WHODREW_DTYPE", "float32")
    encoder = get_encoder("clip:owner/name@main")
    card = encoder.card
    assert (card.name, card.revision, card.licence) == ("clip:owner/name@main", COMMIT, "MIT")
    expected = get_encoder(f"clip:{made['clip']}").encode(images())
    np.testing.assert_allclose(encoder.encode(images()), expected, atol=1e-6)
    with pytest.raises(InputError, match="are not on this machine"):
        get_encoder("clip:owner/name@v2")


def test_offline_without_the_weights_says_how_to_get_them(tmp_path: Path) -> None:
    (said,), seconds = in_fresh_process(tmp_path, "clip:owner/name@v2", HF_HUB_OFFLINE="1")
    assert said == (
        "refused: the weights of clip:owner/name@v2 are not on this machine, and the network is "
        "switched off by HF_HUB_OFFLINE: where there is a network, run "
        "'hf download owner/name --revision v2', or give a folder that holds them, "
        "clip:/path/to/folder"
    )
    assert seconds < 5


def test_a_cache_that_holds_half_the_model_is_no_model(
    tmp_path: Path, made: dict[str, Path]
) -> None:
    (cache(tmp_path, made["clip"]) / "model.safetensors").unlink()
    (said,), _ = in_fresh_process(tmp_path, "clip:owner/name", HF_HUB_OFFLINE="1")
    assert "are not on this machine" in said


def test_a_hub_that_is_not_there_is_given_up_quickly(tmp_path: Path) -> None:
    (said,), seconds = in_fresh_process(tmp_path, "clip:owner/name", HF_ENDPOINT=closed_port())
    assert "the Hub cannot be reached" in said
    assert "hf download owner/name" in said
    assert seconds < 15


def test_a_hub_that_never_answers_is_given_up_too(tmp_path: Path, silent_server: str) -> None:
    (said,), seconds = in_fresh_process(tmp_path, "clip:owner/name", HF_ENDPOINT=silent_server)
    assert "the Hub cannot be reached" in said
    assert seconds < 30


def test_what_is_in_the_cache_needs_no_hub(
    tmp_path: Path, made: dict[str, Path], silent_server: str
) -> None:
    cache(tmp_path, made["clip"])
    (said,), seconds = in_fresh_process(tmp_path, "clip:owner/name", HF_ENDPOINT=silent_server)
    assert said == COMMIT
    assert seconds < 10
