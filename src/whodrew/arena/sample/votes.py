"""The sample arena's votes: a synthetic log with a known truth, dishonest voters included.

Synthetic throughout, as the pictures are: nobody voted. The file does not say who was
dishonest; ``FAVOURERS`` and ``RING`` do, and so does the documentation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "FAVOURED",
    "FAVOURERS",
    "RING",
    "RING_FAVOURED",
    "STRENGTHS",
    "VOTES_FILE",
    "Shown",
    "draw_votes",
    "write_votes",
]

VOTES_FILE: Final = "votes.parquet"
VOTERS: Final = 150

#: True strength of each sample model, log odds; a model that is not named has 0.
STRENGTHS: Final[dict[str, float]] = {
    "saltbox-2": 0.72,
    "marlow-1": 0.52,
    "dewpond-xl": 0.42,
    "lanternfish": 0.16,
    "marlow-1-turbo": 0.04,
    "cuttlebone": -0.08,
    "umberfield": -0.12,
    "thistledown": -0.42,
    "broadsheet-4": -0.44,
    "gridlark": -0.75,
}
#: What the image shown first gains, log odds.
POSITION: Final = 0.12
#: Davidson's tie parameter.
TIES: Final = 0.28
#: Share of votes that find both images bad, on the easiest and on the hardest prompt.
BOTH_BAD: Final = (0.01, 0.07)

#: Voters who vote for one model wherever they recognise it, and never rest between votes.
FAVOURERS: Final = ("v023", "v071", "v118")
FAVOURED: Final = "umberfield"
#: Voters who do the same for another model, on the same evenings, few votes each.
RING: Final = ("v009", "v037", "v055", "v062", "v088", "v101", "v134")
RING_FAVOURED: Final = "broadsheet-4"
#: How often they recognise the model, and how often they take another for it.
RECOGNISED: Final = 0.95
MISTAKEN: Final = 0.02
FAVOURER_VOTES: Final = 75
RING_VOTES: Final = 30

FIRST_DAY: Final = datetime(2026, 3, 2, tzinfo=UTC)
DAYS: Final = 30
OUTCOMES: Final = ("model_a", "model_b", "tie", "both_bad")

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """What the arena shows.

    Attributes:
        models: model to the ending of its files.
        prompts: prompt ids.
        generations: images a cell.
    """

    models: dict[str, str]
    prompts: Sequence[str]
    generations: int


def write_votes(file: Path, shown: Shown, seed: int) -> None:
    """Writes the log as Parquet, through a temporary name; the same bytes for the same seed."""
    unfinished = file.with_name(f".{file.name}.part")
    pq.write_table(draw_votes(shown, seed), unfinished, compression="zstd")
    unfinished.replace(file)


def draw_votes(shown: Shown, seed: int = 0) -> pa.Table:
    """Draws the log.

    Honest votes follow Davidson 1970 on ``STRENGTHS``, with ``POSITION`` for the image shown
    first; battles are drawn evenly among the pairs of models, either way round.

    Args:
        shown: models, prompts and generations to draw battles of.
        seed: of the whole arena.

    Returns:
        Columns battle_id, prompt_id, image_a, image_b, model_a, model_b, winner, voter,
        timestamp; in order of time.

    Raises:
        ValueError: there is one model, or none.
    """
    if len(shown.models) < 2:
        raise ValueError("one model meets no other")
    key = json.dumps(["votes", seed]).encode()
    digest = hashlib.blake2b(key, digest_size=16).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    sizes = _sizes(rng)
    voter = np.repeat(np.arange(VOTERS), sizes)
    time = np.concatenate([_times(code, int(size), rng) for code, size in enumerate(sizes)])
    count, names = len(voter), list(shown.models)
    first = rng.integers(len(names), size=count)
    second = (first + 1 + rng.integers(len(names) - 1, size=count)) % len(names)
    prompt = rng.integers(len(shown.prompts), size=count)
    outcome = _honest(names, first, second, prompt / max(len(shown.prompts) - 1, 1), rng)
    _favour(outcome, names, first, second, voter, rng)
    order = np.lexsort((voter, time))
    sides = [side[order] for side in (first, second)]
    generations = rng.integers(shown.generations, size=(2, count))
    prompts = [shown.prompts[code] for code in prompt[order].tolist()]
    columns: dict[str, Any] = {
        "battle_id": [f"b{at:05d}" for at in range(1, count + 1)],
        "prompt_id": prompts,
    }
    for name, side, generation in zip("ab", sides, generations, strict=True):
        columns[f"image_{name}"] = [
            f"{names[model]}/{prompt_id}/{one}.{shown.models[names[model]]}"
            for model, prompt_id, one in zip(
                side.tolist(), prompts, generation.tolist(), strict=True
            )
        ]
    for name, side in zip("ab", sides, strict=True):
        columns[f"model_{name}"] = [names[code] for code in side.tolist()]
    columns["winner"] = [OUTCOMES[code] for code in outcome[order].tolist()]
    columns["voter"] = [_name(code) for code in voter[order].tolist()]
    columns["timestamp"] = pa.array(time[order], pa.timestamp("ms", tz="UTC"))
    return pa.table(columns)


def _name(code: int) -> str:
    return f"v{code + 1:03d}"


def _codes(voters: Sequence[str]) -> list[int]:
    return [int(name[1:]) - 1 for name in voters]


def _sizes(rng: np.random.Generator) -> Ints:
    """Returns votes of each voter: few people vote much."""
    sizes = np.clip(np.round(np.exp(rng.normal(3.2, 0.75, VOTERS))), 4, 160).astype(np.int64)
    sizes[_codes(FAVOURERS)] = FAVOURER_VOTES + rng.integers(-12, 13, len(FAVOURERS))
    sizes[_codes(RING)] = RING_VOTES + rng.integers(-3, 4, len(RING))
    return sizes


def _times(code: int, size: int, rng: np.random.Generator) -> Ints:
    """Returns (size,) milliseconds since 1970: sittings, with a pause after each vote."""
    name = _name(code)
    if name in FAVOURERS:  # a program: one sitting, one vote every few seconds
        starts, pauses = rng.uniform(2, 26, 1), rng.uniform(3.2, 3.9, size)
    elif name in RING:  # together, on two evenings
        starts = np.array([9.0, 16.0]) + (20 + rng.uniform(0, 0.5, 2)) / 24
        pauses = 4 + np.exp(rng.normal(2.5, 0.5, size))
    else:
        days = rng.integers(DAYS, size=1 + size // 25)
        starts = days + np.clip(rng.normal(18.5, 3.2, len(days)), 6, 23.5) / 24
        pauses = 4 + np.exp(rng.normal(2.7, 0.6, size))
    sitting = np.sort(np.arange(size) % len(starts))
    passed = np.cumsum(pauses)
    begun = np.searchsorted(sitting, np.arange(len(starts)))
    seconds = starts[sitting] * 86_400 + passed - passed[begun][sitting]
    whole: Ints = np.round((FIRST_DAY.timestamp() + seconds) * 1000).astype(np.int64)
    return whole


def _honest(
    names: list[str], first: Ints, second: Ints, hardness: Doubles, rng: np.random.Generator
) -> Ints:
    """Returns (n,) places in ``OUTCOMES``; ``hardness`` (n,) is 0 to 1."""
    strength = np.array([STRENGTHS.get(name, 0.0) for name in names])
    lead = strength[first] - strength[second] + POSITION
    weights = np.stack([np.exp(lead / 2), np.exp(-lead / 2), np.full(len(lead), TIES)], axis=1)
    shares = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    outcome = (rng.random((len(lead), 1)) > shares[:, :2]).sum(axis=1)
    easy, hard = BOTH_BAD
    bad = rng.random(len(lead)) < easy + (hard - easy) * hardness
    mixed: Ints = np.where(bad, 3, outcome).astype(np.int64)
    return mixed


def _favour(
    outcome: Ints,
    names: list[str],
    first: Ints,
    second: Ints,
    voter: Ints,
    rng: np.random.Generator,
) -> None:
    """Bends the votes of dishonest voters where they recognise one image and not the other."""
    for voters, model in ((FAVOURERS, FAVOURED), (RING, RING_FAVOURED)):
        target = names.index(model) if model in names else -1
        seen = [
            rng.random(len(side)) < np.where(side == target, RECOGNISED, MISTAKEN)
            for side in (first, second)
        ]
        sure = np.isin(voter, _codes(voters)) & (seen[0] != seen[1])
        outcome[sure] = np.where(seen[0], 0, 1)[sure]
