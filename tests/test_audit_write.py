"""Scratch folders: gone afterwards, whatever happened, and after a kill at the next run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from whodrew.audit.write import scratch_folder
from whodrew.errors import InputError


def test_scratch_is_gone_afterwards_errors_or_not(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "vectors").write_bytes(b"x")
        assert folder.parent == tmp_path
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see who is alive")
def test_what_a_killed_audit_left_is_swept_and_a_living_one_is_let_be(tmp_path: Path) -> None:
    dead, alive, other = (
        tmp_path / name for name in (".scratch-999999999-a", f".scratch-{os.getpid()}-b", "mine")
    )
    for folder in (dead, alive, other):
        folder.mkdir()
        (folder / "file").write_text("x")
    with scratch_folder(tmp_path):
        assert not dead.exists()
    assert (alive / "file").exists()
    assert (other / "file").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"), scratch_folder(tmp_path / "nowhere"):
        pass
