"""What the columns of vote logs are called, and what their labels mean.

Sources: lmarena's data sets and arena-rank (``model_a, model_b, winner``); FastChat's and
GenAI-Arena's ``clean_battle_data.py`` (cleaned and raw logs); imgsys.org's
``calculate_elo.py`` (``preference``: 0 is model_a, 1 is model_b, and what is neither is a
tie); Rapidata's and Pick-a-Pic's data cards (votes or labels of both images); evalica's
command line (``left, right, winner``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from whodrew.arena.labels import listed
from whodrew.errors import InputError, UsageError

#: Outcomes, as codes.
FIRST, SECOND, TIE, BOTH_BAD, UNKNOWN, MISSING = 0, 1, 2, 3, 4, 5
OUTCOMES: Final = ("model_a", "model_b", "tie", "both_bad")

_MEANINGS: Final[Mapping[int, tuple[str, ...]]] = {
    FIRST: ("model_a", "left", "a", "leftvote"),
    SECOND: ("model_b", "right", "b", "rightvote"),
    TIE: ("tie", "draw", "tievote"),
    BOTH_BAD: ("both_bad", "tie (bothbad)", "bothbad", "bothbad_vote", "both bad"),
}
#: Label, in lower case, to outcome. No other label is taken for anything.
LABELS: Final[Mapping[str, int]] = {
    label: code for code, labels in _MEANINGS.items() for label in labels
}
#: imgsys.org's ``preference``.
PREFERENCES: Final[Mapping[float, int]] = {0.0: FIRST, 1.0: SECOND, 0.5: TIE, 2.0: TIE}

#: Our names and what their columns go by, in every format.
_OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "voter": ("voter", "judge", "user", "user_id", "voter_id", "ip", "client_ip"),
    "timestamp": ("timestamp", "tstamp", "created_at", "time"),
    "prompt_id": ("prompt_id", "promptid"),
    "prompt": ("prompt", "prompt_text"),
    "anonymous": ("anony", "anonymous"),
    "weight": ("weight",),
}
NAMES: Final = ("model_a", "model_b", "winner", "votes_a", "votes_b", *_OTHERS)


@dataclass(frozen=True)
class _Format:
    """A known kind of vote log: our names to its columns."""

    name: str
    columns: Mapping[str, str]


_KNOWN: Final = (
    _Format("fastchat-raw", {"winner": "type", "models": "models"}),
    _Format("imgsys", {"model_a": "model_a", "model_b": "model_b", "preference": "preference"}),
    _Format("lmarena", {"model_a": "model_a", "model_b": "model_b", "winner": "winner"}),
    _Format("evalica", {"model_a": "left", "model_b": "right", "winner": "winner"}),
    _Format(
        "rapidata",
        {
            "model_a": "model1",
            "model_b": "model2",
            "votes_a": "votes_image1",
            "votes_b": "votes_image2",
        },
    ),
    _Format(
        "rapidata",
        {
            "model_a": "model1",
            "model_b": "model2",
            "votes_a": "weighted_results_image1_preference",
            "votes_b": "weighted_results_image2_preference",
        },
    ),
    _Format(
        "pick-a-pic",
        {"model_a": "model_0", "model_b": "model_1", "votes_a": "label_0", "votes_b": "label_1"},
    ),
)


@dataclass(frozen=True)
class Plan:
    """How a vote log is read.

    Attributes:
        name: of the format.
        columns: our names to its columns; ``preference``, ``models`` and ``states`` too.
    """

    name: str
    columns: Mapping[str, str]


def plan_of(names: Sequence[str], given: Mapping[str, str], file: str) -> Plan:
    """Says how a vote log with these columns is read.

    Args:
        names: its columns.
        given: our names to its columns, which override those they go by.
        file: what errors call it.

    Raises:
        InputError: it lacks columns; the message lists what was found.
        UsageError: ``given`` names what there is not.
    """
    for ours, theirs in given.items():
        if theirs not in names:
            raise InputError(
                f"{file} has no column {theirs!r} for {ours}: found {listed(names, 12)}"
            )
    spelled = {name.strip().casefold(): name for name in reversed(names)}
    others = {
        ours: spelled[known]
        for ours, choices in _OTHERS.items()
        for known in reversed(choices)
        if known in spelled
    }
    for known in _KNOWN:
        if known.name == "fastchat-raw" and given:
            continue
        found = {
            ours: given.get(ours) or spelled.get(theirs) for ours, theirs in known.columns.items()
        }
        if all(found.values()):
            columns = {ours: str(theirs) for ours, theirs in found.items()}
            name = known.name
            if name == "fastchat-raw" and "states" in spelled:
                columns["states"] = spelled["states"]
            if name == "lmarena" and {"judge", "anony", "tstamp"} & set(spelled):
                name = "fastchat"
            if set(given) & {"model_a", "model_b", "winner", "votes_a", "votes_b"}:
                name = "columns"
            return Plan(name, {**others, **columns, **given})
    raise InputError(
        f"{file} is no vote log that is known: it needs columns model_a, model_b and winner, "
        "or --columns that name them (model_a=first,model_b=second,winner=verdict); found "
        f"{listed(names, 12)}"
    )


def parse_vote_columns(texts: Iterable[str]) -> dict[str, str]:
    """Reads ``model_a=first,winner=verdict`` as ``read_votes`` takes it.

    Raises:
        UsageError: it is not of that form, names what there is not, or names one twice.
    """
    given: dict[str, str] = {}
    for pair in [pair for text in texts for pair in text.split(",")]:
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not equals or not theirs:
            raise UsageError(f"columns {pair!r}: write OURS=THEIRS, as in model_a=first")
        if ours in given:
            raise UsageError(f"columns name {ours} twice")
        given[ours] = theirs
    check_vote_columns(given)
    return given


def check_vote_columns(given: Mapping[str, str]) -> None:
    """Refuses a mapping of columns that names what there is not.

    Raises:
        UsageError: a name is not one of ours.
    """
    for ours in given:
        if ours not in NAMES:
            raise UsageError(f"no such column {ours!r}: name {', '.join(NAMES)}")
