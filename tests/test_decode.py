"""Decoding: every kind of file, one pixel path, and one line where it fails."""

from __future__ import annotations

import gc
import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from whodrew.arena import ImageError, Limits, decode, read_bytes
from whodrew.arena.sniff import sniff_format, webp_canvas


def picture(width: int = 40, height: int = 30, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(coarse, np.ones((5, 5, 1), np.uint8))[:height, :width])


def encoded(image: Image.Image | np.ndarray, image_format: str, **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(b""))


# ------------------------------------------------------------------ what is read


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("PPM", {}),
    ],
)
def test_lossless_formats_give_back_their_pixels(
    image_format: str, options: dict[str, Any]
) -> None:
    pixels = picture()
    got = decode(encoded(pixels, image_format, **options))
    assert got.format == image_format
    assert (got.width, got.height) == (40, 30)
    assert got.mode == "RGB"
    assert got.notes == ()
    assert got.pixels.dtype == np.uint8
    assert got.pixels.flags.c_contiguous
    assert got.pixels.flags.owndata
    np.testing.assert_array_equal(got.pixels, pixels)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_a_jpeg_and_its_lossless_copies_are_the_same_pixels(
    image_format: str, progressive: bool
) -> None:
    jpeg = encoded(picture(101, 67), "JPEG", quality=85, progressive=progressive)
    first = decode(jpeg)
    assert first.format == "JPEG"
    options = {"lossless": True} if image_format == "WEBP" else {}
    copy = encoded(Image.open(io.BytesIO(jpeg)), image_format, **options)
    np.testing.assert_array_equal(decode(copy).pixels, first.pixels)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_come_close(image_format: str) -> None:
    pixels = np.full((64, 48, 3), (200, 120, 40), np.uint8)
    got = decode(encoded(pixels, image_format, quality=90))
    assert got.format == image_format
    assert np.abs(got.pixels.astype(int) - pixels).max() <= 6


