"""What ``whodrew defend`` did, as an object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from whodrew.arena import BadItem
from whodrew.defend.quality import QualityMedians
from whodrew.machine import versions

SCHEMA: Final = "whodrew.defend/1"
RECORD_FILE: Final = "defence.json"
TABLE_FILE: Final = "defended.parquet"
PROFILE_FILE: Final = "profile.npz"

#: Columns of ``defended.parquet``, one row an image. It reads as a manifest: ``path`` to
#: ``seed`` are those of the arena, spelt as in the arena that was defended.
TABLE: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("seed", pa.string(), nullable=False),
        pa.field("source_item", pa.string(), nullable=False),
        pa.field("source_size", pa.int64()),
        pa.field("source_mtime_ns", pa.int64()),
        pa.field("source_image_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("file_bytes", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("psnr", pa.float64()),
        pa.field("ssim", pa.float64()),
        pa.field("lpips", pa.float64()),
        pa.field("max_change", pa.int32()),
        pa.field("milliseconds", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Defended:
    """What was done. ``defended + reused + images among bad == images``.

    Attributes:
        arena: what to read the defended arena from: the folder, or ``defended.parquet`` in
            it where a folder cannot hold all labels; ``None`` after a dry run.
        out: the folder; ``None`` after a dry run.
        spec: of the defence, in its one spelling.
        budget: of each stage.
        format: of the files: ``jpeg``, ``png`` or ``webp``.
        draw: which of the defence's draws was taken; 0 is what is served.
        images: images listed.
        defended: images written, or in a dry run measured.
        reused: images that were there from an earlier run.
        bad: what could not be used, each with the reason.
        quality: medians over the images.
        milliseconds_per_image: median time on one thread to decode, defend and encode.
        file_sizes: how many different sizes in bytes the files have.
        notes: what has to be said.
        seconds: wall time of the run.
        images_per_second: of this run; ``None`` where it wrote none.
        profile: file of what the stages learnt, in ``out``; ``None`` where none learns.
        secret_file: name of the file that the secret is kept in, beside ``out``; ``None``
            where it was given, or none is needed.
        sampled: whether this was a dry run.
        table: rows of ``defended.parquet``.
        software: versions.
    """

    arena: Path | None
    out: Path | None
    spec: str
    budget: dict[str, dict[str, float | int | str]]
    format: str
    draw: int
    images: int
    defended: int
    reused: int
    bad: tuple[BadItem, ...]
    quality: QualityMedians
    milliseconds_per_image: float | None
    file_sizes: int
    notes: tuple[str, ...]
    seconds: float
    images_per_second: float | None
    profile: str | None
    secret_file: str | None
    sampled: bool
    table: pa.Table
    software: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values, a missing one with its reason beside it.

        The secret is in none of them.
        """
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "arena": None if self.arena is None else str(self.arena),
            "out": None if self.out is None else str(self.out),
            "defence": self.spec,
            "budget": self.budget,
            "format": self.format,
            "draw": self.draw,
            "images": self.images,
            "defended": self.defended,
            "reused": self.reused,
            "bad": [item.to_dict() for item in self.bad],
            "quality": self.quality.to_dict(),
            "milliseconds_per_image": self.milliseconds_per_image,
            "file_sizes": self.file_sizes,
            "notes": list(self.notes),
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "profile": self.profile,
            "secret_file": self.secret_file,
            "dry_run": self.sampled,
            "software": self.software,
        }
        dry = "a dry run writes nothing" if self.sampled else None
        for name, why in (
            ("arena", dry),
            ("out", dry),
            ("milliseconds_per_image", None),
            ("images_per_second", None),
            ("profile", dry or "no stage learns"),
            ("secret_file", dry or "the secret was given, or none is needed"),
        ):
            if values[name] is None:
                values[f"{name}_reason"] = why or "no image was defended by this run"
        return values

    def to_table(self) -> pa.Table:
        """Returns one row an image, columns as in ``TABLE``."""
        return self.table


def software() -> dict[str, str]:
    """Returns the versions that decide what the files' bytes are."""
    return versions(("whodrew", "numpy", "pillow", "scikit-image"))
