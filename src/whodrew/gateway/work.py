"""Defending images for many who ask at once: each once, a few at a time, or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from whodrew.arena import Limits
from whodrew.arena.sniff import sniff_format
from whodrew.defend import Defence
from whodrew.defend.arena_open import profile_digest, profile_of
from whodrew.defend.arena_result import software
from whodrew.errors import WhodrewError
from whodrew.gateway.cache import FolderCache, MemoryCache
from whodrew.gateway.names import keyed


class BusyError(WhodrewError):
    """Too much is being done already: ask again later."""


@dataclass(frozen=True)
class Blinded:
    """A file that may be shown.

    Attributes:
        data: its bytes.
        media_type: such as ``image/jpeg``.
        etag: keyed, strong, quoted.
    """

    data: bytes
    media_type: str
    etag: str


def blind_image(
    data: bytes,
    defence: Defence,
    *,
    model: str | None = None,
    prompt_id: str | None = None,
    limits: Limits | None = None,
) -> tuple[bytes, str]:
    """Returns the file to show in place of another, and its media type.

    Args:
        data: the file as the model's provider gave it.
        defence: fitted, under the operator's secret.
        model: the model that drew it, for stages that ask.
        prompt_id: its prompt, for stages that ask.
        limits: what the image may cost.

    Raises:
        ImageError: ``data`` is no image that can be read, or over a limit.
        UsageError: a stage must see the arena first, or lacks the model or prompt.
    """
    file = defence.serve(data, model=model, prompt_id=prompt_id, limits=limits)
    kind = sniff_format(file)
    if kind is None or kind.lower() != defence.served.format:  # a third party's writer
        raise WhodrewError(f"{defence.spec} gave no {defence.served.format} file")
    return file, defence.served.media_type


class Blinder:
    """Defends what it is given, keeps it, and does nothing twice; safe for many threads.

    Args:
        defence: fitted, under the operator's secret.
        limits: what an image may cost.
        memory: keeps files.
        folder: keeps them longer.
        workers: images at a time.
        most: images at a time and waiting.
        executor: where the defence runs; in the threads of this where not given.
    """

    def __init__(
        self,
        defence: Defence,
        *,
        limits: Limits,
        memory: MemoryCache,
        folder: FolderCache | None,
        workers: int,
        most: int,
        executor: Executor | None,
    ) -> None:
        self._defence = defence
        self._limits = limits
        self._memory = memory
        self._folder = folder
        self._workers = workers
        self._most = most
        self._executor = executor
        self._flights: dict[str, Future[Blinded]] = {}
        self._lock = threading.Lock()
        #: How often the defence was run.
        self.done = 0

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="whodrew-blind")

    @cached_property
    def _kind(self) -> bytes:
        """What the bytes of a file depend on besides the image."""
        profile = profile_of(self._defence)
        learnt = "" if profile is None else profile_digest(profile)
        served = self._defence.served
        return repr((self._defence.spec, served, learnt, sorted(software().items()))).encode()

    def key(self, content: bytes, model: str | None, prompt_id: str | None) -> str:
        """Returns the keyed name of an image.

        Args:
            content: a digest of its bytes.
            model: the model that drew it.
            prompt_id: its prompt.
        """
        labels = repr((model, prompt_id)).encode("utf-8", "surrogatepass")
        return keyed(self._defence.secret, "whodrew.cache", self._kind, labels, content).hex()

    def submit(
        self, data: bytes, content: bytes, *, model: str | None, prompt_id: str | None
    ) -> Future[Blinded]:
        """Begins to defend an image, or joins those who wait for the same.

        Args:
            data: its bytes.
            content: a digest of them.
            model: the model that drew it.
            prompt_id: its prompt.

        Raises:
            BusyError: too many are being defended.
        """
        key = self.key(content, model, prompt_id)
        held = self._memory.get(key)
        if held is not None:
            done: Future[Blinded] = Future()
            done.set_result(self._blinded(held))
            return done
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight
            if len(self._flights) >= self._most:
                raise BusyError(f"{self._most} images are being defended already")
            flight = Future()
            flight.set_running_or_notify_cancel()  # one who leaves does not stop the others
            self._flights[key] = flight
            pool = self._pool
        try:
            pool.submit(self._fly, flight, key, data, model, prompt_id)
        except BaseException:
            self._land(key)
            raise
        return flight

    def close(self) -> None:
        """Ends the threads, once they have done what they have in hand."""
        if "_pool" in self.__dict__:
            self._pool.shutdown(wait=False, cancel_futures=False)

    def _fly(
        self,
        flight: Future[Blinded],
        key: str,
        data: bytes,
        model: str | None,
        prompt_id: str | None,
    ) -> None:
        try:
            file = self._folder.get(key) if self._folder is not None else None
            if file is None:
                file = self._run(data, model, prompt_id)
                if self._folder is not None:
                    self._folder.put(key, file)
            self._memory.put(key, file)
            result = self._blinded(file)
        except BaseException as error:  # noqa: BLE001 - told to those who wait
            self._land(key)
            # nobody who waits is to take it for an end of their own
            usual = isinstance(error, Exception) and not isinstance(error, CancelledError)
            flight.set_exception(error if usual else RuntimeError(repr(error)))
        else:
            self._land(key)
            flight.set_result(result)

    def _run(self, data: bytes, model: str | None, prompt_id: str | None) -> bytes:
        more: dict[str, Any] = {"model": model, "prompt_id": prompt_id, "limits": self._limits}
        run: Callable[..., tuple[bytes, str]] = blind_image
        with self._lock:
            self.done += 1
        if self._executor is not None:
            return self._executor.submit(run, data, self._defence, **more).result()[0]
        return run(data, self._defence, **more)[0]

    def _land(self, key: str) -> None:
        with self._lock:
            self._flights.pop(key, None)

    def _blinded(self, file: bytes) -> Blinded:
        content = hashlib.blake2b(file, digest_size=32).digest()
        etag = keyed(self._defence.secret, "whodrew.etag", content, size=16).hex()
        return Blinded(file, self._defence.served.media_type, f'"{etag}"')
