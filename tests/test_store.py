"""Stores that others wrote, and the matrices in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whodrew.embed import embedding_matrix, open_store
from whodrew.embed.vectors import embedding_array
from whodrew.errors import InputError

VALUES = np.arange(24, dtype=np.float64).reshape(6, 4) / 8
LABELS = {
    "image_id": [f"{n:032x}" for n in range(6)],
    "path": [f"m/p/{n}.png" for n in range(6)],
    "model": ["a", "a", "b", "b", None, "c"],
    "prompt_id": ["p", "q", "p", "q", "p", "q"],
    "seed": list("012345"),
}
KINDS = [
    pa.list_(pa.float32()),
    pa.list_(pa.float64()),
    pa.list_(pa.float16()),
    pa.large_list(pa.float32()),
    pa.list_(pa.float16(), 4),
    pa.list_(pa.float32(), 4),
    pa.list_(pa.float64(), 4),
]


def column(kind: pa.DataType, values: Any = None) -> pa.Array:
    return pa.array(VALUES.tolist() if values is None else values, kind)


def write(path: Path, embedding: pa.Array, labels: dict[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {**(LABELS if labels is None else labels), "embedding": embedding}
    pq.write_table(pa.table(table), path)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_of_list_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    store = open_store(write(tmp_path / "clip.parquet", column(kind)))
    assert (store.card.name, store.card.scale, store.card.dimension) == ("clip", "unit", 4)
    table = store.table()
    half = kind.value_type == pa.float16()
    assert table.schema.field("embedding").type == pa.list_(
        pa.float16() if half else pa.float32(), 4
    )
    assert store.card.dtype == ("float16" if half else "float32")
    matrix = embedding_matrix(table)
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, VALUES.astype(np.float32))
    assert table["model"].to_pylist() == LABELS["model"]


def test_a_matrix_is_a_view_where_it_can_be(tmp_path: Path) -> None:
    table = open_store(write(tmp_path / "a.parquet", column(KINDS[5]))).table()
    matrix = embedding_matrix(table)
    buffer = table["embedding"].chunk(0).values.buffers()[1]
    assert matrix.__array_interface__["data"][0] == buffer.address
    assert np.array_equal(embedding_matrix(table.slice(2, 3)), VALUES[2:5].astype(np.float32))
    both = pa.concat_tables([table, table.slice(1)])
    assert embedding_matrix(both).shape == (11, 4)


def test_fixed_shape_tensors_and_sliced_lists_are_read(tmp_path: Path) -> None:
    flat = pa.FixedSizeListArray.from_arrays(pa.array(VALUES.astype(np.float32).reshape(-1)), 4)
    tensor = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [4]), flat)
    assert len(open_store(write(tmp_path / "t.parquet", tensor)).table()) == 6
    sliced = pa.table({"embedding": column(KINDS[0])}).slice(2, 2)
    assert np.array_equal(embedding_matrix(sliced), VALUES[2:4].astype(np.float32))


def test_a_folder_of_any_parquet_files(tmp_path: Path) -> None:
    first = {name: values[:3] for name, values in LABELS.items()}
    last = {name: values[3:] for name, values in LABELS.items()}
    write(tmp_path / "vit" / "one.parquet", column(KINDS[0], VALUES[:3].tolist()), first)
    write(tmp_path / "vit" / "two.parquet", column(KINDS[5], VALUES[3:].tolist()), last)
    store = open_store(tmp_path / "vit")
    assert (store.card.name, store.ours) == ("vit", False)
    assert np.array_equal(embedding_matrix(store.table()), VALUES.astype(np.float32))
    card = {"encoder": "mine", "scale": "standardise", "revision": "7"}
    (tmp_path / "vit" / "card.json").write_text(json.dumps(card))
    card_read = open_store(tmp_path / "vit").card
    assert (card_read.name, card_read.scale, card_read.revision, card_read.dimension) == (
        "mine",
        "standardise",
        "7",
        4,
    )


def test_parts_are_preferred_to_other_files(tmp_path: Path) -> None:
    write(tmp_path / "part-0.parquet", column(KINDS[0]))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "extra.parquet")
    assert len(open_store(tmp_path)) == 6


def test_missing_labels_are_made_up_stably_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "bare.parquet", column(KINDS[0]), {})
    scan = open_store(path).scan()
    assert scan.table["path"].to_pylist() != [None] * 6
    assert len(set(scan.table["image_id"].to_pylist())) == 6
    assert len(set(scan.table["seed"].to_pylist())) == 6
    assert scan.notes == tuple(
        f"6 rows have no {name}: made up" for name in ("path", "seed", "image_id")
    )
    assert scan.table.equals(open_store(path).table())
    some = {"path": ["m/p/7.png", None, *"wxyz"], "model": list("aabbcc")}
    table = open_store(write(tmp_path / "some.parquet", column(KINDS[0]), some)).table()
    seeds = dict(zip(table["path"].to_pylist(), table["seed"].to_pylist(), strict=True))
    assert seeds["m/p/7.png"] == "7"
    assert seeds["some.parquet[1]"] == "some.parquet[1]"


def test_labels_of_other_types(tmp_path: Path) -> None:
    labels = {
        "image_id": pa.array(range(6)),
        "model": pa.array(list("aabbcc")).dictionary_encode(),
        "prompt_id": pa.array(LABELS["prompt_id"], pa.large_string()),
        "seed": pa.array(range(6), pa.int32()),
    }
    table = open_store(write(tmp_path / "x.parquet", column(KINDS[0]), labels)).table()
    assert table["seed"].to_pylist() == list("012345")
    assert table["model"].to_pylist() == list("aabbcc")
    labels["seed"] = pa.array([0.5] * 6)
    with pytest.raises(InputError, match="column 'seed' is double, must be text"):
        open_store(write(tmp_path / "y.parquet", column(KINDS[0]), labels)).table()


def test_repeated_rows_are_left_out_and_said(tmp_path: Path) -> None:
    twice = {name: [*values, values[0]] for name, values in LABELS.items()}
    path = write(tmp_path / "x.parquet", column(KINDS[0], [*VALUES.tolist(), [0.0] * 4]), twice)
    scan = open_store(path).scan()
    assert len(scan.table) == 6
    assert scan.notes == ("1 rows repeat an image_id and path: left out",)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2], KINDS[3]], ids=str)
def test_vectors_that_cannot_be_used_are_named(tmp_path: Path, kind: pa.DataType) -> None:
    values: list[Any] = VALUES.tolist()
    values[1] = None
    values[3] = [0.0, float("nan"), 0.0, 0.0]
    values[4] = [0.0, None, 0.0, float("inf")]
    store = open_store(write(tmp_path / "x.parquet", column(kind, values)))
    scan = store.scan()
    assert [(item.item, item.reason) for item in scan.bad] == [
        ("x.parquet, row 1", "the embedding is null"),
        ("x.parquet, row 3", "the embedding is not finite"),
        ("x.parquet, row 4", "the embedding is not finite"),
    ]
    assert scan.table["seed"].to_pylist() == ["0", "2", "5"]
    assert np.array_equal(embedding_matrix(scan.table), VALUES[[0, 2, 5]].astype(np.float32))
    with pytest.raises(InputError, match=r"x\.parquet, row 1: the embedding is null \(3 such rows"):
        store.table()
    assert len(store.table(["seed"])) == 6


@pytest.mark.parametrize("kind", [KINDS[4], KINDS[5]], ids=str)
def test_fixed_size_vectors_that_cannot_be_used_are_named(
    tmp_path: Path, kind: pa.DataType
) -> None:
    values: list[Any] = VALUES.tolist()
    values[3] = [0.0, float("nan"), 0.0, 0.0]
    values[4] = [0.0, None, 0.0, float("inf")]
    scan = open_store(write(tmp_path / "x.parquet", column(kind, values))).scan()
    assert [item.item for item in scan.bad] == ["x.parquet, row 3", "x.parquet, row 4"]
    values[2] = None
    with pytest.raises(InputError, match=r"x\.parquet, row 2: the embedding is null, which"):
        open_store(write(tmp_path / "x.parquet", column(kind, values)))


def test_large_finite_values_are_not_taken_for_infinite(tmp_path: Path) -> None:
    values = np.full((6, 4), 3e38)
    path = write(tmp_path / "x.parquet", column(KINDS[1], values.tolist()))
    assert len(open_store(path).table()) == 6
    path = write(tmp_path / "y.parquet", column(KINDS[1], (values * 1e3).tolist()))
    assert len(open_store(path).scan().bad) == 6


def test_ragged_and_foreign_columns_are_refused_by_name(tmp_path: Path) -> None:
    ragged = VALUES.tolist()
    ragged[4] = [1.0]
    path = write(tmp_path / "r.parquet", column(KINDS[0], ragged))
    with pytest.raises(
        InputError, match=r"r\.parquet, row 4: the embedding has length 1, others 4"
    ):
        open_store(path).table()
    write(tmp_path / "two" / "a.parquet", column(KINDS[5]))
    wider = pa.array(np.ones((6, 5)).tolist(), pa.list_(pa.float32(), 5))
    write(tmp_path / "two" / "b.parquet", wider)
    with pytest.raises(InputError, match=r"b\.parquet.* length 5, others 4"):
        open_store(tmp_path / "two").table()
    for bad in (pa.array(["x"] * 6), pa.array([[1]] * 6), pa.array([1.0] * 6)):
        with pytest.raises(InputError, match="must be a list of float16, float32 or float64"):
            open_store(write(tmp_path / "b.parquet", bad)).table()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match="no column 'embedding'"):
        open_store(tmp_path / "none.parquet")
    nulls = write(tmp_path / "nulls.parquet", pa.nulls(6, pa.list_(pa.float32())))
    with pytest.raises(InputError, match="holds no embedding"):
        open_store(nulls)


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no embedding store"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no Parquet file"):
        open_store(tmp_path)
    (tmp_path / "text.parquet").write_text("hello, this is no Parquet file at all")
    with pytest.raises(InputError, match=r"text\.parquet is damaged"):
        open_store(tmp_path / "text.parquet")
    path = write(tmp_path / "s" / "part-1.parquet", column(KINDS[0]))
    with pytest.raises(InputError, match="no column 'colour'"):
        open_store(path).table(["colour"])


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("{", "cannot read"),
        ("[]", "not a JSON object"),
        ("{}", "names no encoder"),
        ('{"encoder": "a", "scale": "loud"}', "scale is 'loud'"),
        ('{"encoder": "a", "dtype": "int8"}', "dtype is 'int8'"),
        ('{"encoder": "a", "dimension": 9}', "says 9 numbers a vector"),
    ],
)
def test_broken_cards(tmp_path: Path, card: str, said: str) -> None:
    write(tmp_path / "part-1.parquet", column(KINDS[0]))
    (tmp_path / "card.json").write_text(card)
    with pytest.raises(InputError, match=said):
        open_store(tmp_path)


def test_embedding_matrix_refuses_what_it_cannot_read() -> None:
    with pytest.raises(InputError, match="no column 'embedding'"):
        embedding_matrix(pa.table({"x": [1]}))
    with pytest.raises(InputError, match="holds 1 nulls"):
        embedding_matrix(pa.table({"embedding": pa.array([None, [1.0]], KINDS[0])}))
    array = embedding_array(np.ones((3, 2), np.float16))
    assert array.type == pa.list_(pa.float16(), 2)
