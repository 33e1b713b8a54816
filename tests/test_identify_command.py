"""``whodrew identify`` as a user types it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import MODELS, PROMPTS, Shell, draw, pixels, save, schema_errors
from whodrew.arena.forms import FORMS
from whodrew.cli import main


@pytest.fixture
def whodrew(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("identify") / "arena")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, arena: Path) -> Path:
    folder = tmp_path_factory.mktemp("identify") / "store"
    with pytest.raises(SystemExit):
        main(["embed", str(arena), "--store", str(folder), "--quiet"])
    return folder


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generations that the references do not hold, in folders that tell nothing."""
    root = tmp_path_factory.mktemp("identify") / "held"
    for model in MODELS:
        for prompt in PROMPTS[:3]:
            save(root / f"{model}-{prompt}.png", pixels(model, prompt, 77))
    return root


class Identifies:
    """Identifies images by one set of references, and returns the JSON."""

    def __init__(self, shell: Shell, arena: Path, store: Path) -> None:
        self.shell = shell
        self.words = ("--references", arena, "--store", store, "--json", "-")

    def __call__(self, *words: object, code: int = 0) -> list[dict[str, Any]]:
        ran = self.shell("identify", *words, *self.words)
        assert ran.code == code, ran.err
        found: list[dict[str, Any]] = ran.json
        assert schema_errors("identify-1", found) == []
        self.said = ran.err
        return found


@pytest.fixture
def names(whodrew: Shell, arena: Path, store: Path) -> Identifies:
    return Identifies(whodrew, arena, store)


def right(found: list[dict[str, Any]]) -> float:
    hits = [one["ranked"][0]["model"] == Path(one["image"]).stem.split("-")[0] for one in found]
    return sum(hits) / len(hits)


def test_held_out_generations_are_named_rightly(names: Identifies, held_out: Path) -> None:
    found = names(held_out)
    assert [one["image"] for one in found] == sorted(str(path) for path in held_out.iterdir())
    assert right(found) > 0.8
    named = [one for one in found if one["answer"] != "unknown"]
    assert len(named) >= 8
    for one in found:
        shares = [entry["probability"] for entry in one["ranked"]]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-6)
        assert len(one["ranked"]) == 4
        assert one["answer"] in {one["ranked"][0]["model"], "unknown"}
        assert one["knowledge"]["prompts"] == "other"
        assert one["reason"]
        assert one["nearest"]
        assert all(Path(near["path"]).is_file() for near in one["nearest"])
        similar = [near["similarity"] for near in one["nearest"]]
        assert similar == sorted(similar, reverse=True)


@pytest.mark.parametrize("identifier", ["nearest-centroid", "k-nearest", "linear-probe"])
def test_other_identifiers(names: Identifies, held_out: Path, identifier: str) -> None:
    assert right(names(held_out, "--identifier", identifier)) > 0.5


def test_files_and_folders_together_each_once(names: Identifies, held_out: Path) -> None:
    one = held_out / "amber-boat.png"
    found = names(one, held_out, one)
    assert len(found) == 12
    assert found[0]["image"] == str(one)


