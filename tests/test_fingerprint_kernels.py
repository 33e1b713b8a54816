"""Each compiled kernel against a slow, plain reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft

from whodrew.encoders.fingerprint import families, kernels, pixels, planes, waves
from whodrew.encoders.fingerprint.spectrum import slant, spectrum

SHAPES = [(64, 64), (64, 75), (71, 64), (67, 83)]
Plane = npt.NDArray[np.uint8]


def noise(shape: tuple[int, ...], seed: int = 0) -> Plane:
    """Smooth waves under noise, clipped at both ends."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape[:2])
    wave = 128 + 110 * np.sin(rows / 5) * np.cos(columns / 9)
    wave = wave if len(shape) == 2 else wave[..., None]
    return np.clip(wave + rng.normal(0, 6, shape), 0, 255).astype(np.uint8)


def test_split_is_the_colour_space_of_jpeg() -> None:
    from PIL import Image

    steps = np.array([0, 1, 31, 64, 127, 128, 200, 254, 255], np.uint8)
    rgb = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    rgb = np.ascontiguousarray(rgb)
    out = np.empty((3, 27, 27), np.uint8)
    pixels.split(rgb.reshape(27, -1), 3, out)
    wide = np.zeros_like(out)
    padded = np.dstack([rgb, np.full((27, 27), 77, np.uint8)])
    pixels.split(padded.reshape(27, -1), 4, wide)
    assert np.array_equal(out, wide)
    theirs = np.asarray(Image.fromarray(rgb).convert("YCbCr")).transpose(2, 0, 1)
    assert np.abs(out.astype(int) - theirs).max() <= 1
    exact = rgb @ np.array(
        [
            [0.299, -0.168735892, 0.5],
            [0.587, -0.331264108, -0.418687589],
            [0.114, 0.5, -0.081312411],
        ]
    ) + [0, 128, 128]
    assert np.abs(out.transpose(1, 2, 0) - exact).max() <= 0.502


