"""SPEC: what may be written, what is refused and how, one spelling for each defence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodrew.defend import DEFENCES, Defence
from whodrew.defend.listing import defences
from whodrew.defend.plain import Blur, Canonical, Jpeg, Noise, Resample
from whodrew.defend.registry import known_fields
from whodrew.errors import UsageError


def test_stages_in_the_order_written() -> None:
    found = Defence.parse(" canonical( size = 512 , quality=80 ) + noise + blur(radius=0.5)+jpeg ")
    assert found.stages == (Canonical(size=512, quality=80), Noise(), Blur(radius=0.5), Jpeg())


@pytest.mark.parametrize(
    ("spec", "spelt"),
    [
        ("canonical(size=768,quality=85)", "canonical"),
        ("canonical()", "canonical"),
        ("canonical(quality=80,size=512)", "canonical(size=512,quality=80)"),
        ("noise(sigma=2)", "noise"),
        ("noise(sigma=3.0)+noise(sigma=.5)", "noise(sigma=3)+noise(sigma=0.5)"),
        ("resample(back=yes)", "resample(back=True)"),
        ("canonical(fit=pad)", "canonical(fit=pad)"),
    ],
)
def test_one_spelling(spec: str, spelt: str) -> None:
    assert Defence.parse(spec).spec == spelt
    assert Defence.parse(spelt).spec == spelt


STAGES = st.one_of(
    st.builds(
        Canonical,
        size=st.integers(16, 8192),
        quality=st.integers(1, 100),
        fit=st.sampled_from(["crop", "pad", "stretch"]),
        subsampling=st.sampled_from([420, 422, 444]),
        pad=st.sampled_from([0, 16, 65536]),
    ),
    st.builds(Noise, sigma=st.floats(0, 128)),
    st.builds(Blur, radius=st.floats(0, 64)),
    st.builds(Jpeg, quality=st.integers(1, 100)),
    st.builds(Resample, factor=st.floats(0.02, 8), back=st.booleans()),
)


@given(st.lists(STAGES, min_size=1, max_size=4))
def test_what_is_spelt_is_read_back(stages: list[object]) -> None:
    made = Defence(tuple(stages))  # type: ignore[arg-type]
    assert Defence.parse(made.spec).stages == made.stages


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "a defence must be named"),
        ("  ", "a defence must be named"),
        ("canonicl", "unknown defence 'canonicl': did you mean canonical"),
        ("canonical(sise=512)", "canonical has no setting 'sise': did you mean size"),
        ("noise(x=1)", "noise has no setting 'x': it has sigma"),
        ("canonical(size=big)", r"canonical\(size=big\): 'big' is not a whole number"),
        ("canonical(size=1.5)", "is not a whole number"),
        ("noise(sigma=nan)", "'nan' is not a number"),
        ("noise(sigma=inf)", "'inf' is not a number"),
        ("resample(back=maybe)", "'maybe' is not yes or no"),
        ("canonical(size)", "'size' is no setting: write NAME=VALUE"),
        ("canonical(size=)", "is no setting: write NAME=VALUE"),
        ("canonical(size=512,size=512)", "size is given twice"),
        ("canonical+", "cannot be read from '' on"),
        ("+canonical", "cannot be read"),
        ("canonical(size=512", r"cannot be read from '\(size=512' on"),
        ("canonical jpeg", "cannot be read from 'jpeg' on"),
        ("canonical((size=1))", "cannot be read"),
        ("canonical(size=8)", "canonical size=8 is out of range: 16 to 8192 pixels"),
        ("canonical(fit=tight)", "canonical fit 'tight' is none of crop, pad, stretch"),
        ("canonical(format=gif)", "format 'gif' is none of jpeg, png, webp"),
        ("canonical(quality=0)", "JPEG quality 0 is out of range"),
        ("canonical(subsampling=411)", "subsampling 411 is none of 420, 422, 444"),
        ("canonical(pad=8)", "pad=8: pad to a multiple of at least 16 bytes"),
        ("canonical(format=webp,pad=4096)", "JPEG or PNG only"),
        ("jpeg(quality=101)", "JPEG quality 101 is out of range"),
        ("noise(sigma=-1)", "noise sigma=-1 is out of range"),
        ("blur(radius=65)", "blur radius=65 is out of range"),
        ("resample(factor=0)", "resample factor=0 is out of range"),
        ("resample(size=9)", "resample size=9 is out of range"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refusal:
        Defence.parse(spec)
    assert "\n" not in str(refusal.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = Defence.parse(text)
    except UsageError:
        return
    assert found.stages


def test_budgets_are_named_apart() -> None:
    budget = Defence.parse("noise(sigma=1)+blur+noise(sigma=3)").budget
    assert budget == {
        "noise": {"sigma_of_255": 1.0},
        "blur": {"radius_pixels": 1.0},
        "noise#2": {"sigma_of_255": 3.0},
    }


def test_the_list_has_every_defence_and_its_settings() -> None:
    found = {one.name: one for one in defences()}
    assert found.keys() == {one.name for one in DEFENCES.entries()}
    assert found["canonical"].settings == known_fields(Canonical)
    assert found["noise"].to_dict() == {
        "name": "noise",
        "summary": "Gaussian noise",
        "settings": {"sigma": 2.0},
        "needs": [],
        "ready": True,
        "install": None,
    }
    for one in found.values():
        if one.ready:  # what is listed may be written down again
            text = ",".join(f"{key}={value}" for key, value in one.settings.items() if value != "")
            assert Defence.parse(f"{one.name}({text})").stages[0].name == one.name


def test_a_stage_that_is_no_dataclass_is_blamed_on_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DEFENCES, "_entries", dict(DEFENCES._entries))
    monkeypatch.setattr(DEFENCES, "_loaded", dict(DEFENCES._loaded))
    DEFENCES.register("acme/odd")(lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError, match=r"'acme/odd' .* is no dataclass"):
        Defence.parse("acme/odd")
    assert {one.name: one.settings for one in defences()}["acme/odd"] == {}
