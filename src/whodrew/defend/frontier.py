"""The frontier: how well the best attacker still does, against what pictures pay for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from whodrew.arena import Arena, read_arena
from whodrew.defend.attackers import Case, Labels
from whodrew.defend.defence import Defence
from whodrew.defend.draws import Watcher
from whodrew.defend.frontier_cases import kinds_of_prompts, shown_ways
from whodrew.defend.frontier_folds import deal
from whodrew.defend.frontier_folds import notes as fold_notes
from whodrew.defend.frontier_options import FrontierOptions
from whodrew.defend.frontier_result import Frontier, recommend
from whodrew.defend.frontier_run import PURIFIERS, Run, Said
from whodrew.defend.usable import Usable, usable
from whodrew.encoders.base import Encoder
from whodrew.encoders.registry import get_encoder
from whodrew.errors import UsageError, WhodrewError
from whodrew.machine import processors
from whodrew.ranking import rank

__all__ = ["PURIFIERS", "FrontierOptions", "frontier"]

Progressed = Callable[[str, int, int], None]


def frontier(
    arena: str | Path | Arena,
    specs: Sequence[str],
    *,
    options: FrontierOptions | None = None,
    cache: str | Path | None = None,
    said: Said | None = None,
    progress: Progressed | None = None,
    **changes: Any,
) -> Frontier:
    """Measures defences against every attacker, and what they cost.

    Every attacker is measured with whole prompts held out (or, under matched knowledge,
    with the query's own image left out in all its draws); ``docs/methods.md`` says how.
    Stages that learn do so from other prompts than those they are measured on.

    Cost: once, images encoded as they are, in each way that an attacker looks. For each SPEC,
    images x (1 + draws) defended and encoded, and an attack a way of looking; where stages
    learn, a fit for each of ``folds``, on the images of the others, and images x (folds - 1)
    more of the defended. ``cache`` keeps what was learnt and encoded, so that a killed run
    goes on.

    Args:
        arena: a folder, manifest or Parquet file of images, or an opened ``Arena``.
        specs: defences; the same twice counts once.
        options: what is measured; ``changes`` are applied to it.
        cache: folder for what was encoded; a temporary one when not given.
        said: told what is being done.
        progress: told (defence, images done, images).
        **changes: fields of ``FrontierOptions``.

    Returns:
        The frontier, defences in the order given.

    Raises:
        UsageError: an option or a SPEC that cannot be served.
        InputError: the arena has too few images to be attacked.
    """
    chosen = replace(options or FrontierOptions(), **changes)
    chosen.check()
    tell = said or (lambda _: None)
    defences = list({one.spec: one for one in map(Defence.parse, specs)}.values())
    if not defences:
        raise UsageError("name at least one defence: --defence 'canonical(size=768)'")
    opened = arena if isinstance(arena, Arena) else read_arena(arena)
    used = usable(opened, chosen.images, chosen.models, chosen.seed)
    notes = used.notes
    if any(one.learns for one in defences):
        notes += fold_notes(chosen.folds, used.arena.images["prompt_id"].to_pylist())
    for note in notes:
        tell(note)
    with _folder(cache) as folder:
        run = _prepared(used, chosen, folder, tell, progress)
        native = run.native()
        undefended = run.undefended(native)
        points = [run.point(defence, native) for defence in defences]
    labels = run.labels
    return Frontier(
        arena={
            "source": opened.source,
            "images": len(labels),
            "models": len(set(labels.model)),
            "prompts": len(set(labels.prompt)),
            "bad": [one.to_dict() for one in (*opened.bad, *used.bad)],
            "notes": list(notes),
        },
        chance=labels.chance,
        seed=chosen.seed,
        undefended=undefended,
        points=tuple(points),
        recommendation=recommend(points, undefended, labels.chance, native.side),
    )


def _prepared(
    used: Usable, options: FrontierOptions, folder: Path, said: Said, progress: Progressed | None
) -> Run:
    arena = used.arena
    columns = (arena.images[key].to_pylist() for key in ("model", "prompt_id", "seed"))
    labels = Labels(*map(tuple, columns))
    ways = shown_ways(labels, options.shown)
    cases = tuple(
        Case(labels, one, ways, options.seed) for one in kinds_of_prompts(labels, options.knowledge)
    )
    encoders, no_unseen = _encoders(options)
    rng = np.random.default_rng([options.seed, 20])
    count = min(options.quality, len(arena))
    watcher = Watcher(
        arena,
        encoders,
        folder,
        workers=options.workers or processors(),
        seed=options.seed,
        measured=frozenset(rng.choice(len(arena), count, replace=False).tolist()),
        scorer=options.scorer,
        identities=used.identities,
    )

    def told(name: str) -> Callable[[int, int], None]:
        return lambda done, whole: progress(name, done, whole) if progress else None

    fold = deal(labels.prompt, options.folds, options.seed)
    votes = None if options.votes is None else rank(options.votes, seed=options.seed)
    return Run(arena, options, cases, encoders, no_unseen, watcher, fold, told, said, votes)


def _encoders(options: FrontierOptions) -> tuple[dict[str, Encoder], str | None]:
    """Returns the encoders by name, and why the unseen one is missing, where it is."""
    made = {name: get_encoder(name) for name in dict.fromkeys(options.encoders)}
    if not options.unseen or options.unseen in made:
        return made, None
    try:
        made[options.unseen] = get_encoder(options.unseen)
    except WhodrewError as error:
        return made, str(error)
    return made, None


@contextmanager
def _folder(cache: str | Path | None) -> Iterator[Path]:
    if cache is not None:
        yield Path(cache)
        return
    with tempfile.TemporaryDirectory(prefix="whodrew-") as folder:
        yield Path(folder)
