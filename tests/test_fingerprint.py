"""The fingerprint encoder as its users see it."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from whodrew.encoders.base import Encoder, Pixels
from whodrew.encoders.fingerprint import DIMENSION, FAMILIES, SIZES, Fingerprint
from whodrew.encoders.registry import get_encoder

GOLDEN = Path(__file__).with_name("test_fingerprint_golden.npy")


def drawn(height: int, width: int) -> Pixels:
    """A picture from integers alone, the same on every machine."""
    rows, columns = np.indices((height, width), dtype=np.uint32)
    state = (rows * np.uint32(7919) + columns * np.uint32(104729) + np.uint32(1)).astype(np.uint32)
    for _ in range(3):
        state = state * np.uint32(1664525) + np.uint32(1013904223)
        state ^= state >> np.uint32(13)
    grain = np.stack([(state >> np.uint32(s)) & np.uint32(15) for s in (3, 11, 19)], axis=-1)
    ramp = np.stack([2 * rows, columns + rows, 3 * columns], axis=-1) % 255
    patches = np.where(((rows // 17) + (columns // 23)) % 2 == 0, 40, 0)[..., None]
    return np.clip(ramp.astype(int) // 2 + grain.astype(int) + patches, 0, 255).astype(np.uint8)


def test_protocol_and_card() -> None:
    encoder = get_encoder("fingerprint")
    assert isinstance(encoder, Encoder)
    card = encoder.card
    assert (card.name, card.scale, card.dtype) == ("fingerprint", "standardise", "float32")
    assert card.dimension == DIMENSION <= 2000
    assert card.input_size is None
    assert card.revision == "1"


def test_families_tile_the_vector() -> None:
    covered = np.zeros(DIMENSION, int)
    for name, part in FAMILIES.items():
        covered[part] += 1
        assert part.stop - part.start == SIZES[name]
    assert (covered == 1).all()


def test_golden() -> None:
    """A changed number is a changed encoder: raise the card's revision, then this file."""
    vector = Fingerprint().encode([drawn(150, 203)])[0]
    golden = np.load(GOLDEN)
    assert vector.shape == golden.shape
    assert np.allclose(vector, golden, rtol=1e-4, atol=1e-4)


SIZES_TRIED = [(1, 1), (1, 300), (300, 1), (2, 3), (63, 64), (65, 64), (100, 333), (333, 100)]


@pytest.mark.parametrize(("height", "width"), SIZES_TRIED)
def test_any_size(height: int, width: int) -> None:
    vector = Fingerprint().encode([drawn(height, width)])
    assert vector.shape == (1, DIMENSION)
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()


