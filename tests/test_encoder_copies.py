"""Slightly changed copies: the forms, the encoders that see them, and their stores."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import whodrew.encoders.registry
from whodrew.arena.forms import FORMS, Form
from whodrew.audit.copies import with_copies
from whodrew.audit.sources import embedded, open_source
from whodrew.encoders.base import EncoderCard, Pixels
from whodrew.encoders.copies import CopyEncoder
from whodrew.encoders.registry import get_encoder
from whodrew.errors import UsageError, WhodrewError

SHAPES = [(1, 1), (1, 7), (7, 1), (33, 47), (300, 65)]


def drawn(height: int, width: int, *, grey: bool = False, seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels


# ------------------------------------------------------------------ forms


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("grey", [False, True])
def test_a_form_keeps_size_and_type_and_its_input(
    name: str, shape: tuple[int, int], grey: bool
) -> None:
    pixels = drawn(*shape, grey=grey)
    before = pixels.copy()
    first, again = Form.parse(name)(pixels), Form.parse(name)(pixels)
    assert first.dtype == np.uint8
    assert first.shape == pixels.shape
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(pixels, before)
    if shape == (33, 47):
        assert (first != pixels).any()
    if grey and not name.startswith("noise"):
        assert np.ptp(first.astype(int), axis=2).max() <= 1


def test_views_of_arrays_are_as_good_as_arrays() -> None:
    pixels = drawn(40, 60)[::2, ::-1]
    for name in FORMS:
        form = Form.parse(name)
        np.testing.assert_array_equal(form(pixels), form(pixels.copy()))


def test_forms_are_pillows() -> None:
    pixels = drawn(33, 47)
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=75, subsampling="4:2:0")
    by_hand = np.asarray(Image.open(io.BytesIO(out.getvalue())))
    np.testing.assert_array_equal(Form.parse("jpeg-75")(pixels), by_hand)
    small = image.resize((35, 25), Image.Resampling.BICUBIC)
    back = small.resize((47, 33), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(Form.parse("resize-0.75")(pixels), np.asarray(back))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(1)))
    np.testing.assert_array_equal(Form.parse("blur-1")(pixels), blurred)


def test_noise_is_of_the_sigma_and_of_the_image() -> None:
    grey = np.full((600, 40, 3), 128, dtype=np.uint8)
    noise = Form.parse("noise-2")(grey).astype(float) - 128
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(np.sqrt(4 + 1 / 12), rel=0.02)
    assert abs(np.corrcoef(noise[:256].ravel(), noise[256:512].ravel())[0, 1]) < 0.03
    other = grey.copy()
    other[0, 0, 0] = 127
    assert (Form.parse("noise-2")(other) != Form.parse("noise-2")(grey)).mean() > 0.5
    turned = np.full((40, 600, 3), 128, dtype=np.uint8)
    assert (Form.parse("noise-2")(turned).ravel() != Form.parse("noise-2")(grey).ravel()).any()
    white = np.full((64, 64, 3), 255, dtype=np.uint8)
    assert Form.parse("noise-2")(white).min() > 200


@pytest.mark.parametrize(
    "name",
    [
        *("", "jpeg", "jpeg-", "jpeg-0", "jpeg-96", "jpeg-75.5", "jpeg--5", "jpeg-1e5", "jpeg-75 "),
        *("resize-0", "resize-3", "noise-nan", "noise-0", "noise-100", "blur-99", "sharpen-1"),
        *("JPEG-75", "jpeg-\u0667\u0665"),
    ],
)
def test_bad_forms_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Form.parse(name)
    told = str(caught.value)
    assert repr(name) in told
    assert "\n" not in told
    assert all(form in told for form in FORMS)


def test_one_spelling_for_each_amount() -> None:
    assert Form.parse("jpeg-075.0").name == "jpeg-75"
    assert [Form.parse(name).name for name in FORMS] == list(FORMS)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_no_pixels(pixels: Any) -> None:
    for name in FORMS:
        with pytest.raises(UsageError, match="uint8"):
            Form.parse(name)(pixels)


# ------------------------------------------------------------------ encoders


def test_a_copy_encoder_encodes_the_copy() -> None:
    inner = get_encoder("fingerprint")
    images = [drawn(64, 80, seed=1), drawn(72, 64, seed=2)]
    for name in FORMS:
        encoder = get_encoder(f"copy:{name}:fingerprint")
        expected = inner.encode([Form.parse(name)(pixels) for pixels in images])
        np.testing.assert_array_equal(encoder.encode(images), expected)
        card = encoder.card
        assert card.name == f"copy:{name}:fingerprint"
        assert card.preprocessing.startswith(Form.parse(name).description)
        for kept in ("dimension", "scale", "dtype", "revision", "input_size", "licence"):
            assert getattr(card, kept) == getattr(inner.card, kept)
    assert (encoder.encode(images) != inner.encode(images)).any()


def test_batches_threads_and_colons_are_the_inner_encoders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    class Inner:
        card = EncoderCard("clip:/a:b", "1", 4, "unit", "resized", dtype="float16")
        batch_size = 8
        max_workers = 1

    def get(name: str) -> Any:
        asked.append(name)
        return Inner()

    monkeypatch.setattr(whodrew.encoders.registry, "get_encoder", get)
    encoder = CopyEncoder("blur-1.0:clip:/a:b")
    assert asked == ["clip:/a:b"]
    assert (encoder.batch_size, encoder.max_workers) == (8, 1)
    assert encoder.card.name == "copy:blur-1:clip:/a:b"
    assert (encoder.card.scale, encoder.card.dtype) == ("unit", "float16")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("copy", "FORM:ENCODER"),
        ("copy:", "FORM:ENCODER"),
        ("copy:jpeg-75", "copy:jpeg-75:fingerprint"),
        ("copy:jpeg-75:", "copy:jpeg-75:fingerprint"),
        ("copy:sharp-1:fingerprint", "resize-0.75"),
        ("copy:fingerprint", "resize-0.75"),
        ("copy:jpeg-75:fingerprnt", "fingerprint"),
    ],
)
def test_bad_names_are_refused_with_what_is_missing(name: str, said: str) -> None:
    with pytest.raises(WhodrewError) as caught:
        get_encoder(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ stores


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "arena"
    for number, item in enumerate(f"{m}/{p}/{s}" for m in "ba" for p in "xy" for s in "01"):
        path = folder / f"{item}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(64, 64, seed=number)).save(path)
    return folder


def test_copies_stand_beside_their_images(small: Path, tmp_path: Path) -> None:
    source = open_source(small, "model/prompt")
    store = tmp_path / "store"
    gathered = embedded(
        source, "fingerprint", store, canonical=None, workers=1, report=None
    ).gathered
    told: list[str] = []
    found = with_copies(
        source, "fingerprint", store, gathered, report=lambda name, _: told.append(name)
    )
    assert found.forms == FORMS
    assert not found.missing
    assert not found.notes
    assert set(told) == {f"copy:{form}:fingerprint" for form in FORMS}
    inner = get_encoder("fingerprint")
    samples = found.beside(gathered.samples())
    items = gathered.column("item")
    for form, vectors, copies in zip(FORMS, found.vectors, samples.copies, strict=True):
        assert (tmp_path / f"store-copy-{form}").is_dir()
        pixels = [np.asarray(Image.open(small / item)) for item in items]
        expected = inner.encode([Form.parse(form)(one) for one in pixels])
        np.testing.assert_allclose(vectors, expected, rtol=1e-6)
        np.testing.assert_array_equal(copies, vectors[samples.source])
    # some of the images, from stores that hold them all, and where the images are gone
    some = gathered.only(np.arange(len(gathered)) % 3 == 1)
    again = with_copies(source, "fingerprint", store, some)
    for vectors, all_of_them in zip(again.vectors, found.vectors, strict=True):
        np.testing.assert_array_equal(vectors, all_of_them[1::3])


def test_copies_that_cannot_be_held_lie_on_disk(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small / "a/x/2.png").write_bytes((small / "b/x/0.png").read_bytes())  # two labels, one vector
    source = open_source(small, "model/prompt")
    gathered = embedded(
        source, "fingerprint", tmp_path / "store", canonical=None, workers=1, report=None
    ).gathered
    held = with_copies(source, "fingerprint", tmp_path / "store", gathered)
    monkeypatch.setenv("WHODREW_MEMORY", "0")
    shelved = with_copies(source, "fingerprint", tmp_path / "store", gathered)
    samples = shelved.beside(gathered.samples())
    for one, other, copy in zip(held.vectors, shelved.vectors, samples.copies, strict=True):
        assert isinstance(one, np.ndarray)
        assert not isinstance(other, np.ndarray)
        np.testing.assert_array_equal(one, other[np.arange(9)])
        np.testing.assert_array_equal(one[samples.source], copy[np.arange(9)])


def test_an_image_stands_in_for_a_copy_that_fails(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(small, "model/prompt")
    gathered = embedded(
        source, "fingerprint", tmp_path / "store", canonical=None, workers=1, report=None
    ).gathered
    unlucky = np.asarray(Image.open(small / "a/y/1.png"))
    whole = Form.__call__

    def fails(form: Form, pixels: Pixels) -> Pixels:
        if form.kind == "blur" and np.array_equal(pixels, unlucky):
            raise ValueError("no such blur")
        return whole(form, pixels)

    monkeypatch.setattr(Form, "__call__", fails)
    found = with_copies(source, "fingerprint", tmp_path / "store", gathered, workers=1)
    assert found.missing == {"blur-1": 1}
    assert found.notes == ("1 of 8 copies blur-1 have no embedding: the image's own stands in",)
    (bad,) = found.bad
    assert bad.item == "a/y/1.png"
    assert "no such blur" in bad.reason
    row = gathered.column("item").index("a/y/1.png")
    blur = found.vectors[FORMS.index("blur-1")]
    np.testing.assert_array_equal(blur[row], gathered.vectors[row])
    assert (np.delete(blur, row, 0) != np.delete(gathered.vectors, row, 0)).any(axis=1).all()


def test_a_store_without_images_has_no_copies(small: Path, tmp_path: Path) -> None:
    embedded(
        open_source(small, "model/prompt"),
        "fingerprint",
        tmp_path / "store",
        canonical=None,
        workers=1,
        report=None,
    )
    source = open_source(tmp_path / "store", None)
    gathered = embedded(
        source, "", tmp_path / "none", canonical=None, workers=1, report=None
    ).gathered
    found = with_copies(source, "", tmp_path / "none", gathered)
    assert found.vectors == ()
    assert "no images to copy" in found.notes[0]
    assert found.beside(gathered.samples()).copies == ()
