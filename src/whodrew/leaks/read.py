"""The container of one image file: bytes from strangers in, plain values out."""

from __future__ import annotations

import io
from math import gcd
from pathlib import PurePosixPath
from typing import Any, Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
)

from whodrew.arena import ImageError
from whodrew.arena.sniff import sniff_format, why_not_an_image
from whodrew.leaks.chunks import read_png, read_webp
from whodrew.leaks.jpeg import read_jpeg
from whodrew.leaks.metadata import (
    c2pa_items,
    comment_items,
    exif_items,
    icc_items,
    xmp_items,
)
from whodrew.leaks.values import Value, as_text, items, shown

_OWN: Final = {"JPEG": read_jpeg, "PNG": read_png, "WEBP": read_webp}
# Called directly, not through Image.open, as decoding does: no other parser is ever reached.
_PILLOW: Final[dict[str, Any]] = {
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
_METADATA: Final = ("exif", "xmp", "iptc", "icc_profile", "c2pa", "png_text", "comment")
_MODES: Final = {"L": "grey 8 bit", "P": "palette 8 bit", "RGB": "RGB 8 bit", "RGBA": "RGBA 8 bit"}
_C2PA_UUID: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_C2PA_TAG: Final = 0xCD41
_TIFF_TAGS: Final = {"compression": 259, "predictor": 317, "rows a strip": 278}


def read_container(data: bytes, name: str | None = None) -> dict[str, Value]:
    """Reads everything of an image file but its pixels.

    Headers are walked by lengths that are checked against the file; what is damaged is taken
    as absent. Nothing is decoded, executed, fetched or verified.

    Args:
        data: the whole file.
        name: its name, for its ending alone.

    Returns:
        Fields by name. Text, or (part, value) pairs where a field has several parts; empty
        where the file has nothing of the kind. A field that files of this format cannot have
        (JPEG tables of a PNG) is left out.

    Raises:
        ImageError: no image of a known format, or its header is damaged. Nothing else.
    """
    image_format = sniff_format(data)
    if image_format is None:
        raise ImageError(why_not_an_image(data))
    try:
        if image_format in _OWN:
            size, found = _OWN[image_format](data)
        else:
            size, found = _by_pillow(data, image_format)
    except ImageError:
        raise
    except Exception as error:  # Pillow's parsers raise nearly every kind there is
        raise ImageError(f"{image_format}: the header is damaged") from error
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{image_format}: zero size ({width}×{height})")
    common = gcd(width, height)
    fields: dict[str, Value] = {
        "format": image_format,
        "size": f"{width}x{height}",
        "aspect": f"{width // common}:{height // common}",
    }
    fields |= dict.fromkeys(_METADATA, ())
    fields |= found
    if name is not None:
        fields["file_extension"] = shown(PurePosixPath(name).suffix)
    return fields


def _by_pillow(data: bytes, image_format: str) -> tuple[tuple[int, int], dict[str, Value]]:
    with _PILLOW[image_format](io.BytesIO(data)) as image:
        info = image.info
        exif = info.get("exif", b"")
        xmp = info.get("xmp", b"")
        comment = info.get("comment", b"")
        text = as_text(comment) if isinstance(comment, bytes) else str(comment)
        fields: dict[str, Value] = {
            "bit_depth": _MODES.get(image.mode, f"mode {image.mode}"),
            "encoder_marks": "; ".join(_marks(image, data, image_format)),
            "exif": exif_items(exif if isinstance(exif, bytes) else b""),
            "xmp": xmp_items(xmp if isinstance(xmp, bytes) else str(xmp).encode()),
            "icc_profile": icc_items(info.get("icc_profile") or b""),
            "comment": items(comment_items("comment", text)) if text else (),
            "c2pa": c2pa_items(_manifest(image, data, image_format)),
        }
        if image_format == "TIFF":
            fields["exif"] = exif_items(_tiff_text(image))
        return image.size, fields


def _tiff_text(image: Any) -> bytes:
    """Returns the tags of a TIFF that say who wrote it, as an EXIF block."""
    from PIL import Image

    exif = Image.Exif()
    for tag in (270, 271, 272, 305, 306, 315, 33432):
        value = image.tag_v2.get(tag)
        if isinstance(value, str):
            exif[tag] = value[:1000]
    return exif.tobytes() if len(exif) else b""


def _marks(image: Any, data: bytes, image_format: str) -> list[str]:
    if image_format == "GIF":
        return [data[3:6].decode("latin-1"), f"loop {image.info.get('loop', 'none')}"]
    if image_format == "BMP":
        return [f"header of {int.from_bytes(data[14:18], 'little')}"]
    if image_format == "AVIF":
        end = min(int.from_bytes(data[:4], "big"), 64, len(data))
        return [shown(f"brands {as_text(data[8:end])}")]
    if image_format == "TIFF":
        order = "little endian" if data[:2] == b"II" else "big endian"
        tags = [f"{name} {image.tag_v2.get(tag)}" for name, tag in _TIFF_TAGS.items()]
        return [order, *map(shown, tags)]
    return [data[:2].decode("latin-1")]


def _manifest(image: Any, data: bytes, image_format: str) -> bytes | None:
    if image_format == "TIFF":
        found = image.tag_v2.get(_C2PA_TAG)
        return found if isinstance(found, bytes) else None
    if image_format == "GIF":
        at = data.find(b"C2PA_GIF")
        return data[at:] if at >= 0 else None
    if image_format != "AVIF":
        return None
    at = 0
    for _ in range(256):  # boxes at the top level
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"uuid" and data[at + 8 : at + 24] == _C2PA_UUID:
            return data[at + 24 : at + max(size, 24)]
        if size < 8:
            return None
        at += size
    return None
