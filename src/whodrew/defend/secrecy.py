"""The operator's secret on disk: made when none is given, told again without being kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whodrew.defend.base import Secret
from whodrew.errors import InputError, UsageError

SECRET_FILE: Final = "secret.txt"  # noqa: S105 - its name is none
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


def kept_secret(folder: Path) -> tuple[Secret, bool]:
    """Returns the secret in a folder, making one where there is none.

    Args:
        folder: of the defended arena.

    Returns:
        The secret, and whether it was made now.

    Raises:
        InputError: it cannot be read or written.
        UsageError: it is empty.
    """
    file = folder / SECRET_FILE
    try:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            text = file.read_text("utf-8").strip()
            if not text:
                raise UsageError(
                    f"{file} is empty: put the secret there, or delete the folder"
                ) from None
            return Secret.of(text), False
        text = secrets.token_urlsafe(32)
        with os.fdopen(handle, "w", encoding="utf-8") as sink:
            sink.write(text + "\n")
            sink.flush()
            os.fsync(sink.fileno())
        return Secret.of(text), True
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot keep the secret in {file}: {reason}") from error
