"""The containers of the sample models: how each saves its pictures, and what that gives away."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageCms, PngImagePlugin

_SOFTWARE = 0x0131


@dataclass(frozen=True)
class Container:
    """Everything of a model's files but their pixels.

    Attributes:
        format: Pillow's name of the format.
        extension: of the file name, without a dot.
        width, height: in pixels.
        quality: of a lossy format.
        subsampling: of JPEG, 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0.
        software: an EXIF tag, empty for none.
        parameters: whether a PNG text chunk tells the prompt and the seed.
        profile: whether an sRGB profile is embedded.
    """

    format: str = "JPEG"
    extension: str = "jpg"
    width: int = 320
    height: int = 320
    quality: int = 92
    subsampling: int = 0
    software: str = ""
    parameters: bool = False
    profile: bool = False


@cache
def srgb_profile() -> bytes:
    """An sRGB profile without the date at which it was made: bytes must not change by the day."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))
    made[84:100] = bytes(16)
    return bytes(made)


def saved(image: Image.Image, container: Container, *, model: str, prompt: str, seed: int) -> bytes:
    """The file of a picture, as the model's container has it."""
    buffer = io.BytesIO()
    options: dict[str, object] = {}
    if container.profile:
        options["icc_profile"] = srgb_profile()
    if container.software:
        exif = Image.Exif()
        exif[_SOFTWARE] = container.software
        options["exif"] = exif.tobytes()
    if container.format == "PNG":
        options["compress_level"] = 1
        if container.parameters:
            text = PngImagePlugin.PngInfo()
            text.add_text("parameters", f"{prompt}\nSteps: 28, Seed: {seed}, Model: {model}")
            options["pnginfo"] = text
    elif container.format == "WEBP":
        options |= {"quality": container.quality, "method": 1}
    else:
        options |= {"quality": container.quality, "subsampling": container.subsampling}
    image.save(buffer, container.format, **options)
    return buffer.getvalue()
