"""Defending one image after the other, from several threads."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from whodrew.arena import Arena, ImageError, decode, image_id, iter_bytes, partition
from whodrew.arena.containers import is_archive
from whodrew.defend.base import Example, Secret
from whodrew.defend.clock import spent
from whodrew.defend.defence import Defence
from whodrew.defend.ledger import Ledger, Row
from whodrew.defend.picture import Picture
from whodrew.defend.quality import Perceptual, quality
from whodrew.errors import WhodrewError

_SHARE: Final = 16  # images that a thread takes at a time
_AHEAD: Final = 4  # decoded pictures waiting for a stage that learns, for each thread
Clock = Callable[[], float]


def defended(
    defence: Defence,
    data: bytes,
    row: Mapping[str, Any],
    *,
    draw: int = 0,
    perceptual: Perceptual | None = None,
    clock: Clock = spent,
) -> tuple[bytes, Row]:
    """Defends one image and measures what that costs.

    Args:
        defence: fitted.
        data: the file.
        row: its ``model`` and ``prompt_id``.
        draw: which draw of the defence.
        perceptual: LPIPS, where it is to be measured.
        clock: seconds; the thread's own time where other threads work too.

    Returns:
        The file to show, and its facts.

    Raises:
        WhodrewError: it cannot be decoded, or a stage cannot defend it.
    """
    labels = {"model": row["model"], "prompt_id": row["prompt_id"]}
    began = clock()
    picture = Picture.of(decode(data).image)
    file = defence.served.encode(defence.changed(picture, **labels, draw=draw).image)
    seconds = clock() - began
    shown = Picture.of(decode(file).image)
    cost = quality(defence.plain(picture), shown, perceptual=perceptual)
    width, height = shown.size
    return file, {
        "source_image_id": image_id(data),
        "image_id": image_id(file),
        "file_bytes": len(file),
        "width": width,
        "height": height,
        "psnr": cost.psnr,
        "ssim": cost.ssim,
        "lpips": cost.lpips,
        "max_change": cost.max_change,
        "milliseconds": 1000 * seconds,
    }


def dealt_shares(
    images: pa.Table, pending: Sequence[int], plans: Mapping[int, Row], secret: Secret
) -> list[list[int]]:
    """Deals images out to threads, shuffled.

    In the arena's order one model would come after the other, and so would what the disk
    keeps of each new file: its number, place and time of birth. Images inside Parquet are
    only dealt row group by row group, for each is read as a whole. The shuffle is the same
    for the same arena, but cannot be repeated, and so undone, from what is shown: it is
    seeded by names, sizes and times of the originals, and the secret. whodrew's own.

    Args:
        images: ``Arena.images``.
        pending: indices into it, of the images to defend.
        plans: what is known of each before it is read.
        secret: the operator's.

    Returns:
        Shares of indices, each index once.
    """
    digest = hashlib.blake2b()
    for at in pending:
        known = [plans[at][name] for name in ("source_item", "source_size", "source_mtime_ns")]
        digest.update(repr(known).encode("utf-8", "surrogatepass"))
    rng = secret.rng(digest.digest(), draw=0, place=0)
    order = rng.permutation(pending).tolist()
    places = images["container"].take(pa.array(order, pa.int64())).to_pylist()
    archived = [at for at, place in zip(order, places, strict=True) if place and is_archive(place)]
    apart = set(archived)
    others = [at for at in order if at not in apart]
    # partition brings images of archives into the order of storage: they are read one by one
    shares = [archived[at : at + _SHARE] for at in range(0, len(archived), _SHARE)]
    if others:
        todo = images.take(pa.array(others, pa.int64()))
        shares += [[others[at] for at in share] for share in partition(todo, _SHARE)]
    return [shares[at] for at in rng.permutation(len(shares))]


def _read(share: pa.Table) -> Iterator[tuple[int, bytes | ImageError]]:
    """Reads a share in its own order, inside Parquet in the order of storage."""
    container = share["container"][0].as_py()
    if container is None or not is_archive(container):
        yield from iter_bytes(share)
        return
    for at in range(len(share)):
        for _, data in iter_bytes(share.slice(at, 1)):
            yield at, data


@dataclass
class Crew:
    """Defends shares of an arena's images; shared by all threads.

    Attributes:
        images: ``Arena.images``.
        shares: indices into it, as ``dealt_shares`` deals them out.
        plans: the facts that are known before an image is read, one an image.
        defence: fitted.
        draw: which draw.
        perceptual: LPIPS, where it is to be measured.
        ledger: takes the files and their facts.
        told: called with the number of images and of bytes finished.
        rows: index to facts, of images that went well.
        bad: index to the reason, of others.
        written: number of files written by this run.
        stop: set when the threads are to leave off.
        error: what stopped the run, if anything did.
    """

    images: pa.Table
    shares: Sequence[Sequence[int]]
    plans: Mapping[int, Row]
    defence: Defence
    draw: int
    perceptual: Perceptual | None
    ledger: Ledger
    told: Callable[[int, int], None]
    rows: dict[int, Row] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)
    written: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, numbers: Sequence[int]) -> None:
        """Defends the shares of these numbers; never raises."""
        try:
            for number in numbers:
                share = self.shares[number]
                table = self.images.take(pa.array(share, pa.int64()))
                labels = table.select(["item", "model", "prompt_id"]).to_pylist()
                for at, data in _read(table):
                    if self.stop.is_set():
                        return
                    self._one(share[at], labels[at], data)
        except BaseException as error:  # noqa: BLE001 - raised again by the run
            self.error = error
            self.stop.set()

    def _one(self, index: int, labels: Row, data: bytes | ImageError) -> None:
        size = 0
        try:
            if isinstance(data, ImageError):
                raise data
            size = len(data)
            row = self._known(index, labels, data)
            if row is None:
                file, facts = defended(
                    self.defence, data, labels, draw=self.draw, perceptual=self.perceptual
                )
                row = {**self.plans[index], **facts}
                self.ledger.add(file, row)
                with self._lock:
                    self.written += 1
            self.rows[index] = row
        except MemoryError:
            self.bad[index] = "not enough memory"
        except WhodrewError as error:
            self.bad[index] = getattr(error, "reason", None) or str(error)
        self.told(1, size)

    def _known(self, index: int, labels: Row, data: bytes) -> Row | None:
        """Returns the row of an image in memory that was defended before."""
        plan = self.plans[index]
        if plan["source_size"] is not None:
            return None
        wanted = {"path": plan["path"], "source_image_id": image_id(data)}
        return self.ledger.still_there(labels["item"], wanted)


def examples(arena: Arena, workers: int) -> Iterator[Example]:
    """Yields the arena's pictures, decoded ahead by some threads; bad ones are left out.

    Args:
        arena: the images.
        workers: threads.
    """
    labels = arena.images.select(["model", "prompt_id"]).to_pylist()

    def load(found: tuple[int, bytes | ImageError]) -> Example | None:
        at, data = found
        if isinstance(data, ImageError):
            return None
        try:
            return Example(Picture.of(decode(data).image), **labels[at])
        except ImageError:
            return None

    with ThreadPoolExecutor(workers) as pool:
        for one in _ahead(pool, load, iter_bytes(arena.images), _AHEAD * workers):
            if one is not None:
                yield one


def _ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Any], Example | None],
    items: Iterable[Any],
    most: int,
) -> Iterator[Example | None]:
    waiting: deque[Future[Example | None]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
