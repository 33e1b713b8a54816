"""The one sentence that says how blind the arena is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whodrew.audit.leaks import named
from whodrew.audit.result import AttackResult
from whodrew.leaks import Leaks
from whodrew.measure.container import ContainerFigure
from whodrew.measure.intervals import Rate


def percent(value: float) -> str:
    """Returns a share in words: ``84.7 %``."""
    return f"{100 * value:.1f} %"


def with_interval(rate: Rate, of: str = "") -> str:
    """Returns a rate with its interval and chance, in words."""
    assert rate.value is not None
    parts = []
    if rate.low is not None and rate.high is not None:
        parts.append(f"95 % interval {percent(rate.low)} to {percent(rate.high)}")
    if rate.chance is not None:
        parts.append(f"guessing gets {percent(rate.chance)}")
    return percent(rate.value) + of + (f" ({'; '.join(parts)})" if parts else "")


def strength_order(
    attacks: Sequence[AttackResult], canonical: int | None
) -> tuple[AttackResult, ...]:
    """Returns attacks strongest first; those on the canonical form before the native ones."""

    def key(one: AttackResult) -> tuple[bool, float]:
        value = one.top1.value
        return (one.canonical != canonical, -value if value is not None else 1.0)

    return tuple(sorted(attacks, key=key))


def headline_of(
    attacks: Sequence[AttackResult],
    container: ContainerFigure | None,
    leaks: Leaks | None,
    canonical: int | None,
    votes: str = "",
    *,
    synthetic: bool,
) -> dict[str, Any]:
    """Returns sentence and figures; the figure that rests on pixels alone comes first.

    Args:
        attacks: in order of strength.
        container: what size and format give away.
        leaks: what the files give away, or ``None`` where that is not known.
        canonical: side of the canonical form that is shown first, or ``None``.
        votes: the sentence on the votes, or none.
        synthetic: whether the arena is the sample.
    """
    measured = [one for one in attacks if one.top1.value is not None and one.canonical == canonical]
    figures: dict[str, Any] = {}
    if not measured:
        return {"sentence": "Nothing could be asked of this arena.", "figures": figures}
    sentences = []
    differs = container is not None and container.differs
    for way, name in (("any", "shown_any"), ("each-once", "shown_each_once")):
        best = next((one for one in measured if one.knowledge.shown == way), None)
        if best is None:
            continue
        figures[name] = best.top1.to_dict()
        if way == "any":
            sentences.append(
                f"{_who(best)} names the model of {with_interval(best.top1, ' of the images')}."
            )
        else:
            sentences.append(
                f"Where every model is shown once a prompt and all are named together: "
                f"{with_interval(best.top1)}."
            )
    figures |= _alone(container, leaks, differs=differs)
    tells = leaks is not None and leaks.identifies
    if not (differs or tells):
        if leaks is not None:
            sentences.append("Format, metadata and names of the files tell models apart nowhere.")
    elif canonical is None:
        sentences.insert(0, f"{_first(container, leaks)} Run again with --canonical SIZE.")
    else:
        sentences.insert(
            0,
            f"{_first(container, leaks)} The figures that follow are of pixels brought to one "
            f"form ({canonical}x{canonical}, JPEG quality 85).",
        )
        native = next(
            (one for one in attacks if one.canonical is None and one.knowledge.shown == "any"),
            None,
        )
        if native is not None and native.top1.value is not None:
            figures["as_served"] = native.top1.to_dict()
            sentences.append(f"As served, each image named alone: {with_interval(native.top1)}.")
    if leaks is not None and any(not one.in_container for one in leaks.fields):
        sentences.append("Some models' images show pixels that never change, as watermarks do.")
    if votes:
        sentences.append(votes)
    if synthetic:
        sentences.insert(0, "SYNTHETIC sample arena: these figures say nothing of real models.")
    return {"sentence": " ".join(sentences), "figures": figures}


def _alone(
    container: ContainerFigure | None, leaks: Leaks | None, *, differs: bool
) -> dict[str, Any]:
    """Returns how often files name the model without their pixels."""
    figures: dict[str, Any] = {}
    if leaks is not None and leaks.identifies and leaks.accuracy.value is not None:
        figures["container_alone"] = leaks.accuracy.to_dict()
    if differs and container is not None and container.top1.value is not None:
        figures["size_and_format_alone"] = container.top1.to_dict()
    return figures


def _first(container: ContainerFigure | None, leaks: Leaks | None) -> str:
    """Returns what has to be said before any accuracy: that the files tell models apart."""
    differs = container is not None and container.differs
    told = "Size or format differ between models" if differs else "Files differ between models"
    if leaks is not None and leaks.identifies:
        what = named(leaks) or "small differences in many fields"
        told += f" ({what})"
        if leaks.accuracy.value is not None:
            share = with_interval(leaks.accuracy)
            told += f": without a pixel, files alone name the model of {share}"
    elif container is not None and container.top1.value is not None:
        told += f", and by themselves name {with_interval(container.top1)}"
    return f"{told}."


def _who(best: AttackResult) -> str:
    prompts = (
        "with references of the same prompt"
        if best.knowledge.prompts == "matched"
        else "who never saw the prompt before"
    )
    return f"An outsider {prompts} ({best.identifier} on {best.encoder})"
