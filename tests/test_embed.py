from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from test_embed_tools import Tiny, draw_arena, paint
from whodrew.arena import Arena, image_id, read_arena
from whodrew.embed import embed, embedding_matrix, encoder_card, open_store
from whodrew.embed.parts import LABELS, list_parts
from whodrew.encoders.base import EncoderCard
from whodrew.encoders.registry import ENCODERS
from whodrew.errors import InputError, UsageError, WhodrewError

COUNT = 24


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return read_arena(draw_arena(tmp_path / "arena"))


def reread(arena: Arena) -> Arena:
    return read_arena(arena.source)


def test_every_image_gets_one_row_with_its_labels(tmp_path: Path, arena: Arena) -> None:
    result = embed(arena, Tiny(), tmp_path / "store")
    assert (result.images, result.encoded, result.reused, result.bad) == (COUNT, COUNT, 0, ())
    table = open_store(tmp_path / "store").table()
    assert len(table) == COUNT
    for row in table.to_pylist():
        path = Path(row["path"])
        data = path.read_bytes()
        assert row["image_id"] == image_id(data)
        assert (row["model"], row["prompt_id"], row["seed"]) == (
            path.parent.parent.name,
            path.parent.name,
            path.stem,
        )
        assert (row["width"], row["height"], row["format"]) == (16, 19, "PNG")
    assert len(set(table["thumbnail"].to_pylist())) == COUNT


def test_the_parts_on_disk_are_as_the_contract_says(tmp_path: Path, arena: Arena) -> None:
    embed(arena, Tiny(dtype="float16"), tmp_path / "store")
    (part,) = list_parts(tmp_path / "store")
    schema = pq.read_schema(part)
    assert schema.field("embedding").type == pa.list_(pa.float16(), 5)
    assert {"image_id", "path", "model", "prompt_id", "seed"} <= set(schema.names)
    column = pq.read_metadata(part).row_group(0).column(0)
    assert column.compression == "UNCOMPRESSED"
    assert not column.has_dictionary_page
    card = json.loads((tmp_path / "store" / "card.json").read_text())
    assert {k: card[k] for k in ("encoder", "revision", "scale", "preprocessing", "dtype")} == {
        "encoder": "tiny",
        "revision": "1",
        "scale": "standardise",
        "preprocessing": "none",
        "dtype": "float16",
    }
    assert {"python", "numpy", "pillow"} <= set(card["software"])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_same_rows_whatever_the_number_of_workers(
    tmp_path: Path, arena: Arena, dtype: str
) -> None:
    tables = []
    for workers in (1, 2, 5):
        store = tmp_path / f"store{workers}"
        embed(arena, Tiny(dtype=dtype, batch_size=workers), store, workers=workers)
        tables.append(open_store(store).table())
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    matrix = embedding_matrix(tables[0])
    assert matrix.dtype == np.float32
    assert matrix.shape == (COUNT, 5)


def test_an_unchanged_arena_is_not_read_again(
    tmp_path: Path, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(arena, Tiny(), tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "store")}
    monkeypatch.setattr("whodrew.embed.worker.iter_bytes", None)
    result = embed(reread(arena), Tiny(), tmp_path / "store")
    assert (result.encoded, result.reused, result.images_per_second) == (0, COUNT, None)
    assert before == {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "store")}


def test_a_second_run_appends(tmp_path: Path, arena: Arena) -> None:
    embed(arena, Tiny(), tmp_path / "store")
    root = Path(arena.source)
    paint(root / "model0" / "p0" / "new.png", 900)
    paint(root / "model1" / "p0" / "new.png", 901)
    encoder = Tiny(tmp_path / "log")
    result = embed(reread(arena), encoder, tmp_path / "store")
    assert (result.encoded, result.reused, encoder.calls) == (2, COUNT, 2)
    assert len(open_store(tmp_path / "store")) == COUNT + 2


