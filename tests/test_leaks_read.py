"""The container of one file: every field found, nothing believed, nothing that breaks it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin, PngImagePlugin

from whodrew.arena import ImageError
from whodrew.leaks import read_container
from whodrew.leaks.names import name_pattern
from whodrew.leaks.values import LONGEST, MOST_ITEMS, joined

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")


def picture(width: int = 48, height: int = 32, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).convert(mode)


def saved(image_format: str = "JPEG", image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, image_format, **options)
    return out.getvalue()


def jpeg_with(marker: int, body: bytes, data: bytes | None = None) -> bytes:
    """A JPEG with one more segment after its first marker."""
    data = data or saved()
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks after its header."""
    data = saved("PNG")
    made = b""
    for kind, body in chunks:
        made += struct.pack(">I", len(body)) + kind + body
        made += struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + made + data[33:]


def webp_with(kind: bytes, body: bytes) -> bytes:
    data = saved("WEBP")
    chunk = kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:] + chunk


# ---------------------------------------------------------------- what every format has
@pytest.mark.parametrize("image_format", FORMATS)
def test_format_size_and_aspect(image_format: str) -> None:
    found = read_container(saved(image_format), "a/b.xyz")
    assert (found["format"], found["size"], found["aspect"]) == (image_format, "48x32", "3:2")
    assert found["file_extension"] == ".xyz"
    for name in ("exif", "xmp", "iptc", "icc_profile", "c2pa", "png_text"):
        assert found[name] == (), name
    assert ("jpeg_tables" in found) == (image_format == "JPEG")


@pytest.mark.parametrize(
    ("image_format", "mode", "depth"),
    [
        ("PNG", "L", "grey 8 bit"),
        ("PNG", "1", "grey 1 bit"),
        ("PNG", "I;16", "grey 16 bit"),
        ("PNG", "P", "palette 8 bit"),
        ("PNG", "RGBA", "RGBA 8 bit"),
        ("JPEG", "L", "grey 8 bit"),
        ("JPEG", "CMYK", "CMYK 8 bit"),
        ("WEBP", "RGB", "RGB 8 bit"),
        ("TIFF", "L", "grey 8 bit"),
    ],
)
def test_bit_depth(image_format: str, mode: str, depth: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 40000, np.uint16))
    else:
        image = picture(mode=mode)
    assert read_container(saved(image_format, image))["bit_depth"] == depth


def test_alpha_of_webp_is_seen_lossy_and_lossless() -> None:
    image = picture()
    image.putalpha(90)
    for lossless in (False, True):
        data = saved("WEBP", image, lossless=lossless)
        assert read_container(data)["bit_depth"] == "RGBA 8 bit"


# ---------------------------------------------------------------- metadata
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_is_found_in_every_format_that_has_it(image_format: str) -> None:
    exif = Image.Exif()
    exif[0x0131] = "Maker 1.0"
    exif[0x010F] = "Someone"
    found = dict(read_container(saved(image_format, exif=exif))["exif"])
    assert found["Software"] == "Maker 1.0"
    assert found["Make"] == "Someone"


def test_settings_in_exif_and_text_tell_the_model_though_the_prompt_is_new() -> None:
    text = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 7, Model: deep-v3"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    in_exif = dict(read_container(saved(exif=exif))["exif"])
    assert in_exif["UserComment/Model"] == "deep-v3"
    chunk = b"parameters\0" + text.encode()
    in_png = dict(read_container(png_with((b"tEXt", chunk)))["png_text"])
    assert in_png["parameters/Model"] == "deep-v3"
    assert in_png["parameters/Sampler"] == "Euler a"
    workflow = b'prompt\0{"4": {"inputs": {"ckpt_name": "sd_xl.safetensors", "x": 1}}}'
    found = dict(read_container(png_with((b"tEXt", workflow)))["png_text"])
    assert found["prompt/ckpt_name"] == "sd_xl.safetensors"


