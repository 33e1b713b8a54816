"""What an ONNX file holds, read without ONNX Runtime and without loading a weight.

An ONNX file is a protobuf message. Its outline tells which other files hold weights, so
that they can be hashed and refused where they lie outside the model's folder, and which
operators it uses. Field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from whodrew.errors import InputError

_DEEPEST: Final = 64  # graphs within graphs; exporters make three or four
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_EXTERNAL: Final = 1  # TensorProto.DataLocation
_CHILDREN: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {4: "operator", 5: "attribute", 7: "domain"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}


@dataclass
class Outline:
    """What a model file names.

    Attributes:
        operators: types of the operators used, at every depth.
        domains: where operators come from; empty for ONNX itself.
        locations: files that hold weights, as written in the model.
    """

    operators: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    locations: set[str] = field(default_factory=set)

    @property
    def mixes_batch(self) -> bool:
        """Whether images of one batch change each other's vectors.

        Dynamic quantisation takes the range of a whole batch.
        """
        return any(name.startswith("DynamicQuantize") for name in self.operators)


class _DamagedError(Exception):
    """Bytes that are no protobuf message."""


def read_outline(path: Path) -> Outline:
    """Reads the outline of a model file. Time O(file's structure), no weight is read.

    Raises:
        InputError: it cannot be read, or is no ONNX model.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
            if not start:
                raise InputError(f"{path} is empty: export or fetch the model again")
            if start.startswith(b"version https://git-lfs"):
                raise InputError(f"{path} is a Git LFS pointer, not the model: run 'git lfs pull'")
            if start[4:8] == b"ORTM":
                raise InputError(f"{path} is in ORT format: give the .onnx file it was made from")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _outline(data, path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _outline(data: mmap.mmap, path: Path) -> Outline:
    found = Outline()
    try:
        graphs = _walk(data, "model", 0, len(data), found, 0)
    except _DamagedError as error:
        raise InputError(
            f"{path} is no ONNX model, or a damaged one ({error}): export or fetch it again"
        ) from error
    if not graphs:
        raise InputError(f"{path} is no ONNX model: it holds no graph")
    return found


def _walk(data: mmap.mmap, kind: str, start: int, end: int, found: Outline, depth: int) -> int:
    """Walks one message; returns the number of graphs directly in it."""
    if depth > _DEEPEST:
        raise _DamagedError("graphs nested too deep")
    children = _CHILDREN[kind]
    graphs, external = 0, False
    texts: dict[str, str] = {}
    places: list[str] = []
    for number, wire, begin, stop in _fields(data, start, end):
        if kind == "tensor" and number == 14 and wire == _VARINT:
            external = begin == _EXTERNAL
        child = children.get(number)
        if child is None or wire != _BYTES:
            continue
        if child == "entry":
            entry = _texts(data, begin, stop)
            if entry.get("key") == "location":
                places.append(entry.get("value", ""))
        elif child in _CHILDREN:
            graphs += child == "graph"
            _walk(data, child, begin, stop, found, depth + 1)
        else:
            texts[child] = _text(data, begin, stop)
    if external:
        found.locations.update(places)
    if kind == "node":
        found.operators.add(texts.get("operator", ""))
        found.domains.add(texts.get("domain", ""))
    return graphs


def _texts(data: mmap.mmap, start: int, end: int) -> dict[str, str]:
    names = _CHILDREN["entry"]
    return {
        names[number]: _text(data, begin, stop)
        for number, wire, begin, stop in _fields(data, start, end)
        if wire == _BYTES and number in names
    }


def _text(data: mmap.mmap, start: int, end: int) -> str:
    if end - start > 4096:
        raise _DamagedError("a name of more than 4096 bytes")
    return data[start:end].decode("utf-8", "replace")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields (number, wire type, begin, stop); of a varint its value stands for begin."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at, end)
            yield number, wire, value, at
            continue
        if wire == _BYTES:
            length, at = _varint(data, at, end)
        elif wire in (_EIGHT, _FOUR):
            length = 8 if wire == _EIGHT else 4
        else:
            raise _DamagedError(f"wire type {wire} at byte {at}")
        if number == 0 or length > end - at:
            raise _DamagedError(f"it breaks off at byte {at}")
        yield number, wire, at, at + length
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _DamagedError(f"it breaks off at byte {at}")
