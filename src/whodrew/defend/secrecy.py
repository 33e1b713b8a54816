"""The operator's secret on disk: made when none is given, told again without being kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whodrew.defend.base import Secret
from whodrew.errors import InputError, UsageError

#: Behind the folder's name, it is the name of the file that keeps the secret.
SECRET_ENDING: Final = ".secret.txt"  # noqa: S105 - a name is none
_INSIDE: Final = "secret.txt"
#: The mend of most that goes wrong with a kept secret.
GIVE: Final = "give the secret by WHODREW_SECRET or --secret"
#: What ``Defence.parse`` takes where none is given: everybody knows it.
NO_SECRET: Final = Secret.of(0)
_ROUNDS: Final = 200_000  # so that a short secret is not guessed from its check


@dataclass(frozen=True)
class SecretCheck:
    """Tells whether a secret is the one a defended arena was made with.

    Attributes:
        salt: hex.
        digest: PBKDF2-HMAC-SHA256 of the secret's key, hex.
    """

    salt: str
    digest: str

    @classmethod
    def of(cls, secret: Secret, salt: str | None = None) -> SecretCheck:
        """Makes the check of a secret, under a salt of its own where none is given."""
        chosen = salt or secrets.token_hex(16)
        found = hashlib.pbkdf2_hmac("sha256", secret.key, bytes.fromhex(chosen), _ROUNDS)
        return cls(chosen, found.hex())

    def fits(self, secret: Secret) -> bool:
        """Whether the secret is the same."""
        return hmac.compare_digest(SecretCheck.of(secret, self.salt).digest, self.digest)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {"salt": self.salt, "digest": self.digest}


@dataclass(frozen=True)
class Kept:
    """A secret that a file beside a defended arena keeps. Not for JSON: it has the secret.

    Attributes:
        secret: what is in it.
        file: the file.
        new: whether it was made now.
        readable: the mend, where others may read it; else empty.
    """

    secret: Secret
    file: Path
    new: bool
    readable: str


def secret_path(folder: Path) -> Path:
    """Returns where the secret of a defended arena is kept: beside the folder, not in it.

    What lies in the folder gets served, copied and published with it. Links are followed
    first: a folder has one such place by whatever name it is called, and no two share one.

    Raises:
        UsageError: it is a disk or a volume of its own. What lies beside that is not on it,
            and in a container is lost with the container.
    """
    real = folder.resolve()
    if not real.name or os.path.ismount(real):
        raise UsageError(f"{folder} is a disk of its own, without a place beside it: {GIVE}")
    return real.with_name(real.name + SECRET_ENDING)


def refuse_secret_inside(folder: Path) -> None:
    """Refuses a folder with a secret in it.

    Raises:
        UsageError: there is one.
    """
    file = folder / _INSIDE
    if not (file.is_symlink() or file.is_file()):
        return
    try:
        place = secret_path(folder)
    except UsageError:
        mend = f"move it out of there, and {GIVE}"
    else:
        mend = f"move it to {place}"
        if place.is_symlink() or place.exists():
            mend = f"move it away; {place} is there already: keep there the one it was made with"
    raise UsageError(f"{file} would be served and copied with the folder: {mend}")


def kept_secret(folder: Path, *, anew: bool) -> Kept:
    """Returns the secret that is kept beside a folder, making one where there is none.

    Args:
        folder: of the defended arena; it is there.
        anew: whether one may be made: not for a folder made under one that is gone.

    Raises:
        InputError: it cannot be read or written.
        UsageError: it is empty, somebody else's, others may write it, or it is gone.
    """
    file = secret_path(folder)
    try:
        made = _made(file) if anew else None
        if made is not None:
            text, loose = made
            return Kept(Secret.of(text), file, True, _mend(file, loose, made_so=loose))
        text, readable = _found(file)
    except FileNotFoundError:
        if anew:  # else one would have been made
            raise UsageError(
                f"{file} is a link to nothing: mend it, delete it, or {GIVE}"
            ) from None
        raise UsageError(
            f"{folder} was made under a secret that is not in {file} now: put it back, or {GIVE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot keep the secret in {file}: {reason}: {GIVE}") from error
    if not text:
        raise UsageError(f"{file} is empty: put the secret there, or delete it and {folder}")
    return Kept(Secret.of(text), file, False, readable)


def _made(file: Path) -> tuple[str, int] | None:
    """Writes a new secret for nobody else to read; ``None`` where a file is there.

    Returns:
        The secret, and the rights that others got all the same.
    """
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    text = secrets.token_urlsafe(32)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as sink:
            sink.write(text + "\n")
            sink.flush()
            os.fsync(sink.fileno())
            loose = _rights(os.fstat(sink.fileno()))
    except OSError:
        file.unlink(missing_ok=True)
        raise
    return text, loose


def _found(file: Path) -> tuple[str, str]:
    """Reads a secret that was there before, unless others may have written it.

    In /tmp and its like, everybody may lay a file beside the folder, and make the folder.

    Returns:
        The secret, and the mend where others may read it.
    """
    owner, made_so = _maker(file.parent)
    if hasattr(os, "geteuid") and file.lstat().st_uid not in {owner, 0}:
        raise UsageError(f"{file} is another user's, who knows what is in it: delete it, or {GIVE}")
    if not stat.S_ISREG(file.stat().st_mode):  # a pipe would never open
        raise UsageError(f"{file} is no file: give another --out, or {GIVE}")
    with file.open(encoding="utf-8") as source:
        loose = _rights(os.fstat(source.fileno()))
        if loose & ~made_so & 0o022:
            raise UsageError(
                f"{file} can be written by others: chmod 600 it if none of them has, else delete "
                f"it, or {GIVE}"
            )
        return source.read().strip(), _mend(file, loose, made_so)


def _maker(folder: Path) -> tuple[int, int]:
    """Returns who owns what this process makes in a folder, and the rights others get on it.

    The owner need not be this process's user, nor need rights hold: some file systems give
    all files to one user, and all rights to all. Where nothing can be made, the user and no
    rights.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=".whodrew-", dir=folder)
    except OSError:
        return (os.geteuid() if hasattr(os, "geteuid") else 0), 0
    try:
        info = os.fstat(handle)
    finally:
        os.close(handle)
        Path(name).unlink(missing_ok=True)
    return info.st_uid, _rights(info)


def _rights(info: os.stat_result) -> int:
    """Returns what group and others may do, as mode bits; nothing where modes say nothing."""
    return info.st_mode & 0o077 if os.name == "posix" else 0


def _mend(file: Path, loose: int, made_so: int) -> str:
    """Says what to do about the rights to read that others have; empty where they have none."""
    if loose & ~made_so & 0o044:
        return f"chmod 600 {file}"
    return f"rights do not hold on that disk, {GIVE}" if loose & 0o044 else ""
