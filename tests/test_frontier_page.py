"""The page of a frontier: what it plots, what it can never hold, and how it looks on a phone."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from test_report_browser import FLAGS, Visit, width_of
from test_report_page import HOSTILE, Page
from whodrew.report.frontier import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MARKS,
    RIGHT,
    TOP,
    WIDTH,
    best_of,
    build_frontier,
    plot_of,
    without_defence,
)

DEFENCES = (
    ("canonical(size=768,quality=85)", 0.98, 0.81),
    ("canonical(size=768)+crowd(strength=0.5)", 0.95, 0.70),
    ("canonical(size=768)+jitter", 0.92, 0.48),
    ("canonical(size=512)+jitter(strength=2,grain=0.08,chroma=0.012,fade=6)", 0.84, 0.35),
)


def faced(attacker: str, value: float | None, shown: str = "any", **more: Any) -> dict[str, Any]:
    knowledge = {"prompts": "other", "shown": shown, "draws": 16} | more
    one = {
        "attacker": attacker,
        "encoder": more.pop("encoder", "fingerprint"),
        "identifier": "whitened-centroid",
        "knowledge": knowledge,
    }
    if value is None:
        return {**one, "top1": None, "top1_reason": "needs torch: pip install 'whodrew[torch]'"}
    low, high = max(value - 0.04, 0.0), min(value + 0.04, 1.0)
    return {**one, "top1": {"value": value, "low": low, "high": high, "chance": 1 / 24}}


def point(spec: str, ssim: float | None, top: float | None) -> dict[str, Any]:
    some = [
        faced(kind, None if top is None else max(top - 0.05 * at, 0.0))
        for at, kind in enumerate(reversed(MARKS))
    ]
    if top is not None:
        some.append(faced("adaptive", top - 0.02, draws=1))
        some.append(faced("fused", min(top + 0.1, 1.0), "each-once"))
    best = max(some[:6], key=lambda one: one["top1"]["value"]) if top is not None else None
    quality = {
        "images": 64, "against": "the image resized", "psnr": 33.2, "ssim": ssim, "lpips": None,
        "lpips_reason": "needs lpips", "max_change": 41.0,
    }  # fmt: skip
    if ssim is None:
        quality |= {"psnr": None, "max_change": None}
    return {
        "defence": spec,
        "budget": {},
        "quality": quality,
        "milliseconds_per_image": 31.4,
        "learnt_from": None,
        "attackers": some,
        "strongest": best,
    }


def result(*points: Any, **more: Any) -> dict[str, Any]:
    made = [point(*one) for one in (points or DEFENCES)]
    return {
        "schema": "whodrew.frontier/1",
        "seed": 0,
        "arena": {
            "source": more.get("source", "arena"), "images": 480, "models": 24, "prompts": 20,
            "bad": [], "notes": ["480 of 960 images, 20 of 40 prompts, by seed"],
        },
        "chance": 1 / 24,
        "undefended": [faced("undefended", 0.86, draws=0), faced("undefended", 0.9, "each-once")],
        "points": made,
        "recommendation": {
            "defence": made[2]["defence"] if len(made) > 2 else None,
            "why": "Its strongest attacker names 48.0 %, where undefended images give 86.0 %.",
        },
    }  # fmt: skip


def webp(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    out = io.BytesIO()
    small.resize((224, 224), Image.Resampling.BICUBIC).save(out, "WEBP", quality=80)
    return out.getvalue()


def pictures(found: dict[str, Any]) -> dict[str, Any]:
    return {
        one["defence"]: [(f"a/b/{at}.png", webp(at), webp(at + 1), webp(at + 2)) for at in range(3)]
        for one in found["points"]
    }


# ---------------------------------------------------------------- the plot
def test_better_pictures_stand_further_right_and_weaker_attackers_lower() -> None:
    plot = plot_of(result())
    assert plot is not None
    across = {spot.number: spot.x for spot in plot.spots}
    assert [across[at] for at in (4, 3, 2, 1)] == sorted(across.values())
    strong = {spot.number: spot for spot in plot.spots if spot.strongest}
    assert [strong[at].y for at in (1, 2, 3, 4)] == sorted(one.y for one in strong.values())
    for spot in plot.spots:
        assert LEFT <= spot.x <= WIDTH - RIGHT
        assert TOP <= spot.y <= HEIGHT - BOTTOM
        assert spot.low is not None
        assert spot.high is not None
        assert spot.high < spot.y < spot.low or spot.y in (spot.low, spot.high)
    assert plot.undefended is not None
    assert plot.undefended < plot.chance
    assert [label for _, label in plot.x_ticks] == sorted(label for _, label in plot.x_ticks)
    ticks = {label: at for at, label in plot.x_ticks}
    assert ticks["1.00"] > across[1]


def test_only_images_shown_alone_are_plotted() -> None:
    plot = plot_of(result())
    assert plot is not None
    assert len(plot.spots) == len(DEFENCES) * len(MARKS)
    assert {spot.mark for spot in plot.spots} == set(MARKS)
    # the fused attacker of images shown together names more, and is not there
    assert max(0.81, 0.0) == pytest.approx(
        (HEIGHT - BOTTOM - min(spot.y for spot in plot.spots)) / (HEIGHT - TOP - BOTTOM)
    )


def test_the_line_joins_what_nothing_beats() -> None:
    plot = plot_of(result(("a", 0.99, 0.8), ("worse", 0.95, 0.9), ("b", 0.9, 0.4)))
    assert plot is not None
    assert plot.frontier.count("L") == 1
    lone = plot_of(result(("a", 0.99, 0.8)))
    assert lone is not None
    assert lone.frontier == ""


@pytest.mark.parametrize("ssim", [1.0, 0.999, 0.5, 0.02, -0.2])
def test_any_ssim_lies_inside_the_box(ssim: float) -> None:
    plot = plot_of(result(("a", ssim, 0.5)))
    assert plot is not None
    assert all(LEFT <= spot.x <= WIDTH - RIGHT for spot in plot.spots)
    assert 1 <= len(plot.x_ticks) <= 10


def test_the_most_by_kind_is_kept() -> None:
    some = [
        faced("adaptive", 0.4, draws=1),
        faced("adaptive", 0.6),
        faced("adaptive", 0.9, "each-once"),
        faced("unseen-encoder", None),
    ]  # fmt: skip
    assert best_of(some) == {"adaptive": some[1]}
    assert best_of(some, "each-once") == {"adaptive": some[2]}


# ---------------------------------------------------------------- the page
def test_everything_is_told() -> None:
    found = result()
    text = " ".join(Page(build_frontier(found, pictures(found))).words)
    for spec, ssim, top in DEFENCES:
        assert spec in text
        assert f"{ssim:.3f}" in text
        assert f"{100 * top:.1f}" in text
    for kind, words in MARKS.items():
        assert f"{kind}: {words}" in text
    assert found["recommendation"]["why"] in text
    assert "480 of 960 images" in text


def test_the_strongest_undefended_is_what_defences_are_held_against() -> None:
    found = result()
    found["undefended"] += [
        faced("purifying", 0.7, draws=0, purified="blur-1"),
        faced("fused", 0.93, draws=0),
        faced("contrastive", None),
    ]
    plain, plot = plot_of(result()), plot_of(found)
    assert plain is not None
    assert plot is not None
    height = HEIGHT - TOP - BOTTOM
    assert plain.undefended == pytest.approx(HEIGHT - BOTTOM - 0.86 * height)
    assert plot.undefended == pytest.approx(HEIGHT - BOTTOM - 0.93 * height)
    assert {kind: one["top1"]["value"] for kind, one in without_defence(found).items()} == {
        "unchanged": 0.86, "purifying": 0.7, "fused": 0.93,
    }  # fmt: skip
    page = build_frontier(found)
    row = page[page.index("undefended</th>") :]
    row = "".join(row[: row.index("</tr>")].split())  # whatever stands before %
    assert [share in row for share in ("86%", "70%", "93%", "90%")] == [True] * 3 + [False]
    assert row.count("most") == 1
    assert "blur-1" in row


def test_figures_in_sample_are_marked() -> None:
    found = result()
    assert "in-sample" not in build_frontier(found)
    found["points"][1]["learnt_from"] = "the same images"
    found["points"][2]["learnt_from"] = "other prompts"
    page = build_frontier(found)
    assert page.count("in-sample: learnt from the images it is measured on") == 1
    marked = page[: page.index("in-sample: learnt")]
    assert marked.rindex(DEFENCES[1][0]) > marked.rindex(DEFENCES[0][0])
    assert "learnt without its prompt" in page


def test_without_a_measured_point_it_says_so() -> None:
    found = result(("canonical(size=64)", None, 0.5), ("noise", None, None))
    assert plot_of(found) is None
    page = build_frontier(found)
    assert "there is nothing to plot" in page
    assert "<svg viewBox" not in page
    assert "needs torch" in page
    assert "No defence here is worth its price" in page


def test_a_defence_that_nobody_attacked() -> None:
    page = build_frontier(result(("a", 0.9, None), ("b", 0.95, 0.5)))
    assert page.count("<tr>") == 4  # with the head and what no defence leaves


def test_it_asks_nothing_of_the_network() -> None:
    found = result()
    page = Page(build_frontier(found, pictures(found)))
    assert page.scripts == []
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "audio", "video", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action", "poster", "xlink:href"):
                assert (value or "").startswith(("data:", "#")), (tag, value)
    whole = build_frontier(found)
    assert not re.search(r"url\((?!['\"]?(data:|#))|@import|https?://", whole)
    (policy,) = [a["content"] for t, a in page.elements if a.get("http-equiv")]
    assert policy is not None
    assert "default-src 'none'" in policy


def infested(hostile: str) -> Page:
    found = result((hostile, 0.9, 0.5), ("b", 0.95, 0.6), (f"c{hostile}", 0.8, 0.2), source=hostile)
    found["arena"]["notes"] = [hostile]
    found["recommendation"]["why"] = hostile
    for one in found["points"]:
        for attacker in one["attackers"]:
            attacker["encoder"] = hostile
        one["attackers"].append(faced("unseen-encoder", None) | {"top1_reason": hostile})
    images = {
        spec: [(hostile, *some[0][1:])] for spec, some in pictures(found).items()
    }  # fmt: skip
    return Page(build_frontier(found, images))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_stay_text(hostile: str) -> None:
    page, plain = infested(hostile), infested("harmless")
    assert page.scripts == []
    assert Counter(tag for tag, _ in page.elements) == Counter(tag for tag, _ in plain.elements)
    names = [Counter(name for _, a in one.elements for name in a) for one in (page, plain)]
    assert names[0] == names[1]
    assert hostile in " ".join(page.words)


# ---------------------------------------------------------------- in a browser
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    found = result()
    path.write_text(build_frontier(found, pictures(found)), encoding="utf-8")
    return path


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_complains_of_nothing(
    browser: Any, written: Path, width: int, scheme: str
) -> None:
    with Visit(browser, written, width, scheme) as visit:
        assert width_of(visit.page) <= width
        assert visit.page.locator(".plot svg g").count() == len(DEFENCES) * len(MARKS)
        shown = visit.page.locator("details[open] img")
        assert shown.count() == 9
        assert shown.first.evaluate("i => i.decode().then(() => i.naturalWidth)") == 224
        visit.page.locator("details summary").first.click()
        assert visit.page.locator("details[open]").count() == 2
        assert visit.troubles == []


@pytest.mark.browser
def test_hostile_names_start_nothing(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    found = result(*((hostile, 0.9, 0.5) for hostile in HOSTILE))
    path.write_text(build_frontier(found), encoding="utf-8")
    with Visit(browser, path) as visit:
        assert visit.page.locator("tbody tr").count() == 1 + len(HOSTILE)
        assert visit.troubles == []
