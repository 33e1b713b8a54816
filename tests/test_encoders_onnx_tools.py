"""What the tests of exported encoders share: small graphs, written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from whodrew.encoders.base import Pixels

onnx = pytest.importorskip("onnx", reason="needs an extra: pip install 'whodrew[export]'")
pytest.importorskip("onnxruntime", reason="needs an extra: pip install 'whodrew[onnx]'")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

#: Everything that must be stated of a graph with fixed sides and one flat output.
STATED: dict[str, Any] = {
    "resize": "stretch",
    "interpolation": "bilinear",
    "scale": 1 / 255,
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.25, 0.3],
    "channels": "rgb",
    "normalise": True,
}
SIDE = 16
DIMENSION = 6
WEIGHTS = np.random.default_rng(3).normal(size=(3, DIMENSION)).astype(np.float32)


def graph(
    path: Path,
    *,
    shape: Sequence[Any] = ("n", 3, SIDE, SIDE),
    pooled: bool = True,
    weights: npt.NDArray[np.float32] = WEIGHTS,
    kind: int = TensorProto.FLOAT,
    nodes: Sequence[Any] | None = None,
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] | None = None,
    domains: Sequence[str] = (),
) -> Path:
    """Writes a graph: the mean colour in each quarter's middle, times weights.

    ``nodes`` replace what it computes; they start from ``x`` and end at ``y``.
    """
    axes = [2, 3] if shape[1] in (3, "c") else [1, 2]
    if nodes is None:
        first = [] if kind == TensorProto.FLOAT else [helper.make_node("Cast", ["x"], ["f"], to=1)]
        source = "f" if first else "x"
        nodes = [
            *first,
            helper.make_node("Mul", [source, source], ["s"]),
            helper.make_node("ReduceMean", ["s"], ["m"], axes=axes, keepdims=0),
            helper.make_node("MatMul", ["m", "w"], ["y"]),
        ]
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, list(shape)), *inputs],
        outputs or [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(one, 1) for one in domains)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def stated(path: Path, **changes: Any) -> str:
    """Writes the sidecar of a graph and returns the encoder's name; ``None`` leaves out."""
    values = {key: value for key, value in (STATED | changes).items() if value is not None}
    path.with_name(path.name + ".json").write_text(json.dumps(values), "utf-8")
    return f"onnx:{path}"


def images(*shapes: tuple[int, int], seed: int = 0) -> list[Pixels]:
    """Returns one image of noise in blocks for each (height, width)."""
    rng = np.random.default_rng(seed)
    found = []
    for high, wide in shapes:
        coarse = rng.integers(0, 256, (-(-high // 4), -(-wide // 4), 3))
        found.append(np.kron(coarse, np.ones((4, 4, 1)))[:high, :wide].astype(np.uint8))
    return found


MIXED = ((40, 40), (64, 48), (33, 90), (16, 16), (7, 5), (120, 64), (50, 50))
