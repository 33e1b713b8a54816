"""What predicts how much a prompt gives away: length, categories, looks of its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whodrew.arena import Arena, ImageError, decode, iter_bytes
from whodrew.identify.samples import Ints
from whodrew.measure.intervals import RESAMPLES, Doubles, interval, resample_counts

PERMUTATIONS: Final = 9999
LEAST: Final = 5
MOST_IMAGES: Final = 600
LOOKS: Final = ("brightness", "contrast", "saturation", "detail")
_SIDE: Final = 128


@dataclass(frozen=True)
class Predictor:
    """One thing that may predict the leak of a prompt.

    Attributes:
        name: ``words``, ``characters``, a column of ``prompts.csv``, or a look of the images.
        kind: ``number`` or ``category``.
        value: Spearman's correlation, or the share of variance between categories.
        low: lower end of its 95 % interval, or ``None``.
        high: upper end.
        p_value: of a permutation test, two-sided.
        p_holm: the same, corrected for all predictors asked (Holm 1979).
        prompts: prompts it is known of.
        groups: categories, with the difference of each to the other prompts.
        reason: why a part is missing.
    """

    name: str
    kind: str
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None
    prompts: int
    groups: tuple[Mapping[str, Any], ...] = ()
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values, a missing part with its reason beside it."""
        values: dict[str, Any] = {
            "predictor": self.name,
            "kind": self.kind,
            "statistic": "spearman" if self.kind == "number" else "eta squared",
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "prompts": self.prompts,
        }
        for name in ("value", "low", "high", "p_value", "p_holm"):
            if values[name] is None:
                values[f"{name}_reason"] = self.reason or "the groups have the intervals"
        if self.kind == "category":
            values["groups"] = [dict(group) for group in self.groups]
        return values


def predictors_of(
    leak: Doubles,
    numbers: Mapping[str, Doubles],
    categories: Mapping[str, Sequence[str | None]],
    seed: int,
) -> tuple[Predictor, ...]:
    """Tests every predictor, the most significant first.

    Args:
        leak: (P,) what each prompt gives away.
        numbers: name to (P,) values, NaN where unknown.
        categories: name to P labels, ``None`` where unknown.
        seed: seeds permutations and resamples.
    """
    found = [_number(name, values, leak, seed) for name, values in numbers.items()]
    found += [_category(name, labels, leak, seed) for name, labels in categories.items()]
    tested = sorted(
        (one for one in found if one.p_value is not None), key=lambda one: one.p_value or 0
    )
    corrected: dict[str, float] = {}
    floor = 0.0
    for place, one in enumerate(tested):
        floor = max(floor, min(1.0, (one.p_value or 0.0) * (len(tested) - place)))
        corrected[one.name] = floor
    marked = [Predictor(**{**_fields(one), "p_holm": corrected.get(one.name)}) for one in found]
    return tuple(
        sorted(marked, key=lambda one: (one.p_value is None, one.p_value or 0.0, one.name))
    )


def _fields(one: Predictor) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def _missing(name: str, kind: str, prompts: int, reason: str) -> Predictor:
    return Predictor(name, kind, None, None, None, None, None, prompts, (), reason)


def _number(name: str, values: Doubles, leak: Doubles, seed: int) -> Predictor:
    """Spearman 1904, its interval by resampled prompts, p by permuted leaks."""
    from scipy.stats import rankdata

    known = np.isfinite(values) & np.isfinite(leak)
    x, y = values[known], leak[known]
    if len(x) < LEAST:
        return _missing(name, "number", len(x), f"{len(x)} prompts are too few, {LEAST} are needed")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return _missing(name, "number", len(x), "it is the same for all prompts")
    a, b = (_standard(rankdata(one)) for one in (x, y))
    value = float(a @ b)
    rng = np.random.default_rng([seed, 12])
    permuted = rng.permuted(np.tile(b, (PERMUTATIONS, 1)), axis=1) @ a
    p = (1 + int((np.abs(permuted) >= abs(value) - 1e-12).sum())) / (1 + PERMUTATIONS)
    picks = rng.integers(len(x), size=(RESAMPLES, len(x)))
    one, other = (_standard(rankdata(part[picks], axis=1)) for part in (x, y))
    drawn = np.where(_flat(x[picks]) | _flat(y[picks]), np.nan, (one * other).sum(axis=1))
    rate = interval(value, drawn, len(x), chance=0.0, bounds=(-1.0, 1.0))
    return Predictor(name, "number", value, rate.low, rate.high, p, None, len(x))


def _flat(values: Doubles) -> Any:
    return np.ptp(values, axis=1) == 0


def _standard(ranks: Doubles) -> Doubles:
    centred = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=-1, keepdims=True))
    return np.asarray(centred / np.where(length > 0, length, 1.0))


