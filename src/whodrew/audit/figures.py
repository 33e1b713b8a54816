"""From one attack's answers to the figures of the contract."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from whodrew.audit.answers import Answered, AnswerSink, Labels
from whodrew.audit.result import AttackResult, figure
from whodrew.identify.assign import assign
from whodrew.identify.attack import Answers, Names, is_tuned, visit
from whodrew.identify.curves import Curves, Part, on_some_prompts
from whodrew.identify.knowledge import Shown
from whodrew.identify.open_set import open_set
from whodrew.identify.parallel import in_partitions, is_partitioned
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Ints
from whodrew.measure.accuracy import Named, ranks
from whodrew.measure.intervals import by_prompt, ratio
from whodrew.measure.tally import EXACT, Tally

NO_CURVES = (
    "not measured: curves were declined, or the arena is large, or they stand with the "
    "canonical form; ask with --curves"
)
#: Images on whose prompts models are hidden in turn: all is named again for every group.
MOST_OPEN = 20_000
TOGETHER = "images are named together, not ranked one by one"


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


@dataclass(frozen=True)
class Asked:
    """What is measured of an attack, and how.

    Attributes:
        shown: ways images are shown.
        labels: gives the labels of rows of the table the samples' ``source`` points to.
        family: (M,) family of each model, if known.
        hide_models: models hidden at a time in the open-set rounds, or ``None``.
        false_alarm: share of known images answered ``unknown`` there.
        identity: canonical, encoder, identifier and references_from.
        slug: start of the names of its tables.
        spill: folder for tables too large to be held; ``None`` holds them.
    """

    shown: tuple[Shown, ...]
    labels: Labels
    family: Ints | None
    hide_models: int | None
    false_alarm: float
    identity: Mapping[str, Any]
    slug: str
    spill: Path | None


def figures_of(
    found: Names, asked: Asked, curves: Mapping[str, Curves]
) -> tuple[list[AttackResult], Tally]:
    """Names every query and returns the figures, one result for each way images are shown.

    No answer is held: each prompt is named, counted and written down.

    Args:
        found: the attack.
        asked: what is measured.
        curves: by ``models`` and by ``references``; empty where not measured.

    Returns:
        The results, and what was counted of queries named alone.
    """
    problem = found.problem
    folds, seed, models = problem.folds, problem.seed, len(problem.references.models)
    practice = None
    if problem.asked.sum() > EXACT and len((held_out := found.practice()).rows):
        practice = held_out.scaled, held_out.model
    exact = practice is None
    shown, family = asked.shown, asked.family
    sinks = {
        way: AnswerSink(found, asked.labels, _spilled(asked, way, exact=exact))
        for way in asked.shown
    }
    # what runs elsewhere sends its tables back
    here = None if is_partitioned() else sinks

    def nothing() -> Counted:
        return Counted(
            Tally.zero(models, folds, seed, families=family, practice=practice),
            Named.zero(models, len(folds), seed, family),
            [],
        )

    def count(prompts: list[int]) -> Counted:
        counted = nothing()
        lock = threading.Lock()

        def use(answers: Answers) -> None:
            counted.tally.update(answers, lock)
            place = ranks(answers.scores, answers.model)
            tables = [(way, _answered(found, way, answers, place)) for way in shown]
            with lock:
                for way, one in tables:
                    if way == "each-once":
                        counted.joint.update(one.prompt, one.model, one.answer, one.chances)
                    if here is not None:
                        here[way].add(one)
                counted.tables += tables if here is None else []

        visit(found, use, np.array(prompts))
        return counted

    prompts = np.unique(problem.queries.prompt[problem.asked]).tolist()
    counted = nothing()
    for part in in_partitions(count, prompts):
        counted.merge(part)
    for way, one in counted.tables:
        sinks[way].add(one)
    tally, joint = counted.tally, counted.joint
    total = int((problem.queries.model >= 0).sum())
    results = []
    for way in asked.shown:
        named = tally.named if way == "any" else joint
        values = _alone(found, tally, asked) if way == "any" else _together(named, problem)
        values |= _curves(curves, way, seed)
        name = f"{asked.slug}-{way}"
        tables = {
            f"confusion-{name}.parquet": _confusion(named, problem.references.models),
            f"answers-{name}.parquet": sinks[way].close(),
        }
        values["confusion"], values["answers"] = (f"tables/{table}" for table in tables)
        results.append(
            AttackResult(
                **asked.identity,
                knowledge=replace(problem.knowledge, shown=way),
                queries=named.queries,
                not_queried=total - named.queries,
                top1=named.top1(),
                values=values,
                tables=tables,
            )
        )
    return results, tally


@dataclass
class Counted:
    """What one partition of prompts gave.

    Attributes:
        tally: of images named alone.
        joint: of images named together.
        tables: answers to be written, where they could not be at once.
    """

    tally: Tally
    joint: Named
    tables: list[tuple[Shown, Answered]]

    def merge(self, other: Counted) -> None:
        """Adds what another partition gave."""
        self.tally.merge(other.tally)
        self.joint.merge(other.joint)
        self.tables += other.tables


def _answered(found: Names, way: Shown, answers: Answers, place: Ints) -> Answered:
    prompt = int(answers.prompt[0])
    if way == "any":
        answer = answers.scores.argmax(axis=1)
        sure = np.exp(answers.likely.max(axis=1).astype(np.float64))
        none = np.empty(0)
        return Answered(prompt, answers.rows, answers.model, answer, place, sure, none)
    together = assign(found.problem, answers)
    at = np.searchsorted(answers.rows, together.rows)
    return Answered(
        prompt, together.rows, together.model, together.answer, place[at], None, together.chances
    )


def _spilled(asked: Asked, way: Shown, *, exact: bool) -> Path | None:
    if asked.spill is None or exact:
        return None
    return asked.spill / f"answers-{asked.slug}-{way}.parquet"


def _alone(found: Names, tally: Tally, asked: Asked) -> dict[str, Any]:
    named, number = tally.named, tally.candidates
    values: dict[str, Any] = {"chance": named.chance}
    for top, count in tally.tops.items():
        reason = f"{number} candidates: the first {top} say nothing" if number <= top else None
        rate = None if reason else named.rate(count, top / number)
        figure(values, f"top{top}", rate, reason)
    figure(values, "balanced_top1", named.balanced())
    figure(values, "family_top1", *_family(named))
    if is_tuned(found):
        figure(values, "ece", tally.calibration.error(named.seed))
    else:
        figure(values, "ece", None, "too few prompts to fit a temperature on held-out ones")
    if named.queries:
        values["one_against_rest"] = tally.one_against_rest()
    else:
        values |= {"one_against_rest": None, "one_against_rest_reason": "nothing was asked"}
    values |= _open(found, asked, number)
    values["per_model"] = named.per_model(found.problem.references.models)
    return values


def _together(named: Named, problem: Problem) -> dict[str, Any]:
    values: dict[str, Any] = {"chance": named.chance if named.queries else float("nan")}
    for name in ("top3", "top5"):
        figure(values, name, None, TOGETHER)
    figure(values, "balanced_top1", named.balanced())
    figure(values, "family_top1", *_family(named))
    figure(values, "ece", None, TOGETHER)
    values |= {"one_against_rest": None, "one_against_rest_reason": TOGETHER}
    values |= {"open_set": None, "open_set_reason": TOGETHER}
    values["per_model"] = named.per_model(problem.references.models)
    return values


def _family(named: Named) -> tuple[Any, str | None]:
    family = named.families
    if family is None:
        return None, "no families known: put models.csv (model,family) beside the images"
    if len(np.unique(family)) == len(family):
        return None, "every model is a family of its own"
    return named.family(), None


def _open(found: Names, asked: Asked, candidates: int) -> dict[str, Any]:
    number = asked.hide_models
    if number is None:
        return {"open_set": None, "open_set_reason": "not asked for: --hide-models N"}
    few, kept = on_some_prompts(found, MOST_OPEN)
    rounds = open_set(few, number, asked.false_alarm)
    if len(rounds.prompt) == 0:
        reason = f"hiding {number} leaves fewer than two models known"
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

    values: dict[str, Any] = {"hidden_per_round": number, "prompts": len(kept)}
    figure(values, "false_alarm", share(unknown, ~rounds.hidden, asked.false_alarm))
    figure(values, "detected", share(unknown, rounds.hidden, asked.false_alarm))
    chance = 1.0 / max(candidates - number, 1)
    right = rounds.answer == rounds.model
    figure(values, "accuracy_of_answered", share(right, ~rounds.hidden & ~unknown, chance))
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
    counts = named.confusion
    labels = np.array([*names, "unknown"], dtype=object)
    truth, answer = np.nonzero(counts)
    return pa.table(
        {
            "truth": pa.array(labels[truth], pa.string()),
            "answer": pa.array(labels[answer], pa.string()),
            "count": pa.array(counts[truth, answer], pa.int64()),
        }
    )
