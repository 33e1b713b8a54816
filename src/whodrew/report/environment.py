"""Templates: Jinja2 with autoescape, and JSON that cannot end its own script element."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from whodrew.report import figures, words

#: A name or a prompt is shown up to this many characters.
MAX_TEXT = 240
_ESCAPES = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    ord("'"): "\\u0027",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def clip(text: Any, length: int = MAX_TEXT) -> str:
    """The text, or its beginning and an ellipsis where it is longer than ``length``."""
    whole = str(text)
    return whole if len(whole) <= length else whole[: length - 1].rstrip() + "…"


def script_json(value: Any) -> Markup:
    """JSON for a ``<script type="application/json">``: no ``<``, ``>``, ``&`` or quote is left."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_ESCAPES))  # noqa: S704  # every special character is escaped


@cache
def environment() -> Environment:
    """The environment that every section renders in."""
    env = Environment(
        loader=PackageLoader("whodrew.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "clip": clip,
        "count": figures.count,
        "decimal": figures.decimal,
        "percent": figures.percent,
        "short": words.short_name,
        "script_json": script_json,
        "sentence": words.sentence,
    }
    env.globals |= {
        "attack_short": words.attack_short,
        "attack_title": words.attack_title,
        "attacker_name": words.attacker_name,
        "figure": figures.figure,
        "interval": figures.interval,
        "knowledge_words": words.knowledge_words,
        "missing": figures.missing,
        "pixels_words": words.pixels_words,
        "plural": words.plural,
    }
    return env


def render(template: str, **values: Any) -> Markup:
    """Renders a template of this package."""
    text = environment().get_template(template).render(**values)
    return Markup(text)  # noqa: S704  # autoescape has escaped what came from outside


def source(name: str) -> str:
    """A template's own text, unrendered: the style sheet and the scripts."""
    env = environment()
    assert env.loader is not None  # given above
    return env.loader.get_source(env, name)[0]
