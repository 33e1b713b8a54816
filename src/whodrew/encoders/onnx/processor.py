"""``preprocessor_config.json`` of the Hugging Face Hub, as a sidecar would say it.

Read are the image processors of CLIP, SigLIP and DINO: resize to a shorter side and crop,
or resize to a fixed size; rescale; normalise. What another processor does besides is
refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from whodrew.errors import InputError

PROCESSOR: Final = "preprocessor_config.json"
_RESAMPLE: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_UNKNOWN: Final = (
    "crop_pct",
    "do_pad",
    "do_reduce_labels",
    "do_thumbnail",
    "do_align_long_axis",
    "do_image_splitting",
    "do_grayscale",
    "do_normalize_by_patch",
    "rescale_offset",
    "include_top",
    "max_pixels",
    "max_num_patches",
)


def from_processor(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns the fields of a sidecar that an image processor's file states.

    Args:
        values: what the file holds.
        where: its name, for messages.

    Raises:
        InputError: it does what a sidecar cannot say, or is no image processor's.
    """
    for name in _UNKNOWN:
        if values.get(name):
            raise _refused(where, name, values[name])
    if not values.get("do_resize", True) or not isinstance(values.get("size"), dict | int):
        raise _refused(where, "size" if values.get("do_resize", True) else "do_resize", False)
    found = _geometry(values, where)
    resample = values.get("resample")
    if resample is not None:
        if resample not in range(len(_RESAMPLE)):
            raise _refused(where, "resample", resample)
        found["interpolation"] = _RESAMPLE[resample]
    # Every image processor of transformers rescales by 1/255 unless its file says otherwise.
    rescales = values.get("do_rescale", True)
    found["scale"] = values.get("rescale_factor") or 1 / 255 if rescales else 1
    if values.get("do_normalize", True):
        for name, ours in (("image_mean", "mean"), ("image_std", "std")):
            if values.get(name) is not None:
                found[ours] = values[name]
    else:
        found |= {"mean": [0, 0, 0], "std": [1, 1, 1]}
    found["channels"] = "bgr" if values.get("do_flip_channel_order") else "rgb"
    last = str(values.get("data_format", "")).lower().endswith("last")
    found["layout"] = "nhwc" if last else "nchw"
    return found


def _geometry(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    size = _sides(values["size"], where, "size", shorter=True)
    crop = values.get("crop_size")
    # Files of processors that never crop have no crop_size, or switch it off.
    if crop is not None and values.get("do_center_crop", True):
        shorter = values["size"] if isinstance(values["size"], int) else None
        shorter = shorter or values["size"].get("shortest_edge")
        if shorter is None:
            if size == _sides(crop, where, "crop_size", shorter=False):
                return {"size": size, "resize": "stretch"}
            raise _refused(where, "size", values["size"])
        kept = _sides(crop, where, "crop_size", shorter=False)
        return {"size": kept, "resize": "crop", "resize_to": shorter}
    if isinstance(values["size"], dict) and "shortest_edge" in values["size"]:
        raise _refused(where, "size", values["size"])
    return {"size": size, "resize": "stretch"}


def _sides(given: Any, where: str, name: str, *, shorter: bool) -> list[Any]:
    if isinstance(given, int):
        return [given, given]
    if isinstance(given, dict) and {"height", "width"} <= given.keys():
        return [given["height"], given["width"]]
    if shorter and isinstance(given, dict) and "shortest_edge" in given:
        return [given["shortest_edge"]] * 2
    raise _refused(where, name, given)


def _refused(where: str, name: str, value: Any) -> InputError:
    return InputError(
        f"{where}: whodrew cannot do {name}={value!r}: state the preprocessing in a sidecar "
        "or in flags instead"
    )
