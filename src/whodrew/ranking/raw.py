"""FastChat's raw log: rows of every kind, among them votes; names hidden or shown.

Read as FastChat's own ``clean_battle_data.py`` reads it: where the page named the models,
or named none, the models are those; where it said ``Model A`` they are in the states.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

import pyarrow as pa

VOTES: Final = ("leftvote", "rightvote", "tievote", "bothbad_vote")
#: Rows of the log that are no votes in a battle, and are not meant to be.
NO_VOTES: Final = (
    "chat", "upvote", "downvote", "flag", "share", "regenerate", "clear", "load_demo",
)  # fmt: skip


def from_raw(table: pa.Table, columns: dict[str, str]) -> tuple[pa.Table, list[int], Counter[str]]:
    """Turns a raw log into a table of battles.

    Args:
        table: columns ``type``, ``models`` and, where there are any, ``states``.
        columns: our names to those.

    Returns:
        Columns model_a, model_b, winner, anonymous and what else ``columns`` names; the row
        of the log that each comes from; and how many rows of each kind are no votes.
    """
    kinds = table[columns["winner"]].to_pylist()
    models = table[columns["models"]].to_pylist()
    states = table[columns["states"]].to_pylist() if "states" in columns else [None] * len(kinds)
    rows: list[int] = []
    first: list[str | None] = []
    second: list[str | None] = []
    hidden: list[bool] = []
    others: Counter[str] = Counter()
    for at, kind in enumerate(kinds):
        if kind in NO_VOTES:
            others[kind] += 1
            continue
        shown = [_shown(models[at], side) for side in (0, 1)]
        named = all(shown)
        pair = shown if named else [_state(states[at], side) for side in (0, 1)]
        rows.append(at)
        first.append(pair[0])
        second.append(pair[1])
        hidden.append(not named)
    taken = table.take(pa.array(rows, pa.int64()))
    out = {
        "model_a": pa.array(first, pa.string()),
        "model_b": pa.array(second, pa.string()),
        "winner": taken[columns["winner"]],
        "anonymous": pa.array(hidden, pa.bool_()),
    }
    for ours, theirs in columns.items():
        if ours not in {"winner", "models", "states"}:
            out[ours] = taken[theirs]
    return pa.table(out), rows, others


def _shown(models: Any, side: int) -> str | None:
    """Returns the name that the page showed, ``None`` where it hid it."""
    if not isinstance(models, list) or len(models) <= side or not isinstance(models[side], str):
        return None
    name: str = models[side].strip()
    if name.startswith("<h3>") and name.endswith("</h3>"):
        name = name[4:-5].strip()
    name = re.sub(r"^(?:### )?Model [AB](?::\s*|$)", "", name)
    return name or None


def _state(states: Any, side: int) -> str | None:
    if not isinstance(states, list) or len(states) <= side or not isinstance(states[side], dict):
        return None
    name = states[side].get("model_name")
    return name if isinstance(name, str) and name.strip() else None
