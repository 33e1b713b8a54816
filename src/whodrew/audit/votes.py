"""Votes beside the images: what identification buys in ranks, and who would be caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.arena.beside import VOTES_FILES
from whodrew.arena.labels import count as counted
from whodrew.arena.labels import listed
from whodrew.arena.model import LAYOUTS
from whodrew.audit.options import AuditOptions
from whodrew.errors import InputError, UsageError
from whodrew.ranking import Ranking, Screen, Votes, influence, rank, read_votes, screen
from whodrew.ranking.cells import cells_of, merged, pairs_of
from whodrew.ranking.confusion import measured
from whodrew.ranking.rank import scored_models
from whodrew.ranking.simulate import simulate

if TYPE_CHECKING:
    from whodrew.audit.result import AttackResult
    from whodrew.audit.sources import Source
    from whodrew.audit.views import Said
    from whodrew.ranking.simulate_result import Manipulation

#: A vote log beside the images has one of these names; the first is taken.
PAIRS: Final = "votes-pairs.parquet"
#: Votes and voters that are listed for each two neighbours.
LISTED: Final = 3
#: Accuracies beside the measured one, at which attacks are simulated; the strategy; how often.
ACCURACIES: Final = (0.2, 0.4, 0.6, 0.8, 1.0)
CLOSE: Final = 0.05
STRATEGIES: Final = ("target-only",)
REPETITIONS: Final = 200
#: A screen by each voter's own votes, and the honest logs it is set by. Rings are left to
#: ``whodrew votes screen``: looking for them takes longer than all the rest.
SCREENED: Final = ("votes",)
LOGS: Final = 100
MOST_SCREENED: Final = 500_000
NONE: Final = "no votes beside the images (votes.parquet, votes.csv, votes.jsonl), and no --votes"


@dataclass(frozen=True)
class VoteLog:
    """A vote log that was looked for.

    Attributes:
        votes: what it holds; ``None`` where there is none, or it cannot be used.
        reason: why there are none.
        failed: whether there is a log that cannot be used.
    """

    votes: Votes | None
    reason: str = NONE
    failed: bool = False


@dataclass(frozen=True)
class VotesResult:
    """What the votes say, as the audit shows it.

    Attributes:
        values: the contract's ``votes``, JSON-ready; ``None`` where there are none.
        reason: why there are none.
        failed: whether a log could not be used, or not all of it.
        tables: tables to write, by file name.
        sentence: for the headline; empty where nothing is to be said.
    """

    values: Mapping[str, Any] | None
    reason: str = NONE
    failed: bool = False
    tables: Mapping[str, pa.Table] = field(repr=False, default_factory=dict)
    sentence: str = ""

    def into(self, values: dict[str, Any]) -> None:
        """Puts them under ``votes``, or null with the reason beside it."""
        values["votes"] = None if self.values is None else dict(self.values)
        if self.values is None:
            values["votes_reason"] = self.reason


def open_log(source: Source, options: AuditOptions, said: Said) -> VoteLog:
    """Reads the vote log that is named, or else the one beside the images.

    Raises:
        InputError: the log that ``--votes`` names cannot be read or ranks nothing.
    """
    if options.votes is not None:
        return VoteLog(_that_rank(options.votes))
    there = beside(source)
    if not there:
        return VoteLog(None)
    file, *others = there
    said(f"votes beside the images: {file.name}")
    if others:
        said(f"left aside: {listed([one.name for one in others])}; --votes names another log")
    try:
        return VoteLog(_that_rank(file))
    except InputError as error:
        reason = f"the votes beside the images are not used: {error}"
        said(reason)
        return VoteLog(None, reason, failed=True)


def _that_rank(file: str | Path) -> Votes:
    """Reads votes that join two models at least, before anything is encoded for them."""
    votes = read_votes(file)
    scored_models(votes, merged(cells_of(votes)[0])[0], [])
    return votes


def beside(source: Source) -> list[Path]:
    """Returns vote logs beside the images; a file that is the arena itself is none."""
    if source.arena is None:
        return []
    given = Path(source.name)
    if given.is_dir():
        # any other folder's tables are its manifests, or may be
        if source.arena.layout not in (*LAYOUTS, "imagefolder"):
            return []
        folder = given
    elif given.is_file():
        folder = given.parent
    else:
        return []
    files = [folder / name for name in VOTES_FILES]
    return [file for file in files if file.is_file() and file != given]


def votes_of(
    log: VoteLog,
    models: Iterable[str],
    attacks: Sequence[AttackResult],
    options: AuditOptions,
    said: Said,
) -> VotesResult:
    """Ranks by the votes, and says what the strongest attack can do to the ranks.

    Args:
        log: as ``open_log`` found it.
        models: of the images.
        attacks: the strongest first.
        options: of the audit.
        said: told what is being done, and notes for people.
    """
    if log.votes is None:
        return VotesResult(None, log.reason, log.failed)
    votes = log.votes
    said("ranking by the votes")
    ranking = rank(votes, seed=options.seed)
    for note in ranking.notes:
        said(f"votes: {note}")
    known = set(models)
    strangers = sorted(set(votes.models) - known)
    if strangers:
        said(f"in the votes but without images: {listed(strangers)}")
    if missing := sorted(known - set(votes.models)):
        said(f"images without votes: {listed(missing)}")
    values: dict[str, Any] = {
        "source": votes.source,
        "without_images": strangers,
        "without_votes": missing,
        "pairs": f"tables/{PAIRS}",
        "ranking": ranking.to_dict(),
    }
    seed = options.seed
    said("looking for the votes that decide ranks")
    _part(values, "influence", lambda: influence(votes, top=LISTED, removals=LISTED, seed=seed))
    said("simulating attacks on the ranks")
    moved = _part(values, "simulate", lambda: _attacked(votes, ranking, attacks, seed))
    said("screening voters")
    _part(values, "screen", lambda: _screened(votes, seed))
    return VotesResult(
        values,
        tables={PAIRS: pair_table(votes)},
        sentence=_sentence(ranking, moved),
    )


class _Result(Protocol):
    def to_dict(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=_Result)


def _part(values: dict[str, Any], name: str, make: Callable[[], R]) -> R | None:
    """Puts a result under ``name``, or null with the reason beside it."""
    try:
        found = make()
    except (InputError, UsageError) as error:
        values[name], values[f"{name}_reason"] = None, str(error)
        return None
    values[name] = found.to_dict()
    return found


def _attacked(
    votes: Votes, ranking: Ranking, attacks: Sequence[AttackResult], seed: int
) -> Manipulation:
    """Simulates the attacker of this audit, and others who identify better and worse.

    A voter sees the images of one battle, so that the strongest attack on images shown alone
    is the one to take, where there is one.

    Raises:
        InputError: some model that is ranked has no images, so that nothing is known of it.
    """
    asked = [one for one in attacks if one.queries]
    alone = [one for one in asked if one.knowledge.shown == "any"] or asked
    if not alone:
        raise InputError("no attack of this audit could be asked about any image")
    leading = alone[0].to_dict()
    keys = ("encoder", "identifier", "canonical", "knowledge", "top1")
    told = {key: leading[key] for key in keys}
    table = alone[0].tables[Path(leading["confusion"]).name]
    if isinstance(table, Path):
        table = pq.read_table(table)
    known = measured(table, ranking.drawn_models, told, "the audit")
    models = len(ranking.drawn_models)
    # what lies below guessing is no accuracy, and close to the measured one it shows nothing
    others: list[str | float] = [
        "chance",
        *(one for one in ACCURACIES if one > 1 / models and abs(one - known.accuracy) >= CLOSE),
    ]
    return simulate(
        votes,
        identified=[known],
        accuracies=others,
        strategies=STRATEGIES,
        repetitions=REPETITIONS,
        factors=(1.0,),
        seed=seed,
    )


def _screened(votes: Votes, seed: int) -> Screen:
    if len(votes) > MOST_SCREENED:
        raise InputError(
            f"an audit screens the voters of {MOST_SCREENED:,} votes at most, here are "
            f"{len(votes):,}: use 'whodrew votes screen'"
        )
    return screen(votes, by=SCREENED, simulations=LOGS, bootstraps=0, seed=seed)


def _sentence(ranking: Ranking, moved: Manipulation | None) -> str:
    """Returns in one sentence what identification buys in ranks."""
    if moved is None:
        return f"By {ranking.votes:,.0f} votes {ranking.leaderboard[0].model} is first."
    found, guessing = moved.curves[:2]
    sure = [one for one in found.needed if one.votes.high is not None]
    one = (sure or list(found.needed))[-1 if sure else 0]
    way = "lift" if moved.aim["direction"] == "up" else "lower"
    what = f"{way} {moved.aim['model']} by {counted(one.ranks, 'rank')}"
    well = f"names {100 * found.identification.accuracy:.0f} % of the images"
    begun = f"Simulated on the {ranking.votes:,.0f} votes, an attacker who {well}"
    if one.votes.value is None:
        return f"{begun} does not {what} within {moved.budget:,} votes."
    within = ""
    if one.votes.low is not None and one.votes.high is not None:
        within = f" (95 % interval {one.votes.low:,.0f} to {one.votes.high:,.0f})"
    guess = next(other for other in guessing.needed if other.ranks == one.ranks).votes.value
    rest = f"with {guess:,.0f}" if guess is not None else f"not within {moved.budget:,}"
    return f"{begun} can {what} with {one.votes.value:,.0f} votes{within}, one who guesses {rest}."


def pair_table(votes: Votes) -> pa.Table:
    """Returns one row a pair of models that met: its votes, whichever was shown first."""
    pairs, _ = pairs_of(merged(cells_of(votes)[0])[0])
    names = votes.models
    return pa.table(
        {
            "model_a": pa.array([names[code] for code in pairs.first.tolist()], pa.string()),
            "model_b": pa.array([names[code] for code in pairs.second.tolist()], pa.string()),
            "wins_a": pairs.wins,
            "wins_b": pairs.losses,
            "ties": pairs.ties,
        }
    )
