"""The interval of a field's information: bootstrap over prompts, as every interval here.

Each resample is corrected as the estimate is (``information``), and the resamples are centred on
the estimate: drawing prompts with replacement adds a bias of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from whodrew.identify.samples import Ints
from whodrew.leaks.information import Column, Finding, information
from whodrew.measure.intervals import Rate, interval, resample_counts

WORK: Final = 1 << 20


def information_interval(
    column: Column, finding: Finding, model: Ints, prompt: Ints, *, seed: int
) -> Rate:
    """Returns the corrected information with its interval: bootstrap over prompts.

    Args:
        column: the field.
        finding: what ``findings`` says of it.
        model: (N,) codes.
        prompt: (N,) codes.
        seed: seeds the resamples.
    """
    from scipy.sparse import csr_array

    rows = np.flatnonzero(column.value >= 0)
    share = 1.0 if column.sampled else len(rows) / len(model)
    models = int(model.max(initial=0)) + 1
    stratum = np.zeros(len(rows), np.int64)
    if column.stratum is not None:
        _, stratum = np.unique(column.stratum[rows], return_inverse=True)
    top = int(column.value.max(initial=0)) + 1
    kinds, value = np.unique(stratum * top + column.value[rows], return_inverse=True)
    texts, place = np.unique(prompt[rows], return_inverse=True)
    cell = model[rows] * len(kinds) + value
    shape = (len(texts), models * len(kinds))
    counts = csr_array((np.ones(len(rows)), (place, cell)), shape=shape)
    drawn = resample_counts(len(texts), seed)
    room = finding.most - finding.expected
    scale = finding.most / room if room > 1e-9 else 0.0
    resampled = []
    step = max(1, WORK // shape[1])
    for start in range(0, len(drawn), step):
        joint = np.asarray((counts.T @ drawn[start : start + step].T).T)
        tables = joint.reshape(-1, models, len(kinds))
        values = information(tables, kinds // top, int(stratum.max(initial=0)) + 1)
        resampled.append(scale * (share * values - finding.expected))
    spread = np.concatenate(resampled)
    spread += finding.bits - spread.mean()
    most = float(np.log2(max(models, 2)))
    return interval(finding.bits, spread, len(texts), chance=None, bounds=(0.0, most))
