"""One request and what becomes of its answer."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from whodrew.errors import WhodrewError
from whodrew.gateway.http import (
    Body,
    BodyError,
    asked,
    header,
    leads_away,
    matches,
    passed,
    route_paths,
    sent_by_another,
)
from whodrew.gateway.kinds import Watch, head_bytes, is_picture, why_refused
from whodrew.gateway.work import Blinded, BusyError

if TYPE_CHECKING:
    from whodrew.gateway.blind import BlindImages, Message, Receive, Scope, Send

_LOG: Final = logging.getLogger("whodrew.gateway")
_SAYS_NOTHING: Final = b"not available\n"
# Ways past the body that we look at, and what may come behind it.
_PAST_US: Final = frozenset(
    {"http.response.pathsend", "http.response.zerocopysend", "http.response.push"}
)


class _EnoughError(OSError):
    """Tells the application that nobody listens any more, as a server would."""


class CutOffError(RuntimeError):
    """Tells the server to end an answer that has begun: what comes next must not be shown."""


class Exchange:
    """One request, from the middleware's side.

    Args:
        gate: the middleware.
        scope: the request.
        receive: of the server.
        send: of the server.
    """

    def __init__(self, gate: BlindImages, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_head = scope["method"] == "HEAD"
        self._named = False  # asked for under a name that does not tell
        self._asked = scope  # as the application gets it
        self._start: Message | None = None
        self._body: Body | None = None
        self._raw: list[bytes] = []  # as it came, until it is known what it is
        self._passing = False
        self._watch: Watch | None = None
        self._cut: CutOffError | None = None
        self._picture = False
        self._admitted = False
        self._answered = False
        self._stopped = False
        self._clock: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Asks the application, and answers.

        Raises:
            CutOffError: the answer had begun when something came that must not be shown.
        """
        inner = self._inner()
        if inner is None:
            await self._refuse("no image has that name", 404)
            return
        self._asked = inner
        try:
            async with asyncio.timeout(self._gate.timeout) as self._clock:
                await self._gate.app(inner, self._receive, self._take)
        except Exception as error:
            if self._stopped:
                return
            if self._answered or self._passing:
                raise
            if isinstance(error, TimeoutError) and self._is_late:
                await self._refuse(f"not done after {self._gate.timeout:g} s")
                return
            _LOG.exception("the application failed on %s", self._said())
            await self._refuse("the application failed")
            return
        finally:
            self._release()
        if self._cut is not None:  # the application took no notice
            raise self._cut
        if not (self._answered or self._passing or self._stopped):
            await self._refuse("the application ended before its answer did")

    def _inner(self) -> Scope | None:
        """Returns the request as the application gets it; ``None`` where there is none."""
        inner = dict(self._scope)
        if self._is_head:
            inner["method"] = "GET"  # what a HEAD would say of the original is not wanted
        inner["headers"] = asked(self._scope["headers"])
        inner["extensions"] = {}  # some would go past us
        names = self._gate.names
        if names is None:
            return inner
        for before, within in route_paths(self._scope["path"], self._scope.get("root_path", "")):
            if within.startswith(names.prefix):
                path = names.path(within)
                if path is None:
                    return None
                self._named = True
                inner["path"] = before + path
                inner["raw_path"] = quote(before + path, safe="/").encode()
                inner["query_string"] = b""
                break
        return inner

    # ------------------------------------------------------------ what the application says
    async def _take(self, message: Message) -> None:
        if self._stopped or self._is_late:
            raise _EnoughError("the answer was given")
        kind = message["type"]
        if self._passing:
            if kind == "http.response.body":
                await self._go_on(message)
            return
        if kind == "http.response.start":
            self._start = message
            if name := sent_by_another(message.get("headers", ())):
                await self._stop(f"the application has {name} send a file that nobody defends")
            return
        if kind in _PAST_US:
            await self._stop(f"the application answers by {kind}")
        if kind != "http.response.body" or self._answered:
            return
        if self._start is None:
            raise RuntimeError("http.response.body before http.response.start")
        try:
            await self._take_body(message.get("body", b""), more=message.get("more_body", False))
        except BodyError as error:
            await self._stop(str(error))

    async def _take_body(self, chunk: bytes, *, more: bool) -> None:
        assert self._start is not None
        headers = self._start.get("headers", ())
        if self._body is None:
            self._body = Body(header(headers, b"content-encoding"), self._gate.max_bytes)
        self._body.add(chunk)
        if not self._picture:
            self._raw.append(chunk)
            if more and self._body.size < head_bytes(header(headers, b"content-type")):
                return
            await self._judge(more=more)
            if self._passing:
                await self._pass(more=more)
                return
        self._body.check()
        if not more:
            self._body.end()
            await self._show(self._body)

    async def _judge(self, *, more: bool) -> None:
        """Finds out what the answer is, now that its first bytes are there."""
        assert self._start is not None
        assert self._body is not None
        status, headers = self._start["status"], self._start.get("headers", ())
        if leads_away(status, headers, self._scope):
            await self._stop("a redirect to an image that nobody has defended")
        kind = header(headers, b"content-type")
        if not is_picture(kind, self._body.head):
            await self._let_pass(kind, more=more)
            return
        if self._gate.names is not None and not self._named:
            await self._stop("an image, and not asked for by its blind name", 404)
        if status != 200:
            await self._stop(f"an image with status {status}", status if status >= 400 else 502)
        if not self._gate.admit():
            await self._busy("too many images in hand")
        self._admitted = self._picture = True
        self._raw.clear()

    async def _let_pass(self, kind: str, *, more: bool) -> None:
        """Has what is no image pass, or refuses it."""
        assert self._start is not None
        assert self._body is not None
        status = self._start["status"]
        code = status if status >= 400 else 502
        if self._named or self._gate.others == "refuse":
            await self._stop("no image", code)
        if more or any(self._raw):
            coding = header(self._start.get("headers", ()), b"content-encoding")
            self._watch = Watch(kind, coding)
            reason = why_refused(kind, self._body.head)
            reason = reason or self._watch.why_not(b"".join(self._raw))
            if reason is not None:
                await self._stop(reason, code)
        self._passing = True

    # ------------------------------------------------------------ what we say
    async def _go_on(self, message: Message) -> None:
        """Hands on more of what passes, as long as it may."""
        if self._cut is not None:
            raise self._cut
        if self._watch is None:  # it had no body, and had ended
            return
        reason = self._watch.why_not(message.get("body", b""))
        if reason is not None:
            _LOG.warning("%s cut off: %s", self._said(), reason)
            self._cut = CutOffError("the answer was cut off by the gateway")
            raise self._cut
        if not self._is_head:
            await self._send(message)

    async def _pass(self, *, more: bool) -> None:
        """Hands on what is no image."""
        assert self._start is not None
        self._reschedule()
        headers = passed(self._start.get("headers", ()), is_empty=self._watch is None)
        status = self._start["status"]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if self._is_head:
            await self._send({"type": "http.response.body", "body": b""})
            self._stopped = True
            raise _EnoughError("a HEAD needs no body")
        body = b"".join(self._raw)
        self._raw.clear()
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _show(self, body: Body) -> None:
        """Answers with the defended image."""
        model, prompt_id = (None, None)
        try:
            if self._gate.labels is not None:
                model, prompt_id = self._gate.labels(self._asked)
            flight = self._gate.blinder.submit(
                body.data, body.digest, model=model, prompt_id=prompt_id
            )
            found = await asyncio.wrap_future(flight)
        except BusyError as error:
            await self._busy(str(error))
        except WhodrewError as error:
            await self._stop(str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the image is not shown
            _LOG.exception("the defence failed on %s", self._said())
            await self._stop("the defence failed")
        self._release()
        self._reschedule()
        await self._answer(found)

    async def _answer(self, found: Blinded) -> None:
        assert self._start is not None
        self._answered = True
        headers = [
            (b"etag", found.etag.encode()),
            (b"cache-control", self._gate.cache_control.encode()),
            (b"accept-ranges", b"none"),
            (b"x-content-type-options", b"nosniff"),
        ]
        kept = self._gate.kept
        headers += [
            (name, value) for name, value in self._start.get("headers", ()) if name.lower() in kept
        ]
        condition = header(self._scope["headers"], b"if-none-match")
        safe = self._scope["method"] in ("GET", "HEAD")
        if condition and safe and matches(condition, found.etag):
            await self._reply(304, headers, b"")
            return
        headers += [
            (b"content-type", found.media_type.encode()),
            (b"content-length", str(len(found.data)).encode()),
        ]
        await self._reply(200, headers, found.data)

    async def _busy(self, reason: str) -> None:
        wait = (b"retry-after", str(self._gate.retry_after).encode())
        await self._stop(reason, 503, [wait])

    async def _stop(self, reason: str, status: int = 502, more: Any = ()) -> None:
        """Refuses, and has the application end."""
        await self._refuse(reason, status, more)
        self._stopped = True
        raise _EnoughError("the answer was given")

    async def _refuse(self, reason: str, status: int = 502, more: Any = ()) -> None:
        _LOG.warning("%s refused with %d: %s", self._said(), status, reason)
        self._answered = True
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(_SAYS_NOTHING)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *more,
        ]
        await self._reply(status, headers, _SAYS_NOTHING)

    async def _reply(self, status: int, headers: Any, body: bytes) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if self._is_head else body
        await self._send({"type": "http.response.body", "body": shown})

    # ------------------------------------------------------------ odds and ends
    @property
    def _is_late(self) -> bool:
        return self._clock is not None and self._clock.expired()

    def _reschedule(self) -> None:
        """Lets what follows the answer take its time."""
        if self._clock is not None:
            self._clock.reschedule(None)

    def _release(self) -> None:
        if self._admitted:
            self._admitted = False
            self._gate.release()

    def _said(self) -> str:
        return f"{self._scope['method']} {self._scope['path']!r}"  # one line, whatever is asked
