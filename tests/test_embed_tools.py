"""What the tests of the embed room share: a tiny encoder, a tiny arena."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from whodrew.encoders.base import EncoderCard, Pixels, Vectors


class Tiny:
    """Means of the channels and the size; says each call in a log, takes its time."""

    def __init__(
        self,
        log: Path | None = None,
        delay: float = 0.0,
        revision: str = "1",
        dtype: str = "float32",
        batch_size: int = 1,
    ) -> None:
        self.card = EncoderCard("tiny", revision, 5, "standardise", "none", dtype)  # type: ignore[arg-type]
        self.log = log
        self.delay = delay
        self.batch_size = batch_size

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        time.sleep(self.delay * len(images))
        out = np.zeros((len(images), 5), np.float32)
        for row, image in zip(out, images, strict=True):
            row[:3] = image.mean((0, 1))
            row[3:] = image.shape[:2]
        if self.log is not None:
            lines = "".join(f"{vector[:3].astype(int).tolist()}\n" for vector in out)
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, lines.encode())
            os.close(handle)
        return out

    @property
    def processes(self) -> list[int]:
        """The process of each call, where ``Traced`` wrote it down."""
        assert self.log is not None
        file = self.log.with_suffix(".processes")
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    @property
    def calls(self) -> int:
        assert self.log is not None
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


class Traced(Tiny):
    """Writes down in which process it was called, before it takes its time."""

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        assert self.log is not None
        handle = os.open(self.log.with_suffix(".processes"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{os.getpid()}\n".encode())
        os.close(handle)
        return super().encode(images)


def colour(number: int) -> tuple[int, int, int]:
    return number % 251, number // 251, (7 * number) % 256


def paint(path: Path, number: int, size: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size + 3), colour(number)).save(path)
    return path


def draw_arena(folder: Path, models: int = 3, prompts: int = 4, seeds: int = 2) -> Path:
    number = 0
    for model in range(models):
        for prompt in range(prompts):
            for seed in range(seeds):
                paint(folder / f"model{model}" / f"p{prompt}" / f"{seed}.png", number)
                number += 1
    (folder / "prompts.csv").write_text(
        "prompt_id,prompt\n" + "".join(f"p{p},prompt {p}\n" for p in range(prompts))
    )
    return folder