@pytest.mark.parametrize("shape", SHAPES)
def test_halve(shape: tuple[int, int]) -> None:
    plane = noise(shape)
    out = np.empty((shape[0] // 2, shape[1] // 2), np.uint8)
    sums = np.empty(2, np.int64)
    pixels.halve(plane, out, sums)
    even = plane[: 2 * out.shape[0], : 2 * out.shape[1]].astype(np.int64)
    quads = even.reshape(out.shape[0], 2, out.shape[1], 2)
    mean = (quads.sum(axis=(1, 3)) + 2) // 4
    assert np.array_equal(out, mean)
    taken = quads - mean[:, None, :, None]
    assert sums.tolist() == [(taken**2).sum(), (taken**4).sum()]


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_patterns(shape: tuple[int, int], radius: int) -> None:
    plane = noise(shape)
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    counts = np.zeros(256, np.int64)
    for i in range(radius, shape[0] - radius):
        for j in range(radius, shape[1] - radius):
            near = [plane[i + radius * y, j + radius * x] >= plane[i, j] for y, x in ring]
            counts[sum(int(bit) << k for k, bit in enumerate(near))] += 1
    assert np.array_equal(kernels.patterns(plane, radius), counts)


def test_pattern_classes_are_alike_under_flips() -> None:
    assert families.PATTERNS.max() + 1 == 84
    plane = noise((70, 66))
    found = [
        np.bincount(families.PATTERNS, weights=kernels.patterns(np.ascontiguousarray(p), 1))
        for p in (plane, plane[::-1], plane[:, ::-1], plane[::-1, ::-1])
    ]
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks(shape: tuple[int, int]) -> None:
    plane = noise(shape)
    high, wide = shape[0] // 8, shape[1] // 8
    cut = plane[: 8 * high, : 8 * wide].astype(float) - 128
    tiles = cut.reshape(high, 8, wide, 8).transpose(0, 2, 1, 3)
    exact = scipy.fft.dctn(tiles, axes=(2, 3), norm="ortho").reshape(-1, 64)
    energy, mean, deviation = families.block_sums(plane)
    logs = np.log(np.abs(exact) + 0.25)
    assert np.allclose(energy, (exact**2).mean(axis=0), rtol=5e-3, atol=0.02)
    assert np.allclose(mean, logs.mean(axis=0), atol=0.06)
    assert np.allclose(deviation, logs.std(axis=0), atol=0.06)


@pytest.mark.parametrize("shape", [(64, 80), (65, 64), (90, 197)])
def test_correlations_of_the_laplacian(shape: tuple[int, int]) -> None:
    plane = noise(shape)
    p = plane.astype(int)
    around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    values = np.clip(4 * p[1:-1, 1:-1] - around, -16, 16)
    height, width = values.shape
    expected = []
    for down, across in kernels.LAGS:
        upper = values[: height - down, max(0, -across) : width - max(0, across)]
        lower = values[down:, max(0, across) : width - max(0, -across)]
        expected.append((upper * lower).sum())
    assert kernels.correlations(plane, 16).tolist() == expected


@pytest.mark.parametrize("shape", [(64, 80), (65, 64)])
def test_borders(shape: tuple[int, int]) -> None:
    planes_ = np.stack([noise(shape, seed) for seed in range(3)])
    found = np.empty((3, 4, 4), np.int64)
    pixels.borders(planes_, found)
    for plane, sums in zip(planes_.astype(int), found, strict=True):
        sides = (plane, plane[::-1], plane.T, plane.T[::-1])
        for side, steps in zip(sides, sums, strict=True):
            across = np.abs(np.diff(side[:4], axis=0)).sum(axis=1)
            assert steps.tolist() == [*across, np.abs(np.diff(side[0])).sum()]


def test_colours() -> None:
    import colorsys

    rgb = noise((65, 70, 3), seed=3)
    rgb[:9] = 0
    rgb[9:14] = 255
    split = planes.planes(rgb)
    counts = np.zeros(sum(pixels.SIZES), np.int64)
    pixels.colours(split.rgb, split.step, split.ycc, counts)
    four = np.zeros_like(counts)
    padded = np.dstack([rgb, np.full(rgb.shape[:2], 77, np.uint8)])
    pixels.colours(padded.reshape(len(rgb), -1), 4, split.ycc, four)
    assert np.array_equal(counts, four)
    ends = np.cumsum([256, 256, 256, 3, 24, 16, 16, 12])
    y, cb, cr, products, hue, saturation, value, clips, tones = np.split(counts, ends)
    samples = rgb[::4, ::2].reshape(-1, 3).astype(int)
    ycc = split.ycc[:, ::4, ::2].reshape(3, -1).astype(int)
    for found, channel in zip((y, cb, cr), ycc, strict=True):
        assert np.array_equal(found, np.bincount(channel, minlength=256))
    assert products.tolist() == [ycc[0] @ ycc[1], ycc[0] @ ycc[2], ycc[1] @ ycc[2]]
    top, low = samples.max(axis=1), samples.min(axis=1)
    share = (top - low) * 255 // np.maximum(top, 1)
    assert np.array_equal(saturation, np.bincount(share >> 4, minlength=16))
    assert np.array_equal(value, np.bincount(top >> 4, minlength=16))
    tests = (
        [c <= k for c in samples.T for k in (0, 4)],
        [c >= k for c in samples.T for k in (251, 255)],
    )
    assert clips.reshape(3, 4)[:, :2].ravel().tolist() == [t.sum() for t in tests[0]]
    assert clips.reshape(3, 4)[:, 2:].ravel().tolist() == [t.sum() for t in tests[1]]
    expected = np.zeros(24, int)
    for pixel in samples[share > 25]:
        angle = colorsys.rgb_to_hsv(*(pixel / 255))[0]
        expected[int(np.floor(angle * 1536 + 1e-9)) % 1536 >> 6] += 1
    # Floor division of integers and of reals part only on the very edge of a bin.
    assert hue.sum() == expected.sum()
    assert np.abs(hue - expected).sum() <= 0.01 * hue.sum() + 2
    for tone in range(8):
        there = ycc[0] >> 5 == tone
        spread = [((c[there] - 128) ** 2).sum() for c in ycc[1:]]
        assert tones.reshape(8, 3)[tone].tolist() == [there.sum(), *spread]


@pytest.mark.parametrize("shape", [(70, 130), (64, 299), (97, 64)])
@pytest.mark.parametrize("side", [16, 32])
def test_tile_spectra(side: int, shape: tuple[int, int]) -> None:
    plane = noise(shape)
    window = np.sin(np.pi * np.arange(side) / side) ** 2
    logs, sums, slants = [], [], []
    half = side // 2
    for i in range(0, shape[0] - side + 1, side):
        for j in range(0, shape[1] - side + 1, side):
            tile = plane[i : i + side, j : j + side].astype(float)
            power = np.abs(np.fft.fft2((tile - tile.mean()) * np.outer(window, window))) ** 2
            mirror = power[np.arange(0, -side, -1) % side]
            mean = ((power + mirror) / 2)[: half + 1, : half + 1]
            logs.append(np.log(mean + 1))
            sums.append(mean)
            slants.append((np.log(power + 1) - np.log(mirror + 1))[1:half, 1:half])
    found = spectrum(plane, side)
    assert np.allclose(found.mean, np.mean(logs, axis=0).ravel(), atol=1e-5)
    assert np.allclose(found.deviation, np.std(logs, axis=0).ravel(), atol=1e-5)
    assert np.allclose(found.power, np.mean(sums, axis=0).ravel(), rtol=1e-5, atol=1e-3)
    grid = np.mean(sums, axis=0)
    smooth = np.zeros((half // 2 + 1, half // 2 + 1))
    for v in range(0, half + 1, 2):
        for h in range(0, half + 1, 2):
            for dv, a in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                for dh, b in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                    y, x = (half - abs(half - abs(k)) for k in (v + dv, h + dh))
                    smooth[v // 2, h // 2] += a * b * grid[y, x]
    assert np.allclose(found.log_of_mean(), np.log(smooth + 1).ravel(), atol=1e-5)
    if side == 16:
        assert np.allclose(slant(plane), np.mean(slants, axis=0).ravel(), atol=1e-5)


def test_a_flat_plane_has_no_power() -> None:
    found = spectrum(np.full((70, 90), 201, np.uint8), 32)
    assert not found.power.any()
    assert not found.mean.any()
    assert not found.deviation.any()


def test_logs_of_powers() -> None:
    powers = np.concatenate([[0], np.logspace(-9, 12, 4001)]).astype(np.float32)
    sums = np.zeros((3, len(powers)))
    waves.collect(powers, sums)
    exact = np.log1p(powers.astype(float))
    assert np.array_equal(sums[0], powers)
    assert sums[1, 0] == 0
    assert np.allclose(sums[1], exact, rtol=2e-7, atol=2e-7)
    assert np.allclose(sums[2], sums[1] ** 2, rtol=1e-14)
