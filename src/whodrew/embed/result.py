"""What a run reports: while it works, and at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from whodrew.arena import BadItem
from whodrew.embed.places import Place
from whodrew.encoders.base import EncoderCard

_EVERY: Final = 0.1  # seconds between two reports


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: images finished, those found in the store included.
        total: images listed.
        bytes: bytes of image files read.
        seconds: time spent reading and encoding.
        rate: images per second since reading began; ``None`` before the first.
        eta: seconds left at that rate; ``None`` before the first.
    """

    done: int
    total: int
    bytes: int
    seconds: float
    rate: float | None
    eta: float | None


@dataclass(frozen=True)
class EmbedResult:
    """What ``embed`` did. ``encoded + reused + len(bad) == images``.

    Attributes:
        store: the folder of the store, or its address on object storage.
        card: the card of its vectors.
        images: images listed.
        encoded: images that went through the encoder.
        reused: images with a row that cost no encoding: known, moved, or the same bytes.
        bad: images without a row, each with the reason.
        seconds: wall time of the whole run.
        images_per_second: ``encoded`` per second of reading and encoding; ``None`` where
            nothing was encoded.
    """

    store: Place
    card: EncoderCard
    images: int
    encoded: int
    reused: int
    bad: tuple[BadItem, ...]
    seconds: float
    images_per_second: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as JSON-ready values."""
        return {
            "store": str(self.store),
            "encoder": self.card.to_dict(),
            "images": self.images,
            "encoded": self.encoded,
            "reused": self.reused,
            "bad": [item.to_dict() for item in self.bad],
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
        }


class Meter:
    """Counts what workers finish and tells it on, one call at a time, not too often.

    Args:
        report: gets the reports; may be called from any thread.
        done: images finished before it starts.
        total: images listed.
    """

    def __init__(self, report: Callable[[Progress], None] | None, done: int, total: int) -> None:
        self._report = report
        self._before = done
        self._total = total
        self._images = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._said = -1.0
        self.tell()

    @property
    def seconds(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self._began

    def restart(self) -> None:
        """Takes what went before, such as the start of a cluster, off the time that counts."""
        with self._lock:
            self._began = time.monotonic()
            self._said = -1.0

    def add(self, images: int, size: int) -> None:
        """Counts images and their bytes as finished."""
        with self._lock:
            self._images += images
            self._bytes += size
            due = self._report is not None and self.seconds - self._said >= _EVERY
            if due:
                self._said = self.seconds
                self._tell()

    def tell(self) -> None:
        """Reports now."""
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        if self._report is None:
            return
        seconds = self.seconds
        done = self._before + self._images
        rate = self._images / seconds if self._images and seconds > 0 else None
        eta = (self._total - done) / rate if rate else None
        self._report(Progress(done, self._total, self._bytes, seconds, rate, eta))
