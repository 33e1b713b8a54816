"""The table of answers, written prompt by prompt and in the same order whatever came first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.audit.gathered import Gathered
from whodrew.identify.attack import Names
from whodrew.identify.samples import Ints
from whodrew.measure.intervals import Doubles
from whodrew.measure.tally import EXACT

Labels = Callable[[Ints], pa.Table]
#: Rows of a row group of the file.
ROWS = 65_536
SHOWN = ["image_id", "path", "prompt_id", "model", "seed"]


@dataclass(frozen=True)
class Answered:
    """The answers to one prompt's queries, as they are written down.

    Attributes:
        code: the prompt.
        rows: (n,) rows among the queries.
        model: (n,) true models.
        answer: (n,) answered models, -1 for ``unknown``.
        place: (n,) place of the true model.
        sure: (n,) probability of the answer; ``None`` where images are named together.
        chances: what guessing gives in each round, where they are.
    """

    code: int
    rows: Ints
    model: Ints
    answer: Ints
    place: Ints
    sure: Doubles | None
    chances: Doubles

    @property
    def prompt(self) -> Ints:
        """(n,) the prompt, for each query."""
        return np.full(len(self.rows), self.code)


class AnswerSink:
    """Takes the answers of each prompt, in any order, and keeps them in the order of prompts.

    Args:
        names: the attack.
        labels: gives the labels of rows of the table that samples' ``source`` points to.
        spill: file to write to, for an arena too large to hold them; kept where ``None``.
    """

    def __init__(self, names: Names, labels: Labels, spill: Path | None) -> None:
        problem = names.problem
        self._queries = problem.queries
        self._names = np.array([*problem.references.models, "unknown"], dtype=object)
        self._labels = labels
        self._spill = spill
        self._writer: pq.ParquetWriter | None = None
        asked = np.flatnonzero(problem.asked)
        # in the order in which prompts are visited, so that few wait
        folds = problem.folds
        order = np.lexsort((np.arange(len(folds)), folds))
        self._order: Sequence[int] = order[np.isin(order, problem.queries.prompt[asked])].tolist()
        self._next = 0
        self._waiting: dict[int, Answered] = {}
        self._kept: dict[int, pa.Table] = {}
        self._ready: list[pa.Table] = []

    def _table(self, found: Answered) -> pa.Table:
        shown = self._labels(self._queries.source[found.rows]).select(SHOWN)
        shown = shown.append_column("answer", pa.array(self._names[found.answer], pa.string()))
        shown = shown.append_column("rank", pa.array(found.place, pa.int64()))
        sure = pa.nulls(len(found.rows)) if found.sure is None else pa.array(found.sure)
        return shown.append_column("probability", sure.cast(pa.float64()))

    def add(self, found: Answered) -> None:
        """Takes one prompt's answers. One call at a time."""
        if self._spill is None:
            self._kept[found.code] = self._table(found)
            return
        self._waiting[found.code] = found
        while self._next < len(self._order) and self._order[self._next] in self._waiting:
            self._write(self._waiting.pop(self._order[self._next]))
            self._next += 1

    def close(self) -> pa.Table | Path:
        """Returns the whole table, or the file that holds it."""
        if self._spill is None or (self._writer is None and not self._waiting):
            none = np.empty(0, dtype=np.int64)
            kept = [self._kept[prompt] for prompt in sorted(self._kept)]
            return pa.concat_tables(
                kept or [self._table(Answered(0, none, none, none, none, None, np.empty(0)))]
            )
        for prompt in sorted(self._waiting):
            self._write(self._waiting[prompt])
        self._flush()
        assert self._writer is not None
        self._writer.close()
        return self._spill

    def _write(self, found: Answered) -> None:
        self._ready.append(self._table(found))
        if sum(map(len, self._ready)) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._ready:
            return
        table = pa.concat_tables(self._ready)
        self._ready = []
        if self._writer is None:
            assert self._spill is not None
            self._spill.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._spill, table.schema)
        self._writer.write_table(table)


def all_labels(gathered: Gathered, spill: Path | None) -> pa.Table | Path:
    """Returns the labels of every image, or the file that holds those of a large arena.

    Args:
        gathered: the arena's embeddings.
        spill: folder for such a file; ``None`` holds them.
    """
    if spill is None or len(gathered) <= EXACT:
        return pa.concat_tables(list(gathered.label_batches()))
    file = spill / "images.parquet"
    batches = gathered.label_batches()
    first = next(batches)
    with pq.ParquetWriter(file, first.schema) as writer:
        for batch in chain((first,), batches):
            writer.write_table(batch)
    return file
