"""``onnx:PATH``: what it makes of pixels, what must be stated, and which statement wins."""

from __future__ import annotations

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drawn import MODELS, PROMPTS, Shell, draw
from test_encoders_onnx_tools import (
    DIMENSION,
    MIXED,
    SIDE,
    STATED,
    WEIGHTS,
    TensorProto,
    graph,
    helper,
    images,
    stated,
)
from whodrew.encoders.base import Encoder, Pixels, Vectors
from whodrew.encoders.onnx.processor import from_processor
from whodrew.encoders.registry import get_encoder
from whodrew.errors import MissingExtraError, WhodrewError

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def by_hand(image: Pixels, small: Image.Image, values: dict[str, Any]) -> Vectors:
    """The vector of the graph ``graph`` from an image already resized."""
    pixels = np.asarray(small, dtype=np.float64) * values["scale"]
    if values["channels"] == "bgr":
        pixels = pixels[..., ::-1]
    pixels = (pixels - np.array(values["mean"])) / np.array(values["std"])
    vector = (pixels**2).mean((0, 1)) @ WEIGHTS.astype(np.float64)
    if values["normalise"]:
        vector /= np.linalg.norm(vector)
    return vector.astype(np.float32)


def stretched(image: Pixels) -> Image.Image:
    return Image.fromarray(image).resize((SIDE, SIDE), BILINEAR)


def cropped(image: Pixels) -> Image.Image:
    picture = Image.fromarray(image)
    wide, high = picture.size
    short = 20
    size = (short, short * high // wide) if wide <= high else (short * wide // high, short)
    whole = picture.resize(size, BICUBIC)
    left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return whole.crop((left, top, left + SIDE, top + SIDE))


def padded(image: Pixels) -> Image.Image:
    picture = Image.fromarray(image)
    ratio = SIDE / max(picture.size)
    inner = max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))
    canvas = Image.new("RGB", (SIDE, SIDE), (9, 9, 9))
    at = (SIDE - inner[0]) // 2, (SIDE - inner[1]) // 2
    canvas.paste(picture.resize(inner, BILINEAR), at)
    return canvas


# ---------------------------------------------------------------- what it computes
@pytest.mark.parametrize(
    ("changes", "resized"),
    [
        ({}, stretched),
        ({"channels": "bgr"}, stretched),
        ({"scale": 1.0, "mean": [120, 110, 100], "std": [60, 50, 40]}, stretched),
        ({"normalise": False}, stretched),
        ({"resize": "crop", "resize_to": 20, "interpolation": "bicubic"}, cropped),
        ({"resize": "pad", "pad": 9}, padded),
    ],
    ids=["plain", "bgr", "scaled", "raw", "cropped", "padded"],
)
@pytest.mark.parametrize("shape", [("n", 3, SIDE, SIDE), ("n", SIDE, SIDE, 3)], ids=str)
def test_vectors_are_those_computed_by_hand(
    tmp_path: Path, shape: Any, changes: dict[str, Any], resized: Any
) -> None:
    name = stated(graph(tmp_path / "model.onnx", shape=shape), **changes)
    values = STATED | changes
    some = images(*MIXED)
    found = get_encoder(name).encode(some)
    wanted = np.stack([by_hand(image, resized(image), values) for image in some])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_vectors_do_not_depend_on_batch_order_or_thread(tmp_path: Path) -> None:
    encoder = get_encoder(stated(graph(tmp_path / "model.onnx"), batch=3))
    some = images(*MIXED)
    together = encoder.encode(some)
    alone = np.concatenate([encoder.encode([one]) for one in some])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(some[::-1])[::-1], alone, atol=1e-6)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(encoder.encode, [some] * 16):
            np.testing.assert_array_equal(found, together)
    assert encoder.encode([]).shape == (0, DIMENSION)


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_a_graph_of_whole_batches_takes_any_number(tmp_path: Path, count: int) -> None:
    free = get_encoder(stated(graph(tmp_path / "free.onnx")))
    fixed = get_encoder(stated(graph(tmp_path / "fixed.onnx", shape=(3, 3, SIDE, SIDE))))
    assert getattr(fixed, "batch_size", None) == 3
    some = images(*MIXED)[:count]
    np.testing.assert_allclose(fixed.encode(some), free.encode(some), atol=1e-6)


