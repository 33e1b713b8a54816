"""Where a network runs and in which numbers: the device, the dtype, batches and threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final, Literal

from whodrew.errors import UsageError
from whodrew.machine import processors

Number = Literal["float32", "bfloat16"]
VARIABLE: Final = "WHODREW_DTYPE"
# Measured (docs/encoders.md): on a processor, a batch is best while its widest activations stay
# below what the C library hands out again without asking the kernel for fresh pages.
BATCH_BYTES: Final = 20 * 2**20
PROCESSOR_BATCH: Final = 16
CUDA_BATCH: Final = 64
# Each copy of the work holds the activations of a batch.
MOST_THREADS: Final = 16


@dataclass(frozen=True)
class Place:
    """Where and how an encoder computes.

    Attributes:
        device: ``cpu`` or ``cuda``.
        number: dtype of weights and activations.
        batch: images a batch.
        threads: batches prepared at a time, one a thread; on ``cpu`` each also computes.
        inner: torch's own threads within each of them.
    """

    device: Literal["cpu", "cuda"]
    number: Number
    batch: int
    threads: int
    inner: int


def choose_place(widest: int) -> Place:
    """Returns the graphics processor where there is one, else all of this process's cores.

    Work is spread over images, not within them: two threads with one batch each are a third
    faster than two threads on one batch, and preparing images runs beside computing.

    Args:
        widest: numbers in the largest activation of one image.

    Raises:
        UsageError: ``WHODREW_DTYPE`` is none of float32, bfloat16, auto.
    """
    import torch

    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    cores = processors()
    threads = min(cores, MOST_THREADS)
    number = _number(torch, device)
    if device == "cuda":
        return Place(device, number, CUDA_BATCH, threads, 1)
    batch = max(1, min(PROCESSOR_BATCH, BATCH_BYTES // (4 * widest)))
    return Place(device, number, batch, threads, cores // threads)


def _number(torch: Any, device: str) -> Number:
    wanted = os.environ.get(VARIABLE, "auto").strip().lower() or "auto"
    if wanted == "float32":
        return "float32"
    if wanted == "bfloat16":
        return "bfloat16"
    if wanted != "auto":
        raise UsageError(f"{VARIABLE} is {wanted!r}: give float32, bfloat16 or auto")
    if device == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = _processor_has_bfloat16(torch)
    return "bfloat16" if has else "float32"


def _processor_has_bfloat16(torch: Any) -> bool:
    """Whether the processor multiplies bfloat16 itself; elsewhere it is emulated, and slower."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in tests)
