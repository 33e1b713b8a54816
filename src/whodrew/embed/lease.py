"""The lock of a store on object storage, which has none: a lease that its holder renews."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from whodrew.embed.places import ObjectPath, StorageError
from whodrew.errors import UsageError

RENEW_SECONDS: Final = 15.0
STALE_SECONDS: Final = 60.0


@contextlib.contextmanager
def leased(folder: ObjectPath, prefix: str, owner: Mapping[str, Any]) -> Iterator[None]:
    """Holds a store on object storage.

    Everyone who wants to write puts an object of their own, ``<prefix>-<random>.json``, and
    then lists all such objects. Listings are consistent (S3, Google and Azure say so), so
    that of two who come at once the later sees the earlier, and gives way; both give way
    where each sees the other. The holder renews its object, and one not renewed for
    ``STALE_SECONDS`` by the storage's own clock was left by a process that died.

    What it cannot do: stop a holder that slept longer than that and wakes up. Two writers
    then encode some images twice; neither removes a row that it has not written elsewhere.

    Args:
        folder: the store.
        prefix: of the object's name.
        owner: ``pid``, ``host`` and ``since`` of the holder, for messages.

    Raises:
        UsageError: another process holds it; the message names it.
        StorageError: the storage cannot be used.
    """
    mine = folder / f"{prefix}-{uuid.uuid4().hex[:12]}.json"
    content = json.dumps(dict(owner)).encode()
    mine.write_bytes(content)
    ended = threading.Event()
    renewal = threading.Thread(
        target=_renew, args=(mine, content, ended), name="whodrew-lease", daemon=True
    )
    try:
        _give_way(folder, prefix, mine)
        renewal.start()
        yield
    finally:
        ended.set()
        if renewal.ident is not None:
            renewal.join(RENEW_SECONDS)  # else it may put the object back
        with contextlib.suppress(StorageError):
            mine.unlink(missing_ok=True)


def _renew(mine: ObjectPath, content: bytes, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        # one that fails is made good by the next; the run itself says if there is none
        with contextlib.suppress(StorageError):
            mine.write_bytes(content)


def _give_way(folder: ObjectPath, prefix: str, mine: ObjectPath) -> None:
    """Raises where somebody else holds the store, and clears away those who died."""
    listing = folder.listing()
    now = listing.get(mine.name)
    for name, renewed in listing.items():
        if name == mine.name or not (name.startswith(f"{prefix}-") and name.endswith(".json")):
            continue
        other = folder / name
        age = _seconds(renewed, now)
        if age > STALE_SECONDS:
            other.unlink(missing_ok=True)
            continue
        raise UsageError(
            f"the store {folder} is being written by {_holder(other)} (last sign of life "
            f"{age:.0f} s ago): wait for it, or stop it; where it was killed, wait "
            f"{STALE_SECONDS:.0f} s"
        )


def _seconds(then: datetime | None, now: datetime | None) -> float:
    return max(0.0, (now - then).total_seconds()) if then and now else 0.0


def _holder(lock: ObjectPath) -> str:
    try:
        who = json.loads(lock.read_text())
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, StorageError, ValueError, KeyError, TypeError):
        return "another process"
