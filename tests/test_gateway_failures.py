"""Whatever fails, the gateway never shows the image as it was, and says nothing of it."""

from __future__ import annotations

import asyncio
import gzip
import io
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gates import SECRET, TELLING, answering, ask, client, defence, gate, picture, refused
from whodrew.defend import Defence, Picture, Shown
from whodrew.defend.plain import Canonical
from whodrew.gateway import BlindImages
from whodrew.gateway.http import leads_away, matches
from whodrew.gateway.kinds import is_picture

HTML = [(b"content-type", b"text/html")]


@dataclass(frozen=True)
class Failing:
    """Fails as it is told, or waits."""

    error: type[BaseException] | None = None
    wait: float = 0.0
    name: ClassVar[str] = "failing"
    began: ClassVar[list[float]] = []

    @property
    def budget(self) -> dict[str, float | int | str]:
        return {}

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        self.began.append(time.monotonic())
        time.sleep(self.wait)
        if self.error is not None:
            raise self.error("model-a is to blame")
        return picture


def failing(app: Any, stage: Failing, **settings: Any) -> BlindImages:
    stages = (stage, Canonical(size=32))
    return BlindImages(app, Defence(stages, defence().secret), **settings)


# ---------------------------------------------------------------- what the application sends
@pytest.mark.parametrize(
    "body",
    [
        b"no image at all",
        b"",
        picture()[:200],
        picture()[:-60],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xff\xd8\xff",
        b"GIF89a" + bytes(20),
    ],
)
def test_an_image_that_is_none(body: bytes) -> None:
    refused(ask(gate(answering(body, headers=TELLING))))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("application/octet-stream", b"\x00\x00\x00\x20ftypheic" + bytes(60)),
        ("application/octet-stream", b"\xff\x0a" + bytes(range(100))),
        ("application/pdf", b"%PDF-1.7" + bytes(100)),
        ("application/zip", b"PK\x03\x04" + picture()),
        ("multipart/x-mixed-replace; boundary=a", b"--a\r\n\r\n" + picture()),
        ("video/mp4", b"\x00\x00\x00\x20ftypisom" + bytes(60)),
        ("image/svg+xml", b"<svg/>"),
        ("IMAGE/PNG", b"text"),
    ],
)
def test_pictures_that_are_not_read_are_not_shown(kind: str, body: bytes) -> None:
    refused(ask(gate(answering(body, content_type=kind))))


@pytest.mark.parametrize("status", [201, 203, 206, 404, 410, 500, 503])
def test_an_image_with_another_status(status: int) -> None:
    answer = ask(gate(answering(picture(), status=status, headers=TELLING)))
    refused(answer, status if status >= 400 else 502)


def test_too_many_bytes_end_the_application() -> None:
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kind = [(b"content-type", b"image/png")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        for at in range(1000):
            sent.append(at)
            body = picture()[:1024] if at == 0 else bytes(1024)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    refused(ask(gate(app, max_bytes=10_000)))
    assert len(sent) < 12
    refused(ask(gate(answering(picture()), max_bytes=100)))


def test_too_many_pixels() -> None:
    refused(ask(gate(answering(picture(size=(48, 40))), max_pixels=48 * 40 - 1)))
    assert ask(gate(answering(picture(size=(48, 40))), max_pixels=48 * 40)).status_code == 200


def test_a_bomb() -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    head += struct.pack(">I", zlib.crc32(chunk)) + bytes(100)
    began = time.monotonic()
    refused(ask(gate(answering(head))))
    packed = gzip.compress(picture() + bytes(200 << 20), 1)
    app = gate(answering(packed, headers={"content-encoding": "gzip"}), max_bytes=1 << 20)
    refused(ask(app))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x-model-a"])
def test_codings_that_are_not_unpacked(coding: str) -> None:
    refused(ask(gate(answering(picture(), headers={"content-encoding": coding}))))


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(picture())[:-9], b"no gzip", gzip.compress(picture()) + picture()],
)
def test_packed_bodies_that_are_damaged(packed: bytes) -> None:
    refused(ask(gate(answering(packed, headers={"content-encoding": "gzip"}))))


def test_a_packed_image_that_calls_itself_text() -> None:
    app = answering(
        gzip.compress(picture()), headers={"content-encoding": "gzip"}, content_type="text/plain"
    )
    assert ask(gate(app)).content == defence().serve(picture())


