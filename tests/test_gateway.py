"""The gateway shows defended images, nothing that tells, and nothing twice."""

from __future__ import annotations

import asyncio
import gzip
import io
import threading
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gates import SECRET, SPEC, TELLING, answering, ask, client, defence, gate, picture, refused
from whodrew.arena import ImageError
from whodrew.defend import Defence
from whodrew.errors import UsageError
from whodrew.gateway import BlindImages, BlindNames, blind_image, blind_name
from whodrew.gateway.cache import FolderCache, MemoryCache

SHOWN_HEADERS = {
    "content-type",
    "content-length",
    "etag",
    "cache-control",
    "accept-ranges",
    "x-content-type-options",
}


def shown(response: httpx.Response, raw: bytes, spec: str = SPEC) -> None:
    """Checks that an answer is the defended image and nothing else."""
    assert response.status_code == 200
    assert response.content == defence(spec).serve(raw)
    assert response.headers["content-type"] == "image/jpeg"
    assert int(response.headers["content-length"]) == len(response.content)
    assert set(response.headers) == SHOWN_HEADERS
    assert b"model-a" not in response.content
    assert "model-a" not in str(response.headers.raw)


# ---------------------------------------------------------------- what is shown
def test_an_image_is_shown_defended_and_without_what_tells() -> None:
    raw = picture()
    shown(ask(gate(answering(raw, headers=TELLING))), raw)


def test_headers_that_are_kept_are_those_asked_for() -> None:
    app = gate(answering(picture(), headers=TELLING), keep=["Access-Control-Allow-Origin"])
    found = ask(app).headers
    assert found["access-control-allow-origin"] == "https://arena.example"
    assert set(found) == SHOWN_HEADERS | {"access-control-allow-origin"}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_in_chunks(size: int) -> None:
    raw = picture()
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    shown(ask(gate(answering(chunks))), raw)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/octet-stream", "text/html"])
def test_an_image_is_told_by_its_content(kind: str | None) -> None:
    raw = picture()
    shown(ask(gate(answering([raw[:3], raw[3:40], raw[40:]], content_type=kind))), raw)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_shown_as_one(form: str) -> None:
    out = io.BytesIO()
    Image.open(io.BytesIO(picture())).save(out, form)
    answer = ask(gate(answering(out.getvalue(), content_type=f"image/{form.lower()}")))
    shown(answer, out.getvalue())


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_a_packed_body_is_unpacked(coding: str) -> None:
    raw = picture()
    packed = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding](raw)
    parts = [packed[:50], packed[50:]]
    answer = ask(gate(answering(parts, headers={"content-encoding": coding})))
    shown(answer, raw)


def test_what_is_no_image_passes_as_it_is() -> None:
    text = b'{"model": "hidden until the vote"}'
    headers = {"x-kept": "yes", "etag": '"1"'}
    for kind in ("application/json", "text/html", "Text/Plain; charset=utf-8"):
        answer = ask(gate(answering([text[:5], text[5:]], headers=headers, content_type=kind)))
        assert (answer.status_code, answer.content) == (200, text)
        assert answer.headers["x-kept"] == "yes"
        assert answer.headers["etag"] == '"1"'


def test_what_is_no_image_may_be_larger_than_an_image_may() -> None:
    text = b"word " * 1000
    assert ask(gate(answering(text, content_type="text/plain"), max_bytes=100)).content == text


def test_what_is_no_image_is_refused_if_asked() -> None:
    refused(ask(gate(answering(b"hello", content_type="text/plain"), others="refuse")))
    app = answering(b"no such file model-a", status=404, content_type="text/plain")
    refused(ask(gate(app, others="refuse")), 404)


