"""From uint8 pixels to a network's input, as the model's own processor does it.

One image at a time, on Pillow and numpy, in the caller's thread. The values are those of
the Pillow image processors of transformers to the bit: the arithmetic of rescaling and
normalising is done once on the 256 values there are, and looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from whodrew.encoders.base import Pixels
from whodrew.errors import UsageError

Floats = npt.NDArray[np.float32]
FILTERS: Final = {
    Image.Resampling.NEAREST: "nearest",
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
    Image.Resampling.LANCZOS: "lanczos",
    Image.Resampling.BOX: "box",
    Image.Resampling.HAMMING: "hamming",
}
# A strip of 1 x 10,000 pixels resized by its shorter side would fill the memory.
MOST_PIXELS: Final = 64_000_000


class Preprocessing(Protocol):
    """What stands between pixels and a network."""

    @property
    def output(self) -> tuple[int, int] | None:
        """Height and width of what it gives; ``None`` where they depend on the image."""
        ...

    def describe(self) -> str:
        """Returns everything it does, for the card: equal texts, equal values."""
        ...

    def __call__(self, image: Pixels) -> Floats:
        """Returns (3, height, width) float32 of an image (height, width, 3) of uint8 RGB."""
        ...


class Target(Protocol):
    """A rule that says to which size an image is resized."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width where they are the same for all images."""
        ...

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width that an image of this size gets."""
        ...

    def describe(self) -> str:
        """Returns it in words."""
        ...


@dataclass(frozen=True)
class Exactly:
    """All images to one size, whatever their proportions."""

    height: int
    width: int

    @property
    def size(self) -> tuple[int, int] | None:
        """The size itself."""
        return self.height, self.width

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        """Returns the size itself."""
        return self.height, self.width

    def describe(self) -> str:
        """Returns it in words."""
        return f"to {self.height}x{self.width}"


@dataclass(frozen=True)
class Shorter:
    """The shorter side to one length, proportions kept, the longer side rounded down."""

    side: int

    @property
    def size(self) -> tuple[int, int] | None:
        """``None``: the longer side depends on the image."""
        return None

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width that an image of this size gets."""
        short, long = min(height, width), max(height, width)
        longer = int(self.side * long / short)
        return (longer, self.side) if width <= height else (self.side, longer)

    def describe(self) -> str:
        """Returns it in words."""
        return f"shorter side to {self.side}"


