"""``whodrew identify``: name the model of each image, given references."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from whodrew.arena import (
    Arena,
    BadItem,
    ImageError,
    canonical_form,
    decode,
    image_id,
    list_images,
    read_bytes,
    thumbnail_digest,
)
from whodrew.audit.forms import canonical_size, container_figure
from whodrew.audit.gathered import Gathered, shared_groups
from whodrew.audit.identification import Identification
from whodrew.audit.options import FALSE_ALARM
from whodrew.audit.result import file_name
from whodrew.audit.sources import Report, Source, embedded, open_source
from whodrew.encoders.base import Encoder, Pixels
from whodrew.encoders.registry import ENCODERS, get_encoder
from whodrew.errors import InputError, UsageError
from whodrew.identify.attack import Answers, Attack, score
from whodrew.identify.base import directions
from whodrew.identify.calibrate import choose_for_all, options_for, rehearse
from whodrew.identify.knowledge import Knowledge
from whodrew.identify.open_set import confidence, threshold
from whodrew.identify.problem import Problem
from whodrew.identify.registry import IDENTIFIERS, get_identifier
from whodrew.identify.samples import Floats, Samples

NEAREST = 3
#: Share of the false alarms spent on doubt between models; the rest goes to images that
#: lie far from all of them.
DOUBT = 0.8
NO_PROMPT = "\0asked"


@dataclass(frozen=True)
class _Asked:
    """How images are asked about."""

    knowledge: Knowledge
    prompt_id: str | None
    identifier: str
    top: int
    false_alarm: float
    seed: int


@dataclass(frozen=True)
class _Read:
    """An image that was read: vector, identity, container."""

    path: str
    vector: Floats
    image_id: str
    thumbnail: str


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
    paths = _expand([images] if isinstance(images, str | Path) else images)
    source = open_source(references, layout, columns)
    for note in source.notes:
        said(note)
    known, size = _references(
        source, encoder, canonical, paths, store, workers=workers, report=report, said=said
    )
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
    read, bad = _read(paths, drawn, size)
    knowledge = Knowledge(prompts="other")
    if prompt_id is not None:
        if prompt_id in known.distinct("prompt_id"):
            knowledge = Knowledge(prompts="matched")
        else:
            said(f"the references hold no prompt {prompt_id!r}: their other prompts are used")
    failed = {item.item: item.reason for item in bad}
    asked = _Asked(knowledge, prompt_id, identifier, top, false_alarm, seed)
    answered = _answer(read, known, asked) if read else {}
    return [
        answered[path]
        if path in answered
        else Identification(path, "unknown", failed[path], (), knowledge, (), bad=True)
        for path in paths
    ]


def _expand(images: Sequence[str | Path]) -> list[str]:
    paths: list[str] = []
    for given in images:
        path = Path(given)
        if path.is_dir():
            paths += [str(one) for one in list_images(path)]
        elif path.exists():
            paths.append(str(path))
        else:
            raise InputError(f"{path}: no such file or folder; name images, or folders of images")
    if not paths:
        raise InputError("no image given: name files or folders of images")
    return list(dict.fromkeys(paths))


def _cache(source: Source) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.blake2b(str(Path(source.name).resolve()).encode(), digest_size=8).hexdigest()
    return Path(root) / "whodrew" / key


def _references(
    source: Source,
    encoder: str,
    canonical: int | None,
    paths: list[str],
    store: str | Path | None,
    *,
    workers: int | None,
    report: Report | None,
    said: Any,
) -> tuple[Gathered, int | None]:
    folder = Path(store) if store is not None else _cache(source) / file_name(encoder)

    def seen(size: int | None, where: Path) -> Gathered:
        found = embedded(source, encoder, where, canonical=size, workers=workers, report=report)
        for note in found.notes:
            said(note)
        for item in found.bad:
            said(f"left out of the references: {item.item}: {item.reason}")
        return found.gathered

    if canonical is not None:
        return seen(canonical, folder.with_name(f"{folder.name}-canonical-{canonical}")), canonical
    native = seen(None, folder)
    if source.arena is None:
        return native, None
    container = container_figure(native, 0)
    differs = container is not None and container.differs
    kinds = set(
        zip(native.column("format"), native.column("width"), native.column("height"), strict=True)
    )
    asked = _kinds(paths)
    if not differs and asked <= kinds:
        return native, None
    sides = [min(width, height) for _, width, height in asked]
    size = min([canonical_size(native), *(side // 8 * 8 for side in sides if side >= 64)])
    why = (
        "size or format differ between the references' models"
        if differs
        else "sizes or formats of the images are not those of the references"
    )
    said(f"{why}: all are brought to {size}x{size} first")
    return seen(size, folder.with_name(f"{folder.name}-canonical-{size}")), size


def _kinds(paths: list[str]) -> set[tuple[str, int, int]]:
    kinds = set()
    for path in paths:
        try:
            image = decode(read_bytes(path))
        except ImageError:
            continue
        kinds.add((image.format, image.width, image.height))
    return kinds


def _read(
    paths: list[str], encoder: Encoder, size: int | None
) -> tuple[list[_Read], list[BadItem]]:
    read: list[_Read] = []
    bad: list[BadItem] = []
    for path in paths:
        try:
            data = read_bytes(path)
            pixels: Pixels = decode(data).pixels
        except ImageError as error:
            bad.append(BadItem(path, error.reason))
            continue
        thumbnail = thumbnail_digest(pixels)
        if size is not None:
            pixels = canonical_form(pixels, size)
        read.append(_Read(path, encoder.encode([pixels])[0], image_id(data), thumbnail))
    return read, bad


def _problem(read: list[_Read], known: Gathered, asked: _Asked) -> Problem:
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
    if len(models) < 2:
        raise InputError(
            f"the references show {len(models)} model{'' if len(models) == 1 else 's'} with a "
            "name: naming needs at least 2"
        )
    prompts = sorted({*known.prompts, prompt})
    references = known.samples(model_names=models, prompt_names=prompts, group=own)
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


def _answer(read: list[_Read], known: Gathered, asked: _Asked) -> dict[str, Identification]:
    problem = _problem(read, known, asked)
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
            "unknown" if unknown else ranked[0][0],
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
