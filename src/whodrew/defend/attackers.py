"""The attackers a defence has to face, from vectors that were already encoded.

Names and knowledge of each are whodrew's own; the headline is the strongest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from whodrew.encoders.base import Scale
from whodrew.identify.assign import assign
from whodrew.identify.attack import Attack, Names, attack, score
from whodrew.identify.knowledge import Knowledge, Prompts, Shown
from whodrew.identify.problem import Problem
from whodrew.identify.registry import get_identifier
from whodrew.identify.samples import Floats, Ints, Samples
from whodrew.measure.accuracy import Named
from whodrew.measure.intervals import Rate, missing

STRONG: Final = "whitened-centroid"
ROBUST: Final = "contrastive"
#: Draws that the contrastive attacker takes as copies of its references.
COPIES: Final = 4


@dataclass(frozen=True)
class Labels:
    """What is known of N images, in the order of their vectors.

    Attributes:
        model: N names.
        prompt: N prompt ids.
        seed: N names of generations within a cell.
    """

    model: tuple[str, ...]
    prompt: tuple[str, ...]
    seed: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.model)

    @property
    def chance(self) -> float:
        """What guessing gives, each image named alone."""
        return 1.0 / len(set(self.model))


@dataclass(frozen=True)
class Vectors:
    """What one encoder made of the images.

    Attributes:
        encoder: its name.
        scale: how its vectors are compared.
        query: (N, D) of what is shown.
        references: (R, N, D) of what the attacker has of the same images: R draws.
    """

    encoder: str
    scale: Scale
    query: Floats
    references: Floats


@dataclass(frozen=True)
class Faced:
    """One attacker's figure against one defence.

    Attributes:
        attacker: ``undefended``, ``unchanged``, ``adaptive``, ``unseen-encoder``, ``purifying``,
            ``contrastive`` or ``fused``.
        encoder: what it looks through; ``a+b`` for a fusion.
        identifier: what it names by.
        knowledge: what it has; ``draws`` of the defence per reference, what it does to
            images first (``purified``), and whether all its references met the ``profile``
            that the query did.
        top1: share of images it names.
    """

    attacker: str
    encoder: str
    identifier: str
    knowledge: Mapping[str, Any]
    top1: Rate

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {
            "attacker": self.attacker,
            "encoder": self.encoder,
            "identifier": self.identifier,
            "knowledge": dict(self.knowledge),
        }
        if self.top1.value is None:
            return {**values, "top1": None, "top1_reason": self.top1.reason}
        return {**values, "top1": self.top1.to_dict()}


@dataclass(frozen=True)
class Case:
    """What every attacker of a frontier has in common.

    Attributes:
        labels: of the images.
        prompts: ``matched`` or ``other``.
        shown: ways images are shown.
        seed: seeds folds and intervals.
    """

    labels: Labels
    prompts: Prompts
    shown: tuple[Shown, ...]
    seed: int = 0

    def problem(self, vectors: Vectors, draws: int, copies: Sequence[Floats] | int = 0) -> Problem:
        """Poses the queries to an attacker who has ``draws`` of each reference.

        A query's own image is never among what it is compared with: under ``matched`` all
        its draws are left out, and those of one generation of every other cell.

        Args:
            vectors: of one encoder.
            draws: how many of the references' draws are references.
            copies: (N, D) each, of copies of the images to learn from; or how many of the
                other draws are copies.
        """
        labels, count = self.labels, len(self.labels)
        models, prompts = sorted(set(labels.model)), sorted(set(labels.prompt))
        queries = Samples.build(
            vectors.query,
            models=labels.model,
            prompts=labels.prompt,
            seed=labels.seed,
            scale=vectors.scale,
            model_names=models,
            prompt_names=prompts,
            group=np.arange(count),
        )
        flat = vectors.references[:draws].reshape(draws * count, -1)
        references = Samples.build(
            flat,
            models=labels.model * draws,
            prompts=labels.prompt * draws,
            seed=labels.seed * draws,
            scale=vectors.scale,
            model_names=models,
            prompt_names=prompts,
            group=count + np.arange(draws * count),
        )
        references = replace(references, unit=references.source % count)
        rows, draw = references.source % count, references.source // count
        if isinstance(copies, int):
            # each draw's copies are other draws of the same image
            number = len(vectors.references)
            taken = [vectors.references[(draw + step) % number, rows] for step in _after(copies)]
        else:
            taken = [one[rows] for one in copies]
        references = replace(references, copies=tuple(map(np.ascontiguousarray, taken)))
        knowledge = Knowledge(prompts=self.prompts)
        return Problem.build(references, queries, knowledge=knowledge, seed=self.seed)

    def named(self, vectors: Vectors, draws: int, identifier: str = STRONG) -> Attack:
        """Returns one identifier's attack through one encoder."""
        return attack(self.problem(vectors, draws), get_identifier(identifier))

    def robust(self, vectors: Vectors, purified: Sequence[Floats]) -> tuple[Attack, int]:
        """Returns the contrastive attack, and how many copies of an image it learns from.

        Copies are other draws of the defence; where there are none, re-encodings.

        Args:
            vectors: of one encoder.
            purified: (N, D) each, of the images as shown, re-encoded, shrunk or blurred.
        """
        number = min(COPIES, len(vectors.references) - 1)
        copies: Sequence[Floats] | int = number or purified
        found = attack(self.problem(vectors, 1, copies), get_identifier(ROBUST))
        return found, number or len(purified)

    def faced(self, attacker: str, found: Names, encoder: str, **more: Any) -> list[Faced]:
        """Names every query, once for each way images are shown.

        Args:
            attacker: its name.
            found: its attack.
            encoder: what it looks through.
            **more: further knowledge, such as ``draws``.
        """
        return self.faced_by_parts(attacker, [(found, None)], encoder, **more)

    def faced_by_parts(
        self,
        attacker: str,
        parts: Sequence[tuple[Names, Ints | None]],
        encoder: str,
        **more: Any,
    ) -> list[Faced]:
        """Names the queries of some prompts by one attack, those of others by another.

        Args:
            attacker: its name.
            parts: attacks on all of the images, and the codes of prompts each is asked for;
                ``None`` for all.
            encoder: what it looks through.
            **more: further knowledge, such as ``draws``.
        """
        first = parts[0][0]
        problem = first.problem
        models, prompts = len(problem.references.models), len(problem.references.prompts)
        counts = [Named.zero(models, prompts, self.seed) for _ in self.shown]
        for found, asked in parts:
            answers = score(found, asked)
            if not len(answers.rows):
                continue
            for way, named in zip(self.shown, counts, strict=True):
                if way == "any":
                    able = np.maximum(np.isfinite(answers.scores).sum(axis=1), 1)
                    best = answers.scores.argmax(axis=1)
                    named.update(answers.prompt, answers.model, best, 1.0 / able)
                else:
                    together = assign(found.problem, answers)
                    named.update(together.prompt, together.model, together.answer, together.chances)
        results = []
        for way, named in zip(self.shown, counts, strict=True):
            knowledge = {**problem.knowledge.to_dict(), "shown": way, **more}
            rate = (
                named.rate(named.right.sum(axis=1), named.chance)
                if named.queries
                else missing(f"no image has a reference under {self.prompts!r} knowledge")
            )
            results.append(Faced(attacker, encoder, first.label, knowledge, rate))
        return results


def _after(copies: int) -> range:
    return range(1, copies + 1)


def strongest(faced: Sequence[Faced], shown: Shown = "any") -> Faced | None:
    """Returns the attacker who names most, of those measured; the first of equals.

    Args:
        faced: attackers.
        shown: the way images are shown that counts; where none was measured that way, all.
    """
    measured = [one for one in faced if one.top1.value is not None]
    same = [one for one in measured if one.knowledge["shown"] == shown] or measured
    return max(same, key=lambda one: one.top1.value or 0.0, default=None)
