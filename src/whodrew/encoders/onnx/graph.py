"""A model opened by ONNX Runtime, and what its graph says about its input and outputs."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.encoders.onnx.outline import Outline, read_outline
from whodrew.errors import InputError

_DTYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_CHUNK: Final = 1 << 20
_KNOWN_DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


@dataclass(frozen=True)
class Output:
    """An output of a graph: its name and what its shape is said to be."""

    name: str
    shape: tuple[Any, ...] | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join(str(side) for side in self.shape)
        return printable(f"{self.name} ({shape})")


@dataclass(frozen=True)
class Graph:
    """A model ready to run.

    Attributes:
        path: its file.
        session: ONNX Runtime's; may be run from several threads at once.
        outline: what the file names.
        input: name of the image input.
        dtype: what it takes.
        layout: ``nchw`` or ``nhwc`` where the graph fixes three channels; else ``None``.
        batch: images a run where the graph fixes them.
        sides: (height, width) by layout, each ``None`` where the graph leaves it open.
        outputs: what it gives.
        cuda: whether it runs on a GPU.
    """

    path: Path
    session: Any
    outline: Outline
    input: str
    dtype: npt.DTypeLike
    layout: str | None
    batch: int | None
    sides: dict[str, tuple[int | None, int | None]]
    outputs: tuple[Output, ...]
    cuda: bool

    def run(self, batch: npt.NDArray[Any], output: str) -> npt.NDArray[Any]:
        """Returns one output for a batch as the network takes it.

        Raises:
            ValueError: the model cannot be run on it.
        """
        import onnxruntime.capi.onnxruntime_pybind11_state as state

        try:
            found = self.session.run([output], {self.input: batch})[0]
        except _errors(state) as error:
            raise ValueError(reason(error)) from error
        return np.asarray(found)


def open_graph(path: Path) -> Graph:
    """Opens a model file; no library of custom operators is ever loaded.

    One thread a run: ``embed`` runs several side by side, which is faster than several
    threads within one run (``benchmarks/onnx_runtime.py``).

    Raises:
        InputError: it is missing or damaged, needs operators that are not there, or takes
            no image; with the mend.
    """
    import onnxruntime
    import onnxruntime.capi.onnxruntime_pybind11_state as state

    if path.is_dir():
        raise InputError(f"{path} is a folder: give the .onnx file in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file; give onnx:PATH to an exported image encoder")
    outline = read_outline(path)
    weights_of(path, outline)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised, and said once
    cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    providers = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except _errors(state) as error:
        strange = sorted(outline.domains.difference(_KNOWN_DOMAINS))
        foreign = printable(f" (it uses operators of {', '.join(strange)})") if strange else ""
        raise InputError(
            f"ONNX Runtime cannot load {path}: {reason(error)}{foreign}: export it again, with "
            "standard operators alone"
        ) from error
    return _described(path, session, outline, "CUDAExecutionProvider" in session.get_providers())


def _described(path: Path, session: Any, outline: Outline, cuda: bool) -> Graph:
    inputs = session.get_inputs()
    said = printable("; ".join(f"{one.name} {one.type} {_shape(one.shape)}" for one in inputs))
    images = [one for one in inputs if one.type in _DTYPES and _layouts(one.shape)]
    if len(images) != 1:
        raise InputError(
            f"{path} takes no image: it needs one input of 4 axes, 3 of them channels; it has "
            f"{said or 'none'}"
        )
    if len(inputs) > 1:
        raise InputError(
            f"{path} takes more than an image ({said}): export its image encoder alone"
        )
    shape, layouts = images[0].shape, _layouts(images[0].shape)
    sides = {"nchw": (_fixed(shape[2]), _fixed(shape[3])), "nhwc": tuple(map(_fixed, shape[1:3]))}
    stated = [name for name in layouts if _fixed(shape[1 if name == "nchw" else 3]) == 3]
    return Graph(
        path=path,
        session=session,
        outline=outline,
        input=images[0].name,
        dtype=_DTYPES[images[0].type],
        layout=stated[0] if len(stated) == 1 else None,
        batch=_fixed(shape[0]),
        sides={name: sides[name] for name in layouts},  # type: ignore[misc]
        outputs=tuple(
            Output(one.name, tuple(one.shape) if one.shape else None)
            for one in session.get_outputs()
        ),
        cuda=cuda,
    )


def _layouts(shape: Any) -> list[str]:
    """Returns the layouts in which a shape may be that of RGB images."""
    if not isinstance(shape, list | tuple) or len(shape) != 4:
        return []
    places = {"nchw": shape[1], "nhwc": shape[3]}
    return [name for name, side in places.items() if _fixed(side) in (None, 3)]


def _fixed(side: Any) -> int | None:
    return side if isinstance(side, int) and side > 0 else None


def _shape(shape: Any) -> str:
    return f"({', '.join(str(side) for side in shape or ())})"


def weights_of(path: Path, outline: Outline) -> list[Path]:
    """Returns the files beside a model that hold its weights, sorted by name.

    Raises:
        InputError: one is missing, or lies outside the model's folder.
    """
    folder = path.parent.resolve()
    found = []
    for name in sorted(outline.locations):
        place = Path(os.path.normpath(folder / name))
        inside = name and not Path(name).is_absolute() and place.is_relative_to(folder)
        if not inside or not place.resolve().is_relative_to(folder):
            raise InputError(
                f"{path} wants weights from {name!r}, outside its folder: export it with its "
                "weights beside it"
            )
        if not place.is_file():
            raise InputError(f"{path} wants its weights from {name}, which is not beside it")
        found.append(place)
    return found


def digest_of(path: Path, weights: list[Path], preprocessing: str) -> str:
    """Returns BLAKE2b-128 of a model's files and of what is done to pixels, in hex.

    Raises:
        InputError: a file cannot be read.
    """
    total = hashlib.blake2b(digest_size=16)
    total.update(preprocessing.encode())
    for one in (path, *weights):
        part = hashlib.blake2b(digest_size=16)
        try:
            with one.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    part.update(chunk)
        except OSError as error:
            raise InputError(f"cannot read {one}: {error.strerror or error}") from error
        total.update(part.digest())
    return total.hexdigest()


def printable(text: str) -> str:
    """Returns text that strangers wrote into a model, short and harmless to a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text[:240])


def reason(error: BaseException) -> str:
    """Returns what ONNX Runtime says is wrong, in one line without its codes."""
    text = " ".join(str(error).split())
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return printable(text).rstrip(" .")


def _errors(state: Any) -> tuple[type[Exception], ...]:
    """Returns the exceptions of ONNX Runtime, which share no base of their own."""
    names = (
        "EPFail",
        "EngineError",
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "ModelLoaded",
        "NoModel",
        "NoSuchFile",
        "NotImplemented",
        "RuntimeException",
    )
    theirs = [getattr(state, name) for name in names if hasattr(state, name)]
    return (RuntimeError, ValueError, *theirs)
