"""Stages that learn: no image meets what was learnt from its own prompt."""

from __future__ import annotations

import shutil
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import MODELS, PROMPTS, Shell, draw, pixels, save, schema_errors, strict_json
from test_defend_frontier import SIDE, Eye, figures, register, run
from test_frontier_command import QUICK
from whodrew.arena import decode, read_arena, read_image_bytes
from whodrew.defend import DEFENCES, Defence, Example, Picture, Shown, Stage
from whodrew.defend.arena_work import examples
from whodrew.defend.base import State
from whodrew.defend.draws import Watcher
from whodrew.defend.frontier_folds import APART, WITHIN, deal, fitted
from whodrew.encoders import registry
from whodrew.errors import UsageError
from whodrew.report.frontier import write_frontier

ALL = tuple(sorted(PROMPTS[:5]))


@dataclass(frozen=True)
class Witness:
    """Remembers the prompts it was fitted on, and writes down which images then meet it.

    With an ``amount`` it tints each model in a way that follows from what it saw.
    """

    amount: float = 0.0
    strict: bool = False
    refuses: bool = False
    _saw: tuple[str, ...] | None = field(default=None, compare=False)
    _models: tuple[str, ...] = field(default=(), compare=False)
    name: ClassVar[str] = "witness"
    random: ClassVar[bool] = True
    met: ClassVar[list[tuple[str | None, str | None, tuple[str, ...]]]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()

    @property
    def budget(self) -> dict[str, float | int | str]:
        return {"of_255": self.amount}

    @property
    def fitted(self) -> bool:
        return self._saw is not None

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Stage:
        seen = [(one.prompt_id or "", one.model or "") for one in examples()]
        prompts, models = (tuple(sorted(set(names))) for names in zip(*seen, strict=True))
        return replace(self, _saw=prompts, _models=models)

    def state(self) -> State:
        assert self._saw is not None
        return {"saw": np.array(self._saw), "models": np.array(self._models)}

    def with_state(self, state: State) -> Stage:
        return replace(
            self, _saw=tuple(state["saw"].tolist()), _models=tuple(state["models"].tolist())
        )

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        assert self._saw is not None
        unknown = self.strict and shown.model not in self._models
        if unknown or (self.refuses and shown.prompt_id == ALL[0]):
            raise UsageError(f"witness has not seen model {shown.model!r}")
        with self.lock:
            self.met.append((shown.model, shown.prompt_id, self._saw))
        if not self.amount:
            return picture
        rng = np.random.default_rng(zlib.crc32(repr((self._saw, shown.model)).encode()))
        tint = self.amount * rng.uniform(-1, 1, 3)
        return Picture.of(np.clip(picture.pixels + tint, 0, 255).astype(np.uint8))


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    DEFENCES.register("witness", "a test's")(Witness)
    monkeypatch.setattr(Eye, "fails_after", None)
    # one way to purify is as good as four for what is asked here
    monkeypatch.setattr("whodrew.defend.frontier_run.PURIFIERS", ("jpeg-75",))
    Eye.shown.clear()
    Witness.met.clear()


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folds") / "arena"
    return draw(root, MODELS[:2], PROMPTS[:5], 2, side=SIDE)


def quick(arena: Any, *specs: str, **more: Any) -> Any:
    return run(arena, *specs, **({"shown": "any", "encoders": ("tint",)} | more))


# ---------------------------------------------------------------- who meets what
@pytest.mark.parametrize("folds", [2, 4, 5])
def test_no_image_meets_what_saw_its_prompt(arena: Path, folds: int) -> None:
    found = quick(arena, "witness", folds=folds)
    images, draws, pairs = 20, 2, 3
    apart = [(prompt, saw) for _, prompt, saw in Witness.met if prompt not in saw]
    within = [(prompt, saw) for _, prompt, saw in Witness.met if prompt in saw]
    # what is shown, all draws of it, and the pairs; were one of them not, it would be missing
    assert len(apart) == images * (1 + draws) + pairs
    # a reference of the attacker's under each profile that others meet, which may have seen it
    assert len(within) == images * (folds - 1)
    assert max(Counter(within).values()) == 2 * 2  # models and generations: once each
    assert {prompt for prompt, _ in apart} == set(ALL)
    held: dict[tuple[str, ...], set[str | None]] = {}
    for prompt, saw in apart:
        held.setdefault(saw, set()).add(prompt)
    assert len(held) == folds
    for saw, prompts in held.items():
        # all that is not left out was learnt from
        assert sorted({*saw, *prompts}) == list(ALL)
        assert len(saw) + len(prompts) == len(ALL)
    (point,) = found.points
    assert point.learnt_from == point.to_dict()["learnt_from"] == APART == "other prompts"
    assert any(f"{folds - 1} of {folds} folds" in note for note in found.arena["notes"])


def test_one_fold_learns_from_all_and_says_so(arena: Path, tmp_path: Path) -> None:
    found = quick(arena, "witness", "noise(sigma=4)", folds=1)
    assert {saw for _, _, saw in Witness.met} == {ALL}
    values = found.to_dict()
    assert [one["learnt_from"] for one in values["points"]] == [WITHIN, None]
    assert values["points"][0]["learnt_from"] == "the same images"
    assert values["points"][1]["learnt_from_reason"] == "no stage of it learns"
    assert schema_errors("frontier-1", values) == []
    assert any("in-sample" in note for note in found.arena["notes"])
    page = write_frontier(found, tmp_path / "out").read_text()
    assert page.count("in-sample: learnt from") == 1
    apart = write_frontier(quick(arena, "witness"), tmp_path / "apart").read_text()
    assert "in-sample" not in apart
    assert "learnt without its prompt" in apart


def test_more_folds_than_prompts_leave_one_prompt_out_each(arena: Path) -> None:
    found = quick(arena, "witness", folds=99)
    apart = {(prompt, saw) for _, prompt, saw in Witness.met if prompt not in saw}
    assert apart == {(prompt, tuple(one for one in ALL if one != prompt)) for prompt in ALL}
    (note,) = [one for one in found.arena["notes"] if "--folds 99" in one]
    assert "4 of 5 folds" in note
    assert schema_errors("frontier-1", found.to_dict()) == []


def test_one_prompt_can_only_be_measured_in_sample(tmp_path: Path) -> None:
    class Plain(Eye):
        def __init__(self) -> None:
            super().__init__("plain")
            self.card = replace(self.card, scale="unit")  # nothing is fitted on other prompts

    registry.ENCODERS.register("plain", "a test's")(Plain)
    lone = draw(tmp_path / "lone", MODELS[:2], PROMPTS[:1], 3, side=SIDE)
    found = quick(lone, "witness", knowledge="matched", encoders=("plain",))
    assert {saw for _, _, saw in Witness.met} == {PROMPTS[:1]}
    assert found.points[0].learnt_from == WITHIN
    assert any("there is one prompt" in note for note in found.arena["notes"])


def test_a_profile_is_what_the_other_folds_teach(arena: Path, tmp_path: Path) -> None:
    opened = read_arena(arena)
    rows = opened.images.to_pylist()
    fold = deal([row["prompt_id"] for row in rows], 2, 7)
    told: list[tuple[int, int]] = []
    defence = Defence.parse("crowd+colour-match")

    def place(_: Defence, images: Any) -> Path:
        return tmp_path / "-".join(map(str, images.tolist()))

    found = fitted(defence, opened, fold, 2, lambda *n: told.append(n), place)
    assert told == [(1, 2), (2, 2)]
    whole = list(examples(opened, 1))
    for one, profile in enumerate(found.profiles):
        others = [e for e, number in zip(whole, fold.tolist(), strict=True) if number != one]
        assert 0 < len(others) < len(whole)
        by_hand = Defence.parse("crowd+colour-match").fit(lambda kept=others: kept)  # type: ignore[misc]
        for stage, same in zip(profile.stages, by_hand.stages, strict=True):
            np.testing.assert_allclose(stage.state()["crowd"], same.state()["crowd"])  # type: ignore[attr-defined]
    for at, number in enumerate(fold.tolist()):
        assert found.of(at) is found.profiles[number]


def test_a_defence_that_learns_nothing_has_one_profile(arena: Path) -> None:
    opened = read_arena(arena)
    noise = Defence.parse("noise")
    fold = np.arange(len(opened)) % 2
    found = fitted(
        noise, opened, fold, 1, lambda *_: pytest.fail("nothing to learn"), lambda *_: Path()
    )
    assert (found.profiles, found.learnt_from) == ((noise,), None)
    assert not found.which.any()


@pytest.mark.parametrize("folds", [1, 3])
def test_what_was_learnt_is_kept(
    arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int
) -> None:
    settings = {"cache": tmp_path / "cache", "folds": folds}
    first = quick(arena, "witness(amount=9)+crowd", **settings)
    profiles = sorted((tmp_path / "cache").glob("profile-*"))
    assert len(profiles) == folds
    fits: list[Any] = []
    fit = Witness.fit

    def counted(self: Witness, examples: Callable[[], Iterable[Example]]) -> Stage:
        fits.append(self)
        return fit(self, examples)

    monkeypatch.setattr(Witness, "fit", counted)
    assert quick(arena, "witness(amount=9)+crowd", **settings).to_dict() == first.to_dict()
    assert not fits
    profiles[0].write_bytes(b"cut")
    assert quick(arena, "witness(amount=9)+crowd", **settings).to_dict() == first.to_dict()
    assert len(fits) == 1
    quick(arena, "witness(amount=8)+crowd", **settings)
    assert len(fits) == 1 + folds


def test_what_was_learnt_through_another_encoder_is_not_taken(
    arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"cache": tmp_path / "cache", "folds": 2}
    monkeypatch.setattr(Witness, "sees", ("eye",), raising=False)
    quick(arena, "witness", **settings)
    kept = set((tmp_path / "cache").iterdir())
    quick(arena, "witness", **settings)
    assert set((tmp_path / "cache").iterdir()) == kept

    class Trained(Eye):
        def __init__(self) -> None:
            super().__init__()
            self.card = replace(self.card, revision="2")

    registry.ENCODERS.register("eye", "a test's")(Trained)
    quick(arena, "witness", **settings)
    more = {one.name.split("-")[0] for one in set((tmp_path / "cache").iterdir()) - kept}
    assert "profile" in more
    assert len(more) > 1


def test_an_image_that_fails_ends_the_draws_of_others(arena: Path) -> None:
    with pytest.raises(UsageError, match="not seen"):
        quick(arena, "witness(refuses=yes)", folds=1, draws=400, workers=2)
    assert len(Witness.met) < 100


# ---------------------------------------------------------------- dealing
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.integers(1, 15),
    st.integers(0, 3),
)
def test_whole_prompts_are_dealt_evenly(counts: list[int], folds: int, seed: int) -> None:
    prompts = [f"p{at}" for at, count in enumerate(counts) for _ in range(count)]
    fold = deal(prompts, folds, seed)
    assert len({(one, two) for one, two in zip(prompts, fold.tolist(), strict=True)}) == len(counts)
    held = Counter(fold.tolist())
    assert sorted(held) == list(range(min(folds, len(counts))))
    assert max(held.values()) - min(held.values()) <= max(counts)
    np.testing.assert_array_equal(fold, deal(prompts, folds, seed))
    # the order of images is nothing to it
    np.testing.assert_array_equal(fold[::-1], deal(prompts[::-1], folds, seed))