def test_places_and_maker_notes_are_named_without_their_values() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0x927C] = b"secret"
    found = dict(read_container(saved(exif=exif))["exif"])
    assert found["GPSLatitudeRef"] == ""
    assert found["MakerNote"] == "present"


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "packed iTXt"])
def test_png_text_of_every_kind(kind: str) -> None:
    info = PngImagePlugin.PngInfo()
    if "iTXt" in kind:
        info.add_itxt("Software", "Painter é", "en", "", zip=kind.startswith("packed"))
    else:
        info.add_text("Software", "Painter é", zip=kind == "zTXt")
    data = saved("PNG", pnginfo=info)
    assert dict(read_container(data)["png_text"]) == {"Software": "Painter é"}


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Kit 5"><rdf:RDF><rdf:Description '
    b'xmp:CreatorTool="Brush 2"><Iptc4xmpExt:DigitalSourceType>http://cv/trainedAlgorithmicMedia'
    b"</Iptc4xmpExt:DigitalSourceType></rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_xmp_tells_the_tool_and_the_kind_of_source(image_format: str) -> None:
    if image_format == "PNG":
        data = png_with((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))
    else:
        data = saved(image_format, xmp=XMP)
    found = dict(read_container(data)["xmp"])
    assert found == {
        "packet": "present",
        "xmptk": "Kit 5",
        "CreatorTool": "Brush 2",
        "DigitalSourceType": "http://cv/trainedAlgorithmicMedia",
    }
    assert read_container(data)["png_text"] == ()


def test_iptc() -> None:
    sets = b"\x1c\x02\x41\x00\x05Maker" + b"\x1c\x02\x50\x00\x03Bob" + b"\x1c\x01\x5a\x00\x01x"
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(sets)) + sets
    found = dict(read_container(jpeg_with(0xED, block))["iptc"])
    assert found == {"originating program": "Maker", "by-line": "Bob", "1:090": "present"}


MANIFEST = (
    b"\0\0\0\x40jumb\0\0\0\x1ejumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"
    b"\x6fclaim_generator\x6aMaker/1.0 \x74claim_generator_info\xa1\x64name\x65Maker"
)


def c2pa_files() -> dict[str, bytes]:
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    box = struct.pack(">I", 24 + len(MANIFEST)) + b"uuid" + uuid + MANIFEST
    return {
        "JPEG": jpeg_with(0xEB, b"JP\0\1\0\0\0\1" + MANIFEST),
        "PNG": png_with((b"caBX", MANIFEST)),
        "WEBP": webp_with(b"C2PA", MANIFEST),
        "AVIF": saved("AVIF") + box,
    }


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_c2pa_is_detected_and_its_generator_named(image_format: str) -> None:
    found = dict(read_container(c2pa_files()[image_format])["c2pa"])
    assert found == {"manifest": "present", "generator": "Maker/1.0"}


def test_the_generator_of_newer_claims() -> None:
    newer = MANIFEST.replace(b"\x6fclaim_generator\x6aMaker/1.0 ", b"")
    found = dict(read_container(png_with((b"caBX", newer)))["c2pa"])
    assert found == {"manifest": "present", "generator": "Maker"}


def test_icc_profiles_of_both_versions() -> None:
    from PIL import ImageCms

    old = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        found = dict(read_container(saved(image_format, icc_profile=old))["icc_profile"])
        assert found["profile"] == "sRGB built-in", image_format
    text = "Display P3".encode("utf-16-be")
    tag = b"mluc\0\0\0\0" + struct.pack(">IIHHII", 1, 12, 0x656E, 0x5553, len(text), 28) + text
    head = bytes(128) + struct.pack(">I", 1) + b"desc" + struct.pack(">II", 144, len(tag))
    found = dict(read_container(jpeg_with(0xE2, b"ICC_PROFILE\0\1\1" + head + tag))["icc_profile"])
    assert found["profile"] == "Display P3"


# ---------------------------------------------------------------- JPEG
@pytest.mark.parametrize("quality", [5, 50, 75, 85, 92, 95])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_jpeg_tables_and_subsampling_agree_with_pillow(quality: int, subsampling: str) -> None:
    data = saved(quality=quality, subsampling=subsampling)
    found = read_container(data)
    assert str(found["jpeg_tables"]).startswith(f"quality {quality} (")
    assert found["jpeg_subsampling"] == subsampling
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        code = JpegImagePlugin.get_sampling(image)
    assert ["4:4:4", "4:2:2", "4:2:0"][code] == found["jpeg_subsampling"]