def test_moved_and_touched_files_are_not_encoded_again(tmp_path: Path, arena: Arena) -> None:
    embed(arena, Tiny(), tmp_path / "store")
    root = Path(arena.source)
    (root / "model0").rename(root / "renamed")
    os.utime(root / "model1" / "p0" / "0.png", ns=(1, 1))
    encoder = Tiny(tmp_path / "log")
    moved = reread(arena)
    result = embed(moved, encoder, tmp_path / "store")
    assert (result.encoded, result.reused, encoder.calls) == (0, COUNT, 0)
    table = open_store(tmp_path / "store").of_arena(moved)
    assert table["item"].to_pylist() == moved.images["item"].to_pylist()
    assert table["model"].to_pylist() == moved.images["model"].to_pylist()
    fresh = embed(moved, Tiny(), tmp_path / "fresh").store
    assert (
        embedding_matrix(table).tolist()
        == embedding_matrix(open_store(fresh).of_arena(moved)).tolist()
    )
    again = embed(reread(arena), Tiny(tmp_path / "log"), tmp_path / "store")
    assert again.reused == COUNT


def test_a_changed_file_is_encoded_again_and_both_versions_stay(
    tmp_path: Path, arena: Arena
) -> None:
    embed(arena, Tiny(), tmp_path / "store")
    changed = paint(Path(arena.source) / "model0" / "p0" / "0.png", 999, size=20)
    now = reread(arena)
    assert embed(now, Tiny(), tmp_path / "store").encoded == 1
    store = open_store(tmp_path / "store")
    assert len(store) == COUNT + 1
    table = store.of_arena(now)
    assert len(table) == COUNT
    ids = dict(zip(table["path"].to_pylist(), table["image_id"].to_pylist(), strict=True))
    assert ids[str(changed)] == image_id(changed.read_bytes())


def test_the_same_bytes_at_two_paths_are_encoded_once(tmp_path: Path, arena: Arena) -> None:
    root = Path(arena.source)
    for seed in "xyz":
        paint(root / "model2" / "p1" / f"{seed}.png", 500)
    encoder = Tiny(tmp_path / "log", delay=0.002)
    result = embed(reread(arena), encoder, tmp_path / "store", workers=2)
    assert (result.encoded, result.reused, encoder.calls) == (COUNT + 1, 2, COUNT + 1)
    table = open_store(tmp_path / "store").table()
    assert len(table) == COUNT + 3
    assert len(set(table["image_id"].to_pylist())) == COUNT + 1
    twins = [row for row in table.to_pylist() if Path(row["path"]).stem in "xyz"]
    assert {row["seed"] for row in twins} == {"x", "y", "z"}
    assert len({tuple(row["embedding"]) for row in twins}) == 1


def test_bad_images_are_named_and_stop_nothing(tmp_path: Path, arena: Arena) -> None:
    root = Path(arena.source)
    cell = root / "model0" / "p0"
    whole = (cell / "0.png").read_bytes()
    (cell / "cut.png").write_bytes(whole[:50])
    (cell / "cut2.png").write_bytes(whole[:50])
    (cell / "text.png").write_text("not an image")
    (cell / "empty.png").write_bytes(b"")
    paint(cell / "gone.png", 700)
    listed = reread(arena)
    (cell / "gone.png").unlink()
    result = embed(listed, Tiny(), tmp_path / "store")
    names = {Path(item.item).name for item in result.bad}
    assert {"cut.png", "cut2.png", "text.png", "gone.png"} <= names
    assert result.encoded + result.reused + len(result.bad) == result.images == len(listed)
    assert all(item.reason and "\n" not in item.reason for item in result.bad)
    again = embed(listed, Tiny(), tmp_path / "store")
    assert again.bad == result.bad
    assert again.encoded == 0


class Odd(Tiny):
    """Fails in several ways, by the image's red."""

    def encode(self, images):  # type: ignore[no-untyped-def]
        out = super().encode(images)
        red = out[:, 0].astype(int)
        if (red == 1).any():
            raise RuntimeError("boom\nand more")
        out[red == 2] = np.nan
        out[red == 3] = 1e6
        return out[:, :4] if (red == 4).all() else out


