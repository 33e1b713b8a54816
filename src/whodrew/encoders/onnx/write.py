"""Making ONNX files: a torch network out, its matrix products to int8. Extra ``export``."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.errors import UsageError

# Names that no network's own values have: a graph with one name twice is no graph.
INPUT: Final = "whodrew_pixels"
OUTPUT: Final = "whodrew_vectors"
_PRODUCTS: Final = ("MatMul", "Gemm")
_PROTOBUF_MOST: Final = 1_900_000_000  # bytes; beyond 2 GB weights must lie beside the file


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the exporters' remarks to their developers from our users."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def plain_module(module: Any) -> Any:
    """Returns a copy of a torch module in float32 on the processor, for inference."""
    return copy.deepcopy(module).cpu().float().eval().requires_grad_(requires_grad=False)


def write_onnx(module: Any, size: tuple[int, int], file: Path, name: str) -> None:
    """Exports a torch module with a free batch dimension.

    Args:
        module: maps (n, 3, h, w) float32 to (n, d).
        size: h and w.
        file: written; weights beyond 1.9 GB go to ``file.data`` beside it.
        name: the encoder's, for messages.

    Raises:
        UsageError: torch cannot export it.
    """
    import torch

    bytes_ = sum(one.numel() * one.element_size() for one in module.state_dict().values())
    try:
        with quiet():
            torch.onnx.export(
                module,
                (torch.zeros(2, 3, *size),),
                str(file),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=bytes_ > _PROTOBUF_MOST,
                verbose=False,
            )
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        said = " ".join(" ".join(lines[:2]).split())[:300]
        raise UsageError(f"encoder {name!r} cannot be exported by torch: {said}") from error


def quantise(source: Path, file: Path, name: str) -> int:
    """Quantises the matrix products of a model to int8, dynamically and per channel.

    Weights have 7 bits: with 8, processors without VNNI saturate their sums, and the same
    file would give other vectors on another machine. Convolutions stay in float32, for
    which ONNX Runtime is several times faster than with dynamic int8.

    Returns:
        The number of products quantised.

    Raises:
        UsageError: there are none, or the model cannot be quantised.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(str(source), load_external_data=False).graph
    kinds = [node.op_type for node in graph.node]
    if not any(kind in _PRODUCTS for kind in kinds):
        many = kinds.count("Conv")
        raise UsageError(
            f"--int8 quantises matrix products, and {name!r} has none ({many} convolutions, "
            "which dynamic int8 would slow down): export it without --int8"
        )
    try:
        with quiet():
            quantize_dynamic(
                str(source),
                str(file),
                op_types_to_quantize=list(_PRODUCTS),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=source.stat().st_size > _PROTOBUF_MOST
                or source.with_name(source.name + ".data").exists(),
            )
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise UsageError(f"{name!r} cannot be quantised: {said}") from error
    made = onnx.load(str(file), load_external_data=False).graph
    count = [node.op_type for node in made.node].count("MatMulInteger")
    if count == 0:
        raise UsageError(f"--int8: no matrix product of {name!r} has fixed weights to quantise")
    return count


def vectors_of(module: Any, prepared: Any) -> Any:
    """Returns what a torch module gives in float32 for prepared images, as (n, d) float32.

    Raises:
        UsageError: it does not give one vector an image.
    """
    import torch

    with torch.inference_mode():
        found = module(torch.from_numpy(np.ascontiguousarray(prepared))).numpy()
    if found.ndim != 2 or len(found) != len(prepared):
        raise UsageError(f"the network gives {found.shape}, not one vector an image")
    return found
