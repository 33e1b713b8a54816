from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test_encoders_torch_tools import (
    MODELS,
    SIDE,
    by_hand,
    images,
    make_clip,
    make_naflex,
    torch,
    transformers,
)
from whodrew.encoders.base import Encoder
from whodrew.encoders.neural.encoder import Described, TorchEncoder
from whodrew.encoders.neural.place import Place
from whodrew.encoders.neural.recipe import Exactly, Recipe, Shorter
from whodrew.encoders.registry import get_encoder
from whodrew.errors import UsageError


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: make(root / kind) for kind, (_, make) in MODELS.items()}


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHODREW_DTYPE", "float32")


def encoder_of(kind: str, folders: dict[str, Path]) -> Any:
    return get_encoder(f"{MODELS[kind][0]}:{folders[kind]}")


@pytest.mark.parametrize("kind", MODELS)
def test_the_vectors_are_those_of_transformers_used_by_hand(
    kind: str, folders: dict[str, Path], float32: None
) -> None:
    encoder = encoder_of(kind, folders)
    given = images()
    expected = by_hand(kind.removesuffix("-as-2"), folders[kind], given)
    found = encoder.encode(given)
    assert isinstance(encoder, Encoder)
    assert found.dtype == np.float32
    assert found.shape == (len(given), encoder.card.dimension)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    # no two images the same: a constant would pass all of the above with a broken model
    assert np.abs(found[1:] - found[:1]).max(axis=1).min() > 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_neither_batch_nor_order_nor_company_changes_a_vector(
    kind: str, folders: dict[str, Path], float32: None
) -> None:
    encoder = encoder_of(kind, folders)
    given = images() * 3
    whole = encoder.encode(given)
    alone = np.concatenate([encoder.encode([image]) for image in given])
    order = np.random.default_rng(0).permutation(len(given))
    shuffled = encoder.encode([given[at] for at in order])
    np.testing.assert_allclose(alone, whole, atol=1e-5)
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2"])
def test_prepared_pixels_are_those_of_the_pillow_processor_to_the_bit(
    kind: str, folders: dict[str, Path], float32: None
) -> None:
    loaders = {"clip": "CLIP", "siglip": "Siglip", "dinov2": "Bit"}
    loader = getattr(transformers, f"{loaders[kind]}ImageProcessorPil")
    given = images()
    theirs = loader.from_pretrained(folders[kind])(images=given, return_tensors="np")
    ours = encoder_of(kind, folders).preprocess(given)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs["pixel_values"])


@pytest.mark.parametrize("kind", MODELS)
def test_module_and_preprocess_make_the_vectors(
    kind: str, folders: dict[str, Path], float32: None
) -> None:
    encoder = encoder_of(kind, folders)
    given = images(((40, 60), (80, 120)))
    pixels = encoder.preprocess(given)
    module = encoder.torch_module()
    with torch.inference_mode():
        raw = module(torch.from_numpy(pixels)).numpy()
    assert pixels.shape[:2] == (2, 3)
    assert not module.training
    assert raw.shape == (2, encoder.card.dimension)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(lengths - 1).max() > 1e-3
    np.testing.assert_allclose(encoder.encode(given), raw / lengths, atol=1e-5)


def test_images_that_come_out_at_several_sizes_make_no_one_array(
    folders: dict[str, Path], float32: None
) -> None:
    with pytest.raises(UsageError, match=r"one size a call"):
        encoder_of("naflex", folders).preprocess(images(((40, 60), (60, 40))))


def test_the_card_says_what_was_done(folders: dict[str, Path], float32: None) -> None:
    card = encoder_of("clip", folders).card
    assert card.name == f"clip:{folders['clip'].resolve()}"
    assert card.revision.startswith("blake2b:")
    assert (card.dimension, card.scale, card.input_size) == (24, "unit", SIDE)
    assert (card.dtype, card.licence) == ("float32", "unknown")
    assert card.preprocessing == (
        "resized shorter side to 32 (bicubic, Pillow, in 8 bit); centre 32x32; "
        "times 0.003921568627; minus (0.48145466, 0.4578275, 0.40821073), "
        "by (0.26862954, 0.26130258, 0.27577711); computed in float32"
    )
    assert encoder_of("naflex", folders).card.input_size is None
    assert "torch, antialiased" in encoder_of("dinov3", folders).card.preprocessing


def test_the_revision_follows_weights_and_settings(tmp_path: Path, float32: None) -> None:
    folder = make_clip(tmp_path / "clip")
    name = f"clip:{folder}"
    first = get_encoder(name).card
    assert get_encoder(name).card == first
    processor = folder / "preprocessor_config.json"
    text = processor.read_text()
    processor.write_text(text.replace('"resample": 3', '"resample": 2'))
    settings = get_encoder(name).card
    assert settings.revision != first.revision
    assert "bilinear" in settings.preprocessing
    processor.write_text(text)
    assert get_encoder(name).card == first
    model = transformers.CLIPModel.from_pretrained(folder)
    with torch.no_grad():
        model.visual_projection.weight[0, 0] += 1
    model.save_pretrained(folder)
    assert get_encoder(name).card.revision != first.revision


