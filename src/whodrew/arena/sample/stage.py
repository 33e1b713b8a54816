"""The stage that a scene is laid out on, and the register of scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, Colour, mix, rgb
from .grammar import Light, Mood

Scene = Callable[["Stage"], None]
SCENES: dict[str, Scene] = {}


def scene(prompt_id: str) -> Callable[[Scene], Scene]:
    """Registers what lays out the prompt of that name."""

    def register(layout: Scene) -> Scene:
        SCENES[prompt_id] = layout
        return layout

    return register


@dataclass
class Stage:
    """What a scene is laid out with.

    Attributes:
        canvas: what it is drawn on.
        rng: the dice of this one picture.
        light: the time of day.
        mood: the weather.
    """

    canvas: Canvas
    rng: np.random.Generator
    light: Light
    mood: Mood

    @property
    def wide(self) -> float:
        """The picture's width in units of its height."""
        return self.canvas.wide

    def between(self, low: float, high: float) -> float:
        """A random number in the range."""
        return float(self.rng.uniform(low, high))

    def lit(self, colour: Colour, amount: float = 1.0) -> Colour:
        """The colour of a thing where the light meets it, dimmer with a smaller amount."""
        strength = self.light.strength * (0.55 + 0.45 * amount)
        key = self.light.key
        tinted = mix(colour, (colour[0] * key[0], colour[1] * key[1], colour[2] * key[2]), 0.8)
        toned = mix(self.light.shade, tinted, min(1.0, 0.25 + 0.75 * amount))
        return (toned[0] * strength, toned[1] * strength, toned[2] * strength)

    def shaded(self, colour: Colour) -> Colour:
        """The colour of a thing in shadow."""
        return self.lit(mix(colour, self.light.shade, 0.35), 0.45)

    def vary(self, colour: Colour, amount: float = 0.06) -> Colour:
        """The colour, a little off: lighter or darker, warmer or cooler."""
        value, warmth = self.rng.normal(0, amount, 2).tolist()
        return (
            colour[0] + value + warmth * 0.6,
            colour[1] + value,
            colour[2] + value - warmth * 0.6,
        )

    def pick(self, *codes: str) -> Colour:
        """One of the colours at random, a little off."""
        return self.vary(rgb(codes[int(self.rng.integers(len(codes)))]), 0.03)
