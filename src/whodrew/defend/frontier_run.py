"""What all points of a frontier share, and every attacker let loose on one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np

from whodrew.arena import Arena
from whodrew.defend.attackers import ROBUST, STRONG, Case, Faced, Labels, Vectors, strongest
from whodrew.defend.defence import Defence
from whodrew.defend.draws import Look, Seen, Watcher
from whodrew.defend.frontier_folds import APART, Fitted, fitted
from whodrew.defend.frontier_options import FrontierOptions
from whodrew.defend.frontier_result import Point
from whodrew.defend.pairs import pairs_of
from whodrew.defend.quality import medians
from whodrew.defend.scorers import Standing, standing
from whodrew.encoders.base import Encoder
from whodrew.errors import MissingExtraError, UsageError
from whodrew.identify.attack import Attack
from whodrew.identify.fusion import fuse
from whodrew.identify.samples import Floats, Ints
from whodrew.measure.intervals import missing
from whodrew.ranking import Ranking

#: What the purifying attacker does to images first.
PURIFIERS: Final = ("jpeg-75", "resize-0.5", "blur-1", "median-3")

Said = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What all points of a frontier share.

    Attributes:
        arena: N images that can be read, each of a model.
        options: what is measured.
        cases: what attackers know, one a kind of prompts.
        encoders: by name, the leading one first.
        no_unseen: why the unseen encoder is missing, where it is.
        watcher: encodes images as they are, and defended.
        fold: (N,) fold of each image, for stages that learn.
        told: by name of a defence, what is told of images done.
        said: told what is being done.
        votes: a ranking to compare a scorer's order of models with.
    """

    arena: Arena
    options: FrontierOptions
    cases: tuple[Case, ...]
    encoders: dict[str, Encoder]
    no_unseen: str | None
    watcher: Watcher
    fold: Ints
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
        """Looks at the images as they are, once in each way that any attacker looks."""
        looks = [replace(one, draws=0) for one in self.looks()]
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

    def undefended(self, native: Seen) -> tuple[Faced, ...]:
        """Lets every attacker at the images as they are who makes sense without a defence."""
        return tuple(one for case in self.cases for one in attackers(self, case, native))

    def point(self, defence: Defence, native: Seen) -> Point:
        """Measures one defence.

        Cost: its fits (``fitted``), images x (1 + draws) defended and encoded, and an attack
        a way of looking.

        Raises:
            UsageError: a stage cannot be fitted, or meets a model that no other fold shows.
        """
        self.said(f"learning and applying {defence.spec}")
        known = self._fitted(defence)
        seen = self._seen(known)
        self.said(f"attacking {defence.spec}")
        faced = tuple(
            one
            for case in self.cases
            for one in attackers(self, case, seen, known=known, native=native)
        )
        secret = self.watcher.secrets[0]
        return Point(
            defence=known.any.spec,
            budget=known.any.budget,
            quality=medians(seen.quality, lpips_reason=self.watcher.lpips_reason),
            milliseconds=float(np.median(seen.milliseconds)),
            side=seen.side,
            attackers=faced,
            strongest=strongest(faced),
            standing=self._standing(native, seen),
            pairs=pairs_of(
                self.arena, lambda at: known.of(at).with_secret(secret), self.options.seed
            ),
            learnt_from=known.learnt_from,
        )

    def _fitted(self, defence: Defence) -> Fitted:
        told = self.told(f"learning {defence.spec}")
        watcher = self.watcher
        return fitted(defence, self.arena, self.fold, watcher.workers, told, watcher.profile_place)

    def _seen(self, known: Fitted) -> Seen:
        try:
            return self.watcher.see(known, self.looks(), self.told(known.any.spec))
        except UsageError as error:
            lone = [one for one in known.lone(self.labels.model) if repr(one) in str(error)]
            if not lone:
                raise
            raise UsageError(
                f"{error}; all prompts of {', '.join(lone)} lie in one of {len(known.profiles)} "
                "folds: --folds 1 learns from all images"
            ) from error

    def _standing(self, native: Seen, seen: Seen) -> Standing | None:
        if not self.options.scorer:
            return None
        labels = self.labels
        return standing(
            self.options.scorer,
            native.scores,
            seen.scores,
            labels.model,
            labels.prompt,
            self.votes,
            self.options.seed,
        )


