"""The report's part on files: what it says, whatever stands in them, on every screen."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from test_report_browser import FLAGS, Visit, width_of
from test_report_fabricated import fabricate, rate
from whodrew.report import build_report

HOSTILE = "\"><script>alert('x')</script>{{7*7}}"
MODELS = [f"organisation_a-model-with-a-long-name-{i:02d}" for i in range(12)]


def leak(field: str, bits: float, example: dict[str, str], what: str | None = None) -> Any:
    return {
        "field": field,
        "what": what or field,
        "information_bits": {"value": bits, "low": bits - 0.01, "high": bits + 0.01},
        "p_value": 0.0002,
        "example": example,
        "mend": "write every image anew: whodrew defend ARENA --defence 'canonical(size=64)'",
    }


@pytest.fixture
def result() -> dict[str, Any]:
    made, _ = fabricate(MODELS, {"p1": "a cat", "p2": "a dog"}, 2)
    made["leaks"] = {
        "schema": "whodrew.leaks/1",
        "identifies": True,
        "accuracy_from_container": rate(0.61, 0.0833),
        "fields": [
            leak(
                "format",
                1.21,
                {one: "PNG" if i % 3 else "WEBP" for i, one in enumerate(MODELS)},
                "file format",
            ),
            leak("png_text", 0.5, {one: f"parameters: {i}" * 9 for i, one in enumerate(MODELS)}),
        ],
        "byte_size": {
            "information_bits": {"value": 0.2, "low": 0.1, "high": 0.3},
            "p_value": 0.01,
            "note": "apart",
        },
        "tested": ["format", "png_text", "size"],
        "notes": ["constant regions were looked for in 9 images"],
    }
    return made


def page_of(result: dict[str, Any]) -> str:
    def none(name: str) -> Any:
        raise KeyError(name)

    return build_report(result, none)


def test_values_models_and_mends_are_shown(result: dict[str, Any]) -> None:
    page = page_of(result)
    assert "2 of 3 fields of the files differ" in page
    assert "<code>WEBP</code>" in page
    assert "4 values more in audit.json" in page  # eight of twelve texts are listed
    assert page.count("<li>write every image anew") == 1
    assert "canonical(size=64)" in page
    assert "The files differ between models" in page  # the masthead warns
    assert "What differs: file format, png_text" in page
    assert "Constant regions were looked for in 9 images." in page


def test_what_tells_nothing_is_said_too(result: dict[str, Any]) -> None:
    result["leaks"] |= {"fields": [], "identifies": False}
    page = page_of(result)
    assert "No field of the files tells models apart" in page
    assert "What to change" not in page
    assert "The files differ between models" not in page


@pytest.mark.parametrize("leaks", [None, {}, "x"])
def test_without_files_there_is_no_section(result: dict[str, Any], leaks: Any) -> None:
    result["leaks"] = leaks
    assert "What the files give away" not in page_of(result)


def test_a_missing_accuracy_gives_its_reason(result: dict[str, Any]) -> None:
    result["leaks"]["accuracy_from_container"] = None
    result["leaks"]["accuracy_from_container_reason"] = "one prompt cannot be held out"
    assert "one prompt cannot be held out" in page_of(result)


def poisoned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: poisoned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    return HOSTILE if isinstance(value, str) else value


def test_nothing_in_a_file_becomes_markup(result: dict[str, Any]) -> None:
    changed = copy.deepcopy(result)
    changed["leaks"]["fields"] = poisoned(changed["leaks"]["fields"])
    changed["leaks"]["notes"] = [HOSTILE]
    for one in changed["leaks"]["fields"]:
        one["example"] = {HOSTILE: HOSTILE}
    page = page_of(changed)
    assert "<script>alert" not in page
    assert "{{7*7}}" in page  # and no template either


@pytest.mark.parametrize(
    "broken",
    [
        {"fields": [None, 3, {}]},
        {"fields": "x"},
        {"byte_size": None},
        {"fields": [{"field": "a", "example": [1], "information_bits": "x", "p_value": None}]},
        {"accuracy_from_container": "x", "notes": None, "tested": 3},
    ],
)
def test_a_broken_object_costs_no_report(result: dict[str, Any], broken: Any) -> None:
    result["leaks"] |= broken
    assert "What the files give away" in page_of(result)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_table_fits_the_screen(
    browser: Any, result: dict[str, Any], width: int, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(page_of(result), encoding="utf-8")
    with Visit(browser, path, width) as visit:
        assert width_of(visit.page) == width
        table = "document.querySelector('#leaks table')"
        inner = visit.page.evaluate(f"{table}.scrollWidth - {table}.parentElement.clientWidth")
        assert inner <= 1
        first = visit.page.locator("#leaks tbody th").first
        assert first.inner_text() == "file format"
        visit.page.locator("#leaks thead button").nth(1).click()
        assert visit.page.locator("#leaks tbody th").first.inner_text() in {
            "file format",
            "png_text",
        }
        assert visit.troubles == []
