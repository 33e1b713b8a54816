"""The contract's prompts, variation and similarity, from one survey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from whodrew.audit.jobs import Done
from whodrew.audit.result import file_name
from whodrew.identify.knowledge import Knowledge
from whodrew.measure.intervals import Doubles, interval, ratio, resample_counts
from whodrew.measure.survey import Survey
from whodrew.measure.tally import Tally

ONE_PROMPT = "one prompt alone has no interval over prompts"
SINGLE = "no cell of this prompt holds two distinct images"


def _number(values: dict[str, Any], name: str, value: float, reason: str) -> None:
    values[name] = float(value) if np.isfinite(value) else None
    if values[name] is None:
        values[f"{name}_reason"] = reason


def _point(values: dict[str, Any], name: str, value: float, chance: float, reason: str) -> None:
    if np.isfinite(value):
        values[name] = {
            "value": float(value),
            "low": None,
            "high": None,
            "chance": chance,
            "low_reason": ONE_PROMPT,
            "high_reason": ONE_PROMPT,
        }
    else:
        values[name] = None
        values[f"{name}_reason"] = reason


def prompts_of(
    seen: Survey,
    names: tuple[str, ...],
    models: int,
    texts: Mapping[str, str],
    encoder: str,
    fallback: Done | None,
) -> dict[str, Any]:
    """Returns ``prompts_from`` and ``prompts``, the most revealing first.

    Where cells hold several generations, top-1 and margin are those of the nearest
    leave-one-out centroid of the prompt; else those of ``fallback``, whose margin is the
    calibrated log-probability of the true model less the best other's.

    Args:
        seen: the survey.
        names: (P,) prompt ids.
        models: M.
        texts: prompt ids to texts.
        encoder: its name.
        fallback: a measured attack that names images without references of their prompt.
    """
    top1, margin, chance = seen.top1.copy(), seen.margin.copy(), 1.0 / max(models, 1)
    source = {
        "encoder": encoder,
        "identifier": "nearest-centroid",
        "knowledge": Knowledge(prompts="matched", centred=False).to_dict(),
    }
    if not np.isfinite(top1).any() and fallback is not None:
        top1, margin = _from_tally(fallback.tally)
        source |= {
            "identifier": fallback.found.label,
            "knowledge": fallback.found.problem.knowledge.to_dict(),
        }
    entries = []
    for code in np.flatnonzero(seen.images).tolist():
        entry: dict[str, Any] = {"prompt_id": names[code], "prompt": texts.get(names[code])}
        _point(entry, "distinguishability", seen.distinguishability[code], 0.0, SINGLE)
        _point(entry, "top1", top1[code], chance, "no image of this prompt could be asked about")
        _number(entry, "margin", margin[code], "no image of this prompt could be asked about")
        _number(entry, "silhouette", seen.silhouette[code], SINGLE)
        entry["images"] = int(seen.images[code])
        entries.append(entry)

    def revealing(entry: dict[str, Any]) -> tuple[float, float, float, str]:
        measured = entry["distinguishability"]
        named = entry["top1"]
        return (
            -measured["value"] if measured else np.inf,
            -named["value"] if named else np.inf,
            -entry["margin"] if entry["margin"] is not None else np.inf,
            entry["prompt_id"],
        )

    return {
        "prompts_from": source,
        "prompts": sorted(entries, key=revealing),
        "prompts_sampled": seen.sampled,
    }


def _from_tally(tally: Tally) -> tuple[Doubles, Doubles]:
    asked = tally.named.asked.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return tally.named.right.sum(axis=1) / asked, tally.margin / asked


def variation_of(seen: Survey, models: tuple[str, ...], encoder: str, seed: int) -> dict[str, Any]:
    """Returns the contract's ``variation``: distances within cells and between models."""
    with np.errstate(invalid="ignore"):
        has = np.isfinite(seen.intra)
        intra = np.where(has, seen.intra, 0).sum(axis=1) / has.sum(axis=1)
    used = np.isfinite(intra) & np.isfinite(seen.inter)
    if not used.any():
        return {"variation": None, "variation_reason": "no cell holds two distinct images"}
    ones = np.ones(int(used.sum()))
    bounds = (0.0, 2.0)
    within = ratio(intra[used], ones, seed=seed, chance=None, bounds=bounds)
    between = ratio(seen.inter[used], ones, seed=seed, chance=None, bounds=bounds)
    counts = resample_counts(len(ones), seed)
    low = intra[used].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (counts @ seen.inter[used]) / (counts @ intra[used])
        estimate = seen.inter[used].sum() / low if low > 0 else np.nan
    quotient = interval(estimate, drawn, len(ones), chance=1.0, bounds=(0.0, np.inf))
    per_model = []
    distance = seen.distance.copy()
    np.fill_diagonal(distance, np.nan)
    for code, name in enumerate(models):
        rows = np.isfinite(seen.intra[:, code])
        if not rows.any():
            continue
        own = ratio(
            seen.intra[rows, code], np.ones(int(rows.sum())), seed=seed, chance=None, bounds=bounds
        )
        entry: dict[str, Any] = {"model": name, "intra": own.to_dict()}
        if np.isfinite(distance[code]).any():
            near = int(np.nanargmin(distance[code]))
            entry |= {"nearest_model": models[near], "distance": float(distance[code, near])}
        else:
            entry |= {"nearest_model": None, "distance": None}
            entry["nearest_model_reason"] = entry["distance_reason"] = "no prompt in common"
        per_model.append(entry)
    values: dict[str, Any] = {
        "encoder": encoder,
        "intra": within.to_dict(),
        "inter": between.to_dict(),
        "per_model": per_model,
    }
    if quotient.value is None:
        values |= {"ratio": None, "ratio_reason": "images of a cell do not differ at all"}
    else:
        values["ratio"] = quotient.to_dict()
    return {"variation": values}


def similarity_of(
    seen: Survey, models: tuple[str, ...], encoder: str
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Returns the contract's ``similarity`` and its table; average linkage of distances."""
    present = np.flatnonzero(seen.together.sum(axis=1))
    distance = seen.distance[np.ix_(present, present)]
    if len(present) < 2:
        return {
            "similarity": None,
            "similarity_reason": "needs two models with a prompt in common",
        }, {}
    off = ~np.eye(len(present), dtype=bool)
    first, second = np.nonzero(np.isfinite(distance) & off)
    names = np.array(models, dtype=object)[present]
    name = f"similarity-{file_name(encoder)}.parquet"
    table = pa.table(
        {
            "model_a": pa.array(names[first], pa.string()),
            "model_b": pa.array(names[second], pa.string()),
            "distance": pa.array(distance[first, second], pa.float64()),
        }
    )
    values: dict[str, Any] = {
        "encoder": encoder,
        "table": f"tables/{name}",
        "models": names.tolist(),
        "linkage": "average",
        "distance": "mean over prompts of the mean cross-model cosine distance",
    }
    if np.isfinite(distance[off]).all():
        merges = linkage(squareform(np.maximum(distance, 0), checks=False), method="average")
        values["merges"] = [
            [int(a), int(b), float(height), int(size)] for a, b, height, size in merges
        ]
    else:
        values["merges"] = None
        values["merges_reason"] = "some models have no prompt in common"
    return {"similarity": values}, {name: table}
