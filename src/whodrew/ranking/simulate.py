"""The job of ``whodrew votes simulate``: the votes an attacker needs to move a rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.arena import BadItem
from whodrew.arena.labels import listed
from whodrew.errors import UsageError
from whodrew.ranking.columns import Doubles
from whodrew.ranking.confusion import (
    Identification,
    above_chance,
    identifications,
    of_accuracy,
    read_audit,
)
from whodrew.ranking.fit import RIDGE
from whodrew.ranking.models import check_ties
from whodrew.ranking.simulate_frontier import Frontier, defended, read_frontier
from whodrew.ranking.simulate_job import MOST, Job
from whodrew.ranking.simulate_log import MOST_VOTES, SPREAD, Log, log_of, model_log
from whodrew.ranking.simulate_paths import Push, expected
from whodrew.ranking.simulate_result import Defended, Manipulation
from whodrew.ranking.simulate_words import headline_of
from whodrew.ranking.voters import spell
from whodrew.ranking.votes import Votes, read_votes

RANKS: Final = (1, 3, 5)
STRATEGIES: Final = ("target-only", "omnipresent")
FACTORS: Final = (0.1, 1.0, 10.0)
SHARES: Final = (0.01, 0.05, 0.1)
REPETITIONS: Final = 1000
#: Default budget: this part of the honest votes, and at least this many.
_BUDGET: Final = 0.2
_LEAST_BUDGET: Final = 1000
_MOST_RANKS: Final = 1_000_000
_MOST_REPETITIONS: Final = 1_000_000
Told = Callable[[str, int, int], None]


def simulate(  # noqa: PLR0913 - one argument an option of the command
    votes: str | Path | Votes | None = None,
    *,
    audit: str | Path | None = None,
    attacks: int = 1,
    identified: Sequence[Identification] = (),
    accuracies: Sequence[str | float] | None = None,
    target: str | None = None,
    rival: str | None = None,
    ranks: Sequence[int] = RANKS,
    strategies: Sequence[str] = STRATEGIES,
    sampling: str = "uniform",
    budget: int | None = None,
    shares: Sequence[float] = SHARES,
    factors: Sequence[float] = FACTORS,
    repetitions: int = REPETITIONS,
    fixed: bool = False,
    frontier: str | Path | None = None,
    honest: int | None = None,
    models: int | None = None,
    spread: float = SPREAD,
    ties: str = "half",
    ridge: float = RIDGE,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    seed: int = 0,
    told: Told | None = None,
) -> Manipulation:
    """Simulates attackers who add votes to an honest log, to move one model's rank.

    Args:
        votes: a vote log, or votes that were read; without one ``honest`` and ``models``.
        audit: ``audit.json`` whose confusions the attacker has; its strongest attacks.
        attacks: how many of them.
        identified: further measured identifications, of the models ranked.
        accuracies: further ones, by share of images named rightly, or ``chance``; errors fall
            as in the first measured one. If not given, those of ``ACCURACIES`` above chance.
        target: model that is to rise; one from the middle of the ranking if neither it nor
            ``rival`` is given.
        rival: model that is to fall.
        ranks: by how many.
        strategies: SPECs of attackers.
        sampling: battles that voters are shown: ``uniform``, ``log``, ``near``.
        budget: votes an attacker may cast; a fifth of the honest ones if not given.
        shares: shares of all votes that are attackers'.
        factors: sizes of the honest log, relative.
        repetitions: how often each is simulated.
        fixed: take the honest log as it is; else it is drawn again in each repetition.
        frontier: ``frontier.json``, for what defences cost the attacker.
        honest: votes of a model of a log.
        models: its models.
        spread: deviation of its scores, log odds.
        ties: as for ``rank``.
        ridge: as for ``rank``.
        columns: as for ``read_votes``.
        skip_bad: as for ``read_votes``.
        seed: seeds everything.
        told: told what is being done, how far it is, and of how many.

    Raises:
        UsageError: an option that cannot be served.
        InputError: votes, audit or frontier that cannot be read or do not fit together.
    """
    _check(ranks, shares, factors, repetitions, budget, strategies, ridge)
    check_ties(ties)
    held = None if frontier is None else read_frontier(frontier)
    specs = list(dict.fromkeys(spell(one) for one in strategies))
    notes: list[str] = []
    skipped: Mapping[str, int] = {}
    bad: tuple[BadItem, ...] = ()
    if votes is None:
        if honest is None or models is None:
            raise UsageError("give a vote log, or a model of one: --honest N --models M")
        log = model_log(honest, models, ties=ties, ridge=ridge, sampling=sampling, spread=spread)
        source = f"a model of a log: {honest:,} votes on {models} models"
    else:
        if honest is not None or models is not None:
            raise UsageError("--honest and --models make a model of a log: give no vote log then")
        if not isinstance(votes, Votes):
            votes = read_votes(votes, columns=columns, skip_bad=skip_bad)
        notes += votes.notes
        log = log_of(votes, ties=ties, ridge=ridge, sampling=sampling, notes=notes)
        source, skipped, bad = votes.source, votes.skipped, votes.bad
    ranks = tuple(sorted(set(ranks)))
    _check_shares(shares, log.votes)
    push, aim = _aim(log, target, rival, ranks, notes)
    budget = budget or max(_LEAST_BUDGET, int(_BUDGET * log.votes))
    known = list(identified)
    if audit is not None:
        known = [*read_audit(audit, log.models, attacks), *known]
    like = known[0].confusion if known else None
    if accuracies is None:
        accuracies = above_chance(len(log.models))
    hows = [*known, *identifications(accuracies, len(log.models), like)]
    if not hows:
        raise UsageError("give how well images are identified: --audit or --accuracy")
    leading = _leading(known, hows)
    job = Job(log, push, budget, repetitions, fixed, seed)
    tell = told or (lambda _what, _done, _total: None)
    sizes = [one for one in factors if one != 1]
    total = len(specs) * len(hows) + len(sizes) + (len(hows) if shares else 0)
    done = 0
    curves = []
    for at, spec in enumerate(specs):
        for number, how in enumerate(hows):
            tell("attacks", done, total)
            curves.append(job.curve(spec, how, (0, at, number)))
            done += 1
    same = curves[hows.index(leading)]
    sized = []
    for factor in factors:
        if factor == 1:
            sized.append(same)
            continue
        tell("attacks", done, total)
        other = Job(
            log.scaled(factor), push, max(1, round(budget * factor)), repetitions, fixed, seed
        )
        sized.append(other.curve(specs[0], leading, (1, len(sized))))
        done += 1
    shared = []
    for number, how in enumerate(hows if shares else []):
        tell("attacks", done, total)
        shared += job.shared(specs[0], how, shares, (2, number))
        done += 1
    tell("attacks", total, total)
    costs = None if held is None else _defended(job, specs[0], held, like, notes)
    order = np.lexsort((np.arange(len(log.models)), -log.point.scores))
    return Manipulation(
        source=source,
        honest_votes=log.votes,
        models=tuple(log.models[code] for code in order.tolist()),
        ties=log.ties,
        ridge=ridge,
        sampling=sampling,
        aim=aim,
        budget=budget,
        repetitions=repetitions,
        intervals=_intervals(repetitions, fixed),
        curves=tuple(curves),
        by_honest_votes=tuple(sized),
        by_share=tuple(shared),
        defended=costs,
        seed=seed,
        headline=headline_of(aim, same, curves, costs),
        notes=tuple(notes),
        skipped=skipped,
        bad=bad,
    )


def _check(
    ranks: Sequence[int],
    shares: Sequence[float],
    factors: Sequence[float],
    repetitions: int,
    budget: int | None,
    strategies: Sequence[str],
    ridge: float,
) -> None:
    """Refuses options out of range.

    Raises:
        UsageError: one is.
    """
    if not ranks or not 1 <= min(ranks) <= max(ranks) <= _MOST_RANKS:
        raise UsageError(f"--ranks takes 1 or more, and at most {_MOST_RANKS:,}")
    if any(not 0 < one < 1 for one in shares):
        raise UsageError("--share takes shares of all votes, above 0 and below 1: 0.05")
    if any(not 0 < one < 1e6 for one in factors):
        raise UsageError("--factor takes sizes of the log above 0, relative to it: 0.1")
    if not 1 <= repetitions <= _MOST_REPETITIONS:
        raise UsageError(f"--repetitions takes 1 or more, and at most {_MOST_REPETITIONS:,}")
    if budget is not None and not 1 <= budget <= MOST_VOTES:
        raise UsageError(f"--budget takes 1 or more, and at most {MOST_VOTES:,} votes")
    if not np.isfinite(ridge) or ridge < 0:
        raise UsageError("--ridge takes 0 or more")
    if not strategies:
        raise UsageError("give a strategy")


def _check_shares(shares: Sequence[float], votes: float) -> None:
    """Refuses shares that are more votes than can be counted.

    Raises:
        UsageError: one is.
    """
    for one in shares:
        if one / (1 - one) * votes > 1000 * MOST_VOTES:
            raise UsageError(
                f"--share is {one}: that is more than {1000 * MOST_VOTES:,} votes, give less"
            )


def _aim(
    log: Log, target: str | None, rival: str | None, ranks: tuple[int, ...], notes: list[str]
) -> tuple[Push, dict[str, Any]]:
    """Returns which model is moved, by code and for people.

    Raises:
        UsageError: both are given, or a model that has no score.
    """
    if target is not None and rival is not None:
        raise UsageError("--target rises or --rival falls: give one of them")
    name, up = (target, True) if rival is None else (rival, False)
    if name is None:
        M = len(log.models)
        place = min(M, max(max(ranks) + 1, (M + 2) // 2))
        order = np.lexsort((np.arange(M), -log.point.scores))
        name = log.models[int(order[place - 1])]
        notes.append(f"no --target: {name!r} is taken, of rank {place} of {M}")
    elif name not in log.models:
        import difflib

        near = difflib.get_close_matches(name, log.models, n=3, cutoff=0.4)
        hint = f"did you mean {listed(near)}?" if near else f"ranked are {listed(log.models)}"
        option = "--target" if up else "--rival"
        raise UsageError(f"{option} {name!r} is none of the models that have a score: {hint}")
    code = log.models.index(name)
    aim = {
        "model": name,
        "direction": "up" if up else "down",
        "rank": int(log.ranks[code]),
        "score": float(log.point.scores[code]),
        "given": target is not None or rival is not None,
    }
    return Push(code, up, ranks), aim


def _leading(known: list[Identification], hows: list[Identification]) -> Identification:
    """Returns the measured identification, or else the best that is not perfect."""
    if known:
        return known[0]
    short = [one for one in hows if one.accuracy < 1 - 1e-9]
    return max(short or hows, key=lambda one: one.accuracy)


def _intervals(repetitions: int, fixed: bool) -> str:
    what = (
        "the attack is random, the honest log as it is"
        if fixed
        else "the honest log is drawn again (battles, with replacement), and the attack is random"
    )
    return f"median and 95 % of {repetitions} repetitions: {what}"


def _defended(
    job: Job, spec: str, frontier: Frontier, like: Doubles | None, notes: list[str]
) -> tuple[Defended, ...]:
    M = len(job.log.models)
    chance = frontier.chance
    if chance is not None and abs(chance - 1 / M) > 1e-6:
        notes.append(
            f"the frontier's accuracies are among {1 / chance:.0f} models, the votes rank "
            f"{M}: they are taken as they are"
        )
    most = max(MOST * job.log.votes, job.budget) * 100

    def needs(accuracy: float) -> Doubles:
        how = of_accuracy(accuracy, M, like)
        found = np.full(len(job.push.ranks), np.inf)
        for at, number in enumerate(job.push.ranks):
            share, _ = job.share(spec, how, number)
            one = Push(job.push.model, job.push.up, (number,))
            found[at] = expected(job.log, share, one, most)[0]
        return found

    return defended(frontier, needs, job.push.ranks, chance=1 / M, seed=job.seed)
