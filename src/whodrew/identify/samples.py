"""Labelled embeddings, sorted by prompt, with their duplicates and generation rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from whodrew.encoders.base import Scale

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
NOT_KNOWN = -1


@dataclass(frozen=True)
class Samples:
    """N embeddings with labels as codes, sorted by prompt.

    Attributes:
        vectors: (N, D) float32, what the encoder emitted.
        prompt: (N,) code into ``prompts``, ascending.
        model: (N,) code into ``models``, or -1 where the model is not known.
        prompts: names of the P prompts.
        models: names of the M models.
        image_id: (N,) content hash or other identity of each image.
        seed: (N,) name of the generation within its cell.
        source: (N,) row of each sample in the table it came from.
        group: (N,) code shared by images that are (near) duplicates of each other.
        scale: how vectors are to be compared, from the encoder's card.
        copies: (N, D) embeddings of perturbed copies of the same images, for identifiers
            that learn what a small change does; empty where there are none.
    """

    vectors: Floats
    prompt: Ints
    model: Ints
    prompts: tuple[str, ...]
    models: tuple[str, ...]
    image_id: npt.NDArray[np.str_]
    seed: npt.NDArray[np.str_]
    source: Ints
    group: Ints
    scale: Scale
    copies: tuple[Floats, ...] = ()

    @classmethod
    def build(
        cls,
        vectors: npt.NDArray[np.floating],
        *,
        models: Sequence[str | None],
        prompts: Sequence[str],
        scale: Scale,
        image_id: Sequence[str] | None = None,
        seed: Sequence[str] | None = None,
        group: npt.NDArray[np.integer] | None = None,
        model_names: Sequence[str] | None = None,
        prompt_names: Sequence[str] | None = None,
    ) -> Samples:
        """Sorts by (prompt, model, seed), else as given, and turns labels into codes.

        Args:
            vectors: (N, D) embeddings.
            models: N model names; ``None`` where the model is not known.
            prompts: N prompt ids.
            scale: ``unit`` or ``standardise``.
            image_id: N identities; row numbers when not given.
            seed: N generation names; row numbers when not given.
            group: (N,) duplicate groups; every image its own when not given.
            model_names: code book to use, which may hold more models than occur.
            prompt_names: the same for prompts.
        """
        count = len(vectors)
        rows = np.array([f"{row:09d}" for row in range(count)])
        ids = rows if image_id is None else np.asarray(image_id, dtype=np.str_)
        seeds = rows if seed is None else np.asarray(seed, dtype=np.str_)
        known = sorted({name for name in models if name is not None})
        model_book = tuple(known if model_names is None else model_names)
        prompt_book = tuple(sorted(set(prompts)) if prompt_names is None else prompt_names)
        model_code = {name: code for code, name in enumerate(model_book)}
        prompt_code = {name: code for code, name in enumerate(prompt_book)}
        model = np.array(
            [NOT_KNOWN if name is None else model_code[name] for name in models], dtype=np.int64
        )
        prompt = np.array([prompt_code[name] for name in prompts], dtype=np.int64)
        order = np.lexsort((seeds, model, prompt))
        groups = np.arange(count) if group is None else np.asarray(group, dtype=np.int64)
        return cls(
            vectors=np.ascontiguousarray(vectors, dtype=np.float32)[order],
            prompt=prompt[order],
            model=model[order],
            prompts=prompt_book,
            models=model_book,
            image_id=ids[order],
            seed=seeds[order],
            source=order.astype(np.int64),
            group=groups[order],
            scale=scale,
        )

    def __len__(self) -> int:
        return len(self.prompt)

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def offsets(self) -> Ints:
        """(P + 1,) start of each prompt's rows."""
        return np.searchsorted(self.prompt, np.arange(len(self.prompts) + 1))

    def rows(self, prompt: int) -> slice:
        """Returns the rows of one prompt."""
        return slice(int(self.offsets[prompt]), int(self.offsets[prompt + 1]))

    @cached_property
    def is_reference(self) -> Mask:
        """(N,) true for the one image of each duplicate group that may be a reference."""
        first = np.zeros(len(self), dtype=bool)
        known = np.flatnonzero(self.model != NOT_KNOWN)
        _, index = np.unique(self.group[known], return_index=True)
        first[known[index]] = True
        return first

    @cached_property
    def cell_sizes(self) -> Ints:
        """(P, M) number of distinct references in each cell."""
        sizes = np.zeros((len(self.prompts), len(self.models)), dtype=np.int64)
        keep = self.is_reference
        np.add.at(sizes, (self.prompt[keep], self.model[keep]), 1)
        return sizes

    @cached_property
    def elsewhere(self) -> dict[int, frozenset[int]]:
        """Row -> other prompts that hold a duplicate of that row, for rows that have any."""
        order = np.argsort(self.group, kind="stable")
        group = self.group[order]
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        ends = np.r_[starts[1:], len(group)]
        found: dict[int, frozenset[int]] = {}
        for start, end in zip(starts, ends, strict=True):
            if end - start > 1:
                members = order[start:end]
                prompts = frozenset(self.prompt[members].tolist())
                if len(prompts) > 1:
                    for row in members.tolist():
                        found[row] = prompts - {int(self.prompt[row])}
        return found

    def take(self, rows: Ints | Mask) -> Samples:
        """Returns the samples of some rows, in their present order, code books unchanged."""
        index = np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows)
        return replace(
            self,
            vectors=self.vectors[index],
            copies=tuple(copy[index] for copy in self.copies),
            prompt=self.prompt[index],
            model=self.model[index],
            image_id=self.image_id[index],
            seed=self.seed[index],
            source=self.source[index],
            group=self.group[index],
        )

    def forget_models(self, codes: Ints) -> Samples:
        """Returns the same samples with some models no longer known (they stay shown)."""
        model = np.where(np.isin(self.model, codes), NOT_KNOWN, self.model)
        return replace(self, model=model)
