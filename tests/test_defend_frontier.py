"""The frontier on a tiny arena: its figures, its object, and what it keeps for next time."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from drawn import MODELS, PROMPTS, draw, nulls, pixels, save, strict_json
from whodrew.arena import read_arena
from whodrew.defend import DEFENCES, Picture, Shown
from whodrew.defend.attackers import ROBUST, STRONG
from whodrew.defend.frontier import PURIFIERS, frontier
from whodrew.defend.frontier_result import TABLE, Frontier, Point, recommend
from whodrew.defend.quality import QualityMedians
from whodrew.defend.usable import usable
from whodrew.encoders import registry
from whodrew.encoders.base import EncoderCard
from whodrew.errors import InputError, MissingExtraError, UsageError
from whodrew.identify.base import Option
from whodrew.identify.contrastive import Contrastive
from whodrew.identify.contrastive_train import Training
from whodrew.identify.whitened import WhitenedCentroid
from whodrew.report.frontier import write_frontier

SIDE = 48
ATTACKERS = {"unchanged", "adaptive", "unseen-encoder", "purifying", "contrastive", "fused"}


class Eye:
    """Twelve plain statistics; counts what it is shown, and may be made to fail."""

    shown: ClassVar[list[int]] = []
    fails_after: ClassVar[int | None] = None
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str = "eye", turned: bool = False) -> None:
        self.turned = turned
        self.card = EncoderCard(name, "1", 12, "standardise", "native pixels")

    def encode(self, images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        with self.lock:
            self.shown.extend([len(images)])
            if self.fails_after is not None and sum(self.shown) > self.fails_after:
                raise RuntimeError("the power went out")
        return np.stack([self._one(one.astype(np.float64)) for one in images]).astype(np.float32)

    def _one(self, image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        across = np.diff(image, axis=1)
        down = np.diff(image, axis=0)
        found = np.concatenate(
            [
                image.mean(axis=(0, 1)),
                image.std(axis=(0, 1)),
                np.log(np.square(across).mean(axis=(0, 1)) + 1),
                np.log(np.square(down).mean(axis=(0, 1)) + 1),
            ]
        )
        return found[::-1] + found if self.turned else found


class Tint(Eye):
    """The mean of each channel, and nothing else."""

    def __init__(self) -> None:
        self.card = EncoderCard("tint", "1", 3, "standardise", "native pixels")

    def _one(self, image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(image.mean(axis=(0, 1)))


@dataclass(frozen=True)
class Negate:
    """Every picture as its negative: what an attacker can do, too."""

    name: ClassVar[str] = "negate"
    random: ClassVar[bool] = False

    @property
    def budget(self) -> dict[str, float | int | str]:
        return {"levels": 255}

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        return Picture.of(255 - picture.pixels)


class Brief(WhitenedCentroid):
    """Chooses among fewer strengths, for the sake of time."""

    def options(self, *, matched: bool) -> tuple[Option, ...]:
        return super().options(matched=matched)[:: 29 if matched else 3]


def register(patch: pytest.MonkeyPatch) -> None:
    """Registers the eyes and the negative, and makes attackers quick, while the patch lasts."""
    quick = {STRONG: Brief(), ROBUST: Contrastive(Training(steps=0))}
    patch.setattr("whodrew.defend.attackers.get_identifier", quick.__getitem__)
    for held in (registry.ENCODERS, DEFENCES):
        patch.setattr(held, "_entries", dict(vars(held)["_entries"]))
        patch.setattr(held, "_loaded", dict(vars(held)["_loaded"]))
    registry.ENCODERS.register("eye", "a test's")(Eye)
    registry.ENCODERS.register("other-eye", "a test's")(lambda: Eye("other-eye", turned=True))
    registry.ENCODERS.register("tint", "a test's")(Tint)
    DEFENCES.register("negate", "a test's")(Negate)


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> type[Eye]:
    register(monkeypatch)
    monkeypatch.setattr(Eye, "fails_after", None)
    Eye.shown.clear()
    return Eye


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("frontier") / "arena"
    return draw(root, MODELS[:3], PROMPTS[:5], 2, side=SIDE)


def run(arena: Any, *specs: str, **more: Any) -> Frontier:
    settings: dict[str, Any] = {
        "encoders": ("eye",),
        "unseen": "",
        "draws": 2,
        "fewer": 1,
        "quality": 4,
        "knowledge": "other",
        "workers": 2,
    }
    return frontier(read_arena(arena), specs, **(settings | more))


def figures(faced: Any, **wanted: Any) -> list[float]:
    """Returns the shares named by attackers that are and know what is wanted."""
    return [
        one.top1.value
        for one in faced
        if one.top1.value is not None
        and all((getattr(one, key, None) or one.knowledge.get(key)) == value
               for key, value in wanted.items())
    ]  # fmt: skip


# ---------------------------------------------------------------- the object
@pytest.fixture(scope="module")
def whole(arena: Path) -> Frontier:
    specs = ("canonical(size=32)", "canonical(size=32)+noise(sigma=20)")
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        return run(arena, *specs, unseen="other-eye", fewer=2, knowledge="auto")


def test_it_is_the_object_of_the_contract(whole: Frontier) -> None:
    values = whole.to_dict()
    assert set(values) >= {"schema", "arena", "chance", "undefended", "points", "recommendation"}
    assert values["schema"] == "whodrew.frontier/1"
    assert values["chance"] == pytest.approx(1 / 3)
    assert set(values["recommendation"]) >= {"defence", "why"}
    for one in values["undefended"]:
        assert set(one) >= {"attacker", "encoder", "identifier", "knowledge", "top1"}
    for point in values["points"]:
        assert set(point) >= {
            "defence", "budget", "quality", "milliseconds_per_image", "attackers", "strongest",
        }  # fmt: skip
        assert set(point["quality"]) >= {"psnr", "ssim", "lpips", "max_change", "against"}
        assert point["milliseconds_per_image"] > 0
        assert {one["attacker"] for one in point["attackers"]} == ATTACKERS
        assert set(point["strongest"]) >= {"attacker", "encoder", "knowledge", "top1"}
    reasons = {f"{name}_reason" for name in ("lpips", "low", "high", "ranking", "learnt_from")}
    for at, holder, name in nulls(values):
        if name != "defence":
            assert holder.get(f"{name}_reason"), f"{at}.{name}"
            assert f"{name}_reason" in reasons or name in ("psnr", "ssim")


def test_every_attacker_says_what_it_has(whole: Frontier) -> None:
    point = whole.points[1]
    for kind in ATTACKERS:
        has = [one.knowledge for one in point.attackers if one.attacker == kind]
        # cells of several generations: under both kinds of knowledge, shown both ways
        assert {(one["prompts"], one["shown"]) for one in has} == {
            (prompts, shown) for prompts in ("other", "matched") for shown in ("any", "each-once")
        }
    kinds = {kind: [one for one in point.attackers if one.attacker == kind] for kind in ATTACKERS}
    assert {one.knowledge["draws"] for one in kinds["unchanged"]} == {0}
    assert {one.knowledge["draws"] for one in kinds["adaptive"]} == {1, 2}
    assert {one.encoder for one in kinds["adaptive"]} == {"eye"}
    assert {one.encoder for one in kinds["unseen-encoder"]} == {"other-eye"}
    assert {one.knowledge["purified"] for one in kinds["purifying"]} == set(PURIFIERS)
    assert {one.identifier for one in kinds["contrastive"]} == {"contrastive"}
    assert {one.encoder for one in kinds["fused"]} == {"eye+other-eye"}
    # what is not random has one draw, however many are asked for
    assert {one.knowledge["draws"] for one in whole.points[0].attackers} == {0, 1}


def test_undefended_images_meet_every_attacker_that_needs_no_defence(whole: Frontier) -> None:
    def met(faced: Any) -> set[tuple[Any, ...]]:
        plain = {"adaptive": "undefended", "unseen-encoder": "undefended"}
        return {
            (
                plain.get(one.attacker, one.attacker),
                one.encoder,
                one.identifier,
                *(one.knowledge.get(key) for key in ("prompts", "shown", "purified")),
            )
            for one in faced
            if one.attacker != "unchanged"
        }

    assert met(whole.undefended) == met(whole.points[1].attackers)
    assert len(met(whole.undefended)) == len(whole.undefended) == 2 * 2 * (2 + len(PURIFIERS) + 2)
    for one in whole.undefended:
        assert one.knowledge["draws"] == 0
        assert one.knowledge.get("copies", len(PURIFIERS)) == len(PURIFIERS)
        assert one.top1.value is not None


def test_the_strongest_is_the_most_that_any_attacker_names(whole: Frontier) -> None:
    for point in whole.points:
        alone = figures(point.attackers, shown="any")
        assert point.strongest is not None
        assert point.strongest.knowledge["shown"] == "any"
        assert point.strongest.top1.value == point.top1 == max(alone)
        assert len({one.knowledge["shown"] for one in point.attackers}) == 2


def test_the_table_holds_every_attacker(whole: Frontier) -> None:
    table = whole.to_table()
    assert table.schema == TABLE
    assert table.num_rows == len(whole.undefended) + sum(
        len(point.attackers) for point in whole.points
    )
    top = max(
        row["top1"]
        for row in table.to_pylist()
        if row["defence"] == whole.points[0].defence and row["shown"] == "any"
    )
    assert top == whole.points[0].top1


def test_what_is_written_is_what_was_found(whole: Frontier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    page = write_frontier(whole, out)
    assert page == out / "report.html"
    written = strict_json((out / "frontier.json").read_text())
    assert written == strict_json(json.dumps(whole.to_dict()))
    assert pq.read_table(out / "tables" / "frontier.parquet").equals(whole.to_table())
    assert {str(one.relative_to(out)) for one in out.rglob("*") if one.is_file()} == {
        "frontier.json", "report.html", "tables/frontier.parquet",
    }  # fmt: skip
    assert page.read_text().count("data:image/webp") == sum(
        2 + bool(one.difference) for point in whole.points for one in point.pairs
    )


# ---------------------------------------------------------------- the figures
def test_doing_nothing_leaves_what_undefended_images_give(arena: Path) -> None:
    found = run(arena, "resample(factor=1)")
    (point,) = found.points
    for way in ("any", "each-once"):
        (before,) = figures(found.undefended, shown=way, attacker="undefended")
        assert figures(point.attackers, shown=way, attacker="adaptive") == [before]
        assert figures(point.attackers, shown=way, attacker="unchanged") == [before]
        for kind in ("purifying", "contrastive"):
            wanted = {"shown": way, "attacker": kind}
            assert figures(point.attackers, **wanted) == figures(found.undefended, **wanted) != []
    assert (point.quality.ssim, point.quality.max_change) == (1.0, 0.0)
    assert point.quality.psnr is None
    assert found.recommendation["defence"] is None


def test_a_change_that_all_share_blinds_only_who_does_not_know_it(arena: Path) -> None:
    found = run(arena, "negate", shown="any", encoders=("tint",))
    (point,) = found.points
    (before,) = figures(found.undefended, attacker="undefended")
    (adaptive,) = figures(point.attackers, attacker="adaptive")
    (unchanged,) = figures(point.attackers, attacker="unchanged")
    assert before > 0.8
    assert adaptive == pytest.approx(before, abs=0.1)
    assert unchanged < adaptive - 0.3
    assert point.top1 is not None
    assert point.top1 >= adaptive
    assert found.recommendation["defence"] is None  # it only looks like one


def test_what_is_shown_is_not_what_the_attacker_draws(
    arena: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's secret is not the attacker's: no draw is the picture that is shown."""
    from whodrew.defend import frontier as room

    seen: list[Any] = []
    look = room.Watcher.see

    def see(self: Any, *words: Any) -> Any:
        found = look(self, *words)
        seen.append((words[0], found))
        return found

    monkeypatch.setattr(room.Watcher, "see", see)
    run(arena, "noise(sigma=12)")
    (_, native), (_, noisy) = seen
    assert all(len(one) == 0 for one in native.references.values())
    for key, query in noisy.query.items():
        assert (np.abs(noisy.references[key] - query) > 1e-4).any(axis=2).all()
        draws = noisy.references[key]
        assert all((np.abs(draws[0] - one) > 1e-4).any() for one in draws[1:])
    assert len(noisy.references[":eye"]) == 2