@dataclass(frozen=True)
class Patches:
    """SigLIP 2 NaFlex: as large as a number of patches allows, proportions nearly kept."""

    patch: int
    most: int

    @property
    def size(self) -> tuple[int, int] | None:
        """``None``: it depends on the image's proportions."""
        return None

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width that an image of this size gets."""
        from transformers.models.siglip2 import image_processing_pil_siglip2 as theirs

        found = theirs.get_image_size_for_max_num_patches(height, width, self.patch, self.most)
        return int(found[0]), int(found[1])

    def describe(self) -> str:
        """Returns it in words."""
        return f"to at most {self.most} patches of {self.patch}x{self.patch}"


@dataclass(frozen=True)
class Recipe:
    """Resizing, a crop from the centre, rescaling, normalising.

    Attributes:
        target: the size to resize to.
        resample: Pillow's number of the filter.
        crop: height and width cut from the centre afterwards, or ``None``.
        scale: what values 0..255 are multiplied by, or ``None``.
        mean: subtracted from each channel, or ``None`` where nothing is normalised.
        deviation: what each channel is divided by then.
        floating: rescale first and resize by torch with antialiasing, in float32, as the
            processor of DINOv3 does; else Pillow resizes uint8.
    """

    target: Target
    resample: int
    crop: tuple[int, int] | None = None
    scale: float | None = 1 / 255
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    floating: bool = False

    @property
    def output(self) -> tuple[int, int] | None:
        """Height and width of what it gives; ``None`` where they depend on the image."""
        return self.crop or self.target.size

    @property
    def filter(self) -> str:
        """The filter's name."""
        return FILTERS[Image.Resampling(self.resample)]

    def describe(self) -> str:
        """Returns everything it does, for the card."""
        who = "torch, antialiased, in float32" if self.floating else "Pillow, in 8 bit"
        parts = [f"resized {self.target.describe()} ({self.filter}, {who})"]
        if self.crop:
            parts.append(f"centre {self.crop[0]}x{self.crop[1]}")
        if self.scale is not None:
            parts.append(f"times {self.scale:.10g}")
        if self.mean is not None and self.deviation is not None:
            parts.append(f"minus {_numbers(self.mean)}, by {_numbers(self.deviation)}")
        return "; ".join(parts)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width that an image gets before it is cropped.

        Raises:
            ValueError: the image is so narrow that resizing it would fill the memory.
        """
        new = self.target(height, width)
        if new[0] * new[1] > MOST_PIXELS:
            raise ValueError(
                f"{width}x{height} pixels {self.target.describe()} would be {new[1]}x{new[0]}: "
                "too narrow"
            )
        return new

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Returns the rows and columns to keep of a resized image of this size."""
        if self.crop is None:
            return slice(None), slice(None)
        top, left = (height - self.crop[0]) // 2, (width - self.crop[1]) // 2
        return slice(top, top + self.crop[0]), slice(left, left + self.crop[1])

    def __call__(self, image: Pixels) -> Floats:
        """Returns (3, height, width) float32 of an image (height, width, 3) of uint8 RGB."""
        height, width = self.resized(*image.shape[:2])
        if self.floating:
            return self._in_floats(image, height, width)
        small = image
        if (height, width) != image.shape[:2]:
            resample = Image.Resampling(self.resample)
            small = np.asarray(Image.fromarray(image).resize((width, height), resample))
        rows, columns = self.box(height, width)
        found = np.empty((3, *small[rows, columns].shape[:2]), np.float32)
        for channel in range(3):
            np.take(self._table[channel], small[rows, columns, channel], out=found[channel])
        return found

    @cached_property
    def _table(self) -> Floats:
        """What each of the 256 values becomes in each channel, shape (3, 256)."""
        values = np.arange(256, dtype=np.float64)
        ramp = (values if self.scale is None else values * self.scale).astype(np.float32)
        table = np.stack([ramp] * 3)
        if self.mean is None or self.deviation is None:
            return table
        mean, deviation = (np.array(one, np.float32)[:, None] for one in self._normal)
        return np.asarray((table - mean) / deviation, np.float32)

    @property
    def _normal(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.mean or (0.0,) * 3, self.deviation or (1.0,) * 3

    def _in_floats(self, image: Pixels, height: int, width: int) -> Floats:
        import torch

        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        planes = planes.float() if self.scale is None else planes * self.scale
        if (height, width) != image.shape[:2]:
            planes = torch.nn.functional.interpolate(
                planes, (height, width), mode=self.filter, align_corners=False, antialias=True
            )
        rows, columns = self.box(height, width)
        mean, deviation = (torch.tensor(one)[:, None, None] for one in self._normal)
        found: Floats = ((planes[0, :, rows, columns] - mean) / deviation).numpy()
        return found


@dataclass(frozen=True)
class Opaque:
    """Preprocessing that another library built, and its own words for it.

    Attributes:
        function: maps a Pillow RGB image to a tensor (3, height, width).
        words: what it does.
        output: height and width of what it gives.
    """

    function: Callable[[Any], Any]
    words: str
    output: tuple[int, int] | None = None

    def describe(self) -> str:
        """Returns what the library says it does."""
        return self.words

    def __call__(self, image: Pixels) -> Floats:
        """Returns (3, height, width) float32 of an image (height, width, 3) of uint8 RGB."""
        found = np.asarray(self.function(Image.fromarray(image)), np.float32)
        if found.ndim != 3 or found.shape[0] != 3:
            raise ValueError(f"preprocessing gave an array of shape {found.shape}")
        return found


def stacked(arrays: Sequence[Floats]) -> Floats:
    """Stacks what a preprocessing gave for n images to (n, 3, height, width).

    Raises:
        UsageError: there are none, or they have several sizes.
    """
    sizes = {array.shape[1:] for array in arrays}
    if len(sizes) != 1:
        several = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)) or "no image"
        raise UsageError(f"one array holds images of one size, got {several}: one size a call")
    return np.stack(arrays)


def check_pixels(images: Sequence[Pixels]) -> None:
    """Refuses what is no image.

    Raises:
        ValueError: an image is empty or not (height, width, 3) of uint8.
    """
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                "an image must be (height, width, 3) of uint8, not empty; "
                f"got {image.shape} of {image.dtype}"
            )


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.10g}" for value in values) + ")"
