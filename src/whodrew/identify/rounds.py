"""The seeded order of generations: which is shown when, and which references it costs.

Round g shows the g-th generation of every cell that has one. Under matched knowledge the
references of round g are all other generations: one is taken from *every* cell of the
prompt, so that the true model has no fewer references than its rivals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whodrew.identify.samples import NOT_KNOWN, Ints, Mask, Samples

NONE = -1


def positions(samples: Samples, among: Mask, seed: int) -> Ints:
    """Returns (N,) each image's seeded place in its cell; -1 for images not ``among``.

    Draws of one generation share its place.

    Args:
        samples: N samples.
        among: (N,) images that take part.
        seed: seeds the order.
    """
    keys = np.random.default_rng([seed, 1]).random(len(samples))
    place = np.full(len(samples), NONE, dtype=np.int64)
    rows = np.flatnonzero(among)
    unit = samples.unit
    if unit is not None:
        every, (_, first) = rows, np.unique(unit[rows], return_index=True)
        rows = rows[first]
    order = rows[np.lexsort((keys[rows], samples.model[rows], samples.prompt[rows]))]
    if len(order) == 0:
        return place
    cell = samples.prompt[order] * (len(samples.models) + 1) + samples.model[order]
    starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
    lengths = np.diff(np.r_[starts, len(order)])
    place[order] = np.arange(len(order)) - np.repeat(starts, lengths)
    if unit is not None:
        by_unit = np.full(int(unit.max(initial=0)) + 1, NONE, dtype=np.int64)
        by_unit[unit[order]] = place[order]
        place[every] = by_unit[unit[every]]
    return place


@dataclass(frozen=True)
class PromptRounds:
    """The rounds of one prompt under matched knowledge.

    Attributes:
        removed: (G + 1, M) index into the prompt's references, or -1: what round g takes,
            and with it all that are draws of the same generation.
        place: (r,) each reference's place in its cell.
        first: (r,) index of the first draw of each reference's generation; ``None`` where
            each is the only one.
    """

    removed: npt.NDArray[np.int64]
    place: Ints
    first: Ints | None = None

    def kept(self, model: Ints, limit: int | None) -> Mask:
        """Returns (G + 1, r) true for the references that each round leaves.

        Args:
            model: (r,) model of each reference.
            limit: references a cell keeps at most: the next ones in the cell's order
                after the one taken.
        """
        rounds, count = len(self.removed), len(model)
        mask = np.ones((rounds, count), dtype=bool)
        taken = self.removed[:, model]
        mask[taken == (np.arange(count) if self.first is None else self.first)] = False
        if limit is not None:
            sizes = self.sizes(model, self.removed.shape[1])[model]
            gone = np.where(taken >= 0, self.place[np.maximum(taken, 0)], -1)
            after = (self.place - gone - 1) % np.maximum(sizes, 1)
            mask[after >= limit] = False
        return mask

    def sizes(self, model: Ints, models: int) -> Ints:
        """Returns (M,) generations in each cell.

        Args:
            model: (r,) model of each reference.
            models: M.
        """
        if self.first is not None:
            model = model[self.first == np.arange(len(model))]
        return np.bincount(model, minlength=models)


def prompt_rounds(samples: Samples, prompt: int, place: Ints, duplicated: Mask) -> PromptRounds:
    """Lays out the rounds of one prompt's references.

    A cell of one reference keeps it, unless that image has duplicates, which must not
    find it; then it goes in round 0. A last round takes nothing: it is for queries that
    have no twin among the references.

    Args:
        samples: the references' samples.
        prompt: its code.
        place: (N,) from ``positions`` among the distinct references.
        duplicated: (N,) images that share their duplicate group with another.
    """
    rows = np.arange(len(samples))[samples.rows(prompt)]
    rows = rows[samples.is_reference[rows]]
    model, own = samples.model[rows], place[rows]
    first = None
    leading = np.arange(len(rows))
    if samples.unit is not None:
        _, index, which = np.unique(samples.unit[rows], return_index=True, return_inverse=True)
        first, leading = index[which], np.sort(index)
    sizes = np.bincount(model[leading], minlength=len(samples.models))
    rounds = max(int(sizes.max(initial=1)), 1)
    at = np.full((rounds, len(samples.models)), NONE, dtype=np.int64)
    at[own[leading], model[leading]] = leading
    removed = np.full((rounds + 1, len(samples.models)), NONE, dtype=np.int64)
    for code in np.flatnonzero(sizes).tolist():
        if sizes[code] > 1:
            removed[:-1, code] = at[np.arange(rounds) % sizes[code], code]
        elif duplicated[rows[at[0, code]]]:
            removed[0, code] = at[0, code]
    return PromptRounds(removed, own, first)


def twins(references: Samples, queries: Samples) -> Ints:
    """Returns (N,) the reference of the same prompt that each query must not meet, or -1.

    It is the query itself or the distinct image of its duplicates; from another arena
    also its namesake by model, prompt and seed, which may be the same drawing re-encoded.

    Args:
        references: samples that hold the references, with shared code books and groups.
        queries: samples asked for; the same object within one arena.
    """
    found = np.full(len(queries), NONE, dtype=np.int64)
    if queries is references:
        found[references.is_reference] = np.flatnonzero(references.is_reference)
    left = np.flatnonzero(found < 0).tolist()
    if not left:
        return found
    by_group: dict[tuple[int, int], int] = {}
    by_name: dict[tuple[int, int, str], int] = {}
    for row in np.flatnonzero(references.is_reference).tolist():
        prompt = int(references.prompt[row])
        by_group[int(references.group[row]), prompt] = row
        by_name[prompt, int(references.model[row]), str(references.seed[row])] = row
    for row in left:
        prompt = int(queries.prompt[row])
        twin = by_group.get((int(queries.group[row]), prompt), NONE)
        if twin < 0 and queries is not references:
            name = (prompt, int(queries.model[row]), str(queries.seed[row]))
            twin = by_name.get(name, NONE)
        found[row] = twin
    return found


def is_known(samples: Samples) -> Mask:
    """Returns (N,) true where the model is known."""
    return np.asarray(samples.model != NOT_KNOWN)
