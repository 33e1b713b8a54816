"""``crowd`` and ``colour-match``: what they move, by how much, and what they refuse."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrew.defend import Defence, Example, Picture
from whodrew.defend.crowd import EMPTY, energies, moments
from whodrew.defend.planes import LEVELS, analysed
from whodrew.errors import InputError, UsageError

Image = npt.NDArray[np.uint8]
SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))


def picture(
    shape: tuple[int, int] = (72, 88),
    *,
    grain: float = 8.0,
    level: float = 120.0,
    contrast: float = 40.0,
    seed: int = 0,
) -> Image:
    """Returns a picture with a given amount of fine grain, tone and contrast."""
    rng = np.random.default_rng([*shape, seed])
    down, across = np.mgrid[: shape[0], : shape[1]]
    grey = level + contrast * np.sin(down / 9 + seed) * np.cos(across / 13)
    noise = rng.normal(0, grain, (*shape, 1)) + rng.normal(0, grain / 3, (*shape, 3))
    return np.clip(grey[..., None] + noise, 0, 255).astype(np.uint8)


def examples(*images: Image) -> Callable[[], Iterable[Example]]:
    return lambda: (Example(Picture.of(one), "a", "p") for one in images)


CROWD = [picture(grain=grain, seed=at) for at, grain in enumerate((5.0, 8.0, 12.0))]
FULL = "crowd(strength=1,limit=16)"


def fitted(spec: str, *images: Image) -> Defence:
    return Defence.parse(spec).fit(examples(*(images or CROWD)))


def shown(defence: Defence, image: Image) -> Image:
    return defence.changed(Picture.of(image)).pixels


def logs(image: Image) -> Any:
    return energies(analysed(image)).copy()


def tones(image: Image) -> Any:
    return moments(analysed(image)).copy()


# ---------------------------------------------------------------- crowd
def test_what_is_learnt_is_the_mean_over_images() -> None:
    state = fitted("crowd").stages[0].state()["crowd"]  # type: ignore[attr-defined]
    expected = np.mean([np.concatenate([logs(one), tones(one)]) for one in CROWD], axis=0)
    np.testing.assert_allclose(state, expected, rtol=1e-6)
    assert len(state) == 2 * sum(LEVELS) + 6


@pytest.mark.parametrize("grain", [2.0, 4.0, 18.0, 30.0])
def test_energies_come_to_the_crowds(grain: float) -> None:
    image = picture(grain=grain, seed=9)
    crowd = np.mean([logs(one) for one in CROWD], axis=0)
    before = np.abs(logs(image) - crowd)
    after = np.abs(logs(shown(fitted(FULL), image)) - crowd)
    # bands overlap and pixels are rounded, so that it is not exact
    assert before[:4].max() > 0.5
    assert after[:4].max() < 0.35 * before[:4].max()
    assert after.mean() < 0.5 * before.mean()


def test_half_the_way_is_half_the_way() -> None:
    image = picture(grain=3.0, seed=9)
    crowd = np.mean([logs(one) for one in CROWD], axis=0)
    half = logs(shown(fitted("crowd(strength=0.5,limit=16)"), image))
    before, after = (logs(image) - crowd)[:4], (half - crowd)[:4]
    assert ((after / before > 0.3) & (after / before < 0.7)).all()


def test_gains_are_those_of_the_closed_form() -> None:
    image = picture(grain=3.0, seed=9)
    crowd = np.mean([logs(one) for one in CROWD], axis=0)
    found = analysed(image)
    gains = np.clip(np.exp(0.5 * 0.7 * (crowd - energies(found))), 1 / 1.3, 1.3)
    planes, at = [], 0
    for bands, levels in zip(found.bands, LEVELS, strict=True):
        own = gains[at : at + 2 * levels, None, None]
        planes.append((bands[:-1] * own).sum(axis=0) + bands[-1])
        at += 2 * levels
    luma, blue, red = (one.astype(np.float64) for one in planes)
    r, b = luma + 1.402 * red, luma + 1.772 * blue
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    expected = np.clip(np.stack([r, g, b], axis=-1), 0, 255)
    got = shown(fitted("crowd(strength=0.7,limit=1.3)"), image)
    assert np.abs(got - expected).max() <= 0.5 + 1e-2


def test_the_limit_holds_every_detail_back() -> None:
    image = picture(grain=40.0, seed=9)
    wide, narrow = (shown(fitted(f"crowd(strength=1,limit={one})"), image) for one in (8, 1.05))
    changed = [np.abs(one.astype(int) - image).mean() for one in (wide, narrow)]
    assert changed[1] < 0.2 * changed[0]
    assert shown(fitted("crowd(strength=1,limit=1)"), image) == pytest.approx(image, abs=1)


@given(SIZES, st.sampled_from(["crowd(strength=0)", "colour-match(strength=0)"]))
@settings(max_examples=30)
def test_no_strength_changes_nothing(shape: tuple[int, int], spec: str) -> None:
    image = picture(shape)
    assert np.abs(shown(fitted(spec), image).astype(int) - image).max() <= 1


@given(SIZES)
@settings(max_examples=30)
def test_pictures_of_any_size_keep_it(shape: tuple[int, int]) -> None:
    for spec in ("crowd(strength=1,limit=16,colour=1)", "colour-match(strength=1)"):
        found = shown(fitted(spec), picture(shape))
        assert (found.shape, found.dtype) == ((*shape, 3), np.uint8)


def test_a_flat_picture_stays_flat() -> None:
    flat = np.full((30, 40, 3), 99, np.uint8)
    np.testing.assert_array_equal(shown(fitted(FULL), flat), flat)
    assert np.isfinite(logs(flat)).all()
    np.testing.assert_allclose(logs(flat), np.log(EMPTY))


def test_nothing_is_drawn() -> None:
    defence = fitted("crowd(strength=1,colour=0.5)")
    assert not defence.is_random
    image = picture(seed=4)
    for other in (defence.with_secret("another"), defence):
        np.testing.assert_array_equal(shown(other, image), shown(defence, image))


def test_pictures_are_not_mixed_up_when_they_take_turns() -> None:
    defence = fitted("crowd(strength=1)")
    images = [picture(grain=grain, seed=2) for grain in (2.0, 30.0)]
    first = [shown(defence, one) for one in images]
    for one, expected in zip(images[::-1], first[::-1], strict=True):
        np.testing.assert_array_equal(shown(defence, one), expected)
        assert not np.shares_memory(shown(defence, one), expected)


# ---------------------------------------------------------------- colours
@pytest.mark.parametrize("spec", ["colour-match(strength=1)", "crowd(strength=0,colour=1)"])
def test_tones_come_to_the_crowds(spec: str) -> None:
    image = picture(level=100, contrast=34, seed=6)
    crowd = np.mean([tones(one) for one in CROWD], axis=0)
    before, after = (np.abs(tones(one) - crowd) for one in (image, shown(fitted(spec), image)))
    assert before[0] > 10
    assert after[:3].max() < 1.0  # of 255
    # the crowd's details have gains of their own: only the coarsest band follows
    assert after[3] < (0.5 if spec.startswith("colour") else 1.0) * before[3]


def test_contrast_at_most_doubles() -> None:
    image = picture(contrast=1.0, grain=0.5)
    crowd = [picture(contrast=90.0, grain=20.0)]
    before, after = (
        np.exp(tones(one)[3]) - 1
        for one in (image, shown(fitted("colour-match(strength=1)", *crowd), image))
    )
    assert 1.5 < after / before < 2.3


# ---------------------------------------------------------------- learning
@pytest.mark.parametrize("spec", ["crowd", "colour-match"])
def test_it_must_have_seen_the_arena(spec: str) -> None:
    defence = Defence.parse(spec)
    assert defence.unfitted == (spec,)
    with pytest.raises(UsageError, match=f"{spec} must see the arena first"):
        defence(picture())
    stage: Any = defence.stages[0]
    with pytest.raises(UsageError, match="fit the defence, or load its profile"):
        stage(Picture.of(picture()), None)
    with pytest.raises(InputError, match="no image to learn from"):
        defence.fit(examples())
    with pytest.raises(InputError, match="no image to learn from"):
        defence.fit(examples(picture((1, 30))))


@pytest.mark.parametrize("spec", ["crowd(strength=0.8)", "colour-match", "crowd+colour-match"])
def test_a_profile_brings_it_back(spec: str) -> None:
    defence = fitted(spec)
    again = Defence.parse(spec).with_profile(defence.profile())
    assert again.unfitted == ()
    assert again == defence
    image = picture(seed=5, grain=20.0)
    np.testing.assert_array_equal(shown(again, image), shown(defence, image))


def damaged(spec: str, change: Callable[[dict[str, Any]], None]) -> bytes:
    with np.load(io.BytesIO(fitted(spec).profile())) as file:
        arrays = {key: file[key] for key in file.files}
    change(arrays)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def not_finite(arrays: dict[str, Any]) -> None:
    arrays["0.crowd"][3] = np.nan


@pytest.mark.parametrize("spec", ["crowd", "colour-match"])
@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("0.crowd"),
        lambda arrays: arrays.update({"0.crowd": arrays["0.crowd"][:-1]}),
        lambda arrays: arrays.update({"0.crowd": arrays["0.crowd"][None]}),
        not_finite,
    ],
    ids=["missing", "short", "square", "not finite"],
)
def test_a_damaged_profile_is_refused(spec: str, change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(InputError, match=f"the profile of {spec} must hold"):
        Defence.parse(spec).with_profile(damaged(spec, change))


def test_a_profile_of_letters_is_refused() -> None:
    data = damaged("crowd", lambda arrays: arrays.update({"0.crowd": np.array(["x"] * 28)}))
    with pytest.raises(InputError, match="the profile of crowd must hold"):
        Defence.parse("crowd").with_profile(data)


@pytest.mark.parametrize(
    "spec",
    [
        "crowd(strength=1.1)", "crowd(strength=-0.1)", "crowd(limit=0.5)", "crowd(limit=17)",
        "crowd(colour=2)", "colour-match(strength=2)", "crowd(strength=nan)",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        Defence.parse(spec)


def test_budgets() -> None:
    found = Defence.parse("crowd(strength=0.25,limit=3)+colour-match(strength=1)").budget
    assert found == {
        "crowd": {"strength": 0.25, "largest_factor": 3, "colour": 0.0},
        "colour-match": {"strength": 1},
    }
