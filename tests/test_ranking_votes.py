"""Vote logs of every format, and what is wrong with their rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whodrew.errors import InputError, UsageError
from whodrew.ranking import OUTCOMES, Votes, parse_vote_columns, rank, read_votes

ROWS = [
    ("amber", "birch", "model_a"),
    ("birch", "cedar", "model_b"),
    ("cedar", "amber", "tie"),
    ("amber", "cedar", "both_bad"),
]


def as_rows(votes: Votes) -> list[tuple[str, str, str]]:
    return [
        (votes.models[a], votes.models[b], OUTCOMES[code])
        for a, b, code in zip(votes.first, votes.second, votes.outcome, strict=True)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes rows in the format that the ending names."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), "utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return path


def plain(a: str = "model_a", b: str = "model_b", winner: str = "winner") -> list[dict[str, Any]]:
    return [{a: first, b: second, winner: label} for first, second, label in ROWS]


# ---------------------------------------------------------------- formats
@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl", "json"])
def test_lmarena_in_every_container(tmp_path: Path, ending: str) -> None:
    votes = read_votes(write(tmp_path / f"votes.{ending}", plain()))
    assert (votes.format, as_rows(votes)) == ("lmarena", ROWS)
    assert votes.models == ("amber", "birch", "cedar")
    assert votes.skipped == {}
    assert (len(votes), votes.total) == (4, 4.0)


def test_parts_of_a_folder_are_one_log(tmp_path: Path) -> None:
    write(tmp_path / "part-0.parquet", plain()[:2])
    write(tmp_path / "part-1.parquet", plain()[2:])
    assert as_rows(read_votes(tmp_path)) == ROWS
    write(tmp_path / "part-2.parquet", [{"model_a": "amber", "model_b": "amber", "winner": "tie"}])
    with pytest.raises(InputError, match=r"part-2\.parquet, row 0: 'amber' against itself"):
        read_votes(tmp_path)


def test_dictionaries_and_large_strings_are_strings(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(plain())
    table = table.set_column(0, "model_a", table["model_a"].dictionary_encode())
    table = table.set_column(1, "model_b", table["model_b"].cast(pa.large_string()))
    pq.write_table(table, tmp_path / "votes.parquet", row_group_size=2)
    assert as_rows(read_votes(tmp_path / "votes.parquet")) == ROWS


def test_labels_of_the_cleaned_logs(tmp_path: Path) -> None:
    rows = plain()
    rows[3]["winner"] = "tie (bothbad)"
    for at, row in enumerate(rows):
        row |= {"judge": f"arena_user_{at % 2}", "anony": at != 1, "tstamp": 1700000000.5 + at}
    votes = read_votes(write(tmp_path / "clean_battle.json", rows))
    assert (votes.format, as_rows(votes)) == ("fastchat", ROWS)
    assert votes.voters == ("arena_user_0", "arena_user_1")
    assert votes.voter is not None
    assert votes.voter.tolist() == [0, 1, 0, 1]
    assert votes.time is not None
    assert votes.time.tolist() == [1700000000.5 + at for at in range(4)]
    assert any("1 vote by voters who saw the models' names" in note for note in votes.notes)


def test_the_raw_log_of_fastchat(tmp_path: Path) -> None:
    kinds = {
        "model_a": "leftvote",
        "model_b": "rightvote",
        "tie": "tievote",
        "both_bad": "bothbad_vote",
    }
    rows: list[dict[str, Any]] = [{"type": "chat", "model": "amber", "tstamp": 1.0}]
    for at, (a, b, label) in enumerate(ROWS):
        states = [{"model_name": a, "conv_id": "x"}, {"model_name": b, "conv_id": "y"}]
        hidden = ["### Model A: ", "### Model B: "] if at % 2 else ["", ""]
        rows.append(
            {
                "type": kinds[label],
                "models": hidden,
                "states": states,
                "ip": f"10.0.0.{at % 2}",
                "tstamp": 2.0 + at,
            }
        )
    named = ["### Model A: birch", "<h3>Model B: amber</h3>\n"]
    rows.append({"type": "leftvote", "models": named, "states": [{}, {}], "ip": "", "tstamp": 9.0})
    votes = read_votes(write(tmp_path / "log.jsonl", rows))
    assert votes.format == "fastchat-raw"
    assert as_rows(votes) == [*ROWS, ("birch", "amber", "model_a")]
    assert any("no votes: chat 1" in note for note in votes.notes)
    assert any("1 vote by voters who saw" in note for note in votes.notes)
    assert votes.voter is not None
    assert votes.voter.tolist() == [0, 1, 0, 1, -1]
    rows[2]["type"] = "leftvot"
    with pytest.raises(InputError, match="line 3: unknown winner 'leftvot'"):
        read_votes(write(tmp_path / "log.jsonl", rows))


def test_imgsys(tmp_path: Path) -> None:
    codes = {"model_a": 0.0, "model_b": 1.0, "tie": 2.0, "both_bad": 0.5}
    rows = [
        {"model_a": a, "model_b": b, "preference": codes[label], "prompt": "a fox"}
        for a, b, label in ROWS
    ]
    votes = read_votes(write(tmp_path / "imgsys.parquet", rows))
    assert votes.format == "imgsys"
    assert [label for _, _, label in as_rows(votes)] == ["model_a", "model_b", "tie", "tie"]
    assert votes.prompts == ("a fox",)
    for wrong, reason in ((3.0, "unknown winner 3.0"), (None, "no winner is given")):
        rows[1]["preference"] = wrong
        with pytest.raises(InputError, match=f"row 1: {reason}"):
            read_votes(write(tmp_path / "imgsys.parquet", rows))


def test_rapidata_votes_are_weights(tmp_path: Path) -> None:
    rows = [
        {"model1": "amber", "model2": "birch", "votes_image1": 5, "votes_image2": 2},
        {"model1": "birch", "model2": "cedar", "votes_image1": 0, "votes_image2": 7},
        {"model1": "cedar", "model2": "amber", "votes_image1": 3, "votes_image2": 3},
    ]
    votes = read_votes(write(tmp_path / "rapidata.parquet", rows))
    assert votes.format == "rapidata"
    assert votes.each().tolist() == [[5, 2, 0], [0, 7, 0], [3, 3, 0]]
    assert (len(votes), votes.total) == (3, 20.0)
    assert [label for _, _, label in as_rows(votes)] == ["model_a", "model_b", "tie"]
    rows.append({"model1": "cedar", "model2": "amber", "votes_image1": 0, "votes_image2": 0})
    with pytest.raises(InputError, match="row 3: a battle without votes"):
        read_votes(write(tmp_path / "rapidata.parquet", rows))
    rows[3]["votes_image1"] = -1
    with pytest.raises(InputError, match="row 3: a weight that is negative"):
        read_votes(write(tmp_path / "rapidata.parquet", rows))


def test_pick_a_pic_labels_are_shares(tmp_path: Path) -> None:
    rows = [{"model_0": "amber", "model_1": "birch", "label_0": 0.5, "label_1": 0.5}]
    votes = read_votes(write(tmp_path / "pick.parquet", rows))
    assert (votes.format, votes.total) == ("pick-a-pic", 1.0)


def test_evalica(tmp_path: Path) -> None:
    labels = {"model_a": "left", "model_b": "right", "tie": "tie", "both_bad": "tie"}
    rows = [{"left": a, "right": b, "winner": labels[label]} for a, b, label in ROWS]
    votes = read_votes(write(tmp_path / "votes.csv", rows))
    assert votes.format == "evalica"
    assert [code for _, _, code in as_rows(votes)] == ["model_a", "model_b", "tie", "tie"]


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", plain("first", "second", "verdict"))
    with pytest.raises(InputError, match="found 'first', 'second', 'verdict'"):
        read_votes(path)
    given = parse_vote_columns(["model_a=first,model_b=second", "winner=verdict"])
    votes = read_votes(path, columns=given)
    assert (votes.format, as_rows(votes)) == ("columns", ROWS)
    with pytest.raises(InputError, match="no column 'judge' for voter"):
        read_votes(path, columns={**given, "voter": "judge"})
    for wrong in ("model_a", "model_a=", "colour=red", "winner=a,winner=b"):
        with pytest.raises(UsageError):
            parse_vote_columns([wrong])


def test_a_weight_column(tmp_path: Path) -> None:
    rows = [row | {"weight": 0.5 * at + 1} for at, row in enumerate(plain())]
    votes = read_votes(write(tmp_path / "votes.parquet", rows))
    assert votes.each().tolist() == [[1, 0, 0], [0, 1.5, 0], [0, 0, 2], [0, 0, 2.5]]


@pytest.mark.parametrize("weight", [1e200, 1.01e12, 1e-13, -1.0, float("inf"), float("nan")])
def test_weights_beyond_all_sense_are_bad(tmp_path: Path, weight: float) -> None:
    rows = [row | {"weight": 1.0} for row in plain()]
    rows[2]["weight"] = weight
    path = write(tmp_path / "votes.csv", rows)
    said = r"line 4: a weight that is negative, or no number from 1e-12 to 1e\+12"
    with pytest.raises(InputError, match=said):
        read_votes(path)
    assert read_votes(path, skip_bad=True).skipped == {"bad weight": 1}
    rows[2]["weight"] = 0.0
    with pytest.raises(InputError, match="line 4: a battle without votes"):
        read_votes(write(path, rows))


@pytest.mark.parametrize("weight", [1e-12, 1e12])
def test_the_most_that_weights_may_be_gives_finite_figures(tmp_path: Path, weight: float) -> None:
    rows = [row | {"weight": weight} for row in plain() * 30]
    found = rank(write(tmp_path / "votes.csv", rows), bootstraps=20).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False))["votes"] == pytest.approx(120 * weight)


def test_the_winner_by_name(tmp_path: Path) -> None:
    rows = plain()
    rows[0]["winner"], rows[1]["winner"] = "amber", "cedar"
    assert as_rows(read_votes(write(tmp_path / "votes.csv", rows))) == ROWS
    rows[0]["winner"] = "cedar"  # a model, but none of the two
    with pytest.raises(InputError, match="line 2: unknown winner 'cedar'"):
        read_votes(write(tmp_path / "votes.csv", rows))


def test_prompts_times_and_covariates(tmp_path: Path) -> None:
    rows = [
        row | {"prompt_id": at % 2, "timestamp": f"2025-01-0{at + 1}T00:00:00", "size_a": at,
               "size_b": 1, "gap": 0.5}
        for at, row in enumerate(plain())
    ]  # fmt: skip
    path = write(tmp_path / "votes.csv", rows)
    votes = read_votes(path, covariates=("size", "gap"))
    assert votes.prompt is not None
    assert [votes.prompts[code] for code in votes.prompt] == ["0", "1", "0", "1"]
    assert votes.time is not None
    assert np.diff(votes.time).tolist() == [86400.0] * 3
    assert votes.covariates["size"].tolist() == [-1, 0, 1, 2]
    assert votes.covariates["gap"].tolist() == [0.5] * 4
    with pytest.raises(InputError, match="neither a column 'hue' nor both"):
        read_votes(path, covariates=("hue",))
    rows[2]["gap"] = "wide"
    with pytest.raises(InputError, match="line 4: 'gap' is no number"):
        read_votes(write(path, rows), covariates=("gap",))


# ---------------------------------------------------------------- bad rows
BAD = [
    ({"winner": "modelA"}, "unknown label", "unknown winner 'modelA'"),
    ({"winner": "TIE!"}, "unknown label", "unknown winner 'TIE!'"),
    ({"winner": None}, "missing label", "no winner"),
    ({"model_a": None}, "missing model", "no model_a"),
    ({"model_b": "  "}, "missing model", "no model_b"),
    ({"model_b": "birch", "model_a": "birch"}, "self-battle", "'birch' against itself"),
]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize(("change", "reason", "said"), BAD)
def test_a_bad_row_is_named_or_counted(
    tmp_path: Path, ending: str, change: dict[str, Any], reason: str, said: str
) -> None:
    rows = plain()
    rows.insert(2, rows[0] | change)
    path = write(tmp_path / f"votes.{ending}", rows)
    where = {"parquet": "row 2", "csv": "line 4", "jsonl": "line 3"}[ending]
    with pytest.raises(InputError, match=f"^votes.{ending}, {where}: {said}"):
        read_votes(path)
    votes = read_votes(path, skip_bad=True)
    assert as_rows(votes) == ROWS
    assert votes.skipped == {reason: 1}
    assert [one.item for one in votes.bad] == [f"votes.{ending}, {where}"]


def test_malformed_rows_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\na,b,tie\na,b\na,b,model_a\n")
    with pytest.raises(InputError, match="row 3: 2 fields where the header has 3"):
        read_votes(path)
    votes = read_votes(path, skip_bad=True)
    assert (len(votes), votes.skipped) == (2, {"malformed row": 1})
    path = tmp_path / "votes.jsonl"
    path.write_text('{"model_a":"a","model_b":"b","winner":"tie"}\n[1]\n')
    with pytest.raises(InputError, match="line 2: not a JSON object"):
        read_votes(path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("votes.csv", "", "is empty"),
        ("votes.csv", "model_a,model_b,winner\n", "no vote that can be used"),
        ("votes.csv", "model_a,model_a,winner\n1,2,tie\n", "two columns called 'model_a'"),
        ("votes.parquet", "PAR1", "not readable as Parquet"),
        ("votes.json", "{}", "holds no list"),
        ("votes.json", "{", "not readable as JSON"),
        ("votes.xlsx", "x", "is no vote log by its name"),
        ("votes.jsonl", "nonsense\n", "needs columns model_a"),
    ],
)
def test_files_that_are_no_vote_log(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_votes(path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_votes(tmp_path / "votes.csv")
    with pytest.raises(InputError, match="without Parquet files"):
        read_votes(tmp_path)


def test_bad_rows_beyond_the_first_hundred_are_counted(tmp_path: Path) -> None:
    rows = plain() + [{"model_a": "x", "model_b": "x", "winner": "tie"}] * 300
    votes = read_votes(write(tmp_path / "votes.parquet", rows), skip_bad=True)
    assert votes.skipped == {"self-battle": 300}
    assert len(votes.bad) == 100
    assert "x" in votes.models  # it was there, though no vote of it counts
