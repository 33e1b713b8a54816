"""The operator's secret on disk: made when none is given, told again without being kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whodrew.defend.base import Secret
from whodrew.errors import InputError, UsageError

#: Behind the folder's name, it is the name of the file that keeps the secret.
SECRET_ENDING: Final = ".secret.txt"  # noqa: S105 - a name is none
_INSIDE: Final = "secret.txt"
_GIVE: Final = "give the secret by WHODREW_SECRET or --secret"
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


def secret_path(folder: Path) -> Path:
    """Returns where the secret of a defended arena is kept: beside the folder, not in it.

    What lies in the folder gets served, copied and published with it. Links are followed
    first: a folder has one such place by whatever name it is called, and no two share one.

    Raises:
        UsageError: it is the root of a disk.
    """
    real = folder.resolve()
    if not real.name:
        raise UsageError(f"{folder} has nothing beside it to keep a secret in: {_GIVE}")
    return real.with_name(real.name + SECRET_ENDING)


def refuse_secret_inside(folder: Path) -> None:
    """Refuses a folder with a secret in it.

    Raises:
        UsageError: there is one.
    """
    file = folder / _INSIDE
    if file.is_symlink() or file.is_file():
        raise UsageError(
            f"{file} would be served and copied with the folder: move it to {secret_path(folder)}"
        )


def kept_secret(folder: Path, *, anew: bool) -> tuple[Secret, Path, bool]:
    """Returns the secret that is kept beside a folder, making one where there is none.

    Args:
        folder: of the defended arena; it is there.
        anew: whether one may be made: not for a folder made under one that is gone.

    Returns:
        The secret, the file that keeps it, and whether it was made now.

    Raises:
        InputError: it cannot be read or written.
        UsageError: it is empty, somebody else's, or gone.
    """
    file = secret_path(folder)
    try:
        text = _made(file) if anew else None
        if text is not None:
            return Secret.of(text), file, True
        _refuse_planted(file, folder)
        text = file.read_text("utf-8").strip()
    except FileNotFoundError:
        raise UsageError(
            f"{folder} was made under a secret that is not in {file} now: put it back, or {_GIVE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot keep the secret in {file}: {reason}: {_GIVE}") from error
    if not text:
        raise UsageError(f"{file} is empty: put the secret there, or delete it and {folder}")
    return Secret.of(text), file, False


def _made(file: Path) -> str | None:
    """Writes a new secret for nobody else to read; ``None`` where a file is there."""
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
    except OSError:
        file.unlink(missing_ok=True)
        raise
    return text


def _refuse_planted(file: Path, folder: Path) -> None:
    """Refuses a secret that others have laid beside the folder, as all may in /tmp."""
    info = file.lstat()
    # some file systems give what anybody writes to one user: the folder's too, then
    if hasattr(os, "geteuid") and info.st_uid not in {os.geteuid(), 0, folder.stat().st_uid}:
        raise UsageError(
            f"{file} is another user's, who knows what is in it: delete it, or {_GIVE}"
        )
    if not stat.S_ISREG(file.stat().st_mode):
        raise UsageError(f"{file} is no file: give another --out, or {_GIVE}")