def test_it_is_the_same_under_the_same_seed(arena: Path) -> None:
    def told(seed: int) -> dict[str, Any]:
        values = run(arena, "noise(sigma=12)", seed=seed).to_dict()
        for point in values["points"]:
            del point["milliseconds_per_image"]
        del values["recommendation"]
        return values

    assert told(0) == told(0)
    assert told(1)["points"] != told(0)["points"]


@pytest.mark.parametrize("spec", ["crowd(strength=1)", "jitter", "canonical(size=32)+crowd+jitter"])
def test_stages_that_learn_and_draw(arena: Path, spec: str) -> None:
    found = run(arena, spec, shown="any")
    (point,) = found.points
    assert point.defence == spec
    assert point.quality.ssim is not None
    assert 0.3 < point.quality.ssim < 1
    assert len(point.pairs) == 3


def test_without_what_an_unseen_encoder_needs(arena: Path) -> None:
    def lacks() -> Any:
        raise MissingExtraError("encoder 'lacking'", "torch")

    registry.ENCODERS.register("lacking", "a test's")(lacks)
    found = run(arena, "canonical(size=32)", unseen="lacking")
    values = found.to_dict()["points"][0]
    for kind in ("unseen-encoder", "fused"):
        (one,) = [one for one in values["attackers"] if one["attacker"] == kind]
        assert one["top1"] is None
        assert "whodrew[torch]" in one["top1_reason"]
    assert values["strongest"]["top1"]["value"] > 0


