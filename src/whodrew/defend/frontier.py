"""The frontier: how well the best attacker still does, against what pictures pay for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.arena import Arena, read_arena
from whodrew.defend.arena_work import examples
from whodrew.defend.attackers import ROBUST, STRONG, Case, Faced, Labels, Vectors, strongest
from whodrew.defend.defence import Defence
from whodrew.defend.draws import Look, Seen, Watcher
from whodrew.defend.frontier_cases import kinds_of_prompts, shown_ways
from whodrew.defend.frontier_result import Frontier, Point, recommend
from whodrew.defend.pairs import pairs_of
from whodrew.defend.quality import medians
from whodrew.defend.scorers import SCORERS, Standing, standing
from whodrew.defend.usable import Usable, usable
from whodrew.encoders.base import Encoder
from whodrew.encoders.registry import ENCODERS, get_encoder
from whodrew.errors import MissingExtraError, UsageError, WhodrewError
from whodrew.identify.attack import Attack
from whodrew.identify.fusion import fuse
from whodrew.machine import processors
from whodrew.measure.intervals import missing
from whodrew.ranking import Ranking, rank

#: What the purifying attacker does to images first.
PURIFIERS: Final = ("jpeg-75", "resize-0.5", "blur-1", "median-3")
UNSEEN: Final = "efficientnet-lite0"

Said = Callable[[str], None]
Progressed = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FrontierOptions:
    """What a frontier is measured with.

    Attributes:
        encoders: what attackers look through; the first is the leading one.
        unseen: an encoder that no defence saw, where it is not among them; ``""`` for none.
        knowledge: ``matched``, ``other`` or ``auto``, one or several (``other``, and also
            ``matched`` where at least half of the cells hold two generations).
        shown: ``any``, ``each-once`` or ``auto``, one or several (both, where prompts show
            several models).
        draws: draws of the defence that the adaptive attacker makes of each reference.
        fewer: draws where an encoder is slow (every one but the leading) or images are
            purified.
        images: images measured at most, of whole prompts, seeded; 0 for all.
        models: models measured at most, seeded; 0 for all.
        quality: images whose quality is measured, seeded.
        scorer: what scores pictures, to see whether its order of models stays; ``""`` for
            none.
        votes: a vote log, whose ranking the scorer's order is compared with.
        workers: threads.
        seed: seeds all of it.
    """

    encoders: tuple[str, ...] = ("fingerprint",)
    unseen: str = UNSEEN
    knowledge: str | tuple[str, ...] = "auto"
    shown: str | tuple[str, ...] = "auto"
    draws: int = 16
    fewer: int = 4
    images: int = 4000
    models: int = 0
    quality: int = 64
    scorer: str = ""
    votes: str | Path | None = None
    workers: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuses options that cannot be served.

        Raises:
            UsageError: with the mend.
            MissingExtraError: an encoder needs modules that are not installed.
        """
        for name in self.encoders:
            ENCODERS.check(name)
        for name, value, least in (
            ("draws", self.draws, 1),
            ("fewer-draws", self.fewer, 1),
            ("quality-images", self.quality, 1),
            ("images", self.images, 0),
            ("models", self.models, 0),
        ):
            if value < least:
                raise UsageError(f"--{name} {value} is less than {least}")
        if self.scorer:
            SCORERS.check(self.scorer)
        elif self.votes is not None:
            raise UsageError("--votes needs --scorer: votes are compared with its order of models")
        if self.models == 1:
            raise UsageError("--models 1 leaves nothing to tell apart: give at least 2")


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

    Cost: for each SPEC, images x (1 + draws) defended and encoded, and an attack a way of
    looking. ``cache`` keeps what was encoded, so that a killed run goes on.

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
    for note in used.notes:
        tell(note)
    with _folder(cache) as folder:
        run = _prepared(used, chosen, folder, tell, progress)
        native = run.native()
        undefended: list[Faced] = []
        for case in run.cases:
            for look in (Look(name, "", 0) for name in run.encoders):
                found = case.named(run.vectors(look, native), 1)
                undefended += case.faced("undefended", found, look.encoder, draws=0)
        points = [_point(run, defence, native) for defence in defences]
    labels = run.labels
    return Frontier(
        arena={
            "source": opened.source,
            "images": len(labels),
            "models": len(set(labels.model)),
            "prompts": len(set(labels.prompt)),
            "bad": [one.to_dict() for one in (*opened.bad, *used.bad)],
            "notes": list(used.notes),
        },
        chance=labels.chance,
        seed=chosen.seed,
        undefended=tuple(undefended),
        points=tuple(points),
        recommendation=recommend(points, undefended, labels.chance, native.side),
    )


def _prepared(
    used: Usable, options: FrontierOptions, folder: Path, said: Said, progress: Progressed | None
) -> _Run:
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

    votes = None if options.votes is None else rank(options.votes, seed=options.seed)
    return _Run(arena, options, cases, encoders, no_unseen, watcher, told, said, votes)


