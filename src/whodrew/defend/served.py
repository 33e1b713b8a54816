"""The file that is shown: one format, one quality, nothing in it but the picture."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from PIL import Image

from whodrew.errors import UsageError

MEDIA_TYPES: Final = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
ENDINGS: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
SUBSAMPLINGS: Final = {420: "4:2:0", 422: "4:2:2", 444: "4:4:4"}

_LONGEST: Final = 65_533  # bytes of a JPEG comment
_JPEG_LEAST: Final = 4
_PNG_LEAST: Final = 12
_PNG_END: Final = 12  # IEND, the last chunk


@dataclass(frozen=True)
class Served:
    """How the defended picture is written.

    Attributes:
        format: ``jpeg``, ``png`` or ``webp`` (lossless).
        quality: JPEG's, 1 to 100.
        subsampling: of JPEG's chroma: 420, 422 or 444.
        pad: the file is filled up to a multiple of this many bytes; 0 leaves it.
    """

    format: str = "png"
    quality: int = 85
    subsampling: int = 420
    pad: int = 0

    def __post_init__(self) -> None:
        if self.format not in MEDIA_TYPES:
            raise UsageError(f"format {self.format!r} is none of {', '.join(MEDIA_TYPES)}")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"JPEG quality {self.quality} is out of range: 1 to 100")
        if self.subsampling not in SUBSAMPLINGS:
            known = ", ".join(map(str, SUBSAMPLINGS))
            raise UsageError(f"subsampling {self.subsampling} is none of {known}")
        if self.pad and (self.pad < 16 or self.format == "webp"):
            raise UsageError(
                f"pad={self.pad}: pad to a multiple of at least 16 bytes, JPEG or PNG only"
            )

    @property
    def media_type(self) -> str:
        """The MIME type, such as ``image/jpeg``."""
        return MEDIA_TYPES[self.format]

    @property
    def ending(self) -> str:
        """The file name's ending, such as ``.jpg``."""
        return ENDINGS[self.format]

    def encode(self, image: Image.Image) -> bytes:
        """Returns the file: the same bytes for the same pixels and versions of the libraries.

        Args:
            image: in mode RGB; whatever else hangs on it is not written.
        """
        out = io.BytesIO()
        # what a file may carry is named here, or Pillow takes it from the image
        if self.format == "jpeg":
            image.save(
                out,
                "JPEG",
                quality=self.quality,
                subsampling=SUBSAMPLINGS[self.subsampling],
                optimize=False,
                progressive=False,
                icc_profile=None,
                exif=b"",
                comment=b"",
                dpi=(0, 0),
            )
        elif self.format == "png":
            plain = Image.frombytes("RGB", image.size, image.tobytes()) if image.info else image
            plain.save(out, "PNG", compress_level=6)
        else:
            image.save(out, "WEBP", lossless=True, method=2, icc_profile=b"", exif=b"", xmp=b"")
        return padded(out.getvalue(), self.format, self.pad)


def padded(data: bytes, format_: str, multiple: int) -> bytes:
    """Returns a JPEG or PNG filled with zeros up to a multiple of bytes, still valid.

    A JPEG gets comments behind its start marker, a PNG a private ancillary chunk before its
    end: whatever reads them passes over both.

    Args:
        data: the file.
        format_: ``jpeg`` or ``png``.
        multiple: of bytes; 0 returns the file as it is.
    """
    if not multiple or len(data) % multiple == 0:
        return data
    missing = -len(data) % multiple
    least = _JPEG_LEAST if format_ == "jpeg" else _PNG_LEAST
    while missing < least:
        missing += multiple
    if format_ == "png":
        body = b"paDd" + bytes(missing - _PNG_LEAST)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:-_PNG_END] + chunk + data[-_PNG_END:]
    parts = []
    while missing:
        take = min(missing, _LONGEST + 4)
        if 0 < missing - take < _JPEG_LEAST:
            take -= _JPEG_LEAST
        parts.append(b"\xff\xfe" + struct.pack(">H", take - 2) + bytes(take - 4))
        missing -= take
    return data[:2] + b"".join(parts) + data[2:]
