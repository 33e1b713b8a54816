"""The JSON Schemas of the package accept what the contract allows and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from drawn import schema
from test_report_fabricated import fabricate, names

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
    "identify-1",
    "influence-1",
    "leaks-1",
    "manipulation-1",
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
