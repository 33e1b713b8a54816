"""From one attack's answers to the figures of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from whodrew.audit.result import AttackResult, figure
from whodrew.identify.assign import Assigned, assign
from whodrew.identify.attack import Answers, Attack
from whodrew.identify.curves import Curves, Part
from whodrew.identify.knowledge import Shown
from whodrew.identify.open_set import open_set
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Ints
from whodrew.measure.accuracy import Named, calibration_error, ranks
from whodrew.measure.intervals import by_prompt, ratio
from whodrew.measure.rest import one_against_rest

NO_CURVES = (
    "not measured: curves were declined, or the arena is large, or they stand with the "
    "canonical form; ask with --curves"
)
TOGETHER = "images are named together, not ranked one by one"


def candidates(answers: Answers) -> int:
    """Returns how many models the attacker chooses among."""
    return int(np.isfinite(answers.scores).any(axis=0).sum())


def guessing(answers: Answers) -> float:
    """Returns the mean over queries of 1 / candidates."""
    able = np.isfinite(answers.scores).sum(axis=1)
    return float((1.0 / np.maximum(able, 1)).mean()) if len(able) else 1.0


def answer_for_curves(problem: Problem, answers: Answers) -> dict[str, Part]:
    """Turns scores into (prompts, whether right, chance), shown any and each once."""
    alone = answers.scores.argmax(axis=1) == answers.model
    chance = guessing(answers)
    together = assign(problem, answers)
    return {
        "any": (answers.prompt, alone, chance),
        "each-once": (together.prompt, together.answer == together.model, together.chance),
    }


def figures_of(
    found: Attack,
    *,
    shown: tuple[Shown, ...],
    labels: pa.Table,
    family: Ints | None,
    hide_models: int | None,
    false_alarm: float,
    identity: Mapping[str, Any],
    slug: str,
    curves: Mapping[str, Curves],
) -> list[AttackResult]:
    """Returns the results of one attack, one for each way images are shown.

    Args:
        found: the attack.
        shown: ways images are shown.
        labels: table whose rows the samples' ``source`` points to.
        family: (M,) family of each model, if known.
        hide_models: models hidden at a time in the open-set rounds, or ``None``.
        false_alarm: share of known images answered ``unknown`` there.
        identity: canonical, encoder, identifier and references_from.
        slug: start of the names of its tables.
        curves: by ``models`` and by ``references``; empty where not measured.
    """
    results = []
    for way in shown:
        if way == "any":
            named, values = _alone(found, family, hide_models, false_alarm)
            rows, place, sure = found.answers.rows, *_ranked(found.answers)
        else:
            together = assign(found.problem, found.answers)
            named, values = _together(found, together, family)
            at = np.searchsorted(found.answers.rows, together.rows)
            rows, place, sure = (
                together.rows,
                ranks(found.answers.scores, found.answers.model)[at],
                None,
            )
        problem = found.problem
        asked = problem.queries.model >= 0
        values |= _curves(curves, way, problem.seed)
        name = f"{slug}-{way}"
        tables = {
            f"confusion-{name}.parquet": _confusion(named, problem.references.models),
            f"answers-{name}.parquet": _answers(problem, labels, rows, named, place, sure),
        }
        values["confusion"], values["answers"] = (f"tables/{table}" for table in tables)
        results.append(
            AttackResult(
                **identity,
                knowledge=replace(problem.knowledge, shown=way),
                queries=len(named.prompt),
                not_queried=int(asked.sum()) - len(named.prompt),
                top1=named.top1(),
                values=values,
                tables=tables,
            )
        )
    return results


def _ranked(answers: Answers) -> tuple[Ints, Any]:
    likely = answers.log_probabilities()
    return ranks(answers.scores, answers.model), np.exp(likely.max(axis=1))


def _named(problem: Problem, prompt: Ints, model: Ints, answer: Ints, chance: float) -> Named:
    references = problem.references
    return Named(
        prompt=prompt,
        model=model,
        answer=answer,
        models=len(references.models),
        prompts=len(references.prompts),
        chance=chance,
        seed=problem.seed,
    )


def _alone(
    found: Attack, family: Ints | None, hide_models: int | None, false_alarm: float
) -> tuple[Named, dict[str, Any]]:
    answers, problem = found.answers, found.problem
    number = candidates(answers)
    chance = guessing(answers)
    answer = answers.scores.argmax(axis=1)
    named = _named(problem, answers.prompt, answers.model, answer, chance)
    place = ranks(answers.scores, answers.model)
    values: dict[str, Any] = {"chance": chance}
    for top in (3, 5):
        reason = f"{number} candidates: the first {top} say nothing" if number <= top else None
        rate = None if reason else named.rate(place <= top, top / number)
        figure(values, f"top{top}", rate, reason)
    figure(values, "balanced_top1", named.balanced())
    figure(values, "family_top1", *_family(named, family))
    if answers.tuned:
        error = calibration_error(
            answers.log_probabilities(), answers.model, answers.prompt, named.prompts, problem.seed
        )
        figure(values, "ece", error)
    else:
        figure(values, "ece", None, "too few prompts to fit a temperature on held-out ones")
    if len(answers.rows):
        values["one_against_rest"] = one_against_rest(
            answers.scores / answers.temperature[:, None],
            answers.model,
            answers.prompt,
            problem.folds,
            problem.seed,
        )
    else:
        values |= {"one_against_rest": None, "one_against_rest_reason": "nothing was asked"}
    values |= _open(found, hide_models, false_alarm)
    values["per_model"] = named.per_model(problem.references.models)
    return named, values


def _together(
    found: Attack, together: Assigned, family: Ints | None
) -> tuple[Named, dict[str, Any]]:
    named = _named(found.problem, together.prompt, together.model, together.answer, together.chance)
    values: dict[str, Any] = {"chance": together.chance}
    for name in ("top3", "top5"):
        figure(values, name, None, TOGETHER)
    figure(values, "balanced_top1", named.balanced())
    figure(values, "family_top1", *_family(named, family))
    figure(values, "ece", None, TOGETHER)
    values |= {"one_against_rest": None, "one_against_rest_reason": TOGETHER}
    values |= {"open_set": None, "open_set_reason": TOGETHER}
    values["per_model"] = named.per_model(found.problem.references.models)
    return named, values


def _family(named: Named, family: Ints | None) -> tuple[Any, str | None]:
    if family is None:
        return None, "no families known: put models.csv (model,family) beside the images"
    if len(np.unique(family)) == len(family):
        return None, "every model is a family of its own"
    return named.family(family), None


def _open(found: Attack, hide_models: int | None, false_alarm: float) -> dict[str, Any]:
    if hide_models is None:
        return {"open_set": None, "open_set_reason": "not asked for: --hide-models N"}
    rounds = open_set(found, hide_models, false_alarm)
    if len(rounds.prompt) == 0:
        reason = f"hiding {hide_models} leaves fewer than two models known"
        return {"open_set": None, "open_set_reason": reason}
    prompts, seed = len(found.problem.references.prompts), found.problem.seed
    unknown = rounds.answer < 0

    def share(of: Any, among: Any, chance: float | None) -> Any:
        return ratio(
            by_prompt(of & among, rounds.prompt, prompts),
            by_prompt(among, rounds.prompt, prompts),
            seed=seed,
            chance=chance,
        )

    known = candidates(found.answers) - hide_models
    values: dict[str, Any] = {"hidden_per_round": hide_models}
    figure(values, "false_alarm", share(unknown, ~rounds.hidden, false_alarm))
    figure(values, "detected", share(unknown, rounds.hidden, false_alarm))
    figure(
        values,
        "accuracy_of_answered",
        share(rounds.answer == rounds.model, ~rounds.hidden & ~unknown, 1.0 / max(known, 1)),
    )
    return {"open_set": values}


def _curves(curves: Mapping[str, Curves], way: Shown, seed: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, at in (("by_references", "references"), ("by_models", "models")):
        points = curves.get(at, {}).get(way, [])
        if not points:
            values[key] = None
            values[f"{key}_reason"] = f"too few {at} for a curve" if at in curves else NO_CURVES
            continue
        values[key] = []
        for point in points:
            size = int(point.prompt.max(initial=0)) + 1
            rate = ratio(
                by_prompt(point.correct, point.prompt, size),
                by_prompt(np.ones(len(point.prompt)), point.prompt, size),
                seed=seed,
                chance=point.chance,
            )
            entry: dict[str, Any] = {at: point.at}
            figure(entry, "top1", rate)
            values[key].append(entry)
    return values


def _confusion(named: Named, names: tuple[str, ...]) -> pa.Table:
    counts = named.confusion()
    labels = np.array([*names, "unknown"], dtype=object)
    truth, answer = np.nonzero(counts)
    return pa.table(
        {
            "truth": pa.array(labels[truth], pa.string()),
            "answer": pa.array(labels[answer], pa.string()),
            "count": pa.array(counts[truth, answer], pa.int64()),
        }
    )


def _answers(
    problem: Problem, labels: pa.Table, rows: Ints, named: Named, place: Ints, sure: Any
) -> pa.Table:
    source = pa.array(problem.queries.source[rows])
    names = np.array([*problem.references.models, "unknown"], dtype=object)
    shown = labels.select(["image_id", "path", "prompt_id", "model", "seed"]).take(source)
    shown = shown.append_column("answer", pa.array(names[named.answer], pa.string()))
    shown = shown.append_column("rank", pa.array(place, pa.int64()))
    probability = (
        pa.nulls(len(rows), pa.float64()) if sure is None else pa.array(sure, pa.float64())
    )
    return shown.append_column("probability", probability)
