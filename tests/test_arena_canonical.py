"""Identity and canonical form."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from whodrew.arena import canonical_bytes, canonical_form, decode, image_id, thumbnail_digest
from whodrew.errors import UsageError


def picture(width: int = 90, height: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(
        Image.fromarray(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)).resize((width, height))
    )


def test_image_id() -> None:
    assert image_id(b"abc") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()
    assert len(image_id(b"")) == 32


def test_thumbnail_digest_survives_lossless_copies_only() -> None:
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, "JPEG", quality=90)
    jpeg = decode(out.getvalue()).pixels
    copy = io.BytesIO()
    Image.fromarray(jpeg).save(copy, "PNG")
    assert thumbnail_digest(decode(copy.getvalue()).pixels) == thumbnail_digest(jpeg)
    assert thumbnail_digest(picture()) != thumbnail_digest(jpeg)
    assert thumbnail_digest(jpeg) != thumbnail_digest(jpeg[:, ::-1])
    assert len(thumbnail_digest(jpeg)) == 32
    assert thumbnail_digest(np.zeros((1, 1, 3), np.uint8))


def test_thumbnail_is_the_mean_of_boxes() -> None:
    pixels = np.kron(picture(64, 64), np.ones((4, 4, 1), np.uint8))
    expected = hashlib.blake2b(picture(64, 64).tobytes(), digest_size=16).hexdigest()
    assert thumbnail_digest(pixels) == expected


@pytest.mark.parametrize("size", [64, 100])
def test_canonical_form(size: int) -> None:
    form = canonical_form(picture(), size)
    assert form.shape == (size, size, 3)
    assert form.dtype == np.uint8
    assert form.flags.c_contiguous
    np.testing.assert_array_equal(form, canonical_form(picture(), size))
    data = canonical_bytes(picture(), size)
    np.testing.assert_array_equal(form, decode(data).pixels)
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    assert image.layer[0][1:3] == (2, 2)  # 4:2:0
    assert not image.getexif()


def test_canonical_form_sees_the_whole_image() -> None:
    pixels = np.zeros((32, 128, 3), np.uint8)
    pixels[:, 64:] = 255
    form = canonical_form(pixels, 64)
    assert form[:, :24].max() < 40
    assert form[:, 40:].min() > 215


def test_canonical_form_at_its_own_size_is_only_recompressed() -> None:
    pixels = picture(64, 64)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85, subsampling=2)
    np.testing.assert_array_equal(canonical_form(pixels, 64), decode(out.getvalue()).pixels)


@pytest.mark.parametrize(("size", "quality"), [(0, 85), (15, 85), (9000, 85), (64, 0), (64, 96)])
def test_out_of_range(size: int, quality: int) -> None:
    with pytest.raises(UsageError, match="out of range"):
        canonical_form(picture(), size, quality)


def test_wrong_pixels() -> None:
    for pixels in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UsageError, match="pixels must be uint8"):
            thumbnail_digest(pixels)
