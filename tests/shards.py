"""Shards made by the tests: tar archives as WebDataset writes them, and spoilt ones."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image


@lru_cache(maxsize=1024)
def png(value: int) -> bytes:
    """A small picture that ``value_of`` tells from others."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (value % 256, value // 256, 0)).save(out, "PNG")
    return out.getvalue()


def pack(path: Path, members: Iterable[tuple[str, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    """Writes a tar archive of plain files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def sample(key: str, value: int, ending: str = "png", **fields: Any) -> list[tuple[str, bytes]]:
    """One sample: an image, and its labels as JSON where there are any."""
    parts = [(f"{key}.{ending}", png(value))]
    if fields:
        parts.append((f"{key}.json", json.dumps(fields).encode()))
    return parts


def labelled(count: int, start: int = 0, models: int = 2) -> list[tuple[str, bytes]]:
    """Samples with model and prompt in their JSON; each image is its own number."""
    parts = []
    for at in range(start, start + count):
        fields: Mapping[str, Any] = {
            "model": f"m{at % models}",
            "prompt": f"prompt {at // models}",
        }
        parts += sample(f"{at:06}", at, **fields)
    return parts


def from_folders(root: Path, target: Path, size: int) -> list[Path]:
    """Packs ``root/<model>/<prompt>/<seed>.<ext>`` into shards of ``size`` samples."""
    files = sorted(path for path in root.glob("*/*/*") if path.is_file())
    shards = []
    for start in range(0, len(files), size):
        members = []
        for at, path in enumerate(files[start : start + size], start):
            model, prompt = path.parent.parent.name, path.parent.name
            fields = {"model": model, "prompt_id": prompt, "seed": path.stem}
            members.append((f"{at:06}{path.suffix}", path.read_bytes()))
            members.append((f"{at:06}.json", json.dumps(fields).encode()))
        shards.append(pack(target / f"{start // size:05}.tar", members))
    return shards
