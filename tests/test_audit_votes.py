"""Votes in an audit: which log is taken, what is said of it, and what it comes to."""

from __future__ import annotations

import copy
import csv
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drawn import MODELS, PROMPTS, Shell, draw, schema_errors, unexplained
from whodrew.arena import read_arena
from whodrew.audit.options import AuditOptions
from whodrew.audit.sources import open_source
from whodrew.audit.votes import VoteLog, VotesResult, beside, open_log, pair_table, votes_of
from whodrew.errors import InputError
from whodrew.ranking import rank, read_votes

FEW = AuditOptions()
STRENGTH = dict(zip(MODELS, (0.6, 0.2, -0.2, -0.6), strict=True))

WINS = [{"model_a": "amber", "model_b": "birch", "winner": "model_a"}] * 9


def rows(count: int = 600, seed: int = 0, voters: int = 0) -> list[dict[str, str]]:
    rng = np.random.default_rng(seed)
    found = []
    for at in range(count):
        a, b = (MODELS[code] for code in rng.choice(len(MODELS), 2, replace=False))
        won = rng.random() < 1 / (1 + np.exp(STRENGTH[b] - STRENGTH[a]))
        winner = "tie" if rng.random() < 0.1 else "model_a" if won else "model_b"
        row = {"model_a": a, "model_b": b, "winner": winner}
        if voters:
            row["voter"] = f"u{at % voters}"
        found.append(row)
    return found


def write(path: Path, some: list[dict[str, str]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(some), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in some))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(some[0]))
            writer.writeheader()
            writer.writerows(some)
    return path


def ranking_errors(name: str, values: Any) -> list[str]:
    return schema_errors(name, json.loads(json.dumps(values)))


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("votes") / "arena", prompts=PROMPTS[:5], generations=2)


@pytest.fixture
def own(tmp_path: Path, arena: Path) -> Path:
    """The arena in a folder of its own, where a log may lie beside its images."""
    folder = tmp_path / "arena"
    folder.mkdir()
    for model in MODELS:
        (folder / model).symlink_to(arena / model, target_is_directory=True)
    return folder


@pytest.fixture
def whodrew(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def attack(models: tuple[str, ...] = MODELS, shown: str = "any", right: float = 0.7) -> Any:
    """What ``votes_of`` needs of an attack."""
    M = len(models)
    wrong = (1 - right) / (M - 1)
    cells = [(a, b, 100 * (right if a == b else wrong)) for a in models for b in models]
    table = pa.table(dict(zip(("truth", "answer", "count"), zip(*cells, strict=True), strict=True)))
    values = {
        "encoder": "fingerprint",
        "identifier": "whitened-centroid",
        "canonical": None,
        "knowledge": {"shown": shown},
        "top1": {"value": right, "low": right - 0.1, "high": right + 0.1, "chance": 1 / M},
        "confusion": "tables/confusion-x.parquet",
    }
    return SimpleNamespace(
        queries=10,
        knowledge=SimpleNamespace(shown=shown),
        tables={"confusion-x.parquet": table},
        to_dict=lambda: values,
    )


# ---------------------------------------------------------------- which log
@pytest.mark.parametrize("name", ["votes.parquet", "votes.csv", "votes.jsonl"])
def test_a_log_beside_the_images_is_taken_and_said(own: Path, name: str) -> None:
    write(own / name, rows(40))
    said: list[str] = []
    log = open_log(open_source(own, None), FEW, said.append)
    assert log.votes is not None
    assert len(log.votes) == 40
    assert f"votes beside the images: {name}" in said


def test_the_first_of_several_is_taken_and_the_others_are_named(own: Path) -> None:
    write(own / "votes.csv", rows(40))
    write(own / "votes.parquet", rows(30))
    said: list[str] = []
    log = open_log(open_source(own, None), FEW, said.append)
    assert log.votes is not None
    assert len(log.votes) == 30
    assert any("left aside: 'votes.csv'" in line for line in said)


def test_without_a_log_there_are_no_votes_and_it_says_which_were_looked_for(own: Path) -> None:
    log = open_log(open_source(own, None), FEW, lambda _: None)
    assert log == VoteLog(None)
    assert not log.failed
    assert "votes.parquet" in log.reason
    assert "--votes" in log.reason


def test_a_log_is_no_manifest_and_a_manifest_is_no_log(own: Path, tmp_path: Path) -> None:
    write(own / "votes.csv", rows(40))
    assert len(read_arena(own)) == len(MODELS) * 5 * 2
    # a manifest that happens to have the name of a log
    folder = tmp_path / "listed"
    folder.mkdir()
    listed = [
        {"image": str(path.resolve()), "model": path.parts[-3], "prompt_id": path.parts[-2]}
        for path in sorted(own.glob("*/*/*.png"))
    ]
    write(folder / "votes.csv", listed)
    assert beside(open_source(folder, None)) == []
    assert beside(open_source(folder / "votes.csv", None)) == []
    # beside a manifest of another name it is one
    write(folder / "images.csv", listed)
    assert beside(open_source(folder / "images.csv", None)) == [folder / "votes.csv"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model_a,model_b\namber,birch\n", "winner"),
        ("model_a,model_b,winner\namber,birch,perhaps\n", "perhaps"),
        ("", "empty"),
    ],
)
def test_a_log_beside_the_images_that_fails_is_said(own: Path, text: str, why: str) -> None:
    (own / "votes.csv").write_text(text)
    said: list[str] = []
    log = open_log(open_source(own, None), FEW, said.append)
    assert log.votes is None
    assert log.failed
    assert why in log.reason
    assert log.reason in said
    done = votes_of(log, MODELS, [], FEW, said.append)
    assert (done.values, done.reason, done.failed) == (None, log.reason, True)


