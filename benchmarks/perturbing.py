"""What ``perturb`` and ``universal`` are worth: the unchanged attacker beside the adaptive one.

Some models of ``modern24`` (seeded), all prompts, at a small size, since descents are slow.
Each half of the prompts is defended by a defence that was fitted on the other half. The
adaptive attacker has references that went through the same defence under a secret of their
own, one draw each. Corpora are looked for in ../shared. Takes hours on two cores:

    python benchmarks/perturbing.py --steps 8 'perturb(objective=decoy)' ...
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from whodrew.arena import decode
from whodrew.defend import Defence, Example, Picture
from whodrew.encoders.registry import get_encoder
from whodrew.identify.attack import attack
from whodrew.identify.knowledge import Knowledge
from whodrew.identify.problem import Problem
from whodrew.identify.registry import get_identifier
from whodrew.identify.samples import Samples

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpora" / "modern24"
ENCODERS = ("fingerprint", "efficientnet-lite0")
ALONE = "encoders=efficientnet-lite0"
SPECS = (
    f"perturb({ALONE})",
    f"perturb({ALONE},objective=decoy)",
    "perturb",
    "perturb(objective=decoy)",
    "perturb(objective=crowd)",
    "perturb(objective=contrastive)",
    "universal",
)
OPERATOR, ATTACKER = 1, 2


@dataclass(frozen=True)
class Shot:
    """One image of the corpus."""

    model: str
    prompt: str
    picture: Picture


def shots(models: int, size: int) -> list[Shot]:
    names = sorted(one.name for one in CORPUS.iterdir() if one.is_dir())
    chosen = sorted(np.random.default_rng(0).permutation(len(names))[:models])
    found = []
    for name in (names[at] for at in chosen):
        for path in sorted((CORPUS / name).glob("*/*.jpg")):
            with Image.open(path) as image:
                # larger than what canonical makes of it, so that it still resizes
                small = image.convert("RGB").resize((2 * size, 2 * size), Image.Resampling.LANCZOS)
            found.append(Shot(name, path.parent.name, Picture.of(small)))
    return found


def defended(spec: str, given: Sequence[Shot], secrets: Sequence[int]) -> tuple[list[Any], float]:
    """Returns the shown pixels under each secret, and seconds an image of serving."""
    prompts = sorted({one.prompt for one in given})
    half = {prompt: place % 2 for place, prompt in enumerate(prompts)}

    def others(own: int) -> Iterator[Example]:
        return (
            Example(one.picture, one.model, one.prompt) for one in given if half[one.prompt] != own
        )

    fits = [Defence.parse(spec).fit(lambda own=own: others(own)) for own in (0, 1)]
    began = time.perf_counter()
    rounds = []
    for secret in secrets:
        keyed = [one.with_secret(secret) for one in fits]

        def show(one: Shot, keyed: Sequence[Defence] = keyed) -> Any:
            # nobody knows the held-out prompt's mean: the defence is not told the prompt
            done = keyed[half[one.prompt]].changed(one.picture, model=one.model)
            return decode(keyed[0].served.encode(done.image)).image

        with ThreadPoolExecutor() as threads:
            rounds.append([np.array(image) for image in threads.map(show, given)])
    return rounds, (time.perf_counter() - began) / len(given) / len(secrets)


def accuracy(
    encoder: str, given: Sequence[Shot], queries: Sequence[Any], references: Sequence[Any] | None
) -> float:
    """Share of queries that are named right; ``None`` takes the queries as references."""
    made = get_encoder(encoder)

    def samples(images: Sequence[Any]) -> Samples:
        return Samples.build(
            made.encode(images),
            models=[one.model for one in given],
            prompts=[one.prompt for one in given],
            scale=made.card.scale,
        )

    asked = samples(queries)
    problem = (
        Problem.build(asked, knowledge=Knowledge())
        if references is None
        else Problem.build(samples(references), asked, knowledge=Knowledge())
    )
    answers = attack(problem, get_identifier("whitened-centroid")).answers
    return float(np.mean(answers.scores.argmax(1) == answers.model))


def quality(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Median PSNR in dB."""
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(one, other, strict=True)]
    return float(np.median(10 * np.log10(255**2 / np.maximum(errors, 1e-9))))


def with_setting(spec: str, setting: str) -> str:
    return f"{spec[:-1]},{setting})" if spec.endswith(")") else f"{spec}({setting})"


def main() -> None:
    """Prints the figures as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", default=SPECS)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--steps", type=int, default=0, help="of perturb, where not named")
    options = parser.parse_args()
    if not CORPUS.is_dir():
        print(f"skipped: no corpus in {CORPUS}")
        return
    given = shots(options.models, options.size)
    base = f"canonical(size={options.size})"
    heads = [f"{encoder}, {who}" for encoder in ENCODERS for who in ("unchanged", "adaptive")]
    print("| defence | " + " | ".join(heads) + " | PSNR dB | s an image |")
    print("|" + "---|" * (len(heads) + 3))
    (plain,), seconds = defended(base, given, [OPERATOR])
    rates = [accuracy(encoder, given, plain, None) for encoder in ENCODERS]
    print(
        f"| {base} | " + " | ".join(f"{100 * r:.1f} | -" for r in rates) + f" | - | {seconds:.2f} |"
    )
    for spec in options.specs:
        if options.steps and spec.startswith("perturb") and "steps=" not in spec:
            spec = with_setting(spec, f"steps={options.steps}")  # noqa: PLW2901
        (shown, theirs), seconds = defended(f"{base}+{spec}", given, [OPERATOR, ATTACKER])
        rates = [
            accuracy(encoder, given, shown, references)
            for encoder in ENCODERS
            for references in (plain, theirs)
        ]
        print(
            f"| {spec} | "
            + " | ".join(f"{100 * rate:.1f}" for rate in rates)
            + f" | {quality(shown, plain):.1f} | {seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