def _category(name: str, labels: Sequence[str | None], leak: Doubles, seed: int) -> Predictor:
    """The share of variance between categories; p by permuted leaks."""
    known = np.array([label is not None for label in labels]) & np.isfinite(leak)
    y = leak[known]
    given = np.array([str(labels[at]) for at in np.flatnonzero(known).tolist()])
    names, code = np.unique(given, return_inverse=True)
    count = np.bincount(code)
    if len(y) < LEAST:
        reason = f"{len(y)} prompts are too few, {LEAST} are needed"
        return _missing(name, "category", len(y), reason)
    if len(names) < 2 or (count > 1).sum() < 2:
        reason = "it needs two categories of two prompts or more"
        return _missing(name, "category", len(y), reason)
    if np.ptp(y) == 0:
        return _missing(name, "category", len(y), "all prompts leak the same")
    member = np.eye(len(names))[code]
    total = ((y - y.mean()) ** 2).sum()

    def share(values: Doubles) -> Doubles:
        means = values @ member / count
        return np.asarray(((means - y.mean()) ** 2 * count).sum(axis=-1) / total)

    value = float(share(y))
    rng = np.random.default_rng([seed, 13])
    permuted = share(rng.permuted(np.tile(y, (PERMUTATIONS, 1)), axis=1))
    p = (1 + int((permuted >= value - 1e-12).sum())) / (1 + PERMUTATIONS)
    groups = tuple(_group(str(names[at]), code == at, y, seed) for at in range(len(names)))
    return Predictor(name, "category", value, None, None, p, None, len(y), groups)


def _group(name: str, inside: Any, leak: Doubles, seed: int) -> Mapping[str, Any]:
    """Returns the mean of a category less that of the other prompts, resampled within both."""
    mean, other = float(leak[inside].mean()), float(leak[~inside].mean())
    values: dict[str, Any] = {
        "category": name,
        "prompts": int(inside.sum()),
        "mean": mean,
        "difference": mean - other,
        "low": None,
        "high": None,
    }
    if min(inside.sum(), (~inside).sum()) < LEAST:
        values["low_reason"] = values["high_reason"] = (
            f"an interval needs {LEAST} prompts inside and outside"
        )
        return values
    drawn = [
        resample_counts(len(part), seed) @ part / len(part)
        for part in (leak[inside], leak[~inside])
    ]
    fewest = int(min(inside.sum(), (~inside).sum()))
    rate = interval(
        mean - other, drawn[0] - drawn[1], fewest, chance=0.0, bounds=(-math.inf, math.inf)
    )
    return {**values, "low": rate.low, "high": rate.high}


def columns_of(
    prompt_ids: Sequence[str],
    texts: Mapping[str, str],
    attributes: Mapping[str, Mapping[str, str]],
) -> tuple[dict[str, Doubles], dict[str, list[str | None]], list[str]]:
    """Returns numbers and categories known of the prompts, and notes on columns not used.

    Lengths are those of the texts; a further column of ``prompts.csv`` is a number where all
    its cells are, else a category where at least two of its values repeat.
    """
    numbers: dict[str, Doubles] = {}
    categories: dict[str, list[str | None]] = {}
    notes = []
    if any(name in texts for name in prompt_ids):
        nothing = math.nan
        words = [len(texts[one].split()) if one in texts else nothing for one in prompt_ids]
        letters = [len(texts[one]) if one in texts else nothing for one in prompt_ids]
        numbers |= {"words": np.array(words, float), "characters": np.array(letters, float)}
    columns = sorted({name for some in attributes.values() for name in some})
    for column in columns:
        cells = [attributes.get(one, {}).get(column) for one in prompt_ids]
        given = [cell for cell in cells if cell is not None]
        values = [_as_number(cell) for cell in cells]
        counts = {cell: given.count(cell) for cell in given}
        if len(counts) > 2 and all(math.isfinite(_as_number(cell)) for cell in given):
            numbers[column] = np.array(values)
        elif sum(number > 1 for number in counts.values()) > 1:
            categories[column] = cells
        else:
            notes.append(f"column {column!r} of the prompts is neither a number nor a category")
    return numbers, categories, notes


def _as_number(cell: str | None) -> float:
    try:
        return float(cell) if cell is not None else math.nan
    except ValueError:
        return math.nan


def looks_of(arena: Arena, prompt_ids: Sequence[str], seed: int) -> dict[str, Doubles]:
    """Returns brightness, contrast, saturation and detail of each prompt's images.

    Means over up to eight images a prompt, 600 in all, spread over its models by a seeded
    draw, at 128 pixels: mean and deviation of luma, mean range of the three channels, mean
    step between neighbours. Images that cannot be read are bad items of the audit already.
    """
    each = int(np.clip(MOST_IMAGES // max(len(prompt_ids), 1), 1, 8))
    place = {name: code for code, name in enumerate(prompt_ids)}
    code = np.array([place.get(name, -1) for name in arena.images["prompt_id"].to_pylist()])
    rng = np.random.default_rng([seed, 14])
    rows: list[int] = []
    for prompt in range(len(prompt_ids)):
        there = np.flatnonzero(code == prompt)
        rows += np.sort(rng.permutation(there)[:each]).tolist()
    sums, count = np.zeros((len(LOOKS), len(prompt_ids))), np.zeros(len(prompt_ids))
    chosen: Ints = np.array(rows, dtype=np.int64)
    for at, data in iter_bytes(arena.take(chosen.tolist()).images):
        if isinstance(data, ImageError):
            continue
        try:
            image = decode(data).image.resize((_SIDE, _SIDE))
        except ImageError:
            continue
        sums[:, code[chosen[at]]] += _looks(np.asarray(image, dtype=np.float64) / 255)
        count[code[chosen[at]]] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return dict(zip(LOOKS, sums / count, strict=True))


def _looks(pixels: Doubles) -> tuple[float, float, float, float]:
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    steps = np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean()
    return (
        float(luma.mean()),
        float(luma.std()),
        float(np.ptp(pixels, axis=2).mean()),
        float(steps / 2),
    )