def test_a_log_that_ranks_nothing_fails_too(own: Path) -> None:
    write(own / "votes.csv", WINS)
    said: list[str] = []
    log = open_log(open_source(own, None), FEW, said.append)
    assert log.failed
    assert "no score" in log.reason
    assert log.reason in said
    done = votes_of(log, MODELS, [], FEW, said.append)
    assert (done.values, done.reason, done.failed) == (None, log.reason, True)
    with pytest.raises(InputError, match="no score"):
        open_log(open_source(own, None), AuditOptions(votes=own / "votes.csv"), said.append)


def test_a_log_that_is_named_is_refused_where_it_fails(own: Path, tmp_path: Path) -> None:
    write(own / "votes.csv", rows(40))
    (tmp_path / "mine.csv").write_text("model_a,model_b,winner\na,a,tie\n")
    for name in ("mine.csv", "missing.csv"):
        options = AuditOptions(votes=tmp_path / name)
        with pytest.raises(InputError, match=name):
            open_log(open_source(own, None), options, lambda _: None)


# ---------------------------------------------------------------- what it comes to
def test_every_part_is_the_result_of_its_command(tmp_path: Path) -> None:
    path = write(tmp_path / "votes.parquet", rows(1500, voters=40))
    votes = read_votes(path)
    done = votes_of(VoteLog(votes), MODELS, [attack()], FEW, lambda _: None)
    assert done.values is not None
    assert not done.failed
    values = json.loads(json.dumps(done.values))
    assert values["ranking"] == json.loads(json.dumps(rank(votes).to_dict()))
    for part, schema in (
        ("ranking", "ranking-1"),
        ("influence", "influence-1"),
        ("simulate", "manipulation-1"),
        ("screen", "screen-1"),
    ):
        assert values[part] is not None, values.get(f"{part}_reason")
        assert ranking_errors(schema, values[part]) == []
    assert unexplained(values) == []
    curves = values["simulate"]["curves"]
    assert curves[0]["identification"]["attack"]["encoder"] == "fingerprint"
    assert curves[0]["identification"]["accuracy"] == pytest.approx(0.7)
    accuracies = [one["identification"]["accuracy"] for one in curves]
    assert min(accuracies) == pytest.approx(1 / len(MODELS))
    assert max(accuracies) == 1
    assert {one["strategy"] for one in curves} == {"target-only"}
    assert "votes" in done.sentence
    assert "70 %" in done.sentence


def test_the_strongest_attack_on_images_shown_alone_is_simulated(tmp_path: Path) -> None:
    votes = read_votes(write(tmp_path / "votes.parquet", rows(900)))
    together, alone = attack(shown="each-once", right=0.99), attack(right=0.5)
    for attacks, accuracy in (([together, alone], 0.5), ([together], 0.99)):
        done = votes_of(VoteLog(votes), MODELS, attacks, FEW, lambda _: None)
        assert done.values is not None
        first = done.values["simulate"]["curves"][0]["identification"]
        assert first["accuracy"] == pytest.approx(accuracy)