def test_a_gif_is_its_palette() -> None:
    image = Image.fromarray(picture()).quantize(16)
    got = decode(encoded(image, "GIF"))
    assert (got.format, got.mode) == ("GIF", "P")
    np.testing.assert_array_equal(got.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_one_bit_and_palette(mode: str) -> None:
    image = Image.fromarray(picture()).convert(mode)
    got = decode(encoded(image, "PNG"))
    assert got.mode == mode
    np.testing.assert_array_equal(got.pixels, np.asarray(image.convert("RGB")))


def test_cmyk_is_converted_and_said() -> None:
    image = Image.fromarray(picture()).convert("CMYK")
    got = decode(encoded(image, "TIFF"))
    assert got.mode == "CMYK"
    assert got.notes == ("CMYK converted to RGB without a profile",)
    np.testing.assert_array_equal(got.pixels, np.asarray(image.convert("RGB")))
    assert decode(encoded(image, "JPEG")).mode == "CMYK"


# ------------------------------------------------------------------ transparency


def test_alpha_is_composited_on_white() -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    rgba[0, 1] = (10, 20, 30, 0)
    rgba[1, 0] = (0, 0, 0, 128)
    got = decode(encoded(rgba, "PNG"))
    assert got.notes == ("alpha composited on white",)
    assert got.pixels[0, 0].tolist() == [10, 20, 30]
    assert got.pixels[0, 1].tolist() == [255, 255, 255]
    assert got.pixels[1, 0].tolist() == [127, 127, 127]


def test_opaque_alpha_changes_nothing_and_needs_no_note() -> None:
    pixels = picture()
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    got = decode(encoded(rgba, "PNG"))
    assert got.notes == ()
    np.testing.assert_array_equal(got.pixels, pixels)


def test_grey_with_alpha() -> None:
    image = Image.merge("LA", [Image.new("L", (2, 1), 100), Image.new("L", (2, 1), 0)])
    got = decode(encoded(image, "PNG"))
    assert got.pixels.min() == 255
    assert got.mode == "LA"


def test_transparent_palette_entry_and_colour_key() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    got = decode(encoded(image, "PNG", transparency=0))
    assert got.pixels.tolist() == [[[255, 255, 255], [0, 0, 255]]]
    gif = decode(encoded(image, "GIF", transparency=0))
    assert gif.pixels.tolist() == [[[255, 255, 255], [0, 0, 255]]]
    keyed = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    got = decode(encoded(keyed, "PNG", transparency=(1, 2, 3)))
    assert got.pixels.tolist() == [[[255, 255, 255], [4, 5, 6]]]
    assert got.mode == "RGB"


# ------------------------------------------------------------------ more than 8 bits


def test_sixteen_bit_grey_is_reduced_by_the_rule_exactly() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    got = decode(encoded(Image.fromarray(values), "PNG"))
    assert got.mode == "I;16"
    assert got.notes == ("16 bit reduced to 8",)
    expected = np.floor(values.astype(float) * 255 / 65535 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(got.pixels[..., 0], expected)
    np.testing.assert_array_equal(got.pixels[..., 2], expected)
    tiff = decode(encoded(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(tiff.pixels, got.pixels)


def test_sixteen_bit_colour_keeps_the_high_byte() -> None:
    values = np.array([[0x0000, 0x01FF, 0x80FF], [0xFFFF, 0x1234, 0x8000]], ">u2")
    rows = b"".join(b"\x00" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 1, 2, 16, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )
    got = decode(data)
    assert got.notes == ("16 bit colour reduced to 8",)
    assert got.pixels.reshape(-1).tolist() == [0, 1, 0x80, 0xFF, 0x12, 0x80]


def test_sixteen_bit_ppm_is_said() -> None:
    data = b"P6 1 1 65535\n" + struct.pack(">HHH", 0, 65535, 32768)
    got = decode(data)
    assert got.pixels.tolist() == [[[0, 255, 128]]]
    assert got.notes == ("16 bit colour reduced to 8",)


@pytest.mark.parametrize(("top", "scale"), [(1.0, 255.0), (255.0, 1.0)])
def test_float_tiff(top: float, scale: float) -> None:
    values = np.linspace(0, top, 12, dtype=np.float32).reshape(3, 4)
    got = decode(encoded(Image.fromarray(values), "TIFF"))
    assert got.mode == "F"
    assert got.notes
    assert got.notes[0].startswith("float values in 0..")
    np.testing.assert_array_equal(got.pixels[..., 1], np.rint(values * scale))


@pytest.mark.parametrize("wrong", [-1.0, 1e6, float("nan"), float("inf")])
def test_float_of_no_known_range_is_refused(wrong: float) -> None:
    values = np.array([[0.0, wrong]], np.float32)
    with pytest.raises(ImageError, match="float values"):
        decode(encoded(Image.fromarray(values), "TIFF"))


def test_thirty_two_bit_integers() -> None:
    got = decode(encoded(Image.fromarray(np.array([[0, 65535]], np.int32)), "TIFF"))
    assert got.pixels[0, :, 0].tolist() == [0, 255]
    with pytest.raises(ImageError, match="32 bit"):
        decode(encoded(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF"))


# ------------------------------------------------------------------ metadata


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(image_format: str, orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(picture(48, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, image_format, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    got = decode(data)
    np.testing.assert_array_equal(got.pixels, expected)
    assert (got.height, got.width) == expected.shape[:2]
    assert (got.width, got.height) == ((32, 48) if orientation >= 5 else (48, 32))
    said = [note for note in got.notes if "orientation" in note]
    assert said == ([] if orientation == 1 else [f"EXIF orientation {orientation} applied"])


def test_broken_exif_does_not_cost_the_pixels() -> None:
    pixels = picture()
    got = decode(encoded(pixels, "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff"))
    np.testing.assert_array_equal(got.pixels, pixels)


def test_icc_profile_is_noted_and_not_applied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = picture()
    got = decode(encoded(pixels, "PNG", icc_profile=profile))
    assert got.notes == ("ICC profile not applied",)
    np.testing.assert_array_equal(got.pixels, pixels)


@pytest.mark.parametrize(
    ("image_format", "note"),
    [
        ("GIF", "animation: first frame of 3"),
        ("WEBP", "animation: first frame of 3"),
        ("PNG", "animation: first frame of 3"),
        ("AVIF", "animation: first frame of 3"),
        ("TIFF", "pages: first of 3"),
    ],
)
def test_the_first_of_several_frames_is_taken_and_said(image_format: str, note: str) -> None:
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **options)
    got = decode(data)
    assert got.notes == (note,)
    first = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(got.pixels, first)


def test_a_wrong_ending_is_said_and_harmless() -> None:
    data = encoded(picture(), "PNG")
    assert decode(data, name="a.jpg").notes == ("named .jpg but holds PNG",)
    assert decode(data, name="a.heic").notes == ("named .heic but holds PNG",)
    assert decode(data, name="a.PNG").notes == ()
    assert decode(data, name="no-ending").notes == ()


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "not an image of a known format"),
        (b"\x00" * 500, "all zeros"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "SVG"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b'{"error": "not found"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"8BPS\x00\x01", "Photoshop"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomavc1", "video"),
        (b"\xff\x0a\x00", "JPEG XL"),
        (b"PAR1", "Parquet"),
        (b"\xff\xd8\xff", "JPEG: "),
        (b"\x89PNG\r\n\x1a\n", "PNG: "),
        (b"GIF89a", "GIF: "),
        (b"BM", "BMP: "),
        (b"II*\x00", "TIFF: "),
        (b"RIFF\x00\x00\x00\x00WEBP", "WEBP: "),
        (b"P6\n", "PPM: "),
        (b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif", "AVIF: "),
    ],
)
def test_what_is_no_image_says_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode(data)
    assert "\n" not in caught.value.reason
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_half_an_image_is_an_error(image_format: str, share: float) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(noise, image_format)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * share)])


def test_every_shortened_jpeg_is_an_error_or_whole() -> None:
    data = encoded(picture(), "JPEG")
    whole = decode(data).pixels
    for length in range(len(data)):
        try:
            pixels = decode(data[:length]).pixels
        except ImageError:
            continue
        np.testing.assert_array_equal(pixels, whole)


def test_truncation_cannot_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageError, match="LOAD_TRUNCATED_IMAGES"):
        decode(encoded(picture(), "JPEG"))


@pytest.mark.parametrize("side", [30_000, 100_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(ImageError, match="more than the limit of 64,000,000 pixels"):
        decode(png_header(side, side))


def test_a_webp_bomb_is_refused_before_its_canvas_is_allocated() -> None:
    extended = b"RIFF" + struct.pack("<I", 1000) + b"WEBPVP8X" + struct.pack("<I", 10)
    extended += b"\x02\x00\x00\x00" + (16383).to_bytes(3, "little") * 2 + b"\x00" * 100
    assert webp_canvas(extended) == (16384, 16384)
    with pytest.raises(ImageError, match="more than the limit"):
        decode(extended)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_webp_sizes_are_read_from_the_header(lossless: bool, alpha: bool) -> None:
    image = Image.new("RGBA" if alpha else "RGB", (123, 45), (1, 2, 3, 77)[: 4 if alpha else 3])
    assert webp_canvas(encoded(image, "WEBP", lossless=lossless)) == (123, 45)


def test_limits_are_exact() -> None:
    data = encoded(picture(40, 30), "PNG")
    assert decode(data, limits=Limits(max_pixels=1200)).width == 40
    with pytest.raises(ImageError, match="40×30 pixels, more than the limit of 1,199 pixels"):
        decode(data, limits=Limits(max_pixels=1199))
    assert decode(data, limits=Limits(max_bytes=len(data))).width == 40
    with pytest.raises(ImageError, match="bytes, more than the limit"):
        decode(data, limits=Limits(max_bytes=len(data) - 1))


def test_pillows_own_bomb_limit_neither_warns_nor_changes() -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = encoded(Image.new("1", (10_000, 9_500)), "PNG")  # above 89 megapixels
    got = decode(data, limits=Limits(max_pixels=100_000_000))
    assert got.pixels.shape == (9_500, 10_000, 3)
    assert before == Image.MAX_IMAGE_PIXELS


def test_zero_size() -> None:
    with pytest.raises(ImageError, match="zero size"):
        decode(png_header(0, 5))


def test_a_text_bomb_in_metadata_is_refused() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * (80 << 20), zip=True)
    with pytest.raises(ImageError, match="PNG: "):
        decode(encoded(picture(), "PNG", pnginfo=info))


def test_ordinary_metadata_do_no_harm() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Seed: 1", zip=True)
    pixels = picture()
    np.testing.assert_array_equal(decode(encoded(pixels, "PNG", pnginfo=info)).pixels, pixels)


def test_parsers_off_the_list_are_never_reached() -> None:
    for image_format in ("ICO", "PCX", "SGI", "TGA", "EPS", "PDF", "JPEG2000", "IM", "MSP"):
        image = Image.fromarray(picture(32, 32))
        data = encoded(image.convert("1") if image_format == "MSP" else image, image_format)
        assert sniff_format(data) is None
        with pytest.raises(ImageError):
            decode(data)


# ------------------------------------------------------------------ threads and files


def test_threads_do_not_disturb_each_other() -> None:
    files = [
        encoded(picture(seed=at), kind) for at in range(20) for kind in ("JPEG", "PNG", "WEBP")
    ]
    alone = [decode(data).pixels for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data).pixels, files))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_read_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"12345")
    assert read_bytes(file) == b"12345"
    assert read_bytes(str(file), Limits(max_bytes=5)) == b"12345"
    with pytest.raises(ImageError, match="5 bytes, more than the limit of 4"):
        read_bytes(file, Limits(max_bytes=4))
    with pytest.raises(ImageError, match="No such file"):
        read_bytes(tmp_path / "b.bin")
    with pytest.raises(ImageError):
        read_bytes(tmp_path)
    with pytest.raises(ImageError, match="not a usable file name"):
        read_bytes("a\x00b")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        read_bytes(tmp_path / "pipe.png")


@pytest.mark.parametrize(
    "image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"]
)
def test_a_view_has_the_pixels_and_outlives_the_image(image_format: str) -> None:
    got = decode(encoded(picture(), image_format))
    view, pixels = got.view, got.pixels
    del got
    gc.collect()
    np.testing.assert_array_equal(view, pixels)
    assert not view.flags.writeable


def test_a_view_of_an_image_in_pieces_is_its_pixels() -> None:
    """Pillow keeps more than 16 MiB in several blocks."""
    pixels = np.random.default_rng(0).integers(0, 256, (2100, 2100, 3), np.uint8)
    got = decode(encoded(pixels, "BMP"))
    np.testing.assert_array_equal(got.view, pixels)


def test_frames_are_counted_without_losing_the_first() -> None:
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    out = io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:])
    got = decode(out.getvalue())
    assert "pages: first of 2" in got.notes
    np.testing.assert_array_equal(got.view, picture())


def test_no_memory_for_pixels_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    got = decode(encoded(picture(), "PNG"))

    def none_left(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "array", none_left)
    with pytest.raises(ImageError, match="PNG: not enough memory"):
        got.pixels  # noqa: B018
