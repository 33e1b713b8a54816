"""The report's parts: figures, words, drawings, the choice of images, thumbnails."""

from __future__ import annotations

import base64
import io
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.cluster.hierarchy import leaves_list, linkage

from whodrew.report import build
from whodrew.report.answers import PER_CELL, PER_PROMPT, most_confused, pick_images, read_confusion
from whodrew.report.charts import HEIGHT, WIDTH, line_chart
from whodrew.report.dendrogram import layout, leaf_order, nice_step
from whodrew.report.environment import clip, script_json
from whodrew.report.figures import Figure, count, decimal, figure, interval, percent
from whodrew.report.thumbs import MAX_THUMBS, Wanted, encode, make_thumbs
from whodrew.report.words import attack_title, knowledge_words, short_name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.0 %"),
        (0.0001, "<0.1 %"),
        (0.0417, "4.2 %"),
        (0.742, "74 %"),
        (0.9966, "99.7 %"),
        (1.0, "100 %"),
        (-0.031, "−3.1 %"),
    ],
)
def test_percent(value: float | None, text: str) -> None:
    assert percent(value).replace("\u202f", " ") == text


def test_other_figures() -> None:
    assert decimal(-0.0001, 2) == "0.00"
    assert decimal(-0.5, 2) == "−0.50"
    assert count(147_840) == "147\u202f840"
    assert count(None) == count(math.nan) == "–"
    assert interval(Figure(0.7, 0.66, 0.74)) == "66–74\u202f%"
    assert interval(Figure(0.7)) == ""


def test_figure_reads_rates_numbers_and_reasons() -> None:
    holder = {
        "rate": {"value": 0.5, "low": None, "high": None, "chance": 0.1, "low_reason": "few"},
        "plain": 3,
        "gone": None,
        "gone_reason": "because",
        "flag": True,
        "infinite": float("inf"),
    }
    assert figure(holder, "rate") == Figure(0.5, None, None, 0.1, "few")
    assert figure(holder, "plain") == Figure(3.0)
    assert figure(holder, "gone") == Figure(None, reason="because")
    for name in ("flag", "infinite", "absent"):
        assert figure(holder, name).value is None
    assert figure(None, "rate") == Figure(None)


def test_words_of_an_attack() -> None:
    knowledge = {
        "prompts": "matched",
        "models": ["a", "b"],
        "references": 4,
        "shown": "any",
        "centred": False,
    }
    assert knowledge_words(knowledge, 9) == [
        "references of the same prompt",
        "each image named alone",
        "not centred",
        "4 references a cell",
        "2 of 9 models known",
    ]
    attack = {"encoder": "e", "identifier": "i", "canonical": 512, "knowledge": knowledge}
    assert attack_title(attack).endswith("canonical form (512×512, JPEG 85)")


def test_short_names_of_relatives_differ() -> None:
    family = [
        "Tencent-Hunyuan_HunyuanDiT-v1.2-Diffusers",
        "Tencent-Hunyuan_HunyuanDiT-v1.2-Diffusers-Distilled",
    ]
    assert len({short_name(name) for name in family}) == 2
    assert all(len(short_name(name)) == 30 for name in family)


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_json_cannot_leave_its_script(value: object) -> None:
    text = str(script_json(value))
    assert not set(text) & set("<>&'\u2028\u2029")
    assert json.loads(text) == value


def test_clip_keeps_short_text() -> None:
    assert clip("abc", 3) == "abc"
    assert clip("abcd", 3) == "ab…"


@given(st.integers(2, 30), st.integers(0, 1000))
def test_leaf_order_is_that_of_scipy(leaves: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(leaves, 3))
    merges = linkage(points, "average")
    assert leaf_order(merges.tolist(), leaves) == leaves_list(merges).tolist()


@pytest.mark.parametrize(
    "merges", [[], [[0, 1, 0.5, 2]], [[0, 0, 1, 2], [1, 3, 1, 3]], [[0, 9, 1, 2], [1, 2, 1, 2]]]
)
def test_broken_merges_keep_the_given_order(merges: list[list[float]]) -> None:
    assert leaf_order(merges, 3) == [0, 1, 2]
    assert layout(["a", "b", "c"], merges, {}) is None


def test_layout_marks_branches_of_one_family() -> None:
    merges = [[0, 1, 0.1, 2], [2, 3, 0.4, 3]]
    drawn = layout(["a", "b", "c"], merges, {"a": "kin", "b": "kin", "c": "other"})
    assert drawn is not None
    assert [branch.family for branch in drawn.branches] == ["kin", ""]
    assert [leaf.model for leaf in drawn.leaves] == ["c", "a", "b"]


def test_layout_without_any_distance() -> None:
    assert layout(["a", "b"], [[0, 1, 0.0, 2]], {}) is not None


@given(st.floats(1e-6, 1e6), st.integers(1, 8))
def test_nice_steps_are_few(span: float, wanted: int) -> None:
    assert 0.2 * wanted <= span / nice_step(span, wanted) <= wanted + 1e-6


