"""Draws small images of shapes and small sounds: data to try images and sounds with.

    python examples/draw.py                              # examples/shapes and examples/sounds, as they are here
    python examples/draw.py new --each 20 --seed 1       # others of the same kinds: new/shapes, new/sounds

Each class has a folder of its own, which is what `graft fit FOLDER` takes.
"""

import argparse
import math
import random
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

SIDE_PX = 48
FINER = 4
"""Shapes are drawn so many times larger and then scaled down, which smooths their edges."""
RATE_HZ = 8_000
SECONDS = 0.25

Point = tuple[float, float]


def polygon(centre: Point, radius: float, corners: int, turn: float) -> list[Point]:
    """The corners of a regular polygon."""
    angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
    return [(centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in angles]


CORNERS = {"circle": 48, "square": 4, "triangle": 3}
UPRIGHT = {"circle": 0.0, "square": math.pi / 4, "triangle": -math.pi / 2}
"""The turn with which a shape lies on a side."""


def shape(kind: str, chance: random.Random) -> Image.Image:
    """A shape of one colour on a ground of another, about in the middle and about upright."""
    side = SIDE_PX * FINER
    ground = tuple(chance.randint(150, 255) for _ in range(3))
    colour = tuple(chance.randint(0, 120) for _ in range(3))
    radius = side * chance.uniform(0.28, 0.42)
    centre = (side * chance.uniform(0.45, 0.55), side * chance.uniform(0.45, 0.55))
    image = Image.new("RGB", (side, side), ground)
    points = polygon(centre, radius, CORNERS[kind], UPRIGHT[kind] + chance.uniform(-0.25, 0.25))
    ImageDraw.Draw(image).polygon(points, fill=colour)
    return image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)


Wave = Callable[[float, random.Random], float]

WAVES: dict[str, Wave] = {
    "buzz": lambda turns, _: 2 * (turns % 1) - 1,
    "hiss": lambda _, chance: chance.uniform(-1, 1),
    "whistle": lambda turns, _: math.sin(2 * math.pi * turns),
}
"""The value of each kind of sound, in [-1, 1], after so many turns of its pitch."""


def sound(kind: str, chance: random.Random) -> list[int]:
    """16-bit samples of a sound of any pitch and loudness that wavers a little, softly begun and ended."""
    count = int(RATE_HZ * SECONDS)
    pitch_hz, loudness = chance.uniform(100, 400), chance.uniform(0.2, 0.8)
    turns, samples = 0.0, []
    for place in range(count):
        share = place / count
        turns += pitch_hz * (1 + 0.05 * math.sin(20 * share)) / RATE_HZ
        envelope = min(1.0, 10 * share, 10 * (1 - share))
        value = loudness * envelope * WAVES[kind](turns, chance) + chance.gauss(0, 0.01)
        samples.append(round(32_000 * max(-1.0, min(1.0, value))))
    return samples


def write_sound(path: Path, samples: list[int]) -> None:
    """A WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(array("h", samples).tobytes())


def draw(folder: Path, each: int, seed: int) -> None:
    """Write `each` images of every shape and `each` sounds of every kind."""
    for kind in CORNERS:
        chance = random.Random(f"{seed} {kind}")
        (folder / "shapes" / kind).mkdir(parents=True, exist_ok=True)
        for number in range(1, each + 1):
            shape(kind, chance).save(folder / "shapes" / kind / f"{number:02d}.png", optimize=True)
    for kind in WAVES:
        chance = random.Random(f"{seed} {kind}")
        (folder / "sounds" / kind).mkdir(parents=True, exist_ok=True)
        for number in range(1, each + 1):
            write_sound(folder / "sounds" / kind / f"{number:02d}.wav", sound(kind, chance))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent, help="where to write")
    parser.add_argument("--each", type=int, default=6, help="files of each class (6)")
    parser.add_argument("--seed", type=int, default=0, help="source of all randomness (0)")
    chosen = parser.parse_args()
    draw(chosen.folder, chosen.each, chosen.seed)
