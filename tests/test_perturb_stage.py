"""``perturb`` and ``universal`` end to end, on small drawn pictures."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drawn import MODELS, pixels
from test_encoders_torch_tools import make_clip
from whodrew.defend import DEFENCES, Defence, Example, Learns, Picture, Stage
from whodrew.defend.perturb import Perturb
from whodrew.defend.perturb_learn import Space
from whodrew.defend.universal import Universal, covering
from whodrew.encoders.base import Pixels
from whodrew.encoders.fingerprint import Fingerprint
from whodrew.errors import InputError, UsageError

PROMPTS = ("boat", "cat", "hill", "lamp")
FAST = "perturb(encoders=fingerprint,steps=6"


def arena(side: int = 64) -> Iterator[Example]:
    for model in MODELS:
        for prompt in PROMPTS:
            for seed in range(2):
                picture = Picture.of(pixels(model, prompt, seed, side))
                yield Example(picture, model, prompt)


def fitted(spec: str, secret: int = 0) -> Defence:
    return Defence.parse(spec, secret).fit(arena)


def served(defence: Defence, image: Pixels, **known: Any) -> Pixels:
    """The picture after the stages, before the file is written."""
    return defence.changed(Picture.of(image), **known).pixels


def seen(space: Space, image: Pixels, quality: int | None = None) -> Any:
    """Where the encoder itself, not its torch form, sees a picture."""
    if quality is not None:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=quality)
        with Image.open(out) as read:
            image = np.array(read)
    return Fingerprint().encode([image])[0] @ space.weights + space.offset


@pytest.fixture(scope="module")
def away() -> Defence:
    return fitted(FAST + ",objective=away)", 7)


def stage_of(defence: Defence) -> Any:
    return defence.stages[0]


def test_they_are_stages_that_learn(away: Defence) -> None:
    for stage in (Perturb(), Universal()):
        assert isinstance(stage, Stage)
        assert isinstance(stage, Learns)
        assert not stage.fitted
    assert stage_of(away).fitted
    assert away.budget == {"perturb": {"max_of_255": 4.0}}
    assert Perturb(norm="l2", eps=2.0).budget == {"rms_of_255": 2.0}
    assert {"perturb", "universal"} <= {entry.name for entry in DEFENCES.entries()}
    assert Defence.parse("perturb").is_random
    assert not Defence.parse("universal").is_random


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("objective", ["away", "decoy", "crowd", "contrastive"])
def test_every_objective_is_served_within_the_budget(
    away: Defence, norm: str, objective: str
) -> None:
    # what is learnt is the same for all of them
    spec = f"{FAST},eps=3,norm={norm},objective={objective})"
    stage = stage_of(Defence.parse(spec)).with_state(stage_of(away).state())
    defence = Defence((stage,))
    space = stage._learnt.spaces[0]
    gains = []
    for number in range(3):
        image = pixels("amber", "boat", 10 + number)
        found = served(defence, image, model="amber", prompt_id="boat")
        change = found.astype(float) - image
        largest = np.abs(change).max() if norm == "linf" else np.sqrt(np.mean(change**2))
        assert 1 < largest <= 3 * (1 + 1e-9)
        before, after = seen(space, image), seen(space, found)
        own = space.centroids[list(MODELS).index("amber")] - space.overall + space.prompt_means[0]
        if objective in ("away", "contrastive"):
            gains.append(np.linalg.norm(after - own) - np.linalg.norm(before - own))
        elif objective == "crowd":
            middle = space.prompt_means[0]
            gains.append(np.linalg.norm(before - middle) - np.linalg.norm(after - middle))
        else:
            gains.append(np.linalg.norm(after - before))
    assert np.mean(gains) > 0.1 * space.apart


def test_the_named_decoy_is_what_is_approached_and_jpeg_does_not_undo_it() -> None:
    defence = fitted(f"{FAST},eps=6,objective=decoy,decoys=dune)")
    space = stage_of(defence)._learnt.spaces[0]
    target = space.centroids[MODELS.index("dune")] - space.overall + space.prompt_means[1]
    for quality in (None, 85):
        ratios = []
        for number in range(4):
            image = pixels("cedar", "cat", 20 + number)
            found = served(defence, image, model="cedar", prompt_id="cat")
            before, after = (
                np.linalg.norm(seen(space, one, quality) - target) for one in (image, found)
            )
            ratios.append(after / before)
        assert np.mean(ratios) < 0.9


def test_it_is_the_same_under_one_secret_from_any_thread(away: Defence) -> None:
    images = [pixels("birch", "hill", seed) for seed in range(4)]

    def one(image: Pixels) -> bytes:
        return served(away, image, model="birch", prompt_id="hill").tobytes()

    alone = [one(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(one, images)) == alone
    other = served(away.with_secret(8), images[0], model="birch", prompt_id="hill")
    drawn_again = served(away, images[0], model="birch", prompt_id="hill", draw=1)
    assert len({alone[0], other.tobytes(), drawn_again.tobytes()}) == 3


@pytest.mark.parametrize("size", [(1, 1), (37, 50), (70, 64), (130, 20)])
def test_any_size_is_served(away: Defence, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = served(away, image, model="amber", prompt_id=None)
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).max() <= 4


def test_a_profile_brings_it_back(away: Defence) -> None:
    profile = away.profile()
    with np.load(io.BytesIO(profile), allow_pickle=False) as file:
        assert file.files
    again = Defence.parse(FAST + ",objective=away)", 7).with_profile(profile)
    image = pixels("dune", "lamp", 5)
    known = {"model": "dune", "prompt_id": "lamp"}
    np.testing.assert_array_equal(served(again, image, **known), served(away, image, **known))


def test_restarts_keep_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    from whodrew.defend.torch_descent import Descent

    image = pixels("amber", "cat", 9)
    found: list[Any] = []
    losses = iter([3.0, 1.0, 2.0])

    def tried(self: Descent, candidate: Pixels, *_: Any) -> float:
        found.append(candidate)
        return next(losses)

    class Bright:
        def loss(self, images: Any) -> Any:
            return -images.sum((1, 2, 3))

    monkeypatch.setattr(Descent, "_tried", tried)
    descent = Descent(4, "linf", 2, restarts=3)
    kept = descent(image, [Bright()], np.random.default_rng(0))  # type: ignore[list-item]
    assert len(found) == 3
    assert kept is found[1]


def test_networks_of_the_hubs_kind_take_part(tmp_path: Path) -> None:
    folder = make_clip(tmp_path / "clip")
    defence = fitted(f"perturb(encoders=clip:{folder}|fingerprint,steps=3)")
    spaces = stage_of(defence)._learnt.spaces
    assert [len(one.weights) for one in spaces] == [24, 1632]
    image = pixels("amber", "cat", 9)
    found = served(defence, image, model="amber", prompt_id="cat")
    assert (found != image).any()


def test_unlabelled_pictures_are_counted() -> None:
    stage = Perturb(encoders="fingerprint")
    some = [*arena(), Example(Picture.of(pixels("amber", "boat", 3)))]
    fit = stage.fit(lambda: some)
    assert int(fit.state()["unlabelled"]) == 1
    with pytest.raises(UsageError, match="1 more have no model"):
        stage.fit(lambda: some[-1:])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("perturb(eps=0)", "eps=0 is out of range: 1 to 64"),
        ("perturb(norm=l1)", "none of linf, l2"),
        ("perturb(objective=near)", "none of away, decoy, crowd, contrastive"),
        ("perturb(encoders=fingerprnt)", "did you mean fingerprint"),
        ("perturb(encoders=|)", "name one"),
        ("perturb(steps=0)", "steps=0 is out of range"),
        ("perturb(restarts=0)", "restarts=0 is out of range"),
        ("perturb(objective=away,decoys=dune)", "decoys are for objective=decoy"),
        ("universal(size=8)", "size=8 is out of range"),
        ("universal(norm=max)", "none of linf, l2"),
        ("universal(encoders=fingerprnt)", "did you mean fingerprint"),
    ],
)
def test_wrong_settings_are_refused(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Defence.parse(spec)


def test_what_cannot_be_served_is_said(away: Defence) -> None:
    picture = Picture.of(pixels("amber", "boat", 0))
    with pytest.raises(UsageError, match="must see the arena first"):
        Defence.parse("perturb").changed(picture, model="amber")
    with pytest.raises(UsageError, match="must know which model"):
        away.changed(picture)
    with pytest.raises(UsageError, match="has not seen model 'elm'"):
        away.changed(picture, model="elm")
    with pytest.raises(UsageError, match="has no gradients"):
        Perturb(encoders="copy:jpeg-75:fingerprint").fit(arena)
    with pytest.raises(UsageError, match="'elm' was not among"):
        Perturb(encoders="fingerprint", objective="decoy", decoys="elm").fit(arena)


# ---------------------------------------------------------------- universal


@pytest.fixture(scope="module")
def tiles() -> Defence:
    return fitted("universal(encoders=fingerprint,steps=12,size=32,objective=away)")


def test_one_change_a_model_moves_pictures_it_has_not_seen(tiles: Defence, away: Defence) -> None:
    changes = stage_of(tiles).state()["changes"]
    assert changes.shape == (4, 32, 32, 3)
    assert changes.dtype == np.int8
    assert 1 < np.abs(changes.astype(int)).max() <= 6
    space = stage_of(away)._learnt.spaces[0]
    gains = []
    for row, model in enumerate(MODELS):
        own = space.centroids[row]
        for seed in (11, 12):
            image = pixels(model, "moon", seed)
            found = served(tiles, image, model=model)
            np.testing.assert_array_equal(
                found,
                np.clip(image.astype(int) + np.tile(changes[row], (2, 2, 1)), 0, 255),
            )
            before, after = seen(space, image), seen(space, found)
            gains.append(np.linalg.norm(after - own) - np.linalg.norm(before - own))
    assert np.mean(gains) > 0.1 * space.apart


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 100)])
def test_tiles_cover_any_size(size: tuple[int, int]) -> None:
    tile = np.arange(8 * 8 * 3).reshape(8, 8, 3).astype(np.int8)
    found = covering(tile, *size)
    assert found.shape == (*size, 3)
    for y, x in ((0, 0), (size[0] - 1, size[1] - 1)):
        np.testing.assert_array_equal(found[y, x], tile[y % 8, x % 8])


@pytest.mark.parametrize("objective", ["decoy", "crowd", "contrastive"])
def test_universal_l2_keeps_its_budget_on_parts_of_tiles(objective: str) -> None:
    defence = fitted(
        f"universal(encoders=fingerprint,steps=4,size=48,norm=l2,eps=2,objective={objective})"
    )
    image = np.full((50, 70, 3), 128, np.uint8)
    change = served(defence, image, model="cedar").astype(float) - image
    assert 1 < np.sqrt(np.mean(change**2)) <= 2 * (1 + 1e-9)


def test_universal_is_fitted_the_same_again() -> None:
    stage = Universal(encoders="fingerprint", steps=2, size=16)
    some = list(arena())[::3]
    one, two = (stage.fit(lambda: some).state()["changes"] for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_universal_serves_without_torch(tiles: Defence, tmp_path: Path) -> None:
    profile = tmp_path / "profile.npz"
    profile.write_bytes(tiles.profile())
    image = pixels("amber", "road", 1)
    np.save(tmp_path / "image.npy", image)
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from whodrew.defend import Defence, Picture\n"
        f"defence = Defence.parse({tiles.spec!r}).with_profile({str(profile)!r})\n"
        f"picture = Picture.of(np.load({str(tmp_path / 'image.npy')!r}))\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, defence.changed(picture, model='amber').pixels)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    np.testing.assert_array_equal(
        np.load(tmp_path / "out.npy"), served(tiles, image, model="amber")
    )


def test_universal_says_what_it_lacks(tiles: Defence) -> None:
    picture = Picture.of(pixels("amber", "boat", 0))
    with pytest.raises(UsageError, match="must know which model"):
        tiles.changed(picture)
    with pytest.raises(UsageError, match="has not seen model 'elm'"):
        tiles.changed(picture, model="elm")
    state = dict(stage_of(tiles).state())
    stage = Universal(size=32)
    loud = {**state, "changes": np.full_like(state["changes"], 7)}
    for bad in ({}, {**state, "changes": state["changes"][:2]}, loud):
        with pytest.raises(InputError, match="fit again"):
            stage.with_state(bad)


def test_fitted_stages_travel_to_other_processes(away: Defence, tiles: Defence) -> None:
    image = Picture.of(pixels("dune", "road", 2))
    for defence in (away, tiles):
        again = pickle.loads(pickle.dumps(defence))  # noqa: S301
        known = {"model": "dune", "prompt_id": None}
        np.testing.assert_array_equal(
            again.changed(image, **known).pixels, defence.changed(image, **known).pixels
        )