def test_line_chart_stays_in_its_box() -> None:
    rows = [
        {"models": k, "top1": {"value": 1 / k, "low": 0.0, "high": 1.0, "chance": 1 / k}}
        for k in (64, 2, 8, 1)
    ]
    rows += [{"models": 5, "top1": None}, {"models": "all", "top1": 0.3}]
    drawn = line_chart(rows, "models", "models")
    assert drawn is not None
    assert drawn.logarithmic
    assert [point.title.split()[0] for point in drawn.points] == ["1", "2", "8", "64"]
    for point in drawn.points:
        assert 0 <= point.x <= WIDTH
        assert 0 <= (point.high or 0) <= point.y <= (point.low or 0) <= HEIGHT
    assert line_chart(rows[:1], "models", "models") is None
    assert line_chart([], "models", "models") is None


def answers(rows: list[tuple[str, str, str, float | None]]) -> pa.Table:
    return pa.table(
        {
            "image_id": [row[0] for row in rows],
            "path": [f"/{row[0]}.png" for row in rows],
            "prompt_id": ["p"] * len(rows),
            "model": [row[1] for row in rows],
            "seed": ["0"] * len(rows),
            "answer": [row[2] for row in rows],
            "rank": [1] * len(rows),
            "probability": pa.array([row[3] for row in rows], pa.float64()),
        }
    )


def test_images_of_a_cell_are_few_and_surest_first() -> None:
    rows = [(f"i{k:02d}", "a", "b", k / 40) for k in range(30)]
    rows += [("lone", "b", "b", None), ("other", "b", "z", 0.9)]
    cells = pick_images(answers(rows), {"a", "b"}, {"i03"})
    assert set(cells) == {("a", "b"), ("b", "b")}
    assert len(cells["a", "b"]) == PER_CELL
    assert [shown.image_id for shown in cells["a", "b"]][:3] == ["i03", "i29", "i28"]
    assert cells["b", "b"][0].probability is None
    assert pick_images(None, {"a"}, set()) == pick_images(answers([]), {"a"}, set()) == {}


def test_reads_counts_and_finds_the_commonest_mistake() -> None:
    table = pa.table(
        {"truth": ["a", "a", "b", "b"], "answer": ["a", "b", "b", "unknown"], "count": [6, 4, 1, 9]}
    )
    counts = read_confusion(table)
    assert sum(counts.values()) == 20
    assert most_confused(counts, ["a", "b"]) == ("a", "b", 0.4)
    assert most_confused({("a", "a"): 3}, ["a"]) is None


def test_a_thumbnail_keeps_its_shape_and_its_size() -> None:
    wide = Image.new("RGBA", (600, 200), (200, 10, 10, 128))
    small = Image.open(io.BytesIO(base64.b64decode(encode(wide, 128, 60))))
    assert (small.format, small.size) == ("WEBP", (128, 43))


def test_thumbnails_keep_to_the_budget_and_to_their_order() -> None:
    rng = np.random.default_rng(0)
    wild = Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8))
    wanted = [Wanted(str(i), str(i)) for i in range(100)] * 2
    one = len(encode(wild.copy(), 80, 40))
    made = make_thumbs(wanted, lambda _: wild.copy(), 10 * (one + 3) + 1)
    assert list(made) == [str(i) for i in range(10)]
    assert make_thumbs(wanted, None, 10**6) == {}
    assert make_thumbs(wanted, lambda _: wild.copy(), 0) == {}
    plenty = make_thumbs(wanted, lambda _: wild.copy(), 10**7)
    assert len(plenty) == 100
    assert len(next(iter(plenty.values()))) > one


def test_a_picture_that_breaks_costs_only_itself() -> None:
    def opener(path: str) -> Image.Image | None:
        if path == "1":
            raise Image.DecompressionBombError(path)
        return None if path == "2" else Image.new("L", (50, 50))

    made = make_thumbs([Wanted(str(i), str(i)) for i in range(4)], opener, 10**6)
    assert list(made) == ["0", "3"]


def test_no_more_thumbnails_than_can_be_decoded() -> None:
    tiny = Image.new("RGB", (4, 4))
    wanted = [Wanted(str(i), "x") for i in range(MAX_THUMBS + 100)]
    assert len(make_thumbs(wanted, lambda _: tiny.copy(), 10**8)) == MAX_THUMBS


def test_of_very_many_images_the_first_of_each_cell_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    names = {"prompt_id": "pqr", "model": "ab", "answer": "abc"}
    drawn = {key: rng.choice(list(values), 600).tolist() for key, values in names.items()}
    drawn["model"][:5] = [None] * 5
    table = pa.table({"image_id": range(600), **drawn})
    pq.write_table(table, tmp_path / "long.parquet", row_group_size=300)
    read = build._reader(tmp_path)
    assert read("long.parquet").equals(table)
    monkeypatch.setattr(build, "MOST_ROWS", 599)
    kept = []
    for group in (range(300), range(300, 600)):
        seen: Counter[tuple[str, ...]] = Counter()
        for row in group:
            cell = tuple(drawn[key][row] for key in names)
            seen[cell] += 1
            if seen[cell] <= PER_PROMPT:
                kept.append(row)
    assert len(kept) < 100
    assert read("long.parquet").equals(table.take(pa.array(kept)))
    # a matrix is no list of images
    pq.write_table(table.drop_columns(["image_id"]), tmp_path / "matrix.parquet")
    assert len(read("matrix.parquet")) == 600
