"""CLIP, SigLIP, SigLIP 2, DINOv2 and DINOv3, through transformers.

Each factory takes what stands after the colon: a folder, or a name on the Hub.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from whodrew.encoders.neural.encoder import Described, TorchEncoder
from whodrew.encoders.neural.processor import read_recipe
from whodrew.encoders.neural.recipe import Patches, Recipe
from whodrew.encoders.neural.weights import Weights, find_weights
from whodrew.errors import InputError

# How loudly transformers speaks is one setting a process.
_LOADING: Final = threading.Lock()


@dataclass(frozen=True)
class Kind:
    """A kind of checkpoint, by the ``model_type`` of its configuration.

    Attributes:
        model: class of transformers that holds the image tower.
        config: class of its configuration, or of the one it is a part of.
        processor: its image processor where the checkpoint names none.
        module: how the output is read: a class of ``modules``.
        attention: implementation of attention.
        whole: whether the checkpoint holds a text tower beside the image tower.
        fixed: whether it takes images of one size only.
    """

    model: str
    config: str
    processor: str
    module: str = "Pooled"
    attention: str = "sdpa"
    whole: bool = False
    fixed: bool = False


_KINDS: Final = {
    "clip": Kind(
        "CLIPVisionModelWithProjection", "CLIPConfig", "CLIP", "Projected", whole=True, fixed=True
    ),
    "clip_vision_model": Kind(
        "CLIPVisionModelWithProjection", "CLIPVisionConfig", "CLIP", "Projected", fixed=True
    ),
    "siglip": Kind("SiglipVisionModel", "SiglipConfig", "Siglip", whole=True, fixed=True),
    "siglip_vision_model": Kind("SiglipVisionModel", "SiglipVisionConfig", "Siglip", fixed=True),
    "siglip2": Kind("Siglip2VisionModel", "Siglip2Config", "Siglip2", "InPatches", whole=True),
    "siglip2_vision_model": Kind(
        "Siglip2VisionModel", "Siglip2VisionConfig", "Siglip2", "InPatches"
    ),
    "dinov2": Kind("Dinov2Model", "Dinov2Config", "Bit"),
    "dinov2_with_registers": Kind("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", "Bit"),
    "dinov3_vit": Kind("DINOv3ViTModel", "DINOv3ViTConfig", "DINOv3ViT"),
    "dinov3_convnext": Kind(
        "DINOv3ConvNextModel", "DINOv3ConvNextConfig", "DINOv3ViT", attention="eager"
    ),
}
_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "clip": ("clip", "clip_vision_model"),
    "siglip": ("siglip", "siglip_vision_model"),
    # SigLIP 2 at fixed sizes calls itself siglip; NaFlex siglip2.
    "siglip2": ("siglip2", "siglip2_vision_model", "siglip", "siglip_vision_model"),
    "dinov2": ("dinov2", "dinov2_with_registers"),
    "dinov3": ("dinov3_vit", "dinov3_convnext"),
}
_TITLES: Final = {
    "clip": "CLIP",
    "siglip": "SigLIP",
    "siglip2": "SigLIP 2",
    "dinov2": "DINOv2",
    "dinov3": "DINOv3",
}


def make_encoder(family: str, text: str) -> TorchEncoder:
    """Returns the encoder of a family's model.

    Args:
        family: ``clip``, ``siglip``, ``siglip2``, ``dinov2`` or ``dinov3``.
        text: what stands after the colon.

    Raises:
        UsageError: ``text`` names neither a folder nor a model.
        InputError: the model is not to be had, is of another family, or cannot be read.
    """
    weights = find_weights(family, text)
    where = f"{family}:{weights.name}"
    kind = _kind(family, weights, where)
    with _quiet():
        config = _configuration(kind, weights, where)
        recipe = read_recipe(weights.processor, kind.processor, where)
    _check_fit(kind, config, recipe, where)
    dimension = _dimension(kind, config)
    described = Described(
        name=where,
        revision=weights.revision,
        dimension=dimension,
        licence=weights.licence,
        summary=f"{_TITLES[family]} through transformers, {dimension} numbers",
        widest=_widest(config, recipe),
    )
    return TorchEncoder(described, recipe, partial(load_module, kind, config, weights, where))


def clip(text: str) -> TorchEncoder:
    """CLIP: the image tower and its projection, as compared with texts."""
    return make_encoder("clip", text)


def siglip(text: str) -> TorchEncoder:
    """SigLIP: the pooled output of the image tower."""
    return make_encoder("siglip", text)


def siglip2(text: str) -> TorchEncoder:
    """SigLIP 2: the pooled output of the image tower, at a fixed size or NaFlex."""
    return make_encoder("siglip2", text)


def dinov2(text: str) -> TorchEncoder:
    """DINOv2: the class token after the last normalisation."""
    return make_encoder("dinov2", text)


def dinov3(text: str) -> TorchEncoder:
    """DINOv3: the class token, or the pooled output of its ConvNeXt."""
    return make_encoder("dinov3", text)


def load_module(kind: Kind, config: Any, weights: Weights, where: str) -> Any:
    """Loads the network: safetensors only, no code of the model's, every weight from the file.

    Raises:
        InputError: the weights do not fit the configuration, or some are missing.
    """
    import torch
    import transformers

    from whodrew.encoders.neural import modules

    try:
        with _quiet():
            model, report = getattr(transformers, kind.model).from_pretrained(
                weights.folder,
                config=config,
                dtype=torch.float32,
                attn_implementation=kind.attention,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                # reported, and refused below by name
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"{where}: its weights cannot be loaded ({type(error).__name__}: {text}): "
            "get them again"
        ) from error
    # transformers draws what is missing at random, with a warning
    lacking = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise InputError(
            f"{where}: the files lack weights or hold them in another shape ({lacking[0]}{more}): "
            "get them again"
        )
    if kind.module == "InPatches":
        return modules.InPatches(model, int(config.patch_size))
    return getattr(modules, kind.module)(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from reporting to the terminal; one thread at a time."""
    from transformers.utils import logging as theirs

    logging: Any = theirs
    with _LOADING:
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


