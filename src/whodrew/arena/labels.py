"""Labels: the names columns go by, values as strings, prompt ids from texts.

Labels are kept verbatim: nothing is stripped, folded or normalised. They are *compared*
under Unicode NFC where names of folders meet names in a CSV, since macOS writes folder
names decomposed; and labels with white space around them, or that differ only in such
ways, are reported.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

#: What a column may be called, the first found in this order wins; compared without case.
COLUMN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "image": (
        "path", "file_name", "filename", "image", "image_path", "img_path", "file_path",
        "filepath", "file", "img", "image_file", "image_file_name", "image_name", "image_bytes",
        "bytes", "png", "jpg",
    ),
    "model": (
        "model", "model_name", "model_id", "generator", "generator_name", "model_label",
        "t2i_model", "source_model", "label", "architecture",
    ),
    "prompt_id": (
        "prompt_id", "promptid", "prompt_idx", "prompt_index", "prompt_key", "prompt_name",
    ),
    "prompt": ("prompt", "prompt_text", "caption", "text", "description"),
    "seed": ("seed", "generation", "generation_id", "sample", "sample_id", "sample_index"),
}  # fmt: skip
#: The same for ``prompts.csv`` and ``models.csv``.
PROMPTS_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt_id": (*COLUMN_NAMES["prompt_id"], "id", "name"),
    "prompt": COLUMN_NAMES["prompt"],
}
MODELS_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": (*COLUMN_NAMES["model"], "id", "name"),
    "family": ("family", "model_family", "base", "base_model", "vendor", "provider"),
}


def find_columns(columns: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Maps our names to the columns of a table, by ``names``, without case.

    Returns:
        Our name to the table's spelling, for those that are there.
    """
    spelled = {column.strip().casefold(): column for column in reversed(columns)}
    found = {}
    for ours, known in names.items():
        for name in known:
            if name in spelled:
                found[ours] = spelled[name]
                break
    return found


def as_label(value: Any) -> str | None:
    """Returns a label as a string, ``None`` where there is none.

    Numbers are written as people write them: 7 as ``"7"``, and 7.0 too, for tables turn
    whole columns of integers to floats for the sake of one missing value.

    Raises:
        ValueError: the value is no label (a list, a mapping, bytes) or no valid Unicode.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError("a label with half a surrogate pair") from None
        return value if value.strip() else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    raise ValueError(f"{type(value).__name__} is not a label")


def derive_prompt_id(text: str) -> str:
    """Derives a stable prompt id from a prompt's text: a slug and 8 hex digits of its hash.

    Two texts share an id only where they are equal under Unicode NFC.
    """
    digest = hashlib.blake2b(nfc(text).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:40].rstrip("-")
    return f"{slug or 'prompt'}-{digest}"


def nfc(text: str) -> str:
    """Returns the form under which names are compared."""
    return unicodedata.normalize("NFC", text)


def odd_labels(kind: str, labels: Iterable[str | None]) -> list[str]:
    """Reports labels that look like slips of the pen; they are kept as they are.

    Args:
        kind: what they name (``"model"``).
        labels: the labels in use.

    Returns:
        Notes: white space around labels, and labels that differ only in white space,
        letter case or Unicode form.
    """
    distinct = sorted({label for label in labels if label is not None})
    notes = []
    padded = [label for label in distinct if label != label.strip()]
    if padded:
        notes.append(
            f"{count(padded, kind + ' label')} with white space around, kept as written: "
            + listed(padded)
        )
    alike: dict[str, list[str]] = {}
    for label in distinct:
        alike.setdefault(" ".join(nfc(label).casefold().split()), []).append(label)
    notes += [
        f"{kind} labels that differ only in case, white space or Unicode form "
        f"are taken as different: {listed(group)}"
        for group in alike.values()
        if len(group) > 1
    ]
    return notes


def listed(names: Sequence[str], most: int = 5) -> str:
    """Returns names for a message, quoted, the first few and how many more."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def count(items: Sequence[Any] | int, noun: str, plural: str | None = None) -> str:
    """Returns ``"1 image"``, ``"3 images"``."""
    number = items if isinstance(items, int) else len(items)
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
