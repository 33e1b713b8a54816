"""A vision transformer by torch and by ONNX Runtime, in the same run, as images a second.

ViT-B/32 with random weights (CLIP's image tower by transformers), exported as ``whodrew
encoders export`` does; prepared inputs, so that only the network is timed, on as many
threads as there are processors: torch with all of them in one call, ONNX Runtime with one
each, side by side, which is how ``embed`` runs it. ``--threads`` also times the other way.

    python benchmarks/onnx_runtime.py [--images N] [--repeats N] [--threads] [--small]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 4
WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
NAMES = {
    "torch": "torch, float32, batches of {batch}",
    "fp32": "ONNX Runtime, float32, one thread each, batches of {batch}",
    "int8": "ONNX Runtime, int8 per channel, one thread each, one image a run",
    "fp32_threads": "ONNX Runtime, float32, all threads in one run of {batch}",
    "int8_threads": "ONNX Runtime, int8 per channel, all threads in one run of one",
}


def tower(small: bool) -> tuple[Any, int]:
    """Returns a random image tower, and the side of its images."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes: dict[str, int] = {}
    if small:
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
        sizes |= {"num_attention_heads": 4, "image_size": 64}
    torch.manual_seed(0)
    config = CLIPVisionConfig(**sizes)

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = CLIPVisionModelWithProjection(config)

        def forward(self, pixels: Any) -> Any:
            return self.inner(pixel_values=pixels).image_embeds

    return Tower().eval(), int(config.image_size)


def session(path: Path, threads: int) -> Callable[[Any], Any]:
    """Returns a model as a function of prepared images."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    made = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = made.get_inputs()[0].name
    return lambda batch: made.run(None, {name: batch})[0]


def rate(work: Callable[[Any], Any], inputs: Any, batch: int, workers: int) -> float:
    """Returns images a second."""
    parts = [inputs[at : at + batch] for at in range(0, len(inputs), batch)]
    work(parts[0])
    with ThreadPoolExecutor(workers) as pool:
        began = time.perf_counter()
        list(pool.map(work, parts))
        return len(inputs) / (time.perf_counter() - began)


def run(
    images: int = 64, repeats: int = 3, *, threads: bool = False, small: bool = False
) -> dict[str, Any]:
    """Times each in turns.

    Args:
        images: how many a repeat.
        repeats: how often; medians are given.
        threads: also time ONNX Runtime with all threads within one run.
        small: a tiny network, to see that this runs.

    Returns:
        Images a second of each, their ratios to torch, and the agreement of int8.
    """
    import torch

    from whodrew.encoders.onnx.write import plain_module, quantise, write_onnx

    module, side = tower(small)
    inputs = np.random.default_rng(0).normal(size=(images, 3, side, side)).astype(np.float32)
    torch.set_num_threads(WORKERS)

    def by_torch(batch: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(batch)).numpy()

    with tempfile.TemporaryDirectory() as folder:
        whole, int8 = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
        write_onnx(plain_module(module), (side, side), whole, "ViT-B/32")
        products = quantise(whole, int8, "ViT-B/32")
        megabytes = [round(one.stat().st_size / 1e6, 1) for one in (whole, int8)]
        ways: dict[str, tuple[Callable[[Any], Any], int, int]] = {
            "torch": (by_torch, BATCH, 1),
            "fp32": (session(whole, 1), BATCH, WORKERS),
            "int8": (session(int8, 1), 1, WORKERS),
        }
        if threads:
            ways["fp32_threads"] = (session(whole, WORKERS), BATCH, 1)
            ways["int8_threads"] = (session(int8, WORKERS), 1, 1)
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, (work, batch, workers) in ways.items():
                found[name].append(rate(work, inputs, batch, workers))
        wanted = by_torch(inputs[:8])
        given = np.concatenate([ways["int8"][0](one[None]) for one in inputs[:8]])
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    rates = {name: statistics.median(values) for name, values in found.items()}
    return {
        "network": "a tiny one" if small else "ViT-B/32",
        "images": images,
        "workers": WORKERS,
        "products_in_int8": products,
        "megabytes": megabytes,
        "images_per_second": {name: round(value, 2) for name, value in rates.items()},
        "ratio_to_torch": {name: round(value / rates["torch"], 2) for name, value in rates.items()},
        "least_cosine_int8": round(float(((wanted * given).sum(1) / lengths).min()), 5),
    }


def table(result: dict[str, Any]) -> str:
    """Returns the result of ``run`` as a Markdown table."""
    what = f"{result['network']}, random weights, {result['workers']} workers"
    lines = [f"| {what} | images/s | to torch |", "|---|---|---|"]
    lines += [
        f"| {NAMES[name].format(batch=BATCH)} | {value} | {result['ratio_to_torch'][name]} |"
        for name, value in result["images_per_second"].items()
    ]
    whole, int8 = result["megabytes"]
    lines.append(
        f"\n{whole} MB in float32, {int8} MB with {result['products_in_int8']} matrix products in "
        f"int8, whose vectors agree to a cosine of {result['least_cosine_int8']} at worst."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    print(table(run(chosen.images, chosen.repeats, threads=chosen.threads, small=chosen.small)))
