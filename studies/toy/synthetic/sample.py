"""A generated sample: the image, its cells and its facts; and the canvas it is drawn on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from openmova.runtime.assets import NANO_SUITE, asset_folder

ROWS, COLUMNS = 7, 14
"""The cells: 7 rows of 32 and 14 columns of 16 canvas units."""
SIDE = 224
"""Canvas units per side; images are rendered at ``SCALE`` pixels per unit."""
SCALE = 2

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "blue": (31, 90, 200),
    "green": (40, 150, 60),
    "yellow": (240, 205, 30),
    "orange": (250, 130, 20),
    "purple": (130, 60, 180),
    "black": (25, 25, 25),
    "gray": (130, 130, 130),
    "pink": (250, 140, 190),
    "brown": (130, 80, 40),
}


Ink = tuple[int, ...]
"""A colour, RGB."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing that can be asked: a question kind, its slots, the answer, the experts needed."""

    kind: str
    slots: dict[str, str]
    answer: str
    experts: tuple[str, ...]


@dataclass(kw_only=True)
class Sample:
    """An image with known contents.

    Attributes:
        domain: "object", "text", "chart" or "location".
        image: RGB, ``SIDE * SCALE`` pixels per side.
        cells: ``[ROWS][COLUMNS]`` words; "" where nothing is drawn.
        facts: what can be asked.
    """

    domain: str
    image: Image.Image
    cells: list[list[str]] = field(default_factory=lambda: [[""] * COLUMNS for _ in range(ROWS)])
    facts: list[Fact] = field(default_factory=list)

    def write(self, row: int, column: int, *words: str) -> None:
        """Sets the cells of one row from ``column`` on; what falls outside is lost."""
        for offset, word in enumerate(words):
            if 0 <= row < ROWS and 0 <= column + offset < COLUMNS:
                self.cells[row][column + offset] = word


KINDS = {"object": "picture", "text": "form", "chart": "chart", "location": "shapes"}
"""What an image of each domain is called."""


def kind_facts(domain: str, rng: random.Random) -> list[Fact]:
    """Questions about the image as a whole, which need no expert."""
    asked = rng.choice([KINDS[domain], rng.choice(list(KINDS.values()))])
    return [
        Fact(kind="kind", slots={}, answer=KINDS[domain], experts=()),
        is_kind(asked, KINDS[domain]),
    ]


def is_kind(asked: str, kind: str) -> Fact:
    """Whether an image of this kind is of the one asked for."""
    answer = "yes" if asked == kind else "no"
    return Fact(kind="is_kind", slots={"kind": asked}, answer=answer, experts=())


@lru_cache(maxsize=512)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


def random_font(rng: random.Random, size: float) -> ImageFont.FreeTypeFont:
    """A face of the nano suite at ``size`` canvas units."""
    return _font(rng.choice(_faces()), round(size * SCALE))


@lru_cache(maxsize=1)
def _faces() -> list[Path]:
    return sorted((asset_folder(NANO_SUITE) / "fonts").glob("*.ttf"))


def pale(rng: random.Random) -> tuple[int, int, int]:
    """A light paper colour."""
    base = rng.randint(225, 255)
    return tuple(min(255, max(0, base + rng.randint(-14, 8))) for _ in range(3))  # type: ignore[return-value]


def dark(rng: random.Random) -> tuple[int, int, int]:
    """A dark ink colour."""
    base = rng.randint(0, 60)
    return tuple(min(255, max(0, base + rng.randint(-20, 40))) for _ in range(3))  # type: ignore[return-value]


def canvas(rng: random.Random) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty page."""
    image = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE), pale(rng))
    return image, ImageDraw.Draw(image)


def spread(count: int, low: float, high: float, gap: float, rng: random.Random) -> Iterator[float]:
    """``count`` increasing positions in [low, high], at least ``gap`` apart, uniform otherwise."""
    slack = (high - low) - gap * (count - 1)
    offsets = sorted(rng.uniform(0, slack) for _ in range(count))
    for index, offset in enumerate(offsets):
        yield low + offset + index * gap
