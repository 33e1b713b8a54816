"""A store gathered in passes gives what a slow reading of its rows, one by one, gives."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whodrew.audit import passes, spill
from whodrew.audit.codes import Book, digests, repeated
from whodrew.audit.gather import LABELS, Gathered, duplicate_groups, gather, shared_groups
from whodrew.audit.passes import gather_store
from whodrew.embed import embedding_matrix, open_store, reading, scratch, shelf
from whodrew.embed.store import Store
from whodrew.encoders.base import EncoderCard
from whodrew.errors import InputError
from whodrew.identify.samples import Samples

WIDTH = 4
KINDS: dict[str, pa.DataType] = {
    "half": pa.list_(pa.float16(), WIDTH),
    "single": pa.list_(pa.float32(), WIDTH),
    "double": pa.list_(pa.float64(), WIDTH),
    "list": pa.list_(pa.float32()),
    "large": pa.large_list(pa.float64()),
}
Ways = Callable[[Store, Path], Gathered]


def held(store: Store, scratch: Path) -> Gathered:
    return gather_store(store, scratch, budget=1 << 30, many=1 << 30)[0]


def shelved(store: Store, scratch: Path) -> Gathered:
    return gather_store(store, scratch, budget=0, many=0)[0]


def texts_only(store: Store, scratch: Path) -> Gathered:
    return gather_store(store, scratch, budget=1 << 30, many=0)[0]


WAYS: list[Ways] = [held, shelved, texts_only]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every loop turn more than once."""
    monkeypatch.setattr(reading, "_ROWS", 7)
    monkeypatch.setattr(spill, "_BATCH", 5)
    monkeypatch.setattr(passes, "BUCKET_ROWS", 6)


# ---------------------------------------------------------------- the slow way
@dataclass
class Slow:
    """What is expected, by rows of the table a store scans to."""

    rows: list[int] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, ...]] = field(default_factory=list)
    near: list[tuple[str, ...]] = field(default_factory=list)
    group: dict[int, int] = field(default_factory=dict)


def slowly(table: pa.Table) -> Slow:
    found = Slow()
    matrix = embedding_matrix(table)
    rows: list[dict[str, Any]] = table.drop_columns("embedding").to_pylist()
    seen: dict[tuple[str, str, str], str] = {}
    for at, row in enumerate(rows):
        item = row.get("item", row["path"])
        key = (row["model"], row["prompt_id"], row["seed"])
        largest = float(np.abs(matrix[at]).max())
        if row["prompt_id"] is None:
            found.bad.append((item, "no prompt_id"))
        elif largest > 1e15:
            why = f"its embedding holds {largest:.2g}, too large to be squared"
            found.bad.append((item, why))
        elif row["model"] is not None and key in seen:
            found.bad.append((item, f"the same model, prompt and seed as {seen[key]}"))
        else:
            if row["model"] is not None:
                seen[key] = item
            found.rows.append(at)
    by: dict[str, dict[str, list[int]]] = {"image_id": {}, "thumbnail": {}}
    parent = {at: at for at in found.rows}

    def root(at: int) -> int:
        while parent[at] != at:
            at = parent[at]
        return at

    for at in found.rows:
        for name, members in by.items():
            if (value := rows[at].get(name)) is not None:
                members.setdefault(value, []).append(at)
                parent[root(at)] = root(members[value][0])
    items = [row.get("item", row["path"]) for row in rows]
    for name, listed in (("image_id", found.duplicates), ("thumbnail", found.near)):
        for members in by[name].values():
            ids = {rows[at]["image_id"] for at in members}
            if len(members) > 1 and (name == "image_id" or len(ids) > 1):
                listed.append(tuple(items[at] for at in members))
    found.group = {at: root(at) for at in found.rows}
    found.rows.sort(
        key=lambda at: (
            rows[at]["prompt_id"],
            rows[at]["model"] or "",
            rows[at]["model"] is not None,
            str(rows[at]["seed"]),
        )
    )
    return found


