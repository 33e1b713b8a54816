"""The JSON Schemas of the package accept what the contract allows and nothing else."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from drawn import schema, unexplained
from test_report_fabricated import fabricate, names
from whodrew.arena import BadItem
from whodrew.audit.policy_choose import Point as Chosen
from whodrew.audit.policy_predict import predictors_of
from whodrew.audit.policy_result import Choice, Prompts
from whodrew.defend.arena_result import TABLE, Defended, software
from whodrew.defend.attackers import Faced
from whodrew.defend.frontier_result import Frontier, Point
from whodrew.defend.quality import Quality, medians
from whodrew.defend.scorers import Standing
from whodrew.identify.knowledge import Knowledge
from whodrew.measure.intervals import Rate, missing
from whodrew.ranking import Agreement

Change = Callable[[dict[str, Any]], None]


def errors(name: str, instance: Any) -> list[str]:
    validator = Draft202012Validator(schema(name))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(instance)]


@pytest.fixture(scope="module")
def audit() -> dict[str, Any]:
    prompts = {"p1": "a cat", "p2": "a dog", "p3": "a car"}
    result, _ = fabricate(names(4), prompts, 2, {"model-000": "kin", "model-001": "kin"})
    # What a reader gets: no tuples, no NumPy.
    loaded: dict[str, Any] = json.loads(json.dumps(result))
    return loaded


@pytest.fixture
def identified() -> list[dict[str, Any]]:
    knowledge = {
        "prompts": "other",
        "models": "all",
        "references": "all",
        "shown": "any",
        "centred": False,
    }
    near = {"path": "a/p1/0.png", "model": "a", "prompt_id": "p1", "similarity": 0.93}
    return [
        {
            "image": "query.png",
            "answer": "a",
            "reason": None,
            "ranked": [{"model": "a", "probability": 0.8}, {"model": "b", "probability": 0.2}],
            "knowledge": knowledge,
            "nearest": [near],
        },
        {
            "image": "other.png",
            "answer": "unknown",
            "reason": "no model reaches the threshold at 5 % false alarms",
            "ranked": [],
            "knowledge": knowledge | {"models": ["a", "b"], "references": 4},
            "nearest": [],
        },
    ]


SCHEMAS = (
    "audit-1",
    "defend-1",
    "frontier-1",
    "identify-1",
    "influence-1",
    "leaks-1",
    "manipulation-1",
    "prompts-1",
    "ranking-1",
    "screen-1",
)


@pytest.mark.parametrize("name", SCHEMAS)
def test_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    word, version = name.split("-")
    assert schema(name)["$id"] == f"whodrew.{word}/{version}"


def test_accepts_an_audit(audit: dict[str, Any]) -> None:
    assert errors("audit-1", audit) == []


def test_accepts_an_audit_of_single_generations() -> None:
    result, _ = fabricate(names(3), {"p1": "a cat", "p2": "a dog"}, 1)
    assert errors("audit-1", json.loads(json.dumps(result))) == []


def test_accepts_what_the_contract_may_grow_by(audit: dict[str, Any]) -> None:
    grown = copy.deepcopy(audit)
    grown["further"] = {"fields": []}
    grown["attacks"][0]["new"] = {"figure": None}
    grown["arena"]["votes"] = 12
    assert errors("audit-1", grown) == []


@pytest.mark.parametrize("key", sorted(set(schema("audit-1")["required"])))
def test_refuses_an_audit_without_a_named_key(key: str, audit: dict[str, Any]) -> None:
    broken = {name: value for name, value in audit.items() if name != key}
    assert errors("audit-1", broken)


@pytest.mark.parametrize("key", schema("audit-1")["$defs"]["attack"]["required"])
def test_refuses_an_attack_without_a_named_key(key: str, audit: dict[str, Any]) -> None:
    broken = copy.deepcopy(audit)
    del broken["attacks"][2][key]
    assert errors("audit-1", broken)


@pytest.mark.parametrize(
    "name",
    ["top1", "top3", "top5", "balanced_top1", "family_top1", "ece", "one_against_rest", "open_set"],
)
def test_a_null_figure_needs_its_reason(name: str, audit: dict[str, Any]) -> None:
    broken = copy.deepcopy(audit)
    attack = broken["attacks"][2]
    attack[name] = None
    attack.pop(f"{name}_reason", None)
    assert errors("audit-1", broken)
    attack[f"{name}_reason"] = "because"
    assert errors("audit-1", broken) == []
    attack[f"{name}_reason"] = ""
    assert errors("audit-1", broken)


def test_an_interval_that_is_missing_needs_its_reason(audit: dict[str, Any]) -> None:
    changed = copy.deepcopy(audit)
    rate = changed["attacks"][0]["top1"]
    rate |= {"low": None, "high": None}
    assert errors("audit-1", changed)
    rate["low_reason"] = "fewer than 5 prompts"
    assert errors("audit-1", changed) == []
    rate["high"] = 0.9
    assert errors("audit-1", changed)


def _drop(*path: str | int) -> Change:
    def change(audit: dict[str, Any]) -> None:
        holder: Any = audit
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]

    return change


def _set(value: Any, *path: str | int) -> Change:
    def change(audit: dict[str, Any]) -> None:
        holder: Any = audit
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("whodrew.audit/2", "schema"),
        _set(0.4, "attacks", 0, "top1"),
        _drop("attacks", 0, "top1", "chance"),
        _set("both", "attacks", 0, "knowledge", "prompts"),
        _drop("attacks", 0, "knowledge", "centred"),
        _set("some", "attacks", 0, "knowledge", "models"),
        _set("../secret.parquet", "attacks", 0, "confusion"),
        _set("tables/answers-../x.parquet", "attacks", 0, "answers"),
        _drop("attacks", 2, "one_against_rest", "target_only"),
        _drop("attacks", 2, "one_against_rest", "all_known", "tpr_at_fpr_0_1pct_reason"),
        _drop("attacks", 2, "open_set", "detected"),
        _drop("attacks", 0, "per_model", 0, "taken_for"),
        _drop("attacks", 0, "by_models", 0, "top1"),
        _set(-1, "attacks", 0, "queries"),
        _drop("arena", "near_duplicates"),
        _set([["alone"]], "arena", "duplicates"),
        _set([{"item": "a.png", "reason": ""}], "arena", "bad"),
        _drop("arena", "generations_per_cell", "median"),
        _drop("encoders", 0, "scale"),
        _set("raw", "encoders", 0, "scale"),
        _drop("prompts", 0, "silhouette"),
        _drop("prompts_from", "knowledge"),
        _set(None, "variation", "intra"),
        _drop("variation", "per_model"),
        _set([[0, 1]], "similarity", "merges"),
        _drop("headline", "sentence"),
        _set(None, "similarity"),
    ],
)
def test_refuses_what_breaks_the_contract(change: Change, audit: dict[str, Any]) -> None:
    broken = copy.deepcopy(audit)
    change(broken)
    assert errors("audit-1", broken)


def test_accepts_identifications(identified: list[dict[str, Any]]) -> None:
    assert errors("identify-1", identified) == []


@pytest.mark.parametrize("key", ["image", "answer", "reason", "ranked", "knowledge", "nearest"])
def test_refuses_an_identification_without_a_named_key(
    key: str, identified: list[dict[str, Any]]
) -> None:
    del identified[0][key]
    assert errors("identify-1", identified)


def test_unknown_needs_its_reason(identified: list[dict[str, Any]]) -> None:
    identified[1]["reason"] = None
    assert errors("identify-1", identified)


def test_a_probability_is_a_share(identified: list[dict[str, Any]]) -> None:
    identified[0]["ranked"][0]["probability"] = 1.2
    assert errors("identify-1", identified)


# ---------------------------------------------------------------- frontier, defend, prompts
def _parsed(values: dict[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return loaded


def _changed(values: dict[str, Any], change: Change) -> dict[str, Any]:
    broken = copy.deepcopy(values)
    change(broken)
    return broken


@pytest.fixture(scope="module")
def frontier() -> dict[str, Any]:
    def faced(attacker: str, rate: Rate, **more: Any) -> Faced:
        return Faced(attacker, "eye", "k", {**Knowledge().to_dict(), **more}, rate)

    few = Rate(0.5, None, None, 0.25, "too few prompts")
    attackers = (
        faced("unchanged", few, draws=0),
        faced("adaptive", Rate(0.7, 0.6, 0.8, 0.25), draws=16),
        faced("purifying", few, draws=4, purified="blur-1"),
        Faced("fused", "eye", "fusion", {"prompts": "other", "shown": "any"}, missing("one eye")),
    )
    quality = medians([Quality(30.0, 0.9, None, 12)], lpips_reason="no weights")
    tau = Agreement(0.8, None, None, 3, "prompts", "too few prompts")
    standing = Standing("sharpness", tau, None)
    voted = Standing("sharpness", tau, (tau, Agreement(None, None, None, 3, "votes", "a tie")))
    budget = {"noise": {"sigma_of_255": 4.0}}
    points = (
        Point("noise", budget, quality, 3.5, 48.0, attackers, attackers[1], standing),
        Point("noise(sigma=9)", budget, medians([]), 3.5, 48.0, attackers[3:], None),
        Point("blur", {}, quality, 3.5, 48.0, attackers, attackers[1], voted),
    )
    bad = [BadItem("a.png", "not an image").to_dict()]
    arena = {"source": "a", "images": 9, "models": 4, "prompts": 3, "bad": bad, "notes": ["one"]}
    undefended = (faced("undefended", few, draws=0),)
    told = {"defence": None, "why": "No defence takes a tenth off what is named."}
    return _parsed(Frontier(arena, 0.25, 0, undefended, points, told).to_dict())


def test_accepts_a_frontier(frontier: dict[str, Any]) -> None:
    assert errors("frontier-1", frontier) == []
    grown = _changed(frontier, _set({"figure": None}, "points", 0, "attackers", 0, "new"))
    assert errors("frontier-1", grown) == []


FIRST = ("points", 0, "attackers", 0)


@pytest.mark.parametrize(
    "change",
    [
        *(_drop(name) for name in schema("frontier-1")["$defs"]["frontier"]["required"]),
        *(_drop("points", 0, name) for name in schema("frontier-1")["$defs"]["point"]["required"]),
        *(_drop(*FIRST, name) for name in schema("frontier-1")["$defs"]["attacker"]["required"]),
        *(_drop("points", 0, "quality", name) for name in ("against", "psnr", "max_change")),
        _set("whodrew.frontier/2", "schema"),
        _set(1.2, *FIRST, "top1", "value"),
        _set(-0.1, *FIRST, "top1", "value"),
        _set(None, *FIRST, "top1", "value"),
        _set(1.2, "undefended", 0, "top1", "value"),
        _set(1.2, "points", 0, "strongest", "top1", "high"),
        _set(0.5, *FIRST, "top1"),
        _set(None, *FIRST, "top1"),
        _drop(*FIRST, "top1", "low_reason"),
        _drop(*FIRST, "top1", "chance"),
        _drop(*FIRST, "knowledge", "draws"),
        _set(1, *FIRST, "knowledge", "draws"),
        _drop("points", 0, "attackers", 2, "knowledge", "purified"),
        _drop("points", 0, "attackers", 3, "top1_reason"),
        _set("", "points", 0, "attackers", 3, "top1_reason"),
        _set("undefended", *FIRST, "attacker"),
        _set("adaptive", "undefended", 0, "attacker"),
        _set("somebody", *FIRST, "attacker"),
        _drop("points", 1, "strongest_reason"),
        _drop("points", 1, "ranking_reason"),
        _drop("points", 1, "quality", "psnr_reason"),
        _drop("points", 0, "quality", "lpips_reason"),
        _drop("points", 0, "ranking", "votes_reason"),
        _drop("points", 0, "ranking", "tau", "low_reason"),
        _drop("points", 2, "ranking", "votes", "undefended"),
        _drop("points", 2, "ranking", "votes", "defended", "value_reason"),
        _set(None, "points", 0, "milliseconds_per_image"),
        _drop("recommendation", "why"),
        _drop("arena", "bad"),
        _set(0.9, "chance"),
    ],
)
def test_refuses_a_frontier_that_breaks_the_contract(
    change: Change, frontier: dict[str, Any]
) -> None:
    assert errors("frontier-1", _changed(frontier, change))


def _defended(**more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "arena": "shown",
        "out": "shown",
        "spec": "noise",
        "budget": {"noise": {"sigma_of_255": 4.0}},
        "format": "jpeg",
        "draw": 0,
        "images": 3,
        "defended": 2,
        "reused": 0,
        "bad": (BadItem("a.png", "not an image"),),
        "quality": medians([Quality(30.0, None, None, 12)]),
        "milliseconds_per_image": 3.5,
        "file_sizes": 2,
        "notes": ("one",),
        "seconds": 0.5,
        "images_per_second": 4.0,
        "profile": "profile.npz",
        "secret_file": "shown.secret.txt",
        "sampled": False,
        "table": TABLE.empty_table(),
        "software": software(),
    }
    return _parsed(Defended(**(given | more)).to_dict())


DRY = {"arena": None, "out": None, "profile": None, "secret_file": None, "sampled": True}
BEGUN = {
    "schema": "whodrew.defend/1",
    "software": {"python": "3.12", "whodrew": "1"},
    "complete": False,
    "defence": "noise",
    "draw": 0,
    "secret_check": {"salt": "0a", "digest": "ff"},
}


@pytest.mark.parametrize(
    "more", [{}, DRY, {"defended": 0, "reused": 2, "images_per_second": None, "profile": None}]
)
def test_accepts_what_defend_did(more: dict[str, Any]) -> None:
    values = _defended(**more)
    assert errors("defend-1", values) == []
    assert unexplained(values) == []
    for name in [name for name in values if name.endswith("_reason")]:
        assert errors("defend-1", _changed(values, _drop(name))), name


def test_accepts_the_record_of_a_folder() -> None:
    assert errors("defend-1", BEGUN) == []
    whole = {**_defended(), **BEGUN, "complete": True}
    for name in ("arena", "out", "dry_run", "secret_file"):
        del whole[name]
    assert errors("defend-1", whole) == []
    assert errors("defend-1", {**whole, "secret_check": None}) == []
    for name in ("quality", "bad", "secret_check", "defence"):
        assert errors("defend-1", _changed(whole, _drop(name))), name
    assert errors("defend-1", {**BEGUN, "complete": True})


@pytest.mark.parametrize(
    "change",
    [
        *(_drop(name) for name in _defended()),
        _set("whodrew.defend/2", "schema"),
        _set("gif", "format"),
        _set(-1, "draw"),
        _set(0, "images_per_second"),
        _set(None, "arena"),
        _set(True, "dry_run"),
        _set([{"item": "a.png"}], "bad"),
        _drop("quality", "ssim_reason"),
        _set(300, "quality", "max_change"),
        _set({"noise": 4.0}, "budget"),
    ],
)
def test_refuses_what_defend_cannot_have_done(change: Change) -> None:
    assert errors("defend-1", _changed(_defended(), change))


@functools.cache
def _prompts(by: str = "top1", *, votes: bool = False, chosen: bool = True) -> dict[str, Any]:
    one = BadItem("a.png", "not an image")
    rate = Rate(0.5, None, None, 0.25, "one prompt").to_dict()
    gone: dict[str, Any] = {"distinguishability": None, "distinguishability_reason": "single"}
    if by == "distinguishability":
        gone = {"distinguishability": Rate(-0.1, None, None, 0.0, "one prompt").to_dict()}
    entry = {"prompt": None, "top1": rate, "margin": None, "margin_reason": "none", "images": 3,
             **gone, "silhouette": None, "silhouette_reason": "single",
             "leak": 0.5 if by == "top1" else -0.1}  # fmt: skip
    if votes:
        entry |= {"votes": 12.0, "vote_slope": 0.9}
    power: dict[str, Any] = {"kind": "diversity", "what": "likeness", "all_prompts": 1.0}
    if votes:
        power |= {"kind": "votes", "votes": 36.0, "models": 4}
    point = Chosen(0.5, (0, 2), entry["leak"], 0.8, True)
    leak = np.arange(12.0) / 12
    expected = entry["leak"] if by == "top1" else None
    drawn = {"value": 0.5, "low": 0.4, "high": 0.6}
    found = Prompts(
        created="2025-01-01T00:00:00+00:00",
        seed=0,
        arena={"images": 9, "models": 4, "prompts": 3},
        names=("p1", "p2", "p3"),
        prompts_from={"encoder": "eye", "identifier": "k", "knowledge": Knowledge().to_dict()},
        entries=tuple({"prompt_id": f"p{at}", **entry} for at in (1, 2, 3)),
        leak_by=by,
        leak=Rate(entry["leak"], None, None, 0.25, "too few prompts"),
        predictors=predictors_of(
            leak, {"words": leak, "flat": np.ones(12)}, {"kind": ["a", "b", "b"] * 4}, 0
        ),
        power=power,
        choice=Choice(point, 0.95, expected, None if expected else "not known") if chosen else None,
        frontier=(point,),
        random={2: {"sets": 200, "leak": drawn, "power": drawn}},
        bad=(one,),
        notes=("one",),
    )
    return _parsed(found.to_dict())


@pytest.mark.parametrize("by", ["top1", "distinguishability"])
@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("votes", [True, False])
def test_accepts_prompts(by: str, votes: bool, chosen: bool) -> None:
    values = _prompts(by, votes=votes, chosen=chosen)
    assert errors("prompts-1", values) == []
    assert unexplained(values) == []


@pytest.mark.parametrize(
    "change",
    [
        *(_drop(name) for name in schema("prompts-1")["$defs"]["result"]["required"]),
        *(_drop("prompts", 0, name) for name in schema("prompts-1")["$defs"]["prompt"]["required"]),
        *(_drop("frontier", 0, name) for name in schema("prompts-1")["$defs"]["set"]["required"]),
        _set("whodrew.prompts/2", "schema"),
        _set(1.2, "prompts", 0, "top1", "value"),
        _set(-0.1, "prompts", 0, "top1", "value"),
        _set(0.5, "prompts", 0, "top1"),
        _set(None, "prompts", 0, "top1"),
        _set(-0.1, "prompts", 0, "leak"),
        _set(-0.1, "leak", "value"),
        _drop("leak", "high_reason"),
        _drop("prompts", 0, "distinguishability_reason"),
        _drop("prompts", 0, "margin_reason"),
        _drop("prompts", 0, "vote_slope"),
        _drop("power", "models"),
        _set(1.2, "power", "all_prompts"),
        _set("words", "leak_by"),
        _set("distinguishability", "leak_by"),
        _set(None, "choice"),
        _set(None, "choice", "leak_expected"),
        _drop("choice", "keep"),
        _drop("random", 0, "leak"),
        _set(0, "predictors", 0, "p_value"),
        _drop("predictors", -1, "value_reason"),
        _drop("prompts_from", "knowledge"),
    ],
)
def test_refuses_prompts_that_break_the_contract(change: Change) -> None:
    assert errors("prompts-1", _changed(_prompts(votes=True), change))


def test_a_category_has_its_groups() -> None:
    values = _prompts()
    at = next(at for at, one in enumerate(values["predictors"]) if one["kind"] == "category")
    assert values["predictors"][at]["groups"][0]["low"] is None
    for path in (("groups",), ("low_reason",), ("groups", 0, "low_reason")):
        assert errors("prompts-1", _changed(values, _drop("predictors", at, *path))), path
