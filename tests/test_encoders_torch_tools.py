"""Small random models of each family, saved as transformers saves them, and drawn images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

SIDE = 32
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TEXT = {**TOWER, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SQUARE = {"height": SIDE, "width": SIDE}
SIZES = ((40, 60), (64, 64), (33, 32), (100, 31), (120, 90), (32, 32), (47, 35))
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

Pixels = npt.NDArray[np.uint8]


def images(sizes: tuple[tuple[int, int], ...] = SIZES, seed: int = 0) -> list[Pixels]:
    """Draws smooth images of several sizes."""
    rng = np.random.default_rng(seed)
    found = []
    for height, width in sizes:
        down, across = np.mgrid[0:height, 0:width] / 10
        waves = [np.sin(down * a + across * b + c) for a, b, c in rng.uniform(0, 3, (3, 3))]
        found.append((127 + 120 * np.stack(waves, -1)).astype(np.uint8))
    return found


def _save(folder: Path, model: Any, processor: Any) -> Path:
    # what transformers reports on saving is not under test
    logging.getLogger("transformers").setLevel(logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def make_clip(folder: Path) -> Path:
    torch.manual_seed(1)
    vision = {**TOWER, "image_size": SIDE, "patch_size": 8}
    config = transformers.CLIPConfig(vision_config=vision, text_config=TEXT, projection_dim=24)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    return _save(folder, transformers.CLIPModel(config), processor)


def make_siglip(folder: Path) -> Path:
    torch.manual_seed(2)
    vision = {**TOWER, "image_size": SIDE, "patch_size": 8}
    config = transformers.SiglipConfig(vision_config=vision, text_config=TEXT)
    processor = transformers.SiglipImageProcessorPil(size=SQUARE)
    return _save(folder, transformers.SiglipModel(config), processor)


def make_naflex(folder: Path) -> Path:
    torch.manual_seed(3)
    vision = {**TOWER, "num_patches": 16, "patch_size": 8}
    config = transformers.Siglip2Config(vision_config=vision, text_config=TEXT)
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return _save(folder, transformers.Siglip2Model(config), processor)


def make_dinov2(folder: Path) -> Path:
    torch.manual_seed(4)
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=48, patch_size=8
    )
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": 40},
        crop_size=SQUARE,
        image_mean=IMAGENET[0],
        image_std=IMAGENET[1],
        resample=3,
    )
    return _save(folder, transformers.Dinov2Model(config), processor)


class _Settings:
    """Writes what the processor of DINOv3 writes, which needs torchvision to exist."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def save_pretrained(self, folder: Path) -> None:
        import json

        text = json.dumps({"image_processor_type": "DINOv3ViTImageProcessorFast", **self.values})
        (folder / "preprocessor_config.json").write_text(text)


def make_dinov3(folder: Path) -> Path:
    torch.manual_seed(5)
    config = transformers.DINOv3ViTConfig(**TOWER, image_size=SIDE, patch_size=8)
    return _save(folder, transformers.DINOv3ViTModel(config), _Settings(size=SQUARE))


def make_dinov3_convnext(folder: Path) -> Path:
    torch.manual_seed(6)
    config = transformers.DINOv3ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1])
    return _save(folder, transformers.DINOv3ConvNextModel(config), _Settings(size=SQUARE))


def _unit(vectors: Any) -> npt.NDArray[np.float32]:
    return np.asarray(torch.nn.functional.normalize(vectors.flatten(1), dim=1).numpy())


def by_hand(name: str, folder: Path, given: list[Pixels]) -> npt.NDArray[np.float32]:
    """Embeds as the documentation of transformers does, one image at a time."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    if name.startswith("dinov3"):
        prepared = [_dinov3_pixels(image) for image in given]
    else:
        kinds = {"clip": "CLIP", "siglip": "Siglip", "naflex": "Siglip2", "dinov2": "Bit"}
        loader = getattr(transformers, f"{kinds[name]}ImageProcessorPil")
        processor = loader.from_pretrained(folder)
        prepared = [processor(images=image, return_tensors="pt") for image in given]
    found = []
    with torch.inference_mode():
        for one in prepared:
            if hasattr(model, "get_image_features"):
                found.append(model.get_image_features(**one).pooler_output)
            else:
                found.append(model(**one).pooler_output)
    return np.concatenate([_unit(one) for one in found])


def _dinov3_pixels(image: Pixels) -> dict[str, Any]:
    """What the torchvision processor of DINOv3 computes: rescale, resize, normalise."""
    pixels = torch.tensor(image).permute(2, 0, 1)[None] / 255
    pixels = torch.nn.functional.interpolate(
        pixels, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )
    mean, deviation = (torch.tensor(one).reshape(1, 3, 1, 1) for one in IMAGENET)
    return {"pixel_values": (pixels - mean) / deviation}


# Kind of checkpoint, the name it is asked for by, and what makes it.
MODELS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "clip": ("clip", make_clip),
    "siglip": ("siglip", make_siglip),
    "siglip-as-2": ("siglip2", make_siglip),
    "naflex": ("siglip2", make_naflex),
    "dinov2": ("dinov2", make_dinov2),
    "dinov3": ("dinov3", make_dinov3),
    "dinov3-convnext": ("dinov3", make_dinov3_convnext),
}
