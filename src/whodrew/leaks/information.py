"""How much a field tells about the model: mutual information, tested by permutation.

- **Plug-in** mutual information I in bits of the field's value and the model; of a field that
  only files of one format have, within each format and weighted by its share.
- **Null**: models are permuted within prompts (and formats). Whole cells (model, prompt)
  change their labels, for generations of one cell may share what befell them.
- **p-value** (1 + #{I* ≥ I}) / (1 + permutations), Phipson and Smyth (2010). A field that
  clearly tells nothing is given up after 30 permutations that reach it (Besag and Clifford,
  1991).
- **Bias**: the mean E of the permutations is taken off, and what is left scaled so that a
  perfect field stays perfect: (I - E) · H / (H - E), H the smaller of the entropies of model
  and value; the adjusted mutual information of Vinh, Epps and Bailey (2010), in bits.
- **Holm's** step-down over the fields that take more than one value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.identify.samples import Ints
from whodrew.measure.intervals import Doubles

PERMUTATIONS: Final = 4999
LEVEL: Final = 0.01
#: Units that are permuted for the p-value; of larger arenas whole prompts are drawn.
MOST_UNITS: Final = 20_000
_FOR_MEAN: Final = 199
_REACHED: Final = 30
_WORK: Final = 1 << 20
_SLACK: Final = 1e-9


@dataclass(frozen=True)
class Column:
    """One field of N images.

    Attributes:
        name: of the field.
        value: (N,) codes, -1 where an image cannot have the field or was not looked at.
        texts: what each code stands for.
        stratum: (N,) codes of the format, where the field has a meaning only within one.
        sampled: whether -1 means that an image was not looked at, rather than that its format
            has no such field.
    """

    name: str
    value: Ints
    texts: tuple[str, ...]
    stratum: Ints | None = None
    sampled: bool = False


@dataclass(frozen=True)
class Finding:
    """What one field tells.

    Attributes:
        name: of the field.
        bits: corrected mutual information, at least 0.
        p_value: of the permutation test.
        plain: plug-in mutual information, uncorrected.
        expected: what permutations give on average.
        most: the entropy that bounds it.
    """

    name: str
    bits: float
    p_value: float
    plain: float
    expected: float
    most: float


def x_log_x(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns x · log2(x), 0 at 0."""
    return values * np.log2(np.where(values > 0, values, 1.0))


def corrected(plain: float, expected: float, most: float) -> float:
    """Returns the adjusted mutual information in bits, at least 0."""
    room = most - expected
    if room <= _SLACK:
        return 0.0
    return max((plain - expected) * most / room, 0.0)


@dataclass(frozen=True)
class _Table:
    """A column as counts of units, whose labels are permuted.

    Attributes:
        unit, value, count: (T,) which unit shows which value how often.
        values: V; values of different strata are different.
        stratum_of: (V,) stratum of each value.
    """

    unit: Ints
    value: Ints
    count: Doubles
    values: int
    stratum_of: Ints

    def information(self, labels: Ints, models: int, strata: int) -> Doubles:
        """Returns (B,) plug-in mutual information in bits under B labellings.

        Args:
            labels: (B, U) model code of each unit.
            models: M.
            strata: S.
        """
        runs = len(labels)
        cell = labels[:, self.unit] * self.values + self.value
        cell += np.arange(runs)[:, None] * (models * self.values)
        weights = np.broadcast_to(self.count, cell.shape).ravel()
        size = runs * models * self.values
        table = np.bincount(cell.ravel(), weights=weights, minlength=size).astype(np.float64)
        joint = table.reshape(runs, models, self.values)
        return information(joint, self.stratum_of, strata)


def information(joint: Doubles, stratum_of: Ints, strata: int) -> Doubles:
    """Returns (B,) plug-in conditional mutual information in bits of B tables.

    Args:
        joint: (B, M, V) counts.
        stratum_of: (V,) stratum of each value.
        strata: S.
    """
    member = (stratum_of[:, None] == np.arange(strata)).astype(np.float64)
    rows = joint @ member
    columns = joint.sum(axis=1)
    whole = columns @ member
    total = whole.sum(axis=1)
    terms = x_log_x(joint).sum(axis=(1, 2)) - x_log_x(rows).sum(axis=(1, 2))
    terms += x_log_x(whole).sum(axis=1) - x_log_x(columns).sum(axis=1)
    return np.asarray(np.maximum(terms, 0.0) / np.where(total > 0, total, 1.0))


