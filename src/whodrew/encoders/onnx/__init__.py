"""``onnx:PATH``: any exported image encoder, run by ONNX Runtime (extra ``onnx``)."""

from __future__ import annotations

from whodrew.encoders.onnx.encoder import OnnxEncoder

__all__ = ["OnnxEncoder"]
