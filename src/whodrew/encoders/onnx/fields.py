"""What must be known to run an exported encoder: the fields of the sidecar, one by one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from whodrew.errors import InputError

SCHEMA: Final = "whodrew.onnx/1"
LARGEST: Final = 4096  # pixels a side
_TEXT: Final = 200


@dataclass(frozen=True)
class Field:
    """One field of the sidecar.

    Attributes:
        parse: returns the value from JSON or from the text of a flag; raises ``ValueError``.
        hint: what it may be, in the words of a flag.
    """

    parse: Callable[[Any], Any]
    hint: str


@dataclass(frozen=True)
class Value:
    """A value somebody stated, and where."""

    value: Any
    where: str


def parsed(name: str, given: Any, where: str) -> Value:
    """Returns a stated value, checked.

    Raises:
        InputError: no such field, or no such value; with what may stand there.
    """
    if name not in FIELDS:
        near = difflib.get_close_matches(name, FIELDS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(FIELDS)}"
        raise InputError(f"{where}: unknown field {name!r}: {hint}")
    field = FIELDS[name]
    try:
        return Value(field.parse(given), where)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise InputError(f"{where}: {name} is {given!r}, must be {field.hint}") from error


def _whole(given: Any, least: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise TypeError
    value = int(given)
    if not least <= value <= most:
        raise ValueError
    return value


def _size(given: Any) -> tuple[int, int]:
    parts: Any = given
    if isinstance(given, str):
        parts = given.lower().split("x")
    elif isinstance(given, int):
        parts = [given]
    if len(parts) not in (1, 2):
        raise ValueError
    sides = [_whole(part, 1, LARGEST) for part in parts]
    return sides[0], sides[-1]


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise TypeError
    if isinstance(given, str) and (ratio := re.fullmatch(r"\s*1\s*/\s*(\d+)\s*", given)):
        return 1.0 / int(ratio[1])
    value = float(given)
    if not math.isfinite(value):
        raise ValueError
    return value


def _scale(given: Any) -> float:
    value = _number(given)
    if value <= 0:
        raise ValueError
    return value


def _three(given: Any) -> tuple[float, float, float]:
    parts: Any = given.split(",") if isinstance(given, str) else given
    if isinstance(parts, int | float):
        parts = [parts]
    numbers = [_number(part) for part in parts]
    if len(numbers) == 1:
        numbers *= 3
    first, second, third = numbers
    return first, second, third


def _deviation(given: Any) -> tuple[float, float, float]:
    found = _three(given)
    if min(found) <= 0:
        raise ValueError
    return found


def _one_of(*words: str) -> Field:
    def parse(given: Any) -> str:
        if not isinstance(given, str) or given.lower() not in words:
            raise ValueError
        return given.lower()

    return Field(parse, "|".join(words))


def _yes_or_no(given: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(given, bool):
        return given
    if not isinstance(given, str) or given.lower() not in known:
        raise ValueError
    return known[given.lower()]


def _output(given: Any) -> str | int:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    return _text(given)


def _text(given: Any) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > _TEXT:
        raise ValueError
    return given.strip()


FIELDS: Final[dict[str, Field]] = {
    "size": Field(_size, "PIXELS or HEIGHTxWIDTH"),
    "resize": _one_of("crop", "stretch", "pad"),
    "resize_to": Field(lambda given: _whole(given, 1, LARGEST), "PIXELS of the shorter side"),
    "pad": Field(lambda given: _whole(given, 0, 255), "a grey value, 0 to 255"),
    "interpolation": _one_of("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"),
    "scale": Field(_scale, "what pixels 0 to 255 are multiplied by: 1/255 or 1"),
    "mean": Field(_three, "R,G,B subtracted after scaling"),
    "std": Field(_deviation, "R,G,B divided by, above 0"),
    "channels": _one_of("rgb", "bgr"),
    "layout": _one_of("nchw", "nhwc"),
    "output": Field(_output, "NAME or number"),
    "pooling": _one_of("cls", "mean", "none"),
    "normalise": Field(_yes_or_no, "true|false"),
    "batch": Field(lambda given: _whole(given, 1, 4096), "the most images a run, 1 to 4096"),
    "name": Field(_text, "a text"),
    "revision": Field(_text, "a text"),
    "licence": Field(_text, "an SPDX id"),
}


class LackingError(InputError):
    """Something must be known that nothing states."""


def lacking(names: Iterable[str], path: str, *, beside: str) -> LackingError:
    """Returns the error that says which fields are missing and where to put them.

    Args:
        names: the fields.
        path: the model's file.
        beside: name of the sidecar.
    """
    wanted = [f"{name}={FIELDS[name].hint}" for name in names]
    shown = "; ".join(wanted)
    return LackingError(
        f"{path}: nothing says {', '.join(names)}: add to {beside} beside it, or after the path "
        f"as onnx:PATH?name=value&...: {shown}"
    )
