"""Finding the weights of a named model: a folder, the Hub's cache, then the Hub.

The network is asked last, never when it is switched off, and never for long.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from whodrew.errors import InputError

CONFIG: Final = "config.json"
PROCESSORS: Final = ("processor_config.json", "preprocessor_config.json")
SAFE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
WANTED: Final = (CONFIG, *PROCESSORS, SAFE, INDEX, "model-*-of-*.safetensors", "README.md")
PICKLED: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
# The Hub's names for licences, where SPDX spells them otherwise.
_SPDX: Final = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause"}
_FIELD: Final = re.compile(r"^(license|license_name):[ \t]*['\"]?([^'\"\s#]+)", re.MULTILINE)


@dataclass(frozen=True)
class Weights:
    """A model's files, all there.

    Attributes:
        name: what follows the family's colon, so that it is found again from anywhere.
        folder: where they lie.
        revision: the commit on the Hub, or ``blake2b:`` and a hash of the files.
        licence: SPDX id, as the model card says; ``unknown`` where it does not.
        config: ``config.json``.
        processor: the configuration of the image processor.
        files: the safetensors.
    """

    name: str
    folder: Path
    revision: str
    licence: str
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    files: tuple[Path, ...]


def find_weights(family: str, text: str) -> Weights:
    """Finds the files of a model.

    Args:
        family: what stands before the colon, for messages.
        text: a folder, or ``owner/name`` on the Hub with ``@revision`` (a commit, tag or
            branch) after it or not.

    Raises:
        UsageError: ``text`` names neither.
        InputError: the files are not there, or are not such as can be read; the message
            says how to get them.
    """
    folder = Path(text).expanduser()
    if folder.is_dir():
        resolved = folder.resolve()
        return read_folder(family, str(resolved), resolved)
    if text.startswith(("/", "./", "../", "~", "\\")) or (text.count("/") > 1 and "@" not in text):
        raise InputError(
            f"{family}:{text}: there is no folder {text}: give a folder with {CONFIG} and {SAFE}, "
            f"or a name on the Hub, {family}:owner/name"
        )
    from whodrew.encoders.neural.hub import snapshot

    return read_folder(family, text, *snapshot(family, text))


def read_folder(family: str, name: str, folder: Path, commit: str | None = None) -> Weights:
    """Reads what a folder holds, its weights' headers too, but not the weights.

    Args:
        family: for messages.
        name: what the user typed after the colon.
        folder: where the files lie.
        commit: the revision, where it is known; else the files are hashed.

    Raises:
        InputError: something is missing or damaged.
    """
    where = f"{family}:{name}"
    config = read_json(folder / CONFIG, where)
    processor = _processor(folder, where)
    files = _safetensors(folder, where)
    for file in files:
        _check_header(file, where)
    return Weights(
        name=name,
        folder=folder,
        revision=commit or f"blake2b:{_hash_of(folder, files)}",
        licence=licence_of(folder / "README.md"),
        config=config,
        processor=processor,
        files=files,
    )


def missing_of(names: set[str]) -> str | None:
    """Says what a set of file names lacks to be a model of which we can make use.

    Returns:
        One clause with the mend, or ``None`` where nothing is missing.
    """
    if CONFIG not in names:
        return f"no {CONFIG}: it is not a model of transformers"
    if not {SAFE, INDEX} & names:
        pickled = [name for name in sorted(names) if any(Path(name).match(p) for p in PICKLED)]
        if pickled:
            return (
                f"{pickled[0]} but no {SAFE}, and pickled weights are not read, since they can "
                "run code: where you trust them, convert them with "
                "AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER), or name a @revision "
                "that has safetensors"
            )
        return f"no {SAFE}"
    if not set(PROCESSORS) & names:
        return f"no {PROCESSORS[1]}, which says how images are prepared: copy it from the model"
    return None


def licence_of(card: Path) -> str:
    """Returns the licence that a model card's header names, ``unknown`` where it names none."""
    try:
        text = card.read_text("utf-8", errors="replace")
    except OSError:
        return "unknown"
    parts = text.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return "unknown"
    fields = dict(_FIELD.findall(parts[1]))
    found = fields.get("license", "unknown")
    if found == "other":
        found = fields.get("license_name", found)
    return spdx(found)


def spdx(licence: str) -> str:
    """Returns a licence's SPDX id where the Hub spells it otherwise, else what was given."""
    return _SPDX.get(licence.lower(), licence)


def read_json(file: Path, where: str) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: it is missing, or is none.
    """
    try:
        values = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{where} has {missing_of(_names(file.parent))}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: {file.name} cannot be read ({error}): get it again") from error
    if not isinstance(values, dict):
        raise InputError(f"{where}: {file.name} is no JSON object: get it again")
    return values


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def _processor(folder: Path, where: str) -> dict[str, Any]:
    """Reads the image processor's settings: those nested in a processor's come first."""
    nested, own = (folder / name for name in PROCESSORS)
    if nested.is_file():
        inner = read_json(nested, where).get("image_processor")
        if isinstance(inner, dict):
            return inner
    if not own.is_file():
        raise InputError(f"{where} has {missing_of(_names(folder) - {nested.name})}")
    return read_json(own, where)


def _safetensors(folder: Path, where: str) -> tuple[Path, ...]:
    if missing := missing_of(_names(folder)):
        raise InputError(f"{where} has {missing}")
    if (folder / SAFE).is_file():
        return (folder / SAFE,)
    parts = read_json(folder / INDEX, where).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise InputError(f"{where}: {INDEX} names no files: get it again")
    names = sorted({str(name) for name in parts.values()})
    for name in names:
        # a name with a folder in it could point anywhere
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(f"{where} lacks {name}, which {INDEX} names: get it again")
    return tuple(folder / name for name in names)


def _check_header(file: Path, where: str) -> None:
    """Finds files that were cut short: their header says how long they are."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as weights:
            if not weights.keys():
                raise InputError(f"{where}: {file.name} holds no weights: get it again")
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{where}: {file.name} is damaged ({' '.join(str(error).split())}): get it again"
        ) from error


def _hash_of(folder: Path, files: tuple[Path, ...]) -> str:
    """Hashes all that decides what a vector is: weights and both configurations."""
    whole = hashlib.blake2b(digest_size=16)
    there = [folder / name for name in (CONFIG, *PROCESSORS) if (folder / name).is_file()]
    for file in [*there, *files]:
        info = file.stat()
        whole.update(f"{file.name}:{_digest(file, info.st_size, info.st_mtime_ns)}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=256)
def _digest(file: Path, size: int, changed: int) -> str:  # noqa: ARG001 - part of the key
    with file.open("rb") as data:
        return hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
