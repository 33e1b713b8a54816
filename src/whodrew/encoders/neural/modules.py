"""Networks as one thing: preprocessed pixels in, one vector an image out."""

from __future__ import annotations

from typing import Any

import torch

from whodrew.encoders.neural.recipe import Recipe

# torch is typed in one installation and missing in another: typed as Any in both.
Module: Any = torch.nn.Module
Tensor = Any


class Pooled(Module):  # type: ignore[misc]
    """A model of transformers whose output has ``pooler_output`` (n, d) or (n, d, 1, 1)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps (n, 3, h, w) to (n, d)."""
        return self.model(pixel_values=pixels).pooler_output.flatten(1)


class Projected(Module):  # type: ignore[misc]
    """The image tower of CLIP with its projection into the space shared with text."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps (n, 3, h, w) to (n, d)."""
        return self.model(pixel_values=pixels).image_embeds


class InPatches(Module):  # type: ignore[misc]
    """SigLIP 2 NaFlex on images of one size: cut into patches, with nothing padded."""

    def __init__(self, model: Any, patch: int) -> None:
        super().__init__()
        self.model = model
        self.patch = patch

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps (n, 3, h, w), sides multiples of the patch, to (n, d)."""
        n, channels, height, width = pixels.shape
        down, across, side = height // self.patch, width // self.patch, self.patch
        cut = pixels.reshape(n, channels, down, side, across, side).permute(0, 2, 4, 3, 5, 1)
        given = self.model(
            pixel_values=cut.reshape(n, down * across, side * side * channels),
            pixel_attention_mask=torch.ones(
                (n, down * across), dtype=torch.long, device=pixels.device
            ),
            spatial_shapes=torch.tensor([[down, across]] * n, device=pixels.device),
        )
        return given.pooler_output


class Features(Module):  # type: ignore[misc]
    """A convolutional network's last feature maps, averaged over positions.

    Attributes:
        channels_last: whether it is faster on channels stored last.
    """

    channels_last = True

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps (n, 3, h, w) to (n, d)."""
        return self.model.extract_features(pixels).mean((2, 3))


class Method(Module):  # type: ignore[misc]
    """A model and the name of the method of its that gives the vectors (n, d)."""

    def __init__(self, model: Any, name: str = "forward") -> None:
        super().__init__()
        self.model = model
        self.name = name

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps (n, 3, h, w) to (n, d)."""
        return getattr(self.model, self.name)(pixels)


class Differentiable(Module):  # type: ignore[misc]
    """A recipe and a network, from pixels to unit vectors, with gradients to the pixels.

    Torch resizes floats where Pillow resizes and rounds 8-bit values, so that vectors differ
    a little from those of the encoder; how little is tested.
    """

    def __init__(self, recipe: Recipe, module: Any) -> None:
        super().__init__()
        self.recipe = recipe
        self.module = module
        mean, deviation = recipe.mean or (0.0,) * 3, recipe.deviation or (1.0,) * 3
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(shape))

    def forward(self, images: Tensor) -> Tensor:
        """Maps (n, 3, H, W) float32 RGB in [0, 1] to unit vectors (n, d)."""
        height, width = self.recipe.resized(*images.shape[-2:])
        small = images
        if (height, width) != tuple(images.shape[-2:]):
            small = torch.nn.functional.interpolate(
                images, (height, width), mode=self.recipe.filter, antialias=True
            )
            # cubic filters overshoot; stored pixels cannot
            small = small if self.recipe.floating else small.clamp(0, 1)
        rows, columns = self.recipe.box(height, width)
        scaled = small[:, :, rows, columns] * (255 * (self.recipe.scale or 1.0))
        vectors = self.module((scaled - self.mean) / self.deviation)
        return torch.nn.functional.normalize(vectors, dim=1)
