"""Safe decoding: bytes from strangers in, uint8 RGB out, or one line saying why not.

One pixel path for everybody. What it does, and notes where it did:

- **format** by content, from an allow-list (``sniff.EXTENSIONS``); names decide nothing;
- **limits** on bytes and pixels are checked before any pixel is unpacked;
- **truncated** files are errors, never half an image;
- **animations** give their first frame;
- **alpha** (and colour-key transparency) is composited on white;
- **16 bit grey** becomes ``round(v * 255 / 65535)``; Pillow hands 16 bit *colour* over with
  only the high byte kept, ``v >> 8``;
- **float grey** in 0..1 is multiplied by 255, in 0..255 rounded; anything else is an error;
- **CMYK, YCbCr, HSV** go to RGB by Pillow's plain formulas, without a profile;
- **ICC profiles are not applied**: two files with equal stored values give equal pixels,
  whatever profile one of them carries (a profile is a matter of the container);
- **EXIF orientation** is applied, and sizes are those after it.
"""

from __future__ import annotations

import io
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from whodrew.arena.sniff import misnamed, sniff_format, webp_canvas, why_not_an_image
from whodrew.errors import InputError

Pixels = npt.NDArray[np.uint8]

# The plug-in classes are called directly, not through Image.open: only these parsers are
# ever reached, and Pillow's process-wide bomb limit and warnings filter stay untouched,
# which could not be changed safely while other threads decode.
_READERS: Final[dict[str, Any]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
# To count the frames of these, Pillow seeks, and a seek unloads what was decoded.
_SEEKING: Final = ("GIF", "TIFF")
_RAW_16: Final = re.compile(";16[BLN]")
_TURNS: Final[dict[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(InputError):
    """An image that cannot be read; ``reason`` is one line without the file's name."""

    def __init__(self, reason: str) -> None:
        self.reason = " ".join(reason.split())[:300]
        super().__init__(self.reason)


@dataclass(frozen=True)
class Limits:
    """What an image may cost at most.

    Attributes:
        max_pixels: width × height of one frame.
        max_bytes: size of the file in bytes.
    """

    max_pixels: int = 64_000_000
    max_bytes: int = 256 * 2**20


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, eq=False)
class Decoded:
    """One decoded image; its pixels stay where Pillow has them until they are asked for.

    Attributes:
        image: the image in mode RGB, loaded.
        width: pixels across, after the EXIF orientation was applied.
        height: pixels down, after the EXIF orientation was applied.
        format: ``"JPEG"``, ``"PNG"`` ...: what the content is.
        mode: Pillow's mode as stored (``"RGB"``, ``"P"``, ``"CMYK"``, ``"I;16"`` ...).
        notes: what had to be done to get RGB, one short line each.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    mode: str
    notes: tuple[str, ...] = ()

    @cached_property
    def pixels(self) -> Pixels:
        """Array (height, width, 3) of uint8 RGB, contiguous, owned.

        Raises:
            ImageError: there is no memory for it.
        """
        try:
            return np.array(self.image, dtype=np.uint8, order="C")
        except MemoryError as error:
            raise ImageError(_reason(self.format, error)) from error

    @cached_property
    def view(self) -> Pixels:
        """The same numbers where Pillow has them, read-only, four bytes from pixel to pixel.

        That saves a fifth of the decoding. Images of more than Pillow's block (16 MiB) are
        in pieces there: they are given as ``pixels``.
        """
        import pyarrow as pa

        try:
            buffer = pa.array(self.image).flatten().buffers()[1]
        except ValueError:
            return self.pixels
        shape = (self.height, self.width, 4)
        if buffer.size != self.height * self.width * 4:
            return self.pixels
        whole: Pixels = np.frombuffer(buffer, np.uint8).reshape(shape)
        return whole[:, :, :3]


def read_bytes(path: str | Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Reads an image file, refusing what is no regular file or too large.

    Raises:
        ImageError: missing, not a file, no permission, or larger than ``limits``.
    """
    try:
        # O_NONBLOCK: opening a named pipe would otherwise wait for a writer for ever.
        handle = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        with os.fdopen(handle, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise ImageError("not a regular file")
            _check_bytes(info.st_size, limits)
            data = file.read(limits.max_bytes + 1)
    except OSError as error:
        raise ImageError(error.strerror or type(error).__name__) from error
    except ValueError as error:
        raise ImageError(f"not a usable file name: {error}") from error
    _check_bytes(len(data), limits)
    return data


def decode(data: bytes, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None) -> Decoded:
    """Decodes an image to RGB at its native size.

    Args:
        data: the whole file.
        limits: what it may cost.
        name: the file's name, only to note an ending that says another format.

    Returns:
        The pixels, and notes on what was done to get them.

    Raises:
        ImageError: not an image of a known format, damaged, truncated, or over a limit.
            Nothing else is raised, whatever the bytes.
    """
    _check_bytes(len(data), limits)
    image_format = sniff_format(data)
    if image_format is None:
        raise ImageError(why_not_an_image(data))
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this process, so that half images "
            "cannot be told from whole ones: set it to False"
        )
    notes: list[str] = []
    if name is not None and (note := misnamed(name, image_format)):
        notes.append(note)
    try:
        return _decode(data, image_format, limits, notes)
    except ImageError:
        raise
    except Exception as error:  # Pillow's parsers raise nearly every kind there is
        raise ImageError(_reason(image_format, error)) from error


def _decode(data: bytes, image_format: str, limits: Limits, notes: list[str]) -> Decoded:
    if image_format == "WEBP":
        canvas = webp_canvas(data)
        if canvas is None:
            raise ImageError("WEBP: the header is damaged")
        _check_pixels(canvas, limits)
    with _READERS[image_format](io.BytesIO(data)) as image:
        _check_pixels(image.size, limits)
        mode = image.mode
        wide = _holds_16_bit(image)
        turn = _orientation(image, notes)
        image.load()
        rgb = _to_rgb(image, wide, notes)
        if image_format != "TIFF" and turn in _TURNS:
            # Pillow turns TIFF itself, on loading
            rgb = rgb.transpose(_TURNS[turn])
        if turn in _TURNS:
            notes.append(f"EXIF orientation {turn} applied")
        if image.info.get("icc_profile"):
            notes.append("ICC profile not applied")
        if rgb is image and image_format in _SEEKING:
            rgb = image.copy()
        if (frames := _frames(image)) > 1:
            what = "pages: first" if image_format == "TIFF" else "animation: first frame"
            notes.append(f"{what} of {frames}")
    return Decoded(rgb, *rgb.size, image_format, mode, tuple(notes))


def _to_rgb(image: Image.Image, wide: bool, notes: list[str]) -> Image.Image:
    """Converts a loaded image to mode RGB, noting what that took."""
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        if wide:
            notes.append("16 bit colour reduced to 8")
        return image
    if mode in ("F", "I") or mode.startswith("I;16"):
        grey = _grey(np.asarray(image), mode, notes)
        return Image.fromarray(grey).convert("RGB")
    if wide and mode in ("RGB", "RGBA", "LA"):
        notes.append("16 bit colour reduced to 8")
    if mode == "RGBX":
        return image.convert("RGB")
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"), notes)
    if mode not in ("1", "L", "P"):
        notes.append(f"{mode} converted to RGB without a profile")
    return image.convert("RGB")


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    low, _ = image.getchannel("A").getextrema()
    if low == 255:  # opaque: the colours stay as stored, to the bit
        return image.convert("RGB")
    notes.append("alpha composited on white")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _grey(values: npt.NDArray[Any], mode: str, notes: list[str]) -> Pixels:
    """Reduces grey values of more than 8 bits, shape (height, width), to uint8."""
    if mode == "F":
        low, high = float(values.min()), float(values.max())
        if low >= 0.0 and high <= 1.0:  # false for NaN, too
            notes.append("float values in 0..1 multiplied by 255")
            return _rounded(values * 255.0)
        if low >= 0.0 and high <= 255.0:
            notes.append("float values in 0..255 rounded to 8 bit")
            return _rounded(values)
        raise ImageError(f"float values from {low:g} to {high:g}, neither in 0..1 nor in 0..255")
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise ImageError("32 bit values outside of 0..65535: reduce them to 8 or 16 bit")
    notes.append("16 bit reduced to 8")
    return _rounded((wide * 255 + 32767) // 65535)


def _rounded(values: npt.NDArray[Any]) -> Pixels:
    whole: Pixels = np.rint(values).astype(np.uint8)
    return whole


def _orientation(image: Image.Image, notes: list[str]) -> int:
    """Returns the EXIF orientation, 1 where there is none; EXIF that is broken is noted."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(value) if int(value) in _TURNS else 1
    except Exception:  # broken metadata must not cost the pixels
        notes.append("EXIF unreadable, ignored")
        return 1


def _holds_16_bit(image: Any) -> bool:
    """Whether colour of 16 bit is about to be unpacked to 8, told by the decoder's arguments."""
    if image.format == "PPM":
        return any(isinstance(at, int) and at > 255 for tile in image.tile for at in tile.args[1:2])
    return any(_RAW_16.search(str(tile.args)) for tile in image.tile)


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is whole; what follows is not read
        return 1


def _check_bytes(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageError(f"{size:,} bytes, more than the limit of {limits.max_bytes:,}")


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"zero size ({width}×{height})")
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{width}×{height} pixels, more than the limit of {limits.max_pixels:,} pixels"
        )


def _reason(image_format: str, error: Exception) -> str:
    text = str(error)
    if isinstance(error, MemoryError):
        text = "not enough memory"
    elif isinstance(error, SyntaxError) and "not identified" in text:
        text = "the header is damaged or of zero size"
    elif "truncated" in text.lower() or isinstance(error, EOFError):
        text = "truncated"
    return f"{image_format}: {text or type(error).__name__}"