def test_a_dynamically_quantised_graph_sees_one_image_at_a_time(tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    source = graph(tmp_path / "whole.onnx")
    quantize_dynamic(str(source), str(tmp_path / "int8.onnx"), per_channel=True)
    encoder = get_encoder(stated(tmp_path / "int8.onnx", batch=16))
    assert getattr(encoder, "batch_size", None) == 1
    some = images(*MIXED)
    alone = np.concatenate([encoder.encode([one]) for one in some])
    np.testing.assert_array_equal(encoder.encode(some), alone)
    whole = get_encoder(stated(source)).encode(some)
    assert (whole * alone).sum(1).min() > 0.99
    assert np.abs(whole - alone).max() > 0


@pytest.mark.parametrize(
    ("shape", "pooling", "reduced"),
    [
        (("n", "t", DIMENSION), "cls", lambda found: found[:, 0]),
        (("n", "t", DIMENSION), "mean", lambda found: found.mean(1)),
        (("n", 3, SIDE, SIDE), "mean", lambda found: found.mean((2, 3))),
    ],
    ids=["cls", "mean", "maps"],
)
def test_tokens_and_maps_are_pooled_as_stated(
    tmp_path: Path, shape: Any, pooling: str, reduced: Any
) -> None:
    if len(shape) == 3:
        nodes = [
            helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
            helper.make_node("MatMul", ["t", "w"], ["p"]),
            helper.make_node("Flatten", ["p"], ["flat"], axis=3),
            helper.make_node("Shape", ["x"], ["sizes"]),
            helper.make_node("Constant", [], ["to"], value_ints=[0, SIDE * SIDE, DIMENSION]),
            helper.make_node("Reshape", ["p", "to"], ["y"]),
        ]
    else:
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, list(shape))
    path = graph(tmp_path / "model.onnx", nodes=nodes, outputs=[output])
    with pytest.raises(WhodrewError, match=r"nothing says pooling: .*pooling=cls\|mean\|none"):
        get_encoder(stated(path))
    encoder = get_encoder(stated(path, pooling=pooling, normalise=False))
    image = images((SIDE, SIDE))[0]
    planes = (image / 255 - np.array(STATED["mean"])) / np.array(STATED["std"])
    given = planes.transpose(2, 0, 1)[None]
    if len(shape) == 3:
        given = (planes.reshape(1, -1, 3)) @ WEIGHTS
    np.testing.assert_allclose(encoder.encode([image]), reduced(given), atol=1e-5)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_kinds_of_numbers_are_fed(tmp_path: Path, kind: int) -> None:
    wanted = get_encoder(stated(graph(tmp_path / "single.onnx")))
    found = get_encoder(stated(graph(tmp_path / "other.onnx", kind=kind)))
    some = images(*MIXED)
    np.testing.assert_allclose(found.encode(some), wanted.encode(some), atol=2e-3)


