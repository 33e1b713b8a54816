"""The job of ``whodrew votes screen``: judge voters, and rank without those who do not pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from whodrew.errors import InputError, UsageError
from whodrew.ranking.columns import Doubles
from whodrew.ranking.models import check_ties
from whodrew.ranking.rank import BOOTSTRAPS, rank
from whodrew.ranking.result import Bounded, Ranking
from whodrew.ranking.screen_battles import battle_p_values
from whodrew.ranking.screen_decide import Told, Verdict, fresh_rate, judged
from whodrew.ranking.screen_evidence import Evidence, crowd_of, suspects_of, table_of, times_dict
from whodrew.ranking.screen_model import Codes, Flags, Log, log_of
from whodrew.ranking.screen_result import NamedRing, Screen
from whodrew.ranking.screen_rings import Ring, layout_of
from whodrew.ranking.screen_roc import Power, power_in
from whodrew.ranking.screen_times import Times, far_out, times_of_voters
from whodrew.ranking.votes import Votes, read_votes

FALSE_EXCLUSION: Final = 0.01
MOST_EXCLUDED: Final = 0.1
LEAST_VOTES: Final = 10
BY: Final = ("votes", "rings", "battles", "times")
#: Probability that any honest voter is far out in its battles, or in a kind of time.
BESIDE_LEVEL: Final = 0.01


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
        by: what excludes: ``votes``, ``rings``, ``battles``, ``times``.
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
        InputError: votes that cannot be read, or that name no voters.
    """
    by = _check(false_exclusion, most_excluded, least_votes, by, simulations, ties)
    if not isinstance(votes, Votes):
        votes = read_votes(votes, columns=columns, skip_bad=skip_bad)
    log, codes = log_of(votes, least_votes)
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
        verdict, rules = judged(log, layout, false_exclusion, rings, simulations, seed, told)
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
    known = votes.voter >= 0
    named = len(np.unique(votes.voter[known]))
    gone = np.zeros(len(votes.voters) + 1, dtype=bool)  # -1, nobody, is the last
    gone[codes[out]] = True
    keep = ~gone[votes.voter]
    lost = int((~keep).sum())
    refused = _refusal(int(out.sum()), named, lost, len(votes), most_excluded)
    before = rank(votes, bootstraps=bootstraps, ties=ties, seed=seed) if ranked else None
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
        threshold=false_exclusion,
        rounds=rounds,
        false_exclusion=rate,
        fresh_logs=fresh,
        most_excluded=most_excluded,
        refused=refused,
        excluded_voters=int(out.sum()),
        excluded_votes=lost,
        suspects=() if evidence is None else suspects_of(evidence),
        rings=() if verdict is None else tuple(_named(one, votes, codes) for one in verdict.rings),
        odd_battles=0 if evidence is None else int(evidence.flags["battles"].sum()),
        times=None if evidence is None else times_dict(times, evidence.flags),
        times_reason=times.reason,
        crowd=None if verdict is None else crowd_of(verdict.p_values, out, false_exclusion, notes),
        before=before,
        after=after,
        after_reason=why,
        power=_power(log, verdict, false_exclusion, seed) if power else None,
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


def _power(log: Log, verdict: Verdict | None, level: float, seed: int) -> Power | None:
    return None if verdict is None else power_in(log, verdict.fitted, level, seed)