def test_tables_that_are_not_libjpegs_say_so_and_stay_apart() -> None:
    mine = [[16 + i // 4 for i in range(64)], [17 + i // 3 for i in range(64)]]
    other = [mine[0], [18 + i // 3 for i in range(64)]]
    first = read_container(saved(qtables=mine))["jpeg_tables"]
    second = read_container(saved(qtables=other))["jpeg_tables"]
    assert str(first).startswith("own tables, near quality ")
    assert first != second


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, "baseline, Huffman tables: standard"),
        ({"optimize": True}, "baseline, Huffman tables: optimised"),
        ({"progressive": True}, "progressive, Huffman tables: optimised"),
        ({"restart_marker_blocks": 2}, "baseline, Huffman tables: standard, restart every 2"),
    ],
)
def test_jpeg_coding(options: dict[str, Any], wanted: str) -> None:
    assert read_container(saved(**options))["jpeg_coding"] == wanted


def test_marks_of_jpeg_encoders() -> None:
    assert read_container(saved(dpi=(72, 72)))["encoder_marks"] == (
        "JFIF 1.01 72x72 dpi; DQT 2, DHT 4"
    )
    adobe = jpeg_with(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    assert "Adobe transform 1" in str(read_container(adobe)["encoder_marks"])
    assert "APP10 LAME" in str(read_container(jpeg_with(0xEA, b"LAME\0x"))["encoder_marks"])
    assert (
        read_container(saved() + b"trailer")["encoder_marks"]
        != (read_container(saved())["encoder_marks"])
    )
    comment = dict(read_container(saved(comment=b"by gd-jpeg"))["comment"])
    assert comment == {"comment": "by gd-jpeg"}


def test_metadata_does_not_change_the_marks() -> None:
    exif = Image.Exif()
    exif[0x0131] = "x"
    plain = read_container(saved())["encoder_marks"]
    assert read_container(saved(exif=exif, xmp=XMP, comment=b"x"))["encoder_marks"] == plain
    assert read_container(c2pa_files()["JPEG"])["encoder_marks"] == plain
    plain = read_container(saved("PNG"))["encoder_marks"]
    assert read_container(saved("PNG", exif=exif))["encoder_marks"] == plain
    assert read_container(png_with((b"tEXt", b"a\0b")))["encoder_marks"] == plain


# ---------------------------------------------------------------- PNG, WebP
@pytest.mark.parametrize(("level", "head"), [(1, "7801"), (6, "789c"), (9, "78da")])
def test_png_compression_level(level: int, head: str) -> None:
    data = saved("PNG", compress_level=level)
    assert read_container(data)["encoder_marks"] == f"zlib {head}"


def test_png_chunks_are_marks() -> None:
    data = png_with((b"pHYs", struct.pack(">IIB", 2835, 2835, 1)), (b"gAMA", b"\0\0\xb1\x8f"))
    marks = str(read_container(data)["encoder_marks"])
    assert marks.startswith("pHYs 2835x2835 unit 1; gAMA 0000b18f; zlib")


def test_pieces_are_told_only_where_they_show() -> None:
    assert "png_pieces" not in read_container(saved("PNG"))
    large = saved("PNG", picture(300, 300))
    pieces = []
    at = 8
    while at < len(large):
        size = int.from_bytes(large[at : at + 4], "big")
        if large[at + 4 : at + 8] == b"IDAT":
            pieces.append(size)
        at += 12 + size
    assert len(pieces) >= 3
    assert read_container(large)["png_pieces"] == f"IDAT of {pieces[0]} bytes"


def test_lossy_and_lossless_webp_differ() -> None:
    assert read_container(saved("WEBP"))["encoder_marks"] == "VP8"
    assert read_container(saved("WEBP", lossless=True))["encoder_marks"] == "VP8L"


# ---------------------------------------------------------------- files from strangers
@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP", b"hello", b"BM", b"GIF89a"],
)
def test_what_has_no_header_is_an_error_with_a_reason(data: bytes) -> None:
    with pytest.raises(ImageError) as stop:
        read_container(data)
    assert stop.value.reason


def test_broken_exif_is_a_value_of_its_own() -> None:
    data = jpeg_with(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_container(data)["exif"] == (("unreadable", ""),)


def test_a_text_that_unpacks_to_gigabytes_costs_nothing() -> None:
    bomb = zlib.compress(b"a" * (64 << 20), 9)
    for chunk in ((b"zTXt", b"k\0\0" + bomb), (b"iCCP", b"k\0\0" + bomb)):
        found = read_container(png_with(chunk))
        assert len(joined(found["png_text"])) < 200
        assert len(joined(found["icc_profile"])) < 200


def test_many_chunks_and_long_values_are_bounded() -> None:
    chunks = [(b"tEXt", b"key%d\0" % i + b"v" * 5000) for i in range(500)]
    found = read_container(png_with(*chunks))["png_text"]
    assert len(found) == MOST_ITEMS
    assert all(len(value) <= LONGEST for _, value in found)


def test_long_values_that_differ_at_the_end_stay_apart() -> None:
    texts = [b"k\0" + b"v" * 3000 + end for end in (b"a", b"b")]
    first, second = (read_container(png_with((b"tEXt", text)))["png_text"] for text in texts)
    assert first != second


def test_control_characters_do_not_come_through() -> None:
    found = read_container(png_with((b"tEXt", b"k\0a\x1b[31m\nb\x00c")))["png_text"]
    assert joined(found).isprintable()


SEEDS = [
    saved(),
    saved(progressive=True, exif=b"Exif\0\0" + saved("TIFF")[:80], xmp=XMP),
    *c2pa_files().values(),
    saved("PNG", picture(300, 300)),
    png_with((b"tEXt", b"parameters\0Model: x"), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
    saved("WEBP", lossless=True, xmp=XMP),
    *(saved(image_format) for image_format in FORMATS),
]


@settings(max_examples=400)
@given(
    seed=st.sampled_from(range(len(SEEDS))),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8), st.booleans()), max_size=8
    ),
    keep=st.floats(0, 1),
)
def test_mutated_files_give_fields_or_an_error(
    seed: int, edits: list[tuple[float, bytes, bool]], keep: float
) -> None:
    data = bytearray(SEEDS[seed])
    for place, change, insert in edits:
        # most of what parsers read stands at the front
        at = int(place**3 * len(data))
        data[at : at if insert else at + len(change)] = change
    cut = bytes(data[: int((1 - (1 - keep) ** 4) * len(data)) + 1])
    try:
        found = read_container(cut, "x.png")
    except ImageError:
        return
    for value in found.values():
        assert len(joined(value)) < 20_000
        assert joined(value).isprintable()
        hash(value)