def test_the_licence_is_the_model_cards(tmp_path: Path, float32: None) -> None:
    folder = make_naflex(tmp_path / "model")
    card = folder / "README.md"
    for text, expected in (
        ("---\nlicense: apache-2.0\n---\nlicense: mit\n", "Apache-2.0"),
        ("---\nlicense: other\nlicense_name: dinov3-license\n---\n", "dinov3-license"),
        ("# no header\nlicense: mit\n", "unknown"),
    ):
        card.write_text(text)
        assert get_encoder(f"siglip2:{folder}").card.licence == expected


@pytest.mark.parametrize("kind", MODELS)
def test_bfloat16_is_near_and_on_the_card(
    kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = images()
    monkeypatch.setenv("WHODREW_DTYPE", "float32")
    exact = encoder_of(kind, folders)
    monkeypatch.setenv("WHODREW_DTYPE", "bfloat16")
    rough = encoder_of(kind, folders)
    assert rough.card.preprocessing.endswith("computed in bfloat16")
    assert rough.card != exact.card
    difference = np.abs(rough.encode(given) - exact.encode(given)).max()
    assert 1e-6 < difference < 3e-2
    assert rough.torch_module()(torch.zeros(1, 3, SIDE, SIDE)).dtype == torch.float32


def test_a_dtype_that_is_none_is_refused(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHODREW_DTYPE", "float16")
    with pytest.raises(UsageError, match="WHODREW_DTYPE is 'float16': give float32, bfloat16"):
        encoder_of("clip", folders)


def test_auto_takes_what_the_processor_has(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert encoder_of("clip", folders).place.number == expected


def test_many_threads_get_the_vectors_of_one(folders: dict[str, Path], float32: None) -> None:
    encoder = encoder_of("dinov2", folders)
    given = images()
    expected = encoder.encode(given)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: encoder.encode(given), range(24)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_torchs_own_threads_stay_as_the_user_set_them(
    folders: dict[str, Path], float32: None
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        encoder_of("clip", folders).encode(images())
        seen = [torch.get_num_threads()]
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [3, 3]
    finally:
        torch.set_num_threads(before)


def test_no_more_batches_run_than_there_are_places() -> None:
    running, most, lock = 0, 0, threading.Lock()
    done = threading.Barrier(2)

    class Counts(torch.nn.Module):  # type: ignore[misc]
        def forward(self, pixels: Any) -> Any:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            done.wait(20)
            with lock:
                running -= 1
            return pixels.mean((2, 3)) + 1

    recipe = Recipe(Exactly(8, 8), 3)
    place = Place("cpu", "float32", batch=2, threads=2, inner=1)
    encoder = TorchEncoder(Described("x", "1", 3, "MIT", ""), recipe, Counts, place)
    given = images() + images()[:1]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: encoder.encode(given), range(4)))
    assert most == 2


def test_an_encoder_survives_pickling(folders: dict[str, Path], float32: None) -> None:
    encoder = encoder_of("siglip", folders)
    expected = encoder.encode(images())
    again = pickle.loads(pickle.dumps(encoder))  # noqa: S301 - our own
    assert again.card == encoder.card
    np.testing.assert_allclose(again.encode(images()), expected, atol=1e-6)


def test_nothing_in_gives_nothing_out(folders: dict[str, Path], float32: None) -> None:
    assert encoder_of("clip", folders).encode([]).shape == (0, 24)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_what_is_no_image_is_an_error(bad: Any, folders: dict[str, Path], float32: None) -> None:
    with pytest.raises(ValueError, match="must be"):
        encoder_of("clip", folders).encode([bad])


def test_a_strip_that_would_fill_the_memory_is_an_error(
    folders: dict[str, Path], float32: None
) -> None:
    strip = np.zeros((1, 3_000_000, 3), np.uint8)
    with pytest.raises(ValueError, match="too narrow"):
        encoder_of("clip", folders).encode([strip])


def test_a_vector_of_zeros_is_an_error() -> None:
    class Nothing(torch.nn.Module):  # type: ignore[misc]
        def forward(self, pixels: Any) -> Any:
            return pixels.mean((2, 3)) * 0

    place = Place("cpu", "float32", batch=2, threads=1, inner=1)
    described = Described("x", "1", 3, "MIT", "")
    encoder = TorchEncoder(described, Recipe(Shorter(8), 3), Nothing, place)
    with pytest.raises(ValueError, match="vector of zeros"):
        encoder.encode(images())


@pytest.mark.parametrize("kind", MODELS)
def test_the_differentiable_form_is_near_and_has_gradients(
    kind: str, folders: dict[str, Path], float32: None
) -> None:
    encoder = encoder_of(kind, folders)
    (image,) = images(((100, 80),))
    module = encoder.differentiable()
    pixels = torch.tensor(image).permute(2, 0, 1)[None] / 255
    pixels.requires_grad_()
    found = module(pixels)
    expected = encoder.encode([image])
    assert found.shape == (1, encoder.card.dimension)
    assert abs(float(found.detach().norm()) - 1) < 1e-5
    assert float((found.detach().numpy() * expected).sum()) > 0.999
    found[0, 0].backward()
    assert float(pixels.grad.abs().max()) > 0


def test_a_filter_that_torch_lacks_has_no_differentiable_form() -> None:
    place = Place("cpu", "float32", batch=2, threads=1, inner=1)
    recipe = Recipe(Exactly(8, 8), 1)
    encoder = TorchEncoder(Described("x", "1", 3, "MIT", ""), recipe, torch.nn.Identity, place)
    with pytest.raises(UsageError, match="no differentiable form"):
        encoder.differentiable()
