"""What a defence costs the eye, against the definitions written out."""

from __future__ import annotations

import math
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate

from whodrew.defend import Picture
from whodrew.defend import quality as room
from whodrew.defend.quality import Quality, lpips_distance, medians, quality


def pictures(side: int = 40, sigma: float = 8.0) -> tuple[Picture, Picture]:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
    after = np.clip(before + rng.normal(0, sigma, before.shape), 0, 255).astype(np.uint8)
    return Picture.of(before), Picture.of(after)


def ssim_by_hand(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float:
    """Wang et al. (2004) with an 11×11 Gaussian of deviation 1.5, mean over RGB.

    Borders half a window wide are left out, as they do.
    """
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = 0.01**2, 0.03**2
    found = []
    for channel in range(3):
        x, y = before[..., channel] / 255, after[..., channel] / 255
        mx, my = correlate(x, window), correlate(y, window)
        vx = correlate(x * x, window) - mx**2
        vy = correlate(y * y, window) - my**2
        vxy = correlate(x * y, window) - mx * my
        top = (2 * mx * my + c1) * (2 * vxy + c2)
        bottom = (mx**2 + my**2 + c1) * (vx + vy + c2)
        found.append((top / bottom)[5:-5, 5:-5].mean())
    return float(np.mean(found))


@pytest.mark.parametrize("sigma", [1.0, 8.0, 60.0])
def test_figures_against_their_definitions(sigma: float) -> None:
    before, after = pictures(sigma=sigma)
    found = quality(before, after)
    change = before.pixels.astype(float) - after.pixels
    assert found.psnr == pytest.approx(20 * math.log10(255 / math.sqrt((change**2).mean())))
    assert found.ssim == pytest.approx(ssim_by_hand(before.pixels, after.pixels), abs=2e-5)
    assert found.max_change == np.abs(change).max()
    assert found.lpips is None


@given(st.integers(0, 255), st.integers(0, 255))
def test_the_largest_change_does_not_wrap_around(one: int, other: int) -> None:
    first = Picture.of(np.full((12, 12, 3), one, np.uint8))
    second = Picture.of(np.full((12, 12, 3), other, np.uint8))
    assert quality(first, second).max_change == abs(one - other)


def test_the_same_picture() -> None:
    before, _ = pictures()
    assert quality(before, before) == Quality(math.inf, 1.0, None, 0)


def test_what_lies_between_two_of_255_is_rounded_first() -> None:
    unit = np.full((12, 12, 3), 100.4 / 255, np.float32)
    shown = Picture.of(np.full((12, 12, 3), 100, np.uint8))
    assert quality(Picture.of(unit), shown).max_change == 0


@pytest.mark.parametrize("side", [1, 10, 11])
def test_pictures_smaller_than_the_window(side: int) -> None:
    before, after = pictures(side)
    found = quality(before, after)
    assert (found.ssim is None) == (side < 11)
    assert found.psnr is not None


def test_pictures_of_two_sizes() -> None:
    found = quality(pictures(12)[0], pictures(13)[0])
    assert found == Quality(None, None, None, None)
    assert "changes the size" in medians([found]).reasons["psnr"]


def test_medians_and_why_they_are_missing() -> None:
    rows = [
        Quality(30.0, 0.9, None, 3),
        Quality(40.0, None, None, 9),
        Quality(math.inf, 1, None, 0),
    ]
    found = medians(rows, lpips_reason="no weights")
    assert (found.psnr, found.ssim, found.lpips, found.max_change) == (40.0, 0.95, None, 3)
    assert found.to_dict()["lpips_reason"] == "no weights"
    assert "psnr_reason" not in found.to_dict()
    same = medians([Quality(math.inf, 1.0, None, 0)]).to_dict()
    assert (same["psnr"], same["psnr_reason"]) == (None, "no pixel changed: infinite")
    assert medians([]).reasons["psnr"] == "no image was measured"
    assert medians([]).images == 0


def test_lpips_is_left_out_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    measure, why = lpips_distance()
    assert measure is None
    assert why == "needs the package lpips and its weights: pip install lpips"


@pytest.mark.parametrize("state", ["whole", "weights", "broken"])
def test_lpips_where_it_is(state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    seen = []

    class Network:
        def __init__(self, net: str, verbose: bool) -> None:
            assert (net, verbose) == ("alex", False)
            if state == "broken":
                raise RuntimeError("no\nvision")

        def eval(self) -> Network:
            return self

        def __call__(self, one: Any, other: Any) -> Any:
            seen.append((tuple(one.shape), float(one.min()), float(one.max())))
            return (one - other).abs().mean()

    package = ModuleType("lpips")
    package.LPIPS = Network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(room, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    if state != "weights":
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    room._lpips.cache_clear()
    measure, why = lpips_distance()
    room._lpips.cache_clear()
    if state == "whole":
        assert measure is not None
        before = Picture.of(np.zeros((12, 14, 3), np.uint8))
        after = Picture.of(np.full((12, 14, 3), 255, np.uint8))
        assert quality(before, after, perceptual=measure).lpips == 2.0
        assert seen == [((1, 3, 12, 14), -1.0, -1.0)]
        assert quality(before, before, perceptual=measure).lpips == 0.0
    else:
        assert measure is None
        wanted = {"weights": "needs AlexNet's weights", "broken": "cannot be used: no vision"}
        assert wanted[state] in str(why)
