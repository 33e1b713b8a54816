"""How well an attacker identifies: a confusion matrix, measured or of a given accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.arena.labels import listed
from whodrew.errors import InputError, UsageError
from whodrew.ranking import simulate_read as read
from whodrew.ranking.columns import Doubles

UNKNOWN: Final = "unknown"
CHANCE: Final = "chance"
#: Chance; the paper's encoder by centroids, as measured; measured twice; the paper; always.
ACCURACIES: Final[tuple[str, ...]] = (CHANCE, "0.18", "0.67", "0.79", "0.91", "1")
_CLOSE: Final = 1e-9


@dataclass(frozen=True)
class Identification:
    """What an identifier answers, by true model.

    Attributes:
        label: for people.
        confusion: (M, M + 1) probability of each answer, ``unknown`` last; M as in the ranking.
        attack: the audit's attack it was measured for, or ``None`` for a given accuracy.
    """

    label: str
    confusion: Doubles = field(repr=False)
    attack: Mapping[str, Any] | None = None

    @property
    def accuracy(self) -> float:
        """Share of images named rightly, each model counting alike."""
        return float(np.diagonal(self.confusion).mean())

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {
            "label": self.label,
            "accuracy": self.accuracy,
            "attack": None if self.attack is None else dict(self.attack),
        }
        if self.attack is None:
            values["attack_reason"] = "a given accuracy"
        return values


def parse_accuracy(text: str | float, models: int) -> float:
    """Returns an accuracy from ``chance`` or a number.

    Raises:
        UsageError: it is neither, below chance, or above 1.
    """
    if isinstance(text, str) and text.strip().casefold() == CHANCE:
        return 1 / models
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"--accuracy is {text!r}: give a share as 0.67, or chance") from None
    if not 1 / models - _CLOSE <= value <= 1:
        raise UsageError(
            f"--accuracy is {text}: give a share from chance (1/{models} = {1 / models:.3f} for "
            f"{models} models) to 1"
        )
    return max(value, 1 / models)


def above_chance(models: int) -> tuple[str, ...]:
    """Returns chance, and those of ``ACCURACIES`` that are more."""
    return tuple(one for one in ACCURACIES if one == CHANCE or float(one) > 1 / models)


def of_accuracy(accuracy: float, models: int, like: Doubles | None = None) -> Doubles:
    """Returns (M, M + 1) confusions of this accuracy.

    Whodrew's own: the measured confusions mixed with perfect ones above their accuracy, and
    with guessing below it, so that errors fall where they fall in measurement and guessing
    carries nothing: chance is always guessing, whatever was measured. Whether a measurement is
    above chance is asked of the images it answers for: one that is right less often than 1/M
    only because it mostly answers ``unknown`` guesses there instead, and is then above 1/M.
    Without a measurement, or with one that is below chance where it answers, errors fall on
    all other models alike. More accurate confusions of one measurement never know less.

    Args:
        accuracy: from 1/M to 1, each model counting alike.
        models: M.
        like: (M, M + 1) measured confusions.
    """
    perfect = np.eye(models, models + 1)
    guess = np.full((models, models + 1), 1 / models)
    guess[:, models] = 0.0
    if accuracy <= 1 / models + _CLOSE:
        return guess
    base = guess if like is None else _above_chance(like, guess)
    known = float(np.diagonal(base).mean())
    if accuracy >= known:
        part = (accuracy - known) / (1 - known) if known < 1 else 0.0
        return np.asarray((1 - part) * base + part * perfect)
    part = (known - accuracy) / (known - 1 / models)
    return np.asarray((1 - part) * base + part * guess)


def _above_chance(like: Doubles, guess: Doubles) -> Doubles:
    """Returns confusions of an accuracy above chance: measured, or else what comes nearest."""
    M = len(like)
    answered = like.copy()
    answered[:, M] = 0.0
    answered += like[:, M, None] * guess
    for one in (like, answered):
        if float(np.diagonal(one).mean()) > 1 / M + _CLOSE:
            return one
    return guess


def identifications(
    accuracies: Sequence[str | float], models: int, like: Doubles | None = None
) -> list[Identification]:
    """Returns one identification for each accuracy, as ``of_accuracy`` has it.

    Raises:
        UsageError: as ``parse_accuracy``.
    """
    found = []
    for text in accuracies:
        value = parse_accuracy(text, models)
        chance = value <= 1 / models + _CLOSE
        label = f"chance ({value:.3f})" if chance else f"accuracy {value:g}"
        found.append(Identification(label, of_accuracy(value, models, like)))
    return found


def measured(
    table: pa.Table, models: Sequence[str], attack: Mapping[str, Any], source: str
) -> Identification:
    """Returns an attack's identification of the models that are ranked.

    Answers that name another model than these are ``unknown``.

    Args:
        table: truth, answer, count: a confusion table of an audit.
        models: (M,) those ranked, in the order of their codes.
        attack: encoder, identifier and knowledge.
        source: what the user gave, for messages.

    Raises:
        InputError: the table lacks columns, or one of the models, or holds no names or counts.
    """
    lacks = [one for one in ("answer", "count", "truth") if table.column_names.count(one) != 1]
    if lacks:
        raise InputError(f"{source} has no column {', '.join(lacks)}: it is no confusion")
    place = {name: code for code, name in enumerate(models)}
    M = len(models)
    counts = np.zeros((M, M + 1))
    truths, answers = (read.names(source, table, name) for name in ("truth", "answer"))
    images = read.images(source, table["count"])
    for truth, answer, count in zip(truths, answers, images.tolist(), strict=True):
        if truth in place:
            counts[place[truth], M if answer is None else place.get(answer, M)] += count
    missing = [name for name, row in zip(models, counts, strict=True) if row.sum() <= 0]
    if missing:
        raise InputError(
            f"{source} names no image of {listed(missing)}, which the votes rank: audit an "
            "arena that holds all models under the log's names, or give --accuracy alone"
        )
    share = counts / counts.sum(axis=1, keepdims=True)
    label = " ".join(str(attack.get(key)) for key in ("encoder", "identifier") if attack.get(key))
    return Identification(label or "attack", share, attack)


def read_audit(source: str | Path, models: Sequence[str], most: int = 1) -> list[Identification]:
    """Reads the confusions that an audit measured, of images shown alone, strongest first.

    Args:
        source: ``audit.json``, its tables beside it, or the folder of both.
        models: (M,) those ranked.
        most: attacks that are wanted.

    Raises:
        InputError: it cannot be read, is no audit, holds a wrong value, or does not know all
            models.
    """
    file = Path(source)
    file = file / "audit.json" if file.is_dir() else file
    attacks, alone = [], []
    held = read.read_result(file, "whodrew.audit/", "attacks")["attacks"]
    for at, one in enumerate(read.objects(file, "attacks", held)):
        field = f"attacks[{at}]"
        shown = read.shown(file, field, one.get("knowledge"))
        read.rate(file, f"{field}.top1", one.get("top1"))
        if one.get("confusion") is None:
            continue
        read.text(file, f"{field}.confusion", one["confusion"])
        attacks.append(one)
        if shown == "any":
            alone.append(one)
    found = []
    for one in (alone or attacks)[:most]:
        path = file.parent / one["confusion"]
        try:
            table = pq.ParquetFile(path).read()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(
                f"cannot read {path}, which {file.name} names: {error}; keep the tables beside it"
            ) from error
        keys = ("encoder", "identifier", "canonical", "knowledge", "top1")
        told = {key: one[key] for key in keys if key in one}
        found.append(measured(table, models, told, str(path)))
    if not found:
        raise InputError(f"{file} holds no attack with confusions: run 'whodrew audit' again")
    return found
