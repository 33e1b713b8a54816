"""The folder of a defended arena: new, or one that an earlier run of the same kind began."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.arena import Arena, is_embedding_table, read_arena
from whodrew.defend.arena_result import PROFILE_FILE, RECORD_FILE, SCHEMA, Defended, software
from whodrew.defend.base import Secret
from whodrew.defend.defence import Defence
from whodrew.defend.ledger import WORK, Ledger
from whodrew.defend.secrecy import GIVE, Kept, SecretCheck, kept_secret, refuse_secret_inside
from whodrew.embed.files import TEMPORARY, locked, sync_folder, write_atomically
from whodrew.embed.places import is_remote
from whodrew.errors import InputError, UsageError

_ANEW: Final = "give another --out, or delete this one"


@dataclass
class Opened:
    """A folder that this run holds.

    Attributes:
        out: the folder.
        defence: with its secret, and fitted where an earlier run had it fitted.
        draw: which draw is written.
        secret_file: name of the file beside the folder that keeps the secret, if one does.
        check: tells the secret again; ``None`` where none matters.
        ledger: what is there.
    """

    out: Path
    defence: Defence
    draw: int
    secret_file: str | None
    check: SecretCheck | None
    ledger: Ledger

    def begin(self, defence: Defence) -> None:
        """Writes what is fitted, and what later runs have to match."""
        profile = profile_of(defence)
        if profile is not None and not (self.out / PROFILE_FILE).is_file():
            write_atomically(self.out / PROFILE_FILE, lambda sink: sink.write(profile))
        self.defence = defence
        self._write({"schema": SCHEMA, "software": software()}, complete=False)

    def complete(self, result: Defended) -> None:
        """Writes the result."""
        values = result.to_dict()
        # the folder may be moved, and who sees the record need not know where the secret lies
        for name in ("arena", "out", "dry_run", "secret_file"):
            del values[name]
        values.pop("secret_file_reason", None)
        self._write(values, complete=True)

    def _write(self, values: dict[str, Any], *, complete: bool) -> None:
        record = {
            **values,
            "complete": complete,
            "defence": self.defence.spec,
            "draw": self.draw,
            "secret_check": None if self.check is None else self.check.to_dict(),
        }
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(self.out / RECORD_FILE, lambda sink: sink.write(text.encode()))


def opened_arena(arena: Arena | str | Path) -> Arena:
    """Reads the arena to defend, where it is not read yet.

    Raises:
        UsageError: it holds no images, or lies on object storage.
        InputError: it cannot be read, or none of its images can.
    """
    if not isinstance(arena, Arena):
        if is_remote(arena):
            raise UsageError(f"{arena}: images are read from disks, copy or mount them")
        if is_embedding_table(arena):
            raise UsageError(f"{arena} is an embedding store: give the images")
        arena = read_arena(arena)
    if len(arena) == 0:
        raise InputError(f"{arena.source} holds no image that can be read")
    return arena


def refuse_file(out: Path) -> None:
    """Refuses a file where a folder is wanted, before anything is read.

    Raises:
        UsageError: it is one.
    """
    with suppress(OSError):  # making the folder will say why
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is a file: give a new folder, or one to go on with")


def refuse_nested(source: str, out: Path) -> None:
    """Refuses a folder inside the arena, or around it.

    Raises:
        UsageError: it is.
    """
    if not Path(source).exists():
        return
    one, other = Path(source).resolve(), out.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise UsageError(f"{out} and the arena {source} lie inside each other: give another --out")


@contextmanager
def opened_folder(
    out: Path,
    defence: Defence,
    secret: Secret | str | None,
    draw: int,
    said: Callable[[str], None],
    warned: Callable[[str], None],
) -> Iterator[Opened]:
    """Holds the folder, with the secret it was made with.

    Args:
        out: new, empty, or begun by an earlier run.
        defence: as asked for.
        secret: as given.
        draw: as asked for.
        said: gets lines for people.
        warned: gets those that must not be missed.

    Raises:
        UsageError: the folder holds something else or a secret, is of another defence, secret,
            draw or profile, or is held by another run; or its secret is gone.
        InputError: it cannot be made, or its record cannot be read.
    """
    refuse_secret_inside(out)
    try:
        (out / WORK).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror or error}") from error
    with _held(out):
        record = _record(out)
        check = _checked(out, record, defence, draw)
        secret_file = None
        if defence.is_random:
            if secret is None:
                kept = _kept(out, check is None, said, warned)
                chosen, secret_file = kept.secret, kept.file.name
                where = f"that in {kept.file}"
            else:
                chosen = secret if isinstance(secret, Secret) else Secret.of(secret)
                where = "the one given by --secret or WHODREW_SECRET"
            if check is not None and not check.fits(chosen):
                raise UsageError(
                    f"{out} was made under another secret than {where}: {_ANEW}, or {GIVE}"
                )
            defence = defence.with_secret(chosen)
            check = check or SecretCheck.of(chosen)
        defence = _fitted(out, defence)
        if record is not None and (found := record.get("software")) != software():
            said(f"{out} was begun with other versions ({_others(found)}): files may differ")
        yield Opened(out, defence, draw, secret_file, check, Ledger(out))


def _kept(
    out: Path, anew: bool, said: Callable[[str], None], warned: Callable[[str], None]
) -> Kept:
    """Returns the secret beside the folder, and says what to know of it."""
    kept = kept_secret(out, anew=anew)
    file = kept.file
    if kept.new:
        sync_folder(file.parent)
        warned(
            f"a fresh secret is kept in {file}: whoever has it can undo the defence; show nobody, "
            "neither serve nor commit that file, and keep it to go on or to serve images"
        )
    elif anew:
        said(
            f"the secret that lies in {file} is taken: if it has defended these images otherwise "
            "before, two defended versions of each share a key; delete the file for a fresh one"
        )
    if kept.readable:
        warned(f"others may read {file}: {kept.readable}")
    return kept


@contextmanager
def _held(out: Path) -> Iterator[None]:
    taken = False
    try:
        with locked(out / WORK):
            taken = True
            yield
    except UsageError as error:
        if taken:
            raise
        raise UsageError(
            f"{out} is being written by another run: wait for it, stop it, or give another --out"
        ) from error


def _record(out: Path) -> dict[str, Any] | None:
    """Reads what an earlier run noted; ``None`` where the folder is new."""
    file = out / RECORD_FILE
    if not file.is_file():
        ours = (WORK, PROFILE_FILE)
        others = [one.name for one in out.iterdir() if one.name not in ours]
        others = [name for name in others if not name.endswith(TEMPORARY)]
        if others:
            raise UsageError(
                f"{out} holds {min(others)!r} and is no defended arena: give a new or empty folder"
            )
        return None
    try:
        record = json.loads(file.read_text("utf-8"))
        if record["schema"] != SCHEMA:
            raise ValueError(record["schema"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} cannot be read as {SCHEMA}: {_ANEW}") from error
    return dict(record)


def _checked(
    out: Path, record: dict[str, Any] | None, defence: Defence, draw: int
) -> SecretCheck | None:
    if record is None:
        return None
    for name, asked in (("defence", defence.spec), ("draw", draw)):
        if record.get(name) != asked:
            raise UsageError(f"{out} is of {name} {record.get(name)}, not {asked}: {_ANEW}")
    found = record.get("secret_check")
    try:
        return None if found is None else SecretCheck(str(found["salt"]), str(found["digest"]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{out / RECORD_FILE} cannot be read as {SCHEMA}: {_ANEW}") from error


def _fitted(out: Path, defence: Defence) -> Defence:
    """Takes what an earlier run has learnt, unless something else was given."""
    file = out / PROFILE_FILE
    if not file.is_file() or not defence.learns:
        return defence
    if defence.unfitted:
        return defence.with_profile(file)
    mine = profile_of(defence)
    if mine is not None and profile_digest(mine) != profile_digest(file.read_bytes()):
        raise UsageError(f"{out} was made with another profile: {_ANEW}")
    return defence


def profile_of(defence: Defence) -> bytes | None:
    """Returns what the stages have learnt, ``None`` where none learns."""
    return defence.profile() if defence.learns else None


def profile_digest(profile: bytes) -> str:
    """Returns a hash of what a profile holds; the file itself has the time in it."""
    digest = hashlib.blake2b(digest_size=16)
    with np.load(io.BytesIO(profile), allow_pickle=False) as arrays:
        for name in sorted(arrays.files):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _others(found: Any) -> str:
    now = software()
    rows = found if isinstance(found, dict) else {}
    return ", ".join(f"{name} {rows.get(name)}" for name in now if rows.get(name) != now[name])
