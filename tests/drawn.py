"""Tiny arenas of drawn images, and the command line as a user types it."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from whodrew.cli import main

MODELS = ("amber", "birch", "cedar", "dune")
PROMPTS = ("boat", "cat", "hill", "lamp", "moon", "road")
SIDE = 64
SCHEMA_ROOMS = ("audit", "defend", "ranking")

# Grain, blur, contrast and tint of each painter's hand.
_HANDS = {
    "amber": (6.0, 0, (1.0, 0.9, 0.8)),
    "birch": (6.0, 2, (0.9, 1.0, 0.9)),
    "cedar": (18.0, 1, (0.9, 0.9, 1.0)),
    "dune": (2.0, 4, (1.0, 1.0, 0.9)),
}


def pixels(model: str, prompt: str, seed: str | int, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """Draws one image: what the prompt asks for, in the model's hand."""
    rng = np.random.default_rng(zlib.crc32(f"{model}|{prompt}|{seed}".encode()))
    scene = np.random.default_rng(zlib.crc32(prompt.encode()))
    grain, blur, tint = _HANDS.get(model, (4.0 + len(model) % 5 * 3, len(model) % 4, (1, 1, 1)))
    across, down = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    picture = np.zeros((side, side, 3))
    for _ in range(4):
        turn, wave = scene.uniform(0, math.pi), scene.uniform(3, 12)
        shift = rng.uniform(0, 1.5, 3)
        slope = across * math.cos(turn) + down * math.sin(turn)
        picture += 25 * np.sin(wave * slope[..., None] + shift)
    noise = rng.normal(0, grain, (side, side, 1)) + rng.normal(0, grain / 3, (side, side, 3))
    for _ in range(blur):
        noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 2
    return np.clip((128 + picture) * np.asarray(tint) + noise, 0, 255).astype(np.uint8)


def save(path: Path, array: npt.NDArray[np.uint8], **options: Any) -> Path:
    """Writes an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def draw(
    root: Path,
    models: Sequence[str] = MODELS,
    prompts: Sequence[str] = PROMPTS,
    generations: Sequence[int] | int = 3,
    *,
    side: int | Mapping[str, int] = SIDE,
    ending: str | Mapping[str, str] = "png",
) -> Path:
    """Draws ``root/<model>/<prompt>/<seed>.<ending>`` and returns ``root``."""
    seeds = range(generations) if isinstance(generations, int) else generations
    for model in models:
        for prompt in prompts:
            for seed in seeds:
                name = ending if isinstance(ending, str) else ending.get(model, "png")
                size = side if isinstance(side, int) else side.get(model, SIDE)
                save(
                    root / model / prompt / f"{seed}.{name}",
                    pixels(model, prompt, seed, size),
                )
    return root


@dataclass(frozen=True)
class Ran:
    """What a command did: exit status, and what stood on each stream."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stood on standard output, which must be JSON and nothing else."""
        return strict_json(self.out)

    @property
    def error(self) -> str:
        """The one line of a refusal."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.rstrip().endswith(lines[0]), self.err
        assert "Traceback" not in self.err
        return lines[0]


class Shell:
    """Runs commands in this process, and catches what they print."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *words: object) -> Ran:
        """Runs ``whodrew`` with these words."""
        self._capture.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = self._capture.readouterr()
        assert isinstance(stop.value.code, int)
        return Ran(stop.value.code, out, err)

    def refused(self, *words: object) -> str:
        """Runs a command that must be refused: status 2, one plain line, nothing printed."""
        ran = self(*words)
        assert ran.code == 2, ran.err
        assert ran.out == ""
        return ran.error


def strict_json(text: str) -> Any:
    """Parses JSON, refusing NaN and infinities."""

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} in JSON")

    return json.loads(text, parse_constant=refuse)


def schema_errors(name: str, values: Any) -> list[str]:
    """Returns what a result breaks of the schema that ships in the package."""
    found = Draft202012Validator(schema(name)).iter_errors(values)
    return [f"{error.json_path}: {error.message}"[:500] for error in found]


def schema(name: str) -> dict[str, Any]:
    """Returns a schema that ships in the package, whichever room it is of."""
    places = (files("whodrew").joinpath(f"{room}/schemas/{name}.json") for room in SCHEMA_ROOMS)
    text = next(one for one in places if one.is_file()).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def nulls(values: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yields (where, holder, name) of every null of a result."""
    if isinstance(values, dict):
        for name, value in values.items():
            if value is None:
                yield at, values, name
            yield from nulls(value, f"{at}.{name}")
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from nulls(value, f"{at}[{index}]")


def unexplained(values: Any) -> list[str]:
    """Returns figures that are null without saying why."""
    free = {"canonical", "prompt", "references_from", "chance", "high"}
    return [
        f"{at}.{name}"
        for at, holder, name in nulls(values)
        if name not in free and ".software" not in at and f"{name}_reason" not in holder
    ]
