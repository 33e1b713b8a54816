"""The page as a whole: what it holds, what it can never hold, and how large it gets."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from test_report_fabricated import fabricate, names, rate
from whodrew.errors import InputError
from whodrew.report import MAX_BYTES, build_report, write_report
from whodrew.report.thumbs import MAX_THUMBS

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'-alert(3)-'",
    "<!--<script>",
    "{{ 7 * 7 }}{% raw %}",
    "line\u2028separator & <b>bold</b>",
)
CITATION = "https://arxiv.org/abs/2601.09647"


class Page(HTMLParser):
    """Every element with its attributes, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and data.strip():
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        else:
            self.words.append(data)

    def json(self, name: str) -> Any:
        return next(json.loads(text) for attrs, text in self.scripts if attrs.get("id") == name)

    def text(self) -> str:
        # Narrow spaces within figures stay.
        return re.sub(r"[ \n]+", " ", " ".join(self.words))


def noise(side: int) -> Callable[[str], Image.Image]:
    """An opener of pictures that compress as badly as any."""

    def opener(path: str) -> Image.Image:
        rng = np.random.default_rng(crc32(path.encode()))
        return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))

    return opener


def somewhere(model: str, prompt: str, seed: int) -> str:
    return f"/images/{model}/{prompt}/{seed}.png"


def many_prompts(count: int) -> dict[str, str]:
    return {f"p{i:03d}": f"prompt {i}, a photo of something on a table" for i in range(count)}


@pytest.fixture(scope="module")
def small() -> tuple[dict[str, Any], dict[str, pa.Table]]:
    families = {"model-000": "kin", "model-001": "kin"}
    return fabricate(names(6), many_prompts(5), 2, families, somewhere)


def test_holds_every_section(small: Any) -> None:
    result, tables = small
    page = Page(build_report(result, tables.__getitem__, noise(64)))
    sections = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert sections == [
        "attacks",
        "confusion",
        "prompts",
        "similarity",
        "curves",
        "models",
        "variation",
        "reading",
        "method",
    ]
    assert result["headline"]["sentence"] in page.text()
    assert "truncated after 1,204 of 80,112 bytes" in page.text()
    assert "SYNTHETIC" not in page.text()
    assert "The files differ" not in page.text()


def test_each_thumbnail_is_embedded_once(small: Any) -> None:
    result, tables = small
    html = build_report(result, tables.__getitem__, noise(64))
    page = Page(html)
    images = page.json("thumbs")["images"]
    assert len(images) == len(set(images)) <= 60
    shown = {int(attrs["data-thumb"] or -1) for tag, attrs in page.elements if tag == "img"}
    assert shown <= set(range(len(images)))
    assert html.count(images[0]) == 1


def test_matrix_holds_every_query_in_leaf_order(small: Any) -> None:
    result, tables = small
    data = Page(build_report(result, tables.__getitem__)).json("data")
    assert sorted(data["models"]) == sorted(result["similarity"]["models"])
    for attack, drawn in zip(result["attacks"], data["attacks"], strict=True):
        assert sum(drawn["counts"][2::3]) == sum(drawn["totals"]) == attack["queries"]
        assert all(len(cell) <= 12 for cell in drawn["cells"].values())
    kin = sorted(data["models"].index(model) for model in ("model-000", "model-001"))
    assert kin[1] - kin[0] == 1


def infested(text: str) -> Page:
    """The page of an arena whose every word is that text."""
    models = [text, "b" + text, "c", "d"]
    prompts = {text: text, "p2" + text: "x" + text, "p3": text}
    families = {text: text, "b" + text: text}
    result, tables = fabricate(models, prompts, 2, families, somewhere)
    result["headline"] = {"sentence": text, "figures": {text: text, "n": None, "n_reason": text}}
    result["container"] = {"differs": True, "fields": [text], "top1": rate(0.5)}
    result["arena"] |= {"bad": [{"item": text, "reason": text}], "duplicates": [[text, text]]}
    result["arena"]["formats"] = {text: 3}
    result["software"][text] = text
    result |= {"created": text, "seed": text}
    result["encoders"][0] |= {"name": text, "preprocessing": {text: text}}
    for attack in result["attacks"]:
        attack |= {"encoder": text, "identifier": text, "top3": None, "top3_reason": text}
        attack |= {"by_references": None, "by_references_reason": text}
    return Page(build_report(result, tables.__getitem__, noise(32)))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_of_the_arena_stays_text(hostile: str) -> None:
    page = infested(hostile)
    assert [attrs.get("id") for attrs, _ in page.scripts] == ["data", "thumbs", None]
    assert {hostile, "b" + hostile} <= set(page.json("data")["models"])
    plain = infested("harmless")
    assert Counter(tag for tag, _ in page.elements) == Counter(tag for tag, _ in plain.elements)
    names_of = [Counter(name for _, a in p.elements for name in a) for p in (page, plain)]
    assert names_of[0] == names_of[1]
    assert not any(name.startswith("on") or name == "style" for name in names_of[0])


