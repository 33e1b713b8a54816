"""The registry of defences: the stages that a SPEC may name."""

from __future__ import annotations

from collections.abc import Callable

from whodrew.defend.base import Stage
from whodrew.registry import Entry, Registry
from whodrew.spec import known_fields

DEFENCES: Registry[Callable[..., Stage]] = Registry(
    "defence",
    "whodrew.defences",
    (
        Entry(
            "canonical",
            "decode, strip everything, one size, one format, one quality",
            "whodrew.defend.plain:Canonical",
        ),
        Entry(
            "resample",
            "shrink or enlarge by a factor, or to a size",
            "whodrew.defend.plain:Resample",
        ),
        Entry("jpeg", "re-encode as JPEG", "whodrew.defend.plain:Jpeg"),
        Entry("noise", "Gaussian noise", "whodrew.defend.plain:Noise"),
        Entry("blur", "Gaussian blur", "whodrew.defend.plain:Blur"),
        Entry(
            "colour-match",
            "tones and colours moved to the crowd's",
            "whodrew.defend.crowd:ColourMatch",
        ),
        Entry(
            "crowd",
            "low-level statistics moved to the crowd's, in closed form",
            "whodrew.defend.crowd:Crowd",
        ),
        Entry(
            "jitter",
            "low-level statistics drawn at random for each image, under a secret",
            "whodrew.defend.jitter:Jitter",
        ),
        Entry(
            "perturb",
            "projected gradient through encoders: each picture looks like another model's",
            "whodrew.defend.perturb:Perturb",
            requires=("torch",),
            extra="torch",
        ),
        Entry(
            "universal",
            "one change for each model, found once by gradient; serving it needs no torch",
            "whodrew.defend.universal:Universal",
        ),
    ),
)

__all__ = ["DEFENCES", "known_fields"]
