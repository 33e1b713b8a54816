"""The report's sections, in the order of the page.

A section is a module with ``render(context) -> Markup``; an empty answer leaves it out. To
add one: write the module and its template, and name it here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from whodrew.report.context import Context
from whodrew.report.sections import (
    attacks,
    confusion,
    curves,
    leaks,
    method,
    models,
    prompts,
    reading,
    similarity,
    variation,
    votes,
    votes_moves,
    votes_screen,
)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id in the page.
        title: its heading.
        short: its name in the contents.
        render: makes its HTML; empty leaves the section out.
    """

    anchor: str
    title: str
    short: str
    render: Callable[[Context], Markup]


SECTIONS: tuple[Section, ...] = (
    Section("attacks", "What an attacker needs to know", "Attacks", attacks.render),
    Section("leaks", "What the files give away", "Files", leaks.render),
    Section("votes", "The ranking, and how sure it is", "Ranking", votes.render),
    Section("moves", "What identification buys: ranks", "Manipulation", votes_moves.render),
    Section("screen", "Voters who would be excluded", "Voters", votes_screen.render),
    Section("confusion", "Who is mistaken for whom", "Confusion", confusion.render),
    Section("prompts", "Prompts, from most to least revealing", "Prompts", prompts.render),
    Section("similarity", "Which models look alike", "Similarity", similarity.render),
    Section("curves", "More references, more models", "Curves", curves.render),
    Section("models", "Model by model", "Models", models.render),
    Section("variation", "Why it works: variation", "Variation", variation.render),
    Section("reading", "How to read this report", "Reading", reading.render),
    Section("method", "How it was measured", "Method", method.render),
)