def same_partition(first: Any, second: Any) -> bool:
    pairs = set(zip(list(first), list(second), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def check(got: Gathered, table: pa.Table, vectors_bad: int = 0) -> None:
    """Compares everything with the slow way."""
    slow = slowly(table)
    expected = table.take(pa.array(slow.rows, pa.int64()))
    samples = got.samples()
    names = expected["model"].to_pylist()
    assert [(bad.item, bad.reason) for bad in got.bad[vectors_bad:]] == slow.bad
    assert list(got.duplicates) == slow.duplicates
    assert list(got.near_duplicates) == slow.near
    assert same_partition(samples.group, [slow.group[at] for at in slow.rows])
    assert samples.prompts == tuple(sorted(set(expected["prompt_id"].to_pylist())))
    assert samples.models == tuple(sorted({name for name in names if name is not None}))
    assert [samples.prompts[code] for code in samples.prompt] == expected["prompt_id"].to_pylist()
    assert [None if code < 0 else samples.models[code] for code in samples.model] == names
    matrix = embedding_matrix(expected)
    np.testing.assert_array_equal(samples.vectors[:], matrix)
    for prompt in range(len(samples.prompts)):
        rows = samples.rows(prompt)
        np.testing.assert_array_equal(samples.vectors[rows], matrix[rows])
        ids = expected["image_id"].to_pylist()[rows]
        ranks = {name: rank for rank, name in enumerate(sorted(set(ids)))}
        assert samples.image_id[rows].tolist() == [ranks[name] for name in ids]
    assert same_partition(samples.seed, expected["seed"].to_pylist())
    labels = got.labels(samples.source)
    assert labels.column_names == list(LABELS)
    for name in ("image_id", "path", "model", "prompt_id", "seed"):
        assert labels[name].to_pylist() == expected[name].to_pylist(), name
    assert pa.concat_tables(list(got.label_batches())).equals(labels)
    some = np.random.default_rng(0).integers(0, len(got), 9)
    assert got.labels(some).equals(labels.take(pa.array(some)))
    for name in ("width", "height", "format", "thumbnail"):
        assert got.table[name].to_pylist() == expected[name].to_pylist(), name
    for name in ("model", "prompt_id", "format"):
        assert got.counts(name) == Counter(expected[name].to_pylist())
        assert got.distinct(name) == {*expected[name].to_pylist()} - {None}
    cells = Counter(
        (m, p) for m, p in zip(names, expected["prompt_id"].to_pylist(), strict=True) if m
    )
    assert sorted(got.cells().tolist()) == sorted(cells.values())
    kinds = list(
        zip(*(expected[n].to_pylist() for n in ("format", "width", "height")), strict=True)
    )
    by_kind = got.by_kind()
    for code, model in enumerate(got.models):
        for column, kind in enumerate(got.kinds):
            pairs = zip(names, kinds, strict=True)
            assert by_kind[code, column] == sum(pair == (model, kind) for pair in pairs)


# ---------------------------------------------------------------- random stores
@st.composite
def stores(draw: st.DrawFn) -> tuple[list[pa.Table], pa.DataType]:
    """One to three files of rows whose labels are few, so that everything collides."""
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    few = draw(st.sampled_from([3, 12, 200]))

    def some(names: list[Any], null: float) -> list[Any]:
        return [
            None if rng.random() < null else names[rng.integers(len(names))] for _ in range(count)
        ]

    rare = draw(st.sampled_from([0.0, 0.2]))
    columns = {
        "image_id": some([f"{n:032x}" for n in range(few)] + ["short"], 0.0),
        "path": some([f"p/{'x' * (n % 11)}{n}.png" for n in range(few)], 0.0),
        "model": some(["b", "a", "ä", "c d"], rare),
        "prompt_id": some(["q1", "q10", "q2", "ω"], rare),
        "seed": some([str(n) for n in range(max(few // 2, 2))], 0.0),
        "thumbnail": some([f"t{n}" for n in range(few)], 0.5),
        "width": some([64, 96], 0.3),
        "height": some([64], 0.0),
        "format": some(["PNG", "JPEG"], rare),
    }
    leave = draw(st.sets(st.sampled_from(["thumbnail", "width", "height", "format"])))
    values: list[Any] = rng.normal(size=(count, WIDTH)).astype(np.float16).tolist()
    fixed = pa.types.is_fixed_size_list(kind)
    for row in np.flatnonzero(rng.random(count) < rare).tolist():
        large, most = (6e4, 5e4) if kind.value_type == pa.float16() else (1.5e15, 9e14)
        odd = [np.nan, np.inf, large, most, None if fixed else "null"][rng.integers(5)]
        values[row][1] = 0.0 if odd in (None, "null") else odd
        if odd == "null" and row:
            values[row] = None
    table = pa.table(
        {name: pa.array(v) for name, v in columns.items() if name not in leave}
        | {"embedding": pa.array(values, kind)}
    )
    for name in ("model", "prompt_id", "thumbnail", "format"):
        if name in table.column_names and table[name].null_count == count:
            table = table.drop_columns(name)
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=2)))
    edges = [0, *cuts, count]
    return [table.slice(a, b - a) for a, b in pairwise(edges)], kind


def write(folder: Path, tables: list[pa.Table], *, ours: bool = False) -> Path:
    folder.mkdir(parents=True)
    for number, table in enumerate(tables):
        group = 1 + 9 * (number % 2)
        pq.write_table(table, folder / f"part-{number:06d}-x.parquet", row_group_size=group)
    if ours:
        dtype = "float16" if tables[0]["embedding"].type.value_type == pa.float16() else "float32"
        (folder / "card.json").write_text(
            '{"name": "n", "encoder": "n", "revision": "1", "dimension": 4, "scale": "unit", '
            f'"preprocessing": "p", "dtype": "{dtype}", "software": {{}}}}'
        )
    return folder


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=stores(), ours=st.booleans(), seed=st.integers(0, 99))
def test_gathering_equals_the_slow_way(
    made: tuple[list[pa.Table], pa.DataType],
    ours: bool,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tables, _ = made
    if ours:
        rng = np.random.default_rng(seed)
        tables = [
            table.append_column("run", pa.array(rng.integers(1, 4, len(table)), pa.int32()))
            for table in tables
        ]
    folder = tmp_path_factory.mktemp("store") / "s"
    try:
        store = open_store(write(folder, tables, ours=ours))
    except InputError:  # no vector at all
        return
    assert store.ours == ours
    scan = store.scan()
    if not slowly(scan.table).rows:
        for way in WAYS:
            with pytest.raises(InputError, match="no embedding"):
                way(store, folder)
        return
    first: Gathered | None = None
    for way in WAYS:
        got = way(store, folder)
        assert got.bad[: len(scan.bad)] == scan.bad
        check(got, scan.table, len(scan.bad))
        if first is not None:
            for name in ("prompt", "model", "image_id", "seed", "group", "source"):
                one, two = (getattr(some.samples(), name) for some in (first, got))
                assert one.dtype == two.dtype, name
                np.testing.assert_array_equal(one, two)
        first = first or got
    check(gather(scan.table, store.card), scan.table)
    assert gather_store(store, folder)[1] == scan.notes
    assert {file.suffix for file in folder.iterdir()} <= {".parquet", ".json"}


# ---------------------------------------------------------------- one thing at a time
def plain(count: int = 24, kind: str = "half", **columns: Any) -> pa.Table:
    rng = np.random.default_rng(0)
    labels = {
        "image_id": [f"{n:032x}" for n in rng.permutation(count)],
        "path": [f"p/{n}.png" for n in range(count)],
        "model": [f"m{n % 3}" for n in range(count)],
        "prompt_id": [f"p{n // 3 % 4}" for n in range(count)],
        "seed": [str(n) for n in range(count)],
        **columns,
    }
    vectors = pa.array(rng.normal(size=(count, WIDTH)).tolist(), KINDS[kind])
    return pa.table(labels).append_column("embedding", vectors)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_lone_file_of_any_kind_of_list(tmp_path: Path, kind: str, way: Ways) -> None:
    pq.write_table(plain(kind=kind), tmp_path / "vit.parquet", row_group_size=5)
    store = open_store(tmp_path / "vit.parquet")
    got = way(store, tmp_path / "not" / "there")
    check(got, store.table())
    assert (len(got), got.card.name, got.bad) == (24, "vit", ())
    assert [file.name for file in tmp_path.iterdir()] == ["vit.parquet"]


@pytest.mark.parametrize("way", WAYS)
def test_labels_that_are_missing_are_made_up_and_said(tmp_path: Path, way: Ways) -> None:
    table = plain().drop_columns(["image_id", "path", "seed"])
    folder = write(tmp_path / "s", [table.slice(0, 10), table.slice(10)])
    store = open_store(folder)
    check(way(store, tmp_path), store.table())
    notes = gather_store(store, tmp_path, budget=0, many=0)[1]
    assert notes == store.scan().notes
    assert len(notes) == 3


def test_nothing_can_be_used(tmp_path: Path) -> None:
    nameless = write(tmp_path / "a", [plain().drop_columns("prompt_id")])
    hollow = plain(kind="single").drop_columns("embedding")
    vectors = pa.array([[np.nan] * WIDTH] * 24, KINDS["single"])
    hollow = write(tmp_path / "b", [hollow.append_column("embedding", vectors)])
    for budget in (0, 1 << 30):
        with pytest.raises(InputError, match="no embedding has a prompt_id: add"):
            gather_store(open_store(nameless), tmp_path, budget=budget)
        with pytest.raises(InputError, match=r"24 are bad, the first: .*row 0: the embedding is n"):
            gather_store(open_store(hollow), tmp_path, budget=budget)


def test_a_full_disk_is_said_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(write(tmp_path / "s", [plain()]))
    monkeypatch.setattr(
        passes, "check_room", lambda folder, needed: scratch.check_room(folder, 10**18)
    )
    with pytest.raises(InputError, match=r"needs 1000000000\.0 GB of scratch space"):
        gather_store(store, tmp_path, budget=0)
    gather_store(store, tmp_path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(write(tmp_path / "s", [plain()]))
    (tmp_path / "scratch").mkdir()

    def stop(*_: Any) -> None:
        assert list((tmp_path / "scratch").iterdir()) == []  # files have no names from the first
        raise error

    expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
    for what in ((spill.SpilledTexts, "append"), (spill.Buckets, "add"), (shelf.Shelf, "write")):
        with monkeypatch.context() as patch:
            patch.setattr(*what, stop)
            with pytest.raises(expected):
                gather_store(store, tmp_path / "scratch", budget=0, many=0)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_parts_merged_in_the_meantime_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "s", [plain().slice(0, 12), plain().slice(12)])
    store = open_store(folder)
    real = reading.Reading.vectors

    def merge(self: reading.Reading, *arguments: Any, **options: Any) -> Any:
        if len(self.files) == 2:
            pq.write_table(plain(), folder / "part-000009-x.parquet")
            for file in self.files:
                file.unlink()
        return real(self, *arguments, **options)

    monkeypatch.setattr(reading.Reading, "vectors", merge)
    check(held(store, tmp_path), store.table())


def test_books_and_groups_of_two_arenas(tmp_path: Path) -> None:
    first = plain(thumbnail=[f"t{n}" for n in range(24)])
    ids = [*first["image_id"].to_pylist()[:2], *(f"{n:032x}" for n in range(100, 122))]
    looks = [None, None, "t7", *(f"u{n}" for n in range(21))]
    names = [f"m{n % 3 + 1}" for n in range(24)]
    second = plain(image_id=ids, thumbnail=looks, model=names)
    stores = [
        open_store(write(tmp_path / name, [table])) for name, table in (("a", first), ("b", second))
    ]
    one, two = held(stores[0], tmp_path), shelved(stores[1], tmp_path)
    groups = shared_groups(one, two)
    slow, _, _ = duplicate_groups(
        pa.concat_tables(
            [some.table.select(["item", "image_id", "thumbnail"]) for some in (one, two)]
        )
    )
    assert same_partition(np.concatenate(groups), slow)
    assert len(set(slow.tolist())) == 48 - 3
    again = shared_groups(one, two.table)
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(groups))
    books = {"model_names": ["m0", "m1", "m2", "m3"], "prompt_names": ["a", *one.prompts, "z"]}
    for gathered, group in zip((one, two), groups, strict=True):
        samples = gathered.samples(**books, group=group)
        assert samples.prompts == ("a", *one.prompts, "z")
        np.testing.assert_array_equal(samples.source, np.arange(24))
        labels = gathered.labels(samples.source)
        assert [samples.models[code] for code in samples.model] == labels["model"].to_pylist()
        assert [samples.prompts[code] for code in samples.prompt] == labels["prompt_id"].to_pylist()
        assert samples.group is group
    # a book in another order moves the rows, and source tells where from
    backwards = two.samples(model_names=["m3", "m2", "m1"], prompt_names=two.prompts[::-1])
    labels = two.labels(backwards.source)
    assert [backwards.models[code] for code in backwards.model] == labels["model"].to_pylist()
    assert (np.diff(backwards.prompt) >= 0).all()
    np.testing.assert_array_equal(backwards.vectors[:], two.vectors[backwards.source])


def test_some_rows(tmp_path: Path) -> None:
    store = open_store(write(tmp_path / "s", [plain()]))
    for way in WAYS:
        whole = way(store, tmp_path)
        keep = np.arange(24) % 5 != 0
        some = whole.only(keep)
        assert some.table.equals(whole.table.filter(pa.array(keep)))
        np.testing.assert_array_equal(some.samples().vectors[:], whole.vectors[keep])


def test_samples_go_to_other_processes_by_a_shared_shelf(tmp_path: Path) -> None:
    store = open_store(write(tmp_path / "s", [plain()]))
    gathered = gather_store(store, tmp_path, budget=0, many=0, shared=True)[0]
    samples = gathered.samples().take(np.arange(24) % 4 > 0)
    other = pickle.loads(pickle.dumps(samples))  # noqa: S301 - our own
    np.testing.assert_array_equal(other.vectors[:], samples.vectors[:])
    del other
    assert len(list(tmp_path.glob(".whodrew-shelf-*"))) == 1
    del gathered, samples
    assert list(tmp_path.glob(".whodrew-shelf-*")) == []


def test_texts_of_prompts() -> None:
    prompts = [f"p{n // 3 % 4}" for n in range(24)]
    texts = [f"text {p}" if n % 2 and p != "p2" else None for n, p in enumerate(prompts)]
    table = plain(prompt=texts)
    card = EncoderCard("n", "1", WIDTH, "unit", "none", "float16", licence="none")
    assert gather(table, card).texts() == {p: f"text {p}" for p in ("p0", "p1", "p3")}
    assert gather(table.drop_columns("prompt"), card).texts() == {}


# ---------------------------------------------------------------- codes
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["a", "a\0", "ab"]))),
    st.integers(0, 3),
)
def test_digests_tell_texts_apart(texts: list[str | None], skip: int) -> None:
    column = pa.chunked_array([pa.array(["x", "yy", "zzz", *texts], pa.string())]).slice(skip)
    whole = ["x", "yy", "zzz", *texts][skip:]
    found = digests(column)
    assert same_partition(found, whole)
    assert all((value == 0) == (text is None) for value, text in zip(found, whole, strict=True))
    counts = Counter(text for text in whole if text is not None)
    assert repeated(found).tolist() == [counts[text] > 1 for text in whole]


