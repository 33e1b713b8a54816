"""The plain stages, and the file that is shown, against Pillow and NumPy done by hand."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFilter, PngImagePlugin

from whodrew.arena import decode
from whodrew.defend import Defence, Picture, Served
from whodrew.defend.plain import Canonical
from whodrew.defend.served import padded
from whodrew.errors import UsageError


def noise(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """Returns a picture with something in it at every scale."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    pixels += rng.integers(-20, 21, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def file(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def serve(spec: str, data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(Defence.parse(spec, "s").serve(data)))


# ---------------------------------------------------------------- containers
def test_canonical_is_blind_to_the_container() -> None:
    jpeg = file(noise(), "JPEG", quality=90)
    image = decode(jpeg).image
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", json.dumps({"model": "a"}))
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    exif = Image.Exif()
    exif[305] = "model-a"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 3
    files = {
        "jpeg": jpeg,
        "jpeg, tagged": jpeg[:2] + b"\xff\xfe\x00\x0amodel-a\x00" + jpeg[2:],
        "png": file(image),
        "png, small": file(image, compress_level=9, optimize=True),
        "png, text": file(image, pnginfo=text),
        "png, profile": file(image, icc_profile=profile, dpi=(72, 72)),
        "png, alpha": file(image.convert("RGBA")),
        "png, exif": file(image, exif=exif),
        "png, turned": file(image.rotate(180), exif=turned),
        "webp": file(image, "WEBP", lossless=True),
        "webp, exif": file(image, "WEBP", lossless=True, exif=exif, icc_profile=profile),
        "tiff": file(image, "TIFF", compression="tiff_lzw", software="model-a"),
        "bmp": file(image, "BMP"),
        "ppm": file(image, "PPM"),
    }
    for spec in (
        "canonical(size=32)",
        "canonical(size=32,format=png)",
        "canonical(size=32,format=webp)",
        "canonical(size=32,pad=4096)",
        "canonical(size=32)+noise+blur",
    ):
        shown = {name: Defence.parse(spec, "s").serve(data) for name, data in files.items()}
        assert len(set(shown.values())) == 1, [n for n in shown if shown[n] != shown["jpeg"]]
        assert b"model-a" not in shown["jpeg"]


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_the_file_has_nothing_in_it_but_the_picture(form: str) -> None:
    exif = Image.Exif()
    exif[305] = "model-a"
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    dressed = file(noise(), "WEBP", lossless=True, exif=exif, icc_profile=profile, xmp=b"<x/>")
    for spec in (f"canonical(size=32,format={form})", f"noise+canonical(size=48,format={form})"):
        data = Defence.parse(spec, "s").serve(dressed)
        with Image.open(io.BytesIO(data)) as shown:
            shown.load()
            assert not shown.getexif()
            plain = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "loop", "background"}
            plain |= {"timestamp", "duration", "dpi"}
            assert set(shown.info) <= plain, shown.info
            assert shown.mode == "RGB"
    if form == "png":
        assert [kind for kind, _ in chunks(data)] == [b"IHDR", b"IDAT", b"IEND"]
    if form == "webp":
        assert data[12:16] == b"VP8L"
    if form == "jpeg":
        assert b"Exif" not in data
        assert b"ICC_PROFILE" not in data


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Walks the chunks of a PNG, checking each."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length :][:4])[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    assert at == len(data)
    return found


# ---------------------------------------------------------------- sizes
def test_canonical_crops_the_middle_unless_told_otherwise() -> None:
    image = noise(96, 60)
    crop = image.crop((18, 0, 78, 60)).resize((32, 32), Image.Resampling.LANCZOS)
    # Pillow's box takes a little from beyond the edge of a crop
    found = np.asarray(Canonical(size=32)(Picture.of(image), None).image)  # type: ignore[arg-type]
    by_box = image.resize((32, 32), Image.Resampling.LANCZOS, box=(18, 0, 78, 60))
    np.testing.assert_array_equal(found, np.asarray(by_box))
    assert np.abs(found[:, 4:-4].astype(int) - np.asarray(crop)[:, 4:-4]).max() <= 2


