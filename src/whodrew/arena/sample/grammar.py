"""The scene grammar: subject, setting, light and mood make a prompt and what is drawn of it."""

from __future__ import annotations

from dataclasses import dataclass

from .canvas import Colour, rgb


@dataclass(frozen=True)
class Light:
    """A time of day: the colours of the sky and what its light does to things.

    Attributes:
        phrase: how a prompt says it.
        sky: colours from the zenith to the horizon.
        key: tint of what the light meets.
        shade: the colour that shadows lean to.
        haze: what far things fade into.
        strength: brightness of lit things, 1 for daylight.
    """

    phrase: str
    sky: tuple[Colour, ...]
    key: Colour
    shade: Colour
    haze: Colour
    strength: float = 1.0


@dataclass(frozen=True)
class Mood:
    """The weather, or the air of a room: clouds, thickness of the air, what falls from above."""

    phrase: str
    clouds: float = 0.35
    haze: float = 0.25
    falling: str = ""


@dataclass(frozen=True)
class Prompt:
    """One prompt of the sample arena.

    Attributes:
        prompt_id: its name, which is also the name of its scene.
        subject: what is seen.
        setting: where it is.
        light: a key of ``LIGHTS``.
        mood: a key of ``MOODS``.
        category: the kind of scene.
    """

    prompt_id: str
    subject: str
    setting: str
    light: str
    mood: str
    category: str

    @property
    def text(self) -> str:
        """The prompt in words."""
        ends = [LIGHTS[self.light].phrase, MOODS[self.mood].phrase]
        return ", ".join([f"{self.subject} {self.setting}", *(end for end in ends if end)])


def _sky(codes: str) -> tuple[Colour, ...]:
    return tuple(rgb(code) for code in codes.split())


LIGHTS: dict[str, Light] = {
    "dawn": Light(
        "at dawn",
        _sky("466aa6 7f9ccb dcb0b8 fbd6b0"),
        rgb("fff0dc"),
        rgb("4a5580"),
        rgb("edd3c6"),
        0.95,
    ),
    "morning": Light(
        "in the morning light",
        _sky("5fa3d8 9ccbe8 d8ebf0 f5f1dc"),
        rgb("fff8e4"),
        rgb("4d5f86"),
        rgb("dcebee"),
        1.0,
    ),
    "noon": Light(
        "in bright sunlight",
        _sky("2f7fd0 5fa8e4 a4d4f2 dff1f6"),
        rgb("fffdf2"),
        rgb("3f5a8a"),
        rgb("cfe6f2"),
        1.04,
    ),
    "golden": Light(
        "in golden evening light",
        _sky("6d8fc4 c9b9c4 f5c98a fde29a"),
        rgb("ffe2ae"),
        rgb("5f4a6a"),
        rgb("f6d3a0"),
        1.0,
    ),
    "dusk": Light(
        "at dusk",
        _sky("28305e 5c4f86 c0708a f4a878"),
        rgb("f0c0b0"),
        rgb("262a52"),
        rgb("a87a94"),
        0.8,
    ),
    "sunset": Light(
        "at sunset",
        _sky("4a3f86 b0588e f08a60 ffd27a"),
        rgb("ffc48a"),
        rgb("4a2a58"),
        rgb("f2a878"),
        0.9,
    ),
    "night": Light(
        "at night",
        _sky("0a1030 141f4c 243468 3d4f80"),
        rgb("a8b8e8"),
        rgb("0a0f2a"),
        rgb("2c3a68"),
        0.6,
    ),
    "candle": Light(
        "by candlelight",
        _sky("2a1c18 4a2f22 7a4d2e a8703c"),
        rgb("ffd9a0"),
        rgb("24141a"),
        rgb("6a4630"),
        0.9,
    ),
}

MOODS: dict[str, Mood] = {
    "calm": Mood("calm and still", clouds=0.2, haze=0.4),
    "stormy": Mood("stormy", clouds=0.85, haze=0.5),
    "rain": Mood("in the rain", clouds=0.7, haze=0.45, falling="rain"),
    "clear": Mood("", clouds=0.15, haze=0.35),
    "misty": Mood("with drifting mist", clouds=0.35, haze=0.5),
    "breezy": Mood("under drifting clouds", clouds=0.5, haze=0.4),
    "snowing": Mood("snow falling softly", clouds=0.3, haze=0.4, falling="snow"),
    "starry": Mood("full of stars", clouds=0.25, haze=0.3),
    "quiet": Mood("quiet mood", clouds=0.0, haze=0.0),
}

PROMPTS: tuple[Prompt, ...] = (
    Prompt("lighthouse", "a lighthouse", "on a cliff above the sea", "dusk", "stormy", "coast"),
    Prompt("pears", "three pears", "on a blue table by a window", "morning", "quiet", "still life"),
    Prompt("neon-street", "a city street", "with glowing neon signs", "night", "rain", "city"),
    Prompt("balloon", "hot-air balloons", "over autumn hills", "golden", "clear", "landscape"),
    Prompt(
        "cat",
        "portrait of a ginger cat",
        "in front of a lamp-lit room",
        "golden",
        "quiet",
        "portrait",
    ),
    Prompt("mountain-lake", "a mountain lake", "between fir trees", "dawn", "misty", "landscape"),
    Prompt("cactus", "tall cacti", "in a desert of red rock", "sunset", "clear", "landscape"),
    Prompt("sailing-boat", "a sailing boat", "in a wide bay", "noon", "breezy", "coast"),
    Prompt(
        "market-stall",
        "a fruit stall with a striped awning",
        "on a market square",
        "noon",
        "clear",
        "city",
    ),
    Prompt("forest-path", "a path", "through a birch forest", "morning", "misty", "landscape"),
    Prompt(
        "snow-cabin",
        "a log cabin with lit windows",
        "among snowy firs",
        "night",
        "snowing",
        "landscape",
    ),
    Prompt("vase", "a vase of flowers", "on a wooden table", "candle", "quiet", "still life"),
    Prompt(
        "bridge", "an old stone bridge", "over a village river", "morning", "breezy", "landscape"
    ),
    Prompt(
        "planets",
        "a ringed planet and its moons",
        "above an alien plain",
        "night",
        "starry",
        "fantasy",
    ),
    Prompt(
        "koi-pond", "koi between lily pads", "in a dark garden pond", "morning", "calm", "nature"
    ),
    Prompt("windmill", "a windmill", "behind rows of tulips", "golden", "breezy", "landscape"),
)
