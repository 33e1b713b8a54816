"""Reads what other commands measured: their JSON, checked before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whodrew.errors import InputError
from whodrew.ranking.columns import Doubles

#: More images than this are a slip; so that sums stay exact.
_MOST: Final = 1e15
_SHOWN: Final = 60


def read_result(file: Path, schema: str, key: str) -> Mapping[str, Any]:
    """Returns a result's JSON, in which ``key`` is a list.

    Raises:
        InputError: it cannot be read, holds what is no JSON number, or is another result.
    """
    mend = "write it again with the command it comes from"
    try:
        values = json.loads(file.read_text("utf-8"), parse_constant=_refuse, parse_float=_finite)
        # what is read here is written again: as deep, and of the same letters
        json.dumps(values, indent=1, ensure_ascii=False).encode()
    except RecursionError:
        raise InputError(f"cannot read {file}: it is nested too deeply; {mend}") from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"cannot read {file}: {error}; {mend}") from error
    name = schema.rstrip("/")
    if not isinstance(values, dict) or not str(values.get("schema", "")).startswith(schema):
        raise InputError(f"{file} is no {name} result: {mend}")
    if not isinstance(values.get(key), list):
        raise InputError(f"{file} has no {key}: {mend}")
    return values


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def mapping(file: Path, field: str, value: Any) -> Mapping[str, Any]:
    """Returns an object; an empty one for null.

    Raises:
        InputError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{file}: {field} is {_brief(value)}: it has to be an object or null")
    return value


def objects(file: Path, field: str, values: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Returns a list of objects.

    Raises:
        InputError: one is something else.
    """
    for at, value in enumerate(values):
        if not isinstance(value, Mapping):
            raise InputError(f"{file}: {field}[{at}] is {_brief(value)}: it has to be an object")
    return list(values)


def text(file: Path, field: str, value: Any) -> str:
    """Returns a text that is not empty.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{file}: {field} is {_brief(value)}: it has to be a text")
    return value


def share(file: Path, field: str, value: Any) -> float:
    """Returns a share, from 0 to 1.

    Raises:
        InputError: it is none.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise InputError(f"{file}: {field} is {_brief(value)}: it has to be a share from 0 to 1")
    return float(value)


def rate(file: Path, field: str, value: Any) -> Mapping[str, Any] | None:
    """Returns a rate: value, and low and high where they are known; ``None`` without a value.

    Raises:
        InputError: it is no object, or one of the three is no share, or they are out of order.
    """
    found = mapping(file, field, value)
    if found.get("value") is None:
        return None
    ends = {
        key: share(file, f"{field}.{key}", found[key])
        for key in ("low", "value", "high")
        if found.get(key) is not None
    }
    if list(ends.values()) != sorted(ends.values()):
        told = ", ".join(f"{key} {end:g}" for key, end in ends.items())
        raise InputError(f"{file}: {field} has {told}: low, value and high have to ascend")
    return found


def shown(file: Path, field: str, value: Any) -> Any:
    """Returns how images were shown by a ``knowledge`` object.

    Raises:
        InputError: it is no object.
    """
    return mapping(file, f"{field}.knowledge", value).get("shown")


def images(source: str, column: pa.ChunkedArray) -> Doubles:
    """Returns the counts of a confusion table.

    Raises:
        InputError: one is no finite number from 0 on.
    """
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(f"{source}: column count is of {kind}: give numbers of images")
    values = np.array([np.nan if one is None else one for one in column.to_pylist()], dtype=float)
    wrong = np.flatnonzero(~((values >= 0) & (values <= _MOST)))
    if len(wrong):
        row = int(wrong[0])
        told = _brief(column[row].as_py())
        raise InputError(
            f"{source}: row {row + 1}, count is {told}: give a number of images, 0 or more"
        )
    return values


def names(source: str, table: pa.Table, column: str) -> list[str | None]:
    """Returns the names of a confusion table's column; no answer is ``None``.

    Raises:
        InputError: they are no text, or a truth is null.
    """
    held = table[column]
    kind = held.type.value_type if pa.types.is_dictionary(held.type) else held.type
    if not any(
        test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    ):
        raise InputError(f"{source}: column {column} is of {kind}: give names of models")
    found: list[str | None] = held.to_pylist()
    if column == "truth" and None in found:
        row = found.index(None) + 1
        raise InputError(f"{source}: row {row}, truth is null: give the model of every image")
    return found


def _brief(value: Any) -> str:
    said = "null" if value is None else repr(value)
    return said if len(said) <= _SHOWN else said[: _SHOWN - 1] + "…"
