"""Which queries are asked, and what the attacker may compare each of them with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from whodrew.identify.knowledge import Knowledge
from whodrew.identify.library import Library, pre_scaled
from whodrew.identify.rounds import (
    NONE,
    PromptRounds,
    is_known,
    positions,
    prompt_rounds,
    twins,
)
from whodrew.identify.samples import Floats, Ints, Mask, Samples

FOLDS = 5
#: References above which an attack runs its prompts side by side.
LARGE = 20_000


@dataclass(frozen=True)
class Block:
    """One prompt's queries and references.

    Attributes:
        prompt: code of the prompt.
        rows: (n,) rows of the queries among the problem's queries.
        points: (k, D) every vector the block needs, as emitted.
        query: (n,) place of each query among ``points``.
        shown: (s,) places of the images the arena shows for this prompt.
        reference: (r,) places of the prompt's references; empty unless matched.
        model: (r,) their models.
        rounds: what each round takes from them; ``None`` unless matched.
        round: (n,) the round of each query.
        own: (n,) for each query the index into ``reference`` that it must not meet, or -1.
        usable: (r,) false for references of models that are hidden.
        limit: references a cell keeps at most.
        separate: whether queries and references come from different arenas.
        lone: whether each query is shown by itself.
    """

    prompt: int
    rows: Ints
    points: Floats
    query: Ints
    shown: Ints
    reference: Ints
    model: Ints
    rounds: PromptRounds | None
    round: Ints
    own: Ints
    usable: Mask
    limit: int | None
    separate: bool
    lone: bool

    @cached_property
    def kept(self) -> Mask:
        """(G + 1, r) the references each round leaves, limited per cell, less hidden ones."""
        assert self.rounds is not None
        return self.rounds.kept(self.model, self.limit) & self.usable

    def only(self, chosen: Mask) -> Block:
        """Returns the block with some of its queries."""
        return replace(
            self,
            rows=self.rows[chosen],
            query=self.query[chosen],
            round=self.round[chosen],
            own=self.own[chosen],
        )


@dataclass(frozen=True)
class Problem:
    """References, queries, and what joins them.

    Attributes:
        references: samples whose models the attacker knows.
        queries: samples asked for; the same object when both come from one arena.
        knowledge: what the attacker has.
        seed: seeds folds, orders of generations and choices of references.
        lone: whether each query is shown by itself (no other image of its prompt).
        hidden: models that the attacker has no references of, though they are shown.
        limited_to: the only prompts the attacker has references of; all when ``None``.
        unlabelled: whether queries are asked though nobody knows their models.
        shared: sums of references by what is hidden and limited, which problems on the same
            references share.
    """

    references: Samples
    queries: Samples
    knowledge: Knowledge
    seed: int = 0
    lone: bool = False
    hidden: tuple[int, ...] = ()
    limited_to: tuple[int, ...] | None = None
    unlabelled: bool = False
    shared: dict[Any, Library] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def build(
        cls,
        references: Samples,
        queries: Samples | None = None,
        *,
        knowledge: Knowledge,
        seed: int = 0,
        lone: bool = False,
        unlabelled: bool = False,
    ) -> Problem:
        """Builds a problem; without ``queries`` the references are asked for themselves.

        ``queries`` must share the references' code books of prompts, models and groups.
        """
        if queries is None:
            (scaled,) = pre_scaled(references)
            return cls(scaled, scaled, knowledge, seed, lone, unlabelled=unlabelled)
        first, second = pre_scaled(references, queries)
        return cls(first, second, knowledge, seed, lone, unlabelled=unlabelled)

    @property
    def separate(self) -> bool:
        """Whether queries and references come from different arenas."""
        return self.queries is not self.references

    @property
    def large(self) -> bool:
        """Whether an attack runs its prompts side by side."""
        return len(self.references) > LARGE

    @property
    def matched(self) -> bool:
        """Whether references of the query's own prompt are at hand."""
        return self.knowledge.prompts == "matched"

    @property
    def limit(self) -> int | None:
        """References a cell gives at most."""
        return None if self.knowledge.references == "all" else self.knowledge.references

    @cached_property
    def folds(self) -> Ints:
        """(P,) seeded fold of each prompt, five or as many as there are prompts."""
        count = len(self.references.prompts)
        order = np.random.default_rng([self.seed, 2]).permutation(count)
        folds = np.empty(count, dtype=np.int64)
        folds[order] = np.arange(count) % min(FOLDS, max(count, 1))
        return folds

    @cached_property
    def place(self) -> Ints:
        """(N,) place of each distinct reference in its cell's seeded order."""
        return positions(self.references, self.references.is_reference, self.seed)

    @cached_property
    def library(self) -> Library:
        """The references of all prompts, limited per cell as the knowledge says."""
        # a library holds the samples it is of, so that their id is not given to others
        key = (id(self.references), self.seed, self.hidden, self.limit)
        if self.limited_to is None and key in self.shared:
            return self.shared[key]
        kept = self.references.is_reference
        if self.hidden:
            kept = kept & ~np.isin(self.references.model, self.hidden)
        if self.limit is not None:
            kept = kept & (self.place < self.limit)
        if self.limited_to is not None:
            kept = kept & np.isin(self.references.prompt, self.limited_to)
        chosen = self.references if kept.all() else self.references.take(kept)
        found = Library(chosen, self.folds, self.references)
        if self.limited_to is None and not self.hidden:
            self.shared[key] = found
        return found

    @cached_property
    def twin(self) -> Ints:
        """(N,) row of the reference that each query must not meet in its prompt, or -1."""
        return twins(self.references, self.queries)

    @cached_property
    def asked(self) -> Mask:
        """(N,) queries that can be asked.

        Under matched knowledge the query's cell must have a reference left once one is
        taken; otherwise some reference of its model must stand in another prompt.
        """
        queries = self.queries
        if self.unlabelled:
            return np.ones(len(queries), dtype=bool)
        known = is_known(queries)
        cell = queries.prompt, np.maximum(queries.model, 0)
        sizes = self.references.cell_sizes
        if self.matched:
            taken = (self.twin >= 0) if self.separate else np.ones(len(queries), dtype=bool)
            return np.asarray(known & (sizes[cell] - taken >= 1))
        elsewhere = sizes.sum(axis=0)[None, :] - sizes
        return np.asarray(known & (elsewhere[cell] > 0))

    @cached_property
    def shown_round(self) -> Ints:
        """(N,) the round that shows each query, or -1 for images that none shows.

        Under matched knowledge it is the round whose references leave the image out, so
        that only distinct images are shown; otherwise the seeded order of the cell's images.
        """
        if self.matched and not self.separate:
            return self.place
        return positions(self.queries, self.asked, self.seed)

    @cached_property
    def _duplicated(self) -> Mask:
        shared = self.references.shared.copy()
        if self.separate:
            met = np.isin(np.arange(len(shared)), self.twin)
            unit = self.references.unit
            # a twin's draws come and go with it
            shared |= met if unit is None else np.isin(unit, unit[met])
        return shared

    def excluded(self, row: int) -> frozenset[int]:
        """Returns the prompts that a fit for one query must not have seen."""
        own = frozenset([int(self.queries.prompt[row])])
        return own | self._query_elsewhere.get(row, frozenset())

    def apart_from(self, block: Block, without: frozenset[int]) -> Mask:
        """Returns (n,) queries of a block that a fit without some prompts has not met."""
        if not self._query_elsewhere:
            return np.full(len(block.rows), block.prompt in without)
        return np.array([self.excluded(row) <= without for row in block.rows.tolist()], dtype=bool)

    @cached_property
    def _query_elsewhere(self) -> dict[int, frozenset[int]]:
        if not self.separate:
            return self.references.elsewhere
        prompts: dict[int, set[int]] = {}
        for row in np.flatnonzero(self.references.is_reference).tolist():
            group = int(self.references.group[row])
            prompts.setdefault(group, set()).add(int(self.references.prompt[row]))
        found: dict[int, frozenset[int]] = {}
        for row in range(len(self.queries)):
            others = prompts.get(int(self.queries.group[row]), set())
            apart = frozenset(others - {int(self.queries.prompt[row])})
            if apart:
                found[row] = apart
        return found

    def block(self, prompt: int) -> Block:
        """Returns the queries of one prompt that can be asked, and their references."""
        shown = np.arange(len(self.queries))[self.queries.rows(prompt)]
        points = self.queries.vectors[self.queries.rows(prompt)]
        query = np.flatnonzero(self.asked[shown])
        empty = np.empty(0, dtype=np.int64)
        block = Block(
            prompt=prompt,
            rows=shown[query],
            points=points,
            query=query,
            shown=np.arange(len(shown)),
            reference=empty,
            model=empty,
            rounds=None,
            round=np.zeros(len(query), dtype=np.int64),
            own=np.full(len(query), NONE, dtype=np.int64),
            usable=np.empty(0, dtype=bool),
            limit=self.limit,
            separate=self.separate,
            lone=self.lone,
        )
        return self._with_references(block) if self.matched else block

    def _with_references(self, block: Block) -> Block:
        known = self.references
        rows = np.arange(len(known))[known.rows(block.prompt)]
        kept = known.is_reference[rows]
        points, reference = block.points, np.flatnonzero(kept)
        if self.separate:
            reference = len(points) + np.arange(len(reference))
            points = np.concatenate([points, known.vectors[rows[kept]]])
        twin = self.twin[block.rows]
        rounds = prompt_rounds(known, block.prompt, self.place, self._duplicated)
        free = len(rounds.removed) - 1 if self.separate else 0
        own = np.where(np.isin(twin, rows[kept]), np.searchsorted(rows[kept], twin), NONE)
        return replace(
            block,
            points=points,
            reference=reference,
            model=known.model[rows[kept]],
            rounds=rounds,
            round=np.where(twin >= 0, self.place[twin], free),
            own=own,
            usable=~np.isin(known.model[rows[kept]], self.hidden),
        )

    def groups(self, prompt: int) -> list[tuple[frozenset[int], Block]]:
        """Returns the queries of a prompt in blocks that share what their fit leaves out."""
        block = self.block(prompt)
        if len(block.rows) == 0:
            return []
        apart: dict[frozenset[int], list[int]] = {}
        own = frozenset([prompt])
        if not self._query_elsewhere:
            return [(own, block)]
        for index, row in enumerate(block.rows.tolist()):
            apart.setdefault(self.excluded(row), []).append(index)
        if len(apart) == 1 and own in apart:
            return [(own, block)]
        found = []
        for excluded, members in apart.items():
            chosen = np.zeros(len(block.rows), dtype=bool)
            chosen[members] = True
            found.append((excluded, block.only(chosen)))
        return found

    def rehearsal(self) -> Problem:
        """Returns the problem the attacker can pose to themselves: name the references."""
        if not self.separate:
            return self
        return replace(self, queries=self.references, unlabelled=False)
