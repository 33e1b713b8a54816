"""The registry of identifiers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from whodrew.identify.base import Identifier
from whodrew.registry import Entry, Registry

IDENTIFIERS: Registry[Callable[[], Identifier]] = Registry(
    "identifier",
    "whodrew.identifiers",
    (
        Entry(
            "nearest-centroid",
            "the paper's rule: the nearest centroid by cosine",
            "whodrew.identify.nearest:NearestCentroid",
        ),
        Entry(
            "whitened-centroid",
            "centred on prompts, whitened within models, Gaussian log-likelihoods (default)",
            "whodrew.identify.whitened:WhitenedCentroid",
        ),
        Entry(
            "k-nearest",
            "votes of the 5 nearest references by cosine",
            "whodrew.identify.neighbours:KNearest",
        ),
        Entry(
            "linear-probe",
            "logistic regression on the references",
            "whodrew.identify.probe:LinearProbe",
        ),
        Entry(
            "contrastive",
            "trained with the supervised contrastive loss on images and their changed copies",
            "whodrew.identify.contrastive:Contrastive",
            requires=("torch",),
            extra="torch",
        ),
    ),
)


def get_identifier(name: str) -> Identifier:
    """Returns the identifier called ``name``.

    Raises:
        UsageError: no identifier has that name (the message lists the nearest), or a third
            party's is broken; the message names its package.
    """
    made = IDENTIFIERS.make(name)
    if IDENTIFIERS.package(name) is not None:
        from whodrew.identify.third_party import Watched

        return Watched(made, partial(IDENTIFIERS.broken, name))
    return cast(Identifier, made)