def test_pairs_are_counted_whichever_was_shown_first(tmp_path: Path) -> None:
    some = rows(300)
    some[0]["winner"] = "both_bad"
    votes = read_votes(write(tmp_path / "votes.csv", some))
    expected: Counter[tuple[str, str, str]] = Counter()
    for row in some:
        a, b = sorted((row["model_a"], row["model_b"]))
        side = {"model_a": "model_a", "model_b": "model_b"}.get(row["winner"])
        expected[a, b, row[side] if side else "tie"] += 1
    table = pair_table(votes).to_pylist()
    assert len(table) == 6
    for row in table:
        a, b = row["model_a"], row["model_b"]
        assert row["wins_a"] == expected[a, b, a]
        assert row["wins_b"] == expected[a, b, b]
        assert row["ties"] == expected[a, b, "tie"]


def test_what_cannot_be_had_is_null_with_its_reason(tmp_path: Path) -> None:
    """No voters: no screen. A ranked model without images: nothing to simulate."""
    votes = read_votes(write(tmp_path / "votes.csv", rows(400)))
    said: list[str] = []
    done = votes_of(VoteLog(votes), MODELS[:3], [attack(MODELS[:3])], FEW, said.append)
    assert done.values is not None
    assert done.values["without_images"] == ["dune"]
    assert done.values["simulate"] is None
    assert "'dune'" in done.values["simulate_reason"]
    assert done.values["screen"] is None
    assert "voter" in done.values["screen_reason"]
    assert done.values["ranking"] is not None
    assert any("without images: 'dune'" in line for line in said)
    assert "is first" in done.sentence
    assert not done.failed


def test_a_long_log_is_left_to_the_screen_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodrew.audit.votes.MOST_SCREENED", 599)
    log = VoteLog(read_votes(write(tmp_path / "votes.csv", rows(voters=20))))
    values = votes_of(log, MODELS, [], FEW, lambda _: None).values
    assert values is not None
    assert values["screen"] is None
    assert "599 votes at most, here are 600" in values["screen_reason"]


def test_no_attack_no_simulation(tmp_path: Path) -> None:
    votes = read_votes(write(tmp_path / "votes.csv", rows(400)))
    done = votes_of(VoteLog(votes), (*MODELS, "elder"), [], FEW, lambda _: None)
    assert done.values is not None
    assert done.values["simulate"] is None
    assert "no attack" in done.values["simulate_reason"]
    assert done.values["without_votes"] == ["elder"]


def test_into_puts_null_with_a_reason() -> None:
    values: dict[str, Any] = {}
    VotesResult(None, "because").into(values)
    assert values == {"votes": None, "votes_reason": "because"}


