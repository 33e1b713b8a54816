"""``whodrew audit`` as a user types it: what it prints, writes, and exits with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drawn import (
    MODELS,
    PROMPTS,
    Shell,
    draw,
    pixels,
    save,
    schema_errors,
    strict_json,
    unexplained,
)
from whodrew.cli import main

CONTRACT = (
    "schema created seed software arena canonical encoders attacks prompts_from prompts "
    "variation similarity headline"
).split()
ATTACK = (
    "canonical encoder identifier knowledge queries not_queried chance top1 top3 top5 "
    "balanced_top1 family_top1 ece one_against_rest open_set per_model confusion by_references "
    "by_models"
).split()
REST = {
    "auc",
    "eer",
    "tpr_at_fpr_1pct",
    "tpr_at_fpr_0_1pct",
    "balanced_accuracy",
    "accuracy",
    "accuracy_of_always_no",
}


@pytest.fixture
def whodrew(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("cli") / "arena")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, arena: Path) -> Path:
    """A store of the arena, which every test may use and none may add to."""
    folder = tmp_path_factory.mktemp("cli") / "store"
    with pytest.raises(SystemExit):
        main(["embed", str(arena), "--store", str(folder), "--quiet"])
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, arena: Path, store: Path) -> Path:
    """The plain audit of the arena, with everything on."""
    folder = tmp_path_factory.mktemp("cli") / "out"
    words = ["audit", arena, "--out", folder, "--store", store, "--hide-models", 1, "--quiet"]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 0
    return folder


@pytest.fixture(scope="module")
def result(out: Path) -> Any:
    return strict_json((out / "audit.json").read_text(encoding="utf-8"))


def knowledge(values: Any, *keys: str) -> set[tuple[Any, ...]]:
    return {tuple(one["knowledge"][key] for key in keys) for one in values["attacks"]}


# ---------------------------------------------------------------- the result
def test_result_holds_the_contract(result: Any, out: Path) -> None:
    assert schema_errors("audit-1", result) == []
    assert unexplained(result) == []
    assert set(CONTRACT) <= set(result)
    assert result["schema"] == "whodrew.audit/1"
    assert result["canonical"] is None
    for attack in result["attacks"]:
        assert set(ATTACK) <= set(attack)
    assert result["arena"] | {"source": ""} == {
        "source": "",
        "synthetic": False,
        "images": 72,
        "anonymous": 0,
        "models": 4,
        "prompts": 6,
        "cells": 24,
        "generations_per_cell": {"min": 3, "median": 3.0, "max": 3},
        "formats": {"PNG": 72},
        "families": {},
        "bad": [],
        "duplicates": [],
        "near_duplicates": [],
    }
    (encoder,) = result["encoders"]
    assert (encoder["name"], encoder["scale"]) == ("fingerprint", "standardise")
    assert (out / "report.html").stat().st_size > 10_000


def test_default_attacks_are_those_of_the_contract(result: Any) -> None:
    runs = {(one["identifier"], one["knowledge"]["centred"]) for one in result["attacks"]}
    assert runs == {
        ("nearest-centroid", False),
        ("nearest-centroid", True),
        ("whitened-centroid", True),
    }
    both = {(prompts, shown) for prompts in ("matched", "other") for shown in ("any", "each-once")}
    assert knowledge(result, "prompts", "shown") == both
    assert len(result["attacks"]) == 12
    assert knowledge(result, "models", "references") == {("all", "all")}


def test_the_strongest_attack_comes_first_and_beats_guessing(result: Any) -> None:
    values = [one["top1"]["value"] for one in result["attacks"]]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    for attack in result["attacks"]:
        assert attack["chance"] == pytest.approx(0.25)
        rate = attack["top1"]
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
    assert "guessing gets 25.0 %" in result["headline"]["sentence"]


def test_tables_have_the_columns_and_the_sums(result: Any, out: Path) -> None:
    for attack in result["attacks"]:
        confusion = pq.read_table(out / attack["confusion"])
        assert confusion.column_names == ["truth", "answer", "count"]
        assert sum(confusion["count"].to_pylist()) == attack["queries"]
        assert set(confusion["truth"].to_pylist()) <= set(MODELS)
        right = sum(row["count"] for row in confusion.to_pylist() if row["truth"] == row["answer"])
        assert right / attack["queries"] == pytest.approx(attack["top1"]["value"])
        answers = pq.read_table(out / attack["answers"])
        assert len(answers) == attack["queries"]
        assert {"image_id", "path", "prompt_id", "model", "seed", "answer"} <= set(
            answers.column_names
        )
        assert attack["queries"] + attack["not_queried"] == 72
        assert sum(one["n"] for one in attack["per_model"]) == attack["queries"]
    similarity = pq.read_table(out / result["similarity"]["table"])
    assert similarity.column_names == ["model_a", "model_b", "distance"]
    assert len(similarity) == 12
    assert len(result["similarity"]["merges"]) == 3
    written = {file.name for file in (out / "tables").iterdir()}
    named = {
        one[key].split("/")[1] for one in result["attacks"] for key in ("confusion", "answers")
    }
    assert written == named | {"images.parquet", result["similarity"]["table"].split("/")[1]}


def test_a_figure_that_says_nothing_is_null_with_a_reason(result: Any) -> None:
    for attack in result["attacks"]:
        assert attack["top5"] is None
        assert "5" in attack["top5_reason"] or "together" in attack["top5_reason"]
        assert attack["family_top1"] is None
        assert "models.csv" in attack["family_top1_reason"]
        together = attack["knowledge"]["shown"] == "each-once"
        for name in ("top3", "ece", "one_against_rest", "open_set"):
            assert (attack[name] is None) == together, name
            assert (f"{name}_reason" in attack) == together, name


def test_one_against_rest_has_both_scores_and_nulls_where_too_few(result: Any) -> None:
    for attack in result["attacks"]:
        if attack["knowledge"]["shown"] == "each-once":
            continue
        rest = attack["one_against_rest"]
        assert set(rest) >= {"all_known", "target_only"}
        for kind in ("all_known", "target_only"):
            assert set(rest[kind]) >= REST
            # 54 negatives a target: at 1 % and 0.1 % the threshold would rest on none.
            for name in ("tpr_at_fpr_1pct", "tpr_at_fpr_0_1pct"):
                assert rest[kind][name] is None
                assert rest[kind][f"{name}_reason"]
            assert rest[kind]["auc"]["chance"] == 0.5
        always_no = rest["all_known"]["accuracy_of_always_no"]
        assert (always_no["value"] if isinstance(always_no, dict) else always_no) == (
            pytest.approx(0.75)
        )


def test_prompts_are_listed_most_revealing_first(result: Any) -> None:
    assert {one["prompt_id"] for one in result["prompts"]} == set(PROMPTS)
    values = [one["distinguishability"]["value"] for one in result["prompts"]]
    assert values == sorted(values, reverse=True)
    assert [one["images"] for one in result["prompts"]] == [12] * 6
    assert set(result["prompts_from"]) >= {"encoder", "identifier", "knowledge"}


def test_open_set_has_its_figures(result: Any) -> None:
    for attack in result["attacks"]:
        if attack["knowledge"]["shown"] == "any":
            found = attack["open_set"]
            assert found["hidden_per_round"] == 1
            for name in ("false_alarm", "detected", "accuracy_of_answered"):
                assert 0 <= found[name]["value"] <= 1


def test_curves_rise_from_few_to_many(result: Any) -> None:
    for attack in result["attacks"]:
        assert [one["models"] for one in attack["by_models"]] == [2]
        matched = attack["knowledge"]["prompts"] == "matched"
        numbers = [one["references"] for one in attack["by_references"]]
        assert numbers == ([1] if matched else [1, 2, 4])


# ---------------------------------------------------------------- streams
def test_json_alone_stands_on_standard_output(
    whodrew: Shell, arena: Path, store: Path, tmp_path: Path
) -> None:
    words = ("audit", arena, "--out", tmp_path, "--store", store, "--no-curves", "--json", "-")
    ran = whodrew(*words, "--knowledge", "other")
    assert ran.code == 0
    assert ran.json == strict_json((tmp_path / "audit.json").read_text("utf-8"))
    assert "attacks, strongest first" in ran.err
    assert str(tmp_path / "report.html") in ran.err
    quiet = whodrew(*words, "--knowledge", "other", "--quiet")
    assert (quiet.code, quiet.err) == (0, "")
    changed = ("created", "encoders")
    assert {k: v for k, v in quiet.json.items() if k not in changed} == {
        k: v for k, v in ran.json.items() if k not in changed
    }


def test_quiet_prints_nothing(whodrew: Shell, arena: Path, store: Path, tmp_path: Path) -> None:
    ran = whodrew(
        *("audit", arena, "--out", tmp_path, "--store", store, "--no-curves", "--quiet"),
        *("--knowledge", "other", "--shown", "any"),
    )
    assert (ran.code, ran.out, ran.err) == (0, "", "")


# ---------------------------------------------------------------- options
class Audits:
    """Runs quick audits on one store and returns what they print as JSON."""

    def __init__(self, shell: Shell, out: Path) -> None:
        self.shell = shell
        self.out = out

    def __call__(self, *words: object, code: int = 0) -> Any:
        ran = self.shell(
            "audit", "--out", self.out, "--no-curves", "--quiet", "--json", "-", *words
        )
        assert ran.code == code, ran.err
        values = ran.json
        assert schema_errors("audit-1", values) == []
        assert unexplained(values) == []
        return values


@pytest.fixture
def audits(whodrew: Shell, tmp_path: Path) -> Audits:
    return Audits(whodrew, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--knowledge", "matched"], {"matched"}),
        (["--knowledge", "other"], {"other"}),
        (["--knowledge", "auto"], {"matched", "other"}),
        (["--knowledge", "other", "--knowledge", "matched"], {"matched", "other"}),
    ],
)
def test_knowledge(
    audits: Audits, arena: Path, store: Path, words: list[str], wanted: set[str]
) -> None:
    found = audits(arena, "--store", store, *words, "--shown", "any")
    assert knowledge(found, "prompts", "shown") == {(one, "any") for one in wanted}


def test_shown_each_once_alone(audits: Audits, arena: Path, store: Path) -> None:
    found = audits(arena, "--store", store, "--shown", "each-once", "--knowledge", "other")
    assert knowledge(found, "shown") == {("each-once",)}
    for attack in found["attacks"]:
        assert attack["queries"] == 72
        assert attack["top3"] is None


def test_identifiers_run_beside_the_papers(audits: Audits, arena: Path, store: Path) -> None:
    found = audits(
        *(arena, "--store", store, "--identifier", "k-nearest", "--identifier", "linear-probe"),
        *("--shown", "any", "--knowledge", "other"),
    )
    runs = {(one["identifier"], one["knowledge"]["centred"]) for one in found["attacks"]}
    assert runs == {("nearest-centroid", False), ("k-nearest", True), ("linear-probe", True)}
    assert all(one["top1"]["value"] > 0.5 for one in found["attacks"])


def test_per_cell_limits_the_references(audits: Audits, arena: Path, store: Path) -> None:
    found = audits(arena, "--store", store, "--per-cell", 1, "--shown", "any")
    assert knowledge(found, "references") == {(1,)}
    assert all(one["queries"] == 72 for one in found["attacks"])


def test_family(audits: Audits, arena: Path, store: Path, tmp_path: Path) -> None:
    table = tmp_path / "kin.csv"
    table.write_text("model,family\namber,tree\nbirch,tree\ncedar,tree\ndune,sand\n")
    few = ("--store", store, "--knowledge", "other")
    found = audits(arena, *few, "--family", table)
    for attack in found["attacks"]:
        assert attack["family_top1"]["chance"] == pytest.approx((9 + 1) / 16)
        assert attack["family_top1"]["value"] >= attack["top1"]["value"]
    assert found["arena"]["families"]["dune"] == "sand"
    beside = shutil.copytree(arena, tmp_path / "beside")
    shutil.copy(table, beside / "models.csv")
    again = audits(beside, "--knowledge", "other")
    assert again["attacks"][0]["family_top1"]["chance"] == pytest.approx((9 + 1) / 16)
    (tmp_path / "broken.csv").write_text("model,family\namber,tree\namber,sand\nbirch,tree\n")
    audits(arena, *few, "--family", tmp_path / "broken.csv", code=1)


def test_hidden_models_only_where_asked_for(audits: Audits, arena: Path, store: Path) -> None:
    found = audits(arena, "--store", store, "--shown", "any", "--knowledge", "other")
    for attack in found["attacks"]:
        assert attack["open_set"] is None
        assert "--hide-models" in attack["open_set_reason"]
    found = audits(
        *(arena, "--store", store, "--shown", "any", "--knowledge", "other"),
        *("--hide-models", 2, "--false-alarm", 0.2),
    )
    for attack in found["attacks"]:
        assert attack["open_set"]["hidden_per_round"] == 2
        assert attack["open_set"]["false_alarm"]["chance"] == 0.2


def test_reference_arena_shows_both_figures(
    audits: Audits, arena: Path, store: Path, tmp_path: Path
) -> None:
    elsewhere = draw(
        tmp_path / "elsewhere", prompts=PROMPTS[:4], generations=(7, 8), side=48, ending="jpg"
    )
    found = audits(arena, "--store", store, "--reference-arena", elsewhere, "--shown", "any")
    own = [one for one in found["attacks"] if one["references_from"] is None]
    away = [one for one in found["attacks"] if one["references_from"] is not None]
    assert own
    assert away
    assert {one["references_from"] for one in away} == {str(elsewhere)}
    assert all(one["queries"] == 72 for one in own)
    for attack in away:
        matched = attack["knowledge"]["prompts"] == "matched"
        assert attack["queries"] == (48 if matched else 72)
        assert attack["queries"] + attack["not_queried"] == 72
        assert attack["chance"] == pytest.approx(0.25)
    assert found["arena"]["images"] == 72


def test_canonical_is_measured_beside_the_native_figure(
    audits: Audits, arena: Path, tmp_path: Path
) -> None:
    found = audits(arena, "--canonical", 32, "--knowledge", "other", "--shown", "any")
    assert found["canonical"] == 32
    assert [one["canonical"] for one in found["attacks"]] == [32] * 3 + [None] * 3
    assert [one["canonical"] for one in found["encoders"]] == [32, None]
    assert "32x32" in found["encoders"][0]["preprocessing"]
    stores = sorted(path.name for path in (audits.out / "store").iterdir())
    assert stores == ["fingerprint", "fingerprint-canonical-32"]


def test_canonical_comes_by_itself_where_containers_differ(audits: Audits, tmp_path: Path) -> None:
    mixed = draw(
        tmp_path / "mixed",
        prompts=PROMPTS[:5],
        generations=2,
        side={"dune": 96},
        ending={"birch": "jpg"},
    )
    found = audits(mixed, "--knowledge", "other", "--shown", "any")
    assert found["canonical"] == 64
    assert [one["canonical"] for one in found["attacks"]] == [64] * 3 + [None] * 3
    assert found["container"]["differs"] is True
    assert set(found["container"]["fields"]) == {"size", "format"}
    assert found["container"]["top1"]["value"] > 0.6
    figures = found["headline"]["figures"]
    assert {"shown_any", "size_and_format_alone", "as_served"} <= set(figures)
    sentence = found["headline"]["sentence"]
    assert sentence.startswith("Size or format differ between models")
    assert "64x64" in sentence
    assert found["arena"]["formats"] == {"JPEG": 10, "PNG": 30}


def test_a_store_is_reused(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    words = ("--no-curves", "--json", "-", "--knowledge", "other", "--shown", "any")
    first = whodrew("audit", arena, "--out", tmp_path / "one", *words).json
    assert first["encoders"][0]["images_per_second"] > 0
    kept = tmp_path / "one" / "store" / "fingerprint"
    second = whodrew("audit", arena, "--out", tmp_path / "two", "--store", kept, *words).json
    assert second["encoders"][0]["images_per_second"] is None
    assert "in the store" in second["encoders"][0]["images_per_second_reason"]
    assert second["attacks"] == first["attacks"]
    assert not (tmp_path / "two" / "store").exists()


def test_layout_decides_which_level_is_which(audits: Audits, arena: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned"
    for file in arena.glob("*/*/*.png"):
        model, prompt = file.parts[-3:-1]
        target = turned / prompt / model / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    found = audits(turned, "--layout", "prompt/model", "--knowledge", "other", "--shown", "any")
    assert found["arena"]["models"] == 4
    assert {one["prompt_id"] for one in found["prompts"]} == set(PROMPTS)
    taken = audits(turned, "--knowledge", "other", "--shown", "any")
    assert taken["arena"]["models"] == 6


def test_the_same_seed_gives_the_same_figures(audits: Audits, arena: Path, store: Path) -> None:
    few = (arena, "--store", store, "--knowledge", "other", "--shown", "any")
    words = (arena, "--store", store, "--knowledge", "matched", "--seed", 3, "--hide-models", 1)
    first, second = audits(*words), audits(*words)
    for name in ("attacks", "prompts", "variation", "similarity", "headline", "container"):
        assert first[name] == second[name], name
    assert first["seed"] == 3
    huge = audits(*few, "--seed", 2**70)
    assert huge["seed"] == 2**70


def test_out_keeps_no_table_of_an_earlier_run_and_touches_nothing_else(
    audits: Audits, arena: Path, store: Path
) -> None:
    mine = [audits.out / "tables" / "mine.parquet", audits.out / "notes.txt"]
    for file in mine:
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [1]}), file)
    audits(arena, "--store", store, "--shown", "any")
    many = len(list((audits.out / "tables").iterdir()))
    audits(arena, "--store", store, "--shown", "any", "--knowledge", "other")
    assert len(list((audits.out / "tables").iterdir())) == many - 6
    assert all(file.is_file() for file in mine)


def test_out_inside_the_arena_is_not_read_as_images(
    audits: Audits, arena: Path, tmp_path: Path
) -> None:
    inside = shutil.copytree(arena, tmp_path / "my arena")
    audits.out = inside / "audit"
    words = (inside, "--canonical", 32, "--knowledge", "other", "--shown", "any")
    first = audits(*words)
    second = audits(*words)
    assert second["arena"] == first["arena"]
    assert second["attacks"] == first["attacks"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_arena_is_enough(audits: Audits, arena: Path, tmp_path: Path) -> None:
    locked = shutil.copytree(arena, tmp_path / "locked")
    for folder in (locked, *locked.rglob("*")):
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    audits(locked, "--knowledge", "other", "--shown", "any")


# ---------------------------------------------------------------- what is in the arena
def test_images_alone_in_their_cell_are_counted(audits: Audits, tmp_path: Path) -> None:
    arena = draw(tmp_path / "arena", prompts=PROMPTS[:5], generations=2)
    for prompt in PROMPTS[:3]:
        (arena / "amber" / prompt / "1.png").unlink()
    found = audits(arena, "--shown", "any")
    for attack in found["attacks"]:
        alone = 3 if attack["knowledge"]["prompts"] == "matched" else 0
        assert attack["not_queried"] == alone
        assert attack["queries"] == 37 - alone


def test_auto_leaves_matched_out_where_cells_hold_one(audits: Audits, tmp_path: Path) -> None:
    found = audits(draw(tmp_path / "arena", prompts=PROMPTS[:5], generations=1))
    assert knowledge(found, "prompts") == {("other",)}
    assert all(one["distinguishability"] is None for one in found["prompts"])
    assert all(one["distinguishability_reason"] for one in found["prompts"])
    assert found["variation"] is None
    assert found["prompts_from"]["knowledge"]["prompts"] == "other"


def test_duplicates_are_listed_and_do_not_change_the_status(
    audits: Audits, arena: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(arena, tmp_path / "copied")
    shutil.copy(copied / "amber/boat/0.png", copied / "dune/cat/copy.png")
    lossy = pixels("birch", "hill", 1)
    save(copied / "birch/hill/again.png", lossy, compress_level=1)
    found = audits(copied, "--knowledge", "other", "--shown", "any")
    assert [sorted(group) for group in found["arena"]["duplicates"]] == [
        ["amber/boat/0.png", "dune/cat/copy.png"]
    ]
    assert [sorted(group) for group in found["arena"]["near_duplicates"]] == [
        ["birch/hill/1.png", "birch/hill/again.png"]
    ]
    assert found["arena"]["bad"] == []


@pytest.mark.parametrize(
    ("levels", "kind"),
    [((6, 6, 6, 6), "duplicates"), ((1, 3, 6, 9), "near_duplicates")],
    ids=["bytes", "thumbnails"],
)
def test_no_image_is_found_through_its_own_copy(
    audits: Audits, tmp_path: Path, levels: tuple[int, ...], kind: str
) -> None:
    """Noise without a hand, each image there four times: in two prompts, twice in each."""
    arena = tmp_path / "arena"
    rng = np.random.default_rng(5)
    for model in MODELS:
        for pair in range(8):
            # statistics of its own, so that nothing is as near to an image as its copy
            noise = rng.normal(rng.uniform(60, 190, 3), rng.uniform(5, 60), (64, 64, 3))
            array = np.clip(noise, 0, 255).astype(np.uint8)
            for place, level in enumerate(levels):
                file = arena / model / f"p{2 * pair + place // 2}" / f"{place % 2}.png"
                save(file, array, compress_level=level)
    found = audits(arena, "--identifier", "k-nearest")
    assert [len(group) for group in found["arena"][kind]] == [4] * 32
    for attack in found["attacks"]:
        assert attack["knowledge"]["prompts"] == "other"
        assert attack["top1"]["value"] < 0.45, attack["identifier"]
    # Where the copies are not known to be copies they give it away.
    (part,) = (audits.out / "store" / "fingerprint").glob("part-*.parquet")
    (tmp_path / "told").mkdir()
    shutil.copy(part.parent / "card.json", tmp_path / "told")
    told = pq.read_table(part).select(["model", "prompt_id", "embedding"])
    pq.write_table(told, tmp_path / "told" / "all.parquet")
    found = audits(tmp_path / "told", "--identifier", "nearest-centroid", "--shown", "any")
    plain = [one for one in found["attacks"] if not one["knowledge"]["centred"]]
    named = {one["knowledge"]["prompts"]: one["top1"]["value"] for one in plain}
    assert named["matched"] == 1
    assert named["other"] > 0.5


def test_bad_items_are_named_and_counted(whodrew: Shell, arena: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(arena, tmp_path / "spoilt")
    whole = (spoilt / "amber/boat/0.png").read_bytes()
    (spoilt / "amber/boat/0.png").write_bytes(whole[: len(whole) // 2])
    (spoilt / "birch/cat/1.png").write_text("no image at all")
    save(spoilt / "cedar/hill/2.bmp", pixels("cedar", "hill", 99))
    ran = whodrew(
        *("audit", spoilt, "--out", tmp_path / "out", "--no-curves", "--json", "-", "--quiet"),
        *("--knowledge", "other", "--shown", "any"),
    )
    assert ran.code == 1
    bad = {one["item"]: one["reason"] for one in ran.json["arena"]["bad"]}
    assert set(bad) == {"amber/boat/0.png", "birch/cat/1.png", "cedar/hill/2.png"}
    assert "truncated" in bad["amber/boat/0.png"]
    assert "cedar/hill/2.bmp" in bad["cedar/hill/2.png"]
    for item in bad:
        assert f"bad: {item}: " in ran.err
    assert ran.json["arena"]["images"] == 70


def test_models_missing_in_some_prompts(audits: Audits, arena: Path, tmp_path: Path) -> None:
    holes = shutil.copytree(arena, tmp_path / "holes")
    shutil.rmtree(holes / "amber" / "boat")
    shutil.rmtree(holes / "birch" / "cat")
    for prompt in PROMPTS[1:]:
        shutil.rmtree(holes / "cedar" / prompt)
    found = audits(holes, "--hide-models", 1)
    assert found["arena"]["cells"] == 24 - 7
    # cedar and amber share no prompt: a tree over all models cannot be had
    assert found["similarity"]["merges"] is None
    assert found["similarity"]["merges_reason"]


def test_two_prompts_are_enough_and_have_no_interval(audits: Audits, tmp_path: Path) -> None:
    found = audits(draw(tmp_path / "arena", prompts=PROMPTS[:2], generations=2))
    for attack in found["attacks"]:
        assert attack["top1"]["low"] is None
        assert attack["top1"]["low_reason"]


def test_our_own_sample(whodrew: Shell, sample_arena: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_arena, tmp_path / "sample")
    ran = whodrew(
        *("audit", "--sample", "--out", tmp_path, "--no-curves", "--json", "-", "--quiet"),
        *("--knowledge", "other", "--shown", "any", "--identifier", "nearest-centroid"),
    )
    assert ran.code == 0
    assert ran.json["arena"]["synthetic"] is True
    assert ran.json["arena"]["images"] == 640
    assert ran.json["canonical"] is not None  # some painters sign by size and format
    assert ran.json["headline"]["sentence"].startswith("SYNTHETIC")
    assert any(prompt["prompt"] for prompt in ran.json["prompts"])
    assert ran.json["attacks"][0]["family_top1"]["value"] > 0
