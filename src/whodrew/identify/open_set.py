"""Models the attacker does not know: when to answer ``unknown``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from whodrew.identify.attack import Names, score
from whodrew.identify.moments import Doubles
from whodrew.identify.samples import Floats, Ints, Mask

UNKNOWN = -1


@dataclass(frozen=True)
class OpenSet:
    """Answers where models were hidden in turn.

    Attributes:
        hidden_per_round: models hidden at a time.
        prompt: (n,) prompt codes, one entry a query and round.
        model: (n,) true models.
        hidden: (n,) true where the true model was hidden in the round.
        answer: (n,) answered model, -1 for ``unknown``.
    """

    hidden_per_round: int
    prompt: Ints
    model: Ints
    hidden: Mask
    answer: Ints


def confidence(scores: Floats, temperature: Floats | float) -> Doubles:
    """Returns (n,) how sure the answer is: the best score less the log-sum of all others'.

    That is the log-odds of the answer under the calibrated probabilities; it orders as the
    top probability does, without saturating at 1.
    """
    scaled = np.sort(scores.astype(np.float64) / np.reshape(temperature, (-1, 1)), axis=1)
    best, rest = scaled[:, -1], scaled[:, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        others = np.log(np.exp(rest - best[:, None]).sum(axis=1))
    return np.where(np.isfinite(others), -others, np.where(np.isfinite(best), 700.0, -700.0))


def hiding_groups(models: Ints, number: int, seed: int) -> list[Ints]:
    """Returns seeded groups of ``number`` models, so that each model is hidden once."""
    order = np.random.default_rng([seed, 6]).permutation(models)
    return [order[start : start + number] for start in range(0, len(order), number)]


def threshold(confident: Doubles, false_alarm: float) -> float:
    """Returns the confidence below which a share ``false_alarm`` of known images lies.

    Args:
        confident: (n,) confidence of images of known models.
        false_alarm: share that may be answered ``unknown``.
    """
    if len(confident) == 0:
        return -np.inf
    return float(np.quantile(confident, false_alarm))


def open_set(base: Names, number: int, false_alarm: float) -> OpenSet:
    """Repeats an attack with groups of models hidden from its references in turn.

    Hidden models' images are still shown (and count toward the mean of the images shown).
    The threshold for a query comes from images of known models of other folds' prompts, at
    the temperature of the query's own fold: where nothing tells models apart temperatures
    are arbitrary, and confidences at two of them do not compare.
    Cost: one fit a prompt and group.

    Args:
        base: the attack with every model known; its choices are kept.
        number: models hidden at a time; at least two must stay known.
        false_alarm: share of known models' images that may be answered ``unknown``.
    """
    problem = base.problem
    present = np.unique(problem.queries.model[problem.asked])
    prompts, models, hidden, answers = [], [], [], []
    for group in hiding_groups(present, number, problem.seed):
        if len(present) - len(group) < 2:
            continue
        found = score(base.changed(partial(replace, hidden=tuple(group.tolist()))))
        away = np.isin(found.model, group)
        sure = confidence(found.scores, found.temperature)
        fold = problem.folds[found.prompt]
        limit = np.empty(len(sure))
        for value in np.unique(fold).tolist():
            others = found.scores[~away & (fold != value)]
            practice = confidence(others, base.choices[value].temperature)
            limit[fold == value] = threshold(practice, false_alarm)
        answer = np.where(sure < limit, UNKNOWN, found.scores.argmax(axis=1))
        prompts.append(found.prompt)
        models.append(found.model)
        hidden.append(away)
        answers.append(answer)
    empty = np.empty(0, dtype=np.int64)
    return OpenSet(
        number,
        np.concatenate(prompts) if prompts else empty,
        np.concatenate(models) if models else empty,
        np.concatenate(hidden) if hidden else empty.astype(bool),
        np.concatenate(answers) if answers else empty,
    )