def _kind(family: str, weights: Weights, where: str) -> Kind:
    found = str(weights.config.get("model_type", "unknown"))
    if found not in _FAMILIES[family]:
        other = next((name for name, kinds in _FAMILIES.items() if found in kinds), None)
        mend = (
            f"write {other}:{weights.name}"
            if other
            else f"{family}: takes {', '.join(_FAMILIES[family])}"
        )
        raise InputError(f"{where} holds a model of type {found!r}, not {_TITLES[family]}: {mend}")
    if weights.config.get("quantization_config") is not None:
        raise InputError(f"{where} is quantised, which is not read here: take the model itself")
    return _KINDS[found]


def _configuration(kind: Kind, weights: Weights, where: str) -> Any:
    """Returns the image tower's configuration.

    Raises:
        InputError: ``config.json`` makes no sense.
    """
    import transformers

    try:
        config = getattr(transformers, kind.config).from_dict(dict(weights.config))
        if not kind.whole:
            return config
        tower = config.vision_config
        if kind.module == "Projected":
            tower.projection_dim = config.projection_dim
        return tower
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{where}: config.json makes no sense ({text}): get it again") from error


def _dimension(kind: Kind, config: Any) -> int:
    if kind.module == "Projected":
        return int(config.projection_dim)
    if hasattr(config, "hidden_sizes"):
        return int(config.hidden_sizes[-1])
    return int(config.hidden_size)


def _widest(config: Any, recipe: Recipe) -> int:
    """Returns the numbers in the largest activation of one image: inside the first block."""
    height, width = recipe.output or (224, 224)
    if hasattr(config, "hidden_sizes"):
        return (height // 4) * (width // 4) * 4 * int(config.hidden_sizes[0])
    inner = getattr(config, "intermediate_size", None)
    inner = int(inner or config.hidden_size * getattr(config, "mlp_ratio", 4))
    if isinstance(recipe.target, Patches):
        return recipe.target.most * inner
    side = int(config.patch_size)
    return max(1, height // side) * max(1, width // side) * inner


def _check_fit(kind: Kind, config: Any, recipe: Recipe, where: str) -> None:
    """Refuses a processor whose images the network would not take."""
    if (kind.module == "InPatches") != isinstance(recipe.target, Patches):
        raise InputError(f"{where}: its image processor is of another model: get both again")
    if not getattr(config, "vision_use_head", True):
        raise InputError(f"{where} has no pooling head, so that it gives no single vector")
    if isinstance(recipe.target, Patches) and recipe.target.patch != config.patch_size:
        raise InputError(
            f"{where}: patches of {recipe.target.patch} pixels are cut, the network takes "
            f"{config.patch_size}: get preprocessor_config.json again"
        )
    if not kind.fixed:
        return
    side = int(config.image_size)
    if recipe.output != (side, side):
        given = "x".join(map(str, recipe.output)) if recipe.output else "any proportions"
        raise InputError(
            f"{where}: images are prepared at {given}, the network takes {side}x{side}: "
            "get preprocessor_config.json again"
        )