@pytest.mark.parametrize("batch", [1, 7])
def test_an_encoder_that_fails_on_one_image_costs_that_image(
    tmp_path: Path, arena: Arena, batch: int
) -> None:
    encoder = Odd(dtype="float16", batch_size=batch)
    result = embed(arena, encoder, tmp_path / "store", workers=1)
    reasons = {item.item: item.reason for item in result.bad}
    text = " | ".join(reasons.values())
    assert "RuntimeError: boom and more" in text
    assert "not finite in float16" in text
    assert len(reasons) == (4 if batch == 1 else 3)
    assert result.encoded == COUNT - len(reasons)


def test_an_encoder_that_cannot_run_stops_at_once(tmp_path: Path, arena: Arena) -> None:
    class Missing(Tiny):
        def encode(self, images):  # type: ignore[no-untyped-def]
            raise WhodrewError("needs a GPU")

    with pytest.raises(WhodrewError, match="needs a GPU"):
        embed(arena, Missing(), tmp_path / "store")
    assert embed(arena, Tiny(), tmp_path / "store").encoded == COUNT


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Tiny(revision="2"), "revision '1' there, '2' wanted"),
        (Tiny(dtype="float16"), "dtype 'float32' there, 'float16' wanted"),
    ],
)
def test_a_store_of_another_card_is_refused(
    tmp_path: Path, arena: Arena, wanted: Tiny, said: str
) -> None:
    embed(arena, Tiny(), tmp_path / "store")
    with pytest.raises(UsageError, match=said) as caught:
        embed(arena, wanted, tmp_path / "store")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="preprocessing 'none' there, 'canonical 32x32"):
        embed(arena, Tiny(), tmp_path / "store", canonical=32)


def test_the_canonical_form_is_encoded_and_carded(tmp_path: Path, arena: Arena) -> None:
    result = embed(arena, Tiny(), tmp_path / "store", canonical=32)
    assert result.card == encoder_card(Tiny(), 32) == open_store(tmp_path / "store").card
    assert result.card.preprocessing == "canonical 32x32 JPEG quality 85; none"
    table = open_store(tmp_path / "store").table()
    assert embedding_matrix(table)[:, 3:].tolist() == [[32, 32]] * COUNT
    assert set(table["height"].to_pylist()) == {19}
    with pytest.raises(UsageError, match="out of range"):
        embed(arena, Tiny(), tmp_path / "other", canonical=4)


def test_images_inside_parquet_and_in_memory(tmp_path: Path, arena: Arena) -> None:
    rows = list(arena.rows())
    images = [{"bytes": Path(row["path"]).read_bytes(), "path": row["item"]} for row in rows]
    columns = {name: [row[name] for row in rows] for name in ("model", "prompt_id", "seed")}
    pq.write_table(pa.table({"image": images, **columns}), tmp_path / "arena.parquet")
    packed = read_arena(tmp_path / "arena.parquet")
    blobs = pa.array([image["bytes"] for image in images], pa.binary())
    at = arena.images.column_names.index
    loose = arena.images.set_column(at("bytes"), "bytes", blobs)
    loose = loose.set_column(at("path"), "path", pa.nulls(COUNT, pa.string()))
    held = Arena(loose, "memory", "manifest")
    plain = open_store(embed(arena, Tiny(), tmp_path / "plain").store).of_arena(arena)
    expected = dict(zip(plain["image_id"].to_pylist(), plain["embedding"].to_pylist(), strict=True))
    for number, other in enumerate((packed, held)):
        store = tmp_path / f"store{number}"
        assert embed(other, Tiny(), store).encoded == COUNT
        again = embed(other, Tiny(), store)
        assert (again.encoded, again.reused) == (0, COUNT)
        table = open_store(store).of_arena(other)
        assert len(table) == COUNT
        assert (
            dict(zip(table["image_id"].to_pylist(), table["embedding"].to_pylist(), strict=True))
            == expected
        )
        assert len(open_store(store)) == COUNT


