"""What an audit is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whodrew.encoders.registry import ENCODERS
from whodrew.errors import UsageError
from whodrew.identify.registry import IDENTIFIERS

DEFAULT_IDENTIFIERS = ("nearest-centroid", "whitened-centroid")
FALSE_ALARM = 0.05
ENGINES = ("native", "ray")


@dataclass(frozen=True)
class AuditOptions:
    """Options of ``whodrew audit``.

    Attributes:
        encoders: names; ignored where the arena is an embedding store.
        knowledge: ``matched``, ``other`` or ``auto``.
        shown: ``any``, ``each-once`` or ``auto``.
        identifiers: names; the paper's ``nearest-centroid`` is always added.
        per_cell: references a cell gives at most.
        hide_models: models hidden at a time in the open-set rounds; none when ``None``.
        false_alarm: share of known images that may be answered ``unknown`` there.
        family: CSV of ``model,family``; the one beside the images when ``None``.
        votes: vote log; the one beside the images when ``None``.
        reference_arena: arena that references are taken from besides the arena itself.
        canonical: side of the canonical form; ``None`` decides by the containers.
        store: folder of the embedding store.
        layout: which folder level is which.
        columns: ``ours=theirs`` for columns of other names in manifests and tables.
        curves: whether accuracy against models and references is measured; up to 20,000
            references when ``None``, and of two forms on the one that is shown first.
        seed: seeds everything.
        workers: threads that encode.
        engine: ``native`` (this machine's threads) or ``ray``: what encodes, and on a large
            arena what names and counts, partition by partition.
        address: of the Ray cluster; see ``whodrew.embed``.
    """

    encoders: tuple[str, ...] = ("fingerprint",)
    knowledge: tuple[Literal["matched", "other", "auto"], ...] = ("auto",)
    shown: tuple[Literal["any", "each-once", "auto"], ...] = ("auto",)
    identifiers: tuple[str, ...] = DEFAULT_IDENTIFIERS
    per_cell: int | None = None
    hide_models: int | None = None
    false_alarm: float = FALSE_ALARM
    family: Path | None = None
    votes: Path | None = None
    reference_arena: str | None = None
    canonical: int | None = None
    store: Path | None = None
    layout: str | None = None
    columns: tuple[str, ...] = ()
    curves: bool | None = None
    seed: int = 0
    workers: int | None = None
    engine: str = "native"
    address: str | None = None

    def check(self) -> None:
        """Refuses what cannot be served before anything is encoded.

        Raises:
            UsageError: an unknown name or a number out of range, with the mend.
        """
        for name in self.encoders:
            ENCODERS.check(name)
        for name in self.identifiers:
            IDENTIFIERS.check(name)
        for option, value in (("--per-cell", self.per_cell), ("--hide-models", self.hide_models)):
            if value is not None and value < 1:
                raise UsageError(f"{option} is {value}: give 1 or more")
        if not 0 < self.false_alarm < 1:
            raise UsageError(f"--false-alarm is {self.false_alarm}: give a share between 0 and 1")
        if self.canonical is not None and not 16 <= self.canonical <= 8192:
            raise UsageError(f"--canonical is {self.canonical}: give 16 to 8192 pixels")
        if self.family is not None and not Path(self.family).is_file():
            raise UsageError(f"--family {self.family}: no such file; give a CSV of model,family")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers is {self.workers}: give 1 or more")
        if self.engine not in ENGINES:
            raise UsageError(f"unknown engine {self.engine!r}: {' or '.join(ENGINES)}")
        if self.address is not None and self.engine != "ray":
            raise UsageError(f"--address {self.address} is that of a Ray cluster: add --engine ray")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}: give 0 or more")
        if len(set(self.encoders)) > 1 and self.store is not None:
            raise UsageError("--store holds one encoder's vectors: leave it out with several")

    @property
    def all_identifiers(self) -> tuple[tuple[str, bool], ...]:
        """(name, centred) of every identifier to run, the paper's first."""
        names = dict.fromkeys(("nearest-centroid", *self.identifiers))
        runs: list[tuple[str, bool]] = []
        for name in names:
            if name == "nearest-centroid":
                runs.append((name, False))
            if name != "nearest-centroid" or name in self.identifiers:
                runs.append((name, True))
        return tuple(runs)
