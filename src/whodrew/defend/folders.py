"""Names of files in a defended arena: labels of strangers made safe, none of them lost."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from whodrew.arena import Arena

#: Where anonymous images lie: readers of folders pass over hidden ones, and would take any
#: other folder for a model.
ANONYMOUS: Final = ".anonymous"
_LONGEST: Final = 120  # bytes; most file systems take 255
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_SLUG: Final = re.compile(r"[^A-Za-z0-9._-]+")
# Windows devices, folders that systems make, and what the reader of arenas takes for such.
_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|thumbs\.db|ehthumbs\.db|desktop\.ini|__macosx"
    r"|@eadir|\$recycle\.bin|lock|defence\.json|defended\.parquet|secret\.txt|profile\.npz"
    r"|prompts\.csv|models\.csv|audit\.json|card\.json",
    re.IGNORECASE,
)


def safe_names(labels: Iterable[str]) -> dict[str, str]:
    """Returns a name for each label that any file system takes, no two alike.

    A label that is safe stays as it is. Others, and those that differ only in letter case
    or Unicode form, get what is readable of them and a hash of the whole: the same name in
    every arena.

    Args:
        labels: distinct or not.

    Returns:
        Label to name.
    """
    distinct = sorted(set(labels))
    alike = Counter(_folded(label) for label in distinct)
    names = {label: label for label in distinct if _is_safe(label) and alike[_folded(label)] == 1}
    taken = {_folded(name) for name in names.values()}
    for label in distinct:
        if label not in names:
            names[label] = _hashed(label, taken)
            taken.add(_folded(names[label]))
    return names


def targets(arena: Arena, ending: str) -> list[str]:
    """Returns where each image goes: ``<model>/<prompt_id>/<seed><ending>``.

    Args:
        arena: the images.
        ending: of the files, such as ``.jpg``.

    Returns:
        Relative paths with ``/``, in the arena's order, no two alike on any file system.
    """
    columns = [arena.images[name].to_pylist() for name in ("model", "prompt_id", "seed", "item")]
    models = safe_names(model for model in columns[0] if model is not None)
    prompts = safe_names(columns[1])
    cells: dict[tuple[str | None, str], list[int]] = {}
    for at, (model, prompt, _, _) in enumerate(zip(*columns, strict=True)):
        cells.setdefault((model, prompt), []).append(at)
    found = [""] * len(arena)
    for (model, prompt), members in cells.items():
        top = ANONYMOUS if model is None else models[model]
        stems = _stems([columns[2][at] for at in members], [columns[3][at] for at in members])
        for at, stem in zip(members, stems, strict=True):
            found[at] = f"{top}/{prompts[prompt]}/{stem}{ending}"
    return found


def _stems(seeds: Sequence[str], items: Sequence[str]) -> list[str]:
    """Names the images of one cell; anonymous ones may share a seed."""
    times = Counter(seeds)
    names = safe_names(
        seed if times[seed] == 1 else f"{seed}\x00{item}"
        for seed, item in zip(seeds, items, strict=True)
    )
    return [
        names[seed if times[seed] == 1 else f"{seed}\x00{item}"]
        for seed, item in zip(seeds, items, strict=True)
    ]


def _is_safe(label: str) -> bool:
    return (
        0 < len(label.encode("utf-8", "surrogatepass")) <= _LONGEST
        and not _UNSAFE.search(label)
        and label[0] not in ". "
        and label[-1] not in ". "
        and label.isprintable()
        and _RESERVED.fullmatch(label) is None
    )


def _folded(name: str) -> str:
    """Returns the form under which a file system might take two names for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _hashed(label: str, taken: set[str]) -> str:
    digest = hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    slug = _SLUG.sub("-", label.partition("\x00")[0]).strip("-.")[:40].strip("-.") or "label"
    for length in range(10, len(digest) + 1):
        name = f"{slug}-{digest[:length]}"
        if _folded(name) not in taken:
            return name
    raise AssertionError("a hash of 256 bits is taken")
