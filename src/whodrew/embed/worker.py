"""Encoding images: what every worker does with a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from whodrew.arena import (
    ImageError,
    Pixels,
    canonical_form,
    decode,
    image_id,
    iter_bytes,
    thumbnail_digest,
)
from whodrew.embed.parts import PartBuffer
from whodrew.embed.places import Place
from whodrew.embed.plan import Plan
from whodrew.embed.vectors import Matrix
from whodrew.encoders.base import Encoder, EncoderCard
from whodrew.errors import WhodrewError


@dataclass(frozen=True)
class Bad:
    """An image that got no vector, and why."""

    reason: str


@dataclass(frozen=True)
class Same:
    """An image whose bytes have a vector already, or are getting one; by image_id."""

    image_id: str


@dataclass(frozen=True)
class _Loaded:
    at: int
    pixels: Pixels
    row: dict[str, Any]

    @property
    def identity(self) -> str:
        return str(self.row["image_id"])


class Worker:
    """Encodes batches of an arena's images into parts of a store; shared by all threads.

    Args:
        images: ``Arena.images``.
        plan: the work.
        known: image_ids that have a vector.
        encoder: called from several threads at once; on each ``Decoded.view``, read-only and
            not contiguous, where it has an attribute ``takes_views`` that is true.
        card: what the store holds.
        canonical: side of the canonical form to encode instead, or ``None``.
        folder: the store.
        run: number of the run.
        told: called after every image or small batch with the numbers of images and of
            bytes finished; from any thread.
    """

    def __init__(
        self,
        images: pa.Table,
        plan: Plan,
        known: Container[str],
        encoder: Encoder,
        card: EncoderCard,
        *,
        canonical: int | None,
        folder: Place,
        run: int,
        told: Callable[[int, int], None],
    ) -> None:
        self._images = images
        self._plan = plan
        self._known = known
        self._encoder = encoder
        self._card = card
        self._canonical = canonical
        self._folder = folder
        self._run = run
        self._told = told
        #: Name of the one part that a call of ``work`` writes; else there are as many as
        #: ``PartBuffer`` makes of it, under names of its own.
        self.part: str | None = None
        self._batch = max(1, int(getattr(encoder, "batch_size", 1)))
        self._views = bool(getattr(encoder, "takes_views", False))
        self._claimed: set[str] = set()
        self._lock = threading.Lock()
        self._results: dict[int, Bad | Same | None] = {}
        self.failed: dict[str, Bad] = {}
        self.stop = threading.Event()
        self.error: BaseException | None = None

    @property
    def results(self) -> dict[int, Bad | Same | None]:
        """What became of each image by index: ``None`` where it has a row now."""
        return self._results

    def work(self, indices: Sequence[int]) -> None:
        """Encodes images and writes their rows, as one or several parts.

        Never raises: what concerns one image becomes ``Bad``; what concerns all of them
        (a full disk, an encoder that cannot run) is kept in ``error`` and stops the run.
        """
        buffer = PartBuffer(self._folder, self._run, self.part)
        try:
            try:
                self._work(indices, buffer)
            finally:
                buffer.flush()
        except BaseException as error:  # noqa: BLE001 - raised again by the run's own thread
            with self._lock:
                self.error = self.error or error
            self.stop.set()

    def _work(self, indices: Sequence[int], buffer: PartBuffer) -> None:
        batch: list[_Loaded] = []
        chosen = self._images.take(pa.array(indices, pa.int64()))
        labels = chosen.select(["model", "prompt_id", "seed"]).to_pylist()
        for position, data in iter_bytes(chosen):
            if self.stop.is_set():
                return
            at = indices[position]
            loaded = self._load(at, labels[position], data)
            size = 0 if isinstance(data, ImageError) else len(data)
            if isinstance(loaded, _Loaded):
                batch.append(loaded)
            else:
                self._results[at] = loaded
            if len(batch) >= self._batch:
                self._encode(batch, buffer)
                batch = []
            self._told(1, size)
        if batch:
            self._encode(batch, buffer)

    def _load(
        self, at: int, labels: dict[str, Any], data: bytes | ImageError
    ) -> _Loaded | Bad | Same:
        if isinstance(data, ImageError):
            return Bad(data.reason)
        identity = image_id(data)
        with self._lock:
            if identity in self._known or identity in self._claimed:
                return Same(identity)
            self._claimed.add(identity)
        try:
            image = decode(data)
            if self._canonical is not None:
                pixels = canonical_form(image, self._canonical)
            else:
                pixels = image.view if self._views else image.pixels
        except ImageError as error:
            return self._fail(identity, error.reason)
        row = {
            **labels,
            "image_id": identity,
            "path": self._plan.paths[at],
            "width": image.width,
            "height": image.height,
            "format": image.format,
            "thumbnail": thumbnail_digest(image),
            "size": _or_none(self._plan.sizes[at]),
            "mtime_ns": _or_none(self._plan.mtimes[at]),
        }
        return _Loaded(at, pixels, row)

    def _fail(self, identity: str, reason: str) -> Bad:
        self.failed[identity] = bad = Bad(reason)
        return bad

    def _encode(self, batch: list[_Loaded], buffer: PartBuffer) -> None:
        for loaded, vector in zip(batch, self._vectors(batch), strict=True):
            if isinstance(vector, str):
                self._results[loaded.at] = self._fail(loaded.identity, vector)
                continue
            buffer.add(loaded.row, vector)
            self._results[loaded.at] = None

    def _vectors(self, batch: list[_Loaded]) -> list[Matrix | str]:
        """Encodes a batch; one by one where that fails, so that the culprit is named."""
        try:
            return self._checked(self._encoder.encode([image.pixels for image in batch]), batch)
        except WhodrewError:
            raise
        except Exception as error:  # noqa: BLE001 - plug-ins raise anything
            if len(batch) > 1:
                return [self._vectors([image])[0] for image in batch]
            reason = " ".join(str(error).split())[:200]
            return [f"{self._card.name}: {type(error).__name__}: {reason}"]

    def _checked(self, vectors: Any, batch: list[_Loaded]) -> list[Matrix | str]:
        found = np.asarray(vectors)
        wanted = (len(batch), self._card.dimension)
        if found.shape != wanted:
            raise ValueError(f"gave an array of shape {found.shape}, its card says {wanted}")
        with np.errstate(over="ignore", invalid="ignore"):
            kept = found.astype(self._card.dtype)
        finite = np.isfinite(kept).all(axis=1)
        return [
            row if good else self._not_finite(given)
            for row, good, given in zip(kept, finite, found, strict=True)
        ]

    def _not_finite(self, given: Matrix) -> str:
        where = int(np.flatnonzero(~np.isfinite(given.astype(self._card.dtype)))[0])
        return (
            f"{self._card.name} gave {given[where]} as number {where}, "
            f"which is not finite in {self._card.dtype}"
        )


def _or_none(value: np.int64) -> int | None:
    return int(value) if value >= 0 else None
