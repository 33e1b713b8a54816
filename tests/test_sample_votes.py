"""The sample arena's votes: the same bytes each time, plausible, and planted as is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from whodrew.arena import read_arena
from whodrew.arena.sample import GENERATIONS, MODELS, PROMPTS, draw_sample
from whodrew.arena.sample import votes as made
from whodrew.arena.sample.votes import (
    FAVOURED,
    FAVOURERS,
    POSITION,
    RING,
    RING_FAVOURED,
    STRENGTHS,
    VOTES_FILE,
    Shown,
    draw_votes,
    write_votes,
)
from whodrew.ranking import rank, read_votes

ENDINGS = {name: model.container.extension for name, model in MODELS.items()}
ALL = Shown(ENDINGS, [prompt.prompt_id for prompt in PROMPTS], GENERATIONS)
DISHONEST = {*FAVOURERS, *RING}


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return draw_votes(ALL, 0)


@pytest.fixture(scope="module")
def columns(log: pa.Table) -> dict[str, np.ndarray]:
    return {name: np.array(log[name].to_pylist()) for name in log.column_names}


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_votes(tmp_path / name, ALL, seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert first != other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_columns_and_size_are_as_told(log: pa.Table) -> None:
    assert log.column_names == [
        "battle_id",
        "prompt_id",
        "image_a",
        "image_b",
        "model_a",
        "model_b",
        "winner",
        "voter",
        "timestamp",
    ]
    assert 3000 <= log.num_rows <= 6000
    assert all(column.null_count == 0 for column in log.columns)
    assert len(set(log["battle_id"].to_pylist())) == log.num_rows
    assert set(log["winner"].to_pylist()) == {"model_a", "model_b", "tie", "both_bad"}
    assert len(set(log["voter"].to_pylist())) == 150


def test_the_file_does_not_say_who_is_dishonest(log: pa.Table) -> None:
    assert set(STRENGTHS) == set(MODELS)
    names = sorted(set(log["voter"].to_pylist()))
    assert names == [f"v{at:03d}" for at in range(1, 151)]
    assert set(names) > DISHONEST
    assert not set(FAVOURERS) & set(RING)
    assert not log.schema.metadata


def test_images_are_those_of_the_battle(columns: dict[str, np.ndarray]) -> None:
    for side in "ab":
        parts = [path.split("/") for path in columns[f"image_{side}"]]
        assert [part[0] for part in parts] == columns[f"model_{side}"].tolist()
        assert [part[1] for part in parts] == columns["prompt_id"].tolist()
        for model, _, name in parts:
            stem, ending = name.split(".")
            assert ending == ENDINGS[model]
            assert 0 <= int(stem) < GENERATIONS
    assert (columns["model_a"] != columns["model_b"]).all()


def test_times_are_plausible(columns: dict[str, np.ndarray]) -> None:
    times = columns["timestamp"]
    assert (np.diff(times) >= timedelta(0)).all()
    assert times[-1] - times[0] < timedelta(days=made.DAYS + 2)
    for voter in set(columns["voter"]) - set(FAVOURERS):
        pauses = np.diff(times[columns["voter"] == voter])
        assert (pauses >= timedelta(seconds=4)).mean() > 0.95, voter
    for voter in FAVOURERS:  # a program's pauses
        pauses = np.diff(times[columns["voter"] == voter])
        assert max(pauses) < timedelta(seconds=4), voter


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dishonest_voters_vote_for_their_model(seed: int) -> None:
    log = draw_votes(ALL, seed).to_pylist()

    def won(model: str, voters: set[str]) -> tuple[float, int]:
        met = [row for row in log if row["voter"] in voters and model in _models(row)]
        return sum(row[row["winner"]] == model for row in map(_named, met)) / len(met), len(met)

    for voters, model in ((FAVOURERS, FAVOURED), (RING, RING_FAVOURED)):
        share, met = won(model, set(voters))
        honest, _ = won(model, {row["voter"] for row in log} - DISHONEST)
        assert met > 20
        assert share > 0.8
        assert honest < 0.5


def _models(row: dict[str, str]) -> set[str]:
    return {row["model_a"], row["model_b"]}


def _named(row: dict[str, str]) -> dict[str, str]:
    return {**row, "tie": "", "both_bad": ""}


def test_without_them_the_truth_is_found_again(tmp_path: Path) -> None:
    """Davidson's fit of honest votes has the planted strengths within its intervals."""
    apart = []
    for seed in range(4):
        write_votes(tmp_path / "votes.parquet", ALL, seed)
        votes = read_votes(tmp_path / "votes.parquet")
        bad = [votes.voters.index(name) for name in DISHONEST]
        board = rank(
            votes.take(~np.isin(votes.voter, bad)), ties="davidson", bootstraps=0
        ).leaderboard
        for place in board:
            assert place.score.value is not None
            assert place.sandwich is not None
            half = (place.sandwich[1] - place.sandwich[0]) / 2
            apart.append((place.score.value - STRENGTHS[place.model]) / half)
    # both_bad counts as a tie, which shrinks nothing here beyond a few per cent
    assert np.mean(np.abs(apart) < 1) > 0.8
    assert abs(float(np.mean(apart))) < 0.3


