"""The torch forms that descents go through, against the encoder, naive loops and Pillow."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from drawn import pixels
from whodrew.encoders.base import Pixels
from whodrew.encoders.fingerprint import DIMENSION, FAMILIES, Fingerprint
from whodrew.encoders.fingerprint.families import PATTERNS

torch = pytest.importorskip("torch", reason="needs the extra torch")

from whodrew.defend import torch_counts, torch_reencode  # noqa: E402
from whodrew.defend.torch_fingerprint import TorchFingerprint  # noqa: E402

TOLERANCE = 1e-3
# cosines are whole 4096ths in the encoder: of the few blocks of a small image, a coefficient
# may be rounded to the next eighth, and the logarithm of nearly nothing felt
BLOCKS = 0.2


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensor(image: Pixels) -> Any:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def busy(height: int, width: int, seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, (height, width, 3)), (3, 3, 0))
    grain = ndimage.gaussian_filter(rng.normal(0, 1, (height, width, 3)), (0.6, 0.6, 0))
    found = 128 + 60 * smooth / smooth.std() + 8 * grain / grain.std()
    return np.clip(found, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (17, 23), (130, 71), (150, 203)])
def test_all_numbers_are_those_of_the_fingerprint(size: tuple[int, int]) -> None:
    images = [busy(*size, seed=seed) for seed in range(3)]
    expected = Fingerprint().encode(images)
    found = TorchFingerprint()(torch.cat([tensor(one) for one in images])).numpy()
    assert found.shape == (3, DIMENSION)
    for family, part in FAMILIES.items():
        off = np.abs(found[:, part] - expected[:, part]) / (1 + np.abs(expected[:, part]))
        most, mean = (BLOCKS, BLOCKS / 30) if family == "blocks" else (TOLERANCE, TOLERANCE)
        assert off.max() < most, family
        assert off.mean() < mean, family


def test_on_real_images_every_family_correlates(corpora: Path) -> None:
    files = sorted((corpora / "modern24").glob("*/*/*.jpg"))[::60]
    images = []
    for file in files:
        with Image.open(file) as image:
            images.append(np.array(image.convert("RGB").resize((256, 256))))
    expected = Fingerprint().encode(images)
    module = TorchFingerprint()
    found = torch.cat([module(tensor(one)) for one in images]).numpy()
    for family, part in FAMILIES.items():
        for one, other in zip(found[:, part].T, expected[:, part].T, strict=True):
            if other.std() > 1e-3:
                assert np.corrcoef(one, other)[0, 1] > 0.995, family


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (16, 80), (96, 96)])
def test_gradients_are_finite_where_nothing_varies(value: int, size: tuple[int, int]) -> None:
    image = tensor(np.full((*size, 3), value, np.uint8)).requires_grad_()
    TorchFingerprint()(image).sum().backward()
    assert torch.isfinite(image.grad).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_small_step_along_the_gradient_moves_what_the_encoder_measures(family: str) -> None:
    harsh = np.clip(3.0 * busy(96, 96, 5) - 256, 0, 255).astype(np.uint8)
    images = [pixels("amber", "boat", 0, 96), harsh, busy(96, 96)]
    if family == "clipping":
        images = [harsh] * 3
    spread = Fingerprint().encode(images).std(0) + 0.05
    rng = np.random.default_rng(4)
    wins = []
    for image in images:
        for _ in range(3):
            weights = np.zeros(DIMENSION, np.float32)
            part = FAMILIES[family]
            weights[part] = rng.normal(0, 1, part.stop - part.start) / spread[part]
            given = tensor(image).requires_grad_()
            (TorchFingerprint()(given) @ torch.from_numpy(weights)).sum().backward()
            step = np.sign(given.grad[0].permute(1, 2, 0).numpy())
            scores = [
                Fingerprint().encode([np.clip(image + 2 * move, 0, 255).astype(np.uint8)])[0]
                @ weights
                for move in (np.zeros_like(step), step, rng.choice([-1, 1], step.shape))
            ]
            wins.append(scores[1] > max(scores[0], scores[2]))
    assert np.mean(wins) >= 7 / 9


def soft_patterns(plane: np.ndarray[Any, Any], radius: int, worth: Any) -> Any:
    """The gradient of patterns, pixel by pixel: what turning each comparison would bring."""
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    out = np.zeros(plane.shape)
    height, width = plane.shape
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            places = [(y + radius * v, x + radius * h) for v, h in ring]
            code = sum((plane[at] >= plane[y, x]) << bit for bit, at in enumerate(places))
            for bit, at in enumerate(places):
                gain = worth[PATTERNS[code | 1 << bit]] - worth[PATTERNS[code & ~(1 << bit)]]
                off = abs(plane[at] - plane[y, x] + 0.5) / torch_counts.REACH
                slope = gain * max(0.0, 1 - off) / torch_counts.REACH
                out[at] += slope
                out[y, x] -= slope
    return out


@pytest.mark.parametrize("radius", [1, 2])
def test_gradient_of_patterns_is_that_of_soft_comparisons(radius: int) -> None:
    rng = np.random.default_rng(radius)
    plane = rng.integers(100, 106, (9, 11)).astype(np.float32)
    worth = rng.normal(0, 1, torch_counts.CLASSES).astype(np.float32)
    given = torch.from_numpy(plane)[None].requires_grad_()
    counts = torch_counts.patterns(given, radius)
    assert float(counts.detach().sum()) == (9 - 2 * radius) * (11 - 2 * radius)
    (counts @ torch.from_numpy(worth)).sum().backward()
    expected = soft_patterns(plane, radius, worth)
    np.testing.assert_allclose(given.grad[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("around", [False, True])
def test_gradient_of_histograms_is_that_of_triangular_bins(around: bool) -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.uniform(0, 48, (2, 60)).astype(np.float32)).requires_grad_()
    weights = torch.from_numpy(rng.normal(0, 1, 6).astype(np.float32))
    counts = torch_counts.histogram(values, 6, 8.0, around=around)
    expected = [np.histogram(row, bins=6, range=(0, 48))[0] for row in values.detach().numpy()]
    np.testing.assert_array_equal(counts.detach().numpy(), expected)
    (counts @ weights).sum().backward()
    soft = values.detach().clone().requires_grad_()
    away = (soft[:, :, None] / 8 - 0.5 - torch.arange(6)).abs()
    away = torch.minimum(away, 6 - away) if around else away
    share = (1 - away).clamp(min=0)
    # beyond the middles of the outer bins a value is wholly in them
    share = share if around else share / share.sum(2, keepdim=True)
    (share.sum(1) @ weights).sum().backward()
    np.testing.assert_allclose(values.grad.numpy(), soft.grad.numpy(), atol=1e-5)


def test_values_outside_all_bins_are_left_out() -> None:
    values = torch.tensor([[-1.0, 3.0, 99.0]], requires_grad=True)
    counts = torch_counts.histogram(values, 2, 4.0)
    assert counts.tolist() == [[1.0, 0.0]]
    counts[0, 1].backward()
    assert values.grad[0, 0] == values.grad[0, 2] == 0 < values.grad[0, 1]


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("size", [(64, 64), (51, 70)])
def test_jpeg_is_nearly_that_of_pillow(quality: int, size: tuple[int, int]) -> None:
    image = busy(*size)
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(out) as theirs:
        expected = np.asarray(theirs).astype(float)
        written = theirs.quantization  # type: ignore[attr-defined]
    for ours, number in zip(torch_reencode.tables(quality), (0, 1), strict=True):
        assert ours.flatten().tolist() == list(written[number])
    found = torch_reencode.jpeg(tensor(image), quality)[0].permute(1, 2, 0).numpy() * 255
    lost = np.abs(expected - image).mean()
    assert np.abs(found - expected).mean() < 0.22 * lost
    assert np.abs((found - expected) @ (0.299, 0.587, 0.114)).mean() < 0.6


def test_gradients_pass_re_encodings() -> None:
    for kind in torch_reencode.KINDS:
        image = tensor(busy(40, 52)).requires_grad_()
        found = torch_reencode.Reencoding(kind)(image)
        assert found.shape == image.shape
        assert 0 <= found.detach().min().item() <= found.detach().max().item() <= 1
        (found * torch.randn(found.shape)).sum().backward()
        assert torch.isfinite(image.grad).all()
        assert float(image.grad.abs().mean()) > 0.01


def test_blur_is_a_gaussian() -> None:
    image = busy(40, 40)
    found = torch_reencode.blurred(tensor(image), 0.8)[0].permute(1, 2, 0).numpy() * 255
    expected = ndimage.gaussian_filter(
        image.astype(float), (0.8, 0.8, 0), mode="nearest", radius=(3, 3, 0)
    )
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_re_encodings_are_drawn_alike_and_of_every_kind() -> None:
    draws = [
        [torch_reencode.Reencoding.drawn(rng) for _ in range(60)]
        for rng in (np.random.default_rng(1), np.random.default_rng(1))
    ]
    assert draws[0] == draws[1]
    assert {one.kind for one in draws[0]} == set(torch_reencode.KINDS)


def test_forward_and_backward_are_quick() -> None:
    image = tensor(busy(384, 384))
    seconds = []
    for _ in range(4):
        given = image.clone().requires_grad_()
        began = time.thread_time()
        TorchFingerprint()(given).sum().backward()
        seconds.append(time.thread_time() - began)
    assert min(seconds) < 0.5
