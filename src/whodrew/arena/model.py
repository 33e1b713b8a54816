"""The arena: an Arrow table of images, and what is known beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

#: Columns of ``Arena.images``. A row's bytes lie in ``bytes``, or in the file ``path``, or
#: in row ``row`` of column ``column`` of the Parquet file ``container``, or, where that is
#: a tar archive, in its member ``column`` from byte ``row`` on; ``item`` is the name the row
#: goes by in messages, unique within an arena.
IMAGES_SCHEMA: Final = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("path", pa.string()),
        pa.field("bytes", pa.binary()),
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("model", pa.string()),
        pa.field("seed", pa.string(), nullable=False),
        pa.field("container", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("column", pa.string()),
    ]
)

LAYOUTS: Final = ("model/prompt", "prompt/model")


@dataclass(frozen=True)
class BadItem:
    """Something in the input that could not be used.

    Attributes:
        item: its name: a path relative to the arena, or ``manifest.csv, row 7``.
        reason: one line saying why, and the mend where there is one.
    """

    item: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Returns ``{"item": ..., "reason": ...}``."""
        return {"item": self.item, "reason": self.reason}


@dataclass(frozen=True)
class Arena:
    """Images with their prompts and models, listed but not opened.

    Attributes:
        images: one row a listed image, columns as in ``IMAGES_SCHEMA``. Folders and
            manifests of paths are sorted by (model, prompt_id, seed, path), whatever the
            layout; images inside Parquet and shards stay in storage order, so that one
            pass over the table is one pass over the files.
        source: what the user gave.
        layout: ``model/prompt``, ``prompt/model``, ``imagefolder``, ``manifest``,
            ``parquet``, ``preferences`` or ``webdataset``.
        families: model to family, from ``models.csv`` beside the images.
        prompts: prompt_id to text.
        prompt_attributes: prompt_id to the further columns of ``prompts.csv``.
        bad: what could not be used, each named.
        notes: what was taken for granted or left out, for people.
    """

    images: pa.Table
    source: str
    layout: str
    families: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    prompt_attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bad: tuple[BadItem, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Returns the number of images listed."""
        return int(self.images.num_rows)

    @property
    def models(self) -> list[str]:
        """The models named, sorted; anonymous images add none."""
        return _distinct(self.images["model"])

    @property
    def prompt_ids(self) -> list[str]:
        """The prompts shown, sorted."""
        return _distinct(self.images["prompt_id"])

    @property
    def anonymous(self) -> int:
        """The number of images without a model."""
        return int(self.images["model"].null_count)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields the images as mappings, without holding them all as Python objects."""
        for batch in self.images.to_batches(max_chunksize=1024):
            yield from batch.to_pylist()

    def take(self, indices: Sequence[int] | pa.Array) -> Arena:
        """Returns the arena with only the images at ``indices``, in that order."""
        return replace(self, images=self.images.take(pa.array(indices, pa.int64())))

    def filter(self, mask: Any) -> Arena:
        """Returns the arena with only the images where ``mask`` (n booleans) is true."""
        return replace(self, images=self.images.filter(pa.array(mask, pa.bool_())))

    def summary(self) -> dict[str, Any]:
        """Returns counts for people and for JSON, without a pass over the pixels."""
        return {
            "source": self.source,
            "layout": self.layout,
            "images": len(self),
            "models": len(self.models),
            "prompts": len(self.prompt_ids),
            "anonymous": self.anonymous,
            "bad": [item.to_dict() for item in self.bad],
            "notes": list(self.notes),
        }


def _distinct(column: pa.ChunkedArray) -> list[str]:
    return sorted(value for value in pc.unique(column).to_pylist() if value is not None)