def test_progress_reaches_the_total(tmp_path: Path, arena: Arena) -> None:
    said = []
    embed(arena, Tiny(delay=0.02), tmp_path / "store", progress=said.append)
    assert [state.done for state in said] == sorted(state.done for state in said)
    assert (said[0].done, said[0].rate) == (0, None)
    assert (said[-1].done, said[-1].total, said[-1].eta) == (COUNT, COUNT, 0)
    assert said[-1].bytes == sum(Path(p).stat().st_size for p in arena.images["path"].to_pylist())
    assert len(said) >= 3


def test_a_folder_of_something_else_is_no_store(tmp_path: Path, arena: Arena) -> None:
    with pytest.raises(UsageError, match="is no store of whodrew's"):
        embed(arena, Tiny(), arena.source)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        embed(arena, Tiny(), tmp_path / "file")
    with pytest.raises(UsageError, match="workers is 0"):
        embed(arena, Tiny(), tmp_path / "store", workers=0)


def test_an_arena_without_images(tmp_path: Path, arena: Arena) -> None:
    result = embed(arena.take([]), Tiny(), tmp_path / "store")
    assert (result.images, result.encoded) == (0, 0)
    assert len(open_store(tmp_path / "store")) == 0
    assert embedding_matrix(open_store(tmp_path / "store").table()).shape == (0, 5)


def test_a_damaged_part_is_named_with_the_mend(tmp_path: Path, arena: Arena) -> None:
    embed(arena, Tiny(), tmp_path / "store")
    (part,) = list_parts(tmp_path / "store")
    part.write_bytes(part.read_bytes()[:-200])
    for read in (lambda: open_store(part.parent), lambda: embed(arena, Tiny(), part.parent)):
        with pytest.raises(InputError, match=f"{part.name} is damaged .* delete it"):
            read()
    part.unlink()
    assert embed(arena, Tiny(), part.parent).encoded == COUNT


def test_a_store_that_others_began_is_added_to(tmp_path: Path, arena: Arena) -> None:
    store = embed(arena, Tiny(), tmp_path / "store").store
    (part,) = list_parts(store)
    names = ["image_id", "path", "embedding"]
    table = pq.read_table(part).select(names)
    lists = table["embedding"].cast(pa.list_(pa.float64()))
    pq.write_table(table.set_column(2, "embedding", lists), part)
    assert not open_store(store).ours
    encoder = Tiny(tmp_path / "log")
    paint(Path(arena.source) / "model0" / "p0" / "new.png", 900)
    result = embed(reread(arena), encoder, store)
    assert (result.encoded, result.reused, encoder.calls) == (1, COUNT, 1)
    assert len(open_store(store).of_arena(reread(arena))) == COUNT + 1
    pq.write_table(table.select(["path", "embedding"]), store / "part-000000-theirs.parquet")
    with pytest.raises(InputError, match="rows without image_id: it can be read, but not added"):
        embed(arena, Tiny(), store)


def test_by_name_and_result_as_json(tmp_path: Path, arena: Arena) -> None:
    ENCODERS.register("tests-tiny")(Tiny)
    result = embed(arena, "tests-tiny", tmp_path / "store").to_dict()
    assert json.loads(json.dumps(result))["encoder"]["name"] == "tiny"
    assert EncoderCard.from_dict(result["encoder"]) == Tiny().card
    with pytest.raises(UsageError, match="unknown encoder"):
        embed(arena, "tests-tinny", tmp_path / "store")


def test_importing_the_room_imports_no_engine() -> None:
    code = (
        "import sys, whodrew.embed; "
        "print([name for name in ('daft', 'numba', 'scipy') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_columns_of_a_part_are_those_documented() -> None:
    assert [field.name for field in LABELS][:5] == [
        "image_id",
        "path",
        "model",
        "prompt_id",
        "seed",
    ]
