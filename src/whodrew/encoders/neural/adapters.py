"""``timm:NAME`` and ``openclip:ARCH/PRETRAINED``: thin adapters to two other libraries.

Both need torchvision, which is why they are no part of the extra ``torch``. What is called is
their documented interface, no more; fetching and caching weights is their business.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from typing import Any

import numpy as np

from whodrew.encoders.neural.encoder import Described, TorchEncoder
from whodrew.encoders.neural.recipe import Opaque
from whodrew.encoders.neural.weights import spdx
from whodrew.errors import InputError, UsageError


class _Given:
    """Hands out copies of a module that is loaded already; picklable with it."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self) -> Any:
        import copy

        return copy.deepcopy(self.module)


def timm(name: str) -> TorchEncoder:
    """A pretrained model of timm without its classifier: its pooled features.

    Args:
        name: as ``timm.create_model`` takes it, ``vit_small_patch14_dinov2.lvd142m``.

    Raises:
        UsageError: timm is not installed.
        InputError: timm cannot make the model.
    """
    where = f"timm:{name}"
    _needs("timm", where, "timm")
    import timm as library

    try:
        model = library.create_model(name, pretrained=True, num_classes=0).eval()
        config = library.data.resolve_model_data_config(model)
        transform = library.data.create_transform(**config, is_training=False)
    except Exception as error:
        raise InputError(_failed(where, error, f"see 'timm.list_models({name!r})'")) from error
    known = getattr(model, "pretrained_cfg", None) or {}
    size = tuple(config.get("input_size", (3, 0, 0)))[1:]
    return _encoder(
        where,
        model,
        "forward",
        Opaque(transform, f"timm {_words(config)}", size if all(size) else None),
        spdx(str(known.get("license") or "unknown")),
    )


def openclip(name: str) -> TorchEncoder:
    """The image tower of a pretrained model of open_clip.

    Args:
        name: ``ARCH/PRETRAINED``, as ``ViT-B-32/laion2b_s34b_b79k``.

    Raises:
        UsageError: open_clip is not installed, or the name has not both parts.
        InputError: open_clip cannot make the model.
    """
    where = f"openclip:{name}"
    arch, _, tag = name.partition("/")
    if not arch or not tag:
        raise UsageError(
            f"{where} needs both parts, openclip:ARCH/PRETRAINED, as "
            "openclip:ViT-B-32/laion2b_s34b_b79k (without weights it would be a random network)"
        )
    _needs("open_clip", where, "open_clip_torch")
    import open_clip as library

    try:
        model, _, transform = library.create_model_and_transforms(arch, pretrained=tag)
        config = library.get_model_preprocess_cfg(model)
    except Exception as error:
        raise InputError(_failed(where, error, "see 'open_clip.list_pretrained()'")) from error
    side = config.get("size")
    size = (side, side) if isinstance(side, int) else tuple(side or ())
    return _encoder(
        where,
        model.eval(),
        "encode_image",
        Opaque(transform, f"open_clip {_words(config)}", size if len(size) == 2 else None),
        "unknown",
    )


def _encoder(
    where: str, model: Any, method: str, preprocessing: Opaque, licence: str
) -> TorchEncoder:
    import torch

    from whodrew.encoders.neural.modules import Method

    module = Method(model.float(), method).eval()
    with torch.inference_mode():
        blank = preprocessing(np.zeros((64, 64, 3), np.uint8))
        shape = tuple(module(torch.from_numpy(blank)[None]).shape)
    if len(shape) != 2:
        raise InputError(f"{where} gives an array of shape {shape} an image, not one vector")
    described = Described(
        name=where,
        revision=f"blake2b:{_hash(model)}",
        dimension=int(shape[1]),
        licence=licence,
        summary=f"{where.partition(':')[0]} model, {shape[1]} numbers",
    )
    return TorchEncoder(described, preprocessing, _Given(module))


def _needs(module: str, where: str, package: str) -> None:
    if find_spec(module) is None:
        raise UsageError(
            f"{where} needs {package}, which brings torchvision: pip install {package} "
            "(with the torchvision that belongs to your torch)"
        )


def _failed(where: str, error: BaseException, see: str) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{where} cannot be made ({type(error).__name__}: {text}): {see}"


def _words(config: Any) -> str:
    return ", ".join(f"{key}={config[key]}" for key in sorted(config))


def _hash(model: Any) -> str:
    """Hashes the names and values of all weights."""
    whole = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(f"{name}:{tuple(tensor.shape)}\n".encode())
        whole.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return whole.hexdigest()
