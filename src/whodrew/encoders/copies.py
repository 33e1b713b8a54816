"""``copy:FORM:ENCODER``: any encoder, shown a slightly changed copy of each image.

Identifiers learn from such copies what a small change does to a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from whodrew.arena.forms import FORMS, Form
from whodrew.encoders.base import Encoder, EncoderCard, Pixels, Vectors
from whodrew.errors import UsageError

FAMILY = "copy"


def copy_name(form: str, encoder: str) -> str:
    """Returns the name of the encoder that shows ``encoder`` the copies of one form."""
    return f"{FAMILY}:{form}:{encoder}"


class CopyEncoder:
    """Changes each image, then encodes it.

    Args:
        argument: ``FORM:ENCODER``, as ``jpeg-75:fingerprint``; what follows the first colon
            is the encoder's whole name, with colons of its own.

    Raises:
        UsageError: the form or the encoder is unknown or missing.
        MissingExtraError: the encoder needs modules that are not installed.
    """

    def __init__(self, argument: str) -> None:
        # not at the top: the registry names this module
        from whodrew.encoders.registry import get_encoder

        form, colon, name = argument.partition(":")
        self.form = Form.parse(form)
        if not colon or not name:
            raise UsageError(
                f"encoder {FAMILY}:{argument} names no encoder: {FAMILY}:{self.form.name}:"
                "<encoder>, as "
                f"{copy_name(FORMS[0], 'fingerprint')}"
            )
        self.inner: Encoder = get_encoder(name)
        inner = self.inner.card
        self._card = replace(
            inner,
            name=copy_name(self.form.name, inner.name),
            preprocessing=f"{self.form.description}; {inner.preprocessing}",
            summary=f"copies {self.form.description}; {inner.summary}",
        )

    @property
    def card(self) -> EncoderCard:
        """The inner encoder's card, with the form first in ``preprocessing``."""
        return self._card

    @property
    def batch_size(self) -> int:
        """Images the inner encoder takes at once."""
        return int(getattr(self.inner, "batch_size", 1))

    @property
    def max_workers(self) -> int | None:
        """Threads the inner encoder allows; ``None`` for any number."""
        return getattr(self.inner, "max_workers", None)

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        """Encodes the changed copies of a batch of images (height, width, 3) uint8."""
        return self.inner.encode([self.form(pixels) for pixels in images])
