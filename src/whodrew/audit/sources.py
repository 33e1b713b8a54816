"""Opening what an audit is given: an arena of images, or embeddings somebody made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whodrew.arena import Arena, BadItem, is_embedding_table, parse_columns, read_arena
from whodrew.audit.gathered import Gathered
from whodrew.audit.joined import gather_arena
from whodrew.audit.passes import gather_store
from whodrew.embed import EmbedResult, Progress, embed, encoder_card, open_store
from whodrew.errors import InputError, UsageError

Report = Callable[[str, Progress], None]
SAMPLE_MARKER = ".whodrew-sample.json"


@dataclass(frozen=True)
class Source:
    """An arena of images, or a store of embeddings without one.

    Attributes:
        name: what the user gave.
        arena: the images; ``None`` for a store.
        notes: what was taken for granted, for people.
    """

    name: str
    arena: Arena | None
    notes: tuple[str, ...]

    @property
    def families(self) -> Mapping[str, str]:
        """Model to family, where known."""
        return self.arena.families if self.arena else {}

    @property
    def texts(self) -> Mapping[str, str]:
        """Prompt id to text, where known."""
        return self.arena.prompts if self.arena else {}

    @property
    def synthetic(self) -> bool:
        """Whether it is whodrew's own sample arena."""
        return self.arena is not None and (Path(self.name) / SAMPLE_MARKER).is_file()


def open_source(
    source: str | Path | Arena, layout: str | None, columns: Sequence[str] = ()
) -> Source:
    """Opens an arena or an embedding store.

    Raises:
        InputError: it is neither, or holds no image.
        UsageError: the layout is unknown.
    """
    if isinstance(source, Arena):
        return Source(source.source, source, source.notes)
    if is_embedding_table(source):
        return Source(str(source), None, ())
    arena = read_arena(source, layout=layout, columns=parse_columns(columns))
    if len(arena) == 0:
        first = f" (first of {len(arena.bad)}: {arena.bad[0].item}: {arena.bad[0].reason})"
        raise InputError(
            f"{source} holds no image that can be read{first if arena.bad else ''}: give a folder "
            "<model>/<prompt_id>/<seed>.<ext>, a manifest, or an embedding store"
        )
    return Source(str(source), arena, arena.notes)


@dataclass(frozen=True)
class Embedded:
    """One encoder's view of a source.

    Attributes:
        gathered: labelled embeddings.
        entry: the contract's entry of ``encoders``.
        bad: images that have no embedding, and rows without use.
        notes: what was made up, for people.
    """

    gathered: Gathered
    entry: Mapping[str, Any]
    bad: tuple[BadItem, ...]
    notes: tuple[str, ...]


def embedded(
    source: Source,
    encoder: str,
    store: Path,
    *,
    canonical: int | None,
    workers: int | None,
    report: Report | None,
    engine: str = "native",
    address: str | None = None,
    scratch: Path | None = None,
) -> Embedded:
    """Embeds what is not yet embedded and gathers it; a store is read as it is.

    Args:
        source: arena or store.
        encoder: its name; ignored for a store.
        store: folder for the vectors.
        canonical: side of the canonical form, or ``None``.
        workers: threads.
        report: told of progress.
        engine: what encodes, ``native`` or ``ray``.
        address: of the Ray cluster.
        scratch: folder for vectors that do not fit into memory; where ``store`` lies if not
            given.

    Raises:
        UsageError: a canonical form is asked of a store.
    """
    if source.arena is None:
        if canonical is not None:
            raise UsageError(
                f"--canonical needs the images, {source.name} is an embedding store: "
                "give the arena it was made from"
            )
        opened = open_store(source.name)
        gathered, notes = gather_store(opened, scratch or store, shared=engine == "ray")
        entry = _entry(opened.card.to_dict(), None)
        return Embedded(gathered, entry, gathered.bad, tuple(notes))
    label = encoder if canonical is None else f"{encoder}, canonical {canonical}"
    done = embed(
        source.arena,
        encoder,
        store,
        canonical=canonical,
        workers=workers,
        engine=engine,
        address=address,
        progress=None if report is None else lambda state: report(label, state),
    )
    opened = open_store(store)
    gathered = gather_arena(
        opened,
        source.arena,
        encoder_card(encoder, canonical),
        scratch or store,
        shared=engine == "ray",
    )
    return Embedded(gathered, _entry(done.card.to_dict(), done), (*done.bad, *gathered.bad), ())


def _entry(card: dict[str, Any], done: EmbedResult | None) -> dict[str, Any]:
    known = ("name", "revision", "dimension", "scale", "preprocessing")
    values: dict[str, Any] = {name: card[name] for name in known}
    values["seconds"] = None if done is None else done.seconds
    values["images_per_second"] = None if done is None else done.images_per_second
    if done is None:
        values["seconds_reason"] = "embeddings were given, nothing was encoded"
    if values["images_per_second"] is None:
        values["images_per_second_reason"] = (
            values.get("seconds_reason") or "every image was in the store already"
        )
    return values