def test_text_that_comes_in_drops_is_not_held_back() -> None:
    sent = asyncio.Event

    async def one() -> None:
        go = sent()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            kind = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": kind})
            first = b"data: " + b"x" * 80 + b"\n\n"
            await send({"type": "http.response.body", "body": first, "more_body": True})
            await go.wait()
            await send({"type": "http.response.body", "body": b"end", "more_body": False})

        got: list[Any] = []

        async def send(message: Any) -> None:
            got.append(message)
            if message.get("body"):
                go.set()

        scope = {"type": "http", "method": "GET", "path": "/events", "headers": []}
        # no longer than the timeout in all, were it held back
        await asyncio.wait_for(gate(app, timeout=0.5)(scope, None, send), 5)  # type: ignore[arg-type]
        assert b"".join(one.get("body", b"") for one in got).endswith(b"end")

    asyncio.run(one())


def test_only_the_paths_named_are_looked_at() -> None:
    raw = picture()
    app = gate(answering(raw, headers=TELLING), paths=["/images"])
    assert ask(app, "/other/a.png").content == raw
    assert ask(app, "/imagesque.png").content == raw
    for path in ("/images/a.png", "/images", "//images/a.png", "/x/../images/a.png"):
        answer = asyncio.run(_raw(app, path))
        assert answer == defence().serve(raw), path


async def _raw(app: BlindImages, path: str) -> bytes:
    got: list[Any] = []

    async def send(message: Any) -> None:
        got.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    await app(scope, None, send)  # type: ignore[arg-type]
    return b"".join(one.get("body", b"") for one in got)


# ---------------------------------------------------------------- HEAD, ranges, conditions
def test_head_says_what_get_would() -> None:
    calls: list[Any] = []
    app = gate(answering(picture(), headers=TELLING, calls=calls))
    got, head = ask(app), ask(app, method="HEAD")
    assert head.content == b""
    assert head.headers == got.headers
    assert [one["method"] for one in calls] == ["GET", "GET"]


def test_head_of_what_is_no_image() -> None:
    endless = (b"y" * 100 for _ in range(10**9))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"x-a", b"b"), (b"content-type", b"text/plain")]
        start = {"type": "http.response.start", "status": 200, "headers": head}
        await send(start)
        for chunk in endless:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    answer = ask(gate(app), method="HEAD")
    assert (answer.status_code, answer.content, answer.headers["x-a"]) == (200, b"", "b")


def test_ranges_and_conditions_do_not_reach_the_application() -> None:
    calls: list[Any] = []
    raw = picture()
    asked = {
        "Range": "bytes=0-9",
        "If-Range": '"x"',
        "If-None-Match": '"model-a-1"',
        "If-Modified-Since": "Tue, 01 Sep 2026 00:00:00 GMT",
        "Accept-Encoding": "br",
        "X-Other": "kept",
    }
    answer = ask(gate(answering(raw, headers=TELLING, calls=calls)), headers=asked)
    shown(answer, raw)
    names = {name for name, _ in calls[0]["headers"]}
    assert b"x-other" in names
    assert not names & {name.lower().encode() for name in asked if name != "X-Other"}


def test_a_condition_on_our_own_tag_is_met() -> None:
    app = gate(answering(picture(), headers=TELLING))
    tag = ask(app).headers["etag"]
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            answer = ask(app, method=method, headers={"If-None-Match": condition})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
            assert "model" not in str(answer.headers.raw)
    assert ask(app, headers={"If-None-Match": '"other"'}).status_code == 200
    assert ask(app, method="POST", headers={"If-None-Match": tag}).status_code == 200


def test_a_tag_tells_nothing_without_the_secret() -> None:
    raw = picture()
    mine = ask(gate(answering(raw))).headers["etag"]
    again = ask(gate(answering(raw))).headers["etag"]
    other = ask(BlindImages(answering(raw), Defence.parse(SPEC, "another"))).headers["etag"]
    assert mine == again != other
    assert ask(gate(answering(picture(1)))).headers["etag"] != mine


