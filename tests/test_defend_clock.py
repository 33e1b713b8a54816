"""Time that a picture costs, in whichever threads it is spent."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from drawn import pixels
from whodrew.defend import Defence, Example, Picture
from whodrew.defend.arena_work import defended
from whodrew.defend.clock import had_done, spent


def busy(seconds: float) -> float:
    """Works for so long, of processor time of the thread that it is in."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return seconds


def test_work_of_other_threads_counts_once() -> None:
    with ThreadPoolExecutor(1) as threads:
        began = spent()
        assert had_done(threads, lambda: busy(0.2)) == 0.2
        assert had_done(threads, lambda: busy(0.1)) == 0.1
        took = spent() - began
        assert took >= 0.3
        # nobody else's: another caller had nothing done
        elsewhere = threads.submit(lambda: spent() - time.thread_time()).result()
    assert abs(elsewhere) < 0.01
    began = spent()
    time.sleep(0.2)
    assert spent() - began < 0.1  # waiting costs nothing


def test_a_failure_is_handed_on() -> None:
    def fails() -> None:
        raise ValueError("no")

    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="no"):
        had_done(threads, fails)


def test_descents_are_in_the_milliseconds() -> None:
    pytest.importorskip("torch", reason="perturb needs the extra torch")
    import io

    from PIL import Image

    pictures = [
        Example(Picture.of(pixels(model, prompt, "0", 64)), model, prompt)
        for model in ("amber", "birch")
        for prompt in ("a cat", "a dog", "a hat")
    ]
    file = io.BytesIO()
    Image.fromarray(pixels("amber", "a hen", "0", 64)).save(file, "PNG")
    row = {"model": "amber", "prompt_id": "a hen"}
    took = []
    for steps in (1, 1, 40):  # the first one also warms up
        spec = f"perturb(steps={steps},encoders=fingerprint)"
        fitted = Defence.parse(spec).fit(lambda: pictures)
        took.append(defended(fitted, file.getvalue(), row)[1]["milliseconds"])
    assert took[2] > 4 * took[1]
    assert np.isfinite(took).all()