# ---------------------------------------------------------------- the command
def test_the_command_takes_the_log_beside_the_images(
    whodrew: Shell, own: Path, tmp_path: Path
) -> None:
    write(own / "votes.csv", rows(600, voters=30))
    ran = whodrew("audit", own, "--out", tmp_path / "out", "--no-curves", "--json", "-")
    assert ran.code == 0, ran.err
    assert "votes beside the images: votes.csv" in ran.err
    values = ran.json
    assert schema_errors("audit-1", values) == []
    assert unexplained(values) == []
    votes = values["votes"]
    assert ranking_errors("ranking-1", votes["ranking"]) == []
    assert [one["model"] for one in votes["ranking"]["leaderboard"]] == list(MODELS)
    assert (tmp_path / "out" / votes["pairs"]).is_file()
    assert "Simulated on the 600 votes" in values["headline"]["sentence"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for anchor in ("votes", "moves", "screen"):
        assert f'<section id="{anchor}"' in page
    # once more, without: the table of the votes that were is gone
    (own / "votes.csv").unlink()
    ran = whodrew("audit", own, "--out", tmp_path / "out", "--no-curves", "--json", "-")
    assert ran.code == 0, ran.err
    assert ran.json["votes"] is None
    assert ran.json["votes_reason"]
    assert schema_errors("audit-1", ran.json) == []
    assert not (tmp_path / "out" / votes["pairs"]).exists()
    assert '<section id="votes"' not in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_the_command_says_that_a_log_beside_the_images_fails(
    whodrew: Shell, own: Path, tmp_path: Path
) -> None:
    (own / "votes.csv").write_text("model_a,model_b,winner\namber,birch,perhaps\n")
    ran = whodrew("audit", own, "--out", tmp_path / "out", "--no-curves", "--json", "-")
    assert ran.code == 1
    assert "'perhaps'" in ran.err
    assert ran.json["votes"] is None
    assert "'perhaps'" in ran.json["votes_reason"]
    assert ran.json["arena"]["bad"] == []
    good = write(tmp_path / "mine.parquet", rows(300))
    ran = whodrew(
        "audit", own, "--votes", good, "--out", tmp_path / "out", "--no-curves", "--json", "-"
    )
    assert ran.code == 0, ran.err
    assert ran.json["votes"]["source"] == str(good)


def test_the_command_refuses_a_named_log_before_it_encodes(
    whodrew: Shell, own: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text("model_a,model_b,winner\namber,birch,perhaps\n")
    out = tmp_path / "out"
    assert "perhaps" in whodrew.refused(
        "audit", own, "--votes", tmp_path / "mine.csv", "--out", out
    )
    assert "no such file" in whodrew.refused("audit", own, "--votes", tmp_path / "no", "--out", out)
    wins = write(tmp_path / "wins.csv", WINS)
    assert "no score can be had" in whodrew.refused("audit", own, "--votes", wins, "--out", out)
    assert not (out / "store").exists()


# ---------------------------------------------------------------- the schema of a ranking
def ranked(tmp_path: Path, **options: Any) -> dict[str, Any]:
    some: list[dict[str, Any]] = [
        {**row, "size_a": float(at % 7), "size_b": 2.0} for at, row in enumerate(rows(300))
    ]
    some += [{**some[0], "model_a": "elder", "model_b": "amber", "winner": "model_a"}]
    path = tmp_path / "votes.parquet"
    pq.write_table(pa.Table.from_pylist(some), path)
    found: dict[str, Any] = json.loads(json.dumps(rank(path, bootstraps=50, **options).to_dict()))
    return found


@pytest.mark.parametrize(
    "options", [{}, {"ties": "davidson"}, {"covariates": ("size",), "elo": True}]
)
def test_the_schema_accepts_rankings(tmp_path: Path, options: dict[str, Any]) -> None:
    values = ranked(tmp_path, **options)
    assert values["leaderboard"][-1]["score"] is None
    assert ranking_errors("ranking-1", values) == []


@pytest.mark.parametrize("path", ["votes", "leaderboard", "position_bias", "separable"])
def test_the_schema_refuses_what_lacks_a_key(tmp_path: Path, path: str) -> None:
    values = ranked(tmp_path)
    del values[path]
    assert ranking_errors("ranking-1", values)


def test_the_schema_refuses_a_null_without_reason(tmp_path: Path) -> None:
    values = ranked(tmp_path)
    for change in ("score_reason", "rank_reason", "p_first_reason"):
        broken = copy.deepcopy(values)
        del broken["leaderboard"][-1][change]
        assert ranking_errors("ranking-1", broken), change
    broken = copy.deepcopy(values)
    broken["leaderboard"][0]["rank"]["value"] = 1.5
    assert ranking_errors("ranking-1", broken)


def test_an_audit_schema_needs_every_part_of_votes_or_its_reason() -> None:
    from test_report_fabricated import fabricate

    audit, _ = fabricate(["a", "b", "c"], {"p": "a cat", "q": "a dog"}, 2)
    audit = json.loads(json.dumps(audit))
    part = {"schema": "whodrew.ranking/1"}
    audit["votes"] = {
        "source": "votes.csv",
        "without_images": [],
        "without_votes": [],
        "pairs": "tables/votes-pairs.parquet",
        "ranking": part,
        "influence": None,
        "influence_reason": "because",
        "simulate": {"schema": "whodrew.manipulation/1"},
        "screen": {"schema": "whodrew.screen/1"},
    }
    assert schema_errors("audit-1", audit) == []
    for change in (
        {"influence_reason": ""},
        {"simulate": None},
        {"screen": part},
        {"ranking": None},
        {"pairs": "../votes.parquet"},
    ):
        assert schema_errors("audit-1", {**audit, "votes": {**audit["votes"], **change}}), change
    assert schema_errors("audit-1", {**audit, "votes": None})
    assert schema_errors("audit-1", {**audit, "votes": None, "votes_reason": "none"}) == []