def test_a_graph_of_bytes_scales_them_itself(tmp_path: Path) -> None:
    path = graph(tmp_path / "bytes.onnx", kind=TensorProto.UINT8)
    with pytest.raises(WhodrewError, match="scale is stated, but the model takes bytes"):
        get_encoder(stated(path))
    encoder = get_encoder(stated(path, scale=None, mean=None, std=None))
    values = STATED | {"scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1]}
    some = images(*MIXED)
    wanted = np.stack([by_hand(image, stretched(image), values) for image in some])
    np.testing.assert_allclose(encoder.encode(some), wanted, atol=1e-5)


def test_a_strip_is_cropped_without_making_the_whole_of_it(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", shape=("n", 3, 512, 512))
    encoder = get_encoder(stated(path, resize="crop", interpolation="bicubic", normalise=False))
    strip = np.zeros((4, 4000, 3), np.uint8)
    strip[..., 0] = np.arange(4000) * 255 // 4000  # resized whole it has 512,000 columns
    found = encoder.encode([strip])
    values = STATED | {"normalise": False}
    middle = np.full((SIDE, SIDE, 3), (127, 0, 0), np.uint8)
    wanted = by_hand(middle, Image.fromarray(middle), values)
    np.testing.assert_allclose(found[0], wanted, rtol=2e-2)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_image_is_refused(tmp_path: Path, bad: Pixels) -> None:
    with pytest.raises(ValueError, match=r"must be \(height, width, 3\)"):
        get_encoder(stated(graph(tmp_path / "model.onnx"))).encode([bad])


# ---------------------------------------------------------------- the card
def test_the_card_changes_with_what_changes_vectors_and_with_nothing_else(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx")
    card = get_encoder(stated(path, name="mine", licence="MIT")).card
    assert card.name == f"onnx:{path}"
    assert (card.dimension, card.scale, card.input_size) == (DIMENSION, "unit", SIDE)
    assert (card.licence, card.summary) == ("MIT", "mine, by ONNX Runtime")
    assert get_encoder(stated(path)).card.licence == "NOASSERTION"
    assert get_encoder(stated(path)).card.revision == card.revision
    moved = graph(tmp_path / "elsewhere" / "model.onnx")
    assert get_encoder(stated(moved)).card.revision == card.revision
    others = [
        get_encoder(stated(path, mean=[0.4, 0.5, 0.61])),
        get_encoder(stated(path, normalise=False)),
        get_encoder(stated(path, interpolation="bicubic")),
        get_encoder(stated(graph(tmp_path / "other.onnx", weights=WEIGHTS * 2))),
    ]
    revisions = {card.revision, *(one.card.revision for one in others)}
    assert len(revisions) == 5
    assert others[1].card.scale == "standardise"
    assert get_encoder(stated(path, revision="v2")).card.revision == f"v2 {card.revision}"


def test_weights_in_a_file_beside_the_model_count(tmp_path: Path) -> None:
    import onnx

    path = graph(tmp_path / "model.onnx")
    wanted = get_encoder(stated(path)).encode(images(*MIXED))
    model = onnx.load(str(path))
    onnx.save(
        model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    first = get_encoder(stated(path))
    np.testing.assert_array_equal(first.encode(images(*MIXED)), wanted)
    weights = tmp_path / "weights.bin"
    weights.write_bytes((np.frombuffer(weights.read_bytes(), np.float32) * 2).tobytes())
    assert get_encoder(stated(path)).card.revision != first.card.revision


def test_it_pickles_by_name(tmp_path: Path) -> None:
    encoder = get_encoder(stated(graph(tmp_path / "model.onnx")))
    twin: Encoder = pickle.loads(pickle.dumps(encoder))  # noqa: S301 - our own
    assert twin.card == encoder.card
    np.testing.assert_array_equal(twin.encode(images(*MIXED)), encoder.encode(images(*MIXED)))


# ---------------------------------------------------------------- who states what
def test_flags_win_over_the_sidecar_and_that_over_a_processor(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", shape=("n", "c", "h", "w"))
    processor = {
        "size": {"height": 20, "width": 24},
        "resample": 2,
        "rescale_factor": 0.5,
        "image_mean": [0.1, 0.1, 0.1],
        "image_std": [0.1, 0.1, 0.1],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))

    def made(flags: str) -> Any:
        return get_encoder(f"onnx:{path}?{flags}").preprocessing  # type: ignore[attr-defined]

    found = made("normalise=true")
    assert (found.size, found.resize, found.interpolation) == ((20, 24), "stretch", "bilinear")
    assert (found.scale, found.mean, found.std) == (0.5, (0.1,) * 3, (0.1,) * 3)
    assert (found.channels, found.layout) == ("rgb", "nchw")

    path.with_suffix(".json").write_text(json.dumps({"mean": 0.2, "size": [8, 8]}))
    assert made("normalise=1").mean == (0.2,) * 3
    assert made("normalise=1").scale == 0.5
    path.with_name("model.onnx.json").write_text(json.dumps({"mean": 0.3, "size": [9, 12]}))
    found = made("normalise=false&scale=1/255&std=1,2,3")
    assert (found.mean, found.size) == ((0.3,) * 3, (9, 12))
    assert (found.scale, found.std) == (1 / 255, (1.0, 2.0, 3.0))
    assert made("normalise=false&size=5x6").size == (5, 6)


def test_flags_alone_are_enough(tmp_path: Path) -> None:
    path = graph(tmp_path / "a model, 100 %.onnx")
    flags = "&".join(
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else str(value).lower()}"
        for key, value in STATED.items()
    )
    flagged = get_encoder(f"onnx:{path}?{flags}")
    sidecar = get_encoder(stated(path))
    assert flagged.card.revision == sidecar.card.revision
    some = images(*MIXED)
    np.testing.assert_array_equal(flagged.encode(some), sidecar.encode(some))


@pytest.mark.parametrize("field", sorted(STATED))
def test_what_nothing_states_is_asked_for_by_name(tmp_path: Path, field: str) -> None:
    path = graph(tmp_path / "model.onnx")
    with pytest.raises(WhodrewError) as refused:
        get_encoder(stated(path, **{field: None}))
    said = str(refused.value)
    assert f"nothing says {field}: add to model.onnx.json beside it, or after the path" in said
    assert f": {field}=" in said
    assert len(said.splitlines()) == 1


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", shape=("n", "c", "h", "w"))
    with pytest.raises(WhodrewError) as refused:
        get_encoder(f"onnx:{path}?resize=pad")
    wanted = "normalise, interpolation, channels, scale, mean, std, layout, size, pad"
    assert f"nothing says {wanted}:" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "rgb"}, "unknown field 'colour'"),
        ({"normalize": True}, "did you mean normalise?"),
        ({"schema": "other/2"}, "schema is 'other/2', this version reads 'whodrew.onnx/1'"),
        ({"size": 20}, r"size is \(20, 20\), the model's is \(16, 16\)"),
        ({"size": 0}, "size is 0, must be PIXELS or HEIGHTxWIDTH"),
        ({"size": [1, 2, 3]}, "must be PIXELS"),
        ({"size": True}, "must be PIXELS"),
        ({"size": "many"}, "must be PIXELS"),
        ({"layout": "nhwc"}, "layout is nhwc, the model's is nchw"),
        ({"resize": "squash"}, r"resize is 'squash', must be crop\|stretch\|pad"),
        ({"resize": "crop", "resize_to": 8}, "resize_to is 8, less than the crop of 16"),
        ({"resize": "pad"}, "nothing says pad"),
        ({"std": [1, 0, 1]}, "std is .*, must be R,G,B divided by, above 0"),
        ({"std": [1, 2]}, "must be R,G,B"),
        ({"mean": "a,b,c"}, "must be R,G,B"),
        ({"mean": {"r": 1}}, "must be R,G,B"),
        ({"mean": [10**400] * 3}, "must be R,G,B"),
        ({"scale": "1/0"}, "scale is '1/0', must be"),
        ({"scale": "nan"}, "scale is 'nan', must be"),
        ({"scale": -1}, "scale is -1, must be"),
        ({"normalise": "maybe"}, r"must be true\|false"),
        ({"normalise": 1}, r"must be true\|false"),
        ({"batch": 0}, "batch is 0, must be the most images a run"),
        ({"pooling": "max"}, r"must be cls\|mean\|none"),
        ({"pooling": "cls"}, r"pooling cls does not go with an output \(1, 6\)"),
        ({"output": "z"}, r"output is 'z', the model has y \(n, "),
        ({"output": 3}, "output is 3, the model has y"),
        ({"licence": ""}, "licence is '', must be an SPDX id"),
        ({"revision": "x" * 201}, "must be a text"),
    ],
    ids=str,
)
def test_wrong_statements_are_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(WhodrewError, match=said) as refused:
        get_encoder(stated(graph(tmp_path / "model.onnx"), **changes))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("size", "'size' after '[?]' is not name=value"),
        ("size=16&size=16", "size is given twice"),
        ("sise=16", "did you mean size"),
        ("mean=1,2", "mean is '1,2', must be"),
    ],
)
def test_wrong_flags_are_refused(tmp_path: Path, flags: str, said: str) -> None:
    path = graph(tmp_path / "model.onnx")
    stated(path)
    with pytest.raises(WhodrewError, match=said):
        get_encoder(f"onnx:{path}?{flags}")