def test_asks_nothing_of_the_network(small: Any) -> None:
    result, tables = small
    html = build_report(result, tables.__getitem__, noise(32))
    page = Page(html)
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "href", "action", "poster", "data", "xlink:href"):
            target = attributes.get(name)
            if target is not None:
                assert target.startswith("#") or target in ("data:,", CITATION), (tag, target)
        if attributes.get("href") == CITATION:
            assert tag == "a"
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(
        a["content"]
        for t, a in page.elements
        if t == "meta" and "content" in a and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-eval" not in policy


def test_null_figures_are_dashes_with_their_reason(small: Any) -> None:
    result, tables = small
    html = build_report(result, tables.__getitem__)
    reason = result["attacks"][0]["top3_reason"]
    assert f'title="{reason}"' in html
    notes = re.findall(r'<li id="note-attacks-(\d+)">([^<]*)</li>', html)
    assert reason in [text for _, text in notes]
    links = set(re.findall(r'href="#(note-[a-z]+-\d+)"', html))
    assert links <= set(re.findall(r'<li id="(note-[a-z]+-\d+)">', html))


def test_says_synthetic_and_warns_of_the_container(small: Any) -> None:
    result, tables = small
    changed = json.loads(json.dumps(result))
    changed["arena"]["synthetic"] = True
    changed["container"] = {"differs": True, "fields": ["format", "size"], "top1": rate(0.42, 0.1)}
    text = Page(build_report(changed, tables.__getitem__)).text()
    assert "SYNTHETIC" in text
    assert "What differs: format, size." in text
    assert "is right 42\u202f% of the time" in text
    assert "chance is 10\u202f%" in text


def test_missing_files_mean_no_pictures_and_no_error(small: Any) -> None:
    result, tables = small
    for opener in (None, lambda _: None):
        page = Page(build_report(result, tables.__getitem__, opener))
        assert page.json("thumbs")["images"] == []
        assert not any(tag == "img" for tag, _ in page.elements)

    def broken(path: str) -> Image.Image:
        raise OSError(path)

    assert Page(build_report(result, tables.__getitem__, broken)).json("thumbs")["images"] == []


def test_missing_tables_leave_out_what_rests_on_them(small: Any) -> None:
    result, _ = small
    page = Page(build_report(result, {}.__getitem__, noise(32)))
    sections = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert "confusion" not in sections
    assert "attacks" in sections


def test_an_audit_without_any_attack_still_renders() -> None:
    bare = {"schema": "whodrew.audit/1", "attacks": [], "prompts": None, "arena": {}}
    page = Page(build_report(bare, {}.__getitem__))
    assert [a["id"] for t, a in page.elements if t == "section"] == ["reading", "method"]


def test_same_input_same_page(small: Any) -> None:
    result, tables = small
    first = build_report(result, tables.__getitem__, noise(48))
    assert first == build_report(result, tables.__getitem__, noise(48))


@pytest.mark.slow
@pytest.mark.parametrize(("models", "prompts", "generations"), [(62, 36, 1), (22, 280, 24)])
def test_stays_under_its_size(models: int, prompts: int, generations: int) -> None:
    result, tables = fabricate(names(models), many_prompts(prompts), generations, None, somewhere)
    html = build_report(result, tables.__getitem__, noise(128))
    assert len(html.encode()) <= MAX_BYTES
    images = Page(html).json("thumbs")["images"]
    assert 1000 <= len(images) <= MAX_THUMBS


@pytest.mark.slow
def test_stays_under_its_size_whatever_the_arena() -> None:
    long = "a very long name of a model, " * 30
    models = [f"{i} {long}" for i in range(300)]
    prompts = {f"{i} {long}": f"{i} {long}" * 5 for i in range(3)}
    result, tables = fabricate(models, prompts, 1, None, somewhere)
    result["prompts"] = [{**result["prompts"][i % 3]} for i in range(30_000)]
    result["attacks"] = result["attacks"] * 12
    result["arena"]["bad"] = result["arena"]["bad"] * 5000
    result["arena"]["duplicates"] = [[long] * 500] * 500
    html = build_report(result, tables.__getitem__, noise(128))
    assert len(html.encode()) <= MAX_BYTES
    page = Page(html)
    assert len(page.json("data")["models"]) == 120
    assert "29\u202f000 prompts between, not shown here" in page.text()


def test_writes_the_report_beside_the_audit(small: Any, tmp_path: Path) -> None:
    result, tables = small
    for name, table in tables.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / name)
    (tmp_path / "audit.json").write_text(json.dumps(result), encoding="utf-8")
    assert write_report(tmp_path) == tmp_path / "report.html"
    written = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert written == build_report(result, tables.__getitem__)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audit.json", "report.html", "tables"]


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/passwd", "tables/../../x"])
def test_refuses_a_table_outside_of_the_folder(name: str, small: Any, tmp_path: Path) -> None:
    result, _ = small
    changed = {**result, "attacks": [{**result["attacks"][0], "confusion": name}]}
    (tmp_path / "audit.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(InputError, match="outside of its folder"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no audit.json"),
        ("{", "is no JSON"),
        ("[]", "holds no object"),
        ('{"schema": "whodrew.frontier/1"}', "whodrew.audit/1"),
    ],
)
def test_says_what_is_wrong_with_the_audit(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "audit.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        write_report(tmp_path)


def test_an_unreadable_table_is_named(small: Any, tmp_path: Path) -> None:
    result, _ = small
    (tmp_path / "audit.json").write_text(json.dumps(result), encoding="utf-8")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "images.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"images\.parquet is no readable Parquet"):
        write_report(tmp_path)
