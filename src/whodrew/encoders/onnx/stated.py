"""What is stated of a model's preprocessing: flags, the sidecar, a processor's file.

What wins, field by field: flags after ``?``, then ``model.onnx.json`` (or ``model.json``),
then ``preprocessor_config.json``, then the graph itself. Nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from whodrew.encoders.onnx.fields import SCHEMA, Value, parsed
from whodrew.encoders.onnx.processor import PROCESSOR, from_processor
from whodrew.errors import InputError, UsageError

_MOST: Final = 1 << 20  # bytes of a sidecar
Stated = dict[str, Value]


def split_argument(argument: str) -> tuple[Path, Stated]:
    """Returns the path and the flags of ``PATH?name=value&name=value``.

    A ``%`` in a flag starts a percent-encoded byte, as in addresses.

    Raises:
        UsageError: flags that cannot be parsed, or one given twice.
        InputError: an unknown flag, or a value that it cannot have.
    """
    whole = Path(argument)
    if "?" not in argument or whole.is_file():
        return whole, {}
    path, _, flags = argument.partition("?")
    found: Stated = {}
    for part in flags.split("&"):
        name, equals, value = part.partition("=")
        name = unquote(name)
        if not equals:
            raise UsageError(f"onnx:{argument}: {part!r} after '?' is not name=value")
        if name in found:
            raise UsageError(f"onnx:{argument}: {name} is given twice")
        found[name] = parsed(name, unquote(value), f"onnx:{path}?")
    return Path(path), found


def sidecar_of(path: Path) -> Path | None:
    """Returns the sidecar of a model: ``model.onnx.json`` before ``model.json``."""
    for place in (path.with_name(path.name + ".json"), path.with_suffix(".json")):
        if place.is_file():
            return place
    return None


def gather(path: Path, flags: Stated) -> tuple[Stated, InputError | None]:
    """Returns everything stated about a model, the strongest source winning.

    Returns:
        What is stated, and why the processor's file could not be used, where it could not:
        to be raised where something is lacking without it.

    Raises:
        InputError: the sidecar cannot be read or states what cannot be.
    """
    found: Stated = {}
    problem: InputError | None = None
    processor = path.with_name(PROCESSOR)
    if processor.is_file():
        try:
            values = from_processor(read_object(processor), str(processor))
            found |= {name: parsed(name, value, str(processor)) for name, value in values.items()}
        except InputError as error:
            problem = error
    if (sidecar := sidecar_of(path)) is not None:
        found |= _sidecar(read_object(sidecar), sidecar)
    return found | flags, problem


def _sidecar(values: Mapping[str, Any], path: Path) -> Stated:
    schema = values.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise InputError(f"{path}: schema is {schema!r}, this version reads {SCHEMA!r}")
    # "made" is for people: who exported the model and how well it agrees.
    return {
        name: parsed(name, value, str(path))
        for name, value in values.items()
        if name not in ("schema", "made")
    }


def read_object(path: Path) -> dict[str, Any]:
    """Reads a small JSON object.

    Raises:
        InputError: it cannot be read, is too large, or is no JSON object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
        if len(data) > _MOST:
            raise InputError(f"{path} is larger than {_MOST:,} bytes: no sidecar is")
        values = json.loads(data)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a JSON object")
    return values
