"""How data sets lie on the Hub: configurations and splits, chosen by names alone.

Pure functions of a list of files and the data set's card (``README.md``). What the card
says is taken only where it matches a file in that list; no script is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from whodrew.arena.labels import listed
from whodrew.arena.model import BadItem
from whodrew.arena.patterns import missing_parts
from whodrew.arena.sniff import IMAGE_EXTENSIONS
from whodrew.errors import InputError, MissingExtraError

Kind = Literal["parquet", "shards", "imagefolder"]
CARD: Final = "README.md"
METADATA: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_DATA: Final[Mapping[str, Kind]] = {".parquet": "parquet", ".tar": "shards"}
_SHARDED: Final = re.compile(r"data/([^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]+")
_KEYWORDS: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT: Final = {
    split: re.compile(rf"(?:^|.*[-._ 0-9])(?:{'|'.join(words)})(?:$|[-._ 0-9].*)", re.DOTALL)
    for split, words in _KEYWORDS.items()
}


@dataclass(frozen=True)
class Chosen:
    """The files of a data set that make an arena.

    Attributes:
        files: relative to the data set, by ``/``, in order.
        kind: who reads them.
        notes: what was chosen and what was left aside.
        bad: parts that are missing.
    """

    files: tuple[str, ...]
    kind: Kind
    notes: tuple[str, ...] = ()
    bad: tuple[BadItem, ...] = ()


def choose(
    files: Iterable[str],
    card: str | None,
    config: str | None = None,
    split: str | None = None,
    *,
    name: str,
) -> Chosen:
    """Chooses a configuration and its splits.

    Args:
        files: all files of the data set, relative, by ``/``.
        card: the text of its ``README.md``.
        config: the configuration wanted; the default one where not given.
        split: the split wanted; all where not given.
        name: the data set, for messages.

    Raises:
        InputError: nothing in it can be read, or there is no such configuration or split;
            the message lists those there are.
        MissingExtraError: the card has configurations and PyYAML is not installed.
    """
    there = sorted(file for file in files if _is_sound(file))
    configs = _configs(card, name)
    notes: list[str] = []
    if configs:
        chosen = _config(configs, config, name)
        notes += [f"configuration {chosen!r}"] if len(configs) > 1 else []
        splits = _by_card(configs[chosen], there, name)
    else:
        if config is not None:
            there = [file for file in there if file.startswith(f"{config}/")]
            if not there:
                raise InputError(f"{name} has no configuration {config!r}: its card names none")
        splits = _by_name(_data_files(there))
    if not splits and not configs:
        return _imagefolder(there, name, split)
    if split is not None:
        if split not in splits:
            raise InputError(f"{name} has no split {split!r}: it has {listed(list(splits), 12)}")
        splits = {split: splits[split]}
    elif len(splits) > 1:
        notes.append(f"splits {', '.join(splits)} read together; hub:NAME:SPLIT takes one")
    found = list(dict.fromkeys(file for some in splits.values() for file in some))
    kinds = {_DATA[PurePosixPath(file).suffix.lower()] for file in found}
    if not found:
        raise InputError(f"{name} has no Parquet files and no tar shards where its card says")
    if len(kinds) > 1:
        raise InputError(f"{name} mixes Parquet files and tar shards: name a configuration")
    return Chosen(tuple(found), kinds.pop(), tuple(notes), tuple(missing_parts(found)))


def has_configs(card: str) -> bool:
    """Whether a card says which files are data; without a YAML parser."""
    front = _front(card)
    return front is not None and re.search(r"^configs\s*:", front, re.MULTILINE) is not None


def matches(pattern: str, file: str) -> bool:
    """Whether a glob of the Hub's names a file: ``*`` stays in a folder, ``**`` does not.

    Takes a time that grows with the lengths of both, whatever the pattern: it comes from
    a stranger.
    """
    wanted = pattern.removeprefix("./").split("/")
    at = _past_folders({0}, wanted)
    for part in file.split("/"):
        here = [place for place in at if place < len(wanted)]
        stay = {place for place in here if wanted[place] == "**"}
        move = {place + 1 for place in here if fnmatchcase(part, wanted[place])}
        at = _past_folders(stay | move, wanted)
    return len(wanted) in at


def _past_folders(at: set[int], wanted: Sequence[str]) -> set[int]:
    """Adds the places after ``**``, which may stand for no folder at all."""
    found = set(at)
    for place in range(min(at, default=len(wanted)), len(wanted)):
        if place in found and wanted[place] == "**":
            found.add(place + 1)
    return found


def _is_sound(file: str) -> bool:
    parts = file.split("/")
    return not file.startswith("/") and not any(
        part == ".." or part.startswith((".", "__")) for part in parts
    )


def _data_files(files: Iterable[str]) -> list[str]:
    return [
        file
        for file in files
        if PurePosixPath(file).suffix.lower() in _DATA and PurePosixPath(file).name not in METADATA
    ]


def _front(card: str) -> str | None:
    match = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", card, re.DOTALL)
    return match.group(1) if match else None


def _configs(card: str | None, name: str) -> dict[str, dict[str, Any]]:
    """Returns the configurations a card names that say where their data is."""
    if card is None or not has_configs(card):
        return {}
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError(
            f"the card of {name}, which says what its data is,", "hub"
        ) from error
    try:
        front = yaml.safe_load(_front(card) or "")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"the {CARD} of {name} is not YAML: {_line(error)}") from error
    configs = front.get("configs") if isinstance(front, dict) else None
    found = {}
    for entry in configs if isinstance(configs, list) else []:
        if isinstance(entry, dict) and ("data_files" in entry or "data_dir" in entry):
            found[_word(entry.get("config_name")) or "default"] = entry
    return found


def _config(configs: Mapping[str, dict[str, Any]], wanted: str | None, name: str) -> str:
    if wanted is not None:
        if wanted not in configs:
            what = listed(list(configs), 12)
            raise InputError(f"{name} has no configuration {wanted!r}: it has {what}")
        return wanted
    marked = [key for key, entry in configs.items() if entry.get("default") is True]
    for key in (*marked, "default"):
        if key in configs:
            return key
    if len(configs) == 1:
        return next(iter(configs))
    what = listed(list(configs), 12)
    raise InputError(f"{name} has several configurations ({what}): name one, as hub:NAME/CONFIG")


def _by_card(entry: Mapping[str, Any], files: Sequence[str], name: str) -> dict[str, list[str]]:
    """Returns the data files of each split, as a configuration names them."""
    folder = _word(entry.get("data_dir")).strip("/").removeprefix("./")
    prefix = f"{folder}/" if folder else ""
    data = _data_files(files)
    stated = entry.get("data_files")
    if stated is None:
        return _by_name([file for file in data if file.startswith(prefix)])
    splits: dict[str, list[str]] = {}
    for split, patterns in _stated(stated, name):
        for pattern in patterns:
            if "://" in pattern:
                raise InputError(f"{name} points to {pattern}, which is not fetched")
            whole = prefix + pattern.removeprefix("./")
            splits.setdefault(split, []).extend(file for file in data if matches(whole, file))
    return {split: found for split, found in splits.items() if found}


def _stated(stated: Any, name: str) -> list[tuple[str, list[str]]]:
    """Returns (split, patterns) of the ``data_files`` of a configuration."""
    if isinstance(stated, str):
        return [("train", [stated])]
    if isinstance(stated, Mapping):
        stated = [{"split": split, "path": path} for split, path in stated.items()]
    found: list[tuple[str, list[str]]] = []
    for entry in stated if isinstance(stated, list) else [None]:
        if isinstance(entry, str):
            found.append(("train", [entry]))
        elif isinstance(entry, Mapping) and isinstance(entry.get("path"), str | list):
            path = entry["path"]
            patterns = [path] if isinstance(path, str) else [_word(one) for one in path]
            found.append((_word(entry.get("split")) or "train", patterns))
        else:
            raise InputError(
                f"the {CARD} of {name} has data_files that cannot be read: they are a pattern, "
                "a list of patterns, or a list of split and path"
            )
    return found


def _word(value: Any) -> str:
    """Returns a scalar as text, nothing for what is none: aliases may nest without end."""
    return str(value) if isinstance(value, str | int | float) else ""


def _by_name(files: Sequence[str]) -> dict[str, list[str]]:
    """Sorts data files to splits as the ``datasets`` library does where no card helps."""
    splits: dict[str, list[str]] = {}
    for file in files:
        if match := _SHARDED.fullmatch(file):
            splits.setdefault(match.group(1), []).append(file)
    if splits:
        order = {split: at for at, split in enumerate(_KEYWORDS)}
        return dict(sorted(splits.items(), key=lambda pair: (order.get(pair[0], 3), pair[0])))
    for by_folder in (True, False):
        for split, pattern in _SPLIT.items():
            for file in files:
                path = PurePosixPath(file)
                parts = path.parts[:-1] if by_folder else (path.name,)
                if any(pattern.fullmatch(part) for part in parts):
                    splits.setdefault(split, []).append(file)
        if splits:
            return splits
    return {"train": list(files)} if files else {}


def _imagefolder(files: Sequence[str], name: str, split: str | None) -> Chosen:
    """Chooses images and their ``metadata.*``, where there are no tables with images."""
    tables = [file for file in files if PurePosixPath(file).name in METADATA]
    images = [file for file in files if PurePosixPath(file).suffix.lower() in IMAGE_EXTENSIONS]
    if not tables or not images:
        what = (
            listed(sorted({PurePosixPath(file).suffix or file for file in files}), 8) or "nothing"
        )
        raise InputError(
            f"{name} has no Parquet files, tar shards or images with metadata, found {what}; "
            "whodrew runs no scripts of data sets"
        )
    if split is not None:
        raise InputError(f"{name} is a folder of images: its splits are read together")
    return Chosen((*tables, *images), "imagefolder")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