def test_digests_are_the_same_in_every_run() -> None:
    assert digests(pa.chunked_array([["whodrew", None]])).tolist() == [13986168927362809624, 0]


@given(st.lists(st.lists(st.one_of(st.none(), st.sampled_from("caäb")), max_size=6), min_size=1))
def test_a_book_counts_in_the_order_of_names(batches: list[list[str | None]]) -> None:
    book = Book()
    columns = [pa.chunked_array([pa.array(batch, pa.string())]) for batch in batches]
    names, codes = book.sorted(np.concatenate([book.add(column) for column in columns]))
    flat = [name for batch in batches for name in batch]
    assert names == tuple(sorted({name for name in flat if name is not None}))
    assert [None if code < 0 else names[code] for code in codes.tolist()] == flat


def test_codes_that_multiply_beyond_four_bytes_are_wide() -> None:
    many = tuple(str(n) for n in range(70_000))
    codes = np.array([0, 69_999], np.int32)
    samples = Samples.of_codes(
        np.zeros((2, 3), np.float32),
        prompt=codes,
        model=codes,
        prompts=many,
        models=many,
        image_id=codes,
        seed=codes,
        scale="unit",
    )
    assert samples.prompt.dtype == samples.model.dtype == np.int64
    assert int((samples.prompt * len(many) + samples.model)[1]) == 70_000**2 - 1
