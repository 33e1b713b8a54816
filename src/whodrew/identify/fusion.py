"""Several encoders as one attacker: their calibrated log-likelihoods, weighed and added.

Weights are learned for each fold on references that neither the members' fits nor the
weights of that fold's queries have met. The loss is convex in the weights, and a single
member is among what they can express, so that on the held-out references fusion is never
worse than its best member. This definition is whodrew's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from whodrew.identify.attack import Answers, Attack, Names, Practice, is_tuned, score
from whodrew.identify.base import Option
from whodrew.identify.calibrate import Choice
from whodrew.identify.moments import Doubles
from whodrew.identify.problem import Problem
from whodrew.identify.samples import Floats, Ints

FUSION = "fusion"
FLOOR = -1e4
MOST_FOLDS = 64


@dataclass(frozen=True)
class Fused:
    """The members on one problem each, and what their scores weigh.

    Attributes:
        members: one attack an encoder, on the same images.
        weights: (F, E) weight of each member for the queries of each fold.
    """

    members: tuple[Attack, ...]
    weights: Doubles

    @property
    def problem(self) -> Problem:
        """The first member's problem: images, prompts and models are those of all."""
        return self.members[0].problem

    @property
    def label(self) -> str:
        """Name of the identifier."""
        return FUSION

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """No temperature of its own: the weights calibrate."""
        tuned = all(is_tuned(member) for member in self.members)
        return (Choice(Option(), 0, 1.0, tuned),) * len(self.weights)

    @cached_property
    def answers(self) -> Answers:
        """Every query's answer, held at once."""
        return score(self)

    def prepare(self) -> None:
        """Sums up what every prompt needs, so that threads find it."""
        for member in self.members:
            member.prepare()

    def answer(self, prompt: int) -> Answers:
        """Names the queries of one prompt by every member, and adds up what they say."""
        found = [member.answer(prompt) for member in self.members]
        first = found[0]
        weights = self.weights[self.problem.folds[prompt]]
        joint = None
        if any(one.together is not None for one in found):
            scores = [one.scores if one.together is None else one.together for one in found]
            joint = weighed([_over(s, one) for s, one in zip(scores, found, strict=True)], weights)
        return replace(
            first,
            scores=weighed([one.scaled for one in found], weights),
            temperature=np.ones(len(first.rows), dtype=np.float32),
            tuned=all(one.tuned for one in found),
            together=joint,
        )

    def practice(self) -> Practice:
        """Returns the members' held-out scores, weighed as the queries' are."""
        rows, parts = shared([member.practice() for member in self.members])
        scaled = np.empty_like(parts[0])
        for fold, weights in enumerate(self.weights):
            own = rows.other == fold
            scaled[own] = weighed([part[own] for part in parts], weights)
        return replace(rows, scaled=scaled)

    def changed(self, change: Callable[[Problem], Problem]) -> Fused:
        """Returns the same fusion, choices and weights kept, on changed problems."""
        return replace(self, members=tuple(member.changed(change) for member in self.members))

    def brief(self) -> Fused:
        """Returns the same fusion of what stands in for its members, or itself."""
        members = tuple(member.brief() for member in self.members)
        same = all(one is other for one, other in zip(members, self.members, strict=True))
        return self if same else replace(self, members=members)


def fuse(members: Sequence[Attack]) -> Fused:
    """Weighs the members' calibrated scores on held-out references.

    Args:
        members: one attack an encoder, on the same images under the same knowledge.
    """
    folds = len(members[0].choices)
    rows, parts = shared([member.practice() for member in members])
    weights = np.full((folds, len(members)), 1.0 / len(members))
    for fold in range(folds):
        seen = rows.other == fold
        if seen.any():
            weights[fold] = best_weights([part[seen] for part in parts], rows.model[seen])
    return Fused(tuple(members), weights)


def strongest(attacks: Sequence[Attack]) -> Attack:
    """Returns the attack whose held-out scores are likeliest; the first of equals."""
    return min(attacks, key=held_out_loss)


def held_out_loss(names: Names) -> float:
    """Returns the mean of -log probability of the true model over held-out references."""
    found = names.practice()
    if len(found.rows) == 0:
        return float("inf")
    return loss([found.scaled], found.model, np.ones(1))[0]


def shared(practices: Sequence[Practice]) -> tuple[Practice, list[Floats]]:
    """Returns the held-out references that every member scored, and (n, M) scores of each."""
    keys = [one.rows * MOST_FOLDS + one.other for one in practices]
    common = keys[0]
    for key in keys[1:]:
        common = np.intersect1d(common, key)
    at = [np.flatnonzero(np.isin(key, common)) for key in keys]
    at = [index[np.argsort(key[index], kind="stable")] for index, key in zip(at, keys, strict=True)]
    first, index = practices[0], at[0]
    rows = replace(
        first,
        rows=first.rows[index],
        model=first.model[index],
        other=first.other[index],
        scaled=first.scaled[index],
    )
    return rows, [one.scaled[index] for one, index in zip(practices, at, strict=True)]


def weighed(scores: Sequence[Floats], weights: Doubles) -> Floats:
    """Returns the weighted sum of (n, M) scores; -inf where any member knows no candidate."""
    able = np.logical_and.reduce([np.isfinite(one) for one in scores])
    total = sum(
        np.float32(weight) * np.where(able, one, 0.0)
        for weight, one in zip(weights, scores, strict=True)
    )
    return np.where(able, total, -np.inf).astype(np.float32)


def loss(scores: Sequence[Floats], model: Ints, weights: Doubles) -> tuple[float, Doubles]:
    """Returns the mean of -log probability at weights (E,), and its gradient (E,).

    Args:
        scores: E arrays (n, M).
        model: (n,) true models.
        weights: (E,).
    """
    rows = np.arange(len(model))
    total = sum(w * one.astype(np.float64) for w, one in zip(weights, scores, strict=True))
    likely = log_softmax(np.maximum(total, FLOOR), axis=1)
    share = np.exp(likely)
    gradient = [float(((share * one).sum(axis=1) - one[rows, model]).mean()) for one in scores]
    return float(-likely[rows, model].mean()), np.array(gradient)


def best_weights(scores: Sequence[Floats], model: Ints) -> Doubles:
    """Returns the weights (E,), none negative, under which the true models are likeliest.

    Args:
        scores: E arrays (n, M) of calibrated scores; queries whose true model is no
            candidate of a member take no part.
        model: (n,) true models.
    """
    rows = np.arange(len(model))
    able = np.logical_and.reduce([np.isfinite(one[rows, model]) for one in scores])
    # a row's own level says nothing, and would only make numbers large
    clean = []
    for one in scores:
        part = one[able].astype(np.float64)
        part -= part.max(axis=1, keepdims=True)
        clean.append(np.maximum(part, FLOOR))
    count = len(scores)
    if not able.any():
        return np.full(count, 1.0 / count)
    found = minimize(
        lambda weights: loss(clean, model[able], weights),
        np.full(count, 1.0 / count),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * count,
    )
    return np.asarray(found.x if found.x.any() else np.full(count, 1.0 / count))


def _over(scores: Floats, answers: Answers) -> Floats:
    return np.asarray(scores / answers.temperature[:, None])
