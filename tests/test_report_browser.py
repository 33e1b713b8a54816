"""The report in a real browser: no errors, no requests, usable with a mouse, keys and a phone."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from PIL import Image, ImageDraw

from test_report_fabricated import fabricate
from test_report_page import HOSTILE, many_prompts, noise, somewhere
from whodrew.report import MAX_BYTES, build_report

pytestmark = pytest.mark.browser
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def drawing(path: str) -> Image.Image:
    image = Image.new("RGB", (96, 96), (crc32(path.encode()) % 256, 120, 160))
    ImageDraw.Draw(image).ellipse((20, 20, 70, 70), fill=(240, 200, 90))
    return image


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = [f"organisation_a-model-with-a-long-name-{i:02d}" for i in range(24)]
    families = {models[0]: "kin", models[1]: "kin", models[2]: "kin"}
    result, tables = fabricate(models, many_prompts(22), 2, families, somewhere)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(build_report(result, tables.__getitem__, drawing), encoding="utf-8")
    return path


class Visit:
    """A page with everything it complained about or asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.troubles: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)
        self.page.goto(path.as_uri())

    def _dialog(self, dialog: Any) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("data:", "file:")):
            self.troubles.append(f"request: {request.url[:100]}")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def width_of(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


def test_opens_without_errors_or_requests(browser: Any, report: Path) -> None:
    with Visit(browser, report) as visit:
        visit.page.wait_for_selector("#matrix td.hit")
        assert visit.page.locator("#matrix tbody tr").count() == 24
        loaded = "[...document.images].filter(i => i.src && !i.naturalWidth).length"
        assert visit.page.evaluate(loaded) == 0
        assert visit.page.evaluate("document.images.length") > 100
        assert visit.troubles == []


def test_a_click_on_a_cell_shows_its_images(browser: Any, report: Path) -> None:
    with Visit(browser, report) as visit:
        visit.page.locator("#matrix td.hit").first.click()
        assert "named right" in visit.page.locator("#cell-title").inner_text()
        images = visit.page.locator("#cell-images img")
        assert 1 <= images.count() <= 12
        assert images.first.evaluate("i => i.decode().then(() => i.naturalWidth)") > 0
        visit.page.locator("#cell-close").click()
        assert visit.page.locator("#cell-images img").count() == 0
        assert visit.troubles == []


def test_the_matrix_answers_to_keys(browser: Any, report: Path) -> None:
    with Visit(browser, report) as visit:
        first = visit.page.locator("#matrix td[data-at='0-0']")
        assert visit.page.locator("#matrix td[tabindex='0']").count() == 1
        first.focus()
        for key in ("ArrowDown", "ArrowRight", "End", "Home", "ArrowRight", "ArrowDown", "Enter"):
            visit.page.keyboard.press(key)
        selected = visit.page.locator("#matrix td[aria-selected='true']")
        assert selected.get_attribute("data-at") == "2-1"
        assert visit.page.locator("#matrix td[tabindex='0']").get_attribute("data-at") == "2-1"
        visit.page.keyboard.press("Escape")
        assert selected.count() == 0
        assert visit.troubles == []


def test_another_attack_changes_every_section(browser: Any, report: Path) -> None:
    with Visit(browser, report) as visit:
        page = visit.page
        before = page.locator("#matrix tbody").inner_text()
        page.locator("input[name=attack]").nth(5).check()
        assert page.locator("#matrix tbody").inner_text() != before
        for section in ("attacks", "curves", "models"):
            shown = page.locator(f"#{section} [data-for]:visible")
            assert shown.count() == 1
            assert shown.get_attribute("data-for") == "5"
        assert page.locator("#choose-curves").input_value() == "5"
        page.locator("#choose-curves").select_option("0")
        assert page.locator("input[name=attack]").nth(0).is_checked()
        assert page.locator("#matrix tbody").inner_text() == before


def test_a_heading_sorts_and_keeps_missing_figures_last(browser: Any, report: Path) -> None:
    with Visit(browser, report) as visit:
        page = visit.page
        rows = "[...document.querySelectorAll('table.attacks tbody tr')]"
        column = f"{rows}.map(row => row.cells[2].dataset.v)"
        page.get_by_role("button", name="Top-3").click()
        for way in (-1, 1):
            values = page.evaluate(column)
            numbers = [float(value) for value in values if value]
            assert numbers == sorted(numbers, reverse=way == -1)
            assert values[-2:] == ["", ""]
            page.get_by_role("button", name="Top-3").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_down_only(browser: Any, report: Path, scheme: str) -> None:
    with Visit(browser, report, 360, scheme) as visit:
        page = visit.page
        assert page.locator("#matrix tbody th").first.inner_text().startswith("organ…g-name-")
        page.locator("#matrix td.hit").first.click()
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        for index in range(6):
            page.locator("#choose-models").select_option(str(index))
            assert width_of(page) == 360
        assert page.locator("#cell-images img").first.is_visible()
        assert visit.troubles == []


def test_schemes_differ(browser: Any, report: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        with Visit(browser, report, 1280, scheme) as visit:
            style = "getComputedStyle(document.body)"
            colours.append(visit.page.evaluate(f"{style}.backgroundColor + {style}.color"))
            assert len(visit.page.screenshot()) > 20_000
            assert visit.troubles == []
    assert colours[0] != colours[1]


CONTRAST = """() => {
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const bad = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || element.closest('svg, script, noscript, .skip') || !element.offsetParent) continue;
    const pair = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className} ` +
      element.textContent.trim().slice(0, 30));
  }
  return [...new Set(bad)].slice(0, 20);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(browser: Any, report: Path, scheme: str) -> None:
    """WCAG AA: every text has a contrast of 4.5 or more against what lies behind it."""
    with Visit(browser, report, 1280, scheme) as visit:
        visit.page.locator("#matrix td.miss").first.click()
        assert visit.page.evaluate(CONTRAST) == []


def test_nothing_of_the_arena_runs(browser: Any, tmp_path: Path) -> None:
    models = [*HOSTILE, "plain"]
    prompts = dict.fromkeys(HOSTILE, "<img src=x onerror=alert(4)>")
    families = dict.fromkeys(models, HOSTILE[0])
    result, tables = fabricate(models, prompts, 2, families, somewhere)
    result["headline"]["sentence"] = HOSTILE[1]
    path = tmp_path / "report.html"
    path.write_text(build_report(result, tables.__getitem__, noise(32)), encoding="utf-8")
    with Visit(browser, path) as visit:
        page = visit.page
        assert page.locator("h1").inner_text() == HOSTILE[1]
        for cell in page.locator("#matrix td.hit, #matrix td.miss").all()[:12]:
            cell.click()
        titles = page.locator("#matrix thead th").evaluate_all("all => all.map(e => e.title)")
        assert set(models) == set(titles)
        assert visit.troubles == []


def test_a_report_of_real_images(browser: Any, corpora: Path, tmp_path: Path) -> None:
    arena = corpora / "modern24"
    models = sorted(path.name for path in arena.iterdir() if path.is_dir())
    with (arena / "prompts.csv").open(encoding="utf-8", newline="") as file:
        prompts = {row["prompt_id"]: row["prompt"] for row in csv.DictReader(file)}
    with (arena / "models.csv").open(encoding="utf-8", newline="") as file:
        families = {row["model"]: row["family"] for row in csv.DictReader(file)}

    def found(model: str, prompt: str, seed: int) -> str:
        return str(sorted((arena / model / prompt).iterdir())[seed])

    result, tables = fabricate(models, prompts, 1, families, found)
    html = build_report(result, tables.__getitem__, Image.open)
    assert len(html.encode()) < MAX_BYTES / 3
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    with Visit(browser, path, 360) as visit:
        visit.page.locator("#matrix td.miss").first.click()
        assert visit.page.locator("#cell-images img").count() >= 1
        assert width_of(visit.page) == 360
        assert visit.troubles == []