def _most(joint: Doubles, stratum_of: Ints, strata: int) -> float:
    """Returns min(H(model), H(value)) within strata, in bits, of one (M, V) table."""
    member = (stratum_of[:, None] == np.arange(strata)).astype(np.float64)
    rows, columns = joint @ member, joint.sum(axis=0)
    whole = columns @ member
    base = x_log_x(whole).sum()
    entropies = base - x_log_x(rows).sum(), base - x_log_x(columns).sum()
    return float(min(entropies) / whole.sum())


@dataclass(frozen=True)
class _Units:
    """What is permuted: cells of the rows that a column speaks of.

    Attributes:
        of_row: (n,) unit of each row.
        label: (U,) model of each unit.
        group: (U,) units that may change labels: those of one prompt and stratum.
        prompt: (U,) prompt of each unit.
    """

    of_row: Ints
    label: Ints
    group: Ints
    prompt: Ints


def _units(model: Ints, prompt: Ints, stratum: Ints, models: int) -> _Units:
    _, group = np.unique(prompt * (stratum.max(initial=0) + 1) + stratum, return_inverse=True)
    key, first, of_row = np.unique(group * models + model, return_index=True, return_inverse=True)
    return _Units(of_row, key % models, key // models, prompt[first])


def orders(group: Ints, label: Ints) -> float:
    """Returns log10 of how many different labellings the permutations within groups give."""
    from scipy.special import gammaln

    _, sizes = np.unique(group, return_counts=True)
    _, same = np.unique(group * (label.max(initial=0) + 1) + label, return_counts=True)
    return float((gammaln(sizes + 1).sum() - gammaln(same + 1).sum()) / np.log(10))


def _labellings(units: _Units, rng: np.random.Generator, runs: int) -> Ints:
    """Returns (runs, U) labels, permuted within groups."""
    order = np.argsort(units.group, kind="stable")
    _, start, size = np.unique(units.group[order], return_index=True, return_counts=True)
    labels = np.empty((runs, len(order)), dtype=np.int64)
    for length in np.unique(size):
        places = order[start[size == length][:, None] + np.arange(length)]
        turns = rng.random((runs, *places.shape)).argsort(axis=2)
        here = np.broadcast_to(units.label[places], turns.shape)
        labels[:, places] = np.take_along_axis(here, turns, axis=2)
    return labels


def _table(column: Column, rows: Ints, units: _Units, stratum: Ints) -> _Table:
    top = int(column.value.max(initial=0)) + 1
    kinds, value = np.unique(stratum * top + column.value[rows], return_inverse=True)
    shown, count = np.unique(units.of_row * len(kinds) + value, return_counts=True)
    return _Table(
        shown // len(kinds), shown % len(kinds), count.astype(np.float64), len(kinds), kinds // top
    )


def _fewer(units: _Units, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Returns which units to keep so that whole prompts give about ``MOST_UNITS``."""
    prompts = rng.permutation(np.unique(units.prompt))
    sizes = np.bincount(units.prompt)[prompts]
    kept = prompts[: max(1, int(np.searchsorted(np.cumsum(sizes), MOST_UNITS)))]
    return np.isin(units.prompt, kept)


def _only(tables: list[_Table], keep: npt.NDArray[np.bool_]) -> list[_Table]:
    place = np.cumsum(keep) - 1
    return [
        _Table(
            unit=place[one.unit[kept]],
            value=one.value[kept],
            count=one.count[kept],
            values=one.values,
            stratum_of=one.stratum_of,
        )
        for one in tables
        for kept in [keep[one.unit]]
    ]


def _blocks(
    units: _Units, tables: Sequence[_Table], models: int, runs: int, rng: np.random.Generator
) -> Iterator[Ints]:
    widest = max([len(units.label), *(max(len(one.unit), models * one.values) for one in tables)])
    size = int(np.clip(_WORK // max(widest, 1), 1, 250))
    for start in range(0, runs, size):
        yield _labellings(units, rng, min(size, runs - start))


def findings(
    columns: Sequence[Column],
    model: Ints,
    prompt: Ints,
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> list[Finding]:
    """Tests fields of N images against their models.

    Args:
        columns: the fields.
        model: (N,) codes from 0.
        prompt: (N,) codes from 0.
        seed: seeds the permutations.
        permutations: how many at most.

    Returns:
        One finding for each column that takes more than one value where it can be seen; the
        others tell nothing and are left out.
    """
    models = int(model.max(initial=0)) + 1
    shared: dict[bytes, list[Column]] = {}
    for column in columns:
        key = (column.value >= 0).tobytes()
        if column.stratum is not None:
            key += column.stratum.tobytes()
        shared.setdefault(key, []).append(column)
    found: dict[str, Finding] = {}
    for number, some in enumerate(shared.values()):
        rows = np.flatnonzero(some[0].value >= 0)
        if len(rows) == 0:
            continue
        stratum = np.zeros(len(rows), np.int64)
        if some[0].stratum is not None:
            _, stratum = np.unique(some[0].stratum[rows], return_inverse=True)
        strata = int(stratum.max()) + 1
        units = _units(model[rows], prompt[rows], stratum, models)
        tables = [_table(column, rows, units, stratum) for column in some]
        telling = [at for at, one in enumerate(tables) if one.values > strata]
        rng = np.random.default_rng([seed, number, 17])
        tested = _tested(units, [tables[at] for at in telling], models, strata, permutations, rng)
        for at, (plain, expected, most, p_value) in zip(telling, tested, strict=True):
            share = 1.0 if some[at].sampled else len(rows) / len(model)
            found[some[at].name] = Finding(
                some[at].name,
                share * corrected(plain, expected, most),
                p_value,
                share * plain,
                share * expected,
                share * most,
            )
    return [found[column.name] for column in columns if column.name in found]


def _tested(
    units: _Units,
    tables: list[_Table],
    models: int,
    strata: int,
    permutations: int,
    rng: np.random.Generator,
) -> list[tuple[float, float, float, float]]:
    """Returns (plug-in, expected, bound, p-value) of each table."""
    if not tables:
        return []
    plain = [float(one.information(units.label[None], models, strata)[0]) for one in tables]
    most = []
    for one in tables:
        cell = units.label[one.unit] * one.values + one.value
        joint = np.bincount(cell, weights=one.count, minlength=models * one.values).astype(float)
        most.append(_most(joint.reshape(models, one.values), one.stratum_of, strata))
    sums = np.zeros(len(tables))
    runs = 0
    small, among, actual = tables, units, np.array(plain)
    if len(units.label) > MOST_UNITS:
        for labels in _blocks(units, tables, models, min(_FOR_MEAN, permutations), rng):
            runs += len(labels)
            sums += [one.information(labels, models, strata).sum() for one in tables]
        keep = _fewer(units, rng)
        small = _only(tables, keep)
        among = _Units(
            np.empty(0, np.int64), units.label[keep], units.group[keep], units.prompt[keep]
        )
        actual = np.array(
            [float(one.information(among.label[None], models, strata)[0]) for one in small]
        )
    means = sums / max(runs, 1) if runs else np.full(len(tables), np.nan)
    reached, tried = np.zeros(len(tables), np.int64), np.zeros(len(tables), np.int64)
    totals = np.zeros(len(tables))
    for labels in _blocks(among, small, models, permutations, rng):
        open_ = np.flatnonzero(reached < _REACHED)
        if len(open_) == 0:
            break
        for at in open_:
            values = small[at].information(labels, models, strata)
            reached[at] += int((values >= actual[at] - _SLACK).sum())
            tried[at] += len(labels)
            totals[at] += values.sum()
    means = np.where(np.isnan(means), totals / np.maximum(tried, 1), means)
    p_values = (1 + reached) / (1 + tried)
    return list(zip(plain, means.tolist(), most, p_values.tolist(), strict=True))


def significant(found: Sequence[Finding], level: float = LEVEL) -> list[Finding]:
    """Returns the findings that Holm's procedure keeps, most telling first."""
    kept = []
    for place, one in enumerate(sorted(found, key=lambda one: one.p_value)):
        if one.p_value * (len(found) - place) > level:
            break
        kept.append(one)
    return sorted(kept, key=lambda one: (-one.bits, one.name))
