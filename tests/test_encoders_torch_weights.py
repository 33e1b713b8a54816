"""Where weights come from, and every way in which they can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import Shell, draw
from test_encoders_torch_tools import (
    images,
    make_clip,
    make_dinov2,
    make_naflex,
    make_siglip,
    torch,
    transformers,
)
from whodrew.embed import embed, open_store
from whodrew.encoders.registry import get_encoder
from whodrew.errors import InputError, UsageError, WhodrewError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("made")
    makers = {"clip": make_clip, "siglip": make_siglip, "naflex": make_naflex}
    return {name: make(root / name) for name, make in makers.items()}


@pytest.fixture
def folder(tmp_path: Path, made: dict[str, Path]) -> Path:
    return Path(shutil.copytree(made["clip"], tmp_path / "clip"))


def refusal(name: str) -> str:
    """The one plain line with which a name is refused, at once or when it is used."""
    with pytest.raises(WhodrewError) as caught:
        get_encoder(name).encode(images()[:1])
    text = str(caught.value)
    assert "\n" not in text
    return text


def change(file: Path, **values: Any) -> None:
    found = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json: it is not a model"),
        (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json is no JSON object"),
        (lambda f: change(f / "config.json", projection_dim="wide"), "config.json makes no sense"),
        (lambda f: change(f / "config.json", model_type=...), "of type 'unknown', not CLIP"),
        (lambda f: change(f / "config.json", quantization_config={}), "is quantised"),
        (lambda f: change(f / "config.json", projection_dim=25), "another shape (visual_proj"),
        (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "pickled weights are not read, since they can run code",
        ),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-100]
            ),
            "model.safetensors is damaged",
        ),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors is damaged"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "no preprocessor_config.json"),
        (
            lambda f: change(f / "preprocessor_config.json", image_processor_type="LevitProcessor"),
            "prepares images by LevitProcessor, which is not known here",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", image_std=[0, 1, 1]),
            "make no sense (image_std holds a zero)",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", crop_size={"height": 64, "width": 64}),
            "make no sense (a crop of (64, 64)",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", do_resize=False),
            "does not resize, which is not done here",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", crop_size={"height": 24, "width": 24}),
            "prepared at 24x24, the network takes 32x32",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", do_center_crop=False),
            "prepared at any proportions, the network takes 32x32",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_one_line(
    folder: Path, break_it: Callable[[Path], object], said: str
) -> None:
    break_it(folder)
    text = refusal(f"clip:{folder}")
    assert said in text
    assert text.startswith(f"clip:{folder}")


def test_weights_that_are_missing_are_not_drawn_at_random(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["vision_model.post_layernorm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lack weights" in refusal(f"clip:{folder}")
    assert "post_layernorm.weight" in refusal(f"clip:{folder}")


def test_another_familys_folder_is_sent_there(made: dict[str, Path]) -> None:
    siglip = made["siglip"]
    assert refusal(f"clip:{siglip}") == (
        f"clip:{siglip} holds a model of type 'siglip', not CLIP: write siglip:{siglip}"
    )
    assert "write siglip2:" in refusal(f"siglip:{made['naflex']}")


def test_code_that_comes_with_a_model_is_never_run(folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Evil: pass\n")
    auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoImageProcessor"), "evil.Evil")
    tower = json.loads((folder / "config.json").read_text())["vision_config"]
    # transformers would fetch a kernel of that name from the Hub, and run it
    kernel = {"attn_implementation": "evil/kernel", "_attn_implementation": "evil/kernel"}
    change(folder / "config.json", auto_map=auto, vision_config={**tower, **kernel}, **kernel)
    change(folder / "preprocessor_config.json", auto_map=auto)
    get_encoder(f"clip:{folder}").encode(images()[:1])
    assert not ran.exists()


def test_weights_in_several_files_are_read_and_hashed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = make_dinov2(tmp_path / "whole")
    whole = get_encoder(f"dinov2:{folder}")
    model = transformers.Dinov2Model.from_pretrained(folder)
    parts = Path(shutil.copytree(folder, tmp_path / "parts"))
    (parts / "model.safetensors").unlink()
    model.save_pretrained(parts, max_shard_size="20KB")
    assert len(list(parts.glob("model-*.safetensors"))) > 1
    split = get_encoder(f"dinov2:{parts}")
    np.testing.assert_allclose(split.encode(images()), whole.encode(images()), atol=1e-6)
    assert split.card.revision != whole.card.revision
    next(iter(sorted(parts.glob("model-*.safetensors")))).unlink()
    assert "lacks model-00001" in refusal(f"dinov2:{parts}")


def test_settings_nested_in_a_processors_come_first(folder: Path) -> None:
    own = json.loads((folder / "preprocessor_config.json").read_text())
    nested = {"image_processor": {**own, "resample": 2}, "processor_class": "CLIPProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    assert "bilinear" in get_encoder(f"clip:{folder}").card.preprocessing


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("clip:/no/such/folder", "there is no folder /no/such/folder"),
        ("clip:./none", "there is no folder ./none"),
        ("clip:a/b/c", "there is no folder a/b/c"),
        ("clip:owner/name@", "neither a folder nor a name on the Hub"),
        ("clip:@main", "neither a folder nor a name on the Hub"),
        ("clip:sp ace/x", "neither a folder nor a name on the Hub"),
    ],
)
def test_a_name_that_can_be_nothing_is_refused(name: str, said: str) -> None:
    assert said in refusal(name)


def test_a_family_needs_a_model() -> None:
    with pytest.raises(UsageError, match="needs more: clip:MODEL"):
        get_encoder("clip")


# ------------------------------------------------------------------ end to end


def test_embed_goes_through_resumes_and_refuses_another_revision(
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WHODREW_DTYPE", "float32")
    shell = Shell(capfd)
    arena = draw(tmp_path / "arena", generations=1, ending={"amber": "jpg"})
    store = tmp_path / "store"
    words = ("embed", arena, "--store", store, "--encoder", f"clip:{folder}", "--json", "-")
    first = shell(*words)
    assert first.code == 0, first.err
    assert first.json["encoded"] == 24
    assert "transformers" not in first.err
    card = json.loads((store / "card.json").read_text())
    assert (card["encoder"], card["scale"], card["dimension"]) == (f"clip:{folder}", "unit", 24)
    again = shell(*words)
    assert (again.json["encoded"], again.json["reused"]) == (0, 24)
    draw(tmp_path / "arena", models=("elm",), generations=1)
    more = shell(*words)
    assert (more.json["encoded"], more.json["reused"]) == (6, 24)
    table = open_store(store).table()
    for row in table.slice(0, 5).to_pylist():
        from PIL import Image

        with Image.open(row["path"]) as image:
            pixels = np.asarray(image.convert("RGB"))
        expected = get_encoder(f"clip:{folder}").encode([pixels])[0]
        np.testing.assert_allclose(row["embedding"], expected, atol=1e-5)
    model = transformers.CLIPModel.from_pretrained(folder)
    with torch.no_grad():
        model.visual_projection.weight += 0.01
    model.save_pretrained(folder)
    assert "revision 'blake2b:" in shell.refused(*words[:-2])


def test_damaged_weights_stop_embedding_with_one_line(tmp_path: Path, folder: Path) -> None:
    change(folder / "config.json", projection_dim=25)
    arena = draw(tmp_path / "arena", generations=1)
    with pytest.raises(InputError, match="in another shape"):
        embed(arena, f"clip:{folder}", tmp_path / "store")