def test_canonical_pads_on_white() -> None:
    image = noise(96, 48)
    found = np.asarray(Canonical(size=32, fit="pad")(Picture.of(image), None).image)  # type: ignore[arg-type]
    assert (found[:8] == 255).all()
    assert (found[24:] == 255).all()
    inner = np.asarray(image.resize((32, 16), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(found[8:24], inner)


def test_canonical_stretches() -> None:
    image = noise(96, 48)
    found = np.asarray(Canonical(size=32, fit="stretch")(Picture.of(image), None).image)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, image.resize((32, 32), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 300), (500, 3), (31, 32), (32, 32), (33, 90)])
def test_canonical_is_of_its_size_whatever_comes(fit: str, size: tuple[int, int]) -> None:
    for form in ("jpeg", "png"):
        shown = serve(f"canonical(size=32,fit={fit},format={form})", file(noise(*size)))
        assert shown.size == (32, 32)
        assert shown.format == form.upper()


def test_small_images_are_enlarged() -> None:
    image = noise(16, 16)
    found = np.asarray(serve("canonical(size=64,format=png)", file(image)))
    np.testing.assert_array_equal(found, image.resize((64, 64), Image.Resampling.LANCZOS))


def test_an_image_of_the_size_stays_to_the_bit() -> None:
    image = noise(48, 48)
    found = np.asarray(serve("canonical(size=48,format=png)", file(image)))
    np.testing.assert_array_equal(found, np.asarray(image))


def test_canonical_against_pillow_by_hand() -> None:
    data = file(noise(100, 100), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB").resize((64, 64), Image.Resampling.LANCZOS)
    by_hand = Image.open(io.BytesIO(file(small, "JPEG", quality=85, subsampling="4:2:0")))
    np.testing.assert_array_equal(serve("canonical(size=64)", data), np.asarray(by_hand))


# ---------------------------------------------------------------- the others
def test_resample_keeps_the_aspect() -> None:
    data = file(noise(64, 48))
    assert serve("resample(factor=0.5)", data).size == (32, 24)
    assert serve("resample(size=32)", data).size == (32, 24)
    assert serve("resample(size=128)", data).size == (128, 96)
    assert serve("resample(factor=0.02)", data).size == (1, 1)
    back = serve("resample(factor=0.5,back=yes)", data)
    by_hand = noise(64, 48).resize((32, 24), Image.Resampling.LANCZOS)
    by_hand = by_hand.resize((64, 48), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(back), np.asarray(by_hand))


def test_blur_against_pillow() -> None:
    found = serve("blur(radius=2)", file(noise()))
    np.testing.assert_array_equal(found, noise().filter(ImageFilter.GaussianBlur(2)))
    np.testing.assert_array_equal(serve("blur(radius=0)", file(noise())), np.asarray(noise()))


def test_jpeg_last_is_the_file_and_elsewhere_a_change() -> None:
    data = file(noise())
    once = file(noise(), "JPEG", quality=40, subsampling="4:4:4")
    last = serve("jpeg(quality=40,subsampling=444)", data)
    assert last.format == "JPEG"
    np.testing.assert_array_equal(last, np.asarray(Image.open(io.BytesIO(once))))
    first = serve("jpeg(quality=40,subsampling=444)+blur(radius=0)", data)
    assert first.format == "PNG"
    np.testing.assert_array_equal(first, np.asarray(Image.open(io.BytesIO(once))))
    assert Defence.parse("canonical(quality=90)+jpeg(quality=40)").served == Served("jpeg", 40)
    assert Defence.parse("canonical(quality=90)+noise").served == Served("jpeg", 90)
    assert Defence.parse("jpeg(quality=40)+noise").served == Served("png")


def test_noise_has_its_deviation_and_no_bias() -> None:
    grey = file(Image.new("RGB", (256, 256), (128, 128, 128)))
    change = np.asarray(serve("noise(sigma=5)", grey)).astype(float) - 128
    assert abs(change.std() - np.sqrt(25 + 1 / 12)) < 0.1
    assert abs(change.mean()) < 0.05
    flat = change.reshape(-1, 3)
    assert np.abs(np.corrcoef(flat.T) - np.eye(3)).max() < 0.02
    np.testing.assert_array_equal(serve("noise(sigma=0)", grey), np.full((256, 256, 3), 128))


# ---------------------------------------------------------------- draws and secrets
def test_draws_depend_on_secret_picture_draw_and_place_and_on_nothing_else() -> None:
    data = file(noise())
    one = Defence.parse("noise+noise", "s")
    assert one.serve(data) == one.serve(data)
    assert one.serve(data) == Defence.parse("noise+noise", "s").serve(file(noise(), "BMP"))
    others = {
        one.serve(data),
        one.with_secret("t").serve(data),
        one.serve(data, draw=1),
        Defence.parse("noise", "s").serve(data),
        one.serve(file(noise(seed=1))),
    }
    assert len(others) == 5
    first = Defence.parse("noise", "s")(noise()) - Picture.of(noise()).unit
    both = one(noise()) - Picture.of(noise()).unit
    # two stages alike draw apart: their noise does not add up to twice the first
    assert not np.allclose(both, 2 * first, atol=0.02)


def test_a_secret_is_not_printed() -> None:
    found = Defence.parse("noise", "a secret text")
    assert "secret" not in repr(found).replace("Secret()", "")
    assert found.secret.key.hex() not in repr(found) + repr(found.secret)


def test_calls_take_and_give_numbers_in_0_1() -> None:
    defence = Defence.parse("canonical(size=32)", "s")
    pixels = np.asarray(noise())
    by_file = np.asarray(serve("canonical(size=32)", file(noise()))) / np.float32(255)
    for given_ in (noise(), pixels, pixels / np.float32(255), pixels / 255):
        found = defence(given_)
        assert (found.dtype, found.shape) == (np.float32, (32, 32, 3))
        np.testing.assert_allclose(found, by_file, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 4)),
        np.zeros((0, 4, 3)),
        np.full((4, 4, 3), 1.5),
        np.full((4, 4, 3), np.nan),
        np.zeros((4, 4, 3), np.int64),
        Image.new("L", (4, 4)),
    ],
)
def test_what_is_no_picture_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="a picture"):
        Defence.parse("blur")(wrong)


