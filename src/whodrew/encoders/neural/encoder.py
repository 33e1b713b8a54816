"""``TorchEncoder``: a preprocessing and a network as an encoder, whatever family it is of."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from whodrew.encoders.base import EncoderCard, Pixels, Vectors
from whodrew.encoders.neural.crew import make_crew
from whodrew.encoders.neural.place import Place, choose_place
from whodrew.encoders.neural.recipe import (
    Floats,
    Preprocessing,
    Recipe,
    check_pixels,
    stacked,
)
from whodrew.errors import UsageError


@dataclass(frozen=True)
class Described:
    """What is known of a network before it is loaded.

    Attributes:
        name: the name users type.
        revision: names the weights exactly.
        dimension: length of a vector.
        licence: SPDX id of the weights, ``unknown`` where nobody says.
        summary: one line.
        widest: numbers in the largest activation of one image, which decides the batch.
    """

    name: str
    revision: str
    dimension: int
    licence: str
    summary: str
    widest: int = 2**20


class TorchEncoder:
    """Encodes through a torch network; unit vectors, from as many threads as you like.

    The network is loaded when it is first needed. Images are prepared and encoded in batches
    on threads of the encoder's own, as many as there are processors, so that decoding in the
    caller's threads, preparing and computing go on at the same time. Nothing in a vector
    depends on the other images of a batch, beyond float32 rounding.

    Args:
        described: what the card says of the network.
        preprocessing: from an image to the network's input.
        load: returns the network: a module in float32 on the processor that maps
            (n, 3, h, w) to (n, dimension), not normalised.
        place: where and how to compute; chosen where not given.
    """

    def __init__(
        self,
        described: Described,
        preprocessing: Preprocessing,
        load: Callable[[], Any],
        place: Place | None = None,
    ) -> None:
        self._described = described
        self._preprocessing = preprocessing
        self._load = load
        self._place = place or choose_place(described.widest)
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._crew: ThreadPoolExecutor | None = None
        self._module: Any = None
        # a graphics processor does one batch at a time, while others are prepared
        self._turn = threading.Lock() if self._place.device == "cuda" else contextlib.nullcontext()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out threads and the network: what unpickles loads its own."""
        names = ("_described", "_preprocessing", "_load", "_place")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes over what ``__getstate__`` gave."""
        self.__dict__.update(state)
        self._start()

    @property
    def card(self) -> EncoderCard:
        """The card of what ``encode`` computes."""
        known = self._described
        size = self._preprocessing.output
        return EncoderCard(
            name=known.name,
            revision=known.revision,
            dimension=known.dimension,
            scale="unit",
            preprocessing=f"{self._preprocessing.describe()}; computed in {self._place.number}",
            dtype="float32" if self._place.number == "float32" else "float16",
            input_size=size[0] if size and size[0] == size[1] else None,
            licence=known.licence,
            summary=known.summary,
        )

    @property
    def place(self) -> Place:
        """Where and how it computes."""
        return self._place

    @property
    def batch_size(self) -> int:
        """Images a batch: what ``embed`` hands over at a time."""
        return self._place.batch

    @property
    def max_workers(self) -> int | None:
        """``None``: callers decode in as many threads as they like, and wait for ours."""
        return None

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to an image before the network sees it."""
        return self._preprocessing

    def preprocess(self, images: Sequence[Pixels]) -> Floats:
        """Prepares images as ``encode`` does.

        Args:
            images: n arrays (height, width, 3) of uint8 RGB.

        Returns:
            Array (n, 3, h, w) of float32, what ``torch_module()`` takes.

        Raises:
            UsageError: they come out at several sizes (which only a model without a fixed
                input size allows), or there are none.
            ValueError: one is no image, or too narrow.
        """
        check_pixels(images)
        return stacked([self._preprocessing(image) for image in images])

    def torch_module(self) -> Any:
        """Returns the network: a ``torch.nn.Module`` in float32 on the processor.

        It maps what ``preprocess`` gives, as a float32 tensor (n, 3, h, w), to embeddings
        (n, dimension) that are not normalised. It is a copy that belongs to the caller.
        """
        return self._load().eval().requires_grad_(requires_grad=False)

    def differentiable(self) -> Any:
        """Returns pixels to unit vectors as one ``torch.nn.Module``, with gradients.

        It maps float32 RGB (n, 3, H, W) in [0, 1] to (n, dimension), resizing inside.

        Raises:
            UsageError: torch cannot resize as this model's preprocessing does.
        """
        from whodrew.encoders.neural.modules import Differentiable

        recipe = self._preprocessing
        if not isinstance(recipe, Recipe) or recipe.filter not in ("bilinear", "bicubic"):
            raise UsageError(
                f"{self._described.name} has no differentiable form: "
                f"torch cannot do its preprocessing ({recipe.describe()})"
            )
        return Differentiable(recipe, self.torch_module())

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        """Encodes a batch, of any length.

        Args:
            images: n arrays (height, width, 3) of uint8 RGB, sizes may differ.

        Returns:
            Array (n, dimension) of unit vectors, float32.

        Raises:
            ValueError: one is no image, is too narrow, or gives a vector of zeros.
            WhodrewError: the weights cannot be loaded.
        """
        check_pixels(images)
        found = np.empty((len(images), self._described.dimension), np.float32)
        if not images:
            return found
        crew = self._ready_crew()
        given: list[Future[None]] = [
            crew.submit(self._encode, images, rows, found)
            for rows in _chunks(len(images), self._place.batch)
        ]
        try:
            for one in given:
                one.result()
        finally:
            for one in given:
                one.cancel()
        return found

    def _ready_crew(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._crew is None:
                self._crew = make_crew(self._place.threads, self._place.inner)
            return self._crew

    def _ready_module(self) -> Any:
        import torch

        with self._lock:
            if self._module is None:
                module = self.torch_module()
                if getattr(module, "channels_last", False):
                    module = module.to(memory_format=torch.channels_last)
                self._module = module.to(self._place.device, getattr(torch, self._place.number))
            return self._module

    def _encode(self, images: Sequence[Pixels], rows: Sequence[int], found: Vectors) -> None:
        """Encodes some images on one of our threads, into their rows of ``found``."""
        module = self._ready_module()
        by_size: dict[tuple[int, ...], list[tuple[int, Floats]]] = {}
        for row in rows:
            pixels = self._preprocessing(images[row])
            by_size.setdefault(pixels.shape, []).append((row, pixels))
        for same in by_size.values():
            vectors = self._forward(module, stacked([pixels for _, pixels in same]))
            found[[row for row, _ in same]] = _unit(vectors)

    def _forward(self, module: Any, pixels: Floats) -> Vectors:
        import torch

        number = getattr(torch, self._place.number)
        try:
            with self._turn, torch.inference_mode(), _exact(self._place):
                given = torch.from_numpy(pixels).to(self._place.device, number)
                if getattr(module, "channels_last", False):
                    given = given.contiguous(memory_format=torch.channels_last)
                vectors: Vectors = module(given).float().cpu().numpy()
                return vectors
        except torch.cuda.OutOfMemoryError:
            if len(pixels) == 1:
                raise
        half = len(pixels) // 2
        parts = (pixels[:half], pixels[half:])
        return np.concatenate([self._forward(module, part) for part in parts])


def _chunks(count: int, size: int) -> list[range]:
    return [range(at, min(at + size, count)) for at in range(0, count, size)]


def _exact(place: Place) -> Any:
    """In float32, keeps a graphics processor's convolutions from rounding to TF32."""
    import torch

    if place.device != "cuda" or place.number != "float32":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _unit(vectors: Vectors) -> Vectors:
    """Returns vectors (n, d) at length 1."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    if not lengths.all():
        raise ValueError("the network gave a vector of zeros, which has no direction")
    with np.errstate(invalid="ignore"):
        return np.asarray(wide / lengths, np.float32)
