"""Listed images on their way into the table: repeats found, order fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from whodrew.arena.beside import Beside
from whodrew.arena.labels import odd_labels
from whodrew.arena.model import IMAGES_SCHEMA, Arena, BadItem


@dataclass
class Rows:
    """Columns under construction; all lists are of one length, one entry an image."""

    item: list[str] = field(default_factory=list)
    path: list[str | None] = field(default_factory=list)
    prompt_id: list[str] = field(default_factory=list)
    prompt: list[str | None] = field(default_factory=list)
    model: list[str | None] = field(default_factory=list)
    seed: list[str] = field(default_factory=list)
    container: list[str | None] = field(default_factory=list)
    row: list[int | None] = field(default_factory=list)
    column: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.item)

    def add(
        self,
        item: str,
        *,
        prompt_id: str,
        prompt: str | None,
        model: str | None,
        seed: str,
        path: str | None = None,
        container: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        """Appends one image, named by ``path`` or by a place in ``container``."""
        self.item.append(item)
        self.path.append(path)
        self.prompt_id.append(prompt_id)
        self.prompt.append(prompt)
        self.model.append(model)
        self.seed.append(seed)
        self.container.append(container)
        self.row.append(row)
        self.column.append(column)

    def repeats(self) -> dict[int, str]:
        """Finds images listed twice: the same file, or the same (model, prompt_id, seed).

        Anonymous images are repeats only where the file is the same: without a model,
        two images of one prompt and one seed may be of two models.

        Returns:
            Index of each later one to the reason, which names the first.
        """
        bad: dict[int, str] = {}
        files: dict[str, int] = {}
        keys: dict[tuple[str, str, str], int] = {}
        for at, (path, model, prompt_id, seed) in enumerate(
            zip(self.path, self.model, self.prompt_id, self.seed, strict=True)
        ):
            if path is not None and (first := files.setdefault(path, at)) != at:
                bad[at] = f"the same file as {self.item[first]}"
            elif (
                model is not None and (first := keys.setdefault((model, prompt_id, seed), at)) != at
            ):
                bad[at] = (
                    f"the same (model, prompt_id, seed) as {self.item[first]}: "
                    f"({model!r}, {prompt_id!r}, {seed!r})"
                )
        return bad

    def table(self, keep: list[int]) -> pa.Table:
        """Returns the rows at ``keep``, in that order, as ``IMAGES_SCHEMA`` has them."""
        columns = {
            name: getattr(self, name) if name != "bytes" else [None] * len(self)
            for name in IMAGES_SCHEMA.names
        }
        return pa.table(columns, schema=IMAGES_SCHEMA).take(pa.array(keep, pa.int64()))

    def order(self) -> list[int]:
        """Returns the indices sorted by (model, prompt_id, seed, item), anonymous last."""
        keys = [
            (model is None, model or "", prompt_id, seed, item)
            for model, prompt_id, seed, item in zip(
                self.model, self.prompt_id, self.seed, self.item, strict=True
            )
        ]
        return sorted(range(len(keys)), key=keys.__getitem__)


def build_arena(
    rows: Rows,
    beside: Beside,
    *,
    source: str,
    layout: str,
    bad: list[BadItem],
    notes: list[str],
    texts: Mapping[str, str] | None = None,
    storage_order: bool = False,
) -> Arena:
    """Turns listed images into an arena.

    Args:
        rows: what was listed, in the order it was found.
        beside: the tables beside the images.
        source: what the user gave.
        layout: how it was read.
        bad: what could not be listed.
        notes: what has to be said.
        texts: prompt_id to text where the listing itself holds the prompts.
        storage_order: keep the order of ``rows`` instead of sorting.
    """
    repeats = rows.repeats()
    order = list(range(len(rows))) if storage_order else rows.order()
    images = rows.table([at for at in order if at not in repeats])
    prompt_ids = sorted(set(rows.prompt_id))
    models = sorted({model for model in rows.model if model is not None})
    prompts = {name: text for name in prompt_ids if (text := beside.prompt(name)) is not None}
    prompts.update(texts or {})
    return Arena(
        images=images,
        source=source,
        layout=layout,
        families=beside.spelled_families(models),
        prompts=prompts,
        prompt_attributes=beside.spelled_attributes(prompt_ids),
        bad=(
            *bad,
            *(BadItem(rows.item[at], reason) for at, reason in repeats.items()),
            *beside.bad,
        ),
        notes=(
            *notes,
            *beside.notes,
            *beside.unmatched(models, prompt_ids),
            *odd_labels("model", models),
            *odd_labels("prompt_id", prompt_ids),
        ),
    )
