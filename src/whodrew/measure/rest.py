"""One target against the rest: could somebody who wants one model up find its images?

Two attackers: ``all_known`` scores an image by the target's log-likelihood less the best
other model's, ``target_only`` by the target's alone. Every figure is averaged over targets.
Definitions are whodrew's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whodrew.identify.parallel import side_by_side
from whodrew.identify.samples import Floats, Ints, Mask
from whodrew.measure.intervals import Doubles, Rate, interval, resample_counts

BINS = 200
ATTACKERS = ("all_known", "target_only")
LEAST_FALSE = 5
FIGURES = (
    "auc",
    "eer",
    "tpr_at_fpr_1pct",
    "tpr_at_fpr_0_1pct",
    "balanced_accuracy",
    "accuracy",
    "accuracy_of_always_no",
)
LOW_RATES = {"tpr_at_fpr_1pct": 0.01, "tpr_at_fpr_0_1pct": 0.001}
TINY = 1e-12

Mass = Doubles | Floats


def curves(positive: Mass, negative: Mass) -> tuple[Mass, Mass]:
    """Returns (..., B + 1) true and false positive rates as the threshold falls.

    Args:
        positive: (..., B) mass of positives at each distinct score, ascending.
        negative: (..., B) the same for negatives.
    """
    rates = []
    for mass in (positive, negative):
        above = np.cumsum(mass[..., ::-1], axis=-1)
        above = above / np.maximum(above[..., -1:], TINY)
        rates.append(np.concatenate([np.zeros_like(above[..., :1]), above], axis=-1))
    return rates[0], rates[1]


def area(true: Mass, false: Mass) -> Doubles:
    """Returns the area under (false, true) curves, ties counted half."""
    return np.asarray(((true[..., 1:] + true[..., :-1]) / 2 * np.diff(false)).sum(axis=-1))


def equal_error(true: Mass, false: Mass) -> Doubles:
    """Returns the rate at which misses equal false alarms, interpolated between thresholds."""
    gap = false - (1.0 - true)
    after = np.argmax(gap >= 0, axis=-1)
    before = np.maximum(after - 1, 0)

    def at(values: Mass, index: Ints) -> Doubles:
        return np.asarray(np.take_along_axis(values, index[..., None], axis=-1)[..., 0], np.float64)

    low, high = at(gap, before), at(gap, after)
    share = np.where(high > low, -low / np.maximum(high - low, TINY), 0.0)
    start, end = at(false, before), at(false, after)
    return np.asarray(start + share * (end - start))


def hits_at(true: Mass, false: Mass, rate: float) -> Doubles:
    """Returns the greatest true positive rate with at most ``rate`` false positives."""
    return np.asarray(np.where(false <= rate + TINY, true, 0.0).max(axis=-1))


def one_against_rest(
    scores: Floats, model: Ints, prompt: Ints, folds: Ints, seed: int
) -> dict[str, Any]:
    """Returns the figures of both attackers, JSON-ready.

    Point figures come from exact sorted scores, their intervals from scores in 200 bins of
    equal mass. Thresholds maximise balanced accuracy on the other folds' prompts.
    Cost: M n log n, and M P B for the intervals.

    Args:
        scores: (n, M) scores; -inf for models that are no candidates.
        model: (n,) true models.
        prompt: (n,) prompt codes.
        folds: (P,) fold of each prompt.
        seed: seeds the intervals.
    """
    known = np.asarray(np.isfinite(scores).any(axis=0))
    targets = [code for code in np.unique(model).tolist() if known[code]]
    if len(targets) < 2:
        return no_figures("needs images of two models or more")
    fold = folds[prompt]
    return {
        name: _attacker(columns_of(scores, name), targets, model, prompt, fold, seed)
        for name in ATTACKERS
    }


def no_figures(reason: str) -> dict[str, Any]:
    """Returns the figures of neither attacker, with the reason."""
    found: dict[str, Any] = {}
    for name in ATTACKERS:
        found |= {name: None, f"{name}_reason": reason}
    return found


def columns_of(scores: Floats, attacker: str) -> Floats:
    """Returns (M, n) what an attacker scores each image by, for each target.

    Args:
        scores: (n, M) calibrated scores; -inf for models that are no candidates.
        attacker: ``all_known`` (less the best other model's) or ``target_only``.
    """
    if attacker == "target_only":
        return scores.T
    rows, models = scores.shape
    if models < 2:
        return np.full((models, rows), -np.inf, dtype=scores.dtype)
    best = scores.argmax(axis=1)
    at = np.arange(rows)
    highest = scores[at, best]
    rest = scores.copy()
    rest[at, best] = -np.inf
    rivals = np.broadcast_to(highest, (models, rows)).copy()
    rivals[best, at] = rest.max(axis=1)
    with np.errstate(invalid="ignore"):
        gap = scores.T - rivals
    return np.asarray(np.where(np.isnan(gap), -np.inf, gap))


def _attacker(
    columns: Floats,
    targets: list[int],
    model: Ints,
    prompt: Ints,
    fold: Ints,
    seed: int,
) -> dict[str, Any]:
    used, prompt = np.unique(prompt, return_inverse=True)
    counts = resample_counts(len(used), seed).astype(np.float32)

    def figures_of(code: int) -> tuple[Doubles, Doubles, float]:
        column = columns[code]
        order = np.argsort(column, kind="stable")
        ranked, truth, where = column[order], (model == code)[order], prompt[order]
        level = np.cumsum(np.r_[False, ranked[1:] != ranked[:-1]])
        mass = [_counted(level, side, int(level[-1]) + 1) for side in (truth, ~truth)]
        said = _thresholded(ranked, truth, fold[order])
        sides = (said & truth, ~said & ~truth, truth, ~truth)
        sums = [_counted(where, side, len(used)) for side in sides]
        exact = figures(*curves(mass[0], mass[1]), *(one.sum() for one in sums))

        edges = np.unique(ranked[np.linspace(0, len(ranked) - 1, BINS + 1).astype(np.int64)[1:-1]])
        size = len(edges) + 1
        flat = where * size + np.searchsorted(edges, ranked, side="right")
        binned = [
            _counted(flat, side, len(used) * size).reshape(-1, size) for side in (truth, ~truth)
        ]
        return exact, resampled_figures(counts, binned, sums), float((~truth).sum())

    return rates(side_by_side(figures_of, targets), len(used))


def resampled_figures(counts: Mass, binned: list[Doubles], sums: list[Doubles]) -> Doubles:
    """Returns (R, figures) of one target in each resample of its prompts.

    Args:
        counts: (R, P) how often each resample draws each prompt.
        binned: positives and negatives, (P, B) by prompt and bin of ascending score.
        sums: (P,) hits, correct rejections, positives and negatives by prompt.
    """
    drawn = [counts @ one.astype(np.float32) for one in binned]
    totals = [counts @ one.astype(np.float32) for one in sums]
    resampled = figures(*curves(drawn[0], drawn[1]), *totals)
    # a target that a resample leaves out has no figure there
    resampled[totals[2] == 0] = np.nan
    return resampled


def _counted(level: Ints, chosen: Mask, size: int) -> Doubles:
    return np.bincount(level, weights=chosen, minlength=size).astype(np.float64)


def _thresholded(ranked: Floats, truth: Mask, fold: Ints) -> Mask:
    """Returns (n,) whether each score, ascending, passes the other folds' best threshold."""
    said = np.zeros(len(ranked), dtype=bool)
    folds = np.unique(fold)
    for number in folds:
        own = fold == number
        rest = np.ones_like(own) if len(folds) == 1 else ~own
        values, right = ranked[rest][::-1], truth[rest][::-1]
        hits = np.cumsum(right) / max(right.sum(), 1)
        alarms = np.cumsum(~right) / max((~right).sum(), 1)
        last = np.r_[values[1:] != values[:-1], True]
        gain = np.where(last, hits - alarms, -np.inf)
        said[own] = ranked[own] >= values[int(np.argmax(gain))]
    return said


def figures(true: Mass, false: Mass, hit: Any, clear: Any, yes: Any, no: Any) -> Doubles:
    """Returns (..., figures) in the order of ``FIGURES``.

    Args:
        true: (..., B + 1) true positive rates as the threshold falls.
        false: (..., B + 1) false positive rates.
        hit: (...) positives that the threshold of other prompts accepts.
        clear: (...) negatives that it rejects.
        yes: (...) positives.
        no: (...) negatives.
    """
    return np.stack(
        [
            area(true, false),
            equal_error(true, false),
            hits_at(true, false, 0.01),
            hits_at(true, false, 0.001),
            (hit / np.maximum(yes, 1) + clear / np.maximum(no, 1)) / 2,
            (hit + clear) / np.maximum(yes + no, 1),
            no / np.maximum(yes + no, 1),
        ],
        axis=-1,
    )


def rates(by_target: list[tuple[Doubles, Doubles, float]], prompts: int) -> dict[str, Any]:
    """Returns the figures averaged over targets, with intervals, JSON-ready.

    Args:
        by_target: (figures,) over all prompts, (R, figures) resampled, and the number of
            negatives, for each target.
        prompts: number of prompts resampled.
    """
    estimate = np.stack([one for one, _, _ in by_target]).mean(axis=0)
    drawn = np.nanmean(np.stack([one for _, one, _ in by_target]), axis=0)
    negatives = min(one for _, _, one in by_target)
    always_no = float(estimate[FIGURES.index("accuracy_of_always_no")])
    chance = {
        "auc": 0.5,
        "eer": 0.5,
        "tpr_at_fpr_1pct": 0.01,
        "tpr_at_fpr_0_1pct": 0.001,
        "balanced_accuracy": 0.5,
        "accuracy": always_no,
        "accuracy_of_always_no": always_no,
    }
    found: dict[str, Any] = {}
    for index, name in enumerate(FIGURES):
        if negatives * LOW_RATES.get(name, np.inf) < LEAST_FALSE:
            found[name] = None
            found[f"{name}_reason"] = (
                f"{negatives:.0f} images of other models are too few for so low a rate"
            )
            continue
        # bins round the figure; the interval is moved to the exact estimate
        column = drawn[:, index] + (estimate[index] - np.nanmean(drawn[:, index]))
        rate: Rate = interval(float(estimate[index]), column, prompts, chance=chance[name])
        found[name] = rate.to_dict()
    return found
