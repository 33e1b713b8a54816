"""Preference sets: a battle is two images, and each image is one, however often it is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drawn import Shell
from shards import png
from test_arena_parquet import CountingFile, count_reads, pixel
from whodrew.arena import (
    BATTLES_SCHEMA,
    Arena,
    derive_prompt_id,
    image_id,
    iter_bytes,
    read_arena,
    read_battles,
)
from whodrew.errors import InputError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MODELS, PROMPTS, SEEDS = 4, 6, 2


def number(model: int, prompt: int, seed: int) -> int:
    return (prompt * MODELS + model) * SEEDS + seed


def battles(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for _ in range(count):
        prompt = int(rng.integers(PROMPTS))
        first, second = (int(at) for at in rng.permutation(MODELS)[:2])
        seeds = rng.integers(SEEDS, size=2).tolist()
        rows.append(
            {
                "prompt": f"a picture of {prompt}",
                "models": (first, second),
                "images": (number(first, prompt, seeds[0]), number(second, prompt, seeds[1])),
                "votes": tuple(rng.integers(20, size=2).tolist()),
            }
        )
    return rows


def rapidata(
    rows: list[dict[str, Any]],
    name: Callable[[int], str | None] = lambda at: f"{at}.png",
    data: Callable[[int], bytes] = png,
) -> pa.Table:
    columns: dict[str, Any] = {"prompt": [row["prompt"] for row in rows]}
    for side in (0, 1):
        images = [row["images"][side] for row in rows]
        columns[f"image{side + 1}"] = pa.array(
            [{"bytes": data(at), "path": name(at)} for at in images], STRUCT
        )
        columns[f"model{side + 1}"] = [f"m{row['models'][side]}" for row in rows]
        columns[f"votes_image{side + 1}"] = [row["votes"][side] for row in rows]
    return pa.table(columns)


def check(arena: Arena, rows: list[dict[str, Any]]) -> None:
    """Each distinct image is there once, under its own labels."""
    wanted = {}
    for row in rows:
        for model, image in zip(row["models"], row["images"], strict=True):
            wanted[image] = (f"m{model}", derive_prompt_id(row["prompt"]), row["prompt"])
    labels = arena.images.select(["model", "prompt_id", "prompt"]).to_pylist()
    found = {}
    for at, data in iter_bytes(arena.images):
        image = pixel(data)
        assert image not in found
        found[image] = tuple(labels[at].values())
    assert found == wanted
    assert arena.bad == ()


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        (lambda at: f"{at}.png", False),
        (lambda at: f"dir{at % 2}/{at // 2}.jpg", False),
        (lambda at: None, True),
        (lambda at: "image.png", True),
        (lambda at: f"{at % (MODELS * SEEDS)}.png", True),  # numbered anew for each prompt
    ],
)
def test_an_image_shown_in_many_battles_is_one_image(
    tmp_path: Path, name: Callable[[int], str | None], hashed: bool
) -> None:
    rows = battles(120, np.random.default_rng(0))
    pq.write_table(rapidata(rows[:70], name), tmp_path / "a-0.parquet", row_group_size=16)
    pq.write_table(rapidata(rows[70:], name), tmp_path / "a-1.parquet", row_group_size=16)
    arena = read_arena(tmp_path)
    check(arena, rows)
    assert arena.layout == "preferences"
    shown = 240 - len(arena)
    said = f"120 battles, {len(arena)} images, shown again and listed once {shown} times"
    assert f"read as a preference set (rapidata): {said}" in arena.notes[0]
    assert any("all were read" in note for note in arena.notes) == hashed


def test_one_path_for_two_images_of_a_cell_is_noticed(tmp_path: Path) -> None:
    rows = battles(60, np.random.default_rng(1))
    table = rapidata(rows, lambda at: f"{at // SEEDS}.png")  # both seeds under one name
    pq.write_table(table, tmp_path / "a.parquet")
    check(read_arena(tmp_path / "a.parquet"), rows)


def test_battles_name_the_images_of_the_arena(tmp_path: Path) -> None:
    rows = battles(5000, np.random.default_rng(2))
    for name in (lambda at: f"{at}.png", lambda at: None):
        pq.write_table(rapidata(rows, name), tmp_path / "a.parquet", row_group_size=1000)
        arena = read_arena(tmp_path)
        keys = zip(
            *(arena.images[key].to_pylist() for key in ("prompt_id", "model", "seed")), strict=True
        )
        read = {at: pixel(data) for at, data in iter_bytes(arena.images)}
        image = {key: read[at] for at, key in enumerate(keys)}
        batches = list(read_battles(tmp_path))
        assert all(batch.schema == BATTLES_SCHEMA for batch in batches)
        found = [row for batch in batches for row in batch.to_pylist()]
        assert len(found) == len(rows)
        for row, wanted in zip(found, rows, strict=True):
            prompt = row["prompt_id"]
            shown = tuple(image[prompt, row[f"model{n}"], row[f"seed{n}"]] for n in (1, 2))
            assert shown == wanted["images"]
            assert (row["votes1"], row["votes2"]) == wanted["votes"]


def test_other_columns_of_votes_and_paths(tmp_path: Path) -> None:
    table = rapidata(battles(10, np.random.default_rng(0)), lambda at: None)
    names = {
        "votes_image1": "weighted_results_image1_preference",
        "votes_image2": "weighted_results_image2_preference",
    }
    table = table.rename_columns([names.get(name, name) for name in table.column_names])
    for side in (1, 2):
        paths = [f"x/{pixel(cell['bytes'])}.jpg" for cell in table[f"image{side}"].to_pylist()]
        table = table.append_column(f"image{side}_path", pa.array(paths))
    pq.write_table(table, tmp_path / "a.parquet")
    arena = read_arena(tmp_path)
    assert not any("all were read" in note for note in arena.notes)
    assert arena.images["seed"][0].as_py().startswith("x/")
    (batch,) = read_battles(tmp_path)
    assert batch["votes1"].null_count == 0


def test_pick_a_pic(tmp_path: Path) -> None:
    table = pa.table(
        {
            "caption": ["a", "a"],
            "jpg_0": [png(1), png(2)],
            "jpg_1": [png(2), png(3)],
            "image_0_uid": ["u1", "u2"],
            "image_1_uid": ["u2", "u3"],
            "model_0": ["x", "y"],
            "model_1": ["y", "x"],
            "label_0": [1.0, 0.5],
            "label_1": [0.0, 0.5],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    arena = read_arena(tmp_path)
    assert arena.images.select(["model", "seed"]).to_pylist() == [
        {"model": "x", "seed": "u1"},
        {"model": "y", "seed": "u2"},
        {"model": "x", "seed": "u3"},
    ]
    assert [pixel(data) for _, data in sorted(iter_bytes(arena.images))] == [1, 2, 3]
    (batch,) = read_battles(tmp_path)
    assert batch["votes1"].to_pylist() == [1.0, 0.5]


def test_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    rows = battles(3, np.random.default_rng(0))
    table = rapidata(rows).to_pylist()
    table[0]["image1"] = {"bytes": None, "path": "x.png"}
    table[1]["prompt"] = None
    for name in (None, "x.png"):  # by path, and by the bytes
        table[2]["image1"]["path"] = name
        pq.write_table(pa.Table.from_pylist(table, rapidata(rows).schema), tmp_path / "a.parquet")
        arena = read_arena(tmp_path)
        found = {item.item: item.reason for item in arena.bad}
        assert found == {
            "a.parquet, row 0, image 1": "no bytes",
            "a.parquet, row 1, image 1": "neither a prompt_id nor a prompt",
            "a.parquet, row 1, image 2": "neither a prompt_id nor a prompt",
        }
        assert len(arena) == 3
        (batch,) = read_battles(tmp_path)
        assert batch["seed1"].to_pylist()[0] is None
        assert batch.num_rows == 2


def test_what_is_no_preference_set(tmp_path: Path) -> None:
    table = rapidata(battles(3, np.random.default_rng(0)))
    pq.write_table(table.drop_columns(["prompt"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="names no prompts"):
        read_arena(tmp_path)
    arena = read_arena(tmp_path / "a.parquet", columns={"prompt": "model2"})
    assert arena.layout == "preferences"
    single = {"image": "image2", "model": "model2", "prompt": "model1"}
    assert read_arena(tmp_path / "a.parquet", columns=single).layout == "parquet"
    with pytest.raises(InputError, match="no column 'zz' for prompt"):
        read_arena(tmp_path / "a.parquet", columns={"prompt": "zz"})
    for source in (tmp_path / "a.parquet", tmp_path):
        with pytest.raises(InputError, match="no preference set"):
            list(read_battles(source, columns=single))
    (tmp_path / "x.csv").write_text("path,prompt\n")
    with pytest.raises(InputError, match="no preference set"):
        list(read_battles(tmp_path / "x.csv"))


def test_a_part_of_another_kind_is_a_bad_item(tmp_path: Path) -> None:
    rows = battles(4, np.random.default_rng(0))
    pq.write_table(rapidata(rows), tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": [png(1)], "prompt": ["p"]}), tmp_path / "b.parquet")
    arena = read_arena(tmp_path)
    assert [item.item for item in arena.bad] == ["b.parquet"]
    assert "not the columns of the other parts" in arena.bad[0].reason


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 40),
    group=st.integers(1, 20),
    known=st.sampled_from(["paths", "nothing", "some"]),
)
def test_any_set_is_read_alike_however_it_is_stored(
    tmp_path: Path, seed: int, count: int, group: int, known: str
) -> None:
    rows = battles(count, np.random.default_rng(seed))

    def name(at: int) -> str | None:
        return f"{at}" if known == "paths" or (known == "some" and at % 2) else None

    pq.write_table(rapidata(rows, name), tmp_path / "a.parquet", row_group_size=group)
    check(read_arena(tmp_path / "a.parquet"), rows)


# ---------------------------------------------------------------- what is read and held


def heavy(at: int) -> bytes:
    return np.random.default_rng(at).bytes(50_000)


def test_listing_reads_the_images_of_one_row_group_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = battles(400, np.random.default_rng(0))
    path = tmp_path / "a.parquet"
    table = rapidata(rows, data=heavy)
    pq.write_table(table, path, row_group_size=10, compression="none", use_dictionary=False)
    del table
    size = path.stat().st_size
    assert size > 40_000_000
    count_reads(monkeypatch)
    arena = read_arena(path)
    assert len(arena) == MODELS * PROMPTS * SEEDS
    assert CountingFile.read_bytes < size / 20
    CountingFile.read_bytes = 0
    some = arena.images.slice(0, 3)
    assert len(list(iter_bytes(some))) == 3
    assert CountingFile.read_bytes < size / 20


def test_hashing_holds_one_batch_of_images(tmp_path: Path) -> None:
    rows = battles(300, np.random.default_rng(0))
    path = tmp_path / "a.parquet"
    table = rapidata(rows, lambda at: None, heavy)
    pq.write_table(table, path, row_group_size=20, compression="none", use_dictionary=False)
    del table
    pool = pa.default_memory_pool()
    before, worst = pool.bytes_allocated(), 0

    def watched(data: bytes) -> str:
        nonlocal worst
        worst = max(worst, pool.bytes_allocated() - before)
        return image_id(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whodrew.arena.pairs.image_id", watched)
        arena = read_arena(path)
    assert len(arena) == MODELS * PROMPTS * SEEDS
    assert 0 < worst < 10_000_000  # of 30 MB


def test_a_set_can_be_embedded_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = battles(40, np.random.default_rng(0))
    pq.write_table(rapidata(rows), tmp_path / "a.parquet", row_group_size=8)
    run = Shell(capsys)
    done = run("embed", tmp_path / "a.parquet", "--store", tmp_path / "store", "--json", "-")
    distinct = len({image for row in rows for image in row["images"]})
    assert (done.code, done.json["images"]) == (0, distinct)
    assert "read as a preference set (rapidata)" in done.err
    again = run("embed", tmp_path / "a.parquet", "--store", tmp_path / "store", "--json", "-")
    assert (again.json["encoded"], again.json["reused"]) == (0, distinct)
