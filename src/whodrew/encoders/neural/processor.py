"""A model's own image processor, as a recipe of ours.

The settings are read by the Pillow image processor of transformers that the model names, so
that its defaults hold; which one is pinned, since transformers picks another where
torchvision is installed. DINOv3 has none on Pillow, and resizes floats: its defaults stand
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from whodrew.encoders.neural.recipe import FILTERS, Exactly, Patches, Recipe, Shorter, Target
from whodrew.errors import InputError

_PILLOW: Final = ("CLIP", "Siglip", "Siglip2", "Bit", "ViT")
_FLOATING: Final = "DINOv3ViT"
_DINOV3: Final[dict[str, Any]] = {
    "resample": 2,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "size": {"height": 224, "width": 224},
    "do_center_crop": False,
}
_ENDINGS: Final = ("Fast", "Pil", "ImageProcessor", "FeatureExtractor")


def read_recipe(settings: Mapping[str, Any], default: str, where: str) -> Recipe:
    """Returns the recipe of an image processor's settings.

    Args:
        settings: the JSON object of ``preprocessor_config.json``.
        default: the kind of processor where the settings name none: ``CLIP``, ``Siglip``,
            ``Siglip2``, ``Bit``, ``ViT`` or ``DINOv3ViT``.
        where: the model, for messages.

    Raises:
        InputError: they ask for something that is not done here, or make no sense.
    """
    kind = _kind(settings, default, where)
    try:
        built = _built(kind, dict(settings))
        return _recipe(kind, built, where)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"{where}: the settings of its image processor make no sense ({text}): "
            "get preprocessor_config.json again"
        ) from error


def _kind(settings: Mapping[str, Any], default: str, where: str) -> str:
    named = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    if named is None:
        return default
    kind = str(named)
    for ending in _ENDINGS:
        kind = kind.removesuffix(ending)
    if kind not in (*_PILLOW, _FLOATING):
        raise InputError(
            f"{where} prepares images by {named}, which is not known here: known are "
            f"{', '.join((*_PILLOW, _FLOATING))}"
        )
    return kind


def _built(kind: str, settings: dict[str, Any]) -> Any:
    import transformers

    if kind == _FLOATING:
        given = {key: value for key, value in settings.items() if value is not None}
        return transformers.SiglipImageProcessorPil.from_dict({**_DINOV3, **given})
    return getattr(transformers, f"{kind}ImageProcessorPil").from_dict(settings)


def _recipe(kind: str, built: Any, where: str) -> Recipe:
    if getattr(built, "do_pad", None):
        raise InputError(f"{where}: its image processor pads images, which is not done here")
    if not built.do_resize:
        raise InputError(f"{where}: its image processor does not resize, which is not done here")
    crop = None
    if getattr(built, "do_center_crop", None):
        crop = int(built.crop_size["height"]), int(built.crop_size["width"])
    mean = deviation = None
    if built.do_normalize:
        mean, deviation = _three(built.image_mean), _three(built.image_std)
        if not all(deviation):
            raise ValueError("image_std holds a zero")
    resample = int(built.resample)
    if resample not in FILTERS:
        raise ValueError(f"resample is {resample}")
    target = _target(kind, built)
    smallest = target.size or (target.side, target.side) if isinstance(target, Shorter) else None
    if crop and smallest and (crop[0] > smallest[0] or crop[1] > smallest[1]):
        raise ValueError(f"a crop of {crop} from {target.describe()}")
    return Recipe(
        target,
        resample,
        crop,
        float(built.rescale_factor) if built.do_rescale else None,
        mean,
        deviation,
        floating=kind == _FLOATING,
    )


def _target(kind: str, built: Any) -> Target:
    if kind == "Siglip2":
        return Patches(int(built.patch_size), int(built.max_num_patches))
    size = {key: value for key, value in dict(built.size).items() if value}
    if set(size) == {"height", "width"}:
        return Exactly(int(size["height"]), int(size["width"]))
    if set(size) == {"shortest_edge"}:
        return Shorter(int(size["shortest_edge"]))
    raise ValueError(f"size is {size}")


def _three(values: Any) -> tuple[float, ...]:
    found = tuple(float(v) for v in (values if hasattr(values, "__len__") else [values] * 3))
    if len(found) != 3:
        raise ValueError(f"{len(found)} channels, images have 3")
    return found
