"""``whodrew identify``: name the model of each image, given references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from whodrew.arena import Arena
from whodrew.audit.gathered import Gathered, shared_groups
from whodrew.audit.identification import Identification
from whodrew.audit.naming_given import Read, References, expand, read_images, references_of
from whodrew.audit.options import FALSE_ALARM
from whodrew.audit.sources import Report, open_source
from whodrew.encoders.registry import ENCODERS, get_encoder
from whodrew.errors import InputError, UsageError
from whodrew.identify.attack import Answers, Attack, score
from whodrew.identify.base import directions
from whodrew.identify.calibrate import choose_for_all, options_for, rehearse
from whodrew.identify.knowledge import Knowledge
from whodrew.identify.open_set import confidence, threshold
from whodrew.identify.problem import Problem
from whodrew.identify.registry import IDENTIFIERS, get_identifier
from whodrew.identify.samples import Samples

NEAREST = 3
#: Share of the false alarms spent on doubt between models; the rest goes to images that
#: lie far from all of them.
DOUBT = 0.8
NO_PROMPT = "\0asked"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class _Asked:
    """How images are asked about."""

    knowledge: Knowledge
    prompt_id: str | None
    identifier: str
    top: int
    false_alarm: float
    seed: int


def identify(  # noqa: PLR0913 - the options of the command
    images: str | Path | Sequence[str | Path],
    *,
    references: str | Path | Arena,
    prompt_id: str | None = None,
    top: int = 5,
    false_alarm: float = FALSE_ALARM,
    encoder: str = "fingerprint",
    identifier: str = "whitened-centroid",
    canonical: int | None = None,
    store: str | Path | None = None,
    layout: str | None = None,
    columns: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    report: Report | None = None,
    said: Any = None,
) -> list[Identification]:
    """Names the model of each image.

    Probabilities and the threshold of ``unknown`` are calibrated on the references, prompts
    held out, each shown by itself as the images are. An image that is among the
    references is left out of them while it is asked.

    Args:
        images: files and folders of images.
        references: arena or embedding store whose models are known.
        prompt_id: the prompt the images were drawn for, if it is known; references of the
            same prompt then count most.
        top: models to list.
        false_alarm: share of known models' images that may be answered ``unknown``.
        encoder: its name; a store of references brings its own.
        identifier: its name.
        canonical: bring images and references to this side first; decided by sizes and
            formats when ``None``.
        store: folder for the references' vectors; the user's cache when ``None``.
        layout: which folder level is which, in the references.
        columns: ``ours=theirs`` for columns of other names there.
        seed: seeds everything.
        workers: threads that encode.
        report: told of the progress of encoding the references.
        said: told notes for people.

    Returns:
        One entry an image, in the order given; images that cannot be read are answered
        ``unknown`` with the reason, and marked bad.

    Raises:
        UsageError: an option that cannot be served.
        InputError: no image, or references that cannot be used.
    """
    said = said or (lambda _: None)
    ENCODERS.check(encoder)
    IDENTIFIERS.check(identifier)
    if top < 1:
        raise UsageError(f"--top is {top}: give 1 or more")
    if not 0 < false_alarm < 1:
        raise UsageError(f"--false-alarm is {false_alarm}: give a share between 0 and 1")
    if seed < 0:
        raise UsageError(f"--seed is {seed}: give 0 or more")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers is {workers}: give 1 or more")
    paths = expand([images] if isinstance(images, str | Path) else images)
    source = open_source(references, layout, columns)
    for note in source.notes:
        said(note)
    given = references_of(
        source,
        encoder,
        canonical,
        paths,
        store,
        identifier=identifier,
        workers=workers,
        report=report,
        said=said,
    )
    known = given.gathered
    try:
        ENCODERS.check(known.card.name)
    except UsageError as error:
        raise UsageError(
            f"the references are embeddings by {known.card.name!r}, which is no encoder of this "
            f"installation ({', '.join(ENCODERS.names())}): give their images as references"
        ) from error
    drawn = get_encoder(known.card.name)
    if drawn.card.dimension != known.card.dimension:
        raise UsageError(
            f"the references hold {known.card.dimension} numbers a vector, encoder "
            f"{known.card.name} gives {drawn.card.dimension}: embed them again"
        )
    if known.card.revision not in ("unknown", drawn.card.revision):
        raise UsageError(
            f"the references were embedded by {known.card.name} of revision "
            f"{known.card.revision}, here it is {drawn.card.revision}: embed them again"
        )
    read, bad = read_images(paths, drawn, given.canonical)
    knowledge = Knowledge(prompts="other")
    if prompt_id is not None:
        if prompt_id in known.distinct("prompt_id"):
            knowledge = Knowledge(prompts="matched")
        else:
            said(f"the references hold no prompt {prompt_id!r}: their other prompts are used")
    failed = {item.item: item.reason for item in bad}
    asked = _Asked(knowledge, prompt_id, identifier, top, false_alarm, seed)
    answered = _answer(read, given, asked) if read else {}
    return [
        answered[path]
        if path in answered
        else Identification(path, UNKNOWN, failed[path], (), knowledge, (), bad=True)
        for path in paths
    ]


def _problem(read: list[Read], given: References, asked: _Asked) -> Problem:
    known = given.gathered
    matched = asked.knowledge.prompts == "matched" and asked.prompt_id
    prompt = asked.prompt_id if matched and asked.prompt_id else NO_PROMPT
    shown = pa.table(
        {
            "item": [f"\0{one.path}" for one in read],
            "image_id": [one.image_id for one in read],
            "thumbnail": [one.thumbnail for one in read],
        }
    )
    own, group = shared_groups(known, shown)
    models = sorted(known.distinct("model"))
    if UNKNOWN in models:
        raise InputError(
            f"a model of the references is called {UNKNOWN!r}, which is the answer for images of "
            "none of them: rename it, or leave the model empty where it is not known"
        )
    if len(models) < 2:
        raise InputError(
            f"the references show {len(models)} model{'' if len(models) == 1 else 's'} with a "
            "name: naming needs at least 2"
        )
    prompts = sorted({*known.prompts, prompt})
    references = given.copies.beside(
        known.samples(model_names=models, prompt_names=prompts, group=own)
    )
    queries = Samples.build(
        np.stack([one.vector for one in read]),
        models=[None] * len(read),
        prompts=[prompt] * len(read),
        scale=known.card.scale,
        image_id=[one.image_id for one in read],
        seed=[f"{index:09d}" for index in range(len(read))],
        group=group,
        model_names=models,
        prompt_names=prompts,
    )
    return Problem.build(
        references,
        queries,
        knowledge=asked.knowledge,
        seed=asked.seed,
        lone=True,
        unlabelled=True,
    )


def _answer(read: list[Read], given: References, asked: _Asked) -> dict[str, Identification]:
    known = given.gathered
    problem = _problem(read, given, asked)
    names = problem.references.models
    named_by = get_identifier(asked.identifier)
    options = options_for(problem, named_by)
    rehearsed = rehearse(problem, named_by, options)
    choice = choose_for_all(rehearsed, options)
    folds = int(problem.folds.max()) + 1
    answers = score(Attack(problem, named_by, (choice,) * folds))
    practice = rehearsed.scores[choice.index]
    limit = threshold(confidence(practice, choice.temperature), DOUBT * asked.false_alarm)
    far = threshold(practice.max(axis=1), (1 - DOUBT) * asked.false_alarm)
    sure = confidence(answers.scores, choice.temperature)
    likely = np.exp(answers.likely.astype(np.float64))
    near = _nearest(problem, answers, known)
    found: dict[str, Identification] = {}
    for index, row in enumerate(answers.rows.tolist()):
        path = read[int(problem.queries.source[row])].path
        order = np.argsort(-likely[index], kind="stable")
        able = [code for code in order.tolist() if np.isfinite(answers.scores[index, code])]
        ranked = tuple((names[code], float(likely[index, code])) for code in able[: asked.top])
        strange = bool(answers.scores[index].max() < far)
        unknown = strange or bool(sure[index] < limit)
        reason = _reason(ranked, sure[index], limit, asked.false_alarm, tuned=choice.tuned)
        if strange:
            reason = "it lies farther from every model than all but a few of their own images"
        twin = int(problem.twin[row])
        if twin >= 0 or problem.excluded(row) != {int(problem.queries.prompt[row])}:
            reason += "; the image is among the references and was left out of them"
        found[path] = Identification(
            path,
            UNKNOWN if unknown else ranked[0][0],
            reason,
            ranked,
            asked.knowledge,
            near[index],
        )
    return found


def _reason(
    ranked: tuple[tuple[str, float], ...],
    sure: float,
    limit: float,
    false_alarm: float,
    *,
    tuned: bool,
) -> str:
    if not tuned:
        return "too few prompts of references to calibrate: probabilities are not to be trusted"
    odds = f"log-odds {sure:.1f}"
    passed = f"{100 * (1 - DOUBT * false_alarm):g} % of known models' images reach {limit:.1f}"
    if sure < limit:
        return f"no model stands out: {odds} for {ranked[0][0]}, while {passed}"
    return f"{odds}, while {passed}"


def _nearest(
    problem: Problem, answers: Answers, known: Gathered
) -> list[tuple[dict[str, Any], ...]]:
    frame = problem.library.frame(frozenset(), scatter=False)
    references = problem.references
    queries = directions(frame.scaled(problem.queries.vectors[answers.rows]))
    similar = queries @ directions(frame.scaled(references.vectors[:])).T
    similar[:, references.model < 0] = -2.0
    found = []
    for row in similar:
        best = np.argsort(-row, kind="stable")[:NEAREST]
        chosen = known.labels(references.source[best]).to_pylist()
        found.append(
            tuple(
                {
                    "path": one["path"],
                    "model": one["model"],
                    "prompt_id": one["prompt_id"],
                    "similarity": float(value),
                }
                for one, value in zip(chosen, row[best], strict=True)
            )
        )
    return found
