"""Parquet: images located without being read, read without being held."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from whodrew.arena import (
    Arena,
    ImageError,
    Limits,
    decode,
    image_id,
    is_embedding_table,
    iter_bytes,
    partition,
    read_arena,
    read_image_bytes,
    read_stored,
)
from whodrew.errors import InputError, UsageError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (value % 256, value // 256, 0)).save(out, "PNG")
    return out.getvalue()


class CountingFile(io.FileIO):
    """A file that counts what is read from it, over all files of its kind."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        CountingFile.read_bytes += len(data)
        return data


def count_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets all Parquet files that the arena opens be counted."""
    opened = pq.ParquetFile
    CountingFile.read_bytes = 0

    def counted(path: str | Path, **options: object) -> pq.ParquetFile:
        return opened(CountingFile(path), **options)

    monkeypatch.setattr("whodrew.arena.containers.pq.ParquetFile", counted)


def struct_table(count: int, start: int = 0) -> pa.Table:
    at = range(start, start + count)
    return pa.table(
        {
            "image": pa.array([{"bytes": png(i), "path": f"img-{i}.png"} for i in at], STRUCT),
            "model": [f"m{i % 2}" for i in at],
            "prompt": [f"prompt {i // 2}" for i in at],
        }
    )


def pixel(data: bytes | ImageError) -> int:
    assert isinstance(data, bytes)
    red, green, _ = decode(data).pixels[0, 0].tolist()
    return int(red + 256 * green)


def labels(arena: Arena) -> list[tuple[str | None, str]]:
    return list(
        zip(arena.images["model"].to_pylist(), arena.images["seed"].to_pylist(), strict=True)
    )


def test_image_structs(tmp_path: Path) -> None:
    pq.write_table(struct_table(50), tmp_path / "a.parquet", row_group_size=7)
    arena = read_arena(tmp_path / "a.parquet")
    assert arena.layout == "parquet"
    assert len(arena) == 50
    assert arena.bad == ()
    assert arena.images["bytes"].null_count == 50
    assert arena.images["path"].null_count == 50
    row = arena.images.slice(9, 1).to_pylist()[0]
    assert (row["item"], row["row"], row["column"]) == ("a.parquet#9", 9, "image.bytes")
    assert (row["model"], row["seed"], row["prompt"]) == ("m1", "img-9", "prompt 4")
    assert pixel(read_image_bytes(row)) == 9
    read = dict(iter_bytes(arena.images))
    assert [pixel(read[at]) for at in range(50)] == list(range(50))


def test_any_selection_in_any_order(tmp_path: Path) -> None:
    pq.write_table(struct_table(60), tmp_path / "a.parquet", row_group_size=25)
    arena = read_arena(tmp_path / "a.parquet")
    chosen = np.random.default_rng(0).permutation(60)[:20].tolist()
    read = dict(iter_bytes(arena.take(chosen).images))
    assert [pixel(read[at]) for at in range(20)] == chosen
    assert [pixel(data) for _, data in iter_bytes(arena.images.slice(57, 3))] == [57, 58, 59]


def test_parts_in_a_folder_and_as_the_hub_lays_them_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("x")
    for part in range(3):
        name = f"train-{part:05}-of-00003.parquet"
        pq.write_table(struct_table(10, part * 10), tmp_path / "data" / name)
    for folder in (tmp_path, tmp_path / "data"):
        arena = read_arena(folder)
        assert len(arena) == 30
        assert [pixel(data) for _, data in iter_bytes(arena.images)] == list(range(30))


def test_binary_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": pa.array([png(0), png(1), None], pa.large_binary()),
            "file_name": ["x/a.png", "b.png", "c.png"],
            "model": ["m", "m", "m"],
            "prompt_id": pa.array([1, 2, 3], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    arena = read_arena(tmp_path / "a.parquet")
    assert labels(arena) == [("m", "a"), ("m", "b")]
    assert arena.prompt_ids == ["1", "2"]
    assert [item.reason for item in arena.bad] == ["c.png: no such file"]
    assert [pixel(data) for _, data in iter_bytes(arena.images)] == [0, 1]


def test_structs_with_paths_only_and_null_structs(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "a.png").write_bytes(png(5))
    images = [{"bytes": None, "path": "i/a.png"}, None, {"bytes": png(7), "path": None}]
    table = pa.table({"image": pa.array(images, STRUCT), "prompt_id": ["p", "p", "p"]})
    pq.write_table(table, tmp_path / "a.parquet")
    arena = read_arena(tmp_path / "a.parquet")
    assert labels(arena) == [(None, "a"), (None, "2")]
    assert [item.to_dict() for item in arena.bad] == [
        {"item": "a.parquet, row 1", "reason": "no path"}
    ]
    read = dict(iter_bytes(arena.images))
    assert [pixel(read[0]), pixel(read[1])] == [5, 7]


def test_a_parquet_of_paths(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    table = pa.table(
        {
            "path": ["a.png", "../x.png", None],
            "model": pa.array(["m", "m", "m"]).dictionary_encode(),
            "prompt_id": ["p", "p", "p"],
            "seed": pa.array([1.0, None, 2.0]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    arena = read_arena(tmp_path / "a.parquet")
    assert labels(arena) == [("m", "1")]
    assert len(arena.bad) == 2


def test_imagefolder_with_parquet_metadata(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(png(1))
    table = pa.table({"file_name": ["1.png"], "model": ["m"], "text": ["a cat"]})
    pq.write_table(table, tmp_path / "metadata.parquet")
    arena = read_arena(tmp_path)
    assert arena.layout == "imagefolder"
    assert labels(arena) == [("m", "1")]
    assert [item.item for item in arena.bad] == ["2.png"]


def test_class_labels_of_the_hub(tmp_path: Path) -> None:
    features = {"label": {"names": ["flux", "sdxl"], "_type": "ClassLabel"}, "prompt": {}}
    table = pa.table(
        {
            "image": pa.array([{"bytes": png(i), "path": None} for i in range(3)], STRUCT),
            "label": pa.array([0, 1, -1]),
            "prompt": ["a", "a", "a"],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "a.parquet")
    arena = read_arena(tmp_path / "a.parquet")
    assert arena.images["model"].to_pylist() == ["flux", "sdxl", None]
    assert "columns taken: model from 'label'" in arena.notes


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"model": ["m"], "prompt_id": ["p"]}, "names no images"),
        ({"image": [png(0)], "model": ["m"]}, "names no prompts"),
        ({"embedding": [[0.1]], "model": ["m"]}, "embedding store"),
        ({"image": [3], "prompt_id": ["p"]}, "neither bytes nor paths"),
    ],
)
def test_parquet_without_what_it_needs(
    tmp_path: Path, columns: dict[str, list[object]], match: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=match):
        read_arena(tmp_path / "a.parquet")


def test_no_parquet_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match=r"a\.parquet"):
        read_arena(tmp_path / "a.parquet")
    pq.write_table(struct_table(0), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="has no rows"):
        read_arena(tmp_path / "b.parquet")


def test_partition_keeps_row_groups_together(tmp_path: Path) -> None:
    pq.write_table(struct_table(50), tmp_path / "a.parquet", row_group_size=20)
    arena = read_arena(tmp_path / "a.parquet")
    shares = partition(arena.images, 8)
    assert [len(share) for share in shares] == [20, 20, 10]
    chosen = np.random.default_rng(0).permutation(50)[:30]
    images = arena.take(chosen.tolist()).images
    seen = []
    for share in partition(images):
        assert len({chosen[at] // 20 for at in share}) == 1
        seen += [pixel(data) for _, data in iter_bytes(images.take(share))]
    assert sorted(seen) == sorted(chosen.tolist())
    (tmp_path / "i").mkdir()
    for at in range(5):
        (tmp_path / "i" / f"{at}.png").write_bytes(png(at))
    files = read_arena(tmp_path, layout="model/prompt").images
    assert partition(files, 2) == [[0, 1], [2, 3], [4]]
    (tmp_path / "a.parquet").unlink()
    assert sum(map(len, partition(arena.images))) == 50


def test_limits_and_lost_files(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(struct_table(4), path)
    arena = read_arena(path)
    read = [data for _, data in iter_bytes(arena.images, Limits(max_bytes=10))]
    assert all(isinstance(data, ImageError) for data in read)
    pq.write_table(struct_table(2), path)
    read = [data for _, data in iter_bytes(arena.images)]
    assert [isinstance(data, bytes) for data in read] == [True, True, False, False]
    path.unlink()
    read = [data for _, data in iter_bytes(arena.images)]
    assert len(read) == 4
    assert all(isinstance(data, ImageError) for data in read)
    with pytest.raises(ImageError):
        read_image_bytes(arena.images.to_pylist()[0])


def test_bytes_in_memory_and_nowhere() -> None:
    assert read_image_bytes({"bytes": b"abc", "path": None}) == b"abc"
    with pytest.raises(ImageError, match="neither"):
        read_image_bytes({})


def test_listing_and_streaming_hold_no_images(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(400_000)
    images = [{"bytes": noise, "path": f"{at}.png"} for at in range(200)]  # 80 MB in all
    table = pa.table({"image": pa.array(images, STRUCT), "prompt_id": ["p"] * 200})
    # pages of a few images each: what Parquet cannot read in parts nobody can
    options = {"compression": "none", "use_dictionary": False, "write_batch_size": 8}
    pq.write_table(table, tmp_path / "a.parquet", **options)
    del table, images
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    arena = read_arena(tmp_path / "a.parquet")
    assert pool.bytes_allocated() - before < 2_000_000
    worst = 0
    for _, data in iter_bytes(arena.images):
        assert isinstance(data, bytes)
        worst = max(worst, pool.bytes_allocated() - before)
    assert worst < 40_000_000


def test_is_embedding_table(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    vectors = pa.table({"image_id": ["a"], "embedding": [[0.5, 0.5]]})
    pq.write_table(vectors, store / "part-0.parquet")
    pq.write_table(struct_table(1), tmp_path / "images.parquet")
    (tmp_path / "no.parquet").write_bytes(b"x")
    assert is_embedding_table(store)
    assert is_embedding_table(str(store / "part-0.parquet"))
    for other in ("images.parquet", "no.parquet", "zzz", "zzz.parquet"):
        assert not is_embedding_table(tmp_path / other)
    assert not is_embedding_table(tmp_path / "store" / "..")
    (store / "model" / "p1").mkdir(parents=True)
    (store / "model" / "p1" / "0.png").write_bytes(png(0))
    assert not is_embedding_table(store)
    (store / "model" / "p1" / "0.png").unlink()
    with pytest.raises(InputError, match="embedding store"):
        read_arena(store)


def test_identity_does_not_depend_on_where_the_bytes_lie(tmp_path: Path) -> None:
    pq.write_table(struct_table(1), tmp_path / "a.parquet")
    (tmp_path / "b.png").write_bytes(png(0))
    (_, inside), *_ = iter_bytes(read_arena(tmp_path / "a.parquet").images)
    assert isinstance(inside, bytes)
    assert image_id(inside) == image_id((tmp_path / "b.png").read_bytes())


def test_patterns_of_parts(tmp_path: Path) -> None:
    for part in range(3):
        pq.write_table(struct_table(4, part * 4), tmp_path / f"p-{part:05}-of-00003.parquet")
    for pattern in ("*.parquet", "p-{00000..00002}-of-00003.parquet", "p-?????-of-*"):
        arena = read_arena(f"{tmp_path}/{pattern}")
        assert [pixel(data) for _, data in iter_bytes(arena.images)] == list(range(12))
        assert arena.bad == ()
    arena = read_arena(f"{tmp_path}/p-0000[02]-*")
    assert len(arena) == 8
    assert [item.item for item in arena.bad] == ["p-00001-of-00003.parquet"]


def test_a_part_that_cannot_be_read_does_not_cost_the_others(tmp_path: Path) -> None:
    pq.write_table(struct_table(4), tmp_path / "a.parquet")
    pq.write_table(struct_table(4, 4), tmp_path / "b.parquet")
    pq.write_table(pa.table({"image": [png(1)]}), tmp_path / "c.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    arena = read_arena(f"{tmp_path}/{{a,b,c}}.parquet")
    assert [pixel(data) for _, data in iter_bytes(arena.images)] == [0, 1, 2, 3]
    found = {item.item: item.reason for item in arena.bad}
    assert sorted(found) == ["b.parquet", "c.parquet"]
    assert "names no prompts" in found["c.parquet"]


def test_rows_without_a_name_are_numbered_through_all_parts(tmp_path: Path) -> None:
    for part in range(2):
        images = [{"bytes": png(part * 2 + at), "path": None} for at in range(2)]
        table = {"image": pa.array(images, STRUCT), "prompt": ["p"] * 2, "model": ["m"] * 2}
        pq.write_table(pa.table(table), tmp_path / f"{part}.parquet")
    arena = read_arena(tmp_path)
    assert arena.bad == ()
    assert labels(arena) == [("m", "0"), ("m", "1"), ("m", "2"), ("m", "3")]


def test_columns_of_other_names(tmp_path: Path) -> None:
    table = pa.table(
        {
            "thumb": pa.array([{"bytes": png(9), "path": None}], STRUCT),
            "picture": pa.array([{"bytes": png(1), "path": None}], STRUCT),
            "engine": ["m"],
            "model": ["not this"],
            "pid": ["p"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    names = {"image": "picture", "model": "engine", "prompt_id": "pid", "seed": "pid"}
    arena = read_arena(tmp_path / "a.parquet", columns=names)
    assert labels(arena) == [("m", "p")]
    assert arena.prompt_ids == ["p"]
    assert [pixel(data) for _, data in iter_bytes(arena.images)] == [1]
    assert labels(read_arena(tmp_path, columns=names)) == [("m", "p")]
    with pytest.raises(InputError, match="no column 'zzz' for model: found"):
        read_arena(tmp_path / "a.parquet", columns={**names, "model": "zzz"})
    with pytest.raises(InputError, match="no column 'zzz' for image"):
        read_arena(tmp_path / "a.parquet", columns={**names, "image": "zzz"})
    with pytest.raises(UsageError, match="no such column 'picture'"):
        read_arena(tmp_path / "a.parquet", columns={"picture": "image"})
    (tmp_path / "x.png").write_bytes(png(3))
    (tmp_path / "m.csv").write_text("url,who,q\nx.png,a,b\n")
    csv = read_arena(tmp_path / "m.csv", columns={"image": "url", "model": "who", "prompt": "q"})
    assert labels(csv) == [("a", "x")]


def test_only_what_is_needed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = [{"bytes": rng.bytes(50_000), "path": f"{at}.png"} for at in range(200)]
    table = pa.table({"image": pa.array(images, STRUCT), "prompt_id": ["p"] * 200})
    table = table.append_column("other", pa.array([rng.bytes(50_000) for _ in range(200)]))
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=20, compression="none", use_dictionary=False)
    count_reads(monkeypatch)
    arena = read_arena(path)
    assert CountingFile.read_bytes < 500_000  # the footer, labels and names of 20 MB
    CountingFile.read_bytes = 0
    for share in partition(arena.images):
        assert all(isinstance(data, bytes) for _, data in iter_bytes(arena.images.take(share)))
    assert CountingFile.read_bytes < 13_000_000  # each image once, and nothing of 'other'
    CountingFile.read_bytes = 0
    assert len(list(iter_bytes(arena.images.slice(45, 3)))) == 3
    assert CountingFile.read_bytes < 2_500_000  # one row group


def test_images_by_the_name_they_are_stored_under(tmp_path: Path) -> None:
    path = tmp_path / "a#1.parquet"
    pq.write_table(struct_table(5), path, row_group_size=2)
    assert pixel(read_stored(f"{path}#image.bytes[3]")) == 3
    with pytest.raises(ImageError, match="its row group has"):
        read_stored(f"{path}#image.bytes[3]", cost=10)
    for name in (f"{path}#image.bytes[9]", f"{path}#none[1]", f"{tmp_path}/b.parquet#x[1]"):
        with pytest.raises(ImageError):
            read_stored(name)
    (tmp_path / "b.png").write_bytes(png(4))
    assert pixel(read_stored(str(tmp_path / "b.png"))) == 4
