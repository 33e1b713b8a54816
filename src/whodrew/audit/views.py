"""What an audit looks at: one encoder on one form of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path

import numpy as np

from whodrew.audit.copies import LEARNERS, Copies, with_copies
from whodrew.audit.forms import canonical_size, container_figure, shared_samples
from whodrew.audit.gathered import Gathered
from whodrew.audit.options import AuditOptions
from whodrew.audit.result import file_name
from whodrew.audit.sources import Embedded, Report, Source, embedded
from whodrew.identify.samples import Samples
from whodrew.measure.container import ContainerFigure

Said = Callable[[str], None]


@dataclass(frozen=True)
class View:
    """One encoder on one form of the images, with the references it is named by.

    Attributes:
        encoder: its name.
        canonical: side of the canonical form, or ``None``.
        embedded: the arena's embeddings.
        samples: the arena's samples.
        references: samples of another arena, sharing code books; ``None`` for the same.
        references_from: name of that arena.
        container: what size and format give away.
        leads: whether its figures come first: not the native form beside a canonical one.
    """

    encoder: str
    canonical: int | None
    embedded: Embedded
    samples: Samples
    references: Samples | None
    references_from: str | None
    container: ContainerFigure | None
    leads: bool = True

    @property
    def gathered(self) -> Gathered:
        """The arena's labelled embeddings."""
        return self.embedded.gathered


def views_of(
    source: Source,
    references: Source | None,
    options: AuditOptions,
    out: Path,
    scratch: Path,
    report: Report | None,
    said: Said,
    *,
    told: bool = False,
) -> Iterator[View]:
    """Yields what is attacked: the canonical form first where the containers differ.

    Args:
        source: the arena.
        references: another arena that references come from, or ``None``.
        options: what to do.
        out: folder of the stores.
        scratch: folder for what is not kept.
        report: told of the progress of encoding.
        said: told what is being done.
        told: whether the container alone tells models apart, by whatever field.
    """
    encode = partial(
        embedded,
        workers=options.workers,
        report=report,
        engine=options.engine,
        address=options.address,
        scratch=scratch,
    )
    learns = bool(LEARNERS & set(options.identifiers))

    def copied(of: Source, name: str, where: Path, form: Embedded, size: int | None) -> Copies:
        """Returns the copies that identifiers learn from, where one does."""
        if not learns:
            return Copies()
        made = with_copies(
            of,
            name,
            where,
            form.gathered,
            canonical=size,
            workers=options.workers,
            engine=options.engine,
            address=options.address,
            report=report,
            scratch=scratch,
        )
        for note in made.notes:
            said(note)
        return made

    encoders = dict.fromkeys(options.encoders if source.arena else ("",))
    for encoder in encoders:
        store = options.store or out / "store" / file_name(encoder or "given")
        native = encode(source, encoder, store, canonical=None)
        container = container_figure(native.gathered, options.seed)
        size = options.canonical
        differs = container is not None and container.differs
        if size is None and source.arena and (differs or told):
            size = canonical_size(native.gathered)
            why = "size or format differ between models" if differs else "files tell models apart"
            said(f"{why}: also measured at {size}x{size}")
        forms: list[tuple[Embedded, Path, int | None]] = [(native, store, None)]
        if size is not None:
            shrunk = store.with_name(f"{store.name}-canonical-{size}")
            forms.insert(0, (encode(source, encoder, shrunk, canonical=size), shrunk, size))
        for index, (form, where, canonical) in enumerate(forms):
            for note in form.notes:
                said(note)
            name = form.gathered.card.name
            leads = index == 0
            made = copied(source, encoder, where, form, canonical)
            samples = made.beside(form.gathered.samples())
            whole = replace(form, bad=(*form.bad, *made.bad))
            yield View(name, canonical, whole, samples, None, None, container, leads)
            if references is not None:
                there = out / "store" / f"{file_name(encoder or 'given')}-references"
                if canonical is not None:
                    there = there.with_name(f"{there.name}-canonical-{canonical}")
                name_there = encoder or "fingerprint"
                other = encode(references, name_there, there, canonical=canonical)
                queries, known = shared_samples(form.gathered, other.gathered)
                known = copied(references, name_there, there, other, canonical).beside(known)
                yield View(name, canonical, form, queries, known, references.name, container, leads)


def on_common_images(views: Sequence[View]) -> list[View]:
    """Returns the views with only the images that every encoder could embed.

    Figures of several encoders then speak of the same images, and can be fused; what one of
    them could not embed is among the bad items.
    """
    if len({view.encoder for view in views}) < 2:
        return list(views)
    return [_only(view, views) for view in views]


def _only(view: View, views: Sequence[View]) -> View:
    rivals = [
        frozenset(other.gathered.column("item"))
        for other in views
        if (other.canonical, other.references_from) == (view.canonical, view.references_from)
    ]
    common = reduce(frozenset.intersection, rivals)
    keep = np.array([item in common for item in view.gathered.column("item")], dtype=bool)
    if keep.all():
        return view
    gathered = view.gathered.only(keep)
    samples = view.samples.take(keep[view.samples.source])
    samples = replace(samples, source=(np.cumsum(keep) - 1)[samples.source])
    return replace(view, embedded=replace(view.embedded, gathered=gathered), samples=samples)