def test_the_seed_deals() -> None:
    prompts = [f"p{at}" for at in range(12)]
    assert len({tuple(deal(prompts, 3, seed).tolist()) for seed in range(8)}) > 4


# ---------------------------------------------------------------- what profiles give away
def test_an_attacker_may_keep_to_references_of_the_query_s_profile(tmp_path: Path) -> None:
    """Models that nothing tells apart, but for a tint that each profile gives each model."""
    root = tmp_path / "alike"
    for model in MODELS:
        for prompt in PROMPTS:
            for one in range(2):
                drawn = pixels("amber", prompt, f"{model} {one}", SIDE)
                save(root / model / prompt / f"{one}.png", drawn)
    found = quick(root, "witness(amount=40)", folds=3, draws=1, encoders=("tint", "other-eye"))
    (point,) = found.points
    adaptive = [one for one in point.attackers if one.attacker == "adaptive"]
    (same,) = [one for one in adaptive if one.knowledge.get("profile") == "the query's own"]
    mixed = [one for one in adaptive if "profile" not in one.knowledge]
    assert same.top1.value is not None
    assert same.top1.value > 0.9
    assert max(figures(mixed)) < 0.7
    assert max(figures(found.undefended)) < 0.6
    kinds = {one.attacker for one in point.attackers if "profile" in one.knowledge}
    assert kinds == {"adaptive", "unseen-encoder", "contrastive", "fused"}
    of = [one for one in point.attackers if one.attacker == "contrastive"]
    (learnt,) = [one for one in of if "profile" in one.knowledge]
    assert learnt.top1.value is not None
    assert learnt.top1.value > 0.9
    assert max(figures([one for one in of if one is not learnt])) < 0.7
    assert point.top1 == max(figures(point.attackers)) >= same.top1.value
    assert schema_errors("frontier-1", found.to_dict()) == []
    assert {"the query's own", None} == set(found.to_table()["profile"].to_pylist())