@dataclass(frozen=True)
class _Run:
    """What all points of a frontier share."""

    arena: Arena
    options: FrontierOptions
    cases: tuple[Case, ...]
    encoders: dict[str, Encoder]
    no_unseen: str | None
    watcher: Watcher
    told: Callable[[str], Callable[[int, int], None]]
    said: Said
    votes: Ranking | None

    @property
    def labels(self) -> Labels:
        """What is known of the images."""
        return self.cases[0].labels

    @property
    def leading(self) -> str:
        """The encoder whose references are drawn most often."""
        return self.options.encoders[0]

    def native(self) -> Seen:
        """Looks at the images as they are."""
        looks = [Look(name, "", 0) for name in self.encoders]
        return self.watcher.see(None, looks, self.told("undefended"))

    def looks(self) -> list[Look]:
        """Returns the ways of looking: the leading encoder first, with every draw."""
        fewer = min(self.options.fewer, self.options.draws)
        looks = [Look(self.leading, "", self.options.draws)]
        looks += [Look(name, "", fewer) for name in self.encoders if name != self.leading]
        return looks + [Look(self.leading, form, fewer) for form in PURIFIERS]

    def absent(self, attacker: str, encoder: str, identifier: str, why: str) -> Faced:
        """Returns an attacker that could not be measured."""
        case = self.cases[0]
        knowledge = {"prompts": case.prompts, "shown": case.shown[0]}
        return Faced(attacker, encoder, identifier, knowledge, missing(why))

    def vectors(self, look: Look, seen: Seen) -> Vectors:
        """Returns what one way of looking saw."""
        query = seen.query[look.key]
        references = seen.references.get(look.key, query[None])
        return Vectors(look.encoder, self.encoders[look.encoder].card.scale, query, references)


def _point(run: _Run, defence: Defence, native: Seen) -> Point:
    run.said(f"learning and applying {defence.spec}")
    fitted = defence.fit(lambda: examples(run.arena, run.watcher.workers))
    seen = run.watcher.see(fitted, run.looks(), run.told(defence.spec))
    run.said(f"attacking {defence.spec}")
    faced = tuple(one for case in run.cases for one in _attackers(run, case, fitted, seen, native))
    return Point(
        defence=fitted.spec,
        budget=fitted.budget,
        quality=medians(seen.quality, lpips_reason=run.watcher.lpips_reason),
        milliseconds=float(np.median(seen.milliseconds)),
        side=seen.side,
        attackers=faced,
        strongest=strongest(faced),
        standing=_standing(run, native, seen),
        pairs=pairs_of(run.arena, fitted.with_secret(run.watcher.secrets[0]), run.options.seed),
    )


def _standing(run: _Run, native: Seen, seen: Seen) -> Standing | None:
    if not run.options.scorer:
        return None
    labels = run.labels
    return standing(
        run.options.scorer,
        native.scores,
        seen.scores,
        labels.model,
        labels.prompt,
        run.votes,
        run.options.seed,
    )


def _attackers(
    run: _Run, case: Case, defence: Defence, seen: Seen, native: Seen
) -> Iterator[Faced]:
    known = {name for one in defence.stages for name in getattr(one, "sees", ())}
    looks = run.looks()
    members: list[Vectors] = []

    @cache
    def named(at: int, draws: int) -> Attack:
        return case.named(members[at], draws)

    for look in looks:
        vectors = run.vectors(look, seen)
        most = len(vectors.references)
        if look.form:
            found = case.named(vectors, most)
            yield from case.faced("purifying", found, look.encoder, draws=most, purified=look.form)
            continue
        before = replace(vectors, references=native.query[look.key][None])
        yield from case.faced("unchanged", case.named(before, 1), look.encoder, draws=0)
        # the leading encoder is the one that whoever built the defence thought of
        kind = "adaptive" if look.encoder in {*known, run.leading} else "unseen-encoder"
        members.append(vectors)
        for draws in dict.fromkeys((1, most)):
            found = named(len(members) - 1, draws)
            yield from case.faced(kind, found, look.encoder, draws=draws)
    leading = members[0]
    try:
        purified = [seen.query[one.key] for one in looks if one.form]
        robust, copies = case.robust(leading, purified)
    except MissingExtraError as error:
        yield run.absent("contrastive", leading.encoder, ROBUST, str(error))
    else:
        more = {"draws": 1, "copies": copies}
        yield from case.faced("contrastive", robust, leading.encoder, **more)
    if len(members) > 1:
        draws = min(run.options.fewer, *(len(one.references) for one in members))
        fused = fuse([named(at, draws) for at in range(len(members))])
        name = "+".join(one.encoder for one in members)
        yield from case.faced("fused", fused, name, draws=draws)
    else:
        why = run.no_unseen or "one encoder was measured: give another with --encoder"
        yield run.absent("fused", leading.encoder, "fusion", why)
    if set(run.encoders) <= {*known, run.leading}:
        why = run.no_unseen or (
            "every encoder measured is one that the defence was thought out for: give another "
            "with --unseen-encoder"
        )
        yield run.absent("unseen-encoder", run.options.unseen or "none", STRONG, why)


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