def test_one_of_several_outputs_must_be_named(tmp_path: Path) -> None:
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("m", 3), ("y", DIMENSION))
    ]
    path = graph(tmp_path / "model.onnx", outputs=outputs)
    with pytest.raises(WhodrewError, match=r"which has m \(n, 3\), y \(n, 6\): nothing says out"):
        get_encoder(stated(path))
    by_name = get_encoder(stated(path, output="y"))
    by_number = get_encoder(stated(path, output=1))
    assert by_name.card.revision == by_number.card.revision
    assert by_name.card.dimension == DIMENSION
    assert get_encoder(stated(path, output="m")).card.dimension == 3


# ---------------------------------------------------------------- processors of the Hub
CLIP = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48, 0.45, 0.40],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26, 0.26, 0.27],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
RGB = {"channels": "rgb", "layout": "nchw", "scale": 0.00392156862745098}
NORMAL = {"mean": [0.48, 0.45, 0.40], "std": [0.26, 0.26, 0.27]}
CROP = {"resize": "crop", "interpolation": "bicubic"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (CLIP, {**RGB, **NORMAL, **CROP, "size": [224, 224], "resize_to": 224}),
        (
            {**CLIP, "size": {"shortest_edge": 256}, "image_processor_type": "BitImageProcessor"},
            {**RGB, **NORMAL, **CROP, "size": [224, 224], "resize_to": 256},
        ),
        (
            {**CLIP, "size": 224, "crop_size": 224, "do_rescale": None, "rescale_factor": None}
            | {"do_rescale": True},
            {**RGB, **NORMAL, **CROP, "size": [224, 224], "resize_to": 224},
        ),
        (
            {
                **{key: value for key, value in CLIP.items() if "crop" not in key},
                "size": {"height": 384, "width": 256},
                "resample": 2,
                "do_normalize": False,
            },
            {
                **RGB,
                "resize": "stretch",
                "interpolation": "bilinear",
                "size": [384, 256],
                "mean": [0, 0, 0],
                "std": [1, 1, 1],
            },
        ),
    ],
    ids=["clip", "dinov2", "old clip", "siglip"],
)
def test_processors_of_the_hub_are_read(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert from_processor(given, "file") == wanted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"do_pad": True}, "whodrew cannot do do_pad=True"),
        ({"crop_pct": 0.9}, "whodrew cannot do crop_pct=0.9"),
        ({"do_resize": False}, "whodrew cannot do do_resize=False"),
        ({"size": {"longest_edge": 512}}, "whodrew cannot do size="),
        ({"do_center_crop": False}, "whodrew cannot do size="),
        ({"resample": 17}, "whodrew cannot do resample=17"),
        ({"size": None}, "whodrew cannot do size="),
    ],
    ids=str,
)
def test_what_a_processor_does_besides_is_refused_unless_a_sidecar_says_all(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = graph(tmp_path / "model.onnx")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**CLIP, **change}))
    with pytest.raises(WhodrewError, match=said):
        get_encoder(f"onnx:{path}?normalise=true")
    assert get_encoder(stated(path)).card.dimension == DIMENSION


