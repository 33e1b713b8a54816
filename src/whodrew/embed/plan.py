"""What a run has to do: which images are known, which must be read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whodrew.arena import Arena, BadItem, stored_path
from whodrew.embed.parts import list_parts, read_labels
from whodrew.embed.places import Place
from whodrew.errors import InputError


@dataclass(frozen=True)
class Known:
    """What a store already holds.

    Attributes:
        files: its parts.
        labels: the rows: image_id, path, size, mtime_ns, run, part, at.
        images: the image_ids that have a vector.
        run: number of the run about to start.
    """

    files: list[Place]
    labels: pa.Table
    images: frozenset[str]
    run: int

    def by_file(self) -> dict[tuple[str, int, int], str]:
        """Returns the hash cache: (path, size, mtime_ns) to image_id, newest run last."""
        order = np.argsort(np.asarray(self.labels["run"].fill_null(0)), kind="stable")
        newest_last = self.labels.take(pa.array(order))
        columns = (newest_last[name].to_pylist() for name in ("path", "size", "mtime_ns"))
        return dict(
            zip(zip(*columns, strict=True), newest_last["image_id"].to_pylist(), strict=True)
        )

    def pairs(self) -> set[tuple[str, str]]:
        """Returns the (image_id, path) of every row."""
        ids, paths = (self.labels[name].to_pylist() for name in ("image_id", "path"))
        return set(zip(ids, paths, strict=True))


@dataclass
class Plan:
    """The work of a run; every image of the arena is counted once.

    Attributes:
        paths: what each image is stored under, one an image.
        sizes: bytes of the file, -1 where there is none.
        mtimes: time of change of the file in nanoseconds, -1 where there is none.
        pending: indices of the images to be read, ascending.
        reused: the number of images whose row is there.
        bad: images that cannot be read.
    """

    paths: list[str]
    sizes: npt.NDArray[np.int64]
    mtimes: npt.NDArray[np.int64]
    pending: list[int] = field(default_factory=list)
    reused: int = 0
    bad: list[BadItem] = field(default_factory=list)


def read_known(folder: Place) -> Known:
    """Reads what a store holds, without its vectors.

    Raises:
        InputError: a part is damaged, or has rows without an image_id or a path.
    """
    files = list_parts(folder)
    labels = read_labels(files, ["image_id", "path", "size", "mtime_ns", "run"])
    for name in ("image_id", "path"):
        if labels[name].null_count:
            raise InputError(
                f"the store {folder} has rows without {name}: it can be read, but not added to"
            )
    runs = [value for value in labels["run"].to_pylist() if value is not None]
    images = frozenset(labels["image_id"].to_pylist())
    return Known(files, labels, images, max(runs, default=0) + 1)


def make_plan(arena: Arena, known: Known) -> Plan:
    """Finds the images that must be read: those whose file is new or has changed.

    Files are looked at (``stat``), not read. Images in memory have no file and are always
    read, which costs a hash of their bytes.
    """
    paths = stored_paths(arena)
    files = arena.images["path"].to_pylist()
    containers = arena.images["container"].to_pylist()
    sizes = np.full(len(paths), -1, np.int64)
    mtimes = np.full(len(paths), -1, np.int64)
    plan = Plan(paths, sizes, mtimes)
    cache = known.by_file() if known.files else {}
    seen: dict[str, tuple[int, int] | str] = {}
    items: list[str] | None = None
    for at, (path, container) in enumerate(zip(files, containers, strict=True)):
        place = path or container
        if place is None:
            plan.pending.append(at)
            continue
        found = seen.get(place) or _stat(place)
        if container:
            seen[place] = found
        if isinstance(found, str):
            items = items or arena.images["item"].to_pylist()
            plan.bad.append(BadItem(items[at], found))
            continue
        sizes[at], mtimes[at] = found
        if (paths[at], *found) in cache:
            plan.reused += 1
        else:
            plan.pending.append(at)
    return plan


def stored_paths(arena: Arena) -> list[str]:
    """Returns what each image of an arena is stored under, in the arena's order.

    That is the absolute path of its file; ``shard.tar::member`` for an image in an archive;
    ``file.parquet#column[row]`` for one inside Parquet; and its item for one in memory.
    """
    names = ["item", "path", "container", "column", "row"]
    columns = (arena.images[name].to_pylist() for name in names)
    return [stored_path(*place) for place in zip(*columns, strict=True)]


def _stat(path: str) -> tuple[int, int] | str:
    try:
        info = os.stat(path)  # noqa: PTH116 - 150,000 times: a Path each would cost more
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return info.st_size, info.st_mtime_ns
