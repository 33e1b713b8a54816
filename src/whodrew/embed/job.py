"""What a driver tells its workers on a cluster: the job, and the partitions of it."""

from __future__ import annotations

import bisect
import pickle
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whodrew.arena import partition
from whodrew.embed.files import TEMPORARY
from whodrew.embed.places import Place
from whodrew.embed.plan import Plan
from whodrew.encoders.base import Encoder, EncoderCard
from whodrew.errors import UsageError

#: Images a partition: some seconds of work for most encoders on processors, and few
#: batches for those on a GPU. A worker that dies costs this much, once.
PARTITION_IMAGES: Final = 64
_BATCHES: Final = 4
_BYTES: Final = 64 << 20  # of images in memory that a partition carries
_KEY: Final = 16
_IMAGE_ID: Final = re.compile(r"[0-9a-f]{32}")

#: What a partition carries beside the columns of ``Arena.images``.
CARRIED: Final = pa.schema(
    [
        pa.field("at", pa.int64()),
        pa.field("share", pa.int64()),
        pa.field("stored_path", pa.string()),
        pa.field("stored_size", pa.int64()),
        pa.field("stored_mtime_ns", pa.int64()),
    ]
)

#: What a worker answers for each image.
ANSWER: Final = pa.struct(
    [
        pa.field("at", pa.int64()),
        pa.field("became", pa.string()),
        pa.field("text", pa.string()),
        pa.field("bytes", pa.int64()),
    ]
)

ENCODED: Final = "encoded"
SAME: Final = "same"  # text: the image_id
BAD: Final = "bad"  # text: the reason
LEFT: Final = "left"  # the run was stopped before
REFUSED: Final = "refused"  # text: what is wrong with the run, in one line
BROKEN: Final = "broken"  # text: a traceback


@dataclass(frozen=True)
class Job:
    """One run, as every worker is told of it.

    Attributes:
        token: names the run; its temporary objects in the store begin with it.
        encoder: its name, or a pickled encoder.
        card: what that encoder must say of itself on every worker.
        canonical: side of the canonical form to encode instead, or ``None``.
        store: where the parts go.
        run: number of the run.
        places: most partitions that one process works on at a time, or ``None``.
        images: the schema of ``Arena.images``.
    """

    token: str
    encoder: str | bytes
    card: EncoderCard
    canonical: int | None
    store: Place
    run: int
    places: int | None
    images: pa.Schema

    @property
    def known(self) -> Place:
        """The object that holds the image_ids which have a vector."""
        return self.store / f"{self.token}-known{TEMPORARY}"

    @property
    def stopped(self) -> Place:
        """The object that is there once the run is to end."""
        return self.store / f"{self.token}-stop{TEMPORARY}"

    @property
    def schema(self) -> pa.Schema:
        """The columns of a partition."""
        return pa.schema([*self.images, *CARRIED])


def packed(encoder: Encoder, name: str) -> bytes:
    """Returns an encoder as bytes, for the workers.

    Raises:
        UsageError: it cannot be pickled.
    """
    try:
        return pickle.dumps(encoder)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise UsageError(
            f"the encoder {name!r} cannot be sent to other machines ({reason}): give its name, "
            "registered by a package that is installed there, or make it picklable"
        ) from error


def pack_known(images: Iterable[str]) -> bytes:
    """Returns image_ids sorted, 16 bytes each; ids that are no hash of ours are left out."""
    return b"".join(sorted(bytes.fromhex(name) for name in images if _IMAGE_ID.fullmatch(name)))


class KnownIds:
    """What ``pack_known`` gave, as a container of image_ids."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._count = len(data) // _KEY

    def __contains__(self, image: object) -> bool:
        if not isinstance(image, str) or not _IMAGE_ID.fullmatch(image):
            return False
        wanted = bytes.fromhex(image)
        at = bisect.bisect_left(range(self._count), wanted, key=self._key)
        return at < self._count and self._key(at) == wanted

    def _key(self, at: int) -> bytes:
        return self._data[_KEY * at : _KEY * (at + 1)]


def shares(images: pa.Table, plan: Plan, processors: int, batch: int) -> list[list[int]]:
    """Splits what is pending into partitions.

    Images of one Parquet row group stay together where they are not too many, because a
    row group is read whole.

    Args:
        images: ``Arena.images``.
        plan: the work.
        processors: of the cluster.
        batch: images that the encoder takes at a time.

    Returns:
        Indices into ``images``.
    """
    most = max(PARTITION_IMAGES, _BATCHES * batch)
    size = max(1, min(most, -(-len(plan.pending) // (4 * max(1, processors)))))
    pending = np.asarray(plan.pending, np.int64)
    chosen = images.take(pa.array(pending))
    sizes = _sizes(chosen)
    found: list[list[int]] = []
    held: list[int] = []
    weight = 0
    for share in partition(chosen, size):
        for piece in _light(share, sizes, 4 * most):
            more = int(sizes[piece].sum())
            # row groups of a few images each would make partitions of a few
            if held and (len(held) + len(piece) > size or weight + more > _BYTES):
                found.append(held)
                held, weight = [], 0
            held, weight = held + piece, weight + more
    if held:
        found.append(held)
    return [pending[share].tolist() for share in found]


def _sizes(images: pa.Table) -> Any:
    """Returns how many bytes each image brings along: 0 where it lies in a file."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.binary_length(images["bytes"]), 0))


def _light(share: Sequence[int], sizes: Any, most: int) -> list[list[int]]:
    """Splits a share that has too many images or carries too many bytes."""
    pieces: list[list[int]] = [[]]
    weight = 0
    for at in share:
        if pieces[-1] and (len(pieces[-1]) >= most or weight + sizes[at] > _BYTES):
            pieces.append([])
            weight = 0
        pieces[-1].append(at)
        weight += int(sizes[at])
    return pieces


def partition_table(images: pa.Table, plan: Plan, share: int, indices: Sequence[int]) -> pa.Table:
    """Returns the rows of one partition, columns as ``Job.schema``."""
    at = np.asarray(indices, np.int64)
    carried = pa.table(
        {
            "at": at,
            "share": np.full(len(at), share, np.int64),
            "stored_path": pa.array([plan.paths[index] for index in indices], pa.string()),
            "stored_size": plan.sizes[at],
            "stored_mtime_ns": plan.mtimes[at],
        },
        schema=CARRIED,
    )
    table = images.take(pa.array(at))
    for name in CARRIED.names:
        table = table.append_column(name, carried[name])
    return table
