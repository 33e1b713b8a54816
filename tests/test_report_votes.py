"""The report's parts on votes: what they show, whatever stands in them, on every screen."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from test_audit_votes import attack, rows, write
from test_report_browser import CONTRAST, FLAGS, Visit, width_of
from test_report_fabricated import fabricate
from whodrew.audit.options import AuditOptions
from whodrew.audit.votes import VoteLog, votes_of
from whodrew.ranking import read_votes
from whodrew.report import build_report
from whodrew.report.charts import HEIGHT, TOP
from whodrew.report.sections import votes as board
from whodrew.report.sections import votes_moves as moves

MODELS = ("amber", "birch", "cedar", "dune")
HOSTILE = "\"><script>alert('x')</script>{{7*7}}"
ANCHORS = ("votes", "moves", "screen")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """A fabricated audit with the votes of a real computation."""
    path = write(tmp_path_factory.mktemp("votes") / "votes.parquet", rows(1500, voters=40))
    done = votes_of(VoteLog(read_votes(path)), MODELS, [attack()], AuditOptions(), lambda _: None)
    result, tables = fabricate(list(MODELS), {"p1": "a cat", "p2": "a dog"}, 2)
    done.into(result)
    tables |= {f"tables/{name}": table for name, table in done.tables.items()}
    loaded: dict[str, Any] = json.loads(json.dumps(result))
    return loaded, tables


@pytest.fixture
def result(made: tuple[dict[str, Any], dict[str, pa.Table]]) -> dict[str, Any]:
    return copy.deepcopy(made[0])


@pytest.fixture
def tables(made: tuple[dict[str, Any], dict[str, pa.Table]]) -> dict[str, pa.Table]:
    return made[1]


def page_of(result: dict[str, Any], tables: dict[str, pa.Table]) -> str:
    return build_report(result, tables.__getitem__)


def part(page: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}".*?</section>', page, re.DOTALL)
    assert found, anchor
    # narrow spaces within figures stay
    return re.sub(r"[ \n]+", " ", found[0])


def sections(page: str) -> set[str]:
    return {anchor for anchor in ANCHORS if f'<section id="{anchor}"' in page}


# ---------------------------------------------------------------- the leaderboard
def test_every_model_has_its_rank_and_interval(result: Any, tables: Any) -> None:
    page = part(page_of(result, tables), "votes")
    for place in result["votes"]["ranking"]["leaderboard"]:
        rank = place["rank"]
        row = re.search(rf"<tr> <td[^>]*><b>{rank['value']}</b>.*?</tr>", page)
        assert row, place["model"]
        assert place["model"] in row[0]
        assert f"<small>{rank['low']}–{rank['high']}</small>" in row[0]
    assert "1\N{NARROW NO-BREAK SPACE}500 votes of 40 voters: amber is first" in page


def test_ranks_lie_on_one_scale() -> None:
    places = [board.place(rank, 30) for rank in range(1, 31)]
    assert places[0] == board.MARGIN
    assert places[-1] == board.WIDTH - board.MARGIN
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) == pytest.approx(min(gaps))


def test_the_matrix_has_what_the_row_won(result: Any, tables: Any) -> None:
    page = part(page_of(result, tables), "votes")
    order = [one["model"] for one in result["votes"]["ranking"]["leaderboard"]]
    shares = {}
    for row in tables["tables/votes-pairs.parquet"].to_pylist():
        a, b, won, lost, ties = row.values()
        shares[a, b] = (won + ties / 2) / (won + lost + ties)
        shares[b, a] = 1 - shares[a, b]
    matrix = page.split("Who beats whom")[1]
    cells = re.findall(
        r'<td class="(hit|miss)" style="--v:([\d.]+)" title="([^:]*):[^>]*>(\d+)<', matrix
    )
    wanted = [(a, b) for a in order for b in order if a != b]
    assert len(cells) == len(wanted)
    for (kind, weight, title, text), (a, b) in zip(cells, wanted, strict=True):
        assert title == f"{a} against {b}"
        assert int(text) == round(100 * shares[a, b])
        assert kind == ("hit" if shares[a, b] >= 0.5 else "miss")
        assert float(weight) == pytest.approx(2 * abs(shares[a, b] - 0.5), abs=0.006)


def test_without_the_table_of_pairs_there_is_no_matrix(result: Any, tables: Any) -> None:
    some = {name: one for name, one in tables.items() if "votes" not in name}
    page = part(page_of(result, some), "votes")
    assert "Who beats whom" not in page
    assert "amber is first" in page


@pytest.mark.parametrize(
    ("bias", "words"),
    [
        ({"value": 0.2, "low": 0.1, "high": 0.3}, "55.0\N{NARROW NO-BREAK SPACE}%"),
        ({"value": 0.2, "low": 0.1, "high": 0.3}, "so a model gains by being shown first"),
        ({"value": 0.02, "low": -0.1, "high": 0.14}, "does not differ from half"),
        (None, "the sides never change"),
    ],
)
def test_the_effect_of_the_side_is_said(result: Any, tables: Any, bias: Any, words: str) -> None:
    result["votes"]["ranking"] |= {"position_bias": bias}
    if bias is None:
        result["votes"]["ranking"]["position_bias_reason"] = "the sides never change"
    assert words in part(page_of(result, tables), "votes")


def test_a_model_without_score_gives_its_reason(result: Any, tables: Any) -> None:
    result["votes"]["ranking"]["leaderboard"][-1] |= {
        "score": None,
        "score_reason": "it won no vote",
        "rank": None,
        "rank_reason": "it won no vote",
    }
    page = part(page_of(result, tables), "votes")
    assert "it won no vote" in page.split("A dash means")[1]


# ---------------------------------------------------------------- votes to move a rank
def test_votes_needed_are_those_of_the_measured_attacker(result: Any, tables: Any) -> None:
    page = part(page_of(result, tables), "moves")
    first = result["votes"]["simulate"]["curves"][0]
    assert "names 70\N{NARROW NO-BREAK SPACE}% of the images rightly" in page
    for one in first["ranks"]:
        if one["reached"] is not None and one["votes"] is not None:
            assert f"<b>{one['votes']['value']:.0f}</b>" in page
    assert "A simulation, no attack" in page
    assert result["votes"]["influence"]["sentence"] in page


def test_the_chart_is_logarithmic_and_within_its_frame(result: Any) -> None:
    curves = result["votes"]["simulate"]["curves"]
    chart = moves._chart(curves, 1000.0)
    assert chart is not None
    ys = [y for y, _ in chart.y_ticks]
    gaps = [above - below for above, below in pairwise(ys)]
    assert max(gaps) == pytest.approx(min(gaps))  # 1, 10, 100, 1000
    for line in chart.lines:
        xs = [spot.x for spot in line.spots]
        assert xs == sorted(xs)
        assert sum(spot.measured for spot in line.spots) == 1
        for spot in line.spots:
            assert TOP <= spot.y <= HEIGHT
            if spot.low is not None and spot.high is not None:
                assert spot.high <= spot.low
    own = next(spot for spot in chart.lines[0].spots if spot.measured)
    assert own.x == chart.measured


def test_what_is_not_reached_has_no_point(result: Any, tables: Any) -> None:
    curves = result["votes"]["simulate"]["curves"]
    before = part(page_of(result, tables), "moves").count("<circle")
    for curve in curves[1:]:
        for one in curve["ranks"]:
            one |= {"votes": None, "votes_reason": "within 9 votes 0 % get there", "reached": 0.0}
    page = part(page_of(result, tables), "moves")
    assert 0 < page.count("<circle") < before
    assert "within 9 votes 0 % get there" in page


def test_what_was_not_simulated_gives_its_reason(result: Any, tables: Any) -> None:
    result["votes"] |= {"simulate": None, "simulate_reason": "dune has no images"}
    page = part(page_of(result, tables), "moves")
    assert "was not simulated: dune has no images" in page
    assert "Votes that decide the ranks now" in page
    result["votes"] |= {"influence": None, "influence_reason": "because"}
    assert sections(page_of(result, tables)) == {"votes", "screen"}


# ---------------------------------------------------------------- the screen
SUSPECT = {
    "voter": "u7",
    "votes": 60,
    "excluded": True,
    "reasons": ["votes", "ring", "dwell"],
    "p_value": 0.0002,
    "target": "cedar",
    "direction": "for",
    "battles_with_target": 21,
    "favouring_votes": 20,
    "favouring_votes_expected": 8.25,
}


RING = {"members": ["u7", "u9"], "target": "cedar", "direction": "for", "p_value": 1e-6}


@pytest.fixture
def suspected(result: dict[str, Any]) -> dict[str, Any]:
    result["votes"]["screen"] |= {
        "acted": True,
        "by": ["votes", "rings"],
        "found": {"voters": 1, "voters_share": 0.025, "votes": 60, "votes_share": 0.04},
        "false_exclusion": {"value": 0.01, "low": 0.008, "high": 0.012},
        "suspects": [
            SUSPECT,
            {**SUSPECT, "voter": "u9", "excluded": False, "direction": "against"},
        ],
        "rings": [
            {"members": ["u7", "u9"], "target": "cedar", "direction": "for", "p_value": 1e-6}
        ],
        "changes": [{"model": "cedar", "before": 2, "after": 3}],
    }
    return result


def test_who_would_be_excluded_and_how_often_that_errs(suspected: Any, tables: Any) -> None:
    page = part(page_of(suspected, tables), "screen")
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert f"would exclude 1 of 40 (4.0{thin}% of the votes)" in page
    assert f"of honest voters it excludes 1.0{thin}% (95 % interval 0.8–1.2{thin}%)" in page
    assert "about 0.4 of 40 would be excluded though all were honest" in page
    assert "20 of 21 <small>expected 8.2</small>" in page
    assert "its votes, a ring, short pauses" in page
    assert "against cedar" in page
    assert "u7, u9: together for cedar" in page
    assert "cedar from 2 to 3" in page


def test_a_screen_that_refuses_says_so(suspected: Any, tables: Any) -> None:
    suspected["votes"]["screen"] |= {
        "acted": False,
        "acted_reason": "it would exclude half",
        "without_found": [{"model": "cedar", "before": 1, "after": 4}],
    }
    page = part(page_of(suspected, tables), "screen")
    assert "It would exclude half." in page
    assert "would be</td>" in page
    assert "Without those found: cedar from 1 to 4." in page
    assert "Ranked again" not in page


def test_votes_that_no_voter_is_judged_by_are_told_where_they_differ(
    suspected: Any, tables: Any
) -> None:
    pool = {
        "of": "too_few_votes",
        "votes": 900,
        "differs": True,
        "target": "dune",
        "direction": "for",
        "p_value": 0.0002,
        "changes_without": [{"model": "dune", "before": 1, "after": 4}],
    }
    usual = {**pool, "of": "nobody", "differs": False}
    suspected["votes"]["screen"] |= {
        "pools": [pool, usual],
        "false_exclusion": {"value": None, "value_reason": "tastes differ", "asked": 0.01},
    }
    page = part(page_of(suspected, tables), "screen")
    assert "The 900 votes of voters with too few to be judged differ" in page
    assert "for dune <small>p 0.0002</small>" in page
    assert "Without them: dune from 1 to 4." in page
    assert "votes of nobody" not in page
    assert "How many honest voters it excludes cannot be said: tastes differ." in page


def test_no_screen_gives_its_reason(result: Any, tables: Any) -> None:
    result["votes"] |= {"screen": None, "screen_reason": "the log names no voters"}
    assert "Voters were not screened: the log names no voters." in part(
        page_of(result, tables), "screen"
    )


# ---------------------------------------------------------------- whatever stands in it
@pytest.mark.parametrize("votes", [None, {}, "x", 3])
def test_without_votes_there_are_no_sections(result: Any, tables: Any, votes: Any) -> None:
    result["votes"] = votes
    assert sections(page_of(result, tables)) == set()


def poisoned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: poisoned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    return HOSTILE if isinstance(value, str) else value


def test_nothing_in_a_log_becomes_markup(suspected: Any, tables: Any) -> None:
    suspected["votes"] = poisoned(suspected["votes"])
    page = page_of(suspected, tables)
    assert sections(page) == set(ANCHORS)
    assert "<script>alert" not in page
    assert "{{7*7}}" in page


def holders(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield value, key
            yield from holders(one)
    elif isinstance(value, list):
        for at, one in enumerate(value[:1]):
            yield value, at
            yield from holders(one)


def test_a_broken_object_costs_no_report(suspected: Any, tables: Any) -> None:
    """Each value in turn becomes something else."""
    from whodrew.report.context import Context
    from whodrew.report.sections import votes_screen

    context = Context(result=suspected, tables=tables.__getitem__)
    tried = 0
    for holder, key in list(holders(suspected["votes"])):
        kept = holder[key]
        for other in (None, "x", [None, 4]):
            holder[key] = other
            for section in (board, moves, votes_screen):
                section.render(context)
            tried += 1
        holder[key] = kept
    assert tried > 300


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_it_fits_the_screen_and_can_be_read(
    browser: Any, suspected: Any, tables: Any, width: int, scheme: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(page_of(suspected, tables), encoding="utf-8")
    with Visit(browser, path, width, scheme) as visit:
        assert width_of(visit.page) == width
        for anchor in ANCHORS:
            assert visit.page.locator(f"#{anchor} h2").is_visible()
        drawn = visit.page.locator("#votes tbody svg.ranks:visible")
        assert drawn.count() == len(MODELS)
        assert visit.page.locator("#moves svg.chart circle").count() > 3
        assert visit.page.evaluate(CONTRAST) == []
        assert visit.troubles == []
