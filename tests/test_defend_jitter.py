"""``jitter``: drawn anew for each image and secret, the same for the same, within its budget."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import structural_similarity

from whodrew.arena import decode
from whodrew.defend import Defence, Picture
from whodrew.defend.crowd import energies
from whodrew.defend.planes import analysed
from whodrew.errors import UsageError

Pixels = npt.NDArray[np.uint8]
SPECS = ("jitter", "jitter(strength=2,colour=0.05)", "jitter(grain=0,chroma=0)", "jitter(fade=0)")
STILL = "jitter(grain=0,chroma=0,fade=0,gains=0)"


def picture(shape: tuple[int, int] = (60, 76), seed: int = 0) -> Pixels:
    rng = np.random.default_rng([*shape, seed])
    down, across = np.mgrid[: shape[0], : shape[1]]
    grey = 120 + 50 * np.sin(down / 9 + seed) * np.cos(across / 13)
    return np.clip(grey[..., None] + rng.normal(0, 7, (*shape, 3)), 0, 255).astype(np.uint8)


def shown(spec: str, image: Pixels, whose: str = "mine", draw: int = 0) -> Pixels:
    return Defence.parse(spec, whose).changed(Picture.of(image), draw=draw).pixels


def apart(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def file(image: Pixels, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, form, **options)
    return out.getvalue()


# ---------------------------------------------------------------- what is drawn, when
@pytest.mark.parametrize("spec", SPECS)
def test_the_same_secret_draws_the_same(spec: str) -> None:
    image = picture()
    first = shown(spec, image)
    shown(spec, picture(seed=8))
    np.testing.assert_array_equal(shown(spec, image), first)
    assert Defence.parse(spec).is_random


@pytest.mark.parametrize("spec", SPECS)
def test_secrets_draws_and_images_differ(spec: str) -> None:
    image = picture()
    first = shown(spec, image)
    assert apart(shown(spec, image, "theirs"), first) > 0.3
    assert apart(shown(spec, image, draw=1), first) > 0.3
    # one pixel of another value is another image
    touched = image.copy()
    touched[0, 0] ^= 1
    assert apart(shown(spec, touched), first) > 0.3


def test_the_container_does_not_matter() -> None:
    image = picture()
    defence = Defence.parse("canonical(size=48)+jitter", "mine")
    jpeg = decode(file(image, "JPEG", quality=90)).pixels
    for form, options in (("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})):
        assert defence.serve(file(jpeg, form, **options)) == defence.serve(
            file(image, "JPEG", quality=90)
        )


def test_statistics_of_draws_are_spread() -> None:
    """The energies of fine detail vary between draws: that is what it is for."""
    image = picture((96, 96))
    drawn = [energies(analysed(shown("jitter", image, draw=one))).copy() for one in range(12)]
    still = [energies(analysed(shown(STILL, image, draw=one))).copy() for one in range(3)]
    assert np.std(drawn, axis=0)[:6].min() > 0.1
    assert np.std(still, axis=0).max() < 1e-9


# ---------------------------------------------------------------- how much
@given(st.tuples(st.integers(1, 20), st.integers(1, 20)))
@settings(max_examples=30)
def test_no_strength_changes_nothing(shape: tuple[int, int]) -> None:
    image = picture(shape)
    for spec in ("jitter(strength=0)", "jitter(strength=0,colour=1)", STILL):
        assert np.abs(shown(spec, image).astype(int) - image).max() <= 1


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (2, 2), (2, 9), (3, 3), (5, 40), (40, 2)]
)
def test_tiny_pictures(shape: tuple[int, int]) -> None:
    image = picture(shape)
    for spec in SPECS:
        found = shown(spec, image)
        assert (found.shape, found.dtype) == ((*shape, 3), np.uint8)
        if min(shape) < 2:
            np.testing.assert_array_equal(found, image)


def test_more_strength_costs_more() -> None:
    image = picture((96, 96))
    cost = [
        np.mean([apart(shown(f"jitter(strength={one})", image, draw=at), image) for at in range(3)])
        for one in (0.25, 0.5, 1.0, 2.0)
    ]
    assert cost == sorted(cost)
    assert cost[-1] > 3 * cost[0]


def test_grain_alone_lowers_ssim_by_about_its_share() -> None:
    image = picture((128, 128))
    spec = "jitter(grain=0.06,chroma=0,fade=0,gains=0)"
    found = [
        1
        - structural_similarity(
            image[..., 1] / 255,
            shown(spec, image, draw=draw)[..., 1] / 255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for draw in range(8)
    ]
    assert 0.02 < np.median(found) < 0.15


def test_grey_stays_grey_without_chroma() -> None:
    grey = np.repeat(picture()[..., :1], 3, axis=2)
    found = shown("jitter(chroma=0)", grey).astype(int)
    assert np.ptp(found, axis=2).max() <= 1
    assert np.ptp(shown("jitter(chroma=0.05)", grey).astype(int), axis=2).max() > 1


def test_fading_takes_faint_detail_and_leaves_edges() -> None:
    spec = "jitter(grain=0,chroma=0,gains=0,fade=3)"
    rng = np.random.default_rng(0)
    faint = np.repeat(128 + rng.integers(-2, 3, (64, 64, 1)), 3, axis=2).astype(np.uint8)
    edge = np.full((64, 64, 3), 40, np.uint8)
    edge[:, 32:] = 220
    draws = range(6)
    kept = [shown(spec, faint, draw=one).std() / faint.std() for one in draws]
    assert np.median(kept) < 0.7
    assert max(apart(shown(spec, edge, draw=one), edge) for one in draws) < 1.0


def test_colour_moves_tone_and_tint() -> None:
    image = picture()
    spec = "jitter(grain=0,chroma=0,fade=0,gains=0,colour=0.5)"
    means = np.array([shown(spec, image, draw=one).mean(axis=(0, 1)) for one in range(8)])
    assert means.std(axis=0).min() > 2
    still = np.array([shown("jitter", image, draw=one).mean(axis=(0, 1)) for one in range(8)])
    assert still.std(axis=0).max() < 1


# ---------------------------------------------------------------- the stage
def test_budget() -> None:
    spec = "jitter(strength=2,grain=0.03,chroma=0.01,fade=3,gains=0.1,colour=0.05)"
    found = Defence.parse(spec).budget["jitter"]
    assert found == pytest.approx(
        {
            "grain_share": 0.12,
            "chroma_share": 0.04,
            "fade_of_255": 6.0,
            "log_gain": 0.2,
            "colour": 0.1,
        }
    )


@pytest.mark.parametrize(
    "spec",
    [
        "jitter(strength=5)", "jitter(strength=-1)", "jitter(grain=1.5)", "jitter(chroma=-0.1)",
        "jitter(fade=65)", "jitter(gains=3)", "jitter(colour=2)", "jitter(fade=inf)",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="jitter"):
        Defence.parse(spec)
