"""Labelled embeddings, sorted by prompt, with their duplicates and generation rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from whodrew.embed.shelf import Rows, chosen_rows
from whodrew.encoders.base import Scale

#: Integers of any width: codes take four bytes a row where they can.
Ints = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
NOT_KNOWN = -1
AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Samples:
    """N embeddings with labels as codes, sorted by prompt.

    Attributes:
        vectors: (N, D) float32, what the encoder emitted: an array, or rows on a shelf that
            are read by slices, arrays of row numbers or masks.
        prompt: (N,) code into ``prompts``, ascending.
        model: (N,) code into ``models``, or -1 where the model is not known.
        prompts: names of the P prompts.
        models: names of the M models.
        image_id: (N,) identity of each image, or its place among those of its prompt: what
            orders the images of a prompt, and is equal where identities are.
        seed: (N,) name of the generation within its cell, or a hash of it that is the same
            for all arenas.
        source: (N,) row of each sample in the table it came from.
        group: (N,) code shared by images that are (near) duplicates of each other.
        scale: how vectors are to be compared, from the encoder's card.
        copies: (N, D) embeddings of perturbed copies of the same images, for identifiers
            that learn what a small change does; empty where there are none.
        unit: (N,) code shared by rows that are draws of one generation (a random defence
            applied several times), which come and go together; ``None`` where every row is
            a generation of its own.
    """

    vectors: Rows
    prompt: Ints
    model: Ints
    prompts: tuple[str, ...]
    models: tuple[str, ...]
    image_id: npt.NDArray[Any]
    seed: npt.NDArray[Any]
    source: Ints
    group: Ints
    scale: Scale
    copies: tuple[Rows, ...] = ()
    unit: Ints | None = None

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

    @classmethod
    def of_codes(
        cls,
        vectors: Rows,
        *,
        prompt: Ints,
        model: Ints,
        prompts: Sequence[str],
        models: Sequence[str],
        image_id: npt.NDArray[Any],
        seed: npt.NDArray[Any],
        scale: Scale,
        group: Ints | None = None,
    ) -> Samples:
        """Takes labels that are codes already; sorts only where they do not ascend.

        Args:
            vectors: (N, D) embeddings, in memory or on a shelf.
            prompt: (N,) codes into ``prompts``.
            model: (N,) codes into ``models``, -1 where the model is not known.
            prompts: names of the prompts.
            models: names of the models.
            image_id: (N,) numbers or texts that order the images of a prompt.
            seed: (N,) numbers or texts that name the generations of a cell.
            scale: ``unit`` or ``standardise``.
            group: (N,) duplicate groups; every image its own when not given.
        """
        count = len(prompt)
        # products of codes, such as numbers of cells, must not overflow
        narrow = max((len(prompts) + 1) * (len(models) + 2), count) < 1 << 31
        kind = np.int32 if narrow else np.int64
        samples = cls(
            vectors=vectors,
            prompt=prompt.astype(kind, copy=False),
            model=model.astype(kind, copy=False),
            prompts=tuple(prompts),
            models=tuple(models),
            image_id=image_id,
            seed=seed,
            source=np.arange(count, dtype=kind),
            group=np.arange(count, dtype=kind) if group is None else group,
            scale=scale,
        )
        if (prompt[1:] >= prompt[:-1]).all():
            same = prompt[1:] == prompt[:-1]
            if (model[1:] >= model[:-1])[same].all():
                return samples
        return samples._rearranged(np.lexsort((model, prompt)))

    def __len__(self) -> int:
        return len(self.prompt)

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def offsets(self) -> Ints:
        """(P + 1,) start of each prompt's rows."""
        bounds = np.arange(len(self.prompts) + 1, dtype=self.prompt.dtype)
        return np.searchsorted(self.prompt, bounds)

    def rows(self, prompt: int) -> slice:
        """Returns the rows of one prompt."""
        return slice(int(self.offsets[prompt]), int(self.offsets[prompt + 1]))

    @cached_property
    def shared(self) -> Mask:
        """(N,) true for images whose duplicate group holds others, too."""
        if (self.group[1:] > self.group[:-1]).all():
            return np.zeros(len(self), dtype=bool)
        ordered = np.sort(self.group)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        return np.isin(self.group, twice)

    @cached_property
    def is_reference(self) -> Mask:
        """(N,) true for the one image of each duplicate group that may be a reference."""
        first = np.asarray(self.model != NOT_KNOWN)
        rows = np.flatnonzero(first & self.shared)
        if len(rows):
            _, index = np.unique(self.group[rows], return_index=True)
            first[rows] = False
            first[rows[index]] = True
        return first

    @cached_property
    def cell_sizes(self) -> Ints:
        """(P, M) number of distinct references in each cell; draws of one count once."""
        shape = len(self.prompts), len(self.models)
        if self.unit is not None:
            rows = np.flatnonzero(self.is_reference)
            _, first = np.unique(self.unit[rows], return_index=True)
            rows = rows[first]
            distinct = np.zeros(shape, dtype=np.int64)
            np.add.at(distinct, (self.prompt[rows], self.model[rows]), 1)
            return distinct
        sizes = np.zeros(shape[0] * shape[1], dtype=np.int64)
        for start in range(0, len(self), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            keep = self.is_reference[part]
            cell = self.prompt[part][keep].astype(np.int64) * shape[1] + self.model[part][keep]
            sizes += np.bincount(cell, minlength=len(sizes))
        return sizes.reshape(shape)

    @cached_property
    def elsewhere(self) -> dict[int, frozenset[int]]:
        """Row -> other prompts that hold a duplicate of that row, for rows that have any."""
        order = np.flatnonzero(self.shared)
        order = order[np.argsort(self.group[order], kind="stable")]
        group = self.group[order]
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]][: len(group)])
        ends = np.append(starts, len(group))[1:]
        found: dict[int, frozenset[int]] = {}
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            members = order[start:end]
            prompts = frozenset(self.prompt[members].tolist())
            if len(prompts) > 1:
                for row in members.tolist():
                    found[row] = prompts - {int(self.prompt[row])}
        return found

    def take(self, rows: Ints | Mask) -> Samples:
        """Returns the samples of some rows, in their present order, code books unchanged."""
        return self._rearranged(np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows))

    def _rearranged(self, index: Ints) -> Samples:
        return replace(
            self,
            vectors=chosen_rows(self.vectors, index),
            copies=tuple(chosen_rows(copy, index) for copy in self.copies),
            prompt=self.prompt[index],
            model=self.model[index],
            image_id=self.image_id[index],
            seed=self.seed[index],
            source=self.source[index],
            group=self.group[index],
            unit=None if self.unit is None else self.unit[index],
        )

    def forget_models(self, codes: Ints) -> Samples:
        """Returns the same samples with some models no longer known (they stay shown)."""
        model = self.model.copy()
        model[np.isin(self.model, codes)] = NOT_KNOWN
        return replace(self, model=model)
