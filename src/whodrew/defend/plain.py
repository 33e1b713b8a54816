"""The plain defences: what anybody would try first."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageFilter, JpegImagePlugin

from whodrew.defend.base import Shown
from whodrew.defend.picture import Picture
from whodrew.defend.served import SUBSAMPLINGS, Served
from whodrew.errors import UsageError

FITS = ("crop", "pad", "stretch")
LEAST, MOST = 16, 8192


def check(name: str, value: float, low: float, high: float, unit: str) -> None:
    """Refuses a setting out of range.

    Raises:
        UsageError: ``value`` lies outside ``low`` to ``high``.
    """
    if not low <= value <= high:
        raise UsageError(f"{name}={value:g} is out of range: {low:g} to {high:g} {unit}")


def brought_to(image: Image.Image, size: int, fit: str) -> Image.Image:
    """Returns an image of ``size`` × ``size``, resized by Lanczos, antialiased.

    Args:
        image: in mode RGB.
        size: side in pixels; smaller images are enlarged.
        fit: ``crop`` (the largest square in the middle), ``pad`` (the whole image on
            white) or ``stretch`` (the whole image, its aspect ratio not kept).
    """
    width, height = image.size
    side = (size, size)
    if width == height or fit == "stretch":
        return image if image.size == side else image.resize(side, Image.Resampling.LANCZOS)
    if fit == "crop":
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        return image.resize(side, Image.Resampling.LANCZOS, box=box)
    scale = size / max(width, height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = Image.new("RGB", side, (255, 255, 255))
    small = image.resize(inner, Image.Resampling.LANCZOS)
    canvas.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return canvas


@dataclass(frozen=True)
class Canonical:
    """One size, one format, one quality: what an arena should do at the very least.

    Alone it undoes every leak of the container. Its format and quality are those of the
    file, whatever stages follow it, which is written once, last.

    Attributes:
        size: side in pixels.
        quality: JPEG quality.
        fit: ``crop``, ``pad`` or ``stretch``.
        format: ``jpeg``, ``png`` or ``webp`` (lossless).
        subsampling: of JPEG's chroma, 420, 422 or 444.
        pad: multiple of bytes that the file is filled up to; 0 leaves its size.
    """

    size: int = 768
    quality: int = 85
    fit: str = "crop"
    format: str = "jpeg"
    subsampling: int = 420
    pad: int = 0
    name: ClassVar[str] = "canonical"
    random: ClassVar[bool] = False
    reshapes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check("canonical size", self.size, LEAST, MOST, "pixels")
        if self.fit not in FITS:
            raise UsageError(f"canonical fit {self.fit!r} is none of {', '.join(FITS)}")
        _ = self.served  # refuses a format, quality, subsampling or pad it cannot have

    @property
    def served(self) -> Served:
        """How the file is written."""
        return Served(self.format, self.quality, self.subsampling, self.pad)

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Size, quality and format."""
        return {"size": self.size, "quality": self.quality, "format": self.format}

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the picture at its one size; writing the file does the rest."""
        return Picture.of(brought_to(picture.image, self.size, self.fit))


@dataclass(frozen=True)
class Resample:
    """Shrinks or enlarges, by a factor or to a long side; the aspect ratio is kept.

    Attributes:
        factor: of both sides.
        size: long side in pixels instead; 0 takes the factor.
        back: whether it is brought back to its size, which leaves the blur alone.
    """

    factor: float = 0.5
    size: int = 0
    back: bool = False
    name: ClassVar[str] = "resample"
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check("resample factor", self.factor, 0.02, 8, "of both sides")
        if self.size:
            check("resample size", self.size, LEAST, MOST, "pixels")

    @property
    def reshapes(self) -> bool:
        """Whether the size changes."""
        return not self.back

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Long side, or factor."""
        return {"size": self.size} if self.size else {"factor": self.factor}

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the resampled picture (Lanczos, antialiased)."""
        image = picture.image
        factor = self.size / max(image.size) if self.size else self.factor
        width, height = (min(max(1, round(side * factor)), MOST) for side in image.size)
        small = image.resize((width, height), Image.Resampling.LANCZOS)
        return Picture.of(
            small.resize(image.size, Image.Resampling.LANCZOS) if self.back else small
        )


@dataclass(frozen=True)
class Jpeg:
    """Re-encodes as baseline JPEG; last of its chain, it is the file that is shown.

    Attributes:
        quality: 1 to 100.
        subsampling: of chroma, 420, 422 or 444.
    """

    quality: int = 75
    subsampling: int = 420
    name: ClassVar[str] = "jpeg"
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _ = self.served  # refuses what it cannot have

    @property
    def served(self) -> Served:
        """How the file is written."""
        return Served("jpeg", self.quality, self.subsampling)

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Quality and subsampling."""
        return {"quality": self.quality, "subsampling": SUBSAMPLINGS[self.subsampling]}

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns what is left after JPEG."""
        with JpegImagePlugin.JpegImageFile(io.BytesIO(self.served.encode(picture.image))) as image:
            image.load()
            return Picture.of(image.copy())


@dataclass(frozen=True)
class Noise:
    """Gaussian noise, independent in each channel.

    Attributes:
        sigma: deviation, of 255.
    """

    sigma: float = 2.0
    name: ClassVar[str] = "noise"
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check("noise sigma", self.sigma, 0, 128, "of 255")

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Deviation of 255."""
        return {"sigma_of_255": self.sigma}

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the picture with noise of the stage's own generator."""
        noise = shown.rng.standard_normal(picture.unit.shape, dtype=np.float32)
        noise *= np.float32(self.sigma / 255)
        noise += picture.unit
        return Picture.clipped(noise)


@dataclass(frozen=True)
class Blur:
    """Pillow's Gaussian blur (its approximation by boxes).

    Attributes:
        radius: deviation in pixels.
    """

    radius: float = 1.0
    name: ClassVar[str] = "blur"
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check("blur radius", self.radius, 0, 64, "pixels")

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Radius in pixels."""
        return {"radius_pixels": self.radius}

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the blurred picture."""
        return Picture.of(picture.image.filter(ImageFilter.GaussianBlur(self.radius)))
