"""``BlindImages``: ASGI middleware that shows no image but a defended one."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

from whodrew.arena import Limits
from whodrew.defend import Defence
from whodrew.errors import UsageError
from whodrew.gateway.cache import FolderCache, MemoryCache
from whodrew.gateway.http import NEVER_KEPT, route_paths
from whodrew.gateway.names import BlindNames, is_no_secret
from whodrew.gateway.work import Blinder
from whodrew.machine import processors

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Tells the model and prompt_id behind a request, for stages that ask.
Labels = Callable[[Scope], tuple[str | None, str | None]]

OTHERS: Final = ("pass", "refuse")
_MIB: Final = 2**20


class BlindImages:
    """Defends every image that an application answers with, or answers with none.

    Headers of the original go, all but those named in ``keep``; so do ranges, conditional
    requests on its own entity tags, and redirects to images. What is no image passes
    where it is known to be text or a font. Where anything fails the answer is 502 with a body
    that says nothing: never the image as it was.

    It is plain ASGI: ``app.add_middleware(BlindImages, defence=…)`` on Starlette and
    FastAPI. The reasons of refusals go to the logger ``whodrew.gateway``.

    Args:
        app: the application.
        defence: fitted, and under the operator's secret.
        paths: prefixes of the paths whose answers are looked at, with the ``root_path`` or
            without; others are left alone.
        others: what happens to answers below them that are no images: ``pass``, where they
            are known to be text or a font, or ``refuse``, which is safer for a store that
            holds nothing else.
        names: where images are shown under names that do not tell. With it, no image is
            shown under any other path.
        labels: tells model and prompt of a request, for stages that ask.
        keep: headers of the application that are shown with images, such as
            ``access-control-allow-origin``.
        cache_control: what browsers may keep.
        max_bytes: of an image as the application sends it.
        max_pixels: of an image.
        memory: bytes of defended images kept in memory.
        folder: where they are kept longer, under keyed names; several processes may share
            it.
        folder_bytes: bytes kept there.
        workers: images defended at a time; one a processor where not given.
        queue: images that wait for that; more are answered 503, to come again.
        timeout: seconds for the application and the defence together.
        retry_after: seconds that those answered 503 are told to wait.
        executor: where the defence runs, such as a ``ProcessPoolExecutor``; threads where
            not given.

    Raises:
        UsageError: a setting is out of range, a stage has not seen the arena, or the defence
            has no secret.
        InputError: the folder cannot be used.
    """

    def __init__(  # noqa: PLR0913 - each is a setting
        self,
        app: App,
        defence: Defence,
        *,
        paths: Sequence[str] = ("/",),
        others: str = "pass",
        names: BlindNames | None = None,
        labels: Labels | None = None,
        keep: Sequence[str] = (),
        cache_control: str = "private, max-age=3600",
        max_bytes: int = 32 * _MIB,
        max_pixels: int = 64_000_000,
        memory: int = 256 * _MIB,
        folder: str | Path | None = None,
        folder_bytes: int = 4096 * _MIB,
        workers: int | None = None,
        queue: int = 64,
        timeout: float = 30.0,
        retry_after: int = 1,
        executor: Executor | None = None,
    ) -> None:
        _check_defence(defence)
        _check_ranges(
            max_bytes=(max_bytes, 1),
            max_pixels=(max_pixels, 1),
            memory=(memory, 0),
            folder_bytes=(folder_bytes, 1),
            workers=(workers, 1),
            queue=(queue, 0),
            timeout=(timeout, 0.001),
            retry_after=(retry_after, 0),
        )
        if isinstance(paths, str) or not all(one.startswith("/") for one in paths) or not paths:
            raise UsageError(f"paths {paths!r}: give prefixes that begin with '/', in a list")
        if others not in OTHERS:
            raise UsageError(f"others {others!r} is none of {', '.join(OTHERS)}")
        kept = {name.lower() for name in keep}
        if told := sorted(name for name in kept & NEVER_KEPT):
            raise UsageError(f"keep names {told[0]!r}, which would tell, or is ours to say")
        self.app = app
        self.others = others
        self.names = names
        self.labels = labels
        self.kept = frozenset(name.encode() for name in kept)
        self.cache_control = cache_control
        self.max_bytes = max_bytes
        self.timeout = timeout
        self.retry_after = retry_after
        self._paths = tuple(paths)
        at_a_time = workers or processors()
        self._most = at_a_time + queue
        self._admitted = 0
        self._lock = threading.Lock()
        self.blinder = Blinder(
            defence,
            limits=Limits(max_pixels=max_pixels, max_bytes=max_bytes),
            memory=MemoryCache(memory),
            folder=None
            if folder is None
            else FolderCache(Path(folder), defence.secret, folder_bytes),
            workers=at_a_time,
            most=self._most,
            executor=executor,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http" or not self.guards(scope["path"], scope.get("root_path", "")):
            await self.app(scope, receive, send)
            return
        from whodrew.gateway.exchange import Exchange

        await Exchange(self, scope, receive, send).run()

    def guards(self, path: str, root_path: str = "") -> bool:
        """Says whether answers under a path are looked at, however it is spelt.

        Args:
            path: of the request, with ``root_path`` in it or without.
            root_path: where the application is mounted, as ASGI says.
        """
        return any(
            self._guards(_plain(within)) or self._guards(within)
            for one in (path, _plain(path))
            for root in (root_path, _plain(root_path))
            for _, within in route_paths(one, root)
        )

    def _guards(self, path: str) -> bool:
        if self.names is not None and path.startswith(self.names.prefix):
            return True
        return any(
            path == prefix.rstrip("/") or path.startswith(prefix.rstrip("/") + "/")
            for prefix in self._paths
        )

    def admit(self) -> bool:
        """Takes one more image in hand, unless there are too many."""
        with self._lock:
            if self._admitted >= self._most:
                return False
            self._admitted += 1
            return True

    def release(self) -> None:
        """Has one image less in hand."""
        with self._lock:
            self._admitted -= 1

    def close(self) -> None:
        """Ends the threads, once they have done what they have in hand."""
        self.blinder.close()


def _check_defence(defence: Any) -> None:
    if not isinstance(defence, Defence):
        raise UsageError("give a defence: Defence.parse(SPEC, secret)")
    if defence.unfitted:
        raise UsageError(
            f"{' and '.join(defence.unfitted)} must see the arena first: fit the defence on it, "
            "or load the profile.npz that 'whodrew defend' wrote: defence.with_profile(FILE)"
        )
    if is_no_secret(defence.secret):
        raise UsageError(
            "the defence has no secret of its own: give Defence.parse(SPEC, secret) the "
            "operator's, that of OUT.secret.txt for one"
        )


def _plain(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _check_ranges(**given: tuple[float | None, float]) -> None:
    for name, (value, least) in given.items():
        if value is not None and not value >= least:
            raise UsageError(f"{name} is {value}, must be at least {least:g}")
