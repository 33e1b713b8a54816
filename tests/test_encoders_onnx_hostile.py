"""``onnx:PATH`` on damaged, foreign and malicious files: one plain line, and the mend."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drawn import MODELS, PROMPTS, Shell, draw
from test_encoders_onnx_tools import (
    DIMENSION,
    SIDE,
    WEIGHTS,
    TensorProto,
    graph,
    helper,
    onnx,
    stated,
)
from whodrew.encoders.onnx.outline import read_outline
from whodrew.encoders.registry import get_encoder
from whodrew.errors import InputError, WhodrewError


def refused(name: str) -> str:
    """Returns the one line with which an encoder is refused."""
    with pytest.raises(WhodrewError) as found:
        get_encoder(name)
    said = str(found.value)
    assert len(said.splitlines()) == 1
    assert len(said) < 700
    assert "ONNXRuntimeError" not in said
    return said


# ---------------------------------------------------------------- files that are no models
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty: export or fetch the model again"),
        (b"hello, world", "is no ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run 'git lfs pull'"),
        (b"\x18\x00\x00\x00ORTM" + b"\0" * 64, "is in ORT format: give the .onnx file"),
        (b"\x08\x07", "it holds no graph"),
        (b"\x3a\xff\xff\xff\xff\x0f", "it breaks off at byte"),
        (b"\xff" * 40, "it breaks off at byte"),
        (b"\x3b\x00", "wire type 3"),
        (b"PK\x03\x04" + b"\0" * 60, "is no ONNX model"),
    ],
    ids=["empty", "text", "lfs", "ort", "no-graph", "cut", "varint", "group", "zip"],
)
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    assert said in refused(f"onnx:{path}")


def test_a_model_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = graph(tmp_path / "whole.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    name = stated(path)
    for end in range(1, len(whole), 37):
        path.write_bytes(whole[:end])
        assert "model.onnx" in refused(name)


def test_a_folder_or_nothing_is_refused(tmp_path: Path) -> None:
    assert "is a folder: give the .onnx file in it" in refused(f"onnx:{tmp_path}")
    assert "no such file; give onnx:PATH" in refused(f"onnx:{tmp_path}/nothing.onnx")
    assert "no such file" in refused(f"onnx:{tmp_path}/nothing.onnx?size=3")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx")
    path.chmod(0)
    assert "Permission denied" in refused(f"onnx:{path}")


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):  # an attribute's graph (6) in a node (1) in a graph
        for tag in (0x32, 0x2A, 0x0A):
            size, count = len(data), b""
            while size > 0x7F:
                count += bytes([size & 0x7F | 0x80])
                size >>= 7
            data = bytes([tag]) + count + bytes([size]) + data
    return data


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    body = _nested(400)
    path.write_bytes(b"\x3a" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body)
    assert "graphs nested too deep" in refused(f"onnx:{path}")


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_change_of_bytes_gives_an_outline_or_a_plain_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "outline"
    whole = bytearray(graph(folder / "whole.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "changed.onnx"
    path.write_bytes(bytes(whole[: data.draw(st.integers(1, len(whole)))]))
    with contextlib.suppress(InputError):  # and nothing else may be raised
        found = read_outline(path)
        assert all(isinstance(one, str) for one in found.operators | found.locations)


# ---------------------------------------------------------------- models that take no image
@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (("n", 1, SIDE, SIDE), "takes no image"),
        (("n", 3), "takes no image"),
        (("n", SIDE, SIDE, 4), "takes no image"),
        (("n", 3, "t", SIDE, SIDE), "takes no image"),
    ],
    ids=str,
)
def test_inputs_that_hold_no_image_are_named(tmp_path: Path, shape: Any, said: str) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["y"])]
    message = refused(stated(graph(tmp_path / "model.onnx", shape=shape, nodes=nodes)))
    assert said in message
    assert "x tensor(float)" in message


def test_a_model_of_text_or_of_text_and_image_is_refused(tmp_path: Path) -> None:
    text = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", 77])
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["t"], to=1),
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Concat", ["t", "m"], ["y"], axis=1),
    ]
    said = refused(stated(graph(tmp_path / "both.onnx", nodes=nodes, inputs=[text])))
    assert "takes more than an image" in said
    assert "input_ids tensor(int64) (n, 77)" in said
    assert "export its image encoder alone" in said


def test_operators_of_others_are_not_loaded(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shout", ["x"], ["y"], domain="com.acme")]
    path = graph(tmp_path / "model.onnx", nodes=nodes, domains=["com.acme"])
    (tmp_path / "libacme.so").write_bytes(b"never opened")
    said = refused(stated(path))
    assert "it uses operators of com.acme" in said
    assert "with standard operators alone" in said


def test_names_in_a_model_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shout", ["x"], ["y"], domain="\x1b[31mred")]
    path = graph(tmp_path / "model.onnx", nodes=nodes, domains=["\x1b[31mred"])
    assert refused(stated(path)).isprintable()
    names = [helper.make_tensor_value_info(f"\x1b[2J{n}", 1, ["n", 6]) for n in "ab"]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        *(helper.make_node("MatMul", ["m", "w"], [one.name]) for one in names),
    ]
    said = refused(stated(graph(tmp_path / "model.onnx", nodes=nodes, outputs=names)))
    assert said.isprintable()
    assert "nothing says output" in said


# ---------------------------------------------------------------- models that cannot be run
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("normalise", [True, False])
def test_damaged_weights_are_refused_before_an_arena_is_read(
    tmp_path: Path, value: float, normalise: bool
) -> None:
    weights = np.full((3, DIMENSION), value, np.float32)
    name = stated(graph(tmp_path / "model.onnx", weights=weights), normalise=normalise)
    assert "numbers that are not finite: its weights are damaged" in refused(name)


def test_weights_of_zero_have_no_direction(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", weights=np.zeros((3, DIMENSION), np.float32))
    assert "a vector of length 0 cannot be normalised" in refused(stated(path))
    assert get_encoder(stated(path, normalise=False)).card.dimension == DIMENSION


def test_a_graph_that_fails_when_run_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["to"], value_ints=[7, 11]),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    said = refused(stated(graph(tmp_path / "model.onnx", nodes=nodes)))
    assert "cannot be run" in said


def test_a_graph_that_forgets_its_batch_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)]
    scalar = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    path = graph(tmp_path / "model.onnx", nodes=nodes, outputs=[scalar])
    assert "gave () for 1 images" in refused(stated(path))


def test_a_sequence_is_no_vector(tmp_path: Path) -> None:
    nodes = [helper.make_node("SequenceConstruct", ["x", "x"], ["y"])]
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    path = graph(tmp_path / "model.onnx", nodes=nodes, outputs=[output])
    assert "model.onnx" in refused(stated(path))


def test_images_that_give_nan_are_bad_by_name_and_the_others_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Log", ["m"], ["l"]),
        helper.make_node("MatMul", ["l", "w"], ["y"]),
    ]
    path = graph(tmp_path / "model.onnx", nodes=nodes)
    name = stated(path, mean=0.3, std=1.0, normalise=False)  # dark images have no logarithm
    arena = draw(tmp_path / "arena", MODELS[:2], PROMPTS[:1], 1)
    dark = next(arena.rglob("*.png"))
    Image.new("RGB", (SIDE, SIDE), (10, 10, 10)).save(dark)
    other = next(one for one in arena.rglob("*.png") if one != dark)
    Image.new("RGB", (SIDE, SIDE), (250, 240, 230)).save(other)
    ran = Shell(capsys)("embed", arena, "--encoder", name, "--store", tmp_path / "s", "--quiet")
    assert ran.code == 1
    assert ran.err.count("bad:") == 1
    assert "which is not finite in float32" in ran.err


# ---------------------------------------------------------------- weights elsewhere
def _with_location(path: Path, location: str) -> str:
    model = onnx.load(str(graph(path)))
    onnx.save(model, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    model = onnx.load(str(path), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    path.write_bytes(model.SerializeToString())
    return stated(path)


def test_weights_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(WEIGHTS.tobytes())
    inside = tmp_path / "inside"
    for location in ("../secret.bin", str(secret), "a/../../secret.bin", ""):
        name = _with_location(inside / "model.onnx", location)
        assert "outside its folder" in refused(name)
    (inside / "link.bin").symlink_to(secret)
    assert "outside its folder" in refused(_with_location(inside / "model.onnx", "link.bin"))
    said = refused(_with_location(inside / "model.onnx", "missing.bin"))
    assert "wants its weights from missing.bin, which is not beside it" in said


def test_weights_that_are_too_short_are_refused(tmp_path: Path) -> None:
    name = _with_location(tmp_path / "model.onnx", "w.bin")
    (tmp_path / "w.bin").write_bytes(b"\0" * 8)
    assert "ONNX Runtime cannot load" in refused(name)


# ---------------------------------------------------------------- sidecars
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b" " * 2_000_000, "is larger than 1,048,576 bytes"),
    ],
    ids=["cut", "list", "utf16", "deep", "large"],
)
def test_a_sidecar_that_is_none_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = graph(tmp_path / "model.onnx")
    (tmp_path / "model.onnx.json").write_bytes(data)
    assert said in refused(f"onnx:{path}")


def test_a_refusal_on_the_command_line_is_one_line_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arena = draw(tmp_path / "arena", MODELS[:2], PROMPTS[:1], 1)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    said = Shell(capsys).refused(
        *("embed", arena, "--store", tmp_path / "store"),
        *("--encoder", f"onnx:{tmp_path / 'model.onnx'}"),
    )
    assert "is no ONNX model" in said
    assert not (tmp_path / "store").exists()
