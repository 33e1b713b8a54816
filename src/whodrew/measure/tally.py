"""Everything counted of an attack while its prompts pass by: no answer is kept."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from whodrew.identify.attack import Answers
from whodrew.identify.samples import Floats, Ints, Mask
from whodrew.measure.accuracy import Named, ranks
from whodrew.measure.calibration import Calibration
from whodrew.measure.intervals import Doubles, by_prompt
from whodrew.measure.rest import no_figures, one_against_rest
from whodrew.measure.targets import Targets

#: Answers up to which figures are exact; above, scores are counted in narrow bins.
EXACT = 50_000
TOPS = (3, 5)
FREE: AbstractContextManager[Any] = nullcontext()


@dataclass
class Tally:
    """What is counted of queries that are each named alone; a state.

    Attributes:
        named: right and wrong answers.
        tops: (P,) answers whose true model is among the first 3, 5.
        margin: (P,) sum of calibrated log-probability of the true model less the best other's.
        calibration: confidences.
        targets: scores counted in bins; ``None`` while they are kept.
        kept: scaled scores, models and prompts of each update, where figures are exact.
        able: (M,) models that were ever candidates.
        folds: (P,) fold of each prompt.
    """

    named: Named
    tops: dict[int, Doubles]
    margin: Doubles
    calibration: Calibration
    targets: Targets | None
    kept: list[tuple[Floats, Ints, Ints]]
    able: Mask
    folds: Ints

    @classmethod
    def zero(
        cls,
        models: int,
        folds: Ints,
        seed: int,
        *,
        families: Ints | None = None,
        practice: tuple[Floats, Ints] | None = None,
    ) -> Tally:
        """Returns the empty state.

        Args:
            models: M.
            folds: (P,) fold of each prompt.
            seed: seeds the intervals.
            families: (M,) family of each model, if known.
            practice: (n, M) calibrated scores of held-out references and their (n,) models,
                which place the bins; exact figures, from every score kept, where ``None``.
        """
        prompts = len(folds)
        return cls(
            named=Named.zero(models, prompts, seed, families),
            tops={top: np.zeros(prompts) for top in TOPS},
            margin=np.zeros(prompts),
            calibration=Calibration.zero(prompts, exact=practice is None),
            targets=None if practice is None else Targets.zero(*practice, folds, seed),
            kept=[],
            able=np.zeros(models, dtype=bool),
            folds=folds,
        )

    def update(self, answers: Answers, lock: AbstractContextManager[Any] = FREE) -> None:
        """Counts the answers to one prompt's queries.

        Args:
            answers: of one prompt, or of several where figures are exact.
            lock: held while the state changes, for updates from several threads.
        """
        prompts = len(self.folds)
        place = ranks(answers.scores, answers.model)
        finite = np.isfinite(answers.scores)
        chances = 1.0 / np.maximum(finite.sum(axis=1), 1)
        answer = answers.scores.argmax(axis=1)
        gaps = by_prompt(margins(answers), answers.prompt, prompts)
        likely = answers.likely
        binned = None if self.targets is None else self.targets.counted(answers)
        with lock:
            self.named.update(answers.prompt, answers.model, answer, chances)
            for top in TOPS:
                self.tops[top] += by_prompt(place <= top, answers.prompt, prompts)
            self.able |= finite.any(axis=0)
            self.margin += gaps
            self.calibration.update(likely, answers.model, answers.prompt)
            if self.targets is None or binned is None:
                self.kept.append((answers.scaled, answers.model, answers.prompt))
            else:
                self.targets.add(int(answers.prompt[0]), binned)

    def merge(self, other: Tally) -> None:
        """Adds what another partition counted."""
        self.named.merge(other.named)
        for top in TOPS:
            self.tops[top] += other.tops[top]
        self.able |= other.able
        self.margin += other.margin
        self.calibration.merge(other.calibration)
        self.kept += other.kept
        if self.targets is not None and other.targets is not None:
            self.targets.merge(other.targets)

    @property
    def candidates(self) -> int:
        """How many models the attacker chooses among."""
        return int(self.able.sum())

    def one_against_rest(self) -> dict[str, Any]:
        """Returns the figures of one target against the rest, JSON-ready."""
        if self.targets is not None:
            return self.targets.figures(self.able)
        if not self.kept:
            return no_figures("nothing was asked")
        order = np.argsort([prompt[0] for _, _, prompt in self.kept], kind="stable")
        scores, model, prompt = (
            np.concatenate([self.kept[at][part] for at in order]) for part in range(3)
        )
        return one_against_rest(scores, model, prompt, self.folds, self.named.seed)


def margins(answers: Answers) -> Doubles:
    """Returns (n,) calibrated log-probability of the true model less the best other's.

    0 where that says nothing: the true model is no candidate, or the only one.
    """
    rows = np.arange(len(answers.model))
    scaled = answers.scaled.astype(np.float64)
    true = scaled[rows, answers.model]
    scaled[rows, answers.model] = -np.inf
    gap = true - scaled.max(axis=1)
    return np.where(np.isfinite(gap), gap, 0.0)
