"""Fixtures that every test may ask for: corpora, the sample arena, a browser."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

# Before numpy is imported: each of the parallel workers has one core to itself.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_variable, "1")
# No library reports its use from a test.
os.environ.setdefault("DO_NOT_TRACK", "true")

import pytest
from filelock import FileLock
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
CORPORA = ROOT.parent / "shared" / "corpora"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Machines are shared, and a failure must be one that can be had again.
settings.register_profile("whodrew", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("whodrew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need corpora or a browser, by the fixtures they ask for."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "corpora" in names:
            item.add_marker(pytest.mark.corpora)
        if "chromium" in names:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(autouse=True)
def _no_whodrew_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of the person who runs the tests do not reach them."""
    for name in [name for name in os.environ if name.startswith("WHODREW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real images; tests that ask for it are skipped where there is none."""
    if not CORPORA.is_dir():
        pytest.skip("needs the corpora of real images in ../shared/corpora")
    return CORPORA


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a system Chromium, for playwright's ``executable_path``."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all parallel workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, name: str, make: Any) -> Path:
    """Returns ``folder/name``, made by ``make(path)`` in whichever worker comes first."""
    path = folder / name
    with FileLock(folder / f"{name}.lock"):
        if not path.exists():
            unfinished = folder / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(path)
    return path


@pytest.fixture(scope="session")
def sample_arena(shared_folder: Path) -> Path:
    """The sample arena, drawn once a run. Read it; do not write into it."""
    from whodrew.arena.sample import draw_sample

    return made_once(shared_folder, "sample-arena", draw_sample)
