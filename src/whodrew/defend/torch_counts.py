"""Counts as they are, with gradients as if bins were soft: what histograms lack for descent.

A count does not change until a value crosses a bin's edge, so that its gradient says nothing.
Here the forward pass counts exactly, and the backward pass is that of soft bins (sums of
triangular weights): values stay those of the encoder that is deceived. whodrew's own; the
principle is the straight-through estimator of Bengio et al. (arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any, Final

import torch

from whodrew.encoders.fingerprint.families import PATTERNS

Tensor = Any
Function: Any = torch.autograd.Function

CLASSES: Final = int(PATTERNS.max()) + 1
REACH: Final = 3.0
"""Levels of 255 from which a neighbour's comparison is felt to turn."""


def seen_as(value: Tensor, smooth: Tensor) -> Tensor:
    """Returns ``value`` with the gradient of ``smooth``, of the same shape."""
    return smooth + (value - smooth).detach()


def rounded(values: Tensor) -> Tensor:
    """Returns values rounded half up, with the gradient of the identity."""
    return seen_as(torch.floor(values + 0.5), values)


def root(values: Tensor, floor: float) -> Tensor:
    """Returns the square root, its slope bounded as if ``floor`` had been added."""
    inner = values.clamp(min=0)
    return seen_as(inner.sqrt(), (inner + floor).sqrt())


class _Histogram(Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, values: Tensor, bins: int, width: float, around: bool) -> Tensor:
        ctx.shape_ = (bins, width, around)
        ctx.save_for_backward(values)
        at = (values / width).floor().long()
        inside = (at >= 0) & (at < bins)
        counts = values.new_zeros(len(values), bins)
        return counts.scatter_add_(1, at.clamp(0, bins - 1), inside.to(values.dtype))

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None, None]:
        bins, width, around = ctx.shape_
        (values,) = ctx.saved_tensors
        at = (values / width - 0.5).floor().long()
        inside = (values >= 0) & (values < bins * width)
        low, high = (at % bins, (at + 1) % bins) if around else (at, at + 1)
        low, high = low.clamp(0, bins - 1), high.clamp(0, bins - 1)
        slope = (given.gather(1, high) - given.gather(1, low)) / width
        return torch.where(inside, slope, torch.zeros_like(slope)), None, None, None


def histogram(values: Tensor, bins: int, width: float, *, around: bool = False) -> Tensor:
    """Counts values.

    Args:
        values: (n, k); those outside all bins, such as -1, are left out and get no gradient.
        bins: number of bins, the first from 0.
        width: of a bin.
        around: whether the last bin borders on the first.

    Returns:
        Tensor (n, bins) of counts; the gradient is that of each value shared linearly between
        the two bins whose middles it lies between.
    """
    return _Histogram.apply(values, bins, width, around)


class _Laplacian(Function):  # type: ignore[misc]
    @staticmethod
    def forward(_ctx: Any, plane: Tensor) -> Tensor:
        found = 4 * plane[:, 1:-1, 1:-1]
        for rows, columns in _CROSS:
            found -= plane[:, rows, columns]
        return found

    @staticmethod
    def backward(_ctx: Any, given: Tensor) -> Tensor:
        n, height, width = given.shape
        out = given.new_zeros(n, height + 2, width + 2)
        out[:, 1:-1, 1:-1] = 4 * given
        for rows, columns in _CROSS:
            out[:, rows, columns] -= given
        return out


_INNER = slice(1, -1)
_CROSS = (
    (slice(None, -2), _INNER),
    (slice(2, None), _INNER),
    (_INNER, slice(None, -2)),
    (_INNER, slice(2, None)),
)


def laplacian(plane: Tensor) -> Tensor:
    """Returns four times each inner pixel of (n, h, w) less its four neighbours.

    Written out, since a convolution's gradient takes ten times as long.
    """
    return _Laplacian.apply(plane)


def _ring(plane: Tensor, radius: int) -> tuple[list[tuple[slice, slice]], tuple[slice, slice]]:
    """Places of the eight neighbours, clockwise from the upper left, and of the middle."""
    height, width = plane.shape[-2:]
    rows = [slice(k * radius, height - (2 - k) * radius) for k in range(3)]
    columns = [slice(k * radius, width - (2 - k) * radius) for k in range(3)]
    order = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    return [(rows[y], columns[x]) for y, x in order], (rows[1], columns[1])


class _Patterns(Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, plane: Tensor, radius: int) -> Tensor:
        around, (rows, columns) = _ring(plane, radius)
        middle = plane[:, rows, columns]
        codes = torch.zeros(middle.shape, dtype=torch.uint8)
        for bit, (y, x) in enumerate(around):
            codes |= (plane[:, y, x] >= middle).to(torch.uint8) << bit
        ctx.radius_ = radius
        ctx.save_for_backward(plane, codes)
        return torch.stack(
            [
                torch.bincount(torch.from_numpy(PATTERNS)[one.flatten().long()], minlength=CLASSES)
                for one in codes
            ]
        ).to(plane.dtype)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        plane, codes = ctx.saved_tensors
        around, (rows, columns) = _ring(plane, ctx.radius_)
        middle = plane[:, rows, columns]
        worth = given[:, torch.from_numpy(PATTERNS)]
        every = torch.arange(256)
        out, own = torch.zeros_like(plane), torch.zeros_like(middle)
        flat = codes.flatten(1).long()
        for bit, (y, x) in enumerate(around):
            gain = worth[:, every | (1 << bit)] - worth[:, every & ~(1 << bit)]
            # a bit turns between a difference of -1 and one of 0
            distance = (plane[:, y, x] - middle + 0.5).abs()
            weight = (1 - distance / REACH).clamp_(min=0).div_(REACH)
            slope = gain.gather(1, flat).reshape(middle.shape) * weight
            out[:, y, x] += slope
            own += slope
        out[:, rows, columns] -= own
        return out, None


def patterns(plane: Tensor, radius: int) -> Tensor:
    """Counts the classes of local binary patterns, as ``fingerprint`` has them.

    Args:
        plane: (n, height, width) of whole numbers, sides above ``2 * radius``.
        radius: distance of the neighbours in pixels.

    Returns:
        Tensor (n, 84) of counts. The gradient is that of each comparison taken as a soft
        step ``REACH`` levels to either side, the other seven as they are.
    """
    return _Patterns.apply(plane, radius)
