"""What speaks against each voter, from arrays to entries that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whodrew.ranking.columns import Doubles
from whodrew.ranking.screen_model import Codes, Flags, Honest, Log
from whodrew.ranking.screen_result import Suspect
from whodrew.ranking.screen_rings import Ring
from whodrew.ranking.screen_tastes import Tastes
from whodrew.ranking.screen_times import KINDS, Times, far_out
from whodrew.ranking.screen_votes import Ratios
from whodrew.ranking.votes import Votes

#: Evidence besides votes and rings.
BESIDE: Final = ("battles", *KINDS)
#: Where the crowd's p-values are compared with what the model says.
_BODY: Final = 0.25
_LEAST_CROWD: Final = 20
#: Standard errors from which the crowd is said to vary more than the model.
_FAR: Final = 3.0
#: Probability that any voter of an honest log is said to be beyond doubt (Holm 1979).
CERTAIN: Final = 0.01


@dataclass(frozen=True)
class Evidence:
    """All that is known of V judged voters; arrays are (V,) unless said.

    Attributes:
        votes: the log.
        log: its votes by voter.
        codes: of the voters.
        found: likelihood ratios.
        p_values: of these.
        fitted: the honest ranking.
        rings: with members.
        by_votes: beyond the threshold.
        beside: kind of evidence (``BESIDE``) to p-values, NaN where not judged.
        flags: kind to who is far out.
        out: who is excluded, or would be.
    """

    votes: Votes
    log: Log
    codes: Codes
    found: Ratios
    p_values: Doubles
    fitted: Honest
    rings: tuple[Ring, ...]
    by_votes: Flags
    beside: Mapping[str, Doubles]
    flags: Mapping[str, Flags]
    out: Flags

    def ring(self) -> Codes:
        """Returns the place of each voter's ring, -1 for none."""
        found = np.full(self.log.voters, -1, dtype=np.int64)
        for at, ring in reversed(list(enumerate(self.rings))):
            found[ring.members] = at
        return found


def suspects_of(known: Evidence) -> tuple[Suspect, ...]:
    """Returns the voters that something speaks against, the excluded and most certain first."""
    ring = known.ring()
    against = known.by_votes | (ring >= 0) | known.out
    for flags in known.flags.values():
        against |= flags
    certain = far_out(known.p_values, CERTAIN)
    sizes, chances = known.log.sizes(), known.fitted.chances()
    found = []
    order = np.lexsort((-known.found.ratio, known.p_values, ~known.out))
    for at in order[against[order]].tolist():
        reasons = (
            *(("votes",) if known.by_votes[at] else ()),
            *(("ring",) if ring[at] >= 0 else ()),
            *(kind for kind in BESIDE if kind in known.flags and known.flags[kind][at]),
        )
        beside = {kind: float(p[at]) for kind, p in known.beside.items() if not np.isnan(p[at])}
        found.append(
            Suspect(
                voter=known.votes.voters[known.codes[at]],
                votes=int(sizes[at]),
                p_value=float(known.p_values[at]),
                **leaning_of(known.log, at, known.found, chances, known.votes.models),
                reasons=reasons,
                ring=None if ring[at] < 0 else int(ring[at]),
                excluded=bool(known.out[at]),
                certain=bool(certain[at]),
                beside=beside,
            )
        )
    return tuple(found)


def leaning_of(
    log: Log, voter: int, found: Ratios, chances: Doubles, models: Sequence[str]
) -> dict[str, Any]:
    """Returns the fields of ``Leaning`` of one voter (or pool) of a log."""
    rows = slice(*np.searchsorted(log.voter, [voter, voter + 1]).tolist())
    first, second, said = log.first[rows], log.second[rows], log.outcome[rows]
    target, up = int(found.target[voter]), bool(found.up[voter])
    there = (first == target) | (second == target)
    wanted = np.where((first == target) == up, 0, 1)
    return {
        "ratio": float(found.ratio[voter]),
        "target": models[target],
        "up": up,
        "share": float(found.share[voter]),
        "battles": int(there.sum()),
        "favoured": int((said[there] == wanted[there]).sum()),
        "expected": float(chances[first, second, wanted][there].sum()),
    }


def crowd_of(
    p: Doubles, out: Flags, level: float, tastes: Tastes, notes: list[str]
) -> dict[str, Any] | None:
    """Returns whether the voters who stay vary as the model says, and says where they do not."""
    if tastes.sd:
        notes.append(
            f"voters have tastes of their own: a standard deviation of {tastes.sd:.2f} in log "
            f"odds ({tastes.low:.2f} to {tastes.high:.2f}); thresholds and rates are those of "
            "such voters"
        )
    left = p[~out & (p > level)]
    if len(left) < _LEAST_CROWD:
        return None
    expected = max(_BODY - level, 0.0) / (1 - level)
    share = float((left <= _BODY).mean())
    error = np.sqrt(expected * (1 - expected) / len(left))
    wide = bool(share > expected + _FAR * error)
    if wide:
        notes.append(
            f"voters differ more than a crowd with tastes of its own does: {100 * share:.0f} % "
            f"have a p-value below {_BODY:g} where {100 * expected:.0f} % would; how many honest "
            "voters are excluded is not known"
        )
    return {
        "voters": len(left),
        "below": _BODY,
        "share": share,
        "expected": expected,
        "varies_more": wide,
        "taste_sd": tastes.to_dict(),
    }


def times_dict(times: Times, flags: Mapping[str, Flags]) -> dict[str, Any] | None:
    """Returns what was seen of times, JSON-ready, or ``None`` without p-values."""
    if not times.p_values:
        return None
    judged = times.judged
    return {
        "votes_with_time": times.known,
        "judged": int(judged.sum()),
        "not_judged": int((~judged).sum()),
        "votes_in_busiest_hour_median": float(np.median(times.hour[judged])),
        "gap_seconds_median": float(np.median(times.gap[judged])),
        "far_out": {kind: int(flags[kind].sum()) for kind in KINDS},
    }


def table_of(known: Evidence | None) -> pa.Table:
    """Returns one row a judged voter."""
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    schema = pa.schema(
        [
            ("voter", text), ("votes", whole), ("excluded", pa.bool_()), ("p_value", number),
            ("log_likelihood_ratio", number), ("target", text), ("direction", text),
            ("share", number), ("beyond_holm", pa.bool_()), ("ring", whole),
            *((f"p_{kind}", number) for kind in BESIDE),
        ]
    )  # fmt: skip
    if known is None:
        return schema.empty_table()
    names, models = pa.array(known.votes.voters, text), pa.array(known.votes.models, text)
    ring = known.ring()
    none = np.full(known.log.voters, np.nan)
    columns = [
        names.take(pa.array(known.codes)),
        pa.array(known.log.sizes()),
        pa.array(known.out),
        pa.array(known.p_values),
        pa.array(known.found.ratio),
        models.take(pa.array(known.found.target)),
        pa.array(["against", "for"]).take(pa.array(known.found.up.astype(np.int64))),
        pa.array(known.found.share),
        pa.array(far_out(known.p_values, CERTAIN)),
        pa.array(ring, mask=ring < 0),
        *(pa.array(known.beside.get(kind, none), from_pandas=True) for kind in BESIDE),
    ]
    return pa.table(columns, schema=schema)
