"""What a defended arena already holds: kept line by line, so that a kill loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from whodrew.defend.arena_result import TABLE, TABLE_FILE
from whodrew.embed.files import TEMPORARY
from whodrew.errors import InputError

WORK: Final = ".whodrew"  # hidden: no reader of arenas looks into it
JOURNAL: Final = "journal.jsonl"

#: Second in which every image was last changed, as its file says: 2000-01-01T00:00:00Z. Web
#: servers send that time, and the true one follows the order of the models. It is past
#: (servers alter times to come), even, and what every file system and archive can hold.
CHANGED: Final = 946_684_800
_STEPS: Final = 10_000_000  # of 100 ns, what NTFS counts, in a second

Row = dict[str, Any]
#: What is kept of an image besides its labels, which are the arena's.
FACTS: Final = tuple(
    name for name in TABLE.names if name not in ("model", "prompt_id", "prompt", "seed")
)


def time_of(row: Row) -> int:
    """Returns the time of change that an image gets: ns since 1970, in the second ``CHANGED``.

    Below the second it is a hash of the file, so that stores of embeddings and other caches
    that compare times see a file that was written anew, though padding keeps its size. It
    says nothing that the file does not. whodrew's own.

    Args:
        row: its facts.
    """
    return CHANGED * 1_000_000_000 + int(row["image_id"], 16) % _STEPS * 100


class Ledger:
    """The rows of a defended arena while it grows; adding is safe from many threads.

    Args:
        out: the folder. What is unfinished lies in a hidden folder in it.
        known: name of the source to its row; read from the folder where not given.

    Raises:
        InputError: ``defended.parquet`` is there and cannot be read.
    """

    def __init__(self, out: Path, known: dict[str, Row] | None = None) -> None:
        self.out = out
        self.work = out / WORK
        self.scratch = self.work / "unfinished"
        self._lock = threading.Lock()
        self._sink: IO[str] | None = None
        #: Name of the source to its row.
        self.known: dict[str, Row] = (
            {row["source_item"]: row for row in self._read()} if known is None else known
        )

    def _read(self) -> Iterable[Row]:
        file = self.out / TABLE_FILE
        if file.is_file():
            try:
                yield from pq.read_table(file, columns=list(FACTS)).to_pylist()
            except (OSError, pa.ArrowException, ValueError) as error:
                raise InputError(
                    f"{file} cannot be read ({' '.join(str(error).split())[:120]}): "
                    "delete the folder and begin anew"
                ) from error
        journal = self.work / JOURNAL
        if not journal.is_file():
            return
        for line in journal.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # cut off by a kill: the image is defended again
                continue
            if isinstance(row, dict) and row.keys() == set(FACTS):
                yield row

    def open(self) -> None:
        """Clears away what a killed run left unfinished, and takes rows from now on."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        self._sink = (self.work / JOURNAL).open("a", encoding="utf-8")
        self._sink.write("\n")  # ends a line that was cut off

    def still_there(self, item: str, wanted: Mapping[str, Any]) -> Row | None:
        """Returns the row of a source whose file is there, else ``None``.

        A file that has another time of change by now, as copies may, gets the right one.

        Args:
            item: its name.
            wanted: what the row must say.
        """
        row = self.known.get(item)
        if row is None or any(row[name] != value for name, value in wanted.items()):
            return None
        file, time = self.out / row["path"], time_of(row)
        try:
            info = file.stat()
            if info.st_size != row["file_bytes"]:
                return None
            if info.st_mtime_ns != time:
                os.utime(file, ns=(time, time))
        except OSError:
            return None
        return row

    def add(self, data: bytes, row: Row) -> None:
        """Puts a file in its place, whole or not at all, and notes its row once it is open.

        Args:
            data: the file.
            row: its facts.

        Raises:
            OSError: it cannot be written.
        """
        target = self.out / row["path"]
        unfinished = self.scratch / f"{uuid.uuid4().hex}{TEMPORARY}"
        unfinished.write_bytes(data)
        os.utime(unfinished, ns=(time_of(row), time_of(row)))
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.replace(target)
        if self._sink is not None:
            self.note(row)

    def note(self, row: Row) -> None:
        """Notes the row of a file that is in its place."""
        line = json.dumps({name: row[name] for name in FACTS}) + "\n"
        with self._lock:
            assert self._sink is not None
            self._sink.write(line)
            self._sink.flush()

    def close(self) -> None:
        """Takes no more rows."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def finish(self, kept: set[str]) -> int:
        """Removes files of earlier runs that the arena no longer asks for, and the scratch.

        Only files that the ledger itself has noted are removed. Folders of images get one
        time of change, too.

        Args:
            kept: relative paths of all files that stay.

        Returns:
            How many were removed.
        """
        self.close()
        removed = 0
        for path in {row["path"] for row in self.known.values()} - kept:
            parts = PurePosixPath(path).parts
            if len(parts) != 3 or ".." in parts or path.startswith("/"):
                continue
            file = self.out / path
            if file.is_file():
                file.unlink()
                removed += 1
            for folder in (file.parent, file.parent.parent):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        for folder in {one for path in kept for one in (self.out / path).parents[:2]}:
            with contextlib.suppress(PermissionError):  # of another user, who has begun it
                os.utime(folder, (CHANGED, CHANGED))
        shutil.rmtree(self.work, ignore_errors=True)
        return removed
