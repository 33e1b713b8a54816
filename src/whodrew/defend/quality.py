"""What a defence costs the eye: PSNR, SSIM, LPIPS, the largest change of a pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.arena import Pixels
from whodrew.defend.picture import Picture

#: What every figure here compares with.
AGAINST: Final = "the image resized as the defence resizes it, before anything else"
#: Side of SSIM's Gaussian window: 2 · round(3.5 · 1.5) + 1 pixels.
SSIM_WINDOW: Final = 11
_SIGMA: Final = 1.5

Perceptual = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], float]


@dataclass(frozen=True)
class Quality:
    """How one defended image differs from its plain form, both rounded to 8 bits.

    Attributes:
        psnr: in dB, of 255; infinite where nothing changed.
        ssim: structural similarity, mean over RGB; ``None`` where the image is smaller than
            its window.
        lpips: learnt distance; ``None`` where its weights are missing.
        max_change: largest change of a channel of a pixel, of 255.
    """

    psnr: float | None
    ssim: float | None
    lpips: float | None
    max_change: int | None


@dataclass(frozen=True)
class QualityMedians:
    """Medians over images; a figure that cannot be had is ``None``, with the reason.

    Attributes:
        images: how many were measured.
        psnr: in dB.
        ssim: 1 is the same.
        lpips: 0 is the same.
        max_change: of 255.
        reasons: name of a figure that is ``None`` to the reason.
    """

    images: int
    psnr: float | None
    ssim: float | None
    lpips: float | None
    max_change: float | None
    reasons: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values: each figure, and a ``<name>_reason`` where it is null."""
        figures: dict[str, Any] = {"images": self.images, "against": AGAINST}
        for name in ("psnr", "ssim", "lpips", "max_change"):
            figures[name] = getattr(self, name)
            if name in self.reasons:
                figures[f"{name}_reason"] = self.reasons[name]
        return figures


def quality(plain: Picture, shown: Picture, *, perceptual: Perceptual | None = None) -> Quality:
    """Compares a defended picture with its plain form.

    PSNR is 10 · log10(255² / mean squared error), over all pixels and channels. SSIM is
    Wang et al.'s (2004), Gaussian of deviation 1.5, biased covariances, as scikit-image
    computes it, on [0, 1]; the mean over the three channels.

    Args:
        plain: ``Defence.plain`` of the picture.
        shown: the defended file, decoded.
        perceptual: what ``lpips_distance`` gave, or ``None`` to leave LPIPS out.

    Returns:
        The figures; all ``None`` where the sizes differ.
    """
    before, after = plain.pixels, shown.pixels
    if before.shape != after.shape:
        return Quality(None, None, None, None)
    if np.array_equal(before, after):
        identical = 0.0 if perceptual is not None else None
        return Quality(math.inf, _ssim(before, after), identical, 0)
    change = np.abs(before.astype(np.int16) - after)
    squared = float(np.mean(np.square(change, dtype=np.int32), dtype=np.float64))
    return Quality(
        psnr=10 * math.log10(255**2 / squared),
        ssim=_ssim(before, after),
        lpips=None if perceptual is None else perceptual(_unit(before), _unit(after)),
        max_change=int(change.max()),
    )


def medians(found: Iterable[Quality], *, lpips_reason: str | None = None) -> QualityMedians:
    """Returns the medians over images.

    Args:
        found: of each image.
        lpips_reason: why LPIPS is missing, where it is.
    """
    rows = list(found)
    reasons: dict[str, str] = {}
    values: dict[str, float | None] = {}
    for name, why in (
        ("psnr", "the defence changes the size without saying so"),
        ("ssim", f"smaller than SSIM's window of {SSIM_WINDOW} pixels"),
        ("lpips", lpips_reason or "not measured"),
        ("max_change", "the defence changes the size without saying so"),
    ):
        known = [value for row in rows if (value := getattr(row, name)) is not None]
        value = float(np.median(known)) if known else None
        if value is None:
            reasons[name] = why if rows else "no image was measured"
        elif math.isinf(value):
            value, reasons[name] = None, "no pixel changed: infinite"
        values[name] = value
    return QualityMedians(len(rows), reasons=reasons, **values)


def lpips_distance() -> tuple[Perceptual | None, str | None]:
    """Returns LPIPS (Zhang et al. 2018, AlexNet) where the machine has it, else why not.

    Nothing is downloaded: the package ``lpips`` and AlexNet's weights must be there.

    Returns:
        A function of two pictures (height, width, 3) in [0, 1], or ``None``; and the reason
        where it is ``None``.
    """
    if any(find_spec(name) is None for name in ("lpips", "torch")):
        return None, "needs the package lpips and its weights: pip install lpips"
    return _lpips()


@cache
def _lpips() -> tuple[Perceptual | None, str | None]:
    from pathlib import Path

    import torch

    weights = Path(torch.hub.get_dir(), "checkpoints")
    if not any(weights.glob("alexnet-*.pth")):
        return None, f"needs AlexNet's weights in {weights.name}/ of torch.hub's folder"
    try:
        from lpips import LPIPS

        network = LPIPS(net="alex", verbose=False).eval()
    except Exception as error:  # noqa: BLE001 - a package of others, half installed
        return None, f"lpips cannot be used: {' '.join(str(error).split())[:200]}"

    def distance(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
        with torch.no_grad():
            tensors = [
                torch.from_numpy(one).permute(2, 0, 1)[None] * 2 - 1 for one in (before, after)
            ]
            return float(network(*tensors))

    return distance, None


def _ssim(before: Pixels, after: Pixels) -> float | None:
    if min(before.shape[:2]) < SSIM_WINDOW:
        return None
    if before is after or np.array_equal(before, after):
        return 1.0
    from skimage import metrics

    similarity: Any = metrics.structural_similarity  # not annotated there
    return float(
        similarity(
            _unit(before),
            _unit(after),
            gaussian_weights=True,
            sigma=_SIGMA,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=-1,
        )
    )


def _unit(pixels: Pixels) -> npt.NDArray[np.float32]:
    return np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)