def attackers(
    run: Run,
    case: Case,
    seen: Seen,
    *,
    known: Fitted | None = None,
    native: Seen | None = None,
) -> Iterator[Faced]:
    """Lets every attacker at images, defended or not: the same ones, so that figures compare.

    Images as they are have one draw, which is the image, and it counts as none: who attacks
    through one encoder is ``undefended`` then, and there is no encoder that a defence has or
    has not seen.

    Args:
        run: what all share.
        case: what attackers know.
        seen: the images.
        known: the defence under which they are seen; ``None`` for images as they are.
        native: as they are, what an attacker has who knows nothing of the defence.
    """
    looks = run.looks()
    stages = () if known is None else known.any.stages
    # the leading encoder is the one that whoever built the defence thought of
    thought_of = {run.leading, *(name for one in stages for name in getattr(one, "sees", ()))}
    members: list[Vectors] = []

    def drawn(draws: int) -> int:
        return 0 if known is None else draws

    @cache
    def named(at: int, draws: int) -> Attack:
        return case.named(members[at], draws)

    for look in looks:
        vectors = run.vectors(look, seen)
        most = len(vectors.references)
        if look.form:
            found = case.named(vectors, most)
            more: dict[str, Any] = {"draws": drawn(most), "purified": look.form}
            yield from case.faced("purifying", found, look.encoder, **more)
            continue
        if native is not None:
            before = replace(vectors, references=native.query[look.key][None])
            yield from case.faced("unchanged", case.named(before, 1), look.encoder, draws=0)
        kind = "undefended" if known is None else _kind(look.encoder, thought_of)
        members.append(vectors)
        for draws in dict.fromkeys((1, most)):
            found = named(len(members) - 1, draws)
            yield from case.faced(kind, found, look.encoder, draws=drawn(draws))
    leading = members[0]
    purified = [seen.query[one.key] for one in looks if one.form]
    own: Sequence[Floats] | None = None
    try:
        robust, copies = case.robust(leading, purified)
    except MissingExtraError as error:
        yield run.absent("contrastive", leading.encoder, ROBUST, str(error))
    else:
        own = purified
        more = {"draws": drawn(1), "copies": copies}
        yield from case.faced("contrastive", robust, leading.encoder, **more)
    if known is not None and known.learnt_from == APART and case.prompts == "other":
        yield from _of_one_profile(run, case, seen, known, thought_of, own)
    if len(members) > 1:
        draws = min(run.options.fewer, *(len(one.references) for one in members))
        fused = fuse([named(at, draws) for at in range(len(members))])
        name = "+".join(one.encoder for one in members)
        yield from case.faced("fused", fused, name, draws=drawn(draws))
    else:
        why = run.no_unseen or "one encoder was measured: give another with --encoder"
        yield run.absent("fused", leading.encoder, "fusion", why)
    if known is not None and set(run.encoders) <= thought_of:
        why = run.no_unseen or (
            "every encoder measured is one that the defence was thought out for: give another "
            "with --unseen-encoder"
        )
        yield run.absent("unseen-encoder", run.options.unseen or "none", STRONG, why)


def _of_one_profile(
    run: Run,
    case: Case,
    seen: Seen,
    known: Fitted,
    thought_of: set[str],
    purified: Sequence[Floats] | None,
) -> Iterator[Faced]:
    """Lets attackers at each fold with references that all met the fold's own profile.

    What is learnt may itself be a fingerprint, such as a change for each model. Whoever has
    the defence has its one profile; among references of other folds, which met other
    profiles, that would be hidden. Cost: an attack a fold and encoder, one draw of each
    reference, and a contrastive one a fold.

    Args:
        run: what all share.
        case: what attackers know.
        seen: the images.
        known: the defence.
        thought_of: encoders that it was thought out for.
        purified: as ``Case.robust`` takes them; ``None`` where nobody can learn.
    """
    more = {"draws": 1, "profile": "the query's own"}
    names = sorted(set(case.labels.prompt))
    prompts = np.searchsorted(names, case.labels.prompt)
    asked = [np.unique(prompts[known.which == fold]) for fold in range(len(known.profiles))]
    every: list[list[Attack]] = []
    for name in run.encoders:
        look = Look(name, "", 1)
        vectors = run.vectors(look, seen)
        references = seen.by_profile[look.key]
        every.append([case.named(replace(vectors, references=one[None]), 1) for one in references])
        parts = list(zip(every[-1], asked, strict=True))
        yield from case.faced_by_parts(_kind(name, thought_of), parts, name, **more)
        if name == run.leading and purified is not None:
            learnt = [
                case.robust(replace(vectors, references=one[None]), purified) for one in references
            ]
            parts = [(one, of) for (one, _), of in zip(learnt, asked, strict=True)]
            copies = learnt[0][1]
            yield from case.faced_by_parts("contrastive", parts, name, copies=copies, **more)
    if len(every) > 1:
        fused = [fuse(of) for of in zip(*every, strict=True)]
        both = list(zip(fused, asked, strict=True))
        yield from case.faced_by_parts("fused", both, "+".join(run.encoders), **more)


def _kind(encoder: str, thought_of: set[str]) -> str:
    return "adaptive" if encoder in thought_of else "unseen-encoder"
