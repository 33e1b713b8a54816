"""What is no image passes where it is known text alone, and leads nowhere else."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import logging
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from gates import SECRET, SPEC, answering, ask, defence, gate, picture, refused
from whodrew.defend import Defence, Secret
from whodrew.errors import UsageError
from whodrew.gateway import BlindImages, BlindNames
from whodrew.gateway.exchange import CutOffError
from whodrew.gateway.http import route_paths
from whodrew.gateway.kinds import Watch, is_picture, why_refused

RAW = picture()
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='data:image/png;base64,%s'/></svg>"
DRAWING = SVG % base64.b64encode(RAW)
#: What an application may say of a file that it does not know, or knows and hides.
UNKNOWN = ["application/octet-stream", "text/plain", "text/html", "application/json", None]


# ---------------------------------------------------------------- where it is mounted
@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "model-a").mkdir()
    (tmp_path / "model-a" / "0.png").write_bytes(RAW)
    return tmp_path


def arena(store: Path, **settings: Any) -> Starlette:
    return Starlette(
        routes=[Mount("/images", StaticFiles(directory=store))],
        middleware=[Middleware(BlindImages, defence=defence(), **settings)],
    )


@pytest.mark.parametrize("under", ["", "/arena", "/a/b"])
@pytest.mark.parametrize("root", ["", "/api", "/api/v1/"])
def test_a_mounted_application_shows_no_image_as_it_was(store: Path, under: str, root: str) -> None:
    inner = arena(store, paths=["/images"], others="refuse")
    app = Starlette(routes=[Mount(under, inner)]) if under else inner
    url = root.rstrip("/") + under + "/images/model-a/0.png"
    answer = TestClient(app, root_path=root.rstrip("/")).get(url)
    assert (answer.status_code, answer.content) == (200, defence().serve(RAW))


@pytest.mark.parametrize("under", ["", "/arena"])
@pytest.mark.parametrize("root", ["", "/api"])
def test_names_lead_back_where_an_application_is_mounted(
    store: Path, under: str, root: str
) -> None:
    seen = []

    def labels(scope: Any) -> tuple[str, str]:
        seen.append((scope["path"], scope["raw_path"]))
        return "m", "p"

    path = "/images/model-a/0.png"
    names = BlindNames(SECRET, [path])
    inner = arena(store, paths=["/images"], names=names, labels=labels)
    app = Starlette(routes=[Mount(under, inner)]) if under else inner
    client = TestClient(app, root_path=root)
    before = root + under
    answer = client.get(before + names.url(path))
    assert (answer.status_code, answer.content) == (200, defence().serve(RAW))
    assert seen == [(before + path, (before + path).encode())]
    refused(client.get(before + path), 404)
    refused(client.get(before + "/shown/nothing"), 404)


@pytest.mark.parametrize(
    ("path", "root", "looked_at"),
    [
        ("/api/images/a", "/api", True),
        ("/images/a", "/api", True),  # a server that leaves it out
        ("/arena/images/a", "/api/arena", True),  # or its first part
        ("//api//images/a", "/api", True),
        ("/api/x/../images/a", "/api/", True),
        ("/api", "/api", False),
        ("/api/other", "/api", False),
        ("/apimages/images/a", "/api", False),
        ("/api/images", "", False),
        ("/api/imagesque", "/api", False),
    ],
)
def test_paths_that_are_looked_at(path: str, root: str, looked_at: bool) -> None:
    assert gate(answering(b""), paths=["/images"]).guards(path, root) is looked_at


def test_what_a_path_may_be() -> None:
    assert route_paths("/a/b/c", "/a/b") == [("/a/b", "/c"), ("", "/a/b/c")]
    assert route_paths("/b/c", "/a/b") == [("/b", "/c"), ("", "/b/c")]
    assert route_paths("/c", "") == [("", "/c")]
    assert route_paths("/c", "/") == [("", "/c")]


# ---------------------------------------------------------------- what others are to send
@pytest.mark.parametrize(
    "name",
    ["X-Accel-Redirect", "X-Sendfile", "X-Lighttpd-Send-File", "X-Reproxy-URL"],
)
@pytest.mark.parametrize("kind", [None, "text/html", "image/png"])
def test_a_file_that_the_server_is_to_send(name: str, kind: str | None) -> None:
    app = answering(b"", headers={name: "/hidden/model-a/0.png"}, content_type=kind)
    for method in ("GET", "HEAD"):
        refused(ask(gate(app), "/next", method))
    refused(ask(gate(answering(RAW, headers={name: "/hidden/model-a/0.png"}))))
    with pytest.raises(UsageError, match="keep names"):
        gate(app, keep=[name])


@pytest.mark.parametrize(
    "name",
    "refresh repr-digest content-digest digest want-digest server-timing sourcemap content-dpr "
    "link".split(),
)
def test_headers_that_tell_cannot_be_kept(name: str) -> None:
    with pytest.raises(UsageError, match=f"keep names '{name}'"):
        gate(answering(b""), keep=[name.title()])


def test_an_answer_of_headers_alone_leads_nowhere() -> None:
    told = {"refresh": "0; url=https://model-a.example/0.png", "link": "</model-a/0.png>"}
    answer = ask(gate(answering(b"", headers={**told, "x-a": "b"}, content_type=None)), "/next")
    assert (answer.status_code, dict(answer.headers)) == (200, {"x-a": "b"})
    page = answering(b"a page", headers={**told, "x-a": "b"}, content_type="text/html")
    assert set(ask(gate(page), "/next").headers) == {"x-a", "link", "content-type"}
    again = answering(b"a page", headers={"refresh": "5"}, content_type="text/html")
    assert ask(gate(again), "/next").headers["refresh"] == "5"


# ---------------------------------------------------------------- what passes
FONT = b"wOF2" + bytes(range(200))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html; charset=utf-8", b"<!doctype html><svg width=9><path d='M0 0'/></svg>"),
        ("text/html", b"<html>" + b"x" * 2000 + b"<svg/>"),
        ("text/css", b"a{background:url(data:image/svg+xml,<svg/>)}"),
        ("application/javascript", b"const icon = '<svg/>';"),
        ("text/javascript", "const grüße = 1;".encode()),
        ("application/json", b'{"svg": "<svg>"}'),
        ("application/problem+json", b"{}"),
        ("application/x-ndjson", b"{}\n{}\n"),
        ("application/xml", b"<?xml version='1.0'?><feed/>"),
        ("application/rss+xml", b"<rss/>"),
        ("text/csv", b"model,wins\n\x0c\x1b"),
        ("text/plain", b"PK and P7, PF: letters"),
        ("text/plain", b"BMW, painted"),
        ("text/plain", b"#define"),
        ("text/plain", ("x" * 63 + "é" + "y" * 63).encode()),
        ("font/woff2", FONT),
        ("application/font-woff", b"wOFF\x00\x00"),
        ("font/ttf", b"\x00\x01\x00\x00\x00"),
        ("application/octet-stream", b""),
        (None, b""),
    ],
)
@pytest.mark.parametrize("size", [1, 64, 5000])
def test_text_and_fonts_pass(kind: str | None, body: bytes, size: int) -> None:
    chunks = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    answer = ask(gate(answering(chunks, content_type=kind)), "/next")
    assert (answer.status_code, answer.content) == (200, body)


def written() -> dict[str, bytes]:
    """Returns the same image in all formats that Pillow writes, and some more."""
    image = Image.open(io.BytesIO(RAW)).convert("RGB")
    found = {}
    for form in sorted({*Image.registered_extensions().values(), "XBM", "MSP", "SPIDER"}):
        for mode in ("RGB", "L", "1", "F"):
            out = io.BytesIO()
            try:
                image.convert(mode).save(out, form)
            except Exception:  # noqa: BLE001, S112 - some cannot
                continue
            if form not in ("PDF", "BUFR", "HDF5", "GRIB", "WMF"):
                found[f"{form}-{mode}"] = out.getvalue()
    out = io.BytesIO()
    np.save(out, np.asarray(image))
    found["NPY"] = out.getvalue()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("a" * 90)
        entry.size = len(RAW)
        archive.addfile(entry, io.BytesIO(RAW))
    found["TAR"] = out.getvalue()
    pixels = np.asarray(image).tobytes()
    found["PAM"] = b"P7\nWIDTH 48\nHEIGHT 40\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + pixels
    found["PFM"] = b"PF\n48 40\n-1.0\n" + np.asarray(image, "<f4").tobytes()
    found["HDR"] = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 40 +X 48\n" + pixels
    found["XPM"] = b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c #000000", "a"};'
    found["FITS"] = b"SIMPLE  =                    T".ljust(2880) + pixels
    found["a line before"] = b"\n" + RAW
    found["zeros before"] = bytes(1024) + RAW
    found["text before"] = b"a line of text, " * 8 + RAW
    found["pixels alone"] = pixels
    return found


WRITTEN = written()


def test_many_formats_are_tried() -> None:
    assert {"PCX-RGB", "TGA-RGB", "SGI-RGB", "XBM-1", "DDS-RGB", "IM-RGB"} <= set(WRITTEN)
    assert {"MSP-1", "SPIDER-F", "ICNS-RGB", "DIB-RGB", "EPS-RGB"} <= set(WRITTEN)


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_an_image_in_any_format_is_not_shown_as_it_was(name: str, kind: str | None) -> None:
    raw = WRITTEN[name]
    for parts in ([raw], [raw[:70], raw[70:]]):
        answer = cut(parts, kind)
        assert raw not in answer
        # no more of it than by which it was judged
        assert len(answer) <= 200 or answer == defence().serve(raw)


def cut(parts: list[bytes], kind: str | None, **headers: str) -> bytes:
    """Returns what was sent of an answer, cut off or not."""
    got: list[bytes] = []

    async def send(message: Any) -> None:
        got.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": "/next", "headers": []}
    app = gate(answering(parts, content_type=kind, headers=headers))
    try:
        asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
    except CutOffError:
        got.append(b"")
    return b"".join(got)


@pytest.mark.parametrize(
    "kind", ["application/xml", "text/xml", "image/svg+xml", "application/xhtml+xml"]
)
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"<?xml version='1.0'?>\n",
        b"<?xml version='1.0'?><!--" + b"x" * 1100 + b"-->",
        b"<feed>" + b"x" * 5000,
        b"<!DOCTYPE svg>",
    ],
)
@pytest.mark.parametrize("size", [7, 70, 100_000])
def test_xml_with_a_drawing_is_not_shown(kind: str, before: bytes, size: int) -> None:
    for drawing in (DRAWING, DRAWING.replace(b"svg", b"s:svg", 1), DRAWING.upper()):
        body = before + drawing
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        assert b"base64" not in cut(parts, kind).lower()


@pytest.mark.parametrize("kind", ["text/plain", "text/html", "application/json"])
@pytest.mark.parametrize(
    "body",
    [
        DRAWING,
        b"\xef\xbb\xbf \n" + DRAWING,
        b"<!-- a --><!-- b -->" + DRAWING,
        b"<?xml version='1.0'?><!-- c -->" + DRAWING,
        DRAWING.decode().encode("utf-16"),
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "a">' + DRAWING,
    ],
)
def test_text_that_begins_with_a_drawing_is_refused(kind: str, body: bytes) -> None:
    refused(ask(gate(answering(body, content_type=kind)), "/next"))


def test_what_comes_later_is_cut_off_even_if_the_application_takes_no_notice() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kind = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        for part in (b"x" * 100, RAW[:50], RAW[50:], b"more"):
            try:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            except CutOffError:
                ended.append(1)

    got: list[Any] = []

    async def send(message: Any) -> None:
        got.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": "/next", "headers": []}
    with pytest.raises(CutOffError):
        asyncio.run(gate(app)(scope, None, send))  # type: ignore[arg-type]
    assert (b"".join(got), len(ended)) == (b"x" * 100, 3)


def test_packed_text_is_looked_through_as_well() -> None:
    coding = {"content-encoding": "gzip"}
    page = b"a page, " * 100_000
    packed = gzip.compress(page)
    parts = [packed[:100], packed[100:]]
    answer = ask(gate(answering(parts, headers=coding, content_type="text/html")), "/next")
    assert answer.content == page
    for body in (
        gzip.compress(b"x" * 300_000 + RAW),
        packed + gzip.compress(RAW),
        gzip.compress(b"<a>" + b"x" * 300_000 + DRAWING),
    ):
        for parts in ([body], [body[:60], body[60:]]):
            sent = cut(parts, "text/xml", **coding)
            assert sent != body
            assert len(sent) <= 60


@pytest.mark.parametrize("body", [RAW[8:], b"\x00\x00\x02\x00" * 20, b"text"])
def test_a_font_that_is_none_is_refused(body: bytes) -> None:
    refused(ask(gate(answering(body, content_type="font/woff2")), "/next"))


def test_two_types_are_none() -> None:
    assert why_refused("text/html,image/png", b"text") is not None
    assert why_refused("text/html; charset=utf-8,image/png", b"text") is not None
    assert why_refused("text/html; charset=utf-8", b"text") is None


@given(st.binary(min_size=1, max_size=300))
def test_what_passes_is_text(head: bytes) -> None:
    for kind in ("application/octet-stream", "", "audio/ogg", "model/gltf", "application/wasm"):
        assert is_picture(kind, head) or why_refused(kind, head) is not None
    if why_refused("text/plain", head) is None and Watch("text/plain", "").why_not(head) is None:
        for short in range(4):  # the last character may be unfinished
            try:
                assert "\x00" not in head[: len(head) - short].decode()
                return
            except UnicodeDecodeError:
                continue
        raise AssertionError(head)


@pytest.mark.parametrize("one", [b"<!--a-->", b"/**/", b"/*a*/ ", b"<?xml ", b"<a:", b"#define "])
def test_heads_are_judged_at_once(one: bytes) -> None:
    head = (one * 1024)[:1024]
    began = time.monotonic()
    why_refused("text/plain", head)
    Watch("text/plain", "").why_not(head)
    Watch("text/xml", "").why_not(head * 100)
    assert time.monotonic() - began < 2


# ---------------------------------------------------------------- the log, and secrets
def test_a_path_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "whodrew.gateway"):
        cut([b"no image"], "application/octet-stream")
        scope = {"type": "http", "method": "GET", "path": "/a\nGET /b shown", "headers": []}

        async def send(message: Any) -> None: ...

        asyncio.run(gate(answering(b"no image"))(scope, None, send))  # type: ignore[arg-type]
    assert "GET '/a\\nGET /b shown' refused with 502" in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("secret", [Secret(b""), Secret(bytes(32)), Secret.of(0), Secret.of("0")])
def test_a_secret_that_everybody_has_is_refused(secret: Secret) -> None:
    with pytest.raises(UsageError, match="no secret of its own"):
        BlindImages(answering(b""), Defence.parse(SPEC, secret))
    with pytest.raises(UsageError, match="everybody has"):
        BlindNames(secret)


def test_the_secret_of_no_text_is_refused() -> None:
    import hashlib

    nothing = Secret(hashlib.blake2b(b"", digest_size=32).digest())
    with pytest.raises(UsageError, match="no secret of its own"):
        BlindImages(answering(b""), Defence.parse(SPEC, nothing))
