"""``jitter``: each image's low-level statistics are drawn anew, under the operator's secret.

Whodrew's own. Faint detail, which carries most of a model's signature, fades; grain of a
spectrum drawn for the image takes its place, most where the eye does not see it; details
of each scale and direction gain or lose a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from whodrew.defend.base import Shown
from whodrew.defend.picture import Picture
from whodrew.defend.plain import check
from whodrew.defend.planes import GRAIN_LEVELS, LEVELS, Change, analysed

#: Deviation of the logarithm of grain by band, and of all of it.
SPECTRUM, AMOUNT = 0.7, 0.4
#: Details of luma that fade: the finest three scales.
FADING = 6


@dataclass(frozen=True)
class Jitter:
    """Draws low-level statistics at random.

    Attributes:
        strength: scales all of it.
        grain: of luma's grain: share of noise in what hides it; SSIM falls by about as much.
        chroma: likewise of Cb's and Cr's.
        fade: typical size below which detail fades, of 255.
        gains: deviation of the logarithm of each detail's gain.
        colour: deviation of contrast, saturation and (in tens of 255) tint.
    """

    strength: float = 1.0
    grain: float = 0.03
    chroma: float = 0.005
    fade: float = 3.0
    gains: float = 0.2
    colour: float = 0.0
    name: ClassVar[str] = "jitter"
    random: ClassVar[bool] = True
    sees: ClassVar[tuple[str, ...]] = ("fingerprint",)

    def __post_init__(self) -> None:
        check("jitter strength", self.strength, 0, 4, "times")
        check("jitter grain", self.grain, 0, 1, "of what hides it")
        check("jitter chroma", self.chroma, 0, 1, "of what hides it")
        check("jitter fade", self.fade, 0, 64, "of 255")
        check("jitter gains", self.gains, 0, 2, "as a logarithm")
        check("jitter colour", self.colour, 0, 1, "as a share")

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Each amount with the strength applied."""
        return {
            "grain_share": self.grain * self.strength**2,
            "chroma_share": self.chroma * self.strength**2,
            "fade_of_255": self.fade * self.strength,
            "log_gain": self.gains * self.strength,
            "colour": self.colour * self.strength,
        }

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the picture with statistics of its own. Time O(pixels)."""
        pixels = picture.pixels
        if min(pixels.shape[:2]) < 2:
            return picture
        rng, amount = shown.rng, self.strength
        found = analysed(pixels)
        if self.colour:
            self._tint(found.bands, rng)
        changes = []
        for plane, levels in enumerate(LEVELS):
            wide = 1.0 if plane == 0 else 1.5
            gains = np.exp(rng.normal(0, wide * self.gains * amount, 2 * levels))
            fades = np.abs(rng.normal(0, self.fade * amount, 2 * levels))
            fades[FADING:] = 0
            if plane:
                fades *= 0.75
            grain = np.exp(rng.normal(0, SPECTRUM, 2 * GRAIN_LEVELS))
            grain *= np.exp(rng.normal(0, AMOUNT)) / np.sqrt(np.square(grain).sum())
            share = (self.chroma if plane else self.grain) * amount**2
            changes.append(
                Change(
                    gains.astype(np.float32),
                    fades.astype(np.float32),
                    grain.astype(np.float32) if share else None,
                    share,
                )
            )
        return Picture.of(found.made(changes, rng))

    def _tint(self, bands: tuple[np.ndarray, ...], rng: np.random.Generator) -> None:
        """Changes contrast, saturation and tint of the coarsest bands."""
        sigma = self.colour * self.strength
        for plane, part in enumerate(bands):
            rest = part[-1]
            middle = rest.mean() if plane == 0 else np.float32(0)
            rest -= middle
            rest *= np.float32(np.exp(rng.normal(0, sigma)))
            rest += middle + np.float32(rng.normal(0, 10 * sigma))
