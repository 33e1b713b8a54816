"""Regions whose pixels stay the same across a model's images: watermarks, logos, borders.

Ours. Of a seeded sample of each model's images, at most one a prompt, windows of native pixels
are kept: the four corners, the middle of the top and bottom edges, and the centre. Prompts are
halved; a block of 8×8 pixels is constant in one half where nine tenths of its pixels keep
within ``SPREAD`` levels of luminance in all images of the model there, and a region is
``LEAST_BLOCKS`` of them. What an image *shows* are the regions found in the other half: no image
is compared with a region that it took part in. Marks that are blended into what lies below
them are not constant, and are not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from whodrew.arena import Pixels
from whodrew.identify.samples import Ints

PER_MODEL: Final = 16
LEAST_A_HALF: Final = 4
SPREAD: Final = 24
LEAST_BLOCKS: Final = 4
_BLOCK: Final = 8
_SHARE: Final = 0.9
_FOUND: Final = 0.8
_NEAR: Final = 16.0
#: Height and width of the windows, cut to half of the image where that is smaller.
_CORNER: Final = (96, 160)
_EDGE: Final = (48, 256)
_CENTRE: Final = (96, 96)
_PLACES: Final = (
    "top left",
    "top right",
    "bottom left",
    "bottom right",
    "top",
    "bottom",
    "centre",
)


@dataclass(frozen=True)
class Windows:
    """Windows of one image.

    Attributes:
        shape: (height, width) of each; only equal ones can be compared.
        luminance: their pixels, one after the other, uint8.
    """

    shape: tuple[tuple[int, int], ...]
    luminance: npt.NDArray[np.uint8]


def windows_of(pixels: Pixels) -> Windows:
    """Cuts the windows from an image, (height, width, 3) uint8."""
    height, width = pixels.shape[:2]

    def size(wanted: tuple[int, int], of: int) -> tuple[int, int]:
        return (
            min(wanted[0], height // of) // _BLOCK * _BLOCK,
            min(wanted[1], width // of) // _BLOCK * _BLOCK,
        )

    corner, edge, centre = size(_CORNER, 2), size(_EDGE, 2), size(_CENTRE, 2)
    low, right = height - corner[0], width - corner[1]
    places = [
        (0, 0, corner),
        (0, right, corner),
        (low, 0, corner),
        (low, right, corner),
        (0, (width - edge[1]) // 2, edge),
        (height - edge[0], (width - edge[1]) // 2, edge),
        ((height - centre[0]) // 2, (width - centre[1]) // 2, centre),
    ]
    cut = [
        _luminance(pixels[top : top + shape[0], left : left + shape[1]]).ravel()
        for top, left, shape in places
    ]
    return Windows(tuple(shape for *_, shape in places), np.concatenate(cut))


def _luminance(pixels: Pixels) -> npt.NDArray[np.uint8]:
    wide = pixels.astype(np.uint32)
    grey = (77 * wide[..., 0] + 150 * wide[..., 1] + 29 * wide[..., 2] + 128) >> 8
    return grey.astype(np.uint8)


def wanted_rows(model: Ints, prompt: Ints, seed: int) -> Ints:
    """Returns rows to look at: ``PER_MODEL`` images a model, of different prompts, drawn by seed.

    None of models with too few prompts for two halves.
    """
    order = np.random.default_rng([seed, 29]).permutation(len(model))
    top = int(prompt.max(initial=0)) + 1
    _, first = np.unique(model[order] * top + prompt[order], return_index=True)
    rows = order[np.sort(first)]
    chosen = []
    for code in np.unique(model):
        mine = rows[model[rows] == code]
        if len(mine) >= 2 * LEAST_A_HALF:
            chosen.append(mine[:PER_MODEL])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


@dataclass(frozen=True)
class Region:
    """A constant region of one model, as one half of the prompts shows it.

    Attributes:
        model: code.
        half: 0 or 1.
        shape: of the windows it lies in.
        pixels: (K,) places in the windows.
        mean: (K,) luminance there.
        where: in words.
    """

    model: int
    half: int
    shape: tuple[tuple[int, int], ...]
    pixels: Ints
    mean: npt.NDArray[np.float64]
    where: str


def regions_of(
    windows: Sequence[Windows], model: Ints, prompt: Ints, names: Sequence[str]
) -> tuple[Ints, tuple[str, ...]]:
    """Finds constant regions, and which image shows which.

    Args:
        windows: of n images.
        model: (n,) codes.
        prompt: (n,) codes.
        names: of the models.

    Returns:
        (n,) codes, and what each stands for; code 0 is none.
    """
    prompts = np.unique(prompt)
    half = np.isin(prompt, prompts[1::2]).astype(np.int64)
    regions: list[Region] = []
    for code in np.unique(model):
        for side in (0, 1):
            rows = np.flatnonzero((model == code) & (half == side))
            region = _region([windows[row] for row in rows.tolist()], int(code), side)
            if region is not None:
                regions.append(region)
    where = {region.model: region.where for region in regions}
    book: dict[tuple[int, ...], int] = {(): 0}
    codes = np.zeros(len(windows), np.int64)
    for row, one in enumerate(windows):
        shown = {
            region.model
            for region in regions
            if region.half != half[row] and region.shape == one.shape and _shows(one, region)
        }
        codes[row] = book.setdefault(tuple(sorted(shown)), len(book))
    texts = [
        " + ".join(f"{where[code]} (as {names[code]})" for code in shown) or "none"
        for shown in book
    ]
    return codes, tuple(texts)


def _region(windows: Sequence[Windows], model: int, half: int) -> Region | None:
    shapes = [one.shape for one in windows]
    if not shapes:
        return None
    shape = max(set(shapes), key=lambda one: (shapes.count(one), one))
    same = [one.luminance for one in windows if one.shape == shape]
    if len(same) < LEAST_A_HALF or same[0].size == 0:
        return None
    stack = np.array(same)
    steady = (stack.max(axis=0) - stack.min(axis=0)) <= SPREAD
    kept: list[Ints] = []
    where: list[str] = []
    start = 0
    for name, (height, width) in zip(_PLACES, shape, strict=True):
        size = height * width
        blocks = steady[start : start + size].reshape(
            height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK
        )
        constant = blocks.mean(axis=(1, 3)) >= _SHARE
        if constant.sum() >= LEAST_BLOCKS:
            mask = np.kron(constant, np.ones((_BLOCK, _BLOCK), bool)).ravel()
            kept.append(start + np.flatnonzero(mask))
            where.append(f"{int(constant.sum()) * _BLOCK**2} pixels at the {name}")
        start += size
    if not kept:
        return None
    pixels = np.concatenate(kept)
    mean = stack[:, pixels].mean(axis=0)
    return Region(model, half, shape, pixels, mean, ", ".join(where))


def _shows(one: Windows, region: Region) -> bool:
    near = np.abs(one.luminance[region.pixels] - region.mean) <= _NEAR
    return bool(near.mean() >= _FOUND)