@pytest.mark.parametrize(("seed", "model"), [(0, RING_FAVOURED), (1, FAVOURED)])
def test_the_plants_move_a_rank(tmp_path: Path, seed: int, model: str) -> None:
    write_votes(tmp_path / "votes.parquet", ALL, seed)
    votes = read_votes(tmp_path / "votes.parquet")
    bad = [votes.voters.index(name) for name in DISHONEST]
    dirty, clean = (
        list(rank(some, bootstraps=0).scores())
        for some in (votes, votes.take(~np.isin(votes.voter, bad)))
    )
    assert dirty.index(model) < clean.index(model)


def test_the_side_shown_first_gains(tmp_path: Path) -> None:
    write_votes(tmp_path / "votes.parquet", ALL, 0)
    bias = rank(tmp_path / "votes.parquet", bootstraps=0).position_bias
    assert bias.low is not None
    assert 0 < bias.low < POSITION < bias.high  # type: ignore[operator]


def test_an_arena_of_fewer_models_has_votes_too() -> None:
    few = Shown({"marlow-1": "jpg", "cuttlebone": "png"}, ["cat"], 1)
    log = draw_votes(few, 0)
    assert set(log["model_a"].to_pylist()) == {"marlow-1", "cuttlebone"}
    assert set(log["prompt_id"].to_pylist()) == {"cat"}


def test_an_arena_drawn_before_there_were_votes_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whodrew.arena import sample

    monkeypatch.setattr(sample, "MODELS", {"marlow-1": MODELS["marlow-1"]})
    monkeypatch.setattr(sample, "PROMPTS", PROMPTS[:1])
    monkeypatch.setattr(sample, "GENERATIONS", 1)
    with pytest.raises(ValueError, match="one model"):
        draw_sample(tmp_path / "one", workers=1)
    monkeypatch.setattr(sample, "MODELS", {name: MODELS[name] for name in list(MODELS)[:2]})
    draw_sample(tmp_path / "two", workers=1)
    written = (tmp_path / "two" / VOTES_FILE).read_bytes()
    images = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").rglob("*.jpg")}
    (tmp_path / "two" / VOTES_FILE).unlink()
    draw_sample(tmp_path / "two", workers=1)
    assert (tmp_path / "two" / VOTES_FILE).read_bytes() == written
    assert {path: path.stat().st_mtime_ns for path in images} == images


def test_readers_of_images_take_the_log_for_no_manifest(sample_arena: Path) -> None:
    assert (sample_arena / VOTES_FILE).is_file()
    arena = read_arena(sample_arena)
    assert arena.layout == "model/prompt"
    assert len(arena) == len(MODELS) * len(PROMPTS) * GENERATIONS
    assert not arena.bad
