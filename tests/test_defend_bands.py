"""The bands against loops written out, and what is made of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve1d
from skimage.metrics import structural_similarity

from whodrew.defend.bands import joined, roughness, split, to_pixels, to_planes
from whodrew.defend.planes import FLOOR, GRAIN_LEVELS, LEVELS, ROUGH, Change, analysed

Floats = npt.NDArray[np.float32]
SHAPES = st.tuples(st.integers(2, 41), st.integers(2, 41))


def plane_of(shape: tuple[int, int], seed: int = 0) -> Floats:
    """Returns values of 0 to 255 with something in them at every scale."""
    rng = np.random.default_rng([*shape, seed])
    down, across = np.mgrid[: shape[0], : shape[1]]
    smooth = 90 * np.sin(down / 7 + seed) * np.cos(across / 11)
    return np.clip(128 + smooth + rng.normal(0, 12, shape), 0, 255).astype(np.float32)


def banded(plane: Floats, levels: int) -> tuple[Floats, npt.NDArray[np.float64]]:
    bands = np.full((2 * levels + 1, *plane.shape), np.nan, np.float32)
    return bands, split(plane, levels, bands)


def mirrored(place: int, size: int) -> int:
    """Returns the pixel that stands in for one outside: mirrored once, else an edge."""
    if place < 0:
        return min(-place, size - 1)
    return place if place < size else max(2 * (size - 1) - place, 0)


def smoothed(plane: npt.NDArray[np.float64], reach: int, axis: int) -> npt.NDArray[np.float64]:
    """Returns [1 2 1] / 4 with holes, pixel by pixel."""
    lines = plane if axis == 1 else plane.T
    out = np.empty_like(lines)
    for i, line in enumerate(lines):
        for j in range(len(line)):
            before, after = mirrored(j - reach, len(line)), mirrored(j + reach, len(line))
            out[i, j] = line[j] / 2 + (line[before] + line[after]) / 4
    return out if axis == 1 else out.T


def by_hand(plane: Floats, levels: int) -> npt.NDArray[np.float64]:
    """Returns the bands, by loops in double precision."""
    rest = plane.astype(np.float64)
    found = []
    for level in range(levels):
        across = smoothed(rest, 1 << level, 1)
        down = smoothed(across, 1 << level, 0)
        found += [rest - across, across - down]
        rest = down
    return np.stack([*found, rest])


# ---------------------------------------------------------------- splitting
@given(SHAPES, st.integers(1, 6), st.integers(0, 9))
@settings(max_examples=40)
def test_bands_add_up_to_the_plane(shape: tuple[int, int], levels: int, seed: int) -> None:
    plane = plane_of(shape, seed)
    bands, energy = banded(plane, levels)
    np.testing.assert_allclose(bands.sum(axis=0, dtype=np.float64), plane, atol=2e-4)
    assert energy.shape == (2 * levels,)
    assert (energy >= 0).all()


@given(st.tuples(st.integers(2, 13), st.integers(2, 13)), st.integers(1, 5))
@settings(max_examples=25)
def test_bands_are_those_of_a_loop(shape: tuple[int, int], levels: int) -> None:
    plane = plane_of(shape)
    bands, energy = banded(plane, levels)
    expected = by_hand(plane, levels)
    np.testing.assert_allclose(bands, expected, atol=2e-4)
    squares = np.square(expected[:-1]).mean(axis=(1, 2))
    np.testing.assert_allclose(energy, squares, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(33, 40), (64, 33), (97, 35)])
def test_bands_are_those_of_scipy(shape: tuple[int, int]) -> None:
    plane = plane_of(shape)
    bands, energy = banded(plane, 5)
    rest = plane.astype(np.float64)
    for level in range(5):
        kernel = np.zeros(2 * (1 << level) + 1)
        kernel[[0, -1]], kernel[1 << level] = 0.25, 0.5
        across = convolve1d(rest, kernel, axis=1, mode="mirror")
        down = convolve1d(across, kernel, axis=0, mode="mirror")
        for band, detail in ((2 * level, rest - across), (2 * level + 1, across - down)):
            np.testing.assert_allclose(bands[band], detail, atol=2e-4)
            assert energy[band] == pytest.approx(np.square(detail).mean(), rel=1e-4)
        rest = down
    np.testing.assert_allclose(bands[-1], rest, atol=2e-4)


def test_a_flat_plane_has_no_detail() -> None:
    bands, energy = banded(np.full((20, 31), 77, np.float32), 5)
    assert not bands[:-1].any()
    assert not energy.any()
    assert (bands[-1] == 77).all()


# ---------------------------------------------------------------- roughness
@given(SHAPES, st.integers(1, 6))
@settings(max_examples=10)
def test_roughness_is_the_mean_of_squares_about_a_pixel(shape: tuple[int, int], count: int) -> None:
    bands, _ = banded(plane_of(shape), 3)
    out = np.empty(shape, np.float32)
    roughness(bands, count, out)
    squares = np.square(bands[:count].astype(np.float64)).sum(axis=0)
    for i in range(shape[0]):
        for j in range(shape[1]):
            near = squares[max(i - 3, 0) : i + 4, max(j - 3, 0) : j + 4]
            assert out[i, j] == pytest.approx(near.mean(), rel=2e-3, abs=1e-2)


# ---------------------------------------------------------------- putting together
def together(plane: Floats, levels: int, **changed: Any) -> Floats:
    bands, _ = banded(plane, levels)
    out = np.empty_like(plane)
    curve = np.stack(
        [changed.get("gains", np.ones(2 * levels)), changed.get("fades", np.zeros(2 * levels)) ** 2]
    ).astype(np.float32)
    rough = changed.get("rough", np.zeros_like(plane))
    noise = changed.get("noise", np.zeros((2, *plane.shape), np.float32))
    weights = np.asarray(changed.get("weights", np.zeros(2)), np.float32)
    mask = np.asarray(changed.get("mask", (0.0, 0.0)), np.float32)
    joined(bands, curve, rough, noise, weights, mask, out)
    return out


@given(SHAPES, st.integers(1, 5))
@settings(max_examples=30)
def test_unchanged_bands_give_the_plane_back(shape: tuple[int, int], levels: int) -> None:
    plane = plane_of(shape)
    np.testing.assert_allclose(together(plane, levels), plane, atol=2e-4)


def test_gains_fades_and_grain_are_as_documented() -> None:
    rng = np.random.default_rng(3)
    plane, levels = plane_of((23, 30)), 3
    gains = rng.uniform(0.5, 2, 6).astype(np.float32)
    fades = np.array([4, 0, 2, 7, 0, 1], np.float32)
    rough = rng.uniform(0, 50, plane.shape).astype(np.float32)
    noise = rng.normal(0, 1, (2, *plane.shape)).astype(np.float32)
    weights, share, floor = (0.8, -0.3), 0.05, 58.0
    found = together(
        plane, levels, gains=gains, fades=fades, rough=rough, noise=noise,
        weights=weights, mask=(share, floor),
    )  # fmt: skip
    bands = by_hand(plane, levels)
    expected = bands[-1].copy()
    for band, gain, fade in zip(bands[:-1], gains, fades, strict=True):
        kept = band**2 / (band**2 + fade**2) if fade else 1.0
        expected += gain * band * kept
    grain = 0.8 * noise[0] - 0.3 * noise[1]
    expected += grain * np.sqrt(share * (2 * rough + floor))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_no_weight_leaves_grain_out_though_there_is_noise() -> None:
    plane = plane_of((12, 15))
    noise = np.full((2, *plane.shape), np.nan, np.float32)
    found = together(plane, 2, noise=noise, mask=(1.0, 58.0))
    np.testing.assert_allclose(found, plane, atol=2e-4)


# ---------------------------------------------------------------- colours
@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(0, 1000))
@settings(max_examples=40)
def test_colours_come_back(shape: tuple[int, int], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    planes = np.empty((3, *shape), np.float32)
    to_planes(pixels, planes)
    back = np.empty_like(pixels)
    to_pixels(planes, back)
    np.testing.assert_array_equal(back, pixels)


def test_colours_are_those_of_bt601() -> None:
    pixels = np.array(
        [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [9, 77, 200]]], np.uint8
    )
    planes = np.empty((3, 1, 5), np.float32)
    to_planes(pixels, planes)
    matrix = np.array(
        [
            [0.299, 0.587, 0.114],
            [-0.168736, -0.331264, 0.5],
            [0.5, -0.418688, -0.081312],
        ]
    )
    np.testing.assert_allclose(planes[:, 0], matrix @ pixels[0].T, atol=2e-3)


def test_colours_out_of_range_are_clipped() -> None:
    planes = np.array([[[300.0, -20.0]], [[0.0, 0.0]], [[0.0, 0.0]]], np.float32)
    pixels = np.empty((1, 2, 3), np.uint8)
    to_pixels(planes, pixels)
    assert pixels.tolist() == [[[255] * 3, [0] * 3]]


# ---------------------------------------------------------------- whole pictures
def picture(shape: tuple[int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.stack([plane_of(shape, seed + one) for one in range(3)], axis=-1).astype(np.uint8)


def changes(luma_share: float = 0.0, **luma: Any) -> list[Change]:
    found = []
    for plane, levels in enumerate(LEVELS):
        gains, fades = np.ones(2 * levels, np.float32), np.zeros(2 * levels, np.float32)
        grain = None
        if plane == 0:
            gains, fades = luma.get("gains", gains), luma.get("fades", fades)
            if luma_share:
                grain = np.full(2 * GRAIN_LEVELS, 1 / np.sqrt(2 * GRAIN_LEVELS), np.float32)
        found.append(Change(gains, fades, grain, luma_share if plane == 0 else 0.0))
    return found


@given(SHAPES)
@settings(max_examples=20)
def test_a_picture_unchanged(shape: tuple[int, int]) -> None:
    pixels = picture(shape)
    back = analysed(pixels).made(changes(), None)
    assert np.abs(back.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("deviation", [2.0, 12.0, 30.0])
def test_grain_costs_as_much_ssim_as_it_says(share: float, deviation: float) -> None:
    """About its share, in rough places as in smooth ones."""
    rng = np.random.default_rng(7)
    down, across = np.mgrid[:160, :160]
    grey = 128 + 40 * np.sin(down / 23) * np.cos(across / 31) + rng.normal(0, deviation, (160, 160))
    pixels = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    shown = analysed(pixels).made(changes(share), np.random.default_rng(1))
    found = structural_similarity(
        pixels[..., 0] / 255,
        shown[..., 0] / 255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
    )
    assert 0.5 * share < 1 - found < 1.5 * share


def test_grain_needs_the_roughness_of_its_own_picture() -> None:
    """What an earlier picture of the same size left behind must not matter."""
    rough, smooth = picture((40, 48), 5), np.full((40, 48, 3), 128, np.uint8)
    first = analysed(smooth).made(changes(0.1), np.random.default_rng(2))
    analysed(rough).made(changes(0.1), np.random.default_rng(9))
    again = analysed(smooth).made(changes(0.1), np.random.default_rng(2))
    np.testing.assert_array_equal(first, again)
    # a flat picture hides little: grain is of the size of the floor, more by what bands share
    deviation = (first[..., 1].astype(float) - 128).std()
    assert 1.0 < deviation / np.sqrt(0.1 * float(FLOOR)) < 1.7


def test_threads_do_not_disturb_each_other() -> None:
    shapes = [(17, 29), (64, 64), (64, 64), (33, 70), (2, 3), (64, 64), (90, 21)]
    jobs = [(picture(shape, at), at) for at, shape in enumerate(shapes * 6)]

    def one(job: tuple[npt.NDArray[np.uint8], int]) -> npt.NDArray[np.uint8]:
        pixels, seed = job
        return analysed(pixels).made(changes(0.05), np.random.default_rng(seed))

    alone = [one(job) for job in jobs]
    with ThreadPoolExecutor(6) as pool:
        for expected, found in zip(alone, pool.map(one, jobs), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_the_roughness_of_the_finest_details_is_taken() -> None:
    assert 2 * 3 == ROUGH <= 2 * LEVELS[0]
