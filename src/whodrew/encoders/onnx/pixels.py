"""From uint8 pixels to what a network takes: resize, scale, normalise, lay out.

Resizing is Pillow's, with antialiasing, as in the image processors of transformers and in
torchvision on Pillow images.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from whodrew.encoders.base import Pixels

Floats = npt.NDArray[np.float32]
_MOST_PIXELS: Final = 1 << 24
_FILTERS: Final = {name.lower(): Image.Resampling[name] for name in Image.Resampling.__members__}


@dataclass(frozen=True)
class Preprocessing:
    """All that is done to pixels.

    Attributes:
        size: (height, width) the network takes.
        resize: ``crop`` (shorter side to ``resize_to``, then the centre), ``stretch`` or
            ``pad`` (the whole image, bars of grey value ``pad`` beside it).
        interpolation: name of Pillow's filter.
        scale: pixels 0 to 255 are multiplied by it; ``None`` where the network takes bytes.
        mean: subtracted then, in the order of ``channels``.
        std: divided by then.
        channels: ``rgb`` or ``bgr``.
        layout: ``nchw`` or ``nhwc``.
        resize_to: shorter side in pixels before the crop.
        pad: grey value of the bars.
    """

    size: tuple[int, int]
    resize: str
    interpolation: str
    scale: float | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: str
    layout: str
    resize_to: int | None = None
    pad: int | None = None

    def text(self) -> str:
        """Returns it as one line, for cards: equal where it is equal."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(values, separators=(", ", "="), sort_keys=True).replace('"', "")[1:-1]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields of a sidecar."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value is not None
        }

    def __call__(self, image: Pixels) -> npt.NDArray[Any]:
        """Returns (3, h, w) or (h, w, 3) of what the network takes: float32, or bytes.

        Args:
            image: (height, width, 3) uint8 RGB.

        Raises:
            ValueError: it is not that.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                "an image must be (height, width, 3) of uint8, not empty; "
                f"got {image.shape} of {image.dtype}"
            )
        resized: npt.NDArray[Any] = self.resized(image)
        if self.channels == "bgr":
            resized = resized[..., ::-1]
        planes = resized.transpose(2, 0, 1)
        if self.scale is not None:
            planes = np.stack([np.take(*both) for both in zip(self._table, planes, strict=True)])
        if self.layout == "nhwc":
            planes = planes.transpose(1, 2, 0)
        return np.ascontiguousarray(planes)

    @cached_property
    def _table(self) -> Floats:
        """(3, 256): what each byte becomes in each channel."""
        values = np.arange(256, dtype=np.float64) * (self.scale or 1.0)
        normal = (values - np.array(self.mean)[:, None]) / np.array(self.std)[:, None]
        return np.asarray(normal, dtype=np.float32)

    def resized(self, image: Pixels) -> Pixels:
        """Returns the image at ``size``, still uint8 RGB."""
        high, wide = self.size
        picture = Image.fromarray(np.ascontiguousarray(image))
        across, down = picture.size
        resample = _FILTERS[self.interpolation]
        if self.resize == "stretch":
            return np.asarray(picture.resize((wide, high), resample))
        if self.resize == "pad":
            ratio = min(high / down, wide / across)
            inner = max(1, round(across * ratio)), max(1, round(down * ratio))
            grey = self.pad or 0
            canvas = Image.new("RGB", (wide, high), (grey, grey, grey))
            canvas.paste(
                picture.resize(inner, resample), ((wide - inner[0]) // 2, (high - inner[1]) // 2)
            )
            return np.asarray(canvas)
        short = self.resize_to or high
        # The longer side is rounded down, as transformers and torchvision do.
        if across <= down:
            whole = short, int(short * down / across)
        else:
            whole = int(short * across / down), short
        left, top = (whole[0] - wide) // 2, (whole[1] - high) // 2
        if whole[0] * whole[1] <= _MOST_PIXELS:
            resized = np.asarray(picture.resize(whole, resample))
            return resized[top : top + high, left : left + wide]
        # A strip of 1 x 10,000 pixels: only what is kept of it is ever made, which Pillow
        # does a little less exactly.
        horizontal, vertical = across / whole[0], down / whole[1]
        box = (
            left * horizontal,
            top * vertical,
            min(across, (left + wide) * horizontal),
            min(down, (top + high) * vertical),
        )
        return np.asarray(picture.resize((wide, high), resample, box=box))
