"""What an attacker is and has, in words an arena operator reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whodrew.report.figures import count, figure, number, percent


def knowledge_words(knowledge: Any, models: int | None = None) -> list[str]:
    """Each part of a knowledge object as a short phrase, the most telling first."""
    if not isinstance(knowledge, Mapping):
        return []
    matched = knowledge.get("prompts") == "matched"
    words = [
        "references of the same prompt" if matched else "references of other prompts",
        (
            "each model once a prompt, named together"
            if knowledge.get("shown") == "each-once"
            else "each image named alone"
        ),
        "centred on the prompt" if knowledge.get("centred") else "not centred",
    ]
    references = number(knowledge.get("references"))
    if references is not None:
        words.append(f"{count(references)} references a {'cell' if matched else 'model'}")
    known = knowledge.get("models")
    if isinstance(known, (list, tuple)):
        of = f" of {count(models)}" if models else ""
        words.append(f"{count(len(known))}{of} models known")
    return words


def pixels_words(canonical: Any) -> str:
    """Whether the images were measured as they are or in the canonical form."""
    size = number(canonical)
    if size is None:
        return "images as they are"
    return f"canonical form ({size:.0f}×{size:.0f}, JPEG 85)"


def attacker_name(attack: Mapping[str, Any]) -> str:
    """Encoder and identifier: ``fingerprint · whitened-centroid``."""
    return f"{attack.get('encoder', '?')} · {attack.get('identifier', '?')}"


def attack_title(attack: Mapping[str, Any], models: int | None = None) -> str:
    """One line that tells this attack from the others."""
    parts = [attacker_name(attack), *knowledge_words(attack.get("knowledge"), models)]
    if number(attack.get("canonical")) is not None:
        parts.append(pixels_words(attack["canonical"]))
    return ", ".join(parts)


def attack_short(attack: Mapping[str, Any]) -> str:
    """As short as a list to choose from needs: accuracy first, then what tells them apart."""
    knowledge = attack.get("knowledge")
    known = knowledge if isinstance(knowledge, Mapping) else {}
    parts = [
        percent(figure(attack, "top1").value),
        attacker_name(attack),
        "same prompt" if known.get("prompts") == "matched" else "other prompts",
        "each once" if known.get("shown") == "each-once" else "alone",
        "centred" if known.get("centred") else "not centred",
    ]
    if number(attack.get("canonical")) is not None:
        parts.append(f"canonical {attack['canonical']:.0f}")
    return " · ".join(parts)


def short_name(name: str, length: int = 30) -> str:
    """A name cut in its middle: relatives often differ only at the end."""
    if len(name) <= length:
        return name
    head = length // 3
    return f"{name[:head]}…{name[len(name) - (length - head - 1) :]}"


def sentence(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def plural(amount: Any, one: str, many: str = "") -> str:
    """``1 model``, ``24 models``."""
    return f"{count(amount)} {one if number(amount) == 1 else many or one + 's'}"