@given(cut=st.integers(0, 1000), flip=st.integers(0, 1000), value=st.integers(0, 255))
def test_damaged_images_are_refused_or_defended(cut: int, flip: int, value: int) -> None:
    raw = bytearray(picture(size=(12, 10)))
    raw[flip % len(raw)] = value
    body = bytes(raw[: len(raw) - cut % 50])
    answer = ask(gate(answering(body, headers=TELLING)))
    if answer.status_code == 200:
        assert answer.content == defence().serve(body)
    else:
        refused(answer)


# ---------------------------------------------------------------- ways past the body
@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.pathsend", "path": "/images/model-a/0.png"},
        {"type": "http.response.zerocopysend", "file": 3},
        {"type": "http.response.push", "path": "/images/model-a/0.png", "headers": []},
    ],
)
def test_extensions_do_not_lead_past(message: dict[str, Any]) -> None:
    extensions: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        extensions.append(scope["extensions"])
        kind = [(b"content-type", b"image/png")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send(message)

    got: list[Any] = []

    async def send(one: Any) -> None:
        got.append(one)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a",
        "headers": [],
        "extensions": {"http.response.pathsend": {}},
    }
    asyncio.run(gate(app)(scope, None, send))  # type: ignore[arg-type]
    assert extensions == [{}]
    assert [one["type"] for one in got] == ["http.response.start", "http.response.body"]
    assert got[0]["status"] == 502


def test_trailers_and_hints_are_dropped() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        hint = {"type": "http.response.early_hint", "links": [b"</model-a>"]}
        await send(hint)
        start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
        await send(start)
        await send({"type": "http.response.body", "body": picture()})
        await send({"type": "http.response.trailers", "headers": [(b"x-model", b"model-a")]})

    answer = ask(gate(app))
    assert answer.content == defence().serve(picture())
    assert "model-a" not in str(answer.headers.raw)


@pytest.mark.parametrize(
    ("target", "passes"),
    [
        ("https://model-a.example/0.png", False),
        ("https://model-a.example/abc", False),
        ("//model-a.example/abc", False),
        ("/images/model-a/0.PNG", False),
        ("http://arena.example/login", True),
        ("/login", True),
    ],
)
def test_redirects(target: str, passes: bool) -> None:
    async def go(request: Any) -> Response:
        return RedirectResponse(target)

    app = Starlette(
        routes=[Route("/go", go)], middleware=[Middleware(BlindImages, defence=defence())]
    )
    answer = ask(app, "/go")
    if passes:
        assert (answer.status_code, answer.headers["location"]) == (307, target)
    else:
        refused(answer)


def test_a_redirect_of_an_image_is_refused() -> None:
    app = answering(b"", status=302, headers={"location": "/blob/1"}, content_type=None)
    refused(ask(gate(app), "/images/0.png"))
    assert leads_away(302, [(b"location", b"/blob/1")], {"path": "/0.png", "headers": []})
    assert not leads_away(200, [(b"location", b"/0.png")], {"path": "/", "headers": []})


