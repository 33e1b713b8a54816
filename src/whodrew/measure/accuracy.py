"""How often the answers are right: top-1, balanced, by family, by model, and confusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whodrew.identify.samples import Floats, Ints
from whodrew.measure.intervals import Doubles, Rate, mean_of_ratios, ratio

UNKNOWN = -1
TAKEN_FOR = 5


def ranks(scores: Floats, model: Ints) -> Ints:
    """Returns (n,) the place of the true model, 1 for the best.

    Ties count against the attacker in the order of model codes, and candidates of score
    -inf come last; a true model of score -inf is placed last of all.

    Args:
        scores: (n, M).
        model: (n,) true models.
    """
    true = scores[np.arange(len(model)), model]
    better = (scores > true[:, None]).sum(axis=1)
    before = (scores == true[:, None]) & (np.arange(scores.shape[1]) < model[:, None])
    place = 1 + better + before.sum(axis=1)
    return np.asarray(np.where(np.isfinite(true), place, scores.shape[1]))


@dataclass
class Named:
    """Counts of answers to queries of M models and P prompts, however they were reached.

    A state: ``update`` with answers, ``merge`` with what another partition counted, then ask
    for figures. Memory: P M, whatever the number of queries.

    Attributes:
        right: (P, M) right answers by prompt and true model.
        asked: (P, M) queries likewise.
        kin: (P,) answers of the right family; zero where families are not known.
        confusion: (M, M + 1) queries by (true, answered) model, the last column ``unknown``.
        chances: (P,) sum of what guessing gives, over the prompt's queries or rounds.
        rounds: (P,) how many of them.
        families: (M,) family code of each model, if known.
        seed: seeds the intervals.
    """

    right: Doubles
    asked: Doubles
    kin: Doubles
    confusion: Ints
    chances: Doubles
    rounds: Doubles
    families: Ints | None
    seed: int

    @classmethod
    def zero(cls, models: int, prompts: int, seed: int, families: Ints | None = None) -> Named:
        """Returns the empty state."""
        return cls(
            right=np.zeros((prompts, models)),
            asked=np.zeros((prompts, models)),
            kin=np.zeros(prompts),
            confusion=np.zeros((models, models + 1), dtype=np.int64),
            chances=np.zeros(prompts),
            rounds=np.zeros(prompts),
            families=families,
            seed=seed,
        )

    def update(self, prompt: Ints, model: Ints, answer: Ints, chances: Doubles) -> None:
        """Counts the answers to one prompt's queries, or to several prompts'.

        Args:
            prompt: (n,) prompt codes.
            model: (n,) true models.
            answer: (n,) answered models, or -1 for ``unknown``.
            chances: what guessing gives in each query or round.
        """
        models = self.asked.shape[1]
        hit = answer == model
        np.add.at(self.asked, (prompt, model), 1)
        np.add.at(self.right, (prompt[hit], model[hit]), 1)
        np.add.at(self.confusion, (model, np.where(answer < 0, models, answer)), 1)
        if self.families is not None:
            near = (answer >= 0) & (self.families[np.maximum(answer, 0)] == self.families[model])
            np.add.at(self.kin, prompt[near], 1)
        self.chances[prompt[:1]] += chances.sum()
        self.rounds[prompt[:1]] += len(chances)

    def merge(self, other: Named) -> None:
        """Adds what another partition counted."""
        self.right += other.right
        self.asked += other.asked
        self.kin += other.kin
        self.confusion += other.confusion
        self.chances += other.chances
        self.rounds += other.rounds

    @property
    def queries(self) -> int:
        """Answers counted."""
        return int(self.asked.sum())

    @property
    def chance(self) -> float:
        """What guessing gives: the mean over queries, or over rounds."""
        return float(self.chances.sum() / self.rounds.sum()) if self.rounds.any() else 1.0

    def rate(self, correct: Doubles, chance: float) -> Rate:
        """Returns the share of queries for which something is true, from (P,) counts."""
        return ratio(correct, self.asked.sum(axis=1), seed=self.seed, chance=chance)

    def top1(self) -> Rate:
        """Returns the share of right answers."""
        return self.rate(self.right.sum(axis=1), self.chance)

    def balanced(self) -> Rate:
        """Returns the mean over models of the share of right answers."""
        return mean_of_ratios(self.right, self.asked, seed=self.seed, chance=self.chance)

    def family(self) -> Rate:
        """Returns the share of answers that name the right family.

        Chance is the sum over families of (members / M)².
        """
        assert self.families is not None
        sizes = np.bincount(self.families)
        return self.rate(self.kin, float(((sizes / len(self.families)) ** 2).sum()))

    def per_model(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Returns for each model asked about its rate and what it is taken for."""
        labels = (*names, "unknown")
        found: list[dict[str, Any]] = []
        for code in np.flatnonzero(self.asked.sum(axis=0)).tolist():
            row = self.confusion[code].copy()
            total = int(row.sum())
            row[code] = 0
            others = np.argsort(-row, kind="stable")[:TAKEN_FOR]
            rate = ratio(
                self.right[:, code], self.asked[:, code], seed=self.seed, chance=self.chance
            )
            found.append(
                {
                    "model": names[code],
                    "top1": rate.to_dict(),
                    "n": total,
                    "taken_for": [
                        {"model": labels[other], "share": float(row[other] / total)}
                        for other in others.tolist()
                        if row[other]
                    ],
                }
            )
        return found