def test_noise_is_unknown(names: Identifies, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(4):
        noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        save(tmp_path / "noise" / f"{number}.png", noise)
    found = names(tmp_path / "noise")
    unknown = [one for one in found if one["answer"] == "unknown"]
    assert len(unknown) >= 3
    assert all("farther" in one["reason"] or "stands out" in one["reason"] for one in unknown)


def test_prompt_id_takes_references_of_the_prompt(names: Identifies, held_out: Path) -> None:
    found = []
    for prompt in PROMPTS[:3]:
        found += names(*held_out.glob(f"*-{prompt}.png"), "--prompt-id", prompt)
    assert {one["knowledge"]["prompts"] for one in found} == {"matched"}
    assert right(found) > 0.6
    (other,) = names(held_out / "cedar-cat.png", "--prompt-id", "no such prompt")
    assert other["knowledge"]["prompts"] == "other"
    assert "hold no prompt 'no such prompt'" in names.said


def test_top_limits_the_list(names: Identifies, held_out: Path) -> None:
    image = held_out / "cedar-cat.png"
    for top, count in ((1, 1), (2, 2), (99, 4)):
        (found,) = names(image, "--top", top)
        assert len(found["ranked"]) == count


def test_more_false_alarms_give_more_unknown(names: Identifies, held_out: Path) -> None:
    counts = [
        sum(one["answer"] == "unknown" for one in names(held_out, "--false-alarm", share))
        for share in ("0.001", "0.2", "0.999")
    ]
    assert counts == sorted(counts)
    assert counts[-1] >= 6


def test_an_unreadable_image_is_listed(names: Identifies, held_out: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    found = names(held_out / "cedar-cat.png", bad, code=1)
    assert found[1]["answer"] == "unknown"
    assert "not an image" in found[1]["reason"]
    assert (found[1]["ranked"], found[1]["nearest"]) == ([], [])
    assert found[0]["ranked"][0]["model"] == "cedar"
    assert f"bad: {bad}: not an image" in names.said
    (alone,) = names(bad, code=1)
    assert alone == found[1]


@pytest.mark.parametrize("prompt", [(), ("--prompt-id", "boat")], ids=["other", "matched"])
def test_an_image_among_the_references_is_left_out_of_them(
    names: Identifies, arena: Path, held_out: Path, prompt: tuple[str, ...]
) -> None:
    inside, outside = names(arena / "amber/boat/0.png", held_out / "amber-boat.png", *prompt)
    assert "among the references and was left out" in inside["reason"]
    assert "among the references" not in outside["reason"]


def test_a_copy_under_another_model_misleads_nobody(
    whodrew: Shell, arena: Path, tmp_path: Path
) -> None:
    """The very image lies among another model's references: it must not decide."""
    image = save(tmp_path / "image.png", pixels("amber", "boat", 5))
    lying = shutil.copytree(arena, tmp_path / "lying")
    for prompt in PROMPTS[:2]:
        shutil.copy(image, lying / "dune" / prompt / "copy.png")
    names = Identifies(whodrew, lying, tmp_path / "store")
    (found,) = names(image)
    assert "was left out" in found["reason"]
    assert found["ranked"][0]["model"] == "amber"


def test_references_as_a_store(whodrew: Shell, store: Path, arena: Path, held_out: Path) -> None:
    words = ("identify", held_out, "--json", "-", "--quiet", "--references")
    stored = whodrew(*words, store)
    drawn = whodrew(*words, arena, "--store", store)
    assert (stored.code, drawn.code) == (0, 0)
    answers = [[(one["answer"], one["ranked"]) for one in ran.json] for ran in (stored, drawn)]
    assert answers[0] == answers[1]


def test_images_of_another_size_bring_all_to_one_form(
    names: Identifies, store: Path, tmp_path: Path
) -> None:
    image = save(tmp_path / "small.jpg", pixels("cedar", "cat", 3, 96))
    (found,) = names(image)
    assert "all are brought to 64x64 first" in names.said
    assert len(found["ranked"]) == 4
    assert store.with_name("store-canonical-64").is_dir()


def test_references_are_cached_between_runs(
    whodrew: Shell, arena: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = ("identify", held_out / "cedar-cat.png", "--references", arena)
    assert whodrew(*words, "--quiet").code == 0
    parts = sorted((tmp_path / "whodrew").rglob("part-*.parquet"))
    assert parts
    assert whodrew(*words, "--quiet").code == 0
    assert sorted((tmp_path / "whodrew").rglob("part-*.parquet")) == parts
    assert not (arena / "store").exists()


def test_quiet_prints_nothing_and_people_get_a_table(
    whodrew: Shell, arena: Path, store: Path, held_out: Path
) -> None:
    words = ("identify", held_out / "cedar-cat.png", "--references", arena, "--store", store)
    quiet = whodrew(*words, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    ran = whodrew(*words)
    assert (ran.code, ran.out) == (0, "")
    assert "cedar" in ran.err
    assert "%" in ran.err


def test_the_same_images_get_the_same_answers(names: Identifies, held_out: Path) -> None:
    assert names(held_out, "--seed", 4) == names(held_out, "--seed", 4)


def test_an_identifier_that_learns_from_copies_gets_them(
    names: Identifies, held_out: Path, store: Path
) -> None:
    pytest.importorskip("torch", reason="contrastive needs the extra torch")
    found = names(held_out, "--identifier", "contrastive")
    assert right(found) > 0.8
    made = {one.name.removeprefix(f"{store.name}-copy-") for one in store.parent.glob("*-copy-*")}
    assert made == set(FORMS)
