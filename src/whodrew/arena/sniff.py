"""What a file is, by its first bytes: content decides, never the name."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

# Formats whose decoders `decode` may reach. Everything else Pillow can parse (EPS runs
# Ghostscript, PSD, ICNS, FITS ...) stays out of reach of files from strangers.
EXTENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
#: File-name endings of images that are read.
IMAGE_EXTENSIONS: Final = frozenset(ending for row in EXTENSIONS.values() for ending in row)
#: Endings of images that are listed, so that `decode` can say by content why they fail.
FOREIGN_IMAGE_EXTENSIONS: Final = frozenset({".heic", ".heif", ".jxl", ".jp2", ".j2k"})

_PNM = frozenset(b"P" + digit for digit in (b"1", b"2", b"3", b"4", b"5", b"6"))
_FOREIGN: Final[tuple[tuple[bytes, str], ...]] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the image: run 'git lfs pull'"),
    (b"%PDF", "a PDF, not an image"),
    (b"%!PS", "PostScript is not read: convert it to PNG"),
    (b"8BPS", "a Photoshop file is not read: convert it to PNG"),
    (b"\xff\x0a", "JPEG XL is not read: convert it to PNG"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL is not read: convert it to PNG"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000 is not read: convert it to PNG"),
    (b"PK\x03\x04", "a ZIP archive, not an image"),
    (b"\x1f\x8b", "a gzip archive, not an image"),
    (b"PAR1", "a Parquet file, not an image"),
    (b"\x00\x00\x01\x00", "an icon (ICO) is not read: convert it to PNG"),
    (b"qoif", "QOI is not read: convert it to PNG"),
)


def sniff_format(data: bytes) -> str | None:
    """Names the format of ``data`` by its first bytes.

    Args:
        data: the file, or at least its first 64 bytes.

    Returns:
        A key of ``EXTENSIONS``, or ``None`` where it is none of them.
    """
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:2] == b"BM":
        return "BMP"
    if data[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "TIFF"
    if data[4:8] == b"ftyp" and _brands(data) & {b"avif", b"avis"}:
        return "AVIF"
    if data[:2] in _PNM and data[2:3] in (b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c", b"#"):
        return "PPM"
    return None


def why_not_an_image(data: bytes) -> str:
    """Says in a few words what ``data`` is, where ``sniff_format`` knows no format."""
    if not data:
        return "the file is empty"
    for magic, reason in _FOREIGN:
        if data.startswith(magic):
            return reason
    if data[4:8] == b"ftyp":
        if _brands(data) & {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}:
            return "HEIC is not read: convert it to PNG or JPEG"
        return "a video, not an image"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "an SVG drawing has no pixels: render it to PNG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, not an image (a failed download?)"
    if head.startswith((b"{", b"[")):
        return "JSON, not an image (a failed download?)"
    if not any(data[:1024]):
        return "all zeros, not an image (an unfinished download?)"
    return "not an image of a known format (" + ", ".join(EXTENSIONS) + ")"


def misnamed(name: str, image_format: str) -> str | None:
    """Returns a note where the ending of ``name`` says another format than the content."""
    ending = PurePath(name).suffix.lower()
    known = ending in IMAGE_EXTENSIONS or ending in FOREIGN_IMAGE_EXTENSIONS
    if known and ending not in EXTENSIONS[image_format]:
        return f"named {ending} but holds {image_format}"
    return None


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Reads width and height from a WebP header, ``None`` where it is damaged.

    Pillow's WebP reader allocates two canvases before it tells the size, so that a
    30-byte file can claim 2 GB; the limit has to be checked before it is called.
    """
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return (
            int.from_bytes(data[26:28], "little") & 0x3FFF,
            int.from_bytes(data[28:30], "little") & 0x3FFF,
        )
    return None


def _brands(data: bytes) -> set[bytes]:
    """Returns the major and compatible brands of an ISO base media file."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return {data[8:12]} | {data[at : at + 4] for at in range(16, end - 3, 4)}
