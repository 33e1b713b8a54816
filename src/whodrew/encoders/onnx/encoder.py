"""The encoder ``onnx:PATH``: preprocessing as stated, one graph, one output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.encoders.base import EncoderCard, Pixels, Vectors
from whodrew.encoders.onnx.fields import LackingError, lacking
from whodrew.encoders.onnx.graph import Graph, digest_of, open_graph, weights_of
from whodrew.encoders.onnx.pixels import Preprocessing
from whodrew.encoders.onnx.stated import Stated, gather, split_argument
from whodrew.errors import InputError

# By measurement (benchmarks/onnx_runtime.py): beyond this a processor gains nothing.
CPU_BATCH: Final = 4
GPU_BATCH: Final = 32
_GEOMETRY: Final = ("resize", "interpolation", "channels")
_VALUES: Final = ("scale", "mean", "std")


@dataclass(frozen=True)
class Reading:
    """How a vector is read from what the graph gives.

    Attributes:
        output: name of the output.
        pooling: ``cls`` (first token), ``mean`` (over tokens or places) or ``none``.
        normalise: whether vectors are brought to unit length.
        layout: of feature maps.
    """

    output: str
    pooling: str
    normalise: bool
    layout: str

    def __call__(self, found: npt.NDArray[Any]) -> Vectors:
        """Returns (n, dimension) float32 from the graph's output.

        Raises:
            ValueError: its shape does not go with the pooling, or a vector has no length.
        """
        values = found.astype(np.float32, copy=False)
        if values.ndim == 3 and self.pooling == "cls":
            values = values[:, 0]
        elif values.ndim == 3 and self.pooling == "mean":
            values = values.mean(axis=1)
        elif values.ndim == 4 and self.pooling == "mean":
            values = values.mean(axis=(2, 3) if self.layout == "nchw" else (1, 2))
        elif values.ndim != 2 or self.pooling != "none":
            raise ValueError(f"pooling {self.pooling} does not go with an output {found.shape}")
        if self.normalise:
            wide = values.astype(np.float64)
            with np.errstate(invalid="ignore", over="ignore"):  # embed names what is not finite
                length = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
                if not length.all():
                    raise ValueError("a vector of length 0 cannot be normalised")
                values = (wide / length).astype(np.float32)
        return np.ascontiguousarray(values)


class OnnxEncoder:
    """An exported image encoder.

    Args:
        argument: ``PATH`` or ``PATH?name=value&name=value``; see ``docs/onnx.md``.

    Raises:
        UsageError: flags that cannot be parsed.
        InputError: a model or a sidecar that cannot be used, or preprocessing that nothing
            states; with the mend.
    """

    def __init__(self, argument: str) -> None:
        self._argument = argument
        path, flags = split_argument(argument)
        self._graph = open_graph(path)
        stated, problem = gather(path, flags)
        try:
            self.preprocessing = _preprocessing(self._graph, stated)
            self.batch_size = _batch(self._graph, stated)
            self.max_workers = 2 if self._graph.cuda else None
            self._reading, dimension = self._probe(stated)
        except LackingError as error:
            raise problem or error from error
        self._card = self._describe(stated, dimension)

    def __reduce__(self) -> tuple[type[OnnxEncoder], tuple[str]]:
        return OnnxEncoder, (self._argument,)

    @property
    def card(self) -> EncoderCard:
        """The card of what ``encode`` computes; its revision is a hash of the files."""
        return self._card

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        """Encodes a batch, ``batch_size`` images a run; safe from several threads at once.

        Args:
            images: n arrays (height, width, 3) of uint8 RGB, sizes may differ.

        Returns:
            Array (n, dimension), float32; finite where the model's own output is.

        Raises:
            ValueError: an image is no image, or the model cannot be run on it.
        """
        out = np.empty((len(images), self._card.dimension), np.float32)
        for start in range(0, len(images), self.batch_size):
            some = images[start : start + self.batch_size]
            out[start : start + len(some)] = self._reading(self._run(some, self._reading.output))
        return out

    def _run(self, images: Sequence[Pixels], output: str) -> npt.NDArray[Any]:
        prepared = np.stack([self.preprocessing(image) for image in images])
        fixed = self._graph.batch
        if fixed is not None and len(images) < fixed:
            # The graph takes nothing but whole batches: the last image fills it up.
            filler = np.repeat(prepared[-1:], fixed - len(images), axis=0)
            prepared = np.concatenate([prepared, filler])
        found = self._graph.run(prepared.astype(self._graph.dtype, copy=False), output)
        if found.ndim == 0 or len(found) < len(images):
            raise ValueError(f"gave {found.shape} for {len(images)} images")
        return found[: len(images)]

    def _probe(self, stated: Stated) -> tuple[Reading, int]:
        """Runs the graph once, on noise: what cannot run is refused before an arena is read."""
        path, where = self._graph.path, f"onnx:{self._argument}"
        output = _output(self._graph, stated)
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        try:
            found = self._run([noise], output)
            if found.ndim == 2 and "pooling" not in stated:
                pooling = "none"
            elif "pooling" in stated:
                pooling = stated["pooling"].value
            else:
                raise lacking(
                    ["pooling"],
                    f"{path}, whose output is {found.shape}",
                    beside=_beside(self._graph),
                )
            reading = Reading(output, pooling, stated["normalise"].value, self.preprocessing.layout)
            vectors = reading(found)
        except ValueError as error:
            raise InputError(f"{where} cannot be run: {error}") from error
        if not np.isfinite(vectors).all():
            raise InputError(
                f"{where} gives numbers that are not finite: its weights are damaged, or the "
                "preprocessing is not the model's"
            )
        return reading, vectors.shape[1]

    def _describe(self, stated: Stated, dimension: int) -> EncoderCard:
        graph, reading, done = self._graph, self._reading, self.preprocessing
        text = (
            f"{done.text()}; output={reading.output}, pooling={reading.pooling}, "
            f"normalise={str(reading.normalise).lower()}"
        )
        digest = digest_of(graph.path, weights_of(graph.path, graph.outline), text)
        given = stated["revision"].value if "revision" in stated else ""
        named = stated["name"].value if "name" in stated else graph.path.stem
        high, wide = done.size
        return EncoderCard(
            name=f"onnx:{self._argument}",
            revision=f"{given} {digest}".strip(),
            dimension=dimension,
            scale="unit" if reading.normalise else "standardise",
            preprocessing=text,
            input_size=high if high == wide else None,
            licence=stated["licence"].value if "licence" in stated else "NOASSERTION",
            summary=f"{named}, by ONNX Runtime",
        )


def _beside(graph: Graph) -> str:
    return f"{graph.path.name}.json"


def _preprocessing(graph: Graph, stated: Stated) -> Preprocessing:
    """Returns what is done to pixels, from what is stated and what the graph fixes.

    Raises:
        InputError: something is neither stated nor fixed, or the two contradict each other.
    """
    bytes_in = graph.dtype == np.uint8
    values = {name: one.value for name, one in stated.items()}
    layout = _agree(stated, "layout", graph.layout)
    sides = graph.sides.get(str(layout), (None, None))
    fixed = sides if None not in sides else None
    size = _agree(stated, "size", fixed)
    wanted = ["normalise", *_GEOMETRY, *(() if bytes_in else _VALUES)]
    missing = [name for name in wanted if name not in values]
    missing += [name for name, found in (("layout", layout), ("size", size)) if found is None]
    crops = values.get("resize") == "crop"
    if crops and size and size[0] != size[1] and "resize_to" not in values:
        missing.append("resize_to")
    if values.get("resize") == "pad" and "pad" not in values:
        missing.append("pad")
    if missing:
        raise lacking(missing, str(graph.path), beside=_beside(graph))
    if layout not in graph.sides:
        raise InputError(f"{stated['layout'].where}: layout is {layout}, the model's is not")
    for side, one in zip(size, sides, strict=True):
        if one is not None and one != side:
            raise InputError(f"{stated['size'].where}: size is {size}, the model takes {sides}")
    for name in _VALUES:
        if bytes_in and name in stated:
            raise InputError(
                f"{stated[name].where}: {name} is stated, but the model takes bytes and scales "
                "them itself: leave it out"
            )
    shorter = values.get("resize_to", size[0]) if crops else None
    if shorter is not None and shorter < max(size):
        raise InputError(
            f"{stated['resize_to' if 'resize_to' in stated else 'size'].where}: resize_to is "
            f"{shorter}, less than the crop of {max(size)}"
        )
    return Preprocessing(
        size=size,
        resize=values["resize"],
        interpolation=values["interpolation"],
        scale=None if bytes_in else values["scale"],
        mean=(0.0, 0.0, 0.0) if bytes_in else values["mean"],
        std=(1.0, 1.0, 1.0) if bytes_in else values["std"],
        channels=values["channels"],
        layout=str(layout),
        resize_to=shorter,
        pad=values["pad"] if values["resize"] == "pad" else None,
    )


def _agree(stated: Stated, name: str, fixed: Any) -> Any:
    """Returns what is stated, or else what the graph fixes.

    Raises:
        InputError: both are there and differ.
    """
    if name not in stated:
        return fixed
    if fixed is not None and stated[name].value != fixed:
        raise InputError(
            f"{stated[name].where}: {name} is {stated[name].value}, the model's is {fixed}"
        )
    return stated[name].value


def _batch(graph: Graph, stated: Stated) -> int:
    """Returns how many images a run takes."""
    if graph.batch is not None:
        return graph.batch
    if graph.outline.mixes_batch:
        return 1  # so that a vector depends on its image alone
    if "batch" in stated:
        return int(stated["batch"].value)
    return GPU_BATCH if graph.cuda else CPU_BATCH


def _output(graph: Graph, stated: Stated) -> str:
    """Returns the name of the output that holds the vectors."""
    names = [one.name for one in graph.outputs]
    shown = ", ".join(str(one) for one in graph.outputs)
    if "output" not in stated:
        if len(names) == 1:
            return names[0]
        raise lacking(["output"], f"{graph.path}, which has {shown}", beside=_beside(graph))
    given = stated["output"].value
    if given in names:
        return str(given)
    if str(given).isdecimal() and int(given) < len(names):
        return names[int(given)]
    raise InputError(f"{stated['output'].where}: output is {given!r}, the model has {shown}")
