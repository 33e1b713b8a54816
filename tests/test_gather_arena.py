"""An arena gathered with its vectors on a shelf is what it is with all of them in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import whodrew
from drawn import draw, save
from whodrew.arena import Arena, read_arena
from whodrew.audit import joined
from whodrew.audit.gather import Gathered, gather
from whodrew.audit.joined import gather_arena
from whodrew.embed import embed, open_store
from whodrew.embed.shelf import Indexed, Shelf
from whodrew.embed.store import Store
from whodrew.encoders.base import EncoderCard, Pixels, Vectors
from whodrew.errors import InputError

SIDE = 6
#: Red of images whose vector is to be too large.
LARGE = 250


class Pixelwise:
    """The first pixels of an image as they are; one colour is given a vector too large."""

    batch_size = 4

    def __init__(self, dtype: Any = "float32") -> None:
        self.card = EncoderCard("pixelwise", "1", 12, "unit", "none", dtype)

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        found = np.stack([image.reshape(-1)[:12].astype(np.float32) for image in images])
        found[found[:, 0] == LARGE] *= 1e14
        return found


def painted(folder: Path) -> Path:
    """Writes a manifest of images of all sorts, in an order of its own."""
    rng = np.random.default_rng(5)
    rows = []
    for at in range(60):
        file = save(folder / f"{at:03d}.png", rng.integers(0, 240, (SIDE, SIDE, 3), np.uint8))
        rows.append((str(file), f"m{at % 4}" if at % 7 else None, f"p{at % 5}", str(at // 20)))
    for at in (3, 11, 27):  # the same bytes under another name
        twin = folder / f"twin{at}.png"
        twin.write_bytes((folder / f"{at:03d}.png").read_bytes())
        rows.append((str(twin), "m1", "p9", str(at)))
    for at in range(3):
        colour = np.full((SIDE, SIDE, 3), LARGE, np.uint8)
        colour[1:] = at
        file = save(folder / f"large{at}.png", colour)
        rows.append((str(file), "m2", "p1", f"large{at}"))
    (folder / "broken.png").write_text("not an image")
    rows.append((str(folder / "broken.png"), "m2", "p2", "broken"))
    rows = [rows[at] for at in rng.permutation(len(rows))]
    columns = zip(*rows, strict=True)
    names = ("path", "model", "prompt_id", "seed")
    table = pa.table(
        {name: pa.array(c, pa.string()) for name, c in zip(names, columns, strict=True)}
    )
    pq.write_table(table, folder / "arena.parquet")
    return folder / "arena.parquet"


def listed_again(arena: Arena) -> Arena:
    """The arena with three of its files a second time, for other prompts and none."""
    rows = [at for at, row in enumerate(arena.rows()) if row["prompt_id"] == "p9"]
    more = arena.images.take(rows)
    at = more.column_names.index("prompt_id")
    more = more.set_column(at, more.schema.field(at), pa.array(["p0", "p8", None]))
    return replace(arena, images=pa.concat_tables([arena.images, more]))


@pytest.fixture(params=["float32", "float16"])
def made(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Store, Arena, EncoderCard]:
    """A store of several parts that holds more than the arena, and some rows twice."""
    manifest = painted(tmp_path / "images")
    encoder = Pixelwise(request.param)
    if request.param == "float16":  # which cannot be that large, but for infinite
        for file in (tmp_path / "images").glob("large*.png"):
            file.unlink()
    store = tmp_path / "store"
    arena = listed_again(read_arena(manifest))
    embed(arena.take(range(0, len(arena), 2)), encoder, store)
    for number in range(4):
        save(
            tmp_path / "others" / "m0" / f"p{number}" / "0.png",
            np.full((SIDE, SIDE, 3), number, np.uint8),
        )
    embed(read_arena(tmp_path / "others"), encoder, store)
    embed(arena, encoder, store)
    return open_store(store), arena, encoder.card


def same(got: Gathered, expected: Gathered) -> None:
    rows = np.arange(len(expected))
    assert len(got) == len(expected)
    assert got.labels(rows).equals(expected.labels(rows))
    assert got.table.equals(expected.table)
    np.testing.assert_array_equal(got.vectors[rows], expected.vectors[rows])
    for name in ("prompt", "model", "kind", "rank", "seed", "group"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    for name in ("card", "prompts", "models", "kinds", "duplicates", "near_duplicates", "bad"):
        assert getattr(got, name) == getattr(expected, name)


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_it_is_what_the_joined_table_gives(
    made: tuple[Store, Arena, EncoderCard], tmp_path: Path, budget: int
) -> None:
    store, arena, card = made
    expected = gather(store.of_arena(arena), card)
    got = gather_arena(store, arena, card, tmp_path / "none" / "yet", budget=budget)
    same(got, expected)
    # what it is about is there
    assert len(got.duplicates) == 3
    if budget:
        assert isinstance(got.vectors, np.ndarray)
    else:  # images listed twice share a row of the shelf
        assert isinstance(got.vectors, Indexed)
        assert isinstance(got.vectors._rows, Shelf)
        assert len(got.vectors._rows) == len(got) - 2
    reasons = {bad.reason.split(" ")[0] for bad in got.bad}
    assert reasons == ({"no", "its"} if card.dtype == "float32" else {"no"})
    assert not list(tmp_path.glob(".whodrew-shelf-*"))


def test_a_part_of_the_arena_needs_no_more_than_that_part(
    made: tuple[Store, Arena, EncoderCard], tmp_path: Path
) -> None:
    store, arena, card = made
    some = arena.take(range(5, 25))
    got = gather_arena(store, some, card, tmp_path, budget=25 * card.dimension * 4)
    same(got, gather(store.of_arena(some), card))
    assert isinstance(got.vectors, np.ndarray)


def test_a_shared_shelf_can_be_opened_by_others(
    made: tuple[Store, Arena, EncoderCard], tmp_path: Path
) -> None:
    import pickle

    store, arena, card = made
    got = gather_arena(store, arena, card, tmp_path, budget=0, shared=True)
    there = pickle.loads(pickle.dumps(got.vectors))  # noqa: S301 - our own
    np.testing.assert_array_equal(there[:], got.vectors[:])


def test_parts_merged_in_the_meantime_are_read_again(
    made: tuple[Store, Arena, EncoderCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, arena, card = made
    tries = []
    whole = joined.gather_labels

    def once_gone(*given: Any) -> Gathered:
        tries.append(1)
        if len(tries) == 1:
            raise FileNotFoundError
        return whole(*given)

    monkeypatch.setattr(joined, "gather_labels", once_gone)
    same(gather_arena(store, arena, card, tmp_path), gather(store.of_arena(arena), card))


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_vectors_that_are_no_numbers_are_named_as_before(
    made: tuple[Store, Arena, EncoderCard], tmp_path: Path, budget: int
) -> None:
    store, arena, card = made
    (part, *_) = sorted(Path(str(store.path)).glob("part-*.parquet"))
    table = pq.read_table(part)
    vectors = np.array(table["embedding"].to_pylist(), card.dtype)
    vectors[[1, 4], 3] = np.nan
    flat = pa.array(vectors.ravel())
    kind = table.schema.field("embedding").type
    spoilt = pa.FixedSizeListArray.from_arrays(flat, card.dimension).cast(kind)
    at = table.column_names.index("embedding")
    pq.write_table(table.set_column(at, "embedding", spoilt), part)
    with pytest.raises(InputError) as before:
        store.of_arena(arena)
    with pytest.raises(InputError) as now:
        gather_arena(store, arena, card, tmp_path, budget=budget)
    assert str(now.value) == str(before.value)
    assert "row 1: the embedding is not finite (2 such rows)" in str(now.value)


def figures(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "audit.json").read_text())
    del found["created"]
    for entry in found["encoders"]:
        for name in ("seconds", "images_per_second"):
            entry.pop(name, None)
            entry.pop(f"{name}_reason", None)
    return found


@pytest.fixture
def shelves(monkeypatch: pytest.MonkeyPatch) -> list[Shelf]:
    """The shelves that are made."""
    found: list[Shelf] = []
    create = Shelf.create

    def counted(*given: Any, **more: Any) -> Shelf:
        found.append(create(*given, **more))
        return found[-1]

    monkeypatch.setattr(Shelf, "create", counted)
    return found


def compare(tmp_path: Path) -> None:
    """Compares audit.json and tables of both ways."""
    assert figures(tmp_path / "shelved") == figures(tmp_path / "held")
    held = sorted((tmp_path / "held" / "tables").iterdir())
    assert len(held) > 3
    for file in held:
        there = pq.read_table(tmp_path / "shelved" / "tables" / file.name)
        assert there.equals(pq.read_table(file))


def test_an_audit_from_a_shelf_has_the_figures_of_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shelves: list[Shelf]
) -> None:
    arena = draw(tmp_path / "arena", ("amber", "birch", "cedar"), ("boat", "cat", "hill", "lamp"))
    (arena / "cedar" / "boat" / "bad.png").write_text("not an image")
    options: dict[str, Any] = {"canonical": 32, "store": tmp_path / "store", "curves": False}
    whodrew.audit(arena, out=tmp_path / "held", **options)
    assert not shelves
    monkeypatch.setenv("WHODREW_MEMORY", "0")
    whodrew.audit(arena, out=tmp_path / "shelved", **options)
    assert [len(one) for one in shelves] == [36, 36]  # one each form
    compare(tmp_path)


def test_references_and_names_from_a_shelf_are_those_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shelves: list[Shelf]
) -> None:
    models = ("amber", "birch", "cedar")
    arena = draw(tmp_path / "arena", models, ("boat", "cat", "hill", "lamp"))
    known = draw(tmp_path / "known", models, ("boat", "cat", "hill", "lamp"), (7, 8))
    options: dict[str, Any] = {"reference_arena": known, "curves": False}
    whodrew.audit(arena, out=tmp_path / "held", **options)
    asked = sorted(file for file in arena.glob("*/boat/0.png"))
    named = whodrew.identify(asked, references=known, store=tmp_path / "store")
    assert not shelves
    monkeypatch.setenv("WHODREW_MEMORY", "0")
    whodrew.audit(arena, out=tmp_path / "shelved", **options)
    assert sorted(len(one) for one in shelves) == [24, 36]
    compare(tmp_path)
    assert whodrew.identify(asked, references=known, store=tmp_path / "store") == named
    assert len(shelves) == 3
