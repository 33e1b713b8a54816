"""A fabricated but realistic audit, as large as asked, and tests that it holds together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

ENCODER = "fingerprint"
ATTACKS = (
    # canonical, encoder, identifier, prompts, shown, centred, spread of the attacker's scores
    (None, "fingerprint+clip", "fusion", "other", "each-once", True, 0.50),
    (None, ENCODER, "whitened-centroid", "other", "each-once", True, 0.55),
    (None, ENCODER, "whitened-centroid", "other", "any", True, 0.65),
    (512, ENCODER, "whitened-centroid", "other", "any", True, 0.9),
    (None, ENCODER, "nearest-centroid", "other", "any", True, 1.2),
    (None, ENCODER, "nearest-centroid", "other", "any", False, 1.6),
)

Paths = Callable[[str, str, int], "str | None"]


def rate(value: float, chance: float | None = None, width: float = 0.04) -> dict[str, Any]:
    return {
        "value": round(value, 4),
        "low": round(max(0.0, value - width), 4),
        "high": round(min(1.0, value + width), 4),
        "chance": chance,
    }


def fabricate(
    models: list[str],
    prompts: dict[str, str],
    generations: int = 1,
    families: dict[str, str] | None = None,
    paths: Paths | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """An ``audit.json`` object and the tables beside it."""
    rng = np.random.default_rng(seed)
    count, ids = len(models), list(prompts)
    kin = families or {}
    base = {name: rng.normal(size=6) for name in sorted(set(kin.values()))}
    spots = np.stack(
        [
            rng.normal(size=6) * (0.25 if model in kin else 1.0) + base.get(kin.get(model, ""), 0)
            for model in models
        ]
    )
    gaps = np.linalg.norm(spots[:, None] - spots[None], axis=2)
    images = _images(models, prompts, generations, paths)
    tables = {"tables/images.parquet": images}
    attacks = [
        _attack(i, models, kin, images, gaps, rng, tables, spread=kind)
        for i, kind in enumerate(ATTACKS)
    ]
    distance = gaps / gaps.max() * 0.4
    np.fill_diagonal(distance, 0)
    merges = linkage(squareform(distance, checks=False), "average")
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    tables[f"tables/similarity-{ENCODER}.parquet"] = pa.table(
        {
            "model_a": [models[a] for a, _ in pairs],
            "model_b": [models[b] for _, b in pairs],
            "distance": [float(distance[a, b]) for a, b in pairs],
        }
    )
    best = attacks[0]["top1"]["value"]
    return {
        "schema": "whodrew.audit/1",
        "created": "2026-11-24T20:00:00+00:00",
        "seed": seed,
        "software": {"whodrew": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "pillow": "13.0.0"},
        "arena": {
            "images": images.num_rows,
            "models": count,
            "prompts": len(ids),
            "cells": count * len(ids),
            "generations_per_cell": {"min": generations, "median": generations, "max": generations},
            "formats": {"JPEG 1024x1024": images.num_rows},
            "bad": [
                {"item": "model-a/p03/7.jpg", "reason": "truncated after 1,204 of 80,112 bytes"}
            ],
            "duplicates": [["a/p1/0.jpg", "a/p2/0.jpg"]],
            "near_duplicates": [],
            "synthetic": False,
            "families": kin,
        },
        "canonical": None,
        "encoders": [
            {
                "name": ENCODER,
                "revision": "1",
                "dimension": 1442,
                "scale": "standardise",
                "preprocessing": "decoded to RGB, longest side at most 1024, no resampling below",
                "seconds": 61.3,
                "images_per_second": 8.6,
            }
        ],
        "attacks": attacks,
        "prompts_from": {
            "encoder": ENCODER,
            "identifier": "whitened-centroid",
            "knowledge": attacks[2]["knowledge"],
        },
        "prompts": _prompts(prompts, count, generations, rng),
        "variation": _variation(models, generations, gaps, rng),
        "similarity": {
            "encoder": ENCODER,
            "table": f"tables/similarity-{ENCODER}.parquet",
            "linkage": "average",
            "merges": merges.tolist(),
            "models": models,
            "distance": "mean over prompts of the mean cross-model cosine distance",
        },
        "container": {"differs": False, "fields": [], "top1": rate(1 / count, 1 / count, 0.02)},
        "headline": {
            "sentence": (
                f"An outsider who has never seen your prompts names the model of {best:.0%} of "
                f"your images; guessing would get {1 / count:.1%}."
            ),
            "figures": {
                "top1": attacks[0]["top1"],
                "times_chance": round(best * count, 1),
                "models": count,
                "prompts": len(ids),
            },
        },
    }, tables


def _images(
    models: list[str], prompts: dict[str, str], generations: int, paths: Paths | None
) -> pa.Table:
    rows = [(m, p, g) for p in prompts for m in models for g in range(generations)]
    return pa.table(
        {
            "image_id": [f"{i:032x}" for i in range(len(rows))],
            "path": pa.array([paths(*row) if paths else None for row in rows], pa.string()),
            "model": [m for m, _, _ in rows],
            "prompt_id": [p for _, p, _ in rows],
            "prompt": [prompts[p] for _, p, _ in rows],
            "seed": [str(g) for _, _, g in rows],
        }
    )


def _attack(
    place: int,
    models: list[str],
    kin: dict[str, str],
    images: pa.Table,
    gaps: np.ndarray,
    rng: np.random.Generator,
    tables: dict[str, pa.Table],
    spread: tuple[Any, ...],
) -> dict[str, Any]:
    canonical, encoder, identifier, prompts, shown, centred, noise = spread
    count = len(models)
    chance = 1 / count
    index = {model: i for i, model in enumerate(models)}
    truth = np.array([index[m] for m in images.column("model").to_pylist()])
    scores = -gaps[truth] + rng.normal(size=(len(truth), count)) * noise
    answer = scores.argmax(axis=1)
    own = scores[np.arange(len(truth)), truth]
    rank = 1 + (scores > own[:, None]).sum(axis=1)
    exp = np.exp((scores - scores.max(axis=1, keepdims=True)) / 0.4)
    sure = exp.max(axis=1) / exp.sum(axis=1)
    once = shown == "each-once"
    slug = f"{encoder}-{identifier}-{place}"
    tables[f"tables/answers-{slug}.parquet"] = pa.table(
        {
            **{name: images.column(name) for name in ("image_id", "path", "prompt_id", "model")},
            "seed": images.column("seed"),
            "answer": [models[i] for i in answer],
            "rank": rank,
            "probability": pa.array(np.round(sure, 4), mask=np.full(len(sure), once)),
        }
    )
    matrix = np.zeros((count, count), dtype=int)
    np.add.at(matrix, (truth, answer), 1)
    tables[f"tables/confusion-{slug}.parquet"] = pa.table(
        {
            "truth": [models[i] for i in range(count) for _ in range(count)],
            "answer": models * count,
            "count": matrix.ravel(),
        }
    )
    top1 = float((rank == 1).mean())
    why = "the images of a prompt are named together, so there is one answer and no ranking"
    attack: dict[str, Any] = {
        "canonical": canonical,
        "encoder": encoder,
        "identifier": identifier,
        "knowledge": {
            "prompts": prompts,
            "models": "all",
            "references": "all",
            "shown": shown,
            "centred": centred,
        },
        "queries": len(truth),
        "not_queried": 0,
        "chance": chance,
        "top1": rate(top1, chance),
        "balanced_top1": rate(top1, chance),
        "confusion": f"tables/confusion-{slug}.parquet",
        "answers": f"tables/answers-{slug}.parquet",
        "per_model": _per_model(models, matrix, chance),
        "by_references": [
            {"references": k, "top1": rate(top1 * (1 - math.exp(-k / 4)), chance)}
            for k in (1, 2, 4, 8, 16, 21)
        ],
        "by_models": [
            {"models": k, "top1": rate(min(0.99, top1 + 0.35 * (1 - k / count)), 1 / k)}
            for k in sorted({2, 4, 8, 12, 16, count})
            if k <= count
        ],
        "open_set": {
            "hidden_per_round": 3,
            "false_alarm": rate(0.052, None, 0.02),
            "detected": rate(0.31),
            "accuracy_of_answered": rate(min(1.0, top1 + 0.03), chance),
        },
    }
    if kin:
        attack["family_top1"] = rate(min(1.0, top1 + 0.12), chance * 1.6)
    else:
        attack |= {"family_top1": None, "family_top1_reason": "no models.csv names families"}
    if once:
        attack |= {"top3": None, "top3_reason": why, "top5": None, "top5_reason": why}
        attack |= {"ece": None, "ece_reason": why}
        attack |= {"one_against_rest": None, "one_against_rest_reason": why}
        attack |= {
            "open_set": None,
            "open_set_reason": "not measured where each model is shown once",
        }
    else:
        attack["top3"] = rate(float((rank <= 3).mean()), 3 / count)
        attack["top5"] = rate(float((rank <= 5).mean()), 5 / count)
        attack["ece"] = rate(0.041, None, 0.02)
        attack["one_against_rest"] = {"all_known": _target(0.962), "target_only": _target(0.81)}
    return attack


def _target(auc: float) -> dict[str, Any]:
    return {
        "auc": rate(auc, 0.5, 0.01),
        "eer": rate(1 - auc),
        "tpr_at_fpr_1pct": rate(0.44, 0.01),
        "tpr_at_fpr_0_1pct": None,
        "tpr_at_fpr_0_1pct_reason": "fewer than five false alarms would be expected at 0.1 %",
        "balanced_accuracy": rate(auc - 0.06, 0.5),
        "accuracy": rate(0.95),
        "accuracy_of_always_no": rate(0.958),
    }


def _per_model(models: list[str], matrix: np.ndarray, chance: float) -> list[dict[str, Any]]:
    rows = []
    for i, model in enumerate(models):
        total = int(matrix[i].sum())
        others = [j for j in np.argsort(-matrix[i]) if j != i and matrix[i, j]][:3]
        rows.append(
            {
                "model": model,
                "top1": rate(matrix[i, i] / total, chance, 0.15),
                "n": total,
                "taken_for": [
                    {"model": models[j], "share": round(matrix[i, j] / total, 4)} for j in others
                ],
            }
        )
    return rows


def _prompts(
    prompts: dict[str, str], models: int, generations: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    lone = "no model has two generations of this prompt"
    rows = []
    for place, (prompt_id, text) in enumerate(prompts.items()):
        value = 0.95 - 0.7 * place / len(prompts)
        row: dict[str, Any] = {
            "prompt_id": prompt_id,
            "prompt": text,
            "images": models * generations,
        }
        row["top1"] = rate(value, 1 / models, 0.1)
        row["margin"] = round(0.12 * (value - 0.4) + rng.normal() * 0.004, 4)
        if generations > 1:
            row["distinguishability"] = rate(value, 0.0, 0.06)
            row["silhouette"] = round(value - 0.6, 3)
        else:
            row |= {"distinguishability": None, "distinguishability_reason": lone}
            row |= {"silhouette": None, "silhouette_reason": lone}
        rows.append(row)
    return rows


def _variation(
    models: list[str], generations: int, gaps: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    far = gaps + np.eye(len(models)) * 99
    lone = "no cell holds two generations"
    several = generations > 1
    per_model: list[dict[str, Any]] = []
    for i, model in enumerate(models):
        row: dict[str, Any] = {
            "model": model,
            "nearest_model": models[int(far[i].argmin())],
            "distance": round(float(far[i].min()) / 20, 4),
            "intra": round(0.16 + rng.random() * 0.1, 4) if several else None,
        }
        if not several:
            row["intra_reason"] = lone
        per_model.append(row)
    figures: dict[str, Any] = {"inter": rate(0.392, None, 0.02)}
    if several:
        figures |= {"intra": rate(0.211, None, 0.02), "ratio": {**rate(1.0), "value": 1.86}}
        figures["ratio"] |= {"low": 1.71, "high": 2.02, "chance": 1.0}
    else:
        figures |= {"intra": None, "intra_reason": lone, "ratio": None, "ratio_reason": lone}
    return {"encoder": ENCODER, **figures, "per_model": per_model}


def names(count: int, word: str = "model") -> list[str]:
    return [f"{word}-{i:03d}" for i in range(count)]


def test_counts_agree() -> None:
    result, tables = fabricate(names(5), {"p1": "a cat", "p2": "a dog"}, generations=3)
    assert tables["tables/images.parquet"].num_rows == 30
    for attack in result["attacks"]:
        confusion = tables[attack["confusion"]]
        assert sum(confusion.column("count").to_pylist()) == attack["queries"] == 30
        assert tables[attack["answers"]].num_rows == 30
        shares = [sum(t["share"] for t in row["taken_for"]) for row in attack["per_model"]]
        assert max(shares) <= 1
