"""Identity of images, and their canonical form: one size, one format, one quality."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image, JpegImagePlugin

from whodrew.arena.decode import Decoded, Pixels
from whodrew.errors import UsageError

_THUMBNAIL = 64


def image_id(data: bytes) -> str:
    """Returns the identity of a file: BLAKE2b-128 of its bytes, 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def thumbnail_digest(image: Pixels | Decoded) -> str:
    """Returns the near-duplicate key of an image.

    The image is reduced to 64×64 (the whole of it, Pillow's box filter: fixed-point, the
    same on every platform) and hashed. It is equal for a JPEG and its lossless copies,
    for they decode to equal pixels.

    Args:
        image: as decoded, or an array (height, width, 3) of uint8 RGB.

    Returns:
        BLAKE2b-128 of the 64×64×3 bytes, 32 hex digits.
    """
    side = (_THUMBNAIL, _THUMBNAIL)
    # reduced by a whole factor first: a quarter of the time
    small = _image(image).resize(side, Image.Resampling.BOX, reducing_gap=2.0)
    return hashlib.blake2b(small.tobytes(), digest_size=16).hexdigest()


def canonical_bytes(image: Pixels | Decoded, size: int, quality: int = 85) -> bytes:
    """Returns the JPEG file of the canonical form: what an arena would serve.

    The whole image is resized to ``size`` × ``size`` (Lanczos, antialiased, no crop, the
    aspect ratio is not kept) and written as baseline JPEG with 4:2:0 chroma, without
    metadata. Deterministic for one version of Pillow and libjpeg-turbo.

    Args:
        image: as decoded, or an array (height, width, 3) of uint8 RGB.
        size: side in pixels, 16 to 8192.
        quality: JPEG quality, 1 to 95.

    Raises:
        UsageError: ``size`` or ``quality`` is out of range.
    """
    if not 16 <= size <= 8192:
        raise UsageError(f"canonical size {size} is out of range: 16 to 8192 pixels")
    if not 1 <= quality <= 95:
        raise UsageError(f"JPEG quality {quality} is out of range: 1 to 95")
    plain = _image(image)
    if plain.size != (size, size):
        plain = plain.resize((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    plain.save(out, "JPEG", quality=quality, subsampling="4:2:0", optimize=False)
    return out.getvalue()


def canonical_form(image: Pixels | Decoded, size: int, quality: int = 85) -> Pixels:
    """Returns what is left of an image after its canonical form is decoded again.

    See ``canonical_bytes``, which it encodes and decodes in memory.

    Args:
        image: as decoded, or an array (height, width, 3) of uint8 RGB.
        size: side in pixels.
        quality: JPEG quality.

    Returns:
        Array (size, size, 3) of uint8 RGB, contiguous.
    """
    data = canonical_bytes(image, size, quality)
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as served:
        return np.array(served, dtype=np.uint8, order="C")


def _image(image: Pixels | Decoded) -> Image.Image:
    if isinstance(image, Decoded):
        return image.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UsageError(
            f"pixels must be uint8 (height, width, 3), got {image.dtype} {image.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(image))
