"""A defence: stages in order, the operator's secret, and the file that is shown."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from whodrew.arena import Limits, decode
from whodrew.defend.base import Example, Learns, Secret, Shown, Stage
from whodrew.defend.picture import Picture
from whodrew.defend.served import Served
from whodrew.defend.spec import parse_stages
from whodrew.errors import InputError, UsageError
from whodrew.spec import spelled

PROFILE: Final = "whodrew.profile/1"


@dataclass(frozen=True)
class Defence:
    """What is done to an image before it is shown.

    Call it with pictures in [0, 1], as attacks of torchattacks are called; ``serve`` takes
    and gives files.

    Attributes:
        stages: in the order they are applied.
        secret: seeds what is random in them.
    """

    stages: tuple[Stage, ...]
    secret: Secret = field(default_factory=lambda: Secret.of(0), repr=False)

    @classmethod
    def parse(cls, spec: str, secret: Secret | str | int = 0) -> Defence:
        """Builds the defence that a SPEC names.

        Args:
            spec: as ``canonical(size=768,quality=85)+crowd(strength=0.5)``.
            secret: the operator's; any text or number.

        Raises:
            UsageError: the SPEC cannot be read, or names what is not known.
            MissingExtraError: a stage needs modules that are not installed.
        """
        key = secret if isinstance(secret, Secret) else Secret.of(secret)
        return cls(parse_stages(spec), key)

    @property
    def spec(self) -> str:
        """The SPEC, one spelling for each defence."""
        return "+".join(spelled(stage.name, stage) for stage in self.stages)

    @property
    def budget(self) -> dict[str, dict[str, float | int | str]]:
        """The budget of each stage, by name."""
        found: dict[str, dict[str, float | int | str]] = {}
        for stage in self.stages:
            same = sum(name.split("#")[0] == stage.name for name in found)
            found[stage.name if not same else f"{stage.name}#{same + 1}"] = stage.budget
        return found

    @property
    def served(self) -> Served:
        """How the file is written: as ``canonical`` says, or a last ``jpeg``, else as PNG.

        What ``canonical`` pads to is kept.
        """
        last = self.stages[-1]
        for stage in (last, *reversed(self.stages)):
            kind = getattr(stage, "served", None)
            if kind is not None and (stage is last or stage.name == "canonical"):
                pads = (getattr(one, "pad", 0) for one in self.stages)
                return replace(kind, pad=max(pads, default=0))  # type: ignore[no-any-return]
        return Served()

    @property
    def unfitted(self) -> tuple[str, ...]:
        """Names of stages that must see the arena first."""
        return tuple(one.name for one in self.stages if isinstance(one, Learns) and not one.fitted)

    @property
    def learns(self) -> bool:
        """Whether a stage must see images before it can be used."""
        return any(isinstance(one, Learns) for one in self.stages)

    @property
    def is_random(self) -> bool:
        """Whether another draw, or another secret, gives another picture."""
        return any(getattr(one, "random", True) for one in self.stages)

    def with_secret(self, secret: Secret | str | int) -> Defence:
        """Returns the same defence under another secret: what an attacker can build."""
        return replace(self, secret=secret if isinstance(secret, Secret) else Secret.of(secret))

    # ------------------------------------------------------------ applying

    def __call__(
        self,
        image: Any,
        *,
        model: str | None = None,
        prompt_id: str | None = None,
        draw: int = 0,
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Returns the defended picture, as it is after the file was decoded again.

        Args:
            image: (height, width, 3) in [0, 1], or uint8, or Pillow's in mode RGB.
            model: the model that drew it, for stages that move each model elsewhere.
            prompt_id: its prompt.
            draw: 0 for what is served; others are independent draws.

        Returns:
            Array (height', width', 3) float32 in [0, 1].

        Raises:
            UsageError: a stage must see the arena first, or lacks the model or prompt.
        """
        data = self._file(Picture.of(image), model, prompt_id, draw)
        return Picture.of(decode(data).image).unit

    def changed(
        self,
        picture: Picture,
        *,
        model: str | None = None,
        prompt_id: str | None = None,
        draw: int = 0,
        until: int | None = None,
    ) -> Picture:
        """Returns the picture after the stages, before the file is written.

        Args:
            picture: as decoded.
            model: as for calls.
            prompt_id: as for calls.
            draw: as for calls.
            until: stages to apply; all when not given.
        """
        if until is None and self.unfitted:
            raise UsageError(
                f"{' and '.join(self.unfitted)} must see the arena first: fit the defence "
                "on it, or load the profile that 'whodrew defend' wrote"
            )
        identity = _Identity(picture)
        last = len(self.stages) - 1
        for place, stage in enumerate(self.stages[:until]):
            if place == last and stage.name == "jpeg":
                break  # writing the file is this stage
            make = _rng(self.secret, identity, draw, place)
            picture = stage(picture, Shown(make, model, prompt_id))
        return picture

    def plain(self, picture: Picture) -> Picture:
        """Returns the picture resized as the defence resizes it, and nothing else.

        It is what quality is measured against.
        """
        for stage in self.stages:
            if getattr(stage, "reshapes", False):
                picture = stage(picture, Shown(_no_rng))
        return picture

    def serve(
        self,
        data: bytes,
        *,
        model: str | None = None,
        prompt_id: str | None = None,
        draw: int = 0,
        limits: Limits | None = None,
    ) -> bytes:
        """Returns the file to show in place of another.

        Args:
            data: the file as the model's provider gave it.
            model: as for calls.
            prompt_id: as for calls.
            draw: as for calls.
            limits: what the image may cost; the arena's own where not given.

        Raises:
            ImageError: ``data`` is no image that can be read.
            UsageError: as for calls.
        """
        decoded = decode(data, limits=limits or Limits())
        return self._file(Picture.of(decoded.image), model, prompt_id, draw)

    def _file(self, picture: Picture, model: str | None, prompt_id: str | None, draw: int) -> bytes:
        done = self.changed(picture, model=model, prompt_id=prompt_id, draw=draw)
        return self.served.encode(done.image)

    # ------------------------------------------------------------ learning

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Defence:
        """Returns the defence with every stage that learns fitted, in order.

        Args:
            examples: gives one pass over the arena's pictures, as decoded; called once for
                each stage that learns, or as often as the stage asks.
        """
        found = self
        for place, stage in enumerate(self.stages):
            if isinstance(stage, Learns) and not stage.fitted:

                def seen(so_far: Defence = found, until: int = place) -> Iterator[Example]:
                    for one in examples():
                        picture = so_far.changed(
                            one.picture, model=one.model, prompt_id=one.prompt_id, until=until
                        )
                        yield replace(one, picture=picture)

                fitted = stage.fit(seen)
                found = replace(
                    found, stages=(*found.stages[:place], fitted, *found.stages[place + 1 :])
                )
        return found

    def profile(self) -> bytes:
        """Returns what was learnt as an ``.npz`` file; it holds no secret."""
        arrays: dict[str, Any] = {"schema": np.array(PROFILE), "spec": np.array(self.spec)}
        for place, stage in enumerate(self.stages):
            if isinstance(stage, Learns) and stage.fitted:
                arrays |= {f"{place}.{key}": value for key, value in stage.state().items()}
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)
        return out.getvalue()

    def with_profile(self, profile: str | Path | bytes) -> Defence:
        """Returns the defence as it was fitted when the profile was written.

        Raises:
            InputError: the profile cannot be read, or is of another SPEC.
        """
        name = "profile" if isinstance(profile, bytes) else str(profile)
        try:
            raw = profile if isinstance(profile, bytes) else Path(profile).read_bytes()
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{name}: cannot be read as a profile: {error}") from error
        except Exception as error:  # zip files from strangers raise nearly anything
            raise InputError(f"{name}: cannot be read as a profile: {error}") from error
        found = str(arrays.get("schema")), str(arrays.get("spec"))
        if found != (PROFILE, self.spec):
            raise InputError(f"{name}: is of {found[1]!r}, not of {self.spec!r}")
        stages = list(self.stages)
        for place, stage in enumerate(stages):
            if isinstance(stage, Learns):
                head = f"{place}."
                own = {key[len(head) :]: v for key, v in arrays.items() if key.startswith(head)}
                stages[place] = stage.with_state(own)
        return replace(self, stages=tuple(stages))


class _Identity:
    """Names a picture by its pixels, once somebody asks."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._found: bytes | None = None

    def __call__(self) -> bytes:
        if self._found is None:
            pixels = self._picture.pixels
            text = repr(pixels.shape).encode()
            self._found = hashlib.blake2b(pixels.data, digest_size=16, key=text).digest()
        return self._found


def _rng(
    secret: Secret, identity: _Identity, draw: int, place: int
) -> Callable[[], np.random.Generator]:
    return lambda: secret.rng(identity(), draw, place)


def _no_rng() -> np.random.Generator:
    raise AssertionError("a stage that reshapes draws nothing")
