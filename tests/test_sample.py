"""The sample arena: the same bytes each time, the layout and containers that it declares."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whodrew.arena import sample
from whodrew.arena.sample import (
    BUILT_IN_LEAKS,
    GENERATIONS,
    MARKER,
    MODELS,
    PROMPTS,
    draw_image,
    draw_sample,
)
from whodrew.errors import InputError

SOFTWARE = 0x0131


def opened(data: bytes) -> Image.Image:
    """The picture in a file's bytes, decoded."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of three models, two prompts and two generations."""
    names = ("marlow-1", "dewpond-xl", "cuttlebone")
    monkeypatch.setattr(sample, "MODELS", {name: MODELS[name] for name in names})
    monkeypatch.setattr(sample, "PROMPTS", PROMPTS[:2])
    monkeypatch.setattr(sample, "GENERATIONS", 2)


def files(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path in it."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def test_the_same_picture_has_the_same_bytes_in_any_process() -> None:
    tasks = [(model, PROMPTS[index % len(PROMPTS)].prompt_id) for index, model in enumerate(MODELS)]
    here = [draw_image(model, prompt, 1) for model, prompt in tasks]
    again = [draw_image(model, prompt, 1) for model, prompt in reversed(tasks)][::-1]
    assert here == again
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        elsewhere = list(pool.map(draw_image, *zip(*tasks[:5], strict=True), [1] * 5))
    assert elsewhere == here[:5]


def test_another_seed_draws_another_picture() -> None:
    assert draw_image("marlow-1", "cat", 0, 0) != draw_image("marlow-1", "cat", 0, 1)


@pytest.mark.usefixtures("few")
def test_worker_count_and_repetition_change_nothing(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = draw_sample(
        tmp_path / "one", workers=1, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(done, 12) for done in range(1, 13)]
    assert (summary.models, summary.prompts, summary.generations, summary.images) == (3, 2, 2, 12)
    draw_sample(tmp_path / "two", workers=2)
    first = files(tmp_path / "one")
    assert files(tmp_path / "two") == first

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.*")}
    draw_sample(tmp_path / "one", workers=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.*")} == written

    (tmp_path / "one" / "marlow-1" / PROMPTS[0].prompt_id / "1.jpg").unlink()
    draw_sample(tmp_path / "one", workers=1)
    assert files(tmp_path / "one") == first


@pytest.mark.usefixtures("few")
def test_layout_and_tables(tmp_path: Path) -> None:
    draw_sample(tmp_path, workers=1, seed=3)
    found = set(files(tmp_path))
    images = {
        f"{model}/{prompt.prompt_id}/{generation}.{MODELS[model].container.extension}"
        for model in sample.MODELS
        for prompt in sample.PROMPTS
        for generation in range(2)
    }
    assert found == images | {
        "prompts.csv",
        "models.csv",
        "votes.parquet",
        "README.txt",
        MARKER,
    }
    assert json.loads((tmp_path / MARKER).read_text())["seed"] == 3
    with (tmp_path / "prompts.csv").open(encoding="utf-8", newline="") as handle:
        prompts = list(csv.DictReader(handle))
    assert [(row["prompt_id"], row["prompt"], row["category"]) for row in prompts] == [
        (prompt.prompt_id, prompt.text, prompt.category) for prompt in PROMPTS[:2]
    ]
    with (tmp_path / "models.csv").open(encoding="utf-8", newline="") as handle:
        models = list(csv.DictReader(handle))
    assert [row["model"] for row in models] == list(sample.MODELS)
    assert "SYNTHETIC" in (tmp_path / "README.txt").read_text(encoding="utf-8")


def test_the_arena_is_large_enough_to_audit() -> None:
    assert len(MODELS) == 10
    assert len(PROMPTS) == len({prompt.text for prompt in PROMPTS}) == 16
    assert GENERATIONS == 4
    assert MODELS["marlow-1"].family == MODELS["marlow-1-turbo"].family
    for model in MODELS.values():
        assert sum(share for _, share in model.styles) == pytest.approx(1)


@pytest.mark.parametrize("name", list(MODELS))
def test_containers_are_as_declared(name: str) -> None:
    container = MODELS[name].container
    image = opened(draw_image(name, "pears", 0))
    assert image.format == container.format
    assert image.size == (container.width, container.height)
    assert image.mode == "RGB"
    leaks = " ".join(BUILT_IN_LEAKS[name])
    assert ("parameters" in image.info) == container.parameters == ("parameters" in leaks)
    assert ("icc_profile" in image.info) == container.profile == ("ICC" in leaks)
    assert (image.getexif().get(SOFTWARE) or "") == container.software
    assert bool(container.software) == ("EXIF" in leaks)
    assert (image.size != (320, 320)) == ("size" in leaks)


def test_some_models_share_one_container() -> None:
    common = [name for name, leaks in BUILT_IN_LEAKS.items() if not leaks]
    assert len(common) >= 4
    assert len({MODELS[name].container for name in common}) == 1
    looks = set()
    for name in common:
        image = opened(draw_image(name, "pears", 0))
        tables = json.dumps({key: list(table) for key, table in image.quantization.items()})  # type: ignore[attr-defined]
        looks.add((image.format, image.size, tables, tuple(sorted(image.info))))
    assert len(looks) == 1


def test_every_picture_differs_from_every_other() -> None:
    drawn = [
        draw_image(model, prompt.prompt_id, generation)
        for model in ("marlow-1", "marlow-1-turbo")
        for prompt in PROMPTS[:8]
        for generation in range(2)
    ]
    pixels = [np.asarray(opened(data)).astype(np.int16) for data in drawn]
    for index, first in enumerate(pixels):
        assert first.std() > 10
        for second in pixels[:index]:
            assert np.abs(first - second).mean() > 2


def test_a_directory_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="empty directory"):
        draw_sample(tmp_path)
    assert files(tmp_path) == {"thesis.txt": b"mine"}
    with pytest.raises(InputError, match="empty directory"):
        draw_sample(tmp_path / "thesis.txt")


def test_a_sample_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(json.dumps({"version": 0, "seed": 0, "complete": True}))
    with pytest.raises(InputError, match="version 0"):
        draw_sample(tmp_path)