def test_a_processor_gives_what_transformers_gives(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs an extra: pip install 'whodrew[torch]'")
    transformers = pytest.importorskip("transformers", reason="pip install 'whodrew[torch]'")
    given = {**CLIP, "size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(given))
    path = graph(tmp_path / "model.onnx")
    ours = get_encoder(f"onnx:{path}?normalise=true").preprocessing  # type: ignore[attr-defined]
    theirs = transformers.CLIPImageProcessorPil.from_dict(given)
    for image in images((40, 40), (64, 48), (33, 90), (21, 20)):
        wanted = theirs(Image.fromarray(image), return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(ours(image), wanted, atol=1e-6)


# ---------------------------------------------------------------- from the command line
@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("onnx") / "arena", MODELS[:3], PROMPTS[:4], 2)


def test_embed_audit_and_identify_with_an_exported_encoder(
    arena: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whodrew = Shell(capsys)
    name = stated(graph(tmp_path / "model.onnx"))
    ran = whodrew("embed", arena, "--encoder", name, "--store", tmp_path / "store", "--json", "-")
    assert ran.code == 0, ran.err
    assert ran.json["encoded"] == 24
    card = json.loads((tmp_path / "store" / "card.json").read_text())
    assert card["encoder"] == name
    assert card["dimension"] == DIMENSION
    ran = whodrew(
        *("audit", arena, "--encoder", name, "--out", tmp_path / "out"),
        *("--no-curves", "--quiet", "--json", "-"),
    )
    assert ran.code == 0, ran.err
    assert {one["encoder"] for one in ran.json["attacks"]} == {name}
    query = next(arena.rglob("*.png"))
    for references in (arena, tmp_path / "store"):
        ran = whodrew(
            *("identify", query, "--references", references, "--encoder", name),
            *("--store", tmp_path / f"store-{references.name}", "--json", "-", "--quiet"),
        )
        assert ran.code == 0, ran.err
        assert ran.json[0]["ranked"]


def test_a_store_refuses_other_weights_of_the_same_file(
    arena: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whodrew = Shell(capsys)
    name = stated(graph(tmp_path / "model.onnx"))
    words = ("embed", arena, "--encoder", name, "--store", tmp_path / "store", "--quiet")
    assert whodrew(*words).code == 0
    stated(graph(tmp_path / "model.onnx", weights=WEIGHTS + 1))
    said = whodrew.refused(*words)
    assert "is of another encoder (revision" in said


def test_without_onnx_runtime_the_line_that_installs_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"pip install 'whodrew\[onnx\]'"):
        get_encoder("onnx:model.onnx")
