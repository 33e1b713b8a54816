"""The job of ``whodrew votes screen``: judge voters, and rank without those who do not pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.errors import InputError, UsageError
from whodrew.ranking.cells import cells_of, merged
from whodrew.ranking.columns import Doubles
from whodrew.ranking.models import check_ties
from whodrew.ranking.rank import BOOTSTRAPS, rank, scored_models
from whodrew.ranking.result import Bounded, Ranking
from whodrew.ranking.screen_battles import battle_p_values
from whodrew.ranking.screen_decide import Told, Verdict, fresh_rate, judged
from whodrew.ranking.screen_evidence import (
    Evidence,
    crowd_of,
    leaning_of,
    suspects_of,
    table_of,
    times_dict,
)
from whodrew.ranking.screen_model import Codes, Flags, Log, log_of
from whodrew.ranking.screen_pools import FEW, Pool, Pools, members, pools_of
from whodrew.ranking.screen_result import NamedRing, Screen, changes_of
from whodrew.ranking.screen_rings import Ring, layout_of
from whodrew.ranking.screen_roc import Power, power_in
from whodrew.ranking.screen_times import Times, far_out, times_of_voters
from whodrew.ranking.votes import Votes, read_votes

FALSE_EXCLUSION: Final = 0.01
MOST_EXCLUDED: Final = 0.1
LEAST_VOTES: Final = 10
BY: Final = ("votes", "rings", "battles", "times", "pools")
#: Probability that any honest voter is far out in its battles, or in a kind of time.
BESIDE_LEVEL: Final = 0.01
_TOO_WIDE: Final = "voters differ from the ranking in more than tastes for models explain"


def screen(  # noqa: PLR0913 - one argument an option of the command
    votes: str | Path | Votes,
    *,
    false_exclusion: float = FALSE_EXCLUSION,
    most_excluded: float = MOST_EXCLUDED,
    least_votes: int = LEAST_VOTES,
    by: Sequence[str] = ("votes", "rings"),
    simulations: int | None = None,
    bootstraps: int = BOOTSTRAPS,
    ties: str = "half",
    ranked: bool = True,
    power: bool = False,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    seed: int = 0,
    told: Told | None = None,
) -> Screen:
    """Judges the voters of a log, and ranks the models without those who do not pass.

    Cost: simulated logs (40 to 200, fewer for more voters) times votes; see docs/screen.md.

    Args:
        votes: a vote log, or votes that were read.
        false_exclusion: share of honest voters that may be excluded, above 0 and below 0.5.
        most_excluded: share of voters, or of votes, above which nobody is excluded.
        least_votes: that a voter needs to be judged.
        by: what excludes: ``votes``, ``rings``, ``battles``, ``times``, ``pools`` (votes of those
            who cannot be judged, where they differ).
        simulations: honest logs that set p-values; by the number of voters if not given.
        bootstraps: of the rankings before and after.
        ties: how these model ties; a screen itself takes Davidson's.
        ranked: also rank before and after.
        power: also simulate attackers, and say how many this screen catches.
        columns: our names to the log's columns; see ``read_votes``.
        skip_bad: count bad rows instead of refusing the log.
        seed: seeds everything.
        told: called with what is done, how much of it, and of how much.

    Raises:
        UsageError: an option that cannot be served.
        InputError: votes that cannot be read, that name no voters, or that rank nothing.
    """
    by = _check(false_exclusion, most_excluded, least_votes, by, simulations, ties)
    if not isinstance(votes, Votes):
        votes = read_votes(votes, columns=columns, skip_bad=skip_bad)
    log, codes = log_of(votes, least_votes)
    if ranked:
        scored_models(votes, merged(cells_of(votes)[0])[0], [])  # before hours of simulations
    assert votes.voter is not None
    notes = list(votes.notes)
    time = None if votes.time is None else votes.time[log.place]
    times = times_of_voters(log, time)
    verdict: Verdict | None = None
    evidence: Evidence | None = None
    rate = Bounded(None, None, None, f"no voter has {least_votes} votes")
    rounds = fresh = 0
    out = np.zeros(log.voters, dtype=bool)
    if log.voters:
        prompt = None if votes.prompt is None else votes.prompt[log.place].astype(np.int64)
        layout = layout_of(log, prompt)
        rings = "rings" in by
        pools = pools_of(log)
        verdict, rules = judged(log, layout, false_exclusion, rings, simulations, seed, told, pools)
        rounds = rules.null.rounds
        rate, fresh = fresh_rate(log, verdict.fitted, rules, by, seed, told)
        beside = _beside(log, time, times, rounds, seed)
        flags = {kind: far_out(p, BESIDE_LEVEL) for kind, p in beside.items()}
        out = _decide(by, verdict, flags)
        evidence = Evidence(
            votes, log, codes, verdict.found, verdict.p_values, verdict.fitted,
            verdict.rings, verdict.by_votes, beside, flags, out,
        )  # fmt: skip
        more = [name for name in by if name in ("battles", "times")]
        if more:
            notes.append(
                f"honest voters excluded by {' and '.join(more)} come on top of the rate: by "
                f"{BESIDE_LEVEL:g} a kind at most for the whole crowd, if the arena chooses "
                "battles and paces vary as a normal distribution"
            )
    else:
        notes.append(f"no voter has {least_votes} votes: nobody can be judged")
    crowd = None
    if verdict is not None:
        crowd = crowd_of(verdict.p_values, out, false_exclusion, rules.tastes, notes)
    if crowd is not None and crowd["varies_more"]:
        rate = Bounded(None, None, None, _TOO_WIDE)
    before = rank(votes, bootstraps=bootstraps, ties=ties, seed=seed) if ranked else None
    known = votes.voter >= 0
    named = len(np.unique(votes.voter[known]))
    gone = np.zeros(len(votes.voters) + 1, dtype=bool)  # -1, nobody, is the last
    gone[codes[out]] = True
    keep = ~gone[votes.voter]
    unjudged: tuple[Pool, ...] = ()
    if verdict is not None and pools is not None:
        unjudged = _pools(votes, log, pools, verdict, "pools" in by, before, ties)
        notes += [one.note() for one in unjudged if one.differs]
        if log.rest:
            notes.append(
                "judged voters do not rank all models, so that votes of all others are in the "
                "honest ranking, and bend it if they are an attacker's"
            )
        for at, one in enumerate(unjudged):
            if one.excluded:
                keep[members(log, pools, at)] = False
    lost = int((~keep).sum())
    gone_voters = int(out.sum()) + sum(one.voters for one in unjudged if one.excluded)
    refused = _refusal(gone_voters, named, lost, len(votes), most_excluded)
    after, why = _after(votes, keep, refused, before, bootstraps, ties, seed)
    return Screen(
        source=votes.source,
        format=votes.format,
        votes=len(votes),
        voters=named,
        judged=log.voters,
        least_votes=least_votes,
        unnamed=int((~known).sum()),
        by=by,
        asked=false_exclusion,
        rounds=rounds,
        false_exclusion=rate,
        fresh_logs=fresh,
        most_excluded=most_excluded,
        refused=refused,
        excluded_voters=gone_voters,
        excluded_votes=lost,
        suspects=() if evidence is None else suspects_of(evidence),
        pools=unjudged,
        rings=() if verdict is None else tuple(_named(one, votes, codes) for one in verdict.rings),
        odd_battles=0 if evidence is None else int(evidence.flags["battles"].sum()),
        times=None if evidence is None else times_dict(times, evidence.flags),
        times_reason=times.reason,
        crowd=crowd,
        before=before,
        after=after,
        after_reason=why,
        without_found=None if refused is None else _changes(votes, keep, before, ties),
        power=_power(log, verdict, rules.tastes.sd, false_exclusion, seed)
        if power and verdict is not None
        else None,
        skipped=votes.skipped,
        bad=votes.bad,
        seed=seed,
        notes=tuple(notes),
        keep=keep if refused is None else np.ones(len(votes), dtype=bool),
        table=table_of(evidence),
    )


def _check(
    level: float, most: float, least: int, by: Sequence[str], simulations: int | None, ties: str
) -> tuple[str, ...]:
    check_ties(ties)
    if not 0 < level < 0.5:
        raise UsageError(f"--false-exclusion is {level:g}: give a share above 0 and below 0.5")
    if not 0 <= most <= 1:
        raise UsageError(f"--most-excluded is {most:g}: give a share from 0 to 1")
    if least < 1:
        raise UsageError(f"--least-votes is {least}: give 1 or more")
    if simulations is not None and simulations < 2:
        raise UsageError(f"--simulations is {simulations}: give 2 or more")
    if not by:
        raise UsageError(f"--by names nothing: give one or more of {', '.join(BY)}")
    for name in by:
        if name not in BY:
            raise UsageError(f"--by is {name!r}: give {', '.join(BY)}")
    return tuple(name for name in BY if name in by)


def _beside(
    log: Log, time: Doubles | None, times: Times, rounds: int, seed: int
) -> dict[str, Doubles]:
    """Returns p-values by kind of evidence that is not in the votes themselves."""
    battles, _ = battle_p_values(log, time, rounds, (seed, 35))
    return {"battles": battles, **times.p_values}


def _decide(by: Sequence[str], verdict: Verdict, flags: Mapping[str, Flags]) -> Flags:
    """Returns (V,) who is excluded."""
    timed = [flag for kind, flag in flags.items() if kind != "battles"]
    none = np.zeros_like(verdict.by_votes)
    parts = {
        "pools": none,  # of nobody who is judged
        "votes": verdict.by_votes,
        "rings": verdict.by_rings,
        "battles": flags["battles"],
        "times": np.any(timed, axis=0) if timed else none,
    }
    return np.asarray(np.any([parts[name] for name in by], axis=0))


def _refusal(out: int, voters: int, lost: int, votes: int, most: float) -> str | None:
    for count, of, what in ((out, voters, "voters"), (lost, votes, "votes")):
        if count > most * of:
            return (
                f"the screen would exclude {count:,} of {of:,} {what} ({100 * count / of:.1f} %), "
                f"more than --most-excluded {most:g}: nobody is excluded; look at the suspects "
                "first"
            )
    return None


def _named(ring: Ring, votes: Votes, codes: Codes) -> NamedRing:
    return NamedRing(
        ring.view,
        ring.statistic,
        ring.p_value,
        None if ring.target is None else votes.models[ring.target],
        ring.up,
        ring.group,
        tuple(votes.voters[codes[at]] for at in ring.members.tolist()),
    )


def _after(
    votes: Votes,
    keep: Flags,
    refused: str | None,
    before: Ranking | None,
    bootstraps: int,
    ties: str,
    seed: int,
) -> tuple[Ranking | None, str | None]:
    """Returns the ranking by the kept votes, or why there is none."""
    if before is None:
        return None, "not asked for"
    if refused is not None:
        return None, "nobody is excluded: the screen refused"
    if keep.all():
        return before, None
    try:
        return rank(votes.take(keep), bootstraps=bootstraps, ties=ties, seed=seed), None
    except InputError as error:
        return None, str(error)


def _power(log: Log, verdict: Verdict, taste: float, level: float, seed: int) -> Power:
    return power_in(log, verdict.fitted, level, seed, taste=taste)


def _changes(
    votes: Votes, keep: Flags, before: Ranking | None, ties: str
) -> list[dict[str, Any]] | None:
    """Returns the ranks that change by the kept votes, or ``None`` where there are none."""
    if before is None:
        return None
    try:
        return changes_of(before, rank(votes.take(keep), bootstraps=0, ties=ties))
    except InputError:
        return None


def _pools(
    votes: Votes,
    log: Log,
    pools: Pools,
    verdict: Verdict,
    excludes: bool,
    before: Ranking | None,
    ties: str,
) -> tuple[Pool, ...]:
    """Returns what is known of the votes of those who are not judged."""
    assert verdict.pools is not None
    assert votes.voter is not None
    seen, chances = verdict.pools, verdict.fitted.chances()
    made = []
    for at, name in enumerate(pools.names):
        mine, differs = members(log, pools, at), bool(seen.differs[at])
        changes = None
        if differs:
            keep = np.ones(len(votes), dtype=bool)
            keep[mine] = False
            changes = _changes(votes, keep, before, ties)
        made.append(
            Pool(
                kind=name,
                voters=len(np.unique(votes.voter[mine])) if name == FEW else 0,
                votes=len(mine),
                p_value=float(seen.p_values[at]),
                **leaning_of(pools.log, at, seen.found, chances, votes.models),
                differs=differs,
                excluded=differs and excludes,
                changes=changes,
            )
        )
    return tuple(made)