def test_several_encoders(arena: Path) -> None:
    found = run(arena, "noise(sigma=5)", encoders=("eye", "other-eye"), shown="any")
    plain = [one for one in found.undefended if one.attacker == "undefended"]
    assert [one.encoder for one in plain] == ["eye", "other-eye"]
    kinds = {(one.attacker, one.encoder) for one in found.points[0].attackers}
    assert ("fused", "eye+other-eye") in kinds
    assert ("adaptive", "eye") in kinds
    assert ("unseen-encoder", "other-eye") in kinds


# ---------------------------------------------------------------- going on
def test_a_second_run_encodes_nothing(arena: Path, tmp_path: Path, parts: type[Eye]) -> None:
    specs, cache = ("canonical(size=32)", "noise(sigma=9)"), tmp_path / "cache"
    first = run(arena, *specs, cache=cache).to_dict()
    assert sum(parts.shown) > 30
    parts.shown.clear()
    assert run(arena, *specs, cache=cache).to_dict() == first
    assert parts.shown == []
    again = run(arena, *specs).to_dict()
    assert [one["attackers"] for one in again["points"]] == [
        one["attackers"] for one in first["points"]
    ]


@pytest.mark.parametrize(
    "change",
    [{"specs": ("noise(sigma=9.5)",)}, {"seed": 1}, {"draws": 3}, {"encoders": ("other-eye",)}],
    ids=["spec", "seed", "draws", "encoder"],
)
def test_what_changed_is_not_taken_from_the_cache(
    arena: Path, tmp_path: Path, parts: type[Eye], change: dict[str, Any]
) -> None:
    cache = tmp_path / "cache"
    run(arena, "noise(sigma=9)", cache=cache, shown="any")
    parts.shown.clear()
    specs = change.pop("specs", ("noise(sigma=9)",))
    kept = run(arena, *specs, cache=cache, shown="any", **change).to_dict()
    assert sum(parts.shown) >= 30
    fresh = run(arena, *specs, shown="any", **change).to_dict()
    assert [one["attackers"] for one in kept["points"]] == [
        one["attackers"] for one in fresh["points"]
    ]


