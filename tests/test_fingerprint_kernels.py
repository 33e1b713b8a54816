"""Each compiled kernel against a slow, plain reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft

from whodrew.encoders.fingerprint import families, kernels, planes, spectrum

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
    kernels.split(rgb, out)
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
    sums = kernels.halve(plane, out)
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


def test_residual_and_correlations() -> None:
    plane = noise((64, 80))
    values = kernels.residual(plane, 16)
    p = plane.astype(int)
    around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    assert np.array_equal(values, np.clip(4 * p[1:-1, 1:-1] - around, -16, 16))
    lags = np.array([(0, 0), (0, 3), (1, -4), (2, 5), (4, 0), (16, 0), (0, 16)])
    height, width = values.shape
    for (down, across), found in zip(lags, kernels.correlations(values, lags), strict=True):
        total = 0
        for i in range(height - down):
            for j in range(max(0, -across), width - max(0, across)):
                total += int(values[i, j]) * int(values[i + down, j + across])
        assert found == total


def test_colours() -> None:
    import colorsys

    rgb = noise((65, 70, 3), seed=3)
    rgb[:9] = 0
    rgb[9:14] = 255
    split = planes.planes(rgb)
    counts = kernels.colours(rgb, split.ycc)
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


@pytest.mark.parametrize("side", [16, 32])
def test_tile_spectra(side: int) -> None:
    plane = noise((70, 130))
    powers = spectrum.tile_powers(plane, side)
    window = np.sin(np.pi * np.arange(side) / side) ** 2
    logs, sums, slants = [], [], []
    half = side // 2
    for i in range(0, 70 - side + 1, side):
        for j in range(0, 130 - side + 1, side):
            tile = plane[i : i + side, j : j + side].astype(float)
            power = np.abs(np.fft.fft2((tile - tile.mean()) * np.outer(window, window))) ** 2
            mirror = power[np.arange(0, -side, -1) % side]
            mean = ((power + mirror) / 2)[: half + 1, : half + 1]
            logs.append(np.log(mean + 1))
            sums.append(mean)
            slants.append((np.log(power + 1) - np.log(mirror + 1))[1:half, 1:half])
    mean, deviation = spectrum.mean_and_deviation(powers)
    assert np.allclose(mean, np.mean(logs, axis=0).ravel(), atol=2e-3)
    assert np.allclose(deviation, np.std(logs, axis=0).ravel(), atol=2e-3)
    grid = np.mean(sums, axis=0)
    smooth = np.zeros((half // 2 + 1, half // 2 + 1))
    for v in range(0, half + 1, 2):
        for h in range(0, half + 1, 2):
            for dv, a in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                for dh, b in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                    y, x = (half - abs(half - abs(k)) for k in (v + dv, h + dh))
                    smooth[v // 2, h // 2] += a * b * grid[y, x]
    assert np.allclose(spectrum.log_of_mean(powers), np.log(smooth + 1).ravel(), atol=2e-3)
    assert np.allclose(spectrum.slant(powers), np.mean(slants, axis=0).ravel(), atol=5e-3)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = noise((200, 180))
    whole = spectrum.tile_powers(plane, 16)
    monkeypatch.setattr(spectrum, "CHUNK", 700)
    assert np.array_equal(whole, spectrum.tile_powers(plane, 16))