def test_references_meet_the_profile_that_the_query_met(
    arena: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tint without any other change: vectors are those of the tinted images, by hand."""
    seen: list[Any] = []
    look = Watcher.see

    def see(self: Any, *words: Any) -> Any:
        seen.append((words[0], look(self, *words)))
        return seen[-1][1]

    monkeypatch.setattr(Watcher, "see", see)
    quick(arena, "witness(amount=40)", folds=3)
    (_, native), (known, found) = seen
    assert native.by_profile == {}
    assert set(found.by_profile) == {":tint"}
    vectors = found.by_profile[":tint"]
    rows = list(read_arena(arena).rows())
    assert vectors.shape == (3, len(rows), 3)
    for number, profile in enumerate(known.profiles):
        for at, row in enumerate(rows):
            picture = Picture.of(decode(read_image_bytes(row)).image)
            drawn = profile.changed(picture, model=row["model"], prompt_id=row["prompt_id"])
            np.testing.assert_allclose(
                vectors[number, at], drawn.pixels.mean(axis=(0, 1)), rtol=1e-5
            )
            if number == known.which[at]:
                np.testing.assert_array_equal(vectors[number, at], found.query[":tint"][at])


def test_a_model_of_one_fold_alone_is_named_with_the_mend(tmp_path: Path) -> None:
    root = draw(tmp_path / "arena", MODELS[:3], PROMPTS[:4], 2, side=SIDE)
    for prompt in PROMPTS[1:4]:
        shutil.rmtree(root / MODELS[1] / prompt)
    settings = {"encoders": ("eye",)}
    with pytest.raises(UsageError, match=f"not seen model '{MODELS[1]}'.*--folds 1 learns"):
        quick(root, "witness(strict=yes)", **settings)
    assert quick(root, "witness(strict=yes)", folds=1, **settings).points[0].learnt_from == WITHIN


def test_folds_of_one_model_are_named_with_the_mend(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="universal needs the extra torch")
    root = draw(tmp_path / "arena", MODELS[:2], PROMPTS[:2], 2, side=SIDE)
    for model, prompt in zip(MODELS[:2], PROMPTS[:2], strict=True):
        shutil.rmtree(root / model / prompt)
    said = r"of 1 model: .*; universal\(.*learns from .* 1 of 2 folds: --folds 1"
    with pytest.raises(UsageError, match=said):
        quick(root, "universal(encoders=fingerprint)", encoders=("eye",))


# ---------------------------------------------------------------- going on
def test_what_was_encoded_is_kept_by_the_profile_that_it_met(arena: Path, tmp_path: Path) -> None:
    specs, cache = ("crowd", "noise(sigma=5)"), tmp_path / "cache"
    settings = {"cache": cache, "encoders": ("eye",)}
    first = quick(arena, *specs, **settings).to_dict()
    Eye.shown.clear()
    assert quick(arena, *specs, **settings).to_dict() == first
    assert Eye.shown == []
    # nothing else hangs on the folds: images as they are, and what learns nothing
    assert quick(arena, "noise(sigma=5)", folds=2, **settings).points[0].learnt_from is None
    assert Eye.shown == []
    other = quick(arena, "crowd", folds=2, **settings).to_dict()
    assert sum(Eye.shown) > 0
    fresh = quick(arena, "crowd", folds=2, encoders=("eye",)).to_dict()
    assert other["points"][0]["attackers"] == fresh["points"][0]["attackers"]


def test_a_killed_run_goes_on(arena: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodrew.defend.draws.SHARE", 5)
    settings = {"cache": tmp_path / "cache", "encoders": ("eye",)}
    whole = quick(arena, "crowd+noise", encoders=("eye",)).to_dict()
    most = sum(Eye.shown)
    Eye.shown.clear()
    monkeypatch.setattr(Eye, "fails_after", 3 * most // 4)
    with pytest.raises(RuntimeError, match="power"):
        quick(arena, "crowd+noise", **settings)
    monkeypatch.setattr(Eye, "fails_after", None)
    Eye.shown.clear()
    found = quick(arena, "crowd+noise", **settings).to_dict()
    assert 0 < sum(Eye.shown) < most // 2
    assert found["points"][0]["attackers"] == whole["points"][0]["attackers"]
    assert found["undefended"] == whole["undefended"]


# ---------------------------------------------------------------- the command
def test_the_command_deals_and_tells(
    arena: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whodrew, out = Shell(capsys), tmp_path / "out"
    words = ("frontier", arena, "--defence", "witness", "--out", out, *QUICK)
    assert whodrew(*words, "--folds", 2).code == 0
    assert len({saw for _, _, saw in Witness.met}) == 2
    values = strict_json((out / "frontier.json").read_text())
    assert values["points"][0]["learnt_from"] == "other prompts"
    ran = whodrew(*words, "--folds", 1)
    assert "in-sample, learnt from the images measured: witness" in ran.err
    assert "undefended" in ran.err.split("witness  ")[0]
    values = strict_json((out / "frontier.json").read_text())
    assert values["points"][0]["learnt_from"] == "the same images"
    best = max(
        (one for one in values["undefended"] if one["top1"] is not None),
        key=lambda one: one["top1"]["value"],
    )
    told = f"{best['attacker']}, {best['identifier']} on {best['encoder']}"
    assert f"on undefended images ({told})" in values["recommendation"]["why"]