@pytest.mark.parametrize("level", [0, 1, 127, 255])
@pytest.mark.parametrize("side", [1, 64, 200])
def test_constant_images(level: int, side: int) -> None:
    assert np.isfinite(Fingerprint().encode([np.full((side, side, 3), level, np.uint8)])).all()


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 140),
    width=st.integers(1, 140),
    seed=st.integers(0, 2**32 - 1),
    levels=st.integers(1, 256),
)
def test_finite_for_any_noise(height: int, width: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.integers(0, levels, (height, width, 3)) * (255 // max(levels - 1, 1))).astype(
        np.uint8
    )
    assert np.isfinite(Fingerprint().encode([image])).all()


def test_extremes_do_not_overflow() -> None:
    rows, columns = np.indices((256, 256))
    for step in (1, 2, 4, 8):
        board = (((rows // step + columns // step) % 2) * 255).astype(np.uint8)
        image = np.stack([board, 255 - board, board], axis=-1)
        assert np.isfinite(Fingerprint().encode([image])).all()


def test_batch_and_memory_layout_change_nothing() -> None:
    images = [drawn(90, 120), drawn(64, 64), drawn(201, 77)]
    together = Fingerprint().encode(images)
    apart = np.concatenate([Fingerprint().encode([image]) for image in images])
    backwards = Fingerprint().encode(images[::-1])[::-1]
    turned = Fingerprint().encode([np.asfortranarray(image) for image in images])
    frozen = [image.copy() for image in images]
    for image in frozen:
        image.setflags(write=False)
    reversed_rows = [image[::-1].copy()[::-1] for image in images]
    layouts = [Fingerprint().encode(some) for some in (frozen, reversed_rows)]
    for other in (apart, backwards, turned, *layouts):
        assert together.tobytes() == other.tobytes()
    assert Fingerprint().encode([]).shape == (0, DIMENSION)


def test_pixels_four_bytes_apart_are_the_same_pixels() -> None:
    """As Pillow keeps them: what lies between counts for nothing."""
    images = [drawn(90, 120), drawn(65, 64), drawn(64, 201), drawn(30, 70)]
    plain = Fingerprint().encode(images)
    for between in (0, 255):
        fours = [np.dstack([i, np.full(i.shape[:2], between, np.uint8)]) for i in images]
        assert plain.tobytes() == Fingerprint().encode([i[:, :, :3] for i in fours]).tobytes()
    # The last pixel has no fourth byte here, and the third image stands within a larger one.
    short = np.zeros(4 * 90 * 120 - 1, np.uint8)
    strided = np.lib.stride_tricks.as_strided(short, (90, 120, 3), (480, 4, 1))
    strided[:] = images[0]
    inner = np.zeros((66, 201, 4), np.uint8)
    inner[1:65, :, :3] = images[2]
    for image, row in ((strided, plain[0]), (inner[1:65, :, :3], plain[2])):
        assert Fingerprint().encode([image])[0].tobytes() == row.tobytes()


def test_images_are_left_as_they_were() -> None:
    image = drawn(80, 80)
    before = image.copy()
    Fingerprint().encode([image])
    assert np.array_equal(image, before)


def test_threads_change_nothing() -> None:
    images = [drawn(64 + 9 * k, 150 - 7 * k) for k in range(8)]
    serial = Fingerprint().encode(images)
    encoder = Fingerprint()
    with ThreadPoolExecutor(4) as pool:
        threaded = np.concatenate(list(pool.map(lambda image: encoder.encode([image]), images)))
    assert serial.tobytes() == threaded.tobytes()


def test_another_process_gives_the_same_bits() -> None:
    code = (
        "import sys, hashlib, numpy as np\n"
        "from whodrew.encoders.fingerprint import Fingerprint\n"
        "image = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(97, 131, 3)\n"
        "print(hashlib.sha256(Fingerprint().encode([image]).tobytes()).hexdigest())\n"
    )
    image = drawn(97, 131)
    ours = hashlib.sha256(Fingerprint().encode([image]).tobytes()).hexdigest()
    theirs = subprocess.run(
        [sys.executable, "-c", code], input=image.tobytes(), capture_output=True, check=True
    )
    assert theirs.stdout.decode().strip() == ours


def test_lossless_copies_of_a_jpeg_are_the_same_image() -> None:
    file = io.BytesIO()
    Image.fromarray(drawn(120, 130)).save(file, "JPEG", quality=85)
    jpeg = Image.open(file).convert("RGB")
    copies = [np.asarray(jpeg)]
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        copy = io.BytesIO()
        jpeg.save(copy, kind, **options)
        copies.append(np.asarray(Image.open(copy).convert("RGB")))
    vectors = Fingerprint().encode(copies)
    assert vectors[0].tobytes() == vectors[1].tobytes() == vectors[2].tobytes()


def test_mirrored_images_differ_only_in_slant() -> None:
    """Tiles line up at 1024 pixels, so a flip moves only what knows left from right."""
    image = drawn(128, 128)
    plain, flipped = Fingerprint().encode([image, np.ascontiguousarray(image[:, ::-1])])
    part = FAMILIES["patterns"]
    assert np.array_equal(plain[part], flipped[part])
    slant = slice(FAMILIES["spectrum"].stop - 49, FAMILIES["spectrum"].stop)
    assert np.abs(plain[slant]).max() > 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image: Pixels) -> None:
    with pytest.raises(ValueError, match="height, width, 3"):
        Fingerprint().encode([image])


def test_importing_the_encoder_does_not_import_numba() -> None:
    code = (
        "import sys, whodrew.encoders.fingerprint as f; f.Fingerprint().card;"
        "sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_that_has_nothing_to_compile_loads_no_compiler() -> None:
    """Which would cost every run half a second."""
    code = (
        "import sys, numpy as np\n"
        "from whodrew.encoders.fingerprint import Fingerprint\n"
        "image = np.zeros((70, 80, 3), np.uint8)\n"
        "Fingerprint().encode([image])\n"
        "image.setflags(write=False)\n"
        "Fingerprint().encode([image])\n"
        "sys.exit('numba.np.arraymath' in sys.modules or 'scipy.linalg' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code])  # noqa: PLW1510 - fills the cache
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_are_compiled_where_nothing_is_cached(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "import numpy as np\n"
        "from whodrew.encoders.fingerprint.jit import called, compiled\n"
        "@called\n"
        "def square(x):\n"
        "    return x * x\n"
        "@compiled('int64[::1](int64[::1])')\n"
        "def squares(values):\n"
        "    return np.array([square(x) for x in values])\n"
        "print(squares(np.arange(4)).tolist(), dict(squares.stats.cache_hits))\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, str(tmp_path / "one.py")], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert runs[0].startswith("[0, 1, 4, 9] {}")
    assert runs[1].startswith("[0, 1, 4, 9] {'int64[::1](int64[::1])': 1}")