# ---------------------------------------------------------------- padding
@given(missing=st.integers(0, 70_000), multiple=st.integers(16, 70_000))
def test_padding_of_jpeg(missing: int, multiple: int) -> None:
    image = noise(16, 16)
    plain = file(image, "JPEG")
    data = padded(plain + b"\x00" * (missing % 50), "jpeg", multiple)
    assert len(data) % multiple == 0
    assert len(data) - len(plain) < 2 * multiple + 50
    with Image.open(io.BytesIO(data)) as found, Image.open(io.BytesIO(plain)) as before:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(before))


@given(multiple=st.integers(16, 70_000))
def test_padding_of_png(multiple: int) -> None:
    plain = file(noise(16, 16))
    data = padded(plain, "png", multiple)
    assert len(data) % multiple == 0
    kinds = [kind for kind, _ in chunks(data)]
    assert kinds[-1] == b"IEND"
    assert set(kinds) <= {b"IHDR", b"IDAT", b"paDd", b"IEND"}
    np.testing.assert_array_equal(decode(data).pixels, decode(plain).pixels)


@pytest.mark.parametrize("off", range(1, 20))
def test_padding_by_a_few_bytes(off: int) -> None:
    for form in ("jpeg", "png"):
        plain = file(noise(16, 16), form.upper())
        multiple = len(plain) + off  # which leaves exactly ``off`` bytes to fill
        data = padded(plain, form, multiple)
        assert len(data) in (multiple, 2 * multiple)
        np.testing.assert_array_equal(decode(data).pixels, decode(plain).pixels)


# ---------------------------------------------------------------- what a chain keeps
def test_padding_outlives_a_last_jpeg() -> None:
    served = Defence.parse("canonical(size=32,pad=4096)+jpeg(quality=70)").served
    assert (served.format, served.quality, served.pad) == ("jpeg", 70, 4096)
    data = Defence.parse("canonical(size=32,pad=4096)+jpeg(quality=70)")._file(
        Picture.of(np.zeros((40, 40, 3), np.uint8)), None, None, 0
    )
    assert len(data) == 4096


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_secret_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="secret is empty"):
        Defence.parse("noise", text)
