"""What attackers see: every image undefended, as shown, and as they would draw it themselves.

Images are worked on in shares of a few; what a share gave is kept on disk, so that a killed
run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whodrew.arena import Arena, ImageError, Pixels, decode, iter_bytes
from whodrew.arena.forms import Form
from whodrew.defend.arena_open import profile_digest, profile_of
from whodrew.defend.arena_result import software
from whodrew.defend.clock import spent
from whodrew.defend.defence import Defence
from whodrew.defend.frontier_folds import Fitted
from whodrew.defend.picture import Picture
from whodrew.defend.quality import Quality, lpips_distance, quality
from whodrew.defend.scorers import get_scorer, scored
from whodrew.embed.files import write_kept
from whodrew.encoders.base import Encoder
from whodrew.encoders.registry import get_encoder
from whodrew.errors import UsageError
from whodrew.identify.samples import Floats, Ints
from whodrew.machine import versions

SHARE: Final = 32
#: Defended by nobody: the images as they are.
NATIVE: Final = "native"
Told = Callable[[int, int], None]
FIGURES: Final = ("psnr", "ssim", "lpips", "max_change")


@dataclass(frozen=True)
class Look:
    """One way of looking at defended images: an encoder, after a change or none.

    Attributes:
        encoder: name.
        form: name of what the attacker does to images first, ``""`` for nothing.
        draws: draws of each reference that are looked at.
    """

    encoder: str
    form: str
    draws: int

    @property
    def key(self) -> str:
        """Names its arrays."""
        return f"{self.form}:{self.encoder}"


@dataclass(frozen=True)
class Seen:
    """What one defence's images look like.

    Attributes:
        query: by look, (N, D) of what is shown.
        references: by look, (R, N, D) of the attacker's own draws; empty of draws for native
            images.
        by_profile: by look at what is not purified, (F, N, D) of the attacker's first draw
            under each profile; empty where there is one.
        quality: one entry an image that was measured.
        milliseconds: what defending one image took, of those timed.
        scores: (N,) of what is shown, by the scorer; empty without one.
        side: median short side of the images, in pixels.
    """

    query: Mapping[str, Floats]
    references: Mapping[str, Floats]
    by_profile: Mapping[str, Floats]
    quality: tuple[Quality, ...]
    milliseconds: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    side: float


class Watcher:
    """Encodes images under defences, in threads, share by share.

    Args:
        arena: the images; each must be readable.
        encoders: by name.
        cache: folder for what is done.
        workers: threads.
        seed: names the operator's secret and the attacker's, which differ.
        measured: indices of images whose quality is measured.
        scorer: name of what scores pictures; ``""`` for none.
        identities: image_id of each image, which what is kept is named by.
    """

    def __init__(
        self,
        arena: Arena,
        encoders: Mapping[str, Encoder],
        cache: Path,
        *,
        workers: int,
        seed: int,
        measured: frozenset[int],
        scorer: str = "",
        identities: Sequence[str] = (),
    ) -> None:
        self.arena = arena
        self.encoders = encoders
        self.cache = cache
        self.workers = workers
        self.seed = seed
        self.measured = measured
        self.scorer = scorer
        self.identities = tuple(identities)
        self._scorer = get_scorer(scorer) if scorer else None
        self._perceptual, self.lpips_reason = lpips_distance()
        self._gates: dict[str, Any] = {}
        self._revisions = {name: one.card.revision for name, one in encoders.items()}
        for name, one in encoders.items():
            most = getattr(one, "max_workers", None)
            self._gates[name] = threading.Semaphore(most) if most else nullcontext()
        self._models = arena.images["model"].to_pylist()
        self._prompts = arena.images["prompt_id"].to_pylist()
        self.secrets = f"operator of {seed}", f"attacker of {seed}"

    def see(self, known: Fitted | None, looks: Sequence[Look], told: Told | None = None) -> Seen:
        """Looks at every image under the profile of a defence that it meets, or as it is.

        Args:
            known: a fitted defence; ``None`` for the images as they are.
            looks: ways of looking.
            told: told of images done, and of how many.
        """
        size = len(self.arena)
        kept = self._kept(known, looks)
        profiles = [] if known is None else [profile_of(one) for one in known.profiles]
        learnt = [profile_digest(one) for one in profiles if one is not None]
        shares = [range(at, min(at + SHARE, size)) for at in range(0, size, SHARE)]
        found = []
        for share in shares:
            path = self.cache / f"{_name(kept, known, learnt, share)}-{share.start}.npz"
            part = _read(path)
            if part is None:
                part = self._share(known, looks, share)
                _keep(path, part)
            found.append(part)
            if told is not None:
                told(share.stop, size)
        return _joined(found, looks)

    def _kept(self, known: Fitted | None, looks: Sequence[Look]) -> bytes:
        """Returns all that what is kept depends on, but for what stages have learnt."""
        cards = sorted((name, one.card.revision) for name, one in self.encoders.items())
        spec = NATIVE if known is None else self._made_by(known.any)
        text = repr((spec, self.seed, cards, list(looks), self.scorer))
        texts = sorted(self.arena.prompts.items()) if self.scorer else []
        return f"{text}\n{sorted(self.measured)}\n{texts}\n{self._images}".encode()

    def _made_by(self, defence: Defence) -> str:
        """Names a defence by its SPEC and by the encoders that its stages look through."""
        seen = sorted({name for one in defence.stages for name in getattr(one, "sees", ())})
        for name in seen:
            if name not in self._revisions:  # some are hashes of all weights
                self._revisions[name] = get_encoder(name).card.revision
        revisions = [(name, self._revisions[name]) for name in seen]
        return repr((defence.spec, revisions, versions(("torch",)) if seen else None))

    @cached_property
    def _images(self) -> str:
        """Names the images, what is known of them, and what reads and changes them."""
        items = "\n".join(self.arena.images["item"].to_pylist())
        same = "\n".join(self.identities)
        named = list(zip(self._models, self._prompts, strict=True))
        return f"{self.arena.source}\n{items}\n{same}\n{named}\n{software()}"

    def profile_place(self, defence: Defence, images: Ints) -> Path:
        """Returns the file that keeps what a defence learns from some of the images."""
        text = f"{self._made_by(defence)}\n{images.tolist()}\n{self._images}"
        return self.cache / f"profile-{_digest(text.encode())}.npz"

    def _share(
        self, known: Fitted | None, looks: Sequence[Look], share: range
    ) -> dict[str, npt.NDArray[Any]]:
        rows = self.arena.take(list(share)).images
        done: dict[int, dict[str, Any]] = {}
        stop = threading.Event()

        def one(at: int, data: bytes) -> None:
            image = share.start + at
            done[at] = self._image(known, looks, image, data, stop)

        with ThreadPoolExecutor(self.workers) as pool:
            try:
                waiting = []
                for at, data in iter_bytes(rows):
                    if isinstance(data, ImageError):
                        item = rows["item"][at].as_py()
                        raise UsageError(f"{item} can no longer be read: {data.reason}")
                    waiting.append(pool.submit(one, at, data))
                for future in waiting:
                    future.result()
            except BaseException:
                stop.set()  # one image may be many draws
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        ordered = [done[at] for at in range(len(share))]
        return {key: np.stack([values[key] for values in ordered]) for key in ordered[0]}

    def _image(
        self,
        known: Fitted | None,
        looks: Sequence[Look],
        at: int,
        data: bytes,
        stop: threading.Event,
    ) -> dict[str, Any]:
        began = spent()
        picture = Picture.of(decode(data).image)
        if known is None:
            native: dict[str, Any] = {"side": np.float64(min(picture.size))}
            native |= {f"q {one.key}": self._encoded(one, [picture.pixels])[0] for one in looks}
            return native | self._scored(picture.pixels, at)
        named = {"model": self._models[at], "prompt_id": self._prompts[at]}
        defence = known.of(at)
        operator, attacker = map(defence.with_secret, self.secrets)
        file = operator.served.encode(operator.changed(picture, **named).image)
        took = np.float64(1e3 * (spent() - began))
        shown = decode(file).pixels
        values: dict[str, Any] = {"milliseconds": took, **self._scored(shown, at)}
        values["side"] = np.float64(min(shown.shape[:2]))
        values["quality"] = np.full(1 + len(FIGURES), np.nan)
        if at in self.measured:
            plain = operator.plain(picture)
            figures = quality(plain, Picture.of(shown), perceptual=self._perceptual)
            values["quality"] = _numbers(figures)
        most = max((one.draws for one in looks), default=0)
        draws = [shown]
        if defence.is_random:
            for draw in range(1, most + 1):
                if stop.is_set():
                    raise CancelledError
                draws.append(_drawn(attacker, picture, draw, named))
        others = [
            _drawn(one.with_secret(self.secrets[1]), picture, 1, named)
            for one in known.profiles
            if one is not defence
        ]
        for one in looks:
            wanted = draws[: one.draws + 1]
            vectors = self._encoded(one, wanted)
            values[f"q {one.key}"] = vectors[0]
            # what is not random gives the attacker the very image that is shown
            own = values[f"r {one.key}"] = vectors[1:] if len(vectors) > 1 else vectors
            if others and not one.form:
                more = self._encoded(one, others)
                values[f"p {one.key}"] = np.insert(more, int(known.which[at]), own[0], axis=0)
        return values

    def _scored(self, pixels: Pixels, at: int) -> dict[str, np.float64]:
        if self._scorer is None:
            return {}
        prompt = self._prompts[at]
        text = self.arena.prompts.get(prompt, prompt)
        return {"score": np.float64(scored(self._scorer, self.scorer, pixels, text))}

    def _encoded(self, look: Look, images: Sequence[Pixels]) -> Floats:
        form = Form.parse(look.form) if look.form else None
        encoder = self.encoders[look.encoder]
        some = max(1, int(getattr(encoder, "batch_size", 1)))
        changed = [one if form is None else form(one) for one in images]
        with self._gates[look.encoder]:
            parts = [
                encoder.encode(changed[start : start + some])
                for start in range(0, len(changed), some)
            ]
        return np.concatenate(parts).astype(np.float32)


def _drawn(attacker: Defence, picture: Picture, draw: int, named: Mapping[str, Any]) -> Pixels:
    """Returns what an attacker sees of a picture that they defended themselves."""
    changed = attacker.changed(picture, draw=draw, **named)
    return decode(attacker.served.encode(changed.image)).pixels


def _numbers(figures: Quality) -> npt.NDArray[np.float64]:
    """Returns (5,): 1 for measured, then each figure, NaN where there is none."""
    found = [getattr(figures, name) for name in FIGURES]
    return np.array([1.0, *(np.nan if one is None else one for one in found)])


def _figures(row: npt.NDArray[np.float64]) -> Quality:
    psnr, ssim, lpips, most = (None if np.isnan(one) else float(one) for one in row[1:])
    return Quality(psnr, ssim, lpips, None if most is None else int(most))


def _name(kept: bytes, known: Fitted | None, learnt: Sequence[str], share: range) -> str:
    """Names a share by all that it depends on: of profiles, also which its images meet."""
    which = known.which[share.start : share.stop].tolist() if known and len(learnt) > 1 else []
    return _digest(kept + repr((learnt, which)).encode())


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _read(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Returns what a share gave; ``None`` where that is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _keep(path: Path, part: Mapping[str, npt.NDArray[Any]]) -> None:
    write_kept(path, lambda sink: np.savez(sink, **part))  # type: ignore[arg-type]


def _joined(parts: Sequence[Mapping[str, npt.NDArray[Any]]], looks: Sequence[Look]) -> Seen:
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    query = {one.key: whole[f"q {one.key}"] for one in looks}
    references, by_profile = (
        {
            one.key: np.ascontiguousarray(np.moveaxis(whole[f"{kind} {one.key}"], 1, 0))
            for one in looks
            if f"{kind} {one.key}" in whole
        }
        for kind in "rp"
    )
    found: tuple[Quality, ...] = ()
    if "quality" in whole:
        kept = whole["quality"][~np.isnan(whole["quality"][:, 0])]
        found = tuple(_figures(row) for row in kept)
    none = np.empty(0)
    times, scores = (whole.get(key, none) for key in ("milliseconds", "score"))
    side = float(np.median(whole["side"]))
    return Seen(query, references, by_profile, found, times, scores, side)