# ---------------------------------------------------------------- names
def pattern(name: str, model: str = "m1", prompt: str = "a-cat", seed: str | None = None) -> Any:
    stem = name.rsplit(".", 1)[0]
    found = name_pattern(name, (model, prompt), stem if seed is None else seed)
    return tuple(found.values())


@pytest.mark.parametrize(
    "name", ["0.png", "00012.jpg", "4294967295.webp", "m1_a-cat_7.png", "M1-a_cat.png", "a cat.png"]
)
def test_the_arenas_own_labels_are_no_pattern(name: str) -> None:
    assert pattern(name) == ("", "", "")


def test_names_of_generators_are() -> None:
    assert pattern("ComfyUI_00012_.png") == (
        "10",
        "digits, small letters, capitals, '_'",
        "ComfyUI…",
    )
    assert pattern("ComfyUI_00012_.png") == pattern("ComfyUI_7_.png")
    assert pattern("d41d8cd98f00b204e9800998ecf8427e.png")[1] == "hexadecimal"
    assert pattern("123e4567-e89b-12d3-a456-426614174000.png")[1:] == ("UUID", "")
    assert pattern("img-final.png")[2] == "img…final"
    assert pattern("xa7f_m1_a-cat.png") == pattern("xa7f_m2_a-dog.png", "m2", "a-dog")


def test_a_seed_of_its_own_is_a_label() -> None:
    assert pattern("run3.png", seed="run3.png") == pattern("run3.png")
    assert name_pattern("out_991.png", ("m", "p"), "991") == name_pattern(
        "out_17.png", ("m", "p"), "17"
    )


@given(st.text(max_size=40), st.text(max_size=10), st.text(max_size=10), st.text(max_size=10))
def test_any_name_has_a_pattern(name: str, model: str, prompt: str, seed: str) -> None:
    found = name_pattern(name, (model, prompt), seed)
    assert set(found) == {"file_name_length", "file_name_alphabet", "file_name_ends"}
    assert all(value == "" or value.isprintable() for value in found.values())
