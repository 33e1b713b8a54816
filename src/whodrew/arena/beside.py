"""What lies beside the images: ``prompts.csv`` and ``models.csv``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from whodrew.arena.labels import (
    MODELS_NAMES,
    PROMPTS_NAMES,
    as_label,
    find_columns,
    listed,
    nfc,
)
from whodrew.arena.model import BadItem
from whodrew.arena.tabular import read_text_table
from whodrew.errors import InputError

V = TypeVar("V")

PROMPTS_FILE = "prompts.csv"
VOTES_FILES = ("votes.parquet", "votes.csv", "votes.jsonl")
MODELS_FILE = "models.csv"


@dataclass
class Beside:
    """The two tables, keyed by names under Unicode NFC.

    Attributes:
        prompts: prompt_id to text.
        attributes: prompt_id to further columns.
        families: model to family.
        models: every model ``models.csv`` names, families or not.
        listed_prompts: every prompt_id ``prompts.csv`` names, text or not.
        bad: rows that contradict others or cannot be read.
        notes: files that could not be used.
    """

    prompts: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    listed_prompts: set[str] = field(default_factory=set)
    bad: list[BadItem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def prompt(self, prompt_id: str) -> str | None:
        """Returns the text of a prompt, ``None`` where it is not listed."""
        return self.prompts.get(nfc(prompt_id))

    def spelled_families(self, models: Iterable[str]) -> dict[str, str]:
        """Returns families keyed by the arena's own spelling of its models."""
        return _spelled(self.families, models)

    def spelled_attributes(self, prompt_ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """Returns attributes keyed by the arena's own spelling of its prompts."""
        return _spelled(self.attributes, prompt_ids)

    def unmatched(self, models: Iterable[str], prompt_ids: Iterable[str]) -> list[str]:
        """Returns notes on names that stand on one side only."""
        notes = []
        for file, kind, known, used in (
            (PROMPTS_FILE, "prompt", self.listed_prompts, {nfc(name) for name in prompt_ids}),
            (MODELS_FILE, "model", self.models, {nfc(name) for name in models}),
        ):
            if not known:
                continue
            if missing := sorted(used - known):
                notes.append(f"not in {file}: {kind} {listed(missing)}")
            if spare := sorted(known - used):
                notes.append(f"in {file} but without images: {kind} {listed(spare)}")
        return notes


def read_beside(folder: Path, skip: Path | None = None) -> Beside:
    """Reads the tables beside the images in ``folder``; a missing one is no error.

    Args:
        folder: where the images or the manifest lie.
        skip: a manifest that is read as such and must not be read as a table beside.
    """
    beside = Beside()
    for name, read in ((PROMPTS_FILE, _read_prompts), (MODELS_FILE, _read_models)):
        path = folder / name
        if path.is_file() and path != skip:
            try:
                read(path, beside)
            except InputError as error:
                beside.notes.append(f"{name} is not used: {error}")
    return beside


def read_families(
    path: str | Path, models: Iterable[str]
) -> tuple[dict[str, str], tuple[BadItem, ...], tuple[str, ...]]:
    """Reads the families of models from a table given by its path.

    Args:
        path: a CSV, TSV or JSON Lines file with columns ``model`` and ``family``.
        models: the arena's models; families are keyed by their spelling.

    Returns:
        Model to family; rows that could not be used; what has to be said.

    Raises:
        InputError: unreadable, or without these columns.
    """
    path = Path(path)
    models = list(models)
    beside = Beside()
    try:
        _read_models(path, beside)
    except InputError as error:
        raise InputError(f"{path.name} is no table of families: {error}") from error
    if not beside.families:
        raise InputError(f"{path} names no families: it needs columns 'model' and 'family'")
    unmatched = beside.unmatched(models, ())
    notes = tuple(note.replace(MODELS_FILE, path.name) for note in unmatched)
    return beside.spelled_families(models), tuple(beside.bad), (*beside.notes, *notes)


def _read_prompts(path: Path, beside: Beside) -> None:
    table = read_text_table(path)
    beside.bad += table.bad
    beside.notes += table.notes
    found = find_columns(list(table.columns), PROMPTS_NAMES)
    if "prompt_id" not in found:
        raise InputError(f"it needs a column 'prompt_id', found {listed(list(table.columns), 12)}")
    others = [name for name in table.columns if name not in found.values()]
    texts = table.columns[found["prompt"]] if "prompt" in found else None
    for at, value in enumerate(table.columns[found["prompt_id"]]):
        item = f"{path.name}, line {table.lines[at]}"
        label = as_label(value)
        if label is None:
            beside.bad.append(BadItem(item, "no prompt_id"))
            continue
        key = nfc(label)
        text = texts[at] if texts is not None else None
        if key in beside.listed_prompts:
            if text is not None and beside.prompts.get(key, text) != text:
                reason = f"prompt_id {label!r} is listed before with another text"
                beside.bad.append(BadItem(item, reason))
            continue
        beside.listed_prompts.add(key)
        if text is not None:
            beside.prompts[key] = str(text)
        beside.attributes[key] = {
            name: str(table.columns[name][at])
            for name in others
            if table.columns[name][at] is not None
        }
    if not any(beside.attributes.values()):
        beside.attributes.clear()


def _read_models(path: Path, beside: Beside) -> None:
    table = read_text_table(path)
    beside.bad += table.bad
    beside.notes += table.notes
    found = find_columns(list(table.columns), MODELS_NAMES)
    if "model" not in found:
        raise InputError(f"it needs a column 'model', found {listed(list(table.columns), 12)}")
    families = table.columns[found["family"]] if "family" in found else None
    for at, value in enumerate(table.columns[found["model"]]):
        item = f"{path.name}, line {table.lines[at]}"
        label = as_label(value)
        if label is None:
            beside.bad.append(BadItem(item, "no model"))
            continue
        key = nfc(label)
        family = as_label(families[at]) if families is not None else None
        if key in beside.models:
            if family is not None and beside.families.get(key, family) != family:
                reason = f"model {label!r} is listed before with another family"
                beside.bad.append(BadItem(item, reason))
            continue
        beside.models.add(key)
        if family is not None:
            beside.families[key] = family


def _spelled(by_key: Mapping[str, V], names: Iterable[str]) -> dict[str, V]:
    return {name: by_key[nfc(name)] for name in names if nfc(name) in by_key}
