"""Whatever the bytes: pixels or ImageError, nothing else, and soon."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from whodrew.arena import Decoded, ImageError, Limits, decode

LIMITS = Limits(max_pixels=1_000_000, max_bytes=1_000_000)


def _seeds() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    grey = Image.fromarray(rng.integers(0, 65536, (8, 8), dtype=np.uint16))
    seeds: dict[str, bytes] = {}

    def add(name: str, what: Image.Image, kind: str, **options: object) -> None:
        out = io.BytesIO()
        what.save(out, kind, **options)
        seeds[name] = out.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6
    add("jpeg", image, "JPEG", exif=exif)
    add("progressive", image, "JPEG", progressive=True)
    add("png", image, "PNG", exif=exif)
    add("palette", image.quantize(8), "PNG", transparency=1)
    add("grey16", grey, "PNG")
    add("webp", image, "WEBP", exif=exif)
    add("webp-lossless", image, "WEBP", lossless=True)
    add("webp-animation", image, "WEBP", save_all=True, append_images=[image.rotate(90)])
    add("gif", image, "GIF")
    add("gif-animation", image, "GIF", save_all=True, append_images=[image.rotate(180)])
    add("apng", image, "PNG", save_all=True, append_images=[image.rotate(180)])
    add("bmp", image, "BMP")
    add("tiff", image, "TIFF")
    add("tiff-lzw", image, "TIFF", compression="tiff_lzw")
    add("avif", image, "AVIF")
    add("ppm", image, "PPM")
    return seeds


SEEDS = _seeds()


def outcome(data: bytes) -> Decoded | ImageError:
    try:
        return decode(data, limits=LIMITS, name="x.png")
    except ImageError as error:
        return error


def survives(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as outside of tests: Pillow warns and goes on
        got = outcome(data)
    if isinstance(got, ImageError):
        assert got.reason
        assert "\n" not in got.reason
        return
    assert got.pixels.shape == (got.height, got.width, 3)
    assert got.pixels.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(SEEDS))
@settings(
    max_examples=120, deadline=10_000, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_mutated_images(name: str, data: st.DataObject) -> None:
    seed = bytearray(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 6), "edits")):
        at = data.draw(st.integers(0, max(len(seed) - 1, 0)), "at")
        what = data.draw(st.sampled_from(["set", "cut", "insert", "drop"]), "what")
        if what == "set" and seed:
            seed[at] = data.draw(st.integers(0, 255), "byte")
        elif what == "cut":
            del seed[at:]
        elif what == "insert":
            seed[at:at] = data.draw(st.binary(min_size=1, max_size=8), "bytes")
        else:
            del seed[at : at + data.draw(st.integers(1, 16), "length")]
    survives(bytes(seed))


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_every_header_byte_turned_over(name: str) -> None:
    seed = SEEDS[name]
    for at in range(min(len(seed), 120)):
        for value in (0x00, 0x7F, 0xFF, seed[at] ^ 0x01):
            survives(seed[:at] + bytes([value]) + seed[at + 1 :])


@settings(max_examples=200, deadline=5_000, derandomize=True)
@given(tail=st.binary(max_size=300), magic=st.sampled_from(sorted(SEEDS)))
def test_noise_behind_a_magic_number(tail: bytes, magic: str) -> None:
    survives(SEEDS[magic][:16] + tail)
    survives(tail)