# ---------------------------------------------------------------- applications that fail
@pytest.mark.parametrize("when", ["before", "start", "first", "middle"])
def test_an_application_that_raises(when: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if when == "before":
            raise ValueError("model-a")
        kind = [(b"content-type", b"image/png")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        if when == "start":
            raise ValueError("model-a")
        size = 10 if when == "first" else 2000
        body = picture()[:size]
        await send({"type": "http.response.body", "body": body, "more_body": True})
        raise ValueError("model-a")

    refused(ask(gate(app)))


@pytest.mark.parametrize("when", ["before", "start", "middle"])
def test_an_application_that_ends_too_early(when: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if when == "before":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if when == "middle":
            body = picture()
            await send({"type": "http.response.body", "body": body, "more_body": True})

    refused(ask(gate(app)))


def test_an_application_that_fails_on_what_is_no_image_is_the_servers_affair() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HTML})
        body = b"a page" * 1000
        await send({"type": "http.response.body", "body": body, "more_body": True})
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        ask(gate(app))


def test_an_application_that_swallows_everything_and_goes_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        for _ in range(3):
            try:
                await send({"type": "http.response.body", "body": picture(), "more_body": True})
            except Exception:  # noqa: BLE001 - what is tested
                await asyncio.sleep(0)

    refused(ask(gate(app)), 500)


@pytest.mark.parametrize("slow", [[b""], [picture()[:2000], picture()[2000:]]])
def test_a_slow_application(slow: list[bytes]) -> None:
    began = time.monotonic()
    refused(ask(gate(answering(slow, wait=30.0), timeout=0.2)))
    assert time.monotonic() - began < 10


def test_an_application_with_a_timeout_of_its_own_is_not_ours() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError("model-a")

    refused(ask(gate(app)))


def test_what_is_no_image_may_take_its_time() -> None:
    page = [b"x" * 2000, b"y" * 10]
    app = gate(answering(page, wait=0.3, content_type="text/plain"), timeout=0.4)
    assert ask(app).content == b"".join(page)


def test_what_runs_after_the_answer_may_take_its_time() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(picture())(scope, receive, send)
        await asyncio.sleep(0.6)
        ended.append(1)

    assert ask(gate(app, timeout=0.5)).status_code == 200
    assert ended == [1]


# ---------------------------------------------------------------- defences that fail
@pytest.mark.parametrize("error", [ValueError, MemoryError, RuntimeError, SystemExit])
def test_a_defence_that_fails(error: type[BaseException]) -> None:
    app = failing(answering(picture(), headers=TELLING), Failing(error))
    refused(ask(app))
    refused(ask(app))  # a failure is not kept
    assert app.blinder.done == 2


def test_a_defence_that_takes_too_long() -> None:
    app = failing(answering(picture()), Failing(wait=0.8), timeout=0.2, workers=1, queue=0)
    began = time.monotonic()
    refused(ask(app))
    assert time.monotonic() - began < 0.7
    # its thread is still at work: others are told to come again, and are told the result then
    refused(ask(failing_other(app)), 503)
    time.sleep(1.0)
    assert ask(app).status_code == 200
    assert app.blinder.done == 1


def failing_other(app: BlindImages) -> BlindImages:
    """Has the gate answer with another image from now on, once."""
    first = app.app

    async def once(scope: Any, receive: Any, send: Any) -> None:
        app.app = first
        await answering(picture(9))(scope, receive, send)

    app.app = once
    return app


def test_no_more_at_a_time_than_is_said_and_the_rest_come_again() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    @dataclass(frozen=True)
    class Counting(Failing):
        def __call__(self, picture: Picture, shown: Shown) -> Picture:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.1)
            with lock:
                running[0] -= 1
            return picture

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(picture(int(scope["path"][1:])))(scope, receive, send)

    blind = failing(app, Counting(), workers=2, queue=3)

    async def many() -> list[httpx.Response]:
        async with client(blind) as asking:
            return await asyncio.gather(*(asking.get(f"/{at}") for at in range(12)))

    answers = asyncio.run(many())
    codes = [one.status_code for one in answers]
    assert (codes.count(200), codes.count(503)) == (5, 7)
    assert most == [2]
    for one in answers:
        if one.status_code == 503:
            refused(one, 503)
            assert one.headers["retry-after"] == "1"
    # everything was given back
    assert [ask(blind, f"/{at}").status_code for at in range(3)] == [200] * 3


def test_one_who_leaves_does_not_take_the_image_from_the_others() -> None:
    app = failing(answering(picture()), Failing(wait=0.3), workers=1, queue=2)

    async def leave() -> bytes:
        async with client(app) as asking:
            first = asyncio.create_task(asking.get("/a"))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(asking.get("/b"))
            await asyncio.sleep(0.05)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return (await second).content

    assert asyncio.run(leave()) == defence().serve(picture())
    assert app.blinder.done == 1
    assert app._admitted == 0


def test_an_executor_of_ones_own() -> None:
    with ThreadPoolExecutor(1) as pool:
        app = gate(answering(picture()), executor=pool)
        assert ask(app).content == defence().serve(picture())
    refused(ask(gate(answering(picture()), executor=pool)))  # it has ended


def test_a_writer_that_gives_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = picture()
    monkeypatch.setattr(Defence, "serve", lambda self, data, **more: data)
    refused(ask(gate(answering(raw))))


def test_reasons_go_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    refused(ask(gate(answering(b"no image")), "/images/model-a.png"))
    assert "'/images/model-a.png' refused with 502: not an image" in caplog.text


# ---------------------------------------------------------------- small parts
@given(st.binary(max_size=100))
def test_any_head_is_judged(head: bytes) -> None:
    assert is_picture("image/png", head)
    assert is_picture("", b"\x89PNG\r\n\x1a\n" + head)


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ("", False),
    ],
)
def test_conditions(condition: str, met: bool) -> None:
    assert matches(condition, '"a"') is met


def test_a_palette_image_with_a_name_is_defended_too() -> None:
    out = io.BytesIO()
    Image.open(io.BytesIO(picture())).convert("P").save(out, "PNG")
    assert ask(gate(answering(out.getvalue()))).content == defence().serve(out.getvalue())
    assert SECRET
