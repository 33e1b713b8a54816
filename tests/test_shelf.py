"""Vectors on disk equal those in memory, and leave nothing behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whodrew.embed import shelf as shelves
from whodrew.embed.scratch import memory_budget
from whodrew.embed.shelf import Indexed, Scaled, Shelf, chosen_rows, single
from whodrew.errors import InputError, UsageError

ROWS, WIDTH = 60, 5


def shelved(
    folder: Path, dtype: Any = np.float32, seed: int = 0, **options: Any
) -> tuple[Shelf, npt.NDArray[np.float32]]:
    """A shelf written in shuffled pieces, and what it should hold."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, WIDTH)).astype(dtype)
    shelf = Shelf.create(folder, (ROWS, WIDTH), dtype, **options)
    order = rng.permutation(ROWS)
    for places in np.array_split(order, 7):
        shelf.write(places, matrix[places])
    return shelf, matrix.astype(np.float32)


KEYS = st.one_of(
    st.slices(ROWS),
    hnp.arrays(np.int64, st.integers(0, 90), elements=st.integers(-ROWS, ROWS - 1)),
    hnp.arrays(np.int32, st.integers(0, 90), elements=st.integers(0, ROWS - 1)),
    hnp.arrays(np.bool_, ROWS),
)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("chunk", [3, 4096])
def test_a_shelf_equals_the_matrix(
    tmp_path: Path, dtype: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "_CHUNK", chunk)
    shelf, matrix = shelved(tmp_path, dtype)
    index = np.random.default_rng(1).permutation(ROWS)[:40]
    some = Indexed(shelf, index)
    mean, deviation = matrix.mean(axis=0, dtype=np.float64), np.array([1.0, 2.0, np.inf, 0.5, 3.0])
    moved = ((matrix - mean) / deviation).astype(np.float32)

    @settings(max_examples=150, deadline=None)
    @given(key=KEYS)
    def check(key: Any) -> None:
        expected = matrix[key]
        for got in (shelf[key], Indexed(shelf, np.arange(ROWS))[key]):
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(shelf.scaled(mean, deviation)[key], moved[key])

    check()
    assert (len(shelf), shelf.shape) == (ROWS, (ROWS, WIDTH))
    assert shelf.nbytes == ROWS * WIDTH * np.dtype(dtype).itemsize
    assert some.shape == (40, WIDTH)
    np.testing.assert_array_equal(some[5:20], matrix[index][5:20])
    np.testing.assert_array_equal(Indexed(some, np.array([3, 1]))[:], matrix[index][[3, 1]])
    np.testing.assert_array_equal(Scaled(some, mean, deviation)[::3], moved[index][::3])
    assert isinstance(chosen_rows(shelf, index), Indexed)
    assert isinstance(chosen_rows(matrix, index), np.ndarray)


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    shelf, _ = shelved(tmp_path)
    for key in (np.array([ROWS]), np.array([-ROWS - 1]), np.ones(3, bool), np.array([0.5]), 3):
        with pytest.raises(IndexError):
            shelf[key]  # type: ignore[index]


def test_rows_without_a_place_are_left_out(tmp_path: Path) -> None:
    shelf = Shelf.create(tmp_path, (2, 3), np.float32)
    shelf.write(np.array([-1, 1, -2, 0]), np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(shelf[:], [[9, 10, 11], [3, 4, 5]])
    shelf.write(np.array([-1]), np.zeros((1, 3)))
    assert Shelf.create(tmp_path, (0, 3), np.float16)[:].shape == (0, 3)


def test_half_precision_is_widened_exactly() -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)].reshape(-1, 8)
    wide = single(every)
    np.testing.assert_array_equal(wide.view(np.uint32), every.astype(np.float32).view(np.uint32))
    np.testing.assert_array_equal(single(every[::3]), every[::3].astype(np.float32))
    assert single(wide) is wide


def test_threads_read_side_by_side(tmp_path: Path) -> None:
    shelf, matrix = shelved(tmp_path)
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            rows = rng.integers(0, ROWS, 9)
            if not np.array_equal(shelf[rows], matrix[rows]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_private_file_has_no_name_and_is_not_pickled(tmp_path: Path) -> None:
    shelf, _ = shelved(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError, match="create it shared"):
        pickle.dumps(shelf)


def test_a_shared_file_is_read_by_others_and_goes_with_its_maker(tmp_path: Path) -> None:
    shelf, matrix = shelved(tmp_path, np.float16, shared=True)
    other = pickle.loads(pickle.dumps(shelf))  # noqa: S301 - our own
    np.testing.assert_array_equal(other[10:20], matrix[10:20])
    other.close()
    assert len(list(tmp_path.iterdir())) == 1
    with shelf:
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot open the scratch file"):
        pickle.loads(pickle.dumps(shelf))  # noqa: S301 - our own
    forgotten, _ = shelved(tmp_path, shared=True)
    del forgotten
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_is_left_after_an_interruption(tmp_path: Path, shared: bool) -> None:
    code = (
        "import sys, time; from pathlib import Path; from whodrew.embed.shelf import Shelf\n"
        f"shelf = Shelf.create(Path(sys.argv[1]), (9, 9), 'float32', shared={shared})\n"
        "print('made', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"made\n"
        assert len(list(tmp_path.iterdir())) == shared
        child.send_signal(signal.SIGINT)
        child.wait(timeout=30)
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_leaves_the_file_to_its_maker(tmp_path: Path) -> None:
    shelf, matrix = shelved(tmp_path, shared=True)
    if (child := os.fork()) == 0:
        shelf.close()
        os._exit(0)
    os.waitpid(child, 0)
    np.testing.assert_array_equal(shelf[:], matrix)
    assert len(list(tmp_path.iterdir())) == 1
    shelf.close()


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs \d+\.\d GB of scratch space .* free some"):
        Shelf.create(tmp_path, (10**12, 10**3), np.float32)
    with pytest.raises(InputError, match="cannot write to"):
        Shelf.create(tmp_path / "gone", (1, 1), np.float32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_is_said(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "x", (4, 4), "float32", os.open("/dev/full", os.O_RDWR), shared=False)
    with pytest.raises(InputError, match="scratch space"):
        shelf.write(np.arange(4), np.zeros((4, 4), np.float32))


def test_a_file_cut_short_is_said(tmp_path: Path) -> None:
    shelf, _ = shelved(tmp_path, shared=True)
    os.truncate(shelf.file, 8)
    with pytest.raises(InputError, match="cut short"):
        shelf[:]


def test_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHODREW_MEMORY", raising=False)
    assert memory_budget() == 1 << 28
    monkeypatch.setenv("WHODREW_MEMORY", "1.5")
    assert memory_budget() == 3 << 19
    monkeypatch.setenv("WHODREW_MEMORY", "0")
    assert memory_budget() == 0
    for text in ("lots", "-1", "inf", "nan"):
        monkeypatch.setenv("WHODREW_MEMORY", text)
        with pytest.raises(UsageError, match="WHODREW_MEMORY is"):
            memory_budget()