# ---------------------------------------------------------------- on Starlette
def test_on_starlette(tmp_path: Path) -> None:
    raw = picture()
    (tmp_path / "model-a").mkdir()
    (tmp_path / "model-a" / "0.png").write_bytes(raw)

    async def stream(request: Any) -> Response:
        parts = [raw[:100], raw[100:]]
        return StreamingResponse(iter(parts), media_type="image/png")

    ran = []

    async def background() -> None:
        ran.append(1)

    async def file(request: Any) -> Response:
        from starlette.background import BackgroundTask

        task = BackgroundTask(background)
        return FileResponse(tmp_path / "model-a" / "0.png", background=task)

    async def page(request: Any) -> Response:
        return JSONResponse({"battle": 1})

    class Between(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    app = Starlette(
        routes=[
            Route("/stream", stream),
            Route("/file", file),
            Route("/page", page),
            Mount("/images", StaticFiles(directory=tmp_path)),
        ],
        middleware=[Middleware(BlindImages, defence=defence()), Middleware(Between)],
    )
    for path in ("/stream", "/file", "/images/model-a/0.png"):
        shown(ask(app, path), raw)
        head = ask(app, path, method="HEAD")
        assert head.content == b""
        assert head.headers["content-type"] == "image/jpeg"
    assert ran == [1, 1]
    assert ask(app, "/page").json() == {"battle": 1}
    assert ask(app, "/images/nobody.png").status_code == 404


def test_websockets_and_lifespan_are_left_alone() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def both() -> None:
        for kind in ("lifespan", "websocket"):
            await gate(app)({"type": kind, "path": "/a"}, None, None)  # type: ignore[arg-type]

    asyncio.run(both())
    assert seen == ["lifespan", "websocket"]


# ---------------------------------------------------------------- names
def test_names_do_not_tell_and_lead_back() -> None:
    paths = [f"/images/model-{one}/p/{number}.png" for one in "ab" for number in range(50)]
    names = BlindNames(SECRET, paths, ending=".jpg")
    urls = [names.url(path) for path in paths]
    assert len(set(urls)) == len(paths) == len(names)
    assert all(names.path(url) == path for url, path in zip(urls, paths, strict=True))
    assert {len(url) for url in urls} == {len(urls[0])}
    assert all("model" not in url for url in urls)
    assert blind_name(paths[0], SECRET) in urls[0]
    assert blind_name(paths[0], "another") != blind_name(paths[0], SECRET)
    assert names.path("/shown/nothing.jpg") is None
    assert names.path(paths[0]) is None
    names.forget(paths[0])
    assert names.path(urls[0]) is None


@pytest.mark.parametrize("wrong", [{"prefix": "shown/"}, {"prefix": "/shown"}, {"ending": "/a"}])
def test_names_that_cannot_be(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        BlindNames(SECRET, **wrong)
    with pytest.raises(UsageError):
        BlindNames(SECRET, ["images/a.png"])
    with pytest.raises(UsageError):
        BlindNames(SECRET, ["/shown/a.png"])


def test_with_names_images_are_shown_under_them_alone() -> None:
    raw, calls = picture(), []
    path = "/images/model a/ü/7.png"
    names = BlindNames(SECRET, [path])
    seen = []

    def labels(scope: Any) -> tuple[str, str]:
        seen.append(scope["path"])
        return scope["path"].split("/")[2], "p"

    app = gate(answering(raw, headers=TELLING, calls=calls), names=names, labels=labels)
    shown(ask(app, names.url(path) + "?w=1"), raw)
    assert calls[0]["path"] == path
    assert calls[0]["raw_path"] == b"/images/model%20a/%C3%BC/7.png"
    assert calls[0]["query_string"] == b""
    assert seen == [path]
    refused(ask(app, "/shown/abc"), 404)
    assert len(calls) == 1
    refused(ask(app, path), 404)  # or who guesses a path could compare
    page = gate(answering(b"a page", content_type="text/html"), names=names)
    assert ask(page, "/page").content == b"a page"
    refused(ask(page, names.url(path)))


# ---------------------------------------------------------------- once, and kept
def test_the_same_image_is_defended_once() -> None:
    raw = picture()
    app = gate(answering(raw), workers=4)

    async def many() -> list[httpx.Response]:
        async with client(app) as asking:
            return await asyncio.gather(*(asking.get(f"/{at}.png") for at in range(20)))

    for answer in asyncio.run(many()):
        shown(answer, raw)
    assert app.blinder.done == 1
    ask(app)  # from another loop
    assert app.blinder.done == 1


def test_labels_are_part_of_the_key() -> None:
    app = gate(answering(picture()), labels=lambda scope: (scope["path"], None))
    ask(app, "/a")
    ask(app, "/b")
    ask(app, "/a")
    assert app.blinder.done == 2


def test_a_folder_keeps_files_under_keyed_names(tmp_path: Path) -> None:
    raw = picture()
    one = gate(answering(raw), folder=tmp_path / "kept")
    shown(ask(one), raw)
    shown(ask(gate(answering(raw), folder=tmp_path / "kept")), raw)
    other = gate(answering(raw), folder=tmp_path / "kept", memory=0)
    shown(ask(other), raw)
    assert other.blinder.done == 0
    (file,) = (tmp_path / "kept").iterdir()
    assert "model" not in file.name
    # another defence is another file
    shown(ask(gate(answering(raw), "canonical(size=16)", folder=tmp_path / "kept")), raw,
          "canonical(size=16)")  # fmt: skip
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("harm", ["raw", "cut", "empty", "swapped"])
def test_a_folder_that_was_tampered_with_shows_nothing_of_it(tmp_path: Path, harm: str) -> None:
    raw = picture()
    ask(gate(answering(raw), folder=tmp_path))
    (file,) = tmp_path.iterdir()
    kept = file.read_bytes()
    ask(gate(answering(picture(1)), folder=tmp_path))
    (other,) = set(tmp_path.iterdir()) - {file}
    swapped = other.read_bytes()
    file.write_bytes({"raw": raw, "cut": kept[:-1], "empty": b"", "swapped": swapped}[harm])
    app = gate(answering(raw), folder=tmp_path)
    shown(ask(app), raw)
    assert app.blinder.done == 1
    assert file.read_bytes() == kept


def test_a_folder_stays_within_its_bound(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path, defence().secret, 10_000)
    for at in range(40):
        cache.put(f"{at:04d}", bytes(1000))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 10_000
    assert cache.get("0039") == bytes(1000)
    assert cache.get("0000") is None
    assert FolderCache(tmp_path, defence().secret, 10_000).get("0039") == bytes(1000)


def test_memory_drops_what_was_not_used_for_longest() -> None:
    cache = MemoryCache(30)
    for name in "abc":
        cache.put(name, bytes(10))
    assert cache.get("a") == bytes(10)
    cache.put("d", bytes(10))
    assert (cache.get("b"), cache.size) == (None, 30)
    assert cache.get("a") is not None
    cache.put("a", bytes(5))
    assert cache.size == 25
    cache.put("large", bytes(31))
    assert cache.get("large") is None
    assert MemoryCache(0).get("a") is None


def test_a_folder_that_cannot_be_written_shows_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = gate(answering(picture()), folder=tmp_path / "kept")
    (tmp_path / "kept").rmdir()
    shown(ask(app), picture())


# ---------------------------------------------------------------- the function, and settings
def test_the_function() -> None:
    raw = picture()
    assert blind_image(raw, defence()) == (defence().serve(raw), "image/jpeg")
    with pytest.raises(ImageError):
        blind_image(b"no image", defence())


def test_threads_may_share_a_gate() -> None:
    app = gate(answering(picture()))
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(app).content)) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert set(answers) == {defence().serve(picture())}
    assert len(answers) == 6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"paths": "/images"}, "paths"),
        ({"paths": ["images"]}, "paths"),
        ({"paths": []}, "paths"),
        ({"others": "show"}, "others 'show' is none of pass, refuse"),
        ({"max_bytes": 0}, "max_bytes is 0, must be at least 1"),
        ({"workers": 0}, "workers"),
        ({"queue": -1}, "queue"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"keep": ["ETag"]}, "keep names 'etag'"),
        ({"keep": ["Server"]}, "keep names 'server'"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        gate(answering(b""), **wrong)


def test_a_defence_that_cannot_serve_is_refused() -> None:
    with pytest.raises(UsageError, match="no secret of its own"):
        BlindImages(answering(b""), Defence.parse(SPEC))
    with pytest.raises(UsageError, match="give a defence"):
        BlindImages(answering(b""), SPEC)  # type: ignore[arg-type]
