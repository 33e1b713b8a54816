"""Names of images that do not tell: keyed, and resolved by those who have the key."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterable
from typing import Final

from whodrew.defend import Secret
from whodrew.defend.secrecy import NO_SECRET
from whodrew.errors import UsageError

_NAME_BYTES: Final = 20
# Of no text at all, as ``Secret.of`` would make it.
_OF_NOTHING: Final = hashlib.blake2b(b"", digest_size=32).digest()


def is_no_secret(secret: Secret) -> bool:
    """Says whether a secret is one that everybody has: of 0, of no text, or no bytes."""
    return secret == NO_SECRET or secret.key in (b"", _OF_NOTHING) or not any(secret.key)


def keyed(secret: Secret, purpose: str, *parts: bytes, size: int = _NAME_BYTES) -> bytes:
    """Returns BLAKE2b of some bytes under the secret, apart for each purpose.

    Args:
        secret: the operator's.
        purpose: at most 16 ASCII characters.
        parts: what is hashed; their lengths count.
        size: bytes of the digest.
    """
    digest = hashlib.blake2b(digest_size=size, key=secret.key, person=purpose.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def blind_name(path: str, secret: Secret | str) -> str:
    """Returns the name under which an image is shown: 32 letters and digits.

    Without the secret nobody can tell it from chance, nor find it for a path they guess.

    Args:
        path: what tells: ``/images/model/prompt/7.png``.
        secret: the operator's.
    """
    key = secret if isinstance(secret, Secret) else Secret.of(secret)
    digest = keyed(key, "whodrew.name", path.encode("utf-8", "surrogatepass"))
    return base64.b32encode(digest).decode().lower()


class BlindNames:
    """Addresses that do not tell, and the paths they stand for; safe for many threads.

    A name cannot be turned back by computing: the paths that may be shown are listed, when
    it is made or one by one.

    Args:
        secret: the operator's.
        paths: as the application knows them, each beginning with ``/``.
        prefix: where the blind addresses lie.
        ending: of each, such as ``.jpg``; the same for all.

    Raises:
        UsageError: the prefix or a path is none, or everybody has the secret.
    """

    def __init__(
        self,
        secret: Secret | str,
        paths: Iterable[str] = (),
        *,
        prefix: str = "/shown/",
        ending: str = "",
    ) -> None:
        if not (prefix.startswith("/") and prefix.endswith("/")):
            raise UsageError(f"prefix {prefix!r}: write it as '/shown/'")
        if "/" in ending:
            raise UsageError(f"ending {ending!r}: write it as '.jpg'")
        self.prefix = prefix
        self.ending = ending
        self._secret = secret if isinstance(secret, Secret) else Secret.of(secret)
        if is_no_secret(self._secret):
            raise UsageError("the secret is one that everybody has: give the operator's")
        self._paths: dict[str, str] = {}
        self._lock = threading.Lock()
        for path in paths:
            self.url(path)

    def __len__(self) -> int:
        """Returns how many paths may be shown."""
        return len(self._paths)

    def url(self, path: str) -> str:
        """Returns the address of a path, which may be shown from now on.

        Raises:
            UsageError: it does not begin with ``/``, or is an address of ours already.
        """
        if not path.startswith("/") or path.startswith(self.prefix):
            raise UsageError(f"path {path!r}: give it as the application knows it, from '/' on")
        name = blind_name(path, self._secret) + self.ending
        with self._lock:
            self._paths[name] = path
        return self.prefix + name

    def path(self, url: str) -> str | None:
        """Returns the path behind an address, ``None`` where there is none."""
        if not url.startswith(self.prefix):
            return None
        return self._paths.get(url[len(self.prefix) :])

    def forget(self, path: str) -> None:
        """Shows a path no longer."""
        with self._lock:
            self._paths.pop(blind_name(path, self._secret) + self.ending, None)
