"""``whodrew encoders export``: a torch encoder as an ONNX file that agrees with it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.arena import Arena, BadItem, ImageError, Pixels, decode, iter_bytes, read_arena
from whodrew.encoders.base import EncoderCard
from whodrew.encoders.onnx.fields import SCHEMA
from whodrew.encoders.onnx.recover import Recovered, recover
from whodrew.encoders.registry import get_encoder
from whodrew.errors import InputError, LimitError, MissingExtraError, UsageError

IMAGES: Final = 32
LEAST_COSINE: Final = 0.99
_NEEDS: Final = ("torch", "onnx", "onnxruntime", "onnxscript")
_SOME: Final = 8  # images encoded at a time
Said = Callable[[str], None]


@dataclass(frozen=True)
class Agreement:
    """How near the exported vectors are to those of torch in float32.

    Attributes:
        least: smallest cosine of an image.
        mean: mean cosine.
        wanted: what ``least`` had to reach.
        images: number of images measured on.
        source: the arena they are from, or what drew them.
        synthetic: whether whodrew drew them itself.
    """

    least: float
    mean: float
    wanted: float
    images: int
    source: str
    synthetic: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "least": self.least,
            "mean": self.mean,
            "wanted": self.wanted,
            "images": self.images,
            "source": self.source,
            "synthetic": self.synthetic,
        }


@dataclass(frozen=True)
class Exported:
    """An encoder that was exported.

    Attributes:
        encoder: its name.
        file: the ONNX file.
        sidecar: its preprocessing.
        precision: ``fp32`` or ``int8``.
        quantised: matrix products in int8.
        bytes: size of the model with its weights.
        card: that of the exported encoder.
        recovered: preprocessing, and how exactly the sidecar describes it.
        agreement: how near its vectors are.
        bad: images that could not be used.
        seconds: how long it took.
    """

    encoder: str
    file: Path
    sidecar: Path
    precision: str
    quantised: int
    bytes: int
    card: EncoderCard
    recovered: Recovered
    agreement: Agreement
    bad: tuple[BadItem, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "schema": "whodrew.export/1",
            "encoder": self.encoder,
            "name": self.card.name,
            "file": str(self.file),
            "sidecar": str(self.sidecar),
            "precision": self.precision,
            "quantised_products": self.quantised,
            "bytes": self.bytes,
            "revision": self.card.revision,
            "dimension": self.card.dimension,
            "preprocessing": {
                **self.recovered.preprocessing.to_dict(),
                "difference_grey_levels": self.recovered.difference,
            },
            "agreement": self.agreement.to_dict(),
            "bad": [item.to_dict() for item in self.bad],
            "seconds": self.seconds,
        }


def export(
    name: str,
    out: str | Path,
    *,
    int8: bool = False,
    images: str | Path | None = None,
    least_cosine: float = LEAST_COSINE,
    seed: int = 0,
    said: Said | None = None,
) -> Exported:
    """Exports a torch encoder, with the sidecar that ``onnx:`` reads its preprocessing from.

    The file is opened again and run from pixels to vectors as ``onnx:FILE`` does; only where
    each image's vector is near enough to that of torch in float32 is it put in place.

    Args:
        name: the encoder.
        out: a new file ``….onnx``.
        int8: quantise matrix products, per channel.
        images: arena to measure the agreement on; images drawn by whodrew's sample painters
            when ``None``. Of a larger arena 32 images are taken.
        least_cosine: the smallest cosine allowed, above 0 to 1.
        seed: draws the images.
        said: told what is being done.

    Returns:
        What was written, and how well it agrees.

    Raises:
        UsageError: no torch encoder, a file that is there, or a number out of range.
        InputError: an arena without readable images.
        MissingExtraError: torch, onnx, onnxruntime or onnxscript is missing.
        LimitError: the agreement is below ``least_cosine``; no file is left behind.
    """
    began = time.monotonic()
    tell = said or (lambda _: None)
    file = Path(out)
    _check(file, least_cosine)
    if any(find_spec(one) is None for one in _NEEDS):
        raise MissingExtraError("'whodrew encoders export'", "export")
    encoder: Any = get_encoder(name)
    if not hasattr(encoder, "torch_module") or not hasattr(encoder, "preprocess"):
        raise UsageError(f"encoder {name!r} is no torch network: there is nothing to export")
    source = "whodrew's sample painters" if images is None else str(images)
    bad: tuple[BadItem, ...] = ()
    if images is None:
        tell(
            f"agreement is measured on {IMAGES} synthetic pictures that whodrew draws itself "
            f"(seed {seed}); --images ARENA measures it on yours"
        )
        pixels = drawn(seed)
    else:
        pixels, bad = taken(images, seed)
    recovered = recover(encoder.preprocess, name)
    tell(f"exporting {name}")
    prefix = f".{file.stem}-"
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=prefix) as folder:
            made = _made(encoder, name, Path(folder), file.name, recovered, int8=int8)
            tell(f"comparing on {len(pixels)} images")
            agreement = _compared(made, pixels, least_cosine, source, synthetic=images is None)
            if agreement.least < least_cosine:
                raise LimitError(_too_far(name, agreement, int8=int8))
            _finish_sidecar(made.file, name, made.precision, agreement)
            size = _put(made.file, file)
    except OSError as error:
        what = error.filename or file
        raise UsageError(f"cannot write {what}: {error.strerror or error}") from error
    return Exported(
        encoder=name,
        file=file,
        sidecar=_sidecar(file),
        precision=made.precision,
        quantised=made.quantised,
        bytes=size,
        card=_opened(file).card,
        recovered=recovered,
        agreement=agreement,
        bad=bad,
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True)
class _Made:
    """A model in a temporary folder, and what it is compared to."""

    file: Path
    module: Any
    prepare: Any
    precision: str
    quantised: int


def _check(file: Path, least_cosine: float) -> None:
    if file.suffix != ".onnx":
        raise UsageError(f"--out is {file}: give a file that ends in .onnx")
    if not file.parent.is_dir():
        raise UsageError(f"--out {file}: there is no folder {file.parent}")
    for one in (file, _sidecar(file), _data(file)):
        if one.exists():
            raise UsageError(f"{one} is there already: give another --out, or delete it")
    if not 0 < least_cosine <= 1:
        raise UsageError(f"--least-cosine is {least_cosine}: give a number above 0, at most 1")


def _sidecar(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def _data(file: Path) -> Path:
    return file.with_name(file.name + ".data")


def _made(
    encoder: Any, name: str, folder: Path, file: str, recovered: Recovered, *, int8: bool
) -> _Made:
    """Writes model and sidecar under their final names into a temporary folder."""
    from whodrew.encoders.onnx.write import plain_module, quantise, write_onnx

    module = plain_module(encoder.torch_module())
    made = folder / file
    quantised = 0
    if int8:
        whole = folder / "fp32"
        whole.mkdir()
        write_onnx(module, recovered.preprocessing.size, whole / file, name)
        quantised = quantise(whole / file, made, name)
    else:
        write_onnx(module, recovered.preprocessing.size, made, name)
    card: EncoderCard = encoder.card
    precision = "int8" if int8 else "fp32"
    values = {
        "schema": SCHEMA,
        "name": f"{name} ({precision})",
        "revision": card.revision[:200],
        "licence": card.licence,
        **recovered.preprocessing.to_dict(),
        "pooling": "none",
        "normalise": card.scale == "unit",
    }
    _sidecar(made).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return _Made(made, module, encoder.preprocess, precision, quantised)


def _compared(
    made: _Made, pixels: Sequence[Pixels], wanted: float, source: str, *, synthetic: bool
) -> Agreement:
    """Returns the cosines between what ``onnx:`` makes of pixels and torch in float32."""
    from whodrew.encoders.onnx.write import vectors_of

    exported = _opened(made.file)
    cosines: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(pixels), _SOME):
        some = pixels[start : start + _SOME]
        prepared = np.concatenate([made.prepare([one]) for one in some])
        left = exported.encode(some).astype(np.float64)
        right = vectors_of(made.module, prepared).astype(np.float64)
        length = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        dots = np.einsum("ij,ij->i", left, right)
        cosines.append(np.divide(dots, length, out=np.zeros_like(dots), where=length > 0))
    found = np.minimum(np.concatenate(cosines), 1.0)
    if not np.isfinite(found).all():
        raise UsageError("the network gives numbers that are not finite: its weights are damaged")
    least, mean = float(found.min()), float(found.mean())
    return Agreement(least, mean, wanted, len(found), source, synthetic)


def _too_far(name: str, agreement: Agreement, *, int8: bool) -> str:
    mend = "leave out --int8" if int8 else "export another encoder"
    return (
        f"{name} {'in int8 ' if int8 else ''}agrees with torch in float32 to a cosine of "
        f"{agreement.least:.4f} at worst ({agreement.mean:.4f} on average) on "
        f"{agreement.images} images of {agreement.source}, below --least-cosine "
        f"{agreement.wanted:g}: nothing was written; {mend}, or allow less"
    )


def _finish_sidecar(file: Path, name: str, precision: str, agreement: Agreement) -> None:
    from whodrew import __version__

    place = _sidecar(file)
    values = json.loads(place.read_text("utf-8"))
    values["made"] = {
        "by": f"whodrew {__version__}",
        "from": name,
        "precision": precision,
        "agreement": agreement.to_dict(),
    }
    place.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _put(made: Path, file: Path) -> int:
    """Moves the files into place, the model last; returns their size in bytes."""
    size = 0
    moves = [(_sidecar(made), _sidecar(file)), (_data(made), _data(file)), (made, file)]
    done: list[Path] = []
    try:
        for source, target in moves:
            if source.exists():
                size += source.stat().st_size if source != _sidecar(made) else 0
                source.replace(target)
                done.append(target)
    except BaseException:
        for one in done:
            one.unlink(missing_ok=True)
        raise
    return size


def _opened(file: Path) -> Any:
    from whodrew.encoders.onnx.encoder import OnnxEncoder

    return OnnxEncoder(str(file))


def drawn(seed: int) -> list[Pixels]:
    """Returns pictures by whodrew's sample painters, a different model and prompt each."""
    from whodrew.arena.sample import MODELS, PROMPTS, draw_image

    rng = np.random.default_rng([seed, 7])
    models, prompts = sorted(MODELS), sorted(one.prompt_id for one in PROMPTS)
    cells = rng.permutation(len(models) * len(prompts))[:IMAGES]
    return [
        decode(
            draw_image(models[cell // len(prompts)], prompts[cell % len(prompts)], 0, seed)
        ).pixels
        for cell in cells.tolist()
    ]


def taken(source: str | Path, seed: int) -> tuple[list[Pixels], tuple[BadItem, ...]]:
    """Returns up to 32 images of an arena, drawn at random, and those that are bad.

    Raises:
        InputError: it holds no image that can be read.
    """
    arena: Arena = read_arena(source)
    chosen = np.random.default_rng([seed, 7]).permutation(len(arena))[:IMAGES]
    some = arena.take(sorted(chosen.tolist()))
    pixels: list[Pixels] = []
    bad: list[BadItem] = []
    items = some.images["item"].to_pylist()
    for at, data in iter_bytes(some.images):
        try:
            if isinstance(data, ImageError):
                raise data
            pixels.append(decode(data).pixels)
        except ImageError as error:
            bad.append(BadItem(items[at], error.reason))
    if not pixels:
        raise InputError(f"{source} holds no image that can be read")
    return pixels, tuple(bad)
