"""Finding out what a preprocessing does, by showing it images: for the sidecar of an export.

Whatever function prepares images for a torch encoder, the fields of a sidecar are recovered
from what it makes of plain colours (scale, mean, deviation, channels), of a ramp (the size
it resizes to) and of textured images of several shapes (resize mode and filter). What no
fields describe is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.encoders.base import Pixels
from whodrew.encoders.onnx.pixels import Floats, Preprocessing
from whodrew.errors import UsageError

Prepare = Callable[[Sequence[Pixels]], npt.NDArray[np.float32]]
#: Mean difference in grey levels up to which two preprocessings count as the same: what
#: resizing in floats and in bytes differ by is below it, another filter is above.
CLOSE: Final = 0.6
_SHAPES: Final = ((300, 420), (420, 300), (97, 210), (256, 256))
_FILTERS: Final = ("bicubic", "bilinear", "lanczos", "box", "hamming", "nearest")
_RAMP: Final = 512


@dataclass(frozen=True)
class Recovered:
    """A preprocessing in the fields of a sidecar.

    Attributes:
        preprocessing: the fields.
        difference: mean difference to the original on textured images, in grey levels.
    """

    preprocessing: Preprocessing
    difference: float


def recover(prepare: Prepare, name: str) -> Recovered:
    """Returns the fields that describe a preprocessing.

    Args:
        prepare: maps n images (height, width, 3) of uint8 RGB to (n, 3, h, w) float32.
        name: the encoder's, for messages.

    Raises:
        UsageError: no fields describe it.
    """
    base = _values(prepare, name)
    rng = np.random.default_rng(0)
    images = [_texture(rng, *shape) for shape in _SHAPES]
    found = [_one(prepare, image, name) for image in images]
    if any(one.shape != (3, *base.size) for one in found):
        raise UsageError(
            f"encoder {name!r} has no one input size: a sidecar cannot describe it, and it "
            "cannot be exported"
        )
    table = np.array(base.std)[:, None, None], np.array(base.mean)[:, None, None]
    grey = [((one * table[0] + table[1]) / (base.scale or 1.0)) for one in found]

    def difference(candidate: Preprocessing) -> float:
        made = [candidate.resized(image) for image in images]
        if candidate.channels == "bgr":
            made = [one[..., ::-1] for one in made]
        pairs = zip(made, grey, strict=True)
        return float(np.mean([np.abs(one.transpose(2, 0, 1) - two).mean() for one, two in pairs]))

    best, least = base, float("inf")
    for candidate in _candidates(base, _shorter_side(prepare, base, name)):
        if (now := difference(candidate)) < least:
            best, least = candidate, now
    if least > CLOSE:
        raise UsageError(
            f"encoder {name!r} prepares images in a way that a sidecar cannot describe (the "
            f"nearest, {best.resize} {best.interpolation}, is {least:.1f} grey levels off)"
        )
    return Recovered(best, least)


def _values(prepare: Prepare, name: str) -> Preprocessing:
    """Returns size, scale, mean, deviation and channels, from plain colours."""
    levels = [_one(prepare, np.full((64, 64, 3), level, np.uint8), name) for level in (0, 255, 51)]
    means = np.array([one.mean(axis=(1, 2), dtype=np.float64) for one in levels])
    spread = max(float(np.ptp(one, axis=(1, 2)).max()) for one in levels)
    low, high, between = means
    slope = (high - low) / 255
    if not np.isfinite(means).all() or not (slope > 0).all():
        raise UsageError(f"encoder {name!r} prepares images in a way that is not linear")
    off = np.abs(low + 51 * slope - between) / slope
    if spread / slope.min() > CLOSE or off.max() > CLOSE:
        raise UsageError(
            f"encoder {name!r} prepares images in a way that a sidecar cannot describe: it is "
            "not one line from grey level to value"
        )
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    lit = np.abs(_one(prepare, red, name).mean(axis=(1, 2)) - low) / slope > 128
    channels = {(True, False, False): "rgb", (False, False, True): "bgr"}.get(tuple(lit.tolist()))
    if channels is None:
        raise UsageError(f"encoder {name!r} mixes colour channels: it cannot be exported")
    deviation = 1 / 255 / slope
    return Preprocessing(
        size=(levels[0].shape[1], levels[0].shape[2]),
        resize="stretch",
        interpolation="bicubic",
        scale=1 / 255,
        mean=_rounded(-low * deviation),
        std=_rounded(deviation),
        channels=channels,
        layout="nchw",
    )


def _rounded(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Returns three numbers without what single precision added to them."""
    first, second, third = (round(float(value), 7) + 0.0 for value in values)
    return first, second, third


def _shorter_side(prepare: Prepare, base: Preprocessing, name: str) -> int:
    """Returns about how long the shorter side was made, from the slope of a ramp."""
    ramp = np.repeat(np.arange(_RAMP) // 2, 3).reshape(1, _RAMP, 3)
    image = np.ascontiguousarray(np.broadcast_to(ramp, (_RAMP, _RAMP, 3)).astype(np.uint8))
    values = _one(prepare, image, name)[1].mean(axis=0, dtype=np.float64)
    values = values * base.std[1] * 255
    inner = slice(len(values) // 8, -(len(values) // 8) or None)
    steps = np.arange(len(values))[inner]
    slope = float(np.polyfit(steps, values[inner], 1)[0])
    return round(_RAMP / 2 / slope) if slope > 0 else base.size[0]


def _candidates(base: Preprocessing, shorter: int) -> Iterator[Preprocessing]:
    nearby = sorted(
        range(max(*base.size, shorter - 3), shorter + 4), key=lambda n: abs(n - shorter)
    )
    for name in _FILTERS:
        plain = replace(base, interpolation=name)
        yield plain
        for side in nearby:
            yield replace(plain, resize="crop", resize_to=side)
        for grey in (0, 255, 128, 127, 114):
            yield replace(plain, resize="pad", pad=grey)


def _texture(rng: np.random.Generator, high: int, wide: int) -> Pixels:
    """Returns noise of several scales, on which filters differ."""
    total = np.zeros((high, wide, 3))
    for step in (1, 3, 8, 24):
        rows, columns = -(-high // step), -(-wide // step)
        coarse = rng.uniform(-50, 50, (rows, columns, 3))
        total += np.kron(coarse, np.ones((step, step, 1)))[:high, :wide]
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def _one(prepare: Prepare, image: Pixels, name: str) -> Floats:
    try:
        found: Any = np.asarray(prepare([image]), dtype=np.float32)
    except Exception as error:
        raise UsageError(f"encoder {name!r} cannot prepare an image: {error}") from error
    if found.ndim != 4 or found.shape[:2] != (1, 3):
        raise UsageError(f"encoder {name!r} prepares images as {found.shape}, not (n, 3, h, w)")
    return np.asarray(found[0])
