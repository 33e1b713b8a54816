"""Which images of an arena a frontier is measured on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whodrew.arena import Arena, BadItem, ImageError, decode, image_id, iter_bytes, thumbnail_digest
from whodrew.errors import InputError


@dataclass(frozen=True)
class Usable:
    """Images that take part, and what was left out.

    Attributes:
        arena: images with a model, each readable and distinct.
        bad: images that cannot be read.
        notes: what was left out, for people.
        identities: image_id of each image.
    """

    arena: Arena
    bad: tuple[BadItem, ...]
    notes: tuple[str, ...]
    identities: tuple[str, ...]


def usable(arena: Arena, images: int, models: int, seed: int) -> Usable:
    """Chooses the images of a frontier: seeded models, whole seeded prompts, no duplicates.

    One pass over the chosen files, which are decoded.

    Args:
        arena: any arena.
        images: how many at most; whole prompts are taken until they are reached; 0 for all.
        models: how many at most, seeded; 0 for all.
        seed: of the choice.

    Raises:
        InputError: fewer than two models are left.
    """
    rng = np.random.default_rng([seed, 21])
    notes = []
    if arena.anonymous:
        notes.append(f"{arena.anonymous} images name no model and take no part")
        arena = arena.filter(pc.is_valid(arena.images["model"]))
    names = arena.models
    if models and len(names) > models:
        chosen = sorted(rng.choice(names, models, replace=False).tolist())
        arena = arena.filter(pc.is_in(arena.images["model"], pa.array(chosen, pa.string())))
        notes.append(f"{models} of {len(names)} models, by seed: {', '.join(chosen)}")
    if images and len(arena) > images:
        kept: list[str] = []
        total = 0
        counts = Counter(arena.images["prompt_id"].to_pylist())
        for prompt in rng.permutation(sorted(counts)).tolist():
            if kept and total + counts[prompt] > images:
                continue
            kept.append(prompt)
            total += counts[prompt]
        notes.append(
            f"{total} of {len(arena)} images, {len(kept)} of {len(counts)} prompts, by seed: "
            "--images 0 takes all"
        )
        arena = arena.filter(pc.is_in(arena.images["prompt_id"], pa.array(kept, pa.string())))
    arena, bad, twins, identities = _distinct(arena)
    if twins:
        notes.append(f"{twins} duplicates and near duplicates take no part")
    if len(arena.models) < 2:
        raise InputError(
            f"{arena.source} shows {len(arena.models)} model{'s'[: len(arena.models) != 1]} with "
            "readable images: a frontier needs images of at least 2"
        )
    return Usable(arena, bad, tuple(notes), identities)


def _distinct(arena: Arena) -> tuple[Arena, tuple[BadItem, ...], int, tuple[str, ...]]:
    """Returns readable images, one of each group of duplicates; the bad; twins; identities."""
    bad: dict[int, BadItem] = {}
    first: dict[str, int] = {}
    twin: set[int] = set()
    identity: dict[int, str] = {}
    items = arena.images["item"]
    for at, data in iter_bytes(arena.images):
        try:
            if isinstance(data, ImageError):
                raise data
            keys = image_id(data), thumbnail_digest(decode(data))
        except ImageError as error:
            bad[at] = BadItem(items[at].as_py(), error.reason)
            continue
        identity[at] = keys[0]
        # the first in the arena's order, whatever order files are read in
        for key in keys:
            other = first.setdefault(key, at)
            if other != at:
                twin.add(max(other, at))
                first[key] = min(other, at)
    kept = [at for at in range(len(arena)) if at not in bad and at not in twin]
    named = tuple(identity[at] for at in kept)
    return arena.take(kept), tuple(bad[at] for at in sorted(bad)), len(twin), named