def test_images_that_changed_are_not_taken_from_the_cache(
    arena: Path, tmp_path: Path, parts: type[Eye]
) -> None:
    changing, cache = shutil.copytree(arena, tmp_path / "arena"), tmp_path / "cache"
    run(changing, "noise(sigma=9)", cache=cache, shown="any")
    for path in sorted((changing / "amber").rglob("*.png")):
        save(path, pixels("dune", path.parent.name, path.stem, SIDE))
    parts.shown.clear()
    kept = run(changing, "noise(sigma=9)", cache=cache, shown="any").to_dict()
    fresh = run(changing, "noise(sigma=9)", shown="any").to_dict()
    assert sum(parts.shown) > 0
    assert kept["points"][0]["attackers"] == fresh["points"][0]["attackers"]


def test_a_killed_run_goes_on(
    arena: Path, tmp_path: Path, parts: type[Eye], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodrew.defend.draws.SHARE", 5)
    cache = tmp_path / "cache"
    whole = run(arena, "noise(sigma=9)", cache=tmp_path / "other").to_dict()
    most = sum(parts.shown)
    parts.shown.clear()
    monkeypatch.setattr(parts, "fails_after", most // 2)
    with pytest.raises(RuntimeError, match="power"):
        run(arena, "noise(sigma=9)", cache=cache)
    assert not list(cache.glob("*.tmp"))
    monkeypatch.setattr(parts, "fails_after", None)
    parts.shown.clear()
    found = run(arena, "noise(sigma=9)", cache=cache).to_dict()
    assert 0 < sum(parts.shown) < 0.8 * most
    assert found["points"][0]["attackers"] == whole["points"][0]["attackers"]
    assert found["undefended"] == whole["undefended"]


def test_a_share_that_was_cut_short_is_made_again(
    arena: Path, tmp_path: Path, parts: type[Eye]
) -> None:
    cache = tmp_path / "cache"
    first = run(arena, "noise(sigma=9)", cache=cache).to_dict()
    for path in cache.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    parts.shown.clear()
    again = run(arena, "noise(sigma=9)", cache=cache).to_dict()
    assert again["points"][0]["attackers"] == first["points"][0]["attackers"]
    assert sum(parts.shown) > 0


# ---------------------------------------------------------------- which images
def test_whole_prompts_and_models_are_chosen_by_seed(arena: Path) -> None:
    found = [usable(read_arena(arena), 12, 2, seed) for seed in range(6)]
    for one in found:
        rows = one.arena.images.to_pylist()
        assert len(rows) == 12
        assert len({row["model"] for row in rows}) == 2
        prompts = {row["prompt_id"] for row in rows}
        assert len(prompts) * 4 == 12
        assert len(one.notes) == 2
    chosen = {tuple(one.arena.images["item"].to_pylist()) for one in found}
    assert len(chosen) > 1
    again = usable(read_arena(arena), 12, 2, 0)
    assert again.arena.images.equals(found[0].arena.images)
    every = usable(read_arena(arena), 0, 0, 0)
    assert (len(every.arena), every.notes) == (30, ())


def test_twins_and_what_cannot_be_read_take_no_part(arena: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(arena, tmp_path / "arena")
    first = spoilt / "amber" / "boat" / "0.png"
    (spoilt / "birch" / "cat" / "1.png").write_bytes(first.read_bytes())
    (spoilt / "cedar" / "hill" / "0.png").write_bytes(b"no image")
    found = usable(read_arena(spoilt), 0, 0, 0)
    assert len(found.arena) == 28
    assert [one.item for one in found.bad] == ["cedar/hill/0.png"]
    assert any(note.startswith("1 duplicate") for note in found.notes)
    items = found.arena.images["item"].to_pylist()
    assert "amber/boat/0.png" in items
    assert "birch/cat/1.png" not in items


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"draws": 0}, "--draws 0 is less than 1"),
        ({"fewer": 0}, "--fewer-draws 0 is less than 1"),
        ({"quality": 0}, "--quality-images 0 is less than 1"),
        ({"folds": 0}, "--folds 0 is less than 1"),
        ({"images": -1}, "--images -1 is less than 0"),
        ({"models": 1}, "--models 1 leaves nothing to tell apart"),
        ({"encoders": ("nobody",)}, "nobody"),
    ],
)
def test_options_that_cannot_be_served(arena: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(arena, "noise", **change)


def test_what_cannot_be_measured_is_refused(arena: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one defence"):
        run(arena)
    with pytest.raises(UsageError, match="nothing-such"):
        run(arena, "nothing-such")
    lone = draw(tmp_path / "lone", MODELS[:1], PROMPTS[:3], 1, side=SIDE)
    with pytest.raises(InputError, match="1 model with readable images"):
        run(lone, "noise")
    single = draw(tmp_path / "single", MODELS[:2], PROMPTS[:3], 1, side=SIDE)
    with pytest.raises(InputError, match="use --knowledge other"):
        run(single, "noise", knowledge="matched")
    prompt = draw(tmp_path / "prompt", MODELS[:2], PROMPTS[:1], 2, side=SIDE)
    with pytest.raises(InputError, match="use --knowledge matched"):
        run(prompt, "noise", knowledge="other")


def test_the_same_defence_twice_counts_once(arena: Path) -> None:
    found = run(arena, "noise(sigma=2)", "noise", "noise(sigma=2)", shown="any")
    assert [one.defence for one in found.points] == ["noise"]


# ---------------------------------------------------------------- the recommendation
Maker = Callable[..., Point]


@pytest.fixture
def point(whole: Frontier) -> Maker:
    """Makes points of a SPEC, a strongest figure and an SSIM."""

    def make(spec: str, top1: float, ssim: float | None, high: float | None = None) -> Point:
        sample = whole.points[0]
        assert sample.strongest is not None
        rate = replace(sample.strongest.top1, value=top1, low=top1, high=high or top1)
        return replace(
            sample,
            defence=spec,
            quality=QualityMedians(4, 30.0, ssim, None, 9.0, {"lpips": "none"}),
            strongest=replace(sample.strongest, top1=rate),
        )

    return make


def test_the_best_of_those_that_keep_the_picture(whole: Frontier, point: Maker) -> None:
    before = [replace(whole.undefended[0], top1=replace(whole.undefended[0].top1, value=0.9))]
    some = [point("a", 0.3, 0.8), point("b", 0.5, 0.95), point("c", 0.6, 0.99)]
    assert recommend(some, before, 0.1, SIDE)["defence"] == "b"
    close = [point("b", 0.5, 0.91, high=0.62), point("c", 0.6, 0.99)]
    assert recommend(close, before, 0.1, SIDE)["defence"] == "c"
    sizes = [point("resized", 0.4, None), *some]
    assert recommend(sizes, before, 0.1, SIDE)["defence"] == "resized"
    said = recommend(some[:1], before, 0.1, SIDE)
    assert said["defence"] is None
    assert "30.0 %" in said["why"]
    weak = recommend([point("d", 0.85, 0.99)], before, 0.1, SIDE)
    assert weak["defence"] is None
    assert "No defence takes a tenth off" in weak["why"]
    small = [replace(point("b", 0.1, 0.99), side=SIDE / 2 - 1), point("c", 0.5, 0.95)]
    assert recommend(small, before, 0.1, SIDE)["defence"] == "c"
    shrunk = recommend(small[:1], before, 0.1, SIDE)
    assert shrunk["defence"] is None
    assert "less than half of their 48 pixels" in shrunk["why"]
    assert recommend([], before, 0.1, SIDE) == {
        "defence": None,
        "why": "Nothing could be measured.",
    }
