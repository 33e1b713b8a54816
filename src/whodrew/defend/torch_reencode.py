"""Re-encodings with gradients: JPEG, resizing and blur, drawn at random for each step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import torch
from scipy import fft

from whodrew.defend.torch_counts import rounded

Tensor = Any
Kind = Literal["none", "jpeg", "resize", "blur"]

KINDS: Final[tuple[Kind, ...]] = ("none", "jpeg", "resize", "blur")
CHANCES: Final = (0.2, 0.5, 0.15, 0.15)
# Annex K of ITU-T T.81, as every encoder in use has it.
_LUMA: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_TO_YCC: Final = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


@dataclass(frozen=True)
class Reencoding:
    """One re-encoding.

    Attributes:
        kind: ``none``, ``jpeg``, or ``resize`` or ``blur`` followed by JPEG.
        quality: JPEG's.
        factor: of both sides, shrunk and brought back.
        sigma: deviation of the blur, in pixels.
    """

    kind: Kind = "none"
    quality: int = 85
    factor: float = 0.75
    sigma: float = 0.6

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Reencoding:
        """Draws one: JPEG mostly, quality 70 to 95, factor 0.5 to 0.9, sigma 0.3 to 0.9."""
        kind = KINDS[int(rng.choice(len(KINDS), p=CHANCES))]
        quality = int(rng.integers(70, 96))
        factor, sigma = rng.uniform(0.5, 0.9), rng.uniform(0.3, 0.9)
        return cls(kind, quality, float(factor), float(sigma))

    def __call__(self, images: Tensor) -> Tensor:
        """Maps (n, 3, height, width) in [0, 1] to the same shape, with gradients."""
        if self.kind == "none":
            return images
        if self.kind == "resize":
            images = resized_back(images, self.factor)
        elif self.kind == "blur":
            images = blurred(images, self.sigma)
        return jpeg(images, self.quality)


@cache
def tables(quality: int) -> tuple[Tensor, Tensor]:
    """Returns the quantisation tables of luma and chroma (8, 8), as libjpeg scales them."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    both = np.array([_LUMA, _CHROMA])
    found = np.clip((both * scale + 50) // 100, 1, 255).astype(np.float32)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


@cache
def _cosines() -> Tensor:
    return torch.from_numpy(fft.dct(np.eye(8), axis=0, norm="ortho").astype(np.float32))


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Quantises planes (n, k, height, width), sides multiples of 8, about 0."""
    n, k, height, width = planes.shape
    cut = planes.reshape(n, k, height // 8, 8, width // 8, 8).transpose(3, 4)
    turn = _cosines()
    found = rounded(turn @ cut @ turn.T / table) * table
    back = rounded(turn.T @ found @ turn)
    return back.transpose(3, 4).reshape(n, k, height, width)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """JPEG with chroma at half size (4:2:0), and decoded again.

    All that libjpeg rounds is rounded straight through: the gradient passes as if it were not.

    Args:
        images: (n, 3, height, width) in [0, 1].
        quality: 1 to 100.

    Returns:
        The same shape in [0, 1].
    """
    height, width = images.shape[-2:]
    pad = torch.nn.functional.pad
    full = pad(images * 255, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = rounded(torch.einsum("kc,nchw->nkhw", full.new_tensor(_TO_YCC), rounded(full)))
    luma_table, chroma_table = tables(quality)
    luma = _quantised(ycc[:, :1] - 128, luma_table) + 128
    small = rounded(torch.nn.functional.avg_pool2d(ycc[:, 1:], 2))
    small = _quantised(small, chroma_table)
    # decoders' own triangle filter: weights 3/4 and 1/4
    chroma = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
    whole = torch.cat([luma, chroma], dim=1)
    rgb = torch.einsum("kc,nchw->nkhw", full.new_tensor(_TO_RGB), whole)
    return rounded(rgb[:, :, :height, :width].clamp(0, 255)) / 255


def resized_back(images: Tensor, factor: float) -> Tensor:
    """Shrinks by a factor (bicubic, antialiased) and enlarges again."""
    height, width = images.shape[-2:]
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    change = torch.nn.functional.interpolate
    small = change(images, size, mode="bicubic", antialias=True).clamp(0, 1)
    return change(small, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Blurs by a Gaussian of deviation ``sigma`` pixels, edges continued."""
    reach = max(1, int(np.ceil(3 * sigma)))
    steps = torch.arange(-reach, reach + 1, dtype=images.dtype)
    curve = torch.exp(-0.5 * (steps / sigma) ** 2)
    curve = (curve / curve.sum()).reshape(1, 1, 1, -1).expand(3, 1, 1, -1)
    wide = torch.nn.functional.pad(images, (reach,) * 4, mode="replicate")
    across = torch.nn.functional.conv2d(wide, curve, groups=3)
    return torch.nn.functional.conv2d(across, curve.transpose(2, 3), groups=3)
