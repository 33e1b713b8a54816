"""Applications to put a gateway before, and requests to put to it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import numpy as np
from PIL import Image, PngImagePlugin

from whodrew.defend import Defence
from whodrew.gateway import BlindImages

SECRET = "a secret of the operator's"
SPEC = "canonical(size=32)"
SAYS_NOTHING = b"not available\n"
TELLING = {
    "etag": '"model-a-1"',
    "last-modified": "Tue, 01 Sep 2026 00:00:00 GMT",
    "content-disposition": 'attachment; filename="model-a.png"',
    "server": "model-a-provider",
    "via": "1.1 model-a",
    "link": "<https://model-a.example>; rel=canonical",
    "x-model": "model-a",
    "x-request-id": "model-a-7",
    "cache-control": "max-age=7, model-a",
    "set-cookie": "model=model-a",
    "age": "3",
    "access-control-allow-origin": "https://arena.example",
}


def picture(seed: int = 0, size: tuple[int, int] = (48, 40), **options: Any) -> bytes:
    """Returns a PNG that says who drew it."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    told = PngImagePlugin.PngInfo()
    told.add_text("Software", "model-a")
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=told, **options)
    return out.getvalue()


def defence(spec: str = SPEC) -> Defence:
    return Defence.parse(spec, SECRET)


def answering(
    body: bytes | Sequence[bytes],
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    content_type: str | None = "image/png",
    calls: list[dict[str, Any]] | None = None,
    wait: float = 0.0,
) -> Callable[..., Awaitable[None]]:
    """Returns an application that always answers alike, in as many chunks as are given."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    if content_type is not None:
        pairs.append((b"content-type", content_type.encode()))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if calls is not None:
            calls.append(dict(scope))
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        for at, chunk in enumerate(chunks):
            if wait:
                await asyncio.sleep(wait)
            last = at == len(chunks) - 1
            await send({"type": "http.response.body", "body": chunk, "more_body": not last})

    return app


def gate(app: Any, spec: str = SPEC, **settings: Any) -> BlindImages:
    settings.setdefault("workers", 2)
    return BlindImages(app, defence(spec), **settings)


def ask(app: Any, path: str = "/a.png", method: str = "GET", **more: Any) -> httpx.Response:
    """Puts one request."""

    async def one() -> httpx.Response:
        async with client(app) as asking:
            return await asking.request(method, path, **more)

    return asyncio.run(one())


def client(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://arena.example")


def refused(response: httpx.Response, status: int = 502) -> None:
    """Checks that an answer is a refusal, and that it says nothing."""
    assert response.status_code == status
    assert response.content in (SAYS_NOTHING, b"")
    assert response.headers["cache-control"] == "no-store"
    assert "model" not in str(response.headers.raw)
    assert set(response.headers) <= {
        "content-type",
        "content-length",
        "cache-control",
        "x-content-type-options",
        "retry-after",
    }
